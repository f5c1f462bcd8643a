"""One environment behind the dict interface."""

import pickle
import sys
import types

import gymnasium as gym
import numpy as np
import pytest
import toys

from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError, EnvError


def config(env_config=None, scale=1.0, **kwargs):
  env = types.SimpleNamespace(
      config=env_config or {}, obs_scale=scale, simulator='highway-env')
  return types.SimpleNamespace(
      **{'env': env, 'action_repeat': 1, 'time_limit': 0, **kwargs})


def make(name, env_config=None, render=False, **kwargs):
  return envs.make(
      f'gym_toys:{name}-v0', config(env_config, **kwargs), render=render)


def onehot(index, size=2):
  return {'action': np.eye(size, dtype=np.float32)[index]}


def test_rows_of_an_episode():
  env = make('Counter', {'length': 2})
  rows = [env.reset(20), env.step(onehot(1)), env.step(onehot(0))]
  np.testing.assert_allclose(
      [row['vector'] for row in rows],
      [[0, 2, 0], [0.1, 2, 0.1], [0.2, 2, 0]], rtol=1e-6)
  assert [float(row['reward']) for row in rows] == [0, 1, 0]
  assert [bool(row['is_first']) for row in rows] == [1, 0, 0]
  assert [bool(row['is_last']) for row in rows] == [0, 0, 1]
  assert [bool(row['is_terminal']) for row in rows] == [0, 0, 1]
  for row in rows:
    assert set(row) == set(env.obs_space)
    for key, space in env.obs_space.items():
      assert row[key].dtype == space.dtype, key
      assert row[key].shape == space.shape, key


@pytest.mark.parametrize('name, env_config, kwargs, length', [
    ('Counter', {'length': 4, 'terminal': False}, {}, 4),
    ('Limited', {'length': 9}, {}, 3),  # Gymnasium's own TimeLimit.
    ('Counter', {'length': 9}, {'time_limit': 2}, 2),
    ('Counter', {'length': 9}, {'time_limit': 2, 'action_repeat': 3}, 2)])
def test_time_limits_are_never_terminal(name, env_config, kwargs, length):
  env = make(name, env_config, **kwargs)
  env.reset(1)
  rows = [env.step(onehot(1)) for _ in range(length)]
  assert [bool(row['is_last']) for row in rows] == [0] * (length - 1) + [1]
  assert not any(row['is_terminal'] for row in rows)


def test_action_repeat_sums_rewards_and_stops_at_the_end():
  env = make('Counter', {'length': 5}, action_repeat=3)
  env.reset(1)
  rows = [env.step(onehot(1)) for _ in range(2)]
  assert [float(row['reward']) for row in rows] == [3, 2]
  assert [bool(row['is_terminal']) for row in rows] == [0, 1]


def test_dict_observations_become_flat_keys():
  env = make('Dict', scale=10.0)
  env.reset(1)
  row = env.step(onehot(1))
  assert row['camera'].shape == (16, 16, 3)
  assert row['camera'].dtype == np.uint8
  assert row['car_pose'].tolist() == [5, 5, 5, 5]
  assert row['car_pose'].dtype == np.float32
  assert row['car_gear'].tolist() == [0, 1, 0]


@pytest.mark.parametrize('space, plain, key, want', [
    (gym.spaces.Discrete(3, start=5), 6, 'vector', [0, 1, 0]),
    (gym.spaces.MultiBinary(3), np.int8([1, 0, 1]), 'vector', [1, 0, 1]),
    (gym.spaces.MultiDiscrete([2, 3]), np.array([1, 2]), 'vector',
     [0, 1, 0, 0, 1]),
    (gym.spaces.Box(-1, 1, (2, 1)), np.array([[.5], [1]]), 'vector', [1, 2]),
    (gym.spaces.Box(-9, 9, (), np.int64), 3, 'vector', [3]),
    (gym.spaces.Box(0, 255, (2,), np.uint8), np.uint8([0, 255]), 'vector',
     [0, 1]),
    (gym.spaces.Box(0, 255, (16, 17), np.uint8),
     np.full((16, 17), 3, np.uint8), 'image', np.full((16, 17, 1), 3)),
    (gym.spaces.Box(0, 255, (4, 16, 17), np.uint8),
     np.arange(4, dtype=np.uint8)[:, None, None] * np.ones(
         (1, 16, 17), np.uint8), 'image',
     np.tile(np.arange(4), (16, 17, 1)))])
def test_adapter_by_hand(space, plain, key, want):
  adapter = pickle.loads(pickle.dumps(envs.Adapter(space, scale=2.0)))
  got = adapter(plain)
  assert list(got) == [key]
  np.testing.assert_array_equal(got[key], np.asarray(want))
  assert got[key].shape == adapter.spaces[key].shape
  assert got[key].dtype == adapter.spaces[key].dtype


