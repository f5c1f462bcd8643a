"""Metrics in `metrics.jsonl`, one row of scalars for each write."""

from collections.abc import Sequence
import functools
import json
import logging
import math
import os
import pathlib
import shutil

from .. import errors, files
from .summary import Summary, to_row

log = logging.getLogger(__name__)


class JSONLOutput:
  """Appends one row of scalars per write to `metrics.jsonl`.

  Rows are `{"step": step, name: value, ...}`; NaN and infinities, which JSON
  lacks, become null. A float32 keeps all its digits. Rows that a full disk
  refuses are kept and written with the next ones.

  Code: danijar/dreamerv2 common/logger.py, JSONLOutput.
  """

  MAX_FAILURES = 3

  def __init__(self, logdir: str | os.PathLike):
    """Opens the file to append.

    Raises:
      StorageError: it can not be opened.
    """
    self._path = pathlib.Path(logdir) / 'metrics.jsonl'
    self._pending = b''
    self._failures = 0
    try:
      if self._path.exists() and self._path.stat().st_nlink > 1:
        # It is that of a copy, too, made with `cp -al` or the like.
        files.write(self._path, functools.partial(_copy, self._path))
      self._file = self._path.open('ab', buffering=0)
    except OSError as error:
      raise errors.StorageError(
          f'Can not open {self._path}: {error.strerror}.') from error

  def __call__(self, summaries: Sequence[Summary]) -> None:
    """Appends and flushes a row.

    Raises:
      StorageError: the third write in a row failed.
    """
    step, scalars = to_row(summaries)
    if not scalars:
      return
    row: dict[str, float | None] = {'step': step}
    for name, value in scalars.items():
      row[name] = value if math.isfinite(value) else None
    self._pending += json.dumps(row, allow_nan=False).encode() + b'\n'
    try:
      files.append(self._file, self._pending)
    except OSError as error:
      self._failures += 1
      message = f'Can not write {self._path}: {error.strerror}'
      if self._failures >= self.MAX_FAILURES:
        raise errors.StorageError(
            f'{message}, {self._failures} times in a row. '
            f'{files.advice(error).capitalize()} and run the same command '
            'again.') from error
      log.warning('%s; the rows are kept for the next write.', message)
    else:
      self._pending = b''
      self._failures = 0

  def close(self) -> None:
    """Closes the file."""
    self._file.close()

  @staticmethod
  def take_back(logdir: str | os.PathLike, step: int) -> int:
    """Takes back the rows beyond a step, from which a run will go on.

    They move to `metrics.<number>.cut.jsonl`, and so do rows that are not
    beyond the row before them. Lines that are no rows, as the last one after a
    power cut, are dropped with a warning.

    Args:
      logdir: run folder.
      step: environment steps times action repeat; rows up to it stay.

    Returns:
      Number of rows moved.
    """
    path = pathlib.Path(logdir) / 'metrics.jsonl'
    if not path.exists():
      return 0
    text = path.read_bytes()
    stay, move, torn, last = [], [], 0, -math.inf
    for line in text.splitlines(keepends=True):
      try:
        reached = files.parse_object(line)['step']
        if not line.endswith(b'\n') or not math.isfinite(reached):
          raise ValueError('The line has no end, or no step.')
      except (ValueError, TypeError, KeyError, OverflowError):
        torn += 1
        continue
      if last < reached <= step:
        stay.append(line)
        last = reached
      else:
        move.append(line)
    if torn:
      log.warning('Dropped %d unreadable line(s) of %s.', torn, path)
    if move:
      number = 1
      while (side := path.with_name(f'metrics.{number}.cut.jsonl')).exists():
        number += 1
      files.write(side, lambda file: file.writelines(move))
    if move or torn:
      files.write(path, lambda file: file.writelines(stay))
    return len(move)


def _copy(path, file):
  """Copies the content of a path to a binary file."""
  with path.open('rb') as source:
    shutil.copyfileobj(source, file)
