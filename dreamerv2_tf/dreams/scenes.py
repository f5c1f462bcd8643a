"""Makes scenes: episodes, cut, and dreamed under several plans."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..envs import Adapter
from . import model, plans, sources
from .numbers import Course, Scene, weigh
from .plans import Plan


def make(
    agent: Any, adapter: Adapter, episode: Mapping[str, np.ndarray],
    choices: Sequence[Plan], *, title: str, seed: int = -1, start: int = 0,
    context: int = 5, length: int = 15, look: int = 0,
    samples: int = 16) -> Scene:
  """Dreams of a part of an episode.

  Args:
    agent: dreams.
    adapter: of its environment, whose units observations are given in.
    episode: key -> [rows, ...], as stored.
    choices: what is done in each dream.
    title: where the episode comes from.
    seed: scenario; also that of the dream. -1: a stored episode.
    start: row at which the scene begins; what was before is forgotten.
    context: rows that the model sees first.
    length: rows that it dreams; 0: to the end of the episode.
    look: rows after which it sees one again; 0: never. For what was done
      alone, as of other actions it is not known what one sees.
    samples: dreams of each plan.

  Raises:
    ConfigError: the episode is too short.
  """
  rows = len(episode['reward'])
  sources.check_length(title, rows, start, context)
  length = length or rows - start - context
  cut = {k: np.array(v[start:start + context + length])
         for k, v in episode.items()}
  cut['is_first'] = np.arange(len(cut['reward'])) == 0
  seen = _seen(context, length, look, len(cut['reward']))
  courses = [
      _dream(agent, adapter, cut, plan, seen, context, max(seed, 0), samples)
      for plan in choices]
  truth = {
      k: adapter.restore(k, v) if k in adapter.spaces and v.ndim == 2 else v
      for k, v in cut.items()}
  return Scene(title, seed, start, context, seen, truth, courses)


def _seen(context, length, look, known):
  """Tells which rows the model sees, [context + length] bool."""
  index = np.arange(context + length) - context
  seen = index < 0
  if look:
    seen |= (index % (look + 1) == look) & (index < known - context)
  return seen


def _dream(agent, adapter, cut, plan, seen, context, seed, samples):
  """Returns a course of events under a plan."""
  done = cut['action']
  actions, free = plans.fill(plan, done[context:], len(seen) - context)
  found = model.foresee(
      agent, cut, np.concatenate([done[:context], actions]),
      np.concatenate([np.zeros(context, bool), free]), seen, samples, seed)
  norm = agent.actor_critic.rewnorm.transform
  alive, gain, outlook = weigh(
      found.reward, found.goes_on, found.value, seen,
      float(agent.config.discount), float(norm(tf.constant(1.0))))
  images = agent.world_model.heads['decoder'].cnn_keys
  observation = {
      k: v + np.float32(0.5) if k in images else adapter.restore(k, v)
      for k, v in found.observation.items()}
  return Course(
      plan.name, plan.label(), found.action[:, 0], observation,
      found.reward.mean(1), found.goes_on.mean(1), alive.mean(1),
      found.value.mean(1), gain.mean(1), float(outlook.mean()))
