"""Plain observations as the observation keys of a row."""

import pickle

from environments import make, onehot
import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError, EnvError


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
    (gym.spaces.Text(3), r'space Text\(.*is not supported.*single agent'),
    (gym.spaces.Sequence(gym.spaces.Discrete(2)),
     r'space Sequence\(.*is not supported'),
    (gym.spaces.OneOf([gym.spaces.Discrete(2)] * 2),
     r'space OneOf\(.*is not supported'),
    (gym.spaces.Graph(gym.spaces.Discrete(2), None),
     r'space Graph\(.*is not supported'),
    (gym.spaces.Dict(), 'has no entry'),
    (gym.spaces.Tuple([]), 'has no entry'),
    (gym.spaces.Discrete(70_000),
     r'space Discrete\(70000\), which would be 70,000 values .*at most 65,536'),
    (gym.spaces.MultiDiscrete([40_000, 40_000]), 'would be 80,000 values'),
    (None, 'has the space None, which is not supported'),
    (gym.spaces.Box(0, 1, (0,)), r'\(0,\).*of at least one value'),
    (gym.spaces.Box(0, 255, (16, 0, 3), np.uint8), 'of at least one value'),
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


def test_entries_without_a_value_are_left_out_and_named():
  adapter = envs.Adapter(gym.spaces.Dict(
      a=gym.spaces.Box(0, 1, (2,)), b=gym.spaces.Box(0, 1, (0,))))
  row = adapter({'a': np.float32([0, 1]), 'b': np.zeros(0, np.float32)})
  assert {key: value.tolist() for key, value in row.items()} == {'a': [0, 1]}
  [sentence] = adapter.advice
  assert "'b' is left out" in sentence


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
    (np.float32, (84, 84, 3)), (np.float32, (16, 17)),
    (np.uint8, (2, 3, 4, 84, 84))])
def test_a_vector_that_may_be_an_image_is_told(dtype, shape):
  [sentence] = envs.Adapter(gym.spaces.Box(0, 7, shape, dtype)).advice
  assert f'is read as a vector of {np.prod(shape):,} values' in sentence


@pytest.mark.parametrize('space', [
    gym.spaces.Discrete(5000), gym.spaces.MultiDiscrete([2500, 2500])])
def test_a_number_of_many_classes_is_told(space):
  [sentence] = envs.Adapter(space).advice
  assert 'is read as 5,000 values of 0 and 1' in sentence
