"""What a replay has counted, over all starts of a run."""

from collections.abc import Mapping
import dataclasses

from ..errors import ConfigError


@dataclasses.dataclass
class Counts:
  """Numbers of episodes and of their steps.

  Attributes:
    longest: steps of the longest episode, rejected ones included.
    total_steps, total_episodes: ever stored.
    rejected: too short or invalid, never stored.
    skipped: found damaged or missing on disk.
  """

  longest: int = 0
  total_steps: int = 0
  total_episodes: int = 0
  rejected: int = 0
  skipped: int = 0

  def add(self, steps: int) -> None:
    """Counts an episode that was stored."""
    self.longest = max(self.longest, steps)
    self.total_steps += steps
    self.total_episodes += 1

  def reject(self, steps: int) -> None:
    """Counts an episode that was not."""
    self.longest = max(self.longest, steps)
    self.rejected += 1

  def state(self) -> dict[str, int]:
    """Returns all, JSON-able."""
    return {
        'longest': self.longest,
        'total_steps': self.total_steps,
        'total_episodes': self.total_episodes,
        'episodes_rejected': self.rejected,
        'episodes_skipped': self.skipped,
    }

  def load_state(self, state: Mapping[str, int]) -> None:
    """Goes on from a state; what this start has skipped comes on top."""
    self.rejected = state['episodes_rejected']
    self.longest = max(self.longest, state.get('longest', 0))
    self.skipped += state['episodes_skipped']
    self.total_steps = state['total_steps']
    self.total_episodes = state['total_episodes']

  def nothing_to_sample(self, minlen: int) -> ConfigError:
    """Returns the error that says why there is no episode to sample.

    Args:
      minlen: steps of the shortest episode that is stored.
    """
    total = self.total_episodes + self.rejected
    if self.longest >= minlen:
      return ConfigError(
          f'no episode to sample: of {total}, '
          f'{self.rejected} were rejected and {self.skipped} skipped; the '
          'warnings above say why')
    return ConfigError(
        'no episode to sample: the longest of '
        f'{total} has {self.longest} steps, '
        f'replay.minlen is {minlen}; lower replay.minlen (and '
        'dataset.length), or raise prefill')
