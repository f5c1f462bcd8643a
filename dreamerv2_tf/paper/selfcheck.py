"""Computes the paper's printed numbers again, from the runs of each seed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
import os
from typing import NamedTuple

import numpy as np

from ..errors import StateError
from . import aggregates, published
from .published import DATA, LAST, SEEDS

PRINTED = 0.01  # Table 1 has two decimals.
SLACK = 1e-6  # Half a unit may be rounded up or down, and 0.1 is no float.
MOST = 5  # Problems that are told of one check.
SCHEDULES = 4  # Runs of that variant in each game.
PER_SEED = '_recomputed_aggregate_then_seeds'  # In names of the table.


class Pair(NamedTuple):
  """A number that is printed, and what was computed for it.

  Attributes:
    what: where it stands.
    printed, computed: both numbers.
    unit: of the last printed digit.
  """

  what: str
  printed: float
  computed: float
  unit: float

  @property
  def agrees(self) -> bool:
    """Whether the computed number rounds to the printed one."""
    off = abs(self.printed - self.computed)  # False for NaN.
    return bool(off <= self.unit / 2 + SLACK * max(1, abs(self.printed)))


class Check(NamedTuple):
  """A check: what is computed, a unit of what it counts, and its numbers.

  Attributes:
    name: what is computed, from what.
    parts: name of each part, such as a game, to its numbers.
  """

  name: str
  parts: dict[str, list[Pair]]

  @property
  def good(self) -> int:
    """Number of parts of which all numbers agree."""
    return sum(all(x.agrees for x in part) for part in self.parts.values())

  @property
  def passed(self) -> bool:
    """Whether there are parts, and all agree."""
    return self.good == len(self.parts) > 0

  def problems(self) -> Iterator[str]:
    """Yields a line for each number that does not agree."""
    for part in self.parts.values():
      for pair in part:
        if not pair.agrees:
          yield (f'{pair.what}: computed {pair.computed:.6g}, '
                 f'expected {pair.printed:.6g}')


def check(folder: str | os.PathLike = DATA) -> list[Check]:
  """Returns all checks of the tables in a folder.

  Raises:
    StateError: a table is missing or damaged.
  """
  games = published.games(folder=folder)
  variants = {}
  for name, count in ('dreamerv2', SEEDS), ('schedules', SCHEDULES):
    variants[name] = {
        game: [end.score for _, end in sorted(seeds.items())]
        for game, seeds in published.finals(name, folder=folder).items()}
    for game, runs in variants[name].items():
      if len(runs) != count:
        raise StateError(
            f'{folder}: {game} has {len(runs)} runs of {name}, expected '
            f'{count}.')
  try:
    return _checks(games, variants, folder)
  except KeyError as error:
    raise StateError(f'{folder}: a table lacks {error}.') from None


def _checks(games, variants, folder):
  return [
      *_scores(games, variants['dreamerv2']),
      _table_1(games, variants, folder), _orders(games, variants, folder),
      *_curves(games, variants['dreamerv2'], folder), _dmc(folder)]


def lines(checks: Iterable[Check]) -> Iterator[str]:
  """Yields the report: a line for each check, and for what does not agree."""
  for one in checks:
    yield f'{one.name:<66} {one.good} of {len(one.parts)}'
    problems = list(one.problems())
    yield from (f'  {x}' for x in problems[:MOST])
    if len(problems) > MOST:
      yield f'  ... and {len(problems) - MOST} more'


def aggregate_lines(checks: Iterable[Check]) -> Iterator[str]:
  """Yields the aggregates as computed, and what the paper prints behind."""
  for one in checks:
    if any(len(part) != len(aggregates.NAMES) for part in one.parts.values()):
      continue
    yield f"{'':20}{''.join(f'{x:>15}' for x in aggregates.LABELS)}"
    for part, pairs in one.parts.items():
      label = part.replace(f'dreamerv2{PER_SEED}', 'per seed').replace(
          PER_SEED, ' per seed').replace('dreamerv2_', '').replace('_', ' ')
      cells = [
          f'{x.computed:.3f}' + f' ({x.printed:.2f})' * (x.unit == PRINTED)
          for x in pairs]
      yield f"{label:20}{''.join(f'{x:>15}' for x in cells)}"


def _scores(games, runs) -> Iterator[Check]:
  """Table K.1: the means over seeds, and the columns of other scores."""
  yield Check(
      f'Table K.1, DreamerV2: mean of {SEEDS} seeds at {LAST // 10**6}M frames',
      {name: [Pair(name, game.printed, np.mean(runs[name]), 1)]
       for name, game in games.items()})
  computed = lambda game: {
      'random': game.random, 'gamer': game.gamer, 'record': game.record,
      **game.baselines}
  yield Check(
      'Table K.1, other columns: random, gamer, record, Rainbow, IQN',
      {name: [Pair(f'{name}, {column}', value, computed(game)[column], 1)
              for column, value in game.others.items()]
       for name, game in games.items()})


def _table_1(games, variants, folder):
  """Table 1: of DreamerV2, its variant with schedules and other methods."""
  computed = {
      'dreamerv2': aggregates.seeds_first(variants['dreamerv2'], games),
      'dreamerv2_schedules': aggregates.seeds_first(
          variants['schedules'], games)}
  for name in published.BASELINES:
    computed[name] = aggregates.seeds_first(
        {x: [game.baselines[name]] for x, game in games.items()}, games)
  printed = _rows(folder, lambda row: (
      row['kind'] == 'printed' and row['method'] in computed))
  return Check(
      'Table 1, seeds first: aggregates over 55 games',
      _parts(printed, computed, PRINTED))


def _orders(games, variants, folder):
  """What is not printed: an aggregate for each seed, then the mean."""
  computed = {}
  for name, label in ('dreamerv2', ''), ('schedules', '_schedules'):
    mean, std = aggregates.per_seed(variants[name], games)
    computed[f'dreamerv2{label}{PER_SEED}'] = mean
    computed[f'dreamerv2{label}{PER_SEED}_std'] = std
  rows = _rows(folder, lambda row: row['method'] in computed)
  return Check(
      'Per seed: aggregates of each seed, their mean and std',
      _parts(rows, computed, 0.001))


def _curves(games, runs, folder) -> Iterator[Check]:
  """The aggregates along the curves, and the ends of these."""
  curves = published.curves(folder=folder)
  grid = {}
  for name, points in curves.items():
    for point in points:
      grid.setdefault(point.frames, {})[name] = [point.mean]
  parts = {}
  for row in published.table('atari_aggregate_curves', folder=folder):
    frames = round(float(row['env_frames_m']) * 1e6)
    found = aggregates.seeds_first(grid[frames], games)
    parts[str(frames)] = [
        Pair(f'{name} at {frames:,} frames',
             float(row[f'dreamerv2_seeds_first_{name}']), found[name], 0.001)
        for name in aggregates.NAMES] + [
        Pair(f'games at {frames:,} frames', len(games), len(grid[frames]), 0)]
  yield Check('Curves, seeds first: aggregates at each point', parts)
  others = published.baselines(folder=folder)
  near = lambda what, one, other: Pair(what, one, other, 1e-4 * abs(one) + 1e-2)
  yield Check(
      'Curves end where the scores are, of five methods',
      {name: [near(name, np.mean(runs[name]), curves[name][-1].mean), *(
          near(f'{name}, {x}', games[name].baselines[x], curve[LAST])
          for x, curve in others[name].items())] for name in games})


def _dmc(folder):
  """The mean over the tasks of DeepMind Control at each number of steps."""
  curves = published.dmc(folder=folder)
  means = curves.pop('ALL20_mean')
  curves.pop('ALL20_median')
  return Check(
      'DeepMind Control: mean over 20 tasks at each number of steps', {
          str(point.frames): [Pair(
              f'mean at {point.frames:,} steps', point.mean, np.mean([
                  x.mean for curve in curves.values() for x in curve
                  if x.frames == point.frames]), 0.01)]
          for point in means})


def _rows(folder, choose: Callable[[Mapping], bool]):
  rows = published.table('atari_aggregates', folder=folder)
  return {row['method']: row for row in rows if choose(row)}


def _parts(rows, computed, unit):
  """Returns method to pairs, for the rows that have numbers to compare."""
  return {
      method: [Pair(f'{method}, {name}', float(row[name]),
                    computed[method][name], unit) for name in aggregates.NAMES]
      for method, row in rows.items()}
