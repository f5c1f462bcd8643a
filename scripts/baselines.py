"""Trains and evaluates what one would take instead of DreamerV2.

The episodes of an evaluation, their scenarios, and the way they are run and
summed up are those of `dreamerv2 eval`. Each method writes a folder
OUTDIR/TASK/METHOD, with -SEED if it has one: `eval.json`, the final evaluation
in the format of `dreamerv2 eval`; `metrics.jsonl`, the scores on the scenarios
of evaluations within training; and, last, `record.json`: settings, versions,
machine. A folder that has it is not run again.
"""

from collections.abc import Callable, Mapping, Sequence
import copy
import functools
import heapq
import importlib
import importlib.metadata
import itertools
import json
import math
import pathlib
import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs, errors, files, startup
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError, DreamerError
from dreamerv2_tf.run import evaluate, rundir
from dreamerv2_tf.run.train import EVAL_SEED, TRAIN_SEEDS
from dreamerv2_tf.schema import suggest

METHODS = {
    'random': 'Random actions.',
    'idle': 'IDLE, always.',
    'faster': 'FASTER, always.',
    'slower': 'SLOWER, always.',
    'left': 'LANE_LEFT, always.',
    'right': 'LANE_RIGHT, always.',
    'right_slower': 'LANE_RIGHT three times, then SLOWER.',
    'planner': 'Five steps of look-ahead in copies of the environment.',
    'dqn': "DQN of Stable-Baselines3, settings of highway-env's example.",
    'ppo': "PPO of Stable-Baselines3, settings of highway-env's example.",
}
SCRIPTS = {  # Actions of an episode; the last goes on.
    'idle': ['IDLE'], 'faster': ['FASTER'], 'slower': ['SLOWER'],
    'left': ['LANE_LEFT'], 'right': ['LANE_RIGHT'],
    'right_slower': ['LANE_RIGHT'] * 3 + ['SLOWER'],
}
PLANNER = {
    'horizon': 5,  # Actions.
    'budget': 500,  # Simulated steps for each decision.
}
# Facts: Farama-Foundation/HighwayEnv scripts/sb3_highway_dqn.py, _ppo.py. All
# else has the default of Stable-Baselines3.
LEARNERS = {
    'dqn': {
        'envs': 1, 'learning_rate': 5e-4, 'buffer_size': 15_000,
        'learning_starts': 200, 'batch_size': 32, 'gamma': 0.8,
        'train_freq': 1, 'gradient_steps': 1, 'target_update_interval': 50,
        'policy_kwargs': {'net_arch': [256, 256]}},
    'ppo': {
        'envs': 6, 'learning_rate': 5e-4, 'n_steps': 128, 'batch_size': 64,
        'n_epochs': 10, 'gamma': 0.8,
        'policy_kwargs': {'net_arch': {'pi': [256, 256], 'vf': [256, 256]}}},
}
SEEDED = ('random', *LEARNERS)

FLAGS = {
    'outdir': ('~/logdir/baselines', 'Folder of the results.'),
    'episodes': (
        0, 'Episodes of the final evaluation; 0: 100, but 20 of the planner, '
        'which is slow.'),
    'scenarios': (10_000, 'Seed of the first of them.'),
    'fresh': (False, 'Run again what is finished.'),
}
KEYS = {  # Of the configuration, with the values of the presets.
    'task': 'highway_highway-fast-v0', 'seed': 0, 'steps': 20_000, 'envs': 2,
    'eval_every': 2500, 'eval_eps': 10,
}
PATIENCE = 600  # Seconds for a step with all that a planner simulates.

