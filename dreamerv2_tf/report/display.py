"""Where lines go: a file that may go away, or a display below them."""

from collections.abc import Callable
import contextlib
import logging
import os
import sys
from typing import Any, TextIO, cast

from . import lines


class Stream:
  """A text file that may lack characters, and may go away."""

  def __init__(self, file: TextIO):
    """Takes the file as it is."""
    self._file = file
    self.encoding = getattr(file, 'encoding', None) or 'utf-8'

  def is_terminal(self) -> bool:
    """Whether lines on it can be changed."""
    try:
      return self._file.isatty() and os.environ.get('TERM') != 'dumb'
    except (AttributeError, ValueError):
      return False

  def isatty(self) -> bool:
    """The same, under the name that files have."""
    return self.is_terminal()

  def fileno(self) -> int:
    """Returns the descriptor."""
    return self._file.fileno()

  def columns(self) -> int:
    """Returns how wide the terminal is, 80 if nobody knows."""
    try:
      return os.get_terminal_size(self.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
      return 80

  def plain(self, text: str) -> str:
    """Writes what the encoding lacks in other characters."""
    try:
      text.encode(self.encoding)
    except UnicodeEncodeError:
      text = text.translate(lines.PLAIN).encode(
          self.encoding, 'replace').decode(self.encoding)
    return text

  def write(self, text: str) -> None:
    """Writes a text, if anybody is there."""
    self._try(lambda file: file.write(self.plain(text)))

  def flush(self) -> None:
    """Passes on what was written."""
    self._try(lambda file: file.flush())

  def _try(self, function):
    if self._file is None:
      return
    try:
      function(self._file)
    except (OSError, ValueError):
      # Python flushes the stream again at exit: let that go nowhere.
      with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._file.fileno())
        os.close(null)
      self._file = None


class Handler(logging.Handler):
  """Passes each message of a logger to a function."""

  def __init__(self, show: Callable[[str], Any]):
    """Takes warnings and errors."""
    super().__init__(logging.WARNING)
    self._show = show

  def emit(self, record: logging.LogRecord) -> None:
    """Passes one on."""
    self._show(record.getMessage())


def open_live(stream: Stream, render: Callable[[int], str]) -> Any:
  """Shows a line below all others, and renews it in a thread.

  Args:
    stream: to a terminal.
    render: returns the line, of at most so many characters.

  Returns:
    The display, a `rich.live.Live`; `stop` takes the line away.
  """
  import rich.console
  import rich.live
  import rich.text

  class Console(rich.console.Console):
    """Leaves the cursor alone: a run that is killed would not bring it back."""

    def show_cursor(self, show=True):
      return False

  def draw():
    width = stream.columns()
    console.size = (width, 25)
    # One column less: some terminals begin a new line after the last.
    return rich.text.Text(stream.plain(render(width - 1)), no_wrap=True)

  console = Console(
      file=cast(TextIO, stream), force_terminal=True, force_jupyter=False,
      color_system=None, width=80, height=25)
  live = rich.live.Live(
      console=console, get_renderable=draw, transient=True,
      refresh_per_second=5, redirect_stdout=_same(sys.stdout, stream),
      redirect_stderr=_same(sys.stderr, stream))
  live.start(refresh=True)
  return live


def _same(file, stream):
  """Whether what is written to a file appears on the terminal of a stream."""
  try:
    return os.ttyname(file.fileno()) == os.ttyname(stream.fileno())
  except (OSError, ValueError, AttributeError):
    return False
