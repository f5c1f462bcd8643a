import math

import numpy as np
import pytest
import reference
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dreamerv2_tf.nets import distributions

LOGITS = np.array([[0.0, 1.0, -1.0], [2.0, -1.0, 0.5]], np.float32)
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)


def make_onehot(logits=LOGITS):
  return distributions.OneHotDist(logits, dtype=tf.float32)


def make_tanh_normal(mean, std):
  dist = tfd.TransformedDistribution(
      tfd.Normal(tf.constant(mean, tf.float32), std),
      distributions.TanhBijector())
  return distributions.SampleDist(tfd.Independent(dist, 1))


def test_onehot_samples_are_one_hot_and_follow_the_probabilities():
  draws = make_onehot().sample(20000, seed=(0, 1)).numpy()
  assert draws.dtype == np.float32 and draws.shape == (20000, 2, 3)
  assert set(np.unique(draws)) == {0.0, 1.0}
  np.testing.assert_array_equal(draws.sum(-1), 1)
  np.testing.assert_allclose(draws.mean(0), PROBS, atol=0.015)


def test_onehot_sample_has_the_gradient_of_the_probabilities():
  logits = tf.constant(LOGITS)
  weight = np.array([[1.0, 2.0, 4.0], [3.0, -1.0, 0.5]], np.float32)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    loss = tf.reduce_sum(weight * make_onehot(logits).sample(seed=(0, 0)))
  # d softmax_i / d logit_j = p_i * (i == j) - p_i * p_j.
  want = PROBS * (weight - (PROBS * weight).sum(-1, keepdims=True))
  np.testing.assert_allclose(
      tape.gradient(loss, logits), want, rtol=1e-5, atol=1e-6)


def test_onehot_mode_has_no_gradient():
  logits = tf.constant(LOGITS)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    mode = make_onehot(logits).mode()
  np.testing.assert_array_equal(mode, [[0, 1, 0], [1, 0, 0]])
  assert mode.dtype == tf.float32 and tape.gradient(mode, logits) is None


def test_onehot_log_prob_and_entropy():
  dist = make_onehot()
  np.testing.assert_allclose(
      dist.log_prob([[0.0, 0, 1], [1, 0, 0]]),
      np.log([PROBS[0, 2], PROBS[1, 0]]), rtol=1e-5)
  np.testing.assert_allclose(
      dist.entropy(), -(PROBS * np.log(PROBS)).sum(-1), rtol=1e-5)


@pytest.mark.parametrize('make', [
    make_onehot,
    lambda: distributions.TruncNormalDist([0.2, -0.4], [1.1, 0.3], -1.0, 1.0),
    lambda: make_tanh_normal([0.2, -0.4], 0.5),
], ids=['onehot', 'trunc_normal', 'tanh_normal'])
def test_draws_follow_the_seed_alone(make):
  dist = make()
  draw = lambda seed: np.asarray(dist.sample(8, seed=seed))
  tf.random.set_seed(0)
  first = draw((3, 4))
  tf.random.set_seed(1)
  np.testing.assert_array_equal(draw((3, 4)), first)
  assert not np.array_equal(draw((3, 5)), first)


def test_truncated_normal_gradients_ignore_the_truncation():
  loc = tf.constant([0.9, -0.3, 0.0])
  scale = tf.constant([1.1, 0.2, 2.0])
  with tf.GradientTape(persistent=True) as tape:
    tape.watch([loc, scale])
    x = distributions.TruncNormalDist(loc, scale, -1.0, 1.0).sample(
        seed=(0, 0))
  np.testing.assert_array_equal(tape.gradient(x, loc), [1, 1, 1])
  np.testing.assert_allclose(
      tape.gradient(x, scale), (x - loc) / scale, rtol=1e-5)


def test_truncated_normal_draws():
  loc, scale = 0.5, 0.8
  dist = distributions.TruncNormalDist(loc, scale, -1.0, 1.0)
  draws = dist.sample(20000, seed=(0, 0)).numpy()
  assert -1 < draws.min() < -0.99 and 0.99 < draws.max() < 1
  grid = (np.arange(2000) + 0.5) / 1000 - 1
  density = np.exp(reference.trunc_normal_logp(grid, loc, scale)) / 1000
  mean = (density * grid).sum()
  std = math.sqrt((density * (grid - mean) ** 2).sum())
  np.testing.assert_allclose([draws.mean(), draws.std()], [mean, std],
                             atol=0.01)


