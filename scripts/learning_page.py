"""The table and the curves of learning.py."""

from collections.abc import Iterator, Sequence
import math
import pathlib

from learned import Record, number, reached
import numpy as np
import results_names as names

from dreamerv2_tf.curves import draw, style
from dreamerv2_tf.curves.scores import Baseline, Run

HEAD = (
    'task', 'preset', 'observed', 'actions', 'steps', 'minutes', 'seeds',
    'return, mean ± std', 'random', 'target', 'reached')
ABOUT = (
    'Made by `scripts/learning.py`, which evaluates finished runs. Steps are '
    'those of the environment, prefill included; minutes are those of training '
    'on the machine below, mean over seeds. A return is the undiscounted sum '
    'of rewards of an episode: mean ± standard deviation over the episodes of '
    'each seed, played greedily in scenarios that no agent was trained on. '
    'Random actions played the same scenarios. A target is reached if the mean '
    'of every seed reaches it.')
SIZE = 3.0, 2.4  # Inches of a panel.
COLUMNS = 4
DPI = 110
CURVES = {'training': 'training', 'evaluation': 'evaluation'}
LEVELS = {'random': 'random actions', 'target': 'target'}


def page(records: Sequence[Record]) -> str:
  """Returns the page in Markdown."""
  lines = ['# What was learned', '', ABOUT, '', *_row(HEAD)]
  lines.append('|' + '---|' * len(HEAD))
  for record in records:
    lines += _row(cells(record))
  lines += ['', '![Return against environment steps](learning.png)', '']
  lines += ['## Targets', '', *_sources(records), '']
  if any(record['beside'] for record in records):
    lines += ['## Other methods', '', *_beside(records), '']
  lines += ['## Commands', '', '```sh', *_commands(records), '```', '']
  lines += ['## Versions and machines', '', *_machines(records)]
  return '\n'.join([*lines, ''])


def cells(record: Record) -> list[str]:
  """Returns the cells of a row of the table, those of HEAD."""
  minutes = record['minutes']
  aim = record['target']
  return [
      f"`{record['task']}`", record['preset'].replace('|', r'\|'),
      record['observation'], record['actions'], f"{record['steps']:,}",
      '' if minutes is None else f'{minutes:.1f}',
      ', '.join(map(str, record['seeds'])), returns(record),
      f"{number(record['random'])} ± {number(record['random_std'])}",
      '' if aim is None else number(aim), reached(record)]


def returns(record: Record) -> str:
  """Returns mean and standard deviation of each seed."""
  return '; '.join(
      f'{number(mean)} ± {number(std)}'
      for mean, std in zip(record['return'], record['std']))


def plot(records: Sequence[Record], path: pathlib.Path) -> None:
  """Draws a small panel for each record, seeds as lines of one color.

  Args:
    records: at least one.
    path: of the PNG.
  """
  titles = [style.title(record['task']) for record in records]
  panels = [
      draw.Panel(
          title if titles.count(title) == 1
          else f"{title}, {record['preset']}"[:40],
          list(_runs(record)), list(_levels(record, path)))
      for title, record in zip(titles, records)]
  colors = {
      **style.colors([*CURVES], ('contrast',), {
          'training': style.PALETTES['contrast'][4]}),
      **style.colors([*LEVELS], ('baselines',), {})}
  look = draw.Look(
      {**CURVES, **LEVELS}, colors, 'environment steps', 'return',
      agg=draw.LINES, size=SIZE, cols=COLUMNS, legendcols=4)
  draw.save(draw.figure(panels, look), path.with_suffix(''), DPI, ['png'])


def _runs(record) -> Iterator[Run]:
  for seed, curves in zip(record['seeds'], record['curves']):
    for name in CURVES:
      points = np.array(curves[name], float).reshape(-1, 2)
      if len(points):
        yield Run(
            record['task'], name, str(seed), points[:, 0], points[:, 1],
            pathlib.Path())


def _levels(record, path) -> Iterator[Baseline]:
  for name in LEVELS:
    if record[name] is not None and math.isfinite(record[name]):
      yield Baseline(record['task'], name, record[name], path)


def _row(values):
  return ['| ' + ' | '.join(values) + ' |']


def _sources(records):
  """Yields where targets are from, each source once."""
  found: dict[str, list[str]] = {}
  for record in records:
    if record['target'] is not None:
      text = f"`{record['task']}` {number(record['target'])}"
      texts = found.setdefault(record['target_source'], [])
      texts += [text] * (text not in texts)
  for source, texts in found.items():
    yield f"- {', '.join(texts)}: {source}"
  missing = sorted({
      f"`{x['task']}`" for x in records if x['target'] is None})
  if missing:
    yield f"- {', '.join(missing)}: none is known"


def _beside(records):
  yield from _row(('task', 'method', 'steps', 'return, mean of each seed'))
  yield '|---|---|---|---|'
  for task in dict.fromkeys(record['task'] for record in records):
    some = next(x['beside'] for x in records if x['task'] == task)
    for other in some:
      yield from _row((
          f'`{task}`', other['method'], f"{other['steps']:,}",
          ', '.join(map(number, other['return']))))


def _commands(records):
  """Yields the command of each record with its seeds."""
  for record in records:
    seeds = ', '.join(map(str, record['seeds']))
    line = names.line('dreamerv2', record['command'])
    yield f'{line}  # --seed {seeds}'


def _machines(records):
  """Yields each set of versions and machine, with what ran there."""
  found: dict[str, dict[str, None]] = {}
  for record in records:
    text = '; '.join(
        ', '.join(f'{k} {v}' for k, v in record[part].items() if v is not None)
        for part in ('versions', 'machine'))
    found.setdefault(text, {})[f"`{record['task']}`"] = None
  for text, tasks in found.items():
    yield f"- {', '.join(tasks)}: {text}"
