"""Dreams of pictures beside the truth, large and with words.

Shapes: B sequences, T time, H height, W width, C channels.
"""

from collections.abc import Mapping

import numpy as np

from . import hud
from .video import as_uint8

MOST = 6  # Sequences beside one another, if they are narrow.
STACKED = 2  # Sequences below one another, if they are wide.
SCALE = 4  # At most; less where many sequences would get too wide.
WIDEST = 1000  # Pixels of the sequences together.
ROWS = ('truth', 'model', 'error')
GUTTER = 80  # Pixels left of the rows, for these words.
LETTERS = 18  # Pixels: TensorBoard shows pictures smaller.
GAP = 8  # Between sequences.
STRIP = 4  # Height of the bar of time.
BEHIND, CONTEXT, AHEAD = 50, 130, 240  # Its grays: to come, seen, dreamt.


def open_loop(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    context: int) -> dict[str, np.ndarray]:
  """Draws truth over prediction over their difference, enlarged.

  Wide pictures are stacked, others stand beside one another. Words above say
  whether the model sees a frame or dreams it; the bar of time below them is
  gray until the end of the context and bright from there on.

  Args:
    pairs: of `Agent.report`: key -> truth and prediction, [B, T, H, W, C],
      float32, 0 to 1; 1 or 3 channels, or stacked gray frames.
    context: frames that the model sees.

  Returns:
    `openl_<key>` -> film, [T, height, width, 1 or 3], uint8.
  """
  return {
      f'openl_{key}': _film(truth, model, context)
      for key, (truth, model) in pairs.items()}


def _film(truth, model, context):
  wide = truth.shape[3] >= 2 * truth.shape[2]
  count = min(len(truth), STACKED if wide else MOST)
  channels = slice(None) if truth.shape[-1] == 3 else slice(-1, None)
  truth, model = (x[:count, ..., channels] for x in (truth, model))
  _, length, height, width, depth = truth.shape
  columns = 1 if wide else count
  scale = max(1, min(SCALE, WIDEST // (columns * width)))
  films = [
      as_uint8(np.clip(x, 0, 1)).repeat(scale, 2).repeat(scale, 3)
      for x in (truth, model, (model - truth + 1) / 2)]
  height, width = height * scale, width * scale
  names = [_word(name, height, depth) for name in ROWS]
  panels = np.concatenate(films, 2)  # [B, T, 3 * height, width, depth]
  names = np.concatenate(names, 0)
  if wide:
    panels = _joined(list(panels), 1)
    names = _joined([names[None]] * count, 1)[0]
  else:
    panels = _joined(list(panels), 2)
  gutter = np.broadcast_to(names[None], (length, *names.shape))
  body = np.concatenate([gutter, panels], 2)
  heads = [
      _head(t, length, context, body.shape[2], depth) for t in range(length)]
  return np.concatenate([np.stack(heads), body], 1)


def _head(t, length, context, width, depth):
  """Returns the words and the bar of time of a frame."""
  seen = t < context
  text = f'sees frame {t + 1} of {context}' if seen else (
      f'dreams, {t + 1 - context} ahead')
  words = _gray(hud.line(width, text, color=hud.PLAIN, size=LETTERS), depth)
  strip = np.full((STRIP, width, depth), BEHIND, np.uint8)
  end, edge = (round(width * x / length) for x in (t + 1, context))
  strip[:, :min(end, edge)] = CONTEXT
  strip[:, edge:max(end, edge)] = AHEAD
  return np.concatenate([words, strip, strip[:2] * 0 + _back(depth)])


def _word(name, height, depth):
  """Returns a word in the middle of a dark strip, [height, GUTTER, depth]."""
  word = _gray(hud.line(GUTTER, name, size=LETTERS), depth)
  strip = np.zeros((height, GUTTER, depth), np.uint8) + _back(depth)
  top = max(0, (height - len(word)) // 2)
  strip[top:top + len(word)] = word[:height]
  return strip


def _joined(parts, axis):
  """Joins [T, H, W, C] along an axis, with dark gaps."""
  shape = list(parts[0].shape)
  shape[axis] = GAP
  gap = np.zeros(shape, np.uint8) + _back(shape[-1])
  pieces = [x for part in parts for x in (part, gap)]
  return np.concatenate(pieces[:-1], axis)


def _back(depth):
  return _gray(np.array([[hud.BACK]], np.uint8), depth)[0, 0]


def _gray(pixels, depth):
  """Returns [H, W, depth]; gray films need no palette, and so less time."""
  if depth == 3:
    return pixels
  return pixels.mean(-1, keepdims=True).astype(np.uint8)
