"""Loads the agent of a run."""

from collections.abc import Sequence
import pathlib
from typing import Any

from .. import config as configlib
from .. import envs, errors, files, original, startup
from ..config import Config
from . import environments
from . import trust as trustlib


def load_agent(
    logdir: pathlib.Path, checkpoint: str = 'latest',
    overrides: Sequence[str] = (), env: envs.Env | None = None,
    trust: bool = False, film: Sequence[int] = ()) -> tuple[Any, Config, int]:
  """Builds the agent of a run with the variables of a checkpoint.

  Args:
    logdir: run folder, or one of `weights`; nothing is written.
    checkpoint: latest, best or a step; of weights, latest.
    overrides: command line words that change the run's configuration.
    env: that the run was trained in, whose spaces are read; None makes the
      one of its task.
    trust: run code that the settings of the run name, see `trust.check`.
    film: scenarios to be filmed later, which an environment may refuse.

  Returns:
    The agent, the run's configuration, and the step of the checkpoint.

  Raises:
    ConfigError: no run there, or wrong overrides.
    StateError: no such checkpoint, or it does not fit.
    EnvError: the environment can not be built.
  """
  stored = logdir / 'config.yaml'
  try:
    files.check_name(logdir)
  except ValueError as error:
    raise errors.ConfigError(
        f"Can not read the run folder '{files.printable(logdir)}': {error}. "
        'Rename it.') from error
  original.refuse(logdir)
  if not stored.is_file():
    raise errors.ConfigError(
        f'{logdir} holds no run: config.yaml is missing. Give the folder of '
        'a run.')
  base = Config.load(stored)
  config = configlib.resolve((), overrides, base)
  if env is None:
    if config.task == environments.CUSTOM:
      raise errors.ConfigError(
          f'The run in {logdir} was trained by a Python program in an '
          'environment without a name. Give it to load(logdir, env=...).')
    trustlib.check(logdir, config, trust)
    env = _environment(config, base, film)
  startup.import_tensorflow()
  from . import agents
  agent, step = agents.restore_agent(config, logdir, checkpoint, env, base)
  return agent, config, step


def _environment(config, base, film):
  """Returns the environment of a configuration, closed, for its spaces."""
  try:
    env = environments.factory(config, film)(probe=True)
  except errors.ConfigError as error:
    if config.task == base.task:
      raise
    raise errors.ConfigError(
        f'The agent was trained in {base.task} and can not act in '
        f'{config.task}: {error}') from error
  env.close()
  return env
