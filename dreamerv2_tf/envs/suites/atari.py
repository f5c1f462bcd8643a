"""Games of the Atari 2600, in the Arcade Learning Environment.

By default the protocol of the paper: sticky actions, up to 30 no-ops at the
start, the larger of the last two frames, no signal where a life is lost. A
ROM is in the package of the emulator.

Paper: arXiv 2010.02193, Section 3; arXiv 1709.06009 for the protocol.
Code: danijar/dreamerv2 common/envs.py, Atari.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from ...errors import ConfigError, EnvError, brief
from ..env import Env
from ..observations import Adapter
from .common import check_keys, imported, to_plain, unknown

# Names of the original that the emulator writes in another way. All others
# are the same in both.
IDS = {'james_bond': 'jamesbond'}
FRAMES = 108_000  # Half an hour; where no time limit is set.
HERTZ = 60.0  # Frames per second of the console.


def make(
    name: str, config: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False,
    action_repeat: int = 4, time_limit: int = 0,
    size: Sequence[int] = (64, 64), grayscale: bool = True, noops: int = 30,
    sticky: float = 0.25, full_actions: bool = False, life_done: bool = False,
    ram: bool = False) -> Env:
  """Makes a game, such as `pong`.

  The observation is `image`, [H, W, 1 or 3] uint8, and on request `ram`. The
  seed of a reset decides all chance: the number of no-ops and when actions
  stick.

  Args:
    name: of the original, such as james_bond, or of any other ROM.
    config: mode and difficulty of the game, numbers of the emulator.
    scale: ignored; there are no float observations.
    render: collect frames, see Env.
    action_repeat: frames per step; the image is the larger of the last two.
    time_limit: steps after which an episode is cut; 0: after 108,000 frames.
    size: height and width of the image.
    grayscale: one channel instead of three.
    noops: largest number of no-ops at the start, of at least one; 0: none.
    sticky: probability that a frame repeats the action of the one before.
    full_actions: all 18 actions instead of those that the game knows.
    life_done: end an episode, and terminal, when a life is lost.
    ram: also observe the memory of the console, 128 values in [0, 1].

  Raises:
    ConfigError: unknown game, key, mode or difficulty.
    EnvError: the emulator is not installed or fails.
  """
  task = f'atari_{name}'
  check_keys(task, config, ['mode', 'difficulty'])
  plain = emulator(
      task, name, config, obs_type='grayscale' if grayscale else 'rgb',
      repeat_action_probability=sticky,
      full_action_space=full_actions,
      max_num_frames_per_episode=None if time_limit else FRAMES,
      render_mode='rgb_array' if render else None)
  height, width = size
  imported(task, 'cv2', extra='atari')  # That of the next line.
  env: gym.Env = gym.wrappers.AtariPreprocessing(
      plain, noop_max=noops, frame_skip=action_repeat,
      screen_size=(width, height), terminal_on_life_loss=life_done,
      grayscale_obs=grayscale)
  if ram:
    env = _WithMemory(env)
  result = Env(
      env, task, Adapter(env.observation_space), render=render,
      time_limit=time_limit)
  result.fps = HERTZ / action_repeat
  return result


def games() -> list[str]:
  """Returns the names of all games in the emulator, as tasks have them.

  Raises:
    ModuleNotFoundError: the emulator is not installed.
  """
  from ale_py import roms
  names = {rom: name for name, rom in IDS.items()}
  return sorted(names.get(rom, rom) for rom in roms.get_all_rom_ids())


def emulator(
    task: str, name: str, config: Mapping[str, Any], **options: Any) -> gym.Env:
  """Makes the plain environment of the emulator, of single frames.

  Args:
    task: for messages.
    name, config: see `make`.
    **options: of ale_py.AtariEnv.

  Raises:
    ConfigError, EnvError: see `make`.
  """
  ale_py: Any = imported(task, 'ale_py', extra='atari')
  known = games()
  if name not in known:
    raise unknown(task, name, known, 'games', everything=False)
  # First, as it greets on stderr otherwise.
  ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
  game = IDS.get(name, name)
  try:
    return ale_py.AtariEnv(game, frameskip=1, **options, **config)
  except (TypeError, RuntimeError) as error:
    if not config:
      raise EnvError(
          f"Environment '{task}' can not be built: {brief(error)}") from error
    ale = ale_py.AtariEnv(game).ale
    raise ConfigError(
        f"'{task}' can not be played with env.config {to_plain(config)}. Its "
        f'modes are {_listed(ale.getAvailableModes())}, its difficulties '
        f'{_listed(ale.getAvailableDifficulties())}.') from None


def _listed(numbers):
  return ', '.join(map(str, sorted(numbers)))


class _WithMemory(gym.ObservationWrapper):
  """Observes the memory of the console beside the image."""

  def __init__(self, env):
    super().__init__(env)
    self.observation_space = gym.spaces.Dict({
        'image': env.observation_space,
        'ram': gym.spaces.Box(0, 255, (128,), np.uint8)})

  def observation(self, observation: np.ndarray) -> dict[str, np.ndarray]:
    ale: Any = self.unwrapped
    return {'image': observation, 'ram': ale.ale.getRAM()}
