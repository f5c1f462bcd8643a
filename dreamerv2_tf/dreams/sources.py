"""Episodes to dream of: driven now, or stored in a run folder."""

from collections.abc import Iterator, Mapping, Sequence
import functools
import os
import pathlib
from typing import Any

import numpy as np

from .. import envs
from ..config import Config
from ..data.episodes import by_age, parse
from ..data.layout import EpisodeError
from ..data.reader import Reader
from ..errors import ConfigError
from ..run import environments

FOLDERS = ('eval', 'train')  # Words for the newest episode in such a folder.

Episode = Mapping[str, np.ndarray]


def find(folder: pathlib.Path, which: str) -> pathlib.Path:
  """Returns the file of a stored episode.

  Args:
    folder: of the run.
    which: eval or train, for the newest that was stored of these; or a file.

  Raises:
    ConfigError: there is none, or it is no episode.
  """
  if which in FOLDERS:
    place = folder / f'{which}_episodes'
    names = [x.name for x in place.glob('*.npz') if parse(x.name)]
    if not names:
      raise ConfigError(
          f'{place} holds no episode. Leave out --stored to drive one.')
    return place / max(names, key=by_age)
  path = pathlib.Path(os.path.expanduser(which))
  if not path.is_file():
    raise ConfigError(
        f"There is no file '{path}'. --stored takes a file of train_episodes "
        f"or eval_episodes of a run, or {' or '.join(FOLDERS)} for the newest "
        'of these.')
  if not parse(path.name):
    raise ConfigError(
        f"'{path}' is not named as an episode of a run is: its number, a "
        'unique name and its steps.')
  return path


def read(path: pathlib.Path, env: envs.Env) -> Episode:
  """Reads a stored episode.

  Args:
    path: of `find`.
    env: whose spaces it must have.

  Returns:
    Key -> [rows, ...].

  Raises:
    ConfigError: it can not be read, or is of another environment.
  """
  space = env.act_space['action']
  spaces = {k: (v.shape, v.dtype) for k, v in env.obs_space.items()}
  size = int(getattr(space, 'n', 0)) or space.shape[0]
  spaces['action'] = ((size,), np.float32)
  reader = Reader(
      path.parent.absolute(), spaces,
      functools.partial(envs.are_actions, space))
  try:
    return reader.decode(path.name)[1]
  except (EpisodeError, OSError) as error:
    raise ConfigError(f"Can not use '{path}': {error}.") from error


def drive(
    agent: Any, config: Config, seeds: Sequence[int]) -> Iterator[Episode]:
  """Lets the agent drive one scenario after the other, greedily.

  Args:
    agent: with a policy.
    config: of its run.
    seeds: scenarios.

  Raises:
    EnvError: a scenario can not be run.
  """
  with environments.make_evaluator(config, 1) as evaluator:
    policy = functools.partial(agent.policy, mode='eval')
    for seed in seeds:
      yield evaluator(policy, [seed]).episodes[0]


def check_length(title: str, rows: int, start: int, context: int) -> None:
  """Refuses an episode that has nothing to compare a dream with.

  Args:
    title: of the episode.
    rows: of it.
    start: row at which a scene begins.
    context: rows that are seen first.

  Raises:
    ConfigError: there is no row behind these.
  """
  if start + context >= rows:
    raise ConfigError(
        f'{title} has {rows} observations, too few for a scene that begins at '
        f'{start}, shows {context} and dreams at least one. Lower --context or '
        '--start.')
