"""What a sweep found: a table of methods with intervals, and its curves."""

from collections.abc import Mapping, Sequence
import json
import pathlib
from typing import Any

import numpy as np

from .. import files
from ..curves import scores, stats
from . import evaluations, supervisor
from .grid import Trial
from .supervisor import Job

FOLDER = 'results'  # In the folder of a sweep.
CURVES = 'scores.json'


def collect(
    found: Sequence[Trial],
    jobs: Sequence[Job]) -> tuple[list[dict[str, Any]], list[scores.Run]]:
  """Reads all trials.

  Args:
    found: all trials.
    jobs: the same as jobs.

  Returns:
    Rows of the table, the best mean first: task, settings, seeds (how many
    there are, how many have a score), states (of the trials, name to number),
    steps (least and largest of the last evaluations), mean, low and high (of
    the last evaluations and the 95 % interval of the mean; None where there
    are too few), better (probability that a seed of these settings is better
    than one of the best row, 0.5: equal); and the curves.
  """
  runs, states = [], {}
  for trial, job in zip(found, jobs):
    config = trial.config
    key = config.task, trial.method
    states.setdefault(key, []).append(supervisor.record(job)['state'])
    known = evaluations.read(job.folder, config.action_repeat)
    if len(known.steps):
      runs.append(scores.Run(
          config.task, trial.method, str(config.seed), known.steps,
          known.returns, job.folder, config.action_repeat))
  rows = [_row(key, value, runs) for key, value in states.items()]
  rows.sort(key=lambda row: (
      row['task'], row['mean'] is None, -(row['mean'] or 0)))
  best = {}
  for row in rows:
    values = row.pop('values')
    first = best.setdefault(row['task'], values)
    row['better'] = stats.improvement(values, first) if len(values) else None
  return rows, runs


def write(
    folder: pathlib.Path, rows: Sequence[Mapping[str, Any]],
    runs: Sequence[scores.Run]) -> list[pathlib.Path]:
  """Writes table.json, table.md and the curves as a score file.

  Args:
    folder: of the sweep.
    rows, runs: of `collect`.

  Returns:
    The files; the score file is the last.

  Raises:
    OSError: that can not be done.
  """
  place = folder / FOLDER
  place.mkdir(exist_ok=True)
  content = {
      'table.json': json.dumps(list(rows), indent=2) + '\n',
      'table.md': '\n'.join(markdown(rows)) + '\n',
      CURVES: scores.dump(runs)}
  for name, text in content.items():
    files.write_text(place / name, text)
  return [place / name for name in content]


def markdown(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns the table as lines of Markdown."""
  head = (
      'task', 'settings', 'trials', 'eval_return', '95 % interval',
      'better than the first', 'at step')
  lines = [head, ['---'] * len(head)]
  for row in rows:
    low, high = row['steps'] or (None, None)
    lines.append([
        row['task'], row['settings'],
        ', '.join(f'{n} {state}' for state, n in row['states'].items()),
        _show(row['mean']),
        '' if row['low'] is None else
        f"{_show(row['low'])} to {_show(row['high'])}",
        '' if row['better'] is None else f"{100 * row['better']:.0f} %",
        '' if low is None else f'{low:,.0f}' + f' to {high:,.0f}' * (
            low != high)])
  return ['| ' + ' | '.join(line) + ' |' for line in lines]


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns the table for a terminal."""
  cells = [
      [x.strip() for x in line.strip('| ').split(' | ')]
      for line in markdown(rows) if not line.startswith('| ---')]
  widths = [max(map(len, column)) for column in zip(*cells)]
  return [
      '  '.join(f'{x:<{n}}' for x, n in zip(row, widths)).rstrip()
      for row in cells]


def _row(key, states, runs):
  task, method = key
  group = [run for run in runs if (run.task, run.method) == key]
  values = np.array([run.ys[-1] for run in group])
  steps = [float(run.xs[-1]) for run in group]
  low = high = None
  if len(values) > 1:
    low, high = stats.bootstrap([values], lambda drawn: drawn[0].mean())
  return {
      'task': task, 'settings': method, 'seeds': [len(states), len(values)],
      'states': {x: states.count(x) for x in dict.fromkeys(states)},
      'steps': [min(steps), max(steps)] if steps else None,
      'mean': float(values.mean()) if len(values) else None,
      'low': low, 'high': high, 'values': values}


def _show(value):
  return '' if value is None else f'{value:.4g}'
