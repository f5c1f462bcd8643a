"""Workers that fail, hang or lie, and the pool around them."""

import logging
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
from pools import ACTION, children, factory, gone, run
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError, Interrupted

TESTS = pathlib.Path(__file__).parents[1]


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


def test_workers_start_without_standard_streams():
  script = textwrap.dedent(f"""
      import os, sys
      sys.path.insert(0, {str(TESTS)!r})
      import pools as t
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


def test_frames_come_with_rows():
  with envs.Pool(factory(render=True, length=9), 2) as pool:
    run(pool, ('reset', 1), ('reset', 2))
    run(pool, ACTION, None)
    assert pool.fps == 5
    assert [frame.pixels.max() for frame in pool.frames[0]] == [1]


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


def test_where_a_failure_happened_is_told_once(caplog):
  make = factory('Fault', fault='raise', at=1)
  with envs.Pool(make, 1, parallel='none') as pool:
    for _ in range(3):
      run(pool, ('reset', 7))
      assert isinstance(run(pool, ACTION)[0], envs.Failure)
  assert caplog.text.count('It is rebuilt') == 3
  assert caplog.text.count('in break_down') == 1
