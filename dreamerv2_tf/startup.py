"""What must happen before and while TensorFlow is imported."""

import contextlib
import importlib
import os
import re
import sys
import tempfile
import threading

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


def import_tensorflow() -> None:
  """Imports TensorFlow without the notes that no variable can turn off."""
  prepare()
  with _filtered_stderr():
    importlib.import_module('tensorflow_probability')
    importlib.import_module('tf_keras')


@contextlib.contextmanager
def importing_tensorflow():
  """Imports TensorFlow in a thread beside the body; waits for it at the end."""
  thread = threading.Thread(target=import_tensorflow, daemon=True)
  thread.start()
  try:
    yield
  finally:
    thread.join()


@contextlib.contextmanager
def _filtered_stderr():
  """Holds back what C++ writes to the standard error and passes the rest on."""
  try:
    sys.stderr.flush()
    original = os.dup(2)
  except (OSError, ValueError, AttributeError):
    yield  # There is no standard error.
    return
  with tempfile.TemporaryFile() as file:
    os.dup2(file.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(original, 2)
      os.close(original)
      file.seek(0)
      lines = [x for x in file if not CHATTER.match(x)]
      with contextlib.suppress(OSError):
        os.write(2, b''.join(lines))
