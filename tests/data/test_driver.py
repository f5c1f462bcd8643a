"""Rows of zeros and ones, failures, replayed episodes."""

import functools
import json
import signal
import time

from environments import config
import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.data.driver import Driver
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.errors import NonFiniteError


def factory(task='gym_toys:Counter-v0', **env_config):
  return functools.partial(envs.make, task, **config(env_config))


def pool(task='gym_toys:Counter-v0', count=1, parallel='none', **kwargs):
  options = {key: kwargs.pop(key) for key in (
      'on_bad_data', 'timeout', 'stop') if key in kwargs}
  return envs.Pool(
      factory(task, **kwargs), count, parallel=parallel, **options)


def seeds(worker, episode):
  return 100 * (worker + 1) + episode


def ones(obs, state):
  return {'action': np.tile(
      np.float32([0, 1]), (len(obs['reward']), 1))}, state


class Recorder:
  """All that the callbacks of a driver are given."""

  def __init__(self, driver):
    self.rows = []
    self.episodes = []
    self.cuts = []
    driver.on_reset(lambda row, worker: self.rows.append((worker, row)))
    driver.on_step(lambda row, worker: self.rows.append((worker, row)))
    driver.on_episode(lambda ep, worker: self.episodes.append((worker, ep)))
    driver.on_cut(self.cuts.append)

  def of(self, worker, key='vector'):
    return [row[key] for index, row in self.rows if index == worker]


def equal(first, second):
  assert len(first) == len(second)
  for (left, before), (right, after) in zip(first, second):
    assert left == right and set(before) == set(after)
    for key in before:
      np.testing.assert_array_equal(before[key], after[key], err_msg=key)


def test_rows_of_zeros_and_ones():
  driver = Driver(pool(length=2), seeds)
  seen = Recorder(driver)
  driver(ones, steps=4)
  flags = lambda key: [int(value) for value in seen.of(0, key)]
  assert flags('is_first') == [1, 0, 0, 1, 0, 0]
  assert flags('is_last') == [0, 0, 1, 0, 0, 1]
  assert flags('is_terminal') == [0, 0, 1, 0, 0, 1]
  assert flags('reward') == [0, 1, 1, 0, 1, 1]
  assert [row.tolist() for row in seen.of(0, 'action')] == [
      [0, 0], [0, 1], [0, 1]] * 2
  np.testing.assert_allclose(
      [row[1] for row in seen.of(0)], [10] * 3 + [10.1] * 3)
  assert (driver.steps, driver.episodes) == (4, 2)


def test_episodes_are_stacked_rows():
  driver = Driver(pool(length=2, terminal=False), seeds)
  seen = Recorder(driver)
  driver(ones, episodes=1)
  (worker, episode), = seen.episodes
  assert worker == 0
  assert episode['vector'].shape == (3, 3)
  assert episode['action'].dtype == np.float32
  assert episode['reward'].tolist() == [0, 1, 1]
  assert episode['is_last'].tolist() == [False, False, True]
  assert episode['is_terminal'].tolist() == [False] * 3


def test_calls_continue_running_episodes():
  driver = Driver(pool(count=2, length=3), seeds)
  seen = Recorder(driver)
  driver(ones, steps=1)  # Two workers: both have stepped.
  assert driver.steps == 2
  driver(ones, steps=1)
  assert [int(row) for row in seen.of(0, 'is_first')] == [1, 0, 0]
  driver(ones, episodes=1)
  assert driver.steps == 6 and driver.episodes == 2


def test_policy_gets_all_workers_and_its_state():
  driver = Driver(pool(count=3, length=2), seeds)
  calls = []
  def policy(obs, state):
    calls.append((obs['vector'][:, 0].tolist(), obs['is_first'].tolist(),
                  state))
    return ones(obs, state)[0], len(calls)
  driver(policy, steps=7)
  assert [call[2] for call in calls] == [None, 1, 2]
  assert calls[0][:2] == ([0, 0, 0], [True] * 3)
  assert calls[1][1] == [False] * 3
  assert calls[2][1] == [True] * 3
  assert driver.policy_state == 3


def test_workers_without_seeds_idle():
  left = iter([7, 8, 9])
  driver = Driver(pool(count=2, length=2), lambda *_: next(left, None))
  seen = Recorder(driver)
  batches = []
  def policy(obs, state):
    batches.append(obs['vector'].shape)
    action = ones(obs, state)[0]
    if len(batches) > 2:
      action['action'][1] = np.nan  # Ignored: worker 1 idles.
    return action, state
  driver(policy, episodes=10)
  assert [episode['vector'][0, 1] for _, episode in seen.episodes] == (
      pytest.approx([0.7, 0.8, 0.9]))
  assert set(batches) == {(2, 3)} and len(batches) == 4
  assert [int(row) for row in seen.of(1, 'is_last')] == [0, 0, 1]


