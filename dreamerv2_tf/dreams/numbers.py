"""What dreams come to: returns, chances, errors against what happened."""

from collections.abc import Mapping, Sequence
import dataclasses
import io
import os
from typing import Any

import numpy as np

from .. import files
from ..report import video


@dataclasses.dataclass(frozen=True)
class Course:
  """One sequence of actions in a dream: R rows, C of them seen at first.

  All numbers but `observation` are means over the dreams. They are those that
  the model learned: rewards through `clip_rewards`.

  Attributes:
    name: the word that stands for it.
    label: what people call it.
    action: [R, A], float32; led to the row; of the first dream.
    observation: key -> [R, ...], of the first dream, in units of the
      environment; images in 0 to 1. Reconstructions of what was seen.
    reward: [R], float32; of the step that led to the row.
    goes_on: [R], float32; chance that the row is not the end.
    alive: [R], float32; chance that no dreamed row so far is the end.
    value: [R], float32; of the critic, discounted.
    gain: [R], float32; reward since the last row that was seen, each counted by
      the chance that it is reached; 0 where none is dreamed.
    outlook: float; discounted rewards of the dream and the value behind them.
  """

  name: str
  label: str
  action: np.ndarray
  observation: dict[str, np.ndarray]
  reward: np.ndarray
  goes_on: np.ndarray
  alive: np.ndarray
  value: np.ndarray
  gain: np.ndarray
  outlook: float


@dataclasses.dataclass(frozen=True)
class Scene:
  """Part of an episode and what was dreamed of it.

  Attributes:
    title: where it comes from.
    seed: scenario; -1: a stored episode.
    start: row of the episode at which it begins.
    context: rows C that the model saw before it dreamed.
    seen: [R], bool; rows that it saw.
    truth: key -> [T, ...], T at most R; rows as they happened, in units of
      the environment.
    courses: what was dreamed, as many for each scene.
  """

  title: str
  seed: int
  start: int
  context: int
  seen: np.ndarray
  truth: dict[str, np.ndarray]
  courses: list[Course]

  @property
  def known(self) -> int:
    """Number T of rows that happened."""
    return len(self.truth['reward'])

  @property
  def end(self) -> str:
    """How the episode ends within these rows; empty if it does not."""
    if not self.truth['is_last'][-1]:
      return ''
    crashed = 'log_crashed' in self.truth and self.truth['log_crashed'][-1] > 0
    return 'crash' if crashed else (
        'terminated' if self.truth['is_terminal'][-1] else 'time is up')


def weigh(
    reward: np.ndarray, goes_on: np.ndarray, value: np.ndarray,
    seen: np.ndarray, discount: float, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray, float]:
  """Adds up what a dream promises.

      Rows:      seen   x1    x2    x3       dreamed
      Alive:      1     c1   c1c2 c1c2c3     c_i: row i is not the end
      Gain:       0     r1   + c1 r2 ...     what ends gives no more
      Outlook:          r1   + g c1 r2 + g^2 c1c2 v3     v_i has r_i inside

  Args:
    reward, goes_on, value: [R, ...].
    seen: [R], bool; what is seen again is certain, so that gains begin anew.
    discount: g.
    scale: of rewards as the critic knows them.

  Returns:
    alive, gain: [R, ...]; outlook [...], of the last stretch.
  """
  alive, gain = np.ones_like(reward), np.zeros_like(reward)
  outlook, weight = np.zeros_like(reward[0]), None
  for row in np.flatnonzero(~seen):
    fresh = row == 0 or seen[row - 1]
    before = np.ones_like(reward[0]) if fresh else alive[row - 1]
    weight = np.ones_like(before) if fresh else (
        weight * discount * goes_on[row - 1])
    if fresh:
      outlook = np.zeros_like(before)
    alive[row] = before * goes_on[row]
    gain[row] = (0 if fresh else gain[row - 1]) + before * reward[row]
    last = row == len(seen) - 1 or seen[row + 1]
    outlook = outlook + weight * (
        value[row] if last else reward[row] * scale)
  return alive, gain, outlook


