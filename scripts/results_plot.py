"""Learning curves of results.py."""

from collections.abc import Mapping, Sequence
import pathlib
import textwrap
from typing import Any

import numpy as np
from results_read import Row

from dreamerv2_tf import files

MOST = 6  # Curves in a plot; of more, the methods with the best final scores.
BELOW = 5  # Return below the level of no skill where the axis may begin.
STEPS, TIME = 0, 1


def plot(
    rows: Sequence[Row], levels: Mapping[str, float], axis: int,
    path: pathlib.Path) -> None:
  """Draws learning curves: mean over seeds, shaded from lowest to highest.

  Args:
    rows: the best first.
    levels: label -> return of a policy that does not learn, a horizontal line;
      the first is the one without any skill.
    axis: STEPS, or TIME in minutes.
    path: of the PNG.
  """
  import matplotlib
  matplotlib.use('Agg')
  from matplotlib import pyplot
  figure, axes = pyplot.subplots(figsize=(8, 5), layout='constrained')
  seen = list(levels.values())
  for label, x, lines in curves(rows, axis):
    mean = lines.mean(0)
    [line] = axes.plot(
        x, mean, marker='o', markersize=3.5, label=textwrap.fill(label, 80))
    axes.fill_between(
        x, lines.min(0), lines.max(0), color=line.get_color(), alpha=0.2,
        linewidth=0)
    seen += [lines.min(), lines.max()]
  for label, level in levels.items():
    axes.axhline(level, color='dimgray', linewidth=1, linestyle='--')
    axes.annotate(
        f'{label}: {level:.1f}', (1, level), (-4, 3), color='dimgray',
        xycoords=axes.get_yaxis_transform(), textcoords='offset points',
        fontsize='small', ha='right', va='bottom',
        bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1,
              'alpha': 0.8})
  axes.set_ylim(*limits(seen, next(iter(levels.values()), None)))
  axes.set_xlim(left=0)
  axes.set_xlabel(
      'minutes of training' if axis == TIME else 'environment steps')
  axes.set_ylabel('return of the evaluations in training')
  axes.xaxis.set_major_formatter(lambda value, _: f'{value:,.0f}')
  axes.grid(alpha=0.3)
  if axes.lines[len(levels):]:
    figure.legend(loc='outside lower center', fontsize='small', frameon=False)
  files.write(path, lambda file: figure.savefig(file, format='png', dpi=110))
  pyplot.close(figure)


def curves(
    rows: Sequence[Row], axis: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
  """Returns what is drawn: each method and length once, the best few.

  Args:
    rows: the best first.
    axis: STEPS, or TIME in minutes.

  Returns:
    Label; [points]; return of each seed there, [seeds, points]: at the first
    seed's own evaluations within what all seeds have, others interpolated.
  """
  groups = {}
  for row in rows:
    seeds = groups.setdefault((row.method, row.asked), {})
    for run in row.runs:
      if run['curve'] and run['curve'][0][axis] is not None:
        seeds.setdefault(run['seed'], run)
  result = []
  for (method, asked), seeds in groups.items():
    if not seeds or len(result) == MOST:
      continue
    lines = [_points(run['curve'], axis) for run in seeds.values()]
    low, high = max(x[0] for x, _ in lines), min(x[-1] for x, _ in lines)
    grid = np.array([x for x in lines[0][0] if low <= x <= high])
    if not len(grid):
      continue
    result.append((
        _label(method, asked, seeds, axis), grid,
        np.array([np.interp(grid, *line) for line in lines])))
  return result


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
  return (
      np.array([point[axis] for point in curve]) / scale,
      np.array([point[2] for point in curve]))


def _label(method: str, asked: int, seeds: Mapping[Any, Mapping], axis: int):
  parts = [method, *[f'{asked:,} steps'] * bool(asked)]
  known = [str(seed) for seed in sorted(seeds, key=lambda x: x or 0)]
  parts.append(f"seed{'s' * (len(known) > 1)} {', '.join(known)}")
  if axis == TIME and any(run['inclusive'] for run in seeds.values()):
    parts.append('minutes with evaluations')
  return ', '.join(parts)
