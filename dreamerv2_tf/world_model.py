"""The world model: what is learned from the replayed sequences."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import gymnasium as gym
import tensorflow as tf

from . import imagination, losses, replicas, tfutils
from .errors import ConfigError
from .imagination import Dream
from .nets import layers
from .nets.decoder import Decoder
from .nets.encoder import Encoder
from .nets.mlp import MLP
from .nets.optimizer import Optimizer
from .nets.rssm import EnsembleRSSM, State
from .tfutils import Settings, flatten, sg, split

Data = Mapping[str, tf.Tensor]
CLIP_REWARDS = {'identity': tf.identity, 'sign': tf.sign, 'tanh': tf.tanh}


class Outputs(NamedTuple):
  """What the world model found in a batch."""

  embed: tf.Tensor  # [B, T, E], compute dtype; of the observations.
  feat: tf.Tensor  # [B, T, F], compute dtype; of the posterior.
  post: State  # [B, T, ...]; posterior, knows the observation of its time.
  prior: State  # [B, T, ...]; predicted from the posterior before.
  likes: dict[str, tf.Tensor]  # Name -> [B, T], float32, nats; ln p(target).
  kl: tf.Tensor  # [B, T], float32, nats; of posterior and prior.


class WorldModel(tfutils.Module):
  """Encoder, RSSM and heads, trained on one loss.

  Paper: arXiv 2010.02193, Section 2.1.
  Code: danijar/dreamerv2 agent.py, WorldModel.
  """

  CONTEXT = 5  # Steps that open-loop predictions filter before they dream.

  def __init__(
      self, obs_space: Mapping[str, gym.Space], action_dim: int,
      step: tf.Variable, init: layers.Init, *, encoder: Settings,
      rssm: Settings, decoder: Settings, reward_head: Settings,
      pred_discount: bool, discount_head: Settings, grad_heads: Sequence[str],
      kl: Settings, loss_scales: Mapping[str, float], overshooting: Settings,
      model_opt: Settings, discount: float, clip_rewards: str):
    """Builds all networks and the optimizer.

    Args:
      obs_space: observation key -> space.
      action_dim: A.
      step: [], integer; environment steps, for schedules.
      init: random numbers and compute dtype.
      encoder, rssm, decoder: of `Encoder`, `EnsembleRSSM` and `Decoder`.
      reward_head, discount_head: of `MLP`.
      pred_discount: there is a discount head; otherwise it is constant.
      grad_heads: names of heads whose gradients train the representation.
      kl: of `losses.kl_loss`.
      loss_scales: head, key of the decoder or `kl` -> factor of its loss.
      overshooting: steps (0: none), heads and scale of `overshooting`.
      model_opt: of `Optimizer`.
      discount: gamma, per step.
      clip_rewards: identity, sign or tanh; the rewards that are learned.

    Raises:
      ConfigError: a pattern matches no key, or settings do not fit.
    """
    super().__init__()
    self._action_dim = action_dim
    self._grad_heads = grad_heads
    self._kl = kl
    self._loss_scales = loss_scales
    self._overshooting = overshooting
    self._discount = discount
    self._clip_rewards = clip_rewards
    shapes = {k: tuple(v.shape) for k, v in obs_space.items()}
    self.encoder = Encoder(shapes, **encoder, init=init)
    self.rssm = EnsembleRSSM(action_dim, self.encoder.dim, **rssm, init=init)
    feat = self.rssm.dim
    self.heads = {'decoder': Decoder(feat, shapes, **decoder, init=init)}
    self.heads['reward'] = MLP(feat, [], **reward_head, init=init)
    if pred_discount:
      self.heads['discount'] = MLP(feat, [], **discount_head, init=init)
    _check_heads(grad_heads, self.heads)
    self.model_opt = Optimizer(
        'model', self.named_variables(), **model_opt, step=step,
        mixed=init.dtype == tf.float16)

  def train(
      self, data: Data, state: State | None,
      seed: tf.Tensor) -> tuple[State, Outputs, dict]:
    """Takes one gradient step.

    Args:
      data: a batch of sequences as they are in replay, [B, T, ...].
      state: the state after the batch before, [B, ...]; None at the start.
      seed: [2], int.

    Returns:
      The state after the batch, the outputs of `loss`, and metrics.
    """
    with tf.GradientTape() as tape:
      loss, state, outputs, metrics = self.loss(data, state, seed)
    metrics.update(self.model_opt(tape, loss))
    return state, outputs, metrics

  def loss(
      self, data: Data, state: State | None,
      seed: tf.Tensor) -> tuple[tf.Tensor, State, Outputs, dict]:
    """Computes the loss of the world model; Equation 2, `losses.model_loss`.

    Args:
      data: a batch of sequences as they are in replay, [B, T, ...].
      state: the state after the batch before, [B, ...]; None for zeros.
      seed: [2], int.

    Returns:
      loss: [], float32, nats; sum over heads and KL, times `loss_scales`, and
        that of `overshooting`.
      state: of the last step, [B, ...]; no gradient.
      outputs: [B, T, ...].
      metrics: [] each.
    """
    data = self.preprocess(data)
    embed = self.encoder(data)
    post, prior = self.rssm.observe(
        embed, data['action'], data['is_first'], state, seed)
    kl_loss, kl = losses.kl_loss(post, prior, self.rssm.kl, **self._kl)
    feat = self.rssm.get_feat(post)
    likes, metrics = {}, {}
    for name in self.heads:
      inputs = feat if name in self._grad_heads else sg(feat)
      for key, dist in _by_key(name, self.heads[name](inputs)).items():
        likes[key] = dist.log_prob(tf.cast(data[key], tf.float32))
        if name == 'decoder':
          metrics.update(_reconstruction(key, dist, data[key]))
    scales = self._loss_scales
    loss, terms = losses.model_loss(likes, kl_loss, scales=scales)
    metrics.update({f'{name}_loss': value for name, value in terms.items()})
    ahead = self.overshooting(data, prior, tf.random.fold_in(seed, 1))
    for key, value in ahead.items():
      scale = tf.cast(scales.get(key, 1.0), tf.float32)
      loss += scale * self._overshooting['scale'] * value
      metrics[f'ahead_{key}_loss'] = value
    metrics['model_kl'] = tf.reduce_mean(kl)
    entropy = lambda s: tf.reduce_mean(self.rssm.get_dist(s).entropy())
    metrics['prior_ent'] = entropy(prior)
    metrics['post_ent'] = entropy(post)
    last = tf.nest.map_structure(lambda x: sg(x[:, -1]), post)
    return loss, last, Outputs(embed, feat, post, prior, likes, kl), metrics

  def overshooting(
      self, data: Data, prior: State, seed: tf.Tensor) -> dict[str, tf.Tensor]:
    r"""Asks the heads about states that were predicted, not filtered.

        Actions:             a1 ->  a2 ->  a3
                              \      \      \
        1 step ahead:   [z0]-> p1     p2     p3     each from its posterior
        2 steps ahead:         p1 ->  p2     p3     each from the p before it
        3 steps ahead:                p2 ->  p3
        Targets:              [x1]   [x2]   [x3]    where no episode began

    The KL alone makes predictions resemble posteriors, in nats that are
    mostly about observations; nothing asks whether an end or a reward is
    foreseen. Dreams start where this loss trains.

    Args:
      data: preprocessed, [B, T, ...].
      prior: states one step ahead, [B, T, ...].
      seed: [2], int.

    Returns:
      Of each head in `overshooting.heads`, or key of the decoder, the sum of
      the mean losses of each distance; [], float32, nats. Empty if
      `overshooting.steps` is 0.

    Paper: the idea is that of latent overshooting, arXiv 1811.04551,
      Section 4, for heads instead of the KL.
    """
    steps = self._overshooting['steps']
    if not steps:
      return {}
    feats, masks = imagination.predict(self.rssm, data, prior, steps, seed)
    later = lambda x: tf.concat([x[:, i:] for i in range(steps)], 1)
    weight = tf.concat([
        tf.cast(x, tf.float32) / tf.maximum(
            replicas.total(tf.cast(x, tf.float32)), 1.0) for x in masks], 1)
    feat = tf.concat(feats, 1)
    result = {}
    for name in (x for x in self._overshooting['heads'] if x in self.heads):
      for key, dist in _by_key(name, self.heads[name](feat)).items():
        like = dist.log_prob(later(tf.cast(data[key], tf.float32)))
        result[key] = -replicas.total(weight * like)
    return result

  def imagine(
      self, policy: Callable, start: State, is_terminal: tf.Tensor | None,
      horizon: int, seed: tf.Tensor, stop_gradients: bool = False,
      first: tf.Tensor | None = None, skip: int = 0) -> Dream:
    r"""Rolls the policy out in the prior from every state of a batch.

        States:      [z0]-> z1 -> z2 -> z3   [z0] comes from the posterior.
        Discounts:    d0    d1    d2    d3   d_i: does it go on after z_i?
        Weights:       1    d0   d0d1 d0d1d2 does z_i exist at all?

    Args:
      policy: maps features, [N, F], to an action distribution.
      start: posterior states, [B, T, ...].
      is_terminal: [B, T], bool; true flags of the start states, which
        override d0. None leaves the prediction.
      horizon: number H of imagined steps.
      seed: [2], int.
      stop_gradients, first: see `imagination.rollout`.
      skip: states that are left out at its beginning, with is_terminal None.
        Then the last one is asked for no discount.

    Returns:
      A dream without rewards; the discount has gamma inside.

    Differs: is_terminal also overrides d0 when there is no discount head; the
      policy is not evaluated a second time for its loss.
    """
    state, action, log_prob, entropy = _without(skip, imagination.rollout(
        self.rssm, policy, flatten(start), horizon, seed, first=first,
        action_dim=self._action_dim, stop_gradients=stop_gradients))
    feat = self.rssm.get_feat(state)
    known = int(is_terminal is not None)  # Whether d0 is.
    gamma = self._discount
    asked = feat[known:-1] if skip else feat[known:]
    disc = gamma * tf.ones(asked.shape[:-1])
    if 'discount' in self.heads:
      disc = self.heads['discount'](asked).mean()
    if known:
      begin = gamma * (1 - tf.cast(flatten(is_terminal), tf.float32))
      disc = tf.concat([begin[None], disc], 0)
    reach = _reached(disc)
    return Dream(state, feat, action, log_prob, entropy, disc, reach)

  def preprocess(self, obs: Data) -> dict[str, tf.Tensor]:
    """Scales images, clips rewards and adds the discount target.

    Args:
      obs: replayed sequences or observations, [..., *shape].

    Returns:
      The same keys; uint8 as float32 in -0.5 to 0.5, integers as float32, the
      reward through `clip_rewards`, and `discount`, (1 - is_terminal) *
      gamma, float32.
    """
    obs = _scaled(obs)
    obs['reward'] = CLIP_REWARDS[self._clip_rewards](obs['reward'])
    going_on = 1 - tf.cast(obs['is_terminal'], tf.float32)
    return obs | {'discount': going_on * self._discount}

  def open_loop(
      self, data: Data, key: str,
      seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Filters CONTEXT frames and dreams the rest under the recorded actions.

    Args:
      data: preprocessed sequences, [B, T, ...], T above CONTEXT.
      key: of an image that the model reads and predicts.
      seed: [2], int.

    Returns:
      truth: [B, T, H, W, C], float32, 0 to 1.
      model: [B, T, H, W, C], float32, about 0 to 1; reconstructions, then
        predictions.
    """
    obs_seed, img_seed = split(seed, 2)
    head, tail = slice(None, self.CONTEXT), slice(self.CONTEXT, None)
    embed = self.encoder(data)
    states, _ = self.rssm.observe(
        embed[:, head], data['action'][:, head], data['is_first'][:, head],
        None, obs_seed)
    init = tf.nest.map_structure(lambda x: x[:, -1], states)
    prior = self.rssm.imagine(data['action'][:, tail], init, img_seed)
    decode = lambda s: self.heads['decoder'](self.rssm.get_feat(s))[key].mode()
    model = tf.concat([decode(states), decode(prior)], 1) + 0.5
    return tf.cast(data[key], tf.float32) + 0.5, model


