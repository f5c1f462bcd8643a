"""Reads rows of metrics: whatever could be written whole."""

from collections.abc import Iterable, Mapping
import json
import math
import os
from typing import Any, NamedTuple

import numpy as np

from .. import files

NAME = 'metrics.jsonl'
LARGEST = 1e100  # The square of what is beyond overflows, in figures as well.


class Rows(NamedTuple):
  """What a file of metrics holds.

  Attributes:
    rows: its JSON objects, in their order.
    broken: lines that are none, the last one aside, which may be half written.
  """

  rows: list[dict[str, Any]]
  broken: int


class Series(NamedTuple):
  """One metric against another.

  Attributes:
    xs: [n], float64, rising.
    ys: [n], float64, finite; the mean of the rows with the same x.
    odd: values that are left out, as they are NaN, infinite, beyond LARGEST or
      no numbers.
  """

  xs: np.ndarray
  ys: np.ndarray
  odd: int


def read(path: str | os.PathLike, needed: Iterable[str] = ()) -> Rows:
  """Reads the JSON objects of a file with one a line.

  Args:
    path: of `metrics.jsonl`; a run may be writing it.
    needed: names; lines without one of them are passed by unread, which is
      many times faster.

  Raises:
    OSError: it can not be read.
  """
  words = [json.dumps(name).encode() for name in needed]
  rows, broken = [], 0
  lines = files.read(path).splitlines()
  for number, line in enumerate(lines, 1):
    whole = line.startswith(b'{') and line.endswith(b'}')
    if whole and not all(word in line for word in words):
      continue
    try:
      rows.append(files.parse_object(line))
    except ValueError:
      broken += bool(line.strip()) and number < len(lines)
  return Rows(rows, broken)


def last_step(data: bytes) -> float:
  """Returns the step of the last row of a file, -1 if there is none.

  Args:
    data: content of `metrics.jsonl`.
  """
  for line in reversed(data.splitlines()):
    try:
      step = _number(files.parse_object(line).get('step'))
    except ValueError:
      continue
    if abs(step) <= LARGEST:
      return step
  return -1.0


def names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
  """Returns the names of all numbers in the rows, sorted."""
  return sorted({
      key for row in rows for key, value in row.items() if _is_number(value)})


def series(
    rows: Iterable[Mapping[str, Any]], xaxis: str, yaxis: str,
    most: float = 0) -> Series:
  """Returns the values of a metric in all rows that have both.

  Args:
    rows: of `read`.
    xaxis, yaxis: names of metrics.
    most: values beyond it, infinite ones as well, count as it; 0: no limit.
  """
  xs, ys, odd = [], [], 0
  for row in rows:
    if xaxis not in row or yaxis not in row:
      continue
    x, y = (_number(row[name]) for name in (xaxis, yaxis))
    if most and not math.isnan(y):
      y = min(max(y, -most), most)
    if abs(x) <= LARGEST and abs(y) <= LARGEST:  # NaN is not.
      xs.append(x)
      ys.append(y)
    else:
      odd += 1
  return Series(*merged(xs, ys), odd)


def merged(
    xs: Iterable[float], ys: Iterable[float]) -> tuple[np.ndarray, np.ndarray]:
  """Sorts points by x; of points with the same x, y is the mean.

  Args:
    xs, ys: [n] each, finite.

  Returns:
    xs, ys: [m] each, float64, m at most n.
  """
  xs, places = np.unique(np.asarray(xs, np.float64), return_inverse=True)
  sums = np.bincount(places, np.asarray(ys, np.float64), len(xs))
  return xs, sums / np.maximum(np.bincount(places, minlength=len(xs)), 1)


def _is_number(value):
  return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value):
  """Returns what may be a number as float; NaN if it is none."""
  try:
    return float(value) if _is_number(value) else math.nan
  except OverflowError:
    return math.nan
