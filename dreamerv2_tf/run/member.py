"""A collector as the learner sees it: calls, signs of life, restarts."""

import collections
from collections.abc import Callable, Collection, Mapping
import contextlib
import logging
import time
from typing import Any

from . import cluster
from .cluster import ray

PENDING = 2  # Calls of each, so that none waits for its next one.
LOOK_SECONDS = 5  # Between signs of life.
RETRY_SECONDS = 0.5  # Between questions to one that is restarted.
BUILD_SECONDS = 120  # Until the first step of a process, at least.
FAILURES = 5  # In a row, without a good episode: it is given up.
COUNTS = ('failures', 'dropped', 'outside')

log = logging.getLogger('dreamerv2_tf')


class Member:
  """An actor that Ray restarts when its process or its machine is gone.

  We notice when it is, and end the process of one that hangs or lies. The
  episodes that ran there are lost. What it had been told is gone as well, so
  that every call says all.

  Attributes:
    number: of the collector.
    actor: its handle.
    up: whether it has answered since its last failure.
    gone: whether it was given up.
    lost: number of its failures.
    steps: that its process has made, as it last said.
    node: host and process id, of its first process.
  """

  def __init__(self, number: int, create: Callable[[int], Any]):
    """Starts the actor, which builds nothing yet.

    Args:
      number: of the collector.
      create: maps it to a handle; again where Ray has given it up.
    """
    self.number = number
    self.up, self.gone = True, False
    self.lost = self.steps = 0
    self.node: Mapping[str, Any] = {}
    self._create = create
    self._calls: list = []  # References of answers to come, oldest first.
    self._sign: Any = None  # Reference of a sign of life to come.
    self._since = self._asked = time.monotonic()
    self._strikes = 0  # Failures since its last good episode.
    self._counts: Mapping[str, int] = {}  # Of the pool of its process.
    self._past = collections.Counter()  # Of former processes.
    self.actor = create(number)

  @property
  def references(self) -> list:
    """What may be waited for."""
    return [*self._calls, *([] if self._sign is None else [self._sign])]

  @property
  def hungry(self) -> bool:
    """Whether it may run out of work."""
    return self.up and len(self._calls) < PENDING

  def count(self, key: str) -> int:
    """Returns a count of COUNTS over all of its processes."""
    return self._past[key] + self._counts.get(key, 0)

  def collect(self, *arguments: Any) -> None:
    """Asks for an episode; see `Actor.collect`."""
    if not self._calls:
      self._since = time.monotonic()
    self._calls.append(cluster.call(self.actor.collect, *arguments))

  def offer(self, *plan: Any) -> None:
    """Tells how to act from now on, if it is at work; see `Actor.offer`."""
    if self.up:
      cluster.call(self.actor.offer, *plan, beside=True)

  def forgive(self, seconds: float) -> None:
    """Does not count a time in which we did not listen."""
    self._since += seconds

  def look(self, patience: float) -> None:
    """Asks for a sign of life, and replaces what gave none for too long.

    Args:
      patience: seconds without a step, if it has work.
    """
    if self.gone:
      return
    now = time.monotonic()
    pause = min(LOOK_SECONDS, patience / 4) if self.up else RETRY_SECONDS
    if self._sign is None and now >= self._asked + pause:
      self._asked = now
      self._sign = cluster.call(self.actor.steps, beside=True)
    if not self.steps:
      patience = max(patience, BUILD_SECONDS)
    if self.up and self._calls and now > self._since + patience:
      self.replace(f'It made no step within {patience:g} s.')

  def receive(self, ready: Collection) -> list[dict[str, Any]]:
    """Takes in what has come; returns the answers to `collect`."""
    if self._sign in ready:
      reference, self._sign = self._sign, None
      steps = self._get(reference)
      if steps is not None:
        self._signed(steps)
    answers = []
    for reference in [x for x in self._calls if x in ready]:
      if reference not in self._calls:
        break  # A failure has cleared them.
      self._calls.remove(reference)
      answer = self._get(reference)
      if isinstance(answer, dict) and isinstance(answer.get('episodes'), list):
        self.steps, self._since = answer.get('steps', 0), time.monotonic()
        self._counts = {key: answer.get(key, 0) for key in COUNTS}
        answers.append(answer)
      elif answer is not None:
        self.replace('Its answer is none of a collector.')
    return answers

  def praise(self) -> None:
    """Tells that an episode of it was good."""
    self._strikes = 0

  def fail(self, text: str, error: BaseException | None = None) -> None:
    """Notes that it is gone; Ray restarts it.

    Args:
      text: why, a sentence.
      error: of Ray, if it noticed.
    """
    self._calls, self._sign, self._asked = [], None, time.monotonic()
    if isinstance(error, ray.exceptions.ActorDiedError) and not self.gone:
      self.actor = self._create(self.number)  # Ray will not.
    if not self.up:
      return
    self.up = False
    self.lost += 1
    self._strikes += 1
    self._past.update(self._counts)
    self._counts, self.steps = {}, 0
    self.gone = self._strikes >= FAILURES
    log.warning(
        'Collector %d: %s Its running episodes are lost. %s', self.number, text,
        f'It is given up after {FAILURES} failures without an episode.'
        if self.gone else 'It is restarted.')
    if self.gone:
      self.end()

  def replace(self, text: str) -> None:
    """Ends its process, whatever it is doing; see `fail`."""
    if self.up:
      self.fail(text)
      if not self.gone:
        ray.kill(self.actor, no_restart=False)

  def end(self) -> None:
    """Ends it for good."""
    with contextlib.suppress(Exception):
      ray.kill(self.actor)

  def _get(self, reference):
    """Returns an answer, None if there is none any more."""
    try:
      return ray.get(reference)
    except ray.exceptions.RayError as error:
      self.fail(cluster.why(error), error)
      return None

  def _signed(self, steps):
    if steps != self.steps or not self.up:
      self.steps, self._since = steps, time.monotonic()
    if not self.up:
      self.up = True
      log.warning('Collector %d is back.', self.number)
