"""Behaviours that collect data: random, or in search of the unknown."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from . import replicas, rlmath, tfutils
from .actor_critic import ActorCritic
from .errors import ConfigError
from .imagination import Dream
from .nets import layers
from .nets.distributions import OneHotDist
from .nets.mlp import MLP
from .nets.optimizer import Optimizer
from .tfutils import Settings, sg
from .world_model import Data, Outputs, WorldModel


class Random(tfutils.Module):
  """Uniform actions, whatever the state."""

  def __init__(self, action_dim: int, discrete: bool):
    """Builds nothing.

    Args:
      action_dim: A.
      discrete: whether actions are one-hot; otherwise they lie in [-1, 1].
    """
    super().__init__()
    self._action_dim = action_dim
    self._discrete = discrete

  def actor(self, feat: tf.Tensor) -> tfd.Distribution:
    """Returns a uniform action distribution, batch shape [...]."""
    zeros = tf.zeros(feat.shape[:-1] + [self._action_dim])
    if self._discrete:
      return OneHotDist(zeros, dtype=tf.float32)
    return tfd.Independent(tfd.Uniform(zeros - 1, zeros + 1), 1)

  def train(
      self, world_model: WorldModel, outputs: Outputs, data: Data,
      seed: tf.Tensor) -> dict:
    """Does nothing."""
    return {}


class Explorer(tfutils.Module):
  """An actor-critic of its own that maximises an intrinsic reward."""

  def __init__(
      self, actor_critic: ActorCritic, *, expl_intr_scale: float,
      expl_extr_scale: float, expl_reward_norm: Settings):
    """Takes the behaviour; subclasses add what the reward needs.

    Args:
      actor_critic: what this behaviour acts with, shared with no other.
      expl_intr_scale: factor of the intrinsic reward.
      expl_extr_scale: factor of the reward of the task; 0 leaves it out.
      expl_reward_norm: of `StreamNorm`, one for each of them.
    """
    super().__init__()
    self._expl_intr_scale = expl_intr_scale
    self._expl_extr_scale = expl_extr_scale
    self.actor_critic = actor_critic
    self.intr_rewnorm = rlmath.StreamNorm(**expl_reward_norm)
    self.extr_rewnorm = rlmath.StreamNorm(**expl_reward_norm)

  @property
  def actor(self) -> MLP:
    """The exploring policy: maps features, [..., F], to a distribution."""
    return self.actor_critic.actor

  def train(
      self, world_model: WorldModel, outputs: Outputs, data: Data,
      seed: tf.Tensor) -> dict:
    """Updates the intrinsic reward, then the behaviour that seeks it.

    Args:
      world_model: to dream with.
      outputs: of `WorldModel.loss`, [B, T, ...].
      data: the batch, [B, T, ...].
      seed: [2], int.

    Returns:
      Metrics, [] each.
    """
    def reward(dream: Dream) -> tf.Tensor:
      value = self._expl_intr_scale * self._intrinsic(dream)
      if self._expl_extr_scale:
        extr = world_model.heads['reward'](dream.feat).mode()
        value += self._expl_extr_scale * self.extr_rewnorm(extr)[0]
      return value
    metrics = self._fit(outputs, data)
    metrics.update(self.actor_critic.train(
        world_model, outputs.post, data['is_terminal'], reward, seed))
    return metrics


class Plan2Explore(Explorer):
  """Seeks states where an ensemble of one-step predictors disagrees.

  Paper: arXiv 2005.05960, Section 3.
  Code: danijar/dreamerv2 expl.py, Plan2Explore.
  Differs: the target `feat` has the width of the features, also with
    discrete latents; predictions end with their episode.
  """

  TARGETS = ('embed', 'stoch', 'deter', 'feat')

  def __init__(
      self, actor_critic: ActorCritic, world_model: WorldModel,
      step: tf.Variable, init: layers.Init, *, expl_intr_scale: float,
      expl_extr_scale: float, expl_reward_norm: Settings, expl_opt: Settings,
      expl_head: Settings, disag_target: str, disag_log: bool,
      disag_models: int, disag_offset: int, disag_action_cond: bool,
      disag_action_next: bool):
    """Builds the ensemble and its optimizer.

    Args:
      actor_critic, expl_intr_scale, expl_extr_scale, expl_reward_norm: see
        Explorer.
      world_model: whose sizes are taken; it is passed again to `train`.
      step: [], integer; environment steps, for schedules.
      init: random numbers and compute dtype.
      expl_opt: of `Optimizer`.
      expl_head: of `MLP`, each network of the ensemble.
      disag_target: one of TARGETS; what they predict.
      disag_log: reward the logarithm of their disagreement.
      disag_models: number of networks.
      disag_offset: steps ahead that they predict.
      disag_action_cond: they see the action.
      disag_action_next: that which is taken in the state, as in the paper,
        not that which led to it, as in the original.

    Raises:
      ConfigError: unknown disag_target, or the next action without a step
        ahead.
    """
    super().__init__(
        actor_critic, expl_intr_scale=expl_intr_scale,
        expl_extr_scale=expl_extr_scale, expl_reward_norm=expl_reward_norm)
    if disag_target not in self.TARGETS:
      raise ConfigError(
          f"disag_target must be one of {', '.join(self.TARGETS)} but is "
          f"'{disag_target}'.")
    self._disag_target = disag_target
    self._disag_log = disag_log
    self._disag_offset = disag_offset
    self._disag_action_cond = disag_action_cond
    self._next = disag_action_cond and disag_action_next
    if self._next and not disag_offset:
      raise ConfigError(
          'disag_action_next needs a disag_offset of at least 1 but it is 0: '
          'what is predicted comes before the action.')
    rssm = world_model.rssm
    size = {
        'embed': world_model.encoder.dim, 'stoch': rssm.stoch_dim,
        'deter': rssm.dim - rssm.stoch_dim, 'feat': rssm.dim,
    }[disag_target]
    width = rssm.dim + disag_action_cond * actor_critic.action_dim
    self.networks = [
        MLP(width, [size], **expl_head, init=init)
        for _ in range(disag_models)]
    variables = {
        f'network{i}/{k}': v for i, net in enumerate(self.networks)
        for k, v in net.named_variables().items()}
    self.opt = Optimizer(
        'expl', variables, **expl_opt, step=step,
        mixed=init.dtype == tf.float16)

  def _fit(self, outputs, data):
    target = {
        'embed': outputs.embed, 'feat': outputs.feat,
        'deter': outputs.post['deter'],
        # The features begin with the flat stochastic state.
        'stoch': outputs.feat[..., :-outputs.post['deter'].shape[-1]],
    }[self._disag_target]
    offset = self._disag_offset
    feat, action = outputs.feat, data['action']
    if self._next:
      feat, action = feat[:, :-1], action[:, 1:]
    inputs = self._inputs(feat, action)
    # Nothing predicts how the next episode in a row begins.
    first = tf.cast(data['is_first'], tf.float32)
    length = first.shape[1] - offset
    begun = tf.add_n([tf.zeros_like(first[:, :length])] + [
        first[:, i:i + length] for i in range(1, offset + 1)])
    known = tf.cast(begun == 0, tf.float32)
    count = tf.maximum(replicas.total(known), 1)
    target, inputs = target[:, offset:], inputs[:, :length]
    target = sg(tf.cast(target, tf.float32))
    with tf.GradientTape() as tape:
      loss = -tf.add_n([
          replicas.total(known * net(sg(inputs)).log_prob(target)) / count
          for net in self.networks])
    return self.opt(tape, loss)

  def _intrinsic(self, dream):
    r"""Returns the disagreement that each state of a dream is paid for.

        Actions:             a1    a2    a3     a_i leads to z_i.
                            / \   / \   / \
        States:          z0 -> z1 -> z2 -> z3
        Original:       [r0]  [r1]  [r2]  [r3]  r_i of z_i and a_i
        Next action:    (r1)  [r1]  [r2]  [r3]  r_i of z_(i-1) and a_i

    With the next action, nobody knows what came before z0: it is paid as z1.
    """
    feat, action = dream.feat, dream.action
    if self._next:
      feat, action = feat[:-1], action[1:]
    inputs = self._inputs(feat, action)
    preds = tf.stack([net(inputs).mode() for net in self.networks])
    disag = tf.reduce_mean(tf.math.reduce_std(preds, 0), -1)
    if self._disag_log:
      disag = tf.math.log(disag)
    if self._next:
      disag = tf.concat([disag[:1], disag], 0)
    return self.intr_rewnorm(disag)[0]

  def _inputs(self, feat, action):
    if not self._disag_action_cond:
      return feat
    return tf.concat([feat, tf.cast(action, feat.dtype)], -1)


class ModelLoss(Explorer):
  """Seeks states where a head predicts a large loss of the world model.

  Code: danijar/dreamerv2 expl.py, ModelLoss.
  """

  def __init__(
      self, actor_critic: ActorCritic, world_model: WorldModel,
      step: tf.Variable, init: layers.Init, *, expl_intr_scale: float,
      expl_extr_scale: float, expl_reward_norm: Settings, expl_opt: Settings,
      expl_head: Settings, expl_model_loss: str):
    """Builds the head and its optimizer.

    Args:
      actor_critic, expl_intr_scale, expl_extr_scale, expl_reward_norm: see
        Explorer.
      world_model: whose sizes and losses are taken.
      step: [], integer; environment steps, for schedules.
      init: random numbers and compute dtype.
      expl_opt: of `Optimizer`.
      expl_head: of `MLP`.
      expl_model_loss: `kl`, or the head or key of the decoder whose loss is
        sought.

    Raises:
      ConfigError: the world model has no such loss.
    """
    super().__init__(
        actor_critic, expl_intr_scale=expl_intr_scale,
        expl_extr_scale=expl_extr_scale, expl_reward_norm=expl_reward_norm)
    decoder = world_model.heads['decoder']
    names = ['kl', *decoder.cnn_keys, *decoder.mlp_keys]
    names += [name for name in world_model.heads if name != 'decoder']
    if expl_model_loss not in names:
      raise ConfigError(
          f"expl_model_loss must be one of {', '.join(names)} but is "
          f"'{expl_model_loss}'.")
    self._expl_model_loss = expl_model_loss
    self.head = MLP(world_model.rssm.dim, [], **expl_head, init=init)
    self.opt = Optimizer(
        'expl', self.head.named_variables(), **expl_opt, step=step,
        mixed=init.dtype == tf.float16)

  def _fit(self, outputs, data):
    losses = {'kl': outputs.kl}
    losses.update({k: -v for k, v in outputs.likes.items()})
    target = sg(losses[self._expl_model_loss])
    with tf.GradientTape() as tape:
      dist = self.head(sg(outputs.feat))
      loss = -replicas.mean(dist.log_prob(target))
    return self.opt(tape, loss)

  def _intrinsic(self, dream):
    return self.intr_rewnorm(self.head(dream.feat).mode())[0]


BEHAVIORS = {'Random': Random, 'Plan2Explore': Plan2Explore,
             'ModelLoss': ModelLoss}


def behavior(name: str) -> type[tfutils.Module] | None:
  """Finds a behaviour by its name, whatever the case; None for greedy.

  Raises:
    ConfigError: there is no such behaviour.
  """
  if name.lower() == 'greedy':
    return None
  for key, cls in BEHAVIORS.items():
    if key.lower() == name.lower().replace('_', ''):
      return cls
  raise ConfigError(
      f"expl_behavior must be greedy, {', '.join(BEHAVIORS)} but is '{name}'.")
