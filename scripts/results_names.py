"""Names runs by what their settings are, and commands without their folders."""

from collections.abc import Iterable, Mapping, Sequence
import itertools
import pathlib
import re
import shlex
from typing import Any

from dreamerv2_tf import config as configlib
from dreamerv2_tf import flags, presets, schema, settings
from dreamerv2_tf.config import Config
from dreamerv2_tf.settings.run import LOGGING

# Settings that do not change what a run learns: how long it goes on, where it
# writes, how often it looks at itself and saves, where its work is done and
# when it gives up. All others may, those of acting in evaluation included.
BESIDE = {
    *LOGGING, 'logdir', 'seed', 'steps', 'deterministic', 'jit',
    'max_skipped_updates', 'envs_parallel', 'env_timeout', 'max_env_failures',
    'replay.ram'}
FOLDERS = 'logdir', 'outdir'  # Flags that are of no use to others.
MANY = 3  # Equal settings from which on they are written as one.


def method(
    config: Config, argv: Sequence[str],
    changed: Iterable[tuple[int, Mapping[str, Sequence]]] = ()) -> str:
  """Names what a run does: its preset, and where its settings differ from it.

  Args:
    config: its resolved settings.
    argv: command line of its first start, for the names of the presets alone.
    changed: of each later start, the step and dotted keys to [old, new].

  Returns:
    Such as 'highway_kinematics (discount 0.9)'.
  """
  chosen = [x for x in _presets(argv) if x in presets.presets()]
  base = configlib.resolve(chosen)
  parts = _shortened(differences(base, config), config)
  for step, pairs in changed:
    parts += [
        f'{key} {_show(old)} before step {step:,}'
        for key, (old, new) in pairs.items()
        if key not in BESIDE and key in settings.KEYS
        and None not in (old, new) and not _same(key, old, new)]
  name = ' '.join(chosen) or 'defaults'
  return name + (f" ({', '.join(parts)})" if parts else '')


def differences(base: Config, config: Config) -> dict[str, Any]:
  """Returns dotted keys to the values of `config` that are not those of base.

  Settings of BESIDE are left out. None stands for what is not set.
  """
  old, new = base.flat, config.flat
  # An open group without keys is a leaf.
  keys = [x for x in {**old, **new} if x not in BESIDE | {*settings.OPEN}]
  return {
      key: new.get(key) for key in keys
      if not _same(key, old.get(key), new.get(key))}


def portable(words: Sequence[str]) -> list[str]:
  """Returns a command line without folders of results and absolute paths.

  What lies in the home folder begins with `~`; of others the name is left.
  """
  result = list(itertools.takewhile(lambda x: not x.startswith('--'), words))
  for chunk in flags.chunks(words[len(result):]):
    if flags.split(chunk)[0] not in FOLDERS:
      result += chunk
  return [_without_root(word) for word in result]


def line(program: str, words: Sequence[str]) -> str:
  """Returns a command as a shell reads it; `~` stays without quotes."""
  quoted = [
      word if re.fullmatch(r'~(/[\w.-]+)+', word) else shlex.quote(word)
      for word in words]
  return ' '.join([program, *quoted])


def without_seed(words: Sequence[str]) -> tuple[tuple[str, ...], str]:
  """Returns a command line without its seed, and the seed, '' if not given."""
  first = list(itertools.takewhile(lambda x: not x.startswith('--'), words))
  seed = ''
  for chunk in flags.chunks(words[len(first):]):
    name, values = flags.split(chunk)
    if name == 'seed':
      seed = ' '.join(values)
    else:
      first += chunk
  return tuple(first), seed


def _presets(argv):
  words = [word for word in argv[1:] if word != 'train']
  return [
      name for chunk in flags.chunks(words)
      if flags.split(chunk)[0] == 'configs'
      for text in flags.split(chunk)[1] for name in text.split(',') if name]


def _without_root(word):
  home = str(pathlib.Path.home())
  word = re.sub(rf'(?<![^=,:]){re.escape(home)}(?=/|$)', '~', word)
  return re.sub(r'(?<![^=,:])/(?:[^/=,:]+/)*([^/=,:]+)', r'\1', word)


def _same(key, old, new):
  if 'auto' in (old, new) and key == 'precision':  # Runs store what it was.
    return True
  return _plain(key, old) == _plain(key, new)


def _plain(key, value):
  """Makes equal what means the same: lists and tuples, spellings of numbers."""
  rule = settings.KEYS.get(key)
  if rule and rule.form == 'schedule' and isinstance(value, str):
    return schema.read_schedule(value, key)
  if isinstance(value, list | tuple):
    return [_plain('', x) for x in value]
  return value


def _shortened(pairs, config):
  """Returns 'key value' of each pair; keys of one ending and value as one."""
  groups = {}
  for key, value in pairs.items():
    ending = key.rpartition('.')[2]
    groups.setdefault((ending, _show(value)), []).append(key)
  result = []
  for (ending, value), keys in groups.items():
    every = [x for x in config.flat if x.endswith(f'.{ending}')]
    if len(keys) >= MANY and {
        _show(config.flat[x]) for x in every} == {value}:
      keys = [f'all {ending}']
    result += [f'{key} {value}' for key in keys]
  return result


def _show(value):
  if isinstance(value, list | tuple):
    return ','.join(map(_show, value))
  if value is None:
    return 'not set'
  return f'{value:g}' if isinstance(value, float) else str(value)
