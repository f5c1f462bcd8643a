"""Lines and bars on a terminal, also when it goes away."""

import contextlib
import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

from boards import rows
import numpy as np
import pytest

from dreamerv2_tf.report.logger import Logger
from dreamerv2_tf.report.terminal import TerminalOutput, announce

# What a display may send to move the cursor and to clear a line.
CONTROL = re.compile(r'\x1b\[\d*[A-Z]|\r')


def episode(step, score, crashed=1.0):
  return [
      (step, 'train_return', np.array(score)),
      (step, 'train_length', np.array(10.0)),
      (step, 'mean_train_log_speed', np.array(24.0)),
      (step, 'max_train_log_crashed', np.array(crashed))]


def training(step, **values):
  return [(step, k, np.array(float(v))) for k, v in {
      **values, 'fps': 99}.items()]


@pytest.fixture
def clock(monkeypatch):
  """Returns a function that lets seconds pass."""
  now = [1000.0]
  monkeypatch.setattr(time, 'monotonic', lambda: now[0])

  def wait(seconds):
    now[0] += seconds

  return wait


@contextlib.contextmanager
def terminal(monkeypatch, columns):
  """Yields a stream to a terminal, and a list to which the output is added."""
  monkeypatch.setenv('TERM', 'xterm')
  leader, follower = pty.openpty()
  fcntl.ioctl(
      follower, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
  shown = []
  with os.fdopen(follower, 'w') as stream:
    yield stream, shown
  with contextlib.suppress(OSError):  # EIO: there is no more.
    while part := os.read(leader, 100_000):
      shown.append(part.decode())
  os.close(leader)
  shown[:] = [''.join(shown)]


def pieces(text):
  """Returns what was shown, each line and each state of the bar."""
  return [x for x in CONTROL.sub('\n', text).split('\n') if x]


def test_a_pipe_gets_a_line_for_each_row_of_training(clock):
  stream = io.StringIO()
  logger = Logger(lambda: 40, [TerminalOutput(100, stream)])
  logger.add({'train_return': 12.5, 'mine': 1, 'image': np.zeros((2, 2))})
  logger.tick()
  logger.write()
  assert stream.getvalue() == ''
  logger.add({'train_return': 7.5, 'mine': 2})
  logger.add({'train_return': 4.0})
  logger.add({'actor_ent': 1.25, 'image_excess': 16.0, 'critic': 3, 'fps': 9})
  logger.write()  # Of one name in a row, the last counts.
  logger.add({'actor_ent': 1.0, 'fps': 9})
  logger.write()
  logger.close()
  assert stream.getvalue() == (
      'step 40  training: return 8.0 (3 episodes), excess 16, entropy 1.25, '
      'value 3, mine 1.5\n'
      'step 40  training: no episode has ended, entropy 1\n')


def test_prefill_is_summed_up_at_its_end_and_once_a_minute_in_a_pipe(clock):
  stream = io.StringIO()
  output = TerminalOutput(10_000, stream)
  output.phase = 'prefill'
  output.tick(0)
  output(episode(10, 2.0) + episode(10, 4.0, 0.0))
  clock(59)
  output.tick(590)
  assert stream.getvalue() == ''
  clock(1)
  output.tick(600)
  output(episode(700, 9.0))
  with output.during('saving'):
    clock(1)
  output.phase = 'compiling'
  output.phase = 'training'
  assert stream.getvalue() == (
      'step 600  prefill: return 3.0, crash 50 %, length 10.0, 24.0 m/s '
      '(2 episodes), 9.8/s\n'
      'step 700  prefill: return 9.0, crash 100 %, length 10.0, 24.0 m/s '
      '(1 episode), 11.5/s\n')
  output.finish()
  output(episode(800, 1.0))
  output.finish()
  assert stream.getvalue().splitlines()[2].startswith(
      'step 800  training: return 1.0, crash 100 %')


def test_a_bar_lies_below_the_lines_on_a_terminal(monkeypatch, clock):
  with terminal(monkeypatch, 150) as (stream, shown):
    output = TerminalOutput(10_000, stream)
    output.tick(1000)
    output.phase = 'training'
    for score in range(1, 31):
      output(episode(1000, float(score), float(score % 2)))
    clock(10)
    output(training(2000, image_excess=16, actor_ent=1))
    clock(10)
    output.tick(3000)
    output([(3000, 'eval_return', np.array(20.0)),
            (3000, 'eval_crash_rate', np.array(0.4))])
    with output.during('evaluating 3/10'):
      output.message('a [b] line')
    logging.getLogger('dreamerv2_tf.somewhere').warning('odd %s', 'thing')
    output.close()
  text, = shown
  found = pieces(text)
  # Of the last 20 episodes, whose returns are 11 to 30.
  assert (
      ' 30 %  [===         ]  training  3,000/10k  100/s  ETA 1:10  elapsed '
      '0:20  return 20.5  crash 50 %  eval 20.0  excess 16.0') in found
  assert any('evaluating 3/10  3,000/10k  ETA' in x for x in found)
  assert {'a [b] line', 'odd thing'} <= set(found)
  assert any(x.startswith(
      'step 2,000  training: return 15.5, crash 50 %, length 10.0, 24.0 m/s '
      '(30 episodes), excess 16, entropy 1, 100/s') for x in found)
  assert '\x1b[?25l' not in text  # The cursor stays.
  assert re.fullmatch(r'(\x1b\[\d*[A-Z]|[^\x1b])*', text)  # No colours.
  assert not logging.getLogger('dreamerv2_tf').handlers


def test_nothing_is_foretold_during_the_start_and_prefill(monkeypatch, clock):
  with terminal(monkeypatch, 80) as (stream, shown):
    output = TerminalOutput(600, stream)
    clock(3)
    output.message('now')
    output.phase = 'prefill'
    clock(30)
    output.tick(300)
    output.message('now')
    output.close()
  found = pieces(shown[0])
  assert 'starting  elapsed 0:03' in found
  assert (' 50 %  [======      ]  prefill  300/600  10.0/s  ETA ?  '
          'elapsed 0:33') in found


def test_the_bar_fits_every_terminal_and_cuts_no_field(monkeypatch, clock):
  whole = {
      '40 %', '[====        ]', 'evaluating 3/10', '300.1k/750k', 'ETA 3:00:01',
      'elapsed 0:20', 'return -10.5', 'crash 100 %', 'eval 20.0',
      'excess 187.9'}
  most = 0
  for columns in range(40, 201, 5):
    with terminal(monkeypatch, columns) as (stream, shown):
      output = TerminalOutput(750_000, stream)
      output.tick(299_300)
      output.phase = 'training'
      output(episode(299_300, -10.5))
      output(training(299_300, vector_excess=187.89, eval_return=20))
      clock(20)
      output.tick(300_133)
      output.phase = 'evaluating 3/10'
      output.message('now')
      output.close()
      clock(-20)
    bars = [x for x in pieces(shown[0]) if 'evaluating' in x]
    assert bars
    for bar in bars:
      fields = [x.strip() for x in re.split('  +(?![ =]*])', bar)]
      assert len(bar) < columns and set(filter(None, fields)) <= whole, bar
      assert len(fields) >= most
    most = max(most, len(fields))
  assert most == len(whole)


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
  with terminal(monkeypatch, 80) as (stream, shown):
    monkeypatch.setenv('TERM', 'dumb')
    output = TerminalOutput(100, stream)
    output(training(5))
    output.close()
  assert shown == ['step 5  training: no episode has ended\r\n']


def test_a_closed_pipe_does_not_end_the_run(tmp_path):
  code = (
      'import sys, time, numpy as np\n'
      'from dreamerv2_tf.report import jsonl, logger, terminal\n'
      f'rows = jsonl.JSONLOutput({str(tmp_path)!r})\n'
      'x = logger.Logger(lambda: 1, [terminal.TerminalOutput(9), rows])\n'
      'sys.stdin.read()\n'  # Until the reader of stdout is gone.
      'for _ in range(3):\n'
      '  x.add({"x": 1, "fps": 2}); x.write()\n'
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


def test_a_terminal_that_goes_away_does_not_end_the_run(monkeypatch):
  monkeypatch.setenv('TERM', 'xterm')
  leader, follower = pty.openpty()
  with os.fdopen(follower, 'w') as stream:
    output = TerminalOutput(9, stream)
    os.close(leader)
    output(training(5))
    output.message('more')
    output.close()


def test_a_closed_stream_and_a_narrow_encoding_are_no_error():
  stream = io.StringIO()
  output = TerminalOutput(9, stream)
  stream.close()
  output(training(1))
  raw = io.BytesIO()
  with io.TextIOWrapper(raw, 'ascii') as stream:
    TerminalOutput(9, stream).message('größe 1 ± 2 …')
    assert raw.getvalue() == b'gr??e 1 +- 2 ...\n'


def test_what_begins_is_announced():
  stream = io.StringIO()
  announce('/a b', 'gym_CartPole-v1', 2, stream)
  assert stream.getvalue() == (
      'Run folder    /a b\n'
      'Task          gym_CartPole-v1\n'
      'Starting TensorFlow and 2 environments …\n')
