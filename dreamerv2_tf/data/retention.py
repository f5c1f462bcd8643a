"""Files of episodes that are no longer retained, until nobody needs them."""

from collections.abc import Callable, Collection

from .sampling import Episode
from .store import Store


class Retention:
  """Deletes the files of evicted episodes, not before it is safe.

  Planned batches may still read them. With states, which a run goes back to,
  there is more: a file is deleted when two states were saved that do not need
  it, as the newest may still turn out to be unreadable.
  """

  def __init__(
      self, store: Store, planned: Callable[[], Collection[Episode]]):
    """Begins without evicted episodes.

    Args:
      store: of the files.
      planned: returns the episodes that planned batches read.
    """
    self._store = store
    self._planned = planned
    self._evicted = []  # No longer retained, perhaps still planned or saved.
    self._doomed = []  # Evicted episodes that the saved state does not need.
    self._spared = []  # Nor do the states after it, which are not saved yet.
    self._has_state = False

  def find(self, name: str) -> Episode | None:
    """Returns an evicted episode that may still be planned."""
    return next((x for x in self._evicted if x.name == name), None)

  def evict(self, episode: Episode) -> None:
    """Takes an episode; `clean` deletes its file when that is safe."""
    self._evicted.append(episode)

  def clean(self) -> None:
    """Deletes what no planned batch reads; with states, leaves it to them."""
    if not self._has_state:
      for episode in self._unplanned():
        self._store.delete(episode.name)

  def keep_for_states(self) -> None:
    """From now on files are kept until `saved` was called twice."""
    self._has_state = True

  def take_state(self) -> None:
    """Notes that a state is being taken, which is to be saved."""
    self._has_state = True
    self._spared += self._unplanned()

  def saved(self) -> None:
    """Notes that the last state is on disk; deletes what only others need."""
    for episode in self._doomed:
      self._store.delete(episode.name)
    self._doomed, self._spared = self._spared, []

  def _unplanned(self):
    """Takes the evicted episodes that no planned batch reads."""
    planned = self._planned()
    result = [x for x in self._evicted if x not in planned]
    self._evicted = [x for x in self._evicted if x in planned]
    return result
