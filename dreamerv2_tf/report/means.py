"""Running means of metrics between two writes."""

from collections.abc import Mapping
import math

import numpy as np


class Means:
  """Means of metrics since they were last taken."""

  def __init__(self):
    """Begins without values."""
    self._sums = {}

  def add(self, metrics: Mapping[str, float]) -> None:
    """Adds one value for each name; leaves out NaN and infinities.

    A float16 step with an overflow, which is counted elsewhere, must not hide
    the steps around it.
    """
    for name, value in metrics.items():
      if not math.isfinite(value):
        continue
      total, count = self._sums.get(name, (0.0, 0))
      self._sums[name] = total + value, count + 1

  def take(self) -> dict[str, float]:
    """Returns the means and begins anew."""
    sums, self._sums = self._sums, {}
    return {name: total / count for name, (total, count) in sums.items()}

  def state(self) -> dict:
    """Returns the JSON-able sums and counts."""
    return {name: list(pair) for name, pair in self._sums.items()}

  def load_state(self, state: Mapping) -> None:
    """Continues from a state."""
    self._sums = {
        name: (float(total), int(count))
        for name, (total, count) in state.items()}


class Scales:
  """Root mean squares of vector observations, to tell those far from one."""

  LOW, HIGH = 0.02, 50.0

  def __init__(self):
    """Begins without values."""
    self._sums = {}

  def add(self, key: str, vector: np.ndarray) -> None:
    """Takes in one observation, [n]."""
    count, total = self._sums.get(key, (0, 0.0))
    self._sums[key] = count + 1, total + np.square(vector, dtype=np.float64)

  def advice(self) -> list[str]:
    """Returns a sentence for each key that a network can hardly read."""
    sentences = []
    for key, (count, total) in self._sums.items():
      sizes = np.sqrt(total / count)
      place = int(np.argmax(sizes))
      largest = sizes[place]
      if self.LOW <= largest <= self.HIGH or not largest:
        continue
      smallest = min(sizes[sizes > 0])
      remedy = f'env.obs_scale {1 / largest:.1g} multiplies float vectors'
      if largest > self.HIGH and smallest < largest / self.HIGH:
        remedy = (
            'scale its values one by one in the environment, for example with '
            'gymnasium.wrappers.NormalizeObservation or TransformObservation')
      sentences.append(
          f"Observation '{key}' is far from unit variance: value {place} has "
          f'the size {largest:.3g} (root mean square), the smallest of '
          f'{len(sizes)} {smallest:.3g}. Networks learn little from that: '
          f'{remedy}.')
    return sentences
