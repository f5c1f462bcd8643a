"""Features to distributions over observations."""

from collections.abc import Sequence
import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ..errors import ConfigError
from ..tfutils import Module
from . import distributions, layers, mlp
from .encoder import Shapes, image_shape, resolutions, select_keys


class Decoder(Module):
  """Transposed convolutions for images and an MLP for vectors.

  At 64x64 the function is the original's: from 1x1 with 32 * cnn_depth
  channels over 5, 13, 30 to 64 without padding. At any other size the
  resolutions are those of the encoder in reverse: from 1/16 of the image with
  8 * cnn_depth channels, each layer doubling with zero padding.

  Code: danijar/dreamerv2 common/nets.py, Decoder.
  """

  def __init__(
      self, in_dim: int, shapes: Shapes, cnn_keys: str = '.*',
      mlp_keys: str = '.*', act: str = 'elu', norm: str = 'none',
      cnn_depth: int = 48, cnn_kernels: Sequence[int] = (5, 5, 6, 6),
      mlp_layers: Sequence[int] = (400, 400, 400, 400), *,
      init: layers.Init):
    """Builds `convin`, `conv0` …, `dense0` … and `heads/<key>`.

    Args:
      in_dim: width F of the features.
      shapes: observation key -> shape; images [H, W, channels], vectors [n].
      cnn_keys: pattern of the images to predict, from the start of a key.
      mlp_keys: pattern of the vectors to predict.
      act: activation.
      norm: none or layer, before the activation.
      cnn_depth: channels of the last but one layer; each earlier has twice as
        many.
      cnn_kernels: kernel size of each transposed convolution.
      mlp_layers: units of each dense layer.
      init: random numbers and compute dtype.

    Raises:
      ConfigError: no key matches, or the kernels do not lead to 64x64.
    """
    super().__init__()
    self.cnn_keys, self.mlp_keys = select_keys(
        shapes, cnn_keys, mlp_keys, 'decoder')
    self._channels = [shapes[k][2] for k in self.cnn_keys]
    self.conv, self.dense = [], []
    if self.cnn_keys:
      size, channels = image_shape(shapes, self.cnn_keys)
      sizes, padding, depth = self._plan(size, cnn_kernels, cnn_depth)
      self._start = [*sizes[0], depth]
      self.convin = layers.Dense(in_dim, math.prod(self._start), init=init)
      last = len(cnn_kernels) - 1
      for i, kernel in enumerate(cnn_kernels):
        units = channels if i == last else 2 ** (last - i - 1) * cnn_depth
        self.conv.append(layers.ConvTranspose2D(
            depth, units, kernel, sizes[i], sizes[i + 1], padding,
            'none' if i == last else act, 'none' if i == last else norm,
            init=init))
        depth = units
    if self.mlp_keys:
      self.dense, width = mlp.stack(in_dim, mlp_layers, act, norm, init)
      self.heads = {
          k: mlp.DistLayer(width, shapes[k], init=init)
          for k in self.mlp_keys}

  def _plan(self, size, kernels, cnn_depth):
    if size != (64, 64):
      sizes, padding = resolutions(size, kernels)
      return sizes[::-1], padding, 2 ** (len(kernels) - 1) * cnn_depth
    length = [1]
    for kernel in kernels:
      length.append(2 * (length[-1] - 1) + kernel)
    if length[-1] != 64:
      raise ConfigError(
          f'decoder.cnn_kernels {list(kernels)} lead to {length[-1]}x'
          f'{length[-1]} but the image is 64x64. The default is [5, 5, 6, 6].')
    return [(n, n) for n in length], 'VALID', 32 * cnn_depth

  def __call__(self, features: tf.Tensor) -> dict[str, tfd.Distribution]:
    """Predicts observations.

    Args:
      features: [..., F], compute dtype.

    Returns:
      key -> unit-variance Normal over an image or vector, float32, batch
      shape [...].
    """
    dists = {}
    if self.cnn_keys:
      x = tf.reshape(self.convin(features), [-1] + self._start)
      for conv in self.conv:
        x = conv(x)
      x = tf.reshape(x, features.shape[:-1] + x.shape[1:])
      means = tf.split(x, self._channels, -1)
      dists.update({
          k: distributions.mse(mean, 3)
          for k, mean in zip(self.cnn_keys, means)})
    x = features
    for dense in self.dense:
      x = dense(x)
    dists.update({k: self.heads[k](x) for k in self.mlp_keys})
    return dists
