"""Environments of highway-env."""

from collections.abc import Callable, Container, Mapping, Sequence
import os
from typing import Any

import gymnasium as gym

from ...errors import ConfigError, EnvError
from ..env import Env
from ..observations import Adapter
from .common import imported, to_plain, unknown
from .highway_config import check_frequencies, merge


def make(
    name: str, overrides: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False, smooth: bool = False,
    **options: Any) -> Env:
  """Makes an environment of highway-env.

  Rows hold `log_crashed` (0 or 1) and `log_speed` (m/s) of the ego vehicle;
  `log_success` (0 or 1) where the environment tells that a goal is reached.

  Args:
    name: id, such as highway-fast-v0.
    overrides: merged deeply into the configuration of the environment.
    scale: factor for float observations, or one for each feature: Kinematics
      are divided by 200 m along the road, 4 m times the lanes across it, and
      80 m/s.
    render: collect frames, one for each simulated instant.
    smooth: at least 15 a second, with cars between two instants on their way.
    **options: `action_repeat` and `time_limit` of Env.

  Raises:
    ConfigError: unknown id or key, a value of the wrong kind, frequencies
      that do not divide, or several agents.
    EnvError: frames are black, or the environment fails.
  """
  env = configured(name, overrides, render)
  plain: Any = env.unwrapped
  logs = {
      'log_crashed': lambda env: env.vehicle.crashed,
      'log_speed': lambda env: env.vehicle.speed}
  if hasattr(plain, '_is_success'):
    env = goal = _Goal(env)
    logs['log_success'] = lambda _: goal.reached
  result = wrapped(
      env, name, plain, scale=scale, render=render, logs=logs, **options)
  stack = plain.config['observation'].get('stack_size', 1)
  if stack > 1:
    result.advice.append(
        f'env.config.observation.stack_size is {stack}, but after a reset only '
        'the newest frame is filled. Set it to 1: the world model remembers.')
  names = getattr(plain.action_type, 'actions', None)
  if isinstance(names, dict):
    result.about['actions'] = [
        names[i].lower().replace('_', ' ') for i in sorted(names)]
  if render:
    from .highway_camera import Camera
    camera = Camera(plain, smooth)
    result.fps, result.shots = camera.fps, camera.shots
    result.about['timed'] = True
    plain.set_record_video_wrapper(_Recorder(result))
  return result


def configured(
    name: str, overrides: Mapping[str, Any],
    render: bool | Container[int] = False) -> gym.Env:
  """Makes the plain environment of an id, with its configuration checked.

  Args:
    name: id, such as highway-fast-v0.
    overrides: merged deeply into the configuration of the environment.
    render: let it render rgb_array.

  Raises:
    ConfigError, EnvError: see `make`.
  """
  task = f'highway_{name}'
  # Registers the ids. Slow, and not for other suites.
  highway_env = imported(task, 'highway_env')
  ids = [key for key, spec in gym.registry.items() if
         str(spec.entry_point).startswith(highway_env.__name__)]
  if name not in ids:
    raise unknown(task, name, ids, 'ids of highway-env', everything=False)
  if not ({'DISPLAY', 'WAYLAND_DISPLAY'} & set(os.environ)):
    # Otherwise SDL looks for displays and complains; nothing is shown anyway.
    os.environ.setdefault('SDL_VIDEODRIVER', 'offscreen')
  env = gym.make(name, disable_env_checker=True)
  plain: Any = env.unwrapped
  config = merge(plain.config, overrides)
  check_frequencies(config)
  # Not through the constructor: some ids accept no config or render_mode.
  plain.configure(config)
  if render:
    plain.render_mode = 'rgb_array'
  try:
    env.reset(seed=0)
  except Exception as error:
    kind = ConfigError if overrides else EnvError
    raise kind(
        f"Environment '{task}' fails with env.config {to_plain(overrides)}: "
        f'{type(error).__name__}: {error}') from error
  return env


def wrapped(
    env: gym.Env, name: str, plain: Any, *, scale: float | Sequence[float],
    render: bool | Container[int], logs: Mapping[str, Callable],
    **options: Any) -> Env:
  """Puts an environment behind the dict interface and looks at its frames.

  Args:
    env: gives the observations of `plain`.
    name: id.
    plain: from `configured`; its configuration and space are read.
    scale, render: see `make`.
    logs, **options: see Env.

  Raises:
    ConfigError: a space is not supported.
    EnvError: frames are black, or the environment fails.
  """
  if isinstance(plain.observation_space, gym.spaces.Tuple):
    raise ConfigError(
        f"'highway_{name}' observes {len(plain.observation_space.spaces)} "
        'vehicles that are controlled, but this is for a single agent. Set '
        'env.config.controlled_vehicles to 1, and an env.config.observation.'
        'type for one.')
  adapter = Adapter(
      plain.observation_space, scale=scale,
      axes=(2, 1, 0),  # Plain images are [C, W, H].
      bounds=False)  # Several spaces are narrower than their observations.
  result = Env(
      env, f'highway_{name}', adapter, logs=logs, render=render, **options)
  _check_frames(result, plain.unwrapped.config, render)
  return result


class _Goal(gym.Wrapper):
  """Remembers whether the environment said that its goal is reached."""

  reached = False

  def reset(self, **kwargs):
    obs, info = self.env.reset(**kwargs)
    self.reached = bool(info.get('is_success', False))
    return obs, info

  def step(self, action):
    result = self.env.step(action)
    self.reached = bool(result[-1]['is_success'])
    return result


class _Recorder:
  """What highway-env calls at each instant between two decisions."""

  def __init__(self, env):
    self.frames_per_sec = None  # Set by highway-env, read by nobody.
    self._capture_frame = env.capture


def _check_frames(env, config, render):
  """Refuses the constant pictures of SDL's dummy driver."""
  pictures = []
  if config['observation']['type'] == 'GrayscaleObservation':
    pictures.append(env.reset(0)['image'])
  if render:
    env.reset(0)
    pictures.append(env.render())
  for picture in pictures:
    if picture.min() != picture.max():
      continue
    if os.environ.get('SDL_VIDEODRIVER') == 'dummy':
      raise EnvError(
          f"Environment '{env.name}' draws only black frames because "
          'SDL_VIDEODRIVER=dummy. Unset that variable, or set it to '
          'offscreen; no display is needed.')
    raise EnvError(
        f"Environment '{env.name}' draws a frame of the single value "
        f'{picture.min()}. Check weights, scaling and observation_shape of '
        'env.config.observation.')
