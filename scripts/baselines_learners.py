"""DQN and PPO of Stable-Baselines3, on the environment of the task."""

from collections.abc import Callable, Mapping
import functools
import importlib
import importlib.util
import itertools
import sys
import time
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from dreamerv2_tf import errors
from dreamerv2_tf.config import Config
from dreamerv2_tf.run import environments
from dreamerv2_tf.run.environments import TRAIN_SEEDS

# Facts: Farama-Foundation/HighwayEnv scripts/sb3_highway_dqn.py, _ppo.py. All
# else has the default of Stable-Baselines3.
LEARNERS = {
    'dqn': {
        'envs': 1, 'learning_rate': 5e-4, 'buffer_size': 15_000,
        'learning_starts': 200, 'batch_size': 32, 'gamma': 0.8,
        'train_freq': 1, 'gradient_steps': 1, 'target_update_interval': 50,
        'policy_kwargs': {'net_arch': [256, 256]}},
    'ppo': {
        'envs': 6, 'learning_rate': 5e-4, 'n_steps': 128, 'batch_size': 64,
        'n_epochs': 10, 'gamma': 0.8,
        'policy_kwargs': {'net_arch': {'pi': [256, 256], 'vf': [256, 256]}}},
}
DEVICE = 'cpu'  # The networks are too small for a GPU.
EXPLORING = 2000  # Steps in which DQN's random actions fade, in that script.
ENDLESS = 10 ** 9  # Steps of a training that time ends.

Policy = Callable[[Mapping[str, np.ndarray], Any], tuple[dict, Any]]


class Trained(NamedTuple):
  """What comes of training.

  Attributes:
    step: environment steps.
    seconds: of training alone, without evaluations.
    policy: without exploration.
  """

  step: int
  seconds: float
  policy: Policy


class Limits(NamedTuple):
  """When training ends and pauses.

  Attributes:
    steps: environment steps; not read if there are seconds.
    seconds: of training alone; 0: no limit.
    every: environment steps between evaluations; 0: only at the end.
  """

  steps: int
  seconds: float
  every: int


class Training(gym.Env):
  """The environment of the task, as Stable-Baselines3 wants it.

  Its scenarios are apart from those of evaluations, and follow from the seeds
  of the constructor alone.
  """

  def __init__(self, config: Config, worker: int):
    """Makes the environment.

    Args:
      config: the resolved configuration; also reads seed.
      worker: number of this environment among those that train.
    """
    self._env = environments.factory(config, ())()
    self._seeds = config.seed, worker
    self._episodes = itertools.count()
    spaces = [self._env.obs_space[key] for key in vectors(self._env.obs_space)]
    self.observation_space = gym.spaces.Box(
        -np.inf, np.inf, (sum(x.shape[0] for x in spaces),), np.float32)
    self.action_space = self._env.act_space['action']

  def reset(
      self, *, seed: int | None = None,
      options: Mapping | None = None) -> tuple[np.ndarray, dict]:
    """Begins the next episode, whatever the seed."""
    rng = np.random.default_rng([*self._seeds, next(self._episodes)])
    self.scenario = TRAIN_SEEDS + int(rng.integers(2 ** 30))
    return join(self._env.reset(self.scenario)), {}

  def step(
      self, action: int | np.ndarray
  ) -> tuple[np.ndarray, float, bool, bool, dict]:
    """Takes the action of an index, or numbers from -1 to 1."""
    if isinstance(self.action_space, gym.spaces.Discrete):
      action = np.eye(self.action_space.n, dtype=np.float32)[int(action)]
    row = self._env.step({'action': action})
    terminal = bool(row['is_terminal'])
    return (
        join(row), float(row['reward']), terminal,
        bool(row['is_last']) and not terminal, {})

  def close(self) -> None:
    """Closes the environment."""
    self._env.close()


def vectors(rows: Mapping[str, Any]) -> list[str]:
  """Returns the observation keys of rows, sorted; no images.

  Args:
    rows: key -> [...], or the spaces of these.
  """
  flags = 'action', 'reward', 'is_first', 'is_last', 'is_terminal'
  return sorted(
      key for key in rows if key not in flags and not key.startswith('log_'))


def join(rows: Mapping[str, np.ndarray]) -> np.ndarray:
  """Returns the observations of rows in one, [..., n] float32."""
  return np.concatenate([rows[key] for key in vectors(rows)], -1)


