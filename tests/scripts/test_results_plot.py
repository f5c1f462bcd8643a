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


def drawn(script, rows, axis):
  return [
      (run.method, run.seed, run.xs.tolist(), run.ys.tolist())
      for run in script.curves('t', rows, axis)]


def test_seeds_have_a_curve_each_in_steps_or_minutes(script, row):
  rows = [row(run(0, [100, 60, 5], [200, 120, 7]), run(1, [150, 90, 10]))]
  assert drawn(script, rows, script.STEPS) == [
      ('a, 900 steps', '0', [100, 200], [5, 7]),
      ('a, 900 steps', '1', [150], [10])]
  assert drawn(script, rows, script.TIME) == [
      ('a, 900 steps', '0', [1, 2], [5, 7]), ('a, 900 steps', '1', [1.5], [10])]


def test_each_run_is_drawn_once(script, row):
  first, second = run(0, [1, 1, 5]), run(1, [1, 1, 7])
  rows = [
      row(first), row(first, second, checkpoint='last'), row(first, asked=700)]
  assert [x[:2] for x in drawn(script, rows, script.STEPS)] == [
      ('a, 900 steps', '0'), ('a, 900 steps', '1'), ('a, 700 steps', '0')]


def test_what_has_no_curve_is_not_drawn(script, row):
  untimed = row(run(0, [1, None, 5]))
  assert len(drawn(script, [untimed, row(run(0))], script.STEPS)) == 1
  assert drawn(script, [untimed], script.TIME) == []


def test_few_curves_are_drawn_the_best(script, row):
  rows = [row(run(0, [1, 1, 5]), method=f'm{i}') for i in range(9)]
  assert [x[0].split(',')[0] for x in drawn(script, rows, script.STEPS)] == [
      'm0', 'm1', 'm2', 'm3', 'm4', 'm5']


def test_minutes_with_evaluations_are_marked(script, row):
  rows = [row(run(0, [1, 60, 5], inclusive=True))]
  marked = 'minutes with evaluations'
  assert marked in drawn(script, rows, script.TIME)[0][0]
  assert marked not in drawn(script, rows, script.STEPS)[0][0]


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
    path = tmp_path / f'{name}.x.png'
    script.plot('t', some, levels, script.TIME, path)
    assert np.asarray(Image.open(path)).std() > 10
