"""What a run folder is called: task, method and seed.

The settings of our folders say which task and seed they have. The method is
the folder in the middle if the run lies in TASK/METHOD/SEED, as those of the
original do, else what its settings are. The settings of the original hold a
seed that it does not use: there the layout says all.
"""

from collections.abc import Callable
import os
import pathlib
from typing import Any, NamedTuple

from .. import files, renames, schema, yamlfile
from ..config import Config
from ..errors import ConfigError
from . import names, scores

BY = 'auto', 'settings', 'folder'  # How methods are named.


class Identity(NamedTuple):
  """What a run is called.

  Attributes:
    task, method, seed: its names.
    learns: whether it is of a method that learns.
    repeat: environment steps for each step of the policy; None: unknown.
  """

  task: str
  method: str
  seed: str
  learns: bool = True
  repeat: int | None = None


def identify(
    folder: pathlib.Path, tell: Callable[[str], Any],
    by: str = 'auto') -> Identity:
  """Returns what a run folder is called.

  Args:
    folder: with or without settings.
    tell: takes a message if the method can not be named as it should be.
    by: 'settings' or 'folder', which name methods so alone; 'auto': by the
      layout, if there is one, else by settings.

  Raises:
    OSError, ValueError, KeyError, TypeError, IndexError: its records can not
      be read.
  """
  place = pathlib.Path(files.printable(os.path.abspath(folder)))
  parts = ('', '', *place.parts[1:])[-3:]
  if (folder / 'record.json').is_file():
    record = files.parse_object(files.read(folder / 'record.json'))
    return Identity(
        record['task'], record['method'], f"{record['seed'] or 0}",
        record['env_steps'] > 0)
  if not (folder / 'run.json').is_file():
    return _of_the_original(folder, parts)
  stored = yamlfile.read(folder / 'config.yaml')
  task, seed, repeat = (
      stored[key] for key in ('task', 'seed', 'action_repeat'))
  laid_out = parts[0] in (task, files.safe_name(task))
  method = parts[1] if laid_out else parts[2]
  if by == 'settings' or by == 'auto' and not laid_out:
    try:
      method = _by_settings(folder, stored)
    except ConfigError as error:
      tell(f'{folder}: named after its folder. {error}')
  return Identity(task, method, f'{seed}', True, int(repeat))


def _by_settings(folder, stored):
  """Names a method by its settings; raises ConfigError where they are odd."""
  config = Config.restore(  # The name tells of keys that are unknown.
      stored, folder / 'config.yaml', warn=False)
  history = files.parse_object(files.read(folder / 'run.json'))['history']
  known = config.flat
  unknown = {
      key: schema.show(value) for key, value in yamlfile.leaves(stored)
      if key not in known and not renames.idle(key, value)}
  return names.method(
      config, history[0]['argv'],
      [(x['step'], x['changed']) for x in history[1:]], unknown)


def _of_the_original(folder, parts):
  """Names a run by its layout, or by the task of its settings and itself."""
  try:
    stored = yamlfile.read(folder / 'config.yaml')
  except ConfigError:
    stored = {}
  repeat = stored.get('action_repeat')
  repeat = repeat if isinstance(repeat, int) else None
  task = stored.get('task')
  if isinstance(task, str) and scores.task(task) != scores.task(parts[0]):
    return Identity(scores.task(task), parts[2], '0', True, repeat)
  return Identity(scores.task(parts[0]), parts[1], parts[2], True, repeat)
