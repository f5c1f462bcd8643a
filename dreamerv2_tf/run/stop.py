"""Requests to stop, which come as signals."""

import signal
import threading


class Stop:
  """Remembers SIGINT and SIGTERM, and ignores SIGHUP, while it is entered.

  Attributes:
    signal: number of the first signal that came; 0 before.
  """

  def __init__(self):
    self.signal = 0
    self._handlers = {}

  def __enter__(self) -> 'Stop':
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGINT, signal.SIGTERM):
        self._handlers[number] = signal.signal(number, self._note)
      self._handlers[signal.SIGHUP] = signal.signal(
          signal.SIGHUP, signal.SIG_IGN)
    return self

  def __exit__(self, *exc_info) -> None:
    for number, handler in self._handlers.items():
      signal.signal(number, handler)

  def asked(self) -> int:
    """Returns the number of the first signal that came, or 0."""
    return self.signal

  def _note(self, number, frame):
    self.signal = self.signal or number
