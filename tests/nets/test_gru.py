import math

import builders
import numpy as np
import pytest
import reference
import tensorflow as tf

from dreamerv2_tf.nets.gru import GRUCell


def make_cell(in_dim, deter, dtype=tf.float32):
  return GRUCell(in_dim, deter, init=builders.init(dtype))


def test_step_by_hand():
  cell = make_cell(1, 1)
  cell.set_weights({
      'dense/kernel': [[0, 0, 0], [0, 0, 0]],
      'dense/bias': [-1, 0, 1],  # Beside the norm, as in the original.
      'dense/norm/gamma': [1, 1, 1],
      'dense/norm/beta': [0, 2, 0]})
  sigmoid = lambda x: 1 / (1 + math.exp(-x))
  unit = 1 / math.sqrt(2 / 3 + 1e-3)  # The gates before beta: -unit, 0, unit.
  cand = math.tanh(sigmoid(-unit) * 2)  # Reset acts on the normalised gate.
  update = sigmoid(unit - 1)
  got = cell(tf.constant([[7.0]]), tf.constant([[0.5]]))
  np.testing.assert_allclose(
      got, [[update * cand + (1 - update) * 0.5]], rtol=1e-6)


def test_a_new_cell_mostly_remembers():
  cell = make_cell(4, 3)
  weights = cell.get_weights()
  weights['dense/kernel'] *= 0
  cell.set_weights(weights)
  keep = 1 - 1 / (1 + math.e)  # All gates are 0: the update is sigmoid(-1).
  got = cell(tf.zeros([1, 4]), tf.constant([[1.0, -1, 0.5]]))
  np.testing.assert_allclose(
      got, [[keep, -keep, keep / 2]], rtol=1e-6)


@pytest.mark.parametrize('dtype, tolerance', [
    (tf.float32, 1e-5), (tf.float16, 5e-3), (tf.bfloat16, 5e-2)])
def test_steps_of_random_weights(dtype, tolerance):
  cell = make_cell(3, 5, dtype)
  weights = reference.scramble(cell)
  rng = np.random.default_rng(1)
  x, want = rng.normal(size=[6, 4, 3]), rng.normal(size=[4, 5])
  got = tf.constant(want, dtype)
  for step in x:
    got = cell(tf.constant(step, dtype), got)
    want = reference.gru(weights, step, want)
  assert got.dtype == dtype
  np.testing.assert_allclose(
      tf.cast(got, tf.float32), want, rtol=tolerance, atol=tolerance)
