"""What TensorBoard, and a strict reader of JSON, read in a run folder."""

import json

import pytest
from tensorboard.backend.event_processing import (
  plugin_event_accumulator as event_accumulator,
)


def events(folder):
  accumulator = event_accumulator.EventAccumulator(
      str(folder), size_guidance={'tensors': 0})
  return accumulator.Reload()


def points(accumulator, tag):
  return [
      (x.step, x.tensor_proto.float_val[0]) for x in accumulator.Tensors(tag)]


def picture(accumulator, tag):
  """Returns step, width, height and encoded bytes of the last picture."""
  last = accumulator.Tensors(tag)[-1]
  width, height, data = last.tensor_proto.string_val
  return last.step, int(width), int(height), data


def tags_of(accumulator, plugin):
  return set(accumulator.PluginTagToContent(plugin))


def rows(folder):
  return [
      json.loads(line, parse_constant=lambda name: pytest.fail(name))
      for line in (folder / 'metrics.jsonl').read_text().splitlines()]
