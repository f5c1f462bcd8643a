"""Text beside pictures, never on them: bars, titles, panels side by side.

Pictures are [H, W, 3] uint8. Everything returns new ones.
"""

import bisect
from collections.abc import Sequence
import functools
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .video import displayable, enlarge

WIDTH = 480  # Pixels; narrower pictures are enlarged until text fits.
BACK = (24, 26, 30)
FADED = (150, 156, 166)  # Of headings and notes.
PLAIN = (240, 240, 240)
FRAME = (78, 82, 90)
GOOD = (98, 220, 110)
BAD = (255, 112, 100)
SMALL, LARGE = 12, 17  # Height of letters, pixels.
MARGIN = 10

Color = tuple[int, int, int]


@functools.cache
def font(size: int) -> Any:
  """Returns the font that comes with Pillow, in a size in pixels."""
  return ImageFont.load_default(size)


def width_of(text: str, size: int) -> int:
  """Returns the width of a text in pixels."""
  return int(np.ceil(font(size).getlength(text)))


def fitting(text: str, room: int, size: int) -> str:
  """Shortens a text with an ellipsis until it has room.

  Args:
    text: one line.
    room: pixels.
    size: of the letters.
  """
  if width_of(text, size) <= room:
    return text
  count = bisect.bisect(
      range(1, len(text)), room, key=lambda n: width_of(text[:n] + '…', size))
  return text[:count].rstrip() + '…'


def picture(pixels: np.ndarray) -> np.ndarray:
  """Returns any image as [H, W, 3] uint8.

  Args:
    pixels: [H, W, C], uint8 or floats in 0 to 1; 1 or 3 channels, or stacked
      gray frames, of which the newest is shown.
  """
  pixels = displayable(pixels)
  return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def at_least(pixels: np.ndarray, width: int = WIDTH) -> np.ndarray:
  """Enlarges a picture by a whole factor, pixel by pixel, to a width."""
  return enlarge(pixels[None], max(1, -(-width // pixels.shape[1])))[0]


def dashboard(
    width: int, values: Sequence[tuple[str, str]],
    shares: Sequence[float] = ()) -> np.ndarray:
  """Draws values below their names, in columns that stay where they are.

  Args:
    width: of the bar, pixels.
    values: name and text of each column.
    shares: how wide each column is beside others; empty: all the same.

  Returns:
    [46, width, 3], uint8.
  """
  image, draw = _canvas(width, SMALL + LARGE + 17)
  ends = np.cumsum([0, *(shares or [1] * len(values))])
  ends = MARGIN + (width - MARGIN) * ends / ends[-1]
  for (name, text), left, right in zip(values, ends, ends[1:]):
    left, room = round(left), right - left - 6
    draw.text((left, 6), fitting(name, room, SMALL), FADED, font(SMALL))
    draw.text(
        (left, SMALL + 9), fitting(text, room, LARGE), PLAIN, font(LARGE))
  return np.asarray(image)


def line(
    width: int, left: str, right: str = '', *, color: Color = FADED,
    right_color: Color = PLAIN, size: int = SMALL,
    margin: int = MARGIN) -> np.ndarray:
  """Draws a bar with a text at its left and one at its right end.

  Args:
    width: of the bar, pixels.
    left: shortened where both have no room.
    right: shown whole, a little larger.
    color, right_color: of the texts.
    size: of the letters, pixels.
    margin: at both ends, pixels.

  Returns:
    [size + 10, width, 3], uint8.
  """
  image, draw = _canvas(width, size + 10)
  larger = size + 2
  right = fitting(right, width - 2 * margin, larger)
  end = width - margin - width_of(right, larger)
  draw.text((end, 1), right, right_color, font(larger))
  room = end - margin - (MARGIN if right else 0)
  draw.text((margin, 3), fitting(left, room, size), color, font(size))
  return np.asarray(image)


def above(*parts: np.ndarray) -> np.ndarray:
  """Puts pictures above one another, in the middle; gaps are dark."""
  width = max(part.shape[1] for part in parts)
  return np.concatenate([_padded(part, 1, width) for part in parts], 0)


def beside(*parts: np.ndarray, gap: int = MARGIN) -> np.ndarray:
  """Puts pictures side by side, in the middle; gaps are dark.

  Args:
    *parts: pictures.
    gap: pixels between them.
  """
  height = max(part.shape[0] for part in parts)
  pieces = [_padded(parts[0], 0, height)]
  for part in parts[1:]:
    pieces.append(_filled(height, gap))
    pieces.append(_padded(part, 0, height))
  return np.concatenate(pieces, 1)


def titled(
    pixels: np.ndarray, title: str, color: Color = FADED) -> np.ndarray:
  """Writes a title above a picture, with a thin frame around that."""
  framed = np.pad(pixels, [(1, 1), (1, 1), (0, 0)])
  framed[[0, -1]] = framed[:, [0, -1]] = FRAME
  return above(line(framed.shape[1], title, color=color, margin=1), framed)


def _canvas(width, height):
  image = Image.new('RGB', (width, height), BACK)
  return image, ImageDraw.Draw(image)


def _filled(height, width):
  return np.full((height, width, 3), BACK, np.uint8)


def _padded(part, axis, size):
  """Adds dark margins at both sides of an axis."""
  missing = size - part.shape[axis]
  if not missing:
    return part
  shape = list(part.shape)
  ends = []
  for amount in (missing // 2, missing - missing // 2):
    shape[axis] = amount
    ends.append(_filled(*shape[:2]))
  return np.concatenate([ends[0], part, ends[1]], axis)
