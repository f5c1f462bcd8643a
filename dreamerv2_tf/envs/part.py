"""One part of an observation, such as an entry of a Dict, as an array."""

from collections.abc import Iterator, Mapping, Sequence
import math
from typing import Any

import gymnasium as gym
import numpy as np

from ..errors import ConfigError, EnvError, NonFiniteError
from .actions import combinations
from .spaces import (
  Path,
  describe,
  image_axes,
  image_sides,
  is_supported,
  pixel_range,
)

BIG = 4096  # Values of a vector that was perhaps meant as an image.
MOST = 2 ** 16  # Classes of a one-hot vector.
CLASSES = gym.spaces.Discrete | gym.spaces.MultiDiscrete


class ApiError(EnvError):
  """What an environment does against its API, one sentence each."""

  def __init__(self, sentences: Sequence[str]):
    """Keeps the sentences, for those who collect them."""
    super().__init__(' '.join(sentences))
    self.sentences = list(sentences)


class Part:
  """Checks and converts one part of an observation space.

  Attributes:
    out: Box space of the results: images uint8, vectors float32.
    scale: what values of vectors are multiplied with, [] or [last axis]; None
      for ones, and for images.
  """

  def __init__(
      self, path: Path, space: gym.Space, scale: Any,
      axes: Sequence[int] | None, check: bool):
    """Plans the conversion.

    Args:
      path: keys that lead to it, of Dict and Tuple spaces.
      space: its own, of the environment.
      scale, axes: see Adapter.
      check: tell values outside of finite bounds.

    Raises:
      ConfigError: it can not be observed, or takes other factors.
    """
    self._path = path
    self._place = '.'.join(map(str, path))
    self._name = f"observation '{self._place}'" if path else 'observation'
    self._space: Any = space
    self.scale: Any = None
    self._low: Any = None
    self._high: Any = None
    if not is_supported(space):
      raise ConfigError(
          f'The {self._name} has the space {space}, which is not supported. '
          'Supported are Box, Discrete, MultiDiscrete, MultiBinary, and Dict '
          'and Tuple of these, of at least one value, for a single agent.')
    self._axes = image_axes(space, axes)
    self._pixels = pixel_range(space) if self._axes else None
    self.out: gym.spaces.Box
    if self._axes:
      height, width, *rest = (
          (self._space.shape + (1,))[axis] for axis in self._axes)
      self.out = gym.spaces.Box(
          0, 255, (height, width, math.prod(rest)), np.uint8)
    else:
      self.out = gym.spaces.Box(
          -np.inf, np.inf, (self._count(),), np.float32)
    if isinstance(space, gym.spaces.Box):
      self._plan_box(scale, check)
    elif isinstance(space, gym.spaces.MultiBinary):
      self._low, self._high = 0, 1
    else:
      sizes = np.reshape(combinations(space) or (), space.shape)
      start: Any = getattr(space, 'start', 0)
      self._low = np.asarray(start)
      self._high = self._low + sizes - 1

  def __call__(self, obs: Any) -> tuple[np.ndarray, str]:
    """Returns the value and '', or a sentence on its being outside.

    Raises:
      ApiError: wrong shape or dtype, or it is missing.
      NonFiniteError: a float is NaN or infinite.
    """
    value = self._find(obs)
    if value.shape != self._space.shape:
      raise ApiError([
          f'The {self._name} has shape {value.shape}, expected '
          f'{self._space.shape}.'])
    return self.take(value)

  def fits(self, shapes: Mapping[Path, tuple[int, ...] | None]) -> bool:
    """Tells whether this part is among those of path -> shape."""
    return shapes.get(self._path) == self._space.shape

  def stacked(self, obs: Any) -> np.ndarray | None:
    """Returns this part of several observations, None if they are not."""
    try:
      value = self._find(obs)
    except ApiError:
      return None
    inner = self._space.shape
    return value if value.ndim and value.shape[1:] == inner else None

  def take(self, value: np.ndarray) -> tuple[np.ndarray, str]:
    """Does the same as a call with an array of this part's shape."""
    self._check_dtype(value)
    if value.dtype.kind == 'f' and not np.isfinite(value).all():
      index = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
      raise NonFiniteError(
          f'{self._name} is {value[index]} at index {index}.')
    sentence: str = ''
    inside: Any = True
    # Any uint8 is a pixel where 255 is white.
    if self._low is not None and not (
        self._pixels == (0, 255) and value.dtype == np.uint8):
      inside = (value >= self._low) & (value <= self._high)
    if not np.all(inside):
      sentence = (
          f'The {self._name} lies in [{value.min():.6g}, {value.max():.6g}], '
          f'outside of its space {self._space}.')
    if self._axes:
      return self._image(value), sentence
    if isinstance(self._space, CLASSES):
      return self._one_hot(value, inside), sentence
    return self._vector(value), sentence

  def _count(self):
    """Returns the number of values of a vector."""
    if not isinstance(self._space, CLASSES):
      return math.prod(self._space.shape)
    count = sum(combinations(self._space))
    if count > MOST:
      raise ConfigError(
          f'The {self._name} has the space {describe(self._space)}, which would'
          f' be {count:,} values of 0 and 1; at most {MOST:,} are supported. '
          'Where such numbers have an order, give them as a Box, for example '
          'with a TransformObservation wrapper.')
    return count

  def _plan_box(self, scale, check):
    """Sets the factors of a Box, and outside of what values are told."""
    space = self._space
    low, high = space.low.astype(float), space.high.astype(float)
    if not self._axes and np.issubdtype(space.dtype, np.floating):
      self.scale = self._factors(scale)
    elif not self._axes and space.dtype == np.uint8:
      self.scale = np.float32(1 / max(high.max(), 1))
    finite = np.isfinite(low).any() or np.isfinite(high).any()
    if check and finite:
      # Rounding in the environment is not worth a run.
      slack = 1e-3 * np.where(np.isfinite(high - low), high - low, 1)
      self._low, self._high = low - slack, high + slack

  def _find(self, obs):
    """Returns this part of an observation as an array, unchanged."""
    for key in self._path:
      if isinstance(key, int):  # Of a Tuple.
        if not isinstance(obs, Sequence | np.ndarray) or key >= len(obs):
          raise ApiError([f'The {self._name} is missing.'])
        obs = obs[key]
        continue
      if isinstance(obs, Mapping) and key not in obs:
        key = next((k for k in obs if str(k) == key), key)
      if not isinstance(obs, Mapping) or key not in obs:
        raise ApiError([f'The {self._name} is missing.'])
      obs = obs[key]
    if obs is None or isinstance(obs, Mapping):
      what = 'None' if obs is None else f'a {type(obs).__name__}'
      raise ApiError([
          f'The {self._name} is {what}, expected an array of shape '
          f'{self._space.shape}.'])
    try:
      value = np.asarray(obs)
    except ValueError:
      raise ApiError([f'The {self._name} is no regular array.']) from None
    return value

  def _check_dtype(self, value):
    expected = self._space.dtype
    # Integers in an image of floats are 0 to 255 where 0 to 1 was promised.
    mixed = self._pixels and value.dtype.kind in 'iu' and (
        np.issubdtype(expected, np.floating))
    if mixed or not np.can_cast(value.dtype, expected, 'same_kind'):
      raise ApiError([
          f'The {self._name} has dtype {value.dtype}, expected {expected}.'
          + (' Convert images to 0 to 255 in the environment.'
             if self._axes and expected == np.uint8 else '')])

  def _image(self, value):
    """Returns pixels, [H, W, C] uint8, in memory of their own."""
    if value.dtype != np.uint8 or self._pixels != (0, 255):
      low, high = self._pixels
      unit = (value.astype(np.float32) - low) / (high - low)
      value = np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)
    value = value[..., None] if value.ndim == 2 else value
    value = np.array(value.transpose(self._axes), np.uint8, order='C')
    return value.reshape(self.out.shape)

  def _one_hot(self, value, inside):
    """Returns one-hot vectors, zeros for what is not inside, [n] float32."""
    hot = np.zeros(self.out.shape, np.float32)
    sizes = combinations(self._space)
    starts = np.cumsum((0,) + sizes[:-1])
    places = starts + np.ravel(value - self._low)
    hot[places[np.ravel(inside & np.ones(self._space.shape, bool))]] = 1
    return hot

  def _vector(self, value):
    """Returns scaled values, [n] float32."""
    value = np.array(value, np.float32)
    if self.scale is not None:
      value *= self.scale
    value = value.ravel()
    if not np.isfinite(value).all():
      raise NonFiniteError(f'{self._name} is too large for float32.')
    return value

  def _factors(self, scale):
    """Returns what to multiply with, [] or [last axis]; None for ones."""
    shape = self._space.shape
    factors = np.asarray(scale, np.float32)
    if factors.ndim and factors.shape != shape[-1:]:
      expected = f'{shape[-1]}, one for each place along its last axis' if (
          shape) else 'a single number'
      raise ConfigError(
          f"'env.obs_scale' has {len(factors)} numbers, but the {self._name} "
          f'has the shape {shape}: expected {expected}.')
    return None if (factors == 1).all() else factors


