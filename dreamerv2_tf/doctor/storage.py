"""The disk of the run folder: whether it can be written, its room and speed."""

import os
import pathlib
import shutil
import tempfile
import time

from ..config import Config
from ..errors import DreamerError
from .checks import Check, fail, ok, size, warn

TRIAL = 32_000_000  # Bytes that are written to measure the speed.
SLOW = 10e6  # Bytes for each second.


def check(logdir: pathlib.Path, measure: bool = True) -> Check:
  """Tells whether a run could write there, and how fast; leaves nothing.

  Args:
    logdir: run folder, which need not exist.
    measure: write and delete a file of 32 MB.
  """
  place = existing(logdir)
  if not place.is_dir():
    return fail(
        'disk', f'{place} is a file', 'Give a folder as --logdir.', 2)
  if not os.access(place, os.W_OK | os.X_OK):
    return fail(
        'disk', f'{place} can not be written',
        'Give a folder that you may write to as --logdir.', 6)
  free = shutil.disk_usage(place).free
  text, values = f'{size(free)} free for {logdir}', {'free': free}
  if measure and free > 4 * TRIAL:
    try:
      speed = _write_speed(place)
    except OSError as error:
      return fail(
          'disk', f'{place}: {error.strerror}',
          'Free some space, or give another --logdir.', 6, **values)
    text += f', written at {size(speed)} per second'
    values['bytes_per_second'] = speed
    if speed < SLOW:
      return warn(
          'disk', text, 'Episodes and checkpoints wait for it: put --logdir on '
          'a disk of this machine.', **values)
  return ok('disk', text, **values)


def check_run(logdir: pathlib.Path, config: Config) -> Check | None:
  """Tells whether a run that is there could go on with these settings."""
  path = logdir / 'config.yaml'
  if not path.is_file():
    return None
  from ..run import rundir
  try:
    stored = Config.load(path)
    diff = rundir.changed(stored.flat, config.flat)
    if config.precision == 'auto':
      diff.pop('precision', None)
    rundir.check_changed(logdir, diff)
  except DreamerError as error:
    return fail('run', str(error), 'See the message.', error.exit_code)
  keys = f", with other {', '.join(diff)}" if diff else ''
  return ok('run', f'{logdir} holds a run, which can go on{keys}')


def existing(path: pathlib.Path) -> pathlib.Path:
  """Returns the nearest of a path and those above it that exists."""
  path = path.expanduser().absolute()
  return next(x for x in (path, *path.parents) if os.path.lexists(x))


def _write_speed(folder):
  """Returns the bytes that reach the disk in a second."""
  block = os.urandom(1_000_000)
  with tempfile.TemporaryFile(dir=folder) as file:
    began = time.monotonic()
    for _ in range(TRIAL // len(block)):
      file.write(block)
    file.flush()
    os.fsync(file.fileno())
    return TRIAL / max(time.monotonic() - began, 1e-6)