def test_a_list_scales_each_place_along_the_last_axis():
  adapter = envs.Adapter(
      gym.spaces.Dict(
          cars=gym.spaces.Box(-9, 9, (2, 3), np.float64),
          gear=gym.spaces.Discrete(2)), scale=(1, 10, 0.5))
  got = pickle.loads(pickle.dumps(adapter))(
      {'cars': np.array([[1, 2, 4], [3, 4, 8.0]]), 'gear': 1})
  assert got['cars'].tolist() == [1, 20, 2, 3, 40, 4]
  assert got['gear'].tolist() == [0, 1]


@pytest.mark.parametrize('shape, text', [
    ((2, 3), r"'env.obs_scale' has 2 numbers, but the observation has the "
             r'shape \(2, 3\): expected 3, one for each place along its last'),
    ((), r'has the shape \(\): expected a single number')])
def test_a_list_of_another_length_is_refused(shape, text):
  with pytest.raises(ConfigError, match=text):
    envs.Adapter(gym.spaces.Box(-9, 9, shape), scale=(1, 2))


def test_adapter_never_shares_memory():
  space = gym.spaces.Box(-1, 1, (2,), np.float32)
  plain = np.zeros(2, np.float32)
  got = envs.Adapter(space)(plain)['vector']
  plain[:] = 1
  assert got.tolist() == [0, 0]


@pytest.mark.parametrize('space, text', [
    (gym.spaces.Tuple([gym.spaces.Discrete(2)] * 2), 'single agent'),
    (gym.spaces.Text(3), 'is not supported'),
    (gym.spaces.Dict(reward=gym.spaces.Discrete(2)), "'reward' is reserved"),
    (gym.spaces.Dict(model=gym.spaces.Discrete(2)), "'model' is reserved"),
    (gym.spaces.Dict(expl_actor=gym.spaces.Discrete(2)),
     "'expl_actor' is reserved"),
    (gym.spaces.Dict(ahead_reward=gym.spaces.Discrete(2)),
     "'ahead_reward' is reserved"),
    (gym.spaces.Dict(
        car=gym.spaces.Discrete(2), ahead_car=gym.spaces.Discrete(2)),
     "'car' and 'ahead_car' give two losses one name"),
    (gym.spaces.Dict(a=gym.spaces.Text(3)), 'is not supported'),
    (gym.spaces.Dict(log_x=gym.spaces.Discrete(2)), "'log_x' is reserved"),
    (gym.spaces.Dict(a_b=gym.spaces.Discrete(2), a=gym.spaces.Dict(
        b=gym.spaces.Discrete(2))), "'a_b' is reserved or there twice")])
def test_observation_spaces_that_are_refused(space, text):
  with pytest.raises(ConfigError, match=text):
    envs.Adapter(space)


@pytest.mark.parametrize('space, action, want', [
    (gym.spaces.Discrete(3, start=-1), [0, 0, 1], 1),
    (gym.spaces.Box(np.float32([0, -2]), np.float32([4, 2])), [0.5, -1],
     [3, -2]),
    (gym.spaces.Box(0, 1, (2, 1), np.float64), [-1, 1], [[0], [1]]),
    (gym.spaces.MultiDiscrete([2, 3]), [0, 0, 0, 0, 1, 0], [1, 1]),
    (gym.spaces.MultiBinary(2), [0, 0, 1, 0], [1, 0])])
def test_actions_by_hand(space, action, want):
  plain = envs.Actions(space)(np.float32(action))
  np.testing.assert_array_equal(plain, want)
  assert space.contains(plain)


@pytest.mark.parametrize('space, text', [
    (gym.spaces.Box(-np.inf, np.inf, (2,)), 'unbounded.*RescaleAction'),
    (gym.spaces.MultiDiscrete([8, 8, 9]), '576 combinations.*512'),
    (gym.spaces.Tuple([gym.spaces.Discrete(2)] * 2), 'Supported are Discrete'),
    (gym.spaces.Box(0, 5, (1,), np.int64), 'not supported')])
def test_action_spaces_that_are_refused(space, text):
  with pytest.raises(ConfigError, match=text):
    envs.Actions(space)


def test_values_outside_of_the_space_pass_with_one_warning(caplog):
  adapter = envs.Adapter(gym.spaces.Box(0, 1, (2,)))
  adapter(np.array([0, 1.0005]))  # Rounding.
  assert not caplog.records
  for value in 5.0, 7.0:
    assert adapter(np.array([0, value]))['vector'].tolist() == [0, value]
  [record] = caplog.records
  assert 'lies in [0, 5], outside of its space Box' in record.getMessage()


