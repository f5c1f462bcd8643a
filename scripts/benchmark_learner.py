"""Measures of the learner for benchmark.py: steps, their parts, the policy."""

import importlib
import pathlib
import re
import resource
import sys
import tempfile
import time

import benchmark_tools as tools
import numpy as np

from dreamerv2_tf import startup


def train(task: tools.Task) -> dict:
  """Measures the start and the train step."""
  return _train(task)[0]


def _train(task):
  """Returns the times, the agent and its batch."""
  config = task.config
  tools.pin(tools.cores()[:task.options.cores])
  startup.import_tensorflow()
  importlib.import_module('dreamerv2_tf.agent')
  imported = time.monotonic()
  agent = tools.make_agent(task)
  data = tools.sample(task, config.dataset.values())
  step = tools.stepper(agent, data)
  built = time.monotonic()
  step()
  stepped = time.monotonic()
  usual = tools.median(tools.repeat(step, task.seconds(20)))
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


def learner(task: tools.Task) -> dict:
  """Measures what `train` does, the parts of a step, and its arithmetic."""
  result, agent, data = _train(task)
  import flops
  import tensorflow as tf
  data = {k: tf.constant(v) for k, v in data.items()}
  carry = agent.world_model.rssm.initial(len(data['action']))
  matrix = tf.random.stateless_normal([2048, 2048], [0, 0])
  product = tf.function(lambda: (matrix @ matrix)[0, 0])
  times = tools.repeat(lambda: product().numpy(), 0, least=10)
  result['matmul_gflops'] = 2 * 2048 ** 3 / tools.median(times) / 1e9
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
  return result | _parts_of_step(task, agent, data, carry)


def _parts_of_step(task, agent, data, carry):
  """Returns the milliseconds of the parts of a train step."""
  import tensorflow as tf
  model, behavior = agent.world_model, agent.actor_critic
  seed = tf.constant([0, 1])

  def timed(function):
    """Compiles as the agent does; returns milliseconds and the last result."""
    compiled = tf.function(
        function, jit_compile=agent.jit_compile, autograph=False)
    last = []
    def call():
      last[:] = tf.nest.flatten(compiled())
      last[0].numpy()
    seconds = tools.median(tools.repeat(call, task.seconds(6)))
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
  return {
      'world_model_ms': model_ms, 'imagine_ms': imagine_ms,
      'actor_critic_ms': behave_ms - imagine_ms}


def policy(task: tools.Task) -> dict:
  """Measures the policy, for one and for several environments."""
  tools.pin(tools.cores()[:1])
  agent = tools.make_agent(task)
  percentiles = {}
  for count in (1, 2, 4, 8, 16) if task.options.growth else (1,):
    obs, state = tools.sample(task, [count]), agent.policy.initial(count)
    def call(obs=obs):
      nonlocal state
      outputs, state = agent.policy(obs, state, mode='eval')
      outputs['action'].numpy()
    call()
    times = tools.repeat(call, task.seconds(3), least=20, most=500)
    percentiles[count] = 1e3 * np.percentile(times, [50, 99])
  p50, p99 = percentiles[1]
  return {'policy_ms': p50, 'policy_p99_ms': p99, 'growth': [
      {'envs': k, 'policy_ms': v[0]} for k, v in percentiles.items()]}


def ops(task: tools.Task) -> dict:
  """Profiles train steps: the own time of each kind of operation."""
  tools.pin(tools.cores()[:task.options.cores])
  agent = tools.make_agent(task)
  import tensorflow as tf
  from tensorflow.tsl.profiler.protobuf import xplane_pb2
  step = tools.stepper(agent, tools.sample(task, task.config.dataset.values()))
  count = 1 if tools.median(tools.repeat(step, 0, least=1)) > 2 else 3
  with tempfile.TemporaryDirectory() as folder:
    tf.profiler.experimental.start(
        folder, tf.profiler.experimental.ProfilerOptions(
            host_tracer_level=3, python_tracer_level=0))
    wall = sum(tools.seconds(step) for _ in range(count))
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
