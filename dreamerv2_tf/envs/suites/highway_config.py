"""The configuration of highway-env, checked before it is used."""

from collections.abc import Mapping
import dis
import inspect
from typing import Any

import numpy as np

from ...errors import ConfigError
from ...schema import suggest
from .common import to_plain

# Name in the config: class in highway_env.envs.common.observation or .action.
OBSERVATIONS = {
    'Kinematics': 'KinematicObservation',
    'TimeToCollision': 'TimeToCollisionObservation',
    'OccupancyGrid': 'OccupancyGridObservation',
    'KinematicsGoal': 'KinematicsGoalObservation',
    **{name: name for name in (
        'GrayscaleObservation', 'AttributesObservation',
        'MultiAgentObservation', 'TupleObservation', 'LidarObservation',
        'ExitObservation')},
}
ACTIONS = {name: name for name in (
    'DiscreteMetaAction', 'DiscreteAction', 'ContinuousAction',
    'MultiAgentAction')}


def merge(
    defaults: Mapping[str, Any], overrides: Mapping[str, Any],
    path: str = 'env.config') -> dict[str, Any]:
  """Merges nested dicts; refuses keys that highway-env would not read.

  An observation or action of another type replaces the default one whole.

  Args:
    defaults: configuration of the environment.
    overrides: what to change; lists may be tuples.
    path: where in the configuration, for messages.

  Raises:
    ConfigError: unknown key or type, missing key, or wrong kind of value.
  """
  result = dict(defaults)
  for key, value in overrides.items():
    here = f'{path}.{key}'
    if key not in defaults:
      raise ConfigError(
          f"'{here}' is not a key of this environment."
          f'{suggest(key, defaults)} Known keys: '
          f"{', '.join(sorted(defaults))}.")
    if isinstance(defaults[key], Mapping):
      if not isinstance(value, Mapping):
        raise ConfigError(
            f"'{here}' must be a group of keys but is {value!r}.")
      if path == 'env.config' and key in ('observation', 'action'):
        result[key] = _typed(defaults[key], value, here)
      else:
        result[key] = merge(defaults[key], value, here)
    else:
      _check_kind(defaults[key], value, here)
      result[key] = to_plain(value)
  return result


def check_frequencies(config: Mapping[str, Any]) -> None:
  """Refuses frequencies with which highway-env would simulate wrongly.

  It simulates simulation_frequency // policy_frequency instants per step: none
  if the policy is faster, and too few if the quotient is not whole.

  Raises:
    ConfigError: with the nearest frequencies that work.
  """
  simulation = config['simulation_frequency']
  policy = config['policy_frequency']
  if policy > 0 and simulation > 0:
    count = round(simulation / policy)
    exact = abs(simulation / policy - count) < 1e-9
    if count >= 1 and exact and int(simulation // policy) == count:
      return
    advice = max(1, count) * policy
  else:
    advice = 'a multiple of it, both above 0'
  raise ConfigError(
      f'env.config.policy_frequency {policy} Hz must divide '
      f'env.config.simulation_frequency {simulation} Hz, or the world stands '
      f'still or loses time. Set simulation_frequency to {advice}.')


def _typed(default, given, path):
  """Merges an observation or action dict, of the default type or another."""
  from highway_env.envs.common import action, observation
  if path.endswith('.observation'):
    known, module = OBSERVATIONS, observation
  else:
    known, module = ACTIONS, action
  name = given.get('type', default['type'])
  if name not in known:
    raise ConfigError(
        f"'{path}.type' can not be {name!r}.{suggest(str(name), known)} Known "
        f"types: {', '.join(known)}.")
  cls = getattr(module, known[name])
  accepted = _parameters(cls)
  base = dict(default) if name == default['type'] else {}
  keys = {'type', *accepted, *base}
  for key, value in given.items():
    if key not in keys:
      raise ConfigError(
          f"'{path}.{key}' is not a key of type {name}.{suggest(key, keys)} "
          f"Known keys: {', '.join(sorted(keys))}.")
    if isinstance(base.get(key), Mapping) and isinstance(value, Mapping):
      base[key] = {**base[key], **to_plain(value)}
    else:
      _check_kind(base.get(key, accepted.get(key)), value, f'{path}.{key}')
      base[key] = to_plain(value)
  base['type'] = name
  missing = [key for key, value in accepted.items() if
             value is inspect.Parameter.empty and key not in base]
  if missing:
    raise ConfigError(
        f"'{path}' of type {name} also needs {', '.join(missing)}.")
  _check_features(cls, base, path)
  if 'observation_shape' in base:
    base['observation_shape'] = _image_shape(base['observation_shape'], path)
  return base


def _check_features(cls, config, path):
  """Refuses ranges of features that are not observed."""
  ranges = config.get('features_range') or {}
  features = list(config.get('features') or getattr(cls, 'FEATURES', ranges))
  if config['type'] == 'OccupancyGrid':
    features += ['x', 'y']  # Ranges only: where the cells are.
  for key in ranges:
    if key not in features:
      raise ConfigError(
          f"'{path}.features_range.{key}' is no feature."
          f"{suggest(key, features)} Features: {', '.join(features)}.")


def _image_shape(shape, path):
  """Returns [width, height] as a tuple: a list fails in highway-env."""
  if not isinstance(shape, list | tuple) or len(shape) != 2 or not all(
      isinstance(size, int) and size > 0 for size in shape):
    raise ConfigError(
        f"'{path}.observation_shape' must be [width, height] in pixels but "
        f'is {shape!r}.')
  return tuple(shape)


def parameters(kind: str) -> dict[str, Any]:
  """Returns the arguments of an observation type and their defaults."""
  from highway_env.envs.common import observation
  cls = getattr(observation, OBSERVATIONS[kind])
  result = _parameters(cls)
  if result.get('features', 0) is None:
    result['features'] = cls.FEATURES
  return result


def _parameters(cls):
  """Keyword arguments that the constructor reads, with their defaults."""
  result = {}
  for base in cls.__mro__:
    init = base.__dict__.get('__init__')
    if not inspect.isfunction(init):
      continue
    rest = None
    for param in inspect.signature(init).parameters.values():
      if param.kind is param.VAR_KEYWORD:
        rest = param.name
      elif param.name not in ('self', 'env'):
        result.setdefault(param.name, param.default)
    # Most constructors swallow other arguments, few pass them on.
    if rest is None or not any(
        op.argval == rest for op in dis.get_instructions(init)):
      break
  return result


def _check_kind(default, value, path):
  """Refuses a value of another kind than the default, where that is known."""
  kinds = [
      (bool, (bool, np.bool_), 'true or false'),
      (int | float, (int, float, np.number), 'a number'),
      (str, str, 'a text'),
      (list | tuple | np.ndarray, (list, tuple), 'a list')]
  if value is None or inspect.isclass(default):
    return
  for kind, accepted, text in kinds:
    if isinstance(default, kind):
      wrong = not isinstance(value, accepted) or (
          isinstance(value, bool) and kind is not bool)
      if wrong:
        raise ConfigError(f"'{path}' must be {text} but is {value!r}.")
      return