class Clock:
  """Seconds that pass, but for pauses."""

  def __init__(self):
    """Starts the clock."""
    self._began = time.monotonic()

  @property
  def seconds(self) -> float:
    """Seconds since the start, without pauses."""
    return time.monotonic() - self._began

  def pause(self, function: Callable, *args: Any) -> Any:
    """Calls a function while the clock stands still."""
    began = time.monotonic()
    try:
      return function(*args)
    finally:
      self._began += time.monotonic() - began


def load() -> Any:
  """Imports Stable-Baselines3 and returns it.

  Raises:
    ModuleNotFoundError: it is not installed.
  """
  if importlib.util.find_spec('stable_baselines3') is None:
    raise ModuleNotFoundError(name='stable_baselines3')
  # It imports TensorFlow for its logs, after which Triton, which optimizers of
  # PyTorch import, ends the process: each brings an LLVM of its own.
  if 'tensorflow' not in sys.modules and importlib.util.find_spec('triton'):
    importlib.import_module('triton')
  return importlib.import_module('stable_baselines3')


def settings(method: str, gamma: float) -> dict[str, Any]:
  """Returns what a method learns with; gamma 0 is that of LEARNERS."""
  found = dict(LEARNERS[method])
  return {**found, 'gamma': gamma} if gamma else found


def learn(
    method: str, config: Config, given: Mapping[str, Any], limits: Limits,
    assess: Callable[[int, float, Policy], Any]) -> Trained:
  """Trains on the environment of the task.

  Args:
    method: one of LEARNERS.
    config: the resolved configuration; also reads seed.
    given: of `settings`.
    limits: PPO rounds steps up to whole rollouts (20,000 to 20,736).
    assess: called with steps and seconds so far and the greedy policy, every
      `limits.every` steps and at the end.

  Raises:
    EnvError: the process of an environment died.
  """
  vec = load().common.vec_env
  settings = dict(given)
  if method == 'dqn' and limits.seconds:
    # Else it would fade over a tenth of steps that never come.
    settings['exploration_fraction'] = EXPLORING / ENDLESS
  clock = Clock()
  factories = [
      functools.partial(Training, config, worker)
      for worker in range(settings.pop('envs'))]
  kind = vec.DummyVecEnv if len(factories) == 1 else vec.SubprocVecEnv
  try:
    return fit(
        method.upper(), kind(factories), config.seed, settings, limits, clock,
        assess, greedy)
  except (EOFError, ConnectionError) as error:
    # Not closed: that would wait for the dead. The others end with us.
    raise errors.EnvError(
        f"The process of an environment of '{method}' ended. Unless it was "
        'killed, as when memory runs out, its last lines say why.') from error


def fit(
    name: str, env: Any, seed: int, settings: Mapping[str, Any],
    limits: Limits, clock: Clock,
    assess: Callable[[int, float, Policy], Any],
    act: Callable[[Any], Policy]) -> Trained:
  """Trains a model on a vector environment, which is closed then.

  Args:
    name: class of Stable-Baselines3.
    env: a VecEnv.
    seed: of the model.
    settings: of the model.
    limits, assess: see `learn`.
    clock: of the training.
    act: from the model to its greedy policy.

  Returns:
    What the model came to.
  """
  model = getattr(load(), name)(
      'MlpPolicy', env, seed=seed, device=DEVICE, **settings)
  total = ENDLESS if limits.seconds else limits.steps
  due = limits.every

  def pause_if_due(variables, names):
    nonlocal due
    if limits.seconds and clock.seconds >= limits.seconds:
      return False
    if limits.every and due <= model.num_timesteps < total:
      due += limits.every
      clock.pause(assess, model.num_timesteps, clock.seconds, act(model))
    return True

  model.learn(total, callback=pause_if_due)
  result = Trained(model.num_timesteps, clock.seconds, act(model))
  env.close()
  assess(*result)
  return result


def greedy(model: Any) -> Policy:
  """Returns the policy of a model of Stable-Baselines3 without exploration."""
  space = model.action_space

  def policy(obs, state=None):
    actions, _ = model.predict(join(obs), deterministic=True)
    if isinstance(space, gym.spaces.Discrete):
      actions = np.eye(space.n, dtype=np.float32)[actions]
    return {'action': actions}, state

  return policy