def errors(scenes: Sequence[Scene]) -> list[dict[str, Any]]:
  """Compares the first courses, of what was done, with what happened.

  Returns:
    One object for each number of steps ahead, from 1 on, at which something
    happened: `ahead`, `count` of rows; of each observation key the root mean
    square error of the first dream, `<key>_rmse`, beside that of the last row
    seen, kept as it is, `<key>_rmse_copy`; and `reward_rmse`, of the mean.
    Images in 0 to 1.
  """
  found = {}
  for scene in scenes:
    for row in np.flatnonzero(~scene.seen[:scene.known]):
      last = int(np.flatnonzero(scene.seen[:row])[-1])
      columns = found.setdefault(int(row) - last, {})
      for name, square in _squares(scene, row, last).items():
        columns.setdefault(name, []).append(square)
  return [
      {'ahead': ahead, 'count': len(found[ahead]['reward_rmse']),
       **{k: float(np.sqrt(np.mean(v))) for k, v in found[ahead].items()}}
      for ahead in sorted(found)]


def _squares(scene, row, last):
  """Returns mean squares of errors in a row, of what was last seen before."""
  course, result = scene.courses[0], {}
  for key, guess in course.observation.items():
    truth = as_float(scene.truth[key])
    result[f'{key}_rmse'] = np.mean((guess[row] - truth[row]) ** 2)
    result[f'{key}_rmse_copy'] = np.mean((truth[last] - truth[row]) ** 2)
  result['reward_rmse'] = (
      course.reward[row] - scene.truth['reward'][row]) ** 2
  return result


def summary(scenes: Sequence[Scene]) -> list[dict[str, Any]]:
  """Returns what each scene and its courses come to, for JSON."""
  result = []
  for scene in scenes:
    real = scene.truth['reward'][scene.context:]
    result.append({
        'scene': scene.title, 'seed': scene.seed, 'start': scene.start,
        'context': scene.context, 'length': len(scene.seen) - scene.context,
        'really': {
            'steps': len(real), 'return': float(real.sum()), 'end': scene.end},
        'courses': [_promise(scene, course) for course in scene.courses]})
  return result


def _promise(scene, course):
  """Returns what a course promises.

  Where the model looks again, its return has what was received in these rows,
  and no outlook is that of the whole.
  """
  seen, rows = scene.seen, np.flatnonzero(~scene.seen)
  ends = [x for x in rows if x + 1 == len(seen) or seen[x + 1]]
  looks = np.flatnonzero(seen[scene.context:]) + scene.context
  received = scene.truth['reward'][looks].sum()
  return {
      'name': course.name, 'reward': float(course.reward[rows].mean()),
      'return': float(course.gain[ends].sum() + received),
      'goes_on': float(course.alive[ends].prod()),
      'value': float(course.value[rows[0]]),
      'outlook': None if len(looks) else course.outlook}


def arrays(scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
  """Returns all numbers as arrays of E scenes, Q courses and R rows.

  What happened is NaN, False or 0 behind the end of the episode, which row
  `truth_rows` would be. See docs/dreams.md for the keys.
  """
  stack = lambda function: np.stack([function(scene) for scene in scenes])
  courses = lambda name: stack(
      lambda scene: np.stack([getattr(x, name) for x in scene.courses]))
  first = scenes[0]
  result = {
      'names': np.array([x.name for x in first.courses]),
      'seed': stack(lambda x: x.seed), 'start': stack(lambda x: x.start),
      'context': stack(lambda x: x.context), 'seen': stack(lambda x: x.seen),
      'truth_rows': stack(lambda x: x.known)}
  for key in first.truth:
    result[f'truth_{key}'] = stack(
        lambda x, key=key: _padded(x.truth[key], len(x.seen)))
  for key in first.courses[0].observation:
    dreams = stack(lambda scene, key=key: np.stack([
        x.observation[key] for x in scene.courses]))
    result[f'dream_{key}'] = video.as_uint8(dreams) if (
        result.get(f'truth_{key}', dreams).dtype == np.uint8) else dreams
  for name in 'action', 'reward', 'goes_on', 'alive', 'value', 'gain':
    result[name] = courses(name)
  result['outlook'] = courses('outlook').astype(np.float32)
  return result


def save(path: str | os.PathLike, found: Mapping[str, np.ndarray]) -> None:
  """Writes arrays as a compressed npz file, whole or not at all."""
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **found)
  files.write(path, lambda file: file.write(buffer.getvalue()))


def as_float(values: np.ndarray) -> np.ndarray:
  """Returns float32: images in 0 to 1, others as they are."""
  if values.dtype == np.uint8:
    return values.astype(np.float32) / 255
  return values.astype(np.float32)


def _padded(values, rows):
  missing = rows - len(values)
  fill = np.nan if values.dtype.kind == 'f' else 0
  return np.pad(
      values, [(0, missing)] + [(0, 0)] * (values.ndim - 1),
      constant_values=fill)
