"""Metrics, pictures and texts in an event file of TensorBoard."""

from collections.abc import Mapping, Sequence
import io
import logging
import os
import pathlib
import re
import socket
import time

from tensorboard.compat.proto import (
  event_pb2,
  summary_pb2,
  tensor_pb2,
  tensor_shape_pb2,
  types_pb2,
)
from tensorboard.summary.writer import record_writer

from .. import files
from . import video
from .summary import Summary

log = logging.getLogger(__name__)


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
      files.append(self._file, buffer.getvalue())
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


def _event(step, **content):
  return event_pb2.Event(wall_time=time.time(), step=step, **content)


def _string_tensor(text):
  return tensor_pb2.TensorProto(
      dtype=types_pb2.DT_STRING, string_val=[text.encode()],
      tensor_shape=tensor_shape_pb2.TensorShapeProto())


def _metadata(plugin):
  return summary_pb2.SummaryMetadata(
      plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin))
