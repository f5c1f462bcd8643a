"""What TensorBoard, and a strict reader of JSON, read in a run folder."""

import json

import pytest
from tensorboard.backend.event_processing import event_accumulator


def events(folder):
  accumulator = event_accumulator.EventAccumulator(
      str(folder), size_guidance={'scalars': 0, 'images': 0, 'tensors': 0})
  return accumulator.Reload()


def points(accumulator, tag):
  return [(x.step, x.value) for x in accumulator.Scalars(tag)]


def rows(folder):
  return [
      json.loads(line, parse_constant=lambda name: pytest.fail(name))
      for line in (folder / 'metrics.jsonl').read_text().splitlines()]
