"""Running episodes: how they grow, are written to a state and replayed."""

from collections.abc import Mapping, Sequence
import hashlib
import logging
from typing import Any

import gymnasium as gym
import numpy as np

from ..envs import Failure, Pool, check_actions

Row = dict[str, np.ndarray]
log = logging.getLogger(__name__)


class Running:
  """The running episode of one environment, and what comes after it.

  Attributes:
    row: the last row.
    index: number of episodes begun.
    seed: of the running episode.
    idle: no seed is left.
  """

  def __init__(self, obs_space: Mapping[str, gym.Space]):
    """Begins no episode; the row before the first one is all zeros."""
    self.row: Row = {
        key: np.zeros(space.shape, space.dtype)
        for key, space in obs_space.items()}
    self.index = 0
    self.seed: int | None = None
    self.idle = False
    self._rows = []

  @property
  def running(self) -> bool:
    """Whether an episode has begun and not ended."""
    return bool(self._rows)

  def begin(self, row: Row) -> None:
    """Takes the first row of an episode."""
    self.row = row
    self._rows = [row]

  def add(self, row: Row) -> None:
    """Takes the next row."""
    self.row = row
    self._rows.append(row)

  def end(self) -> list[Row]:
    """Returns the rows of the episode, which runs no more."""
    rows, self._rows = self._rows, []
    return rows

  def resume(self, rows: list[Row], seed: int) -> None:
    """Takes an episode that was replayed."""
    self.row = rows[-1]
    self.seed = seed
    self._rows = rows

  def state(self, space: gym.Space) -> dict[str, Any]:
    """Returns what `replay_episodes` needs, JSON-able."""
    if not self.running:
      return {'episode': self.index, 'running': False}
    return {
        'episode': self.index,
        'running': True,
        'seed': self.seed,
        'actions': [
            action_to_json(space, row['action']) for row in self._rows[1:]],
        'digest': digest(self.row)}

  def load(self, record: Mapping[str, Any]) -> None:
    """Takes the number of episodes from a state."""
    self.index = record['episode']
    self.idle = False


def replay_episodes(
    pool: Pool, records: Sequence[Mapping[str, Any]]) -> dict[int, list[Row]]:
  """Rebuilds running episodes by replaying their actions.

  Args:
    pool: the environments.
    records: of `Running.state`, for the first environments.

  Returns:
    Worker to rows. Those whose environment does not come out where it was are
    left out, with a warning.

  Raises:
    ValueError: an action is not in the space.
    Interrupted: a signal came, which the pool has seen.
  """
  space = pool.act_space['action']
  plans = {}
  for index, record in enumerate(records):
    if record['running']:
      plans[index] = [
          ('reset', record['seed']),
          *[('step', action_from_json(space, action))
            for action in record['actions']]]
  result = {}
  for index, rows in _run(pool, plans).items():
    if index in plans and digest(rows[-1]) == records[index]['digest']:
      result[index] = rows
    else:
      log.warning(
          f'The running episode of worker {index} could not be replayed with'
          f" seed {records[index]['seed']}; a new one begins.")
  return result


def actions_to_repeat(
    space: gym.Space, state: Mapping[str, Any],
    running: Sequence[bool]) -> dict[int, np.ndarray]:
  """Returns the actions without an answer, if all of their episodes run on.

  Otherwise there are none and the policy is asked anew.

  Args:
    space: of the actions.
    state: of `Driver.state`.
    running: for each worker, whether its episode could be replayed.

  Returns:
    Worker to action, [A] float32.

  Raises:
    ValueError: an action is not in the space.
  """
  unanswered = {
      index: action_from_json(space, action)
      for index, action in state.get('unanswered', ())}
  same = len(state['workers']) == len(running)
  resumed = same and all(running[index] for index in unanswered)
  return unanswered if resumed else {}


def no_action(space: gym.Space) -> np.ndarray:
  """Returns the action of first rows, zeros, [A] float32."""
  size = space.n if isinstance(space, gym.spaces.Discrete) else space.shape[0]
  return np.zeros(int(size), np.float32)


def action_to_json(space: gym.Space, action: np.ndarray) -> int | list[float]:
  """Returns the index of a one-hot action, or the values of another."""
  if isinstance(space, gym.spaces.Discrete):
    return int(np.argmax(action))
  return [float(value) for value in action]


def action_from_json(space: gym.Space, action: Any) -> np.ndarray:
  """Returns the action, [A] float32, of `action_to_json`.

  Raises:
    ValueError: it is not in the space.
  """
  if isinstance(space, gym.spaces.Discrete):
    if action not in range(space.n):
      raise ValueError(f'action {action!r} is not below {space.n}')
    return np.eye(space.n, dtype=np.float32)[action]
  action = np.array(action, np.float32)
  check_actions(space, action[None])
  return action


def digest(row: Row) -> str:
  """Returns the SHA-256 over keys, dtypes, shapes and values of a row."""
  result = hashlib.sha256()
  for key in sorted(row):
    value = np.asarray(row[key])
    result.update(f'{key} {value.dtype} {value.shape} '.encode())
    result.update(value.tobytes())
  return result.hexdigest()


def _run(pool, plans):
  """Runs the commands of each worker side by side.

  Takes those out of `plans` whose environment fails or ends before the last
  command; returns the rows of each.
  """
  rows = {index: [] for index in plans}
  for time_step in range(max(map(len, plans.values()), default=0)):
    pool.send([
        plans[i][time_step] if time_step < len(plans.get(i, ())) else None
        for i in range(len(pool))])
    replies = pool.recv()
    pool.check_stop('while resuming, the state is as it was saved.')
    for index, row in enumerate(replies):
      if isinstance(row, Failure):
        del plans[index]
      elif row is not None:
        name, argument = plans[index][time_step]
        first = name == 'reset'
        action = no_action(pool.act_space['action']) if first else argument
        rows[index].append({**row, 'action': action})
        if row['is_last']:
          del plans[index]
  return rows
