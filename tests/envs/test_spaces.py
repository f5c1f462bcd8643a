"""Every kind of space through the wrapper: a row of the table for each."""

from environments import config
import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.errors import EnvError, NonFiniteError

Box, Discrete = gym.spaces.Box, gym.spaces.Discrete


class Shows(gym.Env):
  """Shows an observation of a space after each step."""

  def __init__(self, space, obs, act_space=None):
    self.observation_space = space
    self.action_space = act_space or Discrete(2)
    self.obs, self.taken = obs, None

  def reset(self, *, seed=None, options=None):
    return self.obs, {}

  def step(self, action):
    self.taken = action
    return self.obs, 0.0, False, False, {}


def wrapped(space, obs, **kwargs):
  return envs.wrap(Shows(space, obs, **kwargs), **config())


def pixels(shape, dtype, black, white, index, gray=None):
  """Black with one white pixel, and a gray one at the end."""
  image = np.full(shape, black, dtype)
  image[index] = white
  if gray is not None:
    image[(-1,) * len(shape)] = gray
  return image


def row_of(env):
  env.reset(1)
  return env.step({'action': np.float32([1, 0])})


# Space, observation, key -> values of the row, key -> how it was made.
VECTORS = [
    ('float64', Box(-5, 5, (2, 2), np.float64), np.array([[1, 2], [3, 4.5]]),
     {'vector': [1, 2, 3, 4.5]},
     {'vector': 'from Box (2, 2) float64 [-5, 5]'}),
    ('float16, half bounded',
     Box(np.float16([0, -np.inf]), np.float16([np.inf, 1]), dtype=np.float16),
     np.float16([0.5, -2]), {'vector': [0.5, -2]},
     {'vector': 'from Box (2,) float16'}),
    ('no axes', Box(-1, 1, ()), 0.25, {'vector': [0.25]},
     {'vector': 'from Box () float32 [-1, 1]'}),
    ('int64', Box(-9, 9, (3,), np.int64), [1, -2, 9],
     {'vector': [1, -2, 9]}, {'vector': 'from Box (3,) int64 [-9, 9]'}),
    ('bool', Box(0, 1, (2,), np.bool_), np.array([True, False]),
     {'vector': [1, 0]}, {'vector': 'from Box (2,) bool [0, 1]'}),
    ('uint8', Box(0, 255, (3,), np.uint8), np.uint8([0, 51, 255]),
     {'vector': [0, 0.2, 1]},
     {'vector': 'from Box (3,) uint8 [0, 255], times 1/255'}),
    ('uint8 up to 10', Box(0, 10, (2, 1), np.uint8), np.uint8([[5], [10]]),
     {'vector': [0.5, 1]},
     {'vector': 'from Box (2, 1) uint8 [0, 10], times 1/10'}),
    ('Discrete', Discrete(3, start=-1), 1, {'vector': [0, 0, 1]},
     {'vector': 'from Discrete(3, start=-1), one-hot'}),
    ('MultiDiscrete', gym.spaces.MultiDiscrete([2, 3], start=[1, 0]),
     np.array([1, 2]), {'vector': [1, 0, 0, 0, 1]},
     {'vector': 'from MultiDiscrete([2 3], start=[1 0]), one-hot'}),
    ('MultiDiscrete, 2-D', gym.spaces.MultiDiscrete([[2], [2]]),
     np.array([[1], [0]]), {'vector': [0, 1, 1, 0]},
     {'vector': 'from MultiDiscrete([[2] [2]]), one-hot'}),
    ('MultiBinary', gym.spaces.MultiBinary([2, 2]),
     np.int8([[1, 0], [0, 1]]), {'vector': [1, 0, 0, 1]},
     {'vector': 'from MultiBinary((2, 2))'}),
    ('Tuple', gym.spaces.Tuple([Discrete(2), Box(0, 1, (1,))]),
     (1, np.float32([0.5])), {'0': [0, 1], '1': [0.5]},
     {'0': 'from 0: Discrete(2), one-hot',
      '1': 'from 1: Box (1,) float32 [0, 1]'}),
    ('nested', gym.spaces.Dict(
        car=gym.spaces.Dict(pose=Box(-9, 9, (2,)), parts=gym.spaces.Tuple(
            [Discrete(2), gym.spaces.Dict(on=gym.spaces.MultiBinary(1))]))),
     {'car': {'pose': np.float32([1, 2]), 'parts': (
         0, {'on': np.int8([1])})}},
     {'car_pose': [1, 2], 'car_parts_0': [1, 0], 'car_parts_1_on': [1]},
     {'car_pose': 'from car.pose: Box (2,) float32 [-9, 9]',
      'car_parts_0': 'from car.parts.0: Discrete(2), one-hot',
      'car_parts_1_on': 'from car.parts.1.on: MultiBinary(1)'})]


@pytest.mark.parametrize('space, obs, want, mapping', [
    pytest.param(*case[1:], id=case[0]) for case in VECTORS])
