"""The comparison as text: tables of at most 80 columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import math
import textwrap
from typing import Any

from . import aggregates, protocol
from .protocol import frames
from .yours import ATARI

WIDTH = 80
FEW = 3  # Tasks whose curves are shown without being asked for.
SUITES = {ATARI: 'Atari', 'dmc': 'DeepMind Control from pixels'}
OTHERS = {'rainbow': 'Rainbow', 'iqn': 'IQN', 'c51': 'C51', 'dqn': 'DQN'}
KINDS = {'running': 'now'}  # Short names of checkpoints.
ABSENT = '-'


def lines(result: Mapping[str, Any], curves: bool = False) -> Iterator[str]:
  """Yields the lines of a comparison.

  Args:
    result: of `compare.compare`.
    curves: whether all curves are shown, and not only those of few tasks.
  """
  for one in result['paper']:
    yield from _section(one, curves)
  if result['highway']:
    yield from _road(result['highway'])


def number(value: float | None) -> str:
  """Writes a return or score: four digits, or all before the point."""
  if value is None or not math.isfinite(value):
    return ABSENT
  size = abs(value)
  digits = 0 if size >= 1000 else 1 if size >= 100 else 2
  return f'{value:z,.{digits}f}'


def span(pair: Sequence[float] | None) -> str:
  """Writes an interval."""
  return f'{number(pair[0])} to {number(pair[1])}' if pair else ABSENT


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]],
    left: int = 1) -> Iterator[str]:
  """Yields the lines of a table; its columns are as wide as they need.

  Args:
    head: names of the columns.
    rows: of cells.
    left: number of columns that begin at the left; numbers end at the right.
  """
  cells = [tuple(head), *map(tuple, rows)]
  widths = [max(map(len, column)) for column in zip(*cells)]
  for row in cells:
    yield '  '.join(
        x.ljust(width) if index < left else x.rjust(width)
        for index, (x, width) in enumerate(zip(row, widths))).rstrip()


def paragraph(text: str) -> list[str]:
  """Returns the lines of an item of a list."""
  return textwrap.wrap(
      text, WIDTH, initial_indent='- ', subsequent_indent='  ',
      break_on_hyphens=False)


def title(one: Mapping[str, Any]) -> str:
  """Returns what a section is about."""
  count, runs = len(one['tasks']), len(one['runs'])
  return (
      f"{SUITES[one['suite']]}: {one['method']}, {count} "
      f"{'game' if one['suite'] == ATARI else 'task'}{'s' * (count > 1)}, "
      f"{runs} run{'s' * (runs > 1)}")


def introduction(one: Mapping[str, Any]) -> list[str]:
  """Returns what the values of a section are, as lines."""
  smooth = {ATARI: 'ten bins of 1M', 'dmc': 'three bins of 0.03M'}
  single = {ATARI: 'bin of 1M', 'dmc': 'bin of 0.03M'}
  which = f"{smooth[one['suite']]} that end" if one['smooth'] else (
      f"{single[one['suite']]} that ends")
  return textwrap.wrap(
      'Frames are environment steps, the action repeat counted. A value is the '
      f'mean of the {which} there, over seeds. Apart: yours minus the '
      "paper's, in standard deviations of its seeds.", WIDTH)


def _section(one, curves):
  yield from textwrap.wrap(title(one), WIDTH)
  yield from introduction(one)
  compared = {k: x for k, x in one['tasks'].items() if x['rows']}
  if compared:
    yield ''
    yield from _last(one['suite'], compared)
  if curves or len(compared) <= FEW:
    yield from _ends(compared)
    for name, task in compared.items():
      yield from ['', f'{name}: the published points that your runs reached']
      yield from _curve(task['rows'])
  for entry in one['aggregates']:
    yield ''
    yield from _aggregates(entry, one['suite'])
  yield from _alike(one)
  yield ''


def _last(suite, tasks):
  """Yields a row for each task: its last point."""
  head = ['', 'frames', 'yours', 'seeds', 'paper', 'std', 'apart']
  head += ['gamer', 'paper'] if suite == ATARI else []
  rows = []
  for name, task in tasks.items():
    row = task['rows'][-1]
    cells = [
        name, frames(row['frames']), number(row['yours']),
        str(len(row['seeds'])), number(row['paper']), number(row['paper_std']),
        apart(row['distance'])]
    if task['normalised']:
      gamer = task['normalised']['gamer']
      cells += [number(gamer['yours']), number(gamer['paper'])]
    rows.append(cells)
  yield from table(head, rows)
  if suite == ATARI:
    yield 'gamer: normalised, 0 is a random policy and 1 a human gamer.'


def apart(distance: float | None) -> str:
  """Writes a distance in standard deviations."""
  return ABSENT if distance is None else f'{distance:+z.1f}'


def _ends(tasks):
  """Yields what is known of each published run at the end."""
  for name, task in tasks.items():
    end = task['end']
    if end:
      mine = number(end['yours']) + (
          f" ({span(end['ci95'])})" if end['ci95'] else '')
      theirs = end['paper_runs']
      yield from textwrap.wrap(
          f"{name}, at the end: {mine} against {number(end['paper'])} "
          f"({span(end['paper_ci95'])}, 95 %); above {end['above']} of the "
          f"paper's {len(theirs)} runs, {number(theirs[0])} to "
          f'{number(theirs[-1])}.', WIDTH, subsequent_indent='  ')


def _curve(rows):
  names = [x for x in OTHERS if any(x in row['others'] for row in rows)]
  head = ['frames', 'yours', '95 %', 'seeds', 'paper', 'std', 'apart']
  for count in 2, 1, 0:  # Other methods, as many as fit.
    shown = [*table(head + [OTHERS[x] for x in names[:count]], [[
        frames(row['frames']), number(row['yours']), span(row['ci95']),
        str(len(row['seeds'])), number(row['paper']), number(row['paper_std']),
        apart(row['distance']),
        *(number(row['others'].get(x)) for x in names[:count])]
        for row in rows], 0)]
    if max(map(len, shown)) <= WIDTH:
      break
  yield from shown


def _aggregates(entry, suite):
  yield from textwrap.wrap(aggregate_title(entry, suite), WIDTH)
  for head, rows in aggregate_tables(entry):
    yield from table(head, rows)
  for text in aggregate_notes(entry):
    yield from paragraph(text)


def aggregate_title(entry: Mapping[str, Any], suite: str) -> str:
  """Returns what aggregates are over."""
  count, what = len(entry['games']), 'games' if suite == ATARI else 'tasks'
  end = '.' if count == entry['of'] else (
      f": they say little of all {entry['of']}.")
  return (
      f"Aggregates over {count} of {entry['of']} {what} at "
      f"{frames(entry['frames'])}, yours and the paper's over the same "
      f'{what}{end}')


def aggregate_tables(
    entry: Mapping[str, Any]) -> Iterator[tuple[list[str], list[list[str]]]]:
  """Yields head and rows of a table for each order of averaging."""
  labels = dict(zip(aggregates.NAMES, aggregates.LABELS))
  for order in 'seeds_first', 'per_seed':
    scores = entry.get(order)
    if scores:
      yield (
          [order.replace('_', ' '), 'yours', '95 %', 'paper', '95 %',
           f"paper, all {entry['of']}"],
          [[labels.get(name, name), *cells]
           for name, *cells in _aggregate_cells(scores)])


def _aggregate_cells(scores):
  """Yields the name of each aggregate, yours, the paper's, and intervals."""
  forms: dict[str, Callable[[Any], str]] = {
      'ci95': span, 'paper': number, 'paper_ci95': span, 'paper_all': number}
  for name, value in scores['yours'].items():
    yield [name, number(value), *(
        form((scores[who] or {}).get(name)) for who, form in forms.items())]


