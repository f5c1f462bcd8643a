"""Tells, one by one, the evaluations of a trial, those of before first."""

import time
from typing import Any

from . import evaluations, local, supervisor
from .evaluations import METRIC
from .supervisor import Job, Supervisor

LOOK = 2.0  # Seconds until nothing new is told.


class Reporter:
  """A trial as those see it who compare it with others.

  It is not started before all is told that is known of it: it may have to stop
  there. One that is over is not started at all.
  """

  def __init__(self, job: Job, repeat: int, stopping: bool):
    """Starts nothing yet.

    Args:
      job: of the trial.
      repeat: environment steps for each step of the policy.
      stopping: see `supervisor.settled`.
    """
    self._job = job
    self._repeat = repeat
    self._told = 0
    self._last: dict[str, Any] = {}
    self._trial: Supervisor | None = None
    self._over = supervisor.settled(job, stopping)

  def report(self) -> dict[str, Any]:
    """Waits a little for the next evaluation.

    Returns:
      step, in environment steps, and eval_return, of that evaluation or of the
      last one, if there was any; done: whether the trial is over. The
      evaluation at its end comes when it is.

    Raises:
      OSError: the trial can not be started.
    """
    until = time.monotonic() + LOOK
    while True:
      state = self._state()
      found = self._read()
      over = state != supervisor.OPEN
      if len(found.steps) > self._told and (
          over or found.steps[self._told] < self._job.length):
        self._last = {
            'step': int(found.steps[self._told]),
            METRIC: float(found.returns[self._told])}
        self._told += 1
        return {**self._last, 'done': over and self._told == len(found.steps)}
      if over or time.monotonic() > until:
        return {**self._last, 'done': over}
      time.sleep(local.INTERVAL)

  def end(self) -> None:
    """Asks the trial to save and to end, if it runs, and waits for that."""
    if self._trial:
      self._trial.end()

  def _read(self):
    return evaluations.read(self._job.folder, self._repeat)

  def _state(self):
    """Starts the trial or looks after it; returns its state."""
    if self._over:
      return supervisor.DONE
    if self._trial is None:
      known = self._read().steps
      if self._told < len(known) and known[self._told] < self._job.length:
        return supervisor.OPEN
      self._trial = Supervisor(self._job)
    return self._trial.poll()
