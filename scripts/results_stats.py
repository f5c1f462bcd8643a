"""Statistics of results.py: intervals, shares, probability of improvement.

Intervals are of 95 % and bootstrapped: seeds are drawn, then episodes of each,
with replacement; with one run, episodes alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dreamerv2_tf.curves.stats import improvement as higher
from dreamerv2_tf.curves.stats import interval, iqm, resample

Run = Mapping[str, Any]


def statistics(runs: Sequence[Run], samples: int) -> dict[str, Any]:
  """Summarises the final evaluations of the runs of one row.

  Args:
    runs: of `results_read`.
    samples: how many times episodes are drawn for the intervals.

  Returns:
    `return`, `iqm`, each with `_ci95` (low, high); `return_std` of the
    episodes; `episodes`, of all runs; `seed_returns`; `crash_rate`, `speed`
    (m/s) and `seconds` of training: means over runs, None if unknown;
    `actions`: shares, None if unknown; `inclusive`: whether the seconds hold
    evaluations in a run.
  """
  returns = _returns(runs)
  means, middles = [], []
  for drawn in resample(returns, samples):
    means.append(np.mean([x.mean() for x in drawn]))
    middles.append(iqm(np.concatenate(drawn)))
  everything = np.concatenate(returns)
  several = len(everything) > 1
  return {
      'return': float(np.mean([x.mean() for x in returns])),
      'return_ci95': interval(means),
      'return_std': float(everything.std(ddof=1)) if several else 0.0,
      'iqm': iqm(everything), 'iqm_ci95': interval(middles),
      'episodes': len(everything),
      'seed_returns': [float(x.mean()) for x in returns],
      'crash_rate': _mean(runs, lambda each: np.mean(each['crashed'])),
      'speed': _mean(runs, lambda each: np.average(
          each['speed'], weights=each['length'])),
      'actions': _shares(runs),
      'seconds': _mean_or_none([run['seconds'] for run in runs]),
      'inclusive': any(run['inclusive'] for run in runs)}


def improvement(
    runs: Sequence[Run], others: Sequence[Run], samples: int
) -> dict[str, Any]:
  """How likely an episode of one method has a higher return than of another.

  All pairs of episodes are compared; equal returns count half.

  Args:
    runs, others: of the two methods, of `results_read`.
    samples: how many times episodes are drawn for the interval.

  Returns:
    `probability`, `ci95` (low, high), `n`: episodes of both.
  """
  ours, theirs = _returns(runs), _returns(others)
  drawn = [
      higher(np.concatenate(x), np.concatenate(y))
      for x, y in zip(
          resample(ours, samples), resample(theirs, samples, 1))]
  ours, theirs = np.concatenate(ours), np.concatenate(theirs)
  return {
      'probability': higher(ours, theirs), 'ci95': interval(drawn),
      'n': [len(ours), len(theirs)]}


def _returns(runs):
  return [np.array(run['per_episode']['return']) for run in runs]


def _mean(runs: Sequence[Run], measure: Callable[[Mapping], Any]):
  """Mean over runs; None if the columns are missing in one."""
  try:
    return float(np.mean([measure(run['per_episode']) for run in runs]))
  except KeyError:
    return None


def _mean_or_none(values):
  return None if None in values else float(np.mean(values))


def _shares(runs):
  """Shares of the actions, all runs alike; None if unknown in one."""
  counts = [run['per_episode'].get('actions') for run in runs]
  if None in counts or len({len(x[0]) for x in counts}) > 1:
    return None
  totals = [np.sum(x, 0) for x in counts]
  return np.mean([x / x.sum() for x in totals], 0).tolist()
