"""The highways of highway-env as EnvPool simulates them, for training.

EnvPool has the same world in C++, some hundred times faster. Scenario k is
another one there, so what is reported comes from highway-env itself.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from ...errors import ConfigError
from ..env import Env
from . import highway, highway_config
from .common import to_plain

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
  try:
    import envpool
  except ImportError as error:
    raise ConfigError(
        f'env.simulator is envpool, but that package can not be used: {error}. '
        f'Run pip install envpool, or give {INSTEAD}.'
    ) from None
  config = plain.unwrapped.config
  known = envpool.make_spec(name).config._asdict()
  defaults = type(plain.unwrapped).default_config()
  settings = translate(config, defaults, known)
  try:
    envpool.make_spec(name, **settings)
  except (TypeError, ValueError) as error:
    raise ConfigError(
        f'EnvPool refuses env.config {to_plain(overrides)}: {error}.') from None
  env = Highway(
      name, settings, plain.observation_space, plain.action_space,
      config['observation'].get('weights'))
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
    known: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the options of EnvPool for a configuration of highway-env.

  Args:
    config: complete, checked by `highway_config.merge`.
    defaults: configuration of the id.
    known: options of EnvPool and their defaults.

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
        result[option] = _to_option(part, known[option], here)
    elif key != 'offscreen_rendering' and to_plain(value) != to_plain(
        defaults[key]):
      raise _not_in_envpool(here)
  return {**result, **_observation(config, result)}


class Highway(gym.Env):
  """One car in EnvPool: observes and acts as in highway-env.

  Each episode has an instance of its own, made in `reset`, so the seed alone
  decides it. That costs 0.3 ms.

  Attributes:
    crashed: bool; speed: float, m/s: of the own car, after the last step.
  """

  metadata = {'render_modes': ['rgb_array']}
  render_mode = 'rgb_array'

  def __init__(
      self, name: str, settings: Mapping[str, Any],
      observation_space: gym.Space, action_space: gym.Space,
      weights: Sequence[float] | None = None):
    """Simulates nothing yet.

    Args:
      name: id.
      settings: options of EnvPool.
      observation_space, action_space: of highway-env.
      weights: of red, green and blue in the gray observation; None observes
        the vehicles.
    """
    self.observation_space = observation_space
    self.action_space = action_space
    self.crashed = False
    self.speed = 0.0
    self._name = name
    self._settings = dict(settings)
    self._weights = weights
    self._pool: Any = None

  def reset(
      self, *, seed: int | None = None,
      options: dict | None = None) -> tuple[np.ndarray, dict]:
    """Begins the scenario of the seed; a drawn one without.

    Returns:
      The observation, [vehicles, features] float32 or [1, W, H] uint8, and
      nothing more.
    """
    import envpool
    if seed is None:
      super().reset()
      seed = int(self.np_random.integers(2 ** 31))
    self._pool = envpool.make_gymnasium(
        self._name, num_envs=1, num_threads=1, seed=seed % 2 ** 31,
        render_mode=self.render_mode, **self._settings)
    obs, info = self._pool.reset()
    return self._take(obs, info), {}

  def step(
      self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
    """Acts for one decision; not allowed after the end of an episode."""
    obs, reward, terminated, truncated, info = self._pool.step(
        np.array([action], np.int32))
    obs = self._take(obs, info)
    # EnvPool tells a crash at the time limit as truncated alone.
    terminated = bool(terminated[0]) or self.crashed
    return obs, float(reward[0]), terminated, bool(truncated[0]), {}

  def render(self) -> np.ndarray:
    """Returns the screen, [H, W, 3] uint8; only after a reset."""
    assert self._pool is not None, 'EnvPool crashes without a reset.'
    return self._pool.render()[0]

  def close(self) -> None:
    """Lets the instance go."""
    self._pool = None

  def _take(self, obs, info):
    self.crashed = bool(info['crashed'][0])
    self.speed = float(info['speed'][0])
    if self._weights is None:
      return obs[0]
    picture = np.dot(self.render().swapaxes(0, 1), self._weights)
    return picture.clip(0, 255).astype(np.uint8)[None]


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
