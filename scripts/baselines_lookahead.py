"""Look-ahead in copies of the environment: what a perfect model would give."""

from collections.abc import Callable, Mapping, Sequence
import copy
import functools
import heapq
import itertools
import math
from typing import Any

from baselines_scripted import action_names, unwrapped
import gymnasium as gym
import numpy as np

from dreamerv2_tf import envs

SETTINGS = {
    'horizon': 5,  # Actions.
    'budget': 500,  # Simulated steps for each decision.
}


class Lookahead:
  """An environment whose rows hold what to do next, one-hot, in `log_plan`.

  It is computed where the environment is: in the process of each worker.
  """

  def __init__(
      self, factory: Callable[[], envs.Env], horizon: int, budget: int):
    """Makes the environment; see `plan` for the others."""
    self._env = factory()
    self._plan = functools.partial(plan, horizon=horizon, budget=budget)
    self._count = int(self._env.act_space['action'].n)
    self.act_space = self._env.act_space
    self.obs_space = {
        **self._env.obs_space,
        'log_plan': gym.spaces.Box(0, 1, (self._count,), np.float32)}
    self.fps = self._env.fps
    self.about, self.mapping = self._env.about, self._env.mapping
    self.advice = self._env.advice
    self.own_random = self._env.own_random
    self.frames = self._env.frames
    self.close = self._env.close

  @property
  def outside(self) -> dict[str, str]:
    """What lies outside of its space, see Env."""
    return self._env.outside

  def reset(self, seed: int | None = None) -> dict[str, np.ndarray]:
    """Begins an episode; the row also holds what to do first."""
    return self._planned(self._env.reset(seed))

  def step(self, action: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Takes an action; the row also holds what to do next."""
    return self._planned(self._env.step(action))

  def _planned(self, row):
    best = 0 if row['is_last'] else self._plan(self._env)
    return {**row, 'log_plan': np.eye(self._count, dtype=np.float32)[best]}


def follow(
    obs: Mapping[str, np.ndarray],
    state: Any = None) -> tuple[dict[str, np.ndarray], Any]:
  """The policy that does what the rows of Lookahead say."""
  return {'action': obs['log_plan']}, state


def plan(env: envs.Env, horizon: int, budget: int) -> int:
  """Returns the first action of the best sequence of actions.

  It tries them in deep copies of the environment, which hold the state of its
  random numbers: what is simulated is what will happen. The sequence that may
  still become the best is continued first, by each action that is available
  after it: each further reward is at most 1, so its sum of rewards is at most
  what it has by now and 1 for each step that is left. The search ends with the
  best sum of `horizon` rewards (of fewer where the episode ends before) if
  rewards are at most 1, as in highway; after `budget` simulated steps, with
  the best sum that was found.

  Args:
    env: to act in; it is not changed.
    horizon: length of the sequences.
    budget: simulated steps, over which one more continuation may go.
  """
  count = env.act_space['action'].n
  one_hot = np.eye(count, dtype=np.float32)
  order = itertools.count()  # Of equal bounds, the longer, then the earlier.
  heap = [(-horizon, 0, next(order), 0.0, None, env, False)]
  best, spent = (-math.inf, None), 0
  while True:
    _, minus_length, _, total, first, node, complete = heapq.heappop(heap)
    if complete:
      return first
    if spent >= budget:
      return best[1]
    left = horizon + minus_length - 1
    for action in available(node):
      child = copy.deepcopy(node)
      row = child.step({'action': one_hot[action]})
      spent += 1
      value = total + float(row['reward'])
      over = bool(row['is_last']) or not left
      start = action if first is None else first
      heapq.heappush(heap, (
          -value - (0 if over else left), minus_length - 1, next(order), value,
          start, child, over))
      best = max(best, (value, start), key=lambda pair: pair[0])


def available(env: envs.Env) -> Sequence[int]:
  """Returns the actions that are not without effect, as highway-env says."""
  if action_names(env):
    return unwrapped(env).action_type.get_available_actions()
  return range(int(env.act_space['action'].n))
