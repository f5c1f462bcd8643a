"""The measurements of benchmark.py; each runs in a process of its own."""

from collections.abc import Callable, Sequence
import functools
import importlib
import itertools
import math
import os
import pathlib
import re
import resource
import sys
import tempfile
import time
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from dreamerv2_tf import envs, startup
from dreamerv2_tf.config import Config
from dreamerv2_tf.data.driver import Driver
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.data.replay import Replay
from dreamerv2_tf.run.environments import make_pool
from dreamerv2_tf.run.stop import Stop


class Task(NamedTuple):
  """What a part measures.

  Attributes:
    config: the resolved configuration.
    options: values of the script's flags.
    obs_space, act_space: of an environment.
    began: `time.monotonic()` when the process was started, seconds.
  """

  config: Config
  options: Config
  obs_space: dict[str, gym.Space]
  act_space: dict[str, gym.Space]
  began: float

  def seconds(self, usual: float) -> float:
    """Returns how long to repeat what usually gets so long."""
    return 0.05 if self.options.quick else usual


def train(task: Task) -> dict:
  """Measures the start and the train step."""
  return _train(task)[0]


def _train(task):
  """Returns the times, the agent and its batch."""
  config = task.config
  pin(cores()[:task.options.cores])
  startup.import_tensorflow()
  importlib.import_module('dreamerv2_tf.agent')
  imported = time.monotonic()
  agent = _agent(task)
  data = _sample(task, config.dataset.values())
  step = _stepper(agent, data)
  built = time.monotonic()
  step()
  stepped = time.monotonic()
  usual = _median(repeat(step, task.seconds(20)))
  import tensorflow as tf
  gpus = [
      tf.config.experimental.get_device_details(x).get('device_name', x.name)
      for x in tf.config.list_physical_devices('GPU')]
  memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  traces = agent.train_function.experimental_get_tracing_count()
  return {
      'train_step_ms': 1e3 * usual, 'first_step_s': stepped - task.began,
      'import_s': imported - task.began, 'build_s': built - imported,
      'trace_s': stepped - built - usual, 'traces': traces,
      'peak_rss_mb': memory, 'gpus': gpus,
      'parameters': sum(x.size for x in agent.get_weights().values()),
  }, agent, data


def learner(task: Task) -> dict:
  """Measures what `train` does, the parts of a step, and its arithmetic."""
  result, agent, data = _train(task)
  import flops
  import tensorflow as tf
  data = {k: tf.constant(v) for k, v in data.items()}
  model, behavior = agent.world_model, agent.actor_critic
  carry, seed = model.rssm.initial(len(data['action'])), tf.constant([0, 1])
  matrix = tf.random.stateless_normal([2048, 2048], [0, 0])
  product = tf.function(lambda: (matrix @ matrix)[0, 0])
  times = repeat(lambda: product().numpy(), 0, least=10)
  result['matmul_gflops'] = 2 * 2048 ** 3 / _median(times) / 1e9
  function = agent.train_function.get_concrete_function(data, carry)
  try:
    flop = flops.count(function.graph)
  except ValueError as error:
    print(f'No arithmetic: {error}', file=sys.stderr)
  else:
    rate = sum(flop.values()) / result['train_step_ms'] / 1e6  # GFLOP/s.
    result.update(
        gflop=sum(flop.values()) / 1e9, conv_gflop=flop['conv'] / 1e9,
        matmul_gflop=flop['matmul'] / 1e9,
        matmul_share=rate / result['matmul_gflops'])

  def timed(function):
    """Compiles as the agent does; returns milliseconds and the last result."""
    compiled = tf.function(
        function, jit_compile=agent.jit_compile, autograph=False)
    last = []
    def call():
      last[:] = tf.nest.flatten(compiled())
      last[0].numpy()
    seconds = _median(repeat(call, task.seconds(6)))
    return 1e3 * seconds, last

  def learn():
    _, outputs, metrics = model.train(data, carry, seed)
    return list(metrics.values()), outputs.post

  def imagine():
    dream = model.imagine(
        behavior.actor, post, data['is_terminal'],
        task.config.imag_horizon, seed)
    return [x for x in tf.nest.flatten(dream) if tf.is_tensor(x)]

  def behave():
    reward = lambda dream: model.heads['reward'](dream.feat).mode()
    return behavior.train(model, post, data['is_terminal'], reward, seed)

  model_ms, found = timed(learn)
  post = tf.nest.pack_sequence_as(carry, found[-len(carry):])
  imagine_ms, _ = timed(imagine)
  behave_ms, _ = timed(behave)
  return result | {
      'world_model_ms': model_ms, 'imagine_ms': imagine_ms,
      'actor_critic_ms': behave_ms - imagine_ms}


