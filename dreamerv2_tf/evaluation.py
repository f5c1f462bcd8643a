"""Scores an agent in Python, as the command `eval` does."""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

import gymnasium as gym
import numpy as np

from . import envs as envlib
from .agent import Agent
from .errors import ConfigError, plainly
from .report import scores
from .run import environments

# Column of scores -> names in the info of an environment, the first that is
# there counts.
INFO = {
    'log_crashed': ('crashed',), 'log_speed': ('speed',),
    'log_success': ('is_success', 'success')}
UNTOLD = -1e9  # In a row, where the info says nothing.


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
  """How good an agent was, one by one and in means.

  Attributes:
    returns: [N], float64; sum of rewards of each episode.
    lengths: [N], int64; steps of each.
    crashed: [N], bool; whether it ended or went on with a crash; None where
      the environment does not tell.
    success: [N], bool; whether it reached its goal; None as well.
    speeds: [N], float64, m/s; mean speed of each; None as well.
    seed: scenario of the first episode; the next has the next.
    mean, std: of the returns; the deviation is of the sample.
    interval: low and high end of the 95% interval of the mean, by normal
      approximation; None of one episode.
    crash_rate, success_rate: shares of the episodes, or None.
    length, speed: means over the episodes and over all steps, or None.
  """

  returns: np.ndarray
  lengths: np.ndarray
  crashed: np.ndarray | None
  success: np.ndarray | None
  speeds: np.ndarray | None
  seed: int
  mean: float
  std: float
  interval: tuple[float, float] | None
  crash_rate: float | None
  success_rate: float | None
  length: float
  speed: float | None

  @property
  def record(self) -> dict[str, Any]:
    """The means under the names that `dreamerv2 eval --json` has."""
    return {
        'return_mean': self.mean, 'return_std': self.std,
        'return_ci95': list(self.interval) if self.interval else None,
        'length_mean': self.length, 'crash_rate': self.crash_rate,
        'success_rate': self.success_rate, 'speed_mean': self.speed,
        'episodes': len(self), 'seed': self.seed}

  def __len__(self) -> int:
    return len(self.returns)

  def __str__(self) -> str:
    parts = [f'return {self.mean:.2f} ± {self.std:.2f}']
    if self.interval:
      low, high = self.interval
      parts[0] += f' (95 % interval of the mean: {low:.2f} to {high:.2f})'
    if self.crash_rate is not None:
      parts.append(f'crashes {100 * self.crash_rate:.0f} %')
    if self.success_rate is not None:
      parts.append(f'success {100 * self.success_rate:.0f} %')
    if self.speed is not None:
      parts.append(f'{self.speed:.1f} m/s')
    parts.append(f'{self.length:.1f} steps')
    count = len(self)
    return ', '.join(parts) + f"; {count} episode{'s' * (count > 1)}"


@plainly
def evaluate(
    agent: Agent, env: gym.Env | Callable[[], gym.Env] | str | None = None,
    episodes: int = 100, seed: int = 10_000,
    envs: int | None = None) -> Scores:
  """Runs episodes on fixed scenarios with the mode of the policy.

  Episode i is that which the environment begins with `reset(seed=seed + i)`.
  The result is that of `dreamerv2 eval` with the same scenarios, up to
  rounding where another number of environments runs side by side. Nothing is
  written.

  Args:
    agent: from `load` or `train`.
    env: an environment, which is stepped here and stays open; a function that
      makes one; or a task name. None: the task of the agent.
    episodes: how many.
    seed: scenario of the first.
    envs: environments side by side; None: as in training, of an environment
      that is given always one.

  Returns:
    Scores. A scenario whose environment fails three times is left out, with a
    warning.

  Raises:
    ConfigError: an argument is wrong, or the agent does not fit the
      environment.
    EnvError, NonFiniteError: the environment can not be built, or fails.
  """
  if not isinstance(agent, Agent):
    raise ConfigError(
        f'evaluate takes an agent, from load or train, but got {agent!r:.80}.')
  for name, value, low in (
      ('episodes', episodes, 1), ('seed', seed, 0),
      ('envs', 1 if envs is None else envs, 1)):
    if not isinstance(value, int | np.integer) or value < low:
      raise ConfigError(
          f"'{name}' must be a whole number of at least {low} but is "
          f'{value!r:.80}.')
  config, make = _maker(agent, env)
  count = min(envs or config.envs, episodes)
  if isinstance(env, gym.Env):
    config, count = config.update({'envs_parallel': 'none'}), 1
  with environments.make_evaluator(config, count, make) as evaluator:
    _check_spaces(agent, evaluator)
    policy = functools.partial(agent.policy, mode='eval')
    result = evaluator(policy, range(seed, seed + episodes))
  return _scores([_told(episode) for episode in result.episodes], seed)


