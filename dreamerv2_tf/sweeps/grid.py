"""The trials of a grid: their names, settings and what is wrong with them."""

from collections.abc import Iterator, Mapping, Sequence
import hashlib
import itertools
import json
import re
from typing import Any, NamedTuple

from .. import config as configlib
from .. import envs, flags, schema
from ..config import Config
from ..errors import ConfigError, DreamerError, EnvError, StateError
from ..settings import KEYS

PREFIX = 'grid.'
MOST = 1000  # Trials of a grid.
LONGEST = 150  # Bytes of a name.
SHOWN = 3  # Different errors of a grid in a message.
TOLD = 'Write --grid.KEY 1e-4,3e-4, or --grid.KEY and a word for each value.'


class Trial(NamedTuple):
  """One run of a sweep.

  Attributes:
    name: of its folder, such as `lr=1e-4,seed=0`.
    method: the same without the seed; `all seeds` if there is nothing else.
    words: what its command line has besides that of the sweep.
    config: its settings; without logdir.
  """

  name: str
  method: str
  words: tuple[str, ...]
  config: Config


def take(words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
  """Takes the grid out of a command line.

  Args:
    words: of the command line.

  Returns:
    Key, or regular expression of keys, to the words of its values, and the
    rest of the command line.

  Raises:
    ConfigError: a key has no value, appears twice, or is no matter of a grid.
  """
  grid, rest = {}, []
  for chunk in flags.chunks(words):
    name, values = flags.split(chunk)
    if not name.startswith(PREFIX):
      rest += chunk
      continue
    key = name.removeprefix(PREFIX)
    if key in ('seed', 'logdir') or not key:
      advice = {
          'seed': '--seeds 5 tries five seeds from --seed on.',
          'logdir': 'Each trial has a folder of its own in --logdir.'}
      raise ConfigError(f"'--{name}' is no grid. {advice.get(key, TOLD)}")
    if key in grid:
      raise ConfigError(f"'--{name}' is given twice. {TOLD}")
    grid[key] = [x for word in values for x in _values(key, word)]
    if not grid[key]:
      raise ConfigError(f"'--{name}' needs values. {TOLD}")
  return grid, rest


def trials(
    presets: Sequence[str], overrides: Sequence[str],
    grid: Mapping[str, Sequence[str]], seeds: int,
    known: Sequence[str] = ()) -> list[Trial]:
  """Returns all trials, each checked.

  Args:
    presets, overrides: of all trials, see `config.resolve`.
    grid: key to the words of its values.
    seeds: how many from the seed of the settings on.
    known: flags of the command, to be suggested.

  Raises:
    ConfigError: a key, value or combination is wrong, told for all trials
      at once; two trials are the same; there are too many.
  """
  count = seeds
  for values in grid.values():
    count *= len(values)
  if count > MOST:
    sizes = ' x '.join(
        [*(f'{len(x)} {key}' for key, x in grid.items()), f'{seeds} seeds'])
    raise ConfigError(
        f'The grid has {count:,} trials ({sizes}), more than {MOST:,}. Try '
        'fewer values, or parts of it one after the other.')
  first = configlib.resolve(presets, overrides, flags=known).seed
  result, wrong = [], {}
  for values in itertools.product(*grid.values()):
    words = [x for pair in zip(grid, values) for x in (f'--{pair[0]}', pair[1])]
    try:
      config = configlib.resolve(presets, [*overrides, *words], flags=known)
    except ConfigError as error:
      wrong.setdefault(str(error))
      continue
    parts = [
        f'{short}={_shown(key, value, config)}'
        for (key, short), value in zip(_short(grid).items(), values)]
    for seed in range(first, first + seeds):
      result.append(Trial(
          _name([*parts, f'seed={seed}']), ','.join(parts) or 'all seeds',
          (*words, '--seed', f'{seed}'), config.update({'seed': seed})))
  _refuse(list(wrong))
  _check_different(result)
  return result


def check_environments(found: Sequence[Trial]) -> None:
  """Builds one environment for each task and its settings of the trials.

  Raises:
    ConfigError, EnvError: there is no such task, or it takes no such setting.
  """
  seen, wrong = set(), {}
  kind: type[DreamerError] = ConfigError
  for trial in found:
    given = {'task': trial.config.task, **trial.config.taken_by(envs.make)}
    key = json.dumps(given, default=dict, sort_keys=True)
    if key not in seen:
      seen.add(key)
      try:
        envs.make(**given, probe=True).close()
      except (ConfigError, EnvError) as error:
        kind = type(error)
        wrong.setdefault(str(error))
  _refuse(list(wrong), kind)


def check_same(
    stored: Mapping[str, Any], settings: Mapping[str, Any],
    grid: Sequence[str], beside: Sequence[str], place: str) -> None:
  """Refuses a folder whose trials had other settings.

  Args:
    stored, settings: dotted key to value of the sweep that the folder holds
      and of this one, outside of the grid.
    grid: keys of this one.
    beside: keys that may differ.
    place: the folder.

  Raises:
    StateError: that is so.
  """
  free = {*beside, *(
      key for name in grid for key in settings if name == key or (
          re.search(r'[^A-Za-z0-9_.-]', name) and re.match(name, key)))}
  bad = [
      f'{key} was {schema.show(stored[key])}, is now '
      f'{schema.show(settings[key])}' for key in settings
      if key in stored and key not in free and stored[key] != settings[key]]
  if bad:
    raise StateError(
        f"The sweep in {place} was made with other settings: {'; '.join(bad)}. "
        'Give a new --logdir for the new values, or the old values to go on.')


def _refuse(wrong, kind=ConfigError):
  """Raises an error that tells all that is wrong, if there is anything."""
  if wrong:
    more = f' And {len(wrong) - SHOWN} more.' if len(wrong) > SHOWN else ''
    raise kind(f"{' '.join(wrong[:SHOWN])}{more}")


def _check_different(found):
  seen = {}
  for trial in found:
    key = json.dumps(trial.config.flat, default=dict, sort_keys=True)
    other = seen.setdefault(key, trial)
    if other is not trial:
      raise ConfigError(
          f"The grid has the same settings twice: '{other.name}' and "
          f"'{trial.name}'. Give each value once.")
  names = {}
  for trial in found:
    other = names.setdefault(trial.name.lower(), trial)
    if other is not trial:
      raise ConfigError(
          f"Two trials have the name '{trial.name}': {other.words} and "
          f'{trial.words}. Write the values differently.')


def _rule(key):
  """Returns the row of a key, or of the first that a pattern matches."""
  if key in KEYS:
    return KEYS[key]
  try:
    return next((v for k, v in KEYS.items() if re.match(key, k)), None)
  except re.error:
    return None


def _values(key, word) -> Iterator[str]:
  """Yields the values in a word: parts between commas, but for lists.

  Commas in parentheses are those of schedules.
  """
  rule = _rule(key)
  if rule and rule.is_list:
    yield word
    return
  for part in re.split(r',(?![^()]*\))', word):
    if part.strip():
      yield part.strip()


def _short(keys):
  """Returns key -> its last part, or all of it where others end so."""
  ends = [key.rpartition('.')[2] for key in keys]
  return {
      key: end if ends.count(end) == 1 and end else key
      for key, end in zip(keys, ends)}


def _shown(key, text, config):
  """Returns how the name of a trial tells a value, however it was written."""
  value = config.flat.get(key, text)
  if isinstance(value, float):
    plain = f'{value:g}'
    digits, _, power = f'{value:e}'.partition('e')
    digits = f'{float(digits):g}'
    exact = f'{digits}e{int(power)}'
    return min((x for x in (plain, exact) if float(x) == value), key=len,
               default=repr(value))
  if isinstance(value, tuple):
    return 'x'.join(map(str, value))
  return str(value)


def _name(parts):
  """Joins parts to the name of a folder."""
  name = re.sub(r'[^A-Za-z0-9_.,()=+-]', '-', ','.join(parts)).lstrip('.-')
  if len(name) > LONGEST:
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    name = f'{name[:LONGEST]}-{digest},{parts[-1]}'
  return name
