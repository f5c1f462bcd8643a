"""The configuration: immutable, typed by its defaults, set by presets, flags.

`resolve` merges presets of `configs.yaml` in order, then command-line flags.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import inspect
import os
import re
from typing import Any

from . import files, renames, schema, yamlfile
from .errors import ConfigError, plainly
from .flags import chunks, of_script, split, value_of_flag
from .presets import presets
from .schema import Key, suggest
from .settings import KEYS, OPEN, is_open


class Config(Mapping):
  """An immutable tree of settings with attribute, item and dotted access.

  `config.rssm.deter`, `config['rssm']['deter']` and `config['rssm.deter']`
  are the same; `**config.rssm` passes a group as arguments. Lists become
  tuples. Two configurations are equal if their settings are.
  """

  __slots__ = ('_data',)

  def __init__(self, mapping: Mapping[str, Any] | None = None):
    """Builds the tree.

    Args:
      mapping: nested or dotted keys to values; later keys win.

    Raises:
      ConfigError: a key is no text, or a value no bool, number, text, list,
        mapping or None.
    """
    data = {}
    for key, value in yamlfile.leaves(mapping or {}):
      _insert(data, key, _frozen(key, value))
    object.__setattr__(self, '_data', {
        k: Config(v) if isinstance(v, dict) else v for k, v in data.items()})

  def __getitem__(self, key: str) -> Any:
    value = self
    for part in key.split('.'):
      if not isinstance(value, Config):
        raise KeyError(key)
      value = value._data[part]
    return value

  def __getattr__(self, name: str) -> Any:
    if name in Config.__slots__ or name not in self._data:
      raise AttributeError(f"The configuration has no key '{name}'.")
    return self._data[name]

  def __setattr__(self, name: str, value: Any):
    raise AttributeError(
        f"The configuration is immutable; use update({{'{name}': ...}}).")

  def __iter__(self) -> Iterator[str]:
    return iter(self._data)

  def __len__(self) -> int:
    return len(self._data)

  def __reduce__(self):
    return Config, (self.to_dict(),)

  def __repr__(self) -> str:
    return f'Config({self.to_dict()})'

  @property
  def flat(self) -> dict[str, Any]:
    """Dotted names of all leaves and their values; lists are tuples."""
    return dict(yamlfile.leaves(self))

  def taken_by(self, target: Callable) -> dict[str, Any]:
    """Returns the settings that are keyword-only arguments of a callable.

    So `WorldModel(..., **config.taken_by(WorldModel))` gives a part what it
    takes. Its other arguments are no settings, whatever they are called.
    """
    return {
        name: self[name]
        for name, given in inspect.signature(target).parameters.items()
        if given.kind is given.KEYWORD_ONLY and name in self}

  def update(self, mapping: Mapping[str, Any]) -> 'Config':
    """Returns a copy with some values changed.

    Args:
      mapping: nested, dotted or regular-expression keys to values, applied in
        order. Text is read as the type of the setting, for keys that are no
        settings as that of the value before; 2e2 may be a whole number.

    Raises:
      ConfigError: no such key, or a value of another type.
    """
    data = self.to_dict()
    for name, value in yamlfile.leaves(mapping):
      for key in self.match(name):
        if key in OPEN and value != {}:
          raise ConfigError(
              f"'{key}' is a group of keys but got {schema.show(value)}.")
        if not is_open(key):
          rule = KEYS.get(key) or Key.like(self[key])
          _insert(data, key, schema.convert(key, rule, value, self[key]))
        else:
          _insert(data, key, value)
    return Config(data)

  @plainly
  def parse_flags(self, argv: Sequence[str] | None = None) -> 'Config':
    """Returns a copy with what a command line changes.

    Args:
      argv: words such as '--steps', '1e5', or presets after '--configs'; None:
        those of this script. In a notebook and under pytest, whose words are
        not meant for it, there are none.

    Raises:
      ConfigError: an unknown preset or key, wrong type, or out of range.
      SystemExit: `--help` is among them; says where help is.
    """
    words = of_script() if argv is None else argv
    if {'-h', '--help'} & {*words}:
      print(
          'Flags: [--configs PRESET ...] [--any.key VALUE] ...\n'
          'All keys and presets: dreamerv2 --help')
      raise SystemExit(0)
    _, names, overrides = parse({}, words)
    return resolve(names, overrides, self)

  def match(self, name: str, flags: Sequence[str] = ()) -> list[str]:
    """Returns the keys that a dotted name or regular expression means.

    Args:
      name: with a character outside [A-Za-z0-9_.-], a regular expression that
        is matched from the start against all keys but the open ones.
      flags: further names to suggest when there is no such key.

    Raises:
      ConfigError: none.
    """
    if is_open(name):
      return [name]
    leaves = [key for key in self.flat if not is_open(key)]
    if re.search(r'[^A-Za-z0-9_.-]', name):
      try:
        found = [key for key in leaves if re.match(name, key)]
      except re.error as error:
        raise ConfigError(
            f"'{name}' is no valid regular expression: {error}.") from None
      if not found:
        raise ConfigError(f"No key matches the regular expression '{name}'.")
      return found
    if name in leaves:
      return [name]
    inside = [key for key in leaves if key.startswith(name + '.')]
    if inside:
      raise ConfigError(
          f"'{name}' is a group of keys; set one of {', '.join(inside)}.")
    groups = {key.rpartition('.')[0] for key in leaves} - {''}
    near = suggest(name, leaves, flags, groups) or ' All: dreamerv2 --help.'
    raise ConfigError(f"Unknown key '{name}'.{near}")

  def to_dict(self) -> dict[str, Any]:
    """Returns plain nested dicts and lists."""
    return _plain(self)

  def save(self, path: str | os.PathLike) -> None:
    """Writes YAML, whole or not at all.

    Raises:
      OSError: the disk is full or the folder not writable.
    """
    files.write_text(path, yamlfile.dump(self.to_dict()))

  @classmethod
  def load(cls, path: str | os.PathLike) -> 'Config':
    """Reads a file of `save`, over the defaults.

    Keys that only another version knows are left out, with a warning, so that
    its run folders stay of use.

    Raises:
      ConfigError: no such file, no valid YAML or wrong type.
    """
    return cls.restore(yamlfile.read(path), path)

  @classmethod
  def restore(
      cls, data: Mapping[str, Any], path: str | os.PathLike,
      warn: bool = True) -> 'Config':
    """Returns stored settings over the defaults, as `load` does.

    Args:
      data: content of a file of `save`.
      path: of the file, for messages.
      warn: of keys that only another version knows.

    Raises:
      ConfigError: wrong type.
    """
    config = Config(presets()['defaults'])
    try:
      return config.update(renames.known(data, config.flat, path, warn))
    except ConfigError as error:
      raise ConfigError(f'{path}: {error}') from None


def __getattr__(name: str) -> Any:
  """Returns `defaults`, a Config, and `configs`, preset -> changes of it."""
  if name == 'defaults':
    return Config(presets()['defaults'])
  if name == 'configs':
    return {k: dict(v) for k, v in presets().items() if k != 'defaults'}
  raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def check(config: Config) -> None:
  """Refuses what is no configuration, or has values out of range.

  Raises:
    ConfigError: that is so.
  """
  if not isinstance(config, Config):
    raise ConfigError(
        'config must be a configuration, such as dv2.defaults.update({...}) or '
        f'dv2.resolve([...]), but is of the type {type(config).__name__}.')
  schema.check(config, KEYS)


@plainly
def resolve(
    names: Sequence[str] = (), overrides: Sequence[str] = (),
    base: Config | None = None, flags: Sequence[str] = ()) -> Config:
  """Merges presets in order, then flags, and checks the result.

  Args:
    names: presets; a name may hold several, separated by commas.
    overrides: arguments of the command line, such as '--rssm.deter', '200'.
    base: what is changed; by default, the preset `defaults`.
    flags: further flags to suggest when a key is unknown.

  Raises:
    ConfigError: unknown preset or key, wrong type, or a value out of range.
  """
  known = presets()
  config = Config(known['defaults']) if base is None else base
  for name in (x for text in names for x in text.split(',') if x):
    if name not in known:
      raise ConfigError(
          f"Unknown preset '{name}'.{suggest(name, known)} "
          f'Presets: {", ".join(known)}.')
    config = config.update(known[name])
  for chunk in chunks(overrides):
    name, words = split(chunk)
    config = config.update({
        key: value_of_flag(key, KEYS.get(key), words)
        for key in config.match(name, flags)})
  schema.check(config, KEYS)
  return config


def parse(
    flags: Mapping[str, tuple[Any, str]],
    arguments: Sequence[str]) -> tuple[Config, list[str], list[str]]:
  """Parses a command line up to the keys of the configuration.

  Args:
    flags: of the command, name -> default, of the type it has, description.
    arguments: words of the command line.

  Returns:
    The values of the flags, the presets of `--configs`, and the other words,
    for `resolve`.

  Raises:
    ConfigError: a flag has no value, too many or one of a wrong type.
  """
  options = {name: default for name, (default, _) in flags.items()}
  names, overrides = [], []
  for chunk in chunks(arguments):
    name, words = split(chunk)
    if name == 'configs':
      if not words:
        raise ConfigError("'--configs' needs the name of a preset.")
      names += words
    elif name in options:
      rule = Key.like(options[name])
      options[name] = schema.convert(
          name, rule, value_of_flag(name, rule, words), options[name])
    else:
      overrides += chunk
  return Config(options), names, overrides


def _insert(data, key, value):
  """Puts a leaf into nested dicts; an empty group keeps what is in it."""
  *path, last = key.split('.')
  for part in path:
    if not isinstance(data.get(part), dict):
      data[part] = {}
    data = data[part]
  if value != {} or not isinstance(data.get(last), dict):
    data[last] = value


def _frozen(key, value):
  """The value with lists as tuples and mappings in lists as Config."""
  if isinstance(value, (list, tuple)):
    return tuple(
        Config(x) if isinstance(x, Mapping) else _frozen(key, x)
        for x in value)
  if value is None or isinstance(value, (bool, int, float, str, dict)):
    return value
  raise ConfigError(
      f"'{key}' must be a number, text, list, mapping or null but is "
      f'{schema.show(value)}, a {type(value).__name__}.')


def _plain(value):
  if isinstance(value, Mapping):
    return {k: _plain(v) for k, v in value.items()}
  return [_plain(x) for x in value] if isinstance(value, tuple) else value
