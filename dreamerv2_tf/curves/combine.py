"""One curve over all tasks: means, medians, normalised scores, counts.

Tasks are combined for each seed, before the seeds are. A seed counts only if
it has all tasks, as the mean of other tasks is another quantity.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import re
from typing import NamedTuple

import numpy as np

from . import bins
from .scores import Baseline, Run

Tell = Callable[[str], None]


class Combination(NamedTuple):
  """How scores of tasks become one number.

  Attributes:
    title: above the panel.
    reduce: [tasks, points] -> [points].
    human: pattern of the baseline that counts as 1, where a random policy is
      0; '' for plain scores.
    clip: whether a task counts no more than 1.
  """

  title: str
  reduce: Callable[[np.ndarray], np.ndarray]
  human: str = ''
  clip: bool = False


def _mean(x):
  return x.mean(0)


def _median(x):
  return np.median(x, 0)


GAMER, RECORD, RANDOM = 'human_gamer', 'record', '^random'
COMBINATIONS = {
    'mean': Combination('Mean of the tasks', _mean),
    'median': Combination('Median of the tasks', _median),
    'gamer_median': Combination('Gamer median', _median, GAMER),
    'gamer_mean': Combination('Gamer mean', _mean, GAMER),
    'record_mean': Combination('Record mean', _mean, RECORD),
    'clip_record_mean': Combination(
        'Clipped record mean', _mean, RECORD, True),
    'human_above': Combination(
        'Tasks at gamer level or above', lambda x: (x >= 1).sum(0) * 1.0,
        GAMER),
    'human_below': Combination(
        'Tasks at gamer level or below', lambda x: (x <= 1).sum(0) * 1.0,
        GAMER),
}
MOST = 5  # Tasks in a message.
SEEDS = 'seeds'  # The number of runs, a panel of another kind.
NAMES = (*COMBINATIONS, SEEDS)


def chosen(names: Iterable[str], runs: Iterable[Run], known: bool) -> list[str]:
  """Returns the panels to add.

  Args:
    names: of NAMES, 'none', or 'auto': several tasks combined, those of Atari
      normalised if that can be.
    runs: of all tasks.
    known: whether there are scores to normalise by.
  """
  tasks = {run.task for run in runs}
  auto = ['mean', 'median'] if len(tasks) > 1 else []
  if auto and known and any(task.startswith('atari_') for task in tasks):
    auto = ['gamer_median', 'gamer_mean', 'record_mean', 'clip_record_mean']
  result = []
  for name in names:
    result += auto if name == 'auto' else [name] * (name != 'none')
  return list(dict.fromkeys(result))


def combine(
    name: str, runs: Sequence[Run], levels: Sequence[Baseline], fill: str,
    tell: Tell) -> list[Run]:
  """Combines the tasks of each seed of each method.

  Args:
    name: a key of COMBINATIONS.
    runs: of all tasks and methods.
    levels: what is known of humans and random policies.
    fill: of `bins.stack`.
    tell: takes messages of what can not be combined.

  Returns:
    A run of each method and seed that has all tasks, `name` being its task.
  """
  way = COMBINATIONS[name]
  scales = _scales(runs, levels, way) if way.human else {}
  tasks = sorted({run.task for run in runs})
  if way.human:
    missing = [task for task in tasks if task not in scales]
    if missing:
      tell(
          f'Left out of normalised curves: {_few(missing)}, of which no score '
          f'file has random and {way.human}.')
    tasks = [task for task in tasks if task in scales]
  seeds: dict[tuple, dict] = {}
  for run in runs:
    if run.task in tasks:
      seeds.setdefault((run.method, run.seed), {})[run.task] = run
  result = []
  lacking: dict[tuple, list[str]] = {}
  for (method, seed), found in seeds.items():
    lack = [task for task in tasks if task not in found]
    if lack:
      lacking.setdefault((method, *lack), []).append(seed)
      continue
    xs, ys = bins.stack((found[task] for task in tasks), fill)
    values = np.stack([
        _scaled(y, scales.get(task, (0, 1)), way.clip)
        for task, y in zip(tasks, ys)])
    whole = np.isfinite(values).all(0)
    if whole.any():
      result.append(Run(
          name, method, seed, xs[whole], way.reduce(values[:, whole]),
          found[tasks[0]].path))
  for (method, *lack), some in lacking.items():
    tell(
        f"Left out of combined curves: seed{'s' * (len(some) > 1)} "
        f"{', '.join(some)} of {method}, without {_few(lack)}.")
  return result


def _few(names):
  return ', '.join(names[:MOST]) + ' ...' * (len(names) > MOST)


def levels_of(
    name: str, runs: Sequence[Run], levels: Sequence[Baseline]
) -> list[Baseline]:
  """Combines the levels of methods that have all tasks in the same way.

  Args:
    name: a key of COMBINATIONS.
    runs: whose tasks count.
    levels: of all methods.
  """
  way = COMBINATIONS[name]
  tasks = sorted({run.task for run in runs})
  scales = _scales(runs, levels, way) if way.human else {}
  tasks = [task for task in tasks if task in scales or not way.human]
  scores: dict[str, dict] = {}
  for level in levels:
    scores.setdefault(level.method, {})[level.task] = level
  return [
      Baseline(name, method, float(way.reduce(np.array([
          [_scaled(found[task].score, scales.get(task, (0, 1)), way.clip)]
          for task in tasks]))[0]), found[tasks[0]].path)
      for method, found in scores.items()
      if tasks and all(task in found for task in tasks)]


def count(runs: Sequence[Run]) -> list[Run]:
  """Returns, for each method, how many runs of all tasks got how far."""
  methods: dict[str, list] = {}
  for run in runs:
    methods.setdefault(run.method, []).append(run)
  result = []
  for method, group in methods.items():
    ends = np.array([run.xs[-1] for run in group])
    xs = np.unique([0, *ends])
    ys = (ends >= xs[:, None]).sum(1) * 1.0
    result.append(Run(SEEDS, method, '', xs, ys, group[0].path))
  return result


def _scales(
    runs: Sequence[Run], levels: Sequence[Baseline],
    way: Combination) -> Mapping[str, tuple[float, float]]:
  """Returns the scores of each task that count as 0 and as 1, where known."""
  result = {}
  for task in {run.task for run in runs}:
    low, high = (
        [x.score for x in levels if x.task == task and re.search(
            pattern, x.method)] for pattern in (RANDOM, way.human))
    if low and high and max(high) != min(low):
      result[task] = min(low), max(high)
  return result


def _scaled(values, scale, clip):
  low, high = scale
  values = (values - low) / (high - low)
  return np.minimum(values, 1) if clip else values
