"""The agent: acts, learns and shows what it dreams."""

from collections.abc import Callable, Mapping
import copy
import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from . import exploration, tfutils
from .actor_critic import ActorCritic
from .errors import ConfigError, NonFiniteError, StorageError
from .nets import layers
from .nets.distributions import OneHotDist
from .world_model import WorldModel

MODES = ('train', 'eval', 'explore')


@dataclasses.dataclass
class _PolicyNets:
  """What policies compute with; no Module, so checkpoints pass it by."""

  encoder: tfutils.Module
  rssm: tfutils.Module
  actor: Callable
  explorer: Callable

  def variables(self) -> dict[str, tf.Variable]:
    return {
        f'{name}/{k}': v for name, net in vars(self).items()
        if isinstance(net, tfutils.Module)
        for k, v in net.named_variables().items()}


class Agent(tfutils.Module):
  """World model, behaviour and exploration in three compiled functions.

  `policy`, `train` and `report` are the only tf.functions. All variables
  exist after construction. Randomness is stateless: every draw follows from
  the seed and a counter in the checkpoint, and in evaluation from the number
  of steps since the episode began, so that a row's actions depend neither on
  the rows beside it nor on what happened before.

  Code: danijar/dreamerv2 agent.py, Agent.
  """

  def __init__(
      self, config: Mapping, obs_space: Mapping[str, gym.Space],
      act_space: Mapping[str, gym.Space],
      adapter: Callable[[Any], Mapping[str, np.ndarray]] | None = None,
      actions: Callable[[np.ndarray], Any] | None = None):
    """Builds all networks.

    Args:
      config: the resolved configuration.
      obs_space: key -> space of everything that an environment returns.
      act_space: `action` -> Discrete (actions are one-hot) or Box in -1 to 1.
      adapter: for `act`; maps a plain observation to the observation keys.
      actions: for `act`; maps an action, [A], to a plain one.

    Raises:
      ConfigError: the configuration does not fit the spaces.
    """
    super().__init__()
    self.config = config
    self.obs_space = dict(obs_space)
    self.act_space = dict(act_space)
    action = act_space['action']
    self._adapter = adapter or dict
    self._actions = actions or (lambda action: action)
    self._discrete = isinstance(action, gym.spaces.Discrete)
    if config.eval_lookahead.depth and not self._discrete:
      raise ConfigError(
          'eval_lookahead.depth must be 0 with continuous actions but is '
          f'{config.eval_lookahead.depth}: there are no sequences to try.')
    self.action_dim = int(action.n if self._discrete else action.shape[0])
    self._dtype = tfutils.compute_dtype(config.precision)
    seed = int(config.seed)
    self._seed = seed % 2 ** 31  # Stateless seeds are int32.
    self.step = tf.Variable(0, trainable=False, dtype=tf.int64)
    self.policy_calls = tf.Variable(0, trainable=False, dtype=tf.int64)
    self.train_calls = tf.Variable(0, trainable=False, dtype=tf.int64)
    init = layers.Init(np.random.default_rng([seed, 0]), self._dtype)
    observed = {
        k: v for k, v in obs_space.items()
        if k not in ('reward', 'is_first', 'is_last', 'is_terminal')
        and not k.startswith('log_')}
    self.world_model = WorldModel(config, observed, self.action_dim, init)
    feat = self.world_model.rssm.dim
    self.actor_critic = ActorCritic(
        config, feat, self.action_dim, self._discrete, self.step, init)
    explorer = exploration.behavior(config.expl_behavior)
    self.explorer = explorer and explorer(
        config, self.world_model, self.action_dim, self._discrete,
        self.step, init)
    actor = self.actor_critic.actor
    self._nets = self._acting = _PolicyNets(
        self.world_model.encoder, self.world_model.rssm, actor,
        self.explorer.actor if self.explorer else actor)
    self.jit_compile = str(config.jit).lower() == 'true' or None
    self._functions = {
        'policy': tf.function(self._policy, autograph=False),
        'train': tf.function(
            self._train, jit_compile=self.jit_compile, autograph=False),
        'report': tf.function(self._report, autograph=False)}

  def policy(
      self, obs: Mapping[str, np.ndarray], state: Any = None,
      mode: str = 'train') -> tuple[dict[str, tf.Tensor], Any]:
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
    obs = _tensors(obs)
    if state is None:
      state = self.initial_state(obs['is_first'].shape[0])
    action, state = self._functions['policy'](obs, state, mode)
    return {'action': action}, state

  def act(self, obs: Any, state: Any = None) -> tuple[Any, Any]:
    """Chooses the greedy action for one plain observation, as `eval` does.

    Args:
      obs: what a Gymnasium environment of the task returned.
      state: what the call before returned; None begins an episode.

    Returns:
      action: for the `step` of that environment.
      state: for the next call.
    """
    row = {k: np.asarray(v)[None] for k, v in self._adapter(obs).items()}
    flag = np.zeros([1], bool)
    row.update(
        reward=np.zeros([1], np.float32), is_first=flag | (state is None),
        is_last=flag, is_terminal=flag)
    outputs, state = self.policy(row, state, mode='eval')
    return self._actions(outputs['action'].numpy()[0]), state

  def train(
      self, data: Mapping[str, np.ndarray],
      state: Any = None) -> tuple[Any, dict[str, tf.Tensor]]:
    """Updates the world model, then the behaviours in its dreams.

    Args:
      data: a batch of sequences from replay, [B, T, ...].
      state: what the call before returned; row b of this batch continues row
        b of the batch before or begins with is_first. None at the start.

    Returns:
      state: for the next call.
      metrics: [] each.

    Raises:
      NonFiniteError: a loss or gradient is not finite.
      StorageError: out of memory, on the GPU for example.
    """
    data = _tensors(data)
    if state is None:
      state = self.world_model.rssm.initial(data['action'].shape[0])
    try:
      return self._functions['train'](data, state)
    except tf.errors.ResourceExhaustedError as error:
      raise StorageError(
          'The gradient step does not fit into memory. Lower dataset.batch, '
          'dataset.length or imag_horizon.') from error
    except tf.errors.InvalidArgumentError as error:
      if 'Tensor had' not in error.message:
        raise
      what = error.message.split(' : ')[0].strip().split()[-1]
      raise NonFiniteError(
          f'{what}: NaN or infinite in gradient step '
          f'{int(self.train_calls) + 1}; the weights before it are on disk. '
          'Lower the learning rates or use precision 32.') from error

  def freeze(self, weights: Mapping[str, np.ndarray] | None = None) -> None:
    """Lets policies that collect act on a copy of the weights from now on.

    `train` may then run in another thread beside `policy`, which it does not
    affect until the next call renews the copy. The mode `eval` keeps to the
    weights themselves.

    Args:
      weights: of `frozen`, to act on; None or empty: the weights as they are.
    """
    if self._acting is self._nets:
      self._acting = copy.deepcopy(self._nets)
      self._functions['policy'] = tf.function(self._policy, autograph=False)
    weights = weights or self._nets.variables()
    for path, variable in self._acting.variables().items():
      variable.assign(weights[path])

  def frozen(self) -> dict[str, np.ndarray]:
    """Returns path -> array of the copy that `freeze` made, {} if none."""
    if self._acting is self._nets:
      return {}
    return {k: v.numpy() for k, v in self._acting.variables().items()}

  def report(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renders open-loop predictions of a batch.

    Args:
      data: a batch of sequences from replay, [B, T, ...].

    Returns:
      `openl_<image key>`, [T, 3 * H, W', channels], float32, 0 to 1.
    """
    if data['action'].shape[1] <= WorldModel.CONTEXT:
      return {}
    videos = self._functions['report'](_tensors(data))
    return {k: v.numpy() for k, v in videos.items()}

  def initial_state(self, count: int) -> dict:
    """Returns the policy state before the first observation, [count, ...]."""
    return {
        'latent': self.world_model.rssm.initial(count),
        'action': tf.zeros([count, self.action_dim]),
        'age': tf.zeros([count], tf.int32)}

  def _policy(self, obs, state, mode):
    nets = self._nets if mode == 'eval' else self._acting
    is_first = obs['is_first']
    age = tf.where(is_first, 0, state['age'])
    if mode == 'eval':
      seed = tf.stack([tf.fill(age.shape, self._seed), age], -1)
      # Not among the seeds of the latents, whose age is never negative.
      noise_seed = tf.stack([seed[:, 0], -1 - age], -1)
      noise = self.config.eval_noise
    else:
      seed = self._fold(2, self.policy_calls)
      self.policy_calls.assign_add(1)
      seed, act_seed, noise_seed = tfutils.split(seed, 3)
      noise_seed = tf.random.split(noise_seed, age.shape[0])
      noise = self.config.expl_noise
    sample = mode == 'train' or not self.config.eval_state_mean
    embed = nets.encoder(self.world_model.preprocess(obs))
    latent = nets.rssm.filter(
        state['latent'], state['action'], embed, is_first, seed, sample)
    feat = nets.rssm.get_feat(latent)
    if mode == 'eval' and self.config.eval_lookahead.depth:
      action = self._look_ahead(latent, seed)
    elif mode == 'eval':
      action = nets.actor(feat).mode()
    else:
      actor = nets.explorer if mode == 'explore' else nets.actor
      action = actor(feat).sample(seed=act_seed)
    action = self._action_noise(action, noise, noise_seed)
    return action, {'latent': latent, 'action': action, 'age': age + 1}

  def _train(self, data, state):
    seed = self._fold(3, self.train_calls)
    model_seed, task_seed, expl_seed = tfutils.split(seed, 3)
    state, outputs, metrics = self.world_model.train(data, state, model_seed)
    metrics.update(self.actor_critic.train(
        self.world_model, outputs['post'], data['is_terminal'], self._reward,
        task_seed))
    if self.explorer:
      mets = self.explorer.train(self.world_model, outputs, data, expl_seed)
      metrics.update({f'expl_{k}': v for k, v in mets.items()})
    with tf.control_dependencies(list(metrics.values())):
      self.train_calls.assign_add(1)  # Only if all losses are finite.
    return state, metrics

  def _reward(self, seq):
    return self.world_model.heads['reward'](seq['feat']).mode()

  def _look_ahead(self, latent, seeds):
    """Takes the first of the actions that dreams end best with; seeds [N, 2].

    Rows one by one, so that none depends on those beside it.
    """
    shape = self.config.eval_lookahead
    def choose(row):
      state, seed = row
      gain = self.actor_critic.lookahead(
          self.world_model, tf.nest.map_structure(lambda x: x[None], state),
          self._reward, tf.random.fold_in(seed, 1), **shape)
      best = tf.argmax(gain[:, 0]) // self.action_dim ** (shape.depth - 1)
      return tf.one_hot(best, self.action_dim)
    return tf.map_fn(choose, (latent, seeds), fn_output_signature=tf.float32)

  def _report(self, data):
    wm = self.world_model
    seed = self._fold(4, self.train_calls)
    data = wm.preprocess(data)
    return {
        f'openl_{key}': wm.video_pred(data, key, seed)
        for key in wm.heads['decoder'].cnn_keys
        if key in wm.encoder.cnn_keys}

  def _fold(self, tag, count):
    """Makes the seed of one call from the run's seed and a counter."""
    return tf.random.fold_in(
        tf.constant([self._seed, tag], tf.int32), tf.cast(count, tf.int32))

  def _action_noise(self, action, amount, seeds):
    """Mixes in uniform (one-hot) or adds normal noise; seeds [N, 2]."""
    if amount == 0:
      return action
    def draw(row):
      action, seed = row
      if self._discrete:
        probs = amount / self.action_dim + (1 - amount) * action
        return OneHotDist(probs=probs, dtype=tf.float32).sample(seed=seed)
      action = tfd.Normal(action, amount).sample(seed=seed)
      return tf.clip_by_value(action, -1, 1)
    return tf.map_fn(draw, (action, seeds), fn_output_signature=tf.float32)


def _tensors(data):
  return {
      k: tf.convert_to_tensor(v) for k, v in data.items()
      if not k.startswith('log_')}
