"""Batches of sequences from the episodes of a replay."""

import collections
from collections.abc import Mapping
import concurrent.futures
import logging
import time
from typing import Any

import numpy as np

from .layout import EpisodeError, Spaces
from .library import Library
from .sampling import Episode
from .store import Store

log = logging.getLogger(__name__)


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

  def __init__(
      self, library: Library, store: Store, spaces: Spaces,
      rng: np.random.Generator, batch: int, length: int, prefetch: int):
    """Plans nothing yet; see `Replay.dataset`.

    Args:
      library: of the episodes.
      store: of their files.
      spaces: shape without time axis and dtype of each sampled key.
      rng: of the sampling.
      batch: B.
      length: T.
      prefetch: batches that are planned and loaded in advance.
    """
    self.wait_seconds = 0.0
    self._library = library
    self._store = store
    self._spaces = spaces
    self._rng = rng
    self._batch = batch
    self._length = length
    self._prefetch = prefetch
    # [episode, start, stop] not read yet.
    self._streams: list[list | None] = [None] * batch
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
            x and [x[0].key, *x[1:]] for x in self._streams],
        'plans': [
            [[[x[0].key, *x[1:]] for x in row] for row in plan]
            for plan, _ in self._pending],
    }

  def load_state(self, state: Mapping[str, Any]) -> None:
    """Continues from a state.

    The replay must have its state and the running episodes their rows again.
    Sequences of episodes that are missing now are drawn anew.

    Raises:
      StateError: all are missing.
    """
    self._rng.bit_generator.state = state['rng']
    self._pending.clear()
    self._streams = [None] * self._batch
    rows = [row for plan in state['plans'] for row in plan]
    lengths = {sum(x[2] - x[1] for x in row) for row in rows}
    if len(state['streams']) != self._batch or lengths - {self._length}:
      log.warning('the batch shape changed: all sequences are drawn anew')
      return
    if rows and not self._library.can_sample:
      raise self._library.lost()
    self._streams = [
        x and (found := self._library.find(x[0]))
        and found.has_rows(*x[1:]) and [found, *x[1:]] or None
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
        rest = self._library.sample(self._rng)
      episode, start, stop = rest
      middle = min(stop, start + length)
      pieces.append((episode, start, middle, first))
      length -= middle - start
      rest = [episode, middle, stop] if middle < stop else None
    return pieces, rest

  def _resolve(self, key, start, stop, first):
    episode = self._library.find(key)
    if episode and episode.has_rows(start, stop):
      return [(episode, start, stop, first)]
    log.warning('episode %s is missing, another is sampled', key)
    return self._fill(stop - start)[0]

  def _replace(self, failed):
    """Draws other sequences for the planned rows of unreadable episodes."""
    for episode, error in failed.items():
      self._library.drop(episode, error)
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
          episode.read(self._store, start, stop, out)
        except (EpisodeError, OSError) as error:
          failed[episode] = error
        batch['is_first'][row, begin] = first
        begin = end
    return batch, failed
