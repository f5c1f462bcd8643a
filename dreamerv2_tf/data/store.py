"""Episode files: written whole, checked before use, a bounded share in RAM.

`<sequence number>-<uuid>-<steps>.npz`, one complete episode each; steps are
rows - 1. `<timestamp>-<uuid>-<steps>.npz` files are read, too: those of the
original, and of other programs, some of which name the number of rows; see
`layout`.

Ours are npz files without compression. A compressed one must be decoded from
its beginning to its end for any rows, 6 to 19 ms for 1,000 images of 64x64;
of an uncompressed one the wanted rows alone are read, in 0.1 ms, so a replay
larger than RAM stays fast. The price is disk space: 4 kB per 64x64 image.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
import errno
import filecmp
import functools
import io
import logging
import math
import os
import pathlib
import re
import struct
import threading
import time
from typing import Any, BinaryIO
import uuid
import zipfile

import numpy as np

from .. import errors, files
from . import layout as layoutlib
from .layout import Arrays, EpisodeError, SpaceError

log = logging.getLogger(__name__)

NAME = re.compile(
    r'([0-9]{12}|[0-9]{8}T[0-9]{6})-'
    r'(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-'
    r'([0-9]{1,9})[.]npz')
MAX_MEMBERS = 1000  # Arrays in one file.
HEADER_BYTES = 16384  # More than any npy header of numbers takes.
CHECKED_AT_START = 1000  # Newest files whose headers are read at once; 0.4 s.
OLDER_AT_START = 100  # Others, evenly spread, so that all kinds are met.
DECODED_AT_START = 8  # Files of others, whose values may mean other things.
FEW = 3  # Unusable files that may be put aside whatever their share is.
WRITE_WAITS = (0.1, 0.5, 2.0)  # Seconds before each retry of a failed write.


class DamageError(EpisodeError):
  """A file that is not whole or no file of arrays, of whatever meaning."""


def parse(name: str) -> tuple[int | None, int] | None:
  """Splits a file name.

  Returns:
    Sequence number, None for files of others, and number of steps, or of rows
    in the files of some; None if the name is not that of an episode.
  """
  match = NAME.fullmatch(name)
  if not match:
    return None
  head, steps = match.groups()
  return (None if 'T' in head else int(head)), int(steps)


def order(name: str) -> tuple[bool, str]:
  """Sorts from old to new: files of others come first, clocks aside."""
  return 'T' not in name, name


def write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes an npz file without compression, whatever the arrays are called.

  Names of arguments, which `np.savez` takes for its own, are names like others.

  Raises:
    ValueError: an array would have to be pickled.
  """
  with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
    for key, value in arrays.items():
      with archive.open(f'{key}.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, value, allow_pickle=False)


class Store:
  """The episode files of one folder, and those of them that are in RAM.

  `read` may run in another thread than everything else.

  Attributes:
    directory: pathlib.Path.
    spaces: shape without time axis and dtype of each sampled key; None until
      the first episode shows them, if they were not given.
  """

  def __init__(
      self, directory: str | os.PathLike, ram: float,
      spaces: Mapping[str, tuple[Sequence[int], Any]] | None = None,
      are_actions: Callable[[np.ndarray], np.ndarray] | None = None):
    """Makes the folder and removes what a killed writer left in it.

    Args:
      directory: folder of the episodes; bad files go to `../quarantine`.
      ram: bytes that decoded episodes may take.
      spaces: shape without time axis and dtype of each key, `log_*` ignored.
      are_actions: from actions, [steps, A], to [steps] bool: which of them
        the agent can have chosen; None: all.

    Raises:
      StorageError: the folder can not be made.
      ValueError: the spaces lack a required key.
    """
    self.directory = pathlib.Path(directory).expanduser().absolute()
    self.spaces = None
    if spaces is not None:
      self.spaces = layoutlib.sampled(spaces)
      if missing := [k for k in layoutlib.REQUIRED if k not in self.spaces]:
        raise ValueError(f'The spaces of an episode need the keys {missing}.')
    try:
      self.directory.mkdir(parents=True, exist_ok=True)
      files.clean(self.directory)
    except OSError as error:
      raise errors.StorageError(
          f'{self.directory}: can not hold episodes: {error}') from error
    self._ram = ram
    self._are_actions = are_actions
    self._lock = threading.Lock()
    self._live = set()  # Names that may enter the cache.
    self._cache = collections.OrderedDict()  # Name to arrays, oldest use first.
    self._bytes = 0
    # Name to the places of its arrays, () if it must be decoded as a whole.
    # Episodes of one length share theirs: 100,000 of them stay small.
    self._layouts = {}
    self._shared = {}
    self._steps = {}  # Of files whose name gives the number of rows.
    self._told = set()  # Kinds of notes that were given.

  @property
  def ram_bytes(self) -> int:
    """Bytes of the decoded episodes in RAM."""
    return self._bytes

  def steps(self, name: str) -> int:
    """Returns the number of steps of an episode that `scan` has listed."""
    return self._steps.get(name, parse(name)[1])

  def scan(self) -> tuple[list[str], int]:
    """Lists the episodes, from old to new, by name; reads the newest headers.

    Returns:
      File names, and the number of damaged files that were put aside.

    Raises:
      StateError: most files can not be used, or none and not for damage alone;
        nothing was moved.
    """
    names = self._list()
    others = [name for name in names if parse(name)[0] is None]
    newest, older = names[-CHECKED_AT_START:], names[:-CHECKED_AT_START]
    spread = _spread(older, OLDER_AT_START)
    bad = self._check([*spread, *newest])
    bad |= self._settle_steps(others, {*spread, *newest}, bad)
    expected = (
        _estimate(bad, newest, newest) + _estimate(bad, spread, older))
    sound = [name for name in others if name not in bad]
    decoded = _spread(sound, DECODED_AT_START)
    values = self._check(decoded, decode=True)
    expected = max(
        expected + _estimate(values, decoded, sound), len(bad) + len(values))
    bad |= values
    unfit = len(bad) == len({*spread, *newest, *bad}) and any(
        not isinstance(error, DamageError) for error in bad.values())
    if unfit or len(bad) > FEW and 2 * expected > len(names):
      self._refuse(bad, expected, len(names))
    for name, error in bad.items():
      self.quarantine(name, error)
    names = [name for name in names if name not in bad]
    self._live.update(names)
    return names, len(bad)

  def save(self, seq: int, episode: Mapping[str, Any]) -> str:
    """Checks and writes one complete episode, and keeps it in RAM if it fits.

    Args:
      seq: sequence number for the name.
      episode: {key: [rows, ...]}, arrays or lists of numbers.

    Returns:
      File name.

    Raises:
      EpisodeError: it is not a valid episode; nothing was written.
      StorageError: the disk stayed full or unwritable; nothing was written.
    """
    episode = {key: np.asarray(value) for key, value in episode.items()}
    layout = {k: (v.shape, v.dtype) for k, v in episode.items()}
    layoutlib.check_layout(layout, self.spaces)
    self._check_extras(layout, self.spaces or ())
    kinds = {k: dtype for k, (_, dtype) in (self.spaces or {}).items()}
    episode = {
        k: layoutlib.cast(k, v, kinds.get(k, layoutlib.disk_dtype(v.dtype)))
        for k, v in episode.items()}
    layoutlib.check_flags(episode)
    self._learn_spaces(episode)
    name = f'{seq:012d}-{uuid.uuid4().hex}-{len(episode["action"]) - 1}.npz'
    fill = functools.partial(write_arrays, arrays=episode)
    for wait in (*WRITE_WAITS, None):
      try:
        files.write(self.directory / name, fill)
        break
      except OSError as error:
        if wait is None:
          raise errors.StorageError(
              f'{self.directory}: can not write an episode: {error}; older '
              'ones are intact; free disk space and start again') from error
        log.warning('can not write an episode, trying again: %s', error)
        time.sleep(wait)
    self._live.add(name)
    self._keep(name, {key: episode[key] for key in self.spaces})
    return name

  def load(self, name: str) -> Arrays:
    """Reads and checks a whole episode, from RAM if it is there.

    Returns:
      {key: [rows, ...]} of the sampled keys; not to be changed.

    Raises:
      EpisodeError: the file is damaged or not a valid episode.
      OSError: the file is gone or can not be opened.
    """
    with self._lock:
      if name in self._cache:
        self._cache.move_to_end(name)
        return self._cache[name]
    layout, episode = self._decode(name)
    self._learn_spaces(episode)
    self._layouts[name] = self._shared.setdefault(layout, layout)
    self._keep(name, episode, evict=not layout)
    return episode

  def read(self, name: str, start: int, stop: int, out: Arrays) -> None:
    """Copies the rows [start, stop) of an episode into out.

    Args:
      out: {key: [stop - start, ...]} of sampled keys, contiguous.

    Raises: as `load`.
    """
    layout = self._layouts.get(name)
    if layout and name not in self._cache:
      size = (self.steps(name) + 1) * sum(size for _, _, size, _ in layout)
      if self._bytes + size > self._ram:
        return self._read_rows(name, layout, start, stop, out)
    episode = self.load(name)
    for key, value in out.items():
      value[...] = episode[key][start:stop]

  def forget(self, name: str) -> None:
    """Takes an episode out of RAM for good; its file stays."""
    with self._lock:
      self._live.discard(name)
      self._layouts.pop(name, None)
      for value in self._cache.pop(name, {}).values():
        self._bytes -= value.nbytes

  def same(self, name: str, other: str) -> bool:
    """Returns whether two files have the same bytes."""
    try:
      return filecmp.cmp(
          self.directory / name, self.directory / other, shallow=False)
    except OSError:
      return False  # Met again, and reported, when it is sampled.

  def delete(self, name: str) -> None:
    """Deletes the file of an episode."""
    self.forget(name)
    try:
      (self.directory / name).unlink(missing_ok=True)
    except OSError as error:
      log.warning('can not delete an old episode: %s', error)

  def quarantine(self, name: str, reason: Exception) -> None:
    """Moves a damaged file to `../quarantine` and warns."""
    self.forget(name)
    target = self.directory.parent / 'quarantine' / name
    try:
      target.parent.mkdir(exist_ok=True)
      os.replace(self.directory / name, target)
      what = f'moved to {target}'
    except OSError as error:
      what = f'and can not be moved: {error}'
    log.warning('skipped corrupt episode %s: %s; %s', name, reason, what)

  def _list(self):
    """Names of the episodes, from old to new."""
    names, ignored, unnamed = [], [], 0
    with os.scandir(self.directory) as entries:
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
          f'{self.directory}: {unnamed} of {unnamed + len(names)} files have '
          f'names that are not those of episodes, such as {first!r}, expected '
          '<number of 12 digits or time>-<uuid>-<steps>.npz, one episode each; '
          'nothing was moved: take them away or choose another logdir')
    if ignored:
      log.warning(
          'ignored %d entries of %s that are not episodes, such as %r',
          len(ignored), self.directory, min(ignored))
    return sorted(names, key=order)

  def _check(self, names, decode=False):
    """Checks headers, or values, too: {name: error} of files without use."""
    bad = {}
    for name in names:
      try:
        if decode:
          self._decode(name)
        else:
          self._parse(name, decode=False, settle=True)
      except EpisodeError as error:
        bad[name] = error
      except OSError:
        pass  # Met again, and reported, when it is sampled.
    return bad

  def _settle_steps(self, others, checked, bad):
    """Counts the steps of files of others that were not looked at.

    If the names of those all give steps or all give rows, so do the others;
    else each is looked at. Returns {name: error} of those without use.
    """
    known = {x in self._steps for x in others if x in checked and x not in bad}
    rest = [name for name in others if name not in checked]
    if known == {True}:
      self._steps.update((name, parse(name)[1] - 1) for name in rest)
    return {} if len(known) == 1 else self._check(rest)

  def _refuse(self, bad, count, total):
    """Raises StateError: putting the files aside would help nobody."""
    name, error = next(iter(bad.items()))
    expected = ''
    if isinstance(error, SpaceError) and self.spaces:
      expected = '; the environment has ' + ', '.join(
          f'{k} {s} {d}' for k, (s, d) in self.spaces.items())
    raise errors.StateError(
        f'{self.directory}: {count:.0f} of {total} episodes are damaged or of '
        f'another environment or program, the first, {name}: '
        f'{error}{expected}; nothing was moved: mend or take away such files, '
        'or choose another logdir')

  def _decode(self, name):
    """Reads and checks a whole file; returns as `_parse`."""
    places, episode = self._parse(name, decode=True)
    layoutlib.check_flags(episode)
    self._check_actions(episode['action'])
    if parse(name)[0] is None:
      layoutlib.check_first_row(episode)
    return places, episode

  def _parse(self, name, decode, settle=False):
    """Checks the headers of a file and reads the values if decode is set.

    Returns the places of the arrays, () if not seekable, and the arrays. With
    settle, the name of a file of others may give the number of rows.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # No fifo, no symlink.
    handle = os.open(self.directory / name, flags)
    with open(handle, 'rb') as file:
      try:
        with zipfile.ZipFile(file) as archive:
          found = _headers(file, archive)
          layout = {k: (m.shape, m.dtype) for k, m in found.items()}
          spaces, where = self._fit(name, layout, settle)
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
    seekable = layoutlib.plain(layout, where, spaces) and all(
        found[key].offset is not None for key in spaces)
    places = tuple(
        (key, found[key].dtype, found[key].row_bytes, found[key].offset)
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

  def _fit(self, name, found, settle):
    """Returns the spaces to read, and from which arrays; see `layout`."""
    shape, _ = found.get('action', ((), None))
    if settle and parse(name) == (None, *shape[:1]):
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
    self._check_extras(found, used)
    other = layoutlib.differences(used, where, self.spaces)
    other += ['names give rows'] * (name in self._steps)
    if other:
      self._tell(f"read episodes of another program: {', '.join(other)}")
    return self.spaces, where

  def _read_rows(self, name, layout, start, stop, out):
    handle = os.open(self.directory / name, os.O_RDONLY | os.O_NOFOLLOW)
    try:
      for key, dtype, size, offset in layout:
        if key not in out:
          continue
        want = out[key]
        rows = want if want.dtype == dtype else np.empty(want.shape, dtype)
        flat = rows.reshape(-1).view(np.uint8)
        if os.preadv(handle, [flat], offset + start * size) != flat.size:
          raise DamageError('the file became shorter after it was checked')
        if rows is not want:
          want[...] = rows
    finally:
      os.close(handle)

  def _keep(self, name, episode, evict=False):
    """Puts an episode into RAM if it fits, after evicting others if asked.

    Sampling is uniform, so which episodes are in RAM does not matter to the
    rate of hits, and those that can be read by rows are not worth an eviction.
    The others are: the next batch may continue with the next rows of them.
    """
    size = sum(value.nbytes for value in episode.values())
    with self._lock:
      if name in self._cache or name not in self._live or size > self._ram:
        return
      while evict and self._bytes + size > self._ram:
        _, other = self._cache.popitem(last=False)
        self._bytes -= sum(value.nbytes for value in other.values())
      if self._bytes + size <= self._ram:
        self._cache[name] = episode
        self._bytes += size

  def _learn_spaces(self, episode):
    if self.spaces is None:
      self.spaces = layoutlib.sampled(
          {k: (v.shape[1:], v.dtype) for k, v in episode.items()})

  def _check_extras(self, found, used):
    extras = [x for x in found if x not in used and x[:4] != 'log_']
    if self.spaces and extras:
      self._tell(f"ignored keys of stored episodes: {', '.join(extras)}")

  def _tell(self, note):
    """Warns once of what holds for many files."""
    if note not in self._told:
      self._told.add(note)
      log.warning(note)


class _Member:
  """One array of an npz file: its header, and where its values are."""

  def __init__(self, file, archive, info):
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      raise DamageError(f'{info.filename} has an unknown compression')
    with archive.open(info) as member:
      head = io.BytesIO(member.read(HEADER_BYTES))
    version = np.lib.format.read_magic(head)
    if version == (1, 0):
      header = np.lib.format.read_array_header_1_0(head)
    elif version == (2, 0):
      header = np.lib.format.read_array_header_2_0(head)
    else:
      raise DamageError(f'{info.filename} has npy version {version}')
    self.shape, self.fortran, self.dtype = header
    if self.dtype.hasobject:
      raise DamageError(f'{info.filename} holds pickled objects')
    size = math.prod(self.shape) * self.dtype.itemsize
    if min(self.shape, default=0) < 0 or head.tell() + size != info.file_size:
      raise DamageError(
          f'{info.filename} claims {self.shape} {self.dtype} but has '
          f'{info.file_size} bytes')
    self._info = info
    self._start = head.tell()
    self.row_bytes = size // self.shape[0] if self.shape and size else 0
    self.offset = None  # Of row 0 in the file, if rows can be read from there.
    if info.compress_type == zipfile.ZIP_STORED and not (
        self.fortran and len(self.shape) > 1):
      file.seek(info.header_offset + 26)
      lengths = sum(struct.unpack('<HH', file.read(4)))
      self.offset = info.header_offset + 30 + lengths + self._start

  def read(self, archive):
    """Reads all values and checks their CRC."""
    data = archive.read(self._info)
    values = np.frombuffer(data, self.dtype, offset=self._start)
    return values.reshape(self.shape, order='F' if self.fortran else 'C')


def _headers(file, archive):
  """Reads the headers of all arrays: {key: _Member}."""
  infos = archive.infolist()
  if len(infos) > MAX_MEMBERS:
    raise DamageError(f'{len(infos)} arrays, above the limit of {MAX_MEMBERS}')
  found = {}
  for info in infos:
    key = info.filename.removesuffix('.npy')
    if key == info.filename or key in found:
      raise DamageError(f'unexpected content {info.filename!r}')
    found[key] = _Member(file, archive, info)
  return found


def _spread(names, count):
  """Takes some at even distances."""
  return names[::-(-len(names) // count) or 1]


def _estimate(bad, checked, group):
  """How many of a group are bad, after some of them were checked."""
  return sum(x in bad for x in checked) * len(group) / max(1, len(checked))
