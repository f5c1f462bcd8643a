"""Behaviours that collect data: random, or in search of the unknown."""

from collections.abc import Mapping

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from . import rlmath, tfutils
from .actor_critic import ActorCritic
from .errors import ConfigError
from .imagination import Dream
from .nets import layers
from .nets.distributions import OneHotDist
from .nets.mlp import MLP
from .nets.optimizer import Optimizer
from .tfutils import sg
from .world_model import Data, Outputs, WorldModel


class Random(tfutils.Module):
  """Uniform actions, whatever the state."""

  def __init__(
      self, config: Mapping, world_model: WorldModel, action_dim: int,
      discrete: bool, step: tf.Variable, init: layers.Init):
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
      self, config: Mapping, world_model: WorldModel, action_dim: int,
      discrete: bool, step: tf.Variable, init: layers.Init):
    """Builds the behaviour; subclasses add what the reward needs.

    Args:
      config: the resolved configuration.
      world_model: whose sizes are taken; it is passed again to `train`.
      action_dim: A.
      discrete: whether actions are one-hot.
      step: [], integer; environment steps, for the schedules.
      init: random numbers and compute dtype.
    """
    super().__init__()
    self._config = config
    self.actor_critic = ActorCritic(
        world_model.rssm.dim, action_dim, discrete, step, init,
        **config.taken_by(ActorCritic))
    self.intr_rewnorm = rlmath.StreamNorm(**config.expl_reward_norm)
    self.extr_rewnorm = rlmath.StreamNorm(**config.expl_reward_norm)

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
      value = self._config.expl_intr_scale * self._intrinsic(dream)
      if self._config.expl_extr_scale:
        extr = world_model.heads['reward'](dream.feat).mode()
        value += self._config.expl_extr_scale * self.extr_rewnorm(extr)[0]
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
      self, config: Mapping, world_model: WorldModel, action_dim: int,
      discrete: bool, step: tf.Variable, init: layers.Init):
    super().__init__(config, world_model, action_dim, discrete, step, init)
    if config.disag_target not in self.TARGETS:
      raise ConfigError(
          f"disag_target must be one of {', '.join(self.TARGETS)} but is "
          f"'{config.disag_target}'.")
    rssm = world_model.rssm
    size = {
        'embed': world_model.encoder.dim, 'stoch': rssm.stoch_dim,
        'deter': rssm.dim - rssm.stoch_dim, 'feat': rssm.dim,
    }[config.disag_target]
    width = rssm.dim + (action_dim if config.disag_action_cond else 0)
    self.networks = [
        MLP(width, [size], **config.expl_head, init=init)
        for _ in range(config.disag_models)]
    variables = {
        f'network{i}/{k}': v for i, net in enumerate(self.networks)
        for k, v in net.named_variables().items()}
    self.opt = Optimizer(
        'expl', variables, **config.expl_opt, mixed=init.dtype == tf.float16)

  def _fit(self, outputs, data):
    target = {
        'embed': outputs.embed, 'feat': outputs.feat,
        'deter': outputs.post['deter'],
        # The features begin with the flat stochastic state.
        'stoch': outputs.feat[..., :-outputs.post['deter'].shape[-1]],
    }[self._config.disag_target]
    inputs = self._inputs(outputs.feat, data['action'])
    offset = self._config.disag_offset
    # Nothing predicts how the next episode in a row begins.
    first = tf.cast(data['is_first'], tf.float32)
    length = first.shape[1] - offset
    begun = tf.add_n([tf.zeros_like(first[:, :length])] + [
        first[:, i:i + length] for i in range(1, offset + 1)])
    known = tf.cast(begun == 0, tf.float32)
    count = tf.maximum(tf.reduce_sum(known), 1)
    if offset:
      target, inputs = target[:, offset:], inputs[:, :-offset]
    target = sg(tf.cast(target, tf.float32))
    with tf.GradientTape() as tape:
      loss = -tf.add_n([
          tf.reduce_sum(known * net(sg(inputs)).log_prob(target)) / count
          for net in self.networks])
    return self.opt(tape, loss)

  def _intrinsic(self, dream):
    inputs = self._inputs(dream.feat, dream.action)
    preds = tf.stack([net(inputs).mode() for net in self.networks])
    disag = tf.reduce_mean(tf.math.reduce_std(preds, 0), -1)
    if self._config.disag_log:
      disag = tf.math.log(disag)
    return self.intr_rewnorm(disag)[0]

  def _inputs(self, feat, action):
    if not self._config.disag_action_cond:
      return feat
    return tf.concat([feat, tf.cast(action, feat.dtype)], -1)


class ModelLoss(Explorer):
  """Seeks states where a head predicts a large loss of the world model.

  Code: danijar/dreamerv2 expl.py, ModelLoss.
  """

  def __init__(
      self, config: Mapping, world_model: WorldModel, action_dim: int,
      discrete: bool, step: tf.Variable, init: layers.Init):
    super().__init__(config, world_model, action_dim, discrete, step, init)
    decoder = world_model.heads['decoder']
    names = ['kl', *decoder.cnn_keys, *decoder.mlp_keys]
    names += [name for name in world_model.heads if name != 'decoder']
    if config.expl_model_loss not in names:
      raise ConfigError(
          f"expl_model_loss must be one of {', '.join(names)} but is "
          f"'{config.expl_model_loss}'.")
    self.head = MLP(world_model.rssm.dim, [], **config.expl_head, init=init)
    self.opt = Optimizer(
        'expl', self.head.named_variables(), **config.expl_opt,
        mixed=init.dtype == tf.float16)

  def _fit(self, outputs, data):
    losses = {'kl': outputs.kl}
    losses.update({k: -v for k, v in outputs.likes.items()})
    target = sg(losses[self._config.expl_model_loss])
    with tf.GradientTape() as tape:
      dist = self.head(sg(outputs.feat))
      loss = -tf.reduce_mean(dist.log_prob(target))
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
