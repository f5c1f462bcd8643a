"""Metrics on the terminal: a progress bar, or plain lines."""

import collections
from collections.abc import Sequence
import contextlib
import logging
import math
import os
import re
import sys
import time
from typing import TextIO

from .summary import Summary, to_row


class TerminalOutput:
  """A progress bar on a terminal, plain lines of metrics elsewhere.

  Plain lines read `[step] name value / name value`. On a terminal they appear
  above the bar once per `every` seconds, and with each evaluation. When the
  terminal or the pipe goes away, the output falls silent and the run goes on.

  Code: danijar/dreamerv2 common/logger.py, TerminalOutput (the plain lines).
  """

  # Latest values shown beside the bar: pattern of the metric, label.
  SHOWN = (
      (r'train_return', 'return'),
      (r'eval_return', 'eval'),
      (r'eval_crash_rate', 'eval crash'),  # Of an episode, it is 0 or 1.
      (r'model_loss', 'model'),
      (r'image_loss', 'image'),
  )

  def __init__(
      self, total: int | None = None, stream: TextIO | None = None,
      every: float = 60):
    """Looks whether the stream is a terminal.

    Args:
      total: last step of the run, environment steps times action repeat.
      stream: text file; standard output by default.
      every: seconds between lines of metrics above the bar.
    """
    self._total = int(total or 0)
    self._stream = sys.stdout if stream is None else stream
    self._every = every
    self._latest = {}
    self._marks = collections.deque()  # (seconds, step) of the last minute.
    self._drawn = self._printed = -math.inf
    self._handler = None
    if self._is_terminal():
      # Warnings of this package appear above the bar instead of across it.
      self._handler = _Handler(self.message)
      logging.getLogger('dreamerv2_tf').addHandler(self._handler)

  def __call__(self, summaries: Sequence[Summary]) -> None:
    """Prints a line, or redraws the bar."""
    step, scalars = to_row(summaries)
    for name, value in scalars.items():
      for pattern, label in self.SHOWN:
        if re.fullmatch(pattern, name):
          self._latest[label] = value
    if not scalars:
      return
    line = ' / '.join(f'{k} {format_value(v)}' for k, v in scalars.items())
    line = f'[{step}] {line}'
    if self._handler is None:
      self._emit(line + '\n')
      return
    now = time.monotonic()
    if now - self._printed >= self._every or 'eval_return' in scalars:
      self._printed = now
      self.message(line)
    self._draw(step)

  def tick(self, step: int) -> None:
    """Redraws the bar, at most five times per second."""
    if self._handler is not None and time.monotonic() - self._drawn >= 0.2:
      self._draw(step)

  def message(self, text: str) -> None:
    """Prints a line above the bar."""
    clear = '' if self._handler is None else '\r\x1b[K'
    self._emit(f'{clear}{text}\n')

  def close(self) -> None:
    """Leaves the bar as it is and moves to the next line."""
    if self._handler is not None:
      logging.getLogger('dreamerv2_tf').removeHandler(self._handler)
      self._handler = None
      self._emit('\n')

  def _draw(self, step):
    now = self._drawn = time.monotonic()
    marks = self._marks
    if not marks or now - marks[-1][0] >= 1:
      marks.append((now, step))
    while len(marks) > 2 and now - marks[1][0] >= 60:
      marks.popleft()
    rate = (step - marks[0][1]) / max(now - marks[0][0], 1e-9)
    parts = []
    if self._total:
      share = min(max(step / self._total, 0), 1)
      done = int(20 * share)
      parts.append(f'{int(100 * share):3d}% [{"=" * done:20s}]')
      parts.append(f'{step:,}/{self._total:,}')
    else:
      parts.append(f'{step:,} steps')
    if rate > 0:
      parts.append(f'{rate:.1f}/s' if rate < 1000 else f'{rate:,.0f}/s')
    if rate > 0 and self._total:
      parts.append('ETA ' + format_seconds((self._total - step) / rate))
    for _, label in self.SHOWN:
      if label in self._latest:
        parts.append(f'{label} {format_value(self._latest[label])}')
    try:
      columns = os.get_terminal_size(self._stream.fileno()).columns or 80
    except (OSError, ValueError):
      columns = 80
    self._emit('\r' + '  '.join(parts)[:columns - 1] + '\x1b[K')

  def _is_terminal(self):
    try:
      return self._stream.isatty() and os.environ.get('TERM') != 'dumb'
    except (AttributeError, ValueError):
      return False

  def _emit(self, text):
    if self._stream is None:
      return
    try:
      coding = getattr(self._stream, 'encoding', None) or 'utf-8'
      self._stream.write(text.encode(coding, 'replace').decode(coding))
      self._stream.flush()
    except (OSError, ValueError):
      # Python flushes the stream again at exit: let that go nowhere.
      with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)
      self._stream = None


def format_value(value: float) -> str:
  """Writes a number in a few characters: 0, 0.5, 12.34, 1.2e5, 3e-4."""
  if value == 0 or not math.isfinite(value):
    return f'{abs(value) if value == 0 else value:.0f}'
  if 0.01 < abs(value) < 10000:
    return f'{value:.2f}'.rstrip('0').rstrip('.')
  digits, exponent = f'{value:.1e}'.split('e')
  return f'{digits.removesuffix(".0")}e{int(exponent)}'


def format_seconds(seconds: float) -> str:
  """Writes a duration as h:mm:ss, with days in front from one day on."""
  minutes, seconds = divmod(max(int(seconds), 0), 60)
  hours, minutes = divmod(minutes, 60)
  days, hours = divmod(hours, 24)
  clock = f'{hours}:{minutes:02d}:{seconds:02d}'
  return f'{days}d {clock}' if days else clock


class _Handler(logging.Handler):
  """Passes each message of a logger to a function."""

  def __init__(self, show):
    super().__init__(logging.WARNING)
    self._show = show

  def emit(self, record):
    self._show(record.getMessage())
