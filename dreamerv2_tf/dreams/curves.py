"""Draws vectors that are no cars: lines of those numbers that move most."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..report import hud

SIZE = 240, 130  # Pixels of one number's axes.
MOST = 4  # Numbers.
SHARP = 2  # Pixels of the drawing for each of the picture, along an axis.
PAD = 10, 24  # Pixels left and right, and above and below, of a line.
TRUTH, DREAM, AXIS = (236, 236, 236), (255, 170, 60), (74, 80, 90)
SEEN = (38, 58, 92)


class Curves:
  """One course of events beside another, drawn from row to row."""

  def __init__(
      self, truth: np.ndarray, dream: np.ndarray | None, seen: np.ndarray,
      limits: Sequence[np.ndarray]):
    """Plans the axes.

    Args:
      truth: [T, n]; what happened.
      dream: [R, n]; what was dreamed; None: nothing.
      seen: [R], bool; rows that the model saw.
      limits: of `limits`.
    """
    self._truth, self._dream, self._seen = truth, dream, seen
    self._chosen, self._low, self._high = limits

  def draw(self, row: int) -> np.ndarray:
    """Draws all lines up to a row; returns [H, W, 3], uint8."""
    parts = [
        self._axes(place, index, row)
        for place, index in enumerate(self._chosen)]
    if len(parts) % 2:
      parts.append(np.full_like(parts[0], hud.BACK))
    rows = [
        np.concatenate(parts[i:i + 2], 1) for i in range(0, len(parts), 2)]
    return np.concatenate(rows, 0)

  def _axes(self, place, index, row):
    low, high = self._low[place], self._high[place]
    width, height = (SHARP * x for x in SIZE)
    image = Image.new('RGB', (width, height), hud.BACK)
    draw = ImageDraw.Draw(image)
    left, above = (SHARP * x for x in PAD)
    step = (width - 2 * left) / max(1, len(self._seen) - 1)
    across = lambda i: left + step * i
    along = lambda y: height - above - (y - low) / (high - low) * (
        height - 2 * above)
    for i in np.flatnonzero(self._seen):
      draw.rectangle(
          [max(left, across(i - 0.5)), above,
           min(width - left, across(i + 0.5)), height - above], SEEN)
    draw.rectangle([left, above, width - left, height - above], None, AXIS)
    for values, color in (self._truth, TRUTH), (self._dream, DREAM):
      if values is None:
        continue
      points = [
          (across(i), along(y))
          for i, y in enumerate(np.clip(values[:row + 1, index], low, high))]
      if len(points) > 1:
        draw.line(points, color, 2 * SHARP, joint='curve')
      x, y = points[-1]
      size = 2.5 * SHARP
      draw.ellipse([x - size, y - size, x + size, y + size], color)
    font = hud.font(SHARP * hud.SMALL)
    draw.text((left, 6), f'number {index}', hud.PLAIN, font)
    for y, value in (6, high), (height - above + 4, low):
      draw.text((width - left, y), f'{value:.3g}', hud.FADED, font, 'ra')
    return np.asarray(image.reduce(SHARP))


def limits(
    truth: np.ndarray, dreams: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
  """Chooses the numbers to draw and their ranges, the same for all courses.

  Args:
    truth: [T, n].
    dreams: [R, n] each.

  Returns:
    Indices of at most MOST numbers, whose spread is largest, sorted; least and
    largest value of each.
  """
  every = np.concatenate([truth, *dreams]).astype(float)
  spread = np.ptp(truth, 0)
  chosen = np.sort(np.argsort(-spread, kind='stable')[:MOST])
  low, high = every[:, chosen].min(0), every[:, chosen].max(0)
  # A dream that goes astray does not flatten the rest.
  room = 2 * np.maximum(spread[chosen], 1e-3)
  low = np.maximum(low, truth[:, chosen].min(0) - room)
  high = np.minimum(high, truth[:, chosen].max(0) + room)
  return chosen, low, np.maximum(high, low + 1e-6 * (1 + np.abs(low)))
