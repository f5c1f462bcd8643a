"""The collectors of a run as one: calls, deadlines, restarts, losses."""

import collections
from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import logging
import time
from typing import Any

import gymnasium as gym
import numpy as np

from .. import envs, errors
from ..config import Config
from . import cluster
from .cluster import ray
from .remote import Actor, Plan

log = logging.getLogger('dreamerv2_tf')

PENDING = 2  # Calls of each collector, so that it never waits for the next.
LOOK_SECONDS = 5  # Between signs of life; longer between looks: we were busy.
RETRY_SECONDS = 0.5  # Between questions to a collector that is restarted.
FAILURES = 5  # In a row, without an episode: a collector is given up.


@dataclasses.dataclass
class Member:
  """A collector as the learner sees it.

  Attributes:
    number: of it.
    actor: its handle.
    up: it has answered since its last failure.
    gone: it was given up.
    calls: references of answers to come, oldest first.
    sign: reference of a sign of life to come.
    since: when it last was known to go on, `time.monotonic()`.
    asked: when it was last asked for a sign.
    steps: as of the last sign.
    strikes: failures since its last good episode.
    node: host and process id, as it began.
    counts: of its pool, since its process began.
  """

  number: int
  actor: Any
  up: bool = True
  gone: bool = False
  calls: list = dataclasses.field(default_factory=list)
  sign: Any = None
  since: float = 0.0
  asked: float = 0.0
  steps: int = 0
  strikes: int = 0
  node: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Fleet:
  """Collectors in Ray actors; stands where the pool of environments does.

  A collector that dies, hangs or lies never stops the others. Ray restarts its
  process; what we add is to notice what hangs, and when it is enough.

  Attributes:
    obs_space, act_space, fps, about: as of Pool.
    stopped: whether the run was asked to stop.
    failures, dropped, outside: as of Pool, of all collectors.
    lost: failures of collectors themselves.
  """

  def __init__(
      self, config: Config, factory: Callable[[], envs.Env],
      stop: Callable[[], int] = lambda: 0, *, collectors: int,
      min_collectors: int, collector_timeout: float, envs: int,
      env_timeout: float, ray: Mapping[str, Any]):
    """Connects to the cluster and builds all environments.

    Args:
      config: of the run, for the collectors.
      factory: makes one environment.
      stop: returns the number of the signal that asks to stop, or 0.
      collectors: how many.
      min_collectors: with fewer the run ends.
      collector_timeout: seconds of patience beyond `env_timeout`.
      envs: environments of each collector.
      env_timeout: seconds for a step of an environment.
      ray: `address` of the cluster.

    Raises:
      EnvError: no cluster, or too few collectors can be started.
      ConfigError, EnvError, StateError: what a collector answered.
      Interrupted: asked to stop before all were built.
    """
    self._stop = stop
    self._least = min_collectors
    self._timeout = collector_timeout
    self._patience = collector_timeout + env_timeout
    self._envs = envs
    self.stopped = False
    self.obs_space: Mapping[str, gym.Space] | None = None
    self.act_space: Mapping[str, gym.Space] | None = None
    self.fps: float | None = None
    self.about: Mapping[str, Any] = {}
    self.lost = 0
    self._past = collections.Counter()  # Counts of processes that are gone.
    self._plan: tuple[Plan, Any] = Plan(), {}
    self._names: Sequence[str] = ()
    self._indices: Callable[[int], Sequence[int]] = lambda number: [0] * envs
    self._inbox: collections.deque = collections.deque()
    self._few_since = None
    self._looked = time.monotonic()
    self._members: list[Member] = []
    self._context = contextlib.ExitStack()
    self._arguments = config, factory
    try:
      self._context.enter_context(cluster.connected(ray.address, collectors))
      self._start(collectors, ray.address)
    except BaseException:
      self.close()
      raise

  def __len__(self) -> int:
    return len(self._members) * self._envs

  def __enter__(self) -> 'Fleet':
    return self

  def __exit__(self, *exc_info) -> None:
    self.close()

  @property
  def up(self) -> int:
    """Number of collectors that are at work."""
    return sum(member.up for member in self._members)

  @property
  def nodes(self) -> list[dict]:
    """Where the collectors began: `collector`, `host`, `pid` of each."""
    return [
        {'collector': x.number, **x.node} for x in self._members if x.node]

  @property
  def steps(self) -> int:
    """Steps that they are known to have made since their processes began."""
    return sum(member.steps for member in self._members)

  failures = property(lambda self: self._count('failures'))
  dropped = property(lambda self: self._count('dropped'))
  outside = property(lambda self: self._count('outside'))

  def check_stop(self, where: str) -> None:
    """Raises Interrupted, with `where` in its message, if asked to stop."""
    if self._stop():
      raise errors.interrupted(self._stop(), where)

  def prepare(
      self, names: Sequence[str],
      indices: Callable[[int], Sequence[int]]) -> None:
    """Tells what calls need.

    Args:
      names: of observations in the order of the agent.
      indices: maps a collector to the number of the next episode of each of
        its environments.
    """
    self._names, self._indices = names, indices

  def direct(
      self, name: str, mode: str | None, version: int,
      weights: Mapping[str, np.ndarray]) -> None:
    """Tells all how to act from their next step on; see `remote.Plan`."""
    plan = Plan(self._plan[0].number + 1, name, mode, version)
    self._plan = plan, ray.put(weights) if weights else {}
    for member in self._members:
      if member.up:
        cluster.call(member.actor.offer, *self._plan, beside=True)

  def take(self, seconds: float) -> dict[str, Any] | None:
    """Returns an episode with the `number` of its collector, the oldest.

    Args:
      seconds: to wait for one, at most; it sees to the collectors in any case.

    Returns:
      As in `Actor.collect`, not checked; None if there is none.

    Raises:
      EnvError: too few collectors are at work for too long.
      EnvError, NonFiniteError, StateError: a collector answered that.
    """
    until = time.monotonic() + seconds
    while True:
      self._see_to()
      left = until - time.monotonic()
      waiting = [] if self._inbox else self._references()
      if waiting and left > 0 and not self._stop():
        ray.wait(waiting, timeout=min(left, 0.2))
      self._receive()
      if self._inbox:
        return self._inbox.popleft()
      if self._stop():
        self.stopped = True
      if self.stopped or time.monotonic() >= until:
        return None
      if not waiting:
        time.sleep(0.05)

  def see_to(self) -> None:
    """Gives collectors work and takes in what they answer, without waiting."""
    self._see_to()
    self._receive()

  def praise(self, number: int) -> None:
    """Tells that an episode of a collector was good."""
    self._members[number].strikes = 0

  def blame(self, number: int, text: str) -> None:
    """Tells that a collector handed over what is none; it is replaced."""
    self._replace(self._members[number], text)

  def close(self) -> None:
    """Ends all collectors, and the cluster if it is ours."""
    for member in self._members:
      with contextlib.suppress(Exception):
        ray.kill(member.actor)
    self._context.close()

  def _start(self, count, address):
    offered = cluster.cpus()
    if offered < self._least:
      raise errors.EnvError(
          f'The cluster at ray.address {address} offers {offered:g} CPUs and '
          f'each collector takes one: too few for min_collectors '
          f'{self._least}.')
    if offered < count:
      log.warning(
          'The cluster offers %g CPUs: of %d collectors the others wait for '
          'more.', offered, count)
    self._members = [
        Member(i, self._create(i), since=time.monotonic())
        for i in range(count)]
    building = {cluster.call(x.actor.build): x for x in self._members}
    until = time.monotonic() + self._patience
    missing = max(0, int(count - offered))
    while len(building) > missing and time.monotonic() < until:
      ready, _ = ray.wait(list(building), timeout=0.2)
      for reference in ready:
        self._built(building.pop(reference), reference)
      self.check_stop('while collectors were started, before anything changed.')
    for member in building.values():
      member.up = False
    if self.up < self._least:
      raise errors.EnvError(
          f'{self.up} of {count} collectors have started, min_collectors is '
          f'{self._least}. The cluster offers {offered:g} CPUs, of which each '
          'takes one.')

  def _create(self, number):
    return cluster.start(Actor, *self._arguments, number)

  def _built(self, member, reference):
    """Takes in the spaces of a collector."""
    try:
      answer = ray.get(reference)
    except ray.exceptions.RayError as error:
      return self._failed(member, cluster.why(error))
    self._tell(member, answer)
    member.node = answer['node']
    if self.obs_space is None:
      self.obs_space, self.act_space = answer['spaces']
      self.fps, self.about = answer['fps'], answer['about']
    elif answer['spaces'] != (self.obs_space, self.act_space):
      raise errors.StateError(
          f'Environments have different spaces. Collector {member.number}: '
          f"{answer['spaces']}; the first: {self.obs_space}, "
          f'{self.act_space}.')

  def _tell(self, member, answer):
    """Logs what a collector has logged, and raises what it would have."""
    for note in answer['notes']:
      log.warning('Collector %d: %s', member.number, note)
    if 'error' in answer:
      kind, text = answer['error']
      raise getattr(errors, kind)(
          f'Collector {member.number}: {text}' if self.obs_space else text)

  def _references(self):
    return [
        reference for x in self._members
        for reference in [*x.calls, *[x.sign] * (x.sign is not None)]]

  def _see_to(self):
    """Gives each collector work, and looks which of them live."""
    now = time.monotonic()
    if (lost := now - self._looked - LOOK_SECONDS) > 0:
      for member in self._members:  # We, not they, were silent.
        member.since += lost
    self._looked = now
    for member in self._members:
      if member.gone:
        continue
      if not member.calls:
        member.since = max(member.since, now if member.up else 0)
      while member.up and len(member.calls) < PENDING and (
          len(self._inbox) < len(self._members)):
        member.calls.append(cluster.call(
            member.actor.collect, *self._plan, self._indices(member.number),
            self._names))
      pause = min(LOOK_SECONDS, self._patience / 4)
      if member.sign is None and now >= member.asked + (
          pause if member.up else RETRY_SECONDS):
        member.asked = now
        member.sign = cluster.call(member.actor.steps, beside=True)
      if member.up and now > member.since + self._patience:
        self._replace(
            member, f'It made no step within {self._patience:g} s.')
    self._check_number(now)

  def _check_number(self, now):
    """Gives up when too few have been at work for too long."""
    if self.up >= self._least:
      self._few_since = None
      return
    self._few_since = self._few_since or now
    hopeless = sum(not x.gone for x in self._members) < self._least
    if hopeless or now > self._few_since + self._timeout:
      raise errors.EnvError(
          f'{self.up} of {len(self._members)} collectors are at work, '
          f'min_collectors is {self._least}'
          + (': the others were given up.' if hopeless else
             f', and none came back within {self._timeout:g} s.'))

  def _receive(self):
    """Takes in all answers that have come."""
    references = self._references()
    if not references:
      return
    ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
    ready = set(ready)
    for member in self._members:
      if member.sign in ready:
        reference, member.sign = member.sign, None
        self._signed(member, reference)
      for reference in [x for x in member.calls if x in ready]:
        if reference in member.calls:  # A failure clears them.
          member.calls.remove(reference)
          self._answered(member, reference)

  def _signed(self, member, reference):
    try:
      steps = ray.get(reference)
    except ray.exceptions.RayError as error:
      self._failed(member, cluster.why(error), error)
      return
    if steps != member.steps or not member.up:
      member.steps, member.since = steps, time.monotonic()
    if not member.up:
      member.up = True
      log.warning('Collector %d is back.', member.number)

  def _answered(self, member, reference):
    try:
      answer = ray.get(reference)
    except ray.exceptions.RayError as error:
      self._failed(member, cluster.why(error), error)
      return
    member.since = time.monotonic()
    if not (isinstance(answer, dict) and {'episodes', 'notes'} <= {*answer}):
      self._replace(member, 'Its answer is none of a collector.')
      return
    member.counts = {
        key: answer.get(key, 0) for key in ('failures', 'dropped', 'outside')}
    for episode in answer['episodes']:
      self._inbox.append({'number': member.number, 'episode': episode})
    self._tell(member, answer)

  def _failed(self, member, text, error=None):
    """Notes that a collector is gone; Ray restarts it, unless it can not."""
    member.calls, member.sign = [], None
    if isinstance(error, ray.exceptions.ActorDiedError) and not member.gone:
      member.actor = self._create(member.number)
    if not member.up:
      return
    member.up = False
    member.asked = time.monotonic()
    member.strikes += 1
    self.lost += 1
    self._past.update(member.counts)
    member.counts, member.steps = {}, 0
    member.gone = member.strikes >= FAILURES
    log.warning(
        'Collector %d: %s Its running episodes are lost. %s', member.number,
        text, f'After {FAILURES} failures without an episode it is given up.'
        if member.gone else 'It is restarted.')
    if member.gone:
      ray.kill(member.actor)

  def _replace(self, member, text):
    """Ends the process of a collector, whatever it is doing."""
    if not member.up:
      return
    self._failed(member, text)
    if not member.gone:
      ray.kill(member.actor, no_restart=False)

  def _count(self, key):
    return self._past[key] + sum(
        member.counts.get(key, 0) for member in self._members)
