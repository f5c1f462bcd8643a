"""Measures speed and memory of training on this machine.

Each part runs in a process of its own, pinned to cores before TensorFlow sizes
its threads, with networks, batches and environments of the configuration.
Times are medians; other work on the machine makes them longer.
"""

from collections.abc import Iterator, Sequence
import functools
import json
import pickle
import subprocess
import sys
import textwrap
import time

import benchmark_data
import benchmark_learner
import benchmark_loop
from benchmark_tools import Task, cores
import command

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.run import rundir

PARTS = {part.__name__: part for part in (
    benchmark_learner.learner, benchmark_learner.train,
    benchmark_learner.policy, benchmark_data.replay,
    benchmark_data.environments, benchmark_loop.loop, benchmark_loop.free_loop,
    benchmark_learner.ops)}
FLAGS = {
    'json': (False, 'Print one JSON object on the last line.'),
    'growth': (
        False, 'Also measure other batches, lengths, horizons and numbers of '
        'environments.'),
    'ops': (False, 'Also profile the train step by kind of operation.'),
    'cores': (1, 'Cores of the learner.'),
    'quick': (False, 'Few repetitions, to try the script.'),
    'part': ('', 'Measure this part only; how the script calls itself.'),
}
ROWS = (  # Key of the result, description, unit.
    ('train_step_ms', 'Train step', 'ms'),
    ('world_model_ms', '  world model', 'ms'),
    ('imagine_ms', '  imagination', 'ms'),
    ('actor_critic_ms', '  actor and critic', 'ms'),
    ('train_step_all_cores_ms', 'Train step on all cores', 'ms'),
    ('cores_speedup', '  speed-up', 'x'),
    ('first_step_s', 'Process start to end of first train step', 's'),
    ('import_s', '  import', 's'),
    ('build_s', '  build', 's'),
    ('trace_s', '  trace and compile', 's'),
    ('traces', '  traces of the train step in all', ''),
    ('gflop', 'Arithmetic of a train step', 'GFLOP'),
    ('conv_gflop', '  convolutions', 'GFLOP'),
    ('matmul_gflop', '  matrix products', 'GFLOP'),
    ('matmul_gflops', 'Rate of a 2048x2048 product', 'GFLOP/s'),
    ('matmul_share', '  share of it in the train step', ''),
    ('peak_rss_mb', 'Peak memory of the learner', 'MB'),
    ('policy_ms', 'Policy, one observation, p50', 'ms'),
    ('policy_p99_ms', '  p99', 'ms'),
    ('replay_batches_per_s', 'Replay, a fifth of it in memory', 'batches/s'),
    ('replay_wait_ms', '  wait, with 20 ms between batches', 'ms'),
    ('env_steps_per_s_bare', 'Environment in a loop, one core', 'steps/s'),
    ('env_steps_per_s', 'Environments in a worker per core', 'steps/s'),
    ('env_efficiency', '  per core, against the loop', ''),
    ('loop_collect_ms', 'Collecting alone, per gradient step', 'ms'),
    ('loop_train_ms', 'Training alone', 'ms'),
    ('loop_both_ms', 'Both, on a core each', 'ms'),
    ('loop_efficiency', '  against the longer of the two', 'x'),
    ('loop_wait_ms', '  wait for replay', 'ms'),
    ('loop_steps_per_s', 'Both, all environments on all cores', 'steps/s'),
)
SIZES = (
    'dataset.batch', 'dataset.length', 'imag_horizon', 'rssm.deter',
    'rssm.hidden', 'rssm.stoch', 'rssm.discrete', 'encoder.cnn_depth',
    'actor.layers', 'actor.units', 'envs', 'train_every', 'train_steps',
    'precision', 'jit', 'deterministic')


def main(argv: Sequence[str] | None = None) -> int:
  """Measures and prints; returns the exit status, as the command does."""
  return command.main(
      argv, __doc__, FLAGS, _work,
      usage='usage: python scripts/benchmark.py [--configs PRESET ...] '
      '[--any.key VALUE] ...',
      after=['', 'Without --configs: highway. Keys and presets: dreamerv2 '
             '--help'])


def parse(arguments: Sequence[str]) -> tuple[Config, Config]:
  """Returns the values of FLAGS and the configuration.

  Raises:
    ConfigError: a flag, preset or value is wrong.
  """
  options, presets, overrides = configlib.parse(FLAGS, arguments)
  if not 1 <= options.cores <= len(cores()):
    raise ConfigError(
        f"'cores' must lie between 1 and {len(cores())}, the cores that this "
        f'process may use, but is {options.cores}.')
  if options.part not in ('', *PARTS):
    raise ConfigError(
        f"'part' must be one of {', '.join(PARTS)} but is '{options.part}'.")
  config = configlib.resolve(
      presets or ['highway'], overrides, flags=('configs', *FLAGS))
  return options, config


