"""Gradient steps with clipping, weight decay and loss scaling."""

from collections.abc import Mapping
import functools
import re

import tensorflow as tf
import tf_keras

from .. import replicas, rlmath
from ..errors import ConfigError
from ..tfutils import Module

# Those of Keras 2.10 and before apply a gradient in one operation: they trace
# a second faster than their successors.
keras = tf_keras.optimizers.legacy
OPTIMIZERS = {
    'adam': lambda lr, eps: keras.Adam(lr, epsilon=eps),
    'nadam': lambda lr, eps: keras.Nadam(lr, epsilon=eps),
    'adamax': lambda lr, eps: keras.Adamax(lr, epsilon=eps),
    'sgd': lambda lr, eps: keras.SGD(lr),
    'momentum': lambda lr, eps: keras.SGD(lr, 0.9),
}


class Optimizer(Module):
  """Updates variables along the gradient of a loss.

  Code: danijar/dreamerv2 common/tfutils.py, Optimizer.
  Differs: `wd: 0` turns weight decay off; a float16 step with an overflow
    changes no weight, not even through weight decay, and is counted; what the
    configuration sets is no part of a checkpoint; the learning rate may follow
    a schedule.
  """

  def __init__(
      self, name: str, variables: Mapping[str, tf.Variable], *,
      lr: float | str, eps: float, clip: float, wd: float, opt: str = 'adam',
      wd_pattern: str = '.*', step: tf.Tensor | None = None,
      mixed: bool = False):
    """Creates the moments.

    Args:
      name: prefix of the metrics.
      variables: path -> variable to train.
      lr: learning rate; a number or a schedule, see `rlmath.schedule`.
      eps: added to the denominator of Adam.
      clip: largest global norm of the gradient; 0 for no limit.
      wd: fraction by which weights shrink before each step, whatever the
        learning rate.
      opt: adam, nadam, adamax, sgd or momentum.
      wd_pattern: pattern searched in `<name>/<path>`.
      step: [], integer; environment steps, for a schedule.
      mixed: whether to scale the loss for float16.

    Raises:
      ConfigError: unknown opt, or wd or clip out of range.
    """
    super().__init__()
    if opt not in OPTIMIZERS:
      raise ConfigError(
          f"{name}_opt.opt must be one of {', '.join(OPTIMIZERS)} but is "
          f"'{opt}'.")
    if not 0 <= wd < 1 or (clip and clip < 1):
      raise ConfigError(
          f'{name}_opt needs 0 <= wd < 1 and clip 0 or at least 1 but has '
          f'wd {wd} and clip {clip}.')
    self._label = name
    self._clip = clip
    self._wd = wd
    self._paths = list(variables)
    self._variables = list(variables.values())
    self._decayed = [
        v for k, v in variables.items()
        if wd and re.search(wd_pattern, f'{name}/{k}')]
    self._rate = functools.partial(rlmath.schedule, lr, step)
    self._scheduled = isinstance(lr, str)
    self._opt = OPTIMIZERS[opt](0.0 if self._scheduled else lr, eps)
    # As variables, Keras would save them and a checkpoint overrule them.
    for setting, value in self._opt._hyper.items():
      self._opt._hyper[setting] = functools.partial(float, value)
    self._opt._hyper['learning_rate'] = self._rate
    self._mixed = mixed
    if mixed:
      self._opt = tf_keras.mixed_precision.LossScaleOptimizer(self._opt)
    self._opt._create_all_weights(self._variables)  # Before any step.

  def named_variables(self) -> dict[str, tf.Variable]:
    """Returns nothing: moments and loss scale are no weights."""
    return {}

  def kept(self) -> list[tf.Variable]:
    """Returns the moments, the count of steps and, in float16, the scale."""
    return list(self._opt.variables())

  def __call__(self, tape: tf.GradientTape, loss: tf.Tensor) -> dict:
    """Takes one step.

    Args:
      tape: has recorded the loss.
      loss: [], float32.

    Returns:
      Metrics `<name>_loss`, `<name>_grad_norm` and, in float16,
      `<name>_loss_scale` and `<name>_skipped` (1 if the gradient overflowed);
      `<name>_lr` if the learning rate follows a schedule.

    Raises:
      tf.errors.InvalidArgumentError: the loss or, outside float16, the
        gradient is not finite; no variable was changed.
    """
    assert loss.dtype == tf.float32 and loss.shape.rank == 0, loss
    name = self._label
    checked = tf.debugging.check_numerics(loss, f'{name}_loss')
    metrics = {f'{name}_loss': checked}
    if self._scheduled:
      metrics[f'{name}_lr'] = self._rate()
    if self._mixed:
      metrics[f'{name}_loss_scale'] = self._opt.loss_scale
      with tape:
        loss = self._opt.get_scaled_loss(loss)
      grads = tape.gradient(loss, self._variables)
      grads = self._opt.get_unscaled_gradients(grads)
    else:
      grads = tape.gradient(loss, self._variables)
    unused = [k for k, g in zip(self._paths, grads) if g is None]
    assert not unused, f'{name}_loss does not depend on {unused}.'
    grads = replicas.gradients(grads)
    norm = tf.linalg.global_norm(grads)
    keep = 1.0 - self._wd
    if self._mixed:
      finite = tf.math.is_finite(norm)
      metrics[f'{name}_skipped'] = 1 - tf.cast(finite, tf.float32)
      keep = tf.where(finite, keep, 1.0)
    else:
      norm = tf.debugging.check_numerics(norm, f'{name}_grad_norm')
    metrics[f'{name}_grad_norm'] = norm
    if self._clip:
      grads, _ = tf.clip_by_global_norm(grads, self._clip, norm)
    with tf.control_dependencies([checked, norm]):
      for variable in self._decayed:
        variable.assign(keep * variable)
      self._opt.apply_gradients(
          zip(grads, self._variables), experimental_aggregate_gradients=False)
    return metrics
