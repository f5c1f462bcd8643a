"""Pictures of the comparison: curves in small multiples, and the road."""

from collections.abc import Mapping
import pathlib
from typing import Any

import numpy as np

from .. import files
from ..curves.style import plain
from . import published
from .text import OTHERS, cut
from .yours import ATARI

OURS, PAPER, OTHER = '#c0392b', '#1f5f99', '#888888'
COLUMNS = 5
SHOWN = 1.5  # Times what yours reached: what is shown of the paper's curve.
ROW = 0.32  # Inches.


def curves(one: Mapping[str, Any], title: str, path: pathlib.Path) -> None:
  """Draws each task: yours, a line for each seed, on the paper's curve.

  Args:
    one: of `compare.section`.
    title: of the picture.
    path: PNG file.
  """
  tasks = {k: x['rows'] for k, x in one['tasks'].items() if x['rows']}
  columns = min(COLUMNS, len(tasks))
  lines = -(-len(tasks) // columns)
  figure, axes = _figure(
      (max(5, 3 * columns), 2.4 * lines + 0.9), (lines, columns))
  for axis in axes[len(tasks):]:
    axis.set_axis_off()
  for axis, (name, rows) in zip(axes, tasks.items()):
    _curve(axis, name, rows, _published(one['suite'], name), one['smooth'])
  handles, labels = axes[0].get_legend_handles_labels()
  figure.legend(
      handles, labels, loc='outside lower center',
      ncols=2 if columns < 3 else 4, frameon=False, fontsize=8)
  figure.suptitle(
      f'{plain(cut(title, 34 * columns))}\nreturn against million frames',
      fontsize=10)
  _save(figure, path)


def road(results: Mapping[str, Any], path: pathlib.Path) -> None:
  """Draws the returns in highway-env with intervals, the best on top.

  Args:
    results: of `compare.on_the_road`.
    path: PNG file.
  """
  rows = results['rows'][::-1]
  figure, (axis,) = _figure((8, ROW * len(rows) + 1.4), (1, 1))
  for place, row in enumerate(rows):
    low, high = row['return_ci95']
    color = OURS if row['yours'] else PAPER if row['steps'] else OTHER
    axis.plot([low, high], [place, place], color=color, linewidth=2)
    axis.plot([row['return']], [place], 'o', color=color, markersize=5)
    axis.annotate(
        f" {row['return']:.1f}", (high, place), va='center', fontsize=8)
  axis.set_yticks(range(len(rows)), [
      plain(cut(('yours: ' if row['yours'] else '') + row['label'], 44))
      for row in rows], fontsize=8)
  for tick, row in zip(axis.get_yticklabels(), rows):
    tick.set_color(OURS if row['yours'] else 'black')
  axis.set_xlim(0, 30)
  axis.set_xlabel(
      f"return of {results['episodes']} episodes (at most 30), mean and 95 % "
      'interval', fontsize=8)
  axis.set_title(results['task'], fontsize=10)
  axis.grid(axis='x', alpha=0.3)
  _save(figure, path)


def _curve(axis, name, rows, points, smooth):
  """Draws one task."""
  end = rows[-1]['frames'] * SHOWN
  points = [x for x in points if x.frames <= end]
  xs = np.array([x.frames for x in points]) / 1e6
  ys = np.array([x.smooth if smooth else x.mean for x in points])
  std = np.array([x.std for x in points])
  axis.fill_between(
      xs, ys - std, ys + std, color=PAPER, alpha=0.2, linewidth=0)
  axis.plot(xs, ys, color=PAPER, label='paper, mean and std of its seeds')
  for other, style in ('rainbow', '--'), ('iqn', ':'):
    known = [(x['frames'] / 1e6, x['others'][other]) for x in rows
             if other in x['others']]
    if known:
      axis.plot(*zip(*known), style, color=OTHER, label=OTHERS[other])
  seeds = {seed for row in rows for seed in row['seeds']}
  for seed in sorted(seeds) if len(seeds) > 1 else ():
    axis.plot(*zip(*(
        (row['frames'] / 1e6, row['seeds'][seed]) for row in rows
        if seed in row['seeds'])), color=OURS, alpha=0.4, linewidth=0.8)
  axis.plot(
      [row['frames'] / 1e6 for row in rows], [row['yours'] for row in rows],
      '.-', color=OURS, label='yours')
  axis.set_title(name, fontsize=9)
  axis.tick_params(labelsize=7)
  axis.grid(alpha=0.3)


def _published(suite, name):
  if suite == ATARI:
    return published.curves()[name]
  return published.dmc().get(name) or published.extra()[f'dmc_{name}']


def _figure(size, shape):
  """Returns a figure without a window, and its axes in one list."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure
  figure = Figure(figsize=size, layout='constrained')
  FigureCanvasAgg(figure)
  return figure, figure.subplots(*shape, squeeze=False).ravel()


def _save(figure, path):
  files.write(
      path, lambda file: figure.savefig(file, format='png', dpi=120))
