"""Measures what a world model foresees: ends, and rewards, steps ahead.

From every state of episodes that it was not trained on, filtered from the
observations, the model predicts open loop under the recorded actions. Of each
distance: the share of true ends (terminations, such as crashes) that are
foreseen at the threshold with the given precision; the area under the ROC
curve, 0.5 by chance; the mean predicted chance of an end beside the share that
came true; and the root mean square error of the reward. The episodes are driven
by a mixture, drawn anew at each step: the agent's samples and random actions.
"""

from collections.abc import Mapping, Sequence
import functools
import json
import os
import pathlib
import sys
from typing import Any

import command
import numpy as np

from dreamerv2_tf import envs as envlib
from dreamerv2_tf.config import Config
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.errors import ConfigError

FLAGS = {
    'logdir': ('', 'Folder of the run.'),
    'checkpoint': ('latest', 'latest, best or the step of a checkpoint.'),
    'episodes': (500, 'Episodes to predict.'),
    'seed': (12000, 'Scenario of the first episode; the next has the next.'),
    'steps': ((1, 2, 3, 5), 'Steps ahead.'),
    'random': (0.5, 'Share of random actions, 0 to 1.'),
    'at_precision': (0.8, 'Precision at which the recall is told, 0 to 1.'),
    'samples': (8, 'Predictions of each state, of which the mean is taken.'),
    'trust': (False, 'Run code of modules that only the folder names.'),
    'json': (False, 'Print one JSON object on the last line.'),
}
ROWS = 50  # Episodes predicted at once.


def main(argv: Sequence[str] | None = None) -> int:
  """Measures and prints; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def parse(arguments: Sequence[str]) -> tuple[Config, list[str]]:
  """Returns the values of FLAGS, and keys that change the run's settings.

  Raises:
    ConfigError: a flag is wrong.
  """
  options, overrides = command.parse_run(FLAGS, arguments)
  if min(options.episodes, options.samples) < 1 or options.seed < 0:
    raise ConfigError(
        "'episodes' and 'samples' must be positive and 'seed' not negative.")
  for name in ('random', 'at_precision'):
    if not 0 <= options[name] <= 1:
      raise ConfigError(f"'{name}' must be in [0, 1] but is {options[name]}.")
  return options, overrides


def measure(options: Config, overrides: Sequence[str]) -> dict[str, Any]:
  """Drives, predicts and compares.

  Args:
    options: values of FLAGS.
    overrides: command line words that change the run's configuration.

  Returns:
    `ahead`, distance -> what `score` returns; `step` of the checkpoint, the
    number of `rows`, and the flags.

  Raises:
    ConfigError: no run there, or it has no discount head.
    StateError, EnvError: see `dreamerv2 eval`.
  """
  from dreamerv2_tf.run import environments, evaluator, loading
  folder = pathlib.Path(os.path.expanduser(options.logdir))
  command.say('Starting TensorFlow ...')
  agent, config, step = loading.load_agent(
      folder, options.checkpoint, overrides, trust=options.trust)
  if not config.pred_discount:
    raise ConfigError(f'{folder} has no discount head, so it foresees no end.')
  make = functools.partial(
      envlib.make, config.task, **config.taken_by(envlib.make))
  seeds = range(options.seed, options.seed + options.episodes)
  command.say(f'Driving {len(seeds)} scenarios ...')
  with environments.make_evaluator(
      config, config.envs, make,
      progress=evaluator.show_progress(len(seeds))) as play:
    episodes, _ = play(Mixture(agent, agent.act_space, options), seeds)
  command.say('Predicting ...')
  parts = [
      predictions(agent, pad(episodes[i:i + ROWS]), options)
      for i in range(0, len(episodes), ROWS)]
  columns = {
      distance: [np.concatenate(x) for x in zip(*(p[distance] for p in parts))]
      for distance in options.steps}
  return {
      'ahead': {
          str(k): score(*v, options.at_precision) for k, v in columns.items()},
      'rows': sum(len(ep['reward']) - 1 for ep in episodes), 'step': step,
      **options.to_dict()}


class Mixture:
  """A policy that takes the agent's samples or, sometimes, random actions."""

  def __init__(self, agent: Any, act_space: Mapping, options: Config):
    """Reads `random` and `seed` of the options."""
    self._agent = agent
    self._random = RandomPolicy(act_space, options.seed)
    self._rng = np.random.default_rng([options.seed, 1])
    self._share = options.random

  def __call__(
      self, obs: Mapping[str, np.ndarray], state: Any = None
  ) -> tuple[dict[str, np.ndarray], Any]:
    """Returns ({'action': [N, A] float32}, state) for N observations."""
    output, state = self._agent.policy(obs, state, mode='train')
    action = np.array(output['action'])
    other = self._random(obs)[0]['action']
    swap = self._rng.random([len(action), 1]) < self._share
    action = np.where(swap, other, action)
    return {'action': action}, state._replace(action=action)


