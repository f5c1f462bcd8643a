"""The behaviour: learned inside the dreams of the world model."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from . import rlmath, tfutils
from .errors import ConfigError
from .nets import layers
from .nets.mlp import MLP
from .nets.optimizer import Optimizer
from .nets.rssm import State
from .tfutils import sg
from .world_model import WorldModel

ACTOR_GRADS = ('auto', 'dynamics', 'reinforce', 'both')
# Distributions that fit actions, by whether they are discrete; first: auto.
ACTOR_DISTS = {True: ('onehot',), False: ('trunc_normal', 'tanh_normal')}

Seq = Mapping[str, tf.Tensor]


class ActorCritic(tfutils.Module):
  """Actor, critic and slow target critic.

  Paper: arXiv 2010.02193, Section 2.2.
  Code: danijar/dreamerv2 agent.py, ActorCritic.
  Differs: the target critic starts as a copy of the critic instead of with
    weights of its own, which the first update would use; `slow_baseline:
    False` takes the critic itself as the baseline, as in the paper.
  """

  def __init__(
      self, config: Mapping, feat_dim: int, action_dim: int, discrete: bool,
      step: tf.Variable, init: layers.Init):
    """Builds the networks and optimizers.

    Args:
      config: the resolved configuration.
      feat_dim: F.
      action_dim: A.
      discrete: whether actions are one-hot; otherwise they lie in [-1, 1].
      step: [], integer; environment steps, for the schedules.
      init: random numbers and compute dtype.

    Raises:
      ConfigError: unknown actor_grad, or a distribution that the actions do
        not allow.
    """
    super().__init__()
    self._config = config
    self._step = step
    self._grad = config.actor_grad
    if self._grad not in ACTOR_GRADS:
      raise ConfigError(
          f"actor_grad must be one of {', '.join(ACTOR_GRADS)} but is "
          f"'{self._grad}'.")
    if self._grad == 'auto':
      self._grad = 'reinforce' if discrete else 'dynamics'
    actor = dict(config.actor)
    fitting = ACTOR_DISTS[discrete]
    if actor['dist'] == 'auto':
      actor['dist'] = fitting[0]
    if actor['dist'] not in fitting:
      raise ConfigError(
          f"actor.dist is '{actor['dist']}', but the actions are "
          f"{'discrete' if discrete else 'continuous, in [-1, 1]'}. Use auto "
          f"or {' or '.join(fitting)}.")
    critic = lambda: MLP(feat_dim, [], **config.critic, init=init)
    self.actor = MLP(feat_dim, [action_dim], **actor, init=init)
    self.critic = critic()
    if config.slow_target:
      self.target_critic = critic()
      self.target_critic.set_weights(self.critic.get_weights())
    self.updates = tf.Variable(0, trainable=False, dtype=tf.int64)
    mixed = init.dtype == tf.float16
    self.actor_opt = Optimizer(
        'actor', self.actor.named_variables(), **config.actor_opt,
        mixed=mixed)
    self.critic_opt = Optimizer(
        'critic', self.critic.named_variables(), **config.critic_opt,
        mixed=mixed)
    self.rewnorm = rlmath.StreamNorm(**config.reward_norm)

  def train(
      self, world_model: WorldModel, start: State,
      is_terminal: tf.Tensor | None, reward_fn: Callable[[Seq], tf.Tensor],
      seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Dreams from every start state and updates actor and critic.

    Args:
      world_model: to dream with.
      start: posterior states, [B, T, ...].
      is_terminal: [B, T], bool; true flags of the start states.
      reward_fn: maps a dream, [H + 1, N, ...], to rewards, [H + 1, N],
        float32.
      seed: [2], int.

    Returns:
      Metrics, [] each.
    """
    with tf.GradientTape() as actor_tape:
      # Reinforce gradients do not pass through the dream.
      seq = world_model.imagine(
          self.actor, start, is_terminal, self._config.imag_horizon, seed,
          cut=self._grad == 'reinforce')
      seq['reward'], mets = self.rewnorm(reward_fn(seq))
      metrics = {f'reward_{k}': v for k, v in mets.items()}
      target, value, mets = self.target(seq)
      metrics.update(mets)
      actor_loss, mets = self.actor_loss(seq, target, value)
      metrics.update(mets)
    with tf.GradientTape() as critic_tape:
      critic_loss, mets = self.critic_loss(seq, target)
      metrics.update(mets)
    metrics.update(self.actor_opt(actor_tape, actor_loss))
    metrics.update(self.critic_opt(critic_tape, critic_loss))
    self.update_slow_target()
    return metrics

  def target(self, seq: Seq) -> tuple[tf.Tensor, tf.Tensor, dict]:
    """Computes the targets of the critic; Equation 4.

        States:     [z0]  [z1]  [z2]  [z3]
        Rewards:    [r0]  [r1]  [r2]   r3
        Values:     [v0]  [v1]  [v2]  [v3]   v3 is the bootstrap.
        Discounts:  [d0]  [d1]  [d2]   d3
        Targets:     t0    t1    t2

    Args:
      seq: a dream with `feat`, `reward` and `discount`, [H + 1, N, ...].

    Returns:
      target: [H, N], float32; lambda-returns.
      value: [H + 1, N], float32; of the slow target critic.
      metrics: [] each.
    """
    critic = self.target_critic if self._config.slow_target else self.critic
    value = critic(seq['feat']).mode()
    target = rlmath.lambda_return(
        seq['reward'][:-1], value[:-1], seq['discount'][:-1],
        bootstrap=value[-1], lambda_=self._config.discount_lambda)
    metrics = {
        'critic_slow': tf.reduce_mean(value),
        'critic_target': tf.reduce_mean(target)}
    return target, value, metrics

  def actor_loss(
      self, seq: Seq, target: tf.Tensor,
      value: tf.Tensor) -> tuple[tf.Tensor, dict]:
    """Computes the loss of the actor; Equation 6.

        Policies:         [p1]  [p2]   p3    p_i at z_(i-1) makes a_i.
        Actions:      0   [a1]  [a2]   a3    a_i leads to z_i.
                         /  |  /  |  /
        States:     [z0]->[z1]-> z2 -> z3
        Targets:     t0   [t1]  [t2]
        Baselines:  [v0]  [v1]   v2    v3
        Entropies:        [e1]  [e2]   e3    e_i of p_i.
        Weights:    [ 1]  [w1]   w2    w3
        Loss:        l0    l1                l_i: how good was a_(i+1) at z_i

    The last two states make no loss: the bootstrap has no target, and the
    action before it can not be judged. The first target is lost because the
    first action comes from the replay.

    Args:
      seq: a dream with `log_prob`, `entropy` and `weight`, [H + 1, N, ...].
      target: [H, N], float32.
      value: [H + 1, N], float32; of the slow target critic.

    Returns:
      loss: [], float32.
      metrics: [] each.
    """
    metrics = {}
    objective = target[1:]
    if self._grad != 'dynamics':
      baseline = value[:-2]
      if not self._config.slow_baseline:
        baseline = self.critic(seq['feat'][:-2]).mode()
      reinforce = seq['log_prob'][1:-1] * sg(target[1:] - baseline)
      if self._grad == 'reinforce':
        objective = reinforce
      else:
        mix = rlmath.schedule(self._config.actor_grad_mix, self._step)
        objective = mix * objective + (1 - mix) * reinforce
        metrics['actor_grad_mix'] = mix
    ent = seq['entropy'][1:-1]
    ent_scale = rlmath.schedule(self._config.actor_ent, self._step)
    objective += ent_scale * ent
    loss = -tf.reduce_mean(sg(seq['weight'])[:-2] * objective)
    metrics['actor_ent'] = tf.reduce_mean(ent)
    metrics['actor_ent_scale'] = ent_scale
    return loss, metrics

  def critic_loss(
      self, seq: Seq, target: tf.Tensor) -> tuple[tf.Tensor, dict]:
    """Computes the loss of the critic; Equation 5.

        States:     [z0]  [z1]  [z2]   z3
        Values:     [v0]  [v1]  [v2]   v3
        Weights:    [ 1]  [w1]  [w2]   w3
        Targets:    [t0]  [t1]  [t2]
        Loss:        l0    l1    l2

    Args:
      seq: a dream, [H + 1, N, ...].
      target: [H, N], float32.

    Returns:
      loss: [], float32, nats.
      metrics: [] each.
    """
    dist = self.critic(sg(seq['feat'][:-1]))
    weight = sg(seq['weight'][:-1])
    loss = -tf.reduce_mean(dist.log_prob(sg(target)) * weight)
    return loss, {'critic': tf.reduce_mean(dist.mode())}

  def update_slow_target(self) -> None:
    """Copies the critic after the first update and every 100 from then on."""
    if not self._config.slow_target:
      return
    every = self._config.slow_target_update
    # The first copy is complete, whatever the fraction.
    mix = tf.where(
        self.updates == 0, 1.0, float(self._config.slow_target_fraction))
    mix = tf.where(self.updates % every == 0, mix, 0.0)
    source = self.critic.named_variables()
    for path, slow in self.target_critic.named_variables().items():
      slow.assign(mix * source[path] + (1 - mix) * slow)
    self.updates.assign_add(1)
