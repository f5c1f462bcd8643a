"""What figures show, read from the figures themselves."""

import io

import numpy as np
from PIL import Image
import pytest

from dreamerv2_tf.curves import draw
from dreamerv2_tf.curves.scores import Baseline, Run


def run(ys, method='m', seed='0', xs=None, task='t'):
  xs = np.arange(1, len(ys) + 1) * 100 if xs is None else xs
  return Run(
      task, method, seed, np.array(xs, float), np.array(ys, float), None)


def look(*methods, **options):
  methods = methods or ('m',)
  return draw.Look(
      {x: x.upper() for x in methods}, dict.fromkeys(methods, 'red'),
      'steps', 'return', **options)


def lines(axis):
  """Returns style, x and y of the lines that have points."""
  result = []
  for line in axis.lines:
    x, y = map(np.asarray, line.get_data())
    there = np.isfinite(y)
    result.append((line.get_linestyle(), [*x[there]], [*y[there]]))
  return result


def legend(figure):
  return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_line_is_the_mean_of_the_seeds_and_the_shade_their_spread():
  panel = draw.Panel('Title', [run([1, 2]), run([3, 6], seed='1')])
  figure = draw.figure([panel], look(agg='minmax'))
  [axis] = figure.axes
  assert axis.get_title() == 'Title'
  assert (axis.get_xlabel(), axis.get_ylabel()) == ('steps', 'return')
  assert lines(axis) == [('-', [100, 200], [2, 4])]
  [shade] = axis.collections
  assert {*map(tuple, shade.get_paths()[0].vertices.tolist())} == {
      (100, 1), (100, 3), (200, 2), (200, 6)}
  assert legend(figure) == ['M, 2 seeds']


def test_it_is_dotted_and_not_shaded_where_one_seed_is_left():
  panel = draw.Panel('', [run([1, 2, 3]), run([3, 4], seed='1')])
  look_ = look(agg='minmax')
  [axis] = draw.figure([panel], look_).axes
  assert lines(axis) == [
      (':', [200, 300], [3, 3]), ('-', [100, 200], [2, 3])]
  [shade] = axis.collections
  assert shade.get_paths()[0].vertices[:, 0].max() == 200
  assert draw.ended([panel], look_)
  assert not draw.ended([panel], look(fill='last'))


def test_seeds_may_each_have_a_line():
  panel = draw.Panel('', [run([1, 2]), run([3], seed='1')])
  look_ = look(agg='none')
  [axis] = draw.figure([panel], look_).axes
  assert lines(axis) == [('-', [100, 200], [1, 2]), ('-', [100], [3])]
  assert not axis.collections and not draw.ended([panel], look_)


def markers(axis):
  return [list(line.get_markevery()) for line in axis.lines]


def test_few_points_and_single_ones_have_a_marker_many_have_none():
  few, many = run([1] * 40), run([1] * 41, seed='1')
  one = run([1])
  for some, want in (few, 40), (many, 0), (one, 1):
    [axis] = draw.figure([draw.Panel('', [some])], look()).axes
    assert [len(x) for x in markers(axis)] == [want]


def test_a_single_point_is_not_cut_at_the_edge():
  for xs, want in ([0.5, 100], (-3, 103)), ([50, 100], (0, 103)):
    panel = draw.Panel('', [run([1, 2], xs=xs)])
    [axis] = draw.figure([panel], look()).axes
    assert axis.get_xlim() == pytest.approx(want)
  [axis] = draw.figure([draw.Panel('', [run([1], xs=[0])])], look()).axes
  assert axis.get_xlim() == (-1, 1)


def test_levels_are_dashed_lines_with_their_number():
  panel = draw.Panel(
      '', [run([1, 2])], [Baseline('t', 'slow', 4.5, None)])
  figure = draw.figure([panel], look('m', 'slow'))
  assert ('-.', [0, 1], [4.5, 4.5]) in lines(figure.axes[0])
  assert legend(figure) == ['M, 1 seed', 'SLOW: 4.5']


def test_all_panels_share_a_legend_and_their_labels():
  panels = [
      draw.Panel(f'{i}', [run([1]), run([1], 'n'), run([1], 'n', '1')][:i + 1])
      for i in range(3)]
  extra = draw.Panel('Runs', [run([3, 3], 'n', '')], (), True, False)
  figure = draw.figure([*panels, extra], look('m', 'n', cols=3))
  assert legend(figure) == ['M, 1 seed', 'N, 1 to 2 seeds']
  assert [axis.get_title() for axis in figure.axes] == ['0', '1', '2', 'Runs']
  assert [axis.get_xlabel() for axis in figure.axes] == ['', '', *['steps'] * 2]
  assert [axis.get_ylabel() for axis in figure.axes] == [
      'return', '', 'return', '']


def test_a_panel_without_neighbour_below_has_the_label_and_others_are_empty():
  panels = [draw.Panel(f'{i}', [run([1])]) for i in range(5)]
  figure = draw.figure(panels, look(cols=4))  # Two rows of three.
  assert [axis.get_xlabel() for axis in figure.axes] == [
      '', '', 'steps', 'steps', 'steps', '']
  assert [axis.axison for axis in figure.axes] == [*[True] * 5, False]


def test_limits_and_units():
  panel = draw.Panel('', [run([1, 2], xs=[60, 120])])
  tinted = draw.Panel('', [run([7, 8], xs=[60, 120])], (), True)
  axis, other = draw.figure([panel, tinted], look(
      divisor=60, xlim=(0, 600), ylim=(0.5, 7.5))).axes
  assert axis.get_xlim() == (0, 10) and axis.get_ylim() == (0.5, 7.5)
  assert {0.5, 7.5} <= {*axis.get_yticks()}
  assert other.get_ylim() != (0.5, 7.5)  # It has another unit.
  [(_, xs, _)] = lines(axis)
  assert xs == [1, 2]


def test_the_legend_does_not_take_the_room_of_the_panels():
  panel = draw.Panel('', [run([1, 2], f'{i} ' + 'x' * 60) for i in range(30)])
  methods = [x.method for x in panel.runs]
  figure = draw.figure([panel], look(*methods))
  figure.savefig(io.BytesIO(), format='png')
  height = figure.get_figheight() * figure.axes[0].get_position().height
  assert height > 2.3  # Of 3.4 inches, with title and labels.


def test_pictures_are_written_with_the_dots_that_were_asked_for(tmp_path):
  panel = draw.Panel('Title', [run([1, 2])])
  make = lambda: draw.save(
      draw.figure([panel], look(size=(2, 1.5))), tmp_path / 'a.b', 50)
  paths = make()
  assert [path.name for path in paths] == ['a.b.png', 'a.b.pdf']
  picture = Image.open(paths[0])
  assert picture.width == 100 and np.asarray(picture).std() > 10
  first = paths[1].read_bytes()
  assert first.startswith(b'%PDF')
  make()
  assert paths[1].read_bytes() == first  # It has no date.
