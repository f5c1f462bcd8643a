"""What TensorBoard reads of an event file, also after restarts."""

import io
import subprocess
import sys
import time

from boards import events, points
import numpy as np
from PIL import Image

from dreamerv2_tf.report.logger import Logger, code_block
from dreamerv2_tf.report.tensorboard import TensorBoardOutput


def test_scalars_pictures_films_texts_and_settings(tmp_path):
  logger = Logger(
      lambda: 5, [TensorBoardOutput(tmp_path, fps=10)], 2)
  film = np.zeros((3, 8, 12, 1), np.uint8)
  film[1], film[2] = 100, 200
  picture = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
  logger.add({
      'loss': 0.5, 'flat': np.eye(4), 'picture': picture, 'film': film})
  logger.text('config', code_block('a: 1\nb: 2\n'))
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


def test_it_needs_no_tensorflow(tmp_path):
  code = (
      'import sys; from dreamerv2_tf.report import logger, tensorboard\n'
      f'out = tensorboard.TensorBoardOutput({str(tmp_path)!r})\n'
      'x = logger.Logger(lambda: 1, [out])\n'
      'x.hparams({"a": 1}); x.scalar("x", 1); x.write(); x.close()\n'
      'assert "tensorflow" not in sys.modules')
  subprocess.run([sys.executable, '-c', code], check=True)
  assert points(events(tmp_path), 'scalars/x') == [(1, 1)]


def test_the_order_of_files_does_not_need_the_clock(tmp_path, monkeypatch):
  TensorBoardOutput(tmp_path)([(1, 'x', np.array(1.0))])
  monkeypatch.setattr(time, 'time', lambda: 1e9)
  TensorBoardOutput(tmp_path, resume=1)([(2, 'x', np.array(2.0))])
  names = sorted(path.name for path in tmp_path.iterdir())
  assert len(names) == 2
  # Name order is reading order: the second start purges nothing of itself.
  assert points(events(tmp_path), 'scalars/x') == [(1, 1), (2, 2)]


def test_a_missing_folder_is_only_a_warning(tmp_path, caplog):
  output = TensorBoardOutput(tmp_path / 'missing')
  output([(1, 'x', np.array(1.0))])
  assert 'Can not write TensorBoard events' in caplog.text
