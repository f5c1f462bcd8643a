"""Which code the settings of a run folder may name.

A task such as `gym_module:Id` and class paths of highway-env are imported, so
whoever wrote the settings chooses code that is run. Modules that the user has
named in a command or program of their own are remembered outside of all run
folders; others need the user's word.
"""

import contextlib
import importlib.util
import os
import pathlib
import re
import sys
from typing import Any

from .. import errors, files
from ..config import Config

KNOWN = ('gymnasium', 'highway_env', 'dreamerv2_tf')


def modules(config: Config) -> list[str]:
  """Returns the top-level modules that the environment imports by name."""
  suite, _, name = config.task.partition('_')
  names = set()
  if ':' in name:
    names.add(name.rpartition(':')[0])
  texts = [*_texts(config.to_dict()['env']['config'])]
  if suite == 'highway':
    names.update(text for text in texts if '.' in text)
  # Some environments make another by its id. What can not be imported, as the
  # gpu of gpu:0, is none.
  names.update(
      text.partition(':')[0] for text in texts
      if re.match(r'[\w.]+:', text) and _origin(re.split('[.:]', text)[0]))
  return sorted({name.partition('.')[0] for name in names} - {*KNOWN})


def check(folder: pathlib.Path, config: Config, trust: bool = False) -> None:
  """Refuses modules that the user has neither named nor imported so far.

  Args:
    folder: run folder, for the message.
    config: the settings that it holds.
    trust: the user's word; it is remembered.

  Raises:
    ConfigError: names them.
  """
  if trust:
    remember(config)
    return
  known = _read()
  unknown = [
      name for name in modules(config) if not (
          name in sys.modules and name not in sys.stdlib_module_names
          or known.get(name, '') == _origin(name) != '')]
  if unknown:
    raise errors.ConfigError(
        f"The settings in {folder} run code of the module "
        f"{', '.join(map(repr, unknown))} (task '{config.task}'), which you "
        'have not used in training here. If you trust that folder, add '
        '--trust, in Python load(..., trust=True).')


def remember(config: Config) -> None:
  """Notes the modules that a user has named, if that is possible at all."""
  known = _read()
  new = {
      name: _origin(name) for name in modules(config)
      if _origin(name) not in ('', known.get(name))}
  if new:
    lines = [f'{name}\t{origin}\n' for name, origin in (known | new).items()]
    with contextlib.suppress(OSError):
      _path().parent.mkdir(parents=True, exist_ok=True)
      files.write_text(_path(), ''.join(lines))


def _texts(value: Any):
  """Yields all texts, all the way down."""
  if isinstance(value, dict):
    value = list(value.values())
  if isinstance(value, list | tuple):
    for inner in value:
      yield from _texts(inner)
  elif isinstance(value, str):
    yield value


def _path():
  base = os.environ.get('XDG_STATE_HOME') or '~/.local/state'
  return pathlib.Path(base, 'dreamerv2_tf', 'modules').expanduser()


def _read():
  """Returns module -> where it lay when the user named it."""
  try:
    lines = files.read(_path()).decode().splitlines()
  except (OSError, ValueError, RuntimeError):
    return {}
  return dict(line.split('\t') for line in lines if line.count('\t') == 1)


def _origin(name):
  """Returns where a module would be imported from, '' if from nowhere."""
  try:
    spec = importlib.util.find_spec(name)
  except (ImportError, ValueError):
    return ''
  if spec is None:
    return ''
  places = spec.submodule_search_locations or []
  return os.path.realpath(spec.origin or next(iter(places), ''))
