"""Steps a pool of environments with one policy call for all."""

from collections.abc import Callable, Mapping
import logging
import time
from typing import Any

import gymnasium as gym
import numpy as np

from ..envs import Failure, Pool, check_actions
from .running import (
  Row,
  Running,
  action_to_json,
  actions_to_repeat,
  no_action,
  replay_episodes,
)

log = logging.getLogger(__name__)


class Driver:
  """Collects rows; the original's driver, with workers that may fail.

  Time convention: a row holds an observation, the reward and flags that came
  with it, and the action that led to it. For an episode of 3 steps:

      on_reset:  row 0   action zeros, reward 0, is_first
      on_step:   row 1   row 2   row 3 (is_last)
      on_episode:  [row 0, row 1, row 2, row 3] stacked, 4 rows

  A worker whose environment fails loses the row that it was working on: its
  last row becomes is_last, in place and not terminal, `on_cut` is called, and
  `on_episode` if it has made a step. Other workers go on.

  Results depend on seeds and policy only, never on timing.

  Attributes:
    policy_state: what the policy returned last; None restarts its memory. Set
      it to None before another policy.
    steps: rows that are no reset rows, since the start.
    episodes: complete episodes, since the start; those cut by a failure count.
  """

  def __init__(
      self, pool: Pool, seeds: Callable[[int, int], int | None]):
    """Begins no episode yet.

    Args:
      pool: the environments; N of them.
      seeds: from (worker, index of its episode) to the seed of the reset, or
        None: nothing is left for this worker. It idles then: the policy gets
        its last observation again and what it answers is ignored.
    """
    self._pool = pool
    self._seeds = seeds
    self._action_space = pool.act_space['action']
    self._workers = [Running(pool.obs_space) for _ in range(len(pool))]
    self._on_step, self._on_reset = [], []
    self._on_episode, self._on_cut = [], []
    self._times = dict.fromkeys(['env', 'policy'], 0.0)
    self._since = time.monotonic(), 0
    self._unanswered = {}  # Worker to the action that it is to get again.
    self.policy_state = None
    self.steps = self.episodes = 0

  def on_step(self, function: Callable[[Row, int], Any]) -> None:
    """Calls function(row, worker) after each step."""
    self._on_step.append(function)

  def on_reset(self, function: Callable[[Row, int], Any]) -> None:
    """Calls function(row, worker) with the first row of each episode."""
    self._on_reset.append(function)

  def on_episode(self, function: Callable[[Row, int], Any]) -> None:
    """Calls function(episode, worker); arrays are [rows, ...]."""
    self._on_episode.append(function)

  def on_cut(self, function: Callable[[int], Any]) -> None:
    """Calls function(worker) when its running episode was cut by a failure."""
    self._on_cut.append(function)

  def __call__(
      self, policy: Callable, steps: int = 0, episodes: int = 0,
      overlap: Callable[[], Any] | None = None) -> None:
    """Goes on until both numbers are reached, or all workers idle.

    Running episodes continue in the next call. Returns early if the pool was
    asked to stop. If a worker did not answer then, that step is not made by any
    of them; the driver that goes on from `state` sends the same actions.

    Args:
      policy: from (dict of [N, ...] observations, state) to ({'action':
        [N, A]}, state).
      steps: at least this many steps of all workers together.
      episodes: at least this many complete episodes.
      overlap: called in each iteration while the environments step.

    Raises:
      ValueError: the policy gave an action that is not in the space.
      EnvError, NonFiniteError, StateError: see Pool.recv.
    """
    steps += self.steps
    episodes += self.episodes
    for worker in self._workers:
      worker.idle = False
    while self.steps < steps or self.episodes < episodes:
      if self._pool.stopped:
        break
      if not self._unanswered:
        self._reset()
        if self._pool.stopped:
          break
        running = [i for i, w in enumerate(self._workers) if w.running]
        if not running:
          if all(worker.idle for worker in self._workers):
            break
          continue  # All resets failed; the pool gives up in the end.
        actions = self._act(policy)
        self._unanswered = {index: actions[index] for index in running}
      self._exchange([
          ('step', self._unanswered[index]) if index in self._unanswered
          else None for index in range(len(self._workers))], overlap)

  def state(self) -> dict[str, Any]:
    """Returns JSON-able counters, and how to replay the running episodes."""
    return {
        'steps': self.steps,
        'episodes': self.episodes,
        'unanswered': [
            [index, action_to_json(self._action_space, action)]
            for index, action in self._unanswered.items()],
        'workers': [x.state(self._action_space) for x in self._workers]}

  def restore(
      self, state: Mapping[str, Any],
      on_row: Callable[[Row, int], Any] | None = None) -> None:
    """Rebuilds the running episodes by replaying their actions.

    A worker whose environment does not come out where it was begins its next
    episode instead, with a warning; the policy is asked anew then.

    Args:
      state: of `state`, with any number of workers.
      on_row: called as on_row(row, worker) for each row of these episodes.

    Raises:
      ValueError: an action is not in the space.
      Interrupted: a signal came, which the pool has seen.
    """
    self.steps, self.episodes = state['steps'], state['episodes']
    self._since = time.monotonic(), self.steps
    saved = state['workers'][:len(self._workers)]
    if len(state['workers']) != len(self._workers):
      log.warning(
          f"The state has {len(state['workers'])} environments, now there are "
          f'{len(self._workers)}; new ones begin their first episode.')
    for worker, record in zip(self._workers, saved):
      worker.load(record)
    for index, rows in replay_episodes(self._pool, saved).items():
      self._workers[index].resume(rows, saved[index]['seed'])
      for row in rows:
        if on_row:
          on_row(row, index)
    self._unanswered = actions_to_repeat(
        self._action_space, state, [x.running for x in self._workers])

  def stats(self) -> dict[str, float]:
    """Returns rates and times since the call before, and event counts.

    Returns:
      fps_env: steps of all workers together per second of wall time.
      time_env, time_policy: seconds waiting for environments and in the
        policy.
      env_failures, env_dropped, env_outside: failures, episodes ended by NaN
        or infinity, and rows outside of their space, since the start.
    """
    now = time.monotonic()
    then, steps = self._since
    result = {f'time_{key}': value for key, value in self._times.items()}
    result['fps_env'] = (self.steps - steps) / max(now - then, 1e-9)
    result['env_failures'] = self._pool.failures
    result['env_dropped'] = self._pool.dropped
    result['env_outside'] = self._pool.outside
    self._times = dict.fromkeys(self._times, 0.0)
    self._since = now, self.steps
    return result

  def _reset(self):
    """Begins an episode for each worker that has none."""
    commands = [None] * len(self._workers)
    for index, worker in enumerate(self._workers):
      if not worker.running and not worker.idle:
        worker.seed = self._seeds(index, worker.index)
        worker.idle = worker.seed is None
        if not worker.idle:
          worker.index += 1
          commands[index] = 'reset', worker.seed
    if any(commands):
      self._exchange(commands)

  def _act(self, policy):
    """Returns the actions of all workers, [N, A] float32."""
    keys = self._pool.obs_space
    obs = {key: np.stack([worker.row[key] for worker in self._workers])
           for key in keys}
    start = time.monotonic()
    output, self.policy_state = policy(obs, self.policy_state)
    actions = np.array(output['action'], np.float32)
    self._times['policy'] += time.monotonic() - start
    running = [worker.running for worker in self._workers]
    check_actions(self._action_space, actions[running])
    if isinstance(self._action_space, gym.spaces.Discrete):
      actions = np.round(actions)  # One-hot to the bit, as it is replayed.
    return actions

  def _exchange(self, commands, overlap=None):
    """Sends commands, then takes in the rows in the order of the workers."""
    self._pool.send(commands)
    if overlap:
      overlap()
    start = time.monotonic()
    results = self._pool.recv()
    self._times['env'] += time.monotonic() - start
    steps = self._unanswered
    if steps and any(results[index] is None for index in steps):
      return  # Asked to stop.
    self._unanswered = {}
    for index, (command, result) in enumerate(zip(commands, results)):
      if isinstance(result, Failure):
        self._cut(index)
      elif result is not None:
        self._take(index, command, result)
      elif command and command[0] == 'reset':  # Asked to stop.
        self._workers[index].index -= 1

  def _take(self, index, command, row):
    """Adds a row to the episode of a worker and calls the callbacks."""
    worker = self._workers[index]
    first = command[0] == 'reset'
    action = no_action(self._action_space) if first else command[1]
    row = {**row, 'action': action}
    if first:
      worker.begin(row)
    else:
      worker.add(row)
      self.steps += 1
    for function in self._on_reset if first else self._on_step:
      function(row, index)
    if row['is_last']:
      self._finish(index)

  def _cut(self, index):
    """Ends an episode whose environment failed."""
    worker = self._workers[index]
    if not worker.running:
      return  # It failed in its reset.
    worker.row['is_last'] = np.bool_(True)
    for function in self._on_cut:
      function(index)
    self._finish(index)

  def _finish(self, index):
    worker = self._workers[index]
    rows = worker.end()
    if len(rows) < 2:
      return
    self.episodes += 1
    episode = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    for function in self._on_episode:
      function(episode, index)
