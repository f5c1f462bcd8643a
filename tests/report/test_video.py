"""GIFs decode to what was encoded; captions and rows have their place."""

import io

import numpy as np
from PIL import Image
import pytest

from dreamerv2_tf.report import video


def decode(data):
  """Returns the frames, [T, H, W, 3], and their durations in ms."""
  picture = Image.open(io.BytesIO(data))
  assert picture.format == 'GIF'
  assert picture.info['loop'] == 0  # For ever.
  frames, durations = [], []
  for index in range(picture.n_frames):
    picture.seek(index)
    frames.append(np.asarray(picture.convert('RGB')))
    durations.append(picture.info['duration'])
  return np.stack(frames), durations


def test_gray_gif_is_exact():
  frames = np.random.default_rng(0).integers(0, 256, (7, 16, 24, 1), np.uint8)
  got, durations = decode(video.encode_gif(frames, fps=20))
  np.testing.assert_array_equal(got, frames.repeat(3, -1))
  assert durations == [50] * 7


def test_colour_gif_with_few_colours_is_exact():
  rng = np.random.default_rng(0)
  palette = rng.integers(0, 256, (100, 3), np.uint8)
  frames = palette[rng.integers(0, 100, (5, 16, 24))]
  got, _ = decode(video.encode_gif(frames))
  np.testing.assert_array_equal(got, frames)


def test_colour_gif_with_many_colours_is_near():
  x, y = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 48))
  frames = np.stack([
      np.stack([x, y, np.full_like(x, b)], -1) for b in (0.2, 0.5, 0.8)])
  got, _ = decode(video.encode_gif(frames))
  assert np.abs(got - 255 * frames).mean() < 6


def test_gif_enlarges_pixels():
  frames = np.arange(2 * 2 * 3, dtype=np.uint8).reshape((2, 2, 3, 1))
  got, _ = decode(video.encode_gif(frames, scale=4))
  assert got.shape == (2, 8, 12, 3)
  np.testing.assert_array_equal(got[:, ::4, ::4, :1], frames)


@pytest.mark.parametrize('fps, want', [
    (15, [70, 60, 70]),  # 66.7 ms each; the sum is right to 10 ms.
    (1000, [20, 20, 20]),  # Browsers slow down below 20 ms.
])
def test_gif_durations(fps, want):
  frames = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(4, 1)
  assert decode(video.encode_gif(frames, fps))[1] == want


def test_still_frames_keep_their_time():
  frames = np.zeros((6, 8, 8, 1), np.uint8)
  frames[3:] = 200
  got, durations = decode(video.encode_gif(frames, fps=10))
  assert len(got) == 2
  assert durations == [300, 300]


def test_stack_of_gray_frames_shows_the_newest():
  frames = np.zeros((2, 8, 8, 4), np.uint8)
  frames[..., 3] = 99
  assert (decode(video.encode_gif(frames))[0] == 99).all()


@pytest.mark.parametrize('shape', [(0, 8, 8, 3), (8, 8, 3), (2, 0, 8, 1)])
def test_no_video_is_an_error(shape):
  with pytest.raises(ValueError, match=r'\[T, H, W, C\] with at least one'):
    video.encode_gif(np.zeros(shape, np.uint8))


def test_as_uint8():
  floats = np.array([0, 0.5, 1, 1.5, -1, np.nan, np.inf], np.float32)
  np.testing.assert_array_equal(
      video.as_uint8(floats), [0, 128, 255, 255, 0, 0, 255])
  np.testing.assert_array_equal(video.as_uint8(np.array([True])), [255])
  np.testing.assert_array_equal(video.as_uint8(np.array([-3, 7, 999])),
                                [0, 7, 255])
  every = np.arange(256, dtype=np.uint8)
  np.testing.assert_array_equal(
      video.as_uint8(every / np.float32(255)), every)


def test_save_gif_leaves_one_whole_file(tmp_path):
  video.save_gif(tmp_path / 'x.gif', np.zeros((2, 8, 8, 3)))
  assert [path.name for path in tmp_path.iterdir()] == ['x.gif']
  assert decode((tmp_path / 'x.gif').read_bytes())[0].shape == (1, 8, 8, 3)


def test_annotate_adds_a_band_below():
  frames = np.full((2, 10, 60, 1), 7, np.uint8)
  got = video.annotate(frames, ['', 'left +0.8'], height=14)
  assert got.shape == (2, 24, 60, 3) and got.dtype == np.uint8
  assert (got[:, :10] == 7).all()
  assert got[0, 10:].max() == 0 and got[1, 10:].max() > 200


def test_the_sequences_shown_are_those_with_the_fewest_beginnings():
  is_first = np.zeros([8, 4], bool)
  is_first[:, 0] = True  # Which is no jump.
  is_first[[0, 3, 3], [2, 1, 3]] = True
  batch = {'is_first': is_first, 'reward': np.arange(8)}
  got = video.clearest(batch)
  np.testing.assert_array_equal(got['reward'], [1, 2, 4, 5, 6, 7])
  np.testing.assert_array_equal(
      video.clearest(batch, 7)['reward'], [1, 2, 4, 5, 6, 7, 0])
  assert video.clearest({'is_first': is_first[:2]})['is_first'].shape == (2, 4)
