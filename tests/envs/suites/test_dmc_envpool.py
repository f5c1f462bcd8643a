"""EnvPool's bodies move as those of DeepMind Control, step by step."""

import environments
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.envs.suites import dmc_envpool
from dreamerv2_tf.errors import ConfigError

BOTH = 'highway-env', 'envpool'


def make(task, simulator='envpool', env_config=None, **kwargs):
  return envs.make(f'dmc_{task}', **environments.config(
      env_config, simulator=simulator, **{'dmc_images': False, **kwargs}))


def actions(env, seed=0):
  """Yields random actions, always the same."""
  rng, size = np.random.default_rng(seed), env.act_space['action'].shape
  while True:
    yield {'action': rng.uniform(-1, 1, size).astype(np.float32)}


def angle(cosine, sine):
  return np.arctan2(sine, cosine)


# What puts a body into the state of a row.
STATES = {
    'cheetah_run': lambda row: (
        [0, *row['position']], row['velocity']),
    'hopper_hop': lambda row: ([0, *row['position']], row['velocity']),
    'cup_catch': lambda row: (row['position'], row['velocity']),
    'point_mass_easy': lambda row: (row['position'], row['velocity']),
    'pendulum_swingup': lambda row: (
        [angle(*row['orientation'])], row['velocity']),
    'cartpole_swingup_sparse': lambda row: (
        [row['position'][0], angle(*row['position'][1:])], row['velocity']),
    'acrobot_swingup': lambda row: (
        _of_two_links(row['orientations']), row['velocity'])}


def _of_two_links(values):
  upper, lower = angle(values[2], values[0]), angle(values[3], values[1])
  return [upper, lower - upper]


@pytest.mark.parametrize('task', STATES)
@pytest.mark.parametrize('repeat', [1, 3])
def test_from_the_same_state_both_move_alike(task, repeat):
  slow, fast = (
      make(task, simulator, action_repeat=repeat) for simulator in BOTH)
  assert (fast.obs_space, fast.act_space) == (slow.obs_space, slow.act_space)
  assert fast.fps == slow.fps
  row = fast.reset(5)
  slow.reset(0)
  physics = slow.plain._env.physics
  with physics.reset_context():
    physics.data.qpos[:], physics.data.qvel[:] = STATES[task](row)
  for _, action in zip(range(10), actions(slow)):
    got, want = fast.step(action), slow.step(action)
    for key in want:
      # A row has seven digits, and so has the state that was set.
      np.testing.assert_allclose(
          got[key], want[key], rtol=1e-3, atol=2e-4, err_msg=key)


@pytest.mark.parametrize('task', [
    'finger_spin', 'fish_swim', 'humanoid_stand', 'manipulator_bring_ball',
    'quadruped_walk', 'reacher_easy', 'stacker_stack_2', 'swimmer_swimmer6',
    'walker_walk'])
def test_spaces_and_rows_are_those_of_the_suite(task):
  slow, fast = (make(task, simulator) for simulator in BOTH)
  assert (fast.obs_space, fast.act_space) == (slow.obs_space, slow.act_space)
  for got, want in [
      (fast.reset(1), slow.reset(1)), (
          fast.step(next(actions(fast))), slow.step(next(actions(slow))))]:
    assert got.keys() == want.keys()
    for key in want:
      assert (got[key].shape, got[key].dtype) == (
          want[key].shape, want[key].dtype), key


@pytest.mark.parametrize('task', ['walker_walk', 'reacher_easy'])
@pytest.mark.parametrize('policy', ['random', 'constant'])
def test_observations_and_returns_agree_under_fixed_policies(task, policy):
  values, episodes = {}, 30
  for simulator in BOTH:
    env = make(task, simulator, time_limit=25)
    source = actions(env)
    values[simulator] = []
    for seed in range(episodes):
      rows = [env.reset(seed)]
      while not rows[-1]['is_last']:
        action = next(source)
        if policy == 'constant':
          action = {'action': np.full_like(action['action'], 0.4)}
        rows.append(env.step(action))
      values[simulator].append(np.concatenate([
          np.mean([row[key].ravel() for row in rows], 0)
          for key in sorted({'reward', *env.adapter.spaces})]))
  slow, fast = (np.array(values[simulator], np.float64) for simulator in BOTH)
  error = np.sqrt((slow.var(0) + fast.var(0)) / episodes)
  assert error.max() > 0.01
  far = np.abs(slow.mean(0) - fast.mean(0)) - 4.5 * error
  assert (far <= 1e-4).all(), far.max()


@pytest.mark.parametrize('limit', [0, 120])
def test_the_limit_of_a_task_only_ends_it(limit):
  for simulator in BOTH:
    env = make(
        'pendulum_swingup', simulator, action_repeat=8, time_limit=limit)
    rows = [env.reset(0)]
    while not rows[-1]['is_last']:
      rows.append(env.step({'action': np.zeros(1, np.float32)}))
    assert len(rows) == 1 + (limit or 125) and not rows[-1]['is_terminal']


def test_every_task_of_the_suite_has_an_id():
  envpool = pytest.importorskip('envpool')
  found = dmc_envpool.found()
  assert set(found.values()) <= set(envpool.list_all_envs())
  assert set(dmc_envpool.OTHERS) < set(found)
  assert len(found) > 45 and found['cup_catch'] == 'BallInCupCatch-v1'


@pytest.mark.parametrize('task, kwargs, text', [
    ('walker_walk', {'dmc_images': True},
     "'dmc_images' must be False with env.simulator envpool but is True"),
    ('walker_walk', {'env_config': {'task_kwargs': {'random': 3}}},
     "'env.config.task_kwargs' must be left out"),
    ('cartpole_two_poles', {},
     "does not simulate 'dmc_cartpole_two_poles'.*cartpole_balance"),
    ('manip_reach_site', {}, "does not simulate 'dmc_manip_reach_site'"),
    ('walker_wlak', {}, "Did you mean 'dmc_walker_walk'")])
def test_what_it_lacks_is_refused_by_name(task, kwargs, text):
  with pytest.raises(ConfigError, match=text):
    make(task, **kwargs)
