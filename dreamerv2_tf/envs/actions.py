"""Actions of the agent as those of a Gymnasium space."""

import math
from typing import Any

import gymnasium as gym
import numpy as np

from ..errors import ConfigError

MAX_COMBINATIONS = 512


class Actions:
  """Maps the agent's actions to those of a Gymnasium space.

  Attributes:
    space: Discrete(n), acted on by one-hot vectors, or Box(-1, 1, (n,)).
      MultiDiscrete and MultiBinary become the Discrete space of all
      combinations, if there are at most 512.
  """

  def __init__(self, space: gym.Space):
    """Raises ConfigError where the space is not supported."""
    self._plain = space
    sizes = combinations(space)
    if isinstance(space, gym.Space) and space.shape and not math.prod(
        space.shape):
      raise ConfigError(f'The action space {space} has no action to choose.')
    if sizes is not None:
      count = math.prod(sizes)
      if not isinstance(space, gym.spaces.Discrete) and (
          count > MAX_COMBINATIONS):
        raise ConfigError(
            f'The action space {space} has {count} combinations, but at most '
            f'{MAX_COMBINATIONS} are supported. Use fewer choices or a Box.')
      self.space: gym.Space = gym.spaces.Discrete(count)
    elif isinstance(space, gym.spaces.Box) and (
        np.issubdtype(space.dtype, np.floating)):
      if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ConfigError(
            f'The action space {space} is unbounded, so it can not be scaled '
            'to [-1, 1]. Give it finite bounds, for example with a '
            'RescaleAction wrapper.')
      self.space = gym.spaces.Box(
          -1, 1, (math.prod(space.shape),), np.float32)
    else:
      raise ConfigError(
          f'The action space {space} is not supported. Supported are Discrete,'
          ' bounded float Box, and MultiDiscrete or MultiBinary of at most '
          f'{MAX_COMBINATIONS} combinations, for a single agent.')

  def __call__(self, action: np.ndarray) -> Any:
    """Returns the plain action; raises ValueError if it is not in the space."""
    check_actions(self.space, action)
    plain = self._plain
    if isinstance(plain, gym.spaces.Box):
      low, high = plain.low.astype(np.float64), plain.high.astype(np.float64)
      unit = (np.clip(action, -1, 1).reshape(plain.shape) + 1.0) / 2.0
      return (low + unit * (high - low)).astype(plain.dtype)
    index = int(np.argmax(action))
    if isinstance(plain, gym.spaces.Discrete):
      return index + int(plain.start)
    values = np.unravel_index(index, combinations(plain))
    start = getattr(plain, 'start', 0)
    return (np.reshape(values, plain.shape) + start).astype(plain.dtype)


def check_actions(space: gym.Space, actions: np.ndarray) -> None:
  """Refuses actions that the space of the agent does not hold.

  Args:
    space: Discrete(n) or Box(-1, 1, (n,)).
    actions: [..., n], float; one-hot or in [-1, 1].

  Raises:
    ValueError: wrong size, NaN, not one-hot, or out of range.
  """
  actions = np.asarray(actions)
  if isinstance(space, gym.spaces.Discrete):
    size, wanted = int(space.n), f'one-hot vectors of {space.n} values'
  else:
    size, wanted = space.shape[0], f'{space.shape[0]} values in [-1, 1]'
  if actions.shape[-1:] != (size,) or not are_actions(space, actions).all():
    raise ValueError(
        f'The policy gave the actions {actions.tolist()} of shape '
        f'{actions.shape}, expected {wanted}.')


def are_actions(space: gym.Space, actions: np.ndarray) -> np.ndarray:
  """Tells which vectors are actions of the agent: [...], bool.

  Args:
    space: Discrete(n) or Box(-1, 1, (n,)).
    actions: [..., n], float.
  """
  if isinstance(space, gym.spaces.Discrete):
    binary = (np.abs(actions) < 1e-2) | (np.abs(actions - 1) < 1e-2)
    return binary.all(-1) & (np.abs(actions.sum(-1) - 1) < 1e-2)
  return (np.abs(actions) <= 1 + 1e-6).all(-1)


def combinations(space: gym.Space) -> tuple[int, ...] | None:
  """Numbers of choices of a discrete action space; None for others."""
  if isinstance(space, gym.spaces.Discrete):
    return (int(space.n),)
  if isinstance(space, gym.spaces.MultiDiscrete):
    return tuple(int(n) for n in space.nvec.ravel())
  if isinstance(space, gym.spaces.MultiBinary):
    return (2,) * math.prod(space.shape)
  return None
