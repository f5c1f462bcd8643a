"""Fault 62: sweeps whose driver or trials are killed, or fail, go on."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from pools import gone, stat, words
import pytest
import runs
import sweeping

TESTS = pathlib.Path(__file__).parents[1]


def start(*arguments):
  """Starts a sweep of trials of milliseconds, in a process of its own."""
  return subprocess.Popen(
      [sys.executable, sweeping.__file__, *map(str, arguments)],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={
          **os.environ, 'PYTHONPATH': f'{TESTS.parent}{os.pathsep}{TESTS}'})


def plan(place, **content):
  place.mkdir(exist_ok=True)
  (place / 'plan').write_text(json.dumps(content))


def record(place, name):
  return json.loads((place / 'trials' / f'{name}.json').read_text())


def processes(place):
  """Ids of all processes whose command line names the folder."""
  pids = [int(path.name) for path in pathlib.Path('/proc').glob('[0-9]*')]
  return [
      pid for pid in pids if pid != os.getpid()
      and any(str(place) in word for word in words(pid))
      and (stat(pid) or 'Z')[0] != 'Z']


@pytest.fixture
def place(tmp_path):
  return tmp_path / 'sweep'


@pytest.mark.fault(62)
def test_a_killed_sweep_leaves_no_trial_and_goes_on(place):
  plan(place, pause=0.3)
  process = start('--logdir', place, '--seeds', 3)
  second = place / 'seed=1' / 'starts'
  runs.wait_for(second.exists, process)
  runs.wait_for((place / 'seed=1' / 'metrics.jsonl').exists, process)
  left = [x for x in processes(place) if x != process.pid]
  process.kill()
  process.communicate()
  assert left and gone(left)  # It was asked to save and end.
  plan(place)
  assert sweeping.sweep('--logdir', place, '--seeds', 3) == 0
  assert sweeping.starts(place / 'seed=0') == [0]  # Complete: not again.
  first, again = sweeping.starts(place / 'seed=1')
  assert first == 0 < again
  assert all(
      record(place, f'seed={i}')['state'] == 'done' for i in range(3))
  runs.assert_steps_increase(place / 'seed=1')


@pytest.mark.fault(62)
@pytest.mark.parametrize('status', [1, 4, 6, 75, -9])
def test_a_trial_that_dies_goes_on_at_its_own_step(place, status):
  plan(place, **{'seed=1': [status, 0]})
  assert sweeping.sweep('--logdir', place, '--seeds', 2) == 0
  assert sweeping.starts(place / 'seed=1') == [0, sweeping.FAULT]
  assert sweeping.starts(place / 'seed=0') == [0]
  assert record(place, 'seed=1')['state'] == 'done'


@pytest.mark.fault(62)
@pytest.mark.parametrize('status', [2, 3, 5])
def test_a_trial_that_can_not_succeed_is_not_tried_again(
    place, status, capsys):
  plan(place, **{'seed=0': [status]})
  for _ in range(2):
    assert sweeping.sweep('--logdir', place, '--seeds', 2) == status
    out, err = capsys.readouterr()
    assert '1 of 2 trials failed' in err and '1 failed, 1 done' not in err
  assert sweeping.starts(place / 'seed=0') == [0]
  assert sweeping.starts(place / 'seed=1') == [0]
  known = record(place, 'seed=0')
  assert (known['state'], known['status'], known['error']) == (
      'failed', status, 'as planned for seed=0')
  # Nothing of it is lost: other settings, such as more steps, try again.
  plan(place)
  assert sweeping.sweep('--logdir', place, '--steps', 11) == 0


@pytest.mark.fault(62)
def test_trials_that_always_fail_end_and_the_others_go_on(place):
  plan(place, **{'seed=0': [4]})
  assert sweeping.sweep('--logdir', place, '--seeds', 2, '--retries', 1) == 4
  assert sweeping.starts(place / 'seed=0') == [0, 5]
  assert record(place, 'seed=1')['state'] == 'done'
  # The next command tries what may have been mended.
  plan(place)
  assert sweeping.sweep('--logdir', place, '--seeds', 2) == 0


@pytest.mark.fault(62)
@pytest.mark.parametrize('number, status', [
    (signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_stopped_sweep_saves_its_trials_and_says_how_to_go_on(
    place, number, status):
  plan(place, pause=0.3)
  process = start('--logdir', place, '--seeds', 2)
  runs.wait_for((place / 'seed=0' / 'metrics.jsonl').exists, process)
  process.send_signal(number)
  _, err = runs.finish(process, status)
  assert not processes(place)
  assert err.splitlines()[-1] == (
      f'Stopped by {number.name} with 0 of 2 trials complete, the others are '
      'saved. Run the same command again to go on.')
  assert record(place, 'seed=0')['state'] == 'open'
  plan(place)
  assert sweeping.sweep('--logdir', place, '--seeds', 2) == 0
  assert len(sweeping.starts(place / 'seed=0')) == 2


def _ray(place, *arguments):
  flags = [
      *runs.TOY, '--steps', 120, '--logdir', place, '--seeds', 2,
      '--ray.address', 'local', *arguments]
  return subprocess.Popen(
      [sys.executable, '-m', 'dreamerv2_tf', 'sweep', *map(str, flags)],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={
          **os.environ, 'PYTHONPATH': f'{TESTS.parent}{os.pathsep}{TESTS}'})


@pytest.mark.fault(62)
@pytest.mark.minutes
def test_a_killed_sweep_of_ray_goes_on_as_if_it_had_not_been(place, tmp_path):
  pytest.importorskip('ray')
  process = _ray(place)
  stored = lambda: list(place.glob('seed=1/train_episodes/*.npz'))
  runs.wait_for(lambda: len(stored()) > 2, process)
  left = [x for x in processes(place) if x != process.pid]
  process.kill()
  process.communicate()
  assert left and gone(left)
  runs.finish(_ray(place), 0, timeout=550)
  runs.call(tmp_path / 'straight', *runs.TOY, '--steps', 120, '--seed', 1)
  runs.assert_equal(place / 'seed=1', tmp_path / 'straight')
  assert (place / 'results' / 'curves.png').exists()


@pytest.mark.fault(62)
@pytest.mark.minutes
def test_a_stopped_sweep_of_ray_saves_its_trials(place):
  pytest.importorskip('ray')
  process = _ray(place)
  stored = lambda: list(place.glob('seed=1/train_episodes/*.npz'))
  runs.wait_for(lambda: len(stored()) > 2, process)
  process.send_signal(signal.SIGINT)
  _, err = runs.finish(process, 130, timeout=550)
  assert 'the others are saved. Run the same command again' in err
  until = time.monotonic() + 60
  while processes(place) and time.monotonic() < until:
    time.sleep(0.1)
  assert not processes(place)
  assert {record(place, f'seed={i}')['status'] for i in range(2)} <= {75, 0}
