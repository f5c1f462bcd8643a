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

import collections
from collections.abc import Callable, Mapping, Sequence
import concurrent.futures
import logging
import os
import time
from typing import Any
import weakref

import numpy as np

from .. import errors
from .episodes import parse
from .layout import EpisodeError
from .store import Store

log = logging.getLogger(__name__)


class Episode:
  """An episode that can be sampled.

  Attributes:
    name: file name; None while it is running.
    worker: whose running episode it is.
    steps: rows - 1.
    rows: list of transitions while it is running, None when it is stored.
    gone: it is not sampled any more; planned batches may still read it.
  """

  __slots__ = ('gone', 'name', 'rows', 'steps', 'worker')

  def __init__(self, name=None, steps=-1, worker=None, rows=None):
    self.name = name
    self.worker = worker
    self.steps = steps
    self.rows = rows
    self.gone = False


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
    self._capacity = capacity
    self._ongoing = ongoing
    self._minlen = int(minlen)
    self._maxlen = int(maxlen)
    self._prioritize_ends = prioritize_ends
    self._seeds = np.random.SeedSequence(seed)
    self._store = Store(directory, ram, spaces, are_actions)
    self._datasets = weakref.WeakSet()
    self._warned = set()
    names, self._skipped = self._store.scan()
    names = self._without_copies(names)
    self._index = {  # Retained episodes by name, oldest first.
        name: Episode(name, self._store.steps(name)) for name in names}
    self._sampled = [  # Those of them that are long enough.
        x for x in self._index.values() if x.steps >= self._minlen]
    if short := len(names) - len(self._sampled):
      log.warning(
          '%d of %d stored episodes have fewer steps than replay.minlen %d and '
          'are not sampled', short, len(names), self._minlen)
    self._running = {}  # Worker to episode.
    self._masked = {}  # Sequence number to names; see load_state.
    self._evicted = []  # No longer retained, perhaps still planned or saved.
    self._doomed = []  # Evicted episodes that the saved state does not need.
    self._spared = []  # Nor do the states after it, which are not saved yet.
    self._has_state = False
    self._loaded_steps = sum(x.steps for x in self._index.values())
    self._total_steps = self._loaded_steps
    self._total_episodes = len(names)
    self._longest = max((x.steps for x in self._index.values()), default=0)
    self._rejected = 0
    seqs = [parse(name)[0] for name in names]
    self._next_seq = max((x + 1 for x in seqs if x is not None), default=0)

  @property
  def stats(self) -> dict[str, int]:
    """Numbers of environment steps and episodes.

    total_*: ever stored; loaded_*: retained; episodes_rejected: too short or
    invalid, never stored; episodes_skipped: found damaged or missing on disk;
    ram_bytes: decoded episodes in RAM.
    """
    return {
        'total_steps': self._total_steps,
        'total_episodes': self._total_episodes,
        'loaded_steps': self._loaded_steps,
        'loaded_episodes': len(self._index),
        'episodes_rejected': self._rejected,
        'episodes_skipped': self._skipped,
        'ram_bytes': self._store.ram_bytes,
    }

  @property
  def can_sample(self) -> bool:
    """Whether there is an episode that a dataset may draw."""
    return bool(self._sampled or self._drawable())

  def give_up(self, rejected: int) -> None:
    """Ends a run in which no episode is of use.

    Args:
      rejected: number of rejected episodes from which on that is certain, but
        for a running one that is long enough already.

    Raises:
      ConfigError: that is so.
    """
    hope = any(x.steps >= self._minlen for x in self._running.values())
    if self._rejected >= rejected and not self.can_sample and not hope:
      self._raise_empty()

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

  def dataset(self, batch: int, length: int, prefetch: int = 2) -> 'Dataset':
    """Returns an endless iterator over batches, each with its own randomness.

    Args:
      batch: B, sequence streams side by side.
      length: T, rows of each stream in a batch.
      prefetch: batches that are planned and loaded in advance.

    Raises:
      ConfigError: the spaces are unknown and there is no episode to show them.
    """
    self._enforce_limit()
    rng = np.random.default_rng(self._seeds.spawn(1)[0])
    dataset = Dataset(self, self._spaces(), rng, batch, length, prefetch)
    self._datasets.add(dataset)
    return dataset

  def state(self) -> dict[str, int]:
    """Returns what the files do not tell; JSON-able.

    From then on evicted episodes keep their files until `saved` was called
    twice: a state that was saved can always be gone back to.
    """
    self._has_state = True
    self._spared += self._unplanned()
    return {
        'next_seq': self._next_seq,
        'longest': self._longest,
        'total_steps': self._total_steps,
        'total_episodes': self._total_episodes,
        'episodes_rejected': self._rejected,
        'episodes_skipped': self._skipped,
    }

  def saved(self) -> None:
    """Tells that the last state is on disk; deletes what only others need.

    Files that the last state needs no more are deleted when the next one is
    saved, as it may still be that this one can not be read.
    """
    for episode in self._doomed:
      self._store.delete(episode.name)
    self._doomed, self._spared = self._spared, []

  def load_state(self, state: Mapping[str, int], mask: bool = True) -> None:
    """Continues from a state; call it before anything else.

    Args:
      state: of a former process.
      mask: whether episodes that were stored after the state are left out, for
        an exact repetition: each is deleted once the one with its sequence
        number is stored again. Otherwise they are kept and count.
    """
    self._has_state = True
    self._rejected = state['episodes_rejected']
    self._longest = max(self._longest, state.get('longest', 0))
    self._skipped += state['episodes_skipped']
    self._total_steps = state['total_steps']
    self._total_episodes = state['total_episodes']
    for episode in list(self._index.values()):
      seq = parse(episode.name)[0]
      if seq is None or seq < state['next_seq']:
        continue
      if mask:
        self._masked.setdefault(seq, []).append(episode.name)
        self._remove(episode)
      else:
        self._total_steps += episode.steps
        self._total_episodes += 1
    if mask or state['next_seq'] > self._next_seq:
      self._next_seq = state['next_seq']
    self._enforce_limit()

  def _without_copies(self, names):
    """Deletes second files of an episode that was stored again.

    A kill after the new file was written leaves the masked one, too. Files of
    one number and other content are no copies: someone put them there.
    """
    kept = collections.defaultdict(list)
    for name in names:
      seq = parse(name)[0]
      if seq is not None and any(
          self._store.same(name, other) for other in kept[seq]):
        self._store.delete(name)
      else:
        kept[seq].append(name)
    return [name for group in kept.values() for name in group]

  def _add(self, episode, arrays):
    """Stores the arrays of an episode that is not running any more."""
    if 'action' in arrays and episode.steps < self._minlen:
      self._reject(
          episode, 'short',
          f'{episode.steps} steps, replay.minlen is {self._minlen}')
      return False
    try:
      name = self._store.save(self._next_seq, arrays)
    except EpisodeError as error:
      self._reject(episode, 'invalid', error)
      return False
    for masked in self._masked.pop(self._next_seq, ()):
      self._store.delete(masked)
    episode.name = name
    episode.rows = None  # After the name: another thread may be reading it.
    self._next_seq += 1
    self._index[name] = episode
    self._sampled.append(episode)
    self._longest = max(self._longest, episode.steps)
    self._loaded_steps += episode.steps
    self._total_steps += episode.steps
    self._total_episodes += 1
    self._enforce_limit()
    return True

  def _reject(self, episode, kind, reason):
    episode.gone = True
    self._longest = max(self._longest, episode.steps)
    self._rejected += 1
    if kind not in self._warned:
      self._warned.add(kind)
      log.warning(
          'rejected %s episode: %s; further ones are only counted', kind,
          reason)

  def _enforce_limit(self):
    if not self._capacity:
      return
    while len(self._index) > 1 and self._loaded_steps > self._capacity:
      oldest = next(iter(self._index.values()))
      self._remove(oldest)
      self._evicted.append(oldest)
    if not self._has_state:
      for episode in self._unplanned():
        self._store.delete(episode.name)

  def _unplanned(self):
    """Takes the evicted episodes that no planned batch reads."""
    planned = set().union(*(x.planned() for x in self._datasets))
    result = [x for x in self._evicted if x not in planned]
    self._evicted = [x for x in self._evicted if x in planned]
    return result

  def _remove(self, episode):
    """Takes an episode out of the index and the RAM."""
    episode.gone = True
    del self._index[episode.name]
    if episode.steps >= self._minlen:
      self._sampled.remove(episode)
    self._loaded_steps -= episode.steps
    self._store.forget(episode.name)

  def _drop(self, episode, error):
    """Takes out an episode that could not be read, once."""
    if episode.name in self._index:
      self._remove(episode)
      self._skipped += 1
      if isinstance(error, EpisodeError):
        self._store.quarantine(episode.name, error)
      else:
        log.warning('skipped episode %s: %s', episode.name, error)
    episode.gone = True

  def _spaces(self):
    """Shape and dtype of each sampled key, from an episode if not given."""
    while self._store.spaces is None and self._sampled:
      try:
        self._store.load(self._sampled[-1].name)
      except (EpisodeError, OSError) as error:
        self._drop(self._sampled[-1], error)
    if self._store.spaces is None:
      self._raise_empty()
    return self._store.spaces

  def _raise_empty(self):
    if self._longest >= self._minlen:
      raise errors.ConfigError(
          f'no episode to sample: of {self._total_episodes + self._rejected}, '
          f'{self._rejected} were rejected and {self._skipped} skipped; the '
          'warnings above say why')
    raise errors.ConfigError(
        'no episode to sample: the longest of '
        f'{self._total_episodes + self._rejected} has {self._longest} steps, '
        f'replay.minlen is {self._minlen}; lower replay.minlen (and '
        'dataset.length), or raise prefill')

  def _find(self, key):
    """Returns the episode of a file name or running for a worker, or None."""
    if not isinstance(key, str):
      return self._running.get(key)
    if key in self._index:
      return self._index[key]
    return next((x for x in self._evicted if x.name == key), None)

  def _drawable(self):
    """Running episodes that are sampled."""
    running = [self._running[x] for x in sorted(self._running)]
    return [
        x for x in running
        if self._ongoing and x.steps >= self._minlen and not x.gone]

  def _sample_sequence(self, rng):
    """Draws an episode and a range of its rows: (episode, start, stop)."""
    running = self._drawable()
    count = len(self._sampled) + len(running)
    if not count:
      self._raise_empty()
    choice = int(rng.integers(count))
    episode = (
        self._sampled[choice] if choice < len(self._sampled)
        else running[choice - len(self._sampled)])
    total = episode.steps + 1
    length = min(total, self._maxlen or total)
    # A random length keeps the ends of sequences apart even if all episodes
    # have the same length.
    length = max(self._minlen, length - int(rng.integers(self._minlen)))
    upper = total - length + 1
    if self._prioritize_ends:
      upper += self._minlen
    start = min(int(rng.integers(upper)), total - length)
    return episode, start, start + length

  def _read(self, episode, start, stop, out):
    """Copies rows into out; called in the thread of a dataset."""
    rows = episode.rows
    if rows is None:
      self._store.read(episode.name, start, stop, out)
      return
    try:
      for key, value in out.items():
        np.stack([row[key] for row in rows[start:stop]], out=value)
    except (KeyError, ValueError, TypeError) as error:
      raise EpisodeError(f'rows differ: {error!r}') from error


