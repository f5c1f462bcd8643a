"""Acts in the training environments and passes on what comes of it."""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import functools
import logging
from typing import Any

from .. import tfutils
from ..data.driver import Driver, Row
from ..data.replay import Replay
from ..report import scores
from ..report.logger import Logger
from ..report.means import Scales
from .progress import Progress
from .session import Group

log = logging.getLogger('dreamerv2_tf')


class Collector:
  """A driver whose rows go to the replay, the counters and the metrics.

  Attributes:
    driver: Driver; of the training environments.
  """

  def __init__(
      self, driver: Driver, replay: Replay, progress: Progress, every: Group,
      logger: Logger, *, memory: Callable[[], Any],
      around: Callable[[], contextlib.AbstractContextManager],
      vectors: Sequence[str], train_steps: int, log_keys_sum: str,
      log_keys_mean: str, log_keys_max: str, log_keys_video: Sequence[str]):
    """Listens to the driver.

    Args:
      driver: of the training environments.
      replay: takes all rows.
      progress: counts the steps and what is due.
      every: `train`, `log` and `video` say when that is.
      logger: takes the metrics of episodes.
      memory: returns policy state, of the structure that a stored one has.
      around: returns a context of the steps.
      vectors: keys of observations that networks take in as vectors.
      train_steps: gradient steps at a time.
      log_keys_sum, log_keys_mean, log_keys_max: patterns of the keys of an
        episode whose sum, mean and maximum are metrics.
      log_keys_video: keys of an episode that are shown.
    """
    self.driver = driver
    self._progress = progress
    self._every = every
    self._logger = logger
    self._memory = memory
    self._around = around
    self._on_row = replay.add_step
    self._train_steps = train_steps
    self._vectors = vectors
    self._keys = {
        'sum': log_keys_sum, 'mean': log_keys_mean, 'max': log_keys_max}
    self._videos = log_keys_video
    self._late = []  # Metrics of cut episodes, for the next step's row.
    self._scales = Scales()  # None once the agent acts.
    driver.on_reset(replay.add_step)
    driver.on_step(replay.add_step)
    driver.on_step(self._count)
    driver.on_step(self._watch_scales)
    driver.on_cut(replay.end_episode)
    driver.on_episode(self._note)

  def __call__(
      self, name: str, policy: Callable, mode: str | None = None,
      overlap: Callable[[], Any] | None = None) -> None:
    """Makes one step in every environment.

    Args:
      name: random or agent; another one than before begins without memory.
      policy: see Driver.
      mode: of the policy, which takes it as an argument; None: it has none.
      overlap: called while the environments step.
    """
    self.begin(name)
    if mode:
      policy = functools.partial(policy, mode=mode)
    with self._around():
      self.driver(policy, steps=1, overlap=overlap)
    self._logger.tick()

  def begin(self, name: str) -> None:
    """Notes who acts now; after prefill, tells what it showed.

    Args:
      name: see the call.
    """
    if name == 'agent' and self._scales:
      for sentence in self._scales.advice():
        log.warning(sentence)
      self._scales = None
    if self._progress.policy != name:
      self._progress.policy, self.driver.policy_state = name, None

  def add_videos(self, name: str, episode: Mapping) -> None:
    """Logs what the policy saw in an episode, with a prefix."""
    for key in self._videos:
      if key in episode:
        self._logger.video(f'{name}_policy_{key}', episode[key])

  def state(self) -> dict[str, Any]:
    """Returns the JSON-able state of the driver; `arrays` has the rest."""
    return self.driver.state()

  def arrays(self) -> dict[str, Any]:
    """Returns the memory of the policy."""
    return tfutils.to_arrays('policy', self.driver.policy_state)

  def load_state(self, state: Mapping, arrays: Mapping) -> None:
    """Continues from `state` and `arrays`; replays the running episodes."""
    self.driver.restore(state, on_row=self._on_row)
    self.driver.policy_state = tfutils.from_arrays(
        'policy', arrays, self._memory())

  def _count(self, row: Row, worker: int):
    """Counts a step, and what is due after it."""
    progress, due = self._progress, self._progress.due
    progress.step.increment()
    for metrics in self._late:
      self._logger.add(metrics)
    self._late.clear()
    if progress.policy == 'agent':
      due['train'] += self._every['train'](progress.step) * self._train_steps
      due['log'] |= self._every['log'](progress.step)

  def _watch_scales(self, row: Row, worker: int):
    """Takes in the vectors of prefill, which networks will read."""
    if self._scales and self._progress.policy == 'random':
      for key in self._vectors:
        self._scales.add(key, row[key])

  def _note(self, episode: Mapping, worker: int):
    """Logs the metrics of an episode."""
    metrics = scores.episode_metrics(episode, self._keys, 'train')
    progress, logger = self._progress, self._logger
    if int(progress.step) <= progress.written:  # Cut before any new step.
      self._late.append(metrics)
      return
    if logger.pending_step not in (None, logger.step):
      logger.write()
    logger.add(metrics)
    if progress.policy == 'agent' and self._every['video'](progress.step):
      self.add_videos('train', episode)