def test_truncated_normal_draws_keep_off_the_bounds():
  loc = tf.constant(1.0)
  with tf.GradientTape() as tape:
    tape.watch(loc)
    dist = distributions.TruncNormalDist(loc, 1e-5, -1.0, 1.0)
    draws = dist.sample(200, seed=(0, 0))
    total = tf.reduce_sum(draws)
  limit = np.float32(1) - np.float32(1e-6)
  assert draws.numpy().max() == limit
  assert 2 < (draws.numpy() == limit).sum() < 50
  assert tape.gradient(total, loc) == 200  # Clipping lets the gradient pass.
  assert np.isfinite(dist.log_prob(draws)).all()


def test_truncated_normal_log_prob_entropy_and_mode():
  loc, scale = np.array([0.5, -0.9]), np.array([0.3, 1.1])
  dist = distributions.TruncNormalDist(
      loc.astype('f'), scale.astype('f'), -1.0, 1.0)
  x = np.array([[0.1, 0.99], [-0.7, -0.2]])
  np.testing.assert_allclose(
      dist.log_prob(x.astype('f')),
      reference.trunc_normal_logp(x, loc, scale), rtol=1e-4)
  np.testing.assert_allclose(
      dist.entropy(), reference.trunc_normal_entropy(loc, scale), rtol=1e-4)
  np.testing.assert_allclose(dist.mode(), loc, rtol=1e-6)


def test_tanh_normal_log_prob():
  mean, std = np.array([0.5, -2.0]), 0.7
  action = np.array([[0.3, -0.99], [-0.5, 0.9]])
  want = (
      reference.normal_logp(np.arctanh(action), mean, std)
      - np.log(1 - action ** 2)).sum(-1)
  got = make_tanh_normal(mean, std).log_prob(action.astype('f'))
  np.testing.assert_allclose(got, want, rtol=1e-4)


def test_tanh_normal_log_prob_is_finite_at_the_bounds():
  # The largest float32 below one, 1 - 2 ** -24, has the artanh 8.664.
  x = math.atanh(1 - 2.0 ** -24)
  log_slope = 2 * (math.log(2) - x)
  want = reference.normal_logp(x, 0, 1) - log_slope
  got = make_tanh_normal([0.0], 1.0).log_prob([[1.0], [-1.0]])
  np.testing.assert_allclose(got, [want, want], rtol=1e-3)


def test_tanh_normal_mode_belongs_to_its_row():
  means = np.array([[-1.5], [0.0], [1.5]], np.float32)
  dist = make_tanh_normal(means, 0.05)
  np.testing.assert_allclose(dist.mode(), np.tanh(means), atol=0.02)
  np.testing.assert_allclose(dist.mean(), np.tanh(means), atol=0.02)


def test_tanh_normal_estimates():
  dist = make_tanh_normal([[0.0], [0.4]], 0.5)
  x = np.linspace(-4, 4, 4001)[:, None] * 0.5 + [0.0, 0.4]
  density = np.exp(reference.normal_logp(x, [0.0, 0.4], 0.5))
  density /= density.sum(0)
  # H[tanh(x)] = H[x] + E[log(1 - tanh(x) ** 2)].
  want = 0.5 * (1 + reference.LOG_2PI) + math.log(0.5) + (
      density * np.log(1 - np.tanh(x) ** 2)).sum(0)
  np.testing.assert_allclose(dist.entropy(), want, atol=0.15)
  np.testing.assert_array_equal(dist.entropy(), dist.entropy())
  np.testing.assert_array_equal(dist.mode(), dist.mode())


def test_mse_is_a_normal_of_variance_one():
  mean = np.array([[1.0, 2.0], [0.0, -1.0]])
  x = np.array([[1.5, 2.0], [0.0, 1.0]])
  dist = distributions.mse(tf.constant(mean, tf.float16), 1)
  want = [-0.125 - reference.LOG_2PI, -2 - reference.LOG_2PI]
  np.testing.assert_allclose(dist.log_prob(x.astype('f')), want, rtol=1e-6)
  np.testing.assert_array_equal(dist.mode(), mean)
  assert dist.mode().dtype == tf.float32
