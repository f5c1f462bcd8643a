"""`Agent.act` on one observation and on batches of them."""

import builders
import gymnasium as gym
import numpy as np
import pytest
import toys

import dreamerv2_tf as dv2
from dreamerv2_tf import envs


def make_agent(env, **settings):
  """An untrained agent that acts in an environment; depends on memory."""
  wrapped = envs.wrap(
      env, env={'obs_scale': 1.0, 'simulator': 'highway-env'}, action_repeat=1,
      time_limit=0)
  config = builders.config(**{
      '.*\\.cnn_keys': 'image|camera', '.*\\.mlp_keys': 'vector|car',
      **settings})
  from dreamerv2_tf.agent import Agent
  return Agent(
      config, wrapped.obs_space, wrapped.act_space, adapter=wrapped.adapter,
      actions=wrapped.actions)


def observations(space, steps, count, seed=0):
  """Returns a batch for each step."""
  vector = gym.vector.utils.batch_space(space, count)
  vector.seed(seed)
  return [vector.sample() for _ in range(steps)]


def row(obs, index):
  if isinstance(obs, dict):
    return {key: row(value, index) for key, value in obs.items()}
  return obs[index]


@pytest.mark.parametrize('cls', [toys.Counter, toys.Continuous, toys.Dict])
def test_a_batch_is_acted_on_row_by_row(cls):
  env = cls()
  agent = make_agent(env)
  batches = observations(env.observation_space, 3, 4)
  state, singles = None, [None] * 4
  for step, obs in enumerate(batches):
    actions, state = agent.act(obs, state)
    assert len(actions) == 4
    for index in range(4):
      action, singles[index] = agent.act(row(obs, index), singles[index])
      np.testing.assert_allclose(actions[index], action, atol=1e-5)
      for key, value in state.latent.items():
        np.testing.assert_allclose(
            value[index], singles[index].latent[key][0], atol=1e-4)
    assert state.age.numpy().tolist() == [step + 1] * 4
  assert isinstance(actions, np.ndarray)
  assert actions.dtype == (int if cls is not toys.Continuous else np.float32)


def test_rows_that_are_reset_begin_while_the_others_go_on():
  agent = make_agent(toys.Counter())
  one, two, three = observations(toys.Counter().observation_space, 3, 3)
  _, state = agent.act(one)
  _, state = agent.act(two, state)
  actions, state = agent.act(three, state, [False, True, False])
  assert state.age.numpy().tolist() == [3, 1, 3]
  fresh, alone = agent.act(three[1])
  assert actions[1] == fresh
  np.testing.assert_allclose(
      state.latent['deter'][1], alone.latent['deter'][0], atol=1e-5)
  _, state = agent.act(three, state, reset=True)
  assert state.age.numpy().tolist() == [1, 1, 1]


def test_a_batch_of_one_is_a_batch():
  agent = make_agent(toys.Counter())
  actions, state = agent.act(np.zeros([1, 3], np.float32))
  action, _ = agent.act(np.zeros(3, np.float32))
  assert actions.tolist() == [action] and isinstance(action, int)
  action, _ = agent.act(np.zeros(3, np.float32), state)  # Of one episode, too.
  assert isinstance(action, int)


@pytest.mark.parametrize('obs, state, reset, kind, text', [
    (np.zeros(4, np.float32), 0, None, dv2.EnvError,
     'The observation has shape (4,), expected (3,)'),
    (np.zeros([2, 4], np.float32), 0, None, dv2.EnvError,
     'has shape (2, 4), expected (3,)'),
    (np.zeros([0, 3], np.float32), 0, None, dv2.EnvError,
     "as many rows of each observation, at least one; got {'vector': 0}"),
    (np.array(['a', 'b', 'c']), 0, None, dv2.EnvError, 'has dtype <U1'),
    (np.array([['a', 'b', 'c']]), 0, None, dv2.EnvError, 'has dtype <U1'),
    (np.full(3, np.nan, np.float32), 0, None, dv2.NonFiniteError,
     'observation is nan at index (0,)'),
    (np.zeros([2, 3], np.float32), 3, None, dv2.ConfigError,
     'act got 2 observation(s), but a state of 3 episode(s).'),
    (np.zeros(3, np.float32), 3, None, dv2.ConfigError,
     'act got 1 observation(s), but a state of 3 episode(s).'),
    (np.zeros(3, np.float32), [1], None, dv2.ConfigError,
     'state must be what the call before returned with its action, or None, '
     'but is [1].'),
    (np.zeros([2, 3], np.float32), 0, [True], dv2.ConfigError,
     'reset must be one bool or 2 of them'),
    (np.zeros([2, 3], np.float32), 0, [1, 0], dv2.ConfigError, 'dtype int64')])
def test_what_does_not_fit_is_one_public_error_from_act(
    obs, state, reset, kind, text):
  agent = make_agent(toys.Counter())
  if isinstance(state, int):
    state = agent.policy.initial(state) if state else None
  with pytest.raises(kind) as info:
    agent.act(obs, state, reset)
  assert text in str(info.value)
  assert type(info.value) is kind and kind.__module__ == 'dreamerv2_tf.errors'
  assert len(info.traceback) == 2  # This test, and the call that raises.
  assert info.value.__cause__ is None and info.value.__suppress_context__


def test_parts_of_a_batch_of_different_sizes_are_refused():
  env = toys.Dict()
  agent = make_agent(env)
  obs = observations(env.observation_space, 1, 3)[0]
  obs['camera'] = obs['camera'][:2]
  with pytest.raises(dv2.EnvError, match="'camera': 2, 'car_gear': 3"):
    agent.act(obs)
  del obs['camera']
  with pytest.raises(dv2.EnvError, match="'camera' is missing"):
    agent.act(obs)


def test_vector_environments_are_driven_as_single_ones():
  """Episodes of 2 to 4 steps, which begin anew by themselves."""
  lengths = [2, 3, 4]
  agent = make_agent(toys.Counter())
  vector = gym.vector.SyncVectorEnv(
      [lambda n=n: toys.Counter(length=n) for n in lengths])
  obs, _ = vector.reset(seed=0)
  state, first, done = None, None, np.zeros(3, bool)
  taken, ages = [], []
  for _ in range(9):
    actions, state = agent.act(obs, state, first)
    taken.append(actions)
    ages.append(state.age.numpy().tolist())
    first = done  # The observation after the last one is a first one.
    obs, _, terminated, truncated, _ = vector.step(actions)
    done = terminated | truncated
  # After n steps comes the last observation, on which nothing depends.
  assert ages == [
      [t % (n + 1) + 1 for n in lengths] for t in range(9)]
  single = toys.Counter(length=3)
  obs, _ = single.reset(seed=1)
  state = None
  for step in range(3):
    action, state = agent.act(obs, state)
    assert action == taken[step][1]
    obs = single.step(action)[0]
