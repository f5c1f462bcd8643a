"""Finds runs, ours and those of the original, and reads a metric of them.

`find` tells what is there, `once` keeps each seed once, `points` reads.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import os
import pathlib
import re
from typing import NamedTuple

from .. import files
from ..errors import brief
from . import metrics, scores
from .identity import identify
from .scores import Baseline, Run

# Folders of a run that hold many files but no runs.
WITHIN = {'train_episodes', 'eval_episodes', 'checkpoints', 'episodes'}
SUGGESTED = 8  # Names of metrics in a message.
COPY = 5  # Lines from which on equal files are copies, if they hold losses.

Tell = Callable[[str], None]


class Found(NamedTuple):
  """A run that was found, its metrics not yet read.

  Attributes:
    task, method, seed: what it is called.
    path: of its `metrics.jsonl`, or of the score file that it came from.
    last: its last step.
    learns: whether it is a curve; others are levels.
    repeat: environment steps for each step of the policy; None: unknown.
    score: what a score file says of it; None if it has a file of its own.
  """

  task: str
  method: str
  seed: str
  path: pathlib.Path
  last: float
  learns: bool = True
  repeat: int | None = None
  score: Run | Baseline | None = None

  @property
  def place(self) -> str:
    """Its folder, or its score file."""
    return str(self.path if self.score else self.path.parent)


def folders(
    places: Iterable[str | os.PathLike],
    tell: Tell = print) -> list[pathlib.Path]:
  """Returns the folders with metrics in and below some folders, each once.

  Args:
    places: folders; `~` is the home folder. Links are followed.
    tell: takes a message for each folder that can not be read.

  Returns:
    Sorted paths, as they were reached.
  """
  def refuse(error):
    tell(f'Left out: {error.filename} can not be read: {error.strerror}.')
  result = {}
  for place in places:
    seen = set()
    for root, inside, others in os.walk(
        os.path.expanduser(place), onerror=refuse, followlinks=True):
      real = os.path.realpath(root)
      inside[:] = [] if real in seen else sorted({*inside} - WITHIN)
      seen.add(real)
      if metrics.NAME in others:
        result.setdefault(real, pathlib.Path(root))
  return sorted(result.values())


def find(
    places: Sequence[str | os.PathLike], tell: Tell, *, by: str = 'auto',
    prefix: bool = False) -> list[Found]:
  """Finds runs and baselines; says of what can not be read why.

  Args:
    places: folders that hold run folders at any depth or, at their top, score
      files; or score files.
    tell: takes each message.
    by: how methods are named, of `identity.BY`.
    prefix: whether methods are named by the place as well, so that the same
      method in two places is two.

  Returns:
    All of them, seeds as often as they are there.
  """
  found, known = [], set()
  for number, place in enumerate(places, 1):
    start = f'indir{number}_' if prefix else ''
    items = [  # Two of the places may lie within each other.
        item for item in _below(pathlib.Path(place).expanduser(), tell, by)
        if os.path.realpath(item.path) not in known]
    known |= {os.path.realpath(item.path) for item in items}
    found += [item._replace(method=start + item.method) for item in items]
  return found


def once(found: Iterable[Found], tell: Tell) -> list[Found]:
  """Keeps one run of each seed, the longest, and says which it left out.

  It does so with copies of a run under another seed, too.

  Args:
    found: of `find`.
    tell: takes each message.

  Returns:
    Sorted by task, method and seed.
  """
  kept = {}
  for item in sorted(found, key=lambda x: -x.last):  # Stable.
    group = kept.setdefault((item.task, item.method), [])
    first = next((x for x in group if _same(item, x)), None)
    if first is None:
      group.append(item)
      continue
    longer = 'longer' if first.last > item.last else 'as long'
    tell(
        f'Left out: {item.place}, seed {item.seed} of {item.method} in '
        f'{item.task}, is the same run as {first.place}, which is {longer}.'
        if item.seed != first.seed else
        f'Left out: {item.place}, as {first.place} has seed {item.seed} of '
        f'{item.method} in {item.task}, too, and is {longer}.')
  return sorted(
      (item for group in kept.values() for item in group),
      key=lambda x: (x.task, x.method, natural(x.seed)))


def points(
    found: Iterable[Found], xaxis: str, yaxis: str, tell: Tell,
    most: float = 0) -> tuple[list[Run], list[Baseline]]:
  """Reads a metric of each run that has it; says which have not.

  Args:
    found: of `once`.
    xaxis, yaxis: names of metrics. What score files hold is taken as it is,
      their baselines only if `yaxis` is a return.
    tell: takes each message.
    most: of `metrics.series`.

  Returns:
    Curves, and levels of what does not learn.
  """
  runs, baselines = [], []
  for item in found:
    if isinstance(item.score, Run):
      runs.append(item.score._replace(method=item.method))
    elif item.score:
      if 'return' in yaxis:
        baselines.append(item.score._replace(method=item.method))
    elif item.learns:
      xs, ys = _series(item, xaxis, yaxis, tell, most)
      if len(xs):
        runs.append(Run(
            item.task, item.method, item.seed, xs, ys, item.path, item.repeat))
    else:
      _, ys = _series(item, 'step', yaxis, tell, most)
      if len(ys):
        baselines.append(
            Baseline(item.task, item.method, float(ys[-1]), item.path))
  return runs, baselines


def natural(text: str) -> tuple:
  """Returns a key that sorts numbers in texts by their value."""
  return tuple(
      (0, int(x), '') if x.isdecimal() else (1, 0, x)
      for x in re.split(r'(\d+)', text) if x)


def _below(place: pathlib.Path, tell: Tell, by: str) -> Iterator[Found]:
  """Yields what is in and below a place."""
  if place.is_file():
    yield from _scores(place, tell)
    return
  for path in sorted(place.glob('*.json')):
    yield from _scores(path)
  for folder in folders([place], tell):
    path = folder / metrics.NAME
    try:
      who = identify(folder, tell, by)
      last = metrics.last_step(files.read(path))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
      tell(f'Left out: {folder} can not be read: {brief(error)}')
    else:
      yield Found(
          who.task, who.method, who.seed, path, last, who.learns, who.repeat)


def _scores(path: pathlib.Path, tell: Tell | None = None) -> Iterator[Found]:
  """Yields what a score file holds; without `tell`, it need not be one."""
  try:
    runs, baselines = scores.read(path)
  except (OSError, ValueError) as error:
    if tell:
      tell(f'Left out: {path} is no score file: {brief(error)}')
    return
  for run in runs:
    yield Found(
        run.task, run.method, run.seed, path, float(run.xs[-1]), score=run)
  for baseline in baselines:
    yield Found(
        baseline.task, baseline.method, '', path, 0.0, False, score=baseline)


def _same(one: Found, other: Found) -> bool:
  """Tells whether two runs of one method count as one."""
  if one.learns != other.learns:
    return False
  if one.seed == other.seed:
    return True
  if one.score or other.score or not one.learns:
    return False
  first, second = sorted(map(_rows, (one.path, other.path)), key=len)
  return (
      len(first) >= COPY and second[:len(first)] == first
      and any(b'loss"' in line for line in first))


def _rows(path):
  """Returns the lines of a file, without the last, which may be half."""
  return files.read(path).split(b'\n')[:-1]


def _series(item: Found, xaxis: str, yaxis: str, tell: Tell, most: float):
  """Returns xs, ys of a metric in a file; says what is wrong with it."""
  try:
    rows, broken = metrics.read(item.path, (xaxis, yaxis))
    if not any(xaxis in row and yaxis in row for row in rows):
      xaxis = _alias(item, xaxis)
      rows, broken = metrics.read(item.path, ())
  except OSError as error:
    tell(f'Left out: {item.place} can not be read: {brief(error)}')
    return [], []
  xs, ys, odd = metrics.series(rows, xaxis, yaxis, most)
  if broken:
    tell(
        f"{item.place}: passed over {broken} broken line{'s' * (broken > 1)} "
        f'of {metrics.NAME}.')
  if odd and len(xs):
    tell(
        f"{item.place}: passed over {odd} row{'s' * (odd > 1)} in which "
        f'{xaxis} or {yaxis} is no finite number.')
  if not len(xs):
    lack = (
        f'has no row in which {xaxis} and {yaxis} are finite numbers.' if odd
        else _lack(rows, xaxis, yaxis))
    tell(f'Left out: {item.place} {lack}')
  return xs, ys


def _alias(item, xaxis):
  """Returns what runs of other programs call the same."""
  return {'time_total': 'time'}.get(xaxis, xaxis) if item.repeat is None else (
      xaxis)


def _lack(rows, xaxis, yaxis):
  """Says why a file has no points."""
  known = metrics.names(rows)
  missing = [x for x in (xaxis, yaxis) if x not in known]
  if not known:
    return 'has no metrics yet.'
  if not missing:
    return f'has no row with both {xaxis} and {yaxis}.'
  end = ' ...' if len(known) > SUGGESTED else '.'
  return f"has no {missing[0]}; it has {', '.join(known[:SUGGESTED])}{end}"
