"""Trains on one device and on two, and prints how the results differ.

    python parity.py '{"settings": {...}, "discrete": true, "steps": 20}'

A process of its own, as two CPUs must be asked for before TensorFlow begins.
"""

import json
import sys

import numpy as np
import tensorflow as tf

from dreamerv2_tf import errors
from dreamerv2_tf.replicas import Replicas

[cpu] = tf.config.list_physical_devices('CPU')
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import builders  # noqa: E402, it makes a tensor.

ROWS = 4


def batch(step, discrete, nan=False):
  """Rows that begin and end at other times; of the last, perhaps, NaN."""
  first = [(row, 0) for row in range(ROWS)] if not step else [(1, 1), (2, 3)]
  data = builders.batch(
      seed=step, first=first, last=[(0, 2)], discrete=discrete)
  if nan:
    data['reward'][-1, 1] = np.nan
  return data


def difference(one, other):
  """The largest difference of two structures, relative above 1."""
  return max(
      float(np.max(np.abs(np.subtract(one[k], other[k])) / np.maximum(
          np.abs(one[k]), 1))) for k in one)


def moments(agent):
  """The means and deviations of Adam: gradients of all steps."""
  kept = agent.world_model.model_opt.kept()
  return {
      f'{i}': x.numpy() for i, x in enumerate(kept) if x.dtype.is_floating}


def compare(settings, discrete, steps):
  agents = [
      builders.agent(settings=settings, discrete=discrete, replicas=replicas)
      for replicas in (None, Replicas.here(2))]
  states, worst = [None, None], 0.0
  for step in range(steps):
    data = batch(step, discrete)
    metrics = []
    for i, agent in enumerate(agents):
      states[i], found = agent.train(data, states[i])
      metrics.append({k: float(v) for k, v in found.items()})
    assert metrics[0].keys() == metrics[1].keys()
    worst = max(worst, difference(*metrics))
  weights = [agent.get_weights() for agent in agents]
  start = builders.agent(settings=settings, discrete=discrete).get_weights()
  return {
      'metrics': worst, 'weights': difference(*weights),
      'moments': difference(*map(moments, agents)),
      'state': difference(*states), 'moved': difference(start, weights[0]),
      'calls': [int(agent.train_calls.numpy()) for agent in agents]}


def stop(settings, discrete, steps):
  """Rows of the second replica are NaN in the last step."""
  agent = builders.agent(
      settings=settings, discrete=discrete, replicas=Replicas.here(2))
  state, before, error = None, None, ''
  for step in range(steps):
    before = agent.get_weights()
    try:
      state, _ = agent.train(
          batch(step, discrete, step == steps - 1), state)
    except errors.NonFiniteError as raised:
      error = str(raised)
  copies = [
      [x.numpy() for x in variable.values]
      for variable in agent.named_variables().values()]
  return {
      'error': error, 'calls': int(agent.train_calls.numpy()),
      'changed': difference(before, agent.get_weights()),
      'apart': max(float(np.abs(a - b).max()) for a, b in copies),
      'most': _refused()}


def _refused():
  try:
    Replicas.here(3)
  except errors.ConfigError as error:
    return str(error)
  return ''


if __name__ == '__main__':
  builders.B = ROWS
  case = json.loads(sys.argv[1])
  work = stop if case.pop('nan', False) else compare
  print(json.dumps(work(**case)))
