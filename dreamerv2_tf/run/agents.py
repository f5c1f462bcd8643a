"""Makes agents, new or with what is stored of them."""

from collections.abc import Mapping
import functools
import logging
import pathlib

import gymnasium as gym
import tensorflow as tf

from .. import envs, tfutils
from ..agent import Agent
from ..config import Config
from ..replicas import Replicas
from . import checkpoint, rundir, weights

log = logging.getLogger('dreamerv2_tf')


def prepare_tensorflow(config: Config) -> bool:
  """Sets what is global in TensorFlow: GPU memory and determinism.

  Args:
    config: reads `precision`, and `deterministic`, which applies where there
      is no GPU.

  Returns:
    Whether the same computation gives the same result, bit for bit.
  """
  gpu = tfutils.prepare_gpus()
  if not gpu and str(config.precision) == '16':
    log.warning(
        'No GPU found: float16 is slow on the CPU. Use --precision 32.')
  if gpu or not config.deterministic:
    return False
  tf.config.experimental.enable_op_determinism()
  return True


def make_agent(
    config: Config, folder: pathlib.Path, obs_space: Mapping[str, gym.Space],
    act_space: Mapping[str, gym.Space]) -> Agent:
  """Makes an untrained agent, with observations in the order of its run.

  Args:
    config: the resolved configuration.
    folder: of the run, which may be new.
    obs_space, act_space: of its environments.
  """
  directory = folder / 'checkpoints'
  return Agent(
      config, checkpoint.newest_observations(directory, obs_space), act_space,
      replicas=Replicas.here(config.replicas))


def restore_agent(
    config: Config, folder: pathlib.Path, which: str | int,
    env: envs.Env, stored: Config) -> tuple[Agent, int]:
  """Makes an agent with what is stored of it.

  Args:
    config: the resolved configuration.
    folder: of a run, or one of `weights`.
    which: latest, best or a step.
    env: one of its environments.
    stored: the configuration in the folder, which must be that of the
      checkpoint.

  Returns:
    The agent, and the step of what was restored.

  Raises:
    ConfigError, StateError: see `loading.load_agent`.
  """
  tfutils.prepare_gpus()
  if weights.held(folder):
    card = weights.read_card(folder, which)
    step = card['step']
    restore = functools.partial(weights.restore, folder)
  else:
    checkpoints = checkpoint.Checkpoints(folder / 'checkpoints', readonly=True)
    record = checkpoints.find(which)
    step, card = record.step, record.manifest
    settings = rundir.comparable(stored)
    rundir.check_changed(folder, rundir.changed(
        card.get('settings', settings), settings))
    restore = functools.partial(checkpoints.restore, record)
  agent = Agent(
      config, checkpoint.observations(card, env.obs_space), env.act_space,
      adapter=env.adapter, actions=env.actions)
  if not weights.held(folder) and not record.path.exists():
    # A run that goes on has deleted it meanwhile.
    record = checkpoints.find(which)
    step, restore = record.step, functools.partial(checkpoints.restore, record)
  restore(agent)
  return agent, step
