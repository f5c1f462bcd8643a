"""Small agents, their parts, and what they read.

Two rows, four times, three actions unless said otherwise.
"""

import contextlib

import gymnasium as gym
import numpy as np
import tensorflow as tf

from dreamerv2_tf import config as configlib
from dreamerv2_tf.actor_critic import ActorCritic
from dreamerv2_tf.agent import Agent
from dreamerv2_tf.exploration import Random
from dreamerv2_tf.imagination import Dream
from dreamerv2_tf.nets import layers
from dreamerv2_tf.world_model import WorldModel

B, T, A = 2, 4, 3
SEED = tf.constant([1, 2])
VECTOR = {'vector': (5,)}
IMAGE = {'image': (16, 16, 1)}
SIZES = {
    'precision': 32, 'rssm': {
        'hidden': 6, 'deter': 5, 'stoch': 3, 'discrete': 4},
    '.*cnn_depth': 1, '.*mlp_layers': [6], '.*units': 6, 'imag_horizon': 3}
SGD = {'opt': 'sgd', 'lr': 1.0, 'clip': 0.0, 'wd': 0.0}


@contextlib.contextmanager
def eagerly():
  """Runs tf.functions as plain Python."""
  tf.config.run_functions_eagerly(True)
  try:
    yield
  finally:
    tf.config.run_functions_eagerly(False)


def config(**settings):
  """The debug preset, smaller still."""
  return configlib.resolve(['debug']).update({**SIZES, **settings})


def init(dtype=tf.float32, seed=0):
  return layers.Init(np.random.default_rng(seed), dtype)


def spaces(shapes):
  """Images of bytes, vectors of floats."""
  return {
      k: gym.spaces.Box(0, 255, s, np.uint8 if len(s) == 3 else np.float32)
      for k, s in shapes.items()}


def world_model(shapes=VECTOR, dtype=tf.float32, seed=0, **settings):
  return WorldModel(
      spaces(shapes), A, tf.Variable(0), init(dtype, seed),
      **config(**settings).taken_by(WorldModel))


def actor_critic(
    feat=5, actions=A, discrete=True, dtype=tf.float32, step=0, seed=0,
    **settings):
  return ActorCritic(
      feat, actions, discrete, tf.Variable(step, dtype=tf.int64),
      init(dtype, seed), **config(**settings).taken_by(ActorCritic))


def explorer(cls, discrete=True, dtype=tf.float32, seed=0, **settings):
  """A behaviour and the world model that it explores."""
  settings = config(expl_behavior=cls.__name__, **settings)
  start = init(dtype, seed)
  model = WorldModel(
      spaces(VECTOR), A, tf.Variable(0), start, **settings.taken_by(WorldModel))
  if cls is Random:
    return cls(A, discrete), model
  behavior = ActorCritic(
      model.rssm.dim, A, discrete, tf.Variable(0), start,
      **settings.taken_by(ActorCritic))
  return cls(
      behavior, model, tf.Variable(0), start, **settings.taken_by(cls)), model


def agent(shapes=VECTOR, discrete=True, settings=None, **kwargs):
  """An agent; its observations have a `log_` key, too."""
  box = lambda dtype=np.float32: gym.spaces.Box(0, 1, (), dtype)
  action = gym.spaces.Discrete(A) if discrete else gym.spaces.Box(
      -1, 1, (A,), np.float32)
  return Agent(config(**(settings or {})), {
      **spaces(shapes), 'reward': box(), 'is_first': box(bool),
      'is_last': box(bool), 'is_terminal': box(bool), 'log_speed': box()},
      {'action': action}, **kwargs)


def rows(shapes, lead, rng):
  """Observations alone, [*lead, ...]."""
  return {
      k: rng.integers(0, 256, [*lead, *s], np.uint8) if len(s) == 3
      else rng.normal(size=[*lead, *s]).astype(np.float32)
      for k, s in shapes.items()}


def batch(
    shapes=VECTOR, length=T, seed=1, discrete=True, first=((0, 0), (1, 0)),
    last=()):
  """Sequences as in replay, [B, length, ...]; NumPy.

  Args:
    first: pairs (row, time) where an episode begins.
    last: pairs where one ends, by termination.
  """
  rng = np.random.default_rng(seed)
  lead = [B, length]
  result = rows(shapes, lead, rng)
  action = (
      np.eye(A)[rng.integers(A, size=lead)] if discrete
      else rng.uniform(-1, 1, [*lead, A]))
  flags = np.zeros([3, *lead], bool)
  for row, time in first:
    flags[0, row, time] = True
  for row, time in last:
    flags[1:, row, time] = True
  return result | {
      'action': action.astype(np.float32),
      'reward': rng.normal(size=lead).astype(np.float32),
      'is_first': flags[0], 'is_last': flags[1], 'is_terminal': flags[2]}


def observations(count=4, seed=0, first=False, shapes=VECTOR):
  """What environments return, [count, ...]; NumPy."""
  flag = np.zeros([count], bool)
  return rows(shapes, [count], np.random.default_rng(seed)) | {
      'reward': np.zeros([count], np.float32), 'is_first': flag | first,
      'is_last': flag, 'is_terminal': flag,
      'log_speed': np.ones([count], np.float32)}


def tensors(data):
  return {k: tf.constant(v) for k, v in data.items()}


def dream(**fields):
  """A Dream of the given fields, as float32; the others are None."""
  fields = tf.nest.map_structure(
      lambda x: tf.cast(x, tf.float32), dict(fields))
  return Dream(**{**dict.fromkeys(Dream._fields), **fields})
