"""What workers of a pool are told, and what they reply."""

import random
import traceback
from typing import Any

import numpy as np

from .. import errors
from .env import Env

Command = tuple[str, Any]  # ('reset', seed) or 'step'.
Reply = tuple[str, Any, Any]  # Kind, content, details.
MAX_TRACE = 4000  # Characters of a traceback that are told.


def reply_to(env: Env, command: Command) -> Reply:
  """Runs one command; returns (kind, content, details) for the pool."""
  name, argument = command
  try:
    if name == 'reset':
      if argument is not None and not env.own_random:
        seed_generators(argument)
      row = env.reset(argument)
    else:
      row = env.step({'action': argument})
    return 'row', row, (env.frames(), env.outside)
  except Exception as error:
    return reply_of_error(error)


def seed_generators(seed: int) -> None:
  """Seeds the global generators, from which some environments draw."""
  random.seed(seed)
  np.random.seed(seed % 2 ** 32)


def reply_of_error(error: Exception) -> Reply:
  """Returns (kind, content, details) of what an environment raised."""
  if isinstance(error, errors.DreamerError):
    kinds = ['ConfigError', 'EnvError', 'StateError', 'NonFiniteError']
    for kind in kinds:
      if isinstance(error, getattr(errors, kind)):
        return kind, str(error), ''
  return 'raised', f'raised {errors.brief(error)}', _trace(error)


def reply_when_built(env: Env) -> Reply:
  """Returns the reply of an environment that was built."""
  return ('built', (
      env.obs_space, env.act_space, env.fps, env.about, env.mapping,
      env.advice), '')


def _trace(error):
  """Returns where an error was raised, and the end of its message."""
  frames = ''.join(traceback.format_tb(error.__traceback__))
  return f'{frames[-MAX_TRACE:]}{errors.brief(error)}'
