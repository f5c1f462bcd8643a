"""What suites share."""

from collections.abc import Iterable, Mapping
import importlib
import re
from types import ModuleType
from typing import Any

from ...errors import ConfigError, EnvError, brief
from ...schema import suggest


def imported(task: str, name: str, extra: str = '') -> ModuleType:
  """Imports what a suite needs, and says what to do where that fails.

  Args:
    task: see `envs.make`.
    name: of the module.
    extra: of this package, if one brings the module.

  Raises:
    EnvError: it is not installed, or raises.
  """
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as error:
    raise missing(task, error, extra) from None
  except (Exception, SystemExit) as error:
    raise unusable(task, name, error) from error


def unusable(task: str, name: str, error: BaseException) -> EnvError:
  """Returns the error for a module that is there but raises.

  Args:
    task: see `envs.make`.
    name: of the module.
    error: of the import.
  """
  return EnvError(
      f"Environment '{task}' needs the module '{name}', which is installed but "
      f'can not be imported: {brief(error)}')


def missing(
    task: str, error: ModuleNotFoundError, extra: str = '') -> EnvError:
  """Returns the error that says how to install what a task needs.

  Args:
    task: see `envs.make`.
    error: of the import.
    extra: of this package, if one brings the module.
  """
  name = error.name or 'of an unknown name'
  package = name.partition('.')[0].replace('_', '-')
  how = f', perhaps with: pip install {package}'
  if extra:
    how = f", in the folder of the clone, with: pip install '.[{extra}]'"
  return EnvError(
      f"Environment '{task}' needs the module '{name}', which can not be "
      f'imported. Install it{how}')


def unknown(task: str, name: str, names: Iterable[str], kind: str,
            everything: bool = True) -> ConfigError:
  """Returns the error for a name that a suite does not have.

  Args:
    task: as the user wrote it.
    name: of what, without the suite.
    names: that there are.
    kind: what they are called.
    everything: list all of them.
  """
  names = sorted(names)
  known = f' Known {kind}: {", ".join(names)}.' if everything else (
      f' There are {len(names)} {kind}; docs/tasks.md has them.')
  return ConfigError(
      f"'{task}' is not a known task.{nearest(task, name, names)}{known}")


def nearest(task: str, name: str, names: Iterable[str]) -> str:
  """Returns a question for the tasks that were perhaps meant, or ''.

  Args:
    task, name, names: see `unknown`.
  """
  suite = task.partition('_')[0]
  return re.sub("'(.+?)'", rf"'{suite}_\1'", suggest(name, names))


def check_keys(
    task: str, config: Mapping[str, Any], known: Iterable[str]) -> None:
  """Raises a ConfigError for the keys of env.config that a suite has not."""
  known = sorted(known)
  for key in config:
    if key not in known:
      raise ConfigError(
          f"'env.config.{key}' is no setting of '{task}'."
          f"{suggest(key, known)} Known settings: {', '.join(known) or 'none'}."
      )


def to_plain(value: Any) -> Any:
  """Turns tuples to lists and mappings to dicts, all the way down."""
  if isinstance(value, Mapping):
    return {key: to_plain(inner) for key, inner in value.items()}
  if isinstance(value, list | tuple):
    return [to_plain(inner) for inner in value]
  return value
