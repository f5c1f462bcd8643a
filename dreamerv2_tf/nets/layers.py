"""Layers built in their constructors, with the original's initialisers.

Kernels are Glorot uniform, biases zero, both float32. A layer casts its input
to the compute dtype of its `Init`, applies the linear map, the optional layer
norm and the activation.
"""

from collections.abc import Callable, Sequence
import dataclasses
import math

import numpy as np
import tensorflow as tf

from .. import tfutils
from ..errors import ConfigError
from ..tfutils import Module


@dataclasses.dataclass(frozen=True)
class Init:
  """What every layer needs besides its sizes.

  Attributes:
    rng: draws the initial kernels in the order in which layers are built.
    dtype: in which the networks compute.
  """

  rng: np.random.Generator
  dtype: tf.DType = tf.float32

  def glorot(self, shape: Sequence[int]) -> tf.Variable:
    """Draws a kernel [..., inputs, outputs], uniform in +-sqrt(6 / fans)."""
    area = math.prod(shape[:-2])
    limit = math.sqrt(6 / (area * (shape[-2] + shape[-1])))
    value = self.rng.uniform(-limit, limit, shape)
    return tf.Variable(value.astype(np.float32))


class Layer(Module):
  """A kernel and a bias, then the optional norm, then the activation."""

  def __init__(
      self, shape: Sequence[int], units: int, act: str, norm: str,
      init: Init):
    super().__init__()
    if norm not in ('none', 'layer'):
      raise ConfigError(f"norm must be none or layer but is '{norm}'.")
    self._dtype = init.dtype
    self._act = activation(act)
    self.kernel = init.glorot(shape)
    self.bias = tf.Variable(tf.zeros([units]))
    self.norm = LayerNorm(units) if norm == 'layer' else None

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    """Applies the layer in the compute dtype."""
    x = tf.cast(x, self._dtype)
    x = self._linear(x, tf.cast(self.kernel, self._dtype))
    x += tf.cast(self.bias, self._dtype)
    return self._act(self.norm(x) if self.norm else x)


class Dense(Layer):
  """Affine map of the last axis, [..., in_dim] to [..., units]."""

  def __init__(
      self, in_dim: int, units: int, act: str = 'none', norm: str = 'none',
      *, init: Init):
    super().__init__([in_dim, units], units, act, norm, init)

  def _linear(self, x, kernel):
    if x.shape.rank == 2:
      return x @ kernel
    lead = [-1 if n is None else n for n in x.shape[:-1]]
    flat = tf.reshape(x, [-1, kernel.shape[0]])
    return tf.reshape(flat @ kernel, lead + [kernel.shape[1]])


class Conv2D(Layer):
  """Convolution of stride 2, [N, H, W, in_dim] to [N, H', W', depth]."""

  def __init__(
      self, in_dim: int, depth: int, kernel: int, padding: str,
      act: str = 'none', norm: str = 'none', *, init: Init):
    super().__init__([kernel, kernel, in_dim, depth], depth, act, norm, init)
    self._padding = padding

  def _linear(self, x, kernel):
    return tf.nn.conv2d(x, kernel, 2, self._padding)


class ConvTranspose2D(Layer):
  """Transposed convolution of stride 2 to a given resolution.

  One function in the form that is fastest. From 1x1 to kernel x kernel it is
  a matrix product. To few channels on the CPU, as in the last layer of the
  decoder, it is a convolution that makes blocks of pixels.
  """

  def __init__(
      self, in_dim: int, depth: int, kernel: int, in_size: Sequence[int],
      out_size: Sequence[int], padding: str, act: str = 'none',
      norm: str = 'none', *, init: Init):
    super().__init__([kernel, kernel, depth, in_dim], depth, act, norm, init)
    self._padding = padding
    self._shape = [*out_size, depth]
    self._is_matmul = (
        tuple(in_size) == (1, 1) and tuple(out_size) == (kernel, kernel))
    self._block = 0
    if depth <= 4 and not tfutils.has_gpu():
      self._block = 4 if depth <= 2 else 2

  def _linear(self, x, kernel):
    if self._is_matmul:
      in_dim = kernel.shape[-1]
      x = tf.reshape(x, [-1, in_dim])
      x = tf.matmul(x, tf.reshape(kernel, [-1, in_dim]), transpose_b=True)
      return tf.reshape(x, [-1, *self._shape])
    if self._block:
      return conv_transpose_blocks(
          x, kernel, self._shape[:2], self._padding, self._block)
    shape = [tf.shape(x)[0] if x.shape[0] is None else x.shape[0]]
    return tf.nn.conv2d_transpose(
        x, kernel, shape + self._shape, 2, self._padding)


