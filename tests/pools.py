"""Pools of toy environments, and what becomes of their processes."""

import functools
import pathlib
import time

from environments import config
import numpy as np

from dreamerv2_tf import envs

ACTION = ('step', np.float32([0, 1]))


def factory(name='Counter', render=False, **env_config):
  return functools.partial(
      envs.make, f'gym_toys:{name}-v0', **config(env_config), render=render)


def run(pool, *commands):
  pool.send(list(commands))
  return pool.recv()


def stat(pid):
  """Returns (state, parent) of a process, or None if it is gone."""
  try:
    text = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except OSError:
    return None
  state, parent = text.rpartition(')')[2].split()[:2]
  return state, int(parent)


def children(pid):
  """Ids of the environment workers that a process has started."""
  pids = [int(path.name) for path in pathlib.Path('/proc').glob('[0-9]*')]
  return [
      child for child in sorted(pids) if (stat(child) or (0, 0))[1] == pid
      and 'dreamerv2_tf.envs.worker' in words(child)]


def words(pid):
  """Returns the command line of a process, nothing if it is gone."""
  try:
    return pathlib.Path(f'/proc/{pid}/cmdline').read_text().split('\0')
  except OSError:
    return []


def gone(pids, seconds=60):
  until = time.monotonic() + seconds
  while time.monotonic() < until:
    if all((stat(pid) or 'Z')[0] == 'Z' for pid in pids):
      return True
    time.sleep(0.05)
  return False
