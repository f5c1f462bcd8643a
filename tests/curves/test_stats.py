"""Statistics of few runs, by hand."""

import numpy as np
import pytest

from dreamerv2_tf.curves import stats


def test_the_interquartile_mean_is_that_of_the_middle_half():
  assert stats.iqm(np.array([9, 1, 100, 3, 5, -50, 7, 2])) == 17 / 4
  assert stats.iqm(np.array([[4.0]])) == 4


def test_an_interval_holds_its_share_of_what_was_drawn():
  assert stats.interval(range(101)) == pytest.approx([2.5, 97.5])
  assert stats.interval(range(101), 0.5) == [25, 75]


def test_groups_and_their_values_are_drawn_with_replacement():
  drawn = list(stats.resample([np.array([1, 2]), np.array([7])], 200))
  assert len(drawn) == 200 and {len(groups) for groups in drawn} == {2}
  assert {tuple(x) for groups in drawn for x in groups} == {
      (1, 1), (1, 2), (2, 1), (2, 2), (7,)}
  assert any(len(groups[0]) == len(groups[1]) == 1 for groups in drawn)


def test_strata_stay_while_their_values_are_drawn():
  drawn = list(stats.stratified([np.array([1, 2]), np.array([7])], 200))
  assert {tuple(first) for first, _ in drawn} == {
      (1, 1), (1, 2), (2, 1), (2, 2)}
  assert {tuple(second) for _, second in drawn} == {(7,)}


def test_an_interval_of_a_statistic_over_tasks():
  mean = lambda groups: float(np.mean([x.mean() for x in groups]))
  assert stats.bootstrap([np.array([3.0]), np.array([5.0])], mean) == [4, 4]
  # The first task gives 0 or 10 or 5, the second 4: in a quarter of the
  # drawings each end.
  assert stats.bootstrap([np.array([0.0, 10]), np.array([4.0])], mean) == [2, 7]


def test_the_same_scores_give_the_same_interval():
  some = [np.random.default_rng(1).normal(size=9)]
  mean = lambda groups: float(groups[0].mean())
  assert stats.bootstrap(some, mean) == stats.bootstrap(some, mean)
  assert stats.bootstrap(some, mean) != stats.bootstrap(some, mean, seed=1)


def test_equal_values_count_half_in_the_probability_of_improvement():
  # 1 beats 0 and equals 1; 2 beats two and equals 2; 3 beats all three.
  assert stats.improvement(np.array([1, 2, 3]), np.array([0, 1, 2])) == (
      pytest.approx((1.5 + 2.5 + 3) / 9))
  assert stats.improvement(np.array([1]), np.array([1])) == 0.5


# Seeds in rows; the last point is one of the second seed alone.
CURVES = np.array([[1.0, 4, np.nan], [3, 4, 9], [5, 4, np.nan], [7, 4, np.nan]])


@pytest.mark.parametrize('kind, low, middle, high', [
    ('std1', [4 - 5 ** 0.5, 4, 9], [4, 4, 9], [4 + 5 ** 0.5, 4, 9]),
    ('minmax', [1, 4, 9], [4, 4, 9], [7, 4, 9]),
    ('per0', [1, 4, 9], [4, 4, 9], [7, 4, 9]),
    ('per25', [2.5, 4, 9], [4, 4, 9], [5.5, 4, 9]),
    ('per5', [1.3, 4, 9], [4, 4, 9], [6.7, 4, 9]),
])
def test_bands_by_hand(kind, low, middle, high):
  got = stats.band(CURVES, kind)
  np.testing.assert_allclose(got, [low, middle, high])


def test_the_interval_of_the_mean_is_bootstrapped_over_seeds():
  low, mean, high = stats.band(CURVES, 'ci95')
  np.testing.assert_array_equal(mean, [4, 4, 9])
  np.testing.assert_array_equal((low[1:], high[1:]), [[4, 9], [4, 9]])
  # A mean below 2 needs three or four draws of the lowest seed, or two and
  # two: 1/256 + 4/256 + 6/256 of them are at most 2, so that 2 is too low.
  assert low[0] == 2.0 and high[0] == 6.0


def test_the_median_is_not_the_mean():
  skewed = np.array([[0.0], [0], [9]])
  assert stats.band(skewed, 'per25')[1] == [0] and (
      stats.band(skewed, 'std1')[1] == [3])


def test_where_no_seed_is_there_is_nothing():
  for kind in stats.BANDS:
    assert np.isnan(stats.band(np.full((2, 1), np.nan), kind)).all()


def test_many_points_are_drawn_in_parts(monkeypatch):
  values = np.random.default_rng(0).normal(size=(3, 7))
  whole = stats.band(values, 'ci95', 50)
  monkeypatch.setattr(stats, 'CHUNK', 100)  # Two points at a time.
  np.testing.assert_array_equal(stats.band(values, 'ci95', 50), whole)


def test_another_band_is_refused():
  with pytest.raises(ValueError, match="Unknown band 'sem'. Known: std1"):
    stats.band(CURVES, 'sem')
