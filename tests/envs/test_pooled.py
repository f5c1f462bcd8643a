import math
import sys

import numpy as np
import pytest

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError

FAST = 'highway_highway-fast-v0'
GRAY = {
    'type': 'GrayscaleObservation', 'observation_shape': [128, 32],
    'stack_size': 1, 'weights': [-1.5, 1.05, 0.75], 'scaling': 1.5}
FASTER, SLOWER = 3, 4


def make(simulator='envpool', task=FAST, mode='train', **settings):
  config = configlib.resolve(['highway_kinematics']).update({
      'env.simulator': simulator})
  config = configlib.resolve([], [
      word for key, value in settings.items()
      for word in (f'--env.config.{key}', str(value))], config)
  return envs.make(task, config, mode=mode)


def run(env, seed, policy):
  """Plays an episode; returns its rows."""
  rows = [env.reset(seed)]
  rng = np.random.default_rng(seed)
  while not rows[-1]['is_last']:
    rows.append(env.step({'action': np.eye(5, dtype=np.float32)[policy(rng)]}))
  return rows


@pytest.mark.parametrize('settings', [
    {}, {'lanes_count': 4, 'duration': 12}, {'observation': GRAY}])
def test_both_simulators_have_the_same_spaces(settings):
  ours, theirs = make(**settings), make('highway-env', **settings)
  assert envs.signature(ours.obs_space, ours.act_space) == envs.signature(
      theirs.obs_space, theirs.act_space)


def test_a_seed_fixes_an_episode_whatever_came_before():
  env, other = make(), make()
  draw = lambda rng: rng.integers(5)
  run(other, 5, draw)
  first, second = run(env, 7, draw), run(other, 7, draw)
  assert len(first) == len(second)
  for one, two in zip(first, second):
    for key in one:
      np.testing.assert_array_equal(one[key], two[key])
  third = run(env, 8, draw)
  assert not np.array_equal(first[0]['vector'], third[0]['vector'])


def test_time_limits_truncate_and_crashes_terminate():
  env = make(duration=3)
  slow = run(env, 1, lambda rng: SLOWER)
  assert len(slow) == 4 and not slow[-1]['is_terminal']
  crashed = run(make(), 1, lambda rng: FASTER)
  assert crashed[-1]['is_terminal'] and crashed[-1]['log_crashed'] == 1
  # From -1 to 0.5 scaled to 0 to 1: of 1.5, a crash leaves at most a third.
  assert crashed[-1]['reward'] <= 1 / 3


@pytest.mark.parametrize('policy', [lambda rng: FASTER, lambda rng: SLOWER])
def test_fixed_policies_earn_the_same_in_both(policy):
  count = {'highway-env': 20, 'envpool': 200}
  returns, crashes = {}, {}
  for simulator, episodes in count.items():
    env = make(simulator)
    rows = [run(env, seed, policy) for seed in range(50, 50 + episodes)]
    returns[simulator] = [sum(row['reward'] for row in r) for r in rows]
    crashes[simulator] = [r[-1]['log_crashed'] for r in rows]
  for values in (returns, crashes):
    few, many = (np.array(values[name]) for name in count)
    # Four standard errors of the difference; at least that of one episode.
    error = many.std() * math.sqrt(1 / len(few) + 1 / len(many))
    assert abs(few.mean() - many.mean()) < 4 * max(error, 1 / len(few) / 2)


def test_pictures_have_the_same_colours_shapes_and_share_of_cars():
  share = {}
  for simulator in ('highway-env', 'envpool'):
    env = make(simulator, observation=GRAY)
    pictures = np.stack([
        env.reset(seed)['image'] for seed in range(40, 70)])
    assert pictures.shape == (30, 32, 128, 1) and pictures.dtype == np.uint8
    share[simulator] = (pictures > 200).mean()  # Other cars.
    values, counts = np.unique(pictures, return_counts=True)
    share[simulator, 'road'] = values[counts.argmax()]
  assert share['highway-env', 'road'] == share['envpool', 'road']
  assert 0.7 < share['envpool'] / share['highway-env'] < 1.4


def test_evaluation_is_always_highway_env():
  theirs, ours = make(mode='eval'), make('highway-env', mode='eval')
  np.testing.assert_array_equal(
      theirs.reset(11)['vector'], ours.reset(11)['vector'])


@pytest.mark.parametrize('task, settings, message', [
    ('highway_merge-v0', {}, "EnvPool does not simulate 'highway_merge-v0'"),
    (FAST, {'lane_count': 4}, 'Did you mean'),
    (FAST, {'action': {'target_speeds': [20, 30]}},
     "'env.config.action' can not be changed with env.simulator envpool"),
    (FAST, {'observation': {'type': 'OccupancyGrid'}},
     "'env.config.observation.type' can not be changed"),
    (FAST, {'observation': {**GRAY, 'stack_size': 2}},
     "'env.config.observation.stack_size' must be 1"),
])
def test_what_envpool_lacks_is_refused_by_name(task, settings, message):
  with pytest.raises(ConfigError, match=message):
    make(task=task, **settings)


def test_other_suites_have_no_such_simulator():
  with pytest.raises(ConfigError, match="for the suite 'highway' alone"):
    make(task='gym_CartPole-v1')


def test_a_missing_package_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'envpool', None)
  with pytest.raises(ConfigError, match=r"pip install '\.\[envpool\]'"):
    make()
