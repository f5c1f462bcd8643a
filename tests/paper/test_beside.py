import numpy as np
import papers
import pytest

from dreamerv2_tf.paper import beside
from dreamerv2_tf.paper.published import LAST, Final, Point
from dreamerv2_tf.paper.yours import Mine

GRID = beside.GRIDS['atari']
M = papers.M


def run(frames, values, seed='0', reached=None):
  return Mine(
      'atari', 'pong', 'atari_pong', 'm', seed, np.array(frames, float),
      np.array(values, float), 'eval_return', 'p', None, 1,
      frames[-1] if reached is None else reached)


def test_a_bin_takes_what_lies_behind_the_one_before_and_up_to_its_end():
  one = run([M, M + 1, 1.5 * M, 2 * M, 2 * M + 1], [100, 1, 2, 6, 100])
  assert beside.value(one, 2 * M, GRID) == (3, 3)


def test_the_smoothed_value_is_the_mean_of_ten_bins():
  frames = [x * M for x in range(1, 12)]
  one = run(frames, [100, *[1] * 9, 21])
  assert beside.value(one, 11 * M, GRID, smooth=True) == (3, 10)
  assert beside.value(one, 11 * M, GRID) == (21, 1)
  # Below ten bins the published value is that of the single one.
  assert beside.value(one, 3 * M, GRID, smooth=True) == (1, 1)


def test_a_bin_that_is_not_finished_does_not_count():
  one = run([0.5 * M, 1.5 * M], [1, 2])
  assert beside.value(one, M, GRID) == (1, 1)
  assert beside.value(one, 2 * M, GRID) is None
  late = run([0.5 * M, 1.5 * M], [1, 2], reached=1.95 * M)  # Of the episode.
  assert beside.value(late, 2 * M, GRID) == (2, 1)


CURVE = [
    Point(M, 5, 2, 5, 8, 8), Point(2 * M, 6, 0, 6, 8, 6),
    Point(3 * M, 7, 1, 7, 8, 8)]


def test_rows_have_yours_beside_the_paper():
  mine = [
      run([M, 2 * M], [1, 2], 'a'), run([M], [3], 'b')]
  first, second = beside.compare(mine, CURVE, GRID, {'x': {M: 9}})
  assert first['frames'] == M and first['yours'] == 2
  assert first['seeds'] == {'a': 1, 'b': 3} and first['ci95'] == [1, 3]
  assert first['paper'] == 5 and first['distance'] == -1.5
  assert first['others'] == {'x': 9}
  assert second['seeds'] == {'a': 2} and second['ci95'] is None
  assert second['distance'] is None and second['others'] == {}
  assert second['paper_complete'] == 6


def test_points_without_data_are_left_out_and_not_interpolated():
  mine = [run([M, 3 * M], [1, 3])]
  assert [x['frames'] for x in beside.compare(mine, CURVE, GRID)] == [M, 3 * M]


def test_the_end_counts_the_published_runs_below():
  rows = beside.compare(
      [run([LAST], [5])], [Point(LAST, 5, 2, 5, 8, 8)], GRID)
  seeds = {i: Final(LAST, score, 0) for i, score in enumerate([2, 4, 5, 9])}
  end = beside.end(rows, seeds)
  assert end['paper'] == 5 and end['above'] == 2 and end['ci95'] is None
  assert end['paper_runs'] == [2, 4, 5, 9]
  assert 2 <= end['paper_ci95'][0] < 5 < end['paper_ci95'][1] <= 9
  assert beside.end([{**rows[0], 'frames': M}], seeds) is None


def test_few_seeds_have_wide_intervals_and_one_has_none():
  assert beside.interval([4]) is None
  assert beside.interval([4, 4, 4]) == [4, 4]
  assert beside.interval([0, 10]) == pytest.approx([0, 10])
