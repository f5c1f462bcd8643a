"""The episodes that a replay retains, oldest first."""

import collections
from collections.abc import Callable, Collection, Mapping
import logging
from typing import Any

import numpy as np

from .. import errors
from .counts import Counts
from .episodes import parse
from .layout import Arrays, EpisodeError, Spaces
from .retention import Retention
from .sampling import Episode, Sampler
from .store import Store

log = logging.getLogger(__name__)


class Library:
  """Retains the newest episodes, up to a number of steps.

  Attributes:
    episodes: file name to Episode, oldest first.
    steps: of these.
  """

  def __init__(
      self, store: Store, running: Mapping[Any, Episode], sampler: Sampler,
      counts: Counts, planned: Callable[[], Collection[Episode]], *,
      capacity: float, minlen: int):
    """Takes in the episodes of the folder.

    Args:
      store: of the files.
      running: worker to its running episode, of the replay.
      sampler: of the running and the stored episodes.
      counts: of the replay.
      planned: returns the episodes that planned batches read.
      capacity, minlen: see Replay.

    Raises:
      StateError: the stored episodes are of another environment.
    """
    self._store = store
    self._running = running
    self._sampler = sampler
    self._counts = counts
    self._capacity = capacity
    self._minlen = minlen
    self._retention = Retention(store, planned)
    self._masked = {}  # Sequence number to names; see load_state.
    self._next_seq = 0
    self.episodes = {}
    self._find_stored()
    self.steps = counts.total_steps

  @property
  def can_sample(self) -> bool:
    """Whether there is an episode, stored or running, that may be drawn."""
    return len(self._sampler) > 0

  def find(self, key: Any) -> Episode | None:
    """Returns the episode of an `Episode.key`, also if it is only planned."""
    if not isinstance(key, str):
      return self._running.get(key)
    return self.episodes.get(key) or self._retention.find(key)

  def sample(self, rng: np.random.Generator) -> tuple[Episode, int, int]:
    """Draws an episode and a range of its rows: (episode, start, stop).

    Raises:
      ConfigError: there is none.
    """
    if (drawn := self._sampler.draw(rng)) is None:
      raise self._counts.nothing_to_sample(self._minlen)
    return drawn

  def add(self, episode: Episode, arrays: Arrays) -> None:
    """Stores an episode that is not running any more.

    Raises:
      EpisodeError: its arrays are not valid; nothing was written.
      StorageError: the disk stayed full.
    """
    name = self._store.save(self._next_seq, arrays)
    for masked in self._masked.pop(self._next_seq, ()):
      self._store.delete(masked)
    episode.name = name
    episode.rows = None  # After the name: another thread may be reading it.
    self._next_seq += 1
    self.episodes[name] = episode
    self._sampler.add(episode)
    self.steps += episode.steps
    self._counts.add(episode.steps)
    self.limit()

  def drop(self, episode: Episode, error: Exception) -> None:
    """Takes out an episode that could not be read, once."""
    if episode.name in self.episodes:
      self._remove(episode)
      self._counts.skipped += 1
      if isinstance(error, EpisodeError):
        self._store.quarantine(episode.name, error)
      else:
        log.warning('skipped episode %s: %s', episode.name, error)
    episode.gone = True

  def limit(self) -> None:
    """Takes out the oldest episodes beyond the capacity."""
    if not self._capacity:
      return
    while len(self.episodes) > 1 and self.steps > self._capacity:
      oldest = next(iter(self.episodes.values()))
      self._remove(oldest)
      self._retention.evict(oldest)
    self._retention.clean()

  def spaces(self) -> Spaces:
    """Returns shape and dtype of each sampled key, from an episode if needed.

    Raises:
      ConfigError: there is none.
    """
    while self._store.spaces is None and (newest := self._sampler.newest):
      try:
        self._store.load(newest.name)
      except (EpisodeError, OSError) as error:
        self.drop(newest, error)
    if self._store.spaces is None:
      raise self._counts.nothing_to_sample(self._minlen)
    return self._store.spaces

  def lost(self) -> errors.StateError:
    """Returns the error of a run that has learned from what is gone now."""
    return errors.StateError(
        f'{self._store.directory}: of the {self._counts.total_episodes} '
        'episodes of this run none is left that can be sampled; put back a '
        'copy of that folder, or choose another logdir')

  def state(self) -> dict[str, int]:
    """Returns what the files do not tell; see `Replay.state`."""
    self._retention.take_state()
    return {'next_seq': self._next_seq, **self._counts.state()}

  def saved(self) -> None:
    """Tells that the last state is on disk."""
    self._retention.saved()

  def load_state(self, state: Mapping[str, int], mask: bool) -> None:
    """Continues from a state; see `Replay.load_state`."""
    self._retention.keep_for_states()
    self._counts.load_state(state)
    for episode in list(self.episodes.values()):
      seq = parse(episode.name)[0]
      if seq is None or seq < state['next_seq']:
        continue
      if mask:
        self._masked.setdefault(seq, []).append(episode.name)
        self._remove(episode)
      else:
        self._counts.add(episode.steps)
    if mask or state['next_seq'] > self._next_seq:
      self._next_seq = state['next_seq']
    self.limit()

  def _find_stored(self):
    """Takes in the episodes of the folder."""
    names, self._counts.skipped = self._store.scan()
    names = _without_copies(self._store, names)
    short = 0
    for name in names:
      episode = Episode(name, self._store.steps(name))
      self.episodes[name] = episode
      self._counts.add(episode.steps)
      short += not self._sampler.add(episode)
      if (seq := parse(name)[0]) is not None:
        self._next_seq = max(self._next_seq, seq + 1)
    if short:
      log.warning(
          '%d of %d stored episodes have fewer steps than replay.minlen %d and '
          'are not sampled', short, len(names), self._minlen)

  def _remove(self, episode):
    """Takes an episode out of the index and the RAM."""
    episode.gone = True
    del self.episodes[episode.name]
    self._sampler.remove(episode)
    self.steps -= episode.steps
    self._store.forget(episode.name)


def _without_copies(store, names):
  """Deletes second files of an episode that was stored again.

  A kill after the new file was written leaves the masked one, too. Files of
  one number and other content are no copies: someone put them there.
  """
  kept = collections.defaultdict(list)
  for name in names:
    seq = parse(name)[0]
    if seq is not None and any(store.same(name, other) for other in kept[seq]):
      store.delete(name)
    else:
      kept[seq].append(name)
  return [name for group in kept.values() for name in group]
