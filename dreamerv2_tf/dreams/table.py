"""What is said of dreams on the terminal."""

from collections.abc import Sequence

from . import numbers
from .numbers import Scene
from .panels import percent

AHEAD = 1, 2, 5, 10, 15, 25, 50, 100  # Steps of which errors are told.


def lines(scenes: Sequence[Scene], samples: int) -> list[str]:
  """Returns a table for each scene and one of all errors.

  Args:
    scenes: at least one.
    samples: dreams of each course.
  """
  result = []
  for scene, row in zip(scenes, numbers.summary(scenes)):
    result += [*_table(scene, row, samples), '']
  return result + _errors(numbers.errors(scenes))


def _table(scene, row, samples):
  width = max(len(course.label) for course in scene.courses) + 9
  result = [
      f"{scene.title}: {_count(scene.context, 'observation')}"
      f"{f' from {scene.start} on' if scene.start else ''}, then "
      f"{_count(row['length'], 'step')} dreamed, {samples} times each", '',
      f"{'':{width}} reward   return  goes on   value  outlook"]
  show = lambda x: '       -' if x is None else f'{x:8.2f}'
  real = row['really']
  result.append(
      f"{'what happened':{width}} {real['return'] / real['steps']:6.2f} "
      f"{real['return']:8.2f}   " + (
          f"{real['end']} after {_count(real['steps'], 'step')}"
          if real['end'] else 'goes on'))
  best = max(row['courses'], key=lambda x: x['outlook'] or 0)
  for course, found in zip(scene.courses, row['courses']):
    result.append(
        f"{f'dream: {course.label}':{width}} {found['reward']:6.2f} "
        f"{found['return']:8.2f} {percent(found['goes_on']):>8} "
        f"{found['value']:7.2f} {show(found['outlook'])}"
        + ' <' * (found is best and len(scene.courses) > 1))
  return result


def _errors(found):
  """Compares what was done with what the model made of it."""
  if not found:
    return []
  keys = [
      k.removesuffix('_rmse_copy') for k in found[0] if k.endswith('_copy')]
  head = f"{'steps ahead':12}" + ''.join(
      f'  {key:>12.12} (if nothing moved)' for key in keys) + '   reward'
  result = ['Error of the first dream, root mean square', head]
  for row in (x for x in found if x['ahead'] in AHEAD):
    result.append(f"{row['ahead']:12}" + ''.join(
        f"  {row[f'{key}_rmse']:12.4g} {row[f'{key}_rmse_copy']:18.4g}"
        for key in keys) + f"{row['reward_rmse']:9.3f}")
  return result + ['']


def explanation(discount: bool, clip: str) -> list[str]:
  """Returns how to read the table.

  Args:
    discount: the model predicts ends.
    clip: of the rewards, `clip_rewards`.
  """
  result = [
      'reward   mean of a step' + (
          f'; of dreams, as the model learned it: {clip} of it'
          if clip != 'identity' else ''),
      'return   sum of the steps, each counted by the chance that it is '
      'reached',
      'goes on  chance that the episode has not ended by then' + (
          '' if discount else '; no discount head: always'),
      'value    what the critic expects from the first dreamed step on',
      'outlook  what the agent compares: discounted rewards, and the value '
      'behind them', '']
  return result


def _count(number, what):
  return f"{number} {what}{'s' * (number != 1)}"
