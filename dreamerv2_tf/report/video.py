"""Videos as animated GIFs, encoded by Pillow: no ffmpeg.

Shapes: T time, H height, W width, C channels.
"""

from collections.abc import Mapping, Sequence
import io
import os

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .. import files


def as_uint8(pixels: np.ndarray) -> np.ndarray:
  """Converts floats in 0..1 (NaN is black) to uint8; uint8 stays as it is."""
  pixels = np.asarray(pixels)
  if pixels.dtype == np.uint8:
    return pixels
  if pixels.dtype == bool or not np.issubdtype(pixels.dtype, np.integer):
    pixels = np.nan_to_num(np.clip(pixels.astype(np.float32), 0, 1)) * 255
  return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def displayable(pixels: np.ndarray) -> np.ndarray:
  """Reduces the last axis to 1 (gray) or 3 (RGB) channels, uint8.

  Other counts are stacked gray frames: the last channel, the newest, is shown.
  """
  pixels = as_uint8(pixels)
  return pixels if pixels.shape[-1] in (1, 3) else pixels[..., -1:]


def encode_gif(
    frames: np.ndarray, fps: float = 20, scale: int = 1) -> bytes:
  """Encodes an endlessly looping GIF.

  Gray frames are exact. All colour frames share one palette, so that still
  parts do not flicker. GIF counts time in 10 ms: frames take turns in length
  such that the whole lasts T / fps, but none is shorter than the 20 ms below
  which browsers slow down. Equal neighbours are stored once, shown longer.

  Args:
    frames: [T, H, W, C], uint8 or floats in 0..1.
    fps: frames per second.
    scale: whole factor by which pixels are enlarged.

  Raises:
    ValueError: there is no frame, or the shape is another.
  """
  frames = np.asarray(frames)
  if frames.ndim != 4 or not frames.size:
    raise ValueError(
        f'A video is [T, H, W, C] with at least one frame, got {frames.shape}.')
  frames = enlarge(displayable(frames), scale)
  length, height, width, channels = frames.shape
  # One tall picture of all frames, so that the palette is chosen once.
  tall = frames.reshape((length * height, width, channels))
  picture = _reduce_colors(tall) if channels == 3 else Image.fromarray(
      tall[..., 0])
  pictures = [
      picture.crop((0, i * height, width, (i + 1) * height))
      for i in range(length)]
  ends = np.round(np.arange(length + 1) * max(2, 100 / fps)).astype(int)
  buffer = io.BytesIO()
  pictures[0].save(
      buffer, 'gif', save_all=True, append_images=pictures[1:],
      duration=[int(x) for x in 10 * np.diff(ends)], loop=0, optimize=False)
  return buffer.getvalue()


def save_gif(
    path: str | os.PathLike, frames: np.ndarray, fps: float = 20,
    scale: int = 1) -> None:
  """Writes `encode_gif` to a file, whole or not at all."""
  data = encode_gif(frames, fps, scale)
  files.write(path, lambda file: file.write(data))


def encode_png(pixels: np.ndarray) -> bytes:
  """Encodes one picture, [H, W, C], uint8 or floats in 0..1."""
  pixels = displayable(pixels)
  buffer = io.BytesIO()
  Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
      buffer, 'png')
  return buffer.getvalue()


def enlarge(frames: np.ndarray, scale: int) -> np.ndarray:
  """Repeats the pixels of [T, H, W, C] by a whole factor."""
  return frames if scale == 1 else frames.repeat(scale, 1).repeat(scale, 2)


def annotate(
    frames: np.ndarray, captions: Sequence[str], height: int = 14,
    size: int | None = None) -> np.ndarray:
  """Writes one caption under each frame, in a band that hides no pixel.

  Args:
    frames: [T, H, W, C], uint8 or floats in 0..1.
    captions: T texts; what exceeds the width is cut off.
    height: of the band, pixels.
    size: of the letters, pixels; None: small ones.

  Returns:
    [T, H + height, W, 3], uint8.
  """
  assert len(frames) == len(captions), (len(frames), len(captions))
  frames = displayable(frames)
  frames = np.broadcast_to(frames, (*frames.shape[:3], 3))
  font = ImageFont.load_default(size)
  bands = []
  for caption in captions:
    band = Image.new('RGB', (frames.shape[2], height))
    ImageDraw.Draw(band).text((2, 1), caption, fill='white', font=font)
    bands.append(np.asarray(band))
  return np.concatenate([frames, bands], 1)


def clearest(
    batch: Mapping[str, np.ndarray], count: int = 6) -> dict[str, np.ndarray]:
  """Picks sequences for `open_loop` in which as few episodes as possible begin.

  For a dream does not jump with the truth.

  Args:
    batch: key -> [B, T, ...]; reads `is_first`.
    count: of the sequences.

  Returns:
    key -> [at most count, T, ...].
  """
  resets = np.asarray(batch['is_first'])[:, 1:].sum(1)
  rows = np.argsort(resets, kind='stable')[:count]
  return {key: np.asarray(value)[rows] for key, value in batch.items()}


def _reduce_colors(pixels, sample=50_000):
  """Maps [H, W, 3] to a picture of 256 colours; up to 256 are exact."""
  picture = Image.fromarray(pixels)
  # Maximum coverage keeps rare colours, as those of small cars, but its time
  # grows with the number of colours: the palette of many comes from a sample.
  best = {'method': Image.Quantize.MAXCOVERAGE, 'dither': Image.Dither.NONE}
  if picture.getcolors(256):
    return picture.quantize(256, **best)
  flat = pixels.reshape((1, -1, 3))
  flat = flat[:, ::max(1, flat.shape[1] // sample)]
  palette = Image.fromarray(np.ascontiguousarray(flat)).quantize(256, **best)
  return picture.quantize(palette=palette, dither=Image.Dither.NONE)
