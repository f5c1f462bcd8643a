"""The presets of merging, roundabout, intersection, exit, track and parking."""

import json

from environments import config as settings
import gymnasium as gym
import numpy as np
import pytest
import runs

from dreamerv2_tf import cli, envs
from dreamerv2_tf.config import Config, resolve
from dreamerv2_tf.envs import describe

# Preset -> shapes of what it observes, number of actions, steps of an episode.
FAMILY = {
    'highway_merge': ({'vector': (25,)}, 5, 30),
    'highway_roundabout': ({'vector': (25,)}, 5, 11),
    'highway_intersection': ({'vector': (105,)}, 3, 13),
    'highway_exit': ({'vector': (105,)}, 5, 18),
    'highway_racetrack': ({'vector': (288,)}, 1, 300),
    'highway_parking': (
        {'achieved_goal': (6,), 'desired_goal': (6,), 'observation': (6,)}, 2,
        100)}
OBSERVED = '--env.config.observation.'
ONE = '--env.obs_scale', '1'
OVERRIDES = {
    'TimeToCollision': ['horizon', '10'],
    'LidarObservation': ['cells', '16'],
    'OccupancyGrid': ['features', 'presence', 'on_road'],
    'Kinematics': [
        'vehicles_count', '3', OBSERVED + 'features', 'presence', 'x', 'y',
        'vx', 'vy'],
    'GrayscaleObservation': [
        'observation_shape', '64,32', OBSERVED + 'stack_size', '1',
        OBSERVED + 'weights', '-1.5,1.05,0.75', OBSERVED + 'scaling', '1.5']}
SHAPES = {
    'TimeToCollision': (90,), 'LidarObservation': (32,),
    'OccupancyGrid': (2 * 11 * 11,), 'Kinematics': (15,),
    'GrayscaleObservation': (32, 64, 1)}
# Those of continuous actions have no classes of speeds to be told in.
PAIRS = [
    (preset, kind) for preset in FAMILY for kind in OVERRIDES
    if kind != 'TimeToCollision' or FAMILY[preset][1] > 2]


def make(config):
  return envs.make(config.task, **config.taken_by(envs.make))


def seen_as(kind, *words):
  """Words of the command line for an observation of a type."""
  first, *rest = OVERRIDES[kind]
  return [OBSERVED + 'type', kind, OBSERVED + first, *rest, *words]


def act(env, rng):
  space = env.act_space['action']
  if isinstance(space, gym.spaces.Discrete):
    return {'action': np.eye(space.n, dtype=np.float32)[rng.integers(space.n)]}
  return {'action': rng.uniform(-1, 1, space.shape).astype(np.float32)}


@pytest.mark.parametrize('preset', FAMILY)
def test_observations_actions_and_time_limits(preset):
  shapes, actions, longest = FAMILY[preset]
  config = resolve([preset])
  assert config.task == f"highway_{preset.partition('_')[2]}-v0"
  assert config.env.simulator == 'highway-env'
  env = make(config)
  assert {k: x.shape for k, x in env.adapter.spaces.items()} == shapes
  space = env.act_space['action']
  discrete = isinstance(space, gym.spaces.Discrete)
  assert (space.n if discrete else space.shape[0]) == actions
  assert discrete == (config.actor_grad == 'lookahead')
  assert describe.longest(env, config.time_limit, 1) == longest


@pytest.mark.parametrize('preset, limit', [
    ('highway_parking', 4), ('highway_racetrack', 3), ('highway_merge', 2)])
def test_a_time_limit_is_no_terminal_state(preset, limit):
  env = make(resolve([preset], ['--time_limit', str(limit)]))
  row, still = env.reset(0), np.zeros(env.act_space['action'].shape, np.float32)
  still = still if still.shape else np.eye(5, dtype=np.float32)[1]
  for _ in range(limit):
    assert not row['is_last']
    row = env.step({'action': still})
  assert row['is_last'] and not row['is_terminal']


