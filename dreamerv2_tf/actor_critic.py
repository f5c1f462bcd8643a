"""The behaviour: learned inside the dreams of the world model."""

from collections.abc import Callable
import functools

import tensorflow as tf

from . import lookahead, losses, replicas, rlmath, tfutils
from .errors import ConfigError
from .imagination import Dream
from .nets import layers
from .nets.mlp import MLP
from .nets.optimizer import Optimizer
from .nets.rssm import State
from .tfutils import Settings, sg, split
from .world_model import WorldModel

ACTOR_GRADS = (
    'auto', 'dynamics', 'reinforce', 'both', 'lookahead')
# Distributions that fit actions, by whether they are discrete; first: auto.
ACTOR_DISTS = {True: ('onehot',), False: ('trunc_normal', 'tanh_normal')}

RewardFn = Callable[[Dream], tf.Tensor]  # To [H + 1, N], float32.


class ActorCritic(tfutils.Module):
  """Actor, critic and slow target critic.

  Paper: arXiv 2010.02193, Section 2.2.
  Code: danijar/dreamerv2 agent.py, ActorCritic.
  Differs: the target critic starts as a copy of the critic instead of with
    weights of its own, which the first update would use; `slow_baseline:
    False` takes the critic itself as the baseline, as in the paper.

  Attributes:
    action_dim: A.
  """

  def __init__(
      self, feat_dim: int, action_dim: int, discrete: bool, step: tf.Variable,
      init: layers.Init, *, actor: Settings, critic: Settings,
      actor_opt: Settings, critic_opt: Settings, discount_lambda: float,
      imag_horizon: int, imag_starts: int, actor_critic_steps: int,
      actor_grad: str, lookahead: Settings, actor_grad_mix: float | str,
      actor_ent: float | str, slow_target: bool, slow_target_update: int,
      slow_target_fraction: float, slow_baseline: bool,
      reward_norm: Settings):
    """Builds the networks and optimizers.

    Args:
      feat_dim: F.
      action_dim: A.
      discrete: whether actions are one-hot; otherwise they lie in [-1, 1].
      step: [], integer; environment steps, for the schedules.
      init: random numbers and compute dtype.
      actor, critic: of `MLP`.
      actor_opt, critic_opt: of `Optimizer`.
      discount_lambda: lambda of the returns, 0 to 1.
      imag_horizon: imagined steps H.
      imag_starts: states of a batch from which dreams start; 0: all.
      actor_critic_steps: updates in each call of `train`.
      actor_grad: one of ACTOR_GRADS.
      lookahead: of `lookahead.loss`.
      actor_grad_mix: share of dynamics in both; a number or a schedule.
      actor_ent: scale of the entropy, in reward per nat; likewise.
      slow_target: take targets from a slow copy of the critic.
      slow_target_update: updates from one of the copy to the next.
      slow_target_fraction: share of the new weights in those, up to 1.
      slow_baseline: take the baseline from the copy, too.
      reward_norm: of `StreamNorm`.

    Raises:
      ConfigError: unknown actor_grad, or a distribution that the actions do
        not allow.
    """
    super().__init__()
    self.action_dim = action_dim
    self._discount_lambda = discount_lambda
    self._imag_horizon = imag_horizon
    self._imag_starts = imag_starts
    self._actor_critic_steps = actor_critic_steps
    self._grad = _gradient(actor_grad, discrete)
    self._lookahead = lookahead
    self._grad_mix = functools.partial(rlmath.schedule, actor_grad_mix, step)
    self._ent_scale = functools.partial(rlmath.schedule, actor_ent, step)
    self._slow_target = slow_target
    self._slow_target_update = slow_target_update
    self._slow_target_fraction = slow_target_fraction
    self._slow_baseline = slow_baseline
    actor = {**actor, 'dist': _dist(actor['dist'], discrete)}
    self.actor = MLP(feat_dim, [action_dim], **actor, init=init)
    self.critic = MLP(feat_dim, [], **critic, init=init)
    if slow_target:
      self.target_critic = MLP(feat_dim, [], **critic, init=init)
      self.target_critic.set_weights(self.critic.get_weights())
    self.updates = tf.Variable(0, trainable=False, dtype=tf.int64)
    mixed = init.dtype == tf.float16
    self.actor_opt = Optimizer(
        'actor', self.actor.named_variables(), **actor_opt, step=step,
        mixed=mixed)
    self.critic_opt = Optimizer(
        'critic', self.critic.named_variables(), **critic_opt, step=step,
        mixed=mixed)
    self.rewnorm = rlmath.StreamNorm(**reward_norm)

  def train(
      self, world_model: WorldModel, start: State,
      is_terminal: tf.Tensor | None, reward_fn: RewardFn,
      seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Dreams from every start state and updates actor and critic.

    Args:
      world_model: to dream with.
      start: posterior states, [B, T, ...].
      is_terminal: [B, T], bool; true flags of the start states.
      reward_fn: maps a dream to its rewards, [H + 1, N], float32.
      seed: [2], int.

    Returns:
      Metrics, [] each.
    """
    count = self._actor_critic_steps
    for update_seed in [seed] if count == 1 else split(seed, count):
      metrics = self._update(
          world_model, start, is_terminal, reward_fn, update_seed)
    return metrics

  def _update(self, world_model, start, is_terminal, reward_fn, seed):
    """Takes one gradient step of actor and critic in new dreams."""
    start, is_terminal = _draw(
        (start, is_terminal), self._imag_starts // replicas.count(),
        replicas.own(tf.random.fold_in(seed, 1)))
    with tf.GradientTape() as actor_tape:
      dream, metrics = self._dream(
          world_model, start, is_terminal, reward_fn, seed)
      target, value, mets = self.target(dream)
      metrics.update(mets)
      if self._grad == 'lookahead':
        actor_loss, mets = lookahead.loss(
            world_model, self.actor, self.judge(reward_fn), dream,
            tf.random.fold_in(seed, 2), actions=self.action_dim,
            **self._lookahead, ent_scale=self._ent_scale())
      else:
        actor_loss, mets = self.actor_loss(dream, target, value)
      metrics.update(mets)
    with tf.GradientTape() as critic_tape:
      critic_loss, mets = self.critic_loss(dream, target)
    metrics |= mets
    metrics |= self.actor_opt(actor_tape, actor_loss)
    metrics |= self.critic_opt(critic_tape, critic_loss)
    self.update_slow_target()
    return metrics

  def _dream(self, world_model, start, is_terminal, reward_fn, seed):
    """Returns a dream with normalised rewards, and their metrics."""
    dream = world_model.imagine(
        self.actor, start, is_terminal, self._imag_horizon, seed,
        # Gradients of these do not pass through the dream.
        stop_gradients=self._grad in ('reinforce', 'lookahead'))
    reward, mets = self.rewnorm(reward_fn(dream))
    return dream._replace(reward=reward), {
        f'reward_{k}': v for k, v in mets.items()}

  @property
  def _slow_critic(self):
    return self.target_critic if self._slow_target else self.critic

  def target(self, dream: Dream) -> tuple[tf.Tensor, tf.Tensor, dict]:
    """Computes the targets of the critic; Equation 4.

    Args:
      dream: with rewards, [H + 1, N, ...].

    Returns:
      target: [H, N], float32; lambda-returns.
      value: [H + 1, N], float32; of the slow target critic.
      metrics: [] each.
    """
    value = self._slow_critic(dream.feat).mode()
    target = losses.lambda_return(
        dream.reward[:-1], value[:-1], dream.discount[:-1],
        bootstrap=value[-1], lambda_=self._discount_lambda)
    metrics = {
        'critic_slow': tf.reduce_mean(value),
        'critic_target': tf.reduce_mean(target)}
    return target, value, metrics

  def actor_loss(
      self, dream: Dream, target: tf.Tensor,
      value: tf.Tensor) -> tuple[tf.Tensor, dict]:
    """Computes the loss of the actor; Equation 6, `losses.actor_loss`.

    Args:
      dream: [H + 1, N, ...].
      target: [H, N], float32.
      value: [H + 1, N], float32; of the slow target critic.

    Returns:
      loss: [], float32.
      metrics: [] each.
    """
    mix = {'reinforce': 0.0, 'dynamics': 1.0}.get(self._grad)
    metrics = {}
    if self._grad == 'both':
      mix = self._grad_mix()
      metrics['actor_grad_mix'] = mix
    baseline = value[:-2]
    if self._grad != 'dynamics' and not self._slow_baseline:
      baseline = self.critic(dream.feat[:-2]).mode()
    entropy = dream.entropy[1:-1]
    ent_scale = self._ent_scale()
    loss = losses.actor_loss(
        dream.log_prob[1:-1], entropy, target[1:], baseline,
        dream.weight[:-2], mix=mix, ent_scale=ent_scale)
    metrics['actor_ent'] = tf.reduce_mean(entropy)
    metrics['actor_ent_scale'] = ent_scale
    return loss, metrics

  def critic_loss(
      self, dream: Dream, target: tf.Tensor) -> tuple[tf.Tensor, dict]:
    """Computes the loss of the critic; Equation 5, `losses.critic_loss`.

    Args:
      dream: [H + 1, N, ...].
      target: [H, N], float32.

    Returns:
      loss: [], float32, nats.
      metrics: [] each.
    """
    value = self.critic(sg(dream.feat[:-1]))
    loss = losses.critic_loss(value, target, dream.weight[:-1])
    return loss, {'critic': tf.reduce_mean(value.mode())}

  def lookahead(
      self, world_model: WorldModel, states: State, reward_fn: RewardFn,
      seed: tf.Tensor, **shape: int) -> tf.Tensor:
    """Dreams what comes of every action or sequence; see `lookahead.gains`.

    Args:
      world_model: to dream with.
      states: [N, ...].
      reward_fn: maps a dream to its rewards.
      seed: [2], int.
      **shape: horizon, samples and depth.

    Returns:
      [A ** depth, N], float32; returns from the state after the first action,
      the critic's value behind the last.
    """
    return lookahead.gains(
        world_model, self.actor, self.judge(reward_fn), states, seed,
        actions=self.action_dim, **shape)

  def judge(self, reward_fn: RewardFn) -> Callable[[Dream], tf.Tensor]:
    """Returns what maps a dream to the target of its first state, [N]."""
    return functools.partial(
        lookahead.first_target,
        reward=lambda dream: self.rewnorm.transform(reward_fn(dream)),
        value=lambda feat: self._slow_critic(feat).mode(),
        lambda_=self._discount_lambda)

  def update_slow_target(self) -> None:
    """Copies the critic after the first update and every 100 from then on."""
    if not self._slow_target:
      return
    mix = _share(
        self.updates, self._slow_target_update, self._slow_target_fraction)
    _follow(self.target_critic, self.critic, mix)
    self.updates.assign_add(1)


def _gradient(name, discrete):
  """Returns the estimator of the gradient that a setting means."""
  if name not in ACTOR_GRADS:
    raise ConfigError(
        f"actor_grad must be one of {', '.join(ACTOR_GRADS)} but is "
        f"'{name}'.")
  if name == 'auto':
    return 'reinforce' if discrete else 'dynamics'
  if name == 'lookahead' and not discrete:
    raise ConfigError(
        'actor_grad lookahead tries every action, but the actions are '
        'continuous. Use dynamics, reinforce or both.')
  return name


def _dist(name, discrete):
  """Returns the distribution of actions that a setting means."""
  fitting = ACTOR_DISTS[discrete]
  if name == 'auto':
    return fitting[0]
  if name not in fitting:
    raise ConfigError(
        f"actor.dist is '{name}', but the actions are "
        f"{'discrete' if discrete else 'continuous, in [-1, 1]'}. Use auto "
        f"or {' or '.join(fitting)}.")
  return name


def _share(updates, every, fraction):
  """Returns how much of the critic its slow copy takes after an update."""
  # The first copy is complete, whatever the fraction.
  mix = tf.where(updates == 0, 1.0, float(fraction))
  return tf.where(updates % every == 0, mix, 0.0)


def _follow(copy, net, mix):
  source = net.named_variables()
  for path, slow in copy.named_variables().items():
    slow.assign(mix * source[path] + (1 - mix) * slow)


def _draw(tree, count, seed):
  """Draws `count` of the B * T rows, without putting back; [count, 1, ...].

  0 leaves them as they are.
  """
  if not count:
    return tree
  flat = tfutils.flatten(tree)
  total = tf.nest.flatten(flat)[0].shape[0]
  order = tf.argsort(tf.random.stateless_uniform([total], seed))
  return tf.nest.map_structure(
      lambda x: tf.gather(x, order[:count])[:, None], flat)
