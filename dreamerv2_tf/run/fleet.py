"""The collectors of a run as one: their plan, their episodes, their number."""

import collections
from collections.abc import Callable, Mapping, Sequence
import contextlib
import logging
import time
from typing import Any

import gymnasium as gym
import numpy as np

from .. import envs, errors
from ..config import Config
from . import cluster
from .cluster import ray
from .member import BUILD_SECONDS, LOOK_SECONDS, Member
from .remote import Actor, Plan

log = logging.getLogger('dreamerv2_tf')


class Fleet:
  """Collectors in Ray actors; stands where the pool of environments does.

  A collector that dies, hangs or lies never stops the others.

  Attributes:
    obs_space, act_space, fps, about, mapping: as of Pool.
    stopped: whether the run was asked to stop.
  """

  def __init__(
      self, config: Config, factory: Callable[[], envs.Env],
      stop: Callable[[], int] = lambda: 0, *, collectors: int,
      min_collectors: int, collector_timeout: float, envs: int,
      env_timeout: float, ray: Any):
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
    self._patience = collector_timeout + env_timeout
    self._envs = envs
    self.stopped = False
    self.obs_space: Mapping[str, gym.Space] | None = None
    self.act_space: Mapping[str, gym.Space] | None = None
    self.fps: float | None = None
    self.about: Mapping[str, Any] = {}
    self.mapping: Mapping[str, str] = {}
    self._plan: tuple[Plan, Any] = Plan(), {}
    self._names: Sequence[str] = ()
    self._indices: Callable[[int], Sequence[int]] = lambda number: [0] * envs
    self._inbox = collections.deque()  # Number of a collector, an episode.
    self._quorum = Quorum(min_collectors, collector_timeout)
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

  def count(self, key: str) -> int:
    """Returns `failures`, `dropped` or `outside` of Pool over all of them."""
    return sum(member.count(key) for member in self._members)

  @property
  def lost(self) -> int:
    """Number of failures of collectors themselves."""
    return sum(member.lost for member in self._members)

  @property
  def steps(self) -> int:
    """Steps that they are known to have made since their processes began."""
    return sum(member.steps for member in self._members)

  @property
  def nodes(self) -> list[dict]:
    """Where the collectors began: `collector`, `host` and `pid` of each."""
    return [
        {'collector': x.number, **x.node} for x in self._members if x.node]

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
      member.offer(*self._plan)

  def take(self, seconds: float) -> tuple[int, Any] | None:
    """Returns the number of a collector and the oldest episode that came.

    Args:
      seconds: to wait for one, at most.

    Returns:
      The episode is as in `Actor.collect`, not checked; None if there is none.

    Raises:
      EnvError: too few collectors are at work for too long.
      EnvError, NonFiniteError, StateError: a collector answered that.
    """
    until = time.monotonic() + seconds
    while True:
      self.see_to()
      left = until - time.monotonic()
      self.stopped = self.stopped or bool(self._stop())
      if self._inbox or self.stopped or left <= 0:
        return self._inbox.popleft() if self._inbox else None
      references = self._references()
      if references:
        ray.wait(references, timeout=min(left, 0.2))
      else:
        time.sleep(min(left, 0.05))

  def see_to(self) -> None:
    """Takes in answers, gives out work, and looks who is alive.

    Raises:
      See `take`.
    """
    self._receive()
    now = time.monotonic()
    if (lost := now - self._looked - LOOK_SECONDS) > 0:
      for member in self._members:  # We, not they, were silent.
        member.forgive(lost)
    self._looked = now
    for member in self._members:
      member.look(self._patience)
      while member.hungry and len(self._inbox) < len(self._members):
        member.collect(
            *self._plan, self._indices(member.number), self._names)
    self._quorum.check(self._members)

  def praise(self, number: int) -> None:
    """Tells that an episode of a collector was good."""
    self._members[number].praise()

  def blame(self, number: int, text: str) -> None:
    """Tells that a collector handed over what is none; it is replaced."""
    self._members[number].replace(text)

  def close(self) -> None:
    """Ends all collectors, and the cluster if it is ours."""
    for member in self._members:
      member.end()
    self._context.close()

  def _start(self, count, address):
    """Starts the members, and waits for those that the cluster has room for."""
    offered = cluster.cpus()
    check_room(count, self._least, offered, address)
    for number in range(count):
      self._members.append(Member(number, self._create))
    building = {cluster.call(x.actor.build): x for x in self._members}
    missing = max(0, count - int(offered))
    patience = max(self._patience, BUILD_SECONDS)
    until = time.monotonic() + patience
    while len(building) > missing and time.monotonic() < until:
      ready, _ = ray.wait(list(building), timeout=0.2)
      for reference in ready:
        self._built(building.pop(reference), reference)
      self.check_stop('while collectors were started, before anything changed.')
    for member in building.values():
      member.up = False  # Until it gives a sign of life.
    if self.up < self._least:
      raise errors.EnvError(
          f'{self.up} of {count} collectors have started within '
          f'{patience:g} s, min_collectors is {self._least}. The cluster '
          f'at ray.address {address} offers {offered:g} CPUs, of which each '
          'takes one.')

  def _create(self, number):
    return cluster.start(Actor, *self._arguments, number)

  def _built(self, member, reference):
    """Takes in the spaces of a collector."""
    try:
      answer = ray.get(reference)
    except ray.exceptions.RayError as error:
      member.fail(cluster.why(error), error)
      return
    self._tell(member, answer)
    member.node = answer['node']
    if self.obs_space is None:
      self.obs_space, self.act_space = answer['spaces']
      self.fps, self.about = answer['fps'], answer['about']
      self.mapping = answer['mapping']
    elif answer['spaces'] != (self.obs_space, self.act_space):
      raise errors.StateError(
          f'Environments have different spaces. Collector {member.number}: '
          f"{answer['spaces']}; the first: {self.obs_space}, "
          f'{self.act_space}.')

  def _tell(self, member, answer):
    """Logs what a collector has logged, and raises what it would have."""
    for note in answer.get('notes', ()):
      log.warning('Collector %d: %s', member.number, note)
    if 'error' in answer:
      kind, text = answer['error']
      raise getattr(errors, kind)(
          f'Collector {member.number}: {text}' if self._names else text)

  def _references(self):
    return [x for member in self._members for x in member.references]

  def _receive(self):
    """Takes in all answers that have come."""
    references = self._references()
    if not references:
      return
    ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
    for member in self._members:
      for answer in member.receive(ready):
        self._inbox.extend((member.number, x) for x in answer['episodes'])
        self._tell(member, answer)