def pad(episodes: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """Stacks episodes, [B, T, ...]; what fills the shorter is_first."""
  length = max(len(ep['reward']) for ep in episodes)
  def fill(name, value):
    room = [(0, length - len(value))] + [(0, 0)] * (value.ndim - 1)
    return np.pad(value, room, constant_values=name == 'is_first')
  return {
      name: np.stack([fill(name, ep[name]) for ep in episodes])
      for name in episodes[0] if not name.startswith('log_')}


def predictions(
    agent: Any, batch: Mapping[str, np.ndarray],
    options: Config) -> dict[int, list[np.ndarray]]:
  """Predicts from every state of a batch.

  Args:
    agent: with world model.
    batch: [B, T, ...].
    options: reads `steps`, `samples` and `seed`.

  Returns:
    distance -> chance of an end, whether it came, reward predicted, reward
    received; [n] each, n states that are so many steps ahead of another.
  """
  import tensorflow as tf

  from dreamerv2_tf import imagination
  wm = agent.world_model
  data = wm.preprocess({k: tf.convert_to_tensor(v) for k, v in batch.items()})
  embed = wm.encoder(data)
  sums = None
  for sample in range(options.samples):
    seed = tf.constant([options.seed % 2 ** 31, sample])
    _, prior = wm.rssm.observe(
        embed, data['action'], data['is_first'], None, seed)
    feats, masks = imagination.predict(
        wm.rssm, data, prior, max(options.steps), seed)
    found = [(
        1 - wm.heads['discount'](x).mean().numpy() / agent.config.discount,
        wm.heads['reward'](x).mode().numpy()) for x in feats]
    sums = found if sums is None else [
        (a + c, b + d) for (a, b), (c, d) in zip(sums, found)]
  result = {}
  for distance in options.steps:
    keep = masks[distance - 1].numpy()
    end, reward = (x[keep] / options.samples for x in sums[distance - 1])
    truth = batch['is_terminal'][:, distance - 1:][keep]
    result[distance] = [
        end, truth, reward, data['reward'].numpy()[:, distance - 1:][keep]]
  return result


def score(
    chance: np.ndarray, came: np.ndarray, guess: np.ndarray,
    reward: np.ndarray, precision: float) -> dict[str, float | None]:
  """Compares predictions with what happened.

  Args:
    chance: [n]; predicted chance of an end.
    came: [n], bool.
    guess: [n]; predicted reward.
    reward: [n].
    precision: at which the recall is told.

  Returns:
    recall, auc (None where nothing or everything ended), predicted and
    observed share of ends, reward_error and count.
  """
  order = np.argsort(-chance, kind='stable')
  hits, ends = np.cumsum(came[order]), int(came.sum())
  # Thresholds lie between different values only.
  cut = np.append(np.diff(chance[order]) != 0, True)
  good = cut & (hits / np.arange(1, len(hits) + 1) >= precision)
  recall = float(hits[good].max() / ends) if good.any() and ends else 0.0
  auc = None
  if 0 < ends < len(came):
    below = np.searchsorted(np.sort(chance[~came]), chance[came], 'left')
    upto = np.searchsorted(np.sort(chance[~came]), chance[came], 'right')
    auc = float((below + upto).mean() / 2 / (len(came) - ends))
  return {
      'recall': recall if ends else None, 'auc': auc,
      'predicted': float(chance.mean()), 'observed': float(came.mean()),
      'reward_error': float(np.sqrt(np.mean((guess - reward) ** 2))),
      'count': len(came)}


def _work(arguments):
  options, overrides = parse(arguments)
  result = measure(options, overrides)
  return _table(result) + [json.dumps(result)] * options.json


def _table(result):
  show = lambda x: '     -' if x is None else f'{x:6.3f}'
  lines = [
      f"Checkpoint {result['step']}, {result['rows']} steps, recall at "
      f"precision {result['at_precision']}", '',
      'steps ahead  recall     AUC  predicted  observed  reward error']
  for distance, row in result['ahead'].items():
    cells = [show(row[k]) for k in (
        'recall', 'auc', 'predicted', 'observed', 'reward_error')]
    lines.append('{:>11}  {}  {}     {}    {}        {}'.format(
        distance, *cells))
  return lines


if __name__ == '__main__':
  sys.exit(main())
