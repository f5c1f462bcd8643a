"""Several environments side by side, each supervised in its own process."""

import collections
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import logging
from multiprocessing import connection
import signal
import time
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np

from .. import errors
from .env import Env
from .frame import Frame
from .process import Inline, Process, end
from .replies import Command

BUILD_SECONDS = 120  # Imports and construction, on a busy machine.
STOP_SECONDS = 0.7  # For workers that work when the run is asked to stop.
LOOK_SECONDS = 1  # Longer between two looks at workers: we did not run.
WINDOW_SECONDS = 3600  # In which failures are counted.

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Failure:
  """The result of a worker whose episode ends here.

  Attributes:
    kind: 'raised', 'died', 'hung' (the environment is being rebuilt), or
      'dropped' (it returned NaN or infinity, and that row is left out).
    text: what happened, with the worker, seed and step.
  """

  kind: str
  text: str


class Pool:
  """Steps environments in parallel; their failures never stop the others.

  Call `send`, do something else, call `recv`. A worker that raises, dies or
  hangs gives a Failure and is rebuilt. Each reply echoes the number of its
  command, so that a late one is never taken for another's.

  Worker processes end with the thread that creates the pool: create it in
  the main thread.

  Attributes:
    obs_space, act_space: dicts of spaces, equal in all workers.
    fps: frames for each second, see Env.
    about: names of actions and more for people, see Env.
    mapping: how observations and actions are made, in words, see Env.
    frames: for each worker, the pictures since its last command.
    failures, dropped: counts since the start.
    outside: number of rows with observations outside of their space.
    stopped: whether `recv` left out a worker because it was asked to stop;
      no more may be sent then.
  """

  def __init__(
      self, factory: Callable[[], Env], count: int, *,
      parallel: str = 'process', timeout: float = 60, max_failures: int = 10,
      on_bad_data: str = 'stop', stop: Callable[[], int] = lambda: 0,
      seed: int = 0):
    """Builds all environments at the same time.

    Args:
      factory: makes one environment; pickled by value with cloudpickle.
      count: number of environments.
      parallel: 'process', or 'none' to step them one after another in this
        process, where nothing protects from hanging or dying.
      timeout: seconds for a step or reset; then the worker hangs.
      max_failures: more in an hour are an error.
      on_bad_data: 'stop' raises at NaN and infinity, 'drop' ends the episode
        before that row.
      stop: returns the number of the signal that asks to stop, or 0.
      seed: of what an environment draws from the global generators while it
        is built; each worker has its own, also when it is rebuilt.

    Raises:
      Interrupted: asked to stop before all were built.
      ConfigError, EnvError: what the factory raised; EnvError if it raised
        anything else, died or hung.
      StateError: environments have different spaces.
    """
    if parallel not in ('process', 'none'):
      raise errors.ConfigError(
          f"envs_parallel must be process or none but is '{parallel}'.")
    if on_bad_data not in ('stop', 'drop'):
      raise errors.ConfigError(
          f"on_bad_data must be stop or drop but is '{on_bad_data}'.")
    self._timeout = timeout
    self._max_failures = max_failures
    self._stop_at_bad_data = on_bad_data == 'stop'
    self._stop = stop
    self.stopped = False
    self._failed_at = collections.deque()
    self.failures = 0
    self.dropped = 0
    self.outside = 0
    self._warned = set()  # Keys whose being outside was told.
    self._told = set()  # Failures of which it was told where they happened.
    self.frames: list[list[Frame]] = [[] for _ in range(count)]
    self.obs_space: Mapping[str, gym.Space] | None = None
    self.act_space: Mapping[str, gym.Space] | None = None
    self.fps: float | None = None
    self.about: Mapping[str, Any] = {}
    self.mapping: Mapping[str, str] = {}
    self._workers = _workers(factory, count, parallel, seed)
    try:
      for worker in self._workers:
        worker.start()
      for index, reply in self._collect(range(count)):
        self._built(index, reply)
      if self.stopped:
        raise errors.interrupted(
            stop(), 'while environments were built, before anything changed.')
    except BaseException:
      self.close()
      raise

  def __len__(self) -> int:
    return len(self._workers)

  def __enter__(self) -> 'Pool':
    return self

  def __exit__(self, *args) -> None:
    self.close()

  def send(self, commands: Sequence[Command | None]) -> None:
    """Gives each worker ('reset', seed), ('step', action), or None: idle."""
    assert len(commands) == len(self), (len(commands), len(self))
    for worker, command in zip(self._workers, commands):
      if command is not None:
        worker.send(command)

  def recv(self) -> list[dict | Failure | None]:
    """Waits for the answers to `send`; None for idle workers.

    Asked to stop, it waits a moment more, then sets `stopped` and gives None
    for workers that have not answered, as if they had been idle.

    Raises:
      NonFiniteError: NaN or infinity, unless on_bad_data is drop.
      EnvError: an environment broke its API or space, or failures are too
        many.
      StateError: a rebuilt environment has other spaces.
    """
    results: list[dict | Failure | None] = [None] * len(self)
    busy = [i for i, worker in enumerate(self._workers) if worker.busy]
    for index, reply in self._collect(busy):
      results[index] = self._result(index, reply)
    return results

  def check_stop(self, where: str) -> None:
    """Raises Interrupted, with `where` in its message, if asked to stop."""
    if self._stop():
      raise errors.interrupted(self._stop(), where)

  def close(self) -> None:
    """Ends all workers within a few seconds, whatever they are doing."""
    for worker in self._workers:
      if self.stopped and (worker.busy or not worker.built):
        worker.signal(signal.SIGKILL)
      worker.ask_to_close()
    end(self._workers, patience=1)

  def _collect(self, indices):
    """Yields (index, reply) for each worker as its reply comes."""
    limits, asked, before = {}, None, time.monotonic()
    waiting = set(indices)
    while waiting and not self.stopped:
      now = time.monotonic()
      if (lost := now - before - LOOK_SECONDS) > 0:
        # Suspended, as by Ctrl-Z or a cluster, and perhaps they were as well.
        limits = {index: limit + lost for index, limit in limits.items()}
      before = now
      if asked is None and self._stop():
        asked = now
      replies, hung = [], []
      for index in sorted(waiting):
        worker = self._workers[index]
        reply = worker.poll()
        if reply is not None and reply[0] == 'built' and worker.busy:
          self._built(index, reply)
          limits.pop(index, None)
          reply = worker.poll()
        if reply is None:
          patience = self._timeout if worker.built else max(
              self._timeout, BUILD_SECONDS)
          if now < limits.setdefault(index, now + patience):
            continue
          reply = 'hung', f'gave no answer within {patience:g} s', ''
          hung.append(worker)
        waiting.discard(index)
        replies.append((index, reply))
      end(hung, patience=0)
      yield from replies
      if waiting:
        pipes = [self._workers[index].pipe for index in waiting]
        left = min(limits[index] for index in waiting) - time.monotonic()
        connection.wait(pipes, max(0, min(left, 0.2)))
        self.stopped = asked is not None and now >= asked + STOP_SECONDS

  def _built(self, index, reply):
    """Takes in the spaces of a worker that was built."""
    if reply[0] != 'built':
      if reply[0] in ('ConfigError', 'EnvError', 'StateError'):
        raise getattr(errors, reply[0])(reply[1])
      if reply[2]:
        log.warning(reply[2])
      raise errors.EnvError(
          f'Worker {index}: the environment {reply[1]} while it was built.')
    self._workers[index].built = True
    obs_space, act_space, self.fps, self.about, self.mapping, advice = reply[1]
    if self.obs_space is None:
      self.obs_space, self.act_space = obs_space, act_space
      for sentence in advice:
        log.warning(sentence)
    elif (obs_space, act_space) != (self.obs_space, self.act_space):
      raise errors.StateError(
          f'Environments have different spaces. Worker {index}: {obs_space}, '
          f'{act_space}; the first worker: {self.obs_space}, '
          f'{self.act_space}.')

  def _warn_outside(self, index, outside):
    """Counts rows outside of their space; warns once for each key."""
    self.outside += bool(outside)
    for key in outside.keys() - self._warned:
      self._warned.add(key)
      log.warning(
          'Worker %d, seed %s, step %s: %s The run goes on with such values; '
          'env_outside counts them.', index, self._workers[index].seed,
          self._workers[index].step, outside[key])

  def _result(self, index, reply):
    """Turns a reply to a command into a row or a Failure, or raises."""
    worker = self._workers[index]
    worker.busy = False
    kind, content, details = reply
    self.frames[index] = []
    if kind == 'row':
      self.frames[index], outside = details
      self._warn_outside(index, outside)
      return content
    if kind == 'NonFiniteError':
      if self._stop_at_bad_data:
        raise errors.NonFiniteError(
            f'Worker {index}: {content} Mend the environment, or set '
            'on_bad_data to drop.')
      if worker.step:
        self.dropped += 1
        text = f'Worker {index}: {content} Its episode ends before that row.'
        log.warning(text)
        return Failure('dropped', text)
    elif kind in ('ConfigError', 'EnvError', 'StateError') and worker.built:
      raise errors.EnvError(f'Worker {index}: {content}')
    return self._rebuild(index, kind, content, details)

  def _rebuild(self, index, kind, content, details):
    """Counts a failure and builds the environment anew; returns a Failure."""
    worker = self._workers[index]
    details = '' if content in self._told else details
    self._told.add(content)
    if kind in ('raised', 'died', 'hung'):
      content = f'The environment {content}'
    text = (f'Worker {index}, seed {worker.seed}, step {worker.step}: '
            f"{content.rstrip('.')}.")
    self.failures += 1
    now = time.monotonic()
    self._failed_at.append(now)
    while self._failed_at[0] < now - WINDOW_SECONDS:
      self._failed_at.popleft()
    if len(self._failed_at) > self._max_failures:
      if details:
        log.warning(details)
      raise errors.EnvError(
          f'{text} That is failure {len(self._failed_at)} within an hour, and '
          f'max_env_failures is {self._max_failures}.')
    log.warning(f'{text} It is rebuilt. {details}'.rstrip())
    worker.ask_to_close()
    end([worker], patience=0)
    worker.start()
    return Failure(kind if kind in ('died', 'hung') else 'raised', text)


def _workers(factory, count, parallel, seed):
  """Makes the workers, not started; the arguments are those of Pool."""
  if parallel == 'process':
    factory = cloudpickle.dumps(factory)
  kind = {'process': Process, 'none': Inline}[parallel]
  seeds = np.random.SeedSequence([seed, 4]).generate_state(count)
  return [kind(factory, int(seed)) for seed in seeds]
