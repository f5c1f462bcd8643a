"""A picture of an environment at one moment, and what was measured then."""

from collections.abc import Mapping
from typing import NamedTuple
import zlib

import numpy as np


class Frame(NamedTuple):
  """One picture of a film; compressed, as films are kept to their end."""

  shape: tuple[int, ...]
  data: bytes
  readings: Mapping[str, float]  # `log_` keys of that moment.

  @classmethod
  def take(
      cls, pixels: np.ndarray, readings: Mapping[str, float] | None = None
  ) -> 'Frame':
    """Keeps a picture, [H, W, 3] uint8, and readings."""
    data = zlib.compress(pixels.tobytes(), 1)
    return cls(pixels.shape, data, dict(readings or {}))

  @property
  def pixels(self) -> np.ndarray:
    """The picture, [H, W, 3] uint8."""
    flat = np.frombuffer(zlib.decompress(self.data), np.uint8)
    return flat.reshape(self.shape)
