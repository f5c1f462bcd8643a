"""Compares the settings of the original with those of this package, by key.

Prints tables in Markdown: other defaults, what is the same, presets, new keys.
With --write they replace those in docs/from_the_original.md. The settings of
the original are in original_settings.yaml.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import pathlib
import re
import sys
from typing import Any

import command

from dreamerv2_tf import config as configlib
from dreamerv2_tf import renames, schema, yamlfile
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.settings import GROUPS, KEYS

HERE = pathlib.Path(__file__).resolve().parent
SETTINGS = HERE / 'original_settings.yaml'
PAGE = HERE.parent / 'docs' / 'from_the_original.md'
DIFFERENCES = HERE.parent / 'docs' / 'differences.md'
MARKS = '<!-- table of settings -->\n', '<!-- end of it -->\n'
FLAGS = {'write': (False, 'Replace the tables in docs/from_the_original.md.')}
# Why a value is another one: of a key, or of a preset and a key.
REASONS = {
    'logdir': 'is `~/logdir/<task>/<time>`: there a run without it is lost',
    'envs_parallel': 'an environment that crashes or hangs can be replaced; '
    '`thread` is not there',
    'precision': '16 on a GPU and 32 without, where float16 is slow',
    'jit': 'off: on a CPU each part was slower with XLA',
    'dmc_proprio dmc_images': 'nothing is drawn that nobody looks at',
    'debug': 'a whole run in two minutes, of any preset and of short episodes'}


def main(argv: Sequence[str] | None = None) -> int:
  """Prints the tables; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def presets() -> dict[str, Config]:
  """Returns the presets of the original, each over its defaults.

  Raises:
    ConfigError: a key of it is neither here nor renamed nor dropped.
  """
  data = yamlfile.read(SETTINGS)
  base = Config(configlib.defaults).update(_here(data['defaults']))
  return {
      name: base.update({} if name == 'defaults' else _here(changes))
      for name, changes in data.items()}


def text() -> str:
  """Returns all tables."""
  theirs = presets()
  known = dict(yamlfile.leaves(yamlfile.read(SETTINGS)['defaults']))
  here = configlib.defaults.flat
  names = list(_here(known))
  other = [x for x in names if theirs['defaults'].flat[x] != here[x]]
  told = re.findall(r'[\w.]+', ' '.join(
      re.findall(r'`([^`]+)`', _rows(DIFFERENCES.read_text()))))
  doing = [x for x in names if x not in other and x in told]
  same = [x for x in names if x not in other and x not in doing]
  lines = [
      f'All {len(known)} keys of the original are here under their '
      f'names{_lost(known)}. {len(other)} have another default:', '',
      '| key | there | here | why |', '|---|---|---|---|',
      *(_row(x, theirs['defaults'].flat[x], here[x], REASONS[x])
        for x in other), '',
      f'{len(doing)} have the same default and do [something '
      f'else](differences.md), mostly what they say: {_listed(doing)}.', '',
      f'The other {len(same)} are the same in all: {_listed(same)}.', '',
      'Presets have the same values, but for these:', '',
      '| preset | key | there | here | why |', '|---|---|---|---|---|',
      *_of_presets(theirs, other), '',
      'New keys. Their defaults are what the original does, or are about what '
      'it has not:', '', '| key | default | what it is |', '|---|---|---|',
      *(f'| `{key}` | {_shown(here.get(key, {}))} | {_cell(KEYS[key].help)} |'
        for group in GROUPS.values() for key in group if key not in names)]
  return '\n'.join(lines) + '\n'


def write(path: pathlib.Path = PAGE) -> None:
  """Puts the tables into the page."""
  start, end = MARKS
  before, _, rest = path.read_text().partition(start)
  _, _, after = rest.partition(end)
  path.write_text(f'{before}{start}\n{text()}\n{end}{after}')


def _work(arguments: Sequence[str]) -> Iterator[str]:
  if command.parse(FLAGS, arguments).write:
    write()
    print(f'Written: {PAGE}', file=sys.stderr)
  else:
    yield text().rstrip()


def _here(keys: Mapping[str, Any]) -> dict[str, Any]:
  """Returns keys of the original under their names of now."""
  known = set(configlib.defaults.flat)
  result = {}
  for key, value in yamlfile.leaves(keys):
    key = renames.RENAMED.get(key, key)
    if key in renames.DROPPED:
      continue
    if key not in known and re.fullmatch(r'[\w.]+', key):
      raise ConfigError(
          f"The original's key '{key}' is not here: put it into "
          'dreamerv2_tf/renames.py.')
    result[key] = value
  return result


def _lost(known: Iterable[str]) -> str:
  """Says which keys have other names or are gone."""
  lost = [
      f'`{key}`, now `{renames.RENAMED[key]}`' if key in renames.RENAMED else
      f'`{key}`, which is gone' for key in known
      if key in renames.RENAMED or key in renames.DROPPED]
  return f", but for {'; '.join(lost)}" if lost else ''


def _of_presets(theirs, other) -> Iterator[str]:
  """Yields a row for each value of a preset that is another one here."""
  for name, config in theirs.items():
    ours = configlib.resolve([name]).flat
    changed = [
        key for key, value in config.flat.items() if ours[key] != value
        and (key not in other or ours[key] != configlib.defaults.flat[key])]
    if name == 'debug':
      yield (
          f'| `{name}` | {len(changed)} keys | intervals of 300 and batches of '
          f'10 | all networks and intervals are small | {REASONS[name]} |')
    elif name != 'defaults':
      for key in changed:
        yield f'| `{name}` ' + _row(
            key, config.flat[key], ours[key], REASONS[f'{name} {key}'])


def _rows(page: str) -> str:
  """Returns the first cells of all tables of a page."""
  return '\n'.join(re.findall(r'^\| ([^|]*) \|', page, re.M))


def _row(key, there, here, why):
  return f'| `{key}` | {_shown(there)} | {_shown(here)} | {why} |'


def _shown(value):
  shown = schema.show(value) if value not in ('', {}) else 'empty'
  return f'`{_cell(shown)}`' if shown != 'empty' else shown


def _cell(words):
  """Returns a text as a cell of a table can hold it."""
  return words.replace('|', r'\|')


def _listed(names: Iterable[str]) -> str:
  """Returns keys, those of a group together."""
  groups: dict[str, list[str]] = {}
  for name in names:
    group, _, last = name.rpartition('.')
    groups.setdefault(group or name, []).append(last if group else '')
  return ', '.join(
      f"`{group}{'.' * any(rest)}{rest[0]}`" + ''.join(
          f', `.{x}`' for x in rest[1:]) for group, rest in groups.items())


if __name__ == '__main__':
  sys.exit(main())
