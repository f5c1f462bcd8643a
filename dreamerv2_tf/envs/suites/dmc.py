"""Tasks of the DeepMind Control Suite, from pixels or joint positions.

Code: danijar/dreamerv2 common/envs.py, DMC.
"""

from collections.abc import Container, Mapping, Sequence
import contextlib
import os
from typing import Any

import gymnasium as gym
import numpy as np

from ... import startup
from ...errors import ConfigError, EnvError, NonFiniteError, brief
from ..env import Env
from ..observations import Adapter
from .common import check_keys, missing, to_plain, unknown, unusable

# Name without the underscore -> camera, where that is not the first one.
CAMERAS = {
    'quadruped_walk': 2, 'quadruped_run': 2, 'quadruped_escape': 2,
    'quadruped_fetch': 2, 'locom_rodent_maze_forage': 1,
    'locom_rodent_two_touch': 1}
ALIASES = {'cup_catch': 'ball_in_cup_catch'}  # The original's name.
FILM = 240, 320  # Height and width of the frames of videos.

NO_PICTURES = (
    'DeepMind Control can not draw here: {}. Without a display it needs EGL '
    '(on Debian: apt install libegl1 libgl1-mesa-dri, a GPU is not needed), or '
    'MUJOCO_GL=osmesa and libosmesa6. Without pictures runs --configs '
    'dmc_proprio.')


def make(
    name: str, config: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False,
    action_repeat: int = 1, time_limit: int = 0,
    size: Sequence[int] = (64, 64), camera: int = -1,
    images: bool = True, probe: bool = False) -> Env:
  """Makes a task, such as `walker_walk`, `cup_catch` or `manip_reach_site`.

  Observations are those of the task, as vectors, and `image`, [H, W, 3] uint8.
  An episode is terminal where the discount of the task is 0; its own time
  limit only ends it.

  Args:
    name: <domain>_<task> of the suite; manip_<task> of dm_control.manipulation,
      locom_<task> of its rodents.
    config: task_kwargs and environment_kwargs of dm_control.suite.load.
    scale: factor for vectors, see Adapter.
    render: collect frames, see Env.
    action_repeat: control steps per step; only the last is drawn.
    time_limit: steps after which an episode is cut; 0: the task's own limit.
    size: height and width of the image.
    camera: number of the camera; -1: the original's for this task.
    images: draw them; without, nothing is drawn but videos and the cameras
      that are observations of a task.
    probe: only its spaces are needed: draw nothing.

  Raises:
    ConfigError: unknown task, key or camera.
    EnvError: a package is not installed, nothing can be drawn, or the
      environment fails.
  """
  task = f'dmc_{name}'
  check_keys(task, config, ['task_kwargs', 'environment_kwargs'])
  draws = images or bool(render) or name.startswith('locom_')
  if draws and not probe:
    _check_process()  # Before its renderer is loaded, which crashes, too.
  plain = _load(task, name, to_plain(config), images, draws and not probe)
  if camera < 0:
    camera = CAMERAS.get(name, 0)
  env = Control(plain, action_repeat, size if images else None, camera)
  if draws and not probe:
    _check_pictures(task, env)
  result = Env(
      env, task, Adapter(env.observation_space, scale=scale), render=render,
      time_limit=time_limit, check=not probe)
  result.alone = draws
  return result


def tasks() -> list[str]:
  """Returns the names of all tasks, as tasks have them without `dmc_`.

  Raises:
    ModuleNotFoundError: dm_control is not installed.
  """
  with _renderer(True):
    from dm_control import manipulation, suite
    from dm_control.locomotion.examples import basic_rodent_2020
  vision = [x for x in manipulation.ALL if x.endswith('_vision')]
  return sorted([
      *(f'{domain}_{task}' for domain, task in suite.ALL_TASKS), *ALIASES,
      *(f"manip_{x.removesuffix('_vision')}" for x in vision),
      *(f'locom_{x}' for x in vars(basic_rodent_2020)
        if x.startswith('rodent_'))])


