"""The words of a command line: flags and what follows them."""

from collections.abc import Sequence
import pathlib
import re
import shlex
import sys
from typing import Any

from . import yamlfile
from .errors import ConfigError
from .schema import Key


def chunks(arguments: Sequence[str]) -> list[list[str]]:
  """Splits arguments into flags, each with the words that follow it.

  Raises:
    ConfigError: a word stands before the first flag, or it is no list of texts.
  """
  if isinstance(arguments, str) or not all(
      isinstance(x, str) for x in arguments):
    raise ConfigError(
        "Flags are a list of texts such as ['--steps', '5'], but got "
        f'{arguments!r:.80}.')
  result = []
  for argument in arguments:
    if re.match('--.', argument):
      result.append([argument])
    elif result:
      result[-1].append(argument)
    else:
      raise ConfigError(
          f"Unexpected argument '{argument}'. Flags look like --key value.")
  return result


def of_script() -> list[str]:
  """Returns the words after the script that runs; none where none does.

  A notebook and pytest have words of their own.
  """
  program = pathlib.Path(sys.argv[0] if sys.argv else '')
  hosts = {'pytest', 'py.test', 'ipython', 'ipython3', 'ipykernel', 'IPython'}
  if {program.name, program.parent.name} & hosts or (
      program.name.endswith('kernel_launcher.py')):
    return []
  return sys.argv[1:]


def split(chunk: Sequence[str]) -> tuple[str, list[str]]:
  """Returns name and words of ['--a', '1', '2'] or ['--a=1', '2']."""
  name, equals, word = chunk[0][2:].partition('=')
  return name, [word] * bool(equals) + list(chunk[1:])


def value_of_flag(key: str, rule: Key | None, words: Sequence[str]) -> Any:
  """Returns what the words after the flag of a key mean.

  Args:
    key: dotted name.
    rule: its row; None below an open key, where words are read as YAML. Text
      for other keys is left to `schema.convert`.
    words: what follows the flag.

  Raises:
    ConfigError: too many words, too few, or no YAML.
  """
  if not words:
    if rule and (rule.type is bool or True in rule.choices):
      return True
    raise ConfigError(f"'--{key}' needs a value.")
  if rule and rule.is_list:
    parts = [x.strip(' []') for word in words for x in word.split(',')]
    parts = [x for x in parts if x]
    single = rule.form == 'one or list' and len(parts) == 1
    return parts[0] if single else parts
  if rule is None or rule.form == 'open':
    if len(words) == 1 and re.fullmatch(r'[-+.\deE]+(,[-+.\deE]+)+', words[0]):
      words = words[0].split(',')
    values = [yamlfile.parse(word) for word in words]
    return values if len(values) > 1 else values[0]
  if len(words) > 1:
    text = f"{' '.join(words)}."
    if rule.type is str and not rule.choices:
      text += f" Quote spaces: --{key} {shlex.quote(' '.join(words))}."
    raise ConfigError(f"'--{key}' takes one value but got {len(words)}: {text}")
  return words[0]
