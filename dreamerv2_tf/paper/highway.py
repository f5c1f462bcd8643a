"""Your evaluations in highway-env beside the results of this package.

The published ones are `results/highway_highway-fast-v0.json`, which
`scripts/results.py` writes; it is installed with the package.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import json
import pathlib
import shlex
from typing import Any, NamedTuple

import numpy as np

from .. import files, flags, pretrained, yamlfile
from ..curves import identity, runs, stats
from ..errors import StateError, brief
from .published import DATA
from .selfcheck import Check, Pair

TASK = 'highway_highway-fast-v0'
FIRST, EPISODES = 10_000, 100  # Scenarios of the published evaluations.
# Keys that an evaluation may change without leaving the task.
ACTING = 'eval_lookahead.', 'eval_noise', 'eval_state_mean'
# Policies that do not learn and are compared with.
POLICIES = 'observation_planner', 'slower_right', 'slower', 'random'


class Row(NamedTuple):
  """Evaluations of one method, a seed each.

  Attributes:
    method: what it is called.
    kind: which checkpoint: best, last, running; empty without learning.
    steps: of training that were asked for.
    seeds: of the runs.
    reached: step of what was evaluated, of each.
    episodes: of each seed, columns by name: return, length, crashed, speed.
    places: folders of the runs.
    shipped: name of the agent that comes with the package, or empty.
  """

  method: str
  kind: str
  steps: int
  seeds: list[str]
  reached: list[int]
  episodes: list[dict[str, Any]]
  places: tuple[str, ...] = ()
  shipped: str = ''

  @property
  def returns(self) -> list[np.ndarray]:
    """Returns [episodes] of each seed."""
    return [np.array(x['return'], float) for x in self.episodes]


def source() -> pathlib.Path:
  """Returns the file of the results: in the package, or in a source tree."""
  inside = DATA / f'{TASK}.json'
  outside = DATA.parents[2] / 'results' / inside.name
  return inside if inside.is_file() else outside


def published(path: pathlib.Path | None = None) -> list[Row]:
  """Returns the published results, the best first.

  Raises:
    StateError: the file is missing or damaged.
  """
  path = path or source()
  try:
    return [
        Row(x['method'], x['checkpoint'], x['steps'],
            [str(run['seed'] or 0) for run in x['runs']],
            [run['step'] for run in x['runs']],
            [run['per_episode'] for run in x['runs']],
            shipped=_shipped(x)) for x in json.loads(files.read(path))]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise StateError(f'{path}: no results: {brief(error)}') from None


def check(path: pathlib.Path | None = None) -> Check:
  """Computes the statistics of the published results from their episodes."""
  path = path or source()
  rows = published(path)
  told = [x['statistics'] for x in json.loads(files.read(path))]
  return Check(f'{TASK}: returns and crashes from their episodes', {
      f'{index}': [
          Pair(f'{row.method}, {name}', stat[name], measured[name], 2e-4)
          for name in ('return', 'crash_rate', 'episodes')]
      for index, (row, stat) in enumerate(zip(rows, told))
      for measured in [summary(row, 1)]})


def summary(row: Row, samples: int = stats.SAMPLES) -> dict[str, Any]:
  """Returns mean and IQM of the returns with 95 % intervals, and the rest.

  Args:
    row: of `published` or `yours`.
    samples: number of drawings, of seeds and of episodes of each.
  """
  returns = row.returns
  drawn = [*stats.resample(returns, samples)]
  means = [np.mean([x.mean() for x in groups]) for groups in drawn]
  middles = [stats.iqm(np.concatenate(groups)) for groups in drawn]
  return {
      'return': float(np.mean([x.mean() for x in returns])),
      'return_ci95': stats.interval(means),
      'iqm': stats.iqm(np.concatenate(returns)),
      'iqm_ci95': stats.interval(middles),
      'seeds': {
          seed: float(x.mean()) for seed, x in zip(row.seeds, returns)},
      'crash_rate': _mean(row, lambda x: np.mean(x['crashed'])),
      'speed': _mean(row, lambda x: np.average(
          x['speed'], weights=x['length'])),
      'episodes': sum(map(len, returns))}


def better(
    row: Row, others: Sequence[Row],
    samples: int = stats.SAMPLES) -> list[dict[str, Any]]:
  """How likely an episode of a method has a higher return than of others.

  Returns:
    For each of the others `probability` and `ci95`, bootstrapped over seeds and
    episodes of both.
  """
  ours = [np.concatenate(x) for x in stats.resample(row.returns, samples)]
  result = []
  for other in others:
    theirs = map(np.concatenate, stats.resample(other.returns, samples, 1))
    result.append({
        'probability': stats.improvement(
            np.concatenate(row.returns), np.concatenate(other.returns)),
        'ci95': stats.interval([
            stats.improvement(*pair) for pair in zip(ours, theirs)])})
  return result


def chosen(rows: Sequence[Row]) -> list[Row]:
  """Returns the published rows to compare with: learned, and POLICIES."""
  return [row for row in rows if row.steps or row.method in POLICIES]


def yours(
    found: Iterable[runs.Found], tell: Callable[[str], None]) -> list[Row]:
  """Returns the evaluations of runs that can stand beside the published.

  Args:
    found: of `curves.runs.once`.
    tell: takes what is left out, and why.
  """
  groups: dict[tuple, list] = {}
  for item in found:
    try:
      for key, entry in _evaluated(item, tell):
        groups.setdefault(key, []).append(entry)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
      tell(f'Left out: {item.place} can not be read: {brief(error)}')
  rows = []
  for (method, kind, asked), entries in groups.items():
    seeds, reached, episodes, places = zip(*entries)
    rows.append(Row(
        method, kind, asked, [*seeds], [*reached], [*episodes], places))
  return rows


def same_as(row: Row, others: Sequence[Row]) -> Row | None:
  """Returns the published row that has an episode for episode equal run."""
  near = lambda a, b: len(a) == len(b) and np.allclose(a, b, atol=1e-3)
  return next((
      other for other in others for a in row.returns for b in other.returns
      if near(a, b)), None)


def _evaluated(item, tell) -> Iterator[tuple[tuple, tuple]]:
  """Yields (method, kind, steps) and (seed, step, episodes, place) of a run."""
  folder = item.path.parent
  entries, others = {}, []
  for path in sorted(folder.glob('eval*.json')):
    try:
      record = _object(path)
      why = _unlike(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
      tell(f'{path}: passed over: {brief(error)}')
      continue
    step = record.get('step', int(item.last))  # Baselines have one state.
    if why:
      others.append(f' {path.name} has {why}.')
    else:
      entries[step] = (item.seed, step, record['per_episode'], str(folder))
  if not entries:
    tell(
        f'Left out: {folder} has no evaluation of {EPISODES} episodes on '
        f'scenarios from {FIRST} on.{"".join(others)} Make one: dreamerv2 eval '
        f'{shlex.quote(str(folder))}')
    return
  asked = _asked(folder)
  best = folder / 'checkpoints' / 'best.json'
  best = _object(best)['step'] if best.is_file() else None
  method = identity.identify(folder, tell, 'settings').method
  for step, entry in entries.items():
    kind = 'best' if step == best else 'last' if step >= asked else 'running'
    if kind != 'running' or step == max(entries):
      yield (method, kind, asked), entry


def _asked(folder):
  """Returns the steps that a run was asked for."""
  if (folder / 'record.json').is_file():
    return _object(folder / 'record.json')['steps']
  return int(yamlfile.read(folder / 'config.yaml')['steps'])


def _unlike(record):
  """Returns why an evaluation can not stand beside the published ones."""
  others = [
      chunk for chunk in flags.chunks(record.get('overrides', ()))
      if not flags.split(chunk)[0].startswith(ACTING)]
  if others:
    return f"other settings: {' '.join(sum(others, []))}"
  count, first = record['episodes'], record['seed']
  if (first, count) != (FIRST, EPISODES):
    return f'{count} from {first} on'
  values = np.array(record['per_episode']['return'], float)
  if values.shape != (EPISODES,) or not np.isfinite(values).all():
    return f'returns that are not {EPISODES} finite numbers'
  return ''


def _shipped(entry):
  """Returns the name of the agent that is the run of a published row."""
  for name in pretrained.names():
    card = _object(pretrained.find(name) / 'card.json')
    if entry['method'] == name and any(
        (run['seed'], run['step']) == (card['seed'], card['step'])
        for run in entry['runs']):
      return name
  return ''


def _mean(row, measure):
  """Returns the mean over seeds, None if a column is missing in one."""
  try:
    return float(np.mean([measure(x) for x in row.episodes]))
  except (KeyError, TypeError, ZeroDivisionError):
    return None


def _object(path: pathlib.Path) -> Mapping[str, Any]:
  return files.parse_object(files.read(path))


def label(row: Row) -> str:
  """Returns what a row is called, its steps and checkpoint behind."""
  steps = f' {row.steps // 1000:,}k' * bool(row.steps)
  return f"{row.method}{steps}{f' {row.kind}' * bool(row.kind)}"
