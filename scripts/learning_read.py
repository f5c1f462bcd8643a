"""Measures and reads finished runs for learning.py."""

from collections.abc import Mapping, Sequence
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import command
import numpy as np
import results_names as names
import results_read
import tasks as tables

from dreamerv2_tf import files
from dreamerv2_tf.config import Config
from dreamerv2_tf.curves import metrics
from dreamerv2_tf.curves import names as naming
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.errors import EnvError, StateError
from dreamerv2_tf.report import scores
from dreamerv2_tf.run import environments

SCENARIO = 10_000  # First of an evaluation, as `dreamerv2 eval` has it.
POINTS = 50  # Of a curve.


def read(
    folder: pathlib.Path, checkpoint: str, episodes: int) -> dict[str, Any]:
  """Returns what a finished run learned; evaluates it if nobody has.

  Args:
    folder: of the run.
    checkpoint: latest or best.
    episodes: of the evaluation.

  Returns:
    task, preset (with the settings that differ from it), seed, steps (of the
    environment), minutes of training, per_episode (returns), curves
    (evaluation and training: [step, return], at most POINTS), words of its
    command, versions, machine.

  Raises:
    StateError: the run is not finished, or can not be read.
    EnvError: it can not be evaluated.
  """
  try:
    config = Config.load(folder / 'config.yaml')
    record = files.parse_object(files.read(folder / 'run.json'))
    rows = metrics.read(folder / metrics.NAME).rows
    history = record['history']
    words = history[0]['argv']
  except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
    raise StateError(f'{folder} can not be read: {error!r}.') from None
  reached = _newest(folder)
  if reached < config.steps:
    raise StateError(
        f'{folder} is at step {reached:,} of {config.steps:,}.')
  _, seconds, _ = results_read.times(rows)
  returns = _returns(evaluate(folder, checkpoint, episodes))
  return {
      'task': config.task, 'seed': config.seed, 'config': config,
      'preset': naming.method(config, words, [
          (x['step'], x['changed']) for x in history[1:]]),
      'steps': config.steps * config.action_repeat,
      'minutes': None if seconds is None else seconds / 60,
      'per_episode': returns,
      'curves': {
          'evaluation': _curve(rows, 'eval_return'),
          'training': _curve(rows, 'train_return')},
      'words': names.portable(words[1:]),
      'versions': record.get('versions', {}),
      'machine': record.get('machine', {})}


def evaluate(
    folder: pathlib.Path, checkpoint: str, episodes: int) -> dict[str, Any]:
  """Returns the record of `dreamerv2 eval` for a checkpoint.

  The one in the folder if it is there, otherwise that of a new evaluation,
  which stays there.

  Raises:
    EnvError: the command fails.
    StateError: it wrote no record that can be read.
  """
  step = _newest(folder)
  if checkpoint == 'best':
    best = folder / 'checkpoints' / 'best.json'
    if best.is_file():
      step = files.parse_object(files.read(best))['step']
  path = folder / f'eval-{step}-{SCENARIO}-{episodes}.json'
  if not path.is_file():
    command.say(f'Evaluating {folder}, step {step:,}')
    found = subprocess.run([
        sys.executable, '-m', 'dreamerv2_tf', 'eval', '--logdir', str(folder),
        '--episodes', str(episodes), '--seed', str(SCENARIO), '--checkpoint',
        str(step)], capture_output=True, text=True, env=os.environ)
    if found.returncode:
      raise EnvError(
          f'{folder} can not be evaluated: {found.stderr.strip()[-500:]}')
  try:
    return files.parse_object(files.read(path))
  except (OSError, ValueError) as error:
    raise StateError(f'{path} can not be read: {error}.') from None


def play_randomly(config: Config, episodes: int) -> dict[str, Any]:
  """Returns returns of random actions in the scenarios of an evaluation.

  Args:
    config: of a run; its environments are made.
    episodes: how many.

  Returns:
    per_episode, observation and actions (in words).
  """
  command.say(f'Playing {config.task} with random actions')
  with environments.make_evaluator(
      config, min(config.envs, episodes)) as evaluator:
    obs_space, act_space = evaluator.pool.obs_space, evaluator.pool.act_space
    policy = RandomPolicy(act_space, SCENARIO)
    found, _ = evaluator(policy, range(SCENARIO, SCENARIO + episodes))
  return {
      'per_episode': scores.table(found)['return'],
      'observation': tables.observed({
          key: space for key, space in obs_space.items()
          if _is_read(config, key, space)}),
      'actions': tables.acted(act_space['action'])}


def beside(folders: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
  """Reads results of scripts/baselines.py: task -> method, steps, returns."""
  found: dict[tuple, list[dict]] = {}
  for place in folders:
    for path in sorted(pathlib.Path(place).expanduser().rglob('record.json')):
      try:
        record = files.parse_object(files.read(path))
        result = files.parse_object(files.read(path.parent / 'eval.json'))
        key = record['task'], record['method'], record['env_steps']
        found.setdefault(key, []).append(
            {'seed': record['seed'], 'return': result['return_mean']})
      except (OSError, ValueError, KeyError) as error:
        command.say(f'Left out: {path} can not be read: {error!r}.')
  result: dict[str, list[dict[str, Any]]] = {}
  for (task, method, steps), runs in sorted(found.items()):
    runs.sort(key=lambda run: run['seed'] or 0)
    result.setdefault(task, []).append({
        'method': method, 'steps': steps,
        'return': [run['return'] for run in runs]})
  return result


def binned(points: Sequence[Sequence[float]], most: int = POINTS) -> list[list]:
  """Returns means of as many neighbours as leave at most so many points.

  Args:
    points: [n, 2], x and y, rising in x.
    most: number of them.
  """
  if not points:
    return []
  groups = np.array_split(np.array(points, float), min(most, len(points)))
  return [[int(group[-1, 0]), float(group[:, 1].mean())] for group in groups]


def _curve(rows: Sequence[Mapping[str, Any]], name: str) -> list[list]:
  return binned([
      [row['step'], row[name]] for row in rows
      if isinstance(row.get(name), int | float)])


def _returns(record):
  return [float(x) for x in record['per_episode']['return']]


def _newest(folder):
  """Returns the step of the newest checkpoint, -1 without any."""
  return max(
      (int(path.name) for path in folder.glob('checkpoints/[0-9]*')
       if path.name.isdecimal()), default=-1)


def _is_read(config, key, space):
  """Tells whether the networks of a run read an observation."""
  if key in ('reward', 'is_first', 'is_last', 'is_terminal') or (
      key.startswith('log_')):
    return False
  kind = 'cnn_keys' if len(space.shape) == 3 else 'mlp_keys'
  return bool(re.match(config.encoder[kind], key))
