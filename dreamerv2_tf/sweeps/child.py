"""Becomes a trial, which is asked to stop when whoever started it is gone.

Arguments: the id of the process that starts it, and the command to become. The
kernel then sends SIGTERM, on which a run saves its state and ends. A program of
its own, as it must say so before the command begins, and threads of the parent
must not be copied.
"""

import ctypes
import os
import signal
import sys


def main(argv: list[str]) -> None:
  """Becomes the command argv[2:]; ends if the parent argv[1] is gone."""
  pr_set_pdeathsig = 1
  if sys.platform == 'linux':  # It outlives the change of the program.
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
  signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Others may have ignored it.
  signal.pthread_sigmask(signal.SIG_SETMASK, [])
  if os.getppid() != int(argv[1]):
    os._exit(75)
  os.execv(argv[2], argv[2:])


if __name__ == '__main__':
  main(sys.argv)
