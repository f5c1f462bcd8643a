"""Returns, schedules and normalisers: the arithmetic of the actor-critic."""

import tensorflow as tf

from . import tfutils
from .schema import read_schedule


def lambda_return(
    reward: tf.Tensor, value: tf.Tensor, discount: tf.Tensor,
    bootstrap: tf.Tensor, lambda_: float) -> tf.Tensor:
  """Mixes n-step returns of all lengths into one target per step.

      States:      z0    z1    z2    z3    t_i = r_i + d_i * (
      Rewards:    [r0]  [r1]  [r2]             (1 - lambda) * v_(i+1)
      Discounts:  [d0]  [d1]  [d2]             + lambda * t_(i+1)),  t_3 = v3
      Values:      v0   [v1]  [v2]  [v3]   v3 is the bootstrap. lambda 0: one
      Targets:     t0    t1    t2          step; lambda 1: Monte Carlo.

  Gradients flow; callers stop them.

  Args:
    reward: [H, ...], float32; reward of each state.
    value: [H, ...], float32; value of each state.
    discount: [H, ...], float32; probability that the episode goes on after
      the state, times gamma.
    bootstrap: [...], float32; value of the state after the last one.
    lambda_: weight of longer returns, in [0, 1].

  Returns:
    [H, ...], float32; the targets.

  Paper: arXiv 2010.02193, Equation 4.
  Code: danijar/dreamerv2 common/other.py, lambda_return.
  """
  next_value = tf.concat([value[1:], bootstrap[None]], 0)
  one_step = reward + discount * (1 - lambda_) * next_value
  target = tfutils.scan(
      lambda later, now: now[0] + now[1] * lambda_ * later,
      (one_step[::-1], discount[::-1]), bootstrap)
  return target[::-1]


def tree_backup(
    reward: tf.Tensor, value: tf.Tensor, discount: tf.Tensor,
    taken: tf.Tensor, trace: tf.Tensor) -> tf.Tensor:
  """Returns targets for the values of the actions that were taken.

      States:    z0 -> [z1]-> [z2]-> [z3]   a_i leads from z_(i-1) to z_i.
      Actions:    [a1]   a2     a3
      Rewards:          [r1]   [r2]   [r3]  t_i = r_(i+1) + d_(i+1) * (
      Discounts:        [d1]   [d2]   [d3]      v_(i+1) + c_(i+1) *
      Values:           [v1]   [v2]   [v3]      (t_(i+1) - q_(i+1)))
      Taken:            [q1]   [q2]         q_i = Q(z_i, a_(i+1)) and
      Targets:    t0     t1     t2          c_i = lambda * pi(a_(i+1)|z_i).

  The value v of the policy pi is corrected by what came of the action that
  was taken, as far as pi would have taken it; so actions may come from
  another policy.

  Args:
    reward: [H, ...], float32; of the states after each action.
    value: [H, ...], float32; expected value under pi of these states.
    discount: [H, ...], float32; of these states.
    taken: [H - 1, ...], float32; values of the actions taken there.
    trace: [H - 1, ...], float32; their probabilities under pi times lambda.

  Returns:
    [H, ...], float32.

  Source: tree-backup(lambda), Precup, Sutton and Singh, 2000, Eligibility
    traces for off-policy policy evaluation.
  """
  target = reward[-1] + discount[-1] * value[-1]
  targets = [target]
  for i in reversed(range(reward.shape[0] - 1)):
    value_i = value[i] + trace[i] * (target - taken[i])
    target = reward[i] + discount[i] * value_i
    targets.append(target)
  return tf.stack(targets[::-1])


def schedule(spec: float | str, step: tf.Tensor) -> tf.Tensor | float:
  """Evaluates a number or a schedule at a step.

  Args:
    spec: a number, or one of `linear(initial, final, duration)`,
      `warmup(duration, value)`, `exp(initial, final, halflife)`,
      `horizon(initial, final, duration)`; durations in environment steps.
      horizon interpolates the horizon h linearly and gives 1 - 1 / h.
    step: [], integer; environment steps so far.

  Returns:
    [], float32, or a float for a plain number.

  Raises:
    ConfigError: the text is no schedule.

  Code: danijar/dreamerv2 common/other.py, schedule.
  """
  try:
    return float(spec)
  except ValueError:
    name, args = read_schedule(spec)
  step = tf.cast(step, tf.float32)
  if name == 'warmup':
    duration, value = args
    return tf.clip_by_value(step / duration, 0, 1) * value
  initial, final, duration = args
  if name == 'exp':
    return (initial - final) * 0.5 ** (step / duration) + final
  mix = tf.clip_by_value(step / duration, 0, 1)
  value = (1 - mix) * initial + mix * final
  return 1 - 1 / value if name == 'horizon' else value


class StreamNorm(tfutils.Module):
  """Divides by a running mean of magnitudes.

  Momentum 1 leaves the magnitude at 1 and so disables it, momentum 0 uses
  the current batch alone.

  Code: danijar/dreamerv2 common/other.py, StreamNorm.
  """

  def __init__(
      self, momentum: float = 0.99, scale: float = 1.0, eps: float = 1e-8):
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
    mag = tf.cast(tf.reduce_mean(tf.abs(inputs)), tf.float64)
    mix = tf.constant(self._momentum, tf.float64)
    self.mag.assign(mix * self.mag + (1 - mix) * mag)
    outputs = self.transform(inputs)
    metrics = {
        'mean': tf.reduce_mean(inputs),
        'std': tf.math.reduce_std(inputs),
        'normed_mean': tf.reduce_mean(outputs),
        'normed_std': tf.math.reduce_std(outputs)}
    return outputs, metrics

  def transform(self, inputs: tf.Tensor) -> tf.Tensor:
    """Normalises inputs, [...], float32, and leaves the magnitude."""
    # A run that was begun with another momentum has another magnitude.
    mag = 1.0 if self._momentum == 1 else tf.cast(self.mag, inputs.dtype)
    return inputs / (mag + self._eps) * self._scale
