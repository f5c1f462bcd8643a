"""Names runs by what their settings are."""

from collections.abc import Iterable, Mapping, Sequence
import itertools
from typing import Any

from .. import config as configlib
from .. import flags, presets, schema, settings
from ..config import Config
from ..settings.run import LOGGING

# Settings that do not change what a run learns: how long it goes on, where it
# writes, how often it looks at itself and saves, where its work is done and
# when it gives up. All others may, those of acting in evaluation included.
BESIDE = {
    *LOGGING, 'logdir', 'seed', 'steps', 'deterministic', 'jit', 'replicas',
    'max_skipped_updates', 'envs_parallel', 'env_timeout', 'max_env_failures',
    'replay.ram', 'min_collectors', 'collector_timeout', 'ray.address'}
MANY = 3  # Equal settings from which on they are written as one.


def method(
    config: Config, argv: Sequence[str],
    changed: Iterable[tuple[int, Mapping[str, Sequence]]] = (),
    unknown: Mapping[str, Any] | None = None) -> str:
  """Names what a run does: its preset, and where its settings differ from it.

  What is compared has one task, which the name does not say.

  Args:
    config: its resolved settings.
    argv: command line of its first start, for the names of the presets alone.
    changed: of each later start, the step and dotted keys to [old, new].
    unknown: settings of the run that this version does not have.

  Returns:
    Such as 'highway_kinematics (discount 0.9)'.
  """
  known = presets.presets()
  chosen = [x for x in _presets(argv) if x in known]
  base = configlib.resolve(chosen).update({'task': config.task})
  parts = _shortened(differences(base, config), config)
  for step, pairs in changed:
    parts += [
        f'{key} {_show(old)} before step {step:,}'
        for key, (old, new) in pairs.items()
        if key not in BESIDE and key in settings.KEYS
        and None not in (old, new) and not _same(key, old, new)
        and not _waited(key, old, new, step * config.action_repeat)]
  parts += [f'{key} {_show(value)}' for key, value in (unknown or {}).items()]
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


def _presets(argv):
  words = itertools.dropwhile(lambda x: not x.startswith('--'), argv[1:])
  return [
      name for chunk in flags.chunks([*words])
      if flags.split(chunk)[0] == 'configs'
      for text in flags.split(chunk)[1] for name in text.split(',') if name]


def _same(key, old, new):
  if key == 'precision' and 'auto' in (old, new):  # Runs store what it was.
    return True
  return _plain(key, old) == _plain(key, new)


def _waited(key, old, new, step):
  """Tells whether a schedule had its first value, the old one, up to a step."""
  if settings.KEYS[key].form != 'schedule' or not isinstance(new, str):
    return False
  name, (first, *rest) = schema.read_schedule(new, key)
  return (name == 'linear' and len(rest) == 3 and rest[2] >= step
          and not isinstance(old, str) and old == first)


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
