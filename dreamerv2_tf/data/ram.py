"""A bounded share of the episodes, decoded in RAM."""

import collections
from collections.abc import Iterable
import threading

from .layout import Arrays


class Cache:
  """Decoded episodes by name; two threads may use it.

  Attributes:
    bytes: of the episodes in it.
  """

  def __init__(self, limit: float):
    """Begins empty; limit: bytes that episodes may take."""
    self.bytes = 0
    self._limit = limit
    self._lock = threading.Lock()
    self._live = set()  # Names that may enter.
    self._episodes = collections.OrderedDict()  # By name, oldest use first.

  def __contains__(self, name: str) -> bool:
    return name in self._episodes

  def has_room(self, size: int) -> bool:
    """Tells whether so many bytes fit in beside what is there."""
    return self.bytes + size <= self._limit

  def allow(self, names: Iterable[str]) -> None:
    """Lets episodes enter."""
    self._live.update(names)

  def get(self, name: str) -> Arrays | None:
    """Returns an episode and notes its use; None if it is not there."""
    with self._lock:
      if name in self._episodes:
        self._episodes.move_to_end(name)
      return self._episodes.get(name)

  def add(self, name: str, episode: Arrays, evict: bool = False) -> None:
    """Takes an episode in if it fits, after evicting others if asked.

    Sampling is uniform, so which episodes are in RAM does not matter to the
    rate of hits, and those that can be read by rows are not worth an eviction.
    The others are: the next batch may continue with the next rows of them.
    """
    size = sum(value.nbytes for value in episode.values())
    with self._lock:
      if name in self._episodes or name not in self._live or size > self._limit:
        return
      while evict and self.bytes + size > self._limit:
        _, other = self._episodes.popitem(last=False)
        self.bytes -= sum(value.nbytes for value in other.values())
      if self.bytes + size <= self._limit:
        self._episodes[name] = episode
        self.bytes += size

  def remove(self, name: str) -> None:
    """Takes an episode out for good."""
    with self._lock:
      self._live.discard(name)
      for value in self._episodes.pop(name, {}).values():
        self.bytes -= value.nbytes
