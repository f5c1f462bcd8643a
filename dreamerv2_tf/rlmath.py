"""Schedules and normalisers: the arithmetic around the losses."""

import tensorflow as tf

from . import replicas, tfutils
from .schema import read_schedule


def schedule(spec: float | str, step: tf.Tensor) -> tf.Tensor | float:
  """Evaluates a number or a schedule at a step.

  Args:
    spec: a number, or one of `linear(initial, final, duration)`,
      `linear(initial, final, duration, start)`, `warmup(duration, value)`,
      `exp(initial, final, halflife)`, `horizon(initial, final, duration)`;
      durations and start in environment steps. horizon interpolates the
      horizon h linearly and gives 1 - 1 / h.
    step: [], integer; environment steps so far.

  Returns:
    [], float32, or a float for a plain number.

  Raises:
    ConfigError: the text is no schedule.

  Code: danijar/dreamerv2 common/other.py, schedule; the start is ours.
  """
  try:
    return float(spec)
  except ValueError:
    name, args = read_schedule(spec)
  step = tf.cast(step, tf.float32)
  if name == 'warmup':
    duration, value = args
    return tf.clip_by_value(step / duration, 0, 1) * value
  initial, final, duration, *start = args
  if name == 'exp':
    return (initial - final) * 0.5 ** (step / duration) + final
  mix = tf.clip_by_value((step - sum(start)) / duration, 0, 1)
  value = (1 - mix) * initial + mix * final
  return 1 - 1 / value if name == 'horizon' else value


class StreamNorm(tfutils.Module):
  """Divides by a running mean of magnitudes.

  Momentum 1 leaves the magnitude at 1 and so disables it, momentum 0 uses
  the current batch alone.

  Code: danijar/dreamerv2 common/other.py, StreamNorm.
  """

  def __init__(
      self, momentum: float = 1.0, scale: float = 1.0, eps: float = 1e-8):
    super().__init__()
    self._momentum = momentum
    self._scale = scale
    self._eps = eps
    self.mag = tf.Variable(1.0, trainable=False, dtype=tf.float64)

  def __call__(self, inputs: tf.Tensor) -> tuple[tf.Tensor, dict]:
    """Updates the magnitude, then normalises.

    Args:
      inputs: [...], float32.

    Returns:
      outputs: [...], float32.
      metrics: mean and std before and after.
    """
    mag = tf.cast(replicas.mean(tf.abs(inputs)), tf.float64)
    mix = tf.constant(self._momentum, tf.float64)
    self.mag.assign(mix * self.mag + (1 - mix) * mag)
    outputs = self.transform(inputs)
    metrics = {
        'mean': tf.reduce_mean(inputs),
        'std': replicas.std(inputs),
        'normed_mean': tf.reduce_mean(outputs),
        'normed_std': replicas.std(outputs)}
    return outputs, metrics

  def transform(self, inputs: tf.Tensor) -> tf.Tensor:
    """Normalises inputs, [...], float32, and leaves the magnitude."""
    # A run that was begun with another momentum has another magnitude.
    mag = 1.0 if self._momentum == 1 else tf.cast(self.mag, inputs.dtype)
    return inputs / (mag + self._eps) * self._scale
