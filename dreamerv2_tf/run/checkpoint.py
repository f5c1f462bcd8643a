"""Checkpoints: whole folders with a manifest, verified before they are used.

    checkpoints/000000005000/   environment steps before action repeat
      variables.index, .data-*  every variable of the agent, TensorFlow's format
      state.json, arrays.npz    counters, random states, positions
      MANIFEST.json             versions, size and SHA-256 of each file above
    checkpoints/best.json       step of the best evaluation

The newest checkpoint is the one of the highest step that verifies. No file
points at it: such a pointer can be lost while the data are intact.
"""

from collections.abc import Mapping
import contextlib
import functools
import json
import logging
import os
import pathlib
import re
import shutil
import uuid

import numpy as np
import tensorflow as tf

from .. import envs, errors, files
from . import manifest as manifests
from . import variables
from .manifest import Record

log = logging.getLogger(__name__)

MAX_FAILURES = 3


class Checkpoints:
  """Saves, finds, verifies and restores the checkpoints of a run.

  Attributes:
    failures: int; number of saves that failed.
  """

  def __init__(
      self, directory: str | os.PathLike, keep: int = 3,
      readonly: bool = False):
    """Removes what a killed process left behind.

    Args:
      directory: `checkpoints` in the run folder; created if missing.
      keep: number of newest checkpoints to keep; the best is kept besides.
      readonly: change nothing on disk, for those who do not hold the lock.

    Raises:
      StorageError: the folder can not be created or cleaned.
    """
    assert keep >= 1, keep
    self._dir = pathlib.Path(directory)
    self._keep = keep
    self._readonly = readonly
    self.failures = 0
    self._streak = 0
    if not readonly:
      try:
        self._dir.mkdir(exist_ok=True)
        for path in self._dir.glob('*.replaced'):
          # A kill between the two renames of `_place`, or after them.
          target = path.with_suffix('')
          path.rename(files.temporary(self._dir) if target.exists() else target)
        files.clean(self._dir)
      except OSError as error:
        raise errors.StorageError(
            f'Can not write to {self._dir}: {error.strerror}.') from error

  def save(
      self, step: int, trackable: tf.Module, state: Mapping,
      arrays: Mapping[str, np.ndarray] | None = None,
      meta: Mapping | None = None, best: bool = False) -> bool:
    """Writes a checkpoint and then deletes those that are not kept.

    Args:
      step: environment steps before action repeat. A checkpoint of the same
        step is replaced.
      trackable: what `tf.train.Checkpoint` can save: agent, optimizers,
        random generators.
      state: JSON-able; counters, states of NumPy generators, positions.
      arrays: name to array of numbers or strings.
      meta: JSON-able; put into the manifest, as `config_hash` and `spaces`.
      best: mark this checkpoint as the best; it is kept until a better one.

    Returns:
      Whether it was saved. If not, that is a warning and older ones stay.

    Raises:
      StorageError: the third save in a row failed, and once more.
    """
    write = functools.partial(
        self._write, int(step), trackable, state, arrays or {}, meta or {},
        best)
    try:
      write()
    except (OSError, tf.errors.OpError) as error:
      self.failures += 1
      self._streak += 1
      if self._streak < MAX_FAILURES:
        log.warning(
            'Checkpoint %d was not saved: %s.', step, errors.first_line(error))
        return False
      try:
        write()
      except (OSError, tf.errors.OpError) as error:
        self.failures += 1
        raise errors.StorageError(
            f'Can not save checkpoint {step} in {self._dir}: '
            f'{errors.first_line(error)}, {self._streak} times in a row. '
            f'{files.advice(error).capitalize()} and run the same command '
            'again.') from error
    self._streak = 0
    self._prune()
    return True

  def steps(self) -> list[int]:
    """Returns the steps of the checkpoints on disk, ascending, unverified."""
    if not self._dir.is_dir():
      return []
    return sorted(
        int(path.name) for path in self._dir.iterdir()
        if re.fullmatch(r'[0-9]{12}', path.name) and path.is_dir())

  def best_step(self) -> int | None:
    """Returns the step marked as best, None if there is none."""
    try:
      record = files.parse_object(files.read(self._dir / 'best.json'))
      return int(record['step'])
    except FileNotFoundError:
      return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
      log.warning('Unreadable %s: %s.', self._dir / 'best.json', error)
      return None

  def newest(self) -> Record | None:
    """Returns the newest checkpoint that verifies, None if there never was one.

    Damaged newer ones are moved to `quarantine` in the run folder, with a
    warning.

    Raises:
      StateError: there are checkpoints and none is good, or one is of a newer
        format. Nothing was moved.
      StorageError: one can not be read, which is no sign of damage. Nor was
        anything moved then.
    """
    damaged = []
    for step in reversed(self.steps()):
      path = self._path(step)
      try:
        record = manifests.verify(path)
      except manifests.Damaged as error:
        damaged.append((path, error))
        continue
      for bad, error in damaged:
        log.warning(
            'Went back to checkpoint %d, as a newer one is damaged: %s.',
            step, error)
        if not self._readonly:
          _quarantine(bad)
      return record
    if damaged:
      listing = '; '.join(str(error) for _, error in damaged)
      raise errors.StateError(
          f'No checkpoint in {self._dir} is intact: {listing}. Put back a copy '
          'of one, or begin a new run with another --logdir.')
    return None

  def find(self, which: str | int) -> Record:
    """Returns one verified checkpoint.

    Args:
      which: `latest`, `best`, or a step.

    Raises:
      StateError: there is none such, or it is damaged.
      StorageError: it can not be read.
    """
    if which == 'latest':
      record = self.newest()
      if record is None:
        raise errors.StateError(
            f'There is no checkpoint in {self._dir}. Train first, or check '
            '--logdir.')
      return record
    steps = self.steps()
    known = ', '.join(map(str, steps)) or 'none'
    if which == 'best':
      step = self.best_step()
      if step is None:
        raise errors.StateError(
            f'No checkpoint in {self._dir} is marked as best yet. Use latest '
            f'or a step: {known}.')
    else:
      step = int(which) if str(which).isdecimal() else None
    if step not in steps:
      raise errors.StateError(
          f"There is no checkpoint '{which}' in {self._dir}. Use latest, best "
          f'or a step: {known}.')
    try:
      return manifests.verify(self._path(step))
    except manifests.Damaged as error:
      raise errors.StateError(
          f'Checkpoint {step} is damaged: {error}. Use another of: '
          f'{known}.') from error

  def restore(self, record: Record, trackable: tf.Module) -> None:
    """Sets all variables of an object to those of a checkpoint.

    Names, shapes, dtypes and values are checked before any is touched.

    Args:
      record: from `newest` or `find`.
      trackable: the object, with all its variables created.

    Raises:
      StateError: the variables differ (a table names them), a value is NaN or
        infinite, or the files can not be read.
    """
    variables.restore(record.path, trackable)

  def _write(self, step, trackable, state, arrays, meta, best):
    """Builds the folder aside and moves it to its place."""
    temp = files.temporary(self._dir)
    try:
      self._dir.mkdir(exist_ok=True)  # Somebody may have deleted it.
      temp.mkdir()
      variables.write(temp, trackable)
      (temp / 'state.json').write_text(json.dumps(state))
      arrays = {key: np.asarray(value) for key, value in arrays.items()}
      for key, value in arrays.items():
        assert value.dtype != object, key  # It would be pickled.
      np.savez(temp / 'arrays.npz', **arrays)
      manifests.write(temp, step, meta)
      for path in temp.iterdir():
        with path.open('rb') as file:
          os.fsync(file.fileno())
      files.sync_dir(temp)
      self._place(temp, self._path(step))
    except BaseException:
      shutil.rmtree(temp, ignore_errors=True)
      raise
    if best:
      files.write_text(self._dir / 'best.json', json.dumps({'step': step}))

  def _place(self, temp, path):
    """Renames a finished folder, over an older one of the same step if any."""
    aside = path.with_suffix('.replaced')
    if path.exists():
      shutil.rmtree(aside, ignore_errors=True)
      os.replace(path, aside)
    try:
      os.replace(temp, path)
    except BaseException:
      if aside.exists():
        os.replace(aside, path)
      raise
    files.sync_dir(self._dir)
    shutil.rmtree(aside, ignore_errors=True)

  def _prune(self):
    best = self.best_step()
    for step in self.steps()[:-self._keep]:
      if step == best:
        continue
      # Renamed first: a kill must not leave half of a checkpoint in place.
      temp = files.temporary(self._dir)
      try:
        self._path(step).rename(temp)
        shutil.rmtree(temp)
      except OSError as error:
        log.warning('Can not delete checkpoint %d: %s.', step, error)

  def _path(self, step):
    return self._dir / f'{step:012d}'


