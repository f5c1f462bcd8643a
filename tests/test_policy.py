import math

import builders
import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tf.errors import ConfigError

make_obs = builders.observations


def make_agent(discrete=True, settings=None):
  """Whose policy is not yet trained."""
  return builders.agent(
      discrete=discrete, settings={'disag_models': 2, **(settings or {})})


@pytest.fixture(scope='module')
def agent():
  return make_agent()


def rollout(agent, rows, steps=5, late=1, **kwargs):
  """Eval actions of some of four rows; row `late` restarts at step 2."""
  state, actions = None, []
  for step in range(steps):
    obs = make_obs(seed=step, first=step == 0)
    obs['is_first'][late] |= step == 2
    obs = {k: v[rows] for k, v in obs.items()}
    outputs, state = agent.policy(obs, state, mode='eval', **kwargs)
    actions.append(outputs['action'].numpy())
  return np.stack(actions, 1), state


@pytest.mark.parametrize('discrete, settings', [
    (True, {}), (True, {'eval_noise': 0.7}), (False, {'eval_noise': 0.3}),
    (False, {'rssm.discrete': 0}), (True, {'eval_state_mean': True})])
def test_eval_actions_of_a_row_do_not_depend_on_other_rows(
    discrete, settings):
  with builders.eagerly():
    agent = make_agent(discrete=discrete, settings=settings)
    # Sharper policies, so that actions follow the state.
    weights = agent.get_weights()
    weights['actor_critic/actor/out/out/kernel'] *= 30
    agent.set_weights(weights)
    together, state = rollout(agent, [0, 1, 2, 3])
    alone, state1 = rollout(agent, [1])
    turned, _ = rollout(agent, [3, 1])
    agent.policy_calls.assign_add(3)  # Nor on what was done before.
    again, _ = rollout(agent, [0, 1, 2, 3])
  np.testing.assert_allclose(alone[0], together[1], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
      turned, together[[3, 1]], rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(again, together)
  np.testing.assert_array_equal(state.age, [5, 3, 5, 5])
  np.testing.assert_allclose(
      state1.latent['stoch'][0], state.latent['stoch'][1], atol=1e-5)


def test_eval_looks_ahead_in_dreams_and_rows_stay_apart():
  settings = {'eval_lookahead': {'depth': 2, 'horizon': 3, 'samples': 2}}
  agent = make_agent(settings=settings)
  # Of the nine sequences, one that begins with action 2 ends best.
  weights = agent.get_weights()
  agent.actor_critic.lookahead = lambda *args, depth, **kwargs: tf.constant(
      [0.0, 1, 2, 3, 4, 5, 8, 7, 6])[:, None]
  obs = make_obs()
  output, _ = agent.policy(obs, mode='eval')
  np.testing.assert_array_equal(output['action'], [[0, 0, 1]] * 4)
  agent = make_agent(settings={**settings, 'seed': 3})
  agent.set_weights(weights)
  together, state = agent.policy(obs, mode='eval')
  alone, _ = agent.policy({k: v[2:3] for k, v in obs.items()}, mode='eval')
  np.testing.assert_array_equal(alone['action'][0], together['action'][2])
  assert state.latent['deter'].shape == (4, 5)


def test_looking_ahead_needs_actions_that_can_be_listed():
  with pytest.raises(ConfigError, match='eval_lookahead.depth must be 0'):
    make_agent(discrete=False, settings={'eval_lookahead': {'depth': 1}})


def test_eval_noise_of_one_is_uniform_and_differs_by_step():
  with builders.eagerly():
    agent = make_agent(settings={'eval_noise': 1.0})
    actions, _ = rollout(agent, [0, 1, 2, 3], steps=30)
  counts = actions[0].sum(0)
  assert counts.sum() == 30 and counts.min() >= 4


def test_a_new_episode_forgets_the_one_before(agent):
  state = agent.policy(make_obs(first=True), None, 'eval')[1]
  state = agent.policy(make_obs(seed=1), state, 'eval')[1]
  got = agent.policy(make_obs(seed=2, first=True), state, 'eval')
  want = agent.policy(make_obs(seed=2, first=True), None, 'eval')
  tf.nest.map_structure(np.testing.assert_array_equal, got, want)


def test_modes(agent):
  obs, calls = make_obs(first=True), int(agent.policy_calls)
  draws = np.mean([
      agent.policy(obs)[0]['action'] for _ in range(40)], 0)
  assert int(agent.policy_calls) == calls + 40
  assert ((draws > 0.02) & (draws < 0.98)).all()  # It samples.
  evals = np.mean([
      agent.policy(obs, mode='eval')[0]['action'] for _ in range(10)], 0)
  np.testing.assert_array_equal(np.sort(evals), [[0, 0, 1]] * 4)
  assert int(agent.policy_calls) == calls + 40  # Left alone by evaluations.
  with pytest.raises(ConfigError, match="explore but is 'test'"):
    agent.policy(obs, mode='test')


def test_policy_remembers_action_and_latent(agent):
  outputs, state = agent.policy(make_obs(first=True))
  np.testing.assert_array_equal(state.action, outputs['action'])
  obs = make_obs(seed=1)
  latent = lambda state: agent.policy(
      obs, state, 'eval')[1].latent['deter'].numpy()
  want = latent(state)
  for key in ('action', 'latent'):
    blank = state._replace(**{
        key: getattr(agent.policy.initial(4), key)})
    assert not np.allclose(latent(blank), want, atol=1e-4), key


def test_exploring_asks_the_explorer_and_training_the_task():
  agent = make_agent(settings={'expl_behavior': 'Random'})
  weights = agent.get_weights()
  weights['actor_critic/actor/out/out/bias'] = np.array([99, 0, 0], 'f')
  agent.set_weights(weights)
  obs = make_obs(600, first=True)
  with builders.eagerly():
    action = {
        mode: agent.policy(obs, None, mode)[0]['action'].numpy().mean(0)
        for mode in ('train', 'explore')}
  np.testing.assert_array_equal(action['train'], [1, 0, 0])
  np.testing.assert_allclose(action['explore'], [1 / 3] * 3, atol=0.08)


def test_expl_noise_mixes_in_uniform_actions():
  agent = make_agent(settings={'expl_noise': 0.6})
  weights = agent.get_weights()
  weights['actor_critic/actor/out/out/bias'] = np.array([99, 0, 0], 'f')
  agent.set_weights(weights)
  action = agent.policy(make_obs(600, first=True))[0]['action'].numpy()
  np.testing.assert_array_equal(action.sum(-1), 1)
  np.testing.assert_allclose(action.mean(0), [0.6, 0.2, 0.2], atol=0.06)


def normal_cdf(x):
  return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def test_noise_of_continuous_actions_is_normal_and_cut_off_at_the_bounds():
  """As in the original: a draw beyond the bounds becomes the bound."""
  amount = 0.4
  agent = make_agent(
      discrete=False, settings={'expl_noise': amount, 'actor.min_std': 1e-3})
  weights = agent.get_weights()
  bias = np.array([0.0, 0.8, -2.0])
  weights |= {
      'actor_critic/actor/out/out/kernel': np.zeros([6, 3]),
      'actor_critic/actor/out/out/bias': bias,
      'actor_critic/actor/out/std/kernel': np.zeros([6, 3]),
      'actor_critic/actor/out/std/bias': np.full(3, -30.0)}
  agent.set_weights(weights)
  count = 4000
  outputs, state = agent.policy(make_obs(count, first=True))
  action = outputs['action'].numpy()
  assert np.abs(action).max() == 1
  for draws, mean in zip(action.T, np.tanh(bias)):
    low, high = (-1 - mean) / amount, (1 - mean) / amount
    np.testing.assert_allclose(
        (draws == -1).mean(), normal_cdf(low), atol=0.03)
    np.testing.assert_allclose(
        (draws == 1).mean(), 1 - normal_cdf(high), atol=0.03)
    for z in (low / 2, 0.0, high / 2):  # Quantiles between the bounds.
      np.testing.assert_allclose(
          (draws < mean + z * amount).mean(), normal_cdf(z), atol=0.03)
  np.testing.assert_allclose(
      np.corrcoef(action.T), np.eye(3), atol=0.06)  # Drawn apart.
  # What was done, not what was meant, is remembered for the next step.
  np.testing.assert_array_equal(state.action, action)


@pytest.mark.parametrize('key, noisy', [
    ('expl_noise', {'train', 'explore'}), ('eval_noise', {'eval'})])
def test_noise_is_that_of_the_mode(key, noisy):
  agent = make_agent(settings={key: 1.0})
  weights = agent.get_weights()
  weights['actor_critic/actor/out/out/bias'] = np.array([99, 0, 0], 'f')
  agent.set_weights(weights)
  for mode in ('train', 'explore', 'eval'):
    state, actions = None, []
    for step in range(20):
      outputs, state = agent.policy(
          make_obs(seed=step, first=step == 0), state, mode)
      actions.append(outputs['action'].numpy())
    # All three are taken, or the first alone.
    assert (np.sum(actions, (0, 1)) > 0).all() == (mode in noisy), mode


@pytest.mark.parametrize('behavior', ['greedy', 'Random', 'Plan2Explore'])
def test_a_copy_acts_on_weights_of_its_own(behavior):
  agent, plain = (
      make_agent(settings={'expl_behavior': behavior}) for _ in range(2))
  first = agent.get_weights()
  copy = agent.policy.copy()
  before = copy.weights()
  assert ('explorer/out/out/kernel' in before) == (behavior == 'Plan2Explore')
  assert agent.get_weights().keys() == first.keys()

  rng = np.random.default_rng(0)
  second = {k: rng.normal(size=v.shape) for k, v in first.items()}
  agent.set_weights(second)

  def act(policy, mode):
    outputs, state = policy(make_obs(first=True), mode=mode)
    return [outputs['action'].numpy(), state.latent['logit'].numpy()]

  def assert_same(policy, mode, weights):
    plain.set_weights(weights)
    for x, y in zip(act(policy, mode), act(plain.policy, mode)):
      np.testing.assert_array_equal(x, y)

  for path, value in copy.weights().items():
    np.testing.assert_array_equal(value, before[path])
  assert_same(copy, 'train', first)
  assert_same(copy, 'explore', first)
  assert_same(agent.policy, 'train', second)
  copy.sync()
  assert_same(copy, 'train', second)
  copy.sync({**before, 'explorer/dense9/bias': np.zeros(3)})
  assert_same(copy, 'train', first)
  agent.set_weights(second)
  copy.sync({})
  assert_same(copy, 'explore', second)


def test_a_copy_counts_its_calls_with_the_original():
  agent = make_agent()
  copy = agent.policy.copy()
  draws = []
  for policy in agent.policy, copy, agent.policy:
    draws.append(policy(make_obs(300, first=True))[0]['action'].numpy())
  assert int(agent.policy_calls) == 3
  assert not np.array_equal(draws[0], draws[1])
  assert not np.array_equal(draws[1], draws[2])


def test_only_copies_can_be_renewed_and_they_do_not_look_ahead():
  shape = {'eval_lookahead': {'depth': 1, 'horizon': 2, 'samples': 1}}
  policy = make_agent(settings=shape).policy
  with pytest.raises(AssertionError, match='Only a copy'):
    policy.sync()
  with builders.eagerly(), pytest.raises(AssertionError, match='not look'):
    policy.copy()(make_obs(first=True), mode='eval')
