"""Metrics to the terminal, `metrics.jsonl` and TensorBoard, without TensorFlow.

A summary is a tuple (step, name, value); the step counts environment steps
times action repeat, the value is a NumPy array or a text.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
import contextlib
import functools
import io
import json
import logging
import math
import os
import pathlib
import re
import shutil
import socket
import sys
import time
from typing import SupportsInt

import numpy as np
from tensorboard.compat.proto import (
  event_pb2,
  summary_pb2,
  tensor_pb2,
  tensor_shape_pb2,
  types_pb2,
)
from tensorboard.summary.writer import record_writer

from .. import errors, files
from . import video

log = logging.getLogger(__name__)

Summary = tuple[int, str, np.ndarray | str]


class Logger:
  """Collects values and hands them to the outputs at each `write`.

  Code: danijar/dreamerv2 common/logger.py, Logger.
  Differs: texts and hyperparameters; [H, W, C] images reach TensorBoard; the
    first `fps` counts from the first value instead of being 0.
  """

  def __init__(
      self, step: Callable[[], int] | SupportsInt, outputs: Sequence,
      multiplier: int = 1):
    """Keeps the outputs; writes nothing.

    Args:
      step: counter of environment steps before action repeat, or a function
        that returns them.
      outputs: callables that take a list of summaries; those with a method
        `tick` or `hparams` are given that, too.
      multiplier: action repeat.
    """
    self._step = step
    self._outputs = outputs
    self._multiplier = multiplier
    self._summaries = []
    self._last = None

  @property
  def step(self) -> int:
    """Environment steps times action repeat."""
    step = self._step() if callable(self._step) else self._step
    return int(step) * self._multiplier

  def add(self, mapping: Mapping, prefix: str | None = None) -> None:
    """Adds values at the present step; the number of axes tells what they are.

    Args:
      mapping: name to scalar, [H, W] or [H, W, C] image, [T, H, W, C] video
        (floats in 0..1 or uint8), or text (Markdown).
      prefix: put before each name with an underscore.

    Raises:
      ValueError: the shape is none of these.
    """
    step = self.step
    if self._last is None:
      self._last = (step, time.monotonic())
    for name, value in dict(mapping).items():
      name = f'{prefix}_{name}' if prefix else name
      if not isinstance(value, str):
        value = np.array(value)
        if value.ndim not in (0, 2, 3, 4) or value.dtype.kind in 'OSU':
          raise ValueError(
              f"Value '{name}' of shape {value.shape} and dtype {value.dtype} "
              'is no scalar, [H, W] or [H, W, C] image, or [T, H, W, C] video.')
      self._summaries.append((step, name, value))

  def scalar(self, name: str, value) -> None:
    """Adds one number."""
    self.add({name: value})

  def image(self, name: str, value: np.ndarray) -> None:
    """Adds a picture, [H, W] or [H, W, C]."""
    self.add({name: value})

  def video(self, name: str, value: np.ndarray) -> None:
    """Adds a video, [T, H, W, C]."""
    self.add({name: value})

  def text(self, name: str, value: str) -> None:
    """Adds a text in Markdown; `code_block` keeps its line breaks."""
    self.add({name: value})

  def hparams(self, mapping: Mapping) -> None:
    """Writes the settings for the hparams page of TensorBoard."""
    for output in self._outputs:
      if hasattr(output, 'hparams'):
        output.hparams(mapping)

  def tick(self) -> None:
    """Lets a progress bar move between writes; cheap, call it at every step."""
    for output in self._outputs:
      if hasattr(output, 'tick'):
        output.tick(self.step)

  def write(self, fps: bool = False) -> None:
    """Hands all collected values to the outputs.

    Args:
      fps: also log `fps`, environment steps times action repeat per second
        since the last `write(fps=True)`.

    Raises:
      StorageError: `metrics.jsonl` can not be written, for the third time.
    """
    if fps:
      self.scalar('fps', self._fps())
    if self._summaries:
      summaries, self._summaries = self._summaries, []
      for output in self._outputs:
        output(summaries)

  @property
  def pending_step(self) -> int | None:
    """Step of the values that wait for `write`, None if there are none."""
    return self._summaries[0][0] if self._summaries else None

  def state(self) -> list:
    """Returns the scalars that are not written yet, JSON-able."""
    return [
        [step, name, float(value)] for step, name, value in self._summaries
        if not isinstance(value, str) and value.ndim == 0]

  def load_state(self, state: Sequence) -> None:
    """Takes scalars of an earlier process that did not come to write them."""
    self._summaries += [
        (step, name, np.array(value)) for step, name, value in state]

  def close(self) -> None:
    """Closes the outputs; what is not written is lost."""
    for output in self._outputs:
      if hasattr(output, 'close'):
        output.close()

  def _fps(self) -> float:
    now = (self.step, time.monotonic())
    last, self._last = self._last or now, now
    return (now[0] - last[0]) / max(now[1] - last[1], 1e-9)


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

  def __init__(self, total: int | None = None, stream=None, every: float = 60):
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
    step, scalars = _scalars(summaries)
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


class JSONLOutput:
  """Appends one row of scalars per write to `metrics.jsonl`.

  Rows are `{"step": step, name: value, ...}`; NaN and infinities, which JSON
  lacks, become null. A float32 keeps all its digits. Rows that a full disk
  refuses are kept and written with the next ones.

  Code: danijar/dreamerv2 common/logger.py, JSONLOutput.
  """

  MAX_FAILURES = 3

  def __init__(self, logdir: str | os.PathLike):
    """Opens the file to append.

    Raises:
      StorageError: it can not be opened.
    """
    self._path = pathlib.Path(logdir) / 'metrics.jsonl'
    self._pending = b''
    self._failures = 0
    try:
      if self._path.exists() and self._path.stat().st_nlink > 1:
        # It is that of a copy, too, made with `cp -al` or the like.
        files.write(self._path, functools.partial(_copy, self._path))
      self._file = self._path.open('ab', buffering=0)
    except OSError as error:
      raise errors.StorageError(
          f'Can not open {self._path}: {error.strerror}.') from error

  def __call__(self, summaries: Sequence[Summary]) -> None:
    """Appends and flushes a row.

    Raises:
      StorageError: the third write in a row failed.
    """
    step, scalars = _scalars(summaries)
    if not scalars:
      return
    row = {'step': step}
    for name, value in scalars.items():
      row[name] = value if math.isfinite(value) else None
    self._pending += json.dumps(row, allow_nan=False).encode() + b'\n'
    try:
      _append(self._file, self._pending)
    except OSError as error:
      self._failures += 1
      message = f'Can not write {self._path}: {error.strerror}'
      if self._failures >= self.MAX_FAILURES:
        raise errors.StorageError(
            f'{message}, {self._failures} times in a row. Free some space and '
            'run the same command again.') from error
      log.warning('%s; the rows are kept for the next write.', message)
    else:
      self._pending = b''
      self._failures = 0

  def close(self) -> None:
    """Closes the file."""
    self._file.close()

  @staticmethod
  def cut(logdir: str | os.PathLike, step: int) -> int:
    """Takes back the rows beyond a step, from which a run will go on.

    They move to `metrics.<number>.cut.jsonl`, and so do rows that are not
    beyond the row before them. Lines that are no rows, as the last one after a
    power cut, are dropped with a warning.

    Args:
      logdir: run folder.
      step: environment steps times action repeat; rows up to it stay.

    Returns:
      Number of rows moved.
    """
    path = pathlib.Path(logdir) / 'metrics.jsonl'
    if not path.exists():
      return 0
    text = path.read_bytes()
    stay, move, torn, last = [], [], 0, -math.inf
    for line in text.splitlines(keepends=True):
      try:
        reached = files.parse_object(line)['step']
        if not line.endswith(b'\n') or not math.isfinite(reached):
          raise ValueError('The line has no end, or no step.')
      except (ValueError, TypeError, KeyError, OverflowError):
        torn += 1
        continue
      if last < reached <= step:
        stay.append(line)
        last = reached
      else:
        move.append(line)
    if torn:
      log.warning('Dropped %d unreadable line(s) of %s.', torn, path)
    if move:
      number = 1
      while (side := path.with_name(f'metrics.{number}.cut.jsonl')).exists():
        number += 1
      files.write(side, lambda file: file.writelines(move))
    if move or torn:
      files.write(path, lambda file: file.writelines(stay))
    return len(move)


class TensorBoardOutput:
  """Writes scalars, images, GIF videos and texts to an event file.

  Records are appended directly instead of through the EventFileWriter of the
  `tensorboard` package: its thread hides a full disk and leaves torn records,
  after which TensorBoard reads nothing more of the file. Here a record is
  whole or absent. A write that fails is a warning, once, and never an error.

  Code: danijar/dreamerv2 common/logger.py, TensorBoardOutput.
  """

  def __init__(
      self, logdir: str | os.PathLike, fps: float = 20,
      resume: int | None = None):
    """Prepares an event file, which appears with the first write.

    Args:
      logdir: run folder.
      fps: frames per second of videos.
      resume: step from which a run goes on, environment steps times action
        repeat: TensorBoard then drops what an earlier start wrote beyond it.
    """
    self._logdir = pathlib.Path(logdir)
    self._fps = fps
    self._file = None
    self._warned = False
    self._header = [_event(0, file_version='brain.Event:2')]
    if resume is not None:
      # TensorBoard keeps only what lies before the step of this event.
      self._header.append(_event(resume + 1, session_log=event_pb2.SessionLog(
          status=event_pb2.SessionLog.START)))

  def __call__(self, summaries: Sequence[Summary]) -> None:
    """Appends and flushes the events."""
    self._write([
        _event(step, summary=summary_pb2.Summary(
            value=[self._value(name, value)]))
        for step, name, value in summaries])

  def hparams(self, mapping: Mapping) -> None:
    """Writes the settings of this run, once per event file."""
    from tensorboard.plugins.hparams import summary_v2
    typed = {
        key: value if isinstance(value, bool | int | float) else str(value)
        for key, value in mapping.items()}
    self._write([_event(0, summary=summary_v2.hparams_pb(typed))])

  def close(self) -> None:
    """Closes the event file."""
    if self._file is not None:
      self._file.close()

  def _value(self, name, value):
    make = summary_pb2.Summary.Value
    if isinstance(value, str):
      return make(tag=name, tensor=_string_tensor(value), metadata=_metadata(
          'text'))
    if value.ndim == 0:
      return make(tag='scalars/' + name, simple_value=float(value))
    if value.ndim == 2:
      value = value[..., None]
    pixels = video.displayable(value)
    height, width, channels = pixels.shape[-3:]
    encode = video.encode_png if pixels.ndim == 3 else (
        lambda frames: video.encode_gif(frames, self._fps))
    return make(tag=name, image=summary_pb2.Summary.Image(
        height=height, width=width, colorspace=channels,
        encoded_image_string=encode(pixels)))

  def _write(self, events):
    buffer = io.BytesIO()
    writer = record_writer.RecordWriter(buffer)
    for event in self._header + events:
      writer.write(event.SerializeToString())
    try:
      if self._file is None:
        self._file = self._path().open('ab', buffering=0)
      _append(self._file, buffer.getvalue())
    except OSError as error:
      if not self._warned:
        log.warning(
            'Can not write TensorBoard events in %s: %s. Values are missing '
            'there; metrics.jsonl has the scalars.', self._logdir,
            error.strerror)
      self._warned = True
    else:
      self._header = []

  def _path(self):
    # TensorBoard reads the files in the order of their names and never goes
    # back, so the time stamp must grow even if the clock does not.
    stamps = [
        int(match[1]) for path in self._logdir.glob('events.out.tfevents.*')
        if (match := re.match(r'events\.out\.tfevents\.(\d+)', path.name))]
    stamp = max([int(time.time())] + [x + 1 for x in stamps])
    return self._logdir / (
        f'events.out.tfevents.{stamp:010d}.{socket.gethostname()}'
        f'.{os.getpid()}.0')


def code_block(text: str) -> str:
  """Wraps a text for `Logger.text` so that TensorBoard shows it verbatim."""
  return f'```\n{text.rstrip()}\n```'


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


def _scalars(summaries):
  """Returns the last step and the scalars of a write by name."""
  scalars = {
      name: float(value) for _, name, value in summaries
      if not isinstance(value, str) and value.ndim == 0}
  return max(step for step, _, _ in summaries), scalars


def _copy(path, file):
  """Copies the content of a path to a binary file."""
  with path.open('rb') as source:
    shutil.copyfileobj(source, file)


def _append(file, data):
  """Appends all bytes to an unbuffered file, or none."""
  size = os.fstat(file.fileno()).st_size
  try:
    view = memoryview(data)
    while view:
      view = view[file.write(view):]
  except OSError:
    with contextlib.suppress(OSError):
      os.ftruncate(file.fileno(), size)
    raise


def _event(step, **content):
  return event_pb2.Event(wall_time=time.time(), step=step, **content)


def _string_tensor(text):
  return tensor_pb2.TensorProto(
      dtype=types_pb2.DT_STRING, string_val=[text.encode()],
      tensor_shape=tensor_shape_pb2.TensorShapeProto())


def _metadata(plugin):
  return summary_pb2.SummaryMetadata(
      plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin))
