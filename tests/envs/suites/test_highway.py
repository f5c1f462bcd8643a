"""The traps of highway-env, each refused or handled."""

import environments
import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.envs.suites import highway_config
from dreamerv2_tf.errors import ConfigError, EnvError

PIXELS = {'observation': {
    'type': 'GrayscaleObservation', 'observation_shape': (128, 32),
    'stack_size': 1, 'weights': (0.01, 0.01, 0.98), 'scaling': 1.5}}
FAST = 'highway_highway-fast-v0'


def make(task=FAST, env_config=None, scale=1.0, render=False, **kwargs):
  settings = environments.config(env_config, scale, **kwargs)
  return envs.make(task, **settings, render=render)


def onehot(index, size=5):
  return {'action': np.eye(size, dtype=np.float32)[index]}


def test_kinematics_rows_are_scaled_vectors_with_logs():
  env, scaled = make(), make(scale=10.0)
  rows = [env.reset(3), env.step(onehot(4))]
  assert rows[0]['vector'].shape == (25,)
  np.testing.assert_allclose(
      scaled.reset(3)['vector'], 10 * rows[0]['vector'], rtol=1e-6)
  for row in rows:
    assert set(row) == set(env.obs_space)
    assert row['log_crashed'] == 0
    assert row['log_speed'].dtype == np.float32
  assert rows[0]['log_speed'] == 25 > rows[1]['log_speed'] > 20


def test_each_feature_has_its_own_scale():
  factors = (1, 15, 2.5, 20, 80)
  plain, scaled = make(), make(scale=factors)
  cars = plain.reset(3)['vector'].reshape(5, 5)
  np.testing.assert_array_equal(
      scaled.reset(3)['vector'].reshape(5, 5), cars * np.float32(factors))
  with pytest.raises(ConfigError, match=r'has 2 numbers.*shape \(5, 5\)'):
    make(scale=(1, 15))


def test_a_crash_is_terminal_and_logged():
  env = make()
  for seed in range(5):
    row = env.reset(seed)
    while not row['is_last']:
      row = env.step(onehot(3))  # FASTER, until it crashes.
    if row['is_terminal']:
      break
  assert row['is_terminal'] and row['log_crashed'] == 1


def test_images_are_height_width_channels():
  env = make(env_config=PIXELS)
  assert env.obs_space['image'].shape == (32, 128, 1)
  assert env.act_space['action'] == gym.spaces.Discrete(5)
  image = env.reset(0)['image']
  assert image.shape == (32, 128, 1) and image.dtype == np.uint8
  # Lanes lie along the width: rows differ more than columns do.
  assert image.mean(1).std() > 2 * image.mean(0).std()
  plain = env._env.unwrapped.observation_type.observe()
  np.testing.assert_array_equal(image, plain.transpose(2, 1, 0))


def test_the_adapter_gives_the_image_of_the_row():
  env = make(env_config=PIXELS)
  env.reset(0)
  plain = env._env.unwrapped.observation_type.observe()
  adapted = make(env_config=PIXELS).adapter(plain)
  assert adapted['image'].shape == (32, 128, 1)


def test_occupancy_images_are_turned_too():
  observation = {
      'type': 'OccupancyGrid', 'as_image': True,
      'grid_size': [[-50, 50], [-40, 40]], 'grid_step': [5, 5]}
  env = make(env_config={'observation': observation})
  assert env.obs_space['image'].shape == (16, 20, 4)
  # Too small for convolutions.
  observation['grid_size'] = [[-50, 50], [-20, 20]]
  env = make(env_config={'observation': observation})
  assert env.obs_space['vector'].shape == (8 * 20 * 4,)


def test_black_frames_stop_before_training(monkeypatch):
  monkeypatch.setenv('SDL_VIDEODRIVER', 'dummy')
  with pytest.raises(EnvError, match='only black frames.*Unset that variable'):
    make(env_config=PIXELS)
  with pytest.raises(EnvError, match='only black frames'):
    make(render=True)
  make().reset(0)  # Vectors need no frames.


def test_frames_of_one_value_are_refused():
  blank = {'observation': {**PIXELS['observation'], 'weights': (0, 0, 0)}}
  with pytest.raises(EnvError, match='single value 0. Check weights'):
    make(env_config=blank)


@pytest.mark.parametrize('policy, simulation, text', [
    (5, 1, 'Set simulation_frequency to 5'),
    (2, 5, 'Set simulation_frequency to 4'),
    (0, 5, 'both above 0')])
def test_frequencies_that_freeze_or_lose_time(policy, simulation, text):
  with pytest.raises(ConfigError, match=text):
    make(env_config={
        'policy_frequency': policy, 'simulation_frequency': simulation})


@pytest.mark.parametrize('policy, simulation', [(5, 15), (0.5, 5), (1, 1)])
def test_frequencies_that_divide(policy, simulation):
  highway_config.check_frequencies({
      'policy_frequency': policy, 'simulation_frequency': simulation})


