"""Workers that fail, hang or lie, and the pool around them."""

import functools
import logging
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import time
import types

import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.errors import (
  ConfigError,
  EnvError,
  Interrupted,
  NonFiniteError,
  StateError,
)

TESTS = pathlib.Path(__file__).parents[1]
ACTION = ('step', np.float32([0, 1]))


def factory(name='Counter', render=False, **env_config):
  config = types.SimpleNamespace(
      env=types.SimpleNamespace(
          config=env_config, obs_scale=1.0, simulator='highway-env'),
      action_repeat=1, time_limit=0)
  return functools.partial(
      envs.make, f'gym_toys:{name}-v0', config, render=render)


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
  pids = [int(path.name) for path in pathlib.Path('/proc').glob('[0-9]*')]
  return [child for child in sorted(pids) if (stat(child) or (0, 0))[1] == pid]


def gone(pids):
  until = time.monotonic() + 60
  while time.monotonic() < until:
    if all((stat(pid) or 'Z')[0] == 'Z' for pid in pids):
      return True
    time.sleep(0.05)
  return False


@pytest.mark.parametrize('parallel', ['process', 'none'])
def test_rows_of_two_workers(parallel):
  with envs.Pool(factory(length=2), 2, parallel=parallel) as pool:
    assert pool.act_space['action'].n == 2
    assert pool.obs_space['vector'].shape == (3,)
    first = run(pool, ('reset', 10), ('reset', 20))
    second = run(pool, ACTION, None)
    third = run(pool, None, ACTION)
  assert [row['vector'][1] for row in first] == [1, 2]
  assert [bool(row['is_first']) for row in first] == [True, True]
  assert second[0]['reward'] == 1 and second[1] is None
  assert third[1]['reward'] == 1 and third[0] is None
  assert pool.failures == 0


@pytest.mark.parametrize('fault, kind, text', [
    ('raise', 'raised', 'raised ValueError: the wheel came off'),
    ('exit', 'died', 'died with exit code 7'),
    ('sys.exit', 'died', 'died with exit code 3'),
    ('segfault', 'died', 'was killed by SIGSEGV'),
    ('hang', 'hung', 'gave no answer within 3 s'),
    ('deaf', 'hung', 'gave no answer within 3 s'),
    ('stop', 'hung', 'gave no answer within 3 s')])
def test_a_failing_step_is_told_and_rebuilt(fault, kind, text, caplog):
  make = factory('Fault', fault=fault, at=2, seeds=(7,), length=9)
  # Other failures are noticed at once; waiting would call them hung.
  timeout = 3 if kind == 'hung' else 600
  with envs.Pool(make, 2, timeout=timeout) as pool:
    run(pool, ('reset', 5), ('reset', 7))
    pids = children(os.getpid())
    run(pool, ACTION, ACTION)
    row, failure = run(pool, ACTION, ACTION)
    # Other workers are untouched.
    assert row['vector'].tolist() == pytest.approx([0.2, 0.5, 0.1])
    assert (failure.kind, pool.failures) == (kind, 1)
    assert f'Worker 1, seed 7, step 2: The environment {text}' in failure.text
    rows = run(pool, ACTION, ('reset', 8))
    assert rows[0]['vector'][0] == pytest.approx(0.3)
    assert rows[1]['vector'].tolist() == pytest.approx([0, 0.8, 0])
    rows = run(pool, ACTION, ACTION)
    assert rows[1]['vector'].tolist() == pytest.approx([0.1, 0.8, 0.1])
    assert len(set(children(os.getpid())) - set(pids)) == 1
  assert gone(pids)
  if fault == 'raise':
    assert 'in break_down' in caplog.text  # The traceback of the worker.
  assert caplog.text.count('It is rebuilt') == 1


def test_a_failing_reset_is_told_and_rebuilt():
  make = factory('Fault', fault='raise', at=0, seeds=(7,))
  with envs.Pool(make, 1) as pool:
    failure, = run(pool, ('reset', 7))
    assert failure.kind == 'raised' and 'seed 7, step 0' in failure.text
    row, = run(pool, ('reset', 8))
    assert row['is_first']


def test_killed_from_outside():
  with envs.Pool(factory(length=9), 1) as pool:
    run(pool, ('reset', 1))
    child, = children(os.getpid())
    os.kill(child, signal.SIGKILL)
    failure, = run(pool, ACTION)
    assert failure.kind == 'died' and 'killed by SIGKILL' in failure.text
    assert run(pool, ('reset', 2))[0]['is_first']