def check_room(count: int, least: int, offered: float, address: str) -> None:
  """Warns where a cluster has too few CPUs for all collectors.

  Args:
    count: of the collectors, each of which takes one.
    least: with fewer no run goes on.
    offered: CPUs of the cluster.
    address: of it.

  Raises:
    EnvError: it has too few for that.
  """
  where = f'The cluster at ray.address {address} offers {offered:g} CPUs'
  if offered < least:
    raise errors.EnvError(
        f'{where} and each collector takes one: too few for min_collectors '
        f'{least}.')
  if offered < count:
    log.warning('%s: of %d collectors the others wait for more.', where, count)


class Quorum:
  """Gives up when too few collectors have been at work for too long."""

  def __init__(self, least: int, patience: float):
    """Args: least: number of them; patience: seconds."""
    self._least = least
    self._patience = patience
    self._since = None  # When it became too few.

  def check(self, members: Sequence[Member]) -> None:
    """Looks how many are at work.

    Raises:
      EnvError: that is so.
    """
    up = sum(member.up for member in members)
    if up >= self._least:
      self._since = None
      return
    now = time.monotonic()
    self._since = self._since or now
    hopeless = sum(not x.gone for x in members) < self._least
    if hopeless or now > self._since + self._patience:
      why = 'the others were given up' if hopeless else (
          f'no other one came back within {self._patience:g} s')
      raise errors.EnvError(
          f'{up} of {len(members)} collectors are at work, min_collectors is '
          f'{self._least}, and {why}. The state is saved; the same command '
          'goes on.')
