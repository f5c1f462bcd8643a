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
import dataclasses
import datetime
import errno
import functools
import hashlib
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
from . import rundir

log = logging.getLogger(__name__)

# A reader refuses a newer first number. 1.1: without settings of optimizers.
FORMAT = (1, 1)
MANIFEST = 'MANIFEST.json'
PARTS = ('variables.index', 'state.json', 'arrays.npz')
SUFFIX = '/.ATTRIBUTES/VARIABLE_VALUE'
# Learning rates and the like, which format 1.0 held: the configuration decides.
SETTINGS = re.compile(
    r'(.*/)?_opt/(learning_rate|beta_1|beta_2|decay|momentum)')
MAX_FAILURES = 3
# Errors that say that a file is not there, or something else in its place.
MISSING = (
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO)


@dataclasses.dataclass(frozen=True)
class Record:
  """A checkpoint on disk that was verified.

  Attributes:
    path: pathlib.Path of its folder.
    step: environment steps before action repeat.
    manifest: dict; versions, time, `config_hash` and `spaces` if given.
  """

  path: pathlib.Path
  step: int
  manifest: dict

  @functools.cached_property
  def state(self) -> dict:
    """What was passed to `save` as `state`."""
    return json.loads((self.path / 'state.json').read_text())

  @functools.cached_property
  def arrays(self) -> dict[str, np.ndarray]:
    """What was passed to `save` as `arrays`.

    Raises:
      StateError: a value is NaN or infinite.
    """
    with np.load(self.path / 'arrays.npz', allow_pickle=False) as data:
      arrays = dict(data)
    _check_finite(self.path, [
        name for name, value in arrays.items()
        if value.dtype.kind == 'f' and not np.isfinite(value).all()])
    return arrays

  def variables(self) -> dict[str, np.ndarray]:
    """Reads all variables by their path in the object that was saved."""
    with _plain(self.path) as folder:
      reader = _reader(folder)
      return {
          name: np.asarray(reader.get_tensor(_key(name)))
          for name in _signature(reader)}


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
      self, step: int, trackable, state: Mapping,
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
        log.warning('Checkpoint %d was not saved: %s.', step, _why(error))
        return False
      try:
        write()
      except (OSError, tf.errors.OpError) as error:
        self.failures += 1
        raise errors.StorageError(
            f'Can not save checkpoint {step} in {self._dir}: {_why(error)}, '
            f'{self._streak} times in a row. Free some space and run the same '
            'command again.') from error
    self._streak = 0
    self._prune()
    return True

  def steps(self) -> list[int]:
    """Returns the steps of the checkpoints on disk, ascending, unverified."""
    if not self._dir.is_dir():
      return []
    return sorted(
        int(path.name) for path in self._dir.iterdir()
        if re.fullmatch(r'\d{12}', path.name) and path.is_dir())

  def best_step(self) -> int | None:
    """Returns the step marked as best, None if there is none."""
    try:
      record = files.parse_object((self._dir / 'best.json').read_bytes())
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
        record = verify(path)
      except _Damaged as error:
        damaged.append((path, error))
        continue
      for bad, error in damaged:
        log.warning(
            'Went back to checkpoint %d, as a newer one is damaged: %s.',
            step, error)
        self._quarantine(bad)
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
      return verify(self._path(step))
    except _Damaged as error:
      raise errors.StateError(
          f'Checkpoint {step} is damaged: {error}. Use another of: '
          f'{known}.') from error

  def restore(self, record: Record, trackable) -> None:
    """Sets all variables of an object to those of a checkpoint.

    Names, shapes, dtypes and values are checked before any is touched.

    Args:
      record: from `newest` or `find`.
      trackable: the object, with all its variables created.

    Raises:
      StateError: the variables differ (a table names them), a value is NaN or
        infinite, or the files can not be read.
    """
    try:
      with _plain(record.path) as folder:
        self._restore(record, folder, trackable)
    except (OSError, IndexError, tf.errors.OpError) as error:
      raise errors.StateError(
          f'Can not read checkpoint {record.path}: {_why(error)}.') from error

  def _restore(self, record, folder, trackable):
    reader = _reader(folder)
    theirs, ours = _signature(reader), _signature_of(trackable)
    if theirs != ours:
      raise errors.StateError(_table(record.path, theirs, ours))
    _check_finite(
        record.path, [name for name in theirs if not _finite(reader, name)])
    status = tf.train.Checkpoint(agent=trackable).read(f'{folder}/variables')
    status.expect_partial()  # No words about those settings.
    status.assert_existing_objects_matched()

  def _write(self, step, trackable, state, arrays, meta, best):
    """Builds the folder aside and moves it to its place."""
    temp = files.temporary(self._dir)
    try:
      temp.mkdir()
      with _plain(temp) as folder:
        tf.train.Checkpoint(agent=trackable).write(f'{folder}/variables')
      (temp / 'state.json').write_text(json.dumps(state))
      arrays = {key: np.asarray(value) for key, value in arrays.items()}
      for key, value in arrays.items():
        assert value.dtype != object, key  # It would be pickled.
      np.savez(temp / 'arrays.npz', **arrays)
      manifest = {
          **meta, 'format': '.'.join(map(str, FORMAT)), 'step': step,
          'time': datetime.datetime.now().astimezone().isoformat(),
          'versions': rundir.versions(),
          'files': {path.name: _entry(path) for path in sorted(temp.iterdir())}}
      (temp / MANIFEST).write_text(json.dumps(sign(manifest), indent=2))
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

  def _quarantine(self, path):
    if self._readonly:
      return
    folder = self._dir.parent / 'quarantine'
    target = folder / f'checkpoint-{path.name}'
    if target.exists():
      target = folder / f'{target.name}-{uuid.uuid4().hex}'
    try:
      folder.mkdir(exist_ok=True)
      path.rename(target)
    except OSError as error:
      log.warning('Can not move %s to %s: %s.', path, target, error)


