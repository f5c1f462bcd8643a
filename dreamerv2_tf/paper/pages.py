"""The comparison as files: JSON, Markdown, CSV and pictures."""

from collections.abc import Iterator, Mapping, Sequence
import csv
import io
import json
import pathlib
import re
from typing import Any

from .. import files
from ..errors import ConfigError
from . import picture, published, text
from .protocol import frames
from .text import number, span
from .yours import ATARI

COLUMNS = (
    'suite', 'method', 'task', 'frames', 'yours', 'yours_low', 'yours_high',
    'yours_seeds', 'paper', 'paper_std', 'paper_seeds', 'apart',
    *published.BASELINES)


def check(outdir: pathlib.Path) -> None:
  """Refuses to begin what could not be written.

  Raises:
    ConfigError: the path is no folder.
  """
  if outdir.exists() and not outdir.is_dir():
    raise ConfigError(f"--outdir: '{outdir}' is no folder.")


def write(
    result: Mapping[str, Any], outdir: pathlib.Path) -> list[pathlib.Path]:
  """Writes `compare.json`, `compare.md`, `compare.csv` and pictures.

  Args:
    result: of `compare.compare`.
    outdir: is made if it is not there.

  Returns:
    The files.

  Raises:
    OSError: one can not be written.
  """
  outdir.mkdir(parents=True, exist_ok=True)
  pictures: dict[Any, pathlib.Path] = {}
  for one in result['paper']:
    if any(task['rows'] for task in one['tasks'].values()):
      name = _name(one['suite'], one['method'])
      path = outdir / f'{name}.png'
      if path in pictures.values():  # Of names that differ in odd letters.
        path = outdir / f'{name}-{len(pictures)}.png'
      picture.curves(one, text.title(one), path)
      pictures[one['suite'], one['method']] = path
  if result['highway']:
    path = outdir / 'highway.png'
    picture.road(result['highway'], path)
    pictures['highway'] = path
  names = 'json', 'md', 'csv'
  paths = [outdir / f'compare.{name}' for name in names]
  contents = (
      json.dumps(result, ensure_ascii=False, indent=1) + '\n',
      '\n'.join(page(result, pictures)) + '\n', sheet(result))
  for path, content in zip(paths, contents):
    files.write_text(path, content)
  return [*paths, *pictures.values()]


def sheet(result: Mapping[str, Any]) -> str:
  """Returns CSV: a row for each published point that your runs reached."""
  stream = io.StringIO()
  writer = csv.writer(stream, lineterminator='\n')
  writer.writerow(COLUMNS)
  for one in result['paper']:
    for name, task in one['tasks'].items():
      for row in task['rows']:
        writer.writerow([
            one['suite'], one['method'], name, row['frames'], row['yours'],
            *(row['ci95'] or ('', '')), len(row['seeds']), row['paper'],
            row['paper_std'], row['paper_seeds'],
            '' if row['distance'] is None else row['distance'],
            *(row['others'].get(x, '') for x in published.BASELINES)])
  return stream.getvalue()


def page(
    result: Mapping[str, Any],
    pictures: Mapping[Any, pathlib.Path]) -> Iterator[str]:
  """Yields the lines of a page in Markdown.

  Args:
    result: of `compare.compare`.
    pictures: (suite, method) or 'highway' to a file beside the page.
  """
  yield '# Compared with what is published'
  for one in result['paper']:
    yield from ['', f'## {text.title(one)}', '']
    yield from text.introduction(one)
    yield from _picture(pictures.get((one['suite'], one['method'])))
    yield from _tasks(one)
    for entry in one['aggregates']:
      yield from _aggregates(entry, one['suite'])
    for title, items in text.remarks(one):
      yield from ['', f'### {title}', '', *(f'- {x}' for x in items)]
  if result['highway']:
    yield from _road(result['highway'], pictures.get('highway'))
  if result['left_out']:
    yield from ['', '## Left out', '', *(
        f"- {x.removeprefix('Left out: ')}" for x in result['left_out'])]


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
  """Yields a table in Markdown, an empty line before it."""
  yield ''
  for cells in [head, ['---'] * len(head), *rows]:
    yield '| ' + ' | '.join(str(x).replace('|', r'\|') for x in cells) + ' |'


def _tasks(one):
  """Yields a table of the last points, and one of the ends."""
  rows = {k: x for k, x in one['tasks'].items() if x['rows']}
  games = one['suite'] == ATARI
  yield from table(
      ['task', 'frames', 'yours', '95 %', 'seeds', 'paper', 'std', 'apart'] + [
          'gamer normalised, yours', 'paper'] * games,
      [[name, frames(row['frames']), number(row['yours']), span(row['ci95']),
        len(row['seeds']), number(row['paper']), number(row['paper_std']),
        text.apart(row['distance']), *([
            number(task['normalised']['gamer'][who])
            for who in ('yours', 'paper')] if games else [])]
       for name, task in rows.items() for row in [task['rows'][-1]]])
  ends = {k: x['end'] for k, x in rows.items() if x['end']}
  if ends:
    yield from table(
        ['at the end (199M)', 'yours', '95 %', 'paper', '95 %',
         'its runs', 'yours is above'],
        [[name, number(x['yours']), span(x['ci95']), number(x['paper']),
          span(x['paper_ci95']),
          span((x['paper_runs'][0], x['paper_runs'][-1])),
          f"{x['above']} of {len(x['paper_runs'])}"]
         for name, x in ends.items()])


def _aggregates(entry, suite):
  yield from ['', text.aggregate_title(entry, suite)]
  for head, rows in text.aggregate_tables(entry):
    yield from table(head, rows)
  notes = [*text.aggregate_notes(entry)]
  if notes:
    yield from ['', *(f'- {x}' for x in notes)]


def _road(road, path):
  yield from ['', f"## {road['task']}", '', text.road_title(road)]
  yield from _picture(path)
  yield from table(
      ['', 'seeds', 'return', '95 %', 'IQM', '95 %', 'crashes', 'm/s'], [
          [('yours: ' if row['yours'] else '') + row['label'],
           len(row['seeds']), number(row['return']), span(row['return_ci95']),
           number(row['iqm']), span(row['iqm_ci95']),
           text.share(row['crash_rate']), number(row['speed'])]
          for row in road['rows']])
  mine = [row for row in road['rows'] if row['yours']]
  yield from [
      '', 'How likely an episode of yours is better than one of the published:']
  yield from table(['', *(row['label'] for row in mine)], [
      [name, *(text.chance(row['better'][name]) for row in mine)]
      for name in mine[0]['better']])
  yield from ['', *(f'- {x}' for x in road['notes'])]


def _picture(path):
  return ['', f'![]({path.name})'] if path else []


def _name(suite, method):
  return re.sub(r'[^\w.-]+', '-', f'{suite}-{method}').strip('-')[:100]
