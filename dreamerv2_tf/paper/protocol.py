"""What is not alike between your runs and the published ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import beside, differences, published
from .published import LAST
from .yours import ATARI, Mine

FOUND = 200_000_000  # Frames that the paper trains for.
FURTHER = 1.02  # Than the last point: what comes after it is worth a word.
ENOUGH = 5  # Seeds of which a bootstrapped interval says something.
FEW = 8  # Names in a sentence.


def notes(
    suite: str, tasks: Mapping[str, Sequence[Mine]],
    rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
  """Returns sentences on what is not alike, the gravest first.

  Args:
    suite: atari or dmc.
    tasks: name to your runs of one method.
    rows: name to rows of `beside.compare`.
  """
  found: dict[str, list[str]] = {}
  for name, runs in tasks.items():
    for text in [
        *_metric(suite, runs), *_length(suite, name, runs, rows[name]),
        *_seeds(rows[name]), *_episodes(suite, runs, rows[name]),
        *_origin(suite, runs), *_published(suite, name, rows[name])]:
      found.setdefault(text, []).append(name)
  return [_sentence(text, names, len(tasks)) for text, names in found.items()]


def short(names: Sequence[str]) -> str:
  """Returns names in a row, the first of many."""
  more = f' and {len(names) - FEW} more' if len(names) > FEW else ''
  return ', '.join(names[:FEW]) + more


def _sentence(text, names, count):
  if len(names) == count > 1:
    return text
  return f'{short(names)}: {text}'


def _metric(suite, runs):
  """What the returns are of."""
  metrics = {run.metric for run in runs}
  if suite == ATARI and 'train_return' in metrics:
    yield (
        'yours are returns of training, whose actions are sampled; the '
        "paper's are of evaluations, which take the mode of the policy")
  if suite != ATARI and 'eval_return' in metrics:
    yield (
        'yours are returns of evaluations (mode of the policy); what is '
        'published seems to be returns of training (sampled actions)')
  if metrics - {'eval_return', 'train_return', 'scores'}:
    yield f"yours is {', '.join(sorted(metrics))}, which is no return"
  for run in runs:
    noisy = {
        key: value for key, value in (run.settings or {}).items()
        if key in ('eval_noise', 'eval_lookahead.depth') and value}
    if run.metric == 'eval_return' and noisy:
      yield f"your evaluations act with {', '.join(noisy)}, the paper's not"


def _length(suite, name, runs, rows):
  """How far they got."""
  end = max(run.reached for run in runs)
  grid = [x.frames for x in _curve(suite, name)]
  if not rows and end < grid[0]:
    yield (
        f'ends at {frames(end)}, and the first published point is at '
        f'{frames(grid[0])}: nothing to compare yet')
  elif not rows:
    yield (
        f'has nothing in the bins of the published points from '
        f'{frames(grid[0])} to {frames(grid[-1])}: nothing to compare')
  elif rows[-1]['frames'] < grid[-1]:
    yield (
        f'stops before the published end, at {frames(grid[-1])}')
  elif end > max(grid[-1] * FURTHER, FOUND * (suite == ATARI)):
    yield f'what lies beyond {frames(grid[-1])} has no counterpart'


def _seeds(rows):
  """How many there are."""
  if rows:
    mine, theirs = len(rows[-1]['seeds']), rows[-1]['paper_seeds']
    if mine == 1:
      yield (
          f'one seed against {theirs}: no interval, and other seeds may do '
          'otherwise')
    elif mine < theirs:
      yield f'{mine} seeds against {theirs}' + (
          ': the interval of so few is too narrow' if mine < ENOUGH else '')


def _episodes(suite, runs, rows):
  """How many episodes a point is of."""
  theirs = beside.GRIDS[suite].episodes
  for run in runs:
    if rows and run.metric == 'eval_return' and run.settings:
      each = run.settings.get('eval_eps', 1)
      mine = rows[-1]['rows'] * (each if isinstance(each, int) else 1)
      if suite == ATARI and mine < theirs:
        yield (
            f"a point of yours is the mean of {mine} episode{'s' * (mine > 1)}"
            f", the paper's of {theirs}")
      break


def _origin(suite, runs):
  """What the files do not say."""
  if any(run.settings is None for run in runs):
    yield (
        'no settings beside these scores: what differs from the paper is '
        'not known, and their xs are taken as environment steps, the action '
        'repeat counted')
  for factor in sorted({run.factor for run in runs} - {1}):
    yield (
        f'the environment skips frames itself: steps are taken as {factor} '
        'frames each')


def _published(suite, name, rows):
  """What is special about the published runs of a task."""
  if suite == ATARI and rows and rows[-1]['paper_complete'] < rows[-1][
      'paper_seeds']:
    game = published.games()[name]
    early = published.SEEDS - rows[-1]['paper_complete']
    text = (
        f"{early} of the paper's {published.SEEDS} runs had stopped and count "
        'with their last value, as in its table')
    if rows[-1]['frames'] == LAST:
      text += f'; its complete ones have {game.complete:,.0f}'
    yield text
  if name == 'humanoid_walk':
    yield (
        'published with kl 2 and actor_ent 1e-5, 10 seeds; the width of its '
        f'bins is not: taken as {frames(beside.WIDE.width)}')


def _curve(suite, name):
  if name == 'humanoid_walk':
    return published.extra()['dmc_humanoid_walk']
  return (published.curves() if suite == ATARI else published.dmc())[name]


def frames(count: float) -> str:
  """Returns a number of frames in millions, such as 0.25M."""
  return f'{count / 1e6:.3g}M'


def settings_notes(suite: str, runs: Sequence[Mine]) -> list[str]:
  """Returns what has to be said about settings besides the differences."""
  if all(run.settings is None for run in runs):
    return []
  if suite != ATARI:
    return [
        'The settings of the published runs are not known; yours are beside '
        "the original's preset dmc_vision."]
  return [
      'The settings of the published runs were not published: taken from the '
      "original's code of May 2021, when these scores were added to it.",
      *(f'The paper had {text}; your settings do not tell.'
        for text in ['; '.join(differences.unrecorded(runs))] if text)]


def road_notes(
    mine: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
  """Yields sentences on your runs beside the results of this package.

  Args:
    mine: of `highway.yours`.
    rows: of `compare.on_the_road`.
  """
  for row in rows:
    if row['yours'] and row['same_as']:
      yield (
          f"{row['label']} is, episode for episode, the published run "
          f"{row['same_as']}.")
    if row['yours'] and row['kind'] == 'running':
      yield (
          f"{row['label']}: trained for {row['reached'][0]:,} steps so far.")
    if row['shipped']:
      yield f"{row['label']} is the agent --pretrained {row['shipped']}."
  if any(len(row.seeds) == 1 for row in mine):
    yield (
        'One seed: its interval is over its episodes and says nothing of '
        'other seeds.')
