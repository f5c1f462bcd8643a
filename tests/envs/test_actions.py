"""Actions of the agent as those of a space."""

import gymnasium as gym
import numpy as np
import pytest
import runs

from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError


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


@pytest.mark.parametrize('space', [
    gym.spaces.MultiDiscrete([3, 2, 4]),
    gym.spaces.MultiDiscrete([2, 3], start=[-1, 5]),
    gym.spaces.MultiDiscrete([[2, 3], [4, 1]]),
    gym.spaces.MultiBinary([2, 2]), gym.spaces.MultiDiscrete([8, 8, 8])])
def test_each_combination_of_choices_is_one_action(space):
  """So uniform actions are uniform and independent in each dimension."""
  actions = envs.Actions(space)
  plain = np.array([
      actions(one_hot) for one_hot in np.eye(actions.space.n, dtype='f')])
  assert all(space.contains(action) for action in plain)
  choices = plain.reshape(len(plain), -1)
  assert len({*map(tuple, choices)}) == len(choices) == actions.space.n
  for column in choices.T:
    assert len({*np.unique(column, return_counts=True)[1]}) == 1


class Levers(gym.Env):
  """Observes what was done with each lever."""

  observation_space = gym.spaces.Box(-9, 9, (2,), np.float32)
  action_space = gym.spaces.MultiDiscrete([2, 3], start=[0, -1])

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.count = 0
    return np.zeros(2, np.float32), {}

  def step(self, action):
    self.count += 1
    return np.float32(action), 0.0, self.count == 6, False, {}


def test_several_discrete_actions_at_once_are_learned_from(
    tmp_path, monkeypatch):
  monkeypatch.setitem(
      gym.registry, 'Levers-v0',
      gym.envs.registration.EnvSpec('Levers-v0', Levers))
  assert runs.here(
      tmp_path / 'run', '--configs', 'debug', '--task', 'gym_Levers-v0',
      '--envs_parallel', 'none', '--prefill', 120, '--steps', 150,
      '--train_every', 20, '--eval_every', 0, '--eval_eps', 1) == 0
  seen = set()
  for episode in runs.episodes(tmp_path / 'run'):
    assert episode['action'].shape == (7, 6)
    for action, observed in zip(episode['action'][1:], episode['vector'][1:]):
      index = int(action.argmax())  # The last lever changes fastest.
      assert action.sum() == 1
      np.testing.assert_array_equal(observed, [index // 3, index % 3 - 1])
      seen.add(index)
  assert seen == {*range(6)}


@pytest.mark.parametrize('space, text', [
    (gym.spaces.Box(-np.inf, np.inf, (2,)), 'unbounded.*RescaleAction'),
    (gym.spaces.MultiDiscrete([8, 8, 9]), '576 combinations.*512'),
    (gym.spaces.Tuple([gym.spaces.Discrete(2)] * 2), 'Supported are Discrete'),
    (gym.spaces.Box(0, 5, (1,), np.int64), 'not supported'),
    (None, 'The action space None is not supported'),
    (gym.spaces.Box(-1, 1, (0,)), 'has no action to choose')])
def test_action_spaces_that_are_refused(space, text):
  with pytest.raises(ConfigError, match=text):
    envs.Actions(space)
