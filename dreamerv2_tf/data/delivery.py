"""Checks of episodes that another process hands over."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from . import layout
from .layout import Arrays, EpisodeError


def spaces_of(
    obs_space: Mapping[str, gym.Space], action_dim: int) -> layout.Spaces:
  """Returns shape without time axis and stored dtype of each key."""
  return {
      **{key: (space.shape, layout.disk_dtype(space.dtype))
         for key, space in obs_space.items()},
      'action': ((action_dim,), np.dtype(np.float32))}


def check(
    episode: Any, spaces: layout.Spaces,
    are_actions: Callable[[np.ndarray], np.ndarray]) -> Arrays:
  """Checks an episode as one from the disk is checked, and what is logged, too.

  Args:
    episode: what came; anything.
    spaces: of `spaces_of`.
    are_actions: from actions, [steps, A], to [steps] bool: which of them are
      in the space.

  Returns:
    {key: [rows, ...]} of the keys of the spaces, in their dtypes.

  Raises:
    EpisodeError: it is not a whole episode of these spaces.
  """
  if not isinstance(episode, Mapping):
    raise EpisodeError(
        f'it is {type(episode).__name__}, expected arrays by key')
  arrays = {key: episode[key] for key in spaces if key in episode}
  for key, value in arrays.items():
    if not isinstance(value, np.ndarray):
      raise EpisodeError(
          f"'{key}' is {type(value).__name__}, expected an array")
  found = {key: (x.shape, x.dtype) for key, x in arrays.items()}
  for key in layout.REQUIRED:
    if key not in found:
      raise EpisodeError(f"key '{key}' is missing")
  layout.check_layout(found, spaces)
  arrays = {
      key: layout.as_dtype(key, value, spaces[key][1])
      for key, value in arrays.items()}
  layout.check_foreign(arrays, are_actions)
  return arrays