def verify(path: str | os.PathLike) -> Record:
  """Checks the manifest of a checkpoint folder and all files that it lists.

  Raises:
    StateError: it is damaged, or of a newer format.
    StorageError: a file is there and can not be read.
  """
  path = pathlib.Path(path)
  try:
    manifest = files.parse_object((path / MANIFEST).read_bytes())
    major = int(manifest['format'].split('.')[0])
    if major > FORMAT[0]:
      raise errors.StateError(
          f"{path} has format {manifest['format']}, written by dreamerv2_tf "
          f"{manifest.get('versions', {}).get('dreamerv2_tf')}; this is "
          f"{rundir.versions()['dreamerv2_tf']}, which reads up to format "
          f"{'.'.join(map(str, FORMAT))}. Update dreamerv2_tf.")
    if manifest != sign(manifest) or manifest['step'] != int(path.name):
      raise _Damaged(f'{path / MANIFEST} was altered')
    for name in sorted({*PARTS, *manifest['files']}):
      if os.path.basename(name) != name:
        raise _Damaged(f'{path / MANIFEST} lists a foreign file {name}')
      want, got = manifest['files'].get(name), _entry(path / name)
      if want != got:
        raise _Damaged(f'{path / name} has {got}, expected {want}')
    return Record(path, manifest['step'], manifest)
  except _Damaged:
    raise
  except OSError as error:
    if error.errno not in MISSING:
      # It may be whole. Permissions, file descriptors, the disk: all of these
      # can be mended.
      raise errors.StorageError(
          f'Can not read {error.filename or path}: {error.strerror}. Make it '
          'readable, or move it away to go without it.') from error
    raise _Damaged(f'{path}: {_why(error)}') from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise _Damaged(f'{path / MANIFEST}: {_why(error)}') from error


def observations(manifest: Mapping, space: Mapping) -> dict:
  """Returns an observation space in the order that a checkpoint was made with.

  Args:
    manifest: of the checkpoint, or a card in its place; those of former
      versions do not tell, as they took the order of the space.
    space: key -> space.
  """
  names = manifest.get('observations', list(space))
  return envs.in_order(space, names)


