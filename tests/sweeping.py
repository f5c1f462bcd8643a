"""Sweeps whose trials are a program of milliseconds instead of a run.

    python sweeping.py FLAGS       the command sweep, with such trials
    python sweeping.py trial ...   one of them

A trial adds a row to its metrics at each of ten steps, the first time that it
gets there. `plan` in the folder of a sweep has name -> exit statuses of its
starts, at step 5; the last one counts on. Each start is a line in `starts`.
"""

import json
import os
import pathlib
import signal
import sys
import time

from dreamerv2_tf import cli
from dreamerv2_tf.sweeps import supervisor

LENGTH, FAULT = 10, 5
FLAGS = [
    '--configs', 'debug', '--task', 'gym_CartPole-v1', '--steps', str(LENGTH),
    '--prefill', '0', '--ray.address', 'none']


def command(job):
  return [sys.executable, __file__, 'trial', str(job.folder)]


def sweep(*arguments):
  """Runs the command in this process; returns its exit status."""
  before, supervisor.command = supervisor.command, command
  pause, supervisor.PAUSE = supervisor.PAUSE, 0
  try:
    return cli.main(['sweep', *FLAGS, *map(str, arguments)])
  finally:
    supervisor.command, supervisor.PAUSE = before, pause


def starts(folder):
  """Returns the step at which each start began."""
  return [int(x) for x in (folder / 'starts').read_text().split()]


def trial(folder):
  asked = []
  signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
  folder.mkdir(exist_ok=True)
  path, seed = folder / 'metrics.jsonl', int(folder.name.split('seed=')[1])
  step = len(path.read_text().splitlines()) if path.exists() else 0
  with (folder / 'starts').open('a') as file:
    file.write(f'{step}\n')
  plan = folder.parent / 'plan'
  plan = json.loads(plan.read_text()) if plan.exists() else {}
  faults = plan.get(folder.name, [0])
  fault = faults[min(len(starts(folder)), len(faults)) - 1]
  while step < LENGTH:
    if step == FAULT and fault:
      print(f'error: as planned for {folder.name}', file=sys.stderr)
      return fault if fault > 0 else os.kill(os.getpid(), -fault)
    step += 1
    with path.open('a') as file:
      file.write(json.dumps({'step': step, 'eval_return': seed + step}) + '\n')
    time.sleep(plan.get('pause', 0))
    if asked:
      return 75
  return 0


if __name__ == '__main__':
  if sys.argv[1] == 'trial':
    sys.exit(trial(pathlib.Path(sys.argv[2])))
  sys.exit(sweep(*sys.argv[1:]))
