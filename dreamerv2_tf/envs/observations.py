"""Plain observations of Gymnasium as the observation keys of a row."""

from collections.abc import Sequence
import logging
from typing import Any

import gymnasium as gym
import numpy as np

from ..errors import ConfigError, EnvError
from .part import ApiError, Part, advice_on, in_words
from .spaces import describe, flatten, image_axes, is_supported

# Keys that rows, losses and metrics need.
RESERVED = (
    'action', 'reward', 'discount', 'kl', 'is_first', 'is_last', 'is_terminal',
    'model', 'actor', 'critic', 'expl', 'expl_actor', 'expl_critic',
    'expl_expl', 'ahead_reward', 'ahead_discount')
MAX_KEY = 200  # Characters; keys become names of arrays, metrics and tensors.

log = logging.getLogger(__name__)


class Adapter:
  """Maps plain Gymnasium observations to the observation keys of a row.

  Stateless and picklable. A plain space becomes the key `image` or `vector`,
  a Dict space its keys, a Tuple space 0, 1 and so on, nested ones joined by
  `_`:

      pixels [H, W, C], [H, W], [C, H, W]      image [H, W, C] uint8
      pixels [H, W, C, K] and the like         image [H, W, C * K] uint8
      other Box                     float32 [n], flattened; uint8 in [0, 1]
      Discrete, MultiDiscrete       float32 [n], one-hot
      MultiBinary                   float32 [n]

  Pixels are a Box from 16x16 on, of uint8 or with bounds of images, see
  `spaces.pixel_range`; these are stretched to 0 to 255.

  Entries of other kinds are left out. Observations outside of their space
  pass as they are, pixels at its ends, with a warning; a class that is none
  becomes zeros.

  Attributes:
    plain: the space that observations are of.
    spaces: dict of Box spaces of the results, by key.
    mapping: from what each is made and how, in words, by key.
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
      axes: transposition that brings pixels [., ., .] to [H, W, C]; None
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
    if not spaces:
      raise ConfigError(f'The observation space {space} has no entry.')
    for path, inner in spaces:
      if good and not is_supported(inner):
        place = '.'.join(map(str, path))
        self.advice.append(
            f"The observation '{place}' is left out: its space "
            f'{describe(inner)} is not supported.')
        continue
      key = '_'.join(map(str, path)) or (
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
      self._parts[key] = Part(path, inner, scale, axes, bounds)
      self.advice += advice_on(self._parts[key])
    self.spaces = {key: part.out for key, part in self._parts.items()}
    self.mapping = {
        key: in_words(part) for key, part in self._parts.items()}

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
