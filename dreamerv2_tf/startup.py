"""What must happen before and while TensorFlow is imported."""

from collections.abc import Callable, Iterator
import contextlib
import importlib
import io
import os
import re
import sys
import threading

from . import errors

# Threads that import TensorFlow, and the standard error meanwhile.
_importing = []
_stderr = []

CHATTER = re.compile(
    rb'WARNING: All log messages before absl|[IWE]\d{4} |'
    rb'To enable the following')


def prepare() -> None:
  """Sets environment variables that the user has not set.

  oneDNN, off by default on some processors, takes a third to a half off a
  training step.
  """
  for name, value in {
      'TF_ENABLE_ONEDNN_OPTS': '1',
      'TF_CPP_MIN_LOG_LEVEL': '3',  # Errors are raised, too.
      'PYGAME_HIDE_SUPPORT_PROMPT': '1',
  }.items():
    os.environ.setdefault(name, value)


def open_streams() -> None:
  """Opens those of descriptors 0 to 2 that are closed, to nothing.

  Otherwise files that are opened later take their place. What the standard
  output can not encode, such as names that are no UTF-8, is escaped.
  """
  if isinstance(sys.stdout, io.TextIOWrapper) and (
      sys.stdout.errors == 'strict'):
    sys.stdout.reconfigure(errors='backslashreplace')
  for handle in range(3):
    try:
      os.fstat(handle)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # The lowest that is free: this one.


def import_tensorflow() -> None:
  """Imports TensorFlow without the notes that no variable can turn off."""
  prepare()
  with _filtered_stderr():
    importlib.import_module('tensorflow_probability')
    importlib.import_module('tf_keras')


@contextlib.contextmanager
def importing_tensorflow(
    stop: Callable[[], int] = lambda: 0) -> Iterator[None]:
  """Imports TensorFlow in a thread beside the body; waits for it at the end.

  Args:
    stop: returns the number of the signal that asks to stop, or 0.

  Raises:
    Interrupted: asked to stop meanwhile; the import may still be running.
  """
  # Its import walks through NumPy's types, to which TensorFlow's adds some:
  # not at the same time, as the body may import it, too.
  importlib.import_module('numpy.ma')
  thread = threading.Thread(target=import_tensorflow, daemon=True)
  thread.start()
  _importing.append(thread)
  try:
    yield
  finally:
    while thread.is_alive() and not stop():
      thread.join(0.1)
  if thread.is_alive():
    raise errors.interrupted(stop(), 'during the start.')


def holds_tensorflow() -> bool:
  """Tells whether TensorFlow is in this process, or on its way."""
  return 'tensorflow' in sys.modules or any(
      thread.is_alive() for thread in _importing)


def leave_if_importing(status: int, message: str) -> None:
  """Ends the process at once if TensorFlow is still being imported.

  The end of the interpreter would wait for it or fail in it.

  Args:
    status: exit status.
    message: for the standard error.
  """
  if any(thread.is_alive() for thread in _importing):
    handle = _stderr[0] if _stderr else 2
    with contextlib.suppress(OSError):
      os.write(handle, f'{message}\n'.encode())
    os._exit(status)


@contextlib.contextmanager
def _filtered_stderr():
  """Holds back what C++ writes to the standard error and passes the rest on."""
  try:
    sys.stderr.flush()
    original = os.dup(2)
  except (OSError, ValueError, AttributeError):
    yield  # There is no standard error.
    return
  # Not a temporary file: there may be no folder that can be written.
  with open(os.memfd_create('stderr'), 'w+b') as file:
    os.dup2(file.fileno(), 2)
    _stderr.append(original)
    try:
      yield
    finally:
      os.dup2(original, 2)
      _stderr.clear()
      os.close(original)
      file.seek(0)
      lines = [x for x in file if not CHATTER.match(x)]
      with contextlib.suppress(OSError):
        os.write(2, b''.join(lines))
