"""What TensorBoard reads of an event file, also after restarts."""

import io
import subprocess
import sys
import time

from boards import events, picture, points, tags_of
import numpy as np
from PIL import Image
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.metadata import (
  EXPERIMENT_TAG,
  SESSION_START_INFO_TAG,
)

from dreamerv2_tf.report.logger import Logger, code_block
from dreamerv2_tf.report.tensorboard import TensorBoardOutput


def hparams(accumulator, tag):
  return plugin_data_pb2.HParamsPluginData.FromString(
      accumulator.SummaryMetadata(tag).plugin_data.content)


def test_scalars_pictures_films_and_texts(tmp_path):
  logger = Logger(
      lambda: 5, [TensorBoardOutput(tmp_path, fps=10)], 2)
  film = np.zeros((3, 8, 12, 1), np.uint8)
  film[1], film[2] = 100, 200
  still = np.random.default_rng(0).integers(0, 256, (6, 600, 3), np.uint8)
  logger.add({
      'eval_return': 0.5, 'mine': 2, 'flat': np.eye(4), 'still': still,
      'eval_policy_image': film})
  logger.text('config', code_block('a: 1\nb: 2\n'))
  logger.write()
  logger.close()
  got = events(tmp_path)
  assert points(got, '1 results/eval_return') == [(10, 0.5)]
  assert points(got, '9 own/mine') == [(10, 2)]
  assert tags_of(got, 'images') == {
      '9 own/flat', '9 own/still', '2 evaluation/eval_policy_image'}
  step, width, height, data = picture(got, '9 own/still')
  assert (step, width, height) == (10, 600, 6)
  decode = lambda data: Image.open(io.BytesIO(data))
  np.testing.assert_array_equal(decode(data), still)
  # Small pictures are four times as large.
  _, width, height, data = picture(got, '9 own/flat')
  assert (width, height) == (16, 16)
  np.testing.assert_array_equal(
      decode(data), 255 * np.eye(4).repeat(4, 0).repeat(4, 1))
  _, width, height, data = picture(got, '2 evaluation/eval_policy_image')
  gif = decode(data)
  assert (gif.format, gif.n_frames, gif.size) == ('GIF', 3, (48, 32))
  assert (width, height) == (48, 32)
  text = got.Tensors('config')[0].tensor_proto.string_val[0]
  assert text == b'```\na: 1\nb: 2\n```'
  assert got.SummaryMetadata('config').plugin_data.plugin_name == 'text'


def test_charts_have_a_name_and_a_description_with_a_unit(tmp_path):
  output = TensorBoardOutput(tmp_path)
  output([(1, 'eval_speed', np.array(20.0))])
  output([(2, 'eval_speed', np.array(21.0)), (2, 'mine', np.array(1.0))])
  got = events(tmp_path)
  about = got.SummaryMetadata('2 evaluation/eval_speed')
  assert about.display_name == 'eval_speed'
  assert about.summary_description == (
      'Mean speed of the own car in evaluation episodes. Unit: m/s.')
  assert about.plugin_data.plugin_name == 'scalars'
  assert got.SummaryMetadata('9 own/mine').summary_description == ''
  assert points(got, '2 evaluation/eval_speed') == [(1, 20), (2, 21)]


def test_a_count_of_failures_has_no_chart_until_there_is_one(tmp_path):
  output = TensorBoardOutput(tmp_path)
  for step, failures in (1, 0), (2, 0), (3, 1), (4, 1):
    output([(step, 'env_failures', np.array(failures)),
            (step, 'env_dropped', np.array(0))])
  got = events(tmp_path)
  assert points(got, '7 health/env_failures') == [(2, 0), (3, 1), (4, 1)]
  assert tags_of(got, 'scalars') == {'7 health/env_failures'}


def test_a_trial_has_the_name_of_its_folder_and_what_it_changes(tmp_path):
  folder = tmp_path / 'games' / '1'
  folder.mkdir(parents=True)
  defaults = {'a': 1, 'b': (1, 2), 'c.d': True, 'seed': 0, 'task': 'x'}
  output = TensorBoardOutput(
      folder, defaults=defaults, usual={**defaults, 'a': 2})
  output.hparams({
      **defaults, 'a': 2, 'b': [1, 2], 'c.d': False, 'new': None,
      'logdir': '/a', 'eval_every': 7})
  got = events(folder)
  trial = hparams(got, SESSION_START_INFO_TAG).session_start_info
  assert trial.group_name == 'games/1'
  told = {k: v.WhichOneof('kind') for k, v in trial.hparams.items()}
  assert told == {
      'a': 'number_value', 'c.d': 'bool_value', 'new': 'string_value',
      'seed': 'number_value', 'task': 'string_value'}
  experiment = hparams(got, EXPERIMENT_TAG).experiment
  assert [x.name.tag for x in experiment.metric_infos] == [
      '1 results/eval_return', '2 evaluation/eval_crash_rate',
      '2 evaluation/eval_success_rate', '2 evaluation/eval_length',
      '6 speed/fps']
  listed = {x.name: x.differs for x in experiment.hparam_infos}
  assert listed == {
      'a': False, 'b': False, 'c.d': True, 'seed': True, 'task': True,
      'new': True}


def test_it_needs_no_tensorflow(tmp_path):
  code = (
      'import sys; from dreamerv2_tf.report import logger, tensorboard\n'
      f'out = tensorboard.TensorBoardOutput({str(tmp_path)!r})\n'
      'x = logger.Logger(lambda: 1, [out])\n'
      'x.hparams({"a": 1}); x.scalar("x", 1); x.write(); x.close()\n'
      'assert "tensorflow" not in sys.modules')
  subprocess.run([sys.executable, '-c', code], check=True)
  assert points(events(tmp_path), '9 own/x') == [(1, 1)]


def test_the_order_of_files_does_not_need_the_clock(tmp_path, monkeypatch):
  TensorBoardOutput(tmp_path)([(1, 'x', np.array(1.0))])
  monkeypatch.setattr(time, 'time', lambda: 1e9)
  TensorBoardOutput(tmp_path, resume=1)([(2, 'x', np.array(2.0))])
  names = sorted(path.name for path in tmp_path.iterdir())
  assert len(names) == 2
  # Name order is reading order: the second start purges nothing of itself.
  assert points(events(tmp_path), '9 own/x') == [(1, 1), (2, 2)]


def test_a_missing_folder_is_only_a_warning(tmp_path, caplog):
  output = TensorBoardOutput(tmp_path / 'missing')
  output([(1, 'x', np.array(1.0))])
  assert 'Can not write TensorBoard events' in caplog.text