def conv_transpose_blocks(
    x: tf.Tensor, kernel: tf.Tensor, size: Sequence[int], padding: str,
    block: int) -> tf.Tensor:
  """Transposed convolution of stride 2 as a convolution that makes blocks.

  The channels of the convolution are the pixels of a square, so that there
  are enough of them to compute side by side. Along each axis:

      output pixel  block * m + q     q from 0 to block - 1, a channel
      input         block / 2 * m + t
      kernel row    q + crop - 2 * t  crop: rows that padding cuts off

  Args:
    x: [N, H, W, in_dim].
    kernel: [kernel, kernel, depth, in_dim].
    size: (H', W') of the output.
    padding: SAME or VALID.
    block: height and width of the square, even.

  Returns:
    [N, H', W', depth]; like the gradients, those of `tf.nn.conv2d_transpose`.
  """
  rows, pads = [], [[0, 0]]
  for small, large in zip(x.shape[1:3], size):
    count = kernel.shape[0]
    crop = (2 * small - 2 + count - large) // 2 if padding == 'SAME' else 0
    before = (count - 1 - crop) // 2
    t = np.arange(-before, (block - 1 + crop) // 2 + 1)
    row = np.arange(block) + crop - 2 * t[:, None]
    # Where a pixel does not depend on an input, the row of zeros behind.
    rows.append(np.where((row >= 0) & (row < count), row, count))
    reach = (-(-large // block) - 1) * block // 2 + t[-1] + 1
    pads.append([before, max(int(reach) - small, 0)])

  @tf.custom_gradient
  def apply(x, kernel):
    w = tf.pad(kernel, [[0, 1], [0, 1], [0, 0], [0, 0]])
    w = tf.gather(tf.gather(w, rows[0], axis=0), rows[1], axis=2)
    w = tf.transpose(w, [0, 2, 5, 1, 3, 4])
    w = tf.reshape(w, [*w.shape[:3], -1])
    y = tf.nn.conv2d(x, w, block // 2, [*pads, [0, 0]])
    y = tf.nn.depth_to_space(y, block)[:, :size[0], :size[1]]
    def grad(dy):
      return tf.nn.conv2d(dy, kernel, 2, padding), (
          tf.raw_ops.Conv2DBackpropFilter(
              input=dy, filter_sizes=kernel.shape, out_backprop=x,
              strides=[1, 2, 2, 1], padding=padding))
    return y, grad

  return apply(x, kernel)


class LayerNorm(Module):
  """Layer normalisation of the last axis in float32, epsilon 1e-3."""

  def __init__(self, dim: int):
    super().__init__()
    self.gamma = tf.Variable(tf.ones([dim]))
    self.beta = tf.Variable(tf.zeros([dim]))

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    """Normalises x, [..., dim]; the dtype stays."""
    y = tf.cast(x, tf.float32)
    mean, var = tf.nn.moments(y, -1, keepdims=True)
    y = tf.nn.batch_normalization(y, mean, var, self.beta, self.gamma, 1e-3)
    return tf.cast(y, x.dtype)


def activation(name: str) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns an activation: none, mish, or a function of tf.nn or tf.math.

  Raises:
    ConfigError: there is no such function.
  """
  if name == 'none':
    return tf.identity
  if name == 'mish':
    return lambda x: x * tf.math.tanh(tf.nn.softplus(x))
  for module in (tf.nn, tf.math):
    if hasattr(module, name):
      return getattr(module, name)
  raise ConfigError(
      f"act must be none, mish or a function of tf.nn but is '{name}'.")
