"""Rows of metrics.jsonl."""

import math
import os

from boards import rows
import numpy as np
import pytest

from dreamerv2_tf import errors
from dreamerv2_tf.report.jsonl import JSONLOutput
from dreamerv2_tf.report.logger import Logger


def test_rows_hold_scalars_with_all_digits(tmp_path):
  logger = Logger(lambda: 7, [JSONLOutput(tmp_path)])
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


def test_a_missing_folder_is_refused(tmp_path):
  with pytest.raises(errors.StorageError, match='Can not open'):
    JSONLOutput(tmp_path / 'missing')


def test_nothing_is_taken_back_without_a_file(tmp_path):
  assert JSONLOutput.take_back(tmp_path, 5) == 0
  assert not list(tmp_path.iterdir())


def test_rows_of_a_copy_by_links_stay_as_they_are(tmp_path):
  for name in 'run', 'copy':
    (tmp_path / name).mkdir()
  (tmp_path / 'run' / 'metrics.jsonl').write_text('{"step": 1, "a": 2.0}\n')
  os.link(tmp_path / 'run' / 'metrics.jsonl',
          tmp_path / 'copy' / 'metrics.jsonl')
  output = JSONLOutput(tmp_path / 'copy')
  output([(3, 'a', np.array(4.0))])
  output.close()
  assert (tmp_path / 'run' / 'metrics.jsonl').read_text() == (
      '{"step": 1, "a": 2.0}\n')
  assert (tmp_path / 'copy' / 'metrics.jsonl').read_text() == (
      '{"step": 1, "a": 2.0}\n{"step": 3, "a": 4.0}\n')