@pytest.mark.parametrize('fault', ['raise', 'sys.exit'])
def test_without_processes_failures_are_rebuilt_too(fault):
  make = factory('Fault', fault=fault, at=1, seeds=(7,))
  with envs.Pool(make, 2, parallel='none') as pool:
    run(pool, ('reset', 5), ('reset', 7))
    row, failure = run(pool, ACTION, ACTION)
    assert row['reward'] == 1 and isinstance(failure, envs.Failure)
    assert run(pool, None, ('reset', 8))[1]['is_first']


def test_late_replies_are_dropped():
  with envs.Pool(factory(length=9), 1) as pool:
    pool.send([('reset', 10)])
    pool.send([ACTION])  # The reply to the reset was never taken.
    row, = pool.recv()
    assert not row['is_first'] and row['reward'] == 1


def test_too_many_failures_end_the_run():
  make = factory('Fault', fault='raise', at=1)
  with envs.Pool(make, 1, max_failures=2) as pool:
    for _ in range(2):
      run(pool, ('reset', 7))
      assert isinstance(run(pool, ACTION)[0], envs.Failure)
    run(pool, ('reset', 7))
    with pytest.raises(EnvError, match='failure 3 within an hour.*is 2'):
      run(pool, ACTION)


@pytest.mark.parametrize('parallel', ['process', 'none'])
def test_constructor_failures_end_the_start(parallel):
  with pytest.raises(EnvError, match='can not be built: ValueError: no such'):
    envs.Pool(factory('Fault', fault='constructor'), 2, parallel=parallel)
  with pytest.raises(ConfigError, match="Did you mean 'Counter-v0'"):
    envs.Pool(factory('Countr'), 1, parallel=parallel)


def test_any_factory_that_raises_is_an_environment_error():
  with pytest.raises(EnvError, match='raised ZeroDivisionError.*while it was'):
    envs.Pool(lambda: 1 / 0, 1)
  with pytest.raises(EnvError, match='died with exit code 4 while it was'):
    envs.Pool(functools.partial(os._exit, 4), 1)


def test_space_mismatch_lists_both(tmp_path):
  flag = str(tmp_path / 'flag')
  base = functools.partial(factory, actions=2)
  def different():
    try:
      os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
      return base(length=3)()
    return base('Image')()
  with pytest.raises(StateError, match='different spaces') as info:
    envs.Pool(different, 2)
  assert "'image'" in str(info.value) and "'vector'" in str(info.value)


@pytest.mark.parametrize('fault', ['nan', 'inf reward'])
def test_bad_data_stops_the_run(fault):
  make = factory('Fault', fault=fault, at=2)
  with envs.Pool(make, 1) as pool:
    run(pool, ('reset', 6))
    run(pool, ACTION)
    with pytest.raises(NonFiniteError, match='Worker 0.*seed 6, step 2'):
      run(pool, ACTION)


def test_bad_data_can_be_dropped():
  make = factory('Fault', fault='nan', at=2, seeds=(6,))
  with envs.Pool(make, 1, on_bad_data='drop') as pool:
    run(pool, ('reset', 6))
    child = children(os.getpid())
    run(pool, ACTION)
    assert run(pool, ACTION)[0].kind == 'dropped'
    assert (pool.dropped, pool.failures) == (1, 0)
    assert run(pool, ('reset', 7))[0]['is_first']
    assert children(os.getpid()) == child  # Nothing to rebuild.


def test_breaches_of_the_space_end_the_run():
  make = factory('Fault', fault='shape', at=2)
  with envs.Pool(make, 2) as pool:
    run(pool, ('reset', 6), ('reset', 6))
    run(pool, ACTION, ACTION)
    with pytest.raises(EnvError, match=r'shape \(2,\), expected \(3,\)'):
      run(pool, ACTION, ACTION)


@pytest.mark.parametrize('parallel', ['process', 'none'])
def test_values_outside_of_the_space_are_told_once_and_counted(
    parallel, caplog):
  make = factory('Fault', fault='outside', at=2, seeds=(6,))
  with envs.Pool(make, 2, parallel=parallel) as pool:
    for count in 1, 2:
      run(pool, ('reset', 6), ('reset', 7))
      run(pool, ACTION, ACTION)
      row, other = run(pool, ACTION, ACTION)
      assert row['vector'][2] == -8 and other['vector'][2] > 0
      assert pool.outside == count
    assert pool.failures == 0
  [record] = [r for r in caplog.records if 'outside' in r.msg % r.args]
  assert record.getMessage().startswith(
      'Worker 0, seed 6, step 2: The observation lies in [-8, 0.6], outside')