@pytest.mark.parametrize('env_config, text', [
    ({'lane_count': 4}, "'env.config.lane_count'.*'lanes_count'"),
    ({'observation': {'vehicle_count': 3}},
     "'env.config.observation.vehicle_count'.*'vehicles_count'"),
    ({'observation': {'features_range': {'vz': [0, 1]}}},
     "features_range.vz' is no feature"),
    ({'observation': {'type': 'Grayscale'}}, "'GrayscaleObservation'"),
    ({'observation': {'type': 'GrayscaleObservation'}},
     'also needs observation_shape, stack_size, weights'),
    ({'observation': {**PIXELS['observation'], 'vehicles_count': 3}},
     "'env.config.observation.vehicles_count' is not a key of type Grayscale"),
    ({'observation': {**PIXELS['observation'], 'observation_shape': 64}},
     r'must be \[width, height\]'),
    ({'action': {'type': 'DiscreteAction', 'speed_range': [0, 1]}},
     "'env.config.action.speed_range' is not a key"),
    ({'action': {'type': 'Discrete'}}, 'Known types: DiscreteMetaAction'),
    ({'observation': 'Kinematics'}, 'must be a group of keys'),
    ({'duration': 'long'}, "'env.config.duration' must be a number"),
    ({'normalize_reward': 1}, 'must be true or false'),
    ({'reward_speed_range': 20}, 'must be a list'),
    ({'other_vehicles_type': 'nowhere.Vehicle'}, 'fails with env.config'),
    ({'controlled_vehicles': 2,
      'observation': {'type': 'MultiAgentObservation',
                      'observation_config': {'type': 'Kinematics'}}},
     'single agent')])
def test_bad_configurations_are_refused(env_config, text):
  with pytest.raises(ConfigError, match=text):
    make(env_config=env_config)


def test_merge_is_deep_and_leaves_its_arguments():
  defaults = {'duration': 40, 'observation': {
      'type': 'Kinematics', 'vehicles_count': 15, 'flatten': False}}
  merged = highway_config.merge(
      defaults, {'observation': {'see_behind': True, 'features': ('x', 'y')}})
  assert merged == {'duration': 40, 'observation': {
      'type': 'Kinematics', 'vehicles_count': 15, 'flatten': False,
      'see_behind': True, 'features': ['x', 'y']}}
  assert 'see_behind' not in defaults['observation']


def test_another_observation_type_replaces_the_default():
  merged = highway_config.merge(
      {'observation': {'type': 'Kinematics', 'vehicles_count': 15}}, PIXELS)
  assert 'vehicles_count' not in merged['observation']
  assert merged['observation']['observation_shape'] == (128, 32)


def test_overrides_reach_the_environment():
  env = make(env_config={
      'duration': 2, 'vehicles_count': 1, 'lanes_count': 1,
      'observation': {'vehicles_count': 2, 'features': ['x', 'vx']}})
  assert env.reset(0)['vector'].shape == (4,)
  assert not env.step(onehot(4))['is_last']
  row = env.step(onehot(4))
  assert row['is_last'] and not row['is_terminal']  # A time limit.


def test_stacked_frames_come_with_advice():
  stack = {'observation': {**PIXELS['observation'], 'stack_size': 4}}
  env = make(env_config=stack)
  assert env.obs_space['image'].shape == (32, 128, 4)
  assert 'Set it to 1' in env.advice[0]
  assert make(env_config=PIXELS).advice == []


def test_unknown_id_is_told_the_nearest():
  with pytest.raises(
      ConfigError, match="Did you mean 'highway_highway-fast-v0'"):
    make('highway_highway-fst-v0')


def test_highway_through_the_other_suite_is_refused():
  with pytest.raises(ConfigError, match="as 'highway_highway-fast-v0'"):
    make('gym_highway_env:highway-fast-v0')


@pytest.mark.parametrize('task, render, size', [
    ('highway_parking-ActionRepeat-v0', True, 2),
    ('highway_parking-parked-v0', False, 2),
    ('highway_lane-keeping-v0', True, 1)])
def test_ids_that_accept_neither_config_nor_render_mode(task, render, size):
  env = make(task, {'collision_reward': -1} if 'parking' in task else {
      'state_noise': 0.01}, render=render)
  env.reset(0)
  row = env.step({'action': np.zeros(size, np.float32)})
  assert np.isfinite(row['reward'])
  assert len(env.frames()) >= render
  keys = set(env.adapter.spaces)
  assert keys in ({'observation', 'achieved_goal', 'desired_goal'},
                  {'state', 'derivative', 'reference_state'})


def test_a_configuration_that_crashes_the_environment_is_told():
  with pytest.raises(ConfigError, match="'highway_merge-v0' fails with env.c"):
    make('highway_merge-v0', {'action': {'type': 'ContinuousAction'}})


def test_several_agents_are_refused():
  with pytest.raises(ConfigError, match='single agent'):
    make('highway_intersection-multi-agent-v1')


def test_video_frames_are_smooth_and_change_nothing():
  plain, video = make(), make(render=True)
  rows = [plain.reset(7), plain.step(onehot(2)), plain.step(onehot(3))]
  shots = [video.reset(7)]
  assert len(video.frames()) == 1
  for action in (2, 3):
    shots.append(video.step(onehot(action)))
    frames = video.frames()
    assert len(frames) == 5  # 5 Hz of simulation for each decision.
    assert all(frame.shape == (150, 600, 3) for frame in frames)
    assert all(
        (a.pixels != b.pixels).any() for a, b in zip(frames, frames[1:]))
  for row, shot in zip(rows, shots):
    for key in row:
      np.testing.assert_array_equal(row[key], shot[key])
  assert video.fps == 5


def test_same_seed_same_episode_after_others():
  env = make()
  first = env.reset(11), env.step(onehot(0))
  env.reset(12)
  again = env.reset(11), env.step(onehot(0))
  for before, after in zip(first, again):
    np.testing.assert_array_equal(before['vector'], after['vector'])
