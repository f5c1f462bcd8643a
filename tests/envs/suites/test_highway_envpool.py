"""EnvPool's highways: the same world, spaces and pictures, only faster."""

import functools
import random
import sys

import environments
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.data.driver import Driver
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.envs.suites import highway_envpool
from dreamerv2_tf.errors import ConfigError

PIXELS = {'observation': {
    'type': 'GrayscaleObservation', 'observation_shape': (128, 32),
    'stack_size': 1, 'weights': (-1.5, 1.05, 0.75), 'scaling': 1.5}}
FAST = 'highway_highway-fast-v0'
IDLE, FASTER, SLOWER = 1, 3, 4


def config(env_config=None, **kwargs):
  return environments.config(env_config, **{'simulator': 'envpool', **kwargs})


def make(env_config=None, task=FAST, render=False, **kwargs):
  return envs.make(task, **config(env_config, **kwargs), render=render)


def onehot(index):
  return {'action': np.eye(5, dtype=np.float32)[index]}


def play(env, seed, policy):
  """Returns the rows of an episode; policy: an action, or a generator."""
  draw = lambda: policy if isinstance(policy, int) else policy.integers(5)
  rows = [env.reset(seed)]
  while not rows[-1]['is_last']:
    rows.append(env.step(onehot(draw())))
  return rows


def equal(rows, others):
  return len(rows) == len(others) and all(
      np.array_equal(row[key], other[key])
      for row, other in zip(rows, others) for key in row)


@pytest.mark.parametrize('env_config', [
    {}, PIXELS, {'observation': {'vehicles_count': 8}}])
def test_spaces_and_rows_are_those_of_highway_env(env_config):
  fast, slow = make(env_config), make(env_config, simulator='highway-env')
  assert (fast.obs_space, fast.act_space) == (slow.obs_space, slow.act_space)
  for command in (lambda env: env.reset(3), lambda env: env.step(onehot(4))):
    got, want = command(fast), command(slow)
    for key in want:
      assert (got[key].shape, got[key].dtype) == (
          want[key].shape, want[key].dtype), key


def test_each_feature_has_its_own_scale():
  factors = (1, 15, 2.5, 20, 80)
  plain, scaled = make(), make(scale=factors)
  cars = plain.reset(3)['vector'].reshape(5, 5)
  np.testing.assert_array_equal(
      scaled.reset(3)['vector'].reshape(5, 5), cars * np.float32(factors))
  assert cars[0, 3] == 25 / 80  # The own car begins with 25 m/s.


def test_the_seed_alone_decides_an_episode():
  env = make(PIXELS)
  rng = lambda: np.random.default_rng(0)
  first = play(env, 11, rng())
  other = play(env, 12, rng())
  assert equal(play(env, 11, rng()), first)
  assert equal(play(make(PIXELS), 11, rng()), first)
  assert not equal(other, first)
  env.reset(None)  # Any scenario.


@pytest.mark.parametrize('policy, episodes', [
    (SLOWER, 20), (FASTER, 40), ('random', 40)])
def test_returns_crashes_and_speeds_agree_with_highway_env(policy, episodes):
  scores = {}
  for simulator, count in [('highway-env', episodes), ('envpool', 400)]:
    env = make(simulator=simulator)
    rng = np.random.default_rng(0) if policy == 'random' else policy
    played = [play(env, seed, rng) for seed in range(count)]
    scores[simulator] = np.array([
        (sum(row['reward'] for row in rows), rows[-1]['log_crashed'],
         np.mean([row['log_speed'] for row in rows[1:]]))
        for rows in played], np.float64)
  slow, fast = scores['highway-env'], scores['envpool']
  # Of the difference; few episodes do not tell the deviation of a rare crash.
  error = np.sqrt(fast.var(0) / len(slow) + fast.var(0) / len(fast))
  assert (abs(slow.mean(0) - fast.mean(0)) < 4 * error + 0.05).all(), (
      slow.mean(0), fast.mean(0), error)


@pytest.mark.parametrize('env_config', [
    {}, {'lanes_count': 2, 'policy_frequency': 5, 'right_lane_reward': 0.5,
         'high_speed_reward': 1, 'reward_speed_range': [15, 25]}])
