"""What a setting may be: its row in the table, and values read by it."""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import difflib
import math
import numbers
import pathlib
import re
from typing import Any, Literal

from .errors import ConfigError

# Name of a schedule to its numbers of arguments and the position of the
# duration among them.
SCHEDULES = {
    'linear': ((3, 4), 2), 'warmup': ((2,), 0), 'exp': ((3,), 2),
    'horizon': ((3,), 2)}

# How values are written, in words; {} is what one of them is.
FORMS = {
    '': '{}',
    'list': 'a list, each element {}',
    'one or list': '{}, or a list of them',
    'schedule': '{}, or a schedule such as linear(first,last,steps)',
    'pattern': 'a regular expression',
    'steps': 'START:STOP',
    'off': '{}, or False',
    'open': 'a group that takes any key',
}


@dataclasses.dataclass(frozen=True)
class Key:
  """One setting: what its values may be, and what they mean.

  Attributes:
    type: of the value, or of each number or text in it.
    help: sentences for `dreamerv2 --help`, with the unit.
    low, above: least value, or one that it must exceed.
    high, below: largest value, or one that it must not reach.
    choices: the values, which also say the type; case, - and _ do not matter.
    form: how it is written, a name in FORMS; empty: as one value.
    fixed: whether a run folder keeps its value, which decides variables,
      spaces or the meaning of stored data.
  """

  type: type
  help: str = ''
  low: float | None = None
  above: float | None = None
  high: float | None = None
  below: float | None = None
  choices: tuple = ()
  form: Literal[
      '', 'list', 'one or list', 'schedule', 'pattern', 'steps', 'off',
      'open'] = ''
  fixed: bool = False

  @classmethod
  def like(cls, value: Any) -> 'Key':
    """Returns the row of a setting of which only a value is known."""
    if isinstance(value, tuple):
      return cls(type(value[0]) if value else str, form='list')
    return cls(type(value))

  @property
  def is_list(self) -> bool:
    """Whether several values may be given."""
    return self.form in ('list', 'one or list')

  @property
  def range(self) -> str:
    """The range in words, such as 'in (0, 1]'; empty if there is none."""
    low = self.low if self.above is None else self.above
    high = self.high if self.below is None else self.below
    if high is not None:
      left, right = '[('[self.low is None], '])'[self.high is None]
      return f'in {left}{low}, {high}{right}'
    if low is not None:
      return f"{'at least' if self.above is None else 'above'} {low}"
    return ''

  @property
  def what(self) -> str:
    """What one value is, in words, such as 'a whole number of at least 1'."""
    if self.choices:
      return f"one of {', '.join(map(str, self.choices))}"
    link = ' of ' if self.range.startswith('at') else ' ' * bool(self.range)
    return READERS[self.type][1] + link + self.range

  @property
  def rule(self) -> str:
    """What the setting may be, in words."""
    return FORMS[self.form].format(self.what)

  def holds(self, value: float) -> bool:
    """Tells whether a number lies in the range."""
    return (
        (self.low is None or value >= self.low) and
        (self.above is None or value > self.above) and
        (self.high is None or value <= self.high) and
        (self.below is None or value < self.below))


def convert(key: str, rule: Key, value: Any, default: Any = '') -> Any:
  """Returns the value in the type of its row in the table.

  Args:
    key: dotted name, for the error message.
    rule: the row.
    value: of the type of the row, or text that means it.
    default: shown as an example.

  Raises:
    ConfigError: the value can not be read so.
  """
  if rule.form == 'list':
    if not isinstance(value, (list, tuple)):
      raise ConfigError(
          f"'{key}' must be a list such as {show(default)} but is "
          f'{show(value)}.')
    element = dataclasses.replace(rule, form='')
    example = default[0] if default else ''
    return tuple(convert(key, element, x, example) for x in value)
  if rule.choices:
    return _choice(key, rule.choices, value)
  if rule.form == 'schedule' and isinstance(value, str):
    try:
      return _read_float(value)
    except ValueError:
      text = value.replace(' ', '')
      read_schedule(text, key)
      return text
  if rule.form == 'one or list':
    return _read_listable(key, value)
  if rule.form == 'off' and str(value).lower() == 'false':
    return 0
  read, _ = READERS[rule.type]
  try:
    return read(value)
  except (ValueError, OverflowError):
    plain = default == '' or isinstance(default, bool)
    fits = isinstance(default, rule.type) and not plain
    example = f' such as {show(default)}' if fits else ''
    raise ConfigError(
        f"'{key}' must be {rule.what}{example} but is {show(value)}."
    ) from None


def check(config: Mapping[str, Any], rules: Mapping[str, Key]) -> None:
  """Checks ranges and patterns, and what settings demand of each other.

  Args:
    config: a complete `Config`.
    rules: dotted name to row.

  Raises:
    ConfigError: a value is out of range, or no regular expression.
  """
  for key, rule in rules.items():
    if rule.form == 'pattern':
      _check_pattern(key, config[key])
    elif rule.range:
      values = config[key] if isinstance(config[key], tuple) else [config[key]]
      if not all(rule.holds(x) for x in values if not isinstance(x, str)):
        raise ConfigError(
            f"'{key}' must be {rule.range} but is {show(config[key])}.")
  _check_together(config)