def test_vectors(space, obs, want, mapping):
  env = wrapped(space, obs)
  row = row_of(env)
  for key, values in want.items():
    np.testing.assert_allclose(row[key], values, rtol=1e-6)
    assert row[key].dtype == np.float32
    assert row[key].shape == env.obs_space[key].shape
  assert set(row) - {'reward', 'is_first', 'is_last', 'is_terminal'} == (
      set(want))
  assert env.mapping == {**mapping, 'action': 'Discrete(2), one-hot'}
  assert env.outside == {}


# Shape, type, black, white, gray and what it becomes, where the white pixel
# is, where it comes to lie, shape of the image, how it was made.
U8, F32 = np.uint8, np.float32
IMAGES = [
    ('gray', (16, 20), U8, 0, 255, 7, 7, (3, 4), (3, 4, 0), (16, 20, 1), ''),
    ('colours', (16, 20, 3), U8, 0, 255, 7, 7, (3, 4, 2), (3, 4, 2),
     (16, 20, 3), ''),
    ('channels first', (3, 16, 20), U8, 0, 255, 7, 7, (2, 3, 4), (3, 4, 2),
     (16, 20, 3), ', axes 1 2 0'),
    ('stack of gray', (4, 16, 20), U8, 0, 255, 7, 7, (1, 3, 4), (3, 4, 1),
     (16, 20, 4), ', axes 1 2 0'),
    ('stack of colours', (4, 16, 20, 3), U8, 0, 255, 7, 7, (1, 3, 4, 2),
     (3, 4, 5), (16, 20, 12), ', axes 1 2 0 3'),
    ('stack, channels first', (4, 3, 16, 20), U8, 0, 255, 7, 7, (1, 2, 3, 4),
     (3, 4, 5), (16, 20, 12), ', axes 2 3 0 1'),
    ('bits', (16, 20, 1), U8, 0, 1, 0, 0, (3, 4, 0), (3, 4, 0), (16, 20, 1),
     ', 0 to 1 become 0 to 255'),
    ('0 to 1', (16, 20, 3), F32, 0, 1, 0.2, 51, (3, 4, 2), (3, 4, 2),
     (16, 20, 3), ', 0 to 1 become 0 to 255'),
    ('-1 to 1', (3, 16, 20), F32, -1, 1, -0.6, 51, (2, 3, 4), (3, 4, 2),
     (16, 20, 3), ', axes 1 2 0, -1 to 1 become 0 to 255'),
    ('floats to 255', (16, 20), np.float64, 0, 255, 7.4, 7, (3, 4), (3, 4, 0),
     (16, 20, 1), ''),
    ('integers to 255', (16, 20, 3), np.int64, 0, 255, 7, 7, (3, 4, 2),
     (3, 4, 2), (16, 20, 3), ''),
    ('uint16', (16, 20), np.uint16, 0, 65535, 514, 2, (3, 4), (3, 4, 0),
     (16, 20, 1), ', 0 to 65535 become 0 to 255'),
    ('bool', (16, 20), np.bool_, 0, 1, 0, 0, (3, 4), (3, 4, 0), (16, 20, 1),
     ', 0 to 1 become 0 to 255'),
    ('stack of floats', (2, 16, 20), F32, 0, 1, 1, 255, (1, 3, 4), (3, 4, 1),
     (16, 20, 2), ', axes 1 2 0, 0 to 1 become 0 to 255')]


@pytest.mark.parametrize(
    'shape, dtype, black, white, gray, becomes, index, place, out, note', [
        pytest.param(*case[1:], id=case[0]) for case in IMAGES])
def test_images(
    shape, dtype, black, white, gray, becomes, index, place, out, note):
  obs = pixels(shape, dtype, black, white, index, gray)
  before = obs.copy()
  env = wrapped(Box(black, white, shape, dtype), obs)
  image = row_of(env)['image']
  want = np.zeros(out, np.uint8)
  want[place] = 255
  want[-1, -1, -1] = becomes
  np.testing.assert_array_equal(image, want)
  assert image.dtype == np.uint8 and image.shape == env.obs_space['image'].shape
  assert env.mapping['image'].endswith(f'[{black:g}, {white:g}]{note}')
  assert env.outside == {}
  np.testing.assert_array_equal(obs, before)
  # Only what is as usual needs no word.
  told = dtype != U8 or len(shape) > 3
  assert any('is read as images' in x for x in env.advice) == told


@pytest.mark.parametrize('low, high', [
    (-np.inf, np.inf), (0, 2), (0, np.inf)])
def test_floats_without_the_bounds_of_images_are_vectors_and_told(low, high):
  env = wrapped(Box(low, high, (16, 16, 3)), np.ones((16, 16, 3), F32))
  assert row_of(env)['vector'].shape == (768,)
  assert 'is read as a vector of 768 values' in env.advice[0]