def aggregate_notes(entry: Mapping[str, Any]) -> Iterator[str]:
  """Yields what has to be said of aggregates."""
  if entry['paired'] == 'single':
    yield (
        'One seed in each: both orders of yours are the same and no interval '
        'is known. One seed belongs beside the paper per seed.')
  elif entry['paired'] == 'some':
    yield 'Yours per seed are of the seeds that all of these games have.'
  elif entry['paired'] == 'order':
    yield (
        'Your games share no seed: per seed, the first of each game were '
        'taken together, then the second.')
  each = entry.get('per_seed')
  if each and each['paper'] is None:
    yield (
        'Per seed, the paper over some of its games is known at '
        f'{frames(protocol.LAST)} alone.')


def _alike(one):
  for title, items in remarks(one):
    yield from ['', title]
    for text in items:
      yield from paragraph(text)


def remarks(one: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
  """Yields headings and sentences on what is not alike in a section."""
  if one['notes']:
    yield 'Not alike', [sentence(x) for x in one['notes']]
  if one['settings_notes']:
    found = [
        f"{x['key']}: {x['yours']}, paper {x['paper']}"
        + f" ({x['note']})" * bool(x['note']) for x in one['differences']]
    yield 'Settings', one['settings_notes'] + (
        found or ['All settings that are known are the same.'])


def sentence(text: str) -> str:
  """Returns a text with a point at its end."""
  return text if text.endswith('.') else f'{text}.'


def _road(road):
  yield from [f"{road['task']}: {road_title(road)}", '']
  mine = [row for row in road['rows'] if row['yours']]
  mark = lambda row: str(mine.index(row) + 1) if row['yours'] else ''
  yield from table(
      ['', '', 'steps', '', 'seeds', 'return', '95 %', 'crash', 'm/s'], [[
          mark(row), cut(row['method'], 26), thousands(row['steps']),
          KINDS.get(row['kind'], row['kind']), str(len(row['seeds'])),
          number(row['return']),
          '{:.1f} to {:.1f}'.format(*row['return_ci95']),
          share(row['crash_rate']),
          ABSENT if row['speed'] is None else f"{row['speed']:.1f}"]
          for row in road['rows']], 2)
  yield ''
  for row in mine:
    yield from textwrap.wrap(
        f"{mark(row)}  yours: {row['label']} ({', '.join(row['places'])})",
        WIDTH, subsequent_indent='   ', break_on_hyphens=False)
  for start in range(0, len(mine), FEW):
    yield ''
    yield from _better(mine[start:start + FEW], mark)
  yield ''
  for text in road['notes']:
    yield from paragraph(text)
  yield ''


def _better(mine, mark):
  """Yields how likely yours are better than each of the published."""
  yield 'How likely an episode of yours is better than one of (95 %)'
  yield from table(['', *(f'yours {mark(row)}' for row in mine)], [
      [cut(name, 26 if len(mine) > 2 else 40),
       *(chance(row['better'][name]) for row in mine)]
      for name in mine[0]['better']])


def road_title(road: Mapping[str, Any]) -> str:
  """Returns what the returns in highway-env are of."""
  return (
      f"{road['episodes']} episodes a seed, scenarios from "
      f"{road['first_scenario']:,} on")


def share(value: float | None) -> str:
  """Writes a share in percent."""
  return ABSENT if value is None else f'{100 * value:.0f} %'


def chance(better: Mapping[str, Any]) -> str:
  """Writes a probability of improvement with its interval."""
  return '{:.2f} ({:.2f}-{:.2f})'.format(
      better['probability'], *better['ci95'])


def thousands(steps: int) -> str:
  """Writes a number of steps in thousands, nothing for none."""
  return f'{steps / 1000:.3g}k' if steps else ''


def cut(text: str, width: int) -> str:
  """Returns a text that is no wider; what is in brackets is cut first."""
  head, opened, tail = text.partition(' (')
  if len(text) > width and opened:
    text = f"{head} (…){tail.rpartition(')')[2]}"
  if len(text) <= width:
    return text
  end = width // 2
  return f'{text[:width - 1 - end]}…{text[-end:]}'
