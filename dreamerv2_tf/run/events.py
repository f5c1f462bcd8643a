"""What callbacks of a run are told, and how they take part in it.

Callbacks are called between two iterations of the loop, where the run can be
saved: what they raise or ask for loses nothing.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import inspect
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import errors
from ..report import scores

if TYPE_CHECKING:  # They import TensorFlow.
  from ..agent import Agent
  from .parts import Parts


@dataclasses.dataclass(frozen=True)
class Event:
  """Something that happened in a run.

  Attributes:
    kind: `episode` (one of training has ended), `log` (metrics of training
      are written), `evaluation`, or `end` (the run is complete or was stopped
      by a callback; not after a signal or an error).
    step: environment steps before action repeat.
    metrics: name -> value. Of an episode, its own; of the end, those of the
      last evaluation, if there was one; else what the row of `metrics.jsonl`
      will hold.
    episodes: the episode, or those of the evaluation: key -> [rows, ...], which
      can not be written to.
    folder: of the run.
  """

  kind: str
  step: int
  metrics: Mapping[str, float]
  episodes: Sequence[Mapping[str, np.ndarray]]
  folder: pathlib.Path
  _events: 'Events' = dataclasses.field(repr=False)

  @property
  def agent(self) -> 'Agent':
    """The agent as it is now, for `act` and the like; do not train it."""
    return self._events.agent()

  def log(self, metrics: Mapping[str, float]) -> None:
    """Adds metrics of your own to this step's row, charts and terminal.

    Args:
      metrics: name -> number; pictures [H, W, C], videos [T, H, W, C] and
        texts are for TensorBoard.

    Raises:
      ConfigError: a name of ours, no such value, or the run has ended.
    """
    self._events.log(self, metrics)

  def stop(self, reason: str = '') -> None:
    """Ends the run after this event, saved, as if it were complete."""
    self._events.stop(reason)


class Callback:
  """A base class for callbacks: override what you need.

  Any function that takes an event is a callback, too.
  """

  def __call__(self, event: Event) -> None:
    """Calls the method for the kind of event."""
    getattr(self, f'on_{event.kind}')(event)

  def on_episode(self, event: Event) -> None:
    """After each episode of training."""

  def on_log(self, event: Event) -> None:
    """Each `log_every` steps, once training has begun."""

  def on_evaluation(self, event: Event) -> None:
    """After each evaluation."""

  def on_end(self, event: Event) -> None:
    """At the end of the run, after its last evaluation."""


class Events:
  """Collects what happens in a run and tells it to callbacks.

  Attributes:
    stopped: whether a callback asked to end the run.
  """

  def __init__(
      self, callbacks: Sequence[Callable[[Event], Any]], parts: 'Parts',
      make: Callable[[], Any]):
    """Listens, if there is anyone to tell.

    Args:
      callbacks: called with each event, in this order.
      parts: of the run.
      make: makes an environment of the run.
    """
    self.stopped = False
    self._callbacks = callbacks
    self._parts = parts
    self._make = make
    self._queue = []
    self._error = None
    self._config = parts.config
    if callbacks:
      parts.collector.driver.on_episode(self._note)

  def evaluated(self, episodes: Sequence[Mapping]) -> None:
    """Notes an evaluation."""
    self._add('evaluation', None, episodes)

  def logged(self) -> None:
    """Notes that metrics of training were logged."""
    self._add('log', None)

  def tell(self) -> None:
    """Calls the callbacks; what one raises is kept for `leave_if_failed`."""
    queue, self._queue = self._queue, []
    for event in queue:
      if event.metrics is None:
        event = dataclasses.replace(
            event, metrics=self._parts.logger.pending)
      for callback in self._callbacks:
        try:
          callback(event)
        except BaseException as error:
          self._error = error
          return

  def leave_if_failed(self) -> None:
    """Saves and leaves if a callback has raised; raises that."""
    if self._error:
      self._parts.session.save(must=True)
      self._error.add_note(
          f'A callback raised this. The run in {self._parts.folder} is saved '
          f'at step {int(self._parts.progress.step)}; the same call goes on.')
      raise self._error

  def end(self, record: Mapping[str, Any] | None) -> None:
    """Tells that the run has ended, with the record of its evaluation."""
    metrics = {}
    if record:
      metrics = {f'eval_{k}': v for k, v in scores.metrics(
          record, record['episodes']).items()}
    self._add('end', metrics)
    self.tell()
    self.leave_if_failed()

  def agent(self) -> 'Agent':
    """Returns the agent, which no gradient step changes until the next."""
    self._parts.learner.finish()
    agent = self._parts.agent
    if agent.adapter is None:
      env = self._make()
      env.close()
      agent.adapter, agent.actions = env.adapter, env.actions
    return agent

  def log(self, event: Event, metrics: Mapping[str, float]) -> None:
    """Adds metrics at the present step; see Event."""
    logger = self._parts.logger
    if event.kind == 'end':
      raise errors.ConfigError(
          'The run has ended and its metrics are written; log at the last '
          'evaluation instead.')
    for name in metrics:
      if not isinstance(name, str) or name in ('', 'step') or (
          not name.isprintable()):
        raise errors.ConfigError(
            f'A metric can not be called {name!r:.80}: give it another name, '
            "a text on one line. Each row has 'step' by itself.")
    ours = sorted(logger.pending.keys() & metrics.keys())
    if ours:
      raise errors.ConfigError(
          f"'{ours[0]}' is a metric of this step already. Log it under "
          'another name.')
    if logger.pending_step not in (None, logger.step):
      logger.write()
    try:
      logger.add(metrics)
    except ValueError as error:
      raise errors.ConfigError(str(error)) from None

  def stop(self, reason: str) -> None:
    """Ends the run at the next occasion; see Event."""
    if not self.stopped:
      step = int(self._parts.progress.step)
      why = f': {reason}' if reason else ''
      self._parts.say(f'A callback stops the run at step {step:,}{why}')
    self.stopped = True

  def _note(self, episode, worker):
    config = self._config
    keys = {
        'sum': config.log_keys_sum, 'mean': config.log_keys_mean,
        'max': config.log_keys_max}
    self._add(
        'episode', scores.episode_metrics(episode, keys, 'train'), [episode])

  def _add(self, kind, metrics, episodes=()):
    if self._callbacks:
      step = int(self._parts.progress.step)
      self._queue.append(Event(
          kind, step, metrics, [_read_only(x) for x in episodes],
          self._parts.folder, self))


def _read_only(episode):
  """Returns an episode that no callback can change: it is in replay, too."""
  result = {}
  for key, value in episode.items():
    result[key] = np.asarray(value).view()
    result[key].flags.writeable = False
  return result


def check(callbacks: Sequence[Callable[[Event], Any]]) -> None:
  """Refuses what can not be called with events.

  Raises:
    ConfigError: that is so.
  """
  if callable(callbacks) or not isinstance(callbacks, Sequence):
    raise errors.ConfigError(
        'callbacks must be a list of functions that take an event, or of '
        f'objects of the class Callback, but got {callbacks!r:.80}.')
  for callback in callbacks:
    if not callable(callback) or isinstance(callback, type):
      raise errors.ConfigError(
          'A callback is a function that takes an event, or an object of a '
          f'class like Callback, but got {callback!r:.80}.')
    try:
      inspect.signature(callback).bind(None)
    except TypeError as error:
      raise errors.ConfigError(
          'A callback is called with one event, which this one does not take: '
          f'{error}.') from None
    except ValueError:
      pass  # Nothing is known of some functions.
