"""Settings that another version stored, under the names of this one."""

from collections.abc import Collection, Mapping
import functools
import logging
import os
from typing import Any

from . import schema, yamlfile
from .settings import is_open

log = logging.getLogger(__name__)

# Keys and groups that former versions stored under other names: old to new.
RENAMED: dict[str, str] = {}
# Keys that there were, and the value with which they did nothing.
DROPPED: dict[str, Any] = {'imag_noise': 0.1}


def known(
    data: Mapping[str, Any], names: Collection[str],
    path: str | os.PathLike, warn: bool = True) -> dict[str, Any]:
  """Returns the stored keys that there are, under their names of now.

  Others are left out.

  Args:
    data: nested keys to values.
    names: all dotted keys of this version.
    path: of the file, for the warning.
    warn: of what is left out, the first time that it is read.
  """
  result = {}
  for key, value in yamlfile.leaves(data):
    for old, new in RENAMED.items():
      if key == old or key.startswith(f'{old}.'):
        key = new + key[len(old):]
    if is_open(key) or any(x == key or x.startswith(f'{key}.') for x in names):
      result[key] = value
    elif warn and not idle(key, value):
      _tell_once(
          f"{path}: left out '{key}: {schema.show(value)}', a key that this "
          f'version does not know.{schema.suggest(key, names)}')
  return result


def idle(key: str, value: Any) -> bool:
  """Tells whether a stored key that there is no more did nothing."""
  return key in DROPPED and DROPPED[key] == value


@functools.cache
def _tell_once(text):
  log.warning('%s', text)
