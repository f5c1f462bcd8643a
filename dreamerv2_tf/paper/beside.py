"""Puts the runs of a task beside its published curve, at the same frames.

A value of yours at a published point is the mean of what lies in the bin that
ends there, (x - width, x], which is how the published ones were made. Nothing
is interpolated. Points of the published grid are left out if a run has nothing
in their bin, or stopped before its end.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..curves import stats
from .published import LAST, Final, Point
from .yours import Mine


class Grid(NamedTuple):
  """How a suite was put into bins.

  Attributes:
    width: of a bin, frames.
    smooth: bins up to a point that its smoothed value is the mean of.
    start: frames from which on there are as many.
    end: frames of the last point that counts as the result; None: the last.
    episodes: that a published point is the mean of, within a bin and seed.
  """

  width: int
  smooth: int
  start: int
  end: int | None
  episodes: int


GRIDS = {
    'atari': Grid(1_000_000, 10, 10_000_000, LAST, 10),
    'dmc': Grid(30_000, 3, 90_000, None, 30)}
WIDE = Grid(300_000, 1, 0, None, 0)  # Of humanoid_walk, as fine as its grid.


SLACK = 0.1  # Of a bin: steps are logged when an episode ends.


class Value(NamedTuple):
  """The mean of a run in a bin, and of how many rows."""

  mean: float
  rows: int


def value(
    run: Mine, frames: int, grid: Grid, smooth: bool = False) -> Value | None:
  """Returns what a run has at a published point; None if nothing.

  Args:
    run: one of yours.
    frames: the point.
    grid: whose bins count.
    smooth: the mean of the bins that are published as one smoothed value.
  """
  if run.reached < frames - SLACK * grid.width:
    return None
  count = grid.smooth if smooth and frames >= grid.start else 1
  means, rows = [], 0
  for index in range(count):
    high = frames - index * grid.width
    inside = (run.frames > high - grid.width) & (run.frames <= high)
    if inside.any():
      means.append(run.values[inside].mean())
      rows += int(inside.sum())
  return Value(float(np.mean(means)), rows) if means else None


def compare(
    mine: Sequence[Mine], curve: Sequence[Point], grid: Grid,
    others: Mapping[str, Mapping[int, float]] = {},  # noqa: B006
    smooth: bool = False) -> list[dict[str, Any]]:
  """Returns a row for each published point that your runs reached.

  Args:
    mine: runs of one task, a seed each.
    curve: the published one.
    grid: of its suite.
    others: name of another method to frames to its mean return.
    smooth: of `value`.

  Returns:
    `frames`; `yours`: mean over seeds; `seeds`: seed to its mean; `rows`: of
    metrics in the bin, the fewest of a seed; `ci95`: of the mean over seeds,
    None for one seed; `paper`, `paper_std`, `paper_seeds`, `paper_complete`;
    `distance`: yours minus the paper's in its standard deviations, None if
    that is 0; `others`.
  """
  result = []
  for point in curve:
    values = {run.seed: value(run, point.frames, grid, smooth) for run in mine}
    values = {seed: x for seed, x in values.items() if x}
    if not values:
      continue
    means = [x.mean for x in values.values()]
    paper = point.smooth if smooth else point.mean
    mean = float(np.mean(means))
    result.append({
        'frames': point.frames, 'yours': mean,
        'seeds': {seed: x.mean for seed, x in values.items()},
        'rows': min(x.rows for x in values.values()),
        'ci95': interval(means), 'paper': paper, 'paper_std': point.std,
        'paper_seeds': point.seeds, 'paper_complete': point.complete,
        'distance': (mean - paper) / point.std if point.std else None,
        'others': {
            name: found[point.frames] for name, found in others.items()
            if point.frames in found}})
  return result


def end(
    rows: Sequence[Mapping[str, Any]], published: Mapping[int, Final],
    smooth: bool = False) -> dict[str, Any] | None:
  """Returns your runs beside each published one at the end, if they got there.

  Args:
    rows: of `compare`.
    published: seed to its end.
    smooth: of `value`.

  Returns:
    `yours`, `ci95`, `paper`: mean over seeds; `paper_ci95`; `paper_runs`: their
    returns, sorted; `above`: how many of them yours exceeds.
  """
  found = [row for row in rows if row['frames'] == LAST]
  if not found:
    return None
  theirs = sorted(
      x.smooth if smooth else x.score for x in published.values())
  return {
      'yours': found[0]['yours'], 'ci95': found[0]['ci95'],
      'paper': float(np.mean(theirs)), 'paper_ci95': interval(theirs),
      'paper_runs': theirs,
      'above': sum(x < found[0]['yours'] for x in theirs)}


def interval(values: Sequence[float]) -> list[float] | None:
  """Returns the 95 % interval of the mean over seeds; None for one seed."""
  if len(values) < 2:
    return None
  rng = np.random.default_rng(0)
  drawn = rng.integers(len(values), size=(stats.SAMPLES, len(values)))
  return stats.interval(np.asarray(values)[drawn].mean(-1))
