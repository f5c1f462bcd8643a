"""Rows of metrics, whole and broken."""

import json

import numpy as np
import pytest

from dreamerv2_tf.curves import metrics


@pytest.fixture
def write(tmp_path):
  def call(*lines):
    path = tmp_path / 'metrics.jsonl'
    path.write_text('\n'.join(lines))
    return path
  return call


def test_a_half_written_last_line_is_no_fault(write):
  rows, broken = metrics.read(write('{"step": 1, "a": 2}', '{"step": 2, "a'))
  assert rows == [{'step': 1, 'a': 2}] and broken == 0


def test_broken_lines_on_the_way_are_counted(write):
  path = write('{"a": 1}', '{"a": ', '', '[1]', '\x00\x00', '{"a": 2}', '')
  assert metrics.read(path) == ([{'a': 1}, {'a': 2}], 3)
  assert metrics.read(path, ['a']) == ([{'a': 1}, {'a': 2}], 3)


def test_rows_without_a_name_are_passed_by(write):
  path = write('{"a": 1}', '{"a": 2, "b": 3}', '{"ab": 4}')
  assert metrics.read(path, ['a', 'b']).rows == [{'a': 2, 'b': 3}]
  assert metrics.read(path, ['a']).rows == [{'a': 1}, {'a': 2, 'b': 3}]


def test_a_file_that_is_gone_is_told(tmp_path):
  with pytest.raises(OSError, match='No such file'):
    metrics.read(tmp_path / 'none')


@pytest.mark.parametrize('text, step', [
    ('{"step": 4}\n{"step": 9}\n{"ste', 9), ('{"step": null}\n', -1),
    ('', -1), ('{"step": 1}\n{"a": 1}\n', 1)])
def test_the_last_step_is_that_of_the_last_row_with_one(text, step):
  assert metrics.last_step(text.encode()) == step


def test_names_are_those_of_numbers():
  assert metrics.names([
      {'step': 1, 'b': None, 'c': 'x'}, {'a': 2.5, 'd': True}]) == ['a', 'step']


def test_points_are_those_of_rows_with_both_finite():
  rows = [
      {'step': 2, 'a': 5}, {'step': 1, 'a': 3.5}, {'step': 3, 'b': 1},
      {'step': 4, 'a': None}, {'step': 5, 'a': float('nan')},
      {'step': 6, 'a': float('inf')}, {'step': 7, 'a': 'x'},
      {'step': 8, 'a': True}, {'step': 9, 'a': 10 ** 400},
      {'step': 10, 'a': -1e308}, {'step': 1e101, 'a': 1}]
  xs, ys, odd = metrics.series(rows, 'step', 'a')
  assert xs.tolist() == [1, 2] and ys.tolist() == [3.5, 5] and odd == 8


def test_values_beyond_a_limit_count_as_it():
  rows = json.loads(
      '[{"x": 1, "y": Infinity}, {"x": 2, "y": -Infinity}, {"x": 3, "y": 7},'
      ' {"x": 4, "y": 2}, {"x": 5, "y": NaN}]')
  xs, ys, odd = metrics.series(rows, 'x', 'y', 5)
  assert xs.tolist() == [1, 2, 3, 4] and ys.tolist() == [5, -5, 5, 2]
  assert odd == 1


def test_points_with_the_same_x_are_one():
  xs, ys = metrics.merged([3, 1, 3], [4.0, 7, 6])
  assert xs.tolist() == [1, 3] and ys.tolist() == [7, 5]
  xs, ys = metrics.merged([], [])
  assert len(xs) == len(ys) == 0 and ys.dtype == np.float64