def test_global_generators_give_the_same_episodes_in_and_out_of_a_process():
  rows = {}
  for parallel in 'process', 'none':
    with envs.Pool(factory('Dice'), 2, parallel=parallel) as pool:
      rows[parallel] = [
          [row['vector'].tolist() for row in run(pool, *commands)]
          for commands in [(('reset', 3), ('reset', 4)), (ACTION, ACTION),
                           (ACTION, ('reset', 3)), (ACTION, ACTION)]]
  assert rows['process'] == rows['none']
  first, other = zip(*rows['none'])
  assert list(first[:2]) == list(other[2:])  # Both had seed 3 there.
  assert first[0][1:] == pytest.approx([
      random.Random(3).random(), np.random.RandomState(3).random_sample()])


def test_what_is_drawn_while_building_follows_the_seed():
  worlds = {}
  make = factory('Board', fault='raise', at=1, seeds=(7,))
  for parallel in 'process', 'none':
    for seed in 0, 1:
      with envs.Pool(make, 2, parallel=parallel, seed=seed) as pool:
        rows = run(pool, ('reset', 7), ('reset', 3))
        worlds[parallel, seed] = [row['vector'][1:].tolist() for row in rows]
        failure, _ = run(pool, ACTION, ACTION)
        assert failure.kind == 'raised'
        row, _ = run(pool, ('reset', 9), ACTION)  # It was rebuilt as it was.
        assert row['vector'][1:].tolist() == worlds[parallel, seed][0]
  for seed in 0, 1:
    assert worlds['process', seed] == worlds['none', seed]
  first, second = worlds['none', 0]
  assert first != second and worlds['none', 0] != worlds['none', 1]


def test_environments_in_this_process_leave_its_generators_alone():
  random.seed(1)
  np.random.seed(1)
  with envs.Pool(factory('Dice'), 1, parallel='none') as pool:
    run(pool, ('reset', 3))
  assert random.random() == random.Random(1).random()
  assert np.random.random() == np.random.RandomState(1).random_sample()


@pytest.mark.parametrize('fault, text', [
    (True, "raised ValueError('the door is stuck')"),
    ('exit', "raised SystemExit('out of the door')")])
def test_closing_may_fail(fault, text, caplog):
  with envs.Pool(factory(close_fault=fault), 1, parallel='none'):
    pass
  assert text in caplog.text


@pytest.mark.parametrize('fault', ['exit', ''])
def test_what_a_worker_started_ends_with_it(fault, tmp_path):
  make = factory(
      'Family', folder=str(tmp_path), fault=fault, at=1, seeds=(7,))
  with envs.Pool(make, 1) as pool:
    run(pool, ('reset', 7))
    [first] = [int(path.name) for path in tmp_path.iterdir()]
    assert stat(first)
    result, = run(pool, ACTION)
    if fault:
      assert result.kind == 'died' and gone([first])
  pids = [int(path.name) for path in tmp_path.iterdir()]
  assert first in pids and gone(pids)


def test_workers_start_without_standard_streams():
  script = textwrap.dedent(f"""
      import os, sys
      sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / 'envs')!r}]
      import test_pool as t
      for handle in range(3):
        os.close(handle)
      with t.envs.Pool(t.factory(), 2) as pool:
        rows = t.run(pool, ('reset', 7), ('reset', 8))
      os._exit(20 + sum(bool(row['is_first']) for row in rows))
      """)
  result = subprocess.run(
      [sys.executable, '-c', script],
      env={**os.environ, 'PYTHONPATH': str(TESTS.parent)})
  assert result.returncode == 22


def test_a_worker_that_hangs_is_left_out_when_the_run_is_asked_to_stop():
  make = factory('Fault', fault='deaf', at=1, seeds=(7,), length=9)
  asked = []
  pool = envs.Pool(
      make, 2, timeout=3600, stop=lambda: asked and signal.SIGTERM)
  run(pool, ('reset', 7), ('reset', 8))
  pids = children(os.getpid())
  asked.append(True)
  hanging, row = run(pool, ACTION, ACTION)
  assert hanging is None and row['reward'] == 1
  assert pool.stopped and pool.failures == 0
  with pytest.raises(Interrupted, match='Stopped by SIGTERM meanwhile. Run'):
    pool.check_stop('meanwhile.')
  pool.close()
  assert gone(pids)


