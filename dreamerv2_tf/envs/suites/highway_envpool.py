"""The highways of highway-env as EnvPool simulates them, for training.

EnvPool has the same world in C++, some hundred times faster. Scenario k is
another one there, so what is reported comes from highway-env itself.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import ConfigError
from ..env import Env
from . import highway, highway_config
from .common import to_plain
from .instances import Instances, known

# Returns, crashes, speeds and pictures agree here with those of highway-env.
# Under its other ids EnvPool has other worlds: the same crossing, but every
# episode with nearly the same cars, for example.
IDS = ('highway-fast-v0', 'highway-v0')

INSTEAD = '--env.simulator highway-env --envs 2 --envs_parallel process'

# Keys of highway-env, and the options of EnvPool that their values become.
OPTIONS = {
    **{key: (key,) for key in (
        'simulation_frequency', 'policy_frequency', 'screen_width',
        'screen_height', 'scaling', 'lanes_count', 'vehicles_count',
        'initial_lane_id', 'duration', 'ego_spacing', 'vehicles_density',
        'collision_reward', 'right_lane_reward', 'high_speed_reward',
        'lane_change_reward', 'normalize_reward', 'offroad_terminal')},
    'reward_speed_range': ('reward_speed_low', 'reward_speed_high'),
    'centering_position': ('centering_position_x', 'centering_position_y')}


def make(
    name: str, overrides: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False, smooth: bool = False,
    **options: Any) -> Env:
  """Makes an environment with the spaces of `highway.make`.

  Args:
    name: id, one of IDS.
    overrides: merged deeply into the configuration of highway-env.
    scale: factor for float observations, see `highway.make`.
    render: collect frames, one per decision.
    smooth: no difference here.
    **options: `action_repeat` and `time_limit` of Env.

  Raises:
    ConfigError: EnvPool is not installed, or lacks the id or a key; or what
      `highway.make` refuses.
    EnvError: the environment fails.
  """
  plain: Any = highway.configured(name, overrides)
  if name not in IDS:
    raise ConfigError(
        f"EnvPool does not simulate 'highway_{name}' as highway-env does, only "
        f"{' and '.join(IDS)}. Give {INSTEAD}.")
  known(INSTEAD)
  import envpool
  config = plain.unwrapped.config
  settings = translate(
      config, type(plain.unwrapped).default_config(),
      envpool.make_spec(name).config._asdict())
  try:
    envpool.make_spec(name, **settings)
  except (TypeError, ValueError) as error:
    raise ConfigError(
        f'EnvPool refuses env.config {to_plain(overrides)}: {error}.') from None
  env = Highway(
      name, settings, plain.observation_space, plain.action_space, render=True)
  env.weights = config['observation'].get('weights')
  env.metadata = {**env.metadata, 'render_fps': config['policy_frequency']}
  result = highway.wrapped(
      env, name, plain, scale=scale, render=render, logs={
          'log_crashed': lambda env: env.crashed,
          'log_speed': lambda env: env.speed}, **options)
  plain.close()
  result.own_random = True  # The seed of each instance.
  return result


def translate(
    config: Mapping[str, Any], defaults: Mapping[str, Any],
    options: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the options of EnvPool for a configuration of highway-env.

  Args:
    config: complete, checked by `highway_config.merge`.
    defaults: configuration of the id.
    options: of EnvPool, and their defaults.

  Raises:
    ConfigError: a key that EnvPool lacks has not its default.
  """
  result = {}
  for key, value in config.items():
    here = f'env.config.{key}'
    if key == 'observation':
      continue
    if key in OPTIONS:
      values = value if isinstance(defaults[key], list) else [value]
      if len(values) != len(OPTIONS[key]):
        raise ConfigError(
            f"'{here}' must be {len(OPTIONS[key])} numbers but is {value!r}.")
      for option, part in zip(OPTIONS[key], values):
        result[option] = _to_option(part, options[option], here)
    elif key != 'offscreen_rendering' and to_plain(value) != to_plain(
        defaults[key]):
      raise _not_in_envpool(here)
  return {**result, **_observation(config, result)}


class Highway(Instances):
  """One car in EnvPool: observes and acts as in highway-env.

  An instance costs 0.3 ms.

  Attributes:
    crashed: bool; speed: float, m/s: of the own car, after the last step.
    weights: of red, green and blue in the gray observation; None observes the
      vehicles.
  """

  crashed = False
  speed = 0.0
  weights: Sequence[float] | None = None

  def _observe(self, obs, info):
    self.crashed = bool(info['crashed'][0])
    self.speed = float(info['speed'][0])
    if self.weights is None:
      return obs[0]
    picture = np.dot(self.render().swapaxes(0, 1), self.weights)
    return picture.clip(0, 255).astype(np.uint8)[None]

  def _over(self, info):
    # EnvPool tells a crash at the time limit as truncated alone.
    return self.crashed


def _observation(config, settings):
  """Returns the options that decide what is observed."""
  given = config['observation']
  here = 'env.config.observation'
  usual = highway_config.parameters(given['type'])
  if given['type'] == 'GrayscaleObservation':
    if given['stack_size'] != 1:
      raise ConfigError(
          f"'{here}.stack_size' must be 1 with env.simulator envpool but is "
          f"{given['stack_size']}.")
    width, height = given['observation_shape']
    center = given.get('centering_position') or config['centering_position']
    return {
        'screen_width': width, 'screen_height': height,
        'scaling': float(given.get('scaling') or settings['scaling']),
        'centering_position_x': float(center[0]),
        'centering_position_y': float(center[1])}
  if given['type'] != 'Kinematics':
    raise _not_in_envpool(f'{here}.type')
  for key, value in given.items():
    if key not in ('type', 'vehicles_count') and (
        to_plain(value) != to_plain(usual[key])):
      raise _not_in_envpool(f'{here}.{key}')
  return {'observation_vehicles_count': given.get(
      'vehicles_count', usual['vehicles_count'])}


def _to_option(value, default, path):
  """Returns a value in the type of an option."""
  if value is None and path == 'env.config.initial_lane_id':
    return -1
  kind = type(default)
  if value is None or kind is not bool and kind(value) != value:
    raise ConfigError(
        f"'{path}' must be a whole number with env.simulator envpool but is "
        f'{value!r}.')
  return kind(value)


def _not_in_envpool(path):
  return ConfigError(
      f"'{path}' can not be changed with env.simulator envpool: EnvPool has "
      f'only its default. Leave it out, or give {INSTEAD}.')