def _maker(agent, env):
  """Returns the configuration and what makes an environment."""
  config = agent.config
  if env is None:
    env = config.task
    if env == environments.CUSTOM:
      raise ConfigError(
          'The agent was trained by a Python program in an environment '
          'without a name. Give it: evaluate(agent, env).')
  if isinstance(env, str):
    config = config.update({'task': env})
    return config, environments.factory(config, ())
  if not callable(env) and not isinstance(env, gym.Env):
    raise ConfigError(
        'evaluate takes an environment (gymnasium.Env), a function without '
        'arguments that makes one, or a task name such as gym_CartPole-v1, '
        f'but got {env!r:.80}.')
  return config, _Maker(env, agent.adapter, config)


def _check_spaces(agent, evaluator):
  """Refuses environments that the agent can not see or act in."""
  pool = evaluator.pool
  ours = envlib.signature({}, agent.act_space)
  theirs = envlib.signature({}, pool.act_space)
  model = agent.world_model.encoder
  keys = [*model.cnn_keys, *model.mlp_keys]
  ours |= envlib.signature({k: agent.obs_space[k] for k in keys}, {})
  theirs |= envlib.signature(
      {k: v for k, v in pool.obs_space.items() if k in keys}, {})
  if ours != theirs:
    raise ConfigError(
        f'The agent does not fit the environment: it was trained with {ours}, '
        f'the environment has {theirs}.')


class _Maker:
  """Makes environments of the caller behind the dict interface."""

  def __init__(self, env, adapter, config):
    self._env = env
    self._adapter = adapter
    self._scale = config.env.obs_scale
    self._options = {k: config[k] for k in ('action_repeat', 'time_limit')}

  def __call__(self) -> envlib.Env:
    borrowed = isinstance(self._env, gym.Env)
    plain = self._env if borrowed else self._env()
    envlib.check(plain)
    adapter = self._adapter or envlib.Adapter(
        plain.observation_space, scale=self._scale)
    if not adapter.fits(plain.observation_space):
      raise ConfigError(
          'The agent does not fit the environment: it was trained on '
          f'{adapter.plain}, the environment gives {plain.observation_space}.')
    listener = _Listener(plain, borrowed)
    logs = {
        key: functools.partial(listener.told, names)
        for key, names in INFO.items()}
    name = plain.spec.id if plain.spec else type(plain.unwrapped).__name__
    return envlib.Env(listener, name, adapter, logs=logs, **self._options)


class _Listener(gym.Wrapper):
  """Remembers the last info; leaves open what is borrowed."""

  def __init__(self, env, borrowed):
    super().__init__(env)
    self._info = {}
    self._borrowed = borrowed

  def reset(self, **kwargs) -> Any:
    result = self.env.reset(**kwargs)
    self._hear(result)
    return result

  def step(self, action: Any) -> Any:
    result = self.env.step(action)
    self._hear(result)
    return result

  def close(self) -> None:
    if not self._borrowed:
      self.env.close()

  def told(self, names: tuple[str, ...], env: gym.Env) -> float:
    """Returns a number of the last info, UNTOLD if there is none."""
    for name in names:
      try:
        value = float(self._info[name])
      except (KeyError, TypeError, ValueError):
        continue
      return value if np.isfinite(value) else UNTOLD
    return UNTOLD

  def _hear(self, result):
    last = result[-1] if isinstance(result, tuple) and result else None
    self._info = last if isinstance(last, Mapping) else {}


def _told(episode):
  """Returns an episode without what its environment did not tell."""
  def known(key):
    values = episode[key][-1:] if key == 'log_success' else episode[key][1:]
    if key == 'log_crashed':
      return (values != np.float32(UNTOLD)).any()
    return (values != np.float32(UNTOLD)).all()
  return {
      k: v for k, v in episode.items() if k not in INFO or known(k)}


def _scores(episodes, seed):
  keys = set.intersection(*map(set, episodes))
  episodes = [{k: ep[k] for k in ep if k in keys} for ep in episodes]
  each, summary = scores.table(episodes), scores.summarize(episodes)
  column = lambda name, dtype: (
      np.array(each[name], dtype) if name in each else None)
  interval = summary['return_ci95']
  return Scores(
      returns=column('return', np.float64), lengths=column('length', np.int64),
      crashed=column('crashed', bool), success=column('success', bool),
      speeds=column('speed', np.float64), seed=seed,
      mean=summary['return_mean'], std=summary['return_std'],
      interval=tuple(interval) if interval else None,
      crash_rate=summary['crash_rate'],
      success_rate=summary.get('success_rate'),
      length=summary['length_mean'], speed=summary['speed_mean'])