def test_more_workers_than_episodes():
  driver = Driver(
      pool(count=3, length=2),
      lambda worker, episode: 5 if worker + episode == 0 else None)
  seen = Recorder(driver)
  driver(ones, episodes=1)
  assert len(seen.episodes) == 1 and driver.steps == 2


def test_overlap_runs_between_send_and_receive():
  class Spy(envs.Pool):
    def send(self, commands):
      events.append('send')
      super().send(commands)

    def recv(self):
      events.append('recv')
      return super().recv()
  events = []
  driver = Driver(Spy(factory(length=9), 1, parallel='none'), seeds)
  driver(ones, steps=1)
  events.clear()
  driver(ones, steps=2, overlap=lambda: events.append('overlap'))
  assert events == ['send', 'overlap', 'recv'] * 2


@pytest.mark.fault(38)
def test_actions_are_checked_before_they_are_sent():
  driver = Driver(pool(length=9), seeds)
  seen = Recorder(driver)
  with pytest.raises(ValueError, match='expected one-hot vectors of 2 values'):
    driver(lambda obs, state: ({'action': np.zeros((1, 2))}, state), steps=1)
  assert len(seen.rows) == 1 and driver.steps == 0


@pytest.mark.fault(34)
def test_a_cut_episode_ends_before_the_failure():
  driver = Driver(
      pool('gym_toys:Fault-v0', count=2, parallel='process', fault='exit',
           at=3, seeds=[200], length=5), seeds)
  seen = Recorder(driver)
  driver(ones, steps=8)
  assert seen.cuts == [1]
  (worker, episode), = [item for item in seen.episodes if item[0] == 1]
  assert episode['is_last'].tolist() == [False, False, True]
  assert not episode['is_terminal'].any()
  assert [round(float(row[1]) * 10) for row in seen.of(1)][:5] == (
      [200] * 3 + [201] * 2)
  # The other worker never noticed.
  np.testing.assert_allclose(
      [row[0] for row in seen.of(0)][:5], [0, 0.1, 0.2, 0.3, 0.4])
  assert driver.stats()['env_failures'] == 1
  driver._pool.close()


@pytest.mark.fault(33)
def test_a_failing_reset_gives_no_episode():
  driver = Driver(
      pool('gym_toys:Fault-v0', fault='raise', at=0, seeds=[100], length=2),
      seeds)
  seen = Recorder(driver)
  driver(ones, episodes=1)
  assert seen.cuts == [] and len(seen.episodes) == 1
  assert seen.episodes[0][1]['vector'][0, 1] == pytest.approx(10.1)


@pytest.mark.fault(36)
def test_bad_rows_never_reach_the_callbacks():
  make = functools.partial(
      pool, 'gym_toys:Fault-v0', fault='nan', at=2, seeds=[100], length=3)
  driver = Driver(make(on_bad_data='drop'), seeds)
  seen = Recorder(driver)
  driver(ones, episodes=2)
  assert np.isfinite(seen.of(0)).all()
  assert [len(episode['reward']) for _, episode in seen.episodes] == [2, 4]
  assert driver.stats()['env_dropped'] == 1
  with pytest.raises(NonFiniteError, match='seed 100, step 2'):
    Driver(make(), seeds)(ones, episodes=1)


@pytest.mark.parametrize('task, kwargs, parallel', [
    ('gym_toys:Counter-v0', {'length': 7}, 'none'),
    ('gym_toys:Continuous-v0', {'length': 7}, 'process'),
    ('gym_toys:Dict-v0', {'length': 7}, 'none'),
    ('highway_highway-fast-v0', {'vehicles_count': 8}, 'process')])
def test_restore_continues_with_identical_rows(task, kwargs, parallel):
  def build():
    driver = Driver(pool(task, 2, parallel, **kwargs), seeds)
    policy = RandomPolicy(driver._pool.act_space, seed=3)
    return driver, policy, Recorder(driver)
  driver, policy, _ = build()
  driver(policy, steps=10)
  state = json.loads(json.dumps([driver.state(), policy.state()]))
  seen = Recorder(driver)
  driver(policy, steps=10)
  driver._pool.close()

  other, policy, got = build()
  rebuilt = []
  other.restore(state[0], lambda row, worker: rebuilt.append((worker, row)))
  policy.load_state(state[1])
  assert got.rows == [] and other.steps == 10
  assert len(rebuilt) == sum(
      len(worker['actions']) + 1 for worker in state[0]['workers']
      if worker['running'])
  other(policy, steps=10)
  equal(got.rows, seen.rows)
  equal(got.episodes, seen.episodes)
  assert (other.steps, other.episodes) == (driver.steps, driver.episodes)
  other._pool.close()


