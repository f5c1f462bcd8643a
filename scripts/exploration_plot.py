"""Picture of exploration.py: visits in each cell, and how many are seen."""

from collections.abc import Mapping, Sequence
import pathlib
from typing import Any

import exploration_world as world
import numpy as np

from dreamerv2_tf.curves import draw, stats, style

COLUMNS = 4  # Maps beside each other.
WIDTH = 2.0  # Inches of a map.
HEIGHT = 3.4  # Inches of the curves.
DPI = 110
WALL = '#8c8c8c'


def draw_figure(walks: Mapping[str, Sequence[Any]]) -> Any:
  """Returns a matplotlib figure.

  Args:
    walks: behaviour -> Walks of its seeds; `uniform` is the level to compare
      with.
  """
  from matplotlib.figure import Figure
  rows = -(-len(walks) // COLUMNS)
  figure = Figure(
      (WIDTH * COLUMNS, (WIDTH + 0.25) * rows + HEIGHT), layout='constrained')
  maps, below = figure.subfigures(
      2, 1, height_ratios=[(WIDTH + 0.25) * rows, HEIGHT])
  axes = maps.subplots(rows, COLUMNS, squeeze=False).ravel()
  for axis in axes:
    axis.axis('off')
  # Walks of many seeds would fill more cells than those of few.
  seeds = min(map(len, walks.values()))
  for axis, (name, some) in zip(axes, walks.items()):
    _map(axis, name, np.sum([x.visits for x in some[:seeds]], 0))
  _curves(below.subplots(), walks)
  return figure


def draw_to(walks: Mapping[str, Sequence[Any]], path: pathlib.Path) -> None:
  """Writes the figure as a PNG.

  Raises:
    OSError: it can not be written.
  """
  draw.save(draw_figure(walks), path.with_suffix(''), DPI, ['png'])


def _map(axis, name, visits):
  """Draws the visits of each cell, on a scale of powers; white: none."""
  from matplotlib.colors import LogNorm
  free = np.array([
      [world.is_free(x, y) for y in range(world.SIZE)]
      for x in range(world.SIZE)])
  axis.set_title(name, fontsize=draw.FONT)
  walls = np.where(free, np.nan, 1)
  # The first index is to the right, the second upwards.
  axis.imshow(walls.T, origin='lower', cmap=_single(WALL))
  shown = np.where(visits > 0, visits, np.nan)
  axis.imshow(
      shown.T, origin='lower', cmap='viridis_r',
      norm=LogNorm(0.5, max(2.0, float(visits.sum()) / 10)))
  size = world.SIZE
  axis.plot(
      [-0.5, size - 0.5, size - 0.5, -0.5, -0.5],
      [-0.5, -0.5, size - 0.5, size - 0.5, -0.5], color=WALL, linewidth=1)


def _single(color):
  from matplotlib.colors import ListedColormap
  return ListedColormap([color])


def _curves(axis, walks):
  """Draws the share of cells over the steps: mean, lowest and highest."""
  names = [name for name in walks if name != 'uniform']
  colors = {
      **style.colors(names, ('contrast',), {}), 'uniform': '#222222'}
  for name, some in walks.items():
    length = min(len(x.share) for x in some)
    low, middle, high = stats.band(
        100 * np.array([x.share[:length] for x in some]), 'minmax')
    steps = 1 + np.arange(length)
    axis.fill_between(
        steps, low, high, color=colors[name], alpha=0.18, linewidth=0)
    axis.plot(
        steps, middle, color=colors[name], linewidth=1.4,
        linestyle='--' if name == 'uniform' else '-',
        label=style.counted(name, [len(some)]))
  axis.set_xlabel('environment steps', fontsize=draw.FONT)
  axis.set_ylabel('cells seen (%)', fontsize=draw.FONT)
  axis.tick_params(labelsize=draw.FONT - 1)
  axis.set_ylim(bottom=0)
  axis.grid(alpha=0.25, linewidth=0.6)
  for side in 'top', 'right':
    axis.spines[side].set_visible(False)
  axis.legend(fontsize=draw.FONT - 1, frameon=False, ncols=2)
