"""Trains and evaluates one method of baselines.py and writes its results."""

from collections.abc import Callable, Mapping, Sequence
import functools
import importlib.metadata
import json
import pathlib
import time
from typing import Any

import baselines_learners as learners
import baselines_lookahead as lookahead
import baselines_planner as planner
import baselines_scripted as scripts
import numpy as np

from dreamerv2_tf import errors, files
from dreamerv2_tf.config import Config
from dreamerv2_tf.report import scores
from dreamerv2_tf.run import environments, rundir
from dreamerv2_tf.run.environments import EVAL_SEED
from dreamerv2_tf.run.evaluator import Evaluator

PLANNERS = {  # Do they hedge?
    'observation_planner': False, 'observation_planner_hedged': True}
RESULTS = ('record.json', 'eval.json', 'metrics.jsonl')
PARTIAL = 'partial.json'  # Episodes that are complete, if they are slow.
# Keys that scores are made of.
SCORED = 'reward', 'action', 'log_crashed', 'log_success', 'log_speed'


def run(
    folder: pathlib.Path, settings: Mapping[str, Any], config: Config,
    names: Mapping[str, int], overrides: Sequence[str],
    arguments: Sequence[str]) -> None:
  """Trains, where there is something to train, evaluates and writes.

  Args:
    folder: of the results; those in it are removed.
    settings: of `describe`.
    config: the resolved configuration.
    names: of the actions, to their indices.
    overrides: words of the command line that change the environment.
    arguments: all of them.

  Raises:
    EnvError: an environment fails.
    OSError: a file can not be written.
  """
  began = time.monotonic()
  clear(folder)
  method = settings['method'].split()[0]
  factory = environments.factory(config, ())
  if method == 'simulator_planner':
    factory = functools.partial(
        lookahead.Lookahead, factory, **lookahead.SETTINGS)
  curve = Curve(folder, config)
  with environments.make_evaluator(
      config, config.envs, factory) as evaluator:
    assess = functools.partial(curve.assess, evaluator)
    step, seconds, policy = prepare(method, settings, config, names, assess)
    seeds = range(
        settings['scenarios'], settings['scenarios'] + settings['episodes'])
    play = evaluator
    if method == 'simulator_planner':
      play = functools.partial(
          patiently, folder / PARTIAL, settings, evaluator)
    episodes, _ = play(policy, seeds)
  result = scores.summarize(episodes)
  if not curve.rows:
    curve.add(step, seconds, result, len(episodes))
  content = {
      **result, 'episodes': len(episodes), 'seed': settings['scenarios'],
      'step': step, 'overrides': list(overrides),
      'per_episode': scores.table(episodes)}
  _dump(folder / 'eval.json', content)
  _dump(folder / 'record.json', {
      **settings, 'env_steps': step, 'train_seconds': seconds,
      'wall_seconds': time.monotonic() - began, 'envs': config.envs,
      'argv': list(arguments), 'versions': _versions(method),
      'machine': rundir.machine()})
  (folder / PARTIAL).unlink(missing_ok=True)
  print(_sentence(folder, result, len(episodes)), flush=True)


def clear(folder: pathlib.Path) -> None:
  """Makes the folder, or removes the results in it.

  Complete episodes stay if they belong to results that were never finished.
  """
  folder.mkdir(parents=True, exist_ok=True)
  files.clean(folder)
  if (folder / 'record.json').exists():
    (folder / PARTIAL).unlink(missing_ok=True)
  for name in RESULTS:
    (folder / name).unlink(missing_ok=True)


def prepare(
    method: str, settings: Mapping[str, Any], config: Config,
    names: Mapping[str, int],
    assess: Callable[[int, float, learners.Policy], Any]) -> learners.Trained:
  """Returns the policy of a method, trained if it learns.

  Args:
    method, settings, config, names: see `run`.
    assess: see `learners.learn`.
  """
  if method in learners.LEARNERS:
    limits = learners.Limits(
        settings['steps'], 60 * settings['minutes'], config.eval_every)
    return learners.learn(
        method, config, settings['hyperparameters'], limits, assess)
  env = environments.factory(config, ())()
  env.close()
  if method == 'simulator_planner':
    policy = lookahead.follow
  elif method in PLANNERS:
    lanes = planner.check(scripts.unwrapped(env), method, config.task)
    policy = planner.Planner(lanes, PLANNERS[method])
  else:
    policy = scripts.scripted(
        method, config, names, env.act_space['action'])
  return learners.Trained(0, 0.0, policy)


