"""Trains and evaluates what one would take instead of DreamerV2.

The episodes of an evaluation, their scenarios, and the way they are run and
summed up are those of `dreamerv2 eval`. Each method writes a folder
OUTDIR/TASK/METHOD, of those that learn with steps or minutes, and with -SEED if
it has one: `eval.json`, the final evaluation in the format of `dreamerv2 eval`;
`metrics.jsonl`, the scores on the scenarios of evaluations within training;
and, last, `record.json`: settings, seconds of training, versions, machine. A
folder that has it is not run again. What was interrupted starts over, but
simulator_planner goes on after the last complete episode.
"""

from collections.abc import Mapping, Sequence
import itertools
import math
import pathlib
import sys
from typing import Any

import baselines_learners as learners
import baselines_lookahead as lookahead
import baselines_planner as planner
from baselines_run import PLANNERS, run
import baselines_scripted as scripts
import command
import gymnasium as gym

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs, errors, files, flags, helptext
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.run import environments, rundir
from dreamerv2_tf.schema import suggest

METHODS = {
    'random': 'Random actions.',
    'idle': 'IDLE, always.',
    'faster': 'FASTER, always.',
    'slower': 'SLOWER, always.',
    'left': 'LANE_LEFT, always.',
    'right': 'LANE_RIGHT, always.',
    'right_slower': 'LANE_RIGHT three times, then SLOWER.',
    'slower_right': 'SLOWER, LANE_RIGHT twice, then SLOWER: the best such.',
    'observation_planner':
        'Extrapolates the cars that it sees, at constant speed.',
    'observation_planner_hedged': 'The same, and they may brake.',
    'simulator_planner': 'Five steps ahead in copies of the environment. Slow.',
    'dqn': "DQN of Stable-Baselines3, settings of highway-env's example.",
    'ppo': "PPO of Stable-Baselines3, settings of highway-env's example.",
}
SEEDED = ('random', *learners.LEARNERS)
CONTINUOUS = ('random', 'ppo')  # Those that steer by numbers, too.

