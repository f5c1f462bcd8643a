"""Toy environments behind the dict interface."""

import numpy as np

from dreamerv2_tf import envs


def config(env_config=None, scale=1.0, simulator='highway-env', **kwargs):
  """The settings of an environment."""
  env = {
      'config': env_config or {}, 'obs_scale': scale, 'simulator': simulator}
  return {'env': env, 'action_repeat': 1, 'time_limit': 0, **kwargs}


def make(name, env_config=None, render=False, **kwargs):
  return envs.make(
      f'gym_toys:{name}-v0', **config(env_config, **kwargs), render=render)


def onehot(index, size=2):
  return {'action': np.eye(size, dtype=np.float32)[index]}
