"""The page of results.py: a table, actions, comparisons, commands, machines."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import results_names as names
from results_read import Row

HEAD = (
    'method', 'trained in', 'seeds', 'steps', 'checkpoint',
    'return, mean ± std', '95 %', 'IQM', '95 %', 'mean of each seed',
    'crashes', 'speed', 'training, minutes')
ABOUT = (
    'Made by `scripts/results.py`. Each row: {episodes} episodes for each '
    'seed, scenarios {first} to {last}, none of which was trained on. A return '
    'is the undiscounted sum of rewards of an episode, std that of the '
    'episodes. Intervals are bootstrapped, over seeds and episodes; with one '
    'seed, they say nothing of others. IQM is the mean of the middle half of '
    'the episodes. Steps are those of training that were asked for, prefill '
    'included; the checkpoint is the best one by the evaluations in training, '
    'or the last, of the steps that follow. Speed is in m/s, over all steps.')
TIMED = (
    r'\* With the evaluations in the course of training, which runs of earlier '
    'versions did not time; all other minutes are without.')
# Of highway-env, if all five are there, in its order.
ACTIONS = 'LANE_LEFT', 'IDLE', 'LANE_RIGHT', 'FASTER', 'SLOWER'


def page(
    task: str, rows: Sequence[Row], stats: Sequence[Mapping[str, Any]],
    against: Mapping[str, Sequence[Mapping | None]],
    scenarios: range) -> list[str]:
  """Returns the lines of a page in Markdown.

  Args:
    task: its heading.
    rows: the best first.
    stats: of each row.
    against: method -> for each row, `improvement` over it; None for itself.
    scenarios: of the evaluations.
  """
  lines = [f'# {task}', '', ABOUT.format(
      episodes=len(scenarios), first=scenarios[0], last=scenarios[-1]), '']
  lines += _table(HEAD, [_cells(*pair) for pair in zip(rows, stats)])
  if any(stat['inclusive'] for stat in stats):
    lines += ['', TIMED]
  lines += _actions(task, rows, stats)
  lines += _improvements(rows, stats, against)
  lines += ['', '## Commands', '', '```sh', *commands(rows), '```', '']
  lines += ['## Versions and machines', '', *machines(rows)]
  return [*lines, '']


def commands(rows: Sequence[Row]) -> Iterator[str]:
  """Yields each command once, and the seeds that it was given."""
  found = {}
  for row in rows:
    for run in row.runs:
      words, seed = names.without_seed(run['words'])
      texts = found.setdefault((run['program'], words), {})
      texts.setdefault(seed, names.line(run['program'], run['words']))
  for texts in found.values():
    first, *others = sorted(texts)
    also = f"  # and --seed {', '.join(others)}" if others else ''
    yield texts[first] + also


def machines(rows: Sequence[Row]) -> Iterator[str]:
  """Yields each set of versions and machine, with the methods that ran there.

  Besides, settings of runs that this version does not know.
  """
  found, unknown = {}, {}
  for row in rows:
    for run in row.runs:
      key = tuple(
          ', '.join(f'{k} {v}' for k, v in run[part].items() if v is not None)
          for part in ('versions', 'machine'))
      found.setdefault(key, {})[row.method] = None
      settings = ', '.join(f'`{k} {v}`' for k, v in run['unknown'].items())
      if settings:
        unknown.setdefault(settings, {})[
            f'{row.method} of {row.asked:,} steps, seed {run["seed"]}'] = None
  for key, methods in found.items():
    if any(key):
      yield f"- {', '.join(methods)}: {'; '.join(x for x in key if x)}"
  for settings, runs in unknown.items():
    runs = '; '.join(runs)
    yield f'- Trained with {settings}, unknown to this version: {runs}.'


def _table(head, rows):
  lines = [head, ['---'] * len(head), *rows]
  return ['| ' + ' | '.join(cells) + ' |' for cells in lines]


def _cells(row, stat):
  show = lambda x, form: '' if x is None else form.format(x)
  span = lambda pair: '{:.1f} to {:.1f}'.format(*pair)
  runs = row.runs
  seeds = [str(run['seed']) for run in runs if run['seed'] is not None]
  steps = _range([row.asked or run['step'] for run in runs])
  at = ', '.join(f"{run['step']:,}" for run in runs)
  learned = any(run['curve'] for run in runs)
  return [
      row.method, _range_of_words(run['simulator'] for run in runs),
      ', '.join(seeds), steps, row.checkpoint and f'{row.checkpoint}: {at}',
      f"{stat['return']:.2f} ± {stat['return_std']:.1f}",
      span(stat['return_ci95']), f"{stat['iqm']:.2f}", span(stat['iqm_ci95']),
      ', '.join(f'{x:.1f}' for x in stat['seed_returns']) * learned,
      percent(stat['crash_rate']), show(stat['speed'], '{:.1f}'),
      show(stat['seconds'] and stat['seconds'] / 60, '{:.0f}')
      + r' \*' * stat['inclusive']]


def percent(share: float | None) -> str:
  """Returns a share such as '3 %'; '' for None."""
  return '' if share is None else f'{100 * share:.0f} %'


def _range(values):
  low, high = min(values), max(values)
  return f'{low:,}' if low == high else f'{low:,} to {high:,}'


def _range_of_words(values):
  return ', '.join(dict.fromkeys(values))


def _title(row, rows):
  """Names a row where its steps and checkpoint have no columns."""
  same = [x for x in rows if x.method == row.method]
  parts = [row.method]
  if len({x.asked for x in same}) > 1:
    parts.append(f'{row.asked:,} steps')
  if len({x.checkpoint for x in same}) > 1:
    parts.append(row.checkpoint)
  return ', '.join(parts)


def _actions(task, rows, stats):
  """Returns the lines of a table of actions, if they are known of any row."""
  known = [
      (row, stat['actions']) for row, stat in zip(rows, stats)
      if stat['actions']]
  if not known:
    return []
  count = max(len(shares) for _, shares in known)
  head = [f'action {i}' for i in range(count)]
  if task.startswith('highway_') and count == len(ACTIONS):
    head = ACTIONS
  return ['', '## Actions', '', 'Share of each in all steps.', '', *_table(
      ['method', *head], [
          [_title(row, rows), *map(percent, shares),
           *[''] * (count - len(shares))] for row, shares in known])]


def _improvements(rows, stats, against):
  """Returns the lines of a table of probabilities of improvement."""
  if not against:
    return []
  lines = []
  episodes = [stat['episodes'] for stat in stats]
  for row, count, *found in zip(rows, episodes, *against.values()):
    lines.append([_title(row, rows), f'{count}', *(
        '{:.2f} ({:.2f} to {:.2f})'.format(x['probability'], *x['ci95'])
        if x else '' for x in found)])
  sizes = {row.method: count for row, count in zip(rows, episodes)}
  heads = [f'over {name}, n = {sizes[name]}' for name in against]
  return [
      '', '## Probability of improvement', '',
      'That an episode has a higher return than one of the best policy that '
      'does not learn: of those that observe nothing, and of those that plan '
      'by what they observe. All pairs of episodes are compared, equal ones '
      'count half (arXiv 2108.13264); n: episodes of each.', '',
      *_table(['method', 'n', *heads], lines)]
