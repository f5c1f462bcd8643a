"""The presets of configs.yaml: what each changes, and what it is for."""

from collections.abc import Mapping
import copy
import functools
import pathlib
import re
from typing import Any

from . import yamlfile
from .errors import ConfigError
from .schema import suggest

DEFAULTS = 'defaults'  # Has all keys; what every preset changes.
LIKE = 'like'  # In a preset: the preset that it builds on.


def source() -> pathlib.Path:
  """Returns configs.yaml: in the package, or beside it in a source tree."""
  here = pathlib.Path(__file__).resolve().parent
  inside = here / 'configs.yaml'
  return inside if inside.is_file() else here.parent / 'configs.yaml'


def presets() -> dict[str, dict[str, Any]]:
  """Returns the presets of configs.yaml, name to changes, `defaults` first.

  The changes of a preset that builds on another one, `like: NAME`, follow
  those of that one.

  Raises:
    ConfigError: the file is missing or damaged, or a preset builds on one that
      there is not, or on itself.
  """
  path = source()
  try:
    changed = path.stat().st_mtime_ns
  except OSError:
    changed = 0  # `read` says what is wrong.
  return copy.deepcopy(_read(path, changed))


@functools.lru_cache(maxsize=1)
def _read(path, _):
  """Reads the presets, anew only where the file has changed."""
  data = yamlfile.read(path)
  try:
    return {name: _changes(data, name) for name in data}
  except ConfigError as error:
    raise ConfigError(f'{path}: {error}') from None


def describe() -> dict[str, str]:
  """Returns the comments above the presets, without that of `defaults`."""
  about, comment = {}, []
  for line in source().read_text('utf-8').splitlines():
    match = re.match(r'(\w+):', line)
    if match and match[1] != DEFAULTS:
      about[match[1]] = ' '.join(comment)
    comment = [*comment, line[1:].strip()] if line.startswith('#') else []
  return about


def _changes(data, name, above=()):
  """Returns the changes of a preset with those that it builds on."""
  own = data[name]
  if not isinstance(own, Mapping):
    raise ConfigError(f"preset '{name}' is no mapping of keys to values.")
  if LIKE not in own or name == DEFAULTS:
    return own
  above = (*above, name)
  base = own[LIKE]
  others = [x for x in data if x != DEFAULTS]
  if base not in others:
    raise ConfigError(
        f"preset '{name}' is like '{base}', which is no preset."
        f'{suggest(str(base), others)} Presets: {", ".join(others)}.')
  if base in above:
    raise ConfigError(
        f"presets build on each other in a circle: {' like '.join(above)} like "
        f'{base}.')
  changes = dict(yamlfile.leaves({k: v for k, v in own.items() if k != LIKE}))
  before = dict(yamlfile.leaves(_changes(data, base, above)))
  # Last comes what this preset says itself, of a pattern's keys, too.
  return {k: v for k, v in before.items() if k not in changes} | changes
