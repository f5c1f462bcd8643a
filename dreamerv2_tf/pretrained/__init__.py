"""The agents that come with this package, a folder each.

    pretrained/<name>/config.yaml   settings, as in a run folder
    pretrained/<name>/weights.npz   all networks, in place of checkpoints
    pretrained/<name>/card.json     step, origin and evaluations
    pretrained/<name>/card.md       the same for people, and as metadata
    pretrained/<name>/drive.gif     an episode beside its dream

`scripts/ship.py` makes such a folder of a run. Nothing is written here.
"""

import os
import pathlib

from .. import files
from ..errors import ConfigError
from ..schema import suggest

HERE = pathlib.Path(__file__).resolve().parent


def names() -> list[str]:
  """Returns the names of the agents, sorted."""
  return sorted(path.parent.name for path in HERE.glob('*/config.yaml'))


def find(name: str) -> pathlib.Path:
  """Returns the folder of an agent.

  Raises:
    ConfigError: there is none of that name; the message lists those that are.
  """
  if name not in names():
    raise ConfigError(f"There is no pretrained agent '{name}'.{_hint(name)}")
  return HERE / name


def locate(folder: str | os.PathLike) -> pathlib.Path:
  """Returns the folder that a path or the bare name of an agent means.

  A folder that exists goes before an agent of the same name.

  Args:
    folder: path; `~` stands for the home folder.

  Raises:
    ConfigError: not a path, or a bare name that is neither a folder nor an
      agent.
  """
  if not isinstance(folder, str | os.PathLike):
    raise ConfigError(
        'An agent is the path of a run folder or a name such as '
        f'{names()[0]}, but this is {files.printable(repr(folder))}.')
  path = pathlib.Path(folder).expanduser()
  if path.exists() or os.fspath(folder) != path.name:
    return path
  name = files.printable(folder)
  if name not in names():
    raise ConfigError(
        f"'{name}' is neither a folder here nor a pretrained agent."
        f'{_hint(name)}')
  return HERE / name


def holds(folder: pathlib.Path) -> bool:
  """Tells whether a folder is that of an agent of this package."""
  return HERE in folder.resolve().parents


def _hint(name):
  known = names()
  return (
      f"{suggest(name, known)} Pretrained agents: "
      f"{', '.join(known) or 'none in this package'}.")
