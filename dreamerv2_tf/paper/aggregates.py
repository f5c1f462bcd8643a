"""Scores over many games: normalised by humans, in both orders of averaging.

    seeds first   mean over the seeds of each game, then over the games
    per seed      over the games for each seed, then mean over the seeds

The paper's Table 1 takes the first order. A run or few belong beside numbers of
the second: the median over games of means over eight seeds is higher.

Paper: arXiv 2010.02193v4, Section 3 and Table 1.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..curves import stats
from .published import Game

NAMES = 'gamer_median', 'gamer_mean', 'record_mean', 'clipped_record_mean'
LABELS = 'gamer median', 'gamer mean', 'record mean', 'clipped'
Scores = dict[str, float]


def normalised(score: float, game: Game, human: str = 'gamer') -> float:
  """Returns 0 for a random policy and 1 for the human.

  Args:
    score: raw return.
    game: whose scores count.
    human: gamer or record.
  """
  return (score - game.random) / (getattr(game, human) - game.random)


def over_games(returns: np.ndarray, games: Sequence[Game]) -> np.ndarray:
  """Returns the four aggregates of NAMES.

  Args:
    returns: [..., games], raw returns.
    games: in this order.

  Returns:
    [4, ...].
  """
  random, gamer, record = (
      np.array([getattr(game, name) for game in games])
      for name in ('random', 'gamer', 'record'))
  returns = np.asarray(returns)
  gamer = (returns - random) / (gamer - random)
  record = (returns - random) / (record - random)
  return np.stack([
      np.median(gamer, -1), gamer.mean(-1), record.mean(-1),
      np.minimum(record, 1).mean(-1)])


def seeds_first(
    runs: Mapping[str, Sequence[float]], games: Mapping[str, Game]) -> Scores:
  """Returns the aggregates of the means over seeds.

  Args:
    runs: game to the returns of its seeds.
    games: all that are known.
  """
  means = np.array([np.mean(x) for x in runs.values()])
  return _named(over_games(means, [games[name] for name in runs]))


def per_seed(
    runs: Mapping[str, Sequence[float]], games: Mapping[str, Game]
) -> tuple[Scores, Scores]:
  """Returns means and standard deviations over seeds (ddof 0) of aggregates.

  Args:
    runs: game to the returns of its seeds, as many in each game; those in one
      place belong together.
    games: all that are known.
  """
  matrix = np.stack([np.asarray(x) for x in runs.values()], -1)
  each = over_games(matrix, [games[name] for name in runs])
  return _named(each.mean(-1)), _named(each.std(-1))


def intervals(
    runs: Mapping[str, Sequence[float]], games: Mapping[str, Game],
    samples: int = stats.SAMPLES, each: bool = False
) -> dict[str, list[float]] | None:
  """Returns 95 % intervals: the seeds of each game drawn with replacement.

  Args:
    runs: game to the returns of its seeds.
    games: all that are known.
    samples: number of drawings.
    each: aggregate per seed, for which all games have as many.

  Returns:
    Low and high ends; None if a game has one seed, of which nothing is known
    about others.
  """
  if min(map(len, runs.values())) < 2:
    return None
  rng = np.random.default_rng(0)
  chosen = [games[name] for name in runs]
  drawn = [
      np.asarray(x)[rng.integers(len(x), size=(samples, len(x)))]
      for x in runs.values()]
  if each:
    values = over_games(np.stack(drawn, -1), chosen).mean(-1)
  else:
    values = over_games(np.stack([x.mean(-1) for x in drawn], -1), chosen)
  return dict(zip(NAMES, (stats.interval(x) for x in values)))


def _named(values):
  return dict(zip(NAMES, map(float, values)))
