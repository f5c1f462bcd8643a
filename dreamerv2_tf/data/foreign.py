"""Reads episodes of other programs, in the convention of this one.

Their arrays are cut into episodes, brought into the order of time of `replay`,
and then read as `layout` reads all that is not ours. An action belongs to one
of two rows:

  row                  0            1            2         ...   n
  led (ours)           zeros        a_1          a_2             a_n
  taken                a_1          a_2          a_3             zeros

Which of them it is follows from the program, where that is known by the names
of its files, or else from where the zeros are. What shows neither is refused.
"""

from collections.abc import Callable, Iterator, Sequence
import math
import pathlib
from typing import NamedTuple
import zipfile

import numpy as np

from .. import files
from . import layout as layoutlib
from .episodes import DamageError, headers
from .formats import LED, TAKEN, Stream
from .layout import Arrays, EpisodeError, SpaceError, Spaces

# What programs call the observation that is `vector` here.
VECTORS = ('vecobs', 'image')
STARTS = ('is_first', 'reset')  # Which row begins an episode.
USED = (
    'action', 'reward', 'image_t', 'reset', *VECTORS, *layoutlib.FLAGS,
    *layoutlib.ENDS)


class PartError(EpisodeError):
  """Rows whose beginning or end is not there."""



class Result(NamedTuple):
  """An episode, or why there is none.

  Attributes:
    path: file in which it ends.
    rows: {key: [rows, ...]} of the spaces; None if there is an error.
    error: None if there are rows.
    order: LED or TAKEN, as the actions were stored; '' if that is not known.
    notes: what was read from something else.
  """

  path: pathlib.Path
  rows: Arrays | None
  error: EpisodeError | None = None
  order: str = ''
  notes: tuple[str, ...] = ()


def read(
    stream: Stream, spaces: Spaces,
    are_actions: Callable[[np.ndarray], np.ndarray]) -> Iterator[Result]:
  """Yields the episodes of a stream, and errors in place of others.

  Args:
    stream: of `formats.find`.
    spaces: shape without time axis and dtype of each key, of `layout.sampled`.
    are_actions: from actions, [steps, A], to [steps] bool: which of them are
      in the action space.
  """
  for path, rows in cut(stream, spaces):
    order = ''
    try:
      if isinstance(rows, EpisodeError):
        raise rows
      order, rows = in_order(rows, spaces, stream.action)
      episode, notes = fit(rows, spaces)
      layoutlib.check_foreign(episode, are_actions)
    except EpisodeError as error:
      yield Result(path, None, error, order)
    else:
      yield Result(path, episode, None, order, notes)


def cut(
    stream: Stream, spaces: Spaces
) -> Iterator[tuple[pathlib.Path, Arrays | EpisodeError]]:
  """Yields the rows of each episode, with flags where it begins and ends."""
  running, begun, last = [], False, stream.paths[0]
  for path in stream.paths:
    try:
      arrays = by_rows(load(path, spaces))
      starts = _starts(arrays, first=not running)
    except EpisodeError as error:
      yield path, error
      running, begun = [], False
      continue
    ends = [*starts, len(arrays['reward'])]
    for start, stop in zip([0, *starts], ends):
      if start in starts:
        if running:
          yield last, _joined(running, begun, whole=True)
        running, begun = [], True
      if stop > start:
        running.append({k: v[start:stop] for k, v in arrays.items()})
        last = path
  if running:
    yield last, _joined(running, begun, whole=False)


def load(path: pathlib.Path, spaces: Spaces) -> Arrays:
  """Reads the arrays of a file that may be of use.

  Raises:
    DamageError: it is no file of arrays.
    EpisodeError: it is too large, or lacks rewards.
  """
  try:
    with files.open_regular(path) as file, zipfile.ZipFile(file) as archive:
      found = {
          key: member for key, member in headers(file, archive).items()
          if key in spaces or key in USED}
      size = sum(
          math.prod(x.shape) * x.dtype.itemsize for x in found.values())
      if size > layoutlib.MAX_BYTES:
        raise EpisodeError(
            f'{size} bytes, above the limit of {layoutlib.MAX_BYTES}')
      arrays = {key: member.read(archive) for key, member in found.items()}
  except (EpisodeError, MemoryError):
    raise
  except Exception as error:  # Whatever hostile bytes make a parser raise.
    raise DamageError(f'{type(error).__name__}: {error}') from error
  for key in 'action', 'reward':
    if key not in arrays or not arrays[key].ndim:
      raise SpaceError(f"key '{key}' is missing")
  return arrays


