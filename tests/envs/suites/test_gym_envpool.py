"""EnvPool's classic control and MuJoCo move as those of Gymnasium."""

import environments
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.envs.suites import gym_envpool
from dreamerv2_tf.errors import ConfigError

BOTH = 'highway-env', 'envpool'
IDS = (*gym_envpool.CLASSIC, *gym_envpool.MUJOCO)


def make(name, simulator='envpool', env_config=None, **kwargs):
  return envs.make(f'gym_{name}', **environments.config(
      env_config, simulator=simulator, **kwargs))


def action_of(env, rng):
  space = env.act_space['action']
  if hasattr(space, 'n'):
    return {'action': np.eye(space.n, dtype=np.float32)[rng.integers(space.n)]}
  return {'action': rng.uniform(-1, 1, space.shape).astype(np.float32)}


@pytest.mark.parametrize('name', IDS)
def test_spaces_and_rows_are_those_of_gymnasium(name):
  slow, fast = (make(name, simulator) for simulator in BOTH)
  assert (fast.obs_space, fast.act_space) == (slow.obs_space, slow.act_space)
  assert (fast.fps, fast.about) == (slow.fps, slow.about)
  assert fast.plain._limit == slow.spec.max_episode_steps
  for got, want in [
      (fast.reset(1), slow.reset(1)),
      (fast.step(action_of(fast, np.random.default_rng(0))),
       slow.step(action_of(slow, np.random.default_rng(0))))]:
    for key in want:
      assert (got[key].shape, got[key].dtype) == (
          want[key].shape, want[key].dtype), key


def put(env, name, row):
  """Brings Gymnasium's environment into the state of a row."""
  values = np.asarray(row, np.float64)
  if name in gym_envpool.MUJOCO:
    count = env.model.nq + env.model.nv
    hidden = {'Swimmer': 2, 'Ant': 2, 'Humanoid': 2, 'HumanoidStandup': 2,
              'InvertedPendulum': 0}.get(name[:-3], 1)
    state = np.concatenate([np.zeros(hidden), values])[:count]
    env.set_state(state[:env.model.nq], state[env.model.nq:])
  elif name == 'Pendulum-v1':
    env.state = np.array([np.arctan2(values[1], values[0]), values[2]])
  elif name == 'Acrobot-v1':
    env.state = np.array([
        np.arctan2(values[1], values[0]), np.arctan2(values[3], values[2]),
        *values[4:]])
  else:
    env.state = values


@pytest.mark.parametrize('name', [
    *gym_envpool.CLASSIC, 'Ant-v4', 'Ant-v5', 'HalfCheetah-v4',
    'HalfCheetah-v5', 'Hopper-v5', 'Humanoid-v5', 'HumanoidStandup-v5',
    'InvertedPendulum-v5', 'Swimmer-v5', 'Walker2d-v5'])
def test_from_the_same_state_both_move_alike(name):
  slow, fast = (make(name, simulator) for simulator in BOTH)
  slow.reset(0)
  put(slow.plain, name, fast.reset(3)['vector'])
  rng = np.random.default_rng(0)
  for step in range(10):
    action = action_of(slow, rng)
    got, want = fast.step(action), slow.step(action)
    assert got['is_terminal'] == want['is_terminal']
    # A row has seven digits, and so has the state that was set; the forces on
    # bodies are as large as thousands.
    np.testing.assert_allclose(
        got['vector'], want['vector'], rtol=0.02, atol=0.02)
    assert got['reward'] == pytest.approx(want['reward'], rel=1e-3, abs=1e-3)
    if want['is_last'] or name.startswith('Humanoid') and step == 3:
      break  # Then they touch the ground, which makes small things large.


@pytest.mark.parametrize('name', [
    'CartPole-v1', 'Pendulum-v1', 'Reacher-v5', 'Pusher-v5',
    'InvertedDoublePendulum-v5', 'Hopper-v4'])
@pytest.mark.parametrize('policy', ['random', 'constant'])
def test_returns_lengths_and_ends_agree_under_fixed_policies(name, policy):
  scores, episodes = {}, 60
  for simulator in BOTH:
    env = make(name, simulator, time_limit=40)
    rng = np.random.default_rng(0)
    scores[simulator] = []
    for seed in range(episodes):
      rows = [env.reset(seed)]
      while not rows[-1]['is_last']:
        chance = np.random.default_rng(7) if policy == 'constant' else rng
        rows.append(env.step(action_of(env, chance)))
      scores[simulator].append((
          sum(row['reward'] for row in rows), len(rows),
          rows[-1]['is_terminal'], *np.mean([
              row['vector'] for row in rows], 0)))
  slow, fast = (np.array(scores[simulator], np.float64) for simulator in BOTH)
  error = np.sqrt((slow.var(0) + fast.var(0)) / episodes)
  assert error[0] > 0
  far = np.abs(slow.mean(0) - fast.mean(0)) - 4.5 * error
  assert (far <= 1e-3).all(), far


def test_an_end_at_the_limit_is_terminal_if_the_task_is_over():
  env = make('InvertedPendulum-v5')
  fall = {'action': np.float32([1])}
  rows = [env.reset(0)]
  while not rows[-1]['is_last']:
    rows.append(env.step(fall))
  assert len(rows) < 10
  for limit, over in [(len(rows) - 1, True), (len(rows) - 2, False)]:
    env.plain._limit = limit
    row = env.reset(0)
    for _ in range(limit):
      assert not row['is_last']
      row = env.step(fall)
    assert row['is_last'] and row['is_terminal'] == over


def test_a_time_limit_of_gymnasium_truncates():
  for simulator in BOTH:
    env = make('Pendulum-v1', simulator)
    rows = [env.reset(0)]
    while not rows[-1]['is_last']:
      rows.append(env.step({'action': np.zeros(1, np.float32)}))
    assert len(rows) == 201 and not rows[-1]['is_terminal']


@pytest.mark.parametrize('task, env_config, text', [
    ('CartPole-v1', {'sutton_barto_reward': True},
     "'env.config.sutton_barto_reward' must be left out"),
    ('CartPole-v2', {}, "Did you mean 'CartPole-v1'"),
    ('Humanoid-v4', {}, "does not simulate 'gym_Humanoid-v4'.*Humanoid-v5"),
    ('toys:Plan-v0', {}, "does not simulate 'gym_toys:Plan-v0'")])
def test_what_it_lacks_is_refused_by_name(task, env_config, text):
  with pytest.raises(ConfigError, match=text):
    make(task, env_config=env_config)


def test_classic_control_can_be_filmed_and_mujoco_not():
  config = environments.config(simulator='envpool')
  env = envs.make('gym_CartPole-v1', render=True, **config)
  env.reset(0)
  assert env.frames()[0].shape == (400, 600, 3)
  with pytest.raises(ConfigError, match="'render' must be False"):
    envs.make('gym_Hopper-v5', render=True, **config)