def test_stacked_frames_of_gymnasium_are_channels_in_their_order():
  class Film(Shows):

    def step(self, action):
      self.obs = self.obs + np.uint8(1)
      return self.obs, 0.0, False, False, {}
  for shape, width in ((16, 16), 1), ((16, 16, 3), 3):
    plain = Film(Box(0, 255, shape, U8), np.full(shape, 10, U8))
    env = envs.wrap(gym.wrappers.FrameStackObservation(plain, 3), **config())
    plain.obs = np.full(shape, 10, U8)
    env.reset(1)
    for _ in range(2):
      row = env.step({'action': np.float32([1, 0])})
    assert row['image'].shape == (16, 16, 3 * width)
    want = np.repeat([10, 11, 12], width)
    assert row['image'][5, 6].tolist() == want.tolist()


@pytest.mark.parametrize('space, obs, want', [
    (gym.spaces.Dict(a=Discrete(2), b=Box(-1, 1, (2,))),
     {'a': 1, 'b': F32([0.5, -1])},
     {'a': [0, 1] * 2, 'b': [0.5, -1] * 2})])
def test_stacked_dicts(space, obs, want):
  plain = gym.wrappers.FrameStackObservation(Shows(space, obs), 2)
  row = row_of(envs.wrap(plain, **config()))
  assert {key: row[key].tolist() for key in want} == want


@pytest.mark.parametrize('obs, text', [
    (np.full((16, 16), 200, U8), 'dtype uint8, expected float32'),
    (np.zeros((16, 17), F32), r'shape \(16, 17\), expected \(16, 16\)')])
def test_pixels_of_another_type_or_shape_are_refused(obs, text):
  with pytest.raises(EnvError, match=text):
    wrapped(Box(0, 1, (16, 16)), obs)


def test_pixels_outside_of_the_bounds_are_told_and_cut():
  env = wrapped(Box(0, 1, (16, 16)), np.full((16, 16), 1.5, F32))
  assert (row_of(env)['image'] == 255).all()
  assert 'lies in [1.5, 1.5], outside of its space' in env.outside['image']


def test_pixels_that_are_nan_are_refused():
  env = wrapped(Box(0, 1, (16, 16)), np.full((16, 16), np.nan, F32))
  with pytest.raises(NonFiniteError, match=r'is nan at index \(0, 0\)'):
    env.reset(1)


@pytest.mark.parametrize('obs, text', [
    (None, 'observation is None, expected an array of shape'),
    ({'a': 1}, 'observation is a dict, expected an array of shape')])
def test_what_is_no_array_is_named(obs, text):
  with pytest.raises(EnvError, match=text):
    wrapped(Box(0, 1, (2,)), obs)


@pytest.mark.parametrize('space', [
    Box(0, 255, (16, 16, 3), U8), Box(0, 255, (16, 16), U8),
    Box(0, 1, (16, 16), F32), Box(0, 1, (3,), F32), Box(0, 1, (), F32),
    gym.spaces.MultiBinary(3)])
def test_one_array_that_is_returned_each_time_is_copied(space):
  obs = np.zeros(space.shape, space.dtype)
  env = wrapped(space, obs)
  first = env.reset(1)
  [key] = env.adapter.spaces
  obs[...] = 1
  second = env.step({'action': F32([1, 0])})
  assert first[key].max() == 0 and second[key].max() > 0


def test_a_reward_that_is_too_large_is_named_as_it_is():
  class Rich(Shows):

    def step(self, action):
      return self.obs, 1e300, False, False, {}
  env = envs.wrap(Rich(Discrete(2), 0), **config())
  env.reset(1)
  with pytest.raises(NonFiniteError, match=r'reward is 1e\+300, too large for'):
    env.step({'action': F32([1, 0])})


def test_entries_of_a_tuple_that_are_missing():
  space = gym.spaces.Tuple([Discrete(2), Discrete(2)])
  with pytest.raises(EnvError, match="observation '1' is missing"):
    wrapped(space, (1,))
  with pytest.raises(EnvError, match="observation '0' is missing"):
    wrapped(space, {'0': 1, '1': 1})


@pytest.mark.parametrize('space, action, want, text', [
    (Discrete(2, start=3), [0, 1], 4, 'Discrete(2, start=3), one-hot'),
    (Box(0, 4, (2,)), [-1, 0.5], [0, 3],
     'Box (2,) float32 [0, 4], from [-1, 1]'),
    (Box(F32([0, -2]), F32([4, 2])), [0, 1], [2, 2],
     'Box (2,) float32, from [-1, 1]')])
def test_actions_are_taken_and_told(space, action, want, text):
  env = wrapped(Discrete(2), 0, act_space=space)
  assert env.mapping['action'] == text
  env.reset(1)
  env.step({'action': F32(action)})
  np.testing.assert_array_equal(env.plain.taken, want)
  assert space.contains(env.plain.taken)
