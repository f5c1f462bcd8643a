"""One curve over all tasks."""

import numpy as np
import pytest

from dreamerv2_tf.curves import combine
from dreamerv2_tf.curves.scores import Baseline, Run


def run(task, ys, method='m', seed='0', xs=None):
  xs = np.arange(1, len(ys) + 1) if xs is None else xs
  return Run(
      task, method, seed, np.array(xs, float), np.array(ys, float), None)


def levels(task, random=0, gamer=10, record=20):
  return [
      Baseline(task, name, score, None) for name, score in (
          ('random', random), ('human_gamer', gamer),
          ('human_record', record))]


@pytest.fixture
def said():
  return []


def test_tasks_are_combined_for_each_seed(said):
  runs = [
      run('a', [1, 2]), run('b', [3, 8]), run('c', [8, 8]),
      run('a', [0, 0], seed='1'), run('b', [3, 3], seed='1'),
      run('c', [9, 9], seed='1')]
  mean = combine.combine('mean', runs, [], 'none', said.append)
  assert [(x.task, x.seed, x.ys.tolist()) for x in mean] == [
      ('mean', '0', [4, 6]), ('mean', '1', [4, 4])]
  median = combine.combine('median', runs, [], 'none', said.append)
  assert [x.ys.tolist() for x in median] == [[3, 8], [3, 3]]
  assert said == []


def test_a_seed_without_all_tasks_is_left_out(said):
  runs = [run('a', [1]), run('b', [2]), run('a', [5], seed='1'),
          run('a', [6], seed='2')]
  [one] = combine.combine('mean', runs, [], 'none', said.append)
  assert one.seed == '0' and one.ys.tolist() == [1.5]
  assert said == ['Left out of combined curves: seeds 1, 2 of m, without b.']


@pytest.mark.parametrize('fill, want', [('none', [3]), ('last', [3, 5])])
def test_a_curve_ends_where_a_task_does(said, fill, want):
  runs = [run('a', [1]), run('b', [5, 9])]
  [one] = combine.combine('mean', runs, [], fill, said.append)
  assert one.ys.tolist() == want


@pytest.mark.parametrize('name, want', [
    ('gamer_median', 1.5), ('gamer_mean', 1.5), ('record_mean', 1.0),
    ('clip_record_mean', 0.6), ('human_above', 1), ('human_below', 1)])
def test_scores_are_normalised_by_humans(said, name, want):
  # Gamer: 2 / 10 and 28 / 10; record: 2 / 10 and 28 / 15.5.
  known = levels('a', 0, 10, 10) + levels('b', 2, 12, 2 + 28 / 1.8)
  [one] = combine.combine(
      name, [run('a', [2]), run('b', [30])], known, 'none', said.append)
  assert one.ys.tolist() == pytest.approx([want])
  assert said == []


def test_tasks_without_known_scores_are_left_out_of_normalised_curves(said):
  runs = [run('a', [5]), run('b', [7])]
  [one] = combine.combine(
      'gamer_mean', runs, levels('a'), 'none', said.append)
  assert one.ys.tolist() == [0.5]
  assert said == [
      'Left out of normalised curves: b, of which no score file has random '
      'and human_gamer.']


def test_without_any_known_score_there_is_no_curve(said):
  assert combine.combine(
      'gamer_mean', [run('a', [5])], [], 'none', said.append) == []
  assert len(said) == 1


def test_levels_are_combined_like_curves():
  runs = [run('a', [5]), run('b', [7])]
  known = [
      *levels('a', 0, 10), *levels('b', 0, 20),
      Baseline('a', 'rainbow', 5, None), Baseline('b', 'rainbow', 5, None),
      Baseline('a', 'other', 5, None)]
  got = combine.levels_of('gamer_mean', runs, known)
  assert {x.method: x.score for x in got} == {
      'random': 0, 'human_gamer': 1, 'human_record': 1.5, 'rainbow': 0.375}


def test_how_many_runs_got_how_far():
  runs = [run('a', [1, 1]), run('a', [1] * 5, seed='1'), run('b', [1, 1]),
          run('b', [1], 'n')]
  first, second = combine.count(runs)
  assert (first.method, second.method) == ('m', 'n')
  assert first.xs.tolist() == [0, 2, 5] and first.ys.tolist() == [3, 3, 1]
  assert second.xs.tolist() == [0, 1] and second.ys.tolist() == [1, 1]


@pytest.mark.parametrize('names, tasks, known, want', [
    (['auto'], 'a', False, []), (['auto'], 'ab', False, ['mean', 'median']),
    (['auto', 'seeds'], 'ab', True, ['mean', 'median', 'seeds']),
    (['auto'], ['atari_a', 'b'], True, [
        'gamer_median', 'gamer_mean', 'record_mean', 'clip_record_mean']),
    (['auto'], ['atari_a', 'b'], False, ['mean', 'median']),
    (['auto'], ['atari_a'], True, []), (['none'], 'ab', True, []),
    (['mean', 'auto'], 'ab', False, ['mean', 'median'])])
def test_panels_are_added_where_they_say_something(names, tasks, known, want):
  runs = [run(task, [1]) for task in tasks]
  assert combine.chosen(names, runs, known) == want
