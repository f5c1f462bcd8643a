"""Score files, as the original ships them and as `dreamerv2 plot` writes them.

Runs: a list of objects with task, method, seed, xs and ys. Baselines: an object
{task: {method: score}}.
"""

from collections.abc import Iterable
import json
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np

from .. import files
from . import metrics


class Run(NamedTuple):
  """The points of one run.

  Attributes:
    task, method, seed: what it is called.
    xs: [n], float64, rising; environment steps, if nothing else is said.
    ys: [n], float64, finite.
    path: of the file it was read from.
    repeat: environment steps for each step of the policy; None: unknown.
  """

  task: str
  method: str
  seed: str
  xs: np.ndarray
  ys: np.ndarray
  path: pathlib.Path
  repeat: int | None = None


class Baseline(NamedTuple):
  """The score of what has no curve.

  Attributes:
    task, method: what it is called.
    score: in the unit of the return.
    path: of the file or folder it was read from.
    seed: '', as it has none.
  """

  task: str
  method: str
  score: float
  path: pathlib.Path
  seed: str = ''


def read(path: str | os.PathLike) -> tuple[list[Run], list[Baseline]]:
  """Reads a score file.

  Args:
    path: of the JSON file.

  Returns:
    Its runs, those without a finite point left out, and its baselines.

  Raises:
    OSError: it can not be read.
    ValueError: it is no score file.
  """
  path = pathlib.Path(path)
  try:
    data = json.loads(files.read(path))
  except RecursionError:
    raise ValueError('nested too deep') from None
  if isinstance(data, list) and data:
    runs = [_run(entry, path) for entry in data]
    return [run for run in runs if len(run.xs)], []
  if isinstance(data, dict) and data:
    return [], list(_baselines(data, path))
  raise ValueError('neither a list of runs nor scores of tasks')


def dump(runs: Iterable[Run]) -> str:
  """Returns runs as JSON, a line each; `read` reads it."""
  lines = [json.dumps({
      'task': run.task, 'method': run.method,
      'seed': int(run.seed) if run.seed.isdecimal() else run.seed,
      'xs': run.xs.tolist(), 'ys': run.ys.tolist()}, ensure_ascii=False)
      for run in runs]
  return '[' + ',\n'.join(lines) + ']\n'


def task(name: str) -> str:
  """Returns the name of a task, one spelling of those that have two."""
  return 'atari_james_bond' if name == 'atari_jamesbond' else name


def _run(entry: Any, path: pathlib.Path) -> Run:
  """Reads an entry; raises ValueError if it is none."""
  if not isinstance(entry, dict):
    raise ValueError(f'expected objects, got a {type(entry).__name__}')
  missing = {'task', 'method', 'seed', 'xs', 'ys'} - {*entry}
  if missing:
    raise ValueError(f"a run lacks {', '.join(sorted(missing))}")
  xs, ys = entry['xs'], entry['ys']
  if not (isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys)):
    raise ValueError('xs and ys must be lists of one length')
  rows = [{'x': x, 'y': y} for x, y in zip(xs, ys)]
  points = metrics.series(rows, 'x', 'y')
  return Run(
      task(str(entry['task'])), str(entry['method']), str(entry['seed']),
      points.xs, points.ys, path)


def _baselines(data, path):
  """Yields {task: {method: score}}; raises ValueError if it is none."""
  for name, methods in data.items():
    if not isinstance(methods, dict) or not methods:
      raise ValueError('expected {task: {method: score}}')
    for method, score in methods.items():
      if isinstance(score, bool) or not isinstance(score, int | float):
        raise ValueError(
            f"the score of '{method}' in '{name}' is no number")
      yield Baseline(task(name), method, float(score), path)
