"""The Python interface: load a trained agent, train in any environment.

`import dreamerv2_tf.api as dv2` has all names, as with the original.
"""

from collections.abc import Callable, Sequence
import copy
import functools
import inspect
import os
import pathlib
import signal
import sys
from typing import Any

import gymnasium as gym

from . import config as configlib
from . import envs, pretrained
from .agent import Agent
from .config import Config, resolve
from .errors import ConfigError, Interrupted, StorageError, plainly
from .evaluation import Scores, evaluate
from .run import environments, events, loading
from .run import export as exporting
from .run import train as training
from .run import trust as trustlib
from .run.events import Callback, Event

__all__ = [
    'Callback', 'Config', 'Event', 'Scores', 'evaluate', 'export', 'load',
    'resolve', 'train']


def __getattr__(name: str) -> Any:
  if name in ('configs', 'defaults'):
    return getattr(configlib, name)
  raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


@plainly
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
  return _load(pretrained.locate(logdir), checkpoint, env, overrides, trust)[0]


def _load(folder, checkpoint, env, overrides, trust):
  """Returns the agent, its configuration and its step."""
  if env is not None and (folder / 'config.yaml').is_file():
    config = Config.load(folder / 'config.yaml')
    env = envs.wrap(env, **config.taken_by(envs.wrap))
  return loading.load_agent(folder, checkpoint, overrides, env, trust)


@plainly
def export(
    logdir: str | os.PathLike, folder: str | os.PathLike,
    checkpoint: str = 'latest', *, env: gym.Env | None = None,
    name: str | None = None, scores: Scores | None = None,
    dtype: str = 'float16', trust: bool = False) -> pathlib.Path:
  """Writes a folder with the agent of a run, small, to copy or to publish.

  It holds settings, weights without optimizer, and a model card; `load` takes
  it wherever it lies.

  Args:
    logdir, checkpoint, env, trust: see `load`.
    folder: where to write; new or empty.
    name: of the agent in the card; None: that of the folder.
    scores: of `evaluate`, for the card; None: of the evaluation of this
      checkpoint in the run folder that has the most episodes, if there is one.
    dtype: type in which weights are stored, or float32.

  Returns:
    The folder.

  Raises:
    ConfigError: see `load`; the folder is not empty.
    StateError, EnvError: see `load`.
    StorageError: the folder can not be written.
  """
  if scores is not None and not isinstance(scores, Scores):
    raise ConfigError(
        f'scores must be what evaluate returns, but is {scores!r:.80}.')
  source = pretrained.locate(logdir)
  target = pathlib.Path(folder).expanduser().absolute()
  agent, config, step = _load(source, checkpoint, env, (), trust)
  record = scores.record if scores else exporting.find_record(source, step)
  try:
    exporting.write(
        target, agent, config, step, name=name or target.name, record=record,
        dtype=dtype)
  except OSError as error:
    raise StorageError(f'Can not write {target}: {error.strerror}.') from error
  return target


@plainly
def train(
    env: gym.Env | Callable[[], gym.Env] | str,
    config: Config | None = None,
    callbacks: Sequence[Callable[[Event], Any]] = (),
    source: str | os.PathLike = '') -> Agent:
  """Trains and returns the agent; a second call with its logdir goes on.

  Ctrl-C ends it once the state is saved, as KeyboardInterrupt, and SIGTERM as
  SystemExit with status 75; the same call then goes on.

  Args:
    env: an environment (each worker gets a copy), a function that makes one,
      or a task name such as highway_highway-fast-v0.
    config: from `resolve` or `defaults`; its logdir must be set.
    callbacks: functions that take an Event, or objects of a class derived
      from Callback; called in this process.
    source: folder of episodes of another program, with which a new run
      begins, as `--import` does.

  Raises:
    ConfigError: logdir is missing, or the configuration is wrong.
    DreamerError: see the errors of `dreamerv2 train`.
    Whatever a callback raises, once the state is saved.
  """
  config = config or resolve([], [])
  configlib.check(config)
  events.check(callbacks)
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
  try:
    training.run(
        config, factory=factory, callbacks=callbacks,
        source=os.path.expanduser(source))
  except Interrupted as error:
    raise _asked_to_stop(error) from None
  sample = factory() if factory else None
  folder = pathlib.Path(config.logdir).expanduser()
  agent, _, _ = loading.load_agent(folder, env=sample, trust=True)
  if sample:
    sample.close()
  return agent


def _asked_to_stop(error):
  """Returns what Python raises where the run says that it was interrupted."""
  if error.exit_code == 128 + signal.SIGINT:
    return KeyboardInterrupt(str(error))
  print(error, file=sys.stderr)
  return SystemExit(error.exit_code)


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
