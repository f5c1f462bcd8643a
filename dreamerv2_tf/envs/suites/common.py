"""What suites share."""

from collections.abc import Mapping
from typing import Any

from ...errors import EnvError


def missing(task: str, error: ModuleNotFoundError) -> EnvError:
  """Returns the error that says how to install what a task needs."""
  name = error.name or 'of an unknown name'
  package = name.partition('.')[0].replace('_', '-')
  return EnvError(
      f"Environment '{task}' needs the module '{name}', which can not be "
      f'imported. Install it, perhaps with: pip install {package}')


def to_plain(value: Any) -> Any:
  """Turns tuples to lists and mappings to dicts, all the way down."""
  if isinstance(value, Mapping):
    return {key: to_plain(inner) for key, inner in value.items()}
  if isinstance(value, list | tuple):
    return [to_plain(inner) for inner in value]
  return value
