"""The folder of a sweep: its lock, and which settings its trials have."""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import json
import pathlib
from typing import Any

from .. import errors, files
from ..config import Config
from ..curves import names
from ..errors import ConfigError, StateError, StorageError
from ..run import rundir
from ..run.lock import Lock
from . import grid as gridlib
from . import supervisor

RECORD = 'sweep.json'


@contextlib.contextmanager
def locked(place: pathlib.Path, break_lock: bool) -> Iterator[None]:
  """Makes the folder where it is missing, and holds its lock.

  Raises:
    ConfigError: it can not be a folder, or is one of a run.
    StorageError: it can not be written.
    LockedError: another sweep is at work there.
  """
  try:
    if (place / 'config.yaml').exists():
      raise ConfigError(
          f'{place} is the folder of a run. Give a folder for the sweep with '
          '--logdir.')
    files.check_name(place)
    (place / supervisor.FOLDER).mkdir(parents=True, exist_ok=True)
    lock = Lock(place / 'lock')
  except (OSError, ValueError) as error:
    if isinstance(error, errors.DreamerError):
      raise
    kind: type[errors.DreamerError] = StorageError
    if getattr(error, 'errno', None) in rundir.NO_FOLDER:
      kind = ConfigError
    why = getattr(error, 'strerror', None) or error
    raise kind(
        f"Can not write to the folder '{files.printable(place)}': {why}. Give "
        'one that you may write to with --logdir.') from error
  lock.take(break_lock)
  try:
    yield
  finally:
    lock.release()


def check(
    place: pathlib.Path, base: Config, grid: Mapping[str, Sequence]) -> None:
  """Refuses to add trials of other settings to those that are there.

  Args:
    place: the folder.
    base: settings of all trials.
    grid: keys and values that differ between them.

  Raises:
    StateError: there are such, or it can not be known.
  """
  path = place / RECORD
  if not path.exists():
    return
  try:
    stored = files.parse_object(files.read(path))['settings']
    stored.items()
  except (OSError, ValueError, LookupError, AttributeError) as error:
    raise StateError(
        f'{path} can not be read: {errors.brief(error)}. Move it away to go '
        'on, if the settings are those of the trials there.') from error
  gridlib.check_same(
      stored, _settings(base), list(grid), [*names.BESIDE], str(place))


def remember(
    place: pathlib.Path, base: Config, grid: Mapping[str, Sequence]) -> None:
  """Writes what the trials are made with.

  Raises:
    StorageError: that can not be done.
  """
  record = {
      'grid': {key: list(values) for key, values in grid.items()},
      'versions': rundir.versions(), 'settings': _settings(base)}
  try:
    files.clean(place)
    files.write_text(place / RECORD, json.dumps(record, indent=2) + '\n')
  except OSError as error:
    raise StorageError(
        f'Can not write {place / RECORD}: {error.strerror}.') from error


def _settings(base: Config) -> dict[str, Any]:
  return rundir.comparable(base)
