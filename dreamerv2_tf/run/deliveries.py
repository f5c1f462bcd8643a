"""Takes the episodes of collectors into a run, as if it had made them."""

from collections.abc import Callable, Mapping
import logging
import time
from typing import Any

import numpy as np

from .. import envs, errors
from ..agent import Agent
from ..config import Config
from ..data import delivery
from ..data.layout import EpisodeError
from .collector import Collector
from .fleet import Fleet
from .learner import Learner
from .remote import RANDOM

log = logging.getLogger('dreamerv2_tf')

WAIT_SECONDS = 0.5  # For an episode, before the loop looks at other things.


class RemoteDriver:
  """Passes on the rows of whole episodes; stands where a Driver does.

  Each episode has the number of its environment and one of its own, which
  grows: none is taken in twice. What is not a valid episode is dropped and its
  collector replaced. Episodes that were running when the run stopped begin
  anew: what is in the state is how many each environment has handed over.

  Attributes:
    policy_state: None, as each collector remembers its own.
    steps, episodes: taken in since the start of the run.
  """

  policy_state = None

  def __init__(
      self, fleet: Fleet, action_dim: int,
      weights: Callable[[], tuple[int, Mapping[str, np.ndarray]]],
      trained: Callable[[], int], *, sync_every: int, envs: int, steps: int):
    """Sends nothing yet.

    Args:
      fleet: the collectors.
      action_dim: A, size of an action.
      weights: waits for the gradient steps that run and returns their number
        and what acts now, path -> array.
      trained: returns the number of gradient steps, without waiting.
      sync_every: gradient steps between two of its calls.
      envs: environments of each collector.
      steps: length of the run; the limit of episodes without an end.
    """
    self._fleet = fleet
    self._spaces = delivery.spaces_of(fleet.obs_space, action_dim)
    self._weights = weights
    self._trained = trained
    self._sync_every = sync_every
    self._envs = envs
    self._limit = steps
    self._next = [0] * len(fleet)
    self._on_step, self._on_reset, self._on_episode = [], [], []
    self._acting = None, None, RANDOM  # Name, mode and version of the plan.
    self._lags = []  # Mean and largest lag of each episode since `stats`.
    self._repeated = 0
    self._waited = 0.0
    self._since = time.monotonic(), 0
    self.steps = self.episodes = 0

  def on_step(self, function: Callable) -> None:
    """See Driver."""
    self._on_step.append(function)

  def on_reset(self, function: Callable) -> None:
    """See Driver."""
    self._on_reset.append(function)

  def on_episode(self, function: Callable) -> None:
    """See Driver."""
    self._on_episode.append(function)

  def on_cut(self, function: Callable) -> None:
    """Does nothing: collectors hand over episodes that are cut already."""

  def direct(self, name: str, mode: str | None) -> None:
    """Tells the collectors how to act, with new weights if that is due."""
    before, mode_before, version = self._acting
    if name == 'random':
      if before != name:
        self._acting = name, mode, RANDOM
        self._fleet.direct(*self._acting, {})
      return
    if (before, mode_before) != (name, mode) or (
        self._trained() >= version + self._sync_every):
      version, weights = self._weights()
      self._acting = name, mode, version
      self._fleet.direct(*self._acting, weights)

  def collect(self, wait: bool) -> None:
    """Takes in an episode, if one comes within a moment.

    Args:
      wait: else it sees to the collectors alone, which go on meanwhile.

    Raises:
      See Fleet.take; ConfigError if no episode ever ends.
    """
    if not wait:
      self._fleet.see_to()
      return
    began = time.monotonic()
    delivered = self._fleet.take(WAIT_SECONDS)
    self._waited += time.monotonic() - began
    if delivered:
      self._take_in(*delivered)
    elif not self.episodes and self._fleet.steps >= self._limit:
      raise errors.ConfigError(
          f'Nothing was learned: the collectors made {self._fleet.steps} steps '
          'and no episode has ended. Cut them after a number of steps, such as '
          '--time_limit 1000.')

  def state(self) -> dict[str, Any]:
    """Returns JSON-able counters, which a Driver can go on from."""
    return {
        'steps': self.steps, 'episodes': self.episodes, 'unanswered': [],
        'workers': [{'episode': x, 'running': False} for x in self._next]}

  def restore(self, state: Mapping[str, Any]) -> None:
    """Goes on from the state of this or of a Driver.

    Args:
      state: with any number of environments; running episodes are lost.
    """
    self.steps, self.episodes = state['steps'], state['episodes']
    self._since = time.monotonic(), self.steps
    numbers = [x['episode'] for x in state['workers']]
    self._next = (numbers + [0] * len(self._next))[:len(self._next)]

  def indices(self, number: int) -> list[int]:
    """Returns the next episode of each environment of a collector."""
    return self._next[number * self._envs:(number + 1) * self._envs]

  def stats(self) -> dict[str, float]:
    """Returns the metrics of Driver.stats, and of the collectors.

    Returns:
      collectors, collector_failures: at work now; failures since the start.
      collector_repeats: episodes that had been taken in before.
      policy_lag, policy_lag_max: gradient steps by which the weights of an
        action were behind when its episode was taken in: mean and maximum
        since the last call, if there was an episode of the agent.
    """
    now, (then, steps) = time.monotonic(), self._since
    fleet, lags = self._fleet, np.array(self._lags or [[np.nan, np.nan]])
    result = {
        'fps_env': (self.steps - steps) / max(now - then, 1e-9),
        'time_env': self._waited, 'time_policy': 0.0,
        'env_failures': fleet.count('failures'),
        'env_dropped': fleet.count('dropped'),
        'env_outside': fleet.count('outside'), 'collectors': fleet.up,
        'collector_failures': fleet.lost, 'collector_repeats': self._repeated}
    if self._lags:
      result['policy_lag'] = float(lags[:, 0].mean())
      result['policy_lag_max'] = float(lags[:, 1].max())
    self._lags, self._waited = [], 0.0
    self._since = now, self.steps
    return result

  def _take_in(self, number, episode):
    """Checks an episode and passes its rows on."""
    try:
      worker, index, versions, arrays = self._checked(number, episode)
    except EpisodeError as error:
      self._fleet.blame(number, f'Its episode is refused: {error}.')
      return
    if index < self._next[worker]:
      self._repeated += 1
      self._fleet.blame(
          number, f'It handed over episode {index} of environment {worker} '
          'again, which is dropped.')
      return
    self._fleet.praise(number)
    self._next[worker] = index + 1
    self.episodes += 1
    acted = versions[versions != RANDOM]
    if acted.size:
      lags = np.maximum(0, self._trained() - acted)
      self._lags.append([lags.mean(), lags.max()])
    for row in range(len(arrays['action'])):
      self.steps += row > 0
      for function in self._on_step if row else self._on_reset:
        function({key: value[row] for key, value in arrays.items()}, worker)
    for function in self._on_episode:
      function(arrays, worker)

  def _checked(self, number, episode):
    """Returns what an episode says of itself, and its arrays."""
    if not isinstance(episode, Mapping):
      raise EpisodeError(f'it is {type(episode).__name__}')
    first = number * self._envs
    worker, index = episode.get('worker'), episode.get('index')
    if type(worker) is not int or not first <= worker < first + self._envs:
      raise EpisodeError(f'it is of environment {worker!r:.50}')
    if type(index) is not int or index < 0:
      raise EpisodeError(f'its number is {index!r:.50}')
    arrays = delivery.check(
        episode.get('arrays'), self._spaces,
        lambda actions: envs.are_actions(
            self._fleet.act_space['action'], actions))
    versions = episode.get('versions')
    if not isinstance(versions, np.ndarray) or (
        versions.shape != (len(arrays['action']) - 1,)
        or versions.dtype != np.int64):
      raise EpisodeError('it does not say which weights acted')
    return worker, index, versions, arrays


