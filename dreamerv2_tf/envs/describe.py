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
  plain: Any = env.unwrapped
  try:
    if hasattr(plain, 'action_type'):
      names = plain.action_type.actions
      return [str(names[index]) for index in range(env.actions.space.n)]
    if hasattr(plain, 'get_action_meanings'):
      return [str(name) for name in plain.get_action_meanings()]
  except Exception:  # Other environments may call other things so.
    pass
  return []


def limit(env: Env) -> int | None:
  """Returns after how many steps of the policy an episode is cut at the latest.

  None if nothing says so.
  """
  limits = [env.time_limit] if env.time_limit else []
  plain: Any = env.unwrapped
  if env.registered_limit:
    limits.append(-(-env.registered_limit // env.action_repeat))
  config = getattr(plain, 'config', None)
  if isinstance(config, dict) and 'duration' in config:  # highway-env
    frequency = config.get('policy_frequency', 1)
    limits.append(-(-int(config['duration'] * frequency) // env.action_repeat))
  return min(limits, default=None)
