"""The episodes of a folder: stored, read, put aside, a share of them in RAM."""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import filecmp
import functools
import logging
import os
import pathlib
import time
from typing import Any
import uuid

import numpy as np

from .. import errors, files
from . import layout as layoutlib
from . import scan as scanlib
from .episodes import write_arrays
from .layout import Arrays
from .ram import Cache
from .reader import Reader

log = logging.getLogger(__name__)

WRITE_WAITS = (0.1, 0.5, 2.0)  # Seconds before each retry of a failed write.


class Store:
  """The episode files of one folder, and those of them that are in RAM.

  `read` may run in another thread than everything else.

  Attributes:
    directory: pathlib.Path.
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
    self._reader = Reader(self.directory, spaces, are_actions)
    try:
      self.directory.mkdir(parents=True, exist_ok=True)
      files.clean(self.directory)
    except OSError as error:
      raise errors.StorageError(
          f'{self.directory}: can not hold episodes: {error}') from error
    self._cache = Cache(ram)
    # Name to the places of its arrays, () if it must be decoded as a whole.
    # Episodes of one length share theirs: 100,000 of them stay small.
    self._places = {}
    self._shared = {}

  @property
  def spaces(self) -> layoutlib.Spaces | None:
    """Shape without time axis and dtype of each sampled key.

    None until the first episode shows them, if they were not given.
    """
    return self._reader.spaces

  @property
  def ram_bytes(self) -> int:
    """Bytes of the decoded episodes in RAM."""
    return self._cache.bytes

  def steps(self, name: str) -> int:
    """Returns the number of steps of an episode that `scan` has listed."""
    return self._reader.steps(name)

  def scan(self) -> tuple[list[str], int]:
    """Lists the episodes, from old to new, by name; reads the newest headers.

    Returns:
      File names, and the number of damaged files that were put aside.

    Raises:
      StateError: most files can not be used, or none and not for damage alone;
        nothing was moved.
    """
    names, bad = scanlib.scan(self._reader)
    for name, error in bad.items():
      self.quarantine(name, error)
    self._cache.allow(names)
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
    self._reader.check_extras(layout, self.spaces or ())
    kinds = {k: dtype for k, (_, dtype) in (self.spaces or {}).items()}
    episode = {
        k: layoutlib.as_dtype(k, v, kinds.get(k, layoutlib.disk_dtype(v.dtype)))
        for k, v in episode.items()}
    layoutlib.check_flags(episode)
    self._reader.learn_spaces(episode)
    name = f'{seq:012d}-{uuid.uuid4().hex}-{len(episode["action"]) - 1}.npz'
    fill = functools.partial(write_arrays, arrays=episode)
    for wait in (*WRITE_WAITS, None):
      try:
        files.write(self.directory / name, fill)
        break
      except OSError as error:
        if wait is None:
          raise errors.StorageError(
              f'{self.directory}: can not write an episode: {error.strerror}; '
              f'older ones are intact; {files.advice(error)} and start again'
          ) from error
        log.warning('can not write an episode, trying again: %s', error)
        with contextlib.suppress(OSError):
          self.directory.mkdir()  # Somebody has deleted it.
        time.sleep(wait)
    self._cache.allow([name])
    self._cache.add(name, {key: episode[key] for key in self.spaces})
    return name

  def load(self, name: str) -> Arrays:
    """Reads and checks a whole episode, from RAM if it is there.

    Returns:
      {key: [rows, ...]} of the sampled keys; not to be changed.

    Raises:
      EpisodeError: the file is damaged or not a valid episode.
      OSError: the file is gone or can not be opened.
    """
    if (episode := self._cache.get(name)) is not None:
      return episode
    places, episode = self._reader.decode(name)
    self._reader.learn_spaces(episode)
    self._places[name] = self._shared.setdefault(places, places)
    self._cache.add(name, episode, evict=not places)
    return episode

  def read(self, name: str, start: int, stop: int, out: Arrays) -> None:
    """Copies the rows [start, stop) of an episode into out.

    Args:
      out: {key: [stop - start, ...]} of sampled keys, contiguous.

    Raises: as `load`.
    """
    places = self._places.get(name)
    if places and name not in self._cache:
      size = (self.steps(name) + 1) * sum(x.row_bytes for x in places)
      if not self._cache.has_room(size):
        return self._reader.read_rows(name, places, start, stop, out)
    episode = self.load(name)
    for key, value in out.items():
      value[...] = episode[key][start:stop]

  def forget(self, name: str) -> None:
    """Takes an episode out of RAM for good; its file stays."""
    self._cache.remove(name)
    self._places.pop(name, None)

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
