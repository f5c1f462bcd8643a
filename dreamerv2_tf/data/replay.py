"""Replay: stores the episodes of the agent and samples batches of sequences.

Time convention, the original's. Row t of an episode holds the observation, the
reward and the flags that came with it, and the action that led to it:

  row        0            1            2          ...   n = rows - 1 = steps
  action     zeros        a_1          a_2              a_n
  obs        reset(a)     obs(a_1)     obs(a_2)         obs(a_n)
  reward     0            r(a_1)       r(a_2)           r(a_n)
  is_first   True         False        False            False
  is_last    False        False        False            True (also time limits)
  is_terminal  False      False        False            True unless truncated

Lengths of episodes (`minlen` to store, `capacity`, file names) count steps;
lengths of sequences and batches (`minlen`, `maxlen` to sample) count rows.
"""

from collections.abc import Callable, Mapping, Sequence
import logging
import os
from typing import Any
import weakref

import numpy as np

from .. import errors
from .counts import Counts
from .dataset import Dataset
from .layout import EpisodeError
from .library import Library
from .sampling import Episode, Sampler
from .store import Store

log = logging.getLogger(__name__)


class Replay:
  """Episodes on disk, sampled uniformly whether they are in RAM or not.

  Code: danijar/dreamerv2 common/replay.py, Replay.
  Differs: seeded and restorable; one sequence stream per batch row; RAM is
    bounded and capacity deletes files; damaged files are put aside; totals are
    not one step short per stored episode after a restart.
  """

  def __init__(
      self, directory: str | os.PathLike, capacity: float = 0,
      ongoing: bool = False, minlen: int = 1, maxlen: int = 0,
      prioritize_ends: bool = False, ram: float = 2e9,
      seed: int | Sequence[int] = 0,
      spaces: Mapping[str, tuple[Sequence[int], Any]] | None = None,
      are_actions: Callable[[np.ndarray], np.ndarray] | None = None):
    """Indexes the folder by file names; call `load_state` before other methods.

    Args:
      directory: folder of the episodes, made if needed.
      capacity: retained steps; the files of older episodes are deleted. 0: no
        limit.
      ongoing: also sample running episodes of at least minlen steps.
      minlen: steps of the shortest episode that is stored; rows of the
        shortest sequence.
      maxlen: rows of the longest sequence; 0: the whole episode.
      prioritize_ends: sample the last window of an episode more often.
      ram: bytes that decoded episodes may take.
      seed: of the sampling.
      spaces: shape without time axis and dtype of each key of an episode;
        None: those of the first episode.
      are_actions: see Store.

    Raises:
      ConfigError: a length does not make sense.
      StateError: the stored episodes are of another environment.
      StorageError: the folder can not be made.
    """
    if minlen < 1 or (maxlen and maxlen < minlen) or capacity < 0:
      raise errors.ConfigError(
          f'replay.minlen is {minlen}, replay.maxlen {maxlen}, replay.capacity '
          f'{capacity}: expected 1 <= minlen <= maxlen, or maxlen 0 for no '
          'limit, and capacity >= 0')
    self._minlen = int(minlen)
    self._seeds = np.random.SeedSequence(seed)
    self._store = Store(directory, ram, spaces, are_actions)
    self._datasets = weakref.WeakSet()
    self._warned = set()
    self._running = {}  # Worker to episode.
    self._counts = Counts()
    sampler = Sampler(
        self._running, minlen=self._minlen, maxlen=int(maxlen),
        ongoing=ongoing, prioritize_ends=prioritize_ends)
    self._library = Library(
        self._store, self._running, sampler, self._counts, self._planned,
        capacity=capacity, minlen=self._minlen)

  @property
  def stats(self) -> dict[str, int]:
    """Numbers of environment steps and episodes.

    total_*: ever stored; loaded_*: retained; episodes_rejected: too short or
    invalid, never stored; episodes_skipped: found damaged or missing on disk;
    ram_bytes: decoded episodes in RAM.
    """
    return {
        'total_steps': self._counts.total_steps,
        'total_episodes': self._counts.total_episodes,
        'loaded_steps': self._library.steps,
        'loaded_episodes': len(self._library.episodes),
        'episodes_rejected': self._counts.rejected,
        'episodes_skipped': self._counts.skipped,
        'ram_bytes': self._store.ram_bytes,
    }

  @property
  def can_sample(self) -> bool:
    """Whether there is an episode that a dataset may draw."""
    return self._library.can_sample

  def give_up(self, rejected: int) -> None:
    """Ends a run in which no episode is of use.

    Args:
      rejected: number of rejected episodes from which on that is certain, but
        for a running one that is long enough already.

    Raises:
      ConfigError: that is so.
    """
    hope = any(x.steps >= self._minlen for x in self._running.values())
    if self._counts.rejected >= rejected and not self.can_sample and not hope:
      raise self._counts.nothing_to_sample(self._minlen)

  def add_step(self, tran: Mapping[str, Any], worker: int = 0) -> None:
    """Appends a row to the worker's running episode; stores it on is_last."""
    if tran['is_first'] and worker in self._running:
      self._reject(self._running.pop(worker), 'unfinished', 'no is_last')
    if worker not in self._running:
      self._running[worker] = Episode(worker=worker, rows=[])
    episode = self._running[worker]
    episode.rows.append({key: np.array(value) for key, value in tran.items()})
    episode.steps += 1
    if tran['is_last']:
      self.end_episode(worker)

  def end_episode(self, worker: int = 0) -> bool:
    """Stores the running episode of a worker; its last row becomes is_last.

    Does nothing if none is running, as after a row with is_last.

    Returns:
      Whether an episode was stored.
    """
    episode = self._running.pop(worker, None)
    if not episode:
      return False
    episode.rows[-1]['is_last'] = np.array(True)
    try:
      arrays = {
          key: np.stack([row[key] for row in episode.rows])
          for key in episode.rows[0]}
    except (KeyError, ValueError) as error:
      self._reject(episode, 'invalid', f'rows differ: {error!r}')
      return False
    return self._add(episode, arrays)

  def add_episode(self, episode: Mapping[str, Any]) -> bool:
    """Stores a complete episode; its arrays stay those of the caller.

    Args:
      episode: {key: [rows, ...]}; observations, action, reward, is_first,
        is_last, is_terminal, log_*.

    Returns:
      Whether it was stored; if it was too short or invalid it is counted and
      a warning logged.

    Raises:
      StorageError: the disk stayed full.
    """
    steps = max(0, len(episode.get('action', ())) - 1)
    return self._add(Episode(steps=steps), {
        key: np.array(value) for key, value in episode.items()})

  def dataset(self, batch: int, length: int, prefetch: int = 2) -> Dataset:
    """Returns an endless iterator over batches, each with its own randomness.

    Args:
      batch: B, sequence streams side by side.
      length: T, rows of each stream in a batch.
      prefetch: batches that are planned and loaded in advance.

    Raises:
      ConfigError: the spaces are unknown and there is no episode to show them.
    """
    self._library.limit()
    rng = np.random.default_rng(self._seeds.spawn(1)[0])
    spaces = self._library.spaces()
    dataset = Dataset(
        self._library, self._store, spaces, rng, batch, length, prefetch)
    self._datasets.add(dataset)
    return dataset

  def state(self) -> dict[str, int]:
    """Returns what the files do not tell; JSON-able.

    From then on evicted episodes keep their files until `saved` was called
    twice: a state that was saved can always be gone back to.
    """
    return self._library.state()

  def saved(self) -> None:
    """Tells that the last state is on disk; deletes what only others need.

    Files that the last state needs no more are deleted when the next one is
    saved, as it may still be that this one can not be read.
    """
    self._library.saved()

  def load_state(self, state: Mapping[str, int], mask: bool = True) -> None:
    """Continues from a state; call it before anything else.

    Args:
      state: of a former process.
      mask: whether episodes that were stored after the state are left out, for
        an exact repetition: each is deleted once the one with its sequence
        number is stored again. Otherwise they are kept and count.
    """
    self._library.load_state(state, mask)

  def _add(self, episode, arrays):
    """Stores the arrays of an episode that is not running any more."""
    if 'action' in arrays and episode.steps < self._minlen:
      self._reject(
          episode, 'short',
          f'{episode.steps} steps, replay.minlen is {self._minlen} (to learn '
          'from all: --replay.minlen 1 --replay.maxlen 0)')
      return False
    try:
      self._library.add(episode, arrays)
    except EpisodeError as error:
      self._reject(episode, 'invalid', error)
      return False
    return True

  def _reject(self, episode, kind, reason):
    episode.gone = True
    self._counts.reject(episode.steps)
    if kind not in self._warned:
      self._warned.add(kind)
      log.warning(
          'rejected %s episode: %s; further ones are only counted', kind,
          reason)

  def _planned(self):
    """Episodes that planned batches read."""
    return set().union(*(x.planned() for x in self._datasets))
