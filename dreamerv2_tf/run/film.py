"""Makes the videos of an evaluation: what happened, with numbers below it."""

from collections.abc import Iterator, Mapping, Sequence
import itertools
import os
import pathlib
import re
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..report import hud, movie
from .evaluator import Shot

SEED = '{seed}'  # In the name of a file: one for each episode.
NAMES = 2  # Images of an observation that are shown.
LARGEST = 999.5  # Of numbers with digits behind the point.


def check(video: str, count: int, episodes: int) -> None:
  """Refuses what could not be filmed after all the work.

  Args:
    video: file, perhaps with `{seed}` in its name.
    count: episodes to film.
    episodes: of the evaluation.

  Raises:
    ConfigError: see `movie.check`; or there are not so many episodes.
  """
  movie.check(video)
  if SEED in os.path.dirname(video):
    raise ConfigError(
        f"--video: {SEED} may stand in the name of the file, not in that of "
        f"its folder, but got '{video}'.")
  for field in re.findall(r'\{\w*\}', os.path.basename(video)):
    if field != SEED:
      raise ConfigError(
          f"--video '{video}': {field} is not known. For a file of each "
          f'episode write {SEED}.')
  if not 1 <= count <= episodes:
    raise ConfigError(
        f"'video-episodes' must be 1 to {episodes}, the number of --episodes, "
        f'but is {count}.')


def write(
    video: str, films: Mapping[int, Sequence[Shot]], note: str, fps: float,
    about: Mapping[str, Any]) -> list[str]:
  """Writes films one after another, or each into a file of its own.

  Args:
    video: file; with `{seed}` in its name, one for each film.
    films: scenario -> rows.
    note: which agent this is, shown beside the scenario.
    fps: frames per second.
    about: see Env.

  Returns:
    The files.

  Raises:
    ValueError: frames differ in size.
    OSError: one can not be written.
  """
  make = lambda seed: movie.held(
      pictures(films[seed], f'scenario {seed}   {note}', fps, about), fps)
  folder, name = os.path.split(video)
  if SEED not in name:
    movie.write(
        video, itertools.chain.from_iterable(map(make, films)), fps)
    return [video]
  paths = []
  for seed in films:
    paths.append(os.path.join(folder, name.replace(SEED, str(seed))))
    movie.write(paths[-1], make(seed), fps)
  return paths


def pictures(
    film: Sequence[Shot], note: str, fps: float,
    about: Mapping[str, Any]) -> Iterator[np.ndarray]:
  """Yields the frames of an episode with numbers below.

  Action, probability and value are those of the decision that is carried out,
  observation and reconstruction what it was made on. Reward and return are
  those of decisions that are complete.

  Args:
    film: its rows, at least two.
    note: shown below.
    fps: frames per second.
    about: see Env.

  Yields:
    [H, W, 3], uint8, all of one size if the environment's pictures are.
  """
  count, total, reward, crash = 0, 0.0, None, None
  for number, shot in enumerate(film):
    before = max(0, number - 1)
    views = _views(film[before].row, film[before + 1].look)
    for index, frame in enumerate(shot.frames, 1):
      done = index == len(shot.frames)
      if done and number:
        reward = float(shot.row['reward'])
        total += reward
      time = count / fps if about.get('timed') else None
      if crash is None and frame.readings.get('log_crashed', 0) > 0:
        crash = time
      picture = hud.at_least(hud.picture(frame.pixels))
      width = picture.shape[1]
      values = {
          **_clock(number, time, frame.readings),
          'action': _action(shot, about.get('actions', ())) if number else '',
          'reward': '' if reward is None else _number(reward, '+'),
          'return': _number(total),
          **({'value': _number(shot.look['value'])} if 'value' in shot.look
             else {'value': ''} if 'value' in film[1].look else {})}
      text, color = _outcome(number, time, crash, shot.row, done)
      yield hud.above(
          picture, *_side_by_side(views, width),
          hud.dashboard(width, list(values.items()), [
              1.7 if name == 'action' else 1 for name in values]),
          hud.line(width, note, text, right_color=color))
      count += 1


def _clock(number, time, readings):
  """Returns when it is, and how fast the car, by the name of the column."""
  driving = 'log_speed' in readings
  clock = {} if driving else {'step': str(number)}
  if time is not None:
    clock['time'] = f'{time:.{1 if driving else 2}f} s'
  if driving:
    clock['speed'] = f"{readings['log_speed']:.1f} m/s"
  return clock


def _action(shot, names):
  action = shot.row['action']
  if 'prob' not in shot.look:
    return ' '.join(f'{x:+.2f}' for x in action)
  index = int(np.argmax(action))
  name = names[index] if index < len(names) else str(index)
  return f"{name}  {100 * shot.look['prob']:.0f} %"


def _number(value, sign=''):
  digits = 2 if abs(value) < LARGEST / 10 else 1 if abs(value) < LARGEST else 0
  return f'{value:{sign},.{digits}f}'


def _outcome(number, time, crash, row, done):
  """Returns how the episode ended, if it did, and the colour of that."""
  if crash is not None:
    return f'crashed at {crash:.1f} s', hud.BAD
  if not (done and row['is_last']):
    return '', hud.PLAIN
  if 'log_crashed' in row and time is not None:
    return f'{time:.1f} s, no crash'.replace('.0 s', ' s'), hud.GOOD
  why = 'ended' if row['is_terminal'] else 'stopped by the time limit'
  return f'{why} after {number} steps', hud.PLAIN


def _views(row, look):
  """Returns title -> image: what the agent observed and the model made of it.

  Only where the observation is a picture.
  """
  views = {}
  for key in [k for k, v in row.items() if np.ndim(v) == 3][:NAMES]:
    name = f'{key}: ' if key not in ('image', 'observation') else ''
    views[f'{name}observation'] = row[key]
    if f'model/{key}' in look:
      views[f'{name}reconstruction'] = look[f'model/{key}']
  return views


def _side_by_side(views, width):
  """Returns rows of pictures, two beside one another, that fill a width."""
  room = (width - hud.MARGIN) // 2 - 2  # Frames are a pixel wide.
  panels = []
  for title, image in views.items():
    image = hud.picture(image)
    width = max(1, room // image.shape[1]) * image.shape[1]
    panels.append(hud.titled(hud.at_least(image, width), title))
  return [hud.beside(*panels[i:i + 2]) for i in range(0, len(panels), 2)]


def name_of(folder: pathlib.Path, step: int) -> str:
  """Returns how films call an agent.

  Args:
    folder: of its run.
    step: of its checkpoint.
  """
  return f'{folder.name}, step {step:,}'