class Curve:
  """The scores in the course of training, and the file that holds them.

  Attributes:
    rows: those of the file.
  """

  def __init__(self, folder: pathlib.Path, config: Config):
    """Writes no file yet; reads eval_eps."""
    self.rows = []
    self._folder = folder
    self._seeds = range(EVAL_SEED, EVAL_SEED + config.eval_eps)

  def assess(
      self, evaluator: Evaluator, step: int, seconds: float,
      policy: learners.Policy) -> None:
    """Evaluates as in the course of training, and adds a row."""
    episodes, _ = evaluator(policy, self._seeds)
    result = scores.summarize(episodes)
    self.add(step, seconds, result, len(episodes))
    print(
        f"{self._folder.name} [{step}] return {result['return_mean']:.2f}, "
        f'{seconds:.0f} s', flush=True)

  def add(
      self, step: int, seconds: float, result: Mapping[str, Any],
      count: int) -> None:
    """Adds the scores of some episodes, after so many seconds of training."""
    values = scores.metrics(result, count)
    self.rows.append({
        'step': step, 'time': seconds,
        **{f'eval_{k}': v for k, v in values.items()}})
    files.write_text(
        self._folder / 'metrics.jsonl',
        ''.join(json.dumps(row) + '\n' for row in self.rows))


def patiently(
    path: pathlib.Path, settings: Mapping[str, Any], evaluator: Evaluator,
    policy: learners.Policy, seeds: Sequence[int]) -> tuple[list, list]:
  """Does what an evaluator does, and goes on where it was interrupted.

  Args:
    path: of the file with the episodes that are complete.
    settings: of `describe`; with others, a file is replaced.
    evaluator: of all scenarios that are not in that file.
    policy, seeds: see Evaluator.

  Returns:
    Episodes, of the keys that scores are made of, and no frames.
  """
  try:
    done = files.parse_object(files.read(path))
    if done['settings'] != settings:
      raise ValueError('Other settings.')
    done = done['episodes']
  except (FileNotFoundError, ValueError, KeyError):
    done = {}
  waiting = [seed for seed in seeds if str(seed) not in done]
  count = len(evaluator.pool)
  for start in range(0, len(waiting), count):
    some = waiting[start:start + count]
    episodes, _ = evaluator(policy, some)
    if len(episodes) < len(some):
      raise errors.EnvError(
          f'A scenario of {list(some)} could not be run to its end.')
    for seed, episode in zip(some, episodes):
      done[str(seed)] = {
          key: episode[key].tolist() for key in SCORED if key in episode}
    _dump(path, {'settings': settings, 'episodes': done})
    print(f'{path.parent.name}: {len(done)} of {len(seeds)}', flush=True)
  return [
      {key: np.array(value, np.float32) for key, value in
       done[str(seed)].items()} for seed in seeds], []


def _dump(path, content):
  files.write_text(path, json.dumps(content, indent=2) + '\n')


def _sentence(folder, result, count):
  """Returns what is printed when a method is finished."""
  crash, success = result['crash_rate'], result.get('success_rate')
  return (
      f"{folder.name}: return {result['return_mean']:.2f} +- "
      f"{result['return_std']:.2f}"
      + ('' if success is None else f', success rate {100 * success:.0f} %')
      + ('' if crash is None else
         f", crash rate {100 * crash:.0f} %, {result['speed_mean']:.1f} m/s")
      + f', {count} episodes. Written to {folder}')


def _versions(method):
  names = ('stable-baselines3', 'torch') if method in learners.LEARNERS else ()
  return {
      **rundir.versions(),
      **{name: importlib.metadata.version(name) for name in names}}
