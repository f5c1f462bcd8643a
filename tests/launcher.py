"""Runs at the price of one import: forks of a process that has TensorFlow.

Each fork is a trainer of its own that computes, ends and dies as
`python -m dreamerv2_tf` does, but for the start of the interpreter.
"""

import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent


class Launcher:
  """Starts runs and answers for them as `runs.start` and `runs.call` do."""

  def __init__(self, folder):
    """Args: folder: where the outputs of the runs are written."""
    self._folder = folder
    self._runs = []
    self._server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env={
            **os.environ, 'PYTHONPATH': f'{HERE.parent}{os.pathsep}{HERE}'})

  def __enter__(self):
    return self

  def __exit__(self, *exc_info):
    for run in self._runs:
      if run.poll() is None:
        run.kill()
        run.communicate()
    self._server.communicate()

  def start(self, logdir, *arguments, setup=''):
    """Starts a run.

    Args:
      setup: Python code that the fork runs first, to inject faults.
    """
    number = len(self._runs)
    out, err = (self._folder / f'{number}.{name}' for name in ('out', 'err'))
    for path in out, err:  # May be read before the fork opens them.
      path.touch()
    pid = self.ask(
        argv=['--logdir', str(logdir), *map(str, arguments)], setup=setup,
        out=str(out), err=str(err))
    self._runs.append(Run(self, pid, out, err))
    return self._runs[-1]

  def call(self, logdir, *arguments, status=0, setup=''):
    """Runs to the end; returns what was printed if the status is right."""
    run = self.start(logdir, *arguments, setup=setup)
    out, err = run.communicate()
    assert run.returncode == status, (run.returncode, out, err)
    return out, err

  def ask(self, **request):
    self._server.stdin.write(json.dumps(request) + '\n')
    self._server.stdin.flush()
    return int(self._server.stdout.readline())


class Run:
  """A run that was started; offers what is used of subprocess.Popen.

  Attributes:
    out, err: paths of what it printed so far.
  """

  def __init__(self, launcher, pid, out, err):
    self.pid = pid
    self.returncode = None
    self._launcher = launcher
    self.out, self.err = out, err

  def poll(self):
    if self.returncode is None:
      stat = pathlib.Path(f'/proc/{self.pid}/stat').read_text()
      if stat.rpartition(')')[2].split()[0] == 'Z':  # Nobody else waits.
        self.returncode = self._launcher.ask(wait=self.pid)
    return self.returncode

  def send_signal(self, number):
    os.kill(self.pid, number)

  def kill(self):
    self.send_signal(signal.SIGKILL)

  def communicate(self, timeout=300):
    until = time.monotonic() + timeout
    while self.poll() is None:
      if time.monotonic() > until:
        raise subprocess.TimeoutExpired(f'run {self.pid}', timeout)
      time.sleep(0.02)
    return self.out.read_text(), self.err.read_text()


def work(argv, setup, out, err):
  """Runs the command; returns its exit status."""
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  for handle, path in (1, out), (2, err):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), handle)
  sys.argv = ['dreamerv2', *argv]
  from dreamerv2_tf import cli
  try:
    exec(setup, {})
    return cli.main(argv)
  except BaseException:
    traceback.print_exc()
    return 1
  finally:
    sys.stdout.flush()


def serve():
  """Forks for each request, or waits for a fork; prints id or exit status."""
  from dreamerv2_tf import startup
  startup.import_tensorflow()
  for name in 'train', 'parts', 'evaluate':
    importlib.import_module(f'dreamerv2_tf.run.{name}')
  for line in sys.stdin:
    request = json.loads(line)
    if 'wait' in request:
      _, status = os.waitpid(request['wait'], 0)
      print(os.waitstatus_to_exitcode(status), flush=True)
      continue
    pid = os.fork()
    if not pid:
      os._exit(work(**request))
    print(pid, flush=True)


if __name__ == '__main__':
  serve()