FLAGS = {
    'outdir': ('~/logdir/baselines', 'Folder of the results.'),
    'minutes': (
        0.0, 'Of training, without evaluations, after which methods that learn '
        'end; 0: after --steps.'),
    'episodes': (100, 'Episodes of the final evaluation.'),
    'scenarios': (10_000, 'Seed of the first of them.'),
    'gamma': (
        0.0, 'Discount of methods that learn; 0: that of the example, 0.8.'),
    'fresh': (False, 'Run again what is finished.'),
}
KEYS = {  # Of the configuration, with the values without --configs.
    'task': 'highway_highway-fast-v0', 'seed': 0, 'steps': 20_000, 'envs': 2,
    'eval_every': 2500, 'eval_eps': 10, 'time_limit': 0,
}
PATIENCE = 600  # Seconds for a step with all that a planner simulates.


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the methods; returns the exit status, as the command does."""
  return command.main(
      argv, __doc__, FLAGS, _work, needs_words=True,
      usage='usage: python scripts/baselines.py METHOD ... [--configs PRESET] '
      '[--KEY VALUE] [--env.config.KEY VALUE] ...',
      before=[
          'Methods:', *(helptext.entry(*x) for x in METHODS.items()), '',
          'Flags and their values if not given:'],
      after=[
          '', 'Keys of `dreamerv2 --help`; --configs PRESET gives others, with '
          'all that the', 'preset says of the environment:',
          *(f'  --{name} {value}' for name, value in KEYS.items())])


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
  for name, least in ('episodes', 1), ('scenarios', 0), ('minutes', 0):
    if not least <= options[name] < math.inf:
      raise ConfigError(
          f"'{name}' must be at least {least} but is {options[name]}.")
  if not 0 <= options.gamma <= 1:
    raise ConfigError(f"'gamma' must lie in [0, 1] but is {options.gamma}.")
  overrides = []
  for chunk in flags.chunks(words):
    name, _ = flags.split(chunk)
    if configlib.is_open(name) or name == 'time_limit':
      overrides += chunk
    elif name not in KEYS:
      raise ConfigError(
          f"Unknown key '{name}'.{suggest(name, [*FLAGS, *KEYS])} Known keys: "
          f"{', '.join([*FLAGS, *KEYS])}, and those below env.config.")
  base = Config(configlib.presets()['defaults']).update(
      {**({} if presets else KEYS), 'env_timeout': PATIENCE})
  return methods, options, configlib.resolve(presets, words, base), overrides


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
  env = environments.factory(config, ())()
  env.close()
  discrete = isinstance(env.act_space['action'], gym.spaces.Discrete)
  names = scripts.action_names(env) if discrete else {}
  for method in methods:
    if not discrete and method not in CONTINUOUS:
      raise ConfigError(
          f"'{method}' chooses among discrete actions, but '{config.task}' has "
          f"{env.act_space['action']}. Methods for those: "
          f"{', '.join(CONTINUOUS)}.")
    for name in scripts.SCRIPTS.get(method, ()):
      if name not in names:
        raise ConfigError(
            f"'{method}' needs the action {name}, but '{config.task}' has "
            f"{', '.join(names) or 'no names for its actions'}.")
    if method in PLANNERS:
      planner.check(scripts.unwrapped(env), method, config.task)
    if method in learners.LEARNERS:
      if any(len(x.shape) > 1 for x in env.adapter.spaces.values()):
        keys = envs.signature(env.adapter.spaces, {})
        raise ConfigError(
            f"'{method}' learns from vectors, but '{config.task}' observes "
            f'{keys}.')
      try:
        learners.load()
      except ModuleNotFoundError as error:
        raise ConfigError(
            f"'{method}' needs the package '{error.name}'. Install it with: "
            "pip install '.[baselines]'") from None
  return names


def describe(method: str, options: Config, config: Config) -> dict[str, Any]:
  """Returns all that decides the results of a method, as JSON has it.

  `method` also says how long it learns: what differs there is another method.
  """
  settings = {
      'method': method, 'task': config.task,
      'env_config': config.to_dict()['env']['config'],
      'seed': config.seed if method in SEEDED else None,
      'steps': 0, 'minutes': 0.0, 'device': None,
      'episodes': options.episodes, 'scenarios': options.scenarios,
      'hyperparameters': {}}
  wrapping = _wrapping(config)
  if wrapping:
    settings['wrapping'] = wrapping
  if method in learners.LEARNERS:
    ends = (
        f'{options.minutes:g} minutes' if options.minutes else
        f'{config.steps} steps')
    settings.update({
        'method': f'{method} {ends}', 'minutes': options.minutes,
        'steps': 0 if options.minutes else config.steps,
        'eval_every': config.eval_every, 'eval_eps': config.eval_eps,
        'eval_scenarios': environments.EVAL_SEED, 'device': learners.DEVICE,
        'hyperparameters': learners.settings(method, options.gamma)})
  elif method in PLANNERS:
    settings['hyperparameters'] = planner.settings(PLANNERS[method])
  elif method == 'simulator_planner':
    settings['hyperparameters'] = lookahead.SETTINGS
  return settings


def _wrapping(config):
  """Returns what is seen and done otherwise than by default, as JSON has it.

  env.config stands by itself.
  """
  base = Config(configlib.presets()['defaults'])
  usual, given = (
      Config(x.taken_by(envs.make)).flat for x in (base, config))
  return {
      key: list(value) if isinstance(value, tuple) else value
      for key, value in given.items()
      if not key.startswith('env.config') and value != usual.get(key)}


def locate(outdir: str, settings: Mapping[str, Any]) -> pathlib.Path:
  """Returns the folder of the results of these settings."""
  name = settings['method'].replace(' ', '-')
  if settings['seed'] is not None:
    name += f"-{settings['seed']}"
  return pathlib.Path(outdir).expanduser() / settings['task'] / name


def finished(folder: pathlib.Path, settings: Mapping[str, Any]) -> bool:
  """Tells whether a folder holds the results of these settings.

  Raises:
    StateError: it holds those of others.
  """
  try:
    record = files.parse_object(files.read(folder / 'record.json'))
  except (FileNotFoundError, ValueError):
    return False
  known = {*settings, 'wrapping'} & {*settings, *record}
  diff = rundir.changed({key: record.get(key) for key in known}, settings)
  if diff:
    listing = '; '.join(
        f'{key} was {old!r}, is now {new!r}'
        for key, (old, new) in diff.items())
    raise errors.StateError(
        f'{folder} holds the results of other settings: {listing}. Add '
        '--fresh to replace them, or give another --outdir.')
  return True


def _work(arguments):
  methods, options, config, overrides = parse(arguments)
  names = check(methods, config)
  for method in methods:
    settings = describe(method, options, config)
    folder = locate(options.outdir, settings)
    with command.writing():
      if not options.fresh and finished(folder, settings):
        yield f'Finished already: {folder}'
      else:
        run(folder, settings, config, names, overrides, arguments)


if __name__ == '__main__':
  sys.exit(main())
