"""Episode files: written whole, checked before use, a bounded share in RAM.

`<sequence number>-<uuid>-<steps>.npz`, one complete episode each; steps are
rows - 1. The original's `<timestamp>-<uuid>-<steps>.npz` files are read too.

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

Spaces = dict[str, tuple[tuple[int, ...], np.dtype]]
Arrays = dict[str, np.ndarray]

log = logging.getLogger(__name__)

FLAGS = ('is_first', 'is_last', 'is_terminal')
REQUIRED = ('action', 'reward', *FLAGS)
NAME = re.compile(
    r'([0-9]{12}|[0-9]{8}T[0-9]{6})-[0-9a-f]{32}-([0-9]{1,9})[.]npz')
MAX_BYTES = 1 << 31  # Of one decoded episode; guards against zip bombs.
MAX_MEMBERS = 1000  # Arrays in one file.
HEADER_BYTES = 16384  # More than any npy header of numbers takes.
CHECKED_AT_START = 1000  # Newest files whose headers are read at once; 0.4 s.
WRITE_WAITS = (0.1, 0.5, 2.0)  # Seconds before each retry of a failed write.


class EpisodeError(ValueError):
  """An episode that can not be used; the message says why."""


class SpaceError(EpisodeError):
  """A sound episode of another environment: other keys, shapes or dtypes."""


def parse(name: str) -> tuple[int | None, int] | None:
  """Splits a file name.

  Returns:
    Sequence number, None for the original's files, and number of steps; None
    if the name is not that of an episode.
  """
  match = NAME.fullmatch(name)
  if not match:
    return None
  head, steps = match.groups()
  return (None if 'T' in head else int(head)), int(steps)


def order(name: str) -> tuple[bool, str]:
  """Sorts from old to new: the original's files come first, clocks aside."""
  return 'T' not in name, name


def disk_dtype(dtype: Any) -> np.dtype:
  """The dtype that values are stored in, the same as the original's."""
  dtype = np.dtype(dtype)
  return np.dtype({'f': 'float32', 'i': 'int32'}.get(dtype.kind, dtype))


def cast(key: str, value: np.ndarray, dtype: np.dtype) -> np.ndarray:
  """Casts without changing any value but for float precision.

  Raises:
    EpisodeError: a value is not finite or does not fit into the dtype.
  """
  with np.errstate(over='ignore'):
    result = np.ascontiguousarray(value, dtype)
  if dtype.kind == 'f':
    if not (good := np.isfinite(result)).all():
      where = tuple(int(i) for i in np.argwhere(~good)[0])
      raise EpisodeError(
          f"'{key}' is {value[where]} at row {where[0]}, must be a finite "
          f'{dtype}')
  elif not np.can_cast(value.dtype, dtype) and (result != value).any():
    where = tuple(np.argwhere(result != value)[0])
    raise EpisodeError(f"'{key}' holds {value[where]}, too large for {dtype}")
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
  for key, (shape, dtype) in found.items():
    if dtype.kind not in 'biuf':
      raise EpisodeError(f"'{key}' has dtype {dtype}, must be numeric")
    want = (spaces or {}).get(key)
    if want and shape[1:] != want[0]:
      raise SpaceError(
          f"'{key}' has shape {shape[1:]} per row, expected {want[0]}")
    if want and not np.can_cast(dtype, want[1], 'same_kind'):
      raise SpaceError(f"'{key}' has dtype {dtype}, expected {want[1]}")
  size = sum(
      math.prod(found[k][0]) * found[k][1].itemsize for k in spaces or found)
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


