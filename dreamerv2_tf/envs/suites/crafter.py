"""Crafter: survive, gather and build in a world seen from above.

Paper: arXiv 2109.06780.
Code: danijar/dreamerv2 common/envs.py, Crafter.
"""

from collections.abc import Container, Mapping, Sequence
import functools
from typing import Any

import gymnasium as gym
import numpy as np

from ...errors import ConfigError
from ..env import Env
from ..observations import Adapter
from .common import check_keys, imported, to_plain, unknown

REWARD, NO_REWARD = 'reward', 'noreward'
FILM = 360, 360  # Width and height of the frames of videos.
FPS = 10.0


def make(
    name: str, config: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False,
    action_repeat: int = 1, time_limit: int = 0, mode: str = 'train',
    size: Sequence[int] = (64, 64)) -> Env:
  """Makes the world, with or without rewards in training.

  The observation is `image`, [H, W, 3] uint8. Rows hold `log_reward`, which is
  the reward also where there is none, and `log_achievement_<name>`, how often
  each was reached in the episode so far.

  Args:
    name: reward or noreward.
    config: area, view and length (steps of an episode) of the world.
    scale: ignored; there are no float observations.
    render: collect frames, see Env.
    action_repeat: must be 1.
    time_limit: steps after which an episode is cut; 0: the world's 10,000.
    mode: 'eval' has rewards in any case.
    size: height and width of the image.

  Raises:
    ConfigError: another name or key, or actions are repeated.
    EnvError: the package is not installed, or the environment fails.
  """
  task = f'crafter_{name}'
  if name not in (REWARD, NO_REWARD):
    raise unknown(task, name, [REWARD, NO_REWARD], 'tasks')
  check_keys(task, config, ['area', 'view', 'length'])
  if action_repeat != 1:
    raise ConfigError(
        f"'{task}' is played step by step: action_repeat must be 1 but is "
        f'{action_repeat}.')
  crafter: Any = imported(task, 'crafter', extra='crafter')
  env = World(
      size, to_plain(config), rewards=name == REWARD or mode == 'eval')
  logs: dict = {'log_reward': lambda env: env.reward}
  for key in crafter.constants.achievements:
    logs[f'log_achievement_{key}'] = functools.partial(_reached, key)
  result = Env(
      env, task, Adapter(env.observation_space), render=render, logs=logs,
      time_limit=time_limit)
  result.fps = FPS
  return result


class World(gym.Env):
  """A world of Crafter with the API of Gymnasium, decided by its seed.

  Attributes:
    achievements: name -> how often it was reached in this episode.
    reward: of the last step, also where there are none.
  """

  metadata = {'render_modes': ['rgb_array']}
  render_mode = 'rgb_array'

  def __init__(
      self, size: Sequence[int], config: Mapping[str, Any], rewards: bool):
    """Makes no world yet.

    Args:
      size: height and width of the image.
      config: arguments of crafter.Env.
      rewards: give them.
    """
    import crafter
    self._make = functools.partial(
        _ordered(crafter.Env), size=tuple(size[::-1]), **config)
    self._rewards = rewards
    self._world: Any = None
    self.achievements: dict[str, int] = {}
    self.reward = 0.0
    self.observation_space = gym.spaces.Box(0, 255, (*size, 3), np.uint8)
    self.action_space = gym.spaces.Discrete(len(crafter.constants.actions))

  def reset(
      self, *, seed: int | None = None,
      options: dict | None = None) -> tuple[np.ndarray, dict]:
    """Makes the world of the seed; a drawn one without."""
    if seed is None:
      super().reset()
      seed = int(self.np_random.integers(2 ** 31))
    self._world = self._make(seed=seed)
    self.achievements, self.reward = {}, 0.0
    return self._world.reset(), {}

  def step(
      self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
    """Acts; death is terminal, the end of the day is not."""
    obs, _, done, info = self._world.step(action)
    self.achievements = info['achievements']
    self.reward = float(info['reward'])
    terminal = info['discount'] == 0
    reward = self.reward if self._rewards else 0.0
    return obs, reward, terminal, bool(done) and not terminal, {}

  def render(self) -> np.ndarray:
    """Returns the picture of a video, [H, W, 3] uint8."""
    # Drawing the night draws from the random numbers of the world.
    random = self._world._world.random
    state = random.get_state()
    picture = self._world.render(FILM)
    random.set_state(state)
    return picture


def _ordered(base):
  """Returns a class of worlds in which the same seed gives the same world.

  Creatures of a region are kept in a set, whose order is that of addresses in
  memory, and one of them is drawn by its place in it.
  """
  class Ordered(base):

    def _balance_chunk(self, chunk, objs):
      inside = [x for x in self._world.objects if x in objs]
      super()._balance_chunk(chunk, inside)

  return Ordered


def _reached(key, env):
  return env.achievements.get(key, 0)