@pytest.mark.parametrize('space, plain, want', [
    (gym.spaces.Discrete(3), 3, [0, 0, 0]),
    (gym.spaces.Discrete(3, start=1), 0, [0, 0, 0]),
    (gym.spaces.MultiDiscrete([2, 3]), np.array([2, 2]), [0, 0, 0, 0, 1]),
    (gym.spaces.MultiBinary(3), np.array([0, 2, 1], np.int8), [0, 2, 1])])
def test_classes_outside_of_the_space_are_zeros(space, plain, want, caplog):
  assert envs.Adapter(space)(plain)['vector'].tolist() == want
  assert 'outside of its space' in caplog.text


def test_wrong_observations_raise_a_public_error():
  adapter = envs.Adapter(gym.spaces.Box(0, 1, (2,)))
  with pytest.raises(EnvError, match=r'shape \(3,\), expected \(2,\)') as info:
    adapter(np.zeros(3))
  assert type(info.value) is EnvError


def test_keys_of_a_dict_may_be_numbers():
  adapter = envs.Adapter(gym.spaces.Dict({
      1: gym.spaces.Discrete(2), 0: gym.spaces.Dict({
          2: gym.spaces.Box(-1, 1, (1,))})}))
  row = adapter({0: {2: np.float32([0.5])}, 1: 1})
  assert {k: v.tolist() for k, v in row.items()} == {
      '0_2': [0.5], '1': [0, 1]}
  with pytest.raises(EnvError, match="observation '1' is missing"):
    adapter({0: {2: np.float32([0.5])}})


def test_entries_of_an_unsupported_kind_are_left_out_and_named():
  adapter = envs.Adapter(gym.spaces.Dict(
      direction=gym.spaces.Discrete(4), mission=gym.spaces.Text(9),
      image=gym.spaces.Box(0, 255, (7, 7, 3), np.uint8)))
  row = adapter({
      'direction': 1, 'mission': 'go', 'image': np.full((7, 7, 3), 51, 'u1')})
  assert row['direction'].tolist() == [0, 1, 0, 0]
  np.testing.assert_allclose(row['image'], np.full(147, 0.2), rtol=1e-6)
  assert set(row) == {'direction', 'image'}
  mission, image = sorted(adapter.advice, key=lambda x: 'vector' in x)
  assert "'mission' is left out" in mission
  assert '(7, 7, 3) uint8 is read as a vector of 147 values' in image


@pytest.mark.parametrize('shape, index, want, told', [
    ((84, 20, 3), None, (84, 20, 3), False),
    ((84, 84, 3, 4), (5, 6, 2, 1), (84, 84, 12), True),
    ((4, 84, 84, 3), (1, 5, 6, 2), (84, 84, 12), True),
    ((4, 3, 84, 84), (2, 1, 5, 6), (84, 84, 12), True),
    ((20, 64, 64), (9, 5, 6), (64, 64, 20), True),
    ((64, 64, 20), (5, 6, 9), (64, 64, 20), True)])
def test_stacked_frames_become_channels(shape, index, want, told):
  adapter = envs.Adapter(gym.spaces.Box(0, 255, shape, np.uint8))
  plain = np.zeros(shape, np.uint8)
  index = index or (5, 6, 1)
  plain[index] = 200
  image = adapter(plain)['image']
  assert image.shape == adapter.spaces['image'].shape == want
  # Pixel (5, 6); channels are in the order of the axes that they come from.
  channel = {
      (84, 20, 3): 1, (84, 84, 3, 4): 2 * 4 + 1, (4, 84, 84, 3): 1 * 3 + 2,
      (4, 3, 84, 84): 2 * 3 + 1}.get(shape, 9)
  assert np.argwhere(image).tolist() == [[5, 6, channel]]
  assert any('is read as images of' in x for x in adapter.advice) == told


@pytest.mark.parametrize('dtype, shape', [
    (np.float32, (84, 84, 3)), (np.uint8, (2, 3, 4, 84, 84))])
def test_a_large_vector_is_told(dtype, shape):
  [sentence] = envs.Adapter(gym.spaces.Box(0, 1, shape, dtype)).advice
  assert f'is read as a vector of {np.prod(shape):,} values' in sentence


def test_advice_of_the_adapter_reaches_the_environment():
  env = envs.wrap(toys.Image(size=(20, 20)), config())
  assert env.advice == []
  plain = gym.wrappers.FrameStackObservation(toys.Image(size=(20, 20)), 3)
  [sentence] = envs.wrap(plain, config()).advice
  assert 'height 20, width 20 and 3 channels' in sentence


