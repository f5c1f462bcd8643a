"""Keeps a trial going: a process with the ordinary command in its run folder.

So all that a run promises holds for a trial: exit statuses, signals, and that
it goes on exactly. What became of it is in `trials/<name>.json` of the sweep,
what it printed in `trials/<name>.log`.
"""

from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from .. import files
from . import child

FOLDER = 'trials'  # In the folder of a sweep.
FINAL = 2, 3, 5  # Statuses with which the same command ends again.
LOCKED = 7
WAITS = 20  # Starts while another process still holds the run folder.
PAUSE = 3.0  # Seconds before another start; a lost trial may still be saving.
GRACE = 120.0  # Seconds that a trial has to save before it is killed.

DONE, FAILED, STOPPED, OPEN = 'done', 'failed', 'stopped', 'open'


@dataclasses.dataclass(frozen=True)
class Job:
  """A trial as its supervisor needs it, perhaps on another machine.

  Attributes:
    name: of the trial.
    place: folder of the sweep, absolute.
    arguments: of the command, without the run folder.
    retries: starts after failures of one call.
    length: of the run, in environment steps as `metrics.jsonl` counts.
  """

  name: str
  place: str
  arguments: Sequence[str]
  retries: int
  length: int

  @property
  def folder(self) -> pathlib.Path:
    """Its run folder."""
    return pathlib.Path(self.place, self.name)

  def file(self, ending: str) -> pathlib.Path:
    """Returns the path of what the sweep keeps of it: .json or .log."""
    return pathlib.Path(self.place, FOLDER, self.name + ending)


def record(job: Job) -> dict[str, Any]:
  """Returns what is known of a trial.

  Returns:
    state: `open`, `done`, `failed` (status says how) or `stopped` (by the
    comparison with others); status: of its last end; error: its last line;
    starts: how often it began; arguments: of its command; pid, host: of its
    process, while it has one.
  """
  empty = {
      'state': OPEN, 'status': None, 'error': '', 'starts': 0,
      'pid': None, 'host': '', 'arguments': list(job.arguments)}
  known = empty
  try:
    known = empty | files.parse_object(files.read(job.file('.json')))
  except (OSError, ValueError):
    pass
  if known['state'] == OPEN and job.file('.stopped').exists():
    known['state'] = STOPPED
  return known


def settled(job: Job, stopping: bool) -> bool:
  """Returns whether nothing is left to do for a trial.

  Whoever gives other arguments, such as more steps, gets another try.

  Args:
    job: of the trial.
    stopping: whether those that did worse than others stay stopped.
  """
  known = record(job)
  if known['arguments'] != list(job.arguments):
    return False
  return known['state'] == DONE or known['state'] == STOPPED and stopping or (
      known['state'] == FAILED and known['status'] in FINAL)


def stop(job: Job) -> None:
  """Notes that a trial does not go on, as others do better."""
  job.file('.stopped').touch()


def alive(job: Job) -> bool:
  """Returns whether a process of a trial is left on this machine."""
  known = record(job)
  if not known['pid'] or known['host'] != socket.gethostname():
    return False
  try:
    words = files.read(f"/proc/{known['pid']}/cmdline")
  except OSError:
    return False
  return os.fsencode(job.folder) in words.split(b'\0')


class Supervisor:
  """Starts a trial, and starts it again where that may help."""

  def __init__(self, job: Job):
    """Starts it.

    Raises:
      OSError: that can not be done.
    """
    self._job = job
    self._record = {**record(job), 'arguments': list(job.arguments)}
    self._failures = self._waits = self._count = 0
    self._process: subprocess.Popen | None = None
    self._next = 0.0
    self._start()

  @property
  def state(self) -> str:
    """What the trial is: open, done, failed or stopped."""
    return self._record['state']

  @property
  def error(self) -> str:
    """Its exit status and last line, if it failed."""
    return f"status {self._record['status']}: {self._record['error']}"

  @property
  def starts(self) -> int:
    """How often it was started here."""
    return self._count

  def poll(self) -> str:
    """Looks after the trial; returns its state, `open` while it goes on."""
    if self.state != OPEN:
      return self.state
    if self._process is None:
      if time.monotonic() >= self._next:
        self._start()
      return OPEN
    status = self._process.poll()
    if status is not None:
      self._process = None
      self._ended(status)
    return self.state

  def end(self) -> None:
    """Asks the trial to save and to end, and waits for that."""
    process, self._process = self._process, None
    status = self._record['status']
    if process and process.poll() is None:
      process.terminate()
      try:
        status = process.wait(GRACE)
      except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    elif process:
      self._ended(process.returncode)
      status = self._record['status']
    if self.state == OPEN:
      self._write(status=status, pid=None)

  def _start(self):
    job = self._job
    self._count += 1
    job.file('.stopped').unlink(missing_ok=True)
    with job.file('.log').open('ab') as log:
      self._process = subprocess.Popen(
          [sys.executable, child.__file__, str(os.getpid()), sys.executable,
           '-m', __package__.partition('.')[0], 'train', *job.arguments,
           '--logdir', str(job.folder)],
          # A session of its own: Ctrl-C reaches us, and we ask it to stop.
          stdin=subprocess.DEVNULL, stdout=log, stderr=log,
          start_new_session=True)
    self._write(
        state=OPEN, starts=self._record['starts'] + 1, pid=self._process.pid,
        host=socket.gethostname())

  def _ended(self, status):
    """Notes an end and decides whether another start may help."""
    if status == 0:
      self._write(state=DONE, status=0, error='', pid=None)
      return
    self._waits += status == LOCKED
    self._failures += status != LOCKED
    again = status not in FINAL and self._failures <= self._job.retries and (
        self._waits <= WAITS)
    self._write(
        state=OPEN if again else FAILED, status=status, pid=None,
        error=_said(self._job, status))
    self._next = time.monotonic() + PAUSE

  def _write(self, **changes):
    self._record |= changes
    files.write_text(
        self._job.file('.json'), json.dumps(self._record, indent=2) + '\n')


def _said(job, status):
  """Returns the last line that a trial printed, or the signal that ended it."""
  if status < 0:
    return f'killed by {signal.Signals(-status).name}'
  with job.file('.log').open('rb') as file:
    file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
    lines = file.read().decode(errors='replace').split('\n')
  lines = [x.strip() for x in lines if x.strip()]
  return lines[-1].removeprefix('error: ') if lines else 'it said nothing'