def test_on_an_empty_road_both_drive_alike(env_config):
  alone = {'vehicles_count': 0, 'initial_lane_id': 1, **env_config}
  tracks = {}
  for simulator in ('highway-env', 'envpool'):
    env = make(alone, simulator=simulator)
    env.reset(0)
    rows = [env.step(onehot(action)) for action in (
        3, 2, 0, 4, 0, 1, 4, 4, 2, 3, 3, 2, 1, 0, 3, 1, 4)]
    # All but the place along the road, where the cars begin at random.
    tracks[simulator] = [
        [*np.delete(row['vector'], 1), row['reward'], row['log_speed'] / 80]
        for row in rows]
  np.testing.assert_allclose(
      tracks['envpool'], tracks['highway-env'], rtol=0, atol=1e-5)


def test_pictures_have_the_palette_and_the_cars_of_highway_env():
  counts = {}
  for simulator in ('highway-env', 'envpool'):
    env = make(PIXELS, simulator=simulator)
    values = np.zeros(256)
    for seed in range(20):
      images = [env.reset(seed)['image'], env.step(onehot(IDLE))['image']]
      values += np.bincount(np.ravel(images), minlength=256)
    counts[simulator] = values / 40
  slow, fast = counts['highway-env'], counts['envpool']
  # Road's border, road, lane marks, own car, other cars. Once in sixty pictures
  # EnvPool draws a pixel of some car in a lighter colour.
  for values in (slow, fast):
    assert np.flatnonzero(values > 0.5).tolist() == [18, 30, 76, 135, 251]
  assert slow[251] == pytest.approx(fast[251], rel=0.25)
  assert slow[135] == pytest.approx(fast[135], rel=0.25)
  assert slow[76] == pytest.approx(fast[76], rel=0.05)
  assert slow[30] == pytest.approx(fast[30], rel=0.02)


def test_a_time_limit_truncates_and_a_crash_terminates():
  for env in (make({'duration': 2}), make(time_limit=2)):
    rows = play(env, 0, SLOWER)
    assert len(rows) == 3
    assert not rows[-1]['is_terminal'] and not rows[-1]['log_crashed']
  env = make()
  rows = next(
      rows for rows in (play(env, seed, FASTER) for seed in range(20))
      if rows[-1]['log_crashed'])
  assert rows[-1]['is_terminal']


def test_a_crash_at_the_time_limit_is_terminal():
  env = make()
  crashes = {}
  for seed in range(20):
    rows = play(env, seed, FASTER)
    if rows[-1]['log_crashed'] and len(rows) < 31:
      crashes[seed] = len(rows) - 1
  for seed, steps in list(crashes.items())[:3]:
    row = play(make({'duration': steps}), seed, FASTER)[-1]
    assert row['is_terminal'] and row['log_crashed']
  assert len(crashes) >= 3


def test_overrides_reach_the_simulator():
  assert len(play(make({'duration': 4, 'policy_frequency': 5}), 0, IDLE)) == 21
  alone = {'vehicles_count': 0, 'lanes_count': 4}
  cars = make(alone).reset(0)['vector'].reshape(5, 5)
  assert cars[:, 0].tolist() == [1, 0, 0, 0, 0]
  # The fourth of four lanes lies at 12 of 16 m, and it is the rightmost one.
  row = play(make({**alone, 'initial_lane_id': 3, 'duration': 1}), 0, IDLE)[1]
  assert row['vector'][2] == 0.75
  # Half of the way from 20 to 30 m/s: (0.4 / 2 + 0.1 + 1) / (0.5 + 1).
  assert row['reward'] == pytest.approx(1.3 / 1.5)
  plain = {**alone, 'initial_lane_id': 0, 'duration': 1,
           'normalize_reward': False, 'high_speed_reward': 2,
           'reward_speed_range': (20, 40)}
  assert play(make(plain), 0, IDLE)[1]['reward'] == pytest.approx(0.5)


@pytest.mark.parametrize('env_config, text', [
    ({'observation': {'features': ['x', 'y']}},
     "'env.config.observation.features' can not be changed with env.simulator"),
    ({'observation': {'see_behind': True}}, 'observation.see_behind'),
    ({'observation': {'type': 'TimeToCollision'}}, 'observation.type'),
    ({'observation': {**PIXELS['observation'], 'stack_size': 4}},
     "observation.stack_size' must be 1 with env.simulator envpool but is 4"),
    ({'action': {'target_speeds': [10, 20]}}, "'env.config.action' can not"),
    ({'other_vehicles_type':
      'highway_env.vehicle.behavior.AggressiveVehicle'}, 'other_vehicles_type'),
    ({'neighbour_vehicles_connected_lanes': True}, 'neighbour_vehicles'),
    ({'controlled_vehicles': 2}, 'controlled_vehicles'),
    ({'duration': 2.5}, "'env.config.duration' must be a whole number"),
    ({'policy_frequency': 0.5}, 'policy_frequency.*a whole number'),
    ({'reward_speed_range': [20, 30, 40]}, 'must be 2 numbers'),
    ({'policy_frequency': 2}, 'Set simulation_frequency to 4'),
    ({'lane_count': 4}, "'env.config.lane_count'.*'lanes_count'")])
