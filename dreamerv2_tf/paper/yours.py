"""Finds your runs and the published task that each belongs to.

Frames are environment steps, the action repeat counted, as `step` of
`metrics.jsonl` has them, of ours and of the original, and `xs` of score files.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from .. import yamlfile
from ..curves import runs
from ..errors import ConfigError
from . import published

ATARI, DMC = 'atari', 'dmc'
# Metrics of each suite, like what is published first.
METRICS = {
    ATARI: ('eval_return', 'train_return'),
    DMC: ('train_return', 'eval_return')}
ALE = re.compile(r'gym_(?:\w+:)?ALE/(\w+)-v5')
FRAMESKIP = 4  # Of ALE/…-v5, if nothing else is said, as these.
ALE_SETTINGS = {
    'env.config.repeat_action_probability': 0.25,
    'env.config.full_action_space': False}
PUBLISHED = (
    'Published are atari_<game> (55 games), dmc_<task> from pixels (20 tasks '
    'and humanoid_walk) and, of this package, highway_highway-fast-v0.')
SPELLED = {'jamesbond': 'james_bond', 'ball_in_cup_catch': 'cup_catch'}


class Mine(NamedTuple):
  """One of your runs.

  Attributes:
    suite: atari or dmc.
    name: of the published task, such as pong.
    task, method, seed: what the run is called.
    frames: [n], rising; environment steps, the action repeat counted.
    values: [n], returns.
    metric: what these are: eval_return, train_return or, of a score file,
      scores.
    place: folder or file.
    settings: dotted keys to values; None: not known.
    factor: frames for each step that the run counts.
    reached: its last step, in frames.
  """

  suite: str
  name: str
  task: str
  method: str
  seed: str
  frames: np.ndarray
  values: np.ndarray
  metric: str
  place: str
  settings: dict[str, Any] | None
  factor: int
  reached: float


def published_task(
    task: str, settings: Mapping[str, Any] | None = None
) -> tuple[str, str, int] | None:
  """Returns suite and name of a task as published, and frames per step.

  Args:
    task: with its suite; `gym_ale_py:ALE/Pong-v5` of Gymnasium, which may skip
      frames itself, is atari_pong.
    settings: dotted keys to values.

  Returns:
    None if there is nothing published.
  """
  if match := ALE.fullmatch(task):
    skip = (settings or {}).get('env.config.frameskip', FRAMESKIP)
    name = re.sub(r'(?<!^)(?=[A-Z])', '_', match[1]).lower()
    task, factor = f'atari_{name}', skip if isinstance(skip, int) else FRAMESKIP
  else:
    factor = 1
  suite, _, name = task.partition('_')
  name = SPELLED.get(name, name)
  known: set[str] = set()
  if suite == ATARI:
    known = {*published.games()}
  elif suite == DMC:
    known = {'humanoid_walk', *(
        x for x in published.dmc() if not x.startswith('ALL'))}
  return (suite, name, factor) if name in known else None


def read(
    found: Iterable[runs.Found], tell: Callable[[str], None],
    metric: str = 'auto') -> list[Mine]:
  """Returns the runs that have a published counterpart; says of others why.

  Args:
    found: of `curves.runs.once`.
    tell: takes each message.
    metric: of the returns; auto: the one like what is published, if the run
      has it.
  """
  result = []
  for item in found:
    settings = None if item.score else settings_of(item.path.parent)
    match = published_task(item.task, settings)
    if match is None:
      tell(f'Left out: {item.place} is of {item.task}. {PUBLISHED}')
    elif not item.learns:
      tell(f'Left out: {item.place} has a score of {item.method} in '
           f'{item.task}, but not at how many frames.')
    elif points := _points(item, METRICS[match[0]], metric, tell):
      result.append(_mine(item, match, settings, *points))
  return result


def _mine(item, match, settings, metric, curve):
  suite, name, factor = match
  if settings and ALE.fullmatch(item.task):
    settings = ALE_SETTINGS | {  # Our suite's have no effect there.
        k: v for k, v in settings.items() if not k.startswith('atari_')}
  return Mine(
      suite, name, item.task, item.method, item.seed, curve.xs * factor,
      curve.ys, metric, item.place, settings, factor, item.last * factor)


def settings_of(folder: pathlib.Path) -> dict[str, Any] | None:
  """Returns dotted keys to values of a run, None if they can not be read."""
  try:
    return dict(yamlfile.leaves(yamlfile.read(folder / 'config.yaml')))
  except ConfigError:
    return None


def groups(
    mine: Sequence[Mine]) -> dict[tuple[str, str], dict[str, list[Mine]]]:
  """Returns suite and method to task to runs, in the order of names."""
  result: dict[tuple[str, str], dict[str, list[Mine]]] = {}
  for run in sorted(
      mine, key=lambda x: (x.suite, x.method, x.name, runs.natural(x.seed))):
    tasks = result.setdefault((run.suite, run.method), {})
    tasks.setdefault(run.name, []).append(run)
  return result


def _points(item, preferred, metric, tell):
  """Returns the name of the metric and its curve, None if there is none."""
  names = preferred if metric == 'auto' else (metric,)
  for name in names:
    said = []
    curves, _ = runs.points([item], 'step', name, said.append)
    if curves or name == names[-1]:
      for text in said:
        tell(text)
    if curves:
      return 'scores' if item.score else name, curves[0]
  return None
