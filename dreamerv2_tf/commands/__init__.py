"""The commands, a module each, which is imported when its command is called.

Such a module has `FLAGS`, which are no keys: name to default, of the type it
has, and description; `run(words)`, which returns the exit status, None for 0;
and `help_lines(words, topics)`.
"""

from collections.abc import Mapping, Sequence
import importlib
import types
from typing import Any

from ..errors import ConfigError
from ..schema import suggest

# Name: module, what it does, what to add to see it work; '' where no word is
# needed on the first screen.
COMMANDS: dict[str, tuple[str, str, str]] = {
    'train': (
        'train', 'Train, or go on with a run; may be left out.',
        '--configs highway_kinematics --logdir ~/logdir/cars'),
    'eval': (
        'evaluate', 'Score a trained agent on fixed scenarios; make videos.',
        '--pretrained highway_kinematics --video drive.gif'),
    'dream': (
        'dream', 'Show what the model predicts; what if one acts otherwise?',
        '--pretrained highway_kinematics --actions LANE_LEFT SLOWER'),
    'sweep': (
        'sweep', 'Try settings and seeds, several at once; compare them.',
        ''),
    'plot': (
        'plot', 'Draw learning curves of runs, of any metric.',
        ''),
    'compare': (
        'compare', "Set runs beside the paper's numbers and this package's.",
        ''),
    'doctor': (
        'doctor', 'Say whether a run would work here, how fast and how long.',
        '--configs small'),
}

# What other packages call them.
ELSEWHERE = {
    'enjoy': 'eval', 'evaluate': 'eval', 'play': 'eval', 'watch': 'eval',
    'results': 'compare', 'grid': 'sweep', 'tune': 'sweep',
    'dreams': 'dream', 'check': 'doctor'}


def find(name: str) -> types.ModuleType:
  """Imports the module of a command.

  Raises:
    ConfigError: there is no such command.
  """
  if name not in COMMANDS:
    near = suggest(name, [*COMMANDS, 'help'])
    if name in ELSEWHERE:
      near = f" Did you mean '{ELSEWHERE[name]}'?"
    raise ConfigError(
        f"Unknown command '{name}'.{near} "
        f"Commands: {', '.join(COMMANDS)}; dreamerv2 --help tells more.")
  return importlib.import_module(f'.{COMMANDS[name][0]}', __name__)


def check_least(
    options: Mapping[str, Any], least: Mapping[str, float]) -> None:
  """Raises a ConfigError for the first flag below its least value."""
  for name, low in least.items():
    if options[name] < low:
      raise ConfigError(
          f"'{name}' must be at least {low} but is {options[name]}.")


def leading(flag: str, words: Sequence[str]) -> list[str]:
  """Returns words of which those before the first flag follow `--flag`.

  So `dreamerv2 eval DIR --json` is the same as `eval --logdir DIR --json`.
  """
  words = list(words)
  return [f'--{flag}', *words] if words and words[0][:2] != '--' else words