Policy = Callable[[Mapping[str, np.ndarray], Any], tuple[dict, Any]]


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the methods; returns the exit status, as the command does."""
  arguments = list(sys.argv[1:] if argv is None else argv)
  if not arguments or {'-h', '--help'} & {*arguments}:
    print(_help())
    return 0
  startup.prepare()
  try:
    methods, options, config, overrides = parse(arguments)
    names = check(methods, config)
    for method in methods:
      folder = pathlib.Path(options.outdir).expanduser() / config.task / (
          f'{method}-{config.seed}' if method in SEEDED else method)
      settings = describe(method, options, config)
      try:
        if not options.fresh and finished(folder, settings):
          print(f'Finished already: {folder}')
          continue
        run(folder, method, settings, config, names, overrides, arguments)
      except OSError as error:
        raise errors.StorageError(
            f'Can not write {error.filename}: {error.strerror}.') from error
  except DreamerError as error:
    print(f'error: {error}', file=sys.stderr)
    return error.exit_code
  except KeyboardInterrupt:
    return 130
  return 0


def parse(
    arguments: Sequence[str]) -> tuple[list[str], Config, Config, list[str]]:
  """Parses the command line.

  Returns:
    The methods, the values of FLAGS, the configuration, and the words that
    change the environment.

  Raises:
    ConfigError: there is no method, or one, a flag or a value is wrong.
  """
  methods = list(itertools.takewhile(
      lambda word: not word.startswith('--'), arguments))
  for method in methods:
    if method not in METHODS:
      raise ConfigError(
          f"'{method}' is not a known method.{suggest(method, METHODS)} "
          f"Methods: {', '.join(METHODS)}.")
  if not methods:
    raise ConfigError(f"Name at least one method: {', '.join(METHODS)}.")
  options, presets, words = configlib.parse(FLAGS, arguments[len(methods):])
  if presets:
    raise ConfigError("There are no presets here. Leave '--configs' out.")
  if options.episodes < 0 or options.scenarios < 0:
    raise ConfigError(
        "'episodes' and 'scenarios' must be at least 0 but are "
        f'{options.episodes} and {options.scenarios}.')
  overrides = []
  for chunk in configlib.chunks(words):
    name, _ = configlib.split(chunk)
    if configlib.is_open(name):
      overrides += chunk
    elif name not in KEYS:
      raise ConfigError(
          f"Unknown key '{name}'.{suggest(name, [*FLAGS, *KEYS])} Known keys: "
          f"{', '.join([*FLAGS, *KEYS])}, and those below env.config.")
  base = Config(configlib.presets()['defaults']).update(
      {**KEYS, 'env_timeout': PATIENCE})
  return methods, options, configlib.resolve((), words, base), overrides


def check(methods: Sequence[str], config: Config) -> dict[str, int]:
  """Refuses what would fail only after hours.

  Args:
    methods: that will be run.
    config: the resolved configuration.

  Returns:
    Names of the actions that have one, to their indices.

  Raises:
    ConfigError: the task is unknown or not one for these methods, or a package
      is missing.
    EnvError: the environment can not be built.
  """
  env = evaluate.factory(config, ())()
  env.close()
  if not isinstance(env.act_space['action'], gym.spaces.Discrete):
    raise ConfigError(
        f"The methods choose among discrete actions, but '{config.task}' has "
        f"{env.act_space['action']}.")
  names = action_names(env)
  for method in methods:
    for name in SCRIPTS.get(method, ()):
      if name not in names:
        raise ConfigError(
            f"'{method}' needs the action {name}, but '{config.task}' has "
            f"{', '.join(names) or 'no names for its actions'}.")
    if method in LEARNERS:
      if 'vector' not in env.obs_space:
        keys = envs.signature(env.adapter.spaces, {})
        raise ConfigError(
            f"'{method}' learns from one vector, but '{config.task}' observes "
            f'{keys}.')
      try:
        importlib.import_module('stable_baselines3')
      except ModuleNotFoundError as error:
        raise ConfigError(
            f"'{method}' needs the package '{error.name}'. Install it with: "
            "pip install '.[baselines]'") from None
  return names


def describe(method: str, options: Config, config: Config) -> dict[str, Any]:
  """Returns all that decides the results of a method, as JSON has it."""
  learns = method in LEARNERS
  curve = {
      'eval_every': config.eval_every, 'eval_eps': config.eval_eps,
      'eval_scenarios': EVAL_SEED}
  return {
      'method': method, 'task': config.task,
      'env_config': config.to_dict()['env']['config'],
      'seed': config.seed if method in SEEDED else None,
      'steps': config.steps if learns else 0,
      'episodes': options.episodes or (20 if method == 'planner' else 100),
      'scenarios': options.scenarios, **(curve if learns else {}),
      'hyperparameters': (
          PLANNER if method == 'planner' else LEARNERS.get(method, {}))}


def finished(folder: pathlib.Path, settings: Mapping[str, Any]) -> bool:
  """Tells whether a folder holds the results of these settings.

  Raises:
    StateError: it holds those of others.
  """
  try:
    record = json.loads((folder / 'record.json').read_text())
  except (FileNotFoundError, ValueError):
    return False
  diff = rundir.changed({key: record.get(key) for key in settings}, settings)
  if diff:
    listing = '; '.join(
        f'{key} was {old!r}, is now {new!r}'
        for key, (old, new) in diff.items())
    raise errors.StateError(
        f'{folder} holds the results of other settings: {listing}. Add '
        '--fresh to replace them, or give another --outdir.')
  return True


def run(
    folder: pathlib.Path, method: str, settings: Mapping[str, Any],
    config: Config, names: Mapping[str, int], overrides: Sequence[str],
    arguments: Sequence[str]) -> None:
  """Trains, where there is something to train, evaluates and writes.

  Args:
    folder: of the results; those in it are removed.
    method: one of METHODS.
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
  folder.mkdir(parents=True, exist_ok=True)
  files.clean(folder)
  for name in ('record.json', 'eval.json', 'metrics.jsonl'):
    (folder / name).unlink(missing_ok=True)
  factory = evaluate.factory(config, ())
  if method == 'planner':
    factory = functools.partial(Planner, factory, **PLANNER)
  rows = []
  label = folder.name
  with evaluate.make_pool(config, factory, config.envs) as pool:

    def report(step, result, count):
      values = {
          'return': result['return_mean'], 'return_std': result['return_std'],
          'length': result['length_mean'], 'crash_rate': result['crash_rate'],
          'speed': result['speed_mean'], 'eps': count}
      rows.append({
          'step': step,
          **{f'eval_{k}': v for k, v in values.items() if v is not None},
          'time': time.monotonic() - began})
      lines = ''.join(json.dumps(row) + '\n' for row in rows)
      files.write_text(folder / 'metrics.jsonl', lines)

    def assess(step, policy):
      """Evaluates as in the course of training."""
      seeds = range(EVAL_SEED, EVAL_SEED + config.eval_eps)
      episodes, _ = evaluate.collect(pool, policy, seeds)
      report(step, evaluate.summarize(episodes), len(episodes))
      print(
          f"{label} [{step}] return {rows[-1]['eval_return']:.2f}, "
          f"{rows[-1]['time']:.0f} s", flush=True)

    step, policy = 0, None
    if method in LEARNERS:
      step, policy = learn(method, config, assess)
    elif method == 'planner':
      policy = follow
    else:
      policy = scripted(method, config, names, pool.act_space['action'].n)
    seeds = range(
        settings['scenarios'], settings['scenarios'] + settings['episodes'])
    episodes, _ = evaluate.collect(pool, policy, seeds)
  result = evaluate.summarize(episodes)
  if not rows:
    report(step, result, len(episodes))
  content = {
      **result, 'episodes': len(episodes), 'seed': settings['scenarios'],
      'step': step, 'overrides': list(overrides),
      'per_episode': evaluate.table(episodes)}
  files.write_text(folder / 'eval.json', json.dumps(content, indent=2) + '\n')
  record = {
      **settings, 'env_steps': step, 'wall_seconds': time.monotonic() - began,
      'envs': config.envs, 'argv': list(arguments),
      'versions': _versions(method), 'machine': rundir.machine()}
  files.write_text(folder / 'record.json', json.dumps(record, indent=2) + '\n')
  crash = result['crash_rate']
  print(
      f"{label}: return {result['return_mean']:.2f} +- "
      f"{result['return_std']:.2f}"
      + ('' if crash is None else f', crash rate {100 * crash:.0f} %')
      + f', {len(episodes)} episodes. Written to {folder}', flush=True)


