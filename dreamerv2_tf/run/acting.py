"""The policy of a collector, which has one core and no GPU."""

from collections.abc import Mapping

import gymnasium as gym
import tensorflow as tf

from ..agent import Agent
from ..config import Config
from ..policy import Policy


def make_policy(
    config: Config, obs_space: Mapping[str, gym.Space],
    act_space: Mapping[str, gym.Space]) -> Policy:
  """Returns a policy whose weights are still to come.

  Args:
    config: of the run, with a seed of its own.
    obs_space: in the order of the agent that learns.
    act_space: as that of the agent.
  """
  tf.config.set_visible_devices([], 'GPU')
  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  return Agent(config, obs_space, act_space).policy
