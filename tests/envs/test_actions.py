"""Actions of the agent as those of a space."""

import gymnasium as gym
import numpy as np
import pytest

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