@pytest.mark.parametrize('task, text', [
    ('gym_toys:Countr-v0', "Did you mean 'Counter-v0'"),
    ('gym_CartPol-v1', "Did you mean 'CartPole-v1'"),
    ('gym_nowhere:X-v0', "module 'nowhere'"),
    ('higway_highway-v0', "Did you mean 'highway'"),
    ('pong', "'pong' is not a known task"),
    ('CartPole-v1', "Did you mean 'gym_CartPole-v1'"),
    ('atari_pong', 'not available in this version')])
def test_unknown_tasks(task, text):
  with pytest.raises(ConfigError, match=text):
    envs.make(task, config())


@pytest.mark.parametrize('code, text', [
    ('def f(:', "module 'broken' can not be imported: SyntaxError"),
    ('raise RuntimeError("no licence")', 'RuntimeError: no licence'),
    ('import nowhere_at_all', "'nowhere_at_all'.*pip install nowhere-at-all")])
def test_modules_that_can_not_be_imported(code, text, tmp_path, monkeypatch):
  (tmp_path / 'broken.py').write_text(code)
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(EnvError, match=text) as info:
    envs.make('gym_broken:A-v0', config())
  assert 'exist' not in str(info.value)


@pytest.mark.parametrize('code, text', [
    ('def f(:', 'SyntaxError: invalid syntax'),
    ('raise RuntimeError("no licence")', 'RuntimeError: no licence'),
    ('import nowhere_at_all', "'nowhere_at_all'.*pip install nowhere-at-all"),
    ('', 'AttributeError: ')])
def test_registered_classes_that_can_not_be_imported(
    code, text, tmp_path, monkeypatch):
  (tmp_path / 'broken.py').write_text(code)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.delitem(sys.modules, 'broken', raising=False)
  monkeypatch.setitem(
      gym.registry, 'Broken-v0', gym.envs.registration.EnvSpec(
          'Broken-v0', 'broken:Env'))
  with pytest.raises(EnvError, match=text) as info:
    envs.make('gym_Broken-v0', config(env_config={'size': 3}))
  assert "Environment 'gym_Broken-v0'" in str(info.value)


def test_missing_packages_are_named_with_how_to_install_them(monkeypatch):
  monkeypatch.setitem(sys.modules, 'highway_env', None)
  with pytest.raises(EnvError, match='pip install highway-env'):
    envs.make('highway_highway-fast-v0', config())
  monkeypatch.setitem(
      gym.registry, 'Away-v0', gym.envs.registration.EnvSpec(
          'Away-v0', 'nowhere_at_all:Env'))
  with pytest.raises(EnvError, match='pip install nowhere-at-all'):
    envs.make('gym_Away-v0', config())


def test_wrap_takes_gymnasium_environments_only():
  for env, text in [
      (None, 'got None'), ('CartPole-v1', "got 'CartPole-v1'"),
      (toys.Counter, 'class builtins.type'),
      (gym.make_vec('CartPole-v1'), '`envs` sets how many')]:
    with pytest.raises(ConfigError, match='class gymnasium.Env, ') as info:
      envs.wrap(env, config())
    assert text in str(info.value)


def test_unknown_argument_of_the_constructor():
  with pytest.raises(ConfigError, match="env.config.lenght.*'length'"):
    make('Counter', {'lenght': 3})


def test_constructor_that_raises():
  with pytest.raises(EnvError, match='can not be built: ValueError: no such'):
    make('Fault', {'fault': 'constructor'})


def test_frames_are_one_for_each_step():
  env = make('Counter', render=True)
  env.reset(1)
  assert [frame.max() for frame in env.frames()] == [0]
  env.step(onehot(1))
  assert [frame.max() for frame in env.frames()] == [1]
  assert env.frames()[0].shape == (8, 12, 3)
  assert env.fps == 5
  plain = make('Counter')
  plain.reset(1)
  assert plain.frames() == []


def test_wrap_agrees_with_the_adapter_of_make():
  plain = toys.Dict()
  env = envs.wrap(plain, config())
  assert env.name == 'Dict'
  row = env.reset(3)
  made = make('Dict').adapter(toys.Dict().reset(seed=3)[0])
  assert set(made) < set(row)
  for key, value in made.items():
    np.testing.assert_array_equal(row[key], value)


def test_signature_describes_spaces():
  env = make('Image')
  got = envs.signature(env.obs_space, env.act_space)
  assert got['image'] == 'uint8 (16, 16, 1)'
  assert got['action'] == 'Discrete(2)'
  assert got['is_last'] == 'bool ()'
