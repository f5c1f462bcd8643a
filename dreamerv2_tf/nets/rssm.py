"""The recurrent state-space model."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import replicas
from ..errors import ConfigError
from ..tfutils import Module, scan, split, swap
from . import layers
from .distributions import OneHotDist
from .gru import GRUCell

State = dict[str, tf.Tensor]


class EnsembleRSSM(Module):
  """Latent dynamics with discrete or Gaussian stochastic states.

      h_t = GRU(h_(t-1), z_(t-1), a_t)          deter
      q(z_t | h_t, e_t)                         post: obs_out, obs_dist
      p(z_t | h_t)                              prior: img_out, img_dist

  The action a_t is the one that led to the observation of time t, as in the
  data; the paper calls it a_(t-1).

  A state is a dictionary with `deter` [..., D], `stoch` ([..., S, C], or
  [..., S] if Gaussian) and the parameters of the stochastic part: `logit`
  [..., S, C], or `mean` and `std` [..., S], float32. The others have the
  compute dtype.

  Paper: arXiv 2010.02193, Section 2.1, Equation 1.
  Code: danijar/dreamerv2 common/nets.py, EnsembleRSSM.
  """

  def __init__(
      self, action_dim: int, embed_dim: int, *, ensemble: int, stoch: int,
      deter: int, hidden: int, discrete: int | bool, act: str = 'elu',
      norm: str = 'none', std_act: str = 'sigmoid2', min_std: float = 0.1,
      init: layers.Init):
    """Builds all layers.

    Args:
      action_dim: A.
      embed_dim: E.
      ensemble: number of prior networks; one is drawn at each step.
      stoch: number S of latent variables.
      deter: size D of the deterministic state.
      hidden: units of the hidden layers.
      discrete: number C of classes of each latent; False for Gaussians.
      act: activation.
      norm: none or layer, of the hidden layers; the GRU always has its norm.
      std_act: softplus, sigmoid or sigmoid2; of Gaussian latents.
      min_std: added to the standard deviation of Gaussian latents.
      init: random numbers and compute dtype.

    Raises:
      ConfigError: an unknown std_act.
    """
    super().__init__()
    if std_act not in ('softplus', 'sigmoid', 'sigmoid2'):
      raise ConfigError(
          'rssm.std_act must be softplus, sigmoid or sigmoid2 but is '
          f"'{std_act}'.")
    self._stoch = stoch
    self._deter = deter
    self._discrete = int(discrete)
    self._std_act = std_act
    self._min_std = min_std
    self._dtype = init.dtype
    dense = lambda *args: layers.Dense(*args, init=init)
    stats = stoch * (self._discrete or 2)
    self.stoch_dim = stoch * (self._discrete or 1)
    self.dim = self.stoch_dim + deter
    self.img_in = dense(self.stoch_dim + action_dim, hidden, act, norm)
    self.gru = GRUCell(hidden, deter, init=init)
    self.img_out = [
        dense(deter, hidden, act, norm) for _ in range(ensemble)]
    self.img_dist = [dense(hidden, stats) for _ in range(ensemble)]
    self.obs_out = dense(deter + embed_dim, hidden, act, norm)
    self.obs_dist = dense(hidden, stats)

  def initial(self, batch_size: int) -> State:
    """Returns the state of zeros before an episode, [batch_size, ...]."""
    zeros = lambda *shape, dtype=self._dtype: tf.zeros(
        [batch_size, *shape], dtype)
    deter = zeros(self._deter)
    if self._discrete:
      shape = self._stoch, self._discrete
      return {
          'logit': zeros(*shape, dtype=tf.float32),
          'stoch': zeros(*shape), 'deter': deter}
    return {
        'mean': zeros(self._stoch, dtype=tf.float32),
        'std': zeros(self._stoch, dtype=tf.float32),
        'stoch': zeros(self._stoch), 'deter': deter}

  def observe(
      self, embed: tf.Tensor, action: tf.Tensor, is_first: tf.Tensor,
      state: State | None, seed: tf.Tensor) -> tuple[State, State]:
    """Filters sequences of observations.

    Only the deterministic state and the posterior need one step after the
    other; the prior of all steps is computed at once behind the loop.

    Args:
      embed: [B, T, E], compute dtype.
      action: [B, T, A]; action[:, t] led to the observation t.
      is_first: [B, T], bool; forgets the state and the action before t.
      state: of the step before the first, [B, ...]; None for zeros.
      seed: [2], int.

    Returns:
      post: states with the parameters of q, [B, T, ...].
      prior: states with the parameters of p, [B, T, ...].
    """
    batch, length = embed.shape[:2]
    state = self.initial(batch) if state is None else state
    step_seed, index_seed, stoch_seed = split(seed, 3)
    inputs = swap((action, embed, is_first)) + (
        tf.random.split(step_seed, length),)
    post = scan(lambda prev, x: self.posterior_step(prev, *x), inputs, state)
    post = swap(post)
    index = tf.random.stateless_uniform(
        [length], index_seed, 0, len(self.img_out), tf.int32)
    stats = self._prior_stats(post['deter'], index)
    stoch = self._sample(stats, stoch_seed)
    return post, {'stoch': stoch, 'deter': post['deter'], **stats}

  def imagine(
      self, action: tf.Tensor, state: State | None,
      seed: tf.Tensor) -> State:
    """Predicts open loop under given actions.

    Args:
      action: [B, T, A].
      state: to start from, [B, ...]; None for zeros.
      seed: [2], int.

    Returns:
      Prior states, [B, T, ...].
    """
    batch, length = action.shape[:2]
    state = self.initial(batch) if state is None else state
    inputs = swap(action), tf.random.split(seed, length)
    return swap(scan(lambda prev, x: self.img_step(prev, *x), inputs, state))

  def posterior_step(
      self, prev_state: State, prev_action: tf.Tensor, embed: tf.Tensor,
      is_first: tf.Tensor, seed: tf.Tensor, sample: bool = True) -> State:
    """Filters one observation.

    Args:
      prev_state: [N, ...].
      prev_action: [N, A]; the action that led to this observation.
      embed: [N, E], compute dtype.
      is_first: [N], bool; replaces the state and the action by zeros.
      seed: [2], int; or [N, 2], one for each row, so that a row's posterior
        sample does not depend on the others.
      sample: False takes the mode (discrete) or mean instead of a sample.

    Returns:
      Posterior state, [N, ...].
    """
    prev_state, prev_action = tf.nest.map_structure(
        lambda x: reset_rows(is_first, x), (prev_state, prev_action))
    deter = self._deter_step(prev_state, prev_action)
    x = self.obs_out(tf.concat([deter, embed], -1))
    stats = self._stats(self.obs_dist(x))
    return {
        'stoch': self._sample(stats, seed, sample), 'deter': deter, **stats}

  def img_step(
      self, prev_state: State, prev_action: tf.Tensor, seed: tf.Tensor,
      sample: bool = True) -> State:
    """Predicts one step ahead.

    Args:
      prev_state: [N, ...].
      prev_action: [N, A].
      seed: [2], int.
      sample: False takes the mode or mean instead of a sample.

    Returns:
      Prior state, [N, ...].
    """
    deter = self._deter_step(prev_state, prev_action)
    index_seed, stoch_seed = split(seed, 2)
    index = tf.random.stateless_uniform(
        [], index_seed, 0, len(self.img_out), tf.int32)
    stats = self._prior_stats(deter, index)
    stoch = self._sample(stats, stoch_seed, sample)
    return {'stoch': stoch, 'deter': deter, **stats}

  def get_feat(self, state: State) -> tf.Tensor:
    """Returns stochastic and deterministic state as features, [..., F]."""
    return tf.concat([self._flat_stoch(state), state['deter']], -1)

  def get_dist(self, stats: State) -> tfd.Distribution:
    """Returns the distribution of the stochastic state, float32."""
    if self._discrete:
      logit = tf.cast(stats['logit'], tf.float32)
      return tfd.Independent(OneHotDist(logit, dtype=tf.float32), 1)
    mean, std = (tf.cast(stats[k], tf.float32) for k in ('mean', 'std'))
    return tfd.MultivariateNormalDiag(mean, std)

  def kl(self, q: State, p: State) -> tf.Tensor:
    """Returns KL(q || p) of the stochastic states, [...], float32, nats."""
    return tfd.kl_divergence(self.get_dist(q), self.get_dist(p))

  def _deter_step(self, prev_state, prev_action):
    action = tf.cast(prev_action, self._dtype)
    x = self.img_in(tf.concat([self._flat_stoch(prev_state), action], -1))
    return self.gru(x, prev_state['deter'])

  def _prior_stats(self, deter, index):
    """Parameters of the prior; index [] or [T] picks from the ensemble."""
    stats = [
        self._stats(dist(out(deter)))
        for out, dist in zip(self.img_out, self.img_dist)]
    if len(stats) == 1:
      return stats[0]
    pick = lambda *xs: tf.add_n([
        x * tf.reshape(
            tf.cast(index == i, x.dtype),
            index.shape + [1] * (x.shape.rank - 1 - index.shape.rank))
        for i, x in enumerate(xs)])
    return tf.nest.map_structure(pick, *stats)

  def _stats(self, x):
    x = tf.cast(x, tf.float32)  # Softmax and KL overflow in float16.
    if self._discrete:
      lead = [-1 if n is None else n for n in x.shape[:-1]]
      return {'logit': tf.reshape(x, lead + [self._stoch, self._discrete])}
    mean, std = tf.split(x, 2, -1)
    std = {
        'softplus': tf.nn.softplus,
        'sigmoid': tf.nn.sigmoid,
        'sigmoid2': lambda s: 2 * tf.nn.sigmoid(s / 2),
    }[self._std_act](std)
    return {'mean': mean, 'std': std + self._min_std}

  def _sample(self, stats, seed, sample=True):
    if not sample:
      stoch = self.get_dist(stats).mode()
    elif seed.shape.rank == 1:
      stoch = replicas.sample(self.get_dist(stats), seed)
    else:
      stoch = tf.map_fn(
          lambda x: self.get_dist(x[0]).sample(seed=x[1]), (stats, seed),
          fn_output_signature=tf.float32)
    return tf.cast(stoch, self._dtype)

  def _flat_stoch(self, state):
    stoch = tf.cast(state['stoch'], self._dtype)
    if not self._discrete:
      return stoch
    lead = [-1 if n is None else n for n in stoch.shape[:-2]]
    return tf.reshape(stoch, lead + [self.stoch_dim])


def reset_rows(is_first: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
  """Replaces rows by zeros where an episode begins, even if not finite.

  Args:
    is_first: [N], bool.
    x: [N, ...].
  """
  where = tf.reshape(is_first, [-1] + [1] * (x.shape.rank - 1))
  return tf.where(where, tf.zeros_like(x), x)
