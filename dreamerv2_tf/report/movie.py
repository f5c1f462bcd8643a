"""Writes moving pictures, frame by frame, as GIF or MP4 files.

Frames are [H, W, 3] uint8, all of one size. GIFs need nothing but Pillow, MP4
the package `av`, which brings FFmpeg along: pip install 'dreamerv2_tf[video]'.
"""

import collections
from collections.abc import Iterable, Iterator
import fractions
import importlib.util
import itertools
import os
import pathlib
import zlib

import numpy as np
from PIL import Image

from .. import files
from ..errors import ConfigError

SUFFIXES = '.gif', '.mp4'
HOLD = 1.5  # Seconds that the last frame of an episode stays.
FASTEST = 50  # GIF frames per second; browsers slow down above it.
MANY = 1 << 14  # Colours; of more, a sample decides on the palette.
FREQUENT = 128  # Colours of the palette that are taken for their frequency.
SAMPLE = 7  # Every so many pixels are counted.
QUALITY = 20  # Constant rate factor of H.264; 17 is visually lossless.


def check(path: str | os.PathLike, flag: str = '--video') -> None:
  """Refuses what could not be written after all the work.

  Args:
    path: file to write later; GIF or MP4, by its ending.
    flag: how messages call it.

  Raises:
    ConfigError: another ending, no such folder, or `av` is missing.
  """
  path = pathlib.Path(path)
  suffix = path.suffix.lower()
  if suffix not in SUFFIXES:
    raise ConfigError(
        f"{flag} writes a GIF or an MP4, but '{path}' does not end in .gif or "
        '.mp4.')
  if suffix == '.mp4' and not importlib.util.find_spec('av'):
    raise ConfigError(
        f"{flag} needs the package 'av' to write an MP4. Install it with: pip "
        'install av, or write a .gif, which needs none.')
  if path.is_dir():
    raise ConfigError(f"{flag} can not write '{path}': it is a folder.")
  if not path.absolute().parent.is_dir():
    raise ConfigError(
        f"{flag} can not write '{path}': its folder does not exist.")


def write(
    path: str | os.PathLike, frames: Iterable[np.ndarray],
    fps: float) -> None:
  """Writes a film, whole or not at all; it takes one frame at a time.

  A GIF has one palette for all frames, exact up to 256 colours, and at most
  50 frames per second: of more, some are left out. It loops for ever. An MP4
  is H.264 as all browsers play it, its sides rounded up to even numbers.

  Args:
    path: ends in .gif or .mp4, see `check`.
    frames: [H, W, 3] uint8 each, at least one.
    fps: frames per second, above 0.

  Raises:
    ValueError: there is no frame, or they differ in shape.
    OSError: it can not be written; what was there before stays.
  """
  encode = _mp4 if pathlib.Path(path).suffix.lower() == '.mp4' else _gif
  files.write(path, lambda file: encode(file, _checked(frames), fps))


def held(
    frames: Iterable[np.ndarray], fps: float,
    seconds: float = HOLD) -> Iterator[np.ndarray]:
  """Yields frames and repeats the last, so that one can read it.

  Args:
    frames: any.
    fps: frames per second.
    seconds: that the last frame is shown in all.
  """
  frame = None
  for frame in frames:
    yield frame
  if frame is not None:
    yield from itertools.repeat(frame, max(0, round(fps * seconds) - 1))


def durations(count: int, fps: float) -> list[int]:
  """Returns how long each frame of a GIF lasts, in milliseconds.

  GIF counts in 10 ms: frames take turns in length, so that the whole lasts as
  long as it should. None is shorter than the 20 ms below which browsers slow
  down.
  """
  ends = np.round(np.arange(count + 1) * max(2, 100 / fps)).astype(int)
  return [int(x) for x in 10 * np.diff(ends)]


def _checked(frames):
  shape = None
  for frame in frames:
    frame = np.asarray(frame)
    shape = shape or frame.shape
    if (frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3
        or frame.shape != shape or not frame.size):
      raise ValueError(
          'A film has frames [H, W, 3] uint8 of one size, got '
          f'{frame.shape} {frame.dtype}'
          f"{f' after {shape}' if shape != frame.shape else ''}.")
    yield frame
  if shape is None:
    raise ValueError('A film needs at least one frame.')