def policy(task: Task) -> dict:
  """Measures the policy, for one and for several environments."""
  pin(cores()[:1])
  agent = _agent(task)
  percentiles = {}
  for count in (1, 2, 4, 8, 16) if task.options.growth else (1,):
    obs, state = _sample(task, [count]), agent.policy.initial(count)
    def call(obs=obs):
      nonlocal state
      outputs, state = agent.policy(obs, state, mode='eval')
      outputs['action'].numpy()
    call()
    times = repeat(call, task.seconds(3), least=20, most=500)
    percentiles[count] = 1e3 * np.percentile(times, [50, 99])
  p50, p99 = percentiles[1]
  return {'policy_ms': p50, 'policy_p99_ms': p99, 'growth': [
      {'envs': k, 'policy_ms': v[0]} for k, v in percentiles.items()]}


def replay(task: Task) -> dict:
  """Measures batches from episodes of which a fifth fits into memory."""
  pin(cores()[:1])
  config = task.config
  rows = 1 + max(config.replay.minlen, (
      30 if config.task.startswith('highway_') else 500))
  episode = _sample(task, [rows])
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
    times = repeat(fetch, task.seconds(4), least=20, most=10_000)
    waits = []
    for _ in range(20 if task.options.quick else 100):
      time.sleep(0.02)  # The learner is busy.
      waits.append(_seconds(fetch))
    dataset.close()
  return {
      'replay_batches_per_s': len(times) / sum(times),
      'replay_wait_ms': 1e3 * _median(waits)}


def environments(task: Task) -> dict:
  """Measures random steps in a loop and in workers, in alternating rounds.

  The loop takes the episodes of all workers in turn, with the same actions.
  """
  available = cores()
  env = envs.make(task.config.task, task.config)
  walk = _walk(env, len(available))
  step = lambda: next(walk)
  pin(available[:1])
  usual = np.mean(repeat(step, task.seconds(2), least=20, most=4000))
  steps = int(np.clip(task.seconds(4) / usual, 20, 2000))
  counts = {len(available)}
  if task.options.growth:
    counts |= {n for n in (1, 2, 4, 8, 16) if n <= max(4, len(available))}
  growth = []
  for count in sorted(counts):
    randoms = [None] * count
    act = functools.partial(_act, randoms)
    spent = []
    pin(available)
    with _pool(task.config, count) as pool:
      driver = Driver(pool, functools.partial(_begin, randoms, pool.act_space))
      driver(act, steps=10 * count)
      for _ in range(1 if task.options.quick else 5):
        pin(available[:1])
        alone = sum(_seconds(step) for _ in range(steps))
        pin(available)
        spent.append((alone, _seconds(driver, act, steps * count)))
    alone, together = (steps / _median(x) for x in zip(*spent))
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


