"""Compares your runs with what is published: all that the outputs show.

Results are plain dicts and lists, as JSON has them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import __version__
from ..curves import runs
from ..errors import ConfigError
from . import (
    aggregates,
    beside,
    differences,
    highway,
    overall,
    protocol,
    published,
    yours,
)
from .yours import ATARI, Mine

Tell = Callable[[str], None]
HUMANOID = 'humanoid_walk'  # Published apart from the other tasks.


def compare(
    found: Sequence[runs.Found], tell: Tell, metric: str = 'auto',
    smooth: bool = False) -> dict[str, Any]:
  """Returns your runs beside what is published.

  Args:
    found: of `curves.runs.once`.
    tell: takes a message for each run that is left out.
    metric: of the returns; auto: the one that is like the published.
    smooth: means of several bins (10 of Atari, 3 of DeepMind Control).

  Returns:
    `version`; `paper`: a section for each suite and method, of `section`;
    `highway`: see `on_the_road`, None without such runs; `left_out`: messages.

  Raises:
    ConfigError: nothing can be compared.
  """
  left_out = []
  def leave_out(text):
    left_out.append(text)
    tell(text)
  cars = [item for item in found if item.task == highway.TASK]
  others = [item for item in found if item.task != highway.TASK]
  mine = yours.read(others, leave_out, metric)
  sections = [
      section(suite, method, tasks, smooth)
      for (suite, method), tasks in yours.groups(mine).items()]
  road = on_the_road(highway.yours(
      [item for item in cars if not item.score], leave_out)) if cars else None
  if not sections and not road:
    raise ConfigError(
        'No run can be compared'
        + (': see above why.' if left_out else f'. {yours.PUBLISHED}'))
  return {
      'version': __version__, 'paper': sections, 'highway': road,
      'left_out': left_out}


def section(
    suite: str, method: str, tasks: Mapping[str, Sequence[Mine]],
    smooth: bool = False) -> dict[str, Any]:
  """Returns the runs of one method beside the paper's.

  Args:
    suite: atari or dmc.
    method: what your runs are called.
    tasks: name to runs, a seed each.
    smooth: of `compare`.

  Returns:
    `suite`, `method`, `smooth`; `runs`: where they are and how far they got;
    `tasks`: name to `rows` of `beside.compare`, `end` of `beside.end` and, of
    Atari, `normalised` scores at the last row; `aggregates`: of `overall`;
    `notes`; `differences` of the settings; `settings_notes`.
  """
  rows = {
      name: _rows(suite, name, mine, smooth) for name, mine in tasks.items()}
  finals = published.finals() if suite == ATARI else {}
  games = published.games() if suite == ATARI else {}
  everything = [run for mine in tasks.values() for run in mine]
  return {
      'suite': suite, 'method': method, 'smooth': smooth,
      'runs': [_told(run) for run in everything],
      'tasks': {
          name: {
              'rows': found,
              'end': beside.end(found, finals[name], smooth)
              if name in finals else None,
              'normalised': _normalised(found[-1], games[name])
              if found and games else None}
          for name, found in rows.items()},
      'aggregates': _aggregates(suite, rows, smooth),
      'notes': protocol.notes(suite, tasks, rows),
      'differences': [
          x._asdict() for x in differences.differences(everything, suite)],
      'settings_notes': protocol.settings_notes(suite, everything)}


def on_the_road(mine: Sequence[highway.Row]) -> dict[str, Any] | None:
  """Returns your evaluations in highway-env beside those of this package.

  Args:
    mine: of `highway.yours`.

  Returns:
    `task`; `rows`: the best first, each with `method`, `kind`, `steps`,
    `yours` (whether it is), `shipped`, `same_as`, what `highway.summary` has
    and, of yours, `better`: label of a published row to the probability of
    improvement; `notes`. None without runs of yours.
  """
  if not mine:
    return None
  results = highway.published()
  others = highway.chosen(results)
  rows = []
  for row in [*mine, *others]:
    entry = {
        'method': row.method, 'kind': row.kind, 'steps': row.steps,
        'label': highway.label(row), 'yours': bool(row.places),
        'shipped': row.shipped, 'places': list(row.places),
        'reached': row.reached, **highway.summary(row)}
    if row.places:
      same = highway.same_as(row, results)
      entry['same_as'] = highway.label(same) if same else None
      entry['better'] = dict(zip(
          map(highway.label, others), highway.better(row, others)))
    rows.append(entry)
  rows.sort(key=lambda x: -x['return'])
  return {
      'task': highway.TASK, 'episodes': highway.EPISODES,
      'first_scenario': highway.FIRST, 'rows': rows,
      'notes': [*protocol.road_notes(mine, rows)]}


def _rows(suite, name, mine, smooth):
  if suite == ATARI:
    return beside.compare(
        mine, published.curves()[name], beside.GRIDS[suite],
        published.baselines()[name], smooth)
  if name == HUMANOID:
    return beside.compare(
        mine, published.extra()[f'dmc_{name}'], beside.WIDE)
  return beside.compare(
      mine, published.dmc()[name], beside.GRIDS[suite], smooth=smooth)


def _normalised(row, game):
  """Returns the gamer and record normalised scores of yours and the paper."""
  return {
      human: {
          who: aggregates.normalised(row[who], game, human)
          for who in ('yours', 'paper')}
      for human in ('gamer', 'record')}


def _aggregates(suite, rows, smooth):
  """Returns aggregates at the last point that all tasks have.

  If not all tasks have that, those that come furthest follow by themselves.
  Of one task there are none.
  """
  rows = {
      name: found for name, found in rows.items()
      if found and name != HUMANOID}
  if len(rows) < 2:
    return []
  measure = overall.atari if suite == ATARI else overall.dmc
  furthest = max(found[-1]['frames'] for found in rows.values())
  far = {
      name: found for name, found in rows.items()
      if found[-1]['frames'] == furthest}
  common = overall.last_common(rows)
  result = [measure(rows, common, smooth)] if common else []
  if common != furthest and len(far) > 1:
    result.append(measure(far, furthest, smooth))
  return result


def _told(run):
  return {
      'task': run.task, 'name': run.name, 'seed': run.seed, 'place': run.place,
      'metric': run.metric, 'frames': run.reached,
      'points': len(run.frames)}