def test_what_envpool_lacks_is_refused_by_name(env_config, text):
  with pytest.raises(ConfigError, match=text):
    make(env_config)


def test_defaults_may_be_spelled_out():
  make({'observation': {
      'type': 'Kinematics', 'features': ['presence', 'x', 'y', 'vx', 'vy'],
      'clip': True}, 'controlled_vehicles': 1, 'duration': 20.0})


@pytest.mark.parametrize('task, text', [
    ('highway_roundabout-v0', "'highway_roundabout-v0' as highway-env does"),
    ('highway_highway-fst-v0', "Did you mean 'highway_highway-fast-v0'"),
    ('gym_CartPole-v1', "for the suite 'highway' alone, not for 'gym'")])
def test_other_tasks_are_refused(task, text):
  with pytest.raises(ConfigError, match=text):
    make(task=task)


def test_environments_of_the_caller_are_refused():
  import toys
  with pytest.raises(ConfigError, match="not for 'own'"):
    envs.wrap(toys.Counter(), **config())


def test_a_missing_package_is_told_with_the_command(monkeypatch):
  monkeypatch.setitem(sys.modules, 'envpool', None)
  text = 'Run pip install envpool, or give --env.simulator highway-env'
  with pytest.raises(ConfigError, match=text):
    make()


def test_evaluation_is_always_that_of_highway_env(monkeypatch):
  monkeypatch.setitem(sys.modules, 'envpool', None)
  env = envs.make(FAST, **config(), mode='eval')
  want = make(simulator='highway-env').reset(5)['vector']
  np.testing.assert_array_equal(env.reset(5)['vector'], want)
  assert not isinstance(env._env.unwrapped, highway_envpool.Highway)


def test_its_randomness_is_its_own():
  before = random.getstate(), np.random.get_state()
  with envs.Pool(make, 1, parallel='none') as pool:
    pool.send([('reset', 3)])
    [first] = pool.recv()
    pool.send([('step', np.eye(5, dtype=np.float32)[1])])
    pool.recv()
    random.seed(99)
    np.random.seed(99)
    pool.send([('reset', 3)])
    [again] = pool.recv()
  np.testing.assert_array_equal(first['vector'], again['vector'])
  assert random.getstate() == random.Random(99).getstate()
  assert np.random.randint(1000) == np.random.RandomState(99).randint(1000)
  random.setstate(before[0])
  np.random.set_state(before[1])


def test_frames_are_one_for_each_decision():
  env = make(render=True)
  env.reset(0)
  assert env.frames()[0].shape == (150, 600, 3)
  env.step(onehot(IDLE))
  assert len(env.frames()) == 1 and env.fps == 1


def test_running_episodes_are_replayed_exactly():
  factory = functools.partial(envs.make, FAST, **config(PIXELS))
  seeds = lambda worker, episode: 100 * worker + episode
  with envs.Pool(factory, 2, parallel='none') as pool:
    driver = Driver(pool, seeds)
    rows = [[], []]
    driver.on_reset(lambda row, worker: rows[worker].append(row))
    driver.on_step(lambda row, worker: rows[worker].append(row))
    driver(RandomPolicy(pool.act_space, 0), steps=2)
    state = driver.state()
  replayed = [[], []]
  with envs.Pool(factory, 2, parallel='process') as pool:
    Driver(pool, seeds).restore(
        state, lambda row, worker: replayed[worker].append(row))
  for before, after in zip(rows, replayed):
    assert len(before) == 2 and equal(before, after)


@pytest.mark.parametrize('task, simulator, want', [
    (FAST, 'envpool', 'envpool'), (FAST, 'highway-env', 'highway-env'),
    ('gym_CartPole-v1', 'highway-env', None)])
def test_what_simulates_the_training(task, simulator, want):
  env = config(simulator=simulator)['env']
  assert envs.simulator(task, env) == want