def test_workers_that_answer_are_waited_for_when_asked_to_stop():
  asked = []
  with envs.Pool(
      factory(length=9), 2, stop=lambda: asked and signal.SIGINT) as pool:
    asked.append(True)
    rows = run(pool, ('reset', 7), ('reset', 8))
    assert [row['is_first'] for row in rows] == [True, True]
    assert not pool.stopped


def test_a_constructor_that_hangs_is_left_when_asked_to_stop(tmp_path):
  make = factory(
      'Fault', fault='hanging constructor', once=str(tmp_path / 'once'))
  asked = lambda: signal.SIGINT if (tmp_path / 'once').exists() else 0
  with pytest.raises(
      Interrupted, match='SIGINT while environments were built') as info:
    envs.Pool(make, 1, stop=asked)
  assert info.value.exit_code == 130
  assert not children(os.getpid())


def test_prints_never_reach_us(capfd):
  with envs.Pool(factory('Fault', fault='print'), 1) as pool:
    assert run(pool, ('reset', 6))[0]['is_first']
  assert capfd.readouterr() == ('', '')


def test_frames_come_with_rows():
  with envs.Pool(factory(render=True, length=9), 2) as pool:
    run(pool, ('reset', 1), ('reset', 2))
    run(pool, ACTION, None)
    assert pool.fps == 5
    assert [frame.max() for frame in pool.frames[0]] == [1]


def test_close_waits_for_no_worker_that_hangs():
  make = factory('Fault', fault='deaf', at=1, seeds=(7,))
  pool = envs.Pool(make, 2)
  run(pool, ('reset', 7), ('reset', 8))
  pids = children(os.getpid())
  pool.send([ACTION, ACTION])
  pool.close()  # The worker itself would take an hour.
  assert len(pids) == 2 and gone(pids)


@pytest.mark.parametrize('fault', ['hang', 'stop'])
def test_workers_end_with_a_killed_parent(fault):
  script = textwrap.dedent(f"""
      import sys, time
      sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / 'envs')!r}]
      import test_pool as t
      make = t.factory('Fault', fault={fault!r}, at=1, seeds=(7,))
      pool = t.envs.Pool(make, 2)
      t.run(pool, ('reset', 7), ('reset', 8))
      pool.send([t.ACTION, t.ACTION])
      print('ready', flush=True)
      time.sleep(3600)
      """)
  with subprocess.Popen(
      [sys.executable, '-c', script], stdout=subprocess.PIPE, text=True,
      env={**os.environ, 'PYTHONPATH': str(TESTS.parent)}) as parent:
    assert parent.stdout.readline() == 'ready\n'
    pids = children(parent.pid)
    parent.kill()
    assert len(pids) == 2 and gone(pids)


def test_workers_hold_no_file_of_the_trainer(tmp_path):
  with open(tmp_path / 'lock', 'w') as file:
    os.set_inheritable(file.fileno(), True)
    with envs.Pool(factory(), 1):
      child, = children(os.getpid())
      links = [os.readlink(path) for path in
               pathlib.Path(f'/proc/{child}/fd').iterdir()]
      assert not [link for link in links if 'lock' in link]


def test_ctrl_c_is_for_the_trainer_alone():
  with envs.Pool(factory(length=9), 1) as pool:
    run(pool, ('reset', 1))
    child, = children(os.getpid())
    assert os.getpgid(child) != os.getpgid(0)
    os.kill(child, signal.SIGINT)
    assert run(pool, ACTION)[0]['reward'] == 1


def test_workers_start_at_the_same_time(tmp_path):
  def meet():  # One after the other, the first would wait in vain.
    (tmp_path / str(os.getpid())).touch()
    while len(list(tmp_path.iterdir())) < 4:
      time.sleep(0.01)
    return factory()()
  envs.Pool(meet, 4).close()
  assert len(list(tmp_path.iterdir())) == 4


def test_advice_is_logged_once(caplog):
  def make():
    env = factory()()
    env.advice.append('Use less of it.')
    return env
  with caplog.at_level(logging.WARNING, 'dreamerv2'):
    envs.Pool(make, 3, parallel='none').close()
  assert caplog.text.count('Use less of it.') == 1


@pytest.mark.parametrize('key, value', [
    ('parallel', 'thread'), ('on_bad_data', 'keep')])
def test_unknown_options(key, value):
  with pytest.raises(ConfigError, match=f"but is '{value}'"):
    envs.Pool(factory(), 1, **{key: value})
