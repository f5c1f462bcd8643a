"""The environments of a run, from its configuration, and their scenarios."""

from collections.abc import Callable, Mapping, Sequence
import functools
import logging
from typing import Any

import gymnasium as gym
import numpy as np

from .. import envs, errors
from ..config import Config
from .evaluator import Evaluator, Look

log = logging.getLogger('dreamerv2_tf')

CUSTOM = 'gym_custom'  # Task of runs whose environment has no name.
EVAL_SEED = 20_000  # First scenario of the evaluations within training.
TRAIN_SEEDS = 1_000_000  # Training scenarios begin here, apart from those.


def make_pool(
    config: Config, factory: Callable[[], envs.Env], count: int,
    stop: Callable[[], int] = lambda: 0) -> envs.Pool:
  """Starts environments with the limits of the configuration.

  Args:
    config: the resolved configuration.
    factory: makes one.
    count: how many.
    stop: see Pool.
  """
  return envs.Pool(
      factory, count, parallel=config.envs_parallel,
      timeout=config.env_timeout, max_failures=config.max_env_failures,
      on_bad_data=config.on_bad_data, stop=stop, seed=config.seed)


def check_collectors(config: Config) -> None:
  """Imports Ray where collectors need it, before TensorFlow is imported.

  Raises:
    ConfigError: the settings do not fit each other.
    EnvError: it is not installed, or nobody listens where it should run.
  """
  if config.collectors:
    if config.min_collectors > config.collectors:
      raise errors.ConfigError(
          f"'min_collectors' must be at most collectors ({config.collectors}) "
          f'but is {config.min_collectors}.')
    from . import cluster
    cluster.probe(config.ray.address)


def make_training(
    config: Config, factory: Callable[[], envs.Env],
    stop: Callable[[], int]) -> Any:
  """Starts the environments of training, here or with collectors.

  Args:
    config: the resolved configuration.
    factory: makes one.
    stop: see Pool.

  Returns:
    A Pool, or the Fleet of the collectors.
  """
  if not config.collectors:
    return make_pool(config, factory, config.envs, stop)
  from . import fleet  # Imports Ray.
  return fleet.Fleet(config, factory, stop, **config.taken_by(fleet.Fleet))


def factory(
    config: Config, film: Sequence[int],
    smooth: bool = False) -> Callable[[], envs.Env]:
  """Returns what makes an evaluation environment.

  Args:
    config: the resolved configuration.
    film: scenarios whose pictures are collected.
    smooth: more of them, see `envs.make`.
  """
  return functools.partial(
      envs.make, config.task, mode='eval', render=film, smooth=smooth,
      **config.taken_by(envs.make))


def make_evaluator(
    config: Config, count: int, make: Callable[[], envs.Env] | None = None,
    film: Sequence[int] = (),
    progress: Callable[[int], None] = lambda done: None,
    look: Look | None = None) -> Evaluator:
  """Returns what runs scenarios, outside of training.

  Args:
    config: the resolved configuration.
    count: environments side by side.
    make: makes one; None makes that of `factory`.
    film: scenarios whose pictures are collected, smoothly, by that one.
    progress, look: see Evaluator.
  """
  make = make or factory(config, film, smooth=True)
  return Evaluator(
      functools.partial(make_pool, config, make, count), film,
      progress=progress, look=look)


def filmed(config: Config, obs_space: Mapping[str, gym.Space]) -> range:
  """Returns the scenarios to film: the first, in highway without images."""
  images = [k for k, space in obs_space.items() if len(space.shape) == 3]
  blind = config.task.startswith('highway_') and not images
  return range(EVAL_SEED, EVAL_SEED + blind)


def make_film_pool(
    config: Config, film: Sequence[int], count: int,
    stop: Callable[[], int]) -> envs.Pool:
  """Starts evaluation environments, with a warning where none can be filmed.

  Args:
    config, film: see `factory`.
    count, stop: see `make_pool`.
  """
  try:
    return make_pool(config, factory(config, film), count, stop)
  except errors.EnvError as error:
    if not film:
      raise
    log.warning('Evaluations are not filmed: %s', error)
    return make_pool(config, factory(config, ()), count, stop)


def train_scenario(seed: int, worker: int, episode: int) -> int:
  """Returns the scenario of a training episode.

  Args:
    seed: of the run.
    worker: index of the environment.
    episode: index of its episode.
  """
  entropy = np.random.SeedSequence([seed, 1, worker, episode])
  return TRAIN_SEEDS + int(entropy.generate_state(1)[0]) % 2 ** 30