def loop(task: Task) -> dict:
  """Measures collecting and learning, each alone and both.

  The learner has one core, the worker of one environment another.
  """
  first, second, *_ = cores()
  pin([second])
  with _pool(task.config, 1) as pool:
    pin([first])
    run = Loop(task, pool)
    phases = [run.collect, run.train, run.both]
    longest = max(_seconds(phase, 1) for phase in phases)
    count = int(np.clip(task.seconds(4) / longest, 2, 50))
    rounds = [
        [1e3 * _seconds(phase, count) / count for phase in phases]
        for _ in range(1 if task.options.quick else 3)]
    run.close()
  collect, learn, both = np.median(rounds, 0) / task.config.train_steps
  return {
      'loop_collect_ms': collect, 'loop_train_ms': learn, 'loop_both_ms': both,
      'loop_efficiency': both / max(collect, learn),
      'loop_wait_ms': 1e3 * _median(run.waits)}


def free_loop(task: Task) -> dict:
  """Measures both at the same time with all environments, on all cores."""
  with _pool(task.config, task.config.envs) as pool:
    run = Loop(task, pool)
    usual = _seconds(run.both, 1)
    count = int(np.clip(task.seconds(8) / usual, 2, 200))
    spent = _seconds(run.both, count)
    run.close()
  return {'loop_steps_per_s': count * task.config.train_every / spent}


class Loop:
  """The parts of training, driven so that phases can be measured."""

  def __init__(self, task, pool):
    """Collects random episodes and traces all functions."""
    startup.import_tensorflow()
    from dreamerv2_tf.run import agents, parts
    self._config = config = task.config
    self._folder = tempfile.TemporaryDirectory()
    exact = agents.prepare_tensorflow(config)
    self._parts = p = parts.assemble(
        config, pool, pathlib.Path(self._folder.name), Stop(), None,
        task.began, exact)
    self._driver, self._learner = p.collector.driver, p.learner
    self._driver.on_step(self._on_step)
    self._steps = self._due = 0
    self.waits = []  # Seconds, for each gradient step.
    while self._driver.steps < config.prefill and (
        self._driver.steps < 200
        or not p.replays['train'].stats['loaded_episodes']):
      self._driver(p.random, steps=10)
    self._driver.policy_state = None
    p.datasets.open()
    self._dataset = p.datasets['train']
    self.both(1)

  def collect(self, count):
    """Takes the steps that belong to `count` trainings."""
    self._due = 0
    self._driver(self._policy, steps=count * self._config.train_every)

  def train(self, count):
    for _ in range(count):
      self._due = 1
      self._begin()
    self._learner.finish()

  def both(self, count):
    """Trains while environments simulate; begins with the first step."""
    self._steps, self._due = 0, 1
    self._driver(
        self._policy, steps=count * self._config.train_every,
        overlap=self._begin)
    self._learner.finish()

  def close(self):
    self._parts.close()
    self._folder.cleanup()

  def _on_step(self, row, worker):
    self._steps += 1
    self._due += self._steps % self._config.train_every == 0

  def _policy(self, obs, state):
    if self._due:
      self._learner.finish()
    return self._learner.policy(obs, state, mode='train')

  def _begin(self):
    if self._due:
      count, self._due = self._due * self._config.train_steps, 0
      self._learner.begin(self._dataset, count, self._driver.steps)
      self.waits.append(self._dataset.take_wait() / count)


def ops(task: Task) -> dict:
  """Profiles train steps: the own time of each kind of operation."""
  pin(cores()[:task.options.cores])
  agent = _agent(task)
  import tensorflow as tf
  from tensorflow.tsl.profiler.protobuf import xplane_pb2
  step = _stepper(agent, _sample(task, task.config.dataset.values()))
  count = 1 if _median(repeat(step, 0, least=1)) > 2 else 3
  with tempfile.TemporaryDirectory() as folder:
    tf.profiler.experimental.start(
        folder, tf.profiler.experimental.ProfilerOptions(
            host_tracer_level=3, python_tracer_level=0))
    wall = sum(_seconds(step) for _ in range(count))
    tf.profiler.experimental.stop()
    [path] = pathlib.Path(folder).rglob('*.xplane.pb')
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
  times = {}
  for plane in space.planes:
    for line in plane.lines:
      _add_own_times(line.events, plane.event_metadata, times)
  ranked = sorted(times.items(), key=lambda x: -x[1])
  top = dict(ranked[:15]) | {'other': sum(x for _, x in ranked[15:])}
  return {
      'ops_ms': {kind: ps / 1e9 / count for kind, ps in top.items()},
      'ops_step_ms': 1e3 * wall / count}


