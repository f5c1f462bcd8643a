"""Aggregate scores of your runs beside the paper's over the same games."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import aggregates, published
from .published import LAST

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def last_common(tasks: Rows) -> int | None:
  """Returns the frames of the last point that runs of all tasks reached.

  Args:
    tasks: task to rows of `beside.compare`.
  """
  common = set.intersection(*(
      {row['frames'] for row in rows} for rows in tasks.values()))
  return max(common, default=None)


def atari(
    tasks: Rows, frames: int, smooth: bool = False) -> dict[str, Any]:
  """Returns the four aggregates of yours and of the paper, in both orders.

  Args:
    tasks: game to rows of `beside.compare`, each with one at `frames`.
    frames: where.
    smooth: whether the rows are means of ten bins.

  Returns:
    `frames`, `games`; `seeds_first` and `per_seed`, each with `yours`, `ci95`
    (None if a game has one seed), `paper` over the same games, `paper_ci95`
    and `paper_all` over the 55. `paper` and `paper_ci95` per seed, and all
    intervals of the paper, are known at the end alone: None elsewhere. `paired`
    says how your seeds were joined: by name, some (by name, those that all
    games have), order or single.
  """
  games = published.games()
  at = {
      name: next(row for row in rows if row['frames'] == frames)
      for name, rows in tasks.items()}
  yours = {name: [*row['seeds'].values()] for name, row in at.items()}
  matrix, paired = _joined({name: row['seeds'] for name, row in at.items()})
  theirs = published.finals() if frames == LAST else {}
  runs = {
      name: [x.smooth if smooth else x.score for x in theirs[name].values()]
      for name in tasks if theirs}
  means = {
      name: [point.smooth if smooth else point.mean for point in curve
             if point.frames == frames]
      for name, curve in published.curves().items()}
  first = {
      'yours': aggregates.seeds_first(yours, games),
      'ci95': aggregates.intervals(yours, games),
      'paper': aggregates.seeds_first({x: means[x] for x in tasks}, games),
      'paper_ci95': aggregates.intervals(runs, games) if runs else None,
      'paper_all': aggregates.seeds_first(means, games)}
  each = {
      'yours': aggregates.per_seed(matrix, games)[0],
      'ci95': aggregates.intervals(matrix, games, each=True),
      'paper': aggregates.per_seed(runs, games)[0] if runs else None,
      'paper_ci95': aggregates.intervals(
          runs, games, each=True) if runs else None,
      'paper_all': None if smooth else published.per_seed().get(frames)}
  if each['paper'] is None and len(tasks) == len(games):
    each['paper'] = each['paper_all']
  return {
      'frames': frames, 'games': [*tasks], 'of': len(games), 'paired': paired,
      'seeds_first': first, 'per_seed': each}


def dmc(tasks: Rows, frames: int, smooth: bool = False) -> dict[str, Any]:
  """Returns mean and median over tasks of the means over seeds.

  Args:
    tasks: task to rows of `beside.compare`, each with one at `frames`.
    frames: where.
    smooth: whether the rows are means of three bins.
  """
  curves = {
      name: next((x.smooth if smooth else x.mean) for x in curve
                 if x.frames == frames)
      for name, curve in published.dmc().items()}
  yours = [
      next(x['yours'] for x in rows if x['frames'] == frames)
      for rows in tasks.values()]
  paper = [curves[name] for name in tasks]
  both = lambda x: {'mean': float(np.mean(x)), 'median': float(np.median(x))}
  return {
      'frames': frames, 'games': [*tasks], 'of': len(curves) - 2,
      'paired': 'single', 'seeds_first': {
          'yours': both(yours), 'ci95': None, 'paper': both(paper),
          'paper_ci95': None, 'paper_all': {
              'mean': curves['ALL20_mean'], 'median': curves['ALL20_median']}}}


def _joined(seeds):
  """Returns game to returns, as many each, and how seeds were joined."""
  if all(len(x) == 1 for x in seeds.values()):
    return {name: [*x.values()] for name, x in seeds.items()}, 'single'
  common = set.intersection(*(set(x) for x in seeds.values()))
  if common:
    matrix = {
        name: [y for seed, y in x.items() if seed in common]
        for name, x in seeds.items()}
    dropped = any(len(x) > len(common) for x in seeds.values())
    return matrix, 'some' if dropped else 'name'
  count = min(map(len, seeds.values()))
  return {name: [*x.values()][:count] for name, x in seeds.items()}, 'order'
