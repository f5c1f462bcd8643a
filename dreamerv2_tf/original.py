"""Run folders of the original: what they are known by, what to do with them."""

import os
import pathlib

from . import files, yamlfile
from .errors import ConfigError, StateError

WEIGHTS = 'variables.pkl'
# What this package writes into each run folder, or stores in its settings.
OURS = 'run.json', 'checkpoints', 'weights.npz'
KEY, OUR_KEY = 'expl_behavior', 'checkpoint_every'


def held(folder: str | os.PathLike) -> bool:
  """Returns whether a folder is a run of the original."""
  folder = pathlib.Path(folder)
  if any((folder / name).exists() for name in OURS):
    return False
  if (folder / WEIGHTS).is_file():
    return True
  try:
    stored = yamlfile.read(folder / 'config.yaml')
  except ConfigError:
    return False
  return KEY in stored and OUR_KEY not in stored


def refuse(folder: str | os.PathLike) -> None:
  """Refuses to go on with a run of the original, or to load its agent.

  Raises:
    StateError: the folder is one; says what it is good for.
  """
  if held(folder):
    name = files.printable(folder)
    raise StateError(
        f'{name} is a run of the original. Its networks ({WEIGHTS}) have no '
        'names and can not be loaded. To learn from its episodes, with its '
        f'settings: dreamerv2 --logdir NEW --import {name}. Its curves: '
        f'dreamerv2 plot {name}')


def settings(source: str | os.PathLike) -> pathlib.Path | None:
  """Returns the settings that belong to episodes of the original.

  Args:
    source: its run folder, or one of episodes in that.
  """
  folder = pathlib.Path(os.path.abspath(os.path.expanduser(source)))
  for place in folder, folder.parent:
    if held(place) and (place / 'config.yaml').is_file():
      return place / 'config.yaml'
  return None