class Dataset:
  """Batches of B sequence streams, planned here and loaded in a thread.

  Row b of a batch continues row b of the batch before, or begins a new
  sequence, in which case is_first is set; so it does wherever one sequence
  ends within the row and the next begins. A batch is planned, from a seeded
  generator, when the batch `prefetch` before it is taken: what it holds does
  not depend on the speed of the thread.

  Attributes:
    wait_seconds: float; time that `__next__` has waited for the thread.
  """

  def __init__(self, replay, spaces, rng, batch, length, prefetch):
    self.wait_seconds = 0.0
    self._replay = replay
    self._spaces = spaces
    self._rng = rng
    self._batch = batch
    self._length = length
    self._prefetch = prefetch
    self._streams = [None] * batch  # [episode, start, stop] not read yet.
    self._pending = collections.deque()  # (plan, future).
    self._thread = concurrent.futures.ThreadPoolExecutor(1, 'replay')

  def __iter__(self):
    return self

  def __next__(self) -> dict[str, np.ndarray]:
    """Returns {key: [B, T, ...]}, float32, int32, uint8 or bool; no log_*."""
    while len(self._pending) <= self._prefetch:
      self._submit(self._plan())
    begin = time.perf_counter()
    batch, failed = self._pending[0][1].result()
    while failed:
      self._replace(failed)
      batch, failed = self._pending[0][1].result()
    self._pending.popleft()
    self.wait_seconds += time.perf_counter() - begin
    return batch

  def take_wait(self) -> float:
    """Returns `wait_seconds` and sets it to zero."""
    seconds, self.wait_seconds = self.wait_seconds, 0.0
    return seconds

  def state(self) -> dict[str, Any]:
    """Returns generator, stream positions and planned batches; JSON-able."""
    return {
        'rng': self._rng.bit_generator.state,
        'streams': [
            x and [_key(x[0]), *x[1:]] for x in self._streams],
        'plans': [
            [[[_key(x[0]), *x[1:]] for x in row] for row in plan]
            for plan, _ in self._pending],
    }

  def load_state(self, state: Mapping[str, Any]) -> None:
    """Continues from a state.

    The replay must have its state and the running episodes their rows again.
    Sequences of episodes that are missing now are drawn anew.
    """
    self._rng.bit_generator.state = state['rng']
    self._pending.clear()
    self._streams = [None] * self._batch
    rows = [row for plan in state['plans'] for row in plan]
    lengths = {sum(x[2] - x[1] for x in row) for row in rows}
    if len(state['streams']) != self._batch or lengths - {self._length}:
      log.warning('the batch shape changed: all sequences are drawn anew')
      return
    self._streams = [
        x and (found := self._replay._find(x[0]))
        and _is_range(found, *x[1:]) and [found, *x[1:]] or None
        for x in state['streams']]
    for plan in state['plans']:
      self._submit([[
          piece for key, start, stop, first in row
          for piece in self._resolve(key, start, stop, first)] for row in plan])

  def planned(self) -> set[Episode]:
    """Episodes that the planned batches read."""
    return {
        x[0] for plan, _ in self._pending for row in plan for x in row}

  def close(self) -> None:
    """Stops the thread."""
    self._thread.shutdown(cancel_futures=True)
    self._pending.clear()

  def _plan(self):
    """For each row of a batch the pieces (episode, start, stop, first)."""
    plan = []
    for row in range(self._batch):
      pieces, self._streams[row] = self._fill(self._length, self._streams[row])
      plan.append(pieces)
    return plan

  def _fill(self, length, rest=None):
    """Takes rows from the rest of a sequence and then from new ones."""
    pieces = []
    while length:
      first = rest is None or rest[0].gone
      if first:
        rest = self._replay._sample_sequence(self._rng)
      episode, start, stop = rest
      middle = min(stop, start + length)
      pieces.append((episode, start, middle, first))
      length -= middle - start
      rest = [episode, middle, stop] if middle < stop else None
    return pieces, rest

  def _resolve(self, key, start, stop, first):
    episode = self._replay._find(key)
    if episode and _is_range(episode, start, stop):
      return [(episode, start, stop, first)]
    log.warning('episode %s is missing, another is sampled', key)
    return self._fill(stop - start)[0]

  def _replace(self, failed):
    """Draws other sequences for the planned rows of unreadable episodes."""
    for episode, error in failed.items():
      self._replay._drop(episode, error)
    plans = [plan for plan, _ in self._pending]
    for _, future in self._pending:
      future.cancel()
    self._pending.clear()
    for plan in plans:
      self._submit([[
          piece for x in row for piece in (
              self._fill(x[2] - x[1])[0] if x[0] in failed else [x])]
          for row in plan])

  def _submit(self, plan):
    self._pending.append((plan, self._thread.submit(self._load, plan)))

  def _load(self, plan):
    """Returns the batch and {episode: error} of those that failed to load."""
    shape = (self._batch, self._length)
    batch = {
        key: np.empty(shape + size, dtype)
        for key, (size, dtype) in self._spaces.items()}
    batch['is_first'][:] = False
    failed = {}
    for row, pieces in enumerate(plan):
      begin = 0
      for episode, start, stop, first in pieces:
        end = begin + stop - start
        out = {
            key: value[row, begin: end] for key, value in batch.items()
            if key != 'is_first'}
        try:
          self._replay._read(episode, start, stop, out)
        except (EpisodeError, OSError) as error:
          failed[episode] = error
        batch['is_first'][row, begin] = first
        begin = end
    return batch, failed


def _is_range(episode, start, stop):
  """Tells whether an episode has the rows [start, stop)."""
  return 0 <= start < stop <= episode.steps + 1


def _key(episode):
  """What identifies an episode in another process: file name or worker."""
  return episode.worker if episode.name is None else episode.name
