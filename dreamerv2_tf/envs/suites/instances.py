"""Environments of EnvPool: each episode has an instance of its own.

So the seed alone decides an episode, and a running one can be replayed.
EnvPool has no other way to seed: its own resets go on where a stream of
chance was left. What is observed has the spaces of the suite's own simulator,
in which evaluations run.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from ...errors import ConfigError
from ...schema import suggest
from ..env import Env

# Steps that no episode reaches. EnvPool calls an end at its own limit
# truncated even where the task is over, so limits are counted here.
ENDLESS = 10 ** 9
INSTEAD = (
    '--env.simulator highway-env, with which each suite has its own simulator')


class Instances(gym.Env):
  """One environment whose episodes are instances of EnvPool.

  Subclasses say in `_observe` what an observation is and in `_over` what ends
  an episode.
  """

  metadata = {'render_modes': ['rgb_array']}

  def __init__(
      self, name: str, settings: Mapping[str, Any],
      observation_space: gym.Space, action_space: gym.Space, *,
      limit: float = 0, seeds: Callable[[int], int] = lambda seed: seed % 2**31,
      render: bool = False):
    """Simulates nothing yet.

    Args:
      name: id of EnvPool.
      settings: its options.
      observation_space, action_space: of the suite's own simulator.
      limit: steps after which an episode is truncated; 0: the options decide.
      seeds: seed of a reset -> seed of the instance, int32.
      render: `render` is called.
    """
    self.observation_space = observation_space
    self.action_space = action_space
    self.render_mode = 'rgb_array' if render else None
    self._name = name
    self._settings = {
        'num_envs': 1, 'num_threads': 1, 'render_mode': self.render_mode,
        **({'max_episode_steps': ENDLESS} if limit else {}), **settings}
    self._limit = limit
    self._seeds = seeds
    self._steps = 0
    self._pool: Any = None
    self._kind: Any = None

  def reset(
      self, *, seed: int | None = None,
      options: dict | None = None) -> tuple[Any, dict]:
    """Begins the episode of the seed; a drawn one without.

    Returns:
      The observation and nothing more.
    """
    import envpool
    if seed is None:
      super().reset()
      seed = int(self.np_random.integers(2 ** 31))
    self._pool = envpool.make_gymnasium(
        self._name, seed=self._seeds(seed), **self._settings)
    if self._kind is None:
      self._kind = self._pool.action_space.dtype
    self._steps = 0
    obs, info = self._pool.reset()
    return self._observe(obs, info), {}

  def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
    """Acts once; not allowed after the end of an episode."""
    obs, reward, terminated, truncated, info = self._pool.step(
        np.asarray(action, self._kind)[None])
    self._steps += 1
    obs = self._observe(obs, info)
    terminated = bool(terminated[0]) or self._over(info)
    truncated = bool(truncated[0]) or 0 < self._limit <= self._steps
    return obs, float(reward[0]), terminated, truncated, {}

  def render(self) -> np.ndarray:
    """Returns the screen, [H, W, 3] uint8; only after a reset."""
    assert self._pool is not None, 'EnvPool crashes without a reset.'
    return self._pool.render()[0]

  def close(self) -> None:
    """Lets the instance go."""
    self._pool = None

  def _observe(self, obs, info):
    """Returns what is observed, without the axis of instances."""
    if isinstance(self.observation_space, gym.spaces.Dict):
      # EnvPool gives some tasks what only others of their domain observe.
      return {key: obs[key][0] for key in self.observation_space}
    return obs[0]

  def _over(self, info):
    """Says whether the task is over where EnvPool does not say so."""
    return False


def known(instead: str = INSTEAD) -> list[str]:
  """Returns all ids of EnvPool.

  Args:
    instead: flags for those who can not have it.

  Raises:
    ConfigError: it is not installed.
  """
  try:
    import envpool
  except ImportError as error:
    raise ConfigError(
        f'env.simulator is envpool, but that package can not be used: {error}. '
        f'Run pip install envpool, or give {instead}.') from None
  return envpool.list_all_envs()


def lacks(task: str, names: Iterable[str]) -> ConfigError:
  """Returns the error for a task that EnvPool does not simulate alike.

  Args:
    task: as the user wrote it.
    names: of the tasks that it does, without the suite.
  """
  suite, _, name = task.partition('_')
  names = list(names)
  return ConfigError(
      f"EnvPool does not simulate '{task}' as its own simulator does."
      f"{suggest(name, names)} Of the suite '{suite}' it has "
      f"{', '.join(names)}. Give {INSTEAD}.")


def fixed(key: str, value: Any, wanted: str) -> ConfigError:
  """Returns the error for a setting that EnvPool does not have.

  Args:
    key: setting.
    value: what it is.
    wanted: what it must be, in words.
  """
  return ConfigError(
      f"'{key}' must be {wanted} with env.simulator envpool but is {value!r}. "
      f'Change it, or give {INSTEAD}.')


def check_config(config: Mapping[str, Any]) -> None:
  """Raises a ConfigError where env.config is not empty."""
  for key, value in config.items():
    raise fixed(f'env.config.{key}', value, 'left out')


def like(
    own: Env, env: Instances, *, render: bool | Container[int],
    action_repeat: int = 1, time_limit: int = 0) -> Env:
  """Puts instances behind the dict interface as the suite's own environment.

  Args:
    own: of the suite's own simulator; it is closed.
    env: with its spaces.
    render, action_repeat, time_limit: see Env.
  """
  result = Env(
      env, own.name, own.adapter, render=render, action_repeat=action_repeat,
      time_limit=time_limit)
  result.fps, result.about = own.fps, own.about
  result.own_random = True  # The seed of each instance.
  own.close()
  return result
