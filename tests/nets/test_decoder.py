import builders
import numpy as np
import pytest
import reference
import tensorflow as tf

from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.nets.decoder import Decoder


def make_decoder(shapes, dtype=tf.float32, **kwargs):
  kwargs = {'cnn_depth': 1, 'mlp_layers': [3], **kwargs}
  return Decoder(5, shapes, **kwargs, init=builders.init(dtype))


def make_features(*lead):
  return np.random.default_rng(1).normal(size=[*lead, 5])


def decode(weights, features, sizes, channels, padding):
  """NumPy: a dense layer and four transposed convolutions."""
  x = reference.dense(
      reference.part(weights, 'convin'), features.reshape([-1, 5]), 'none')
  x = x.reshape([-1, *sizes[0], channels])
  for i, size in enumerate(sizes[1:]):
    w = reference.part(weights, f'conv{i}')
    x = reference.conv_transpose(
        w, x, size, padding, 'none' if i == 3 else 'elu')
  return x.reshape([*features.shape[:-1], *x.shape[1:]])


@pytest.mark.parametrize('norm', ['none', 'layer'])
def test_64x64_is_the_function_of_the_original(norm):
  decoder = make_decoder({'image': (64, 64, 3)}, norm=norm)
  weights = reference.scramble(decoder)
  assert [weights[f'conv{i}/kernel'].shape for i in range(4)] == [
      (5, 5, 4, 32), (5, 5, 2, 4), (6, 6, 1, 2), (6, 6, 3, 1)]
  assert 'conv2/norm/gamma' in weights or norm == 'none'
  assert 'conv3/norm/gamma' not in weights
  features = make_features(2, 1)
  sizes = [(n, n) for n in (1, 5, 13, 30, 64)]
  want = decode(weights, features, sizes, 32, 'VALID')
  dist = decoder(tf.constant(features, tf.float32))['image']
  assert dist.batch_shape == [2, 1] and dist.event_shape == [64, 64, 3]
  np.testing.assert_allclose(dist.mode(), want, rtol=1e-3, atol=1e-4)


def test_a_perfect_64x64_reconstruction_still_costs_3764_nats():
  decoder = make_decoder({'image': (64, 64, 1)})
  dist = decoder(tf.zeros([1, 5]))['image']
  np.testing.assert_allclose(-dist.log_prob(dist.mode()), [3764.0], atol=0.1)


@pytest.mark.parametrize('size', [
    (16, 16), (42, 30), (32, 128), (84, 84), (96, 64)])
def test_other_sizes_double_up_to_the_image(size):
  decoder = make_decoder({'image': (*size, 2)})
  weights = reference.scramble(decoder)
  sizes = [size]
  for _ in range(4):
    sizes.insert(0, tuple((n + 1) // 2 for n in sizes[0]))
  features = make_features(2)
  want = decode(weights, features, sizes, 8, 'SAME')
  got = decoder(tf.constant(features, tf.float32))['image'].mode()
  assert got.shape == [2, *size, 2]
  np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_several_images_and_vectors():
  decoder = make_decoder({
      'left': (16, 16, 1), 'speed': (2,), 'right': (16, 16, 3), 'goal': (3,),
      'number': ()}, mlp_layers=[6, 4])
  weights = reference.scramble(decoder)
  features = make_features(2, 3)
  dists = decoder(tf.constant(features, tf.float32))
  assert list(dists) == ['left', 'right', 'speed', 'goal']
  sizes = [(n, n) for n in (1, 2, 4, 8, 16)]
  images = decode(weights, features, sizes, 8, 'SAME')
  hidden = reference.stack(weights, features)
  vector = lambda key: reference.dense(
      reference.part(weights, f'heads/{key}/out'), hidden, 'none')
  want = {
      'left': images[..., :1], 'right': images[..., 1:],
      'speed': vector('speed'), 'goal': vector('goal')}
  for key, value in want.items():
    np.testing.assert_allclose(
        dists[key].mode(), value, rtol=1e-3, atol=1e-4)
    assert dists[key].batch_shape == [2, 3]
  target = np.random.default_rng(2).normal(size=[2, 3, 3])
  np.testing.assert_allclose(
      dists['goal'].log_prob(target.astype('f')),
      reference.normal_logp(target, want['goal']).sum(-1), rtol=1e-4)


@pytest.mark.parametrize('dtype', [tf.float16, tf.bfloat16])
def test_half_precision_predicts_in_float32(dtype):
  decoder = make_decoder({'image': (64, 64, 1), 'vector': (3,)}, dtype)
  for dist in decoder(tf.ones([2, 5], dtype)).values():
    assert dist.mode().dtype == tf.float32
    assert np.isfinite(dist.mode()).all()


def test_unusable_settings_are_refused():
  with pytest.raises(ConfigError, match="decoder.cnn_keys '.' and decoder"):
    make_decoder({'number': ()}, cnn_keys='.')
  with pytest.raises(
      ConfigError, match=r'\[4, 4, 4, 4\] lead to 46x46 but the image'):
    make_decoder({'image': (64, 64, 3)}, cnn_kernels=[4] * 4)


def test_a_vector_of_any_name_has_weights_that_are_trained():
  decoder = make_decoder({key: (2,) for key in ('_pose', 'a/b', 'a')})
  assert {
      path for path in decoder.named_variables() if path.endswith('kernel')
      and path.startswith('heads/')} == {
          f'heads/{key}/out/kernel' for key in ('_pose', 'a/b', 'a')}
