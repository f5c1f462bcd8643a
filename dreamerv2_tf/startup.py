"""Settings of the process that must stand before TensorFlow is imported."""

import os


def prepare() -> None:
  """Sets environment variables that the user has not set.

  oneDNN, off by default on some processors, takes a third to a half off a
  training step.
  """
  for name, value in {
      'TF_ENABLE_ONEDNN_OPTS': '1',
      'TF_CPP_MIN_LOG_LEVEL': '2',  # Errors only.
      'PYGAME_HIDE_SUPPORT_PROMPT': '1',
  }.items():
    os.environ.setdefault(name, value)
