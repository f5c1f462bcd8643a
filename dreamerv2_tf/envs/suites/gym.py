"""Registered environments of Gymnasium."""

from collections.abc import Container, Mapping, Sequence
import importlib
import inspect
from typing import Any
import warnings

import gymnasium as gym

from ...errors import ConfigError, DreamerError, EnvError, brief
from ...schema import suggest
from ..env import Env
from ..observations import Adapter
from .common import missing, nearest, to_plain


def make(
    name: str, kwargs: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False, **options: Any) -> Env:
  """Makes a registered Gymnasium environment, `Id-v0` or `module:Id-v0`.

  Args:
    name: id of the environment.
    kwargs: arguments of its constructor.
    scale: factor for float observations, see Adapter.
    render: collect frames, see Env.
    **options: `action_repeat` and `time_limit` of Env.

  Raises:
    ConfigError: unknown id or argument, or a space that is not supported.
    EnvError: the environment can not be built or breaks the API.
  """
  kwargs = to_plain(kwargs)
  if render:
    kwargs = {**kwargs, 'render_mode': 'rgb_array'}
  task = f'gym_{name}'
  module, _, name = name.rpartition(':')
  try:
    if module:
      _import(task, module)  # It registers its environments.
    with warnings.catch_warnings():
      # Gymnasium's words about what can not render; ours follow.
      warnings.filterwarnings('ignore', r'[\s\S]*render_mode', UserWarning)
      env = gym.make(name, disable_env_checker=True, **kwargs)
  except DreamerError:
    raise
  except ModuleNotFoundError as error:
    raise missing(task, error) from None
  except gym.error.DependencyNotInstalled as error:
    why = ' '.join(str(error).split())
    raise EnvError(f"Environment '{task}' needs a package: {why}") from None
  except (gym.error.UnregisteredEnv, gym.error.DeprecatedEnv) as error:
    raise _unknown(task, name, error) from None
  except (Exception, SystemExit) as error:
    _check_arguments(task, name, kwargs)
    raise EnvError(
        f"Environment '{task}' can not be built: {brief(error)}") from error
  if type(env.unwrapped).__module__.startswith('highway_env.'):
    env.close()
    raise ConfigError(
        f"Write the task as 'highway_{name}', which knows its image layout.")
  modes = env.metadata.get('render_modes') or ['rgb_array']
  if render and (env.render_mode != 'rgb_array' or 'rgb_array' not in modes):
    raise _blind(task)
  return Env(
      env, task, Adapter(env.observation_space, scale=scale),
      render=render, **options)


def _blind(task):
  return ConfigError(
      f"Environment '{task}' can not render pictures (rgb_array), so that it "
      'can not be filmed.')


def _unknown(task, name, error):
  why = str(error).split(' Did you mean')[0]
  advice = nearest(task, name, gym.registry)
  if name.startswith('ALE/'):
    advice = ' Write Atari as atari_<game>, such as atari_pong.'
  return ConfigError(f"'{task}' is not a known task: {why}{advice}")


def _import(task, module):
  """Imports a module that the task names; says why if that fails."""
  try:
    importlib.import_module(module)
  except ModuleNotFoundError as error:
    if error.name and (module + '.').startswith(error.name + '.'):
      raise ConfigError(
          f"Environment '{task}' needs the module '{error.name}', which can "
          'not be imported. Install it or add its folder to PYTHONPATH.'
      ) from None
    raise
  except (Exception, SystemExit) as error:
    raise EnvError(
        f"Environment '{task}': the module '{module}' can not be imported: "
        f'{brief(error)}') from error


def _check_arguments(task, name, kwargs):
  """Refuses arguments that the constructor, if it is there, does not name."""
  try:
    creator = gym.spec(name).entry_point
    if isinstance(creator, str):
      creator = gym.envs.registration.load_env_creator(creator)
    params = inspect.signature(creator).parameters
  except Exception:  # Whatever a module raises while it is imported.
    return
  if any(param.kind is param.VAR_KEYWORD for param in params.values()):
    return
  for key in kwargs:
    if key == 'render_mode' and key not in params:
      raise _blind(task)
    if key not in params:
      raise ConfigError(
          f"'env.config.{key}' is not an argument of environment '{task}'."
          f"{suggest(key, params)} Known arguments: {', '.join(params)}.")