def read_window(text: str) -> range:
  """Returns the steps of a window START:STOP; of an empty text, none.

  Raises:
    ConfigError: it is no such window.
  """
  if not text:
    return range(0)
  try:
    start, stop = map(_read_int, text.split(':'))
    if not 0 <= start < stop:
      raise ValueError(text)
  except (ValueError, OverflowError):
    raise ConfigError(
        "'profile' must be START:STOP, whole numbers of steps with 0 <= START "
        f"< STOP such as 2000:2200, but is '{text}'.") from None
  return range(start, stop)


def read_schedule(text: str, key: str = 'schedule') -> tuple[str, list[float]]:
  """Takes a schedule apart.

  Args:
    text: `linear(first,last,steps)`, `linear(first,last,steps,start)`,
      `warmup(steps,last)`, `exp(first,last,halflife)` or
      `horizon(first,last,steps)`.
    key: dotted name, for the error message.

  Returns:
    Name and arguments.

  Raises:
    ConfigError: it is none of these.
  """
  match = re.fullmatch(r'(\w+)\((.*)\)', text.replace(' ', ''))
  try:
    name, args = match[1], [_read_float(x) for x in match[2].split(',')]
    counts, duration = SCHEDULES[name]
    if len(args) not in counts or args[duration] <= 0:
      raise ValueError(text)
  except (TypeError, KeyError, ValueError):
    raise ConfigError(
        f"'{key}' must be a number or linear(first,last,steps), "
        'linear(first,last,steps,start), warmup(steps,last), '
        'exp(first,last,halflife) or horizon(first,last,steps) but is '
        f"'{text}'.") from None
  return name, args


def suggest(word: str, *options: Iterable[str]) -> str:
  """Returns ' Did you mean ...?' with the nearest options, or nothing."""
  names = {name.lower(): name for group in options for name in group}
  word = word.lower()
  near = [name for name in names if name.endswith('.' + word)]
  near = near or difflib.get_close_matches(word, names, 3, 0.6)
  if not near:
    return ''
  return f" Did you mean {' or '.join(repr(names[x]) for x in near[:3])}?"


def show(value: Any) -> str:
  """Returns a value as a user would write it."""
  if isinstance(value, Mapping):
    return f"{{{', '.join(f'{k}: {show(v)}' for k, v in value.items())}}}"
  if isinstance(value, (list, tuple)):
    return ' '.join(map(str, value)) or 'an empty list'
  return f"'{value}'" if isinstance(value, str) else str(value)


def _check_pattern(key, value):
  try:
    re.compile(value)
  except re.error as error:
    raise ConfigError(
        f"'{key}' must be a regular expression but is '{value}': {error}."
    ) from None


def _check_together(config):
  if len(config['render_size']) != 2:
    raise ConfigError(
        "'render_size' must be a height and a width but is "
        f"{show(config['render_size'])}.")
  minlen, maxlen = config['replay.minlen'], config['replay.maxlen']
  if 0 < maxlen < minlen:
    raise ConfigError(
        f"'replay.maxlen' must be 0 or at least replay.minlen ({minlen}) but "
        f'is {maxlen}.')
  depth, horizon = (
      config['eval_lookahead.depth'], config['eval_lookahead.horizon'])
  if horizon <= depth:
    raise ConfigError(
        f"'eval_lookahead.horizon' must be above eval_lookahead.depth ({depth})"
        f' but is {horizon}.')
  offset, length = config['disag_offset'], config['dataset.length']
  if offset >= length:
    raise ConfigError(
        f"'disag_offset' must be below dataset.length ({length}) but is "
        f'{offset}.')
  read_window(config['profile'])


def _choice(key, choices, value):
  plain = lambda x: re.sub('[-_]', '', str(x).lower())
  for choice in choices:
    if plain(choice) == plain(value):
      return choice
  names = [str(choice) for choice in choices]
  raise ConfigError(
      f"'{key}' must be one of {', '.join(names)} but is {show(value)}."
      + suggest(str(value), names))


def _read_listable(key, value):
  """Returns a float, or a tuple of at least one."""
  try:
    if not isinstance(value, (list, tuple)):
      return _read_float(value)
    if not value:
      raise ValueError(value)
    return tuple(_read_float(x) for x in value)
  except (ValueError, OverflowError):
    raise ConfigError(
        f"'{key}' must be a finite number or a list of them, such as 1.0 or "
        f'1,15,2.5, but is {show(value)}.') from None


def _read_bool(value):
  if isinstance(value, str) and value.lower() in ('true', 'false'):
    return value.lower() == 'true'
  if not isinstance(value, bool):
    raise ValueError(value)
  return value


def _read_int(value):
  if isinstance(value, bool) or not isinstance(value, numbers.Real | str):
    raise ValueError(value)
  if isinstance(value, str):
    try:
      value = int(value)
    except ValueError:
      value = float(value)
  if int(value) != value or abs(value) >= 2 ** 63:
    raise ValueError(value)
  return int(value)


def _read_float(value):
  if isinstance(value, bool) or not isinstance(value, numbers.Real | str):
    raise ValueError(value)
  if not math.isfinite(float(value)):
    raise ValueError(value)
  return float(value)


def _read_str(value):
  if isinstance(value, pathlib.PurePath):
    return str(value)
  if not isinstance(value, str):
    raise ValueError(value)
  return value


def _read_dict(value):
  if not isinstance(value, Mapping):
    raise ValueError(value)
  return value


READERS: dict[type, tuple[Callable[[Any], Any], str]] = {
    bool: (_read_bool, 'True or False'),
    int: (_read_int, 'a whole number'),
    float: (_read_float, 'a finite number'),
    str: (_read_str, 'text'),
    dict: (_read_dict, 'a mapping'),
}
