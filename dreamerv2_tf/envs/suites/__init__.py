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
# With env.simulator envpool.
ENVPOOL: dict[str, Make] = {'highway': highway_envpool.make}
LATER = ('atari', 'dmc', 'crafter', 'minatar')  # Not in this version.
