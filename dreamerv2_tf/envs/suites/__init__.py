"""Suites of environments: what a task names before its first underscore.

The function of a suite is

    make(name, settings, *, scale, render, action_repeat, time_limit) -> Env

where `name` is the rest of the task and `settings` is env.config. A new suite
is a module beside the others, and an entry here.
"""

from . import gym, highway, highway_envpool

SUITES = {'highway': highway.make, 'gym': gym.make}
ENVPOOL = {'highway': highway_envpool.make}  # With env.simulator envpool.
LATER = ('atari', 'dmc', 'crafter', 'minatar')  # Not in this version.