def by_rows(arrays: Arrays) -> Arrays:
  """Returns arrays of one length, time axis first, or an EpisodeError."""
  arrays = dict(arrays)
  transposed = arrays.pop('image_t', None)
  if 'image' not in arrays and transposed is not None and transposed.ndim > 1:
    arrays['image'] = np.moveaxis(transposed, -1, 0)
  rows = len(arrays['reward'])
  for key, value in arrays.items():
    if not value.ndim or len(value) != rows:
      raise EpisodeError(
          f"arrays of different lengths: '{key}' has "
          f"{len(value) if value.ndim else 0} rows, 'reward' has {rows}")
  return arrays


def in_order(
    rows: Arrays, spaces: Spaces, known: str | None) -> tuple[str, Arrays]:
  """Returns how actions were stored, and rows with those that led to them.

  Args:
    rows: of one episode.
    spaces: shape without time axis and dtype of each key.
    known: LED or TAKEN; None: the values must show it.

  Raises:
    EpisodeError: they do not, or contradict it.
  """
  action = rows['action']
  if action.ndim == 1 and action.dtype.kind in 'iu' and len(
      spaces['action'][0]) == 1:
    if known is None:
      raise EpisodeError(
          "'action' holds numbers of actions, which do not show whether the "
          'action of a row led to it or follows it')
    action = _one_hot(action, spaces['action'][0][0])
    if known == LED:
      action[0] = 0  # Nothing led to a reset, whatever number stands there.
    else:
      action[-1] = 0
  first, last = (bool(action[row].any()) for row in (0, -1))
  shown = LED if not first else TAKEN if not last else None
  if shown is None or known not in (None, shown) and first != last:
    raise EpisodeError(
        f"'action' is {action[0].tolist()} at row 0 and "
        f'{action[-1].tolist()} at the last row: expected zeros in the first, '
        'if an action led to its row, or in the last, if it follows it')
  shown = known or shown
  if shown == TAKEN:
    action = np.concatenate([np.zeros_like(action[:1]), action[:-1]])
  return shown, {**rows, 'action': action}


def fit(rows: Arrays, spaces: Spaces) -> tuple[Arrays, tuple[str, ...]]:
  """Returns the keys of the spaces, and in words what stood for others.

  Raises:
    EpisodeError: see `layout`.
  """
  name = _vector(rows, spaces)
  notes = [f'vector from {name}'] * bool(name)
  if name:
    rows = {**rows, 'vector': rows[name]}
  found = {k: (v.shape, v.dtype) for k, v in rows.items()}
  where = layoutlib.sources(found, spaces)
  used = {k: found[k] for names in where.values() for k in names}
  layoutlib.check_rows(used)
  layoutlib.check_fit(used, where, spaces)
  notes += layoutlib.differences(used, where, spaces)
  return layoutlib.convert(rows, where, spaces), tuple(notes)


def _vector(rows, spaces):
  """Returns the array that is `vector` under another name; '' if none is."""
  if 'vector' not in spaces or 'vector' in rows:
    return ''
  return next((name for name in VECTORS if name not in spaces and (
      name in rows and rows[name].shape[1:] == spaces['vector'][0])), '')


def _starts(arrays, first):
  """Returns the rows that begin an episode.

  Args:
    first: whether nothing precedes the file.
  """
  for key in STARTS:
    if key in arrays:
      flags = arrays[key].reshape(len(arrays[key]), -1).any(1)
      return np.flatnonzero(flags).tolist()
  return [0] if first else []


def _joined(pieces: Sequence[Arrays], begun: bool, whole: bool):
  """Returns the rows of an episode, or why they are none.

  Args:
    pieces: arrays by key, one after the other.
    begun: whether its first row is there.
    whole: whether another episode follows it.
  """
  if not begun:
    return PartError('the beginning of the episode is missing')
  keys = set(pieces[0])
  if any(set(piece) != keys for piece in pieces):
    return EpisodeError('its files have different keys')
  try:
    rows = {k: np.concatenate([x[k] for x in pieces]) for k in keys}
  except ValueError as error:
    return EpisodeError(f'its files do not fit together: {error}')
  count = len(rows['reward'])
  if 'is_last' in rows and not rows['is_last'][-1].any():
    return PartError(
        'the end of the episode is missing' if not whole else
        'another episode begins before it has ended')
  place = np.arange(count)
  rows.pop('reset', None)
  rows['is_first'] = place == 0
  rows.setdefault('is_last', place == count - 1)
  return rows


def _one_hot(action, size):
  if len(action) and not 0 <= action.min() <= action.max() < size:
    raise EpisodeError(
        f"'action' holds {action.min()} to {action.max()}, expected 0 to "
        f'{size - 1}')
  return np.eye(size, dtype=np.float32)[action]
