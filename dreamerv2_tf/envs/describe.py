"""What people want to know of an environment, beyond its spaces."""

from typing import Any

import gymnasium as gym

from .env import Env


def action_names(env: Env) -> list[str]:
  """Returns the names of discrete actions in order; empty if they have none.

  Args:
    env: of any suite; highway-env names what its vehicles can decide, Atari
      what its buttons do.
  """
  if not isinstance(env.actions.space, gym.spaces.Discrete):
    return []
  plain: Any = env.plain
  count = int(env.actions.space.n)
  try:
    if hasattr(plain, 'action_type'):
      return [str(plain.action_type.actions[index]) for index in range(count)]
    if hasattr(plain, 'get_action_meanings'):
      return [str(name) for name in plain.get_action_meanings()]
  except Exception:  # Others may call something else so.
    pass
  return []


def longest(env: Env, time_limit: int, action_repeat: int) -> int | None:
  """Returns after how many steps of the policy an episode is over.

  Args:
    env: the environment.
    time_limit: our own, in steps of the policy; 0: none.
    action_repeat: environment steps for each of them.

  Returns:
    The smallest limit that is known; None if there is none.
  """
  limits = [time_limit] if time_limit else []
  inner = getattr(env.spec, 'max_episode_steps', None)
  config = getattr(env.plain, 'config', None)
  if isinstance(config, dict) and 'duration' in config:  # highway-env
    inner = int(config['duration'] * config.get('policy_frequency', 1))
  if inner:
    limits.append(-(-inner // action_repeat))
  return min(limits, default=None)