def order(directory: str | os.PathLike, space: Mapping) -> dict:
  """Does so for the newest checkpoint of a run; sorts if there is none.

  Nothing is verified beyond the manifest.

  Args:
    directory: `checkpoints` in the run folder; need not exist.
    space: key -> space.
  """
  for step in reversed(Checkpoints(directory, readonly=True).steps()):
    with contextlib.suppress(OSError, ValueError):
      manifest = files.parse_object(
          (pathlib.Path(directory) / f'{step:012d}' / MANIFEST).read_bytes())
      if manifest == sign(manifest):
        return observations(manifest, space)
  return envs.in_order(space, [])


def sign(manifest: Mapping) -> dict:
  """Adds the SHA-256 over all other entries of a manifest, as `sha256`."""
  rest = {key: value for key, value in manifest.items() if key != 'sha256'}
  text = json.dumps(rest, sort_keys=True)
  return {**rest, 'sha256': hashlib.sha256(text.encode()).hexdigest()}


class _Damaged(errors.StateError):
  """A checkpoint that an older one may stand in for."""


def _entry(path):
  with path.open('rb') as file:
    digest = hashlib.file_digest(file, 'sha256')
    return {'size': file.tell(), 'sha256': digest.hexdigest()}


@contextlib.contextmanager
def _plain(folder):
  """Yields a name of a folder that TensorFlow takes word for word.

  It reads paths as patterns, in which `*`, `?`, `[` and `\\` mean something.
  """
  if not re.search(r'[][*?\\]', str(folder)):
    yield str(folder)
    return
  handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
  try:
    yield f'/proc/self/fd/{handle}'
  finally:
    os.close(handle)


def _reader(folder):
  # Unlike tf.train.load_checkpoint, this one never looks for other files.
  return tf.compat.v1.train.NewCheckpointReader(f'{folder}/variables')


def _key(name):
  return f'agent/{name}{SUFFIX}'


def _signature(reader):
  """Returns name -> 'shape dtype' of the variables of a checkpoint."""
  dtypes = reader.get_variable_to_dtype_map()
  result = {
      key.removeprefix('agent/').removesuffix(SUFFIX):
          f'{shape} {dtypes[key].name}'
      for key, shape in sorted(reader.get_variable_to_shape_map().items())
      if key.endswith(SUFFIX)}
  return {k: v for k, v in result.items() if not SETTINGS.fullmatch(k)}


def _signature_of(trackable):
  """Returns the same for an object, by saving it to memory."""
  folder = f'ram://{uuid.uuid4().hex}'
  try:
    path = tf.train.Checkpoint(agent=trackable).write(f'{folder}/variables')
    return _signature(tf.compat.v1.train.NewCheckpointReader(path))
  finally:
    with contextlib.suppress(tf.errors.OpError):
      tf.io.gfile.rmtree(folder)


def _finite(reader, name):
  value = np.asarray(reader.get_tensor(_key(name)))
  if value.dtype.kind in 'biuSUO':
    return True
  return np.isfinite(value.astype(np.float64)).all()


def _check_finite(path, broken):
  """Refuses a checkpoint with these names of arrays that are not finite."""
  if broken:
    more = ' and others' if len(broken) > 5 else ''
    raise errors.StateError(
        f'Checkpoint {path} holds NaN or infinite values in '
        f'{", ".join(broken[:5])}{more}. Use an older one.')


def _table(path, theirs, ours, most=20):
  """Writes which variables differ between a checkpoint and an object."""
  names = sorted({*theirs, *ours})
  rows = [
      (name, theirs.get(name, 'missing'), ours.get(name, 'missing'))
      for name in names if theirs.get(name) != ours.get(name)]
  head = (
      f'Checkpoint {path} is of another agent: {len(rows)} of {len(names)} '
      'variables differ. Use the configuration that it was made with.')
  shown = [('variable', 'checkpoint', 'this agent')] + rows[:most]
  widths = [max(len(row[i]) for row in shown) for i in range(2)]
  lines = [
      f'  {a:{widths[0]}}  {b:{widths[1]}}  {c}'.rstrip() for a, b, c in shown]
  if len(rows) > most:
    lines.append(f'  and {len(rows) - most} more')
  return '\n'.join([head] + lines)


def _why(error):
  """Returns the first line of what an error says."""
  text = str(error) or type(error).__name__
  return text.splitlines()[0].rstrip('.')
