"""What looking ahead in copies of an environment finds."""

import copy
import pathlib

import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs

SCRIPT = (
    pathlib.Path(__file__).resolve().parents[2] / 'scripts'
    / 'baselines_lookahead.py')


@pytest.fixture
def env():
  config = configlib.resolve(['highway_kinematics'])
  return envs.make(
      'highway_highway-fast-v0', mode='eval', **config.taken_by(envs.make))


class Bait(gym.Env):
  """Two actions: 0 gives 0.6 each time; 1 gives 0.5, then 1 in a row of them.

  After an action 1, an action 0 ends the episode with reward 0.
  """

  observation_space = gym.spaces.Box(-1, 9, (1,), np.float32)
  action_space = gym.spaces.Discrete(2)

  def __init__(self):
    self.ones = self.steps = 0

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.ones = 0
    return np.zeros(1, np.float32), {}

  def step(self, action):
    self.steps += 1
    end = action == 0 and self.ones > 0
    reward = 0.0 if end else 0.6 if action == 0 else 1.0 if self.ones else 0.5
    self.ones += action
    return np.full(1, self.ones, np.float32), reward, bool(end), False, {}


@pytest.fixture
def bait(tiny):
  env = envs.wrap(Bait(), **tiny.taken_by(envs.wrap))
  env.reset(1)
  return env


@pytest.mark.parametrize('horizon, budget, best', [
    (1, 99, 0), (2, 99, 1), (3, 99, 1), (5, 99, 1), (5, 4, 0), (5, 5, 1)])
def test_looks_as_far_as_it_may(script, bait, horizon, budget, best):
  # 0.6 > 0.5 at once, 0.5 + 1.0 > 0.6 + 0.6 after two steps, which the fifth
  # and sixth simulated step find out.
  assert script.plan(bait, horizon, budget) == best


def test_leaves_the_environment_alone(script, bait):
  before = script.unwrapped(bait).steps
  script.plan(bait, 5, 99)
  assert script.unwrapped(bait).steps == before
  assert bait.step({'action': np.eye(2)[1]})['vector'] == [1]


def test_finds_the_best_of_all_sequences(script, env):
  env.reset(10_003)
  totals = {}
  for first in script.available(env):
    totals[first] = 0
    one = copy.deepcopy(env)
    row = one.step({'action': np.eye(5)[first]})
    for second in script.available(one) if not row['is_last'] else ():
      two = copy.deepcopy(one)
      reward = two.step({'action': np.eye(5)[second]})['reward']
      totals[first] = max(totals[first], row['reward'] + reward)
  chosen = script.plan(env, 2, 10 ** 6)
  assert totals[chosen] == pytest.approx(max(totals.values()))
  assert totals[chosen] > min(totals.values())


def test_foresees_what_happens(script, env):
  env.reset(10_004)
  ahead = copy.deepcopy(env)
  for action in 3, 0, 2, 1:
    guess = ahead.step({'action': np.eye(5)[action]})
    script.plan(env, 2, 20)
    truth = env.step({'action': np.eye(5)[action]})
    assert all((guess[key] == truth[key]).all() for key in truth)
