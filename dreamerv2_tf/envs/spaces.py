"""Which spaces of Gymnasium can be observed, and which of them are images."""

from collections.abc import Iterator, Sequence
import math

import gymnasium as gym
import numpy as np


def flatten(
    space: gym.Space,
    path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], gym.Space]]:
  """Yields (path, space) of nested Dict spaces."""
  if isinstance(space, gym.spaces.Dict):
    for key, inner in space.spaces.items():
      yield from flatten(inner, path + (str(key),))
  else:
    yield path, space


def is_supported(space: gym.Space) -> bool:
  """Tells whether a space that is no Dict can be observed."""
  kinds = (gym.spaces.Box | gym.spaces.Discrete | gym.spaces.MultiDiscrete |
           gym.spaces.MultiBinary)
  return isinstance(space, kinds) and math.prod(space.shape) > 0


def image_axes(
    space: gym.Space, axes: Sequence[int] | None) -> tuple[int, ...] | None:
  """Returns the axes of an image in the order H, W, rest; None if it is none.

  2-D gets a third axis.

  Args:
    space: any.
    axes: see Adapter.
  """
  if not isinstance(space, gym.spaces.Box) or space.dtype != np.uint8:
    return None
  shape = space.shape
  if axes and len(shape) == 3 and min(
      shape[axes[0]], shape[axes[1]]) >= 16:
    return tuple(axes)
  sides = image_sides(shape)
  if not sides:
    return None
  # That with the fewest channels, for equal ones the first.
  height = max(sides, key=lambda i: shape[i] * shape[i + 1])
  rest = [i for i in range(max(len(shape), 3)) if i not in (
      height, height + 1)]
  return (height, height + 1, *rest)


def image_sides(shape: Sequence[int]) -> list[int]:
  """Returns indices i of which axes i and i + 1 can be height and width."""
  return [
      i for i in range(len(shape) - 1 if len(shape) <= 4 else 0)
      if min(shape[i:i + 2]) >= 16]