def _gif(file, frames, fps):
  """Encodes in two passes; between them the frames wait compressed."""
  every = int(np.ceil(fps / FASTEST))
  colors = _Colors()
  waiting = []
  last = None
  for index, frame in enumerate(frames):
    last = None if index % every == 0 else frame
    if last is None:
      waiting.append(_pack(frame, colors))
  if last is not None:
    waiting.append(_pack(last, colors))
  reduce = colors.palette()
  pictures = (reduce(_unpack(*packed)) for packed in waiting)
  first = next(pictures)
  # With one palette for all, and what does not change left out.
  first.save(
      file, 'gif', save_all=True, append_images=pictures, loop=0,
      duration=durations(len(waiting), fps / every), optimize=True,
      palette=bytes(first.getpalette()))


def _pack(frame, colors):
  colors.add(frame)
  return frame.shape, zlib.compress(np.ascontiguousarray(frame), 1)


def _unpack(shape, data):
  return np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)


class _Colors:
  """The colours of many frames, and the palette that serves all of them."""

  def __init__(self):
    self._seen = np.zeros(1 << 24, bool)
    self._often = collections.Counter()  # In a sample.

  def add(self, frame):
    codes = _codes(frame)
    self._seen[codes] = True
    found, counts = np.unique(codes.ravel()[::SAMPLE], return_counts=True)
    for index in np.argsort(-counts, kind='stable')[:FREQUENT]:
      self._often[int(found[index])] += int(counts[index])

  def palette(self):
    """Returns a function from [H, W, 3] to a picture of 256 colours."""
    codes = np.flatnonzero(self._seen)
    chosen = codes if len(codes) <= 256 else self._choose(codes)
    table = np.zeros(1 << 24, np.uint8)
    for part in np.split(codes, np.arange(MANY, len(codes), MANY)):
      table[part] = _nearest(_colors(part), _colors(chosen))
    flat = _colors(chosen).astype(np.uint8).tobytes()

    def reduce(frame):
      picture = Image.fromarray(table[_codes(frame)])
      picture.putpalette(flat)
      return picture
    return reduce

  def _choose(self, codes):
    """Takes the most frequent colours, and others far from one another.

    These are often small, as the lights of a car.
    """
    often = [code for code, _ in self._often.most_common(FREQUENT)]
    colors = _colors(codes[::max(1, len(codes) // MANY)]).astype(np.uint8)
    picture = Image.fromarray(colors[None]).quantize(
        256 - len(often), Image.Quantize.MAXCOVERAGE,
        dither=Image.Dither.NONE)
    others = np.array(picture.getpalette(), int).reshape([-1, 3])
    return np.concatenate([
        often, others[:, 0] << 16 | others[:, 1] << 8 | others[:, 2]])


def _codes(frame):
  """Returns one number for each pixel, [H, W]."""
  parts = frame.astype(np.int32)
  return parts[..., 0] << 16 | parts[..., 1] << 8 | parts[..., 2]


def _colors(codes):
  """Returns the colours of such numbers, [n, 3]."""
  return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], -1)


def _nearest(colors, chosen):
  """Returns for each colour, [n, 3], the index of the nearest one chosen."""
  chosen = chosen.astype(np.float32)
  distance = (chosen ** 2).sum(-1) - 2 * (colors.astype(np.float32) @ chosen.T)
  return distance.argmin(-1)


def _mp4(file, frames, fps):
  """Encodes with FFmpeg, which opens the file by its name."""
  import av
  first = next(frames)
  height, width = (size + size % 2 for size in first.shape[:2])
  with av.open(
      file.name, 'w', format='mp4', options={'movflags': 'faststart'}) as movie:
    stream = movie.add_stream(
        'h264', rate=fractions.Fraction(fps).limit_denominator(1001))
    stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
    stream.options = {'crf': str(QUALITY)}
    for frame in itertools.chain([first], frames):
      padded = np.pad(frame, [
          (0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)],
          mode='edge')
      movie.mux(stream.encode(av.VideoFrame.from_ndarray(padded, 'rgb24')))
    movie.mux(stream.encode(None))
