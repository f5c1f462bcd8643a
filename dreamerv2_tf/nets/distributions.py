"""Distributions of latents, heads and actions. Parameters are float32.

Every sampler takes a stateless seed, so a draw depends on its seed alone.
"""

from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from ..tfutils import sg


class OneHotDist(tfd.OneHotCategorical):
  """One-hot categorical with straight-through gradients.

  Samples have the value of a one-hot vector and the gradient of the
  probabilities; the mode has no gradient.

  Paper: arXiv 2010.02193, Algorithm 1.
  """

  def _sample_n(self, n, seed=None):
    probs = self.probs_parameter()
    n = tf.get_static_value(n)
    if n > 1:
      # Noise in the order of the elements, as one draw of so many rows.
      logits = self.logits_parameter()
      many = tfd.OneHotCategorical(
          tf.broadcast_to(logits[None], [n, *logits.shape]), dtype=self.dtype)
      draw = many.sample(seed=seed)
    else:
      draw = super()._sample_n(n, seed)
    return sg(draw) + (probs - sg(probs))


class TruncNormalDist(tfd.TruncatedNormal):
  """Truncated normal whose samples stay off the bounds.

  The gradient of a sample x is 1 to loc and (x - loc) / scale to scale, as
  if there were no truncation, and passes through the clipping. This is what
  the original trains with; the derivative at a fixed quantile is smaller.

  Code: danijar/dreamerv2 common/dists.py, TruncNormalDist.
  """

  CLIP = 1e-6

  def _sample_n(self, n, seed=None):
    draw = sg(super()._sample_n(n, seed))
    noise = sg((draw - self.loc) / self.scale)
    x = self.loc + self.scale * noise
    clipped = tf.clip_by_value(
        draw, self.low + self.CLIP, self.high - self.CLIP)
    return sg(clipped) + (x - sg(x))


class TanhBijector(tfb.Tanh):
  """Tanh whose inverse is finite at the bounds: atanh(1) is 8.664."""

  def _inverse(self, y):
    limit = tf.constant(0.99999997, y.dtype)  # 0.99999994 in float32.
    y = tf.where(tf.abs(y) <= 1, tf.clip_by_value(y, -limit, limit), y)
    return tf.atanh(y)


class SampleDist:
  """Mean, mode and entropy by sampling, for distributions without them.

  The same 100 draws of noise serve every call, so the estimates are functions
  of the parameters.

  Code: danijar/dreamerv2 common/dists.py, SampleDist.
  Differs: the mode is the likeliest sample of each row; there, that of row 0
    is taken for all rows.
  """

  SEED = (0, 0)

  def __init__(self, dist: tfd.Distribution, samples: int = 100):
    self._dist = dist
    self._samples = samples

  def sample(self, *args: Any, **kwargs: Any) -> tf.Tensor:
    """Draws as the distribution itself does."""
    return self._dist.sample(*args, **kwargs)

  def log_prob(self, value: tf.Tensor) -> tf.Tensor:
    """Returns the log-probabilities of values, in nats."""
    return self._dist.log_prob(value)

  def _draw(self):
    sample = self._dist.sample(self._samples, seed=self.SEED)
    return sample, self._dist.log_prob(sample)

  def mean(self) -> tf.Tensor:
    """Estimates the mean."""
    return tf.reduce_mean(self._draw()[0], 0)

  def mode(self) -> tf.Tensor:
    """Returns the likeliest sample of each row."""
    sample, logprob = self._draw()
    best = tf.one_hot(tf.argmax(logprob, 0), self._samples, axis=0)
    return tf.reduce_sum(sample * best[..., None], 0)

  def entropy(self) -> tf.Tensor:
    """Estimates the entropy, in nats."""
    return -tf.reduce_mean(self._draw()[1], 0)


def mse(mean: tf.Tensor, ndims: int) -> tfd.Distribution:
  """Normal of variance one over the last ndims axes of the mean, float32."""
  return tfd.Independent(tfd.Normal(tf.cast(mean, tf.float32), 1.0), ndims)
