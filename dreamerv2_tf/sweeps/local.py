"""Runs trials one after the other, without Ray."""

from collections.abc import Callable, Sequence
import time

from . import supervisor
from .supervisor import Job, Supervisor

INTERVAL = 0.2  # Seconds between two looks at a trial.


def run(
    jobs: Sequence[Job], asked: Callable[[], int],
    tell: Callable[[str], None]) -> None:
  """Runs each trial to its end, or until it is asked to stop.

  Args:
    jobs: what is left to do, in order.
    asked: returns the number of a signal that came, or 0.
    tell: takes a line for each event.

  Raises:
    OSError: a process can not be started or a record not be written.
  """
  for job in jobs:
    if asked():
      return
    tell(f'{job.name}: begins')
    trial = Supervisor(job)
    try:
      starts = 1
      while trial.poll() == supervisor.OPEN and not asked():
        if trial.starts > starts:
          starts = trial.starts
          tell(f'{job.name}: {trial.error}; begins again')
        time.sleep(INTERVAL)
    finally:
      trial.end()
    tell(said(job))


def said(job: Job) -> str:
  """Returns a line on what became of a trial."""
  known = supervisor.record(job)
  return f'{job.name}: ' + {
      supervisor.DONE: 'done',
      supervisor.STOPPED: 'stopped, others do better',
      supervisor.OPEN: 'not complete, its state is saved',
      supervisor.FAILED:
          f"failed with status {known['status']}: {known['error']}",
  }[known['state']]
