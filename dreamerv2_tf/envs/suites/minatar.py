"""MinAtar: five games of Atari, on 10x10 cells.

Paper: arXiv 1903.03176.
"""

from collections.abc import Container, Mapping, Sequence
import colorsys
from typing import Any

import gymnasium as gym
import numpy as np

from ...errors import ConfigError
from ..env import Env
from ..observations import Adapter
from .common import check_keys, imported, unknown

# Channels that show where things move or how fast: hidden on request.
MOTION = {
    'asterix': [2], 'breakout': [2], 'freeway': [2, 3, 4, 5, 6],
    'seaquest': [3], 'space_invaders': [2, 3]}
SETTINGS = {
    'sticky_action_prob': 0.1, 'difficulty_ramping': True,
    'use_minimal_action_set': True}
CELLS = 10
FILM = 24  # Pixels of a cell in videos.
FPS = 15.0


def make(
    name: str, config: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False,
    action_repeat: int = 1, time_limit: int = 0,
    size: Sequence[int] = (20, 20), partial: bool = False) -> Env:
  """Makes a game, such as `breakout`.

  The observation is `image`, [H, W, C] uint8: a channel for each kind of
  thing, 255 where it is. Cells are enlarged, as the convolutions need images
  of 16x16 at least.

  Args:
    name: asterix, breakout, freeway, seaquest or space_invaders.
    config: sticky_action_prob, difficulty_ramping, use_minimal_action_set of
      MinAtar.
    scale: ignored; there are no float observations.
    render: collect frames, see Env.
    action_repeat, time_limit: see Env.
    size: height and width of the image; best multiples of 10.
    partial: leave out the channels that show motion.

  Raises:
    ConfigError: unknown game or key, or images too small for the cells.
    EnvError: the package is not installed, or the environment fails.
  """
  task = f'minatar_{name}'
  if name not in MOTION:
    raise unknown(task, name, MOTION, 'games')
  check_keys(task, config, SETTINGS)
  if min(size) < CELLS:
    raise ConfigError(
        f"'{task}' has {CELLS}x{CELLS} cells: render_size must be at least as "
        f'large, but is {list(size)}.')
  imported(task, 'minatar', extra='minatar')
  env = Game(name, size, partial, **{**SETTINGS, **config})
  result = Env(
      env, task, Adapter(env.observation_space), render=render,
      action_repeat=action_repeat, time_limit=time_limit)
  result.fps = FPS
  return result


class Game(gym.Env):
  """A game with the API of Gymnasium, decided by its seed."""

  metadata = {'render_modes': ['rgb_array']}
  render_mode = 'rgb_array'

  def __init__(
      self, name: str, size: Sequence[int], partial: bool, *,
      sticky_action_prob: float, difficulty_ramping: bool,
      use_minimal_action_set: bool):
    """Plays nothing yet.

    Args:
      name, size, partial: see `make`.
      sticky_action_prob: probability that the action of before is repeated.
      difficulty_ramping: make it harder with time.
      use_minimal_action_set: only actions that the game knows.
    """
    self._name = name
    self._options = sticky_action_prob, difficulty_ramping
    game = self._new(0)
    self._actions = (
        game.minimal_action_set() if use_minimal_action_set
        else range(game.num_actions()))
    count = game.state_shape()[2]
    hidden = MOTION[name] if partial else []
    self._channels = [i for i in range(count) if i not in hidden]
    # A cell of each pixel, [H, 1] and [1, W].
    self._cells = np.ix_(*(np.arange(n) * CELLS // n for n in size))
    self._colors = _palette(count)
    self.action_space = gym.spaces.Discrete(len(self._actions))
    self.observation_space = gym.spaces.Box(
        0, 255, (*size, len(self._channels)), np.uint8)
    self._game: Any = None

  def reset(
      self, *, seed: int | None = None,
      options: dict | None = None) -> tuple[np.ndarray, dict]:
    """Begins the game of the seed; a drawn one without."""
    if seed is None:
      super().reset()
      seed = int(self.np_random.integers(2 ** 31))
    # Anew, as the action that sticks would be that of the game before.
    self._game = self._new(seed)
    return self._observe(), {}

  def step(
      self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
    """Acts for one frame."""
    reward, done = self._game.act(self._actions[action])
    return self._observe(), float(reward), bool(done), False, {}

  def render(self) -> np.ndarray:
    """Returns the picture of a video, all channels, [H, W, 3] uint8."""
    state = self._game.state()
    # The last channel that is on, 0 where none is.
    kind = (state * np.arange(1, state.shape[2] + 1)).max(2)
    return self._colors[kind].repeat(FILM, 0).repeat(FILM, 1)

  def _new(self, seed):
    import minatar
    sticky, ramping = self._options
    game = minatar.Environment(
        self._name, sticky_action_prob=sticky, difficulty_ramping=ramping)
    game.seed(seed % 2 ** 32)
    game.reset()
    return game

  def _observe(self):
    state = self._game.state()[..., self._channels]
    return (state[self._cells] * 255).astype(np.uint8)


def _palette(count):
  """Returns black and a colour for each channel, [count + 1, 3] uint8."""
  colors = [colorsys.hsv_to_rgb(i / count, 0.6, 1) for i in range(count)]
  return (255 * np.array([(0, 0, 0), *colors])).astype(np.uint8)
