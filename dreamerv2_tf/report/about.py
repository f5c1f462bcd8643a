"""The page about a run, in Markdown for TensorBoard."""

from collections.abc import Mapping, Sequence
import json
import pathlib
import shlex
from typing import Any

from . import metrics

MOST = 60  # Characters of a value.


def page(
    task: str, presets: Sequence[str], changes: Mapping[str, tuple],
    starts: Sequence[Mapping], record: Mapping[str, Any]) -> str:
  """Describes a run.

  Args:
    task: its name.
    presets: that it was begun with.
    changes: dotted key to (value in these presets, value in the run).
    starts: of `run.json`: `time`, `step` and `argv` of each.
    record: of `run.json`: `versions` and `machine`.
  """
  named = ', '.join(f'`{name}`' for name in presets) or 'none (the defaults)'
  return '\n'.join([
      '# About this run', '',
      f'- Task: `{task}`', f'- Preset: {named}', '',
      '## What differs from the preset', '',
      *_changes(changes), '',
      '## Commands', '', *_commands(starts), '',
      '## Made with', '',
      '- ' + ', '.join(
          f'{name} {version}'
          for name, version in record.get('versions', {}).items() if version),
      '- ' + ', '.join(
          f'{name}: {value}'
          for name, value in record.get('machine', {}).items()), '',
      '## What the charts show', '',
      *[f'- **{name}**: {text}' for name, text in metrics.GROUPS.items()], '',
      'Each chart has a description with its unit. Steps on the axes are steps '
      'of the environment. Groups are in the order in which one reads: if '
      '`eval_return` rises, the agent learns; if not, look whether the world '
      'model does (`model_loss`), and then whether the actor still explores '
      '(`actor_ent`).'])


def presets_of(starts: Sequence[Mapping]) -> list[str]:
  """Returns the presets on the first command line that names some."""
  for start in starts:
    words = list(map(str, start.get('argv', ())))
    if '--configs' in words:
      rest = words[words.index('--configs') + 1:]
      ends = [i for i, word in enumerate(rest) if word.startswith('--')]
      return rest[:ends[0]] if ends else rest
  return []


def _changes(changes):
  if not changes:
    return ['Nothing.']
  return [
      '| setting | preset | this run |', '|---|---|---|',
      *[f'| `{key}` | {_cell(old)} | {_cell(new)} |'
        for key, (old, new) in changes.items()]]


def _cell(value):
  if value is None:
    return ''
  text = json.dumps(value, default=str, ensure_ascii=False)
  text = text if len(text) <= MOST else text[:MOST - 1] + '…'
  return f'`{text}`'.replace('|', '\\|')


def _commands(starts):
  lines = []
  for start in starts:
    words = list(map(str, start.get('argv', ())))
    ours = pathlib.PurePath(words[0] if words else '').name in (
        'dreamerv2', '__main__.py')
    command = shlex.join(['dreamerv2', *words[1:]] if ours else words)
    lines.append(
        f"- {start.get('time', '')}, from step {start.get('step', 0)}: "
        f'`{command}`')
  return lines or ['- unknown']