def _add_own_times(events, metadata, times):
  """Adds picoseconds in operations, without those in others that they call."""
  running = []  # (end, kind) of operations around the present one.
  for event in sorted(events, key=lambda x: (x.offset_ps, -x.duration_ps)):
    match = re.fullmatch(  # Such as while/body/MatMul:_MklMatMul.
        r'[^:]+:_?(?:Mkl)?(?:Native)?(\w+)', metadata[event.metadata_id].name)
    if not match:
      continue
    while running and event.offset_ps >= running[-1][0]:
      running.pop()
    if running:
      times[running[-1][1]] -= event.duration_ps
    times[match[1]] = times.get(match[1], 0) + event.duration_ps
    running.append((event.offset_ps + event.duration_ps, match[1]))


def cores() -> list[int]:
  """Returns the cores to use, one thread of each physical one first."""
  physical = {}
  for core in sorted(os.sched_getaffinity(0)):
    path = pathlib.Path(
        f'/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list')
    name = path.read_text() if path.exists() else core
    physical.setdefault(name, []).append(core)
  turns = itertools.zip_longest(*physical.values())
  return [core for turn in turns for core in turn if core is not None]


def pin(wanted: Sequence[int]) -> None:
  """Keeps all threads of this process, and those to come, on some cores."""
  for thread in os.listdir('/proc/self/task'):
    os.sched_setaffinity(int(thread), wanted)


def repeat(
    function: Callable, limit: float, least: int = 3,
    most: int = 50) -> list[float]:
  """Calls once to warm up, then for some seconds; returns seconds of calls."""
  function()
  times = []
  while len(times) < least or sum(times) < limit and len(times) < most:
    times.append(_seconds(function))
  return times


def _seconds(function, *args):
  began = time.perf_counter()
  function(*args)
  return time.perf_counter() - began


def _median(times):
  return float(np.median(times))


def _agent(task):
  """Builds the agent as training does."""
  startup.import_tensorflow()
  from dreamerv2_tf.agent import Agent
  from dreamerv2_tf.run.agents import prepare_tensorflow
  prepare_tensorflow(task.config)
  return Agent(task.config, task.obs_space, task.act_space)


def _stepper(agent, data):
  """Returns a function that takes a gradient step, as training does."""
  state = None
  def step():
    nonlocal state
    state, metrics = agent.train(data, state)
    _fetch(metrics)
  return step


def _fetch(metrics):
  return [float(x) for x in metrics.values()]


def _sample(task, lead):
  """Makes up rows as replay has them, [*lead, ...]."""
  rng = np.random.default_rng(0)
  result = {}
  for key, space in task.obs_space.items():
    shape = (*lead, *space.shape)
    if space.dtype == np.uint8:
      result[key] = rng.integers(0, 256, shape, np.uint8)
    elif space.dtype == bool:
      result[key] = np.zeros(shape, bool)
    else:
      result[key] = rng.normal(size=shape).astype(space.dtype)
  random = RandomPolicy(task.act_space, 0)
  action = random({'rows': range(math.prod(lead))})[0]['action']
  return result | {'action': action.reshape(*lead, -1)}


def _pool(config, count):
  return make_pool(
      config.update({'envs_parallel': 'process'}),
      functools.partial(envs.make, config.task, config), count)


PARTS = {part.__name__: part for part in (
    learner, train, policy, replay, environments, loop, free_loop, ops)}