def advice_on(part: Part) -> Iterator[str]:
  """Yields sentences on what was perhaps meant otherwise."""
  shape, count = part._space.shape, math.prod(part.out.shape)
  sides, box = image_sides(shape), isinstance(part._space, gym.spaces.Box)
  if part._axes and (
      len(shape) > 3 or len(sides) > 1 or part._space.dtype != np.uint8):
    height, width, channels = part.out.shape
    yield (
        f'The {part._name} {shape} {part._space.dtype} is read as images of '
        f'height {height}, width {width} and {channels} channels. If that is '
        'wrong, transpose it in a wrapper, or flatten it.')
  if not part._axes and shape and box and (
      sides or count > BIG or len(shape) > 2 and
      part._space.dtype == np.uint8):
    yield (
        f'The {part._name} {shape} {part._space.dtype} is read as a vector '
        f'of {count:,} values. Images are Boxes [H, W] or [H, W, C], from '
        '16x16, of uint8 or with the bounds 0 and 1, -1 and 1, or 0 and 255.')
  if isinstance(part._space, CLASSES) and count > BIG:
    yield (
        f'The {part._name} {part._space} is read as {count:,} values of 0 '
        'and 1. Where such numbers have an order, give them as a Box, for '
        'example with a TransformObservation wrapper.')


def in_words(part: Part) -> str:
  """Returns from what a part is made and how."""
  place = f'{part._place}: ' * bool(part._path)
  how = [f'from {place}{describe(part._space)}']
  if part._axes:
    plain = tuple(range(max(len(part._space.shape), 3)))
    if part._axes != plain:
      how.append(f'axes {" ".join(map(str, part._axes))}')
    if part._pixels != (0, 255):
      low, high = part._pixels
      how.append(f'{low:g} to {high:g} become 0 to 255')
  elif isinstance(part._space, CLASSES):
    how.append('one-hot')
  elif isinstance(part.scale, np.ndarray) and part.scale.ndim:
    how.append(f"times {' '.join(f'{x:g}' for x in part.scale)}")
  elif part.scale is not None:
    factor = f'{part.scale:g}' if part.scale >= 1 else (
        f'1/{1 / part.scale:g}')
    how.append(f'times {factor}')
  return ', '.join(how)
