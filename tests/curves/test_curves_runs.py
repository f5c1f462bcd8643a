"""Which runs there are, each seed once, and their points."""

import json
import os

import folders
import pytest

from dreamerv2_tf.curves import runs
from dreamerv2_tf.curves.scores import Baseline

TASK = 'gym_CartPole-v1'


@pytest.fixture
def said():
  return []


@pytest.fixture
def read(said):
  """Reads the runs below some places, as `dreamerv2 plot` does."""
  def call(*places, yaxis='eval_return', xaxis='step', most=0, **options):
    found = runs.find(places, said.append, **options)
    return runs.points(
        runs.once(found, said.append), xaxis, yaxis, said.append, most)
  return call


def named(found):
  return [(run.task, run.method, run.seed, run.ys.tolist()) for run in found]


def test_runs_of_all_kinds_lie_side_by_side(tmp_path, read, said):
  folders.ours(tmp_path / 'a' / 'try', folders.rows(1, 2))
  folders.original(tmp_path, 'atari_pong', 'm', 3, folders.rows(3))
  folders.baseline(tmp_path / 'b', folders.rows(4), 'ppo', steps=9)
  folders.baseline(tmp_path / 'c', folders.rows(5))
  (tmp_path / 'scores.json').write_text(json.dumps([
      {'task': 't', 'method': 'm', 'seed': 1, 'xs': [1], 'ys': [6]}]))
  (tmp_path / 'levels.json').write_text(json.dumps({'t': {'human': 7}}))
  (tmp_path / 'other.json').write_text('{"a": 1}')
  curves, levels = read(tmp_path)
  assert named(curves) == [
      ('atari_pong', 'm', '3', [3]), (TASK, 'debug', '0', [1, 2]),
      (TASK, 'ppo', '0', [4]), ('t', 'm', '1', [6])]
  assert [run.repeat for run in curves] == [4, 1, None, None]
  assert [(x.task, x.method, x.score) for x in levels] == [
      (TASK, 'slower', 5), ('t', 'human', 7)]
  assert said == []


def test_one_seed_counts_once_the_longest(tmp_path, read, said):
  folders.ours(tmp_path / 'short', folders.rows(1))
  folders.ours(tmp_path / 'long', folders.rows(1, 2))
  folders.ours(tmp_path / 'other', folders.rows(9), seed=1)
  assert named(read(tmp_path)[0]) == [
      (TASK, 'debug', '0', [1, 2]), (TASK, 'debug', '1', [9])]
  assert said == [
      f'Left out: {tmp_path}/short, as {tmp_path}/long has seed 0 of debug in '
      f'{TASK}, too, and is longer.']


def test_of_two_runs_of_a_seed_as_long_the_first_counts(tmp_path, read, said):
  folders.ours(tmp_path / 'a', folders.rows(1))
  folders.ours(tmp_path / 'b', folders.rows(2))
  assert named(read(tmp_path)[0]) == [(TASK, 'debug', '0', [1])]
  assert said[0].endswith('and is as long.')


def test_other_settings_are_another_method(tmp_path, read, said):
  folders.ours(tmp_path / 'a', folders.rows(1))
  folders.ours(tmp_path / 'b', folders.rows(2), '--discount', '0.9')
  assert [run.method for run in read(tmp_path)[0]] == [
      'debug', 'debug (discount 0.9)']
  assert said == []


def test_a_copy_under_another_seed_counts_once(tmp_path, read, said):
  lines = [{'step': i, 'eval_return': i, 'model_loss': 0.5} for i in range(6)]
  first = folders.original(tmp_path, 't', 'm', 1, lines)
  copy = folders.original(tmp_path, 't', 'm', 2, lines[:5])
  assert [run.seed for run in read(tmp_path)[0]] == ['1']
  assert said == [
      f'Left out: {copy}, seed 2 of m in t, is the same run as {first}, which '
      'is longer.']


@pytest.mark.parametrize('second', [
    [{'step': i, 'eval_return': 0.0} for i in range(9)],  # No losses.
    [{'step': i, 'eval_return': 0.0, 'model_loss': 1 + (i == 4)}
     for i in range(5)]])
def test_seeds_that_begin_alike_are_two(tmp_path, read, said, second):
  first = [{k: 1 if 'loss' in k else v for k, v in row.items()}
           for row in second]
  folders.original(tmp_path, 't', 'm', 1, first)
  folders.original(tmp_path, 't', 'm', 2, second)
  assert [run.seed for run in read(tmp_path)[0]] == ['1', '2']
  assert said == []


def test_folders_within_each_other_and_links_count_once(tmp_path, read, said):
  folders.ours(tmp_path / 'a' / 'run', folders.rows(1))
  os.symlink(tmp_path / 'a', tmp_path / 'link')
  os.symlink(tmp_path, tmp_path / 'a' / 'circle')
  assert len(read(tmp_path, tmp_path / 'a', tmp_path / 'link')[0]) == 1
  assert said == []


def test_a_prefix_keeps_two_places_apart(tmp_path, read, said):
  for place in 'x', 'y':
    folders.original(tmp_path / place, 't', 'm', 1, folders.rows(1))
  curves, _ = read(tmp_path / 'x', tmp_path / 'y', prefix=True)
  assert [run.method for run in curves] == ['indir1_m', 'indir2_m']
  assert said == []
  assert len(read(tmp_path / 'x', tmp_path / 'y')[0]) == 1 and said


