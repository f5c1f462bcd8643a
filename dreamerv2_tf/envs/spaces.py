"""Which spaces of Gymnasium can be observed, and which of them are images."""

from collections.abc import Iterator, Sequence
import math

import gymnasium as gym
import numpy as np

# Keys of Dict spaces as words, numbers of entries of Tuple spaces.
Path = tuple[str | int, ...]
# Lowest and highest value of images that are not uint8.
RANGES = (0, 1), (-1, 1), (-0.5, 0.5), (0, 255)
HALF = 128  # Images of uint8 that end below are stretched.


def flatten(
    space: gym.Space, path: Path = ()) -> Iterator[tuple[Path, gym.Space]]:
  """Yields (path, space) of nested Dict and Tuple spaces."""
  if isinstance(space, gym.spaces.Dict):
    for key, inner in space.spaces.items():
      yield from flatten(inner, path + (str(key),))
  elif isinstance(space, gym.spaces.Tuple):
    for index, inner in enumerate(space.spaces):
      yield from flatten(inner, path + (index,))
  else:
    yield path, space


def is_supported(space: gym.Space) -> bool:
  """Tells whether a space that holds no others can be observed."""
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
  if pixel_range(space) is None:
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


def pixel_range(space: gym.Space) -> tuple[float, float] | None:
  """Returns what is black and what is white; None if these are no pixels.

  Args:
    space: any. A Box of uint8 may be pixels, of other types one whose bounds
      are usual for them: [0, 1], [-1, 1], [-0.5, 0.5], [0, 255], or all of an
      unsigned type.
  """
  found = bounds(space)
  if not isinstance(space, gym.spaces.Box) or not space.shape:
    return None
  if space.dtype == np.uint8:
    low, high = found or (0, 255)
    return (0, high) if low == 0 and 0 < high < HALF else (0, 255)
  ranges = list(RANGES)
  if np.issubdtype(space.dtype, np.unsignedinteger):
    ranges.append((0, np.iinfo(space.dtype).max))
  return found if found in ranges else None


def bounds(space: gym.Space) -> tuple[float, float] | None:
  """Returns the bounds of a Box if they are finite and the same everywhere."""
  if not isinstance(space, gym.spaces.Box) or not math.prod(space.shape):
    return None
  lows, highs = space.low, space.high
  if lows.min() != lows.max() or highs.min() != highs.max():
    return None
  low, high = float(lows.min()), float(highs.min())
  return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def describe(space: gym.Space) -> str:
  """Returns a space in a few words, such as `Box (4,) float32 [0, 1]`."""
  if isinstance(space, gym.spaces.Box):
    found = bounds(space)
    ends = '' if found is None else f' [{found[0]:g}, {found[1]:g}]'
    return f'Box {space.shape} {space.dtype}{ends}'
  text = ' '.join(str(space).split())
  return text if len(text) <= 80 else f'{text[:76]} ...'


def describe_actions(plain: gym.Space, ours: gym.Space) -> str:
  """Returns how actions of the agent become those of a space, in words.

  Args:
    plain: of the environment.
    ours: what the agent acts on: Discrete or Box.
  """
  text = describe(plain)
  if isinstance(ours, gym.spaces.Box):
    return f'{text}, from [-1, 1]'
  if isinstance(ours, gym.spaces.Discrete):
    several = '' if isinstance(plain, gym.spaces.Discrete) else (
        f' of its {ours.n} combinations')
    return f'{text}, one-hot{several}'
  return text
