"""What a logger hands to its outputs."""

import time

import numpy as np
import pytest

from dreamerv2_tf.report.logger import Logger


def test_prefix_multiplier_and_step_at_the_time_of_adding():
  got, step = [], 3
  logger = Logger(lambda: step, [got.extend], multiplier=4)
  logger.add({'a': 1, 'b': np.float32(2)}, prefix='train')
  step = 5
  logger.scalar('c', 3)
  logger.write()
  assert [(s, name, float(value)) for s, name, value in got] == [
      (12, 'train_a', 1), (12, 'train_b', 2), (20, 'c', 3)]
  logger.write()  # Nothing new: the outputs are not called.
  assert len(got) == 3


def test_values_are_copied():
  got, value = [], np.zeros((2, 2))
  logger = Logger(lambda: 0, [got.extend])
  logger.image('x', value)
  value[:] = 1
  logger.write()
  assert got[0][2].max() == 0


@pytest.mark.parametrize('value', [
    np.zeros(3), np.zeros((1, 2, 3, 4, 5)), np.array(None), 1j,
    np.datetime64('2026-01-01')])
def test_other_shapes_are_refused(value):
  logger = Logger(lambda: 0, [])
  with pytest.raises(ValueError, match="Value 'odd' of shape"):
    logger.add({'odd': value})


def test_fps_are_those_since_the_write_before(monkeypatch):
  got, step, now = [], 0, 100.0
  monkeypatch.setattr(time, 'monotonic', lambda: now)
  logger = Logger(lambda: step, [got.extend], multiplier=2)
  logger.write(fps=True)
  step, now = 30, 104.0
  logger.write(fps=True)
  assert [float(value) for _, _, value in got] == [0, 15]
