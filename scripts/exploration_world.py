"""Four rooms, in which it is seen where a behaviour has been."""

import gymnasium as gym
import numpy as np

ROOM = 10  # Cells along a side.
SIZE = 2 * ROOM + 1  # Of all: two rooms and the wall between them.
DOORS = 4, 5, 15, 16  # Cells of the walls that are open.
START, BAIT, GOAL = (0, 0), (0, 4), (SIZE - 1, SIZE - 1)
MOVES = (1, 0), (-1, 0), (0, 1), (0, -1)


class Rooms(gym.Env):
  """A walk on a square of four rooms; the observation is where it stands.

  Four actions move by one cell; a wall leaves it where it is. Every episode
  begins in one corner. Each step on a near cell, at the outer wall, pays a
  little, each step in the far corner ten times as much: who follows rewards
  alone stays at the first.
  """

  def __init__(self):
    self.observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    self.action_space = gym.spaces.Discrete(len(MOVES))
    self.place = START

  def reset(
      self, *, seed: int | None = None,
      options: dict | None = None) -> tuple[np.ndarray, dict]:
    """Begins an episode in the corner."""
    super().reset(seed=seed)
    self.place = START
    return self._observe(), {}

  def step(
      self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
    """Moves by one cell, if that is free."""
    there = tuple(x + move for x, move in zip(self.place, MOVES[action]))
    if there in CELLS:
      self.place = there
    reward = {BAIT: 0.1, GOAL: 1.0}.get(self.place, 0.0)
    return self._observe(), reward, False, False, {}

  def _observe(self):
    return (np.array(self.place) / ROOM - 1).astype(np.float32)


def is_free(x: int, y: int) -> bool:
  """Tells whether a cell is within the square and no wall."""
  if not (0 <= x < SIZE and 0 <= y < SIZE):
    return False
  return (x != ROOM or y in DOORS) and (y != ROOM or x in DOORS)


def cells(observations: np.ndarray) -> np.ndarray:
  """Returns the cells of observations, [..., 2], int."""
  return np.rint((observations + 1) * ROOM).astype(int)


CELLS = {
    (x, y) for x in range(SIZE) for y in range(SIZE) if is_free(x, y)}

gym.register('Rooms-v0', 'exploration_world:Rooms')
