import builders
import numpy as np
import pytest
import reference
import tensorflow as tf

from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.nets.encoder import Encoder, resolutions, select_keys


def make_encoder(shapes, dtype=tf.float32, **kwargs):
  kwargs = {'cnn_depth': 1, 'mlp_layers': [3], **kwargs}
  return Encoder(shapes, **kwargs, init=builders.init(dtype))


def make_data(shapes, lead=(2, 3)):
  rng = np.random.default_rng(1)
  return {k: rng.uniform(-0.5, 0.5, [*lead, *s]) for k, s in shapes.items()}


def as_float32(data):
  return {k: tf.constant(v, tf.float32) for k, v in data.items()}


def embed(weights, images, padding):
  """NumPy: four convolutions, flattened with channels last."""
  x = images.reshape([-1, *images.shape[-3:]])
  sizes = [x.shape[1:3]]
  for i in range(4):
    x = reference.conv(reference.part(weights, f'conv{i}'), x, padding)
    sizes.append(x.shape[1:3])
  return x.reshape([*images.shape[:-3], -1]), sizes


@pytest.mark.parametrize('norm', ['none', 'layer'])
def test_64x64_is_the_function_of_the_original(norm):
  shapes = {'image': (64, 64, 3)}
  encoder = make_encoder(shapes, norm=norm)
  weights = reference.scramble(encoder)
  assert weights['conv0/kernel'].shape == (4, 4, 3, 1)
  assert weights['conv3/kernel'].shape == (4, 4, 4, 8)
  data = make_data(shapes)
  want, sizes = embed(weights, data['image'], 'VALID')
  assert sizes == [(64, 64), (31, 31), (14, 14), (6, 6), (2, 2)]
  got = encoder(as_float32(data))
  assert got.shape == [2, 3, 32] and encoder.dim == 32
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_default_embedding_of_the_original():
  encoder = make_encoder({'image': (64, 64, 1)}, cnn_depth=48)
  assert encoder.dim == 2 * 2 * 8 * 48 == 1536


@pytest.mark.parametrize('size, last', [
    ((16, 16), (1, 1)), ((42, 30), (3, 2)), ((32, 128), (2, 8)),
    ((84, 84), (6, 6)), ((96, 64), (6, 4)),
])
def test_other_sizes_halve_and_round_up(size, last):
  shapes = {'image': (*size, 2)}
  encoder = make_encoder(shapes)
  weights = reference.scramble(encoder)
  data = make_data(shapes, [2])
  want, sizes = embed(weights, data['image'], 'SAME')
  assert (sizes, 'SAME') == resolutions(size, [4] * 4)
  assert sizes[-1] == last and encoder.dim == last[0] * last[1] * 8
  got = encoder(as_float32(data))
  assert got.shape == [2, encoder.dim]
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_several_images_and_vectors():
  shapes = {
      'left': (16, 16, 1), 'speed': (2,), 'right': (16, 16, 3), 'goal': (3,),
      'number': ()}
  encoder = make_encoder(shapes, mlp_layers=[5, 4])
  assert encoder.cnn_keys == ['left', 'right']
  assert encoder.mlp_keys == ['speed', 'goal']  # Scalars never enter.
  weights = reference.scramble(encoder)
  data = make_data(shapes)
  images = np.concatenate([data['left'], data['right']], -1)
  vectors = np.concatenate([data['speed'], data['goal']], -1)
  want = np.concatenate([
      embed(weights, images, 'SAME')[0], reference.stack(weights, vectors)], -1)
  got = encoder(as_float32(data))
  assert got.shape == [2, 3, 8 + 4] and encoder.dim == 12
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('pattern, want', [
    ('image', ['image', 'image_goal']),  # From the start, as in the original.
    ('image$', ['image']),
    ('.*', ['image', 'image_goal', 'my_image']),
    ('my_image|image$', ['image', 'my_image']),
    ('$^', []),
])
def test_patterns(pattern, want):
  shapes = {
      'image': (64, 64, 3), 'image_goal': (64, 64, 3), 'image_id': (4,),
      'my_image': (64, 64, 3), 'vector': (2,), 'image_scalar': (),
      'image_table': (3, 4)}
  cnn, mlp = select_keys(shapes, pattern, 'vector', 'encoder')
  assert cnn == want and mlp == ['vector']


def test_half_precision_without_layers():
  encoder = make_encoder(
      {'image': (16, 16, 1), 'vector': (3,)}, tf.float16, mlp_layers=[])
  data = make_data({'image': (16, 16, 1), 'vector': (3,)})
  got = encoder(as_float32(data))
  assert got.dtype == tf.float16 and got.shape == [2, 3, 8 + 3]
  np.testing.assert_allclose(got[..., 8:], data['vector'], rtol=1e-3)


def test_unusable_observations_are_refused():
  with pytest.raises(
      ConfigError, match=r"encoder.cnn_keys '\.\*' .* has number \(\)\."):
    make_encoder({'number': ()})
  with pytest.raises(ConfigError, match="must have one size but have {'a'"):
    make_encoder({'a': (64, 64, 3), 'b': (32, 64, 3)})
  with pytest.raises(ConfigError, match="at least 16x16 but 'a' is 64x15"):
    make_encoder({'a': (64, 15, 3)})
  with pytest.raises(ConfigError, match=r'reduce a 64x64 image to nothing'):
    make_encoder({'a': (64, 64, 3)}, cnn_kernels=[4] * 6)
