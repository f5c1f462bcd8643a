"""The behaviour: learned inside the dreams of the world model."""

from collections.abc import Callable, Mapping
import itertools

import numpy as np
import tensorflow as tf

from . import rlmath, tfutils
from .action_values import ActionValues
from .errors import ConfigError
from .nets import layers
from .nets.mlp import MLP
from .nets.optimizer import Optimizer
from .nets.rssm import State
from .tfutils import sg, split
from .world_model import WorldModel

ACTOR_GRADS = (
    'auto', 'dynamics', 'reinforce', 'both', 'lookahead', 'values')
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

  LIMIT = 6.0  # Of centred logits, where look-ahead drives them.

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
    if self._grad in ('lookahead', 'values') and not discrete:
      raise ConfigError(
          f'actor_grad {self._grad} tries every action, but the actions are '
          'continuous. Use dynamics, reinforce or both.')
    self._action_dim = action_dim
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
    trained = self.critic.named_variables()
    if self._grad == 'values':
      self.values = ActionValues(config, feat_dim, action_dim, init)
      trained = {
          **{f'critic/{k}': v for k, v in trained.items()},
          **{f'advantage/{k}': v
             for k, v in self.values.advantage.named_variables().items()}}
    self.updates = tf.Variable(0, trainable=False, dtype=tf.int64)
    mixed = init.dtype == tf.float16
    self.actor_opt = Optimizer(
        'actor', self.actor.named_variables(), **config.actor_opt,
        mixed=mixed)
    self.critic_opt = Optimizer(
        'critic', trained, **config.critic_opt, mixed=mixed)
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
    count = self._config.actor_critic_steps
    for update_seed in [seed] if count == 1 else split(seed, count):
      metrics = self._update(
          world_model, start, is_terminal, reward_fn, update_seed)
    return metrics

  def _update(self, world_model, start, is_terminal, reward_fn, seed):
    """Takes one gradient step of actor and critic in new dreams."""
    if self._config.imag_starts:
      start, is_terminal = _draw(
          (start, is_terminal), self._config.imag_starts,
          tf.random.fold_in(seed, 1))
    if self._grad == 'values':
      return self._update_values(
          world_model, start, is_terminal, reward_fn, seed)
    with tf.GradientTape() as actor_tape:
      seq, metrics = self._dream(
          world_model, self.actor, start, is_terminal, reward_fn, seed)
      target, value, mets = self.target(seq)
      metrics.update(mets)
      if self._grad == 'lookahead':
        actor_loss, mets = self.lookahead_loss(
            world_model, seq, reward_fn, tf.random.fold_in(seed, 2))
      else:
        actor_loss, mets = self.actor_loss(seq, target, value)
      metrics.update(mets)
    with tf.GradientTape() as critic_tape:
      critic_loss, mets = self.critic_loss(seq, target)
      metrics.update(mets)
    metrics.update(self._apply(
        actor_tape, actor_loss, critic_tape, critic_loss))
    return metrics

  def _update_values(self, world_model, start, is_terminal, reward_fn, seed):
    """Takes one gradient step of actor, critic and advantages."""
    count = int(np.prod(start['deter'].shape[:2]))
    seq, metrics = self._dream(
        world_model, self.values.explore(self.actor), start, is_terminal,
        reward_fn, seed,
        first=self.values.first(count, tf.random.fold_in(seed, 3)))
    ent_scale = rlmath.schedule(self._config.actor_ent, self._step)
    with tf.GradientTape() as actor_tape, tf.GradientTape() as critic_tape:
      actor_loss, critic_loss, mets = self.values.losses(
          self.actor, self.critic, self._slow_critic, seq, ent_scale)
    metrics.update(mets)
    metrics.update(self._apply(
        actor_tape, actor_loss, critic_tape, critic_loss))
    return metrics

  def _dream(
      self, world_model, policy, start, is_terminal, reward_fn, seed, **given):
    """Returns a dream with normalised rewards, and their metrics."""
    seq = world_model.imagine(
        policy, start, is_terminal, self._config.imag_horizon, seed,
        # Gradients of these do not pass through the dream.
        cut=self._grad in ('reinforce', 'lookahead', 'values'), **given)
    seq['reward'], mets = self.rewnorm(reward_fn(seq))
    return seq, {f'reward_{k}': v for k, v in mets.items()}

  def _apply(self, actor_tape, actor_loss, critic_tape, critic_loss):
    """Updates all networks; returns the metrics of the optimizers."""
    metrics = {
        **self.actor_opt(actor_tape, actor_loss),
        **self.critic_opt(critic_tape, critic_loss)}
    self.update_slow_target()
    return metrics

  @property
  def _slow_critic(self):
    return self.target_critic if self._config.slow_target else self.critic

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
    value = self._slow_critic(seq['feat']).mode()
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

  def lookahead_loss(
      self, world_model: WorldModel, seq: Seq,
      reward_fn: Callable[[Seq], tf.Tensor],
      seed: tf.Tensor) -> tuple[tf.Tensor, dict]:
    r"""Computes a loss that draws the actor to the actions that pay.

        L(psi) = -E[ sum_a  sg(g_a) * l_a ],    l logits, less their mean
        g_a = Q_a - eta ln pi_a - sum_b pi_b (Q_b - eta ln pi_b)

    Q is what `lookahead` returns and eta `actor_ent`. The slope to a logit is
    not proportional to the probability of the action, so an action that the
    policy has given up comes back when it pays; and it is linear in Q, so
    the noise of single dreams averages out. It vanishes at pi = softmax(Q /
    eta). Logits beyond LIMIT are not driven further.

    Args:
      world_model: to dream with.
      seq: a dream, [H + 1, N, ...]; the first `lookahead.states` of its
        states are judged, times their weights.
      reward_fn: maps a dream to rewards.
      seed: [2], int.

    Returns:
      loss: [], float32, nats.
      metrics: [] each.

    Paper: arXiv 1906.00190 (NeuRD), with its threshold of logits.
    """
    count = min(self._config.lookahead.states, self._config.imag_horizon)
    states = tfutils.flatten({
        k: sg(v[:count]) for k, v in seq.items()
        if k in ('stoch', 'deter', 'logit', 'mean', 'std')})
    gain = self.lookahead(
        world_model, states, reward_fn, seed,
        horizon=self._config.lookahead.horizon,
        samples=self._config.lookahead.samples)
    ent_scale = rlmath.schedule(self._config.actor_ent, self._step)
    dist = self.actor(world_model.rssm.get_feat(states))
    logits = tf.transpose(dist.logits_parameter())
    logits -= tf.reduce_mean(logits, 0)
    logs = tf.nn.log_softmax(logits, 0)
    gap = gain - ent_scale * logs
    gap -= tf.reduce_sum(tf.exp(logs) * gap, 0)
    free = tf.where(gap < 0, logits > -self.LIMIT, logits < self.LIMIT)
    slope = sg(tf.where(free, gap, 0.0))
    weight = tf.reshape(sg(seq['weight'][:count]), [-1])
    loss = -tf.reduce_mean(weight * tf.reduce_sum(slope * logits, 0))
    best = tf.reduce_max(gain, 0)
    return loss, {
        'actor_ent': tf.reduce_mean(dist.entropy()),
        'actor_ent_scale': ent_scale,
        'lookahead_gain': tf.reduce_mean(best - tf.reduce_mean(gain, 0))}

  def lookahead(
      self, world_model: WorldModel, states: State,
      reward_fn: Callable[[Seq], tf.Tensor], seed: tf.Tensor, *,
      horizon: int, samples: int, depth: int = 1) -> tf.Tensor:
    """Dreams what comes of every action, or sequence of actions.

    Args:
      world_model: to dream with.
      states: [N, ...].
      reward_fn: maps a dream to rewards.
      seed: [2], int; no two dreams share their noise.
      horizon: steps of the dreams, the given actions included; above depth.
        Further actions are those of the actor, and the critic's value stands
        for what comes behind.
      samples: dreams of each sequence.
      depth: actions of a sequence.

    Returns:
      [A ** depth, N], float32; return from the state after the first action
      on, mean over the dreams; no gradient. Sequences are sorted by their
      first action, then by the second.
    """
    count, actions = states['deter'].shape[0], self._action_dim
    plans = list(itertools.product(range(actions), repeat=depth))
    tiled = tf.nest.map_structure(
        lambda x: tf.tile(
            x[None], [len(plans) * samples] + [1] * x.shape.rank), states)
    first = tf.one_hot(np.transpose(plans * samples), actions)
    dream = world_model.imagine(
        self.actor, tiled, None, horizon, seed, cut=True,
        first=tf.repeat(first, count, 1))
    dream['reward'] = self.rewnorm.transform(reward_fn(dream))
    target, _, _ = self.target(dream)
    return sg(tf.reduce_mean(
        tf.reshape(target[1], [samples, len(plans), count]), 0))

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
    pairs = [(self.critic, self.target_critic)]
    if self._grad == 'values':
      pairs.append((self.values.advantage, self.values.target_advantage))
    for net, copy in pairs:
      source = net.named_variables()
      for path, slow in copy.named_variables().items():
        slow.assign(mix * source[path] + (1 - mix) * slow)
    self.updates.assign_add(1)


def _draw(tree, count, seed):
  """Draws `count` of the B * T rows, without putting back; [count, 1, ...]."""
  flat = tfutils.flatten(tree)
  total = tf.nest.flatten(flat)[0].shape[0]
  order = tf.argsort(tf.random.stateless_uniform([total], seed))
  return tf.nest.map_structure(
      lambda x: tf.gather(x, order[:count])[:, None], flat)
