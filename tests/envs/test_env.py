"""One environment behind the dict interface."""

from environments import config, make, onehot
import gymnasium as gym
import numpy as np
import pytest
import toys

from dreamerv2_tf import envs
from dreamerv2_tf.errors import EnvError


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


def test_advice_of_the_adapter_reaches_the_environment():
  env = envs.wrap(toys.Image(size=(20, 20)), **config())
  assert env.advice == []
  plain = gym.wrappers.FrameStackObservation(toys.Image(size=(20, 20)), 3)
  [sentence] = envs.wrap(plain, **config()).advice
  assert 'height 20, width 20 and 3 channels' in sentence


@pytest.mark.parametrize('metadata, fps', [
    ({'render_fps': 12}, 12), ({'render_fps': '12'}, 12), ({}, 30), (None, 30),
    ({'render_fps': 0}, 30), ({'render_fps': -3}, 30),
    ({'render_fps': None}, 30), ({'render_fps': 'fast'}, 30),
    ({'render_fps': np.inf}, 30)])
def test_frames_per_second_are_a_positive_number(metadata, fps):
  plain = toys.Counter()
  plain.metadata = metadata
  assert envs.wrap(plain, **config()).fps == fps


def test_a_breach_of_reset_and_step_is_told_once():
  plain = toys.Counter()
  plain.observation_space = gym.spaces.Box(-np.inf, np.inf, (4,))
  with pytest.raises(EnvError) as info:
    envs.wrap(plain, **config())
  assert str(info.value).count('has shape (3,), expected (4,)') == 1


def test_repeated_actions_are_filmed_each():
  env = make('Counter', render=True, action_repeat=2)  # Ends after 5.
  env.reset(1)
  seen = []
  for _ in range(3):
    env.step(onehot(1))
    seen.append([frame.pixels.max() for frame in env.frames()])
  assert seen == [[1, 2], [3, 4], [5]]


def test_names_of_actions_and_whether_time_is_known():
  assert make('Counter').about == {'actions': [], 'timed': True}
  class Atari(gym.Env):
    observation_space = gym.spaces.Box(0, 1, (3,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
      return np.zeros(3, np.float32), {}

    def step(self, action):
      return np.zeros(3, np.float32), 0.0, False, False, {}

    def get_action_meanings(self):
      return ['NOOP', 'FIRE']
  assert envs.wrap(Atari(), **config()).about == {
      'actions': ['NOOP', 'FIRE'], 'timed': False}


def test_a_frame_keeps_its_picture_and_readings():
  pixels = np.random.default_rng(0).integers(0, 256, [4, 6, 3], np.uint8)
  frame = envs.Frame.take(pixels.transpose([1, 0, 2]), {'log_speed': 2.5})
  np.testing.assert_array_equal(frame.pixels, pixels.transpose([1, 0, 2]))
  assert frame.readings == {'log_speed': 2.5}


def test_frames_are_one_for_each_step():
  env = make('Counter', render=True)
  env.reset(1)
  assert [frame.pixels.max() for frame in env.frames()] == [0]
  env.step(onehot(1))
  assert [frame.pixels.max() for frame in env.frames()] == [1]
  assert env.frames()[0].shape == (8, 12, 3)
  assert env.fps == 5
  plain = make('Counter')
  plain.reset(1)
  assert plain.frames() == []
