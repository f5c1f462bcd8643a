"""The networks of an agent in one file, in place of checkpoints.

    config.yaml   settings
    weights.npz   path in the agent -> array, no optimizer, nothing pickled
    card.json     object with `step`, environment steps before action repeat,
                  and `observations`, their order

Such a folder acts and dreams as the run does that it was made of; training
can not go on from it.
"""

import os
import pathlib
from typing import Any
import zipfile
import zlib

import numpy as np

from .. import errors, files

FILE = 'weights.npz'
CARD = 'card.json'
DTYPES = ('float32', 'float16')


def held(folder: pathlib.Path) -> bool:
  """Returns whether a folder has weights and no checkpoints."""
  return (folder / FILE).is_file() and not (folder / 'checkpoints').exists()


def save(
    folder: str | os.PathLike, agent: Any, dtype: str = 'float32') -> None:
  """Writes the weights of all networks, whole or not at all.

  Those of behaviours that explore are left out: they only collect.

  Args:
    folder: exists.
    agent: with `get_weights`.
    dtype: one of DTYPES, in which float32 is stored.

  Raises:
    StateError: a value is NaN, infinite or too large for the type; nothing is
      written.
    OSError: the disk is full or the folder not writable.
  """
  assert dtype in DTYPES, dtype
  weights = {}
  with np.errstate(over='ignore'):  # Found below.
    for key, value in agent.get_weights().items():
      if key.partition('/')[0] != 'explorer':
        narrow = value.dtype == np.float32
        weights[key] = value.astype(dtype) if narrow else value
  path = pathlib.Path(folder) / FILE
  _check_finite(path, weights)
  files.write(path, lambda file: np.savez_compressed(file, **weights))


def read_card(
    folder: pathlib.Path, which: str | int = 'latest') -> dict[str, Any]:
  """Returns the card; its `step` is that at which weights were taken.

  Args:
    folder: with weights.
    which: what is asked for as checkpoint; only `latest` is there.

  Raises:
    ConfigError: another checkpoint is asked for.
    StateError: the card is missing or damaged.
  """
  if which != 'latest':
    raise errors.ConfigError(
        f"{folder} holds one state of an agent, no checkpoint '{which}'. Leave "
        'checkpoint out.')
  path = folder / CARD
  try:
    card = files.parse_object(files.read(path))
    step = card.get('step')
    if type(step) is not int or step < 0:
      raise ValueError(f"'step' is {step!r}, no number of steps")
  except (OSError, ValueError) as error:
    raise errors.StateError(_unreadable(path, error)) from error
  return card


def restore(folder: pathlib.Path, agent: Any) -> None:
  """Sets the weights of an agent to those of a folder.

  Names, shapes and values are checked before any is touched.

  Args:
    folder: with weights.
    agent: with `set_weights`.

  Raises:
    StateError: the file can not be read, it is of other networks, or a value
      is NaN or infinite.
  """
  path = folder / FILE
  try:
    with np.load(path, allow_pickle=False) as data:
      weights = {key: data[key] for key in data.files}
  except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError,
          NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
    raise errors.StateError(_unreadable(path, error)) from error
  _check_finite(path, weights)
  try:
    agent.set_weights(weights)
  except errors.StateError as error:
    raise errors.StateError(f'{path}: {error}') from None


def _check_finite(path, weights):
  wrong = [
      key for key, value in weights.items()
      if value.dtype.kind != 'f' or not np.isfinite(value).all()]
  if wrong:
    more = ' and others' if len(wrong) > 5 else ''
    raise errors.StateError(
        f'{path}: not finite numbers in {", ".join(wrong[:5])}{more}.')


def _unreadable(path, error):
  why = getattr(error, 'strerror', None) or str(error).partition('\n')[0]
  return (
      f'Can not read {path}: {(why or type(error).__name__).rstrip(".")}. Put '
      'back a copy of it.')
