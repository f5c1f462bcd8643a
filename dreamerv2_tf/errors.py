"""Errors that a user can act on, each with the exit status of the command."""

from collections.abc import Callable
import errno
import functools
import re
import signal


class DreamerError(Exception):
  """One clear line for the user: what was wrong, expected, got, what to do.

  Attributes:
    exit_code: int; exit status of the `dreamerv2` command.
  """

  exit_code = 1


class ConfigError(DreamerError, ValueError):
  """Usage or configuration: unknown preset, key, task or wrong type."""

  exit_code = 2


class StateError(DreamerError):
  """A checkpoint, episode or run folder is incompatible or unreadable."""

  exit_code = 3


class EnvError(DreamerError):
  """An environment can not be built, breaks its API or fails too often."""

  exit_code = 4


class NonFiniteError(DreamerError):
  """A loss, gradient, reward or observation is NaN or infinite."""

  exit_code = 5


class StorageError(DreamerError):
  """The disk is full or not writable, or memory does not suffice."""

  exit_code = 6


class LockedError(DreamerError):
  """Another process writes to this run folder."""

  exit_code = 7


class Interrupted(DreamerError):
  """The run was asked to stop and its state is saved.

  Attributes:
    exit_code: 75 after SIGTERM (preempted), 130 after SIGINT.
  """

  def __init__(self, message: str, exit_code: int = 75):
    super().__init__(message)
    self.exit_code = exit_code


def first_line(error: BaseException) -> str:
  """Returns the first line of a message, without the point at its end.

  Nor does it tell the names of TensorFlow's operations.
  """
  text = re.sub(r'\{\{.*?\}\}\s*|\s*\[Op:\w*\]', '', str(error))
  return (text or type(error).__name__).splitlines()[0].rstrip('.')


def brief(error: BaseException, most: int = 500) -> str:
  """Returns class and message of an error of others on one line.

  Args:
    error: any; even its message may fail.
    most: characters of the message that are kept.
  """
  try:
    text = str(error)
  except Exception:
    text = 'its message can not be read'
  text = ' '.join(text[:10 * most].split())
  text = ''.join(x if x.isprintable() else '?' for x in text)
  if len(text) > most:
    text = f'{text[:most]} ...'
  return f'{type(error).__name__}: {text}'


def interrupted(number: int, where: str) -> Interrupted:
  """Returns the error of a run that a signal has stopped.

  Args:
    number: of the signal.
    where: the rest of the sentence on what it stopped.
  """
  return Interrupted(
      f'Stopped by {signal.Signals(number).name} {where} Run the same command '
      'again to go on.', 130 if number == signal.SIGINT else 75)


def for_user(error: BaseException) -> BaseException:
  """Returns the error of ours that stands for one of Python's, or the same.

  Memory that does not suffice and a disk that is full or can not be written
  may show anywhere.
  """
  if isinstance(error, MemoryError):
    return StorageError(
        'out of memory; lower replay.ram, dataset.batch or envs')
  number = error.errno if isinstance(error, OSError) else None
  if number == errno.ENOMEM:
    return for_user(MemoryError())
  if number in (errno.EMFILE, errno.ENFILE):
    return StorageError(
        f'{error}; raise the limit (ulimit -n), or lower envs and eval_envs')
  if number in (
      errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES):
    return StorageError(str(error))
  if isinstance(error, OSError) and number == errno.ENOENT and (
      'temporary directory' in str(error)):
    return StorageError(f'{error.strerror}; free some space, or set TMPDIR.')
  if number == errno.ENAMETOOLONG:
    return ConfigError(str(error))
  return error


def plainly(function: Callable) -> Callable:
  """Lets errors of ours leave a function without the path that they took.

  They say what to do; where in the package they were found does not help.
  """
  @functools.wraps(function)
  def call(*args, **kwargs):
    try:
      return function(*args, **kwargs)
    except DreamerError as error:
      raise error.with_traceback(None) from None
  return call
