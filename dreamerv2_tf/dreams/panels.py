"""What is shown of a scene: one panel for each course of events."""

from collections.abc import Callable, Mapping
import functools
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ..report import hud
from . import curves, plans, road
from .numbers import Scene, as_float
from .traffic import Traffic

BETWEEN = 5  # Pictures for each decision where cars move.
ENLARGED = 480  # Pixels, at least, of an image.
LIKELY = 0.5  # Chance of an end above which a dreamed car is red.

SEEN = (86, 150, 255)
REAL = (120, 126, 136)


class Panel(NamedTuple):
  """One course of events as it is shown.

  Attributes:
    title: what it is.
    says: maps a row to what is done there, and to values.
    alive: maps a row to the chance that it is reached; None: it happened.
    draw: maps a row and a part of a step to a picture, [H, W, 3] uint8.
    width: of the pictures, pixels.
  """

  title: str
  says: Callable[[int], tuple[str, str]]
  alive: Callable[[int], float] | None
  draw: Callable[[int, float], np.ndarray]
  width: int


class Meaning(NamedTuple):
  """What numbers of a task mean.

  Attributes:
    key: of the observation that is shown.
    space: of the agent's actions.
    names: number of an action -> name.
    traffic: what vectors under the key mean; None: they are no cars.
  """

  key: str
  space: gym.Space
  names: Mapping[int, str]
  traffic: Traffic | None


def make(scene: Scene, meaning: Meaning) -> tuple[list[Panel], int]:
  """Returns the panels of a scene, and their pictures for each decision."""
  key, words = meaning.key, ('', '')
  if scene.truth[key].ndim == 4:
    draw, count = _images(scene, key), 1
  elif meaning.traffic:
    draw, count = _cars(scene, key, meaning.traffic), BETWEEN
  else:
    draw, count = _lines(scene, key), 1
    words = ' (white)', ' (orange)'
  width = draw[0](0, 0.0).shape[1]
  result = [Panel(
      f'what happened{words[0]}',
      functools.partial(_truth_says, scene, meaning), None, draw[0], width)]
  for course, function in zip(scene.courses, draw[1:]):
    result.append(Panel(
        f'dream{words[1]}: {course.label}',
        functools.partial(_course_says, scene, course, meaning),
        lambda row, course=course: float(course.alive[row]), function, width))
  if scene.truth[key].ndim == 4:
    result.insert(2, Panel(
        'error: dream less truth; gray where there is none',
        lambda row: ('', ''), None, draw[-1], width))
  return result, count


def speed(
    vector: np.ndarray, traffic: Traffic | None) -> str:
  """Returns the speed of the own car; empty where there is none."""
  if traffic is None or 'vx' not in traffic.features:
    return ''
  return f'{np.hypot(*traffic.cars(vector)[0, 2:4]):.0f} m/s'


def _cars(scene, key, traffic):
  dreams = [course.observation[key] for course in scene.courses]
  view = road.View(traffic, [*scene.truth[key], *dreams[0]])
  crashed = scene.end in ('crash', 'terminated')
  truth = road.Film(view, traffic, scene.truth[key])
  last = scene.known - 1
  result = [lambda row, part: truth.draw(row, part, crashed and row >= last)]
  for course in scene.courses:
    film = road.Film(view, traffic, course.observation[key])
    result.append(lambda row, part, film=film, alive=course.alive: film.draw(
        row, part, alive[row] < LIKELY))
  return result


def _images(scene, key):
  truth = as_float(scene.truth[key])
  known = lambda row: min(row, len(truth) - 1)
  show = lambda pixels: hud.at_least(
      hud.picture(np.clip(pixels, 0, 1)), ENLARGED)
  result = [lambda row, part: show(truth[known(row)])]
  for course in scene.courses:
    result.append(lambda row, part, x=course.observation[key]: show(x[row]))
  dream = scene.courses[0].observation[key]
  error = lambda row: (dream[row] - truth[known(row)] + 1) / 2
  blank = np.full_like(truth[0], 0.5)
  result.append(lambda row, part: show(
      error(row) if row < len(truth) else blank))
  return result


def _lines(scene, key):
  truth = scene.truth[key]
  dreams = [course.observation[key] for course in scene.courses]
  limits = curves.limits(truth, dreams)
  result = [curves.Curves(truth, None, scene.seen, limits)]
  result += [curves.Curves(truth, x, scene.seen, limits) for x in dreams]
  return [lambda row, part, x=x: x.draw(row) for x in result]


def _truth_says(scene, meaning, row):
  if row >= scene.known - 1 and scene.end:
    doing = scene.end
  else:
    doing = _doing(scene.truth['action'], meaning, row)
  row = min(row, scene.known - 1)
  begin = int(np.flatnonzero(scene.seen[:row + 1])[-1]) + 1
  reward = scene.truth['reward']
  moving = speed(scene.truth[meaning.key][row], meaning.traffic)
  return '   '.join(filter(None, [doing, moving])), (
      f'reward {reward[row]:.2f}   return {reward[begin:row + 1].sum():.2f}'
      if row >= begin else '')


def _course_says(scene, course, meaning, row):
  doing = _doing(course.action, meaning, row)
  if doing == course.name:  # The title says so.
    doing = ''
  moving = speed(course.observation[meaning.key][row], meaning.traffic)
  left = '   '.join(filter(None, [doing, moving]))
  if scene.seen[row]:
    return left, f'it looks   value {course.value[row]:.2f}'
  return left, (
      f'reward {course.reward[row]:.2f}   return {course.gain[row]:.2f}   '
      f'goes on {percent(course.alive[row])}   value {course.value[row]:.2f}')


def _doing(actions, meaning, row):
  """Returns the action that is taken in a row."""
  if row + 1 >= len(actions):
    return ''
  return plans.name_of(actions[row + 1], meaning.space, meaning.names)


def percent(share: Any) -> str:
  """Returns a share as text."""
  return f'{100 * share:.0f} %'