class Control(gym.Env):
  """An environment of dm_control with the API of Gymnasium."""

  metadata = {'render_modes': ['rgb_array']}
  render_mode = 'rgb_array'

  def __init__(
      self, env: Any, repeat: int, size: Sequence[int] | None, camera: int):
    """Draws nothing yet.

    Args:
      env: of the suite or of the composer.
      repeat: control steps per action; rewards are summed.
      size: height and width of `image`; None: there is none.
      camera: its number.
    """
    self._env = env
    self._repeat = repeat
    self._size = size
    self._camera = camera
    spaces: dict[str, gym.Space] = {}
    if size:
      spaces['image'] = gym.spaces.Box(0, 255, (*size, 3), np.uint8)
    for key, spec in env.observation_spec().items():
      pixels = spec.dtype == np.uint8
      spaces[key] = gym.spaces.Box(
          0 if pixels else -np.inf, 255 if pixels else np.inf, spec.shape,
          np.uint8 if pixels else np.float32)
    self.observation_space = gym.spaces.Dict(spaces)
    spec = env.action_spec()
    low, high = (np.broadcast_to(x, spec.shape) for x in (
        spec.minimum, spec.maximum))
    # What has no bounds is taken as it is.
    bounded = np.isfinite(low) & np.isfinite(high)
    self.action_space = gym.spaces.Box(
        np.where(bounded, low, -1).astype(np.float32),
        np.where(bounded, high, 1).astype(np.float32))
    self.metadata = {
        **self.metadata, 'render_fps': 1 / (env.control_timestep() * repeat)}

  def reset(
      self, *, seed: int | None = None,
      options: dict | None = None) -> tuple[dict[str, Any], dict]:
    """Begins the episode of the seed; the next one without."""
    if seed is not None:
      random = getattr(self._env, 'random_state', None)  # Of the composer.
      random = random or self._env.task.random
      random.seed(seed % 2 ** 32)
    return self._observe(self._env.reset()), {}

  def step(
      self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool,
                                         dict]:
    """Acts, several times; a discount of 0 is terminal.

    Raises:
      NonFiniteError: the simulation is unstable.
    """
    from dm_control.rl.control import PhysicsError
    total = 0.0
    for _ in range(self._repeat):
      try:
        result = self._env.step(action)
      except PhysicsError as error:
        raise NonFiniteError(brief(error)) from error
      total += result.reward or 0.0
      if result.last():
        break
    terminal = result.last() and result.discount == 0
    truncated = result.last() and not terminal
    return self._observe(result), float(total), terminal, truncated, {}

  def render(self) -> np.ndarray:
    """Returns the picture of a video, [H, W, 3] uint8."""
    return self._draw(FILM)

  def close(self) -> None:
    """Frees the renderer."""
    self._env.close()

  def _observe(self, result):
    obs = dict(result.observation)
    if self._size:
      obs['image'] = self._draw(self._size)
    return obs

  def _draw(self, size):
    _check_process()
    return self._env.physics.render(*size, camera_id=self._camera)


def _check_process():
  """Refuses to draw where TensorFlow is.

  The software renderer finds the compiler, LLVM, of TensorFlow.
  """
  if startup.holds_tensorflow():
    raise ConfigError(
        'DeepMind Control draws in a process without TensorFlow only, as both '
        'together crash. Give --envs_parallel process.')


@contextlib.contextmanager
def _renderer(draws):
  """Chooses what draws, which is read while the modules are imported."""
  chosen = 'MUJOCO_GL' in os.environ
  display = {'DISPLAY', 'WAYLAND_DISPLAY'} & set(os.environ)
  if not chosen and not draws:
    os.environ['MUJOCO_GL'] = 'disabled'
  elif not chosen and not display:
    os.environ['MUJOCO_GL'] = 'egl'
  try:
    yield
  finally:
    if not chosen:
      os.environ.pop('MUJOCO_GL', None)


def _load(task, name, config, images, draws):
  """Makes an environment of dm_control."""
  try:
    with _renderer(draws):
      from dm_control import manipulation, suite
      from dm_control.locomotion.examples import basic_rodent_2020
    known = tasks()
  except ModuleNotFoundError as error:
    raise missing(task, error, extra='dmc') from None
  except Exception as error:  # Its renderer, whatever that raises.
    if not draws:
      raise unusable(task, 'dm_control', error) from error
    raise EnvError(
        f"Environment '{task}': {_no_pictures(error)}") from error
  name = ALIASES.get(name, name)
  if name not in known:
    raise unknown(task, name, known, 'tasks', everything=False)
  kind, _, rest = name.partition('_')
  if config and kind in ('manip', 'locom'):
    check_keys(task, config, [])
  try:
    if kind == 'manip':
      kind = 'vision' if images else 'features'
      return manipulation.load(f'{rest}_{kind}', seed=0)
    if kind == 'locom':
      return getattr(basic_rodent_2020, rest)(random_state=0)
    [pair] = [x for x in suite.ALL_TASKS if '_'.join(x) == name]
    # Some bodies are drawn at random when they are made.
    kwargs = {'random': 0, **config.get('task_kwargs', {})}
    return suite.load(*pair, **{**config, 'task_kwargs': kwargs})
  except (TypeError, ValueError) as error:
    if not config:
      raise
    raise ConfigError(
        f"'{task}' does not take env.config {config}: {brief(error)}"
    ) from None


def _no_pictures(error):
  return NO_PICTURES.format(brief(error).rstrip('.'))


def _check_pictures(task, env):
  """Draws once; refuses what fails and constant pictures."""
  try:
    env.reset(seed=0)
    picture = env.render()
  except ConfigError:
    raise
  except Exception as error:
    cameras = env._env.physics.model.ncam
    if env._camera >= cameras:
      raise ConfigError(
          f"'dmc_camera' is {env._camera}, but '{task}' has the cameras 0 to "
          f'{cameras - 1}; -1 is the one of the original.') from None
    raise EnvError(
        f"Environment '{task}': {_no_pictures(error)}") from error
  if picture.min() == picture.max():
    raise EnvError(
        f"Environment '{task}': "
        + NO_PICTURES.format('pictures have a single colour'))