def test_episodes_and_checkpoints_are_not_searched(tmp_path):
  for name in 'train_episodes', 'checkpoints/1', 'b':
    folders.write(tmp_path / name / 'metrics.jsonl', [])
  assert runs.folders([tmp_path]) == [tmp_path / 'b']


def test_rows_that_were_cut_are_not_read(tmp_path, read):
  folder = folders.ours(tmp_path / 'a', folders.rows(1))
  folders.write(folder / 'metrics.1.cut.jsonl', folders.rows(7, 8, 9))
  assert named(read(tmp_path)[0]) == [(TASK, 'debug', '0', [1])]


def test_a_run_being_written_and_broken_lines(tmp_path, read, said):
  folders.ours(tmp_path / 'new', [*folders.rows(1), '{"step": 200, "eval_'])
  folders.ours(tmp_path / 'torn', [
      *folders.rows(1), '{"step": 2\n', *folders.rows(3, 4)], seed=1)
  curves, _ = read(tmp_path)
  assert [run.ys.tolist() for run in curves] == [[1], [2, 4]]
  assert said == [
      f'{tmp_path}/torn: passed over 1 broken line of metrics.jsonl.']


def test_values_that_are_no_numbers_are_told(tmp_path, read, said):
  folder = folders.ours(tmp_path / 'a', [
      *folders.rows(1, float('nan'), None, float('inf'), 5)])
  assert read(tmp_path)[0][0].ys.tolist() == [1, 5]
  assert said == [
      f'{folder}: passed over 3 rows in which step or eval_return is no finite '
      'number.']
  said.clear()
  assert read(tmp_path, most=3)[0][0].ys.tolist() == [1, 3, 3]
  assert '2 rows' in said[0]


def test_a_run_without_any_number_is_told(tmp_path, read, said):
  folder = folders.ours(tmp_path / 'a', [*folders.rows(float('nan'), None)])
  assert read(tmp_path) == ([], [])
  assert said == [
      f'Left out: {folder} has no row in which step and eval_return are finite '
      'numbers.']


def test_runs_without_the_metric_are_named(tmp_path, read, said):
  some = folders.ours(tmp_path / 'a', folders.rows(1, name='train_return'))
  none = folders.ours(tmp_path / 'b', [], seed=1)
  other = folders.ours(
      tmp_path / 'c', [{'step': 1}, {'eval_return': 2}], seed=2)
  assert read(tmp_path) == ([], [])
  assert sorted(said) == [
      f'Left out: {some} has no eval_return; it has step, train_return.',
      f'Left out: {none} has no metrics yet.',
      f'Left out: {other} has no row with both step and eval_return.']


def test_any_metric_against_any(tmp_path, read):
  folders.ours(tmp_path / 'a', [
      {'step': 1, 'time_total': 9.5, 'model_loss': 3},
      {'step': 2, 'model_loss': 2}, {'step': 3, 'time_total': 7, 'kl': 1}])
  [run], _ = read(tmp_path, xaxis='time_total', yaxis='model_loss')
  assert run.xs.tolist() == [9.5] and run.ys.tolist() == [3]


def test_time_of_other_methods_is_called_otherwise(tmp_path, read):
  folders.baseline(tmp_path / 'a', [
      {'step': 1, 'time': 5.0, 'eval_return': 2}], 'ppo', steps=1)
  [run], _ = read(tmp_path, xaxis='time_total')
  assert run.xs.tolist() == [5]


def test_levels_are_of_the_metric_that_is_shown(tmp_path, read):
  folder = folders.baseline(tmp_path / 'a', [
      {'step': 0, 'eval_return': 4, 'eval_length': 30}])
  (tmp_path / 'x.json').write_text('{"t": {"human": 7}}')
  _, levels = read(tmp_path, yaxis='eval_length', xaxis='time_total')
  assert levels == [
      Baseline(TASK, 'slower', 30.0, folder / 'metrics.jsonl')]


@pytest.mark.parametrize('name', ['config.yaml', 'run.json'])
@pytest.mark.parametrize('text', ['{', '[1]', '\x00', '{"history": []}', ''])
def test_records_that_can_not_be_read_leave_the_others(
    tmp_path, read, said, name, text):
  folders.ours(tmp_path / 'a', folders.rows(1))
  folder = folders.ours(tmp_path / 'b', folders.rows(1), seed=1)
  (folder / name).write_text(text)
  assert named(read(tmp_path)[0]) == [(TASK, 'debug', '0', [1])]
  [message] = said
  assert message.startswith(f'Left out: {folder} can not be read: ')


def test_a_pipe_in_place_of_metrics_is_not_waited_for(tmp_path, read, said):
  folder = folders.ours(tmp_path / 'a', [])
  (folder / 'metrics.jsonl').unlink()
  os.mkfifo(folder / 'metrics.jsonl')
  assert read(tmp_path) == ([], [])
  assert f'Left out: {folder} can not be read' in said[0]


def test_a_score_file_that_was_named_must_be_one(tmp_path, read, said):
  path = tmp_path / 'a.json'
  path.write_text('[1]')
  assert read(path) == ([], [])
  assert said[0].startswith(f'Left out: {path} is no score file: ')


def test_numbers_in_names_sort_by_value():
  assert sorted(['10', '9', 'b2', 'b10', 'a'], key=runs.natural) == [
      '9', '10', 'a', 'b2', 'b10']
