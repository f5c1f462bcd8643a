"""What a logger hands to its outputs.

A summary is a tuple (step, name, value); the step counts environment steps
times action repeat, the value is a NumPy array or a text.
"""

from collections.abc import Sequence

import numpy as np

Summary = tuple[int, str, np.ndarray | str]


def to_row(summaries: Sequence[Summary]) -> tuple[int, dict[str, float]]:
  """Returns the last step and the scalars of a write by name."""
  found = {
      name: float(value) for _, name, value in summaries
      if not isinstance(value, str) and value.ndim == 0}
  return max(step for step, _, _ in summaries), found
