"""Measures of replay and environments for benchmark.py."""

import functools
import itertools
import tempfile
import time

import benchmark_tools as tools
import numpy as np

from dreamerv2_tf import envs
from dreamerv2_tf.data.driver import Driver
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.data.replay import Replay


def replay(task: tools.Task) -> dict:
  """Measures batches from episodes of which a fifth fits into memory."""
  tools.pin(tools.cores()[:1])
  config = task.config
  rows = 1 + max(config.replay.minlen, (
      30 if config.task.startswith('highway_') else 500))
  episode = tools.sample(task, [rows])
  episode['is_first'][0] = episode['is_last'][-1] = True
  count = -(-(2_000 if task.options.quick else 20_000) // rows)
  size = count * sum(x.nbytes for x in episode.values())
  with tempfile.TemporaryDirectory() as folder:
    store = Replay(folder, **{
        **config.replay, 'capacity': 0, 'ram': size / 5})
    for _ in range(count):
      store.add_episode(episode)
    dataset = store.dataset(**config.dataset)
    fetch = lambda: next(dataset)
    times = tools.repeat(fetch, task.seconds(4), least=20, most=10_000)
    waits = []
    for _ in range(20 if task.options.quick else 100):
      time.sleep(0.02)  # The learner is busy.
      waits.append(tools.seconds(fetch))
    dataset.close()
  return {
      'replay_batches_per_s': len(times) / sum(times),
      'replay_wait_ms': 1e3 * tools.median(waits)}


def environments(task: tools.Task) -> dict:
  """Measures random steps in a loop and in workers, in alternating rounds.

  The loop takes the episodes of all workers in turn, with the same actions.
  """
  available = tools.cores()
  config = task.config
  env = envs.make(config.task, **config.taken_by(envs.make))
  walk = _walk(env, len(available))
  step = lambda: next(walk)
  tools.pin(available[:1])
  usual = np.mean(tools.repeat(step, task.seconds(2), least=20, most=4000))
  steps = int(np.clip(task.seconds(4) / usual, 20, 2000))
  counts = {len(available)}
  if task.options.growth:
    counts |= {n for n in (1, 2, 4, 8, 16) if n <= max(4, len(available))}
  growth = []
  for count in sorted(counts):
    randoms = [None] * count
    act = functools.partial(_act, randoms)
    spent = []
    tools.pin(available)
    with tools.make_pool(task.config, count) as pool:
      driver = Driver(pool, functools.partial(_begin, randoms, pool.act_space))
      driver(act, steps=10 * count)
      for _ in range(1 if task.options.quick else 5):
        tools.pin(available[:1])
        alone = sum(tools.seconds(step) for _ in range(steps))
        tools.pin(available)
        spent.append((alone, tools.seconds(driver, act, steps * count)))
    alone, together = (steps / tools.median(x) for x in zip(*spent))
    growth.append({'envs': count, 'env_steps_per_s': count * together})
    if count == len(available):
      result = {
          'env_steps_per_s_bare': alone, 'env_steps_per_s': count * together,
          'env_efficiency': together / alone}
  return {**result, 'growth': growth}


def _walk(env, workers):
  """Steps through the episodes of workers; yields after each step."""
  randoms = [None] * workers
  for index in itertools.count():
    episode, worker = divmod(index, workers)
    obs = env.reset(_begin(randoms, env.act_space, worker, episode))
    while not obs['is_last']:
      action = _act([randoms[worker]], obs, None)[0]['action'][0]
      obs = env.step({'action': action})
      yield


def _begin(randoms, act_space, worker, episode):
  """Returns the seed of an episode and prepares its actions."""
  randoms[worker] = RandomPolicy(act_space, [worker, episode])
  return 1000 * worker + episode


def _act(randoms, obs, state):
  actions = [random({'row': [0]})[0]['action'] for random in randoms]
  return {'action': np.concatenate(actions)}, state
