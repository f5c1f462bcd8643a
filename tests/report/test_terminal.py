"""Lines and bars on a terminal, also when it goes away."""

import contextlib
import fcntl
import io
import logging
import math
import os
import pty
import struct
import subprocess
import sys
import termios
import time

from boards import rows
import numpy as np
import pytest

from dreamerv2_tf.report.logger import Logger
from dreamerv2_tf.report.terminal import (
  TerminalOutput,
  format_seconds,
  format_value,
)


def all_of(leader):
  """Reads what was written to a terminal that is closed at the other end.

  A single read returns what has arrived so far.
  """
  parts = []
  with contextlib.suppress(OSError):  # EIO: there is no more.
    while part := os.read(leader, 100_000):
      parts.append(part)
  os.close(leader)
  return b''.join(parts).decode()


def test_lines_are_plain_where_there_is_no_terminal():
  stream = io.StringIO()
  logger = Logger(
      lambda: 40, [TerminalOutput(100, stream)])
  logger.add({'train_return': 12.5, 'kl': 1e-4, 'image': np.zeros((2, 2))})
  logger.tick()
  logger.write()
  logger.close()
  assert stream.getvalue() == '[40] train_return 12.5 / kl 1e-4\n'


@pytest.mark.parametrize('value, want', [
    (0, '0'), (-0.0, '0'), (1, '1'), (100, '100'), (0.5, '0.5'),
    (12.345, '12.35'), (-3.1, '-3.1'), (123456, '1.2e5'), (3e-4, '3e-4'),
    (-2.5e-7, '-2.5e-7'), (math.nan, 'nan'), (math.inf, 'inf')])
def test_numbers_take_a_few_characters(value, want):
  assert format_value(value) == want


@pytest.mark.parametrize('value, want', [
    (0, '0:00:00'), (3725.9, '1:02:05'), (90061, '1d 1:01:01')])
def test_durations_have_days_from_one_on(value, want):
  assert format_seconds(value) == want


def test_a_bar_lies_below_the_lines_on_a_terminal(monkeypatch):
  monkeypatch.setenv('TERM', 'xterm')
  now = 1000.0
  monkeypatch.setattr(time, 'monotonic', lambda: now)
  leader, follower = pty.openpty()
  fcntl.ioctl(
      follower, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 120, 0, 0))
  with os.fdopen(follower, 'w') as stream:
    output = TerminalOutput(10_000, stream)
    output([(1000, 'train_return', np.array(12.5)),
            (1000, 'max_train_log_crashed', np.array(1.0))])
    now += 10
    output.tick(2000)
    output.tick(2001)  # Too soon: not drawn.
    output([(2000, 'eval_return', np.array(20.0)),
            (2000, 'eval_crash_rate', np.array(0.4))])
    logging.getLogger('dreamerv2_tf.somewhere').warning('odd %s', 'thing')
    output.close()
  text = all_of(leader)
  assert '[1000] train_return 12.5' in text
  assert (
      ' 20% [====                ]  2,000/10,000  100.0/s  ETA 0:01:20'
      '  return 12.5') in text
  assert '\r\x1b[K[2000] eval_return 20 / eval_crash_rate 0.4\r\n' in text
  assert 'return 12.5  eval 20  eval crash 0.4' in text
  assert '\r\x1b[Kodd thing\r\n' in text
  assert '2,001' not in text
  assert text.endswith('\r\n')
  assert max(map(len, text.replace('\x1b[K', '').split('\r'))) < 120
  assert not logging.getLogger('dreamerv2_tf').handlers


def test_the_bar_fits_a_narrow_terminal(monkeypatch):
  monkeypatch.setenv('TERM', 'xterm')
  leader, follower = pty.openpty()
  fcntl.ioctl(
      follower, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 30, 0, 0))
  with os.fdopen(follower, 'w') as stream:
    output = TerminalOutput(10_000, stream)
    output.tick(5000)
    output.close()
  text = all_of(leader)
  assert len(text.strip('\r\n').removesuffix('\x1b[K')) == 29


def test_a_closed_pipe_does_not_end_the_run(tmp_path):
  code = (
      'import sys, time, numpy as np\n'
      'from dreamerv2_tf.report import jsonl, logger, terminal\n'
      f'rows = jsonl.JSONLOutput({str(tmp_path)!r})\n'
      'x = logger.Logger(lambda: 1, [terminal.TerminalOutput(9), rows])\n'
      'sys.stdin.read()\n'  # Until the reader of stdout is gone.
      'for _ in range(3):\n'
      '  x.scalar("x", 1); x.write()\n'
      'print("more")\n'
      'x.close()\n')
  process = subprocess.Popen(
      [sys.executable, '-c', code], stdin=subprocess.PIPE,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  process.stdout.close()
  process.stdin.close()
  assert process.stderr.read() == b''
  assert process.wait() == 0
  process.stderr.close()
  assert len(rows(tmp_path)) == 3


def test_a_closed_stream_and_a_narrow_encoding_are_no_error():
  stream = io.StringIO()
  output = TerminalOutput(9, stream)
  stream.close()
  output([(1, 'x', np.array(1.0))])
  raw = io.BytesIO()
  with io.TextIOWrapper(raw, 'ascii') as stream:
    TerminalOutput(9, stream)([(1, 'größe', np.array(1.0))])
    assert raw.getvalue() == b'[1] gr??e 1\n'
