"""Multi-layer perceptrons that end in a distribution."""

from collections.abc import Sequence
import math
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ..errors import ConfigError
from ..tfutils import Module
from . import distributions, layers


class DistLayer(Module):
  """The last layer of a head: features to a distribution.

  Code: danijar/dreamerv2 common/nets.py, DistLayer.
  Differs: the standard deviation of `normal` is softplus plus min_std; there,
    it is the raw output and often negative.
  """

  SCALED = ('normal', 'tanh_normal', 'trunc_normal')
  DISTS = ('mse', 'binary', 'onehot') + SCALED

  def __init__(
      self, in_dim: int, shape: Sequence[int], dist: str = 'mse',
      min_std: float = 0.1, init_std: float = 0.0, *, init: layers.Init):
    """Builds the layer.

    Args:
      in_dim: width of the input.
      shape: event shape; () for a scalar, (A,) for actions.
      dist: mse (unit variance), normal, binary, tanh_normal, trunc_normal in
        [-1, 1], or onehot.
      min_std: added to the standard deviation of the scaled distributions.
      init_std: added to its raw output.
      init: random numbers and compute dtype.

    Raises:
      ConfigError: an unknown dist, or onehot or tanh_normal for a scalar.
    """
    super().__init__()
    if dist not in self.DISTS:
      raise ConfigError(
          f"dist must be one of {', '.join(self.DISTS)} but is '{dist}'.")
    if dist in ('onehot', 'tanh_normal') and not shape:
      raise ConfigError(
          f'The distribution {dist} is for actions; a head of single numbers '
          'needs mse, normal or binary.')
    self._shape = list(shape)
    self._dist = dist
    self._min_std = min_std
    self._init_std = init_std
    units = math.prod(shape)
    self.out = layers.Dense(in_dim, units, init=init)
    if dist in self.SCALED:
      self.std = layers.Dense(in_dim, units, init=init)

  def __call__(self, x: tf.Tensor) -> tfd.Distribution:
    """Maps x, [..., in_dim], to a distribution of batch shape [...]."""
    out = self._event(self.out(x))
    ndims = len(self._shape)
    if self._dist == 'mse':
      return distributions.mse(out, ndims)
    if self._dist == 'binary':
      return tfd.Independent(tfd.Bernoulli(out, dtype=tf.float32), ndims)
    if self._dist == 'onehot':
      return distributions.OneHotDist(out, dtype=tf.float32)
    std = self._event(self.std(x)) + self._init_std
    if self._dist == 'trunc_normal':
      std = 2 * tf.nn.sigmoid(std / 2) + self._min_std
      dist = distributions.TruncNormalDist(tf.tanh(out), std, -1.0, 1.0)
      return tfd.Independent(dist, ndims)
    std = tf.nn.softplus(std) + self._min_std
    if self._dist == 'normal':
      return tfd.Independent(tfd.Normal(out, std), ndims)
    dist = tfd.Normal(5 * tf.tanh(out / 5), std)
    dist = tfd.TransformedDistribution(dist, distributions.TanhBijector())
    return distributions.SampleDist(tfd.Independent(dist, ndims))

  def _event(self, x):
    lead = [-1 if n is None else n for n in x.shape[:-1]]
    return tf.cast(tf.reshape(x, lead + self._shape), tf.float32)


class MLP(Module):
  """Hidden layers and a distribution: reward, discount, actor, critic heads.

  Code: danijar/dreamerv2 common/nets.py, MLP.
  """

  def __init__(
      self, in_dim: int, shape: Sequence[int], layers: int, units: int,
      act: str = 'elu', norm: str = 'none', *, init: layers.Init, **out: Any):
    """Builds the layers `dense0` … and `out`.

    Args:
      in_dim: width of the features.
      shape: event shape of the distribution; () for a scalar.
      layers: number of hidden layers.
      units: units of each.
      act: activation of the hidden layers.
      norm: none or layer, before the activation.
      init: random numbers and compute dtype.
      **out: dist, min_std and init_std of `DistLayer`.
    """
    super().__init__()
    self.dense, width = stack(in_dim, [units] * layers, act, norm, init)
    self.out = DistLayer(width, shape, **out, init=init)

  def __call__(self, features: tf.Tensor) -> tfd.Distribution:
    """Maps features, [..., in_dim], to a distribution, batch shape [...]."""
    x = features
    for dense in self.dense:
      x = dense(x)
    return self.out(x)


def stack(
    in_dim: int, widths: Sequence[int], act: str, norm: str,
    init: layers.Init) -> tuple[list[layers.Dense], int]:
  """Builds hidden layers of the given widths.

  Returns:
    The layers and the width of their output.
  """
  dense = []
  for width in widths:
    dense.append(layers.Dense(in_dim, width, act, norm, init=init))
    in_dim = width
  return dense, in_dim