@pytest.mark.parametrize('at', [0, 1, 3])
def test_a_step_that_is_not_answered_is_made_with_the_same_actions_later(
    at, tmp_path):
  def build(fault, stop=lambda: 0):
    # The second episode of worker 1 hangs once, in its reset or a step.
    driver = Driver(pool(
        'gym_toys:Fault-v0', 2, 'process', fault=fault, at=at, seeds=[201],
        once=str(tmp_path / 'once'), length=4, timeout=3600, stop=stop), seeds)
    policy = RandomPolicy(driver._pool.act_space, seed=3)
    return driver, policy, Recorder(driver)

  driver, policy, straight = build('none')
  driver(policy, steps=20)
  driver._pool.close()
  (tmp_path / 'once').unlink()

  asked = lambda: signal.SIGTERM if (tmp_path / 'once').exists() else 0
  driver, policy, begun = build('hang', asked)
  driver(policy, steps=20)
  assert driver._pool.stopped and driver.steps == 8 + 2 * max(0, at - 1)
  state = json.loads(json.dumps([driver.state(), policy.state()]))
  assert len(state[0]['unanswered']) == (2 if at else 0)
  driver._pool.close()

  other, policy, got = build('hang')
  other.restore(state[0])
  policy.load_state(state[1])
  other(policy, steps=20 - other.steps)
  other._pool.close()
  assert [len(x) for x in (begun.rows, got.rows)] != [0, 0]
  for worker in 0, 1:
    of = lambda seen, worker=worker: [
        row for row in seen.rows if row[0] == worker]
    equal(of(begun) + of(got), of(straight))
  equal(begun.episodes + got.episodes, straight.episodes)


def test_restore_with_another_world_begins_anew(caplog):
  driver = Driver(pool(count=2, length=9), seeds)
  driver(ones, steps=4)
  state = driver.state()
  state['workers'][1]['seed'] += 1
  other = Driver(pool(count=2, length=9), seeds)
  seen, rebuilt = Recorder(other), []
  other.restore(state, lambda row, worker: rebuilt.append(worker))
  assert rebuilt == [0, 0, 0]
  assert 'episode of worker 1 could not be replayed with seed 201' in (
      caplog.text)
  other(ones, steps=2)
  assert [bool(row) for row in seen.of(0, 'is_first')] == [False]
  assert [bool(row) for row in seen.of(1, 'is_first')] == [True, False]
  assert seen.of(1)[0][1] == pytest.approx(20.1)


def test_restore_with_another_number_of_workers(caplog):
  driver = Driver(pool(count=2, length=9), seeds)
  driver(ones, steps=4)
  other = Driver(pool(count=3, length=9), seeds)
  seen = Recorder(other)
  other.restore(driver.state())
  assert 'has 2 environments, now there are 3' in caplog.text
  other(ones, steps=3)
  assert [len(seen.of(worker)) for worker in range(3)] == [1, 1, 2]


def test_same_seed_same_rows_whatever_the_timing():
  results = []
  for parallel, overlap in [
      ('none', None), ('process', lambda: time.sleep(0.005))]:
    driver = Driver(pool(count=3, parallel=parallel, length=4), seeds)
    seen = Recorder(driver)
    driver(RandomPolicy(driver._pool.act_space, seed=1), steps=30,
           overlap=overlap)
    results.append(seen.rows)
    driver._pool.close()
  equal(*results)


def test_stats_count_since_the_call_before():
  driver = Driver(pool(length=9), seeds)
  driver(ones, steps=5)
  stats = driver.stats()
  assert stats['fps_env'] > 0
  assert stats['time_env'] > 0 and stats['time_policy'] > 0
  assert (stats['env_failures'], stats['env_dropped']) == (0, 0)
  again = driver.stats()
  assert again['fps_env'] == 0 and again['time_env'] == 0


def test_random_policy_is_uniform_and_restorable():
  obs = {'reward': np.zeros(4000)}
  policy = RandomPolicy({'action': gym.spaces.Discrete(4)}, seed=1)
  action, state = policy(obs, 'kept', mode='eval')
  assert state == 'kept'
  assert action['action'].dtype == np.float32
  assert action['action'].sum(0).min() > 900  # 1000 expected, deviation 27.
  saved = json.loads(json.dumps(policy.state()))
  first = policy(obs)[0]['action']
  policy.load_state(saved)
  np.testing.assert_array_equal(policy(obs)[0]['action'], first)
  box = RandomPolicy({'action': gym.spaces.Box(-1, 1, (2,))}, seed=1)
  values = box(obs)[0]['action']
  assert values.shape == (4000, 2) and abs(values.mean()) < 0.05
  assert values.min() < -0.9 and values.max() > 0.9
