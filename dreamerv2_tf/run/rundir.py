"""The run folder: one writer at a time, its history and its last failure."""

from collections.abc import Mapping, Sequence
import contextlib
import errno
import importlib.metadata
import json
import logging
import os
import pathlib
import platform
import re
import socket
import sys
import traceback
from typing import Any, Self

from .. import errors, files, settings
from ..config import Config
from . import weights
from .lock import Lock, now

log = logging.getLogger(__name__)

FOLDERS = (
    'train_episodes', 'eval_episodes', 'checkpoints', 'quarantine', 'nan',
    'plugins')
FILES = (
    'lock', 'metrics.jsonl', 'config.yaml', 'run.json', 'failure.json')
# Errors of names that can not be those of folders.
NO_FOLDER = (None, errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR)
# What is changed in place or cleared: never through a link.
OWNED = ('lock', 'metrics.jsonl', *FOLDERS)


class RunDir:
  """Holds the lock of a run folder and writes its records.

  Attributes:
    path: pathlib.Path of the run folder.
    config_path: where the resolved configuration is stored.
  """

  def __init__(self, logdir: str | os.PathLike, break_lock: bool = False):
    """Creates the folder where it is missing, and locks it.

    Args:
      logdir: run folder; `~` stands for the home folder.
      break_lock: take over the lock of another host that gave no sign of life
        for ten minutes.

    Raises:
      ConfigError: the name can not be that of a folder.
      StateError: parts of the folder are symbolic links, or it is one of
        `weights`.
      StorageError: the folder can not be created or written.
      LockedError: another process writes here; nothing was changed.
    """
    try:
      # An environment in this process may go to another folder.
      self.path = pathlib.Path(logdir).expanduser().absolute()
      files.check_name(self.path)
      self.config_path = self.path / 'config.yaml'
      self._created = [
          path for path in (self.path, *self.path.parents)
          if not path.exists()]
      if weights.held(self.path):
        raise errors.StateError(
            f'{self.path} holds the networks of an agent without the rest of '
            'its training, which can not go on from them. Give another '
            '--logdir.')
      self.path.mkdir(parents=True, exist_ok=True)
      check_parts(self.path)
      self._new = not (self.path / 'lock').exists()
      self._lock = Lock(self.path / 'lock')
    except (OSError, ValueError, RuntimeError) as error:
      # Names too long, with a null byte, of other bytes than UTF-8, of an
      # unknown home, of a file or below one never work.
      kind = errors.StorageError
      if getattr(error, 'errno', None) in NO_FOLDER:
        kind = errors.ConfigError
      why = getattr(error, 'strerror', None) or error
      if isinstance(error, FileExistsError):
        why = 'it is a file'
      raise kind(
          f"Can not write to the run folder '{files.printable(logdir)}': {why}."
          ' Give a folder that you may write to with --logdir.') from error
    self._lock.take(break_lock)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc_info) -> None:
    self.close()

  def start(
      self, step: int, argv: Sequence[str],
      changed: Mapping[str, tuple] | None = None,
      simulator: str | None = None,
      nodes: Sequence[Mapping[str, Any]] = ()) -> None:
    """Adds a start to the history in `run.json`; clears a killed run's debris.

    A `failure.json` of the start before moves into its entry.

    Args:
      step: environment steps before action repeat, 0 in a new run.
      argv: command line.
      changed: dotted key to (old, new) value, from `changed`.
      simulator: what simulates the training environments, if that is known.
      nodes: of the collectors, where each began.

    Raises:
      StorageError: the record can not be written.
    """
    history = self._history()
    failure = self.path / 'failure.json'
    if history and failure.exists():
      with contextlib.suppress(OSError, ValueError):
        history[-1]['failure'] = _read(failure)
    history.append({
        'time': now(), 'host': socket.gethostname(), 'pid': os.getpid(),
        'step': int(step), 'argv': list(argv), 'simulator': simulator,
        'changed': {k: list(v) for k, v in (changed or {}).items()},
        'versions': versions(), **({'nodes': list(nodes)} if nodes else {})})
    record = {
        'versions': versions(), 'machine': machine(),
        'host': socket.gethostname(), 'history': history}
    try:
      files.clean(self.path)
      files.write_text(self.path / 'run.json', _dumps(record))
      failure.unlink(missing_ok=True)
    except OSError as error:
      raise errors.StorageError(
          f"Can not write {self.path / 'run.json'}: {error.strerror}."
      ) from error

  def failure(self, error: BaseException, step: int | None = None) -> None:
    """Writes `failure.json`, if that is possible at all.

    Args:
      error: what ended the run; the traceback is added if the user can not act
        on it (exit status 1).
      step: environment steps before action repeat.
    """
    code = getattr(error, 'exit_code', 1)
    record = {
        'time': now(), 'error': type(error).__name__, 'message': str(error),
        'exit_code': code, 'step': step}
    if code == 1:
      record['traceback'] = ''.join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
      files.write_text(self.path / 'failure.json', _dumps(record))

  def close(self) -> None:
    """Releases the lock; removes it and its folders if no run came of them."""
    if not self._lock.held:
      return
    if self._created and not self.config_path.exists():
      for name in FOLDERS:
        with contextlib.suppress(OSError):
          (self.path / name).rmdir()
    empty = unused = False
    with contextlib.suppress(OSError):
      empty = bool(self._created) and os.listdir(self.path) == ['lock']
      unused = self._new and not (self._created or self.config_path.exists())
    self._lock.release(remove=empty or unused)
    if empty:
      with contextlib.suppress(OSError):
        for path in self._created:
          path.rmdir()

  def _history(self):
    """Returns the entries of `run.json`; begins anew if it is unreadable."""
    path = self.path / 'run.json'
    if not path.exists():
      return []
    try:
      history = _read(path).get('history')
      if not isinstance(history, list) or not all(
          isinstance(entry, dict) for entry in history):
        raise ValueError("'history' is no list of objects")
    except (OSError, ValueError) as error:
      log.warning('Began a new history: %s is unreadable: %s.', path, error)
      return []
    return history


