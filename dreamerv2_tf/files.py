"""Files that appear or grow whole or not at all."""

from collections.abc import Callable
import contextlib
import errno
import io
import json
import os
import pathlib
import re
import shutil
import stat
from typing import Any, BinaryIO
import uuid

PREFIX = '.tmp-'


def write(path: str | os.PathLike, fill: Callable[[BinaryIO], Any]) -> None:
  """Writes a file so that readers see the old content or the whole new one.

  Writes beside the target, flushes, fsyncs and renames; a kill at any moment
  leaves at most a `.tmp-` file, which `clean` removes at the next start.

  Args:
    path: target file; its folder must exist.
    fill: writes the content to the open binary file that it is given.

  Raises:
    OSError: the disk is full or the folder not writable; the target is as it
      was and the temporary file removed.
  """
  path = pathlib.Path(path)
  temp = temporary(path.parent)
  try:
    with temp.open('wb') as file:
      fill(file)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temp, path)
    sync_dir(path.parent)
  except BaseException as error:
    temp.unlink(missing_ok=True)
    if isinstance(error, OSError) and error.filename in (None, str(temp)):
      error.filename = os.fspath(path)  # What people know.
    raise


def append(file: io.FileIO, data: bytes) -> None:
  """Appends all bytes to an unbuffered file, or none.

  Raises:
    OSError: the disk is full; the file is as it was.
  """
  size = os.fstat(file.fileno()).st_size
  try:
    view = memoryview(data)
    while view:
      view = view[file.write(view):]
  except OSError:
    with contextlib.suppress(OSError):
      os.ftruncate(file.fileno(), size)
    raise


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes UTF-8 text whole or not at all; names that are none as escapes."""
  data = text.encode(errors='backslashreplace')
  write(path, lambda file: file.write(data))


def open_regular(path: str | os.PathLike) -> BinaryIO:
  """Opens a file to read; a pipe in its place would make us wait for ever.

  Raises:
    OSError: it can not be opened, or is no file.
  """
  handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
  mode = os.fstat(handle).st_mode
  if not stat.S_ISREG(mode):
    os.close(handle)
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO
    raise OSError(number, os.strerror(number), os.fspath(path))
  return open(handle, 'rb')


def read(path: str | os.PathLike) -> bytes:
  """Returns the content of a file; raises as `open_regular`."""
  with open_regular(path) as file:
    return file.read()


def advice(error: Exception) -> str:
  """Returns what to do about a file that could not be written."""
  number = getattr(error, 'errno', errno.ENOSPC)  # TensorFlow has none.
  if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
    return 'free some space'
  if number in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
    return 'put the folder back in its place'
  return 'mend that'


def parse_object(data: bytes) -> dict[str, Any]:
  """Parses a JSON object.

  Raises:
    ValueError: it is none, whatever the bytes are.
  """
  try:
    result = json.loads(data)
  except RecursionError:
    raise ValueError('nested too deep') from None
  if not isinstance(result, dict):
    raise ValueError(f'expected an object, got a {type(result).__name__}')
  return result


def check_name(path: str | os.PathLike) -> None:
  """Refuses paths that logs, the terminal and TensorBoard can not name.

  Raises:
    ValueError: it is not UTF-8.
  """
  try:
    os.fspath(path).encode()
  except UnicodeEncodeError:
    raise ValueError('its name is not UTF-8') from None


def safe_name(text: str) -> str:
  """Returns a text, such as the name of a task, as files and folders have it.

  It holds letters, digits, `_`, `.` and `-`, and does not begin with a point.
  """
  return re.sub(r'[^A-Za-z0-9_.-]', '-', text).lstrip('.') or 'run'


def printable(path: str | os.PathLike) -> str:
  """Returns a path with bytes that are not UTF-8 written as escapes."""
  return os.fsencode(path).decode(errors='backslashreplace')


def temporary(folder: str | os.PathLike) -> pathlib.Path:
  """Returns an unused `.tmp-<pid>-<uuid>` path in the folder."""
  return pathlib.Path(folder) / f'{PREFIX}{os.getpid()}-{uuid.uuid4().hex}'


def sync_dir(folder: str | os.PathLike) -> None:
  """Makes renames within the folder durable, where its disk can do that."""
  handle = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(handle)
  except OSError as error:
    if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
      raise  # Some network disks know no such thing for folders.
  finally:
    os.close(handle)


def clean(folder: str | os.PathLike) -> int:
  """Removes the temporary files and folders that a killed process left.

  Call it only while holding the lock of the run folder.

  Returns:
    Number of entries removed.
  """
  count = 0
  for path in pathlib.Path(folder).glob(PREFIX + '*'):
    if path.is_dir() and not path.is_symlink():
      shutil.rmtree(path, ignore_errors=True)
    else:
      path.unlink(missing_ok=True)
    count += 1
  return count
