"""What runs in the actor of a collector: driver, policy and weights.

It hands over whole episodes. Weights come while an episode runs and act from
its next step on, as they would beside the learner; each call brings them, too,
as an actor that was restarted has none.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
import logging
import os
import socket
from typing import Any, NamedTuple

import numpy as np

from .. import envs, errors, startup
from ..config import Config
from ..data.driver import Driver
from ..data.random_policy import RandomPolicy
from . import environments

RANDOM = -1  # Version of the weights where none chose the action.


class Plan(NamedTuple):
  """How a collector is to act."""

  number: int = 0  # Plans with a higher one replace those with a lower one.
  name: str = 'random'  # Or agent.
  mode: str | None = None  # Of the policy.
  version: int = RANDOM  # Gradient steps that the weights have seen.


class Actor:
  """Collects with its own environments; lives in a process of Ray's.

  Nothing is built before `build` or `collect`: what an actor can not do there
  is an answer, not a death.
  """

  def __init__(
      self, config: Config, factory: Callable[[], envs.Env], number: int):
    """Takes what a restart needs again.

    Args:
      config: of the run.
      factory: makes an environment.
      number: of this collector.
    """
    self._config = config
    self._run_seed = config.seed
    self._factory = factory
    self._number = number
    self._pool: envs.Pool | None = None
    self._driver: Driver | None = None
    self._policy: Any = None
    self._plan, self._offer = Plan(), (Plan(), {})
    self._names: Sequence[str] = ()
    self._indices: dict[int, int] = {}  # Environment to number of its episode.
    self._versions = collections.defaultdict(list)
    self._done: list[dict] = []
    self._notes: collections.deque = collections.deque(maxlen=50)

  def build(self) -> dict[str, Any]:
    """Builds the environments.

    Returns:
      As `collect`, with `spaces`, `fps`, `about`, `mapping` and `node`.
    """
    return self._answer(self._build, lambda: {
        'spaces': (self._pool.obs_space, self._pool.act_space),
        'fps': self._pool.fps, 'about': self._pool.about,
        'mapping': self._pool.mapping,
        'node': {'host': socket.gethostname(), 'pid': os.getpid()}})

  def collect(
      self, plan: Plan, weights: Mapping[str, np.ndarray],
      begin: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """Goes on until an episode has ended.

    Args:
      plan: how to act, unless a newer one has come.
      weights: path -> array, of the policy; empty for random actions.
      begin: number of the next episode of each environment; counts in the
        first call of this process.
      names: of the observations, in the order of the agent.

    Returns:
      `episodes`, each with `worker`, `index`, `arrays` {key: [rows, ...]} and
      `versions` [steps]; `failures`, `dropped` and `outside` of the pool;
      `steps`; `notes`, what was logged; or `error`, its class and message.
    """
    def run():
      self._build()
      if self._driver is None:
        self._begin(list(begin))
      self._names = names
      self.offer(plan, weights)
      self._driver(self._act, episodes=1)
    return self._answer(run, dict)

  def offer(self, plan: Plan, weights: Mapping[str, np.ndarray]) -> int:
    """Takes a plan, which acts from the next step on; returns `steps`."""
    if plan.number > self._offer[0].number:
      self._offer = plan, weights
    return self.steps()

  def steps(self) -> int:
    """Returns the steps so far, a sign of life."""
    return self._driver.steps if self._driver else 0

  def _answer(self, work, more):
    """Does the work; errors that a user can act on are an answer as well."""
    result: dict[str, Any] = {'number': self._number}
    try:
      work()
      result.update(more())
    except errors.DreamerError as error:
      result['error'] = type(error).__name__, str(error)
    if self._pool:
      result |= {
          key: getattr(self._pool, key)
          for key in ('failures', 'dropped', 'outside')}
    result['steps'] = self.steps()
    result['episodes'], self._done = self._done, []
    result['notes'] = [self._notes.popleft() for _ in range(len(self._notes))]
    return result

  def _build(self):
    if self._pool:
      return
    log = logging.getLogger('dreamerv2_tf')
    log.addHandler(_Notes(self._notes))
    log.propagate = False
    self._pool = environments.make_pool(
        self._own_config(()), self._factory, self._config.envs)

  def _begin(self, begin):
    """Makes the driver, whose episodes go on from these numbers."""
    self._config = self._own_config(begin)
    self._random = RandomPolicy(self._pool.act_space, [self._config.seed, 2])
    self._driver = driver = Driver(self._pool, self._scenario)
    driver.restore({'steps': 0, 'episodes': 0, 'workers': [
        {'episode': index, 'running': False} for index in begin]})
    driver.on_step(
        lambda row, worker: self._versions[worker].append(self._plan.version))
    driver.on_episode(self._finish)

  def _own_config(self, begin):
    """Returns the settings with a seed that no other collector has.

    Nor has this one after a restart, so that it does not draw the same again.
    """
    seed = np.random.SeedSequence(
        [self._run_seed, 5, self._number, *begin]).generate_state(1)
    return self._config.update({'seed': int(seed[0]), 'precision': 32})

  def _scenario(self, worker, index):
    self._indices[worker] = index
    self._versions[worker] = []
    worker += self._number * self._config.envs
    return environments.train_scenario(self._run_seed, worker, index)

  def _finish(self, episode, worker):
    steps = len(episode['action']) - 1
    self._done.append({
        'worker': worker + self._number * self._config.envs,
        'index': self._indices[worker], 'arrays': episode,
        'versions': np.array(self._versions[worker][:steps], np.int64)})

  def _act(self, obs, state):
    plan, weights = self._offer
    if plan.number > self._plan.number:
      if plan.name == 'agent' and plan.version != self._plan.version:
        self._load(weights)
      self._plan = plan
    if plan.name == 'random':
      return self._random(obs, state)
    return self._policy(obs, state, plan.mode)

  def _load(self, weights):
    """Takes weights into the policy, which is made at the first."""
    if self._policy is None:
      startup.import_tensorflow()  # After prefill: it begins without.
      from . import acting
      self._policy = acting.make_policy(
          self._config, envs.in_order(self._pool.obs_space, list(self._names)),
          self._pool.act_space)
    self._policy.sync(weights)


class _Notes(logging.Handler):
  """Keeps warnings for the learner, who tells of them."""

  def __init__(self, notes):
    super().__init__(logging.WARNING)
    self._notes = notes

  def emit(self, record):
    self._notes.append(record.getMessage()[:2000])
