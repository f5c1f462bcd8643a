"""Environments of Gymnasium as EnvPool simulates them, for training.

Those of classic control and of MuJoCo, where both have the same spaces,
limits, rewards and ends of episodes.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ..env import Env
from . import gym
from .instances import Instances, check_config, fixed, known, lacks, like

CLASSIC = (
    'Acrobot-v1', 'CartPole-v0', 'CartPole-v1', 'MountainCar-v0',
    'MountainCarContinuous-v0', 'Pendulum-v1')
# In v4, EnvPool's humanoids feel no forces from outside, and Gymnasium's Pusher
# does not run with the MuJoCo of today.
MUJOCO = tuple(f'{body}-v{version}' for body, versions in {
    'Ant': (4, 5), 'HalfCheetah': (4, 5), 'Hopper': (4, 5),
    'Humanoid': (5,), 'HumanoidStandup': (5,),
    'InvertedDoublePendulum': (4, 5), 'InvertedPendulum': (4, 5),
    'Pusher': (5,), 'Reacher': (4, 5), 'Swimmer': (4, 5),
    'Walker2d': (4, 5)}.items() for version in versions)


def make(
    name: str, kwargs: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False, **options: Any) -> Env:
  """Makes an environment with the spaces of `gym.make`.

  Args:
    name: one of CLASSIC and MUJOCO.
    kwargs: must be empty.
    scale, render: see `gym.make`; MuJoCo's can not be filmed.
    **options: `action_repeat` and `time_limit` of Env.

  Raises:
    ConfigError: EnvPool is not installed, or lacks the id or a setting; or
      what `gym.make` refuses.
    EnvError: the environment can not be built or breaks the API.
  """
  ids = known()
  names = [x for x in (*CLASSIC, *MUJOCO) if x in ids]
  if name not in names:
    raise lacks(f'gym_{name}', names)
  check_config(kwargs)
  if render and name in MUJOCO:
    raise fixed('render', render, 'False')
  own = gym.make(name, {}, scale=scale, **options)
  plain: Any = own._env
  env = Instances(
      name, {}, plain.observation_space, plain.action_space,
      limit=plain.spec.max_episode_steps, render=bool(render))
  return like(own, env, render=render, **options)