def check_parts(path: pathlib.Path) -> None:
  """Refuses a run folder whose own parts are links, or not what they must be.

  Raises:
    StateError: names them.
  """
  links = [name for name in OWNED if (path / name).is_symlink()]
  if links:
    raise errors.StateError(
        f"In the run folder {path} symbolic links stand for "
        f"{', '.join(links)}. What they point to may be changed or deleted by "
        'a run: move it here, or make the run folder itself a link.')
  odd = [f'{name} is no file' for name in FILES if (
      path / name).exists() and not (path / name).is_file()]
  odd += [f'{name} is no folder' for name in FOLDERS if (
      path / name).exists() and not (path / name).is_dir()]
  if odd:
    raise errors.StateError(
        f"In the run folder {path}, {', '.join(odd)}. Move that away.")


def comparable(config: Config) -> dict[str, Any]:
  """Returns the settings that decide what is computed, as JSON keeps them.

  Returns:
    Dotted key to value.
  """
  flat = {
      k: v for k, v in config.flat.items()
      if k not in ('logdir', 'profile', 'logger.wandb')}
  return json.loads(json.dumps(flat, default=dict))


def changed(old: Mapping, new: Mapping) -> dict[str, tuple]:
  """Compares two flat configurations.

  Args:
    old: dotted key to value, as stored with the run.
    new: the same, as asked for now.

  Returns:
    Dotted key to (old, new) for each that differs, None where it is missing;
    without `logdir`, as a run folder may be moved, and without `env.config`,
    which stands for a group that is empty.
  """
  keys = sorted((set(old) | set(new)) - {'logdir', 'env.config'})
  pairs = {key: (old.get(key), new.get(key)) for key in keys}
  return {k: v for k, v in pairs.items() if _plain(v[0]) != _plain(v[1])}


def check_changed(logdir: str | os.PathLike, diff: Mapping[str, tuple]) -> None:
  """Refuses changes with which a run can not go on.

  Keys that one side does not know, as after an update of this package, count
  only below `env.config`, whose keys the environment defines.

  Args:
    logdir: run folder, for the message.
    diff: dotted key to (old, new), from `changed`.

  Raises:
    StateError: a key that decides networks, spaces or stored data differs.
  """
  bad = {
      key: pair for key, pair in diff.items()
      if settings.is_fixed(key)
      and (None not in pair or settings.is_open(key))}
  if bad:
    say = lambda value: 'not set' if value is None else repr(value)
    listing = '; '.join(
        f'{key} was {say(old)}, is now {say(new)}'
        for key, (old, new) in bad.items())
    raise errors.StateError(
        f'The run in {logdir} was made with other settings: {listing}. Give '
        'a new --logdir for the new values, or the old values to go on.')


def reached(logdir: pathlib.Path) -> tuple[bool, int]:
  """Looks for traces of a run, wherever its checkpoints are.

  Returns:
    Whether a run was ever begun there, and the last step in its metrics, in
    environment steps times action repeat; 0 if there is none.
  """
  begun = any(
      (logdir / name).exists()
      for name in ('config.yaml', 'run.json', 'checkpoints/best.json'))
  last = 0
  path = logdir / 'metrics.jsonl'
  with contextlib.suppress(OSError), files.open_regular(path) as f:
    for line in f:
      with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
        last = max(last, int(files.parse_object(line)['step']))
  return begun, last


def went_on(logdir: pathlib.Path) -> bool:
  """Tells whether a run once had checkpoints beyond step 0.

  Its history and the names of its evaluations say so, whatever else was lost.
  """
  steps = [
      int(match[1]) for path in logdir.glob('eval-*.json')
      if (match := re.match(r'eval-(\d{1,15})-', path.name))]
  with contextlib.suppress(
      OSError, ValueError, KeyError, TypeError, OverflowError):
    steps += [int(entry['step']) for entry in _read(
        logdir / 'run.json')['history']]
  return any(step > 0 for step in steps)


def versions() -> dict[str, str | None]:
  """Returns the versions of this package and those that decide its results."""
  names = (
      'dreamerv2_tf', 'tensorflow', 'numpy', 'gymnasium', 'highway-env',
      'envpool')
  result = {'python': platform.python_version()}
  for name in names:
    try:
      result[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      # Not installed, or under another name, as tensorflow-cpu.
      result[name] = getattr(sys.modules.get(name), '__version__', None)
  return result


def machine() -> dict[str, str | int | float]:
  """Returns processor, number of cores that may be used, memory and system."""
  info = pathlib.Path('/proc/cpuinfo')
  model = re.search(
      r'model name\s*: (.*)', info.read_text() if info.exists() else '')
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return {
      'processor': model[1] if model else platform.machine(),
      'cores': len(os.sched_getaffinity(0)),
      'memory_gb': round(memory / 1e9, 1), 'system': platform.platform()}


def _plain(value):
  """Makes lists and tuples comparable."""
  return list(map(_plain, value)) if isinstance(value, list | tuple) else value


def _read(path):
  return files.parse_object(files.read(path))


def _dumps(record):
  return json.dumps(record, indent=2, default=str) + '\n'
