"""YAML from files and flags that may be damaged or hostile: plain data only."""

from collections.abc import Iterator, Mapping
import io
import os
from typing import Any

from . import files
from .errors import ConfigError

# Far above any configuration; reading this much takes less than a second.
MAX_BYTES = 1_000_000
MAX_NODES = 10_000
MAX_DEPTH = 50


def read(path: str | os.PathLike) -> dict[str, Any]:
  """Reads a mapping from a file.

  Raises:
    ConfigError: no such file, larger than 1 MB, empty, no mapping, or what
      `parse` refuses.
  """
  try:
    with files.open_regular(path) as file:
      content = file.read(MAX_BYTES + 1)
  except OSError as error:
    raise ConfigError(f'{path}: {error.strerror}.') from None
  if len(content) > MAX_BYTES:
    raise ConfigError(
        f'{path}: larger than {MAX_BYTES} bytes; this is no configuration.')
  try:
    data = parse(content.decode())
  except UnicodeDecodeError:
    raise ConfigError(f'{path}: not UTF-8 text.') from None
  except ConfigError as error:
    raise ConfigError(f'{path}: {error}') from None
  if not isinstance(data, dict) or not data:
    raise ConfigError(f'{path}: empty, or no mapping of keys to values.')
  return data


def parse(text: str) -> Any:
  """Parses a document.

  Raises:
    ConfigError: invalid YAML, tags of Python, duplicate keys, too much or too
      deep, or aliases, which can expand without bound.
  """
  from ruamel.yaml.error import YAMLError
  try:
    return _loader().load(text)
  except (YAMLError, ValueError, KeyError, RecursionError) as error:
    lines = str(error).splitlines()
    problem = getattr(error, 'problem', None) or (lines or ['unreadable'])[0]
    mark = getattr(error, 'problem_mark', None)
    where = f' in line {mark.line + 1}' if mark else ''
    raise ConfigError(f'Invalid YAML{where}: {problem}.') from None


def dump(data: dict[str, Any]) -> str:
  """Returns the text of plain nested dicts and lists, in their order."""
  stream = io.StringIO()
  yaml = _loader()
  yaml.default_flow_style = False
  yaml.sort_base_mapping_type_on_output = False
  yaml.dump(data, stream)
  return stream.getvalue()


def leaves(
    mapping: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
  """Yields dotted keys and values; an empty mapping is a leaf, too.

  Raises:
    ConfigError: a key is no text, or empty, or this is no mapping.
  """
  if not isinstance(mapping, Mapping):
    raise ConfigError(
        f"Expected a dict such as {{'steps': 5}}, got {mapping!r:.80}.")
  for key, value in mapping.items():
    if not isinstance(key, str) or not key:
      raise ConfigError(f"'{prefix}{key}': keys must be text.")
    if not isinstance(value, Mapping):
      yield prefix + key, value
    elif value:
      yield from leaves(value, f'{prefix}{key}.')
    else:
      yield prefix + key, {}


def _loader():
  from ruamel import yaml  # Here, so that workers start without it.

  class Composer(yaml.composer.Composer):
    nodes = depth = 0

    def compose_node(self, parent, index):
      self.nodes += 1
      self.depth += 1
      problem = (
          'aliases (*name) are not taken; write the value out'
          if self.parser.check_event(yaml.events.AliasEvent)
          else f'more than {MAX_NODES} keys and values'
          if self.nodes > MAX_NODES
          else f'nested deeper than {MAX_DEPTH}'
          if self.depth > MAX_DEPTH else None)
      if problem:
        mark = self.parser.peek_event().start_mark
        raise yaml.composer.ComposerError(problem=problem, problem_mark=mark)
      node = super().compose_node(parent, index)
      self.depth -= 1
      return node

  result = yaml.YAML(typ='safe', pure=True)
  result.Composer = Composer
  return result
