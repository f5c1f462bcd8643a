"""The lock of a run folder: one process writes there at a time."""

import contextlib
import datetime
import fcntl
import json
import logging
import os
import pathlib
import socket
import threading
import time

from .. import errors, files

log = logging.getLogger(__name__)

HEARTBEAT = 60  # Seconds between signs of life of the lock's holder.
SILENCE = 600  # Seconds without one until --break-lock takes the lock over.


class Lock:
  """An flock on a file, which the kernel releases however the process ends.

  Programs that the process starts do not inherit it. The folder is locked as
  well, where its disk can do that, as somebody may delete the file. As flock
  may not reach other machines on a network disk, the file also names host and
  boot and is touched every minute.
  """

  def __init__(self, path: pathlib.Path):
    """Opens the file, which is made where it is missing, and locks nothing.

    Raises:
      OSError: it can not be made or opened.
    """
    self._path = path
    self._handle = None
    self._handle = self._open()
    self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._beat, daemon=True)

  @property
  def held(self) -> bool:
    """Whether it was taken or can be; not after `release`."""
    return self._handle is not None

  def take(self, break_lock: bool = False) -> None:
    """Takes the lock and says so in the file.

    Args:
      break_lock: take over that of another host that gave no sign of life for
        ten minutes.

    Raises:
      LockedError: another process has it; nothing was changed.
      StorageError: the disk has no locks.
    """
    try:
      self._take(break_lock)
    except BaseException:
      os.close(self._handle)
      os.close(self._folder)
      raise
    self._thread.start()

  def release(self, remove: bool = False) -> None:
    """Gives the lock back; empties the file or removes it."""
    self._stop.set()
    self._thread.join()
    with contextlib.suppress(OSError):
      if remove:
        self._path.unlink()
      else:
        os.ftruncate(self._handle, 0)
    os.close(self._handle)
    os.close(self._folder)
    self._handle = None

  def _open(self):
    # Python opens it close-on-exec.
    return os.open(
        self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)

  def _take(self, break_lock):
    """Takes the lock, or raises LockedError before anything is written."""
    free = _flock(self._handle) and self._current()
    holder = self._holder()
    # The same boot is the same kernel, and an earlier boot of this host is
    # over: in both cases flock tells the truth. Without a holder, too.
    here = not holder or (
        holder.get('host') == socket.gethostname() or
        holder.get('boot_id') == _boot_id() != '')
    alone = self._lock_folder()
    if not (free and here and alone):
      silent = time.time() - os.fstat(self._handle).st_mtime
      stale = not here and silent >= SILENCE
      if not (stale and break_lock and alone):
        raise errors.LockedError(
            f'{self._path.parent} is locked by pid '
            f"{holder.get('pid', 'unknown')} on host "
            f"{holder.get('host', 'unknown')} since "
            f"{holder.get('since', 'an unknown time')}"
            f'{self._advice(here, silent)}')
      log.warning(
          'Took over the lock of host %s, silent for %d s.',
          holder.get('host'), silent)
      if not free:
        # A dead host's flock stays with the old file; a new one has none.
        self._replace()
    elif os.fstat(self._handle).st_nlink > 1:
      # The file of a copy, too, made with `cp -al`: leave that one alone.
      self._replace()
    record = json.dumps({
        'pid': os.getpid(), 'host': socket.gethostname(),
        'boot_id': _boot_id(), 'since': now()})
    os.ftruncate(self._handle, 0)
    os.pwrite(self._handle, record.encode(), 0)
    os.fsync(self._handle)

  def _lock_folder(self):
    """Returns whether no other process has locked the folder."""
    try:
      return _flock(self._folder)
    except errors.StorageError:
      return True  # Network disks may lock files alone.

  def _replace(self):
    """Locks a new file in place of the old one."""
    self._path.unlink()
    os.close(self._handle)
    self._handle = self._open()
    if not (_flock(self._handle) and self._current()):
      raise errors.LockedError(
          f'{self._path.parent} was locked at this moment.')

  def _advice(self, here, silent):
    if here:
      return '. Wait for it, stop it, or give another --logdir.'
    if silent < SILENCE:
      return (
          f', which gave a sign of life {max(silent, 0):.0f} s ago. Stop it '
          'there, or give another --logdir.')
    return (
        f', which gave no sign of life for {silent / 60:.0f} min. If it no '
        'longer runs there, add --break-lock.')

  def _current(self):
    """Returns whether the open lock is still the one in the folder."""
    try:
      return os.path.samestat(
          os.fstat(self._handle), os.stat(self._path))
    except FileNotFoundError:
      return False

  def _holder(self):
    """Returns the content of the lock file; empty if nobody is named."""
    try:
      return files.parse_object(os.pread(self._handle, 65536, 0))
    except ValueError:
      return {}

  def _beat(self):
    while not self._stop.wait(HEARTBEAT):
      with contextlib.suppress(OSError):
        os.utime(self._handle)


def _flock(handle):
  """Returns whether the exclusive lock was free; it is taken then."""
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True
  except BlockingIOError:
    return False
  except OSError as error:
    raise errors.StorageError(
        f'The disk of the run folder has no file locks: {error.strerror}. '
        'Give a --logdir on another disk.') from error


def _boot_id():
  """Returns what tells this boot of this machine from all others, or ''."""
  try:
    return pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
  except OSError:
    return ''


def now() -> str:
  """Returns the time of day, ISO 8601 with the time zone, seconds."""
  return datetime.datetime.now().astimezone().isoformat(timespec='seconds')
