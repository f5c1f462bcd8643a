"""The agent that a command is about: of a run, or one of this package."""

from collections.abc import Sequence
import os
import pathlib
import re
from typing import Any

from .. import flags, original, pretrained
from ..config import Config
from ..errors import ConfigError
from ..schema import suggest
from ..settings.run import LOGGING, REPLAY, TRAINING

MOST_RUNS = 5  # In a message.
CHECKPOINT = 'latest'

FLAGS: dict[str, tuple[Any, str]] = {
    'logdir': ('', 'Folder of the run; --logdir itself may be left out.'),
    'pretrained': (
        '', 'Instead of a run: an agent that comes with this package.'),
    'checkpoint': (CHECKPOINT, 'latest, best or the step of a checkpoint.'),
    'trust': (False, 'Run code of modules that only the folder names.'),
}


def folder(command: str, options: Config) -> pathlib.Path:
  """Returns the folder of the run or agent that the flags name.

  Args:
    command: for messages.
    options: values of `FLAGS`.

  Raises:
    ConfigError: both or neither are given, or there is no such agent or run.
  """
  if bool(options.logdir) == bool(options.pretrained):
    raise ConfigError(
        '--pretrained is an agent of this package and --logdir a run: give one '
        'of them.' if options.logdir else
        f'{command} needs the folder of a run: --logdir DIR, or an agent that '
        'comes with this package: --pretrained NAME.')
  if not re.fullmatch(r'latest|best|\d+', options.checkpoint):
    raise ConfigError(
        "'checkpoint' must be latest, best or a step such as 5000 but is "
        f"'{options.checkpoint}'."
        + suggest(options.checkpoint, ('latest', 'best')))
  if not options.pretrained:
    return _run(options.logdir)
  if options.checkpoint != CHECKPOINT:
    raise ConfigError(
        'A pretrained agent has one state and no checkpoints: leave out '
        '--checkpoint.')
  return pretrained.find(options.pretrained)


def _run(logdir):
  path = pathlib.Path(os.path.expanduser(logdir))
  original.refuse(path)
  if (path / 'config.yaml').is_file():
    return path
  known = logdir in pretrained.names()
  runs = near(path)
  raise ConfigError(
      f'{path}: no run here, config.yaml is missing; give the folder of a '
      'run as --logdir.'
      + f" There is one in {', '.join(runs)}." * bool(runs)
      + f' Did you mean --pretrained {logdir}?' * known)


def check_effect(
    config: Config, overrides: Sequence[str], what: str) -> None:
  """Refuses settings of the training alone, which would change nothing.

  Args:
    config: of a run.
    overrides: command line words that change it.
    what: they do not change, with a hint.

  Raises:
    ConfigError: there are some.
  """
  training = {'steps', *TRAINING, *REPLAY, *LOGGING}
  for chunk in flags.chunks(overrides):
    name, _ = flags.split(chunk)
    if training.issuperset(config.match(name)):
      raise ConfigError(
          f"'{name}' is a setting of the training and changes nothing in "
          f'{what}.')


def near(path: pathlib.Path) -> list[str]:
  """Returns folders of runs right above and below one that is none."""
  runs = sorted(str(x.parent) for x in path.glob('*/config.yaml'))[:MOST_RUNS]
  above = path.absolute().parent
  return [str(above)] * (above / 'config.yaml').is_file() + runs