def _quarantine(path):
  """Moves a damaged checkpoint out of the way."""
  folder = path.parents[1] / 'quarantine'
  target = folder / f'checkpoint-{path.name}'
  if target.exists():
    target = folder / f'{target.name}-{uuid.uuid4().hex}'
  try:
    folder.mkdir(exist_ok=True)
    path.rename(target)
  except OSError as error:
    log.warning('Can not move %s to %s: %s.', path, target, error)


def observations(manifest: Mapping, space: Mapping) -> dict:
  """Returns an observation space in the order that a checkpoint was made with.

  Args:
    manifest: of the checkpoint, or a card in its place; those of former
      versions do not tell, as they took the order of the space.
    space: key -> space.
  """
  names = manifest.get('observations', list(space))
  return envs.in_order(space, names)


def newest_observations(directory: str | os.PathLike, space: Mapping) -> dict:
  """Returns an observation space in the order of the newest checkpoint.

  Nothing is verified beyond the manifest. Sorts if there is none.

  Args:
    directory: `checkpoints` in the run folder; need not exist.
    space: key -> space.
  """
  for step in reversed(Checkpoints(directory, readonly=True).steps()):
    with contextlib.suppress(OSError, ValueError):
      manifest = files.parse_object(files.read(
          pathlib.Path(directory, f'{step:012d}', manifests.MANIFEST)))
      if manifest == manifests.with_checksum(manifest):
        return observations(manifest, space)
  return envs.in_order(space, [])
