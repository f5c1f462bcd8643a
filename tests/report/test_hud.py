"""Text stands beside pictures, whole or shortened, and hides nothing."""

import numpy as np
import pytest

from dreamerv2_tf.report import hud


def columns(bar):
  """Returns the columns of pixels in which there is text."""
  return np.flatnonzero((bar != hud.BACK).any((0, 2)))


def solid(height, width, value):
  return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize('pixels, want', [
    (np.full((2, 3, 1), 0.5, np.float32), 128),
    (np.full((2, 3, 3), 7, np.uint8), 7),
    (np.dstack([np.full((2, 3), i, np.uint8) for i in range(4)]), 3)])
def test_any_image_becomes_a_picture(pixels, want):
  got = hud.picture(pixels)
  np.testing.assert_array_equal(got, solid(2, 3, want))
  assert got.dtype == np.uint8


@pytest.mark.parametrize('width, want', [
    (4, 4), (5, 8), (9, 12), (3, 4), (8, 8)])
def test_small_pictures_are_enlarged_by_whole_factors(width, want):
  got = hud.at_least(np.arange(24, dtype=np.uint8).reshape([2, 4, 3]), width)
  assert got.shape == (want // 2, want, 3)
  assert (got[0, :, 0] == np.repeat([0, 3, 6, 9], want // 4)).all()


def test_a_text_is_shortened_where_it_has_no_room():
  assert hud.fitting('lane right 98 %', 1000, 17) == 'lane right 98 %'
  short = hud.fitting('lane right 98 %', 60, 17)
  assert short.endswith('…') and 'lane right 98 %'.startswith(short[:-1])
  assert hud.width_of(short, 17) <= 60 < hud.width_of('lane right 98 %', 17)
  assert hud.fitting('x', 0, 17) == '…'


def test_values_stand_in_columns_that_do_not_move():
  one = hud.dashboard(400, [('time', '1 s'), ('speed', '5 m/s')])
  two = hud.dashboard(400, [('time', '9 s'), ('speed', '25 m/s')])
  assert one.shape == two.shape == (46, 400, 3)
  middle = hud.MARGIN + (400 - hud.MARGIN) // 2
  assert columns(one).min() >= hud.MARGIN - 1
  for bar in one, two:
    assert columns(bar[:, middle - 6:]).min() >= 5
  np.testing.assert_array_equal(one[:20], two[:20])  # The names.
  assert (one[20:] != two[20:]).any()


def test_columns_may_be_wider_than_others():
  bar = hud.dashboard(410, [('', 'a'), ('', 'b')], [3, 1])
  assert columns(bar[:, 200:]).min() + 200 >= 310
  same = hud.dashboard(410, [('', 'a'), ('', 'b')])
  assert columns(same[:, 200:]).min() + 200 < 230


def test_the_right_end_is_whole_and_the_left_makes_room():
  bar = hud.line(300, 100 * 'scenario ', 'crashed', right_color=hud.BAD)
  assert bar.shape == (hud.SMALL + 10, 300, 3)
  right = 300 - hud.MARGIN - hud.width_of('crashed', hud.SMALL + 2)
  gap = bar[:, right - hud.MARGIN + 1:right - 1]
  assert (gap == hud.BACK).all()
  alone = hud.line(300, '', 'crashed', right_color=hud.BAD)
  np.testing.assert_array_equal(bar[:, right - 1:], alone[:, right - 1:])


def test_a_bar_too_narrow_for_its_text_is_no_error():
  assert hud.line(12, 'scenario', 'crashed').shape == (22, 12, 3)
  assert hud.dashboard(8, [('time', '1 s'), ('speed', '2')]).shape == (46, 8, 3)


def test_pictures_lie_above_and_beside_one_another():
  a, b = solid(2, 4, 1), solid(3, 6, 2)
  got = hud.above(a, b)
  assert got.shape == (5, 6, 3)
  np.testing.assert_array_equal(got[:2, 1:5], a)
  np.testing.assert_array_equal(got[2:], b)
  assert (got[:2, 0] == hud.BACK).all() and (got[:2, 5] == hud.BACK).all()
  got = hud.beside(a, b, gap=2)
  assert got.shape == (3, 12, 3)
  np.testing.assert_array_equal(got[:2, :4], a)
  np.testing.assert_array_equal(got[:, 6:], b)
  assert (got[2, :4] == hud.BACK).all() and (got[:, 4:6] == hud.BACK).all()


def test_a_title_hides_no_pixel():
  frame = solid(5, 60, 9)
  got = hud.titled(frame, 'observation')
  np.testing.assert_array_equal(got[-6:-1, 1:-1], frame)
  assert got.shape == (29, 62, 3) and (got[:22] != hud.BACK).any()
  assert (got[22] == hud.FRAME).all() and (got[22:, 61] == hud.FRAME).all()
