"""Policies that observe nothing, by the names of actions of highway-env."""

from collections.abc import Callable, Mapping
import itertools
from typing import Any

import gymnasium as gym
import numpy as np

from dreamerv2_tf import envs
from dreamerv2_tf.config import Config

SCRIPTS = {  # Actions of an episode; the last goes on.
    'idle': ['IDLE'], 'faster': ['FASTER'], 'slower': ['SLOWER'],
    'left': ['LANE_LEFT'], 'right': ['LANE_RIGHT'],
    'right_slower': ['LANE_RIGHT'] * 3 + ['SLOWER'],
    'slower_right': ['SLOWER'] + ['LANE_RIGHT'] * 2 + ['SLOWER'],
}


class Scripted:
  """Acts by the number of the episode and of the step in it alone."""

  def __init__(self, choose: Callable[[int, int], np.ndarray]):
    """Begins with episode 0.

    Args:
      choose: from (episode, step) to an action, [A] float32.
    """
    self._choose = choose
    self._episodes = itertools.count()

  def __call__(
      self, obs: Mapping[str, np.ndarray], state: Any = None
  ) -> tuple[dict[str, np.ndarray], Any]:
    """Returns ({'action': [N, A] float32}, state) for N observations."""
    # Workers begin their episodes in this order, so that an episode gets the
    # same number with any number of workers only if it is numbered in it.
    state = list(state or [(0, 0)] * len(obs['is_first']))
    for worker, first in enumerate(obs['is_first']):
      episode, step = state[worker]
      state[worker] = (
          (next(self._episodes), 0) if first else (episode, step + 1))
    actions = [self._choose(episode, step) for episode, step in state]
    return {'action': np.stack(actions)}, state


def scripted(
    method: str, config: Config, names: Mapping[str, int],
    space: gym.Space) -> Scripted:
  """Returns the policy of a method that observes nothing.

  Args:
    method: random, or one of SCRIPTS.
    config: reads seed.
    names: of the actions, to their indices.
    space: of the actions, Discrete or Box(-1, 1, (A,)).
  """
  def draw(episode, step):
    return np.random.default_rng([config.seed, episode, step])
  if isinstance(space, gym.spaces.Box):
    assert method == 'random', method
    return Scripted(lambda *now: draw(*now).uniform(
        -1, 1, space.shape).astype(np.float32))
  one_hot = np.eye(space.n, dtype=np.float32)
  if method == 'random':
    return Scripted(lambda *now: one_hot[int(draw(*now).integers(space.n))])
  script = [names[name] for name in SCRIPTS[method]]
  return Scripted(
      lambda episode, step: one_hot[script[min(step, len(script) - 1)]])


def action_names(env: envs.Env) -> dict[str, int]:
  """Returns the meta-actions of highway-env, name to index; or none."""
  kind = getattr(unwrapped(env), 'action_type', None)
  return {name: index for index, name in getattr(kind, 'actions', {}).items()}


def unwrapped(env: envs.Env) -> gym.Env:
  """Returns the environment without our interface."""
  return env._env.unwrapped
