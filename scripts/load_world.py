"""A world of no cost, in which runs of any size can be tried."""

import contextlib
import os
import signal

import gymnasium as gym
import numpy as np


class World(gym.Env):
  """Ends after `length` steps; shows the step as a vector or in an image.

  Rewards 1 for each step, so that the return is the length.
  """

  def __init__(self, length: int = 100, size: int = 0, stop: str = ''):
    """Begins no episode.

    Args:
      length: steps of an episode.
      size: observations are `[size, size, 3]` uint8, or `[3]` float32 at 0.
      stop: path of a file; while there is none, the trainer gets a SIGTERM
        in the middle of the second episode, and the file is made.
    """
    self.length = length
    self.size = size
    self.stop = stop
    self.count = self.ended = 0
    self.action_space = gym.spaces.Discrete(3)
    self.observation_space = (
        gym.spaces.Box(0, 255, (size, size, 3), np.uint8) if size else
        gym.spaces.Box(0, 1, (3,), np.float32))

  def reset(
      self, *, seed: int | None = None,
      options: dict | None = None) -> tuple[np.ndarray, dict]:
    """Begins an episode."""
    super().reset(seed=seed)
    self.count = 0
    return self._observe(), {}

  def step(
      self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
    """Counts the step; what the action is plays no role."""
    self.count += 1
    done = self.count >= self.length
    self.ended += done
    if self.stop and (self.ended, self.count) == (1, self.length // 2):
      with contextlib.suppress(FileExistsError), open(self.stop, 'x'):
        os.kill(os.getppid(), signal.SIGTERM)
    return self._observe(), 1.0, done, False, {}

  def _observe(self):
    if self.size:
      return np.full((self.size, self.size, 3), self.count % 256, np.uint8)
    return np.full(3, self.count / self.length, np.float32)


gym.register('World-v0', 'load_world:World')
