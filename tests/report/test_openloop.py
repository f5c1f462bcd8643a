"""Dreams beside the truth: every pixel of both is there, enlarged."""

import numpy as np

from dreamerv2_tf.report.openloop import GAP, GUTTER, open_loop


def film(shape, context=2):
  rng = np.random.default_rng(0)
  truth = rng.integers(0, 128, shape).astype(np.float32) / 255
  model = truth + np.float32(51 / 255)
  got = open_loop({'a/b': (truth, model)}, context)
  assert list(got) == ['openl_a/b']
  return truth, got['openl_a/b']


def large(pixels):
  return np.round(255 * pixels).astype(np.uint8).repeat(4, 1).repeat(4, 2)


def test_wide_pictures_are_stacked_with_truth_model_and_error():
  truth, got = film((3, 5, 4, 12, 1))
  assert got.dtype == np.uint8 and got.shape[0] == 5 and got.shape[3] == 1
  assert got.shape[2] == GUTTER + 4 * 12
  body = got[:, -(2 * 3 * 16 + GAP):, GUTTER:]  # Two sequences of three rows.
  np.testing.assert_array_equal(body[:, :16], large(truth[0]))
  np.testing.assert_array_equal(body[:, 16:32], large(truth[0]) + 51)
  assert (body[:, 32:48] == 153).all()  # (0.2 + 1) / 2
  np.testing.assert_array_equal(
      body[:, 48 + GAP:64 + GAP], large(truth[1]))


def test_other_pictures_stand_side_by_side_in_their_colours():
  truth, got = film((3, 5, 4, 4, 3))
  assert got.shape[2:] == (GUTTER + 3 * 16 + 2 * GAP, 3)
  body = got[:, -3 * 16:, GUTTER:]
  for index in range(3):
    left = index * (16 + GAP)
    np.testing.assert_array_equal(
        body[:, :16, left:left + 16], large(truth[index]))


def test_of_stacked_frames_the_newest_is_shown():
  truth, got = film((1, 3, 4, 12, 2))
  np.testing.assert_array_equal(
      got[:, -48:-32, GUTTER:], large(truth[0, ..., 1:]))


def test_a_bar_turns_bright_where_the_context_ends():
  _, got = film((1, 4, 4, 110, 1), context=1)
  width = GUTTER + 4 * 110
  bar = got[:, -48 - 3, :, 0]
  np.testing.assert_array_equal(np.unique(bar[0]), [50, 130])
  for t in range(1, 4):
    assert (bar[t, :width // 4] == 130).all()
    assert (bar[t, width // 4:width * (t + 1) // 4] == 240).all()
  assert (got[0] != got[1]).any()
