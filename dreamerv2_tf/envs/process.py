"""A worker: an environment in a process of its own, or in this one."""

import collections
from collections.abc import Callable, Sequence
import contextlib
import fcntl
from multiprocessing import connection
import os
import pickle
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np

from ..errors import ConfigError
from . import replies
from .env import Env
from .replies import Command, Reply

GRACE_SECONDS = 2  # Between SIGTERM and SIGKILL.


class Inline:
  """A worker in this process; it computes when asked for the reply."""

  pipe = None

  def __init__(self, factory: Callable[[], Env], seed: int):
    """Builds nothing yet; seed: of what is drawn while it is built."""
    # States of the global ones, of its own.
    self._generators: tuple | None = None
    self._factory = factory
    self._seed = seed
    self._env: Env | None = None
    self._command: Command | None = None
    self.built = self.busy = False
    self.seed = self.step = None

  def start(self) -> None:
    """Lets `poll` build the environment."""
    self.built = False

  def send(self, command: Command) -> None:
    """Takes a command, which `poll` carries out."""
    _note(self, command)
    self._command = command

  def poll(self) -> Reply:
    """Builds the environment or carries out a command; returns the reply."""
    if self._env is not None and self._env.own_random:
      return self._work()  # Changing the generators takes 0.1 ms.
    ours = random.getstate(), np.random.get_state()
    _set_generators(self._generators or ours)
    try:
      return self._work()
    finally:
      self._generators = random.getstate(), np.random.get_state()
      _set_generators(ours)

  def _work(self):
    try:
      if not self.built:
        replies.seed_generators(self._seed)
        self._env = self._factory()
        if self._env.alone:
          raise ConfigError(
              f"Environment '{self._env.name}' and TensorFlow crash in one "
              'process. Give --envs_parallel process.')
        return replies.reply_when_built(self._env)
      return replies.reply_to(self._env, self._command)
    except SystemExit as error:
      return 'died', f'called sys.exit({error.code})', ''
    except Exception as error:
      return replies.reply_of_error(error)

  def ask_to_close(self) -> None:
    """Closes the environment."""
    env, self._env = self._env, None
    if env is not None:
      env.close()

  def alive(self) -> bool:
    """Tells that there is no process to wait for."""
    return False


class Process:
  """A worker process and the trainer's end of its pipe."""

  def __init__(self, factory: bytes, seed: int):
    """Starts nothing yet.

    Args:
      factory: makes the environment; pickled with cloudpickle.
      seed: of what is drawn while it is built.
    """
    self._factory = factory
    self._seed = seed
    self._process: subprocess.Popen | None = None
    self._count = 0
    self.pipe: connection.Connection | None = None
    self.built = self.busy = False
    self.seed = self.step = None

  def start(self) -> None:
    """Starts a process and does not wait for it."""
    self.built = False
    ours, theirs = socket.socketpair()
    # A stopped or dying worker must not block us in the midst of a message.
    limit = struct.pack('ll', 5, 0)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    # Not 0 to 2, which are replaced, if those of ours are closed.
    passed = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    path = _search_path()
    self._process = subprocess.Popen(
        [sys.executable, '-P', '-m', f'{__package__}.worker',
         str(passed), str(os.getpid()), str(self._seed)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, pass_fds=[passed],
        process_group=0,  # Ctrl-C is for the trainer alone.
        env={'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1',
             **os.environ, 'PYTHONPATH': os.pathsep.join(path)})
    theirs.close()
    os.close(passed)
    self.pipe = connection.Connection(ours.detach())
    self._tail = collections.deque(maxlen=2)
    self._reader = threading.Thread(
        target=_drain, args=(self._process.stderr, self._tail), daemon=True)
    self._reader.start()
    self._write(pickle.dumps(path))
    self._write(self._factory)

  def send(self, command: Command) -> None:
    """Sends a command with its number."""
    _note(self, command)
    self._count += 1
    self._write(pickle.dumps((self._count, command), -1))

  def poll(self) -> Reply | None:
    """Returns a reply, or None if there is none yet."""
    try:
      while self.pipe.poll():
        count, reply = self.pipe.recv()
        if count == self._count or reply[0] == 'built' or not self.built:
          return reply
    except (EOFError, OSError):
      return self._death()
    if self._process.poll() is not None and not self.pipe.poll():
      return self._death()  # Its own children may hold the pipe open.
    return None

  def ask_to_close(self) -> None:
    """Closes the pipe, after which the worker ends."""
    if self.pipe:
      self.pipe.close()

  def alive(self) -> bool:
    """Tells whether the process runs."""
    return self._process is not None and self._process.poll() is None

  def signal(self, number: int) -> None:
    """Signals the worker, and with SIGKILL all that it has started."""
    if not self.alive():
      return
    if number == signal.SIGKILL:
      self.kill_group()
    else:
      self._process.send_signal(number)

  def kill_group(self) -> None:
    """Kills what the worker has started, also when it is gone itself."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
      os.killpg(self._process.pid, signal.SIGKILL)

  def _write(self, data):
    try:
      self.pipe.send_bytes(data)
    except OSError:
      pass  # Dead or stuck; `poll` will find out.

  def _death(self):
    try:
      code = self._process.wait(1)
    except subprocess.TimeoutExpired:
      return 'died', 'closed its pipe', self._last_words()
    if code < 0:
      return 'died', f'was killed by {signal.Signals(-code).name}', (
          self._last_words())
    return 'died', f'died with exit code {code}', self._last_words()

  def _last_words(self):
    self._reader.join(0.2)
    return b''.join(self._tail).decode(errors='replace')[-2000:].strip()


def end(workers: Sequence[Inline | Process], patience: float) -> None:
  """Ends workers: so many seconds of patience, then SIGTERM, then SIGKILL."""
  for seconds, number in [
      (patience, signal.SIGTERM), (GRACE_SECONDS, signal.SIGKILL), (1, None)]:
    until = time.monotonic() + seconds
    while any(worker.alive() for worker in workers) and (
        time.monotonic() < until):
      time.sleep(0.01)
    for worker in workers:
      if number and isinstance(worker, Process) and worker.alive():
        worker.signal(number)
  for worker in workers:
    if isinstance(worker, Process) and worker.pipe:
      worker.pipe.close()
      worker.kill_group()


def _search_path():
  """Where modules are searched, as a worker with another folder would."""
  try:
    here = os.getcwd()
  except FileNotFoundError:  # Somebody has deleted the current folder.
    return [x for x in sys.path if os.path.isabs(x)]
  return [os.path.join(here, x) if x else here for x in sys.path]


def _set_generators(states):
  random.setstate(states[0])
  np.random.set_state(states[1])


def _note(worker, command):
  """Keeps what a later message about this worker should say."""
  worker.busy = True
  if command[0] == 'reset':
    worker.seed, worker.step = command[1], 0
  else:
    worker.step += 1


def _drain(stream, tail):
  """Reads what a worker prints, so that it never blocks; keeps the end."""
  with stream:
    while data := stream.read1(65536):
      tail.append(data[-2000:])
