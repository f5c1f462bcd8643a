"""Plain observations of Gymnasium as the observation keys of a row."""

from collections.abc import Mapping, Sequence
import logging
import math
from typing import Any

import gymnasium as gym
import numpy as np

from ..errors import ConfigError, EnvError, NonFiniteError
from .actions import combinations
from .spaces import flatten, image_axes, image_sides, is_supported

# Keys that rows, losses and metrics need.
RESERVED = (
    'action', 'reward', 'discount', 'kl', 'is_first', 'is_last', 'is_terminal',
    'model', 'actor', 'critic', 'expl', 'expl_actor', 'expl_critic',
    'expl_expl', 'ahead_reward', 'ahead_discount')
MAX_KEY = 200  # Characters; keys become names of arrays, metrics and tensors.
BIG = 4096  # Values of a vector that was perhaps meant as an image.

log = logging.getLogger(__name__)


class Adapter:
  """Maps plain Gymnasium observations to the observation keys of a row.

  Stateless and picklable. A plain space becomes the key `image` or `vector`,
  a Dict space its keys, nested ones joined by `_`:

      uint8 Box [H, W, C], [H, W], [C, H, W]   image [H, W, C] uint8
      uint8 Box [H, W, C, K] and the like      image [H, W, C * K] uint8
      other Box                     float32 [n], flattened; uint8 in [0, 1]
      Discrete, MultiDiscrete       float32 [n], one-hot
      MultiBinary                   float32 [n]

  Entries of a Dict space that are none of these are left out. Observations
  outside of their space pass as they are, with a warning; a class that is
  none becomes zeros.

  Attributes:
    plain: the space that observations are of.
    spaces: dict of Box spaces of the results, by key.
    advice: list of sentences that the user should see once.
  """

  def __init__(
      self, space: gym.Space, *, scale: float | Sequence[float] = 1.0,
      axes: Sequence[int] | None = None, bounds: bool = True):
    """Plans the conversion of each part of the space.

    Args:
      space: observation space of the environment.
      scale: factor for float Boxes, or one for each place along their last
        axis.
      axes: transposition that brings uint8 [., ., .] Boxes to [H, W, C]; None
        takes them as [H, W, C], or as [C, H, W] where only that can be meant.
      bounds: tell observations outside of finite bounds.

    Raises:
      ConfigError: no part of the space is supported, a key is reserved, or a
        part has another number of factors.
    """
    self.plain = space
    self._parts, self.advice, self._warned = {}, [], set()
    spaces = list(flatten(space))
    good = [inner for _, inner in spaces if is_supported(inner)]
    for path, inner in spaces:
      if good and not is_supported(inner):
        self.advice.append(
            f"The observation '{'.'.join(path)}' is left out: its space "
            f'{inner} is not supported.')
        continue
      key = '_'.join(path) or (
          'image' if image_axes(inner, axes) else 'vector')
      if key in RESERVED or key.startswith('log_') or key in self._parts:
        raise ConfigError(
            f"Observation key '{key}' is reserved or there twice. Rename it in"
            ' the environment, for example with a TransformObservation '
            'wrapper.')
      if len(key) > MAX_KEY or not key.isprintable():
        raise ConfigError(
            f'The observation key {key[:MAX_KEY]!r} can not be a name: '
            f'expected at most {MAX_KEY} printable characters. Rename it in '
            'the environment.')
      for other in self._parts:
        short, long = sorted([key, other], key=len)
        if long == f'ahead_{short}':
          raise ConfigError(
              f"The observation keys '{short}' and '{long}' give two losses one"
              ' name. Rename one in the environment.')
      self._parts[key] = _Part(path, inner, scale, axes, bounds)
      self.advice += self._parts[key].advice()
    self.spaces = {key: part.out for key, part in self._parts.items()}

  def __call__(self, obs: Any) -> dict[str, np.ndarray]:
    """Checks and converts one observation.

    Raises:
      EnvError: wrong shape or dtype, or a missing key; a sentence for each.
      NonFiniteError: a float is NaN or infinite.
    """
    try:
      row, outside = self.convert(obs)
    except ApiError as error:
      raise EnvError(str(error)) from None
    for key, sentence in outside.items():
      self._warn(key, sentence)
    return row

  def batch(self, obs: Any) -> list[dict[str, np.ndarray]] | None:
    """Checks and converts observations that are stacked along a first axis.

    Args:
      obs: [N, ...]; of a Dict space, a dict of such.

    Returns:
      A row each, or None if these are no such: one observation, perhaps.

    Raises:
      EnvError, NonFiniteError: see a call.
    """
    found = {key: part.stacked(obs) for key, part in self._parts.items()}
    if any(values is None for values in found.values()):
      return None
    counts = {key: len(values) for key, values in found.items()}
    if len({*counts.values()}) > 1 or not all(counts.values()):
      raise EnvError(
          'A batch needs as many rows of each observation, at least one; got '
          f'{counts}.')
    rows = [{} for _ in range(max(counts.values()))]
    for key, part in self._parts.items():
      for row, value in zip(rows, found[key]):
        try:
          row[key], sentence = part.take(value)
        except ApiError as error:
          raise EnvError(str(error)) from None
        self._warn(key, sentence)
    return rows

  def fits(self, space: gym.Space) -> bool:
    """Tells whether a space has all parts of this one, of the same shape."""
    shapes = {path: inner.shape for path, inner in flatten(space)}
    return all(part.fits(shapes) for part in self._parts.values())

  def convert(self, obs: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Does the same without warnings.

    Returns:
      The row, and a sentence by key for what lies outside of its space.
    """
    row, outside, problems = {}, {}, []
    for key, part in self._parts.items():
      try:
        row[key], sentence = part(obs)
      except ApiError as error:
        problems += error.sentences
        continue
      if sentence:
        outside[key] = sentence
    if problems:
      raise ApiError(problems)
    return row, outside

  def restore(self, key: str, values: np.ndarray) -> np.ndarray:
    """Returns vectors of a row, [..., n], in the units of the environment."""
    scale = self._parts[key].scale
    scale = np.float32(1) if scale is None else scale
    parts = values.reshape((*values.shape[:-1], -1, *scale.shape))
    return (parts / scale).reshape(values.shape)

  def _warn(self, key, sentence):
    """Tells once for each key that it is outside of its space."""
    if sentence and key not in self._warned:
      self._warned.add(key)
      log.warning(sentence)


class ApiError(EnvError):
  """What an environment does against its API, one sentence each."""

  def __init__(self, sentences: Sequence[str]):
    """Keeps the sentences, for those who collect them."""
    super().__init__(' '.join(sentences))
    self.sentences = list(sentences)


class _Part:
  """Checks and converts one part of an observation space."""

  def __init__(self, path, space, scale, axes, bounds):
    self._path = path
    self._name = f"observation '{'.'.join(path)}'" if path else 'observation'
    self._space = space
    self.scale = None
    self._low = self._high = None
    if not is_supported(space):
      raise ConfigError(
          f'The {self._name} has the space {space}, which is not supported. '
          'Supported are Box, Discrete, MultiDiscrete, MultiBinary and Dict '
          'of these, of at least one value, for a single agent.')
    self._axes = image_axes(space, axes)
    if self._axes:
      shape = [(space.shape + (1,))[axis] for axis in self._axes]
      shape = (*shape[:2], math.prod(shape[2:]))
      self.out = gym.spaces.Box(0, 255, shape, np.uint8)
      return
    if isinstance(space, gym.spaces.Box):
      count = math.prod(space.shape)
      if np.issubdtype(space.dtype, np.floating):
        self.scale = self._factors(scale)
      elif space.dtype == np.uint8:
        self.scale = np.float32(1 / 255)
      low, high = space.low.astype(float), space.high.astype(float)
      finite = np.isfinite(low).any() or np.isfinite(high).any()
      if bounds and finite:
        # Rounding in the environment is not worth a run.
        slack = 1e-3 * np.where(np.isfinite(high - low), high - low, 1)
        self._low, self._high = low - slack, high + slack
    elif isinstance(space, gym.spaces.MultiBinary):
      count = math.prod(space.shape)
      self._low, self._high = 0, 1
    else:
      count = sum(combinations(space))
      sizes = np.reshape(combinations(space), space.shape)
      self._low = np.asarray(space.start)
      self._high = self._low + sizes - 1
    self.out = gym.spaces.Box(-np.inf, np.inf, (count,), np.float32)

  def advice(self):
    """Returns sentences on what was perhaps meant otherwise."""
    shape, count = self._space.shape, math.prod(self.out.shape)
    if self._axes and (len(shape) > 3 or len(image_sides(shape)) > 1):
      height, width, channels = self.out.shape
      yield (
          f'The {self._name} {shape} is read as images of height {height}, '
          f'width {width} and {channels} channels. If that is wrong, '
          'transpose it in a wrapper.')
    classes = isinstance(
        self._space, gym.spaces.Discrete | gym.spaces.MultiDiscrete)
    if not self._axes and shape and not classes and (
        count > BIG or len(shape) > 2 and self._space.dtype == np.uint8):
      yield (
          f'The {self._name} {shape} {self._space.dtype} is read as a vector '
          f'of {count:,} values. Images are uint8, [H, W] or [H, W, C], from '
          '16x16.')
    if classes and count > BIG:
      yield (
          f'The {self._name} {self._space} is read as {count:,} values of 0 '
          'and 1. Where such numbers have an order, give them as a Box, for '
          'example with a TransformObservation wrapper.')

  def __call__(self, obs):
    """Returns the value and '', or a sentence on its being outside."""
    value = self._find(obs)
    if value.shape != self._space.shape:
      raise ApiError([
          f'The {self._name} has shape {value.shape}, expected '
          f'{self._space.shape}.'])
    return self.take(value)

  def fits(self, shapes):
    """Tells whether this part is among those of path -> shape."""
    return shapes.get(self._path) == self._space.shape

  def stacked(self, obs):
    """Returns this part of several observations, None if they are not."""
    try:
      value = self._find(obs)
    except ApiError:
      return None
    inner = self._space.shape
    return value if value.ndim and value.shape[1:] == inner else None

  def take(self, value):
    """Does the same with an array of this part's shape."""
    self._check_dtype(value)
    if self._axes:
      value = value[..., None] if value.ndim == 2 else value
      value = np.array(value.transpose(self._axes), np.uint8, order='C')
      return value.reshape(self.out.shape), ''
    if value.dtype.kind == 'f' and not np.isfinite(value).all():
      index = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
      raise NonFiniteError(
          f'{self._name} is {value[index]} at index {index}.')
    sentence, inside = '', True
    if self._low is not None:
      inside = (value >= self._low) & (value <= self._high)
    if not np.all(inside):
      sentence = (
          f'The {self._name} lies in [{value.min():.6g}, {value.max():.6g}], '
          f'outside of its space {self._space}.')
    if isinstance(self._space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
      return self._one_hot(value, inside), sentence
    return self._vector(value), sentence

  def _find(self, obs):
    """Returns this part of an observation as an array, unchanged."""
    for key in self._path:
      if isinstance(obs, Mapping) and key not in obs:
        key = next((k for k in obs if str(k) == key), key)
      if not isinstance(obs, Mapping) or key not in obs:
        raise ApiError([f'The {self._name} is missing.'])
      obs = obs[key]
    try:
      value = np.asarray(obs)
    except ValueError:
      raise ApiError([f'The {self._name} is no regular array.']) from None
    return value

  def _check_dtype(self, value):
    expected = self._space.dtype
    if not np.can_cast(value.dtype, expected, 'same_kind'):
      raise ApiError([
          f'The {self._name} has dtype {value.dtype}, expected {expected}.'
          + (' Convert images to 0 to 255 in the environment.'
             if self._axes else '')])

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
