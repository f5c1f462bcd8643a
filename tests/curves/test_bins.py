"""Runs in bins, and on one grid."""

import numpy as np
import pytest

from dreamerv2_tf.curves import bins
from dreamerv2_tf.curves.scores import Run


def run(xs, ys=None, task='gym_a'):
  ys = xs if ys is None else ys
  return Run(task, 'm', '0', np.array(xs, float), np.array(ys, float), None)


def test_a_bin_ends_at_its_border_and_holds_the_mean():
  got = bins.binned(run([1, 10, 11, 20, 41], [1, 3, 5, 7, 9]), 10)
  assert got.xs.tolist() == [10, 20, 50] and got.ys.tolist() == [2, 6, 9]


def test_the_first_bin_holds_the_start_and_the_last_one_what_there_is():
  got = bins.binned(run([0, 5, 12], [1, 3, 7]), 10)
  assert got.xs.tolist() == [10, 20] and got.ys.tolist() == [2, 7]


def test_what_is_in_bins_stays_so():
  once = bins.binned(run(np.arange(1, 200) * 0.1), 0.1)
  assert bins.binned(once, 0.1).xs.tolist() == once.xs.tolist()
  assert len(once.xs) == 199


def test_without_a_width_a_run_stays_as_it_is():
  some = run([3, 4])
  assert bins.binned(some, 0) is some


@pytest.mark.parametrize('task, longest, points, width', [
    ('atari_pong', 2e8, 200, 1e6), ('dmc_walk', 1e6, 9, 1e4),
    ('crafter_reward', 1e6, 9, 1e4), ('atari_pong', 1.9e6, 9, 0),
    ('highway_x', 9e5, 60, 0), ('highway_x', 9e5, 61, 2.5e4),
    ('gym_x', 640, 61, 20), ('gym_x', 0.03, 61, 0.001)])
def test_the_width_is_that_of_the_suite_or_a_round_one(
    task, longest, points, width):
  runs = [run([1e-3]), run(np.linspace(1e-4, longest, points))]
  runs = [x._replace(task=task) for x in runs]
  assert bins.width(runs) == pytest.approx(width)


def test_the_width_of_a_suite_is_one_of_steps():
  some = [run(np.linspace(1, 2e8, 90), task='atari_pong')]
  assert bins.width(some, 'time_total') == 5e6


@pytest.mark.parametrize('value, want', [
    (1, 1), (1.99, 1), (2, 2), (2.6, 2.5), (7, 5), (0.3, 0.25), (10, 10),
    (0, 0)])
def test_nice_numbers(value, want):
  assert bins.nice(value) == pytest.approx(want)


def test_seeds_meet_on_all_points_with_lines_between_their_own():
  xs, ys = bins.stack([run([1, 3], [10, 30]), run([2, 5], [0, 6])])
  assert xs.tolist() == [1, 2, 3, 5]
  nan = np.nan
  np.testing.assert_array_equal(ys, [[10, 20, 30, nan], [nan, 0, 2, 6]])


def test_a_run_that_ended_may_count_on_with_its_last_value():
  _, ys = bins.stack([run([1, 3], [10, 30]), run([2, 5], [0, 6])], 'last')
  np.testing.assert_array_equal(
      ys, [[10, 20, 30, 30], [np.nan, 0, 2, 6]])
