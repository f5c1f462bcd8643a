"""How good episodes were: one by one, in means, and under names of metrics."""

from collections.abc import Mapping, Sequence
import math
import re
from typing import Any

import numpy as np

Episode = Mapping[str, np.ndarray]
ACHIEVEMENT = 'log_achievement_'  # Keys of Crafter: how often each was reached.


def summarize(episodes: Sequence[Episode]) -> dict[str, Any]:
  """Describes evaluated episodes.

  Args:
    episodes: key -> [rows, ...].

  Returns:
    return_mean, return_std (of the sample), return_ci95 (low and high end of
    the 95% interval of the mean, normal approximation; None of one episode),
    length_mean (steps
    before action repeat), crash_rate (share of episodes with a crash) and
    speed_mean (m/s, over all steps); None where the environment has none.
    Where it tells of goals, success_rate (share of episodes that end at one).
    Of Crafter also achievements (name -> share of the episodes) and
    crafter_score (%).

  Paper: arXiv 2109.06780, Section 3.4, for the score; there, the episodes are
    those of the training.
  """
  each = table(episodes)
  returns, lengths = np.array(each['return']), np.array(each['length'])
  mean = float(returns.mean())
  std = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
  half = 1.96 * std / math.sqrt(len(returns))
  crashed, speed = each.get('crashed'), each.get('speed')
  more: dict[str, Any] = {}
  if 'success' in each:
    more['success_rate'] = float(np.mean(each['success']))
  rates = {
      key.removeprefix(ACHIEVEMENT): float(np.mean([
          key.removeprefix(ACHIEVEMENT) in names
          for names in each['achievements']]))
      for key in episodes[0] if key.startswith(ACHIEVEMENT)}
  if rates:
    # Of percentages: the geometric mean, less the 1 that keeps zeros apart.
    more |= {'achievements': rates, 'crafter_score': float(np.expm1(np.mean(
        np.log1p([100 * rate for rate in rates.values()]))))}
  return {
      'return_mean': mean, 'return_std': std,
      'return_ci95': [mean - half, mean + half] if len(returns) > 1 else None,
      'length_mean': float(lengths.mean()),
      'crash_rate': None if crashed is None else float(np.mean(crashed)),
      'speed_mean': None if speed is None else float(
          np.average(speed, weights=lengths)), **more}


def table(episodes: Sequence[Episode]) -> dict[str, list]:
  """Returns columns with a value per episode, for statistics.

  Args:
    episodes: key -> [rows, ...].

  Returns:
    `return`, `length` (steps) and, where the environment tells, `crashed`,
    `success` (at the end) and `speed` (mean, m/s); where actions are discrete,
    `actions`: how often each was taken; of Crafter `achievements`, the names
    of those reached.
  """
  columns = {
      'return': [_return(ep) for ep in episodes],
      'length': [len(ep['reward']) - 1 for ep in episodes]}
  if 'log_crashed' in episodes[0]:
    columns['crashed'] = [bool(ep['log_crashed'].max() > 0) for ep in episodes]
  if 'log_success' in episodes[0]:
    columns['success'] = [bool(ep['log_success'][-1] > 0) for ep in episodes]
  if 'log_speed' in episodes[0]:
    columns['speed'] = [
        float(ep['log_speed'][1:].mean(dtype=np.float64)) for ep in episodes]
  keys = [key for key in episodes[0] if key.startswith(ACHIEVEMENT)]
  if keys:
    columns['achievements'] = [
        [key.removeprefix(ACHIEVEMENT) for key in keys if ep[key].max() > 0]
        for ep in episodes]
  # The action of the first row led to nothing.
  taken = [np.asarray(ep['action'])[1:] for ep in episodes if 'action' in ep]
  if len(taken) == len(episodes) and all(map(_one_hot, taken)):
    columns['actions'] = [x.sum(0).astype(int).tolist() for x in taken]
  return columns


def metrics(summary: Mapping[str, Any], count: int) -> dict[str, float]:
  """Returns the metrics of an evaluation under the original's names.

  Args:
    summary: of `summarize`.
    count: episodes.

  Returns:
    What training logs with the prefix `eval`, less what is not known.
  """
  values = {
      'return': summary['return_mean'], 'return_std': summary['return_std'],
      'length': summary['length_mean'], 'crash_rate': summary['crash_rate'],
      'success_rate': summary.get('success_rate'),
      'speed': summary['speed_mean'],
      'crafter_score': summary.get('crafter_score'), 'eps': count}
  return {k: v for k, v in values.items() if v is not None}


def episode_metrics(
    episode: Episode, keys: Mapping[str, str], mode: str) -> dict[str, float]:
  """Returns the metrics of one episode under the original's names.

  Args:
    episode: key -> [rows, ...].
    keys: sum, mean and max, each to a regular expression.
    mode: train or eval.

  Returns:
    `<mode>_return`, `<mode>_length` (steps), and `sum_<mode>_<key>`,
    `mean_<mode>_<key>`, `max_<mode>_<key>` of the keys that match.
  """
  result = {
      f'{mode}_return': _return(episode),
      f'{mode}_length': len(episode['reward']) - 1}
  for name, pattern in keys.items():
    for key, value in episode.items():
      if re.match(pattern, key):
        value = np.asarray(value, np.float64)
        result[f'{name}_{mode}_{key}'] = float({
            'sum': value.sum(), 'mean': value.mean(),
            'max': value.max(0).mean()}[name])
  return result


def _one_hot(actions):
  return actions.ndim == 2 and bool(
      np.isin(actions, (0, 1)).all() and (actions.sum(1) == 1).all())


def _return(episode):
  return float(episode['reward'].astype(np.float64).sum())
