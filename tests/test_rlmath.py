import math

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tf import rlmath
from dreamerv2_tf.errors import ConfigError


@pytest.mark.parametrize('spec, step, want', [
    (0.25, 7, 0.25),
    ('3e-4', 7, 3e-4),
    ('linear(1, 0.2, 100)', 0, 1),
    ('linear(1, 0.2, 100)', 25, 0.8),
    ('linear(1, 0.2, 100)', 1000, 0.2),
    ('linear(3e-2,3e-3,1e4)', 5000, 0.0165),
    ('linear(1, 0.2, 100, 50)', 50, 1),
    ('linear(1, 0.2, 100, 50)', 75, 0.8),
    ('linear(1, 0.2, 100, 50)', 150, 0.2),
    ('warmup(10, 0.5)', 0, 0),
    ('warmup(10, 0.5)', 4, 0.2),
    ('warmup(10, 0.5)', 40, 0.5),
    ('exp(1, 0.2, 10)', 0, 1),
    ('exp(1, 0.2, 10)', 10, 0.6),
    ('exp(1, 0.2, 10)', 20, 0.4),
    ('horizon(10, 100, 90)', 0, 0.9),
    ('horizon(10, 100, 90)', 10, 0.95),
    (' horizon( 10 , 100, 90 ) ', 1000, 0.99),
])
def test_schedules(spec, step, want):
  got = rlmath.schedule(spec, tf.constant(step, tf.int64))
  np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize('spec', [
    'linear(1,0)', 'linear(1,0,2,3,4)', 'exp(1,0,2,3)', 'warmup(1)',
    'linear(a,b,c)', 'line', 'cosine(1,0,10)', 'linear(1,0,0)',
    'linear(1,0,10) or so', '', 'linear 1,0,10'])
def test_bad_schedules(spec):
  with pytest.raises(ConfigError) as error:
    rlmath.schedule(spec, tf.constant(0))
  assert f"'{spec}'" in str(error.value) and 'warmup(' in str(error.value)


def test_stream_norm_by_hand():
  norm = rlmath.StreamNorm(momentum=0.75, scale=3.0, eps=0.5)
  # The magnitude starts at 1: 0.75 * 1 + 0.25 * 5 = 2 counts already here.
  got, metrics = norm(tf.constant([4.0, -6.0]))
  np.testing.assert_allclose(got, np.array([4, -6]) / 2.5 * 3, rtol=1e-6)
  np.testing.assert_allclose(
      [metrics[k] for k in ('mean', 'std', 'normed_mean', 'normed_std')],
      [-1, 5, -1.2, 6], rtol=1e-6)
  got, _ = norm(tf.constant([[0.0]]))  # 0.75 * 2 + 0.25 * 0 = 1.5.
  np.testing.assert_allclose(norm.mag.numpy(), 1.5)


def test_stream_norm_of_momentum_one_changes_nothing():
  norm = rlmath.StreamNorm(momentum=1.0, eps=1e-8)
  x = np.array([100.0, -0.25, 3.0], np.float32)
  for _ in range(3):
    np.testing.assert_allclose(norm(tf.constant(x))[0], x, rtol=1e-6)
  assert norm.mag.numpy() == 1
  norm.mag.assign(5.0)  # Of a run that was begun with another momentum.
  np.testing.assert_allclose(norm(tf.constant(x))[0], x, rtol=1e-6)


def test_stream_norm_of_momentum_zero_uses_the_batch_alone():
  norm = rlmath.StreamNorm(momentum=0.0, eps=0.0)
  norm(tf.constant([1000.0]))
  got, _ = norm(tf.constant([1.0, -3.0]))
  np.testing.assert_allclose(got, [0.5, -1.5], rtol=1e-6)


def test_the_magnitude_is_part_of_the_weights():
  norm = rlmath.StreamNorm()
  assert list(norm.get_weights()) == ['mag']
  assert math.isclose(norm.get_weights()['mag'], 1.0)
