"""Text of `--help`: flags, presets, and the settings with their rules."""

from collections.abc import Mapping, Sequence
import shutil
import textwrap
from typing import Any

from .config import Config
from .schema import show
from .settings import GROUPS, KEYS


def entries(flags: Mapping[str, tuple[Any, str]]) -> list[str]:
  """Returns the help of the flags that `parse` takes, one entry each."""
  return [
      entry(
          f'--{name}', text,
          None if default is False or default == () else default)
      for name, (default, text) in flags.items()]


def entry(
    name: str, text: str, value: Any = None, *, column: int = 40,
    mark: str = ' ') -> str:
  """Formats a name, two spaces in, and its description in a second column.

  Args:
    name: of a flag, preset or command.
    text: what it is.
    value: its default or value, if there is one.
    column: where the description begins.
    mark: a character for the start of the line.
  """
  if value is not None:
    name += f' {value if isinstance(value, str) and value else show(value)}'
  width = min(shutil.get_terminal_size().columns, 100)
  rows = textwrap.wrap(text, max(width - column, 30))
  if len(name) > column - 5:
    rows.insert(0, '')
  return '\n'.join(
      f"{(' ' if i else mark) + ' ' + name * (not i):<{column}}{row}".rstrip()
      for i, row in enumerate(rows))


def paragraph(text: str, indent: str = '') -> str:
  """Formats a text of some lines, all of them indented."""
  width = min(shutil.get_terminal_size().columns, 80)
  return textwrap.fill(
      text, width, initial_indent=indent, subsequent_indent=indent,
      break_on_hyphens=False)


def listing(config: Config, defaults: Config) -> list[str]:
  """Returns one entry for each setting, by group.

  Range or choices follow its description, and whether a run folder keeps it.
  Those with another value than in `defaults` have a mark.
  """
  lines = []
  for name, rules in GROUPS.items():
    lines += ['', name]
    for key, rule in rules.items():
      notes = [rule.what if rule.choices else rule.range, 'fixed' * rule.fixed]
      text = f"{rule.help} {_sentence('; '.join(filter(None, notes)))}"
      mark = ' ' if config[key] == defaults[key] else '*'
      lines.append(entry(f'--{key}', text, config[key], mark=mark))
  return lines


def details(config: Config, names: Sequence[str]) -> list[str]:
  """Returns all that is known of some settings.

  Args:
    config: whose values are shown.
    names: keys, groups such as `rssm`, or regular expressions.

  Raises:
    ConfigError: there is no such setting.
  """
  found = [key for name in names for key in _named(config, name)]
  width = min(shutil.get_terminal_size().columns, 80)
  lines = []
  for key in dict.fromkeys(found):
    rule = KEYS[key]
    what = _sentence(rule.rule) + ' A run folder keeps it.' * rule.fixed
    lines.append(f'--{key} {show(config[key])}')
    for text in rule.help, what:
      lines += textwrap.wrap(
          text, width, initial_indent='    ', subsequent_indent='    ')
  return lines


def _named(config, name):
  """Returns the settings that a name, a group or a pattern means."""
  inside = [key for key in KEYS if key.startswith(f'{name}.')]
  if inside:
    return inside
  return [key if key in KEYS else 'env.config' for key in config.match(name)]


def _sentence(text):
  """Returns a text, if there is any, as a sentence."""
  return f'{text[0].upper()}{text[1:]}.' if text else ''
