import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs
from dreamerv2_tf.doctor import task
from dreamerv2_tf.envs import describe

ENV = {'config': {}, 'obs_scale': 1.0, 'simulator': 'highway-env'}


def facts(**changes):
  box = lambda *shape: gym.spaces.Box(0, 1, shape, np.float32)
  values = {
      'obs_space': {
          'image': gym.spaces.Box(0, 255, (16, 16, 3), np.uint8),
          'speed': box(2), 'goal': box(3), 'reward': box(),
          'is_first': box(), 'log_x': box()},
      'act_space': {'action': gym.spaces.Discrete(2)},
      'actions': ['LEFT', 'RIGHT'], 'longest': 30}
  return task.Facts(**{**values, **changes})


def test_spaces_actions_and_limit_are_told():
  [check] = task.check_spaces(facts())
  assert check.text == (
      'goal float32 (3,); image uint8 (16, 16, 3); speed float32 (2,); '
      'actions Discrete(2): LEFT, RIGHT; an episode: at most 30 steps')
  [check, advice] = task.check_spaces(
      facts(actions=[], longest=None, advice=['Too large.']))
  assert check.text.endswith('actions Discrete(2); an episode: no limit known')
  assert (advice.status, advice.text) == ('warn', 'Too large.')


def test_what_observations_and_actions_are_made_of_is_told():
  mapping = {
      'speed': 'from Box (2,) float32, times 3', 'goal': 'from x', 'image': 'y',
      'action': 'MultiBinary(1), one-hot of its 2 combinations'}
  [check] = task.check_spaces(facts(mapping=mapping, actions=[]))
  assert check.text.startswith(
      'goal float32 (3,) from x; image uint8 (16, 16, 3) y; speed float32 (2,) '
      'from Box (2,) float32, times 3; actions MultiBinary(1), one-hot of its '
      '2 combinations; ')
  assert check.values['mapping'] == mapping


def test_keys_that_no_network_reads_are_marked():
  read = {'mlp': ['speed', 'goal'], 'cnn': ['image']}
  check = task.check_keys(facts(), read, {'mlp': ['speed'], 'cnn': []})
  assert check.status == 'ok'
  assert check.text == (
      'image: encoder.cnn; speed: encoder.mlp and decoder.mlp; '
      'goal: encoder.mlp')
  check = task.check_keys(
      facts(), {'mlp': ['speed'], 'cnn': []}, {'mlp': ['speed'], 'cnn': []})
  assert check.status == 'warn'
  assert check.text.endswith('; not read: image, goal')


@pytest.mark.parametrize('longest, lengths, status, code', [
    (30, [], 'fail', 2),  # None can be long enough.
    (None, 10 * [20], 'fail', 2), (None, 9 * [20], 'warn', 0),
    (None, [20, 20, 60], 'warn', 0), (None, [20, 60, 60], 'ok', 0),
    (500, [], 'ok', 0)])
def test_episodes_shorter_than_minlen(longest, lengths, status, code):
  config = configlib.resolve()
  assert config.replay.minlen == 50
  check = task.check_lengths(config, longest, lengths)
  assert (check.status, check.code) == (status, code)
  assert ('--replay.minlen 1' in check.advice) == (status != 'ok')


def test_a_prefill_as_long_as_the_run_is_told():
  assert task.check_schedule(configlib.resolve()) is None
  check = task.check_schedule(configlib.resolve([], ['--steps', '10000']))
  assert check.status == 'warn' and 'no gradient step' in check.text


@pytest.mark.parametrize('name, repeat, limit, names, longest', [
    ('gym_CartPole-v1', 1, 0, [], 500),
    ('gym_CartPole-v1', 3, 0, [], 167), ('gym_CartPole-v1', 1, 40, [], 40),
    ('gym_Pendulum-v1', 1, 0, [], 200),
    ('highway_highway-fast-v0', 1, 0,
     ['LANE_LEFT', 'IDLE', 'LANE_RIGHT', 'FASTER', 'SLOWER'], 30)])
def test_names_of_actions_and_the_end_of_episodes(
    name, repeat, limit, names, longest):
  env = envs.make(
      name, env=ENV, action_repeat=repeat, time_limit=limit, mode='eval')
  assert describe.action_names(env) == names
  assert describe.longest(env, limit, repeat) == longest
  env.close()
