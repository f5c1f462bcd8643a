"""Draws a road of highway-env, without a screen, and looks at it."""

import functools
import os

from .. import envs
from ..errors import DreamerError
from .checks import Check, fail, ok, warn

TASK = 'highway_highway-fast-v0'
REMEDY = 'Unset SDL_VIDEODRIVER, or set it to offscreen; no display is needed.'


def check(must: bool) -> Check:
  """Draws a picture in a process of its own.

  Args:
    must: whether a run would fail without; otherwise only videos are missing.
  """
  make = functools.partial(
      envs.make, TASK, action_repeat=1, time_limit=0, mode='eval', render=True,
      env={'config': {}, 'obs_scale': 1.0, 'simulator': 'highway-env'})
  driver = os.environ.get('SDL_VIDEODRIVER')
  values = {'sdl_videodriver': driver}
  try:
    with envs.Pool(make, 1) as pool:
      pool.send([('reset', 0)])
      pool.recv()
      frame = pool.frames[0][-1].pixels
  except DreamerError as error:
    advice = REMEDY if driver == 'dummy' else (
        'pip install --force-reinstall pygame highway-env')
    if must:
      return fail('rendering', str(error), advice, 4, **values)
    return warn('rendering', f'No videos: {error}', advice, **values)
  height, width, _ = frame.shape
  return ok(
      'rendering', f'highway-env draws {width}x{height} pixels of '
      f'{len(set(frame.reshape(-1, 3).sum(-1).tolist()))} shades without a '
      'display', **values)
