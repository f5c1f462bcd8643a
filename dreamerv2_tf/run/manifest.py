"""The manifest of a checkpoint, which says whether all of it is there."""

from collections.abc import Mapping
import dataclasses
import datetime
import errno
import functools
import hashlib
import json
import os
import pathlib

import numpy as np

from .. import errors, files
from . import rundir

# A reader refuses a newer first number. 1.1: without settings of optimizers.
FORMAT = (1, 1)
MANIFEST = 'MANIFEST.json'
PARTS = ('variables.index', 'state.json', 'arrays.npz')
# Errors that say that a file is not there, or something else in its place.
MISSING = (
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO)


class Damaged(errors.StateError):
  """A checkpoint that an older one may stand in for."""


@dataclasses.dataclass(frozen=True)
class Record:
  """A checkpoint on disk that was verified.

  Attributes:
    path: pathlib.Path of its folder.
    step: environment steps before action repeat.
    manifest: dict; versions, time, and what was given as `meta`.
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
    from . import variables  # Imports TensorFlow.
    with np.load(self.path / 'arrays.npz', allow_pickle=False) as data:
      arrays = dict(data)
    variables.check_finite(self.path, [
        name for name, value in arrays.items()
        if value.dtype.kind == 'f' and not np.isfinite(value).all()])
    return arrays

  def variables(self) -> dict[str, np.ndarray]:
    """Reads all variables by their path in the object that was saved."""
    from . import variables  # Imports TensorFlow.
    return variables.read(self.path)


def write(path: pathlib.Path, step: int, meta: Mapping) -> None:
  """Writes the manifest of a folder in which all else is.

  Args:
    path: of the folder.
    step: environment steps before action repeat.
    meta: JSON-able, for the manifest.
  """
  manifest = {
      **meta, 'format': '.'.join(map(str, FORMAT)), 'step': step,
      'time': datetime.datetime.now().astimezone().isoformat(),
      'versions': rundir.versions(),
      'files': {file.name: entry(file) for file in sorted(path.iterdir())}}
  (path / MANIFEST).write_text(json.dumps(with_checksum(manifest), indent=2))


def verify(path: str | os.PathLike) -> Record:
  """Checks the manifest of a checkpoint folder and all files that it lists.

  Raises:
    StateError: it is damaged, or of a newer format.
    StorageError: a file is there and can not be read.
  """
  path = pathlib.Path(path)
  try:
    manifest = files.parse_object(files.read(path / MANIFEST))
    major = int(manifest['format'].split('.')[0])
    if major > FORMAT[0]:
      raise errors.StateError(
          f"{path} has format {manifest['format']}, written by dreamerv2_tf "
          f"{manifest.get('versions', {}).get('dreamerv2_tf')}; this is "
          f"{rundir.versions()['dreamerv2_tf']}, which reads up to format "
          f"{'.'.join(map(str, FORMAT))}. Update dreamerv2_tf.")
    if manifest != with_checksum(manifest) or (
        manifest['step'] != int(path.name)):
      raise Damaged(f'{path / MANIFEST} was altered')
    for name in sorted({*PARTS, *manifest['files']}):
      if os.path.basename(name) != name:
        raise Damaged(f'{path / MANIFEST} lists a foreign file {name}')
      want, got = manifest['files'].get(name), entry(path / name)
      if want != got:
        raise Damaged(f'{path / name} has {got}, expected {want}')
    return Record(path, manifest['step'], manifest)
  except Damaged:
    raise
  except OSError as error:
    if error.errno not in MISSING:
      # It may be whole. Permissions, file descriptors, the disk: all of these
      # can be mended.
      raise errors.StorageError(
          f'Can not read {error.filename or path}: {error.strerror}. Make it '
          'readable, or move it away to go without it.') from error
    raise Damaged(
        f'{error.filename or path}: {error.strerror}') from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise Damaged(f'{path / MANIFEST}: {errors.first_line(error)}') from error


def with_checksum(manifest: Mapping) -> dict:
  """Adds the SHA-256 over all other entries of a manifest, as `sha256`."""
  rest = {key: value for key, value in manifest.items() if key != 'sha256'}
  text = json.dumps(rest, sort_keys=True)
  return {**rest, 'sha256': hashlib.sha256(text.encode()).hexdigest()}


def entry(path: pathlib.Path) -> dict[str, int | str]:
  """Returns size and SHA-256 of a file."""
  with files.open_regular(path) as file:
    digest = hashlib.file_digest(file, 'sha256')
    return {'size': file.tell(), 'sha256': digest.hexdigest()}
