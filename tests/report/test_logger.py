"""What each output writes, also after restarts and when it can not write."""

import contextlib
import fcntl
import io
import json
import logging
import math
import os
import pty
import struct
import subprocess
import sys
import termios
import time

from boards import events, points
import numpy as np
from PIL import Image
import pytest

from dreamerv2_tf import errors
from dreamerv2_tf.report import logger as loggerlib


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


def rows(folder):
  return [
      json.loads(line, parse_constant=lambda name: pytest.fail(name))
      for line in (folder / 'metrics.jsonl').read_text().splitlines()]


class TestLogger:

  def test_prefix_multiplier_and_step_at_the_time_of_adding(self):
    got, step = [], 3
    logger = loggerlib.Logger(lambda: step, [got.extend], multiplier=4)
    logger.add({'a': 1, 'b': np.float32(2)}, prefix='train')
    step = 5
    logger.scalar('c', 3)
    logger.write()
    assert [(s, name, float(value)) for s, name, value in got] == [
        (12, 'train_a', 1), (12, 'train_b', 2), (20, 'c', 3)]
    logger.write()  # Nothing new: the outputs are not called.
    assert len(got) == 3

  def test_values_are_copied(self):
    got, value = [], np.zeros((2, 2))
    logger = loggerlib.Logger(lambda: 0, [got.extend])
    logger.image('x', value)
    value[:] = 1
    logger.write()
    assert got[0][2].max() == 0

  @pytest.mark.parametrize('value', [
      np.zeros(3), np.zeros((1, 2, 3, 4, 5)), np.array(None)])
  def test_other_shapes_are_refused(self, value):
    logger = loggerlib.Logger(lambda: 0, [])
    with pytest.raises(ValueError, match="Value 'odd' of shape"):
      logger.add({'odd': value})

  def test_fps(self, monkeypatch):
    got, step, now = [], 0, 100.0
    monkeypatch.setattr(time, 'monotonic', lambda: now)
    logger = loggerlib.Logger(lambda: step, [got.extend], multiplier=2)
    logger.write(fps=True)
    step, now = 30, 104.0
    logger.write(fps=True)
    assert [float(value) for _, _, value in got] == [0, 15]


class TestJSONL:

  def test_rows(self, tmp_path):
    logger = loggerlib.Logger(lambda: 7, [loggerlib.JSONLOutput(tmp_path)])
    value = np.float32(0.1)
    logger.add({
        'f': value, 'i': np.int64(3), 'nan': math.nan, 'inf': np.inf,
        'flag': np.bool_(True), 'image': np.zeros((2, 2)), 'text': 'hello'})
    logger.write()  # Flushed: read before it is closed.
    assert rows(tmp_path) == [
        {'step': 7, 'f': 0.10000000149011612, 'i': 3, 'nan': None, 'inf': None,
         'flag': 1}]
    assert np.float32(rows(tmp_path)[0]['f']) == value
    logger.image('image', np.zeros((2, 2)))
    logger.write()  # No scalar: no row.
    logger.close()
    assert len(rows(tmp_path)) == 1

  def test_missing_folder(self, tmp_path):
    with pytest.raises(errors.StorageError, match='Can not open'):
      loggerlib.JSONLOutput(tmp_path / 'missing')

  def test_cut_without_a_file(self, tmp_path):
    assert loggerlib.JSONLOutput.cut(tmp_path, 5) == 0
    assert not list(tmp_path.iterdir())


class TestTensorBoard:

  def test_all_kinds(self, tmp_path):
    logger = loggerlib.Logger(
        lambda: 5, [loggerlib.TensorBoardOutput(tmp_path, fps=10)], 2)
    film = np.zeros((3, 8, 12, 1), np.uint8)
    film[1], film[2] = 100, 200
    picture = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    logger.add({
        'loss': 0.5, 'flat': np.eye(4), 'picture': picture, 'film': film})
    logger.text('config', loggerlib.code_block('a: 1\nb: 2\n'))
    logger.hparams(
        {'rssm.deter': 200, 'task': 'x', 'jit': False, 'size': (1, 2)})
    logger.write()
    logger.close()
    got = events(tmp_path)
    assert points(got, 'scalars/loss') == [(10, 0.5)]
    assert sorted(got.Tags()['images']) == ['film', 'flat', 'picture']
    image = got.Images('picture')[0]
    assert (image.step, image.width, image.height) == (10, 7, 6)
    decode = lambda tag: Image.open(
        io.BytesIO(got.Images(tag)[0].encoded_image_string))
    np.testing.assert_array_equal(decode('picture'), picture)
    np.testing.assert_array_equal(decode('flat'), 255 * np.eye(4))
    gif = decode('film')
    assert (gif.format, gif.n_frames, gif.size) == ('GIF', 3, (12, 8))
    text = got.Tensors('config')[0].tensor_proto.string_val[0]
    assert text == b'```\na: 1\nb: 2\n```'
    assert got.SummaryMetadata('config').plugin_data.plugin_name == 'text'
    hparams = got.SummaryMetadata('_hparams_/session_start_info')
    assert b'rssm.deter' in hparams.plugin_data.content

  def test_needs_no_tensorflow(self, tmp_path):
    code = (
        'import sys; from dreamerv2_tf.report import logger as l\n'
        f'x = l.Logger(lambda: 1, [l.TensorBoardOutput({str(tmp_path)!r})])\n'
        'x.hparams({"a": 1}); x.scalar("x", 1); x.write(); x.close()\n'
        'assert "tensorflow" not in sys.modules')
    subprocess.run([sys.executable, '-c', code], check=True)
    assert points(events(tmp_path), 'scalars/x') == [(1, 1)]

  def test_file_order_does_not_need_the_clock(self, tmp_path, monkeypatch):
    loggerlib.TensorBoardOutput(tmp_path)([(1, 'x', np.array(1.0))])
    monkeypatch.setattr(time, 'time', lambda: 1e9)
    loggerlib.TensorBoardOutput(tmp_path, resume=1)([(2, 'x', np.array(2.0))])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    # Name order is reading order: the second start purges nothing of itself.
    assert points(events(tmp_path), 'scalars/x') == [(1, 1), (2, 2)]

  def test_missing_folder_only_warns(self, tmp_path, caplog):
    output = loggerlib.TensorBoardOutput(tmp_path / 'missing')
    output([(1, 'x', np.array(1.0))])
    assert 'Can not write TensorBoard events' in caplog.text


