"""Suites of environments: what a task names before its first underscore.

The function of a suite is

    make(
        name, settings, *, scale, render, smooth, action_repeat,
        time_limit) -> Env

where `name` is the rest of the task and `settings` is env.config. A new suite
is a module beside the others, and an entry here.
"""

from collections.abc import Callable

from ..env import Env
from . import gym, highway, highway_envpool

Make = Callable[..., Env]
SUITES: dict[str, Make] = {'highway': highway.make, 'gym': gym.make}
_WRAP = (
    'To learn in its environment, wrap that for Gymnasium in a Python program '
    'and give it to dreamerv2_tf.train')
# With env.simulator envpool.
ENVPOOL: dict[str, Make] = {'highway': highway_envpool.make}
# Not in this version, and what there is instead.
LATER = {
    'atari': (
        'Gymnasium has the games: pip install ale-py, then --task '
        'gym_ale_py:ALE/{name}-v5 --env.config.frameskip 1'),
    'dmc': (
        "Gymnasium has such bodies: pip install 'gymnasium[mujoco]', then a "
        '--task such as gym_Walker2d-v5 or gym_HalfCheetah-v5'),
    'crafter': _WRAP, 'minatar': _WRAP}
