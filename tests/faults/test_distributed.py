"""Faults 43, 60 and 61: replicas that fail, vanish, or do not agree."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest
import runs

TESTS = pathlib.Path(__file__).parents[1]


def environment(**more):
  return {
      **os.environ, 'PYTHONPATH': f'{TESTS.parent}{os.pathsep}{TESTS}',
      'TF_CPP_MIN_LOG_LEVEL': '3', **more}


def ports(count):
  """Ports of this machine that nobody has."""
  taken = [socket.create_server(('127.0.0.1', 0)) for _ in range(count)]
  result = [x.getsockname()[1] for x in taken]
  for x in taken:
    x.close()
  return result


def start(folders, fault='none', steps=4):
  """Starts two workers; folders: whence each restores."""
  places = [f'127.0.0.1:{port}' for port in ports(2)]
  result = []
  for index, folder in enumerate(folders):
    folder.mkdir(exist_ok=True)
    result.append(subprocess.Popen(
        [sys.executable, str(TESTS / 'worker.py'), str(folder), str(steps),
         fault], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(TF_CONFIG=json.dumps({
            'cluster': {'worker': places},
            'task': {'type': 'worker', 'index': index}}))))
  return result


def finish(workers, statuses):
  return [runs.finish(x, y) for x, y in zip(workers, statuses)]


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
  """What both print that learn undisturbed."""
  folder = tmp_path_factory.mktemp('straight') / 'run'
  (one, _), (other, _) = finish(start([folder] * 2), [0, 0])
  assert one == other and one.startswith('4 ')
  return one


@pytest.mark.fault(43)
def test_nan_in_one_replica_stops_all_of_them_unchanged():
  case = {
      'settings': {}, 'discrete': True, 'steps': 2, 'nan': True}
  found = subprocess.run(
      [sys.executable, str(TESTS / 'parity.py'), json.dumps(case)],
      capture_output=True, text=True, env=environment())
  assert found.returncode == 0, found.stderr
  result = json.loads(found.stdout.splitlines()[-1])
  assert 'loss: NaN or infinite in gradient step 2' in result['error']
  assert result['calls'] == 1 and result['changed'] == 0
  assert result['apart'] == 0
  assert 'TensorFlow sees 2 CPUs here' in result['most']


@pytest.mark.fault(43)
@pytest.mark.minutes
def test_nan_in_one_process_stops_both_at_the_same_step(tmp_path):
  for _, err in finish(start([tmp_path / 'run'] * 2, 'nan'), [5, 5]):
    assert 'NaN or infinite in gradient step 3' in err
  assert runs.Checkpoints(tmp_path / 'run', readonly=True).newest().step == 2


@pytest.mark.fault(60)
@pytest.mark.minutes
@pytest.mark.parametrize('fault', ['kill', 'stop'])
def test_a_process_that_is_gone_ends_the_other_and_both_go_on(
    straight, tmp_path, fault):
  one, other = start([tmp_path / 'run'] * 2, fault)
  _, err = runs.finish(one, 75)
  assert 'Another process of this group is gone' in err
  other.kill()
  runs.finish(other, -signal.SIGKILL)
  (out, _), (same, _) = finish(start([tmp_path / 'run'] * 2), [0, 0])
  assert out == same == straight


@pytest.mark.fault(60)
@pytest.mark.minutes
def test_a_process_that_is_asked_to_stop_takes_the_other_along(
    straight, tmp_path):
  for _, err in finish(start([tmp_path / 'run'] * 2, 'term'), [75, 75]):
    assert 'Stopped by SIGTERM at 3.' in err
  (out, _), (same, _) = finish(start([tmp_path / 'run'] * 2), [0, 0])
  assert out == same == straight


@pytest.mark.fault(61)
@pytest.mark.minutes
def test_processes_that_begin_with_different_states_refuse(tmp_path):
  folders = [tmp_path / 'run', tmp_path / 'other']
  finish(start([folders[0]] * 2, steps=2), [0, 0])
  for _, err in finish(start(folders), [3, 3]):
    assert 'begin with different states: gradient steps 2, 0.' in err
  assert runs.Checkpoints(folders[0], readonly=True).newest().step == 2
