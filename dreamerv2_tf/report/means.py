"""Running means of metrics between two writes."""

from collections.abc import Mapping
import math


class Means:
  """Means of metrics since they were last taken."""

  def __init__(self):
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
    self._sums = {name: tuple(pair) for name, pair in state.items()}
