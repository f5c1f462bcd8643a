"""Puts points of runs into bins, and runs of one method on one grid.

A bin that ends at x holds what lies in (x - width, x], the first one also what
lies at 0 or below, as in the original. The last one of a run counts even if the
run has not reached its end.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from . import metrics
from .scores import Run

# Width for the first part of the name of a task, as in the original.
SUITES = {'atari': 1e6, 'dmc': 1e4, 'crafter': 1e4}
COUNT = 30  # About as many bins, where a suite has no width.
FEW = 60  # Points of a run up to which it has none there.
FILLS = {
    'none': 'ends with its last point',
    'last': 'counts on with its last value'}


def width(runs: Sequence[Run], xaxis: str = 'step') -> float:
  """Returns a width of bins for the runs of a task.

  Args:
    runs: with at least a point each.
    xaxis: name of the metric on the x axis.

  Returns:
    That of the suite if the axis has steps and at least two bins fit in; else
    0, for no bins, if each run has few points, as those of evaluations are;
    else a round one of which about COUNT fit into the longest run.
  """
  longest = max(abs(float(run.xs[-1])) for run in runs)
  suite = SUITES.get(runs[0].task.partition('_')[0], 0)
  if xaxis == 'step' and suite and longest >= 2 * suite:
    return suite
  if max(len(run.xs) for run in runs) <= FEW:
    return 0.0
  return nice(longest / COUNT)


def nice(value: float) -> float:
  """Returns the largest of 1, 2, 2.5, 5, 10, 20 ... that is at most `value`."""
  if value <= 0:
    return 0.0
  power = 10.0 ** np.floor(np.log10(value))
  return float(max(x for x in (1, 2, 2.5, 5) if x * power <= value * (
      1 + 1e-9)) * power)


def binned(run: Run, size: float) -> Run:
  """Returns a run with the mean of each bin that holds points, at its end.

  Args:
    run: its points.
    size: width of the bins; 0: none, the run stays as it is.
  """
  if not size:
    return run
  # What is computed as 3.0000000001 bins is 3.
  numbers = np.maximum(np.ceil(run.xs / size - 1e-9), 1)
  xs, ys = metrics.merged(numbers * size, run.ys)
  return run._replace(xs=xs, ys=ys)


def stack(
    runs: Iterable[Run], fill: str = 'none') -> tuple[np.ndarray, np.ndarray]:
  """Puts runs on one grid, that of all their points.

  Between two points of a run lies a straight line, before its first point
  nothing.

  Args:
    runs: at least one.
    fill: a key of FILLS, what is after the last point of a run.

  Returns:
    xs: [points], rising; ys: [runs, points], NaN where a run has nothing.
  """
  runs = list(runs)
  grid = np.unique(np.concatenate([run.xs for run in runs]))
  right = np.nan if fill == 'none' else None
  return grid, np.stack([
      np.interp(grid, run.xs, run.ys, left=np.nan, right=right)
      for run in runs])
