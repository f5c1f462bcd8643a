import math

import builders
import numpy as np
import pytest
import reference
import tensorflow as tf

from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.nets import mlp


def make_head(dist, out, std=0.0, **kwargs):
  """A last layer whose raw outputs are the given numbers."""
  head = mlp.DistLayer(1, [len(out)], dist, init=builders.init(), **kwargs)
  raw = {'out': out, 'std': np.broadcast_to(std, [len(out)])}
  head.set_weights({
      k: raw[k.split('/')[0]] if k.endswith('bias') else np.zeros(v.shape)
      for k, v in head.get_weights().items()})
  return head(tf.zeros([3, 1]))


@pytest.mark.parametrize('norm', ['none', 'layer'])
@pytest.mark.parametrize('depth', [0, 2])
def test_mlp(depth, norm):
  net = mlp.MLP(4, [], depth, 6, norm=norm, init=builders.init())
  weights = reference.scramble(net)
  assert list(weights)[-2:] == ['out/out/kernel', 'out/out/bias']
  x = np.random.default_rng(1).normal(size=[2, 3, 4])
  got = net(tf.constant(x, tf.float32)).mode()
  want = reference.mlp(weights, x)[..., 0]
  assert got.shape == [2, 3]
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_mse_head_has_variance_one():
  dist = make_head('mse', [1.0, 2.0])
  assert dist.batch_shape == [3] and dist.event_shape == [2]
  np.testing.assert_allclose(
      dist.log_prob([[1.0, 4.0]] * 3)[0], -2 - reference.LOG_2PI, rtol=1e-6)


def test_binary_head_takes_soft_targets():
  # Targets of the discount head are gamma, not 1: its loss has a floor.
  gamma = 0.99
  dist = make_head('binary', [math.log(gamma / (1 - gamma))])
  floor = -gamma * math.log(gamma) - (1 - gamma) * math.log(1 - gamma)
  np.testing.assert_allclose(
      -dist.log_prob([[gamma]] * 3), [floor] * 3, rtol=1e-4)
  np.testing.assert_allclose(floor, 0.056, atol=1e-4)
  np.testing.assert_allclose(dist.mean()[0], [gamma], rtol=1e-5)
  np.testing.assert_allclose(
      make_head('binary', [0.3]).log_prob([[0.0]] * 3)[0],
      -math.log(1 + math.exp(0.3)), rtol=1e-5)


def test_onehot_head():
  dist = make_head('onehot', [0.0, math.log(3)])
  np.testing.assert_allclose(
      dist.log_prob([[0.0, 1.0]] * 3), [math.log(0.75)] * 3, rtol=1e-5)
  np.testing.assert_array_equal(dist.mode()[0], [0, 1])


def test_normal_head_has_a_positive_deviation():
  dist = make_head('normal', [0.5, 0.5], [-3.0, 1.0], min_std=0.2)
  std = [math.log(1 + math.exp(-3)) + 0.2, math.log(1 + math.e) + 0.2]
  x = np.array([0.1, 0.9])
  np.testing.assert_allclose(
      dist.log_prob([x.astype('f')] * 3)[0],
      reference.normal_logp(x, 0.5, np.array(std)).sum(), rtol=1e-5)


def test_truncated_normal_head():
  dist = make_head('trunc_normal', [0.5, -2.0], [0.0, 1.0])
  loc = np.tanh([0.5, -2.0])
  std = np.array([1.1, 2 / (1 + math.exp(-0.5)) + 0.1])  # 1.1 when fresh.
  x = np.array([0.3, -0.8])
  np.testing.assert_allclose(dist.mode()[0], loc, rtol=1e-5)
  np.testing.assert_allclose(
      dist.log_prob([x.astype('f')] * 3)[0],
      reference.trunc_normal_logp(x, loc, std).sum(), rtol=1e-4)


def test_tanh_normal_head():
  dist = make_head('tanh_normal', [4.0], [0.5], init_std=1.0)
  mean = 5 * math.tanh(4 / 5)
  std = math.log(1 + math.exp(1.5)) + 0.1
  x = 0.97
  want = reference.normal_logp(math.atanh(x), mean, std) - math.log(1 - x * x)
  np.testing.assert_allclose(dist.log_prob([[x]] * 3), [want] * 3, rtol=1e-4)


@pytest.mark.parametrize('dtype', [tf.float16, tf.bfloat16])
@pytest.mark.parametrize('dist', mlp.DistLayer.DISTS)
def test_heads_leave_half_precision(dist, dtype):
  net = mlp.MLP(4, [2], 1, 6, dist=dist, init=builders.init(dtype))
  result = net(tf.ones([2, 3, 4], dtype))
  sample = result.sample(seed=(0, 0))
  assert sample.dtype == tf.float32 and sample.shape == [2, 3, 2]
  logp = result.log_prob(sample)
  assert logp.dtype == tf.float32 and logp.shape == [2, 3]
  assert np.isfinite(logp).all()


def test_unknown_distribution():
  with pytest.raises(ConfigError, match="trunc_normal but is 'gauss'"):
    mlp.MLP(1, [], 1, 1, dist='gauss', init=builders.init())
  for dist in 'onehot', 'tanh_normal':
    with pytest.raises(ConfigError, match='needs mse, normal or binary'):
      mlp.MLP(1, [], 1, 1, dist=dist, init=builders.init())
