"""What the arrays of an episode must be, and how those of others are read.

Other programs store the same episodes with other keys, shapes and dtypes. What
follows from the file and the spaces alone is converted:

  flags       is_first and is_last from the ends of the file, as it holds one
              episode; is_terminal from terminal, nonterminal or discount, all
              of 0 and 1; any numeric dtype, of 0 and 1
  shapes      one axis of size one more or less at the end: rewards [T, 1]
  images      channels first, where the space has them last; whole numbers
  numbers     other precisions

All else is refused, such as images of floats, whose scale nobody knows, or
actions by number, as the first row then does not show when it was taken.
"""

from collections.abc import Callable, Mapping, Sequence
import math
from typing import Any

import numpy as np

Spaces = dict[str, tuple[tuple[int, ...], np.dtype]]
Arrays = dict[str, np.ndarray]
Sources = dict[str, tuple[str, ...]]

FLAGS = ('is_first', 'is_last', 'is_terminal')
REQUIRED = ('action', 'reward', *FLAGS)
ENDS = {'terminal': 1, 'nonterminal': 0, 'discount': 0}  # Value at an end.
MAX_BYTES = 1 << 31  # Of one decoded episode; guards against zip bombs.


class EpisodeError(ValueError):
  """An episode that can not be used; the message says why."""


class SpaceError(EpisodeError):
  """A sound episode of another environment: other keys, shapes or dtypes."""


def disk_dtype(dtype: Any) -> np.dtype:
  """The dtype that values are stored in, the same as the original's."""
  dtype = np.dtype(dtype)
  return np.dtype({'f': 'float32', 'i': 'int32'}.get(dtype.kind, dtype))


def sampled(spaces: Mapping[str, tuple[Sequence[int], Any]]) -> Spaces:
  """Shapes and stored dtypes of the keys that are sampled: all but log_*."""
  return {
      key: (tuple(shape), disk_dtype(dtype))
      for key, (shape, dtype) in spaces.items() if not key.startswith('log_')}


def as_dtype(key: str, value: np.ndarray, dtype: np.dtype) -> np.ndarray:
  """Returns values in a dtype that holds them, but for float precision.

  Raises:
    EpisodeError: a value is not finite or does not fit into the dtype.
  """
  with np.errstate(over='ignore', invalid='ignore'):
    result = np.ascontiguousarray(value, dtype)
  if dtype.kind == 'f':
    if not (good := np.isfinite(result)).all():
      where = tuple(int(i) for i in np.argwhere(~good)[0])
      raise EpisodeError(
          f"'{key}' is {value[where]} at row {where[0]}, must be a finite "
          f'{dtype}')
  elif not np.can_cast(value.dtype, dtype) and (result != value).any():
    got = value[tuple(np.argwhere(result != value)[0])]
    why = 'must be 0 or 1' if dtype.kind == 'b' else (
        f"too {'large' if got > 0 else 'small'} for {dtype}")
    raise EpisodeError(f"'{key}' holds {got}, {why}")
  return result


def check_layout(
    found: Spaces, spaces: Spaces | None, steps: int | None = None) -> None:
  """Checks keys, lengths, shapes, dtypes and size, not the values.

  Args:
    found: full shape and dtype of each array.
    spaces: shape without the time axis and dtype of each key that is needed;
      None accepts any beside the required keys.
    steps: number of steps that the file name promises; None: any.

  Raises:
    SpaceError: a key is missing or differs from the spaces.
    EpisodeError: the lengths differ, or are too short, or it is too large.
  """
  for key in spaces or REQUIRED:
    if key not in found:
      raise SpaceError(f"key '{key}' is missing")
  check_rows(found, steps)
  for key, (shape, dtype) in found.items():
    want = (spaces or {}).get(key)
    if want and shape[1:] != want[0]:
      raise SpaceError(
          f"'{key}' has shape {shape[1:]} per row, expected {want[0]}")
    if want and not np.can_cast(dtype, want[1], 'same_kind'):
      raise SpaceError(f"'{key}' has dtype {dtype}, expected {want[1]}")


def check_rows(found: Spaces, steps: int | None = None) -> None:
  """Checks that arrays are numeric, equally long and not too large.

  Raises:
    EpisodeError: they are not.
  """
  lengths = {k: shape[0] if shape else 0 for k, (shape, _) in found.items()}
  rows = lengths['action']
  for key, length in lengths.items():
    if length != rows:
      raise EpisodeError(
          f"arrays of different lengths: '{key}' has {length} rows, 'action' "
          f'has {rows}')
  if rows < 2:
    raise EpisodeError(f'{rows} rows, an episode has at least 2')
  if steps is not None and rows != steps + 1:
    raise EpisodeError(f'{rows} rows, but its name promises {steps + 1}')
  for key, (_, dtype) in found.items():
    if dtype.kind not in 'biuf':
      raise EpisodeError(f"'{key}' has dtype {dtype}, must be numeric")
  size = sum(
      math.prod(shape) * dtype.itemsize for shape, dtype in found.values())
  if size > MAX_BYTES:
    raise EpisodeError(f'{size} bytes, above the limit of {MAX_BYTES}')


def check_flags(episode: Arrays) -> None:
  """Checks that the flags describe one whole episode, or EpisodeError."""
  rows = len(episode['action'])
  first, last, terminal = (
      np.flatnonzero(episode[key]).tolist() for key in FLAGS)
  if first != [0]:
    raise EpisodeError(f'is_first is set at rows {first[:5]}, expected [0]')
  if last != [rows - 1]:
    raise EpisodeError(
        f'is_last is set at rows {last[:5]}, expected [{rows - 1}]')
  if terminal not in ([], last):
    raise EpisodeError(
        f'is_terminal without is_last at row {terminal[0]} of {rows}')