def make_driver(
    config: Config, fleet: Fleet, agent: Agent,
    learner: Learner) -> RemoteDriver:
  """Returns what takes in from collectors, which it tells what they need."""
  def weights():
    learner.finish()
    return trained(), agent.policy.weights()
  def trained():
    return int(agent.train_calls.numpy())
  driver = RemoteDriver(
      fleet, agent.action_dim, weights, trained,
      **config.taken_by(RemoteDriver))
  fleet.prepare(list(agent.obs_space), driver.indices)
  return driver


class RemoteCollector(Collector):
  """A collector whose episodes come from others, as they end.

  The gradient steps that an episode makes due are taken a few at a time, so
  that a signal is never long without an answer, and the next episode is taken
  in when they have begun: their ratio to environment steps is that of
  `train_every`, however fast collectors are.

  Attributes:
    save: called before the error that too few collectors are left.
  """

  save: Callable[[], Any] = staticmethod(lambda: None)

  def __call__(
      self, name: str, policy: Callable, mode: str | None = None,
      overlap: Callable[[int], Any] | None = None) -> None:
    """Takes in an episode, or goes on with what the last one made due.

    Args:
      name, mode: see Collector.
      policy: not called here.
      overlap: called with how many gradient steps may begin.
    """
    self.begin(name)
    try:
      with self._around():
        self.driver.direct(name, mode)
        if overlap:
          overlap(self._train_steps)
        self.driver.collect(wait=not self._progress.due['train'])
    except errors.EnvError:
      self.save()
      raise
    self._logger.tick()

  def arrays(self) -> dict[str, Any]:
    """Returns nothing: collectors keep what their policies remember."""
    return {}

  def load_state(self, state: Mapping, arrays: Mapping) -> None:
    """Continues from a state; episodes that were running are lost."""
    self.driver.restore(state)

  def _count(self, row, worker):
    super()._count(row, worker)
    # Row by row, as an episode may be longer than the time between two.
    progress = self._progress
    if progress.policy == 'agent':
      progress.due['eval'] |= self._every['eval'](progress.step)
