"""Draws cars from above."""

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from .traffic import SIZE, Traffic

WIDE = 960, 8.0  # Pixels and pixels per metre of a straight road.
BEHIND = 30.0  # Metres shown behind a car that the picture follows.
ASIDE = 6.0, 24.0, 40.0  # Metres beside all cars; least and most in all.
SQUARE = 480, 400  # Pixels of a picture of a place,
AROUND = 24.0  # with so many metres around the way of the own car,
SMALLEST = 80.0  # and at least so many along x.
SHARP = 2  # Pixels of the drawing for each of the picture, along an axis.
DASH, EVERY, GRID = 3.0, 9.0, 10.0  # Metres of marks and between lines.

COLORS = {
    'ground': (46, 66, 48), 'blank': (38, 42, 48), 'grid': (52, 57, 64),
    'road': (84, 86, 92), 'edge': (150, 152, 156), 'mark': (214, 214, 214),
    'own': (74, 222, 98), 'ended': (240, 66, 58), 'other': (104, 178, 255),
    'line': (18, 20, 24), 'glass': (24, 34, 44)}


class View:
  """A window on the ground, the same for all pictures of a film.

  Attributes:
    size: width and height of the pictures, pixels.
  """

  def __init__(self, traffic: Traffic, vectors: Iterable[np.ndarray]):
    """Chooses what is seen.

    Args:
      traffic: what is drawn.
      vectors: [V * F] each; what has room where the road is not straight.
    """
    self._traffic = traffic
    self._edges = _edges(traffic)
    if traffic.follows:
      width, self._metre = WIDE
      low, high = self._sides(vectors)
      self._corner = np.array([-BEHIND, low])
      self.size = width, round((high - low) * self._metre)
      return
    own = np.stack([traffic.cars(x)[0, :2] for x in vectors])
    low, high = own.min(0) - AROUND, own.max(0) + AROUND
    room = np.array(SQUARE, float)
    across = max(*((high - low) * room[0] / room), SMALLEST)
    self.size = SQUARE
    self._metre = room[0] / across
    self._corner = (low + high - room / self._metre) / 2

  def _sides(self, vectors):
    """Returns the least and the largest y that are seen, metres."""
    if self._edges:
      return self._edges[0] - 1, self._edges[-1] + 1
    y = np.concatenate([self._traffic.cars(x)[:, 1] for x in vectors])
    margin, least, most = ASIDE
    high = np.clip(np.ptp(y) + 2 * margin, least, most)
    middle = (y.min() + y.max()) / 2
    return middle - high / 2, middle + high / 2

  def draw(
      self, cars: np.ndarray, way: float = 0.0,
      ended: bool = False) -> np.ndarray:
    """Draws one instant.

    Args:
      cars: [n, 5], of `Traffic.cars`.
      way: metres that the own car has gone, for what the picture follows.
      ended: the own car is red, not green.

    Returns:
      [H, W, 3], uint8.
    """
    width, height = (SHARP * x for x in self.size)
    known = bool(self._traffic.lanes)
    image = Image.new(
        'RGB', (width, height), COLORS['ground' if known else 'blank'])
    draw = ImageDraw.Draw(image)
    if not known:
      self._grid(draw, way)
    elif self._traffic.straight:
      self._straight(draw, way)
    else:
      self._network(draw)
    for car in cars[:0:-1]:
      self._car(draw, car, COLORS['other'])
    self._car(draw, cars[0], COLORS['ended' if ended else 'own'])
    return np.asarray(image.reduce(SHARP))

  def _at(self, points):
    """Returns places, [..., 2], in pixels of the drawing."""
    return (np.asarray(points) - self._corner) * self._metre * SHARP

  def _straight(self, draw, way):
    width = SHARP * self.size[0]
    heights = [self._at([0, y])[1] for y in self._edges]
    draw.rectangle([0, heights[0], width, heights[-1]], fill=COLORS['road'])
    for y in heights[0], heights[-1]:
      draw.line([0, y, width, y], fill=COLORS['edge'], width=2 * SHARP)
    long = self.size[0] / self._metre
    for x in np.arange(-(way % EVERY) - EVERY, long, EVERY):
      left, right = (int(p * self._metre * SHARP) for p in (x, x + DASH))
      for y in heights[1:-1]:
        draw.line([left, y, right, y], fill=COLORS['mark'], width=SHARP)

  def _network(self, draw):
    for color, narrower in ('edge', 0.0), ('road', 0.4):
      for lane in self._traffic.lanes:
        points = [tuple(x) for x in self._at(lane.points)]
        width = (lane.width - narrower) * self._metre * SHARP
        draw.line(points, COLORS[color], round(width), joint='curve')

  def _grid(self, draw, way):
    width, height = (SHARP * x for x in self.size)
    moved = np.array([way if self._traffic.follows else 0.0, 0.0])
    low = self._corner + moved
    high = low + np.array(self.size) / self._metre
    for x in np.arange(np.ceil(low[0] / GRID) * GRID, high[0], GRID):
      place = self._at([x - moved[0], 0])[0]
      draw.line([place, 0, place, height], COLORS['grid'], SHARP)
    for y in np.arange(np.ceil(low[1] / GRID) * GRID, high[1], GRID):
      place = self._at([0, y])[1]
      draw.line([0, place, width, place], COLORS['grid'], SHARP)

  def _car(self, draw, car, color):
    """Draws a car, [5], with its windscreen ahead of the middle."""
    x, y, _, _, heading = car
    turn = np.array([
        [np.cos(heading), np.sin(heading)],
        [-np.sin(heading), np.cos(heading)]])
    box = lambda x0, x1, half: [
        tuple(p) for p in self._at(np.array([
            [x0, -half], [x1, -half], [x1, half], [x0, half]]) @ turn + [x, y])]
    long, wide = SIZE[0] / 2, SIZE[1] / 2
    draw.polygon(box(-long, long, wide), color, COLORS['line'], SHARP)
    draw.polygon(box(0.4, 1.3, 0.72 * wide), COLORS['glass'])


def _edges(traffic):
  """Returns the y between lanes of a straight road, sorted."""
  if not traffic.straight:
    return []
  return sorted({
      round(float(lane.points[0, 1] + side * lane.width / 2), 6)
      for lane in traffic.lanes for side in (-1, 1)})


class Film:
  """One course of events, drawn from row to row.

  Attributes:
    cars: of each row, [n, 5].
  """

  def __init__(self, view: View, traffic: Traffic, vectors: np.ndarray):
    """Reads all rows.

    Args:
      view: draws them.
      traffic: what they mean.
      vectors: [R, V * F], in the environment's units.
    """
    self._view = view
    self._traffic = traffic
    self.cars = [traffic.cars(x) for x in vectors]
    speeds = np.array([cars[0, 2] for cars in self.cars])
    steps = (speeds[1:] + speeds[:-1]) / 2 * traffic.seconds
    self._way = np.concatenate([[0], np.cumsum(steps)])

  def draw(self, row: int, part: float, ended: bool) -> np.ndarray:
    """Draws the instant `part` of a step after a row; see `View.draw`."""
    last = len(self.cars) - 1
    row, part = (row, part) if row < last else (last, 0.0)
    following = min(row + 1, last)
    cars = self._traffic.between(self.cars[row], self.cars[following], part)
    way = (1 - part) * self._way[row] + part * self._way[following]
    return self._view.draw(cars, way, ended)

  def speed(self, row: int) -> float:
    """Returns the speed of the own car in m/s."""
    return float(np.hypot(*self.cars[min(row, len(self.cars) - 1)][0, 2:4]))
