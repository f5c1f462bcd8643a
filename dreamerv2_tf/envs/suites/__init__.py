"""Suites of environments: what a task names before its first underscore.

The function of a suite is

    make(name, config, *, scale, render, action_repeat, time_limit, ...) -> Env

where `name` is the rest of the task and `config` is env.config. What a suite
takes besides are settings of its own, which `envs.make` gives it. A new suite
is a module beside the others, and an entry here. What a suite needs is imported
when one of its tasks is made.
"""

from collections.abc import Callable

from ..env import Env
from . import (
    atari,
    atari_envpool,
    crafter,
    dmc,
    dmc_envpool,
    gym,
    gym_envpool,
    highway,
    highway_envpool,
    minatar,
)

Make = Callable[..., Env]
SUITES: dict[str, Make] = {
    'highway': highway.make, 'gym': gym.make, 'atari': atari.make,
    'dmc': dmc.make, 'crafter': crafter.make, 'minatar': minatar.make}
# With env.simulator envpool.
ENVPOOL: dict[str, Make] = {
    'highway': highway_envpool.make, 'gym': gym_envpool.make,
    'atari': atari_envpool.make, 'dmc': dmc_envpool.make}
