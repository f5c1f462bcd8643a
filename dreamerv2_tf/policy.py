"""The policy: what acts, apart from what learns."""

from collections.abc import Callable, Mapping
import copy
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from . import tfutils
from .errors import ConfigError
from .nets.distributions import OneHotDist
from .nets.encoder import Encoder
from .nets.rssm import EnsembleRSSM, State

MODES = ('train', 'eval', 'explore')


class PolicyState(NamedTuple):
  """What a policy remembers of the episodes that it is in."""

  action: tf.Tensor  # [N, A], float32; the last one, zeros at first.
  age: tf.Tensor  # [N], int32; observations so far in the episode.
  latent: State  # [N, ...]; posterior of the last observation.


class Policy:
  """Maps observations to actions, compiled once for each mode.

  Randomness is stateless: every draw follows from the seed and `calls`, and in
  evaluation from the number of steps since the episode began, so that a row's
  actions depend neither on the rows beside it nor on what happened before.

  A policy shares its networks with what trains them, unless it is a `copy`.
  It is no Module, as its networks are in checkpoints already.

  Attributes:
    function: the tf.function behind a call.
  """

  def __init__(
      self, encoder: Encoder, rssm: EnsembleRSSM, actor: Callable,
      explorer: Callable, *, act_space: gym.Space, preprocess: Callable,
      calls: tf.Variable, seed: int, expl_noise: float, eval_noise: float,
      eval_state_mean: bool, look_ahead: Callable | None = None):
    """Compiles nothing yet.

    Args:
      encoder: embeds observations.
      rssm: filters them.
      actor: maps features, [N, F], to the action distribution of the task.
      explorer: the same of the behaviour that explores; may be the actor.
      act_space: Discrete (actions are one-hot) or Box in -1 to 1.
      preprocess: maps observations to inputs of the encoder.
      calls: [], int64; counts the calls outside of evaluation.
      seed: of all draws.
      expl_noise: share of uniform actions, or deviation of normal noise, while
        collecting.
      eval_noise: the same in evaluation.
      eval_state_mean: evaluate on the mode of the latents, not on a sample.
      look_ahead: maps one state, [1, ...], and a seed to an action, [A], which
        evaluation takes in place of the actor's; None: it does not.
    """
    self._encoder = encoder
    self._rssm = rssm
    self._actor = actor
    self._explorer = explorer
    self._discrete = isinstance(act_space, gym.spaces.Discrete)
    self._action_dim = int(
        act_space.n if self._discrete else act_space.shape[0])
    self._preprocess = preprocess
    self._calls = calls
    self._seed = seed
    self._expl_noise = expl_noise
    self._eval_noise = eval_noise
    self._eval_state_mean = eval_state_mean
    self._look_ahead = look_ahead
    self._source = None  # What this is a copy of.
    self.function = tf.function(self._act, autograph=False)

  def __call__(
      self, obs: Mapping[str, np.ndarray], state: PolicyState | None = None,
      mode: str = 'train') -> tuple[dict[str, tf.Tensor], PolicyState]:
    """Chooses one action for each environment.

    Args:
      obs: key -> [N, ...]; observations with reward and flags.
      state: what the call before returned; None at the start.
      mode: `train` and `explore` sample from the task or the exploring
        behaviour, `eval` takes the mode of the task behaviour.

    Returns:
      outputs: `action`, [N, A], float32; one-hot or in -1 to 1.
      state: for the next call.

    Raises:
      ConfigError: unknown mode.
    """
    if mode not in MODES:
      raise ConfigError(
          f"mode must be one of {', '.join(MODES)} but is '{mode}'.")
    obs = tfutils.tensors(obs)
    if state is None:
      state = self.initial(obs['is_first'].shape[0])
    action, state = self.function(obs, state, mode)
    return {'action': action}, state

  def initial(self, count: int) -> PolicyState:
    """Returns the state before the first observation of `count` episodes."""
    return PolicyState(
        action=tf.zeros([count, self._action_dim]),
        age=tf.zeros([count], tf.int32), latent=self._rssm.initial(count))

  def copy(self) -> 'Policy':
    """Returns a policy with weights of its own, as they are now.

    It may act in one thread while another trains the networks it was copied
    from. It counts its calls in the same variable. It collects: what looks
    ahead in evaluation would dream with the original networks.
    """
    other = copy.copy(self)
    other._encoder, other._rssm, other._actor, other._explorer = (
        copy.deepcopy((
            self._encoder, self._rssm, self._actor, self._explorer)))
    other._source = self
    other.function = tf.function(other._act, autograph=False)
    return other

  def sync(self, weights: Mapping[str, np.ndarray] | None = None) -> None:
    """Renews the weights.

    Args:
      weights: of `weights`, perhaps among others; None or empty, for a copy:
        those that its source has now.
    """
    assert weights or self._source, 'Only a copy has a source.'
    weights = weights or self._source._variables()
    for path, variable in self._variables().items():
      variable.assign(weights[path])

  def weights(self) -> dict[str, np.ndarray]:
    """Returns path -> array of all that acts."""
    return {k: v.numpy() for k, v in self._variables().items()}

  def _variables(self):
    nets = {'encoder': self._encoder, 'rssm': self._rssm, 'actor': self._actor}
    if self._explorer is not self._actor:
      nets['explorer'] = self._explorer
    return {
        f'{name}/{path}': variable for name, net in nets.items()
        if isinstance(net, tfutils.Module)
        for path, variable in net.named_variables().items()}

  def _act(self, obs, state, mode):
    is_first = obs['is_first']
    age = tf.where(is_first, 0, state.age)
    if mode == 'eval':
      seed = tf.stack([tf.fill(age.shape, self._seed), age], -1)
      # Not among the seeds of the latents, whose age is never negative.
      noise_seed = tf.stack([seed[:, 0], -1 - age], -1)
      noise = self._eval_noise
    else:
      seed = tfutils.fold(self._seed, 2, self._calls)
      self._calls.assign_add(1)
      seed, act_seed, noise_seed = tfutils.split(seed, 3)
      noise_seed = tf.random.split(noise_seed, age.shape[0])
      noise = self._expl_noise
    sample = mode == 'train' or not self._eval_state_mean
    embed = self._encoder(self._preprocess(obs))
    latent = self._rssm.posterior_step(
        state.latent, state.action, embed, is_first, seed, sample)
    feat = self._rssm.get_feat(latent)
    if mode == 'eval' and self._look_ahead:
      action = self._best(latent, seed)
    elif mode == 'eval':
      action = self._actor(feat).mode()
    else:
      actor = self._explorer if mode == 'explore' else self._actor
      action = actor(feat).sample(seed=act_seed)
    action = self._with_noise(action, noise, noise_seed)
    return action, PolicyState(action, age + 1, latent)

  def _best(self, latent, seeds):
    """Looks ahead row by row, so that none depends on those beside it."""
    assert self._source is None, 'A copy does not look ahead.'
    def choose(row):
      state, seed = row
      return self._look_ahead(
          tf.nest.map_structure(lambda x: x[None], state), seed)
    return tf.map_fn(choose, (latent, seeds), fn_output_signature=tf.float32)

  def _with_noise(self, action, amount, seeds):
    """Mixes in uniform (one-hot) or adds normal noise; seeds [N, 2]."""
    if amount == 0:
      return action
    def draw(row):
      action, seed = row
      if self._discrete:
        probs = amount / self._action_dim + (1 - amount) * action
        return OneHotDist(probs=probs, dtype=tf.float32).sample(seed=seed)
      action = tfd.Normal(action, amount).sample(seed=seed)
      return tf.clip_by_value(action, -1, 1)
    return tf.map_fn(draw, (action, seeds), fn_output_signature=tf.float32)
