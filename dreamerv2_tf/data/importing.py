"""Copies episodes of other programs into a new run, all of them or none.

They are written into a temporary folder, which takes the place of the empty
`train_episodes` at once. What a killed process leaves is removed by the next.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil

import numpy as np

from .. import errors, files
from . import foreign, formats
from . import layout as layoutlib
from .episodes import write_arrays
from .foreign import PartError
from .layout import Spaces
from .scan import FEW

FOLDER = 'train_episodes'
MOVED = 'actions moved to the rows that they led to'
RECORD = 'import.json'  # In the run folder: what was taken from where.


@dataclasses.dataclass
class Taken:
  """What came of an import.

  Attributes:
    source: folder of the files.
    episodes, steps: that were taken.
    parts: without their beginning or end, left out.
    unfit: left out for another reason.
    notes: what was done to all or some of them, in words.
    first: of those left out, file and reason.
  """

  source: str
  episodes: int = 0
  steps: int = 0
  parts: int = 0
  unfit: int = 0
  notes: list[str] = dataclasses.field(default_factory=list)
  first: str = ''

  def line(self) -> str:
    """Says all that in one line."""
    notes = f" ({'; '.join(self.notes)})" if self.notes else ''
    count = self.parts + self.unfit
    out = f'; left out {count:,}: {self.first}' if count else ''
    more = f' and {count - 1:,} more' if count > 1 else ''
    return (
        f'Imported      {self.episodes:,} episodes, {self.steps:,} steps from '
        f'{self.source}{notes}{out}{more}')


def check(source: str | os.PathLike, folder: pathlib.Path) -> bool:
  """Tells whether something is to be imported, and refuses what can not be.

  Args:
    source: folder of episodes, or one above it.
    folder: of the run.

  Returns:
    False if the run in the folder has begun with the episodes of the source.

  Raises:
    ConfigError: the run has begun otherwise, or there are no episodes.
  """
  path = pathlib.Path(source).expanduser().absolute()
  begun = (folder / 'config.yaml').exists() or (folder / 'run.json').exists()
  if begun:
    with contextlib.suppress(OSError, ValueError, KeyError):
      if files.parse_object(files.read(folder / RECORD))['asked'] == str(path):
        return False
    raise errors.ConfigError(
        f'--import begins a run, and the run in {folder} has begun without '
        f"'{path}'. Leave out --import to go on with it, or give a new "
        '--logdir.')
  found = formats.find(path)
  place = formats.folder_of(found).resolve()
  if place.is_relative_to((folder / FOLDER).resolve()):
    raise errors.ConfigError(
        f"--import: '{place}' is in the new run itself. Episodes that are "
        f'there are used without --import.')
  return True


def take(
    source: str | os.PathLike, folder: pathlib.Path, spaces: Spaces,
    are_actions: Callable[[np.ndarray], np.ndarray],
    progress: Callable[[str], None] = lambda text: None,
    stop: Callable[[], int] = lambda: 0) -> Taken:
  """Fills the episodes of a new run with those of another program.

  Args:
    source: folder of episodes, or one above it; it is only read.
    folder: of the run, locked by this process.
    spaces: shape without time axis and dtype of each key of an episode.
    are_actions: from actions, [steps, A], to [steps] bool: which of them are
      in the action space.
    progress: takes what is being done.
    stop: number of the signal that came, 0 if none did.

  Raises:
    ConfigError: there is no episode, or the run has some already.
    StateError: most episodes can not be used, or none.
    StorageError: they can not be written.
    Interrupted: a signal came. After any of these the folder is as it was.
  """
  spaces = layoutlib.sampled(spaces)
  streams = formats.find(source)
  taken, orders = Taken(str(formats.folder_of(streams))), set()
  stage = files.temporary(folder)
  try:
    files.clean(folder)
    stage.mkdir()
    store = functools.partial(_write, stage)
    for number, stream in enumerate(streams):
      if signal := stop():
        raise errors.interrupted(signal, 'while it imported episodes.')
      progress(f'importing {number:,}/{len(streams):,}')
      for result in foreign.read(stream, spaces, are_actions):
        orders |= {result.order} - {''}
        _count(taken, result, store)
    _judge(taken, orders, spaces)
    _place(stage, folder / FOLDER)
    record = {
        'asked': str(pathlib.Path(source).expanduser().absolute()),
        **dataclasses.asdict(taken)}
    files.write_text(folder / RECORD, json.dumps(record, indent=2) + '\n')
  except OSError as error:
    raise errors.StorageError(
        f'Can not import episodes into {folder}: {error.strerror}: '
        f'{error.filename}; {files.advice(error)}.') from error
  finally:
    shutil.rmtree(stage, ignore_errors=True)
  return taken


def _count(taken, result, store):
  """Stores an episode, or counts why not."""
  if result.error:
    taken.parts += isinstance(result.error, PartError)
    taken.unfit += not isinstance(result.error, PartError)
    taken.first = taken.first or f'{result.path.name}: {result.error}'
    return
  store(taken.episodes, result.rows)
  taken.episodes += 1
  taken.steps += len(result.rows['reward']) - 1
  notes = [MOVED] * (result.order == formats.TAKEN) + [*result.notes]
  taken.notes += [note for note in notes if note not in taken.notes]


def _judge(taken, orders, spaces):
  """Raises StateError for what can not be what was meant."""
  total = taken.episodes + taken.parts + taken.unfit
  why = ''
  if len(orders) > 1:
    why = (
        'in some episodes the action of a row led to it, in others it follows '
        'it: zeros in the first and in the last row; these are of two '
        'programs, or the zeros mean something else')
  elif not taken.episodes or taken.unfit > max(FEW, total / 2):
    why = (
        f'{taken.parts + taken.unfit} of {total} episodes can not be used, the '
        f'first, {taken.first}')
    if taken.unfit:
      why += '; the environment has ' + ', '.join(
          f'{k} {s} {d}' for k, (s, d) in spaces.items())
  if why:
    raise errors.StateError(
        f'{taken.source}: {why}. Nothing was imported. Take such files out of '
        'a copy of the folder, or set task and env.config as they were there.')


def _write(stage, number, episode):
  """Writes an episode whose name follows from what it holds."""
  digest = hashlib.sha256()
  for key in sorted(episode):
    digest.update(f'{key} {episode[key].shape}'.encode())
    digest.update(episode[key])
  steps = len(episode['reward']) - 1
  name = f'{number:012d}-{digest.hexdigest()[:32]}-{steps}.npz'
  files.write(
      stage / name, functools.partial(write_arrays, arrays=episode))


def _place(stage, folder):
  """Puts a whole folder in the place of an empty one, or of its equal."""
  present = set(os.listdir(folder)) if folder.exists() else set()
  if present and present != set(os.listdir(stage)):
    raise errors.ConfigError(
        f"--import: '{folder}' holds episodes already. Give a new --logdir.")
  if not present:
    os.replace(stage, folder)
    files.sync_dir(folder.parent)
