import json
import pathlib

import numpy as np
import pytest

from dreamerv2_tf import config as configlib
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.policy import PolicyState

SCRIPT = (
    pathlib.Path(__file__).resolve().parents[2] / 'scripts' / 'foresight.py')


def score(script, chance, came, precision=0.8):
  zeros = np.zeros(len(chance))
  return script.score(
      np.array(chance), np.array(came, bool), zeros, zeros + 0.5, precision)


def test_recall_at_precision_and_auc_by_hand(script):
  # In falling order: end, end, none, end, none.
  result = score(script, [0.1, 0.9, 0.5, 0.8, 0.4], [0, 1, 0, 1, 1])
  assert result['recall'] == 2 / 3  # The third would be at precision 3 / 4.
  # Of six pairs of an end and none, (0.4, 0.5) is in the wrong order.
  assert result['auc'] == pytest.approx(5 / 6)
  assert result['predicted'] == pytest.approx(0.54)
  assert result['observed'] == pytest.approx(0.6)
  assert result['reward_error'] == 0.5 and result['count'] == 5
  lenient = score(script, [0.1, 0.9, 0.5, 0.8, 0.4], [0, 1, 0, 1, 1], 0.75)
  assert lenient['recall'] == 1


def test_equal_chances_are_one_threshold(script):
  result = score(script, [0.5, 0.5, 0.5, 0.5], [1, 0, 1, 0], 0.6)
  assert result['recall'] == 0 and result['auc'] == 0.5
  result = score(script, [0.2, 0.1], [0, 0])
  assert result['recall'] is None and result['auc'] is None


def test_padding_begins_an_episode_at_each_row(script):
  episode = lambda n: {
      'reward': np.arange(n, dtype=np.float32), 'log_speed': np.ones(n),
      'is_first': np.arange(n) == 0, 'action': np.ones([n, 2])}
  batch = script.pad([episode(3), episode(1)])
  assert set(batch) == {'reward', 'is_first', 'action'}
  np.testing.assert_array_equal(batch['reward'], [[0, 1, 2], [0, 0, 0]])
  np.testing.assert_array_equal(
      batch['is_first'], [[True, False, False], [True, True, True]])
  assert batch['action'].shape == (2, 3, 2)


def test_a_run_is_measured(script, highway, capsys):
  logdir = highway['highway_kinematics']
  arguments = [
      '--logdir', str(logdir), '--episodes', '4', '--steps', '1,3', '--samples',
      '2', '--env.simulator', 'envpool', '--json']
  assert script.main(arguments) == 0
  out = capsys.readouterr().out.splitlines()
  assert out[2].startswith('steps ahead') and len(out) == 6
  result = json.loads(out[-1])
  one, three = result['ahead']['1'], result['ahead']['3']
  # Every step is one ahead of another; two of each episode not three.
  assert one['count'] == result['rows'] == three['count'] + 2 * 4
  for row in (one, three):
    assert 0 < row['predicted'] < 1 and 0 <= row['observed'] <= 0.5
  assert script.main(arguments) == 0
  assert capsys.readouterr().out.splitlines()[-1] == out[-1]


@pytest.mark.parametrize('arguments, match', [
    ([], 'Give the folder of a run as --logdir'),
    (['--logdir', 'x', '--steps', '0'], "'steps' must be at least 1"),
    (['--logdir', 'x', '--samples', '0'], "'episodes' and 'samples' must be"),
    (['--logdir', 'x', '--random', '2'], "'random' must be in"),
    (['--logdir', 'x', '--at_precision', '2'], "'at_precision' must be in"),
])
def test_wrong_flags(script, arguments, match):
  with pytest.raises(ConfigError, match=match):
    script.parse(arguments)


def test_the_mixture_is_all_random_or_all_the_agent(script):
  import gymnasium as gym

  class Agent:
    def policy(self, obs, state, mode):
      action = np.tile([[1.0, 0, 0]], [5, 1])
      return {'action': action}, PolicyState(action, None, state)

  space = {'action': gym.spaces.Discrete(3)}
  options = configlib.Config({'seed': 1, 'random': 0.0})
  agent, state = script.Mixture(Agent(), space, options)({'x': np.zeros(5)})
  np.testing.assert_array_equal(agent['action'][:, 0], 1)
  options = configlib.Config({'seed': 1, 'random': 1.0})
  other, state = script.Mixture(Agent(), space, options)({'x': np.zeros(5)})
  assert len({tuple(row) for row in other['action']}) > 1
  np.testing.assert_array_equal(state.action, other['action'])
