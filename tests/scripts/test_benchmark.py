import importlib
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'benchmark.py'
TINY = (
    '--configs', 'highway_kinematics', 'debug', '--prefill', '40',
    '--time_limit', '10')
REQUIRED = {
    'train_step_ms', 'world_model_ms', 'imagine_ms', 'actor_critic_ms',
    'first_step_s', 'policy_ms', 'replay_batches_per_s', 'env_steps_per_s',
    'loop_efficiency', 'matmul_gflops', 'matmul_share', 'peak_rss_mb'}
TWO_CORES = {
    'train_step_all_cores_ms', 'cores_speedup', 'loop_collect_ms',
    'loop_train_ms', 'loop_both_ms', 'loop_efficiency', 'loop_wait_ms'}


@pytest.fixture
def parts(script, monkeypatch):
  """Replaces the processes of the parts.

  Its `results` are what they print, by name, or an exit status; its `calls`
  are names and further arguments.
  """
  results = {'learner': {'train_step_ms': 30.0, 'peak_rss_mb': 800.0}}
  calls = []

  def run(command, **kwargs):
    name, *extra = command[command.index('--part') + 1:]
    calls.append((name, *extra))
    found = results.get(name, {})
    failed = isinstance(found, int)
    return types.SimpleNamespace(
        returncode=found if failed else 0, stdout=json.dumps(found).encode())

  monkeypatch.setattr(
      script, 'subprocess', types.SimpleNamespace(run=run, PIPE=-1))
  monkeypatch.setattr(script, 'cores', lambda: [0, 1])
  return types.SimpleNamespace(results=results, calls=calls)


def test_a_whole_run_prints_a_table_and_one_json_object(tmp_path):
  result = subprocess.run(
      [sys.executable, SCRIPT, *TINY, '--quick', '--json'], cwd=tmp_path,
      env={**os.environ, 'PYTHONPATH': str(ROOT)}, text=True,
      capture_output=True, timeout=300)
  assert result.returncode == 0, result.stderr
  *table, last = result.stdout.splitlines()
  values = json.loads(last)
  lacking = TWO_CORES if len(os.sched_getaffinity(0)) < 2 else set()
  assert {k for k in REQUIRED if values[k] is None} == lacking & REQUIRED
  numbers = {k: v for k, v in values.items() if isinstance(v, float)}
  assert all(math.isfinite(x) for x in numbers.values()), numbers
  zero = {k for k, v in numbers.items() if v <= 0}
  # No images; and a difference of two times, which is small here.
  assert zero <= {'conv_gflop', 'actor_critic_ms'}, numbers
  assert values['traces'] == 1
  assert values['gflop'] == values['matmul_gflop'] > 0
  assert values['config']['dataset.batch'] == 4
  assert values['spaces']['vector'] == 'float32 (25,)'
  [step] = [line for line in table if line.startswith('Train step  ')]
  assert step.split()[-1] == 'ms' and float(step.split()[-2]) > 0
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('words, message', [
    (['--configs', 'higway'], "Unknown preset 'higway'.*highway"),
    (['--configs'], "'--configs' needs the name of a preset"),
    (['--rsm.deter', '3'], "Unknown key 'rsm.deter'.*rssm.deter"),
    (['--jsn'], "Unknown key 'jsn'.*json"),
    (['--cores', '1000'], "'cores' must lie between 1 and [0-9]+, .* 1000"),
    (['--part', 'learn'], "'part' must be one of learner, .* 'learn'"),
    (['--task', 'higway_fast'], "'higway_fast' is not a known task"),
    (['--task', 'minatar_pong'], "'minatar_pong' is not a known task"),
    (['growth'], "Unexpected argument 'growth'"),
])
def test_mistakes_are_one_line_and_status_2(script, capsys, words, message):
  assert script.main(words) == 2
  out, err = capsys.readouterr()
  assert out == '' and err.count('\n') == 1
  assert re.search(message, err), err


def test_help_names_all_flags_without_tensorflow(python):
  result = python(
      '-X', 'importtime', SCRIPT, '--configs', 'highway', '--help')
  assert result.returncode == 0, result.stderr
  for flag in '--json', '--growth', '--ops', '--cores', '--quick':
    assert f'  {flag} ' in result.stdout
  assert not re.search(r'\| +tensorflow$', result.stderr, re.M)
  assert re.search(r'\| +dreamerv2_tf.config$', result.stderr, re.M)


def test_growth_halves_and_doubles_one_key_at_a_time(script, parts):
  parts.results['train'] = {
      'train_step_ms': 20.0, 'peak_rss_mb': 900.0, 'traces': 1}
  parts.results['policy'] = {'policy_ms': 2.0, 'growth': [
      {'envs': 1, 'policy_ms': 2.0}, {'envs': 2, 'policy_ms': 3.0}]}
  words = [*TINY, '--growth']
  options, config = script.parse(words)
  result, notes = script.measure(config, options, words)
  assert not notes
  assert result['train_step_all_cores_ms'] == 20
  assert result['cores_speedup'] == 1.5
  assert [call for call in parts.calls if call[0] == 'train'] == [
      ('train', '--cores', '2'),
      ('train', '--dataset.batch', '2'), ('train', '--dataset.batch', '8'),
      ('train', '--dataset.length', '4'), ('train', '--dataset.length', '16'),
      ('train', '--imag_horizon', '2'), ('train', '--imag_horizon', '10')]
  assert result['growth'][:5] == [
      {'envs': 1, 'policy_ms': 2.0}, {'envs': 2, 'policy_ms': 3.0},
      {'dataset.batch': 2, 'train_step_ms': 20.0, 'peak_rss_mb': 900.0},
      {'dataset.batch': 4, 'train_step_ms': 30.0, 'peak_rss_mb': 800.0},
      {'dataset.batch': 8, 'train_step_ms': 20.0, 'peak_rss_mb': 900.0}]


def test_a_part_that_fails_is_noted_unless_it_is_the_learner(script, parts):
  words = [*TINY, '--cores', '2']
  options, config = script.parse(words)
  parts.results['loop'] = 4
  result, notes = script.measure(config, options, words)
  assert notes == ["Part 'loop' ended with status 4."]
  assert result['loop_efficiency'] is None
  parts.results['learner'] = 2
  with pytest.raises(SystemExit) as exit_:
    script.measure(config, options, words)
  assert exit_.value.code == 2


def test_own_times_leave_out_what_an_operation_calls(script):
  learner = importlib.import_module('benchmark_learner')
  names = {
      1: 'scan/while:While', 2: 'body/MatMul:_MklMatMul', 3: 'a/b:AddV2',
      4: 'ExecutorState::Process', 5: 'c:_MklNativeFusedMatMul'}
  metadata = {k: types.SimpleNamespace(name=v) for k, v in names.items()}
  event = lambda begin, end, kind: types.SimpleNamespace(
      offset_ps=begin, duration_ps=end - begin, metadata_id=kind)
  times = {}
  learner._add_own_times([
      event(10, 30, 2), event(0, 100, 1), event(12, 20, 4), event(40, 45, 3),
      event(100, 107, 5), event(107, 110, 2)], metadata, times)
  assert times == {'While': 75, 'MatMul': 23, 'AddV2': 5, 'FusedMatMul': 7}