class Scripted:
  """Acts by the number of the episode and of the step in it alone."""

  def __init__(self, choose: Callable[[int, int], int], count: int):
    """Begins with episode 0.

    Args:
      choose: from (episode, step) to the index of an action.
      count: number of actions.
    """
    self._choose = choose
    self._one_hot = np.eye(count, dtype=np.float32)
    self._episodes = itertools.count()

  def __call__(
      self, obs: Mapping[str, np.ndarray], state: Any = None
  ) -> tuple[dict[str, np.ndarray], Any]:
    """Returns ({'action': [N, A] float32}, state) for N observations."""
    # Workers begin their episodes in this order, so that an episode gets the
    # same number with any number of workers only if it is numbered in it.
    state = list(state or [(0, 0)] * len(obs['is_first']))
    for worker, first in enumerate(obs['is_first']):
      episode, step = state[worker]
      state[worker] = (
          (next(self._episodes), 0) if first else (episode, step + 1))
    indices = [self._choose(episode, step) for episode, step in state]
    return {'action': self._one_hot[indices]}, state


def scripted(
    method: str, config: Config, names: Mapping[str, int],
    count: int) -> Scripted:
  """Returns the policy of a method that observes nothing.

  Args:
    method: random, or one of SCRIPTS.
    config: reads seed.
    names: of the actions, to their indices.
    count: number of actions.
  """
  if method == 'random':
    return Scripted(lambda episode, step: int(np.random.default_rng(
        [config.seed, episode, step]).integers(count)), count)
  script = [names[name] for name in SCRIPTS[method]]
  return Scripted(
      lambda episode, step: script[min(step, len(script) - 1)], count)


