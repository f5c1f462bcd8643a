"""What evaluations say of a trial so far."""

import contextlib
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from .. import files
from ..curves import metrics

METRIC = 'eval_return'


class Evaluations(NamedTuple):
  """Evaluations of a run in its course.

  Attributes:
    steps: [n], float64; environment steps, repeated actions included.
    returns: [n], float64; mean return of the episodes of each.
  """

  steps: np.ndarray
  returns: np.ndarray


def read(folder: pathlib.Path, repeat: int) -> Evaluations:
  """Reads the evaluations of a run, also of one that is being trained.

  Args:
    folder: of the run.
    repeat: environment steps for each step of the policy.

  Returns:
    Those of its metrics, and that of its end, which has a file of its own.
  """
  rows: list[dict[str, Any]] = []
  with contextlib.suppress(OSError):
    rows += metrics.read(folder / metrics.NAME, (METRIC,)).rows
  last = max((row['step'] for row in rows if 'step' in row), default=0)
  for path in folder.glob('eval-*-20000-*.json'):
    found = re.match(r'eval-(\d+)-', path.name)
    step = int(found[1]) * repeat if found else 0
    if step > last:
      with contextlib.suppress(OSError, ValueError):
        rows.append({
            'step': step, METRIC: files.parse_object(
                files.read(path)).get('return_mean')})
  xs, ys, _ = metrics.series(rows, 'step', METRIC)
  return Evaluations(xs, ys)