@pytest.mark.parametrize('preset', ['highway_merge', 'highway_roundabout'])
def test_features_have_about_unit_variance(preset):
  config = resolve([preset])
  env, rng, rows = make(config), np.random.default_rng(0), []
  for seed in range(8):
    row = env.reset(seed)
    while not row['is_last']:
      rows.append(row['vector'])
      row = env.step(act(env, rng))
  spread = np.reshape(rows, [-1, len(config.env.obs_scale)]).std(0)
  assert (0.2 < spread).all() and (spread < 2).all(), spread


@pytest.mark.parametrize('preset, kind', PAIRS)
def test_other_observations(preset, kind):
  words = seen_as(kind, *ONE)
  if kind == 'OccupancyGrid':  # Of the track it is the default.
    words += [OBSERVED + 'grid_size', '[[-27.5, 27.5], [-27.5, 27.5]]',
              OBSERVED + 'grid_step', '[5, 5]']
  env = make(resolve([preset], words))
  key = 'image' if len(SHAPES[kind]) == 3 else 'vector'
  row = env.reset(0)
  assert row[key].shape == SHAPES[kind]
  assert row[key].std() > 0
  env.step(act(env, np.random.default_rng(0)))


@pytest.mark.parametrize('preset, kind', [
    ('highway_merge', ''), ('highway_roundabout', 'TimeToCollision'),
    ('highway_exit', 'LidarObservation'), ('highway_racetrack', ''),
    ('highway_parking', ''), ('highway_racetrack', 'GrayscaleObservation')])
def test_trains_and_is_evaluated(preset, kind, tmp_path, capsys):
  logdir = tmp_path / 'run'
  words = seen_as(kind, *ONE) if kind else []
  assert runs.here(
      logdir, '--configs', preset, 'debug', '--prefill', 20, '--envs', 1,
      '--envs_parallel', 'none', '--train_every', 10, '--log_every', 20,
      '--eval_every', 0, '--time_limit', 12, '--steps', 45,
      *words) == 0
  losses = [
      row['model_loss'] for row in runs.rows(logdir) if 'model_loss' in row]
  assert losses and np.isfinite(losses).all()
  capsys.readouterr()
  assert cli.main([
      'eval', '--logdir', str(logdir), '--episodes', '1', '--json']) == 0
  record = json.loads(capsys.readouterr().out.splitlines()[-1])
  assert 0 < record['length_mean'] <= 12
  goal = preset in ('highway_parking', 'highway_exit')
  assert ('success_rate' in record) == goal
  assert bool(runs.column(logdir, 'max_train_log_success')) == goal
  assert Config.load(logdir / 'config.yaml').task == resolve([preset]).task


def test_parking_tells_success_and_its_end():
  env = make(resolve(['highway_parking']))
  row = env.reset(0)
  assert row['log_success'] == 0 and 'log_success' in env.obs_space
  car = env.plain.vehicle
  car.position = car.goal.position.copy()
  car.heading, car.speed = car.goal.heading, 0
  row = env.step({'action': np.zeros(2, np.float32)})
  assert row['log_success'] == 1 and row['is_terminal']
  assert row['reward'] > -0.12  # What counts as the goal.
  assert env.reset(1)['log_success'] == 0


def test_an_exit_is_told_and_a_highway_has_none():
  env = make(resolve(['highway_exit']))
  assert env.reset(0)['log_success'] == 0
  lane = ('2', 'exit', 0)
  car = env.plain.vehicle
  car.lane_index = car.target_lane_index = lane
  car.lane = env.plain.road.network.get_lane(lane)
  car.position = car.lane.position(10, 0)
  row = env.step({'action': np.eye(5, dtype=np.float32)[1]})
  assert row['log_success'] == 1
  plain = envs.make('highway_highway-fast-v0', **settings())
  assert 'log_success' not in plain.obs_space