class Planner:
  """An environment whose rows hold what to do next, one-hot, in `log_plan`.

  It is computed where the environment is: in the process of each worker.
  """

  def __init__(
      self, factory: Callable[[], envs.Env], horizon: int, budget: int):
    """Makes the environment; see `plan` for the others."""
    self._env = factory()
    self._plan = functools.partial(plan, horizon=horizon, budget=budget)
    self._count = int(self._env.act_space['action'].n)
    self.act_space = self._env.act_space
    self.obs_space = {
        **self._env.obs_space,
        'log_plan': gym.spaces.Box(0, 1, (self._count,), np.float32)}
    self.fps = self._env.fps
    self.advice = self._env.advice
    self.frames = self._env.frames
    self.close = self._env.close

  def reset(self, seed: int | None = None) -> dict[str, np.ndarray]:
    return self._planned(self._env.reset(seed))

  def step(self, action: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return self._planned(self._env.step(action))

  def _planned(self, row):
    best = 0 if row['is_last'] else self._plan(self._env)
    return {**row, 'log_plan': np.eye(self._count, dtype=np.float32)[best]}


def follow(obs: Mapping[str, np.ndarray], state: Any = None):
  """The policy that does what the rows of Planner say."""
  return {'action': obs['log_plan']}, state


def plan(env: envs.Env, horizon: int, budget: int) -> int:
  """Returns the first action of the best sequence of actions.

  It tries them in deep copies of the environment, which hold the state of its
  random numbers: what is simulated is what will happen. The sequence that may
  still become the best is continued first, by each action that is available
  after it: each further reward is at most 1, so its sum of rewards is at most
  what it has by now and 1 for each step that is left. The search ends with the
  best sum of `horizon` rewards (of fewer where the episode ends before) if
  rewards are at most 1, as in highway; after `budget` simulated steps, with
  the best sum that was found.

  Args:
    env: to act in; it is not changed.
    horizon: length of the sequences.
    budget: simulated steps, over which one more continuation may go.
  """
  count = env.act_space['action'].n
  one_hot = np.eye(count, dtype=np.float32)
  order = itertools.count()  # Of equal bounds, the longer, then the earlier.
  heap = [(-horizon, 0, next(order), 0.0, None, env, False)]
  best, spent = (-math.inf, None), 0
  while True:
    _, minus_length, _, total, first, node, complete = heapq.heappop(heap)
    if complete:
      return first
    if spent >= budget:
      return best[1]
    left = horizon + minus_length - 1
    for action in available(node):
      child = copy.deepcopy(node)
      row = child.step({'action': one_hot[action]})
      spent += 1
      value = total + float(row['reward'])
      over = bool(row['is_last']) or not left
      start = action if first is None else first
      heapq.heappush(heap, (
          -value - (0 if over else left), minus_length - 1, next(order), value,
          start, child, over))
      best = max(best, (value, start), key=lambda pair: pair[0])


def available(env: envs.Env) -> Sequence[int]:
  """Returns the actions that are not without effect, as highway-env says."""
  if action_names(env):
    return plain(env).action_type.get_available_actions()
  return range(int(env.act_space['action'].n))


def action_names(env: envs.Env) -> dict[str, int]:
  """Returns the meta-actions of highway-env, name to index; or none."""
  kind = getattr(plain(env), 'action_type', None)
  return {name: index for index, name in getattr(kind, 'actions', {}).items()}


def plain(env: envs.Env) -> gym.Env:
  """Returns the environment without our interface."""
  return env._env.unwrapped


class Training(gym.Env):
  """The environment of the task, as Stable-Baselines3 wants it.

  Its scenarios are apart from those of evaluations, and follow from the seeds
  of the constructor alone.
  """

  def __init__(self, config: Config, worker: int):
    """Makes the environment.

    Args:
      config: the resolved configuration; also reads seed.
      worker: number of this environment among those that train.
    """
    self._env = evaluate.factory(config, ())()
    self._seeds = config.seed, worker
    self._episodes = itertools.count()
    self.observation_space = self._env.obs_space['vector']
    self.action_space = self._env.act_space['action']

  def reset(
      self, *, seed: int | None = None,
      options: Mapping | None = None) -> tuple[np.ndarray, dict]:
    """Begins the next episode, whatever the seed."""
    rng = np.random.default_rng([*self._seeds, next(self._episodes)])
    self.scenario = TRAIN_SEEDS + int(rng.integers(2 ** 30))
    return self._env.reset(self.scenario)['vector'], {}

  def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
    one_hot = np.eye(self.action_space.n, dtype=np.float32)[int(action)]
    row = self._env.step({'action': one_hot})
    terminal = bool(row['is_terminal'])
    return (
        row['vector'], float(row['reward']), terminal,
        bool(row['is_last']) and not terminal, {})

  def close(self) -> None:
    self._env.close()


def learn(
    method: str, config: Config,
    assess: Callable[[int, Policy], Any]) -> tuple[int, Policy]:
  """Trains with Stable-Baselines3.

  Args:
    method: one of LEARNERS.
    config: reads seed, steps and eval_every.
    assess: called with the steps so far and the greedy policy, every
      eval_every steps and at the end.

  Returns:
    Environment steps, which PPO rounds up to whole rollouts (20,000 to 20,736),
    and the policy.

  Raises:
    EnvError: the process of an environment died.
  """
  sb3 = importlib.import_module('stable_baselines3')
  vec = importlib.import_module('stable_baselines3.common.vec_env')
  settings = dict(LEARNERS[method])
  factories = [
      functools.partial(Training, config, worker)
      for worker in range(settings.pop('envs'))]
  kind = vec.DummyVecEnv if len(factories) == 1 else vec.SubprocVecEnv
  due = every = config.eval_every

  def between(variables, names):
    nonlocal due
    if every and due <= model.num_timesteps < config.steps:
      due += every
      assess(model.num_timesteps, greedy(model))
    return True

  try:
    env = kind(factories)
    # The networks are too small for a GPU.
    model = getattr(sb3, method.upper())(
        'MlpPolicy', env, seed=config.seed, device='cpu', **settings)
    model.learn(config.steps, callback=between)
    env.close()
  except (EOFError, ConnectionError) as error:
    # Not closed: that would wait for the dead. The others end with us.
    raise errors.EnvError(
        f"The process of an environment of '{method}' ended. Unless it was "
        'killed, as when memory runs out, its last lines say why.') from error
  policy = greedy(model)
  assess(model.num_timesteps, policy)
  return model.num_timesteps, policy


def greedy(model: Any) -> Policy:
  """Returns the policy of a model of Stable-Baselines3 without exploration."""
  one_hot = np.eye(model.action_space.n, dtype=np.float32)

  def policy(obs, state=None):
    indices, _ = model.predict(obs['vector'], deterministic=True)
    return {'action': one_hot[indices]}, state

  return policy


def _versions(method):
  names = ('stable-baselines3', 'torch') if method in LEARNERS else ()
  return {
      **rundir.versions(),
      **{name: importlib.metadata.version(name) for name in names}}


def _help():
  lines = [
      'usage: python scripts/baselines.py METHOD ... [--KEY VALUE] '
      '[--env.config.KEY VALUE] ...', '', *__doc__.splitlines(), '', 'Methods:']
  lines += [configlib.entry(name, text) for name, text in METHODS.items()]
  lines += ['', 'Flags and their values if not given:']
  lines += configlib.entries(FLAGS)
  lines += ['', 'Keys of `dreamerv2 --help`:']
  lines += [f'  --{name} {value}' for name, value in KEYS.items()]
  return '\n'.join(lines)


if __name__ == '__main__':
  sys.exit(main())
