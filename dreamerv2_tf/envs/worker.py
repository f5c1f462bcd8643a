"""A process with one environment: `python -m dreamerv2_tf.envs.worker`.

Arguments are the descriptor of its socket, the id of its parent, and the seed
of what is drawn while the environment is built. The first messages are where
modules are searched and the pickled factory, the others are (number, command);
the number is echoed in each reply. Reads end with the parent's end of the
socket.
"""

import contextlib
import ctypes
import faulthandler
from multiprocessing import connection
import os
import pickle
import signal
import sys
import threading
import time

from . import replies


def main(argv: list[str]) -> int:
  """Serves commands until the pool closes the socket; returns 0."""
  # What stops the trainer may reach us as well; it decides when we end.
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
  pipe = connection.Connection(int(argv[1]))
  _take_children_along()
  _end_with(int(argv[2]))
  faulthandler.enable()
  replies.seed_generators(int(argv[3]))
  env = None
  send = lambda number, reply: pipe.send_bytes(
      pickle.dumps((number, reply), -1))
  try:
    try:
      sys.path[:] = pipe.recv()  # Its names may hold what separates others.
      env = pipe.recv()()
    except Exception as error:
      send(0, replies.reply_of_error(error))
      return 0
    send(0, replies.reply_when_built(env))
    while True:
      number, command = pipe.recv()
      send(number, replies.reply_to(env, command))
  except (EOFError, BrokenPipeError, ConnectionResetError):
    if env is not None:
      env.close()
    return 0


def _take_children_along():
  """Starts a process that, once we are gone, ends all that we have started.

  The pool does so where it replaces or closes us; if it is killed, so are we.
  """
  us = os.getpid()
  if sys.platform != 'linux' or os.fork():
    return
  for handle in os.listdir('/proc/self/fd'):
    with contextlib.suppress(OSError):  # That of the listing is closed.
      os.close(int(handle))
  signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
  _signal_at_end_of_parent(signal.SIGUSR1)
  while os.getppid() == us:
    signal.sigwait([signal.SIGUSR1])
  os.killpg(us, signal.SIGKILL)  # The process group, where we are as well.


def _signal_at_end_of_parent(number):
  pr_set_pdeathsig = 1
  ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)


def _end_with(parent):
  """Makes the kernel, or else a thread, end us when the parent is gone."""
  if sys.platform == 'linux':
    _signal_at_end_of_parent(signal.SIGKILL)
  def watch():
    while os.getppid() == parent:
      time.sleep(1)
    os._exit(1)
  threading.Thread(target=watch, daemon=True).start()


if __name__ == '__main__':
  try:
    status = main(sys.argv)
  except SystemExit as error:
    status = error.code if isinstance(error.code, int) else bool(error.code)
  sys.stderr.flush()
  os._exit(status)  # At once, whatever threads the environment has left.
