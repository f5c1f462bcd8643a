"""Films hold the frames that they were given, for as long as they should."""

import sys

import numpy as np
from PIL import Image, ImageSequence
import pytest

from dreamerv2_tf import errors
from dreamerv2_tf.report import movie


def read_gif(path):
  """Returns frames and the milliseconds of each."""
  frames, times = [], []
  with Image.open(path) as file:
    for part in ImageSequence.Iterator(file):
      frames.append(np.asarray(part.convert('RGB')))
      times.append(part.info['duration'])
    assert file.info['loop'] == 0
  return np.stack(frames), times


def read_mp4(path):
  """Returns frames and the frames per second."""
  import av
  with av.open(str(path)) as file:
    [stream] = file.streams
    assert stream.codec.name == 'h264' and stream.pix_fmt == 'yuv420p'
    frames = [x.to_ndarray(format='rgb24') for x in file.decode(stream)]
    return np.stack(frames), float(stream.average_rate)


def clock(count, height=32, width=48):
  """Frames in which a bright square moves over something dark."""
  frames = np.full((count, height, width, 3), (20, 30, 90), np.uint8)
  for index, frame in enumerate(frames):
    frame[8:16, index:index + 8] = (250, 200, 40)
  return frames


def test_a_gif_of_few_colours_is_exact(tmp_path):
  frames = clock(7)
  movie.write(tmp_path / 'a.gif', iter(frames), 15)
  got, times = read_gif(tmp_path / 'a.gif')
  np.testing.assert_array_equal(got, frames)
  assert times == [70, 60, 70, 70, 60, 70, 70]  # 66.7 ms on average.
  assert [path.name for path in tmp_path.iterdir()] == ['a.gif']


def test_exactly_256_colours_are_exact(tmp_path):
  colors = np.random.default_rng(0).integers(0, 256, [256, 3], np.uint8)
  frames = colors.reshape([2, 8, 16, 3])  # Half of them in each frame.
  movie.write(tmp_path / 'a.gif', frames, 10)
  np.testing.assert_array_equal(read_gif(tmp_path / 'a.gif')[0], frames)


def test_many_colours_are_near_and_rare_ones_stay(tmp_path):
  x, y = np.meshgrid(np.arange(0, 256, 2), np.arange(0, 256, 2))
  frames = np.stack([
      np.stack([x, y, np.full_like(x, blue)], -1) for blue in (0, 128, 255)])
  frames = frames.astype(np.uint8)
  frames[1, :3, :3] = (255, 0, 255)  # A small car.
  movie.write(tmp_path / 'a.gif', frames, 10)
  got = read_gif(tmp_path / 'a.gif')[0].astype(int)
  assert got.shape == frames.shape
  assert np.abs(got - frames).mean() < 10
  assert np.abs(got[1, 1, 1] - (255, 0, 255)).max() < 48


def test_still_frames_keep_their_time(tmp_path):
  frames = clock(2)[[0, 0, 0, 1, 1]]
  movie.write(tmp_path / 'a.gif', frames, 10)
  got, times = read_gif(tmp_path / 'a.gif')
  assert len(got) == 2 and times == [300, 200]


def test_a_fast_film_leaves_out_frames_but_not_the_last(tmp_path):
  movie.write(tmp_path / 'a.gif', clock(8), 120)  # Every third.
  got, times = read_gif(tmp_path / 'a.gif')
  np.testing.assert_array_equal(got, clock(8)[[0, 3, 6, 7]])
  assert times == [20, 30, 30, 20]  # 25 ms each.


@pytest.mark.parametrize('size, want', [((32, 48), (32, 48)),
                                        ((31, 47), (32, 48))])
def test_an_mp4_shows_the_frames(tmp_path, size, want):
  frames = clock(12, *size)
  movie.write(tmp_path / 'a.mp4', iter(frames), 15)
  got, fps = read_mp4(tmp_path / 'a.mp4')
  assert got.shape == (12, *want, 3) and fps == 15
  error = np.abs(got[:, :size[0], :size[1]].astype(int) - frames)
  assert error.mean() < 8
  assert [path.name for path in tmp_path.iterdir()] == ['a.mp4']


@pytest.mark.parametrize('name', ['a.gif', 'a.mp4'])
def test_what_fails_leaves_the_old_file(tmp_path, name):
  def fails():
    yield clock(1)[0]
    raise RuntimeError('the environment died')
  (tmp_path / name).write_text('old')
  with pytest.raises(RuntimeError, match='died'):
    movie.write(tmp_path / name, fails(), 15)
  assert [path.name for path in tmp_path.iterdir()] == [name]
  assert (tmp_path / name).read_text() == 'old'


@pytest.mark.parametrize('frames, message', [
    ([], 'at least one frame'),
    (np.zeros([2, 8, 8, 1], np.uint8), r'got \(8, 8, 1\) uint8'),
    (np.zeros([2, 8, 8, 3]), r'got \(8, 8, 3\) float64'),
    ([np.zeros([8, 8, 3], np.uint8), np.zeros([8, 9, 3], np.uint8)],
     r'got \(8, 9, 3\) uint8 after \(8, 8, 3\)')])
def test_what_is_no_film_is_an_error(tmp_path, frames, message):
  with pytest.raises(ValueError, match=message):
    movie.write(tmp_path / 'a.gif', frames, 15)
  assert not list(tmp_path.iterdir())


def test_the_last_frame_is_held():
  assert list(movie.held('abc', 2, 1.5)) == ['a', 'b', 'c', 'c', 'c']
  assert list(movie.held('abc', 2, 0)) == ['a', 'b', 'c']
  assert list(movie.held('', 2)) == []


@pytest.mark.parametrize('name, message', [
    ('a.avi', 'does not end in .gif or .mp4'),
    ('a', 'does not end in .gif or .mp4'),
    ('missing/a.gif', 'its folder does not exist'),
    ('folder.gif', 'it is a folder')])
def test_what_can_not_be_written_is_refused(tmp_path, name, message):
  (tmp_path / 'folder.gif').mkdir()
  with pytest.raises(errors.ConfigError, match=message):
    movie.check(tmp_path / name, '--out')
  movie.check(tmp_path / 'A.GIF')
  movie.check(tmp_path / 'a.mp4')


def test_without_the_package_an_mp4_is_refused(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'av', None)
  with pytest.raises(errors.ConfigError, match=(
      "--video needs the package 'av' to write an MP4. Install it with: pip "
      'install av, or write a .gif')):
    movie.check(tmp_path / 'a.mp4')
  movie.check(tmp_path / 'a.gif')
