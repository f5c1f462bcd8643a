"""Reads episode files, whoever wrote them, after checks."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
import errno
import logging
import os
import pathlib
from typing import Any, NamedTuple
import zipfile

import numpy as np

from . import layout as layoutlib
from .episodes import DamageError, headers, parse
from .layout import Arrays, EpisodeError

log = logging.getLogger(__name__)


class Place(NamedTuple):
  """Where the rows of an array lie in a file without compression.

  Attributes:
    key: name of the array.
    dtype: as stored.
    row_bytes: size of a row.
    offset: of row 0, bytes.
  """

  key: str
  dtype: np.dtype
  row_bytes: int
  offset: int


class Reader:
  """The episode files of one folder, checked and decoded.

  Attributes:
    directory: pathlib.Path.
    spaces: shape without time axis and dtype of each sampled key; None until
      the first episode shows them, if they were not given.
  """

  def __init__(
      self, directory: pathlib.Path,
      spaces: Mapping[str, tuple[Sequence[int], Any]] | None = None,
      are_actions: Callable[[np.ndarray], np.ndarray] | None = None):
    """Reads nothing yet; arguments are those of Store.

    Raises:
      ValueError: the spaces lack a required key.
    """
    self.directory = directory
    self.spaces = None
    if spaces is not None:
      self.spaces = layoutlib.sampled(spaces)
      if missing := [k for k in layoutlib.REQUIRED if k not in self.spaces]:
        raise ValueError(f'The spaces of an episode need the keys {missing}.')
    self._are_actions = are_actions
    self._steps = {}  # Of files whose name gives the number of rows.
    self._warned = set()  # Kinds of notes that were given.

  def steps(self, name: str) -> int:
    """Returns the number of steps of an episode that `scan` has listed."""
    return self._steps.get(name, parse(name)[1])

  def is_named_by_rows(self, name: str) -> bool:
    """Tells whether the name of a file is known to give rows, not steps."""
    return name in self._steps

  def name_by_rows(self, names: Sequence[str]) -> None:
    """Takes the numbers in the names of files as numbers of rows."""
    self._steps.update((name, parse(name)[1] - 1) for name in names)

  def check(
      self, names: Sequence[str],
      decode: bool = False) -> dict[str, EpisodeError]:
    """Checks headers, or values, too; returns the errors of unusable files."""
    bad = {}
    for name in names:
      try:
        if decode:
          self.decode(name)
        else:
          self._parse(name, decode=False, learn_steps=True)
      except EpisodeError as error:
        bad[name] = error
      except OSError:
        pass  # Met again, and reported, when it is sampled.
    return bad

  def decode(self, name: str) -> tuple[tuple[Place, ...], Arrays]:
    """Reads and checks a whole file.

    Returns:
      Where to read single rows, () if it has to be decoded as a whole; and
      {key: [rows, ...]} of the sampled keys.

    Raises:
      EpisodeError: the file is damaged or not a valid episode.
      OSError: the file is gone or can not be opened.
    """
    places, episode = self._parse(name, decode=True)
    layoutlib.check_flags(episode)
    self._check_actions(episode['action'])
    if parse(name)[0] is None:
      layoutlib.check_first_row(episode)
    return places, episode

  def read_rows(
      self, name: str, places: Sequence[Place], start: int, stop: int,
      out: Arrays) -> None:
    """Copies the rows [start, stop) of a file into out, see `Store.read`."""
    handle = os.open(self.directory / name, os.O_RDONLY | os.O_NOFOLLOW)
    try:
      for key, dtype, size, offset in places:
        if key not in out:
          continue
        want = out[key]
        rows = want if want.dtype == dtype else np.empty(want.shape, dtype)
        flat = rows.reshape(-1).view(np.uint8)
        if os.preadv(handle, [flat.data], offset + start * size) != flat.size:
          raise DamageError('the file became shorter after it was checked')
        if rows is not want:
          want[...] = rows
    finally:
      os.close(handle)

  def learn_spaces(self, episode: Arrays) -> None:
    """Takes the spaces of an episode if none are known."""
    if self.spaces is None:
      self.spaces = layoutlib.sampled(
          {k: (v.shape[1:], v.dtype) for k, v in episode.items()})

  def check_extras(
      self, found: Iterable[str], used: Container[str]) -> None:
    """Warns of keys that are not read."""
    extras = [x for x in found if x not in used and x[:4] != 'log_']
    if self.spaces and extras:
      self._warn_once(f"ignored keys of stored episodes: {', '.join(extras)}")

  def _parse(self, name, decode, learn_steps=False):
    """Checks the headers of a file and reads the values if decode is set.

    Returns as `decode`. With learn_steps, the name of a file of others may
    give the number of rows.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # No fifo, no symlink.
    handle = os.open(self.directory / name, flags)
    with open(handle, 'rb') as file:
      try:
        with zipfile.ZipFile(file) as archive:
          found = headers(file, archive)
          layout = {k: (m.shape, m.dtype) for k, m in found.items()}
          spaces, where = self._fit(name, layout, learn_steps)
          arrays = {
              key: found[key].read(archive)
              for key in {*sum(where.values(), ('action',))}} if decode else {}
      except (EpisodeError, MemoryError):
        raise
      except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # Seeks that make no sense.
          raise  # The disk, not the file.
        raise DamageError(f'{type(error).__name__}: {error}') from error
      except Exception as error:  # Whatever hostile bytes make a parser raise.
        raise DamageError(f'{type(error).__name__}: {error}') from error
    episode = layoutlib.convert(arrays, where, spaces) if decode else {}
    seekable = layoutlib.are_rows_as_stored(layout, where, spaces) and all(
        found[key].offset is not None for key in spaces)
    places = tuple(
        Place(key, found[key].dtype, found[key].row_bytes, found[key].offset)
        for key in spaces) if seekable else ()
    return places, episode

  def _check_actions(self, actions):
    """Refuses stored actions of another space; row 0 has none."""
    if self._are_actions is None:
      return
    bad = np.flatnonzero(~self._are_actions(actions[1:]))
    if bad.size:
      row = int(bad[0]) + 1
      raise EpisodeError(
          f"'action' is {actions[row].tolist()} at row {row}, which is not in "
          'the action space')

  def _fit(self, name, found, learn_steps):
    """Returns the spaces to read, and from which arrays; see `layout`."""
    shape, _ = found.get('action', ((), None))
    if learn_steps and parse(name) == (None, *shape[:1]):
      self._steps[name] = shape[0] - 1
    if self.spaces is None:
      layoutlib.check_layout(found, None, self.steps(name))
      spaces = layoutlib.sampled(
          {k: (shape[1:], dtype) for k, (shape, dtype) in found.items()})
      return spaces, {key: (key,) for key in spaces}
    where = layoutlib.sources(found, self.spaces)
    used = {k: found[k] for names in where.values() for k in names}
    layoutlib.check_rows(used, self.steps(name))
    layoutlib.check_fit(used, where, self.spaces)
    self.check_extras(found, used)
    other = layoutlib.differences(used, where, self.spaces)
    other += ['names give rows'] * (name in self._steps)
    if other:
      self._warn_once(f"read episodes of another program: {', '.join(other)}")
    return self.spaces, where

  def _warn_once(self, note):
    """Warns once of what holds for many files."""
    if note not in self._warned:
      self._warned.add(note)
      log.warning(note)
