"""What the settings of a run say differently from those of the paper.

Of Atari the settings of the published runs were not published; they are taken
from the original's code of that time and from the paper's table. Those of its
runs in DeepMind Control are not known at all; the preset has those of its code.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .. import config as configlib
from .. import settings as rules
from ..curves.names import BESIDE
from . import published
from .yours import Mine

UNKNOWN = object()
# What a run is, not how it learns; what the table below compares in frames.
SKIPPED = BESIDE | {'task'}
# Where the paper's value can not be read from settings.
UNRECORDED = {
    'sticky actions': 'sticky actions (0.25)',
    'full action space (18 actions)': 'all 18 actions in every game',
    'no-op starts': 'up to 30 no-ops at the start of an episode',
    'life information': 'no ends of episodes at lost lives'}


class Difference(NamedTuple):
  """A setting that differs.

  Attributes:
    key: dotted; 'a, b' of several with the same values.
    yours: text, that of each run if they differ among themselves.
    paper: text.
    note: where the two values of the paper differ, which is which.
  """

  key: str
  yours: str
  paper: str
  note: str


def differences(runs: Sequence[Mine], suite: str) -> list[Difference]:
  """Returns what differs from the paper in the settings of some runs.

  Args:
    runs: of one method.
    suite: atari or dmc.
  """
  settings = [run.settings for run in runs if run.settings]
  found = {}
  if suite == 'atari':
    for row in published.table('hyperparameters'):
      for key in [row['config_key'], *row['further_keys'].split()]:
        if row['value_of_runs'] and key:
          found |= _differing(settings, key, row)
  preset = {'atari': 'atari', 'dmc': 'dmc_vision'}[suite]
  base = configlib.resolve([preset]).flat | {'precision': 16}  # The original's.
  known = {row['config_key'] for row in published.table('hyperparameters')} | {
      key for row in published.table('hyperparameters')
      for key in row['further_keys'].split()}
  if suite != 'atari':
    known = set()
  for key in dict.fromkeys(key for one in settings for key in one):
    if key not in SKIPPED | known | set(rules.OPEN):
      found |= _from_preset(settings, key, base)
  return _joined(found)


def unrecorded(runs: Sequence[Mine]) -> list[str]:
  """Returns what the paper had and no setting of a run tells.

  Args:
    runs: of Atari.
  """
  told = {key for run in runs for key in run.settings or ()}
  return [
      UNRECORDED[row['name']]
      for row in published.table('hyperparameters')
      if row['name'] in UNRECORDED and not told & {
          row['config_key'], *row['further_keys'].split()}]


def same(value: Any, text: str) -> bool:
  """Tells whether a setting is what a text says; `|` separates several.

  Numbers are equal whatever their spelling, lists if all their elements are.
  """
  return any(_plain(value) == _plain(one) for one in text.split('|'))


def show(value: Any) -> str:
  """Returns a setting as text."""
  if isinstance(value, list | tuple):
    return ' '.join(map(show, value))
  if isinstance(value, float) and not value.is_integer():
    return f'{value:g}'
  if isinstance(value, int | float) and not isinstance(value, bool):
    return f'{value:,.0f}'
  return str(value)


def _differing(settings, key, row):
  """Returns key to a difference, if one of the runs has another value."""
  unit = row['value_unit']
  values = [_value(one, key, unit) for one in settings]
  values = [x for x in values if x is not UNKNOWN]
  if all(same(x, row['value_of_runs']) for x in values):
    return {}
  printed = row['value_printed']
  paper = row['value_of_runs'].split('|')[0]
  note = f'its text says {printed}' if printed else ''
  return {key: Difference(
      key, _shown(values) + f' {unit}' * bool(unit),
      show(_number(paper)) + f' {unit}' * bool(unit), note)}


def _from_preset(settings, key, base):
  """Returns key to a difference from a preset, if there is one."""
  values = [one[key] for one in settings if key in one]
  if key in base:
    if all(_plain(x) == _plain(base[key]) for x in values):
      return {}
    return {key: Difference(key, _shown(values), show(base[key]), '')}
  if not rules.is_open(key):
    return {}  # Of another version, which says itself what it means.
  return {key: Difference(key, _shown(values), 'not set', '')}


def _value(settings: Mapping[str, Any], key: str, unit: str) -> Any:
  value = settings.get(key, UNKNOWN)
  if unit == 'frames' and isinstance(value, int | float):
    repeat = settings.get('action_repeat', 1)
    return value * (repeat if isinstance(repeat, int | float) else 1)
  return value


def _shown(values):
  return ' or '.join(dict.fromkeys(map(show, values)))


def _joined(found: Mapping[str, Difference]) -> list[Difference]:
  """Returns differences; those of one ending and the same values as one."""
  groups: dict[tuple, list[str]] = {}
  for key, one in found.items():
    ending = key.rpartition('.')[2]
    groups.setdefault((ending, *one[1:]), []).append(key)
  return [
      Difference(', '.join(keys), *rest) for (_, *rest), keys in groups.items()]


def _plain(value):
  """Returns numbers for texts that are some, tuples for lists."""
  if isinstance(value, list | tuple):
    return tuple(map(_plain, value))
  if isinstance(value, bool) or value is None:
    return str(value)
  if isinstance(value, str):
    words = value.split()
    if len(words) > 1:
      return tuple(map(_plain, words))
    return _number(value)
  return value


def _number(text):
  try:
    return float(text)
  except ValueError:
    return text
