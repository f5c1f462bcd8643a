"""Draws panels of curves: a line for each method, its seeds shaded."""

from collections.abc import Mapping, Sequence
import dataclasses
import math
import os
import pathlib
from typing import Any
import warnings

import numpy as np

from .. import files
from ..errors import ConfigError
from . import bins, stats, style
from .scores import Baseline, Run

FONT = 9  # Points.
SIZES = (5.0, 3.4), (2.5, 2.3)  # Inches of a panel: of one or two, of more.
MARK = 3.2  # Size of a marker, points.
FEW = 40  # Points up to which each has a marker.
PIXELS = 2e8  # Most of a PNG; they take a gigabyte of memory.
LINES = 'none'  # Of --agg: a line for each seed.


@dataclasses.dataclass(frozen=True)
class Panel:
  """One part of a figure.

  Attributes:
    title: above it.
    runs: its curves, already in bins.
    levels: its horizontal lines.
    tinted: whether it has a grey ground, as it shows no single task.
    counts: whether its runs are seeds of the methods.
  """

  title: str
  runs: Sequence[Run]
  levels: Sequence[Baseline] = ()
  tinted: bool = False
  counts: bool = True


@dataclasses.dataclass(frozen=True)
class Look:
  """How a figure is drawn.

  Attributes:
    methods: in their order, to labels.
    colors: of the methods and levels.
    xlabel, ylabel: at the axes.
    agg: a key of `stats.BANDS`, or 'none' for a line for each seed.
    fill: a key of `bins.FILLS`.
    size: inches of a panel, width and height; empty: of SIZES.
    cols: most panels side by side.
    legendcols: most columns of the legend.
    xlim, ylim: ends of the axes; empty: by the curves.
    xticks, yticks: about how many numbers there are at an axis.
    ylimticks: whether the ends of ylim are among them.
    divisor: of x when it is shown.
    origin: whether the x axis begins at 0.
  """

  methods: Mapping[str, str]
  colors: Mapping[str, str]
  xlabel: str = ''
  ylabel: str = ''
  agg: str = 'std1'
  fill: str = 'none'
  size: Sequence[float] = ()
  cols: int = 6
  legendcols: int = 4
  xlim: Sequence[float] = ()
  ylim: Sequence[float] = ()
  xticks: int = 6
  yticks: int = 5
  ylimticks: bool = True
  divisor: float = 1
  origin: bool = True


def figure(panels: Sequence[Panel], look: Look) -> Any:
  """Returns a matplotlib figure.

  Args:
    panels: at least one, in their order.
    look: how they are drawn.
  """
  from matplotlib.figure import Figure
  rows = math.ceil(len(panels) / look.cols)
  cols = math.ceil(len(panels) / rows)  # No more than fill the rows.
  width, height = look.size or SIZES[len(panels) > 2]
  entries = _entries(panels, look)
  count, labels = style.columns(
      [label for label, _ in entries], width * cols, look.legendcols, FONT
  ) if entries else (1, [])
  lines = sum(
      max(label.count('\n') + 1 for label in labels[row::per])
      for per in [math.ceil(len(labels) / count)] for row in range(per))
  result = Figure(
      (width * cols, height * rows + (1.35 * lines + 1) * FONT / 72),
      layout='constrained')
  axes = result.subplots(rows, cols, squeeze=False)
  for number, axis in enumerate(axes.flat):
    if number >= len(panels):
      axis.axis('off')
      continue
    _panel(axis, panels[number], look)
    if number + cols >= len(panels):  # None below it.
      axis.set_xlabel(look.xlabel, fontsize=FONT)
    if number % cols == 0 and not panels[number].tinted:
      axis.set_ylabel(look.ylabel, fontsize=FONT)
  if entries:
    _legend(result, [options for _, options in entries], labels, count)
  return result


def check(result: Any, dpi: int) -> None:
  """Refuses pictures that no memory holds.

  Args:
    result: of `figure`.
    dpi: dots per inch of the PNG.

  Raises:
    ConfigError: it is too large.
  """
  width, height = (float(x) * dpi for x in result.get_size_inches())
  if width * height > PIXELS:
    raise ConfigError(
        f'The picture would have {width:,.0f} x {height:,.0f} pixels; at most '
        f'{PIXELS:,.0f} can be drawn. Lower --size or --dpi.')


def save(
    result: Any, start: str | os.PathLike, dpi: int,
    kinds: Sequence[str] = ('png', 'pdf')) -> list[pathlib.Path]:
  """Writes START.png and START.pdf; returns their paths.

  Args:
    result: of `figure`.
    start: path without its ending.
    dpi: dots per inch of the PNG.
    kinds: which of them.

  Raises:
    OSError: they can not be written.
  """
  import matplotlib
  written = []
  for kind in kinds:
    options = {'dpi': dpi} if kind == 'png' else {
        'metadata': {'CreationDate': None}}
    path = pathlib.Path(f'{start}.{kind}')
    # Publishers want fonts that are whole, of type 42.
    with matplotlib.rc_context({'pdf.fonttype': 42}), (
        warnings.catch_warnings()):
      # Letters that the font lacks are boxes.
      warnings.filterwarnings('ignore', 'Glyph .* missing from font')
      files.write(path, lambda file: result.savefig(
          file, format=kind, **options))  # noqa: B023 - called at once.
    written.append(path)
  return written


def shaded(panels: Sequence[Panel], look: Look) -> bool:
  """Tells whether some curve is of several seeds, and shows it."""
  methods = [[run.method for run in panel.runs] for panel in panels]
  return look.agg != LINES and any(len(set(x)) < len(x) for x in methods)


