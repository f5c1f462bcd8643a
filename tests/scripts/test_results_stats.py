"""Statistics of results.py, by hand."""

import pathlib

import pytest

SCRIPT = (
    pathlib.Path(__file__).resolve().parents[2] / 'scripts'
    / 'results_stats.py')


def run(*returns, seconds=None, inclusive=False, **columns):
  return {
      'per_episode': {
          'return': list(returns), 'length': [1] * len(returns), **columns},
      'seconds': seconds, 'inclusive': inclusive}


def test_intervals_cover_seeds_and_episodes(script):
  one = script.statistics([run(5, 5, 5)], 100)
  assert one['return_ci95'] == [5, 5] == one['iqm_ci95']
  assert one['return_std'] == 0 and one['episodes'] == 3
  two = script.statistics([run(4, 4), run(8, 8)], 300)
  assert two['return'] == 6 and two['return_ci95'] == [4, 8]
  assert two['seed_returns'] == [4, 8] and two['episodes'] == 4
  assert two['return_std'] == pytest.approx((16 / 3) ** 0.5)
  spread = script.statistics([run(*range(101))], 300)
  assert 42 < spread['return_ci95'][0] < 47 < 53 < spread['return_ci95'][1] < 58


def test_means_over_seeds(script):
  first = run(
      0, 0, crashed=[True, False], speed=[20, 30], actions=[[1, 0], [3, 4]],
      seconds=60)
  first['per_episode']['length'] = [1, 9]
  second = run(
      0, crashed=[True], speed=[25], actions=[[5, 5]], seconds=120,
      inclusive=True)
  stat = script.statistics([first, second], 9)
  assert stat['crash_rate'] == 0.75 and stat['speed'] == 27
  assert stat['actions'] == [0.5, 0.5]
  assert stat['seconds'] == 90 and stat['inclusive']


def test_what_a_run_lacks_is_unknown(script):
  known = run(
      0, crashed=[True], speed=[25], actions=[[5, 5]], seconds=120)
  stat = script.statistics([known, run(0)], 9)
  for name in 'crash_rate', 'speed', 'actions', 'seconds':
    assert stat[name] is None
  other = run(0, actions=[[1, 1, 1]])
  assert script.statistics([known, other], 9)['actions'] is None


def test_probability_of_improvement_by_hand(script):
  # 1 beats 0 and equals 1; 2 beats two and equals 2; 3 beats all three.
  result = script.improvement([run(1, 2), run(3)], [run(0, 1, 2)], 50)
  assert result['probability'] == pytest.approx((1.5 + 2.5 + 3) / 9)
  assert result['n'] == [3, 3]
  low, high = result['ci95']
  assert 0 <= low < result['probability'] < high <= 1
  assert script.improvement([run(9, 9)], [run(1)], 20) == {
      'probability': 1, 'ci95': [1, 1], 'n': [2, 1]}
  assert script.improvement([run(1)], [run(1)], 20)['probability'] == 0.5
