"""The Python interface: load a trained agent, train in any environment."""

from collections.abc import Callable, Sequence
import copy
import functools
import inspect
import pathlib

import gymnasium as gym

from . import envs, pretrained
from .agent import Agent
from .config import Config, resolve
from .dreams import show
from .dreams.numbers import Scene
from .errors import ConfigError
from .report import movie
from .run import environments, loading
from .run import train as training
from .run import trust as trustlib


def load(
    logdir: str, checkpoint: str = 'latest',
    env: gym.Env | None = None, overrides: Sequence[str] = (),
    trust: bool = False) -> Agent:
  """Loads a trained agent; its `act` takes plain Gymnasium observations.

  Args:
    logdir: run folder, or the name of an agent that comes with this package,
      such as highway_kinematics. A folder of that name, where this runs, goes
      first.
    checkpoint: latest, best or a step.
    env: an environment with the spaces of the training, if the run was
      trained in one that has no task name; it is reset and stepped once.
    overrides: command line words that change the run's configuration, such
      as `['--eval_lookahead.depth', '2']`.
    trust: run code of the modules that the settings of the run name. Those
      that you have used in training here or imported need no such word.

  Raises:
    ConfigError: there is no run or agent, it names code that you do not know,
      or wrong overrides.
    StateError: no such checkpoint, or it does not fit the environment.
    EnvError: the environment can not be built.
  """
  folder = pretrained.locate(logdir)
  if env is not None and (folder / 'config.yaml').is_file():
    config = Config.load(folder / 'config.yaml')
    env = envs.wrap(env, **config.taken_by(envs.wrap))
  agent, _, _ = loading.load_agent(
      folder, checkpoint, overrides, env, trust)
  return agent


def train(
    env: gym.Env | Callable[[], gym.Env] | str,
    config: Config | None = None) -> Agent:
  """Trains and returns the agent; a second call with its logdir goes on.

  Args:
    env: an environment (each worker gets a copy), a function that makes one,
      or a task name such as highway_highway-fast-v0.
    config: from `dreamerv2_tf.resolve`; its logdir must be set.

  Raises:
    ConfigError: logdir is missing, or the configuration is wrong.
    DreamerError: see the errors of `dreamerv2 train`.
  """
  config = config or resolve([], [])
  if not config.logdir:
    raise ConfigError(
        'train needs a folder for the run: config.update({"logdir": ...}).')
  factory = None
  if isinstance(env, str):
    config = config.update({'task': env})
    trustlib.remember(config)
  else:
    config = config.update({'task': environments.CUSTOM})
    factory = _Factory(env, config)
  training.run(config, factory=factory)
  sample = factory() if factory else None
  folder = pathlib.Path(config.logdir).expanduser()
  agent, _, _ = loading.load_agent(folder, env=sample, trust=True)
  if sample:
    sample.close()
  return agent


def dream(
    logdir: str, actions: Sequence[str] = (), checkpoint: str = 'latest', *,
    seeds: Sequence[int] = (10_000,), starts: Sequence[int] = (0,),
    context: int = 5, length: int = 15, look: int = 0, samples: int = 16,
    video: str = '', npz: str = '', overrides: Sequence[str] = (),
    trust: bool = False) -> list[Scene]:
  """Dreams of what would happen, beside what did, as `dreamerv2 dream` does.

  Args:
    logdir, checkpoint, overrides, trust: see `load`.
    actions: sequences of actions, such as 'FASTER,FASTER,LANE_LEFT', whose last
      one goes on; none: each action by itself. What was done comes first.
    seeds: scenarios, which the agent drives.
    starts: steps of an episode at which scenes begin.
    context: observations that the model sees before it dreams.
    length: steps that it dreams; 0: to the end of the episode.
    look: steps of a dream until it sees one again; 0: it does not.
    samples: dreams of each sequence.
    video: GIF or MP4 to write; empty: none.
    npz: file to write with all numbers; empty: none.

  Raises:
    ConfigError: no run there, wrong actions, or too short episodes.
    StateError, EnvError, StorageError: see `load`, or a file can not be
      written.
  """
  folder = pretrained.locate(logdir)
  if video:
    movie.check(video, 'video')
  show.check_checkpoint(folder, checkpoint)
  config = resolve((), overrides, Config.load(folder / 'config.yaml'))
  env = show.make_env(folder, config, trust)
  choices = show.choose(actions, env, look)
  agent, config, step = loading.load_agent(
      folder, checkpoint, overrides, env, trust=True)
  scenes = list(show.dream(
      agent, env, config, choices, seeds=seeds, starts=starts, context=context,
      length=length, look=look, samples=samples))
  show.write(
      scenes, show.mean(agent, env, config), f'{folder.name}, step {step}',
      video=video, npz=npz)
  return scenes


def _check_environment(env):
  """Refuses what can not give environments."""
  if isinstance(env, gym.Env):
    return
  takes = (
      'train takes an environment (gymnasium.Env), a function without '
      'arguments that makes one, or a task name such as gym_CartPole-v1')
  if not callable(env):
    try:
      envs.check(env)
    except ConfigError as error:
      raise ConfigError(f'{takes}. {error}') from None
  try:
    inspect.signature(env).bind()
  except TypeError as error:
    raise ConfigError(
        f'{takes}; this function can not be called so: {error}. Write lambda: '
        'f(...).') from None
  except ValueError:
    pass  # Nothing is known of some functions.
  if isinstance(env, type) and not issubclass(env, gym.Env):
    raise ConfigError(
        f'{takes}; got the class {env.__module__}.{env.__qualname__}, whose '
        'objects are none. If it has the API of old Gym, wrap it, for example '
        'with shimmy.')


class _Factory:
  """Makes wrapped copies of an environment, here or in a worker."""

  def __init__(self, env, config):
    _check_environment(env)
    self._make = env
    self._settings = config.taken_by(envs.wrap)
    if isinstance(env, gym.Env):
      self._make = functools.partial(copy.deepcopy, env)
      try:
        self._make()
      except Exception as error:
        raise ConfigError(
            f'The environment can not be copied into the workers: {error}. '
            'Pass a function that makes it.') from error

  def __call__(self) -> envs.Env:
    return envs.wrap(self._make(), **self._settings)
