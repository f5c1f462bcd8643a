import math

import builders
import numpy as np
import pytest
import reference
import tensorflow as tf

from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.nets import layers


@pytest.mark.parametrize('shape, limit', [
    ([300, 200], math.sqrt(6 / 500)),
    ([4, 4, 30, 20], math.sqrt(6 / (16 * 30 + 16 * 20))),
    ([5, 5, 20, 30], math.sqrt(6 / (25 * 20 + 25 * 30))),  # Transposed.
])
def test_kernels_are_glorot_uniform(shape, limit):
  kernel = builders.init().glorot(shape).numpy()
  assert kernel.shape == tuple(shape) and kernel.dtype == np.float32
  assert 0.999 * limit < np.abs(kernel).max() <= limit * (1 + 1e-6)
  np.testing.assert_allclose(kernel.std(), limit / math.sqrt(3), rtol=0.03)
  np.testing.assert_allclose(kernel.mean(), 0, atol=0.02 * limit)


def test_biases_start_at_zero_and_norms_at_identity():
  layer = layers.Dense(3, 2, 'elu', 'layer', init=builders.init())
  weights = layer.get_weights()
  assert list(weights) == ['kernel', 'bias', 'norm/gamma', 'norm/beta']
  np.testing.assert_array_equal(weights['bias'], [0, 0])
  np.testing.assert_array_equal(weights['norm/gamma'], [1, 1])
  np.testing.assert_array_equal(weights['norm/beta'], [0, 0])


def test_kernels_follow_the_seed():
  draw = lambda seed: builders.init(seed=seed).glorot([4, 4]).numpy()
  np.testing.assert_array_equal(draw(1), draw(1))
  assert not np.array_equal(draw(1), draw(2))


def test_dense_by_hand():
  layer = layers.Dense(2, 2, 'elu', init=builders.init())
  layer.set_weights({'kernel': [[1, 2], [3, 4]], 'bias': [0.5, -20]})
  want = [1 + 3 + 0.5, math.exp(2 + 4 - 20) - 1]
  got = layer(tf.constant([[[1.0, 1.0]]]))
  np.testing.assert_allclose(got, [[want]], rtol=1e-6)


def test_layer_norm_by_hand():
  norm = layers.LayerNorm(2)
  norm.set_weights({'gamma': [2, 1], 'beta': [0, 3]})
  # Mean 0.01 and variance 1e-4: epsilon 1e-3 is what one sees.
  scaled = 0.01 / math.sqrt(1e-4 + 1e-3)
  got = norm(tf.constant([[0.0, 0.02]]))
  np.testing.assert_allclose(got, [[-2 * scaled, 3 + scaled]], rtol=1e-5)


def test_norm_comes_after_the_bias_and_before_the_activation():
  layer = layers.Dense(3, 5, 'elu', 'layer', init=builders.init())
  weights = reference.scramble(layer)
  x = np.random.default_rng(1).normal(size=[4, 3])
  np.testing.assert_allclose(
      layer(tf.constant(x, tf.float32)), reference.dense(weights, x),
      rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dtype', [tf.float16, tf.bfloat16])
def test_half_precision_computes_in_it_but_normalises_in_float32(dtype):
  layer = layers.Dense(1, 2, 'none', 'layer', init=builders.init(dtype))
  layer.set_weights({
      'kernel': [[1000, -1000]], 'bias': [0, 0], 'norm/gamma': [1, 1],
      'norm/beta': [0, 0]})
  got = layer(tf.ones([1, 1]))
  assert got.dtype == dtype and layer.kernel.dtype == tf.float32
  # The variance of 1e6 does not fit into float16.
  np.testing.assert_array_equal(tf.cast(got, tf.float32), [[1, -1]])


@pytest.mark.parametrize('name, x, want', [
    ('none', -2.0, -2.0),
    ('elu', -2.0, math.exp(-2) - 1),
    ('tanh', 0.5, math.tanh(0.5)),
    ('mish', 1.0, math.tanh(math.log(1 + math.e))),
    ('square', 3.0, 9.0),
])
def test_activations(name, x, want):
  got = layers.activation(name)(tf.constant(x))
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_unknown_names_are_refused():
  with pytest.raises(ConfigError, match="tf.nn but is 'eluu'"):
    layers.Dense(1, 1, 'eluu', init=builders.init())
  with pytest.raises(ConfigError, match="none or layer but is 'batch'"):
    layers.Dense(1, 1, 'elu', 'batch', init=builders.init())


@pytest.mark.parametrize('size, padding', [
    ((9, 9), 'VALID'), ((8, 8), 'VALID'), ((8, 8), 'SAME'), ((7, 4), 'SAME'),
    ((1, 3), 'SAME'),
])
def test_convolution(size, padding):
  layer = layers.Conv2D(2, 3, 4, padding, 'elu', init=builders.init())
  weights = reference.scramble(layer)
  x = np.random.default_rng(1).normal(size=[2, *size, 2])
  want = reference.conv(weights, x, padding)
  got = layer(tf.constant(x, tf.float32))
  assert got.shape == want.shape
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kernel, small, large, padding', [
    (5, (1, 1), (5, 5), 'VALID'),
    (5, (5, 5), (13, 13), 'VALID'),
    (6, (3, 3), (10, 10), 'VALID'),
    (5, (2, 3), (4, 5), 'SAME'),
    (6, (3, 4), (5, 8), 'SAME'),
    (5, (1, 1), (2, 1), 'SAME'),
])
def test_transposed_convolution(kernel, small, large, padding):
  layer = layers.ConvTranspose2D(
      3, 2, kernel, small, large, padding, 'elu', init=builders.init())
  weights = reference.scramble(layer)
  x = np.random.default_rng(1).normal(size=[2, *small, 3])
  want = reference.conv_transpose(weights, x, large, padding)
  got = layer(tf.constant(x, tf.float32))
  assert got.shape == want.shape
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('depth, kernel, small, large, padding', [
    (6, 5, (1, 1), (5, 5), 'VALID'),  # As a matrix product.
    (1, 6, (30, 30), (64, 64), 'VALID'),  # In blocks of 4x4.
    (2, 5, (3, 7), (6, 14), 'SAME'),
    (1, 6, (4, 5), (7, 9), 'SAME'),
    (1, 3, (2, 3), (5, 7), 'VALID'),
    (1, 1, (3, 1), (5, 1), 'VALID'),
    (3, 6, (16, 9), (32, 18), 'SAME'),  # In blocks of 2x2.
    (4, 5, (5, 2), (9, 3), 'SAME'),
    (3, 4, (3, 3), (8, 8), 'VALID'),
])
def test_fast_forms_equal_the_transposed_convolution(
    depth, kernel, small, large, padding):
  layer = layers.ConvTranspose2D(
      12, depth, kernel, small, large, padding, init=builders.init())
  rng = np.random.default_rng(0)
  x = tf.constant(rng.normal(size=[3, *small, 12]), tf.float32)
  weight = tf.constant(rng.normal(size=[3, *large, depth]), tf.float32)
  slow = lambda: tf.nn.conv2d_transpose(
      x, layer.kernel, [3, *large, depth], 2, padding) + layer.bias
  results = []
  for function in (lambda: layer(x), slow):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = function()
      loss = tf.reduce_sum(weight * tf.sin(y))
    results.append([y, *tape.gradient(loss, [x, layer.kernel, layer.bias])])
  for ours, theirs in zip(*results):
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
