import numpy as np
import pytest

from dreamerv2_tf.paper import aggregates
from dreamerv2_tf.paper.published import Game


def game(name, random, gamer, record):
  return Game(name, random, gamer, record, 0, {}, {}, 0, '')


# Normalised by the gamer: x, x / 10, (x - 100) / 100. Records are ten times
# as far, but for b: at 10.
GAMES = {
    'a': game('a', 0, 1, 10), 'b': game('b', 0, 10, 10),
    'c': game('c', 100, 200, 1100)}


def test_scores_are_normalised_by_random_and_human():
  assert aggregates.normalised(150, GAMES['c']) == 0.5
  assert aggregates.normalised(150, GAMES['c'], 'record') == 0.05
  assert aggregates.normalised(50, GAMES['c']) == -0.5


def test_aggregates_by_hand():
  # Gamer: 3, 2, 1. Record: 0.3, 2, 0.1; clipped: 0.3, 1, 0.1.
  values = aggregates.over_games(np.array([3, 20, 200]), [*GAMES.values()])
  np.testing.assert_allclose(values, [2, 2, 0.8, 1.4 / 3])


def test_the_order_of_averaging_matters_for_the_median():
  # Two seeds, gamer normalised: a 0 and 6, b 1 and 1, c 8 and 0.
  runs = {'a': [0, 6], 'b': [10, 10], 'c': [900, 100]}
  first = aggregates.seeds_first(runs, GAMES)
  each, std = aggregates.per_seed(runs, GAMES)
  assert first['gamer_median'] == 3  # Of 3, 1, 4.
  assert each['gamer_median'] == 1  # Of (0, 1, 8) and of (6, 1, 0).
  assert std['gamer_median'] == 0
  assert first['gamer_mean'] == pytest.approx(8 / 3)
  assert each['gamer_mean'] == pytest.approx(8 / 3)
  assert std['gamer_mean'] == pytest.approx((3 - 7 / 3) / 2)


def test_intervals_hold_the_value_and_need_two_seeds():
  runs = {'a': [0, 6], 'b': [10, 10], 'c': [900, 100]}
  for each in False, True:
    low, high = aggregates.intervals(runs, GAMES, each=each)['gamer_mean']
    # All of the worst seeds: (0 + 1 + 0) / 3; of the best: (6 + 1 + 8) / 3.
    assert (low, high) == pytest.approx((1 / 3, 5))
  assert aggregates.intervals({**runs, 'b': [10]}, GAMES) is None


def test_equal_seeds_have_an_interval_of_no_width():
  ends = aggregates.intervals({'a': [2, 2], 'b': [30, 30]}, GAMES)
  assert ends['gamer_median'] == [2.5, 2.5]