class TestTerminal:

  def test_plain_lines(self):
    stream = io.StringIO()
    logger = loggerlib.Logger(
        lambda: 40, [loggerlib.TerminalOutput(100, stream)])
    logger.add({'train_return': 12.5, 'kl': 1e-4, 'image': np.zeros((2, 2))})
    logger.tick()
    logger.write()
    logger.close()
    assert stream.getvalue() == '[40] train_return 12.5 / kl 1e-4\n'

  @pytest.mark.parametrize('value, want', [
      (0, '0'), (-0.0, '0'), (1, '1'), (100, '100'), (0.5, '0.5'),
      (12.345, '12.35'), (-3.1, '-3.1'), (123456, '1.2e5'), (3e-4, '3e-4'),
      (-2.5e-7, '-2.5e-7'), (math.nan, 'nan'), (math.inf, 'inf')])
  def test_format_value(self, value, want):
    assert loggerlib.format_value(value) == want

  @pytest.mark.parametrize('value, want', [
      (0, '0:00:00'), (3725.9, '1:02:05'), (90061, '1d 1:01:01')])
  def test_format_seconds(self, value, want):
    assert loggerlib.format_seconds(value) == want

  def test_bar_on_a_terminal(self, monkeypatch):
    monkeypatch.setenv('TERM', 'xterm')
    now = 1000.0
    monkeypatch.setattr(time, 'monotonic', lambda: now)
    leader, follower = pty.openpty()
    fcntl.ioctl(
        follower, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 120, 0, 0))
    with os.fdopen(follower, 'w') as stream:
      output = loggerlib.TerminalOutput(10_000, stream)
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

  def test_bar_fits_a_narrow_terminal(self, monkeypatch):
    monkeypatch.setenv('TERM', 'xterm')
    leader, follower = pty.openpty()
    fcntl.ioctl(
        follower, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 30, 0, 0))
    with os.fdopen(follower, 'w') as stream:
      output = loggerlib.TerminalOutput(10_000, stream)
      output.tick(5000)
      output.close()
    text = all_of(leader)
    assert len(text.strip('\r\n').removesuffix('\x1b[K')) == 29

  def test_closed_pipe_does_not_end_the_run(self, tmp_path):
    code = (
        'import sys, time, numpy as np\n'
        'from dreamerv2_tf.report import logger as l\n'
        f'x = l.Logger(lambda: 1, [l.TerminalOutput(9), '
        f'l.JSONLOutput({str(tmp_path)!r})])\n'
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

  def test_closed_stream_and_narrow_encoding(self):
    stream = io.StringIO()
    output = loggerlib.TerminalOutput(9, stream)
    stream.close()
    output([(1, 'x', np.array(1.0))])
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, 'ascii') as stream:
      loggerlib.TerminalOutput(9, stream)([(1, 'größe', np.array(1.0))])
      assert raw.getvalue() == b'[1] gr??e 1\n'


def test_rows_of_a_copy_by_links_stay_as_they_are(tmp_path):
  for name in 'run', 'copy':
    (tmp_path / name).mkdir()
  (tmp_path / 'run' / 'metrics.jsonl').write_text('{"step": 1, "a": 2.0}\n')
  os.link(tmp_path / 'run' / 'metrics.jsonl',
          tmp_path / 'copy' / 'metrics.jsonl')
  output = loggerlib.JSONLOutput(tmp_path / 'copy')
  output([(3, 'a', np.array(4.0))])
  output.close()
  assert (tmp_path / 'run' / 'metrics.jsonl').read_text() == (
      '{"step": 1, "a": 2.0}\n')
  assert (tmp_path / 'copy' / 'metrics.jsonl').read_text() == (
      '{"step": 1, "a": 2.0}\n{"step": 3, "a": 4.0}\n')
