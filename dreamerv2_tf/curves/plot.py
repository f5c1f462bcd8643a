"""From runs on disk to a figure and the JSON of what it shows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import math
import pathlib
from typing import Any

import numpy as np

from .. import files
from ..errors import ConfigError, StorageError
from ..schema import suggest
from . import bins, combine, draw, metrics, runs, scores, stats, style
from .scores import Baseline, Run

Tell = Callable[[str], None]
SUGGESTED = 12  # Names in a message.


def work(
    options: Mapping[str, Any], reference: Iterable[Baseline],
    tell: Tell) -> Iterator[str]:
  """Reads, draws and writes; yields lines that say what.

  Args:
    options: values of the flags of `dreamerv2 plot`, patterns compiled.
    reference: known scores of humans, random policies and others; they count
      rather than those of a score file.
    tell: takes messages of what is left out, and why.

  Raises:
    ConfigError: there is nothing to draw.
    StorageError: a file can not be written.
  """
  found, levels = read(options, tell)
  shown = [run for run in found if run.method in {*style.ordered(
      options['methods'], (x.method for x in found))}]
  if 'return' in options['yaxis']:
    levels = merged(levels, reference, {run.task for run in shown}, tell)
  panels = list(_panels(shown, levels, options, tell))
  look = _look(panels, shown, options, tell)
  figure = draw.figure(panels, look)
  draw.check(figure, options['dpi'])
  folder, start = options['outdir'], _name(options)
  data = folder / f'{start.replace("curves", "runs", 1)}.json'
  try:
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(data, scores.dump(shown))
    pictures = draw.save(figure, folder / start, options['dpi'])
  except OSError as error:
    raise StorageError(
        f'Can not write {error.filename or folder}: {error.strerror}.'
    ) from error
  yield from _summary(shown, options)
  if draw.shaded(panels, look):
    yield f"Shaded: {stats.BANDS[options['agg']]}."
  if draw.ended(panels, look):
    yield 'Dotted: where not all seeds are.'
  yield from map(str, [*pictures, data])


def read(
    options: Mapping[str, Any],
    tell: Tell) -> tuple[list[Run], list[Baseline]]:
  """Returns the runs to draw, in bins, and all levels that were found.

  Args:
    options: of `work`.
    tell: takes messages.

  Raises:
    ConfigError: there is none.
  """
  places = ', '.join(map(str, options['indir']))
  found = runs.find(
      options['indir'], tell, by=options['by'], prefix=options['prefix'])
  learning = [x for x in found if x.learns]
  if not learning:
    raise ConfigError(
        f'No runs to plot: no {metrics.NAME} and no score file with runs in or '
        f'below {places}.')
  matches = lambda patterns, text: any(x.search(text) for x in patterns)
  chosen = [
      x for x in learning if matches(options['tasks'], x.task)
      and matches(options['methods'], x.method)]
  if not chosen:
    raise ConfigError(
        'No runs to plot: --tasks and --methods match none of '
        f'{len(learning)}. Tasks: {_some(x.task for x in learning)} '
        f'Methods: {_some(x.method for x in learning)}')
  others = [x for x in found if not x.learns]
  result, levels = runs.points(
      [*runs.once(chosen, tell), *others], options['xaxis'], options['yaxis'],
      tell, options['maxval'])
  if not result:
    raise ConfigError(_no_metric(chosen, options))
  factor = options['xmult']
  result = [run._replace(xs=run.xs * factor) for run in result]
  return list(_in_bins(result, options, tell)), levels


def merged(
    levels: Iterable[Baseline], reference: Iterable[Baseline],
    tasks: set[str], tell: Tell) -> list[Baseline]:
  """Adds known scores to those that were found, and takes them if they differ.

  Args:
    levels: that were found.
    reference: known scores.
    tasks: that are of interest.
    tell: takes a message of each score that is another than what is known.
  """
  known = {(x.task, x.method): x for x in reference if x.task in tasks}
  result = list(known.values())
  for level in levels:
    other = known.get((level.task, level.method))
    if other is None:
      result.append(level)
    elif not math.isclose(level.score, other.score, rel_tol=0.01):
      tell(
          f'{level.path}: {level.method} of {level.task} is {level.score:g} '
          f'there; {other.score:g}, as in the paper, counts.')
  return result


def _in_bins(
    found: Sequence[Run], options: Mapping[str, Any],
    tell: Tell) -> Iterator[Run]:
  """Yields the runs in bins, which are the same within a task."""
  tasks: dict[str, list[Run]] = {}
  for run in found:
    tasks.setdefault(run.task, []).append(run)
  for task, group in sorted(tasks.items(), key=lambda x: runs.natural(x[0])):
    repeats = {run.repeat for run in group} - {None}
    if len(repeats) > 1 and options['xaxis'] == 'step':
      tell(
          f'{task}: runs with action repeat '
          f"{' and '.join(map(str, sorted(repeats)))} are in one panel; x is "
          'environment steps in all of them, repeated actions included.')
    size = options['bins']
    if options['nbins']:
      size = max(float(run.xs[-1]) for run in group) / options['nbins']
    elif size == -1:
      size = bins.width(group, options['xaxis'])
    for run in group:
      yield bins.binned(run, max(size, 0))


def _panels(
    shown: Sequence[Run], known: Sequence[Baseline],
    options: Mapping[str, Any], tell: Tell) -> Iterator[draw.Panel]:
  """Yields a panel for each task, then those of all tasks."""
  picked = style.ordered(options['baselines'], (x.method for x in known))
  levels = [x for x in known if x.method in picked]
  for task in dict.fromkeys(run.task for run in shown):
    yield draw.Panel(
        style.title(task), [run for run in shown if run.task == task],
        [x for x in levels if x.task == task])
  tasks = {run.task for run in shown}
  can = any(x.task in tasks and x.method == 'human_gamer' for x in known)
  for name in combine.chosen(options['add'], shown, can):
    if name == combine.SEEDS:
      yield draw.Panel('Runs', combine.count(shown), (), True, False)
      continue
    said: list[str] = []
    mixed = combine.combine(name, shown, known, options['fill'], said.append)
    if mixed or name in options['add']:
      for text in said:
        tell(text)
    if mixed:
      yield draw.Panel(
          combine.COMBINATIONS[name].title, mixed,
          [x for x in combine.levels_of(name, shown, known)
           if x.method in picked], True)


def _look(panels, shown, options, tell):
  """Returns how the figure is drawn; tells of labels that nothing has."""
  methods = style.ordered(options['methods'], (x.method for x in shown))
  folders = {run.method: _folder(run) for run in shown}
  short = style.names(methods, folders)
  present = {x.method for panel in panels for x in panel.levels}
  levels = style.ordered(options['baselines'], present)
  given = options['labels']
  known = {x for method in (*methods, *levels)
           for x in (method, short.get(method, method))}
  for name in 'labels', 'colors':
    for method in options[name].keys() - known:
      tell(f"--{name}: nothing here is named '{method}'. There are "
           f'{_some((*methods, *levels))}')
  labels = {
      x: given.get(x, given.get(short.get(x, x)))
      for x in [*methods, *levels]}
  labels = {
      x: style.plain(short.get(x, x)) if label is None else style.checked(label)
      for x, label in labels.items()}
  colors = {
      x: options['colors'].get(x, options['colors'].get(short.get(x, x)))
      for x in labels}
  colors = {x: color for x, color in colors.items() if color}
  divisor, unit = style.unit(
      options['xaxis'], max(float(run.xs[-1]) for run in shown))
  return draw.Look(
      labels,
      {**style.colors(levels, ('baselines',), colors),
       **style.colors(methods, options['palette'], colors)},
      style.checked(options['xlabel']) or style.axis_label(
          options['xaxis'], (run.repeat for run in shown))
      + f' ({unit})' * bool(unit),
      style.checked(options['ylabel']) or style.axis_label(options['yaxis']),
      divisor=divisor, origin=options['xaxis'].startswith(('step', 'time')),
      **{name: options[name] for name in (
          'agg', 'fill', 'size', 'cols', 'legendcols', 'xlim', 'ylim',
          'xticks', 'yticks', 'ylimticks')})


def _folder(run):
  """Returns the name of the folder of a run, or of its score file."""
  path = pathlib.Path(run.path)
  return path.parent.name if path.name == metrics.NAME else path.stem


def _name(options):
  """Returns the name of the pictures; other metrics than the usual are in it.

  So the plots of one metric stay when those of another are made.
  """
  parts = ['curves']
  parts += [options['yaxis']] * (options['yaxis'] != 'eval_return')
  parts += [options['xaxis']] * (options['xaxis'] != 'step')
  return files.safe_name('-'.join(parts))


def _summary(shown: Sequence[Run], options: Mapping[str, Any]) -> Iterator[str]:
  """Yields how good each method is at the last point that all its seeds have.

  The band is that of --agg, if there is one.
  """
  kind = options['agg'] if options['agg'] in stats.BANDS else 'std1'
  groups: dict[tuple, list[Run]] = {}
  for run in shown:
    groups.setdefault((run.task, run.method), []).append(run)
  last = None
  for (task, method), group in groups.items():
    if task != last:
      yield f"{task}: {options['yaxis']}"
      last = task
    xs, ys = bins.stack(group, options['fill'])
    whole = np.flatnonzero(np.isfinite(ys).all(0))
    seeds = f"seed{'s' * (len(group) > 1)} {', '.join(x.seed for x in group)}"
    yield f'  {method}'
    if not len(whole):
      yield f'    {seeds}, which have no point in common'
      continue
    low, middle, high = (
        float(x[whole[-1]]) for x in stats.band(ys, kind))
    spread = f' ({low:.4g} to {high:.4g})' if len(group) > 1 else ''
    yield (
        f'    {middle:.4g}{spread} at {options["xaxis"]} '
        f'{xs[whole[-1]]:,.10g}, {seeds}')


def _some(names):
  """Returns some names, each once, and the point at their end."""
  names = sorted({*names}, key=runs.natural)
  end = ' ...' if len(names) > SUGGESTED else '.'
  return ', '.join(names[:SUGGESTED]) + end


def _no_metric(chosen, options):
  """Says that no run has the metric, and which they have."""
  known = {
      name for item in chosen if not item.score
      for name in metrics.names(metrics.read(item.path).rows)}
  names = options['xaxis'], options['yaxis']
  wrong = next((name for name in names if name not in known), None)
  if wrong is None:
    return (
        f"No runs to plot: none has a row with finite {' and '.join(names)}.")
  return (
      f"No runs to plot: none of {len(chosen)} has the metric '{wrong}'."
      f"{suggest(wrong, known)} They have: {_some(known or ['none yet'])}")