def ended(panels: Sequence[Panel], look: Look) -> bool:
  """Tells whether some curve goes on where a seed has ended."""
  for panel in panels:
    for method in {run.method for run in panel.runs}:
      _, ys = bins.stack(
          [x for x in panel.runs if x.method == method], look.fill)
      if look.agg != LINES and not np.isfinite(ys[:, -1]).all():
        return True
  return False


def _panel(axis, panel, look):
  """Draws one panel."""
  from matplotlib.ticker import FuncFormatter, MaxNLocator
  axis.set_title(panel.title, fontsize=FONT + 1)
  if panel.tinted:
    axis.set_facecolor('0.95')
  for index, method in enumerate(look.methods):
    some = [run for run in panel.runs if run.method == method]
    if some:
      some = [run._replace(xs=run.xs / look.divisor) for run in some]
      marker = style.marker(index)
      color = look.colors[method]
      if not panel.counts:  # A number of runs is that up to the point.
        [run] = some
        axis.plot(run.xs, run.ys, color=color, drawstyle='steps-pre')
      elif look.agg == LINES:
        for run in some:
          _line(
              axis, run.xs, run.ys, len(run.xs), color=color, marker=marker,
              zorder=100 - index)
      else:
        _area(axis, some, look, color, marker, 100 - index)
    scores = [x.score for x in panel.levels if x.method == method]
    if scores:
      axis.axhline(
          np.mean(scores), color=look.colors[method],
          linestyle=style.dashes(index), linewidth=1.2, zorder=2)
  steps = [1, 2, 2.5, 5, 10]
  for side, count in (axis.xaxis, look.xticks), (axis.yaxis, look.yticks):
    side.set_major_locator(MaxNLocator(count, steps=steps))
    side.set_major_formatter(FuncFormatter(lambda x, _: style.number(x)))
  axis.tick_params(labelsize=FONT - 1)
  for side in 'top', 'right':
    axis.spines[side].set_visible(False)
  axis.grid(alpha=0.25, linewidth=0.6)
  _limits(axis, panel, look)


def _limits(axis, panel, look):
  """Sets the ends of the axes."""
  if look.xlim:
    axis.set_xlim(*(x / look.divisor for x in look.xlim))
  elif panel.runs:
    ends = [x / look.divisor for run in panel.runs for x in run.xs[[0, -1]]]
    low = min(0 if look.origin else math.inf, *ends)
    margin = 0.03 * (max(ends) - low) or 1.0
    near = min(ends) < low + margin / 3  # Its marker would be cut.
    axis.set_xlim(low - margin * near, max(ends) + margin)
  if look.ylim and not panel.tinted:
    if look.ylimticks:
      low, high = sorted(look.ylim)
      inside = [x for x in axis.get_yticks() if low <= x <= high]
      axis.set_yticks(sorted({*inside, low, high}))
    axis.set_ylim(*look.ylim)


def _area(axis, some, look, color, marker, order):
  """Draws the middle of some seeds and, around it, how they differ."""
  xs, ys = bins.stack(some, look.fill)
  low, middle, high = stats.band(ys, look.agg)
  several = np.isfinite(ys).sum(0) > 1
  axis.fill_between(
      xs, low, high, several, color=color, alpha=0.18, linewidth=0,
      zorder=order - 50)
  whole = np.isfinite(ys).all(0)
  if not whole.all():
    # Dotted, up to the next point where all seeds are.
    near = ~whole
    near[1:] |= ~whole[:-1]
    near[:-1] |= ~whole[1:]
    _line(
        axis, xs, np.where(near, middle, np.nan), len(xs), color=color,
        marker=marker, zorder=order - 1, linestyle=':')
  _line(
      axis, xs, np.where(whole, middle, np.nan), len(xs), color=color,
      marker=marker, zorder=order)


def _line(axis, xs, ys, count, **options):
  """Draws points, with markers if they are few or have no neighbours."""
  there = np.isfinite(ys)
  if not there.any():
    return
  padded = np.pad(there, 1)
  alone = there & ~padded[:-2] & ~padded[2:]
  shown = there if count <= FEW else alone
  axis.plot(
      xs, ys, linewidth=1.4, markersize=MARK,
      markevery=np.flatnonzero(shown), **options)


def _entries(panels, look):
  """Returns the label and the line of each method in the legend."""
  result = []
  for index, (method, label) in enumerate(look.methods.items()):
    counts = [
        sum(run.method == method for run in panel.runs)
        for panel in panels if panel.counts and not panel.tinted]
    counts = [x for x in counts if x]
    scores = [
        x.score for panel in panels for x in panel.levels
        if x.method == method]
    line = {'color': look.colors[method], 'linewidth': 1.4}
    if counts:
      result.append((style.counted(label, counts), {
          **line, 'marker': style.marker(index), 'markersize': MARK}))
    elif scores:
      value = f': {np.mean(scores):.4g}' * (len(panels) == 1)
      result.append((label + value, {
          **line, 'linestyle': style.dashes(index)}))
  return result


def _legend(result, lines, labels, count):
  """Puts one legend for all panels below them."""
  from matplotlib.lines import Line2D
  result.legend(
      [Line2D([], [], **line) for line in lines], labels,
      loc='outside lower center', ncols=count, frameon=False, fontsize=FONT,
      handlelength=2, columnspacing=1.2, labelspacing=0.3)
