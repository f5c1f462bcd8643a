"""Folders of episodes, of the original and of its ports, as streams of rows.

A stream is one file, or several that go on with each other:

  files of                  named                              hold
  the original, its ports   <time>-<uuid>-<steps or rows>      an episode
  DreamerV3                 <time>-<uuid>-<uuid of the next>-  rows of one
                            <rows>                             environment
  pydreamer                 ep<first>_<last>[-<part>]-r<return>  episodes, or
                            -<steps>                           a part of them
  others                    any name                           episodes

All of them are npz. What the name tells of the order of actions is in Stream.
"""

from collections.abc import Callable, Iterable, Sequence
import os
import pathlib
import re
from typing import NamedTuple

from .. import errors
from .episodes import parse

# Where programs put the episodes that they train on: the original and other
# ports; DreamerV3; pydreamer; DreamerV1; PyTorch ports.
FOLDERS = (
    'train_episodes', 'replay', 'episodes_train', 'episodes', 'train_eps')
CHUNK = re.compile(
    r'([0-9]{8}T[0-9]{6}F[0-9]+)-([0-9A-Za-z]+)-([0-9A-Za-z]+)-[0-9]+[.]npz')
PART = re.compile(
    r'ep([0-9]+)(?:_([0-9]+))?(?:-([0-9]+))?-r-?[0-9]+-[0-9]+[.]npz')
LED, TAKEN = 'led', 'taken'  # The action of a row led to it, or follows it.


class Stream(NamedTuple):
  """Files whose rows go on with each other.

  Attributes:
    paths: in their order.
    action: LED or TAKEN, if the program that writes such names is known to
      store actions so; None: the values must show it.
  """

  paths: tuple[pathlib.Path, ...]
  action: str | None = None


def find(source: str | os.PathLike) -> list[Stream]:
  """Returns the streams of a folder, from old to new.

  Args:
    source: folder of episode files, or one above it, such as a run folder of
      the original; its episodes of training are taken then.

  Raises:
    ConfigError: there is no such folder, or no episode in it.
    OSError: it can not be read.
  """
  folder = pathlib.Path(source).expanduser().absolute()
  if not folder.is_dir():
    raise errors.ConfigError(
        f"--import: '{folder}' is no folder. Give the folder of episodes, or "
        'the run folder that they are in.')
  for name in FOLDERS:  # Before itself: a run folder may hold other arrays.
    if paths := sorted((folder / name).rglob('*.npz')):
      return _streams(paths)
  parts = [x for x in folder.glob('*/*.npz') if PART.fullmatch(x.name)]
  if paths := sorted(folder.glob('*.npz')) or sorted(parts):
    return _streams(paths)
  raise errors.ConfigError(
      f"--import: no episodes in '{folder}': neither .npz files nor a folder "
      f"{', '.join(FOLDERS)} with some. Give the folder that holds them.")


def folder_of(streams: Iterable[Stream]) -> pathlib.Path:
  """Returns the folder that holds all files of the streams."""
  return pathlib.Path(os.path.commonpath(
      [path.parent for stream in streams for path in stream.paths]))


def _streams(paths: Sequence[pathlib.Path]) -> list[Stream]:
  """Returns files as streams: known programs by their order, then others."""
  known, others = [], []
  groups: dict[str, list[pathlib.Path]] = {'chunks': [], 'parts': []}
  for path in paths:
    if CHUNK.fullmatch(path.name):
      groups['chunks'].append(path)
    elif PART.fullmatch(path.name):
      groups['parts'].append(path)
    else:
      (known if parse(path.name) else others).append(Stream((path,)))
  key = lambda stream: _age(stream.paths[0].name)
  return [
      *sorted(known, key=key), *_chains(groups['chunks']),
      *_groups(groups['parts']), *others]


def _age(name):
  """Sorts files of the original from old to new, ours by their number."""
  head = name.partition('-')[0]
  return 'T' not in head, len(head), name


def _chains(paths):
  """Returns the chunks of each environment, one after the other."""
  chunks = {CHUNK.fullmatch(path.name)[2]: path for path in paths}
  after = {
      name: CHUNK.fullmatch(path.name)[3] for name, path in chunks.items()}
  starts = [x for x in chunks if x not in {*after.values()}]
  result, seen = [], set()
  for name in (*starts, *chunks):  # Those in a circle come last.
    chain = []
    while name in chunks and name not in seen:
      seen.add(name)
      chain.append(chunks[name])
      name = after[name]
    if chain:
      result.append(Stream(tuple(chain), TAKEN))
  return sorted(result, key=lambda stream: stream.paths[0].name)


def _groups(paths):
  """Returns the parts of the same episodes together."""
  groups = {}
  for path in paths:
    first, last, part = PART.fullmatch(path.name).groups()
    key = str(path.parent), int(first), int(last or first)
    groups.setdefault(key, []).append((int(part or 0), path))
  order: Callable = lambda item: (item[0][1:], item[0][0])
  return [
      Stream(tuple(path for _, path in sorted(group)), LED)
      for _, group in sorted(groups.items(), key=order)]
