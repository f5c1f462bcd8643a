"""What learning curves show."""

import pathlib

import numpy as np
from PIL import Image
import pytest

SCRIPT = (
    pathlib.Path(__file__).resolve().parents[2] / 'scripts'
    / 'results_plot.py')


def run(seed, *curve, inclusive=False):
  return {'seed': seed, 'curve': list(curve), 'inclusive': inclusive}


@pytest.fixture
def row(script):
  return lambda *runs, method='a', asked=900, checkpoint='best': script.Row(
      method, asked, checkpoint, list(runs))


def test_seeds_are_interpolated_within_what_all_have(script, row):
  first = run(0, [100, 60, 5], [200, 120, 7], [300, 180, 9])
  second = run(1, [150, 90, 10], [250, 150, 20], [350, 210, 30])
  [(label, x, lines)] = script.curves([row(first, second)], script.STEPS)
  assert label == 'a, 900 steps, seeds 0, 1'
  assert x.tolist() == [200, 300]
  assert lines.tolist() == [[7, 9], [15, 25]]
  [(_, x, lines)] = script.curves([row(first, second)], script.TIME)
  assert x.tolist() == [2, 3] and lines.tolist() == [[7, 9], [15, 25]]


def test_each_run_is_drawn_once(script, row):
  first, second = run(0, [1, 1, 5]), run(1, [1, 1, 7])
  drawn = script.curves([
      row(first), row(first, second, checkpoint='last'),
      row(first, asked=700)], script.STEPS)
  assert [(label, len(lines)) for label, _, lines in drawn] == [
      ('a, 900 steps, seeds 0, 1', 2), ('a, 700 steps, seed 0', 1)]


def test_what_has_no_curve_is_not_drawn(script, row):
  untimed = row(run(0, [1, None, 5]))
  assert len(script.curves([untimed, row(run(0))], script.STEPS)) == 1
  assert script.curves([untimed], script.TIME) == []


def test_few_curves_are_drawn_the_best(script, row):
  rows = [row(run(0, [1, 1, 5]), method=f'm{i}') for i in range(9)]
  drawn = script.curves(rows, script.STEPS)
  assert [label.split(',')[0] for label, *_ in drawn] == [
      'm0', 'm1', 'm2', 'm3', 'm4', 'm5']


def test_minutes_with_evaluations_are_marked(script, row):
  rows = [row(run(0, [1, 60, 5], inclusive=True))]
  marked = 'minutes with evaluations'
  assert marked in script.curves(rows, script.TIME)[0][0]
  assert marked not in script.curves(rows, script.STEPS)[0][0]


def test_the_axis_holds_all_but_what_is_far_below_no_skill(script):
  assert script.limits([20, 24, 30], None) == pytest.approx((19.4, 30.6))
  assert script.limits([2, 24, 31], 26) == pytest.approx((20.4, 31.6))
  assert script.limits([7], None) == (6, 8)
  assert script.limits([], None) == (0, 1)


def test_a_picture_is_drawn_with_and_without_curves(script, row, tmp_path):
  rows = [row(run(0, [1, 60, 5], [2, 90, 7]), run(1, [1, 50, 6], [2, 95, 3]))]
  for name, some, levels in (
      ('both', rows, {'slow': 4.0, 'plan': 8.0}), ('level', [], {'slow': 4.0}),
      ('curve', rows, {}), ('nothing', [], {})):
    path = tmp_path / f'{name}.png'
    script.plot(some, levels, script.TIME, path)
    assert np.asarray(Image.open(path)).std() > 10
