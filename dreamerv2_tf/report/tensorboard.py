"""Metrics, pictures and texts in an event file of TensorBoard."""

from collections.abc import Mapping, Sequence
import io
import logging
import os
import pathlib
import re
import socket
import time
from typing import Any

from tensorboard.compat.proto import (
  event_pb2,
  summary_pb2,
  tensor_pb2,
  tensor_shape_pb2,
  types_pb2,
)
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.summary.writer import record_writer

from .. import files
from ..settings.run import LOGGING
from . import metrics, video
from .summary import Summary

log = logging.getLogger(__name__)

WIDTH = 512  # Pixels to which small pictures are enlarged,
SCALE = 4  # at most by this factor.
# Settings that tell nothing of a trial, and those that always do.
UNTOLD = {
    *LOGGING, 'logdir', 'replay.ram', 'envs_parallel', 'env_timeout',
    'env.config'}
TOLD = ('task', 'seed')
# Columns of the hparams page: metric, name there.
COLUMNS = {
    'eval_return': 'return', 'eval_crash_rate': 'crash rate',
    'eval_success_rate': 'success rate',
    'eval_length': 'length', 'fps': 'steps per second'}


class TensorBoardOutput:
  """Writes scalars, images, GIF videos and texts to an event file.

  Tags are `<group>/<name>`; groups and descriptions are in `metrics`. Counts
  of failures have no chart until they leave 0.

  Records are appended directly instead of through the EventFileWriter of the
  `tensorboard` package: its thread hides a full disk and leaves torn records,
  after which TensorBoard reads nothing more of the file. Here a record is
  whole or absent. A write that fails is a warning, once, and never an error.

  Code: danijar/dreamerv2 common/logger.py, TensorBoardOutput.
  Differs: groups and descriptions; small pictures are enlarged.
  """

  def __init__(
      self, logdir: str | os.PathLike, fps: float = 20,
      resume: int | None = None, defaults: Mapping[str, Any] | None = None,
      usual: Mapping[str, Any] | None = None):
    """Prepares an event file, which appears with the first write.

    Args:
      logdir: run folder.
      fps: frames per second of videos.
      resume: step from which a run goes on, environment steps times action
        repeat: TensorBoard then drops what an earlier start wrote beyond it.
      defaults: settings that need not be told, dotted key to value.
      usual: the same of the preset; what differs from it is shown first.
    """
    self._logdir = pathlib.Path(logdir)
    self._fps = fps
    self._defaults = defaults or {}
    self._usual = usual or {}
    self._file = None
    self._warned = False
    self._described = set()  # Tags whose description is in the file.
    self._zeros = {}  # Tag to the last 0 that was not written.
    self._header = [_event(0, file_version='brain.Event:2')]
    if resume is not None:
      # TensorBoard keeps only what lies before the step of this event. One of
      # its readers takes the first in a run for the start, so there are two.
      self._header += 2 * [_event(
          resume + 1, session_log=event_pb2.SessionLog(
              status=event_pb2.SessionLog.START))]

  def __call__(self, summaries: Sequence[Summary]) -> None:
    """Appends and flushes the events."""
    events = []
    for step, name, value in summaries:
      if isinstance(value, str):
        events.append(_event(step, summary=_text(name, value)))
      elif value.ndim == 0:
        events += self._scalar(step, name, float(value))
      else:
        events.append(_event(step, summary=self._picture(name, value)))
    if events:
      self._write(events)

  def hparams(self, mapping: Mapping) -> None:
    """Writes what this run has other than the defaults, and its name.

    The keys of all runs are listed, as TensorBoard takes the list of one.

    Args:
      mapping: all settings, dotted key to value.
    """
    from tensorboard.plugins.hparams import summary_v2 as hp
    from tensorboard.plugins.hparams.api_pb2 import HParamInfo
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    plain = {k: _plain(v) for k, v in mapping.items() if k not in UNTOLD}
    differ = lambda base: {
        k: v for k, v in plain.items()
        if k in TOLD or k not in base or v != _plain(base[k])}
    told, first = differ(self._defaults), differ(self._usual)
    # Runs of one name would count as one trial.
    folder = self._logdir.absolute()
    name = '/'.join(folder.parts[-2:]).lstrip('/')
    columns = [
        hp.Metric(f'{metrics.find(key).group}/{key}', display_name=text)
        for key, text in COLUMNS.items()]
    config = hp.hparams_config_pb([], columns)
    content = config.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(content.content)
    data.experiment.hparam_infos.extend(
        HParamInfo(name=k, type=_kind(v), differs=k in first)
        for k, v in plain.items())
    content.content = data.SerializeToString()
    self._write([
        _event(0, summary=config),
        _event(0, summary=hp.hparams_pb(told, trial_id=name))])

  def close(self) -> None:
    """Closes the event file."""
    if self._file is not None:
      self._file.close()

  def _scalar(self, step, name, value):
    """Returns the events of a number: with a 0 before the first failure."""
    row = metrics.find(name)
    tag = f'{row.group if row else metrics.OWN}/{name}'
    if row and row.group == metrics.HEALTH and tag not in self._described:
      if value == 0:
        self._zeros[tag] = step
        return []
      if tag in self._zeros:
        before = self._zeros.pop(tag)
        return [_event(before, summary=self._number(tag, 0.0, row)),
                _event(step, summary=self._number(tag, value, row))]
    return [_event(step, summary=self._number(tag, value, row))]

  def _number(self, tag, value, row):
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_FLOAT, float_val=[value],
        tensor_shape=tensor_shape_pb2.TensorShapeProto())
    return self._summary(tag, tensor, row, scalar_metadata)

  def _picture(self, name, value):
    row = metrics.find_picture(name)
    tag = f'{row.group if row else metrics.OWN}/{name}'
    if value.ndim == 2:
      value = value[..., None]
    pixels = video.displayable(value)
    height, width = pixels.shape[-3:-1]
    scale = max(1, min(SCALE, WIDTH // width))
    if pixels.ndim == 3:
      data = video.encode_png(video.enlarge(pixels[None], scale)[0])
    else:
      data = video.encode_gif(pixels, self._fps, scale)
    sizes = [str(scale * x).encode() for x in (width, height)]
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, string_val=[*sizes, data],
        tensor_shape=tensor_shape_pb2.TensorShapeProto(
            dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=3)]))
    return self._summary(tag, tensor, row, image_metadata)

  def _summary(self, tag, tensor, row, plugin):
    """Returns a value; the first of a tag has its description."""
    metadata = None
    if tag not in self._described:
      self._described.add(tag)
      metadata = plugin.create_summary_metadata(
          tag.partition('/')[2], row.description if row else '')
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(
        tag=tag, tensor=tensor, metadata=metadata)])

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
      self._described.clear()  # With the values, descriptions are lost.
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


def _text(name, text):
  tensor = tensor_pb2.TensorProto(
      dtype=types_pb2.DT_STRING, string_val=[text.encode()],
      tensor_shape=tensor_shape_pb2.TensorShapeProto())
  metadata = summary_pb2.SummaryMetadata(
      plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name='text'))
  return summary_pb2.Summary(value=[summary_pb2.Summary.Value(
      tag=name, tensor=tensor, metadata=metadata)])


def _kind(value):
  """Returns the type of a setting, as DataType of the hparams page."""
  if isinstance(value, str):
    return 1
  return 2 if isinstance(value, bool) else 3


def _plain(value):
  """Returns a setting as the hparams page takes it."""
  if isinstance(value, bool | int | float):
    return value
  if isinstance(value, list | tuple):
    return ', '.join(map(str, value))
  return str(value)
