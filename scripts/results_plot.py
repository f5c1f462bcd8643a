"""Learning curves of results.py."""

from collections.abc import Mapping, Sequence
import pathlib
from typing import Any

import numpy as np
from results_read import Row

from dreamerv2_tf.curves import draw, metrics, style
from dreamerv2_tf.curves.scores import Baseline, Run

MOST = 6  # Curves in a plot; of more, the methods with the best final scores.
BELOW = 5  # Return below the level of no skill where the axis may begin.
STEPS, TIME = 0, 1
SIZE = 8, 4.2  # Inches.
DPI = 110


def plot(
    task: str, rows: Sequence[Row], levels: Mapping[str, float], axis: int,
    path: pathlib.Path) -> None:
  """Draws learning curves: mean over seeds, shaded from lowest to highest.

  Args:
    task: the title.
    rows: the best first.
    levels: label -> return of a policy that does not learn, a horizontal line;
      the first is the one without any skill.
    axis: STEPS, or TIME in minutes.
    path: of the PNG.
  """
  runs = curves(task, rows, axis)
  methods = list(dict.fromkeys(run.method for run in runs))
  panel = draw.Panel(style.title(task), runs, [
      Baseline(task, label, level, path) for label, level in levels.items()])
  seen = [*levels.values(), *(y for run in runs for y in run.ys)]
  look = draw.Look(
      {label: label for label in (*methods, *levels)},
      {**style.colors(methods, ('contrast',), {}),
       **style.colors([*levels], ('baselines',), {})},
      'minutes of training' if axis == TIME else 'environment steps',
      'return of the evaluations in training', agg='minmax', size=SIZE,
      legendcols=2, ylim=limits(seen, next(iter(levels.values()), None)),
      ylimticks=False)
  draw.save(draw.figure([panel], look), path.with_suffix(''), DPI, ['png'])


def curves(task: str, rows: Sequence[Row], axis: int) -> list[Run]:
  """Returns what is drawn: each method and length once, the best few.

  Args:
    task: of the runs.
    rows: the best first.
    axis: STEPS, or TIME in minutes.

  Returns:
    A run of each seed, called by its method and length.
  """
  groups = {}
  for row in rows:
    seeds = groups.setdefault((row.method, row.asked), {})
    for run in row.runs:
      if run['curve'] and run['curve'][0][axis] is not None:
        seeds.setdefault(run['seed'], run)
  drawn = [(key, seeds) for key, seeds in groups.items() if seeds][:MOST]
  return [
      Run(task, _label(*key, seeds, axis), f'{seed}', *_points(
          run['curve'], axis), pathlib.Path())
      for key, seeds in drawn for seed, run in seeds.items()]


def limits(
    values: Sequence[float], level: float | None) -> tuple[float, float]:
  """Returns the ends of the axis of returns.

  All values are within, but for what is far below the level of no skill.
  """
  if not values:  # No run was evaluated in training.
    return 0.0, 1.0
  low, high = min(values), max(values)
  if level is not None:
    low = max(low, level - BELOW)
  margin = 0.06 * (high - low) or 1.0
  return low - margin, high + margin


def _points(curve, axis):
  scale = 60 if axis == TIME else 1
  return metrics.merged(
      np.array([point[axis] for point in curve]) / scale,
      [point[2] for point in curve])


def _label(method: str, asked: int, seeds: Mapping[Any, Mapping], axis: int):
  parts = [method, *[f'{asked:,} steps'] * bool(asked)]
  if axis == TIME and any(run['inclusive'] for run in seeds.values()):
    parts.append('minutes with evaluations')
  return ', '.join(parts)
