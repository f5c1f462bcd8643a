"""The recurrent cell of the RSSM."""

import tensorflow as tf

from ..tfutils import Module
from . import layers


class GRUCell(Module):
  """GRU with layer norm, reset on the candidate and a biased update gate.

  One dense layer with a bias makes all three gates; its output is normalised
  as a whole. The update bias of -1 makes the cell remember at the start.

  Code: danijar/dreamerv2 common/nets.py, GRUCell.
  """

  UPDATE_BIAS = -1

  def __init__(
      self, in_dim: int, deter: int, act: str = 'tanh', *,
      init: layers.Init):
    super().__init__()
    self._act = layers.activation(act)
    self.dense = layers.Dense(in_dim + deter, 3 * deter, 'none', 'layer',
                              init=init)

  def __call__(self, x: tf.Tensor, deter: tf.Tensor) -> tf.Tensor:
    """Steps the state.

    Args:
      x: [N, in_dim]; input.
      deter: [N, D], compute dtype; state before.

    Returns:
      [N, D], compute dtype; state after.
    """
    gates = self.dense(tf.concat([x, deter], -1))
    reset, cand, update = tf.split(gates, 3, -1)
    cand = self._act(tf.nn.sigmoid(reset) * cand)
    update = tf.nn.sigmoid(update + self.UPDATE_BIAS)
    return update * cand + (1 - update) * deter
