"""Episodes that can be sampled, and which of their rows a sequence has."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .layout import Arrays, EpisodeError
from .store import Store


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

  def __init__(
      self, name: str | None = None, steps: int = -1, worker: Any = None,
      rows: list[dict[str, np.ndarray]] | None = None):
    """Arguments are the attributes."""
    self.name = name
    self.worker = worker
    self.steps = steps
    self.rows = rows
    self.gone = False

  @property
  def key(self) -> Any:
    """What identifies it in another process: file name or worker."""
    return self.worker if self.name is None else self.name

  def has_rows(self, start: int, stop: int) -> bool:
    """Tells whether it has the rows [start, stop)."""
    return 0 <= start < stop <= self.steps + 1

  def read(self, store: Store, start: int, stop: int, out: Arrays) -> None:
    """Copies rows into out; called in the thread of a dataset.

    Args:
      store: of its file.
      start, stop: the rows [start, stop).
      out: {key: [stop - start, ...]} of sampled keys, contiguous.

    Raises:
      EpisodeError: it is damaged, or its rows differ in shape.
      OSError: its file is gone or can not be opened.
    """
    rows = self.rows
    if rows is None:
      store.read(self.name, start, stop, out)
      return
    try:
      for key, value in out.items():
        np.stack([row[key] for row in rows[start:stop]], out=value)
    except (KeyError, ValueError, TypeError) as error:
      raise EpisodeError(f'rows differ: {error!r}') from error


class Sampler:
  """Draws sequences uniformly from stored and, if asked, running episodes.

  Code: danijar/dreamerv2 common/replay.py, Replay._sample_sequence.
  """

  def __init__(
      self, running: Mapping[Any, Episode], *, minlen: int, maxlen: int,
      ongoing: bool, prioritize_ends: bool):
    """Begins without stored episodes.

    Args:
      running: worker to its running episode, of the replay.
      minlen, maxlen, ongoing, prioritize_ends: see Replay.
    """
    self._running = running
    self._stored = []  # Those that are long enough, oldest first.
    self._minlen = minlen
    self._maxlen = maxlen
    self._ongoing = ongoing
    self._prioritize_ends = prioritize_ends

  def __len__(self) -> int:
    """Number of episodes that can be drawn."""
    return len(self._stored) + len(self._drawable())

  @property
  def newest(self) -> Episode | None:
    """The stored episode that came last, None if there is none."""
    return self._stored[-1] if self._stored else None

  def add(self, episode: Episode) -> bool:
    """Takes in a stored episode; returns whether it is long enough."""
    if episode.steps < self._minlen:
      return False
    self._stored.append(episode)
    return True

  def remove(self, episode: Episode) -> None:
    """Takes out a stored episode."""
    if episode.steps >= self._minlen:
      self._stored.remove(episode)

  def draw(
      self, rng: np.random.Generator) -> tuple[Episode, int, int] | None:
    """Draws an episode and a range of its rows; None if there is none.

    Returns:
      (episode, start, stop), for the rows [start, stop).
    """
    running = self._drawable()
    count = len(self._stored) + len(running)
    if not count:
      return None
    choice = int(rng.integers(count))
    episode = (
        self._stored[choice] if choice < len(self._stored)
        else running[choice - len(self._stored)])
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

  def _drawable(self):
    """Running episodes that are sampled."""
    running = [self._running[x] for x in sorted(self._running)]
    return [
        x for x in running
        if self._ongoing and x.steps >= self._minlen and not x.gone]
