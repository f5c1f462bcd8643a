"""The published numbers, read from the tables in `data/`."""

from collections.abc import Callable, Iterator
import csv
import functools
import io
import os
import pathlib
from typing import Any, NamedTuple, ParamSpec, TypeVar

from .. import files
from ..errors import StateError

DATA = pathlib.Path(__file__).resolve().parent / 'data'
LAST = 199_000_000  # Frames of the printed scores: the last bin of all games.
SEEDS = 8  # Of the published runs, in each game.
BASELINES = 'rainbow', 'iqn', 'c51', 'dqn'

P = ParamSpec('P')
T = TypeVar('T')


class Game(NamedTuple):
  """A game and its published scores, raw returns.

  Attributes:
    random, gamer, record: what a random policy, a human gamer and the human
      world record reach.
    printed: DreamerV2 in Table K.1.
    baselines: name to score after 200M frames.
    others: column of the printed table, and what it prints, of these numbers.
    complete: mean over the seeds that reached the end.
    note: of the table.
  """

  name: str
  random: float
  gamer: float
  record: float
  printed: float
  baselines: dict[str, float]
  others: dict[str, float]
  complete: float
  note: str


class Point(NamedTuple):
  """A point of a published curve.

  Attributes:
    frames: environment steps, the action repeat counted.
    mean, std: over seeds, of the bin that ends there; std with ddof 0.
    smooth: mean over several bins up to there.
    seeds: number of them.
    complete: how many have data of their own there; others count with their
      last value.
  """

  frames: int
  mean: float
  std: float
  smooth: float
  seeds: int
  complete: int


class Final(NamedTuple):
  """The end of a published run: return at 199M, mean of its last ten bins.

  Attributes:
    last: last bin with data, frames.
    score: mean return of the last bin up to 199M.
    smooth: mean of its last ten bins up to 199M.
  """

  last: int
  score: float
  smooth: float


def kept(read: Callable[P, T]) -> Callable[P, T]:
  """Reads what the package has once, that of another `folder` each time.

  What it returns is shared: change nothing in it.
  """
  once = functools.cache(read)
  @functools.wraps(read)
  def call(*args: P.args, **kwargs: P.kwargs) -> T:
    return read(*args, **kwargs) if kwargs else once(*args)
  return call


@kept
def table(
    name: str, *, folder: str | os.PathLike = DATA) -> list[dict[str, str]]:
  """Reads a table; each row maps the names of its columns to text.

  Args:
    name: of the file, without `.csv`.
    folder: which has it.

  Raises:
    StateError: it is missing, or damaged.
  """
  path = pathlib.Path(folder) / f'{name}.csv'
  try:
    text = files.read(path).decode()
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
  except OSError as error:
    raise StateError(f'{path}: {error.strerror}.') from None
  except (UnicodeDecodeError, csv.Error) as error:
    raise StateError(f'{path}: no table: {error}.') from None
  for number, row in enumerate(rows, 2):
    if None in row or None in row.values():
      raise StateError(f'{path}: row {number} has not as many cells as the '
                       'first.')
  return rows


@kept
def games(*, folder: str | os.PathLike = DATA) -> dict[str, Game]:
  """Returns the 55 games by name, in the order of the paper's table."""
  result = {}
  for row, number in _numbers('atari_scores', folder):
    result[row['game']] = Game(
        row['game'], number('random'), number('human_gamer'),
        number('human_record'), number('paper_table_dreamerv2'),
        {name: number(name) for name in BASELINES},
        {name: number(f'paper_table_{name}') for name in (
            'random', 'gamer', 'record', 'rainbow', 'iqn')},
        number('dreamerv2_final_complete_runs_only'), row['note'])
  return result


@kept
def finals(
    variant: str = 'dreamerv2', *, folder: str | os.PathLike = DATA
) -> dict[str, dict[int, Final]]:
  """Returns the ends of the runs: game to seed to end.

  Args:
    variant: dreamerv2 (8 seeds), schedules (4) or nosched (3, which are in
      none of the paper's numbers).
    folder: of the tables.
  """
  result: dict[str, dict[int, Final]] = {}
  for row, number in _numbers('atari_final_per_seed', folder):
    if row['variant'] == variant:
      result.setdefault(row['game'], {})[int(number('seed'))] = Final(
          _frames(number('last_bin_m_frames')), number('return_at_199m'),
          number('return_mean_last10m'))
  return result


@kept
def curves(*, folder: str | os.PathLike = DATA) -> dict[str, list[Point]]:
  """Returns the curve of DreamerV2 in each game: means over 8 seeds."""
  result: dict[str, list[Point]] = {}
  for row, number in _numbers('atari_curves', folder):
    result.setdefault(row['game'], []).append(Point(
        _frames(number('env_frames_m')), number('mean_return'), number('std'),
        number('mean_return_trailing10m'), int(number('seeds')),
        int(number('seeds_with_data'))))
  return result


@kept
def baselines(
    *, folder: str | os.PathLike = DATA
) -> dict[str, dict[str, dict[int, float]]]:
  """Returns the curves of other methods: game, method, frames, mean return."""
  result: dict[str, dict[str, dict[int, float]]] = {}
  for row, number in _numbers('atari_curves_baselines', folder):
    curve = result.setdefault(row['game'], {}).setdefault(row['method'], {})
    curve[_frames(number('env_frames_m'))] = number('mean_return')
  return result


@kept
def per_seed(
    *, folder: str | os.PathLike = DATA) -> dict[int, dict[str, float]]:
  """Returns frames to the aggregates per seed over all 55 games."""
  start = 'dreamerv2_per_seed_'
  return {
      _frames(number('env_frames_m')): {
          column.removeprefix(start): number(column) for column in row
          if column.startswith(start)}
      for row, number in _numbers('atari_aggregate_curves', folder)}


@kept
def dmc(*, folder: str | os.PathLike = DATA) -> dict[str, list[Point]]:
  """Returns the curves in tasks of DeepMind Control, from pixels.

  `ALL20_mean` and `ALL20_median` are over its 20 tasks. The point that
  straddles 1M steps is left out.
  """
  result: dict[str, list[Point]] = {}
  for row, number in _numbers('dmc_vision_scores', folder):
    if not row['label'].endswith('straddling'):
      seeds = int(number('seeds'))
      result.setdefault(row['task'], []).append(Point(
          int(number('env_steps')), number('mean_return'), number('std'),
          number('mean_return_trailing90k'), seeds, seeds))
  return result


@kept
def extra(*, folder: str | os.PathLike = DATA) -> dict[str, list[Point]]:
  """Returns the curves of single experiments, by task with its suite."""
  result: dict[str, list[Point]] = {}
  for row, number in _numbers('extra_curves', folder):
    seeds = int(number('seeds'))
    result.setdefault(row['task'], []).append(Point(
        _frames(number('env_steps_m')), number('mean_return'), number('std'),
        number('mean_return'), seeds, seeds))
  return result


def _frames(millions: float) -> int:
  return round(millions * 1e6)


def _numbers(
    name, folder) -> Iterator[tuple[dict[str, str], Callable[[str], Any]]]:
  """Yields rows, and for each a function from a column to its number."""
  for index, row in enumerate(table(name, folder=folder), 2):
    def number(column, row=row, index=index):
      try:
        return float(row[column])
      except (KeyError, ValueError):
        raise StateError(
            f"{name}.csv: row {index} has no number in '{column}' but "
            f'{row.get(column)!r}.') from None
    yield row, number
