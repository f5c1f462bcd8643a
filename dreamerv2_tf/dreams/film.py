"""The film of a scene: panels with captions, frame by frame."""

from collections.abc import Iterator

import numpy as np

from ..report import hud
from . import panels
from .numbers import Scene
from .panels import Meaning

SCREEN = 1600, 1200  # Pixels that all panels together should fit into.
BAR = 8  # Pixels of the bar below a panel.
GAP = 10  # Pixels between panels.
LOOK_AWAY = 0.8  # Seconds that the last row before a dream stays.
NARROW = 720  # Pixels; below, captions take two lines.
EMPTY = (52, 56, 64)


def frames(
    scene: Scene, meaning: Meaning, name: str,
    fps: float) -> tuple[Iterator[np.ndarray], float]:
  """Draws a scene.

  Args:
    scene: with at least one course.
    meaning: of its numbers.
    name: of agent and checkpoint, for the headline.
    fps: decisions per second.

  Returns:
    Frames, [H, W, 3] uint8 each, of one size, and how many per second.
  """
  parts, count = panels.make(scene, meaning)
  rows = len(scene.seen)
  def draw():
    columns = 0
    for row in range(rows):
      captions = [_captions(scene, x, row) for x in parts]
      for index in range(count if row + 1 < rows else 1):
        pictures = [
            hud.above(text, x.draw(row, index / count), bar)
            for x, (text, bar) in zip(parts, captions)]
        columns = columns or _columns(pictures)
        pause = index == 0 and row + 1 == scene.context
        picture = _compose(scene, pictures, columns, row, name, pause)
        for _ in range(1 + round(LOOK_AWAY * fps * count) * pause):
          yield picture
  return draw(), fps * count


def _captions(scene, panel, row):
  """Draws what stands above the picture of a row, and the bar below it."""
  width = panel.width
  doing, values = panel.says(row)
  seen = bool(scene.seen[row])
  color = hud.PLAIN if panel.alive is None else (
      panels.SEEN if seen else mixed(panel.alive(row)))
  left = f'{panel.title}   {doing}' if doing else panel.title
  if width < NARROW:
    lines = [
        hud.line(width, left, color=color, size=14),
        hud.line(width, values or ' ', color=hud.PLAIN, size=13)]
  else:
    lines = [hud.line(width, left, values, color=color, size=16)]
  bar = np.full((BAR, width, 3), EMPTY, np.uint8)
  if panel.alive is None:
    bar[:] = panels.REAL if row < scene.known else EMPTY
  else:
    bar[:, :round(width * (1 if seen else panel.alive(row)))] = color
  return hud.above(*lines), bar


def _columns(pictures):
  """Returns into how many columns the panels fit best."""
  height, width = pictures[0].shape[:2]
  def size(columns):
    rows = -(-len(pictures) // columns)
    return max(
        columns * (width + GAP) / SCREEN[0], rows * (height + GAP) / SCREEN[1])
  return min(range(1, min(4, len(pictures)) + 1), key=size)


def _compose(scene, pictures, columns, row, name, last):
  """Puts headline, panels and the line of time together."""
  height, width = pictures[0].shape[:2]
  fill = -len(pictures) % columns
  pictures = pictures + [np.full_like(pictures[0], hud.BACK)] * fill
  gap = np.full((GAP, width * columns + GAP * (columns - 1), 3),
                hud.BACK, np.uint8)
  lines = []
  for index in range(0, len(pictures), columns):
    lines += [hud.beside(*pictures[index:index + columns], gap=GAP), gap]
  wide = gap.shape[1]
  since = row - int(np.flatnonzero(scene.seen[:row + 1])[-1])
  state = f"the model looks{' for the last time' * last}" if not since else (
      f'{since} step{"s" * (since > 1)} without looking')
  head = hud.line(
      wide, f'{name}   {scene.title}', f'step {scene.start + row}   {state}',
      right_color=panels.SEEN if not since else mixed(1.0), size=16)
  return hud.above(head, *lines[:-1], _time(scene, wide, row))


def _time(scene, width, row):
  """Draws the rows as boxes: blue was seen, the bright one is now."""
  line = np.full((18, width, 3), hud.BACK, np.uint8)
  edges = np.linspace(
      hud.MARGIN, width - hud.MARGIN, len(scene.seen) + 1).astype(int)
  for index, seen in enumerate(scene.seen):
    color = np.array(panels.SEEN if seen else mixed(1.0))
    shade = 1.0 if index == row else 0.55 if index < row else 0.22
    top = 4 if index == row else 7
    line[top:18 - top, edges[index]:edges[index + 1] - 2] = color * shade
  return line


def mixed(alive: float) -> hud.Color:
  """Returns green for a dream that goes on, red for one that ends."""
  share = float(np.clip(alive, 0, 1))
  green, red = np.array(hud.GOOD), np.array(hud.BAD)
  return tuple(int(x) for x in share * green + (1 - share) * red)
