"""Score files: lists of runs, and scores of what has no curve."""

import json

import numpy as np
import pytest

from dreamerv2_tf.curves import scores

RUN = {'task': 'atari_pong', 'method': 'm', 'seed': 3, 'xs': [1, 2],
       'ys': [5, 6]}


@pytest.fixture
def write(tmp_path):
  def call(content):
    path = tmp_path / 'scores.json'
    path.write_text(content if isinstance(content, str) else json.dumps(
        content))
    return path
  return call


def test_runs_are_read(write):
  [run], levels = scores.read(write([RUN]))
  assert (run.task, run.method, run.seed) == ('atari_pong', 'm', '3')
  assert run.xs.tolist() == [1, 2] and run.ys.tolist() == [5, 6]
  assert run.xs.dtype == run.ys.dtype == np.float64
  assert levels == []


def test_points_that_are_no_numbers_are_left_out_and_others_sorted(write):
  path = write(
      '[{"task": "t", "method": "m", "seed": 0, "xs": [3, 1, 2, 4], '
      '"ys": [9, NaN, 8, null]},'
      '{"task": "t", "method": "m", "seed": 1, "xs": [1], "ys": [NaN]}]')
  [run], _ = scores.read(path)
  assert run.xs.tolist() == [2, 3] and run.ys.tolist() == [8, 9]


def test_one_game_has_one_name(write):
  [run], _ = scores.read(write([{**RUN, 'task': 'atari_jamesbond'}]))
  assert run.task == 'atari_james_bond'


def test_scores_without_curves_are_levels(write):
  path = write({'atari_pong': {'random': -20.7, 'human_gamer': 15}})
  runs, levels = scores.read(path)
  assert runs == [] and levels == [
      scores.Baseline('atari_pong', 'random', -20.7, path),
      scores.Baseline('atari_pong', 'human_gamer', 15.0, path)]


def test_what_is_written_is_read_again(write):
  runs = [
      scores.Run('t', 'm', seed, np.array([1.0, 2]), np.array([0.1, 1e9]), None)
      for seed in ('0', 'indir1_2')]
  text = scores.dump(runs)
  assert len(text.splitlines()) == 2
  assert [entry['seed'] for entry in json.loads(text)] == [0, 'indir1_2']
  again, _ = scores.read(write(text))
  for one, other in zip(runs, again):
    assert one[:3] == other[:3]
    np.testing.assert_array_equal((one.xs, one.ys), (other.xs, other.ys))


@pytest.mark.parametrize('content, match', [
    ('{', 'Expecting'), ([], 'neither'), ({}, 'neither'), ('3', 'neither'),
    ([1], 'got a int'), ([{'task': 't'}], 'lacks method, seed, xs, ys'),
    ([{**RUN, 'xs': [1]}], 'of one length'), ([{**RUN, 'xs': 1}], 'lists'),
    ({'step': 3}, 'expected {task'), ({'t': {}}, 'expected {task'),
    ({'t': {'m': 'x'}}, "the score of 'm' in 't' is no number"),
    ({'t': {'m': True}}, 'no number'), ('[' * 100_000, 'nested too deep'),
])
def test_other_files_are_refused(write, content, match):
  with pytest.raises(ValueError, match=match):
    scores.read(write(content))
