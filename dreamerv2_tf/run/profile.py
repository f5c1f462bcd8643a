"""A profile for TensorBoard: what TensorFlow does in a window of steps."""

from collections.abc import Callable, Iterator
import contextlib
import logging
import pathlib
import shlex
import shutil
from typing import Any, SupportsInt

import tensorflow as tf

from .. import files

log = logging.getLogger(__name__)


class Profile:
  """Records a window of environment steps, once in a process.

  What is computed does not depend on it. A profile that can not be taken or
  written causes a warning and never ends a run.
  """

  def __init__(
      self, logdir: pathlib.Path, window: range, say: Callable[[str], Any]):
    """Records nothing yet.

    Args:
      logdir: run folder; the profile appears in plugins/profile/<time>.
      window: environment steps before action repeat; empty: none.
      say: called with the line that tells where the profile is.
    """
    self._logdir = logdir
    self._window = window
    self._say = say
    self._first = None  # Step at which the running profile began.
    self._temp = None  # Where TensorFlow writes it.

  @contextlib.contextmanager
  def collecting(
      self, step: SupportsInt, count: int,
      wait: Callable[[], Any]) -> Iterator[None]:
    """Names the body `collect`; begins before and ends after it, if due.

    Args:
      step: counter of the environment steps, which the body makes.
      count: how many it makes at most.
      wait: see `after`.
    """
    self.before(int(step), count)
    with self.trace('collect'):
      yield
    self.after(int(step), wait)

  def before(self, step: int, count: int) -> None:
    """Begins if one of the next steps lies in the window.

    Args:
      step: environment steps made so far.
      count: steps that come before the call of `after`.
    """
    window = self._window
    if self._first is not None or step >= window.stop or (
        step + count <= window.start):
      return
    self._temp = files.temporary(self._logdir)
    with self._forgiven():
      # Level 2 has every operation; calls of Python would hide them.
      tf.profiler.experimental.start(
          str(self._temp), tf.profiler.experimental.ProfilerOptions(
              host_tracer_level=2, python_tracer_level=0))
      self._first = step

  def after(self, step: int, wait: Callable[[], Any]) -> None:
    """Writes the profile if the window ends at `step` or before.

    Args:
      step: environment steps made so far.
      wait: called before, for what began in the window and still goes on.
    """
    if step >= self._window.stop:
      if self._first is not None:
        wait()
      self.close(step)

  def close(self, step: int) -> None:
    """Writes the profile if one is running; there will be no other."""
    self._window = range(0)
    if self._first is None:
      return
    first, self._first = self._first, None
    with self._forgiven():
      tf.profiler.experimental.stop()
      self._publish()
      folder = shlex.quote(str(self._logdir))
      self._say(
          f'Profile of steps {first} to {step} written. To see it: pip install '
          f'xprof, tensorboard --logdir {folder}, page Profile.')
    shutil.rmtree(self._temp, ignore_errors=True)

  def trace(self, name: str, step: int | None = None) -> Any:
    """Returns a context that names what happens in it.

    Args:
      name: TensorBoard takes those that begin with `train` for steps.
      step: number of the step, if it is one.
    """
    extra = {} if step is None else {'step_num': step, '_r': 1}
    return tf.profiler.experimental.Trace(name, **extra)

  def _publish(self):
    """Moves the profile into the run folder."""
    [folder] = (self._temp / 'plugins' / 'profile').iterdir()
    for path in folder.glob('*.xplane.pb'):
      # If iterations of loops have numbers, TensorBoard takes them for the
      # steps instead of ours. The new name has the length of the old one, as
      # the format needs.
      data = path.read_bytes().replace(b'iter_num', b'loop_num')
      path.write_bytes(data)
    target = self._logdir / 'plugins' / 'profile' / folder.name
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)

  @contextlib.contextmanager
  def _forgiven(self):
    """Turns any error into a warning; the window is over then."""
    try:
      yield
    except Exception as error:
      self._window = range(0)
      log.warning('No profile: %s', getattr(error, 'message', error))