def sampled(spaces: Mapping[str, tuple[Sequence[int], Any]]) -> Spaces:
  """Shapes and stored dtypes of the keys that are sampled: all but log_*."""
  return {
      key: (tuple(shape), disk_dtype(dtype))
      for key, (shape, dtype) in spaces.items() if not key.startswith('log_')}


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
      self.spaces = sampled(spaces)
      if missing := [key for key in REQUIRED if key not in self.spaces]:
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
    self._extras_warned = False

  @property
  def ram_bytes(self) -> int:
    """Bytes of the decoded episodes in RAM."""
    return self._bytes

  def scan(self) -> tuple[list[str], int]:
    """Lists the episodes, from old to new, by name; reads the newest headers.

    Returns:
      File names, and the number of damaged files that were put aside.

    Raises:
      StateError: the newest episodes are of another environment.
    """
    names, foreign = [], []
    with os.scandir(self.directory) as entries:
      for entry in entries:
        good = parse(entry.name) and entry.is_file(follow_symlinks=False)
        (names if good else foreign).append(entry.name)
    if foreign:
      log.warning(
          'ignored %d entries of %s that are not episodes, such as %r',
          len(foreign), self.directory, min(foreign))
    names.sort(key=order)
    bad = {}
    newest = names[-CHECKED_AT_START:]
    for name in newest:
      try:
        self._parse(name, decode=False)
      except EpisodeError as error:
        bad[name] = error
      except OSError:
        pass  # Met again, and reported, when it is sampled.
    strangers = [e for e in bad.values() if isinstance(e, SpaceError)]
    if strangers and self.spaces and len(bad) == len(newest):
      # All would end in quarantine: more likely the wrong folder.
      expected = ', '.join(f'{k} {s} {d}' for k, (s, d) in self.spaces.items())
      raise errors.StateError(
          f'{self.directory}: its episodes are of another environment: '
          f'{strangers[-1]}; this one has {expected}; choose another logdir')
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
    check_layout(layout, self.spaces)
    self._check_extras(layout)
    spaces = self.spaces or {}
    episode = {
        key: cast(key, value, spaces.get(key, (0, disk_dtype(value.dtype)))[1])
        for key, value in episode.items()}
    check_flags(episode)
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
    layout, episode = self._parse(name, decode=True)
    check_flags(episode)
    self._check_actions(episode['action'])
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
      size = (parse(name)[1] + 1) * sum(size for _, _, size, _ in layout)
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

  def _parse(self, name, decode):
    """Checks the headers of a file and reads the values if decode is set.

    Returns the places of the arrays, () if not seekable, and the arrays.
    """
    steps = parse(name)[1]
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # No fifo, no symlink.
    handle = os.open(self.directory / name, flags)
    with open(handle, 'rb') as file:
      try:
        with zipfile.ZipFile(file) as archive:
          found = _headers(file, archive)
          layout = {k: (m.shape, m.dtype) for k, m in found.items()}
          check_layout(layout, self.spaces, steps)
          self._check_extras(layout)
          spaces = self.spaces or sampled(
              {k: (shape[1:], dtype) for k, (shape, dtype) in layout.items()})
          episode = {
              key: cast(key, found[key].read(archive), dtype)
              for key, (_, dtype) in spaces.items()} if decode else {}
      except (EpisodeError, MemoryError):
        raise
      except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # Seeks that make no sense.
          raise  # The disk, not the file.
        raise EpisodeError(f'{type(error).__name__}: {error}') from error
      except Exception as error:  # Whatever hostile bytes make a parser raise.
        raise EpisodeError(f'{type(error).__name__}: {error}') from error
    seekable = all(found[key].offset is not None for key in spaces)
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
          raise EpisodeError('the file became shorter after it was checked')
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
      self.spaces = sampled(
          {k: (v.shape[1:], v.dtype) for k, v in episode.items()})

  def _check_extras(self, found):
    extras = [
        key for key in found
        if self.spaces and key not in self.spaces and key[:4] != 'log_']
    if extras and not self._extras_warned:
      self._extras_warned = True
      log.warning('ignored keys of stored episodes: %s', ', '.join(extras))


class _Member:
  """One array of an npz file: its header, and where its values are."""

  def __init__(self, file, archive, info):
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      raise EpisodeError(f'{info.filename} has an unknown compression')
    with archive.open(info) as member:
      head = io.BytesIO(member.read(HEADER_BYTES))
    version = np.lib.format.read_magic(head)
    if version == (1, 0):
      header = np.lib.format.read_array_header_1_0(head)
    elif version == (2, 0):
      header = np.lib.format.read_array_header_2_0(head)
    else:
      raise EpisodeError(f'{info.filename} has npy version {version}')
    self.shape, self.fortran, self.dtype = header
    if self.dtype.hasobject:
      raise EpisodeError(f'{info.filename} holds pickled objects')
    size = math.prod(self.shape) * self.dtype.itemsize
    if min(self.shape, default=0) < 0 or head.tell() + size != info.file_size:
      raise EpisodeError(
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
    raise EpisodeError(f'{len(infos)} arrays, above the limit of {MAX_MEMBERS}')
  found = {}
  for info in infos:
    key = info.filename.removesuffix('.npy')
    if key == info.filename or key in found:
      raise EpisodeError(f'unexpected content {info.filename!r}')
    found[key] = _Member(file, archive, info)
  return found