def _without(skip, tree):
  """Leaves out the first entries of nested tensors."""
  return tf.nest.map_structure(lambda x: x[skip:], tree) if skip else tree


def _reached(discount):
  """Returns the chances that states are reached, from those to go on."""
  return tf.math.cumprod(
      tf.concat([tf.ones_like(discount[:1]), discount[:-1]], 0), 0)


def _check_heads(grad_heads, heads):
  """Refuses heads that there are not."""
  unknown = [name for name in grad_heads if name not in heads]
  if unknown:
    raise ConfigError(
        f"grad_heads names {', '.join(unknown)} but the heads are "
        f"{', '.join(heads)}. The discount head exists only with "
        'pred_discount.')


def _by_key(head, dists):
  """Returns key -> distribution of what a head gave: the decoder, several."""
  return dists if isinstance(dists, dict) else {head: dists}


def _scaled(obs):
  """Returns float observations, without what is for the log alone."""
  obs = {k: v for k, v in obs.items() if not k.startswith('log_')}
  for key, value in obs.items():
    if value.dtype == tf.uint8:
      obs[key] = tf.cast(value, tf.float32) / 255 - 0.5
    elif value.dtype.is_integer:
      obs[key] = tf.cast(value, tf.float32)
  return obs


def _reconstruction(key, dist, target) -> dict[str, tf.Tensor]:
  """Says how far a reconstruction is from perfect.

  The unit-variance likelihood has a constant floor, half the logarithm of two
  pi for each element: 3764 nats for 64x64 pixels. `excess` is the loss above
  it, in nats; `mse` is per element; `psnr` is in decibels for pixels of 0
  to 1.
  """
  error = tf.math.squared_difference(
      dist.mode(), tf.cast(target, tf.float32))
  mse = tf.reduce_mean(error)
  size = tf.cast(tf.size(error[0, 0]), tf.float32)
  metrics = {f'{key}_excess': 0.5 * mse * size, f'{key}_mse': mse}
  if error.shape.rank == 5:
    metrics[f'{key}_psnr'] = -10 * tf.math.log(mse + 1e-10) / tf.math.log(10.0)
  return metrics
