"""Runs episodes on fixed scenarios."""

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
import logging
import sys
from typing import Any, NamedTuple

import numpy as np

from .. import envs, errors
from ..data.driver import Driver

log = logging.getLogger('dreamerv2_tf')

TRIES = 3  # Of a scenario in which the environment fails.
LONG = 30_000  # Steps of an episode that may never end.


Look = Callable[[Mapping[str, np.ndarray], Any], Mapping[str, np.ndarray]]


class Shot(NamedTuple):
  """What was filmed of one row of an episode."""

  row: Mapping[str, np.ndarray]
  frames: list[envs.Frame]  # Since the row before.
  look: Mapping[str, np.ndarray]  # When its action was chosen; first: empty.


class Evaluation(NamedTuple):
  """What came of scenarios."""

  episodes: list[Mapping[str, np.ndarray]]  # Key -> [rows, ...], in order.
  films: dict[int, list[Shot]]  # Of those filmed that came to their end.


class Evaluator:
  """Runs policies on scenarios, in environments that it keeps.

  Training, the command `eval` and the scripts all evaluate with it: each
  scenario is one episode, whatever the number of environments. A scenario in
  which the environment fails is run again; after three times it is left out,
  with a warning.
  """

  def __init__(
      self, open_pool: Callable[[], envs.Pool], film: Iterable[int] = (),
      before_step: Callable[[], Any] = lambda: None,
      progress: Callable[[int], Any] = lambda done: None,
      look: Look | None = None):
    """Starts nothing yet.

    Args:
      open_pool: starts the environments, when they are first needed.
      film: scenarios whose pictures are returned, if the pool renders.
      before_step: called before each step, and if `open_pool` was
        interrupted; may raise.
      progress: called with the number of complete episodes.
      look: from what the policy returned, outputs and state, to key -> [N,
        ...]: what else is to be filmed. Called only while a film is made.
    """
    self._open_pool = open_pool
    self._film = film
    self._look = look
    self._before_step = before_step
    self._progress = progress
    self._pool = None

  @property
  def pool(self) -> envs.Pool:
    """The environments, started here if they were not yet.

    Raises:
      EnvError, ConfigError, StateError, Interrupted: see `Pool`.
    """
    if self._pool is None:
      try:
        self._pool = self._open_pool()
      except errors.Interrupted:
        self._before_step()
        raise
    return self._pool

  def __enter__(self) -> 'Evaluator':
    return self

  def __exit__(self, *exc_info) -> None:
    self.close()

  def __call__(self, policy: Callable, seeds: Sequence[int]) -> Evaluation:
    """Runs one episode for each scenario.

    Args:
      policy: from (dict of [N, ...] observations, state) to ({'action':
        [N, A]}, state).
      seeds: scenarios.

    Returns:
      Episodes in the order of the seeds, and films.

    Raises:
      EnvError: there is no episode at all.
    """
    scenarios = _Scenarios(self.pool, seeds, self._film, self._progress)
    driver = Driver(self.pool, scenarios.next)
    for function in scenarios.film, scenarios.measure:
      driver.on_reset(function)
      driver.on_step(function)
    driver.on_cut(scenarios.cut)
    driver.on_episode(scenarios.finish)
    def act(obs, state):
      result = policy(obs, state)
      if self._look and scenarios.filming:
        scenarios.look = self._look(*result)
      return result
    while scenarios.left:
      self._before_step()
      driver(act, steps=1)
    return scenarios.result()

  def close(self) -> None:
    """Ends the environments."""
    if self._pool:
      self._pool.close()


def show_progress(total: int) -> Callable[[int], None]:
  """Returns what shows the number of complete episodes on a terminal."""
  return lambda done: show_line(
      f'{done}/{total} episodes' if done < total else '')


def show_line(text: str) -> None:
  """Shows what is being done in place of what was, on a terminal."""
  if sys.stderr and sys.stderr.isatty():
    print(f'\r{text}\x1b[K', end='', file=sys.stderr, flush=True)


class _Scenarios:
  """Which scenarios wait, run and are done; its methods are for a Driver."""

  def __init__(self, pool, seeds, film, progress):
    self._pool = pool
    self._seeds = list(seeds)
    self._waiting = self._seeds[::-1]
    self._running = {}  # Worker to scenario.
    self._cut = set()  # Workers whose episode does not count.
    self._done = {}  # Scenario to episode.
    self._tries = collections.Counter()
    self._lengths = collections.Counter()
    self._films = {seed: [] for seed in film}
    self._progress = progress
    self.look = {}  # Of all workers, when they last acted.

  @property
  def left(self):
    return bool(self._waiting or self._running)

  @property
  def filming(self):
    return not self._films.keys().isdisjoint(self._running.values())

  def next(self, worker, index):
    """Returns the scenario that a worker begins, None if none is left."""
    self._cut.discard(worker)
    if self._tries[self._running.get(worker)] == TRIES:
      log.warning(
          'Scenario %d is left out: its episode was cut %d times.',
          self._running.pop(worker), TRIES)
    if worker not in self._running and self._waiting:
      self._running[worker] = self._waiting.pop()
    seed = self._running.get(worker)
    if seed is not None:
      self._tries[seed] += 1
    return seed

  def film(self, row, worker):
    film = self._films.get(self._running[worker])
    if film is None:
      return
    look = {}
    if row['is_first']:
      film.clear()
    else:
      look = {key: value[worker] for key, value in self.look.items()}
    film.append(Shot(row, self._pool.frames[worker], look))

  def measure(self, row, worker):
    """Warns of an episode that may never end."""
    lengths = self._lengths
    lengths[worker] = 0 if row['is_first'] else lengths[worker] + 1
    if lengths[worker] == LONG:
      log.warning(
          'The episode of scenario %d goes on after %d steps. If it never '
          'ends, cut it: --time_limit %d.', self._running[worker], LONG, LONG)

  def cut(self, worker):
    self._cut.add(worker)

  def finish(self, episode, worker):
    if worker not in self._cut:
      self._done[self._running.pop(worker)] = episode
      self._progress(len(self._done))

  def result(self):
    if not self._done:
      raise errors.EnvError('No scenario could be run to its end.')
    return Evaluation(
        [self._done[seed] for seed in self._seeds if seed in self._done],
        {seed: film for seed, film in self._films.items()
         if seed in self._done and any(shot.frames for shot in film)})
