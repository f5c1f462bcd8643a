"""The variables of an object in a checkpoint, in TensorFlow's format.

Each has the path of its attributes as its name.
"""

from collections.abc import Sequence
import contextlib
import os
import pathlib
import re
from typing import Any
import uuid

import numpy as np
import tensorflow as tf

from .. import errors

SUFFIX = '/.ATTRIBUTES/VARIABLE_VALUE'
# Learning rates and the like, which format 1.0 held: the configuration decides.
SETTINGS = re.compile(
    r'(.*/)?_opt/(learning_rate|beta_1|beta_2|decay|momentum)')


def write(path: pathlib.Path, trackable: Any) -> None:
  """Writes all variables of an object.

  Args:
    path: of the checkpoint, a folder.
    trackable: what `tf.train.Checkpoint` can save.

  Raises:
    OSError, tf.errors.OpError: the disk is full, for example.
  """
  with _plain(path) as folder:
    tf.train.Checkpoint(agent=trackable).write(f'{folder}/variables')


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads all variables of a checkpoint by their path in the object."""
  with _plain(path) as folder:
    reader = _reader(folder)
    return {
        name: np.asarray(reader.get_tensor(_key(name)))
        for name in _signature(reader)}


def restore(path: pathlib.Path, trackable: Any) -> None:
  """Sets all variables of an object to those of a checkpoint.

  Names, shapes, dtypes and values are checked before any is touched.

  Args:
    path: of the checkpoint.
    trackable: the object, with all its variables created.

  Raises:
    StateError: the variables differ (a table names them), a value is NaN or
      infinite, or the files can not be read.
  """
  try:
    with _plain(path) as folder:
      _restore(path, folder, trackable)
  except (OSError, IndexError, tf.errors.OpError) as error:
    raise errors.StateError(
        f'Can not read checkpoint {path}: {errors.first_line(error)}.'
    ) from error


def check_finite(path: pathlib.Path, broken: Sequence[str]) -> None:
  """Refuses a checkpoint with arrays that are not finite.

  Args:
    path: of the checkpoint.
    broken: names of these arrays.

  Raises:
    StateError: there is one.
  """
  if broken:
    more = ' and others' if len(broken) > 5 else ''
    raise errors.StateError(
        f'Checkpoint {path} holds NaN or infinite values in '
        f'{", ".join(broken[:5])}{more}. Use an older one.')


def _restore(path, folder, trackable):
  reader = _reader(folder)
  theirs, ours = _signature(reader), _signature_of(trackable)
  if theirs != ours:
    raise errors.StateError(_table(path, theirs, ours))
  check_finite(path, [name for name in theirs if not _finite(reader, name)])
  status = tf.train.Checkpoint(agent=trackable).read(f'{folder}/variables')
  status.expect_partial()  # No words about those settings.
  status.assert_existing_objects_matched()


@contextlib.contextmanager
def _plain(folder):
  r"""Yields a name of a folder that TensorFlow takes word for word.

  It reads paths as patterns, in which `*`, `?`, `[` and `\` mean something.
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