def measure(
    config: Config, options: Config,
    arguments: Sequence[str]) -> tuple[dict, list[str]]:
  """Runs the parts one after another.

  Args:
    config: the resolved configuration.
    options: values of FLAGS.
    arguments: of this process.

  Returns:
    The results, None for what could not be measured, and lines that say why.

  Raises:
    ConfigError: the task is unknown or the learner can not be built.
    EnvError: the environment can not be built.
  """
  obs_space, act_space = spaces(config)
  notes: list[str] = []
  run = functools.partial(_run, arguments, (obs_space, act_space), notes)
  count = len(cores())
  result = dict.fromkeys(key for key, _, _ in ROWS) | {
      'machine': rundir.machine(), 'versions': rundir.versions(),
      'cores': options.cores,
      'config': {key: config[key] for key in SIZES},
      'spaces': envs.signature(obs_space, act_space)} | run('learner')
  usual = result['train_step_ms']
  if options.cores < count:
    ms = run('train', '--cores', str(count)).get('train_step_ms')
    result['train_step_all_cores_ms'] = ms
    result['cores_speedup'] = ms and usual / ms
  parts = ['policy', 'replay', 'environments', 'free_loop']
  parts += ['loop'] * (count > 1)
  if count == 1:
    notes.append('No loop with a core for each: there is but one.')
  growth = []
  for part in parts + ['ops'] * options.ops:
    found = run(part)
    growth += found.pop('growth', [])
    result |= found
  if options.growth:
    result['growth'] = growth + _growth(config, result, run)
  return result, notes


def _run(arguments, task_spaces, notes, part, *extra):
  """Runs a part in a process; returns its results, {} and a note if it ends."""
  print(f"Measuring {' '.join([part, *extra])}", file=sys.stderr, flush=True)
  process = subprocess.run(
      [sys.executable, __file__, *arguments, '--part', part, *extra],
      input=pickle.dumps((*task_spaces, time.monotonic())),
      stdout=subprocess.PIPE)
  if process.returncode == 0:
    return json.loads(process.stdout.splitlines()[-1])
  if part == 'learner':  # It has said why.
    sys.exit(max(1, process.returncode))
  notes.append(f"Part '{part}' ended with status {process.returncode}.")
  return {}


def _growth(config, result, run):
  """Measures the train step with half and double sizes; returns rows."""
  rows = []
  for key in ('dataset.batch', 'dataset.length', 'imag_horizon'):
    for value in (config[key] // 2, config[key], config[key] * 2):
      found = result if value == config[key] else run(
          'train', f'--{key}', str(max(1, value)))
      rows.append({key: value, **{
          k: found.get(k) for k in ('train_step_ms', 'peak_rss_mb')}})
  return rows


def spaces(config: Config) -> tuple[dict, dict]:
  """Returns the spaces of the task.

  Raises:
    ConfigError: the task is unknown.
    EnvError: its environment can not be built.
  """
  env = envs.make(config.task, probe=True, **config.taken_by(envs.make))
  env.close()
  return env.obs_space, env.act_space


def _table(result: dict) -> Iterator[str]:
  """Yields the lines for people."""
  for key in ('machine', 'versions', 'config', 'spaces'):
    text = ', '.join(f'{k} {v}' for k, v in result[key].items())
    yield from textwrap.wrap(f'{key}: {text}', 78, subsequent_indent='  ')
  yield ', '.join([f"learner: cores {result['cores']}", *result['gpus']]) + '\n'
  for key, text, unit in ROWS:
    yield f'{text:<42}{_number(result[key]):>8} {unit}'
  for row in result.get('growth', ()):
    (key, size), *found = row.items()
    yield f'{key:>16} {size:<4}' + ', '.join(
        f'{k} {_number(v)}' for k, v in found)
  if 'ops_ms' in result:
    total = sum(result['ops_ms'].values())
    yield f"\nOperations, {_number(result['ops_step_ms'])} ms when profiled"
    for name, ms in result['ops_ms'].items():
      yield f'  {name:<40}{_number(ms):>8} ms {ms / total:>7.1%}'


def _number(value):
  if value is None:
    return '-'
  return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def _work(arguments):
  options, config = parse(arguments)
  if options.part:
    task = Task(config, options, *pickle.load(sys.stdin.buffer))
    return [json.dumps(PARTS[options.part](task))]
  result, notes = measure(config, options, arguments)
  return [*_table(result), *notes, *[json.dumps(result)] * options.json]


if __name__ == '__main__':
  sys.exit(main())
