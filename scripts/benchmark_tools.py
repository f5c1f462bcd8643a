"""What the measurements of benchmark.py share."""

from collections.abc import Callable, Mapping, Sequence
import functools
import itertools
import math
import os
import pathlib
import time
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from dreamerv2_tf import envs, startup
from dreamerv2_tf.config import Config
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.run import environments


class Task(NamedTuple):
  """What a part measures.

  Attributes:
    config: the resolved configuration.
    options: values of the script's flags.
    obs_space, act_space: of an environment.
    began: `time.monotonic()` when the process was started, seconds.
  """

  config: Config
  options: Config
  obs_space: dict[str, gym.Space]
  act_space: dict[str, gym.Space]
  began: float

  def seconds(self, usual: float) -> float:
    """Returns how long to repeat what usually gets so long."""
    return 0.05 if self.options.quick else usual


def cores() -> list[int]:
  """Returns the cores to use, one thread of each physical one first."""
  physical = {}
  for core in sorted(os.sched_getaffinity(0)):
    path = pathlib.Path(
        f'/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list')
    name = path.read_text() if path.exists() else core
    physical.setdefault(name, []).append(core)
  turns = itertools.zip_longest(*physical.values())
  return [core for turn in turns for core in turn if core is not None]


def pin(wanted: Sequence[int]) -> None:
  """Keeps all threads of this process, and those to come, on some cores."""
  for thread in os.listdir('/proc/self/task'):
    os.sched_setaffinity(int(thread), wanted)


def repeat(
    function: Callable, limit: float, least: int = 3,
    most: int = 50) -> list[float]:
  """Calls once to warm up, then for some seconds; returns seconds of calls."""
  function()
  times = []
  while len(times) < least or sum(times) < limit and len(times) < most:
    times.append(seconds(function))
  return times


def seconds(function: Callable, *args: Any) -> float:
  """Returns how long a call takes."""
  began = time.perf_counter()
  function(*args)
  return time.perf_counter() - began


def median(times: Sequence[float]) -> float:
  """Returns the median."""
  return float(np.median(times))


def make_agent(task: Task) -> Any:
  """Builds the agent as training does."""
  startup.import_tensorflow()
  from dreamerv2_tf.agent import Agent
  from dreamerv2_tf.run.agents import prepare_tensorflow
  prepare_tensorflow(task.config)
  return Agent(task.config, task.obs_space, task.act_space)


def stepper(agent: Any, data: Mapping[str, np.ndarray]) -> Callable[[], None]:
  """Returns a function that takes a gradient step, as training does."""
  state = None
  def step():
    nonlocal state
    state, metrics = agent.train(data, state)
    [float(x) for x in metrics.values()]  # Waits for them.
  return step


def sample(task: Task, lead: Sequence[int]) -> dict[str, np.ndarray]:
  """Makes up rows as replay has them, [*lead, ...]."""
  rng = np.random.default_rng(0)
  result = {}
  for key, space in task.obs_space.items():
    shape = (*lead, *space.shape)
    if space.dtype == np.uint8:
      result[key] = rng.integers(0, 256, shape, np.uint8)
    elif space.dtype == bool:
      result[key] = np.zeros(shape, bool)
    else:
      result[key] = rng.normal(size=shape).astype(space.dtype)
  random = RandomPolicy(task.act_space, 0)
  action = random({'rows': range(math.prod(lead))})[0]['action']
  return result | {'action': action.reshape(*lead, -1)}


def make_pool(config: Config, count: int) -> envs.Pool:
  """Makes environments, each in a process of its own."""
  return environments.make_pool(
      config.update({'envs_parallel': 'process'}),
      functools.partial(
          envs.make, config.task, **config.taken_by(envs.make)), count)