def check_first_row(episode: Arrays) -> None:
  """Checks that row 0 comes from a reset, in the convention of the original.

  Elsewhere row t holds the action that is taken after its observation.

  Raises:
    EpisodeError: there is an action or a reward in row 0.
  """
  for key in ('action', 'reward'):
    if episode[key][0].any():
      raise EpisodeError(
          f"'{key}' is {episode[key][0].tolist()} at row 0, expected zeros: a "
          'row must hold the action that led to its observation and the reward '
          'that came with it')


def check_foreign(
    episode: Arrays, are_actions: Callable[[np.ndarray], np.ndarray]) -> None:
  """Checks flags, the first row and the actions of what others hand over.

  Args:
    episode: {key: [rows, ...]} in the dtypes of its spaces.
    are_actions: from actions, [steps, A], to [steps] bool: which of them are
      in the action space.

  Raises:
    EpisodeError: a row is not what it must be.
  """
  check_flags(episode)
  check_first_row(episode)
  bad = np.flatnonzero(~are_actions(episode['action'][1:]))
  if bad.size:
    raise EpisodeError(
        f"'action' is {episode['action'][bad[0] + 1].tolist()} at row "
        f'{bad[0] + 1}, which is not in the action space')


def sources(found: Spaces, spaces: Spaces) -> Sources:
  """Says from which arrays of a file each key is read.

  Args:
    found: full shape and dtype of each array.
    spaces: shape without the time axis and dtype of each key that is needed.

  Returns:
    Key to names of arrays: itself; those that tell the same; none if the
    number of rows does.

  Raises:
    SpaceError: nothing tells a key for sure.
  """
  return {
      key: (key,) if key in found else _stand_ins(key, found) for key in spaces}


def check_fit(found: Spaces, where: Sources, spaces: Spaces) -> None:
  """Checks that `convert` knows how to read each array.

  Raises:
    SpaceError: a shape or dtype has no clear meaning.
  """
  for key, names in where.items():
    want, kind = spaces[key]
    for name in names:
      shape, dtype = found[name][0][1:], found[name][1]
      if shape != want and not _reshaping(shape, *spaces[key]):
        raise SpaceError(f"'{name}' has shape {shape} per row, expected {want}")
      fits = np.can_cast(dtype, kind, 'same_kind') or kind.kind == 'b' or (
          kind.kind + dtype.kind == 'ui')  # `as_dtype` looks at the values.
      if not fits:
        why = '; the scale of such images is not known' * (
            kind == np.uint8 and len(want) > 1)
        raise SpaceError(f"'{name}' has dtype {dtype}, expected {kind}{why}")


def are_rows_as_stored(found: Spaces, where: Sources, spaces: Spaces) -> bool:
  """Returns whether single rows can be read as they are stored."""
  return all(
      names == (key,) and found[key][0][1:] == spaces[key][0]
      for key, names in where.items())


def differences(
    found: Spaces, where: Sources, spaces: Spaces) -> list[str]:
  """Says in words what `convert` does that is more than a cast."""
  result = []
  for key, names in where.items():
    want, _ = spaces[key]
    if names != (key,):
      result.append(f"{key} from {' and '.join(names) or 'the number of rows'}")
    for name in names:
      if (shape := found[name][0][1:]) != want:
        result.append(f'{name} with rows {shape} for {want}')
  return result


def convert(arrays: Arrays, where: Sources, spaces: Spaces) -> Arrays:
  """Makes the keys of the spaces from the arrays of a file.

  Args:
    arrays: name to [rows, ...].
    where: of `sources`.
    spaces: shape without the time axis and dtype of each key.

  Returns:
    Key to [rows, *shape] in the dtype of its space.

  Raises:
    EpisodeError: a value does not fit, or two arrays contradict each other.
  """
  rows = len(arrays['action'])
  result = {}
  for key, (shape, dtype) in spaces.items():
    found = {}
    for name in where[key]:
      value = as_dtype(name, _arrange(arrays[name], shape, dtype), dtype)
      found[name] = ~value if ENDS.get(name) == 0 else value
    (first, value), *rest = found.items() or [(key, _flag_by_place(key, rows))]
    for name, other in rest:
      if (value != other).any():
        raise EpisodeError(f"'{first}' and '{name}' contradict each other")
    result[key] = value
  return result


def _stand_ins(key, found):
  """Names of other arrays that tell a key."""
  if key == 'is_first':
    return ('reset',) if 'reset' in found else ()
  if key == 'is_last':
    return ()
  if key == 'is_terminal':
    if names := tuple(name for name in ENDS if name in found):
      return names
    raise SpaceError(
        f"key 'is_terminal' is missing, and so are {', '.join(ENDS)}, of which "
        'one would tell')
  raise SpaceError(f"key '{key}' is missing")


def _reshaping(shape, want, dtype):
  """Returns how to bring rows into another shape, None if that is not clear."""
  if want == (*shape, 1) or shape == (*want, 1):
    return 'reshape'
  if dtype == np.uint8 and len(want) == 3 and (
      shape == (want[2], *want[:2])):
    return 'channels first'
  return None


def _arrange(value, shape, dtype):
  if value.shape[1:] != shape and (
      _reshaping(value.shape[1:], shape, dtype) == 'channels first'):
    return np.moveaxis(value, 1, -1)
  return value.reshape(len(value), *shape)


def _flag_by_place(key, rows):
  """Flags of one whole episode."""
  result = np.zeros(rows, bool)
  result[0 if key == 'is_first' else -1] = True
  return result
