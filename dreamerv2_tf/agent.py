"""The agent: acts, learns and shows what it dreams."""

from collections.abc import Callable, Mapping
import contextlib
from typing import Any

import gymnasium as gym
import numpy as np
import tensorflow as tf

from . import exploration, tfutils
from .actor_critic import ActorCritic
from .config import Config
from .errors import ConfigError, NonFiniteError, StorageError, plainly
from .nets import layers
from .nets.rssm import State
from .policy import Policy, PolicyState
from .replicas import Replicas
from .world_model import WorldModel


class Agent(tfutils.Module):
  """World model, behaviour and exploration in three compiled functions.

  Those of `policy`, `train` and `report` are the only tf.functions. All
  variables exist after construction. Randomness is stateless: every draw
  follows from the seed and a counter in the checkpoint.

  Code: danijar/dreamerv2 agent.py, Agent.

  Attributes:
    policy: Policy; acts with the networks that `train` changes.
    step: [], int64; environment steps so far, for the schedules.
    train_calls: [], int64; gradient steps so far.
    train_function: the tf.function behind `train`.
    report_function: the tf.function behind `report`.
    adapter, actions: see the constructor; None until they are known.
  """

  def __init__(
      self, config: Config, obs_space: Mapping[str, gym.Space],
      act_space: Mapping[str, gym.Space],
      adapter: Callable[[Any], Mapping[str, np.ndarray]] | None = None,
      actions: Callable[[np.ndarray], Any] | None = None,
      replicas: Replicas | None = None):
    """Builds all networks.

    Args:
      config: the resolved configuration.
      obs_space: key -> space of everything that an environment returns.
      act_space: `action` -> Discrete (actions are one-hot) or Box in -1 to 1.
      adapter: for `act`; maps a plain observation to the observation keys.
      actions: for `act`; maps an action, [A], to a plain one.
      replicas: the devices that learn together; None: one.

    Raises:
      ConfigError: the configuration does not fit the spaces.
    """
    super().__init__()
    self.config = config
    self.obs_space = dict(obs_space)
    self.act_space = dict(act_space)
    action = act_space['action']
    self.adapter = adapter
    self.actions = actions
    self._discrete = isinstance(action, gym.spaces.Discrete)
    _check(config, self._discrete)
    self.action_dim = int(action.n if self._discrete else action.shape[0])
    self._dtype = tfutils.compute_dtype(config.precision)
    seed = int(config.seed)
    self._seed = seed % 2 ** 31  # Stateless seeds are int32.
    self.jit_compile = str(config.jit).lower() == 'true' or None
    if replicas:
      replicas.check(config.dataset.batch, config.imag_starts)
    with replicas.scope() if replicas else contextlib.nullcontext():
      self._build(seed)
    self.policy = self._make_policy()
    self.train_function = tf.function(
        self._train, jit_compile=self.jit_compile, autograph=False
    ) if replicas is None else replicas.compiled(self._train, self.jit_compile)
    self.report_function = tf.function(self._report, autograph=False)

  def _build(self, seed):
    """Makes all variables."""
    config = self.config
    self.step = tf.Variable(0, trainable=False, dtype=tf.int64)
    self.policy_calls = tf.Variable(0, trainable=False, dtype=tf.int64)
    self.train_calls = tf.Variable(0, trainable=False, dtype=tf.int64)
    init = layers.Init(np.random.default_rng([seed, 0]), self._dtype)
    self.world_model = WorldModel(
        _observed(self.obs_space), self.action_dim, self.step, init,
        **config.taken_by(WorldModel))
    self.actor_critic = self._make_actor_critic(init)
    self.explorer = self._make_explorer(init)

  @plainly
  def act(
      self, obs: Any, state: PolicyState | None = None,
      reset: Any = None) -> tuple[Any, PolicyState]:
    """Chooses greedy actions for plain observations, as `eval` does.

    For one observation it gives one action. For a batch, whose parts have one
    more axis in front, as those of Gymnasium's vector environments, it gives
    an array of actions; each row is acted on as if it were alone.

    Args:
      obs: what an environment of the task returned, or N of them: [N, ...],
        for a Dict space a dict of such.
      state: what the call before returned, of 1 or N episodes; None begins
        all of them.
      reset: [N], bool, or one bool for all: rows whose observation is the
        first of an episode, so that what the state knows of them is left
        out. None: none, if there is a state.

    Returns:
      action: for the `step` of that environment; of a batch, [N, ...].
      state: for the next call; all of its arrays are [N, ...].

    Raises:
      EnvError: shape or dtype are not those of the task.
      NonFiniteError: an observation is NaN or infinite.
      ConfigError: state or reset are of another number of episodes.
    """
    adapter = self.adapter or dict
    rows = getattr(adapter, 'batch', lambda obs: None)(obs)
    single = rows is None
    if single:
      rows = [adapter(obs)]
    count = len(rows)
    row = {k: np.stack([np.asarray(x[k]) for x in rows]) for k in rows[0]}
    flag = np.zeros([count], bool)
    row.update(
        reward=np.zeros([count], np.float32), is_last=flag, is_terminal=flag,
        is_first=_first(state, reset, count))
    outputs, state = self.policy(row, state, mode='eval')
    actions = outputs['action'].numpy()
    if self.actions:
      actions = [self.actions(action) for action in actions]
    return actions[0] if single else np.stack(actions), state

  def train(
      self, data: Mapping[str, np.ndarray],
      state: State | None = None) -> tuple[State, dict[str, tf.Tensor]]:
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
    data = tfutils.tensors(data)
    if state is None:
      state = self.world_model.rssm.initial(data['action'].shape[0])
    try:
      return self.train_function(data, state)
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

  def report(
      self, data: Mapping[str, np.ndarray]
  ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predicts the images of a batch open loop; see `WorldModel.open_loop`.

    Args:
      data: a batch of sequences from replay, [B, T, ...].

    Returns:
      Key of each image that is read and predicted -> truth and prediction,
      [B, T, H, W, C], float32, 0 to 1, the prediction perhaps beyond. Empty
      if the sequences are too short.
    """
    if data['action'].shape[1] <= WorldModel.CONTEXT:
      return {}
    pairs = self.report_function(tfutils.tensors(data))
    return {k: (x.numpy(), y.numpy()) for k, (x, y) in pairs.items()}

  def _make_actor_critic(self, init):
    return ActorCritic(
        self.world_model.rssm.dim, self.action_dim, self._discrete, self.step,
        init, **self.config.taken_by(ActorCritic))

  def _make_explorer(self, init):
    """Builds the behaviour that collects; None if the greedy one does."""
    cls = exploration.behavior(self.config.expl_behavior)
    if cls is exploration.Random:
      return cls(self.action_dim, self._discrete)
    return cls and cls(
        self._make_actor_critic(init), self.world_model, self.step, init,
        **self.config.taken_by(cls))

  def _make_policy(self):
    config, actor = self.config, self.actor_critic.actor
    return Policy(
        self.world_model.encoder, self.world_model.rssm, actor,
        self.explorer.actor if self.explorer else actor,
        act_space=self.act_space['action'],
        preprocess=self.world_model.preprocess, calls=self.policy_calls,
        seed=self._seed, expl_noise=config.expl_noise,
        eval_noise=config.eval_noise, eval_state_mean=config.eval_state_mean,
        look_ahead=self._look_ahead if config.eval_lookahead.depth else None)

  def _train(self, data, state):
    seed = tfutils.fold(self._seed, 3, self.train_calls)
    model_seed, task_seed, expl_seed = tfutils.split(seed, 3)
    state, outputs, metrics = self.world_model.train(data, state, model_seed)
    metrics.update(self.actor_critic.train(
        self.world_model, outputs.post, data['is_terminal'], self._reward,
        task_seed))
    if self.explorer:
      mets = self.explorer.train(self.world_model, outputs, data, expl_seed)
      metrics.update({f'expl_{k}': v for k, v in mets.items()})
    with tf.control_dependencies(list(metrics.values())):
      self.train_calls.assign_add(1)  # Only if all losses are finite.
    return state, metrics

  def _reward(self, dream):
    return self.world_model.heads['reward'](dream.feat).mode()

  def _look_ahead(self, state, seed):
    """Takes the first of the actions that dreams of a state end best with."""
    shape = self.config.eval_lookahead
    gain = self.actor_critic.lookahead(
        self.world_model, state, self._reward, tf.random.fold_in(seed, 1),
        **shape)
    best = tf.argmax(gain[:, 0]) // self.action_dim ** (shape.depth - 1)
    return tf.one_hot(best, self.action_dim)

  def _report(self, data):
    wm = self.world_model
    seed = tfutils.fold(self._seed, 4, self.train_calls)
    data = wm.preprocess(data)
    return {
        key: wm.open_loop(data, key, seed)
        for key in wm.heads['decoder'].cnn_keys
        if key in wm.encoder.cnn_keys}


def _first(state, reset, count):
  """Returns which of so many rows begin an episode, [N], bool."""
  if state is not None and not isinstance(state, PolicyState):
    raise ConfigError(
        'state must be what the call before returned with its action, or None, '
        f'but is {state!r:.80}.')
  if state is not None and (known := int(state.action.shape[0])) != count:
    raise ConfigError(
        f'act got {count} observation(s), but a state of {known} episode(s). '
        'Give the state of the same ones, or None to begin.')
  if reset is None:
    return np.full([count], state is None)
  reset = np.asarray(reset)
  if reset.dtype != bool or reset.shape not in ((), (count,)):
    raise ConfigError(
        f'reset must be one bool or {count} of them, one for each '
        f'observation, but has shape {reset.shape} and dtype {reset.dtype}.')
  return np.full([count], state is None) | reset


def _check(config, discrete):
  """Refuses settings that do not fit the actions or one another."""
  depth = config.eval_lookahead.depth
  if depth and not discrete:
    raise ConfigError(
        'eval_lookahead.depth must be 0 with continuous actions but is '
        f'{depth}: there are no sequences to try.')
  steps, length = config.overshooting.steps, config.dataset.length
  if steps >= length:
    raise ConfigError(
        f'overshooting.steps must be below dataset.length ({length}) but is '
        f'{steps}.')


def _observed(obs_space):
  """Returns the spaces of what networks read and predict."""
  flags = ('reward', 'is_first', 'is_last', 'is_terminal')
  return {
      k: v for k, v in obs_space.items()
      if k not in flags and not k.startswith('log_')}
