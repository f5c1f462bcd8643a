"""Finds the episodes of a folder when a run begins.

Headers of the newest files are read, and some of the others, so that files of
another program or environment are noticed before anything is moved.
"""

import logging
import os
import pathlib

from .. import errors
from .episodes import DamageError, EpisodeError, by_age, parse
from .layout import SpaceError
from .reader import Reader

log = logging.getLogger(__name__)

CHECKED_AT_START = 1000  # Newest files whose headers are read at once; 0.4 s.
OLDER_AT_START = 100  # Others, evenly spread, so that all kinds are met.
DECODED_AT_START = 8  # Files of others, whose values may mean other things.
FEW = 3  # Unusable files that may be put aside whatever their share is.


def scan(reader: Reader) -> tuple[list[str], dict[str, EpisodeError]]:
  """Lists the episodes, from old to new, by name; reads the newest headers.

  Returns:
    File names, and {name: error} of files without use.

  Raises:
    StateError: most files can not be used, or none and not for damage alone.
  """
  names = list_files(reader.directory)
  others = [name for name in names if parse(name)[0] is None]
  newest, older = names[-CHECKED_AT_START:], names[:-CHECKED_AT_START]
  spread = _spread(older, OLDER_AT_START)
  bad = reader.check([*spread, *newest])
  bad |= _settle_steps(reader, others, {*spread, *newest}, bad)
  expected = (
      _estimate(bad, newest, newest) + _estimate(bad, spread, older))
  sound = [name for name in others if name not in bad]
  decoded = _spread(sound, DECODED_AT_START)
  values = reader.check(decoded, decode=True)
  expected = max(
      expected + _estimate(values, decoded, sound), len(bad) + len(values))
  bad |= values
  unfit = len(bad) == len({*spread, *newest, *bad}) and any(
      not isinstance(error, DamageError) for error in bad.values())
  if unfit or len(bad) > FEW and 2 * expected > len(names):
    _refuse(reader, bad, expected, len(names))
  return [name for name in names if name not in bad], bad


def list_files(directory: pathlib.Path) -> list[str]:
  """Returns the names of the episodes in a folder, from old to new.

  Raises:
    StateError: most files have other names.
  """
  names, ignored, unnamed = [], [], 0
  with os.scandir(directory) as entries:
    for entry in entries:
      regular = entry.is_file(follow_symlinks=False)
      if parse(entry.name) and regular:
        names.append(entry.name)
      else:
        ignored.append(entry.name)
        unnamed += regular and entry.name.endswith('.npz')
  if unnamed and (not names or unnamed > max(FEW, len(names))):
    first = min(x for x in ignored if x.endswith('.npz'))
    raise errors.StateError(
        f'{directory}: {unnamed} of {unnamed + len(names)} files have '
        f'names that are not those of episodes, such as {first!r}, expected '
        '<number of 12 digits or time>-<uuid>-<steps>.npz, one episode each; '
        'nothing was moved: take them away or choose another logdir')
  if ignored:
    log.warning(
        'ignored %d entries of %s that are not episodes, such as %r',
        len(ignored), directory, min(ignored))
  return sorted(names, key=by_age)


def _settle_steps(reader, others, checked, bad):
  """Counts the steps of files of others that were not looked at.

  If the names of those all give steps or all give rows, so do the others;
  else each is looked at. Returns {name: error} of those without use.
  """
  known = {
      reader.is_named_by_rows(x) for x in others
      if x in checked and x not in bad}
  rest = [name for name in others if name not in checked]
  if known == {True}:
    reader.name_by_rows(rest)
  return {} if len(known) == 1 else reader.check(rest)


def _refuse(reader, bad, count, total):
  """Raises StateError: putting the files aside would help nobody."""
  name, error = next(iter(bad.items()))
  others = list(bad)[1:]
  more = f'; then {", ".join(others[:2])}' if others else ''
  more += f' and {len(others) - 2} more' if len(others) > 2 else ''
  expected = ''
  if isinstance(error, SpaceError) and reader.spaces:
    expected = '; the environment has ' + ', '.join(
        f'{k} {s} {d}' for k, (s, d) in reader.spaces.items())
  raise errors.StateError(
      f'{reader.directory}: {count:.0f} of {total} episodes are damaged or of '
      f'another environment or program, the first, {name}: '
      f'{error}{expected}{more}; nothing was moved: move such files out of '
      'this folder to go on with the others, put back a copy of it, or choose '
      'another logdir')


def _spread(names, count):
  """Takes some at even distances."""
  return names[::-(-len(names) // count) or 1]


def _estimate(bad, checked, group):
  """How many of a group are bad, after some of them were checked."""
  return sum(x in bad for x in checked) * len(group) / max(1, len(checked))
