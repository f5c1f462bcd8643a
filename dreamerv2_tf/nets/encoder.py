"""Observations to embeddings, and the rules shared with the decoder."""

from collections.abc import Mapping, Sequence
import math
import re

import tensorflow as tf

from ..errors import ConfigError
from ..tfutils import Module
from . import layers, mlp

Shapes = Mapping[str, tuple[int, ...]]


class Encoder(Module):
  """Convolutions for images and an MLP for vectors, side by side.

  Several images of one size are stacked along channels, several vectors are
  concatenated. At 64x64 the function is the original's: no padding, from 64
  over 31, 14, 6 to 2. Any other size from 16x16, square or not, uses the same
  kernels with zero padding, so that each layer halves the resolution and
  rounds up.

  Code: danijar/dreamerv2 common/nets.py, Encoder.
  """

  def __init__(
      self, shapes: Shapes, cnn_keys: str = '.*', mlp_keys: str = '.*',
      act: str = 'elu', norm: str = 'none', cnn_depth: int = 48,
      cnn_kernels: Sequence[int] = (4, 4, 4, 4),
      mlp_layers: Sequence[int] = (400, 400, 400, 400), *,
      init: layers.Init):
    """Builds the layers `conv0` … and `dense0` ….

    Args:
      shapes: observation key -> shape; images [H, W, channels], vectors [n].
      cnn_keys: pattern of the images to use, matched from the start of a key.
      mlp_keys: pattern of the vectors to use.
      act: activation.
      norm: none or layer, before the activation.
      cnn_depth: channels of the first convolution; each next has twice as
        many.
      cnn_kernels: kernel size of each convolution.
      mlp_layers: units of each dense layer.
      init: random numbers and compute dtype.

    Raises:
      ConfigError: no key matches, images differ in size or are too small.
    """
    super().__init__()
    self.cnn_keys, self.mlp_keys = select_keys(
        shapes, cnn_keys, mlp_keys, 'encoder')
    self.conv, self.dense = [], []
    self.dim = 0
    self._dtype = init.dtype
    if self.cnn_keys:
      size, channels = image_shape(shapes, self.cnn_keys)
      sizes, padding = resolutions(size, cnn_kernels)
      for i, kernel in enumerate(cnn_kernels):
        depth = 2 ** i * cnn_depth
        self.conv.append(layers.Conv2D(
            channels, depth, kernel, padding, act, norm, init=init))
        channels = depth
      self.dim += math.prod(sizes[-1]) * channels
    if self.mlp_keys:
      width = sum(shapes[k][0] for k in self.mlp_keys)
      self.dense, width = mlp.stack(width, mlp_layers, act, norm, init)
      self.dim += width

  def __call__(self, data: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Embeds preprocessed observations.

    Args:
      data: key -> [..., *shape]; images in -0.5 to 0.5. Other keys are
        ignored.

    Returns:
      [..., E], compute dtype; E is `self.dim`.
    """
    outputs = []
    if self.cnn_keys:
      x = tf.concat([data[k] for k in self.cnn_keys], -1)
      lead = x.shape[:-3]
      x = tf.reshape(x, [-1] + x.shape[-3:].as_list())
      for conv in self.conv:
        x = conv(x)
      outputs.append(tf.reshape(x, lead + [math.prod(x.shape[1:])]))
    if self.mlp_keys:
      x = tf.concat([data[k] for k in self.mlp_keys], -1)
      for dense in self.dense:
        x = dense(x)
      outputs.append(tf.cast(x, self._dtype))  # There may be no layers.
    return tf.concat(outputs, -1)


def select_keys(
    shapes: Shapes, cnn_keys: str, mlp_keys: str,
    name: str) -> tuple[list[str], list[str]]:
  """Selects images (three axes) and vectors (one axis) by pattern.

  Args:
    shapes: observation key -> shape.
    cnn_keys: pattern of images, matched from the start of a key as in the
      original: `image` also takes `image_goal`; `image$` does not.
    mlp_keys: pattern of vectors.
    name: of the network, for the error.

  Returns:
    Image keys and vector keys.

  Raises:
    ConfigError: nothing matches.
  """
  pick = lambda pattern, rank: [
      k for k, s in shapes.items()
      if len(s) == rank and re.match(pattern, k)]
  cnn, mlp_ = pick(cnn_keys, 3), pick(mlp_keys, 1)
  if not cnn and not mlp_:
    raise ConfigError(
        f"{name}.cnn_keys '{cnn_keys}' and {name}.mlp_keys '{mlp_keys}' "
        'match no observation. The environment has '
        + ', '.join(f'{k} {s}' for k, s in shapes.items())
        + '. Images have three axes, vectors one.')
  return cnn, mlp_


def image_shape(
    shapes: Shapes, keys: Sequence[str]) -> tuple[tuple[int, int], int]:
  """Returns the common size (H, W) of images and the sum of their channels.

  Raises:
    ConfigError: the images differ in size or are smaller than 16x16.
  """
  sizes = {k: tuple(shapes[k][:2]) for k in keys}
  size = sizes[keys[0]]
  if set(sizes.values()) != {size}:
    raise ConfigError(
        f'Images that are used together must have one size but have {sizes}. '
        'Select some of them with encoder.cnn_keys and decoder.cnn_keys.')
  if min(size) < 16:
    raise ConfigError(
        f"Images must be at least 16x16 but '{keys[0]}' is "
        f'{size[0]}x{size[1]}. Use a larger observation.')
  return size, sum(shapes[k][2] for k in keys)


def resolutions(
    size: tuple[int, int],
    kernels: Sequence[int]) -> tuple[list[tuple[int, int]], str]:
  """Returns the resolution before and after each convolution of stride 2.

  Args:
    size: (H, W) of the image.
    kernels: kernel size of each convolution.

  Returns:
    sizes: (H, W) of the image and of each output.
    padding: VALID at 64x64, the original's function; SAME elsewhere.

  Raises:
    ConfigError: the kernels do not fit into a 64x64 image.
  """
  if size != (64, 64):
    sizes = [size]
    for _ in kernels:
      sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
    return sizes, 'SAME'
  length = [64]
  for kernel in kernels:
    length.append((length[-1] - kernel) // 2 + 1)
  if min(length) < 1:
    raise ConfigError(
        f'encoder.cnn_kernels {list(kernels)} reduce a 64x64 image to nothing '
        f'(sizes {length}). The default is [4, 4, 4, 4].')
  return [(n, n) for n in length], 'VALID'
