import contextlib

import gymnasium as gym
import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tf import config as configlib
from dreamerv2_tf import exploration
from dreamerv2_tf.agent import Agent
from dreamerv2_tf.errors import ConfigError, NonFiniteError, StateError

B, T, A = 2, 3, 3
IMAGE = {'image': (16, 16, 1)}
VECTOR = {'vector': (5,)}


@contextlib.contextmanager
def eagerly():
  """Runs tf.functions as plain Python."""
  tf.config.run_functions_eagerly(True)
  try:
    yield
  finally:
    tf.config.run_functions_eagerly(False)


def make_agent(shapes=VECTOR, discrete=True, settings=None, **kwargs):
  config = configlib.resolve(['debug']).update({
      'precision': 32, 'clip_rewards': 'identity',
      'rssm': {'hidden': 8, 'deter': 8, 'stoch': 3, 'discrete': 4},
      '.*cnn_depth': 2, '.*mlp_layers': [8], '.*units': 8, 'imag_horizon': 3,
      'disag_models': 2, **(settings or {})})
  box = lambda shape, dtype=np.float32: gym.spaces.Box(0, 1, shape, dtype)
  spaces = {
      k: gym.spaces.Box(0, 255, s, np.uint8) if len(s) == 3 else box(s)
      for k, s in shapes.items()}
  spaces |= {
      'reward': box(()), 'is_first': box((), bool), 'is_last': box((), bool),
      'is_terminal': box((), bool), 'log_speed': box(())}
  action = gym.spaces.Discrete(A) if discrete else gym.spaces.Box(
      -1, 1, (A,), np.float32)
  return Agent(config, spaces, {'action': action}, **kwargs)


def make_batch(shapes=VECTOR, seed=0, length=T, discrete=True):
  rng = np.random.default_rng(seed)
  lead = [B, length]
  batch = {
      k: rng.integers(0, 256, lead + [*s], np.uint8) if len(s) == 3
      else rng.normal(size=lead + [*s]).astype(np.float32)
      for k, s in shapes.items()}
  first = np.zeros(lead, bool)
  first[:, 0] = seed == 0
  action = (
      np.eye(A)[rng.integers(A, size=lead)] if discrete
      else rng.uniform(-1, 1, lead + [A]))
  return batch | {
      'action': action.astype(np.float32), 'is_first': first,
      'reward': rng.normal(size=lead).astype(np.float32),
      'is_last': first & False, 'is_terminal': first & False}


def make_obs(count=4, seed=0, first=False, shapes=VECTOR):
  rng = np.random.default_rng(seed)
  flag = np.zeros([count], bool)
  return {
      k: rng.integers(0, 256, [count, *s], np.uint8) if len(s) == 3
      else rng.normal(size=[count, *s]).astype(np.float32)
      for k, s in shapes.items()} | {
          'reward': np.zeros([count], np.float32), 'is_first': flag | first,
          'is_last': flag, 'is_terminal': flag,
          'log_speed': np.ones([count], np.float32)}


def train(agent, steps=3, **kwargs):
  """Trains on a carried state; returns the metrics of each step."""
  state, history = None, []
  for step in range(steps):
    state, metrics = agent.train(make_batch(seed=step, **kwargs), state)
    history.append({k: float(v) for k, v in metrics.items()})
  return history


@pytest.fixture(scope='module')
def trained():
  """An agent after three training steps, their metrics and the weights."""
  agent = make_agent()
  before = agent.get_weights()
  history = train(agent)
  return agent, history, before, agent.get_weights()


def test_training_moves_all_weights_and_counts(trained):
  agent, history, before, after = trained
  still = {k for k in after if np.array_equal(before[k], after[k])}
  # The slow critic is the critic after the first step.
  assert still == {'actor_critic/rewnorm/mag'}
  assert int(agent.train_calls) == 3
  for metrics in history:
    assert all(np.isfinite(v) for v in metrics.values()), metrics
  assert {
      'model_loss', 'model_grad_norm', 'kl_loss', 'vector_loss',
      'reward_loss', 'discount_loss', 'model_kl', 'prior_ent', 'post_ent',
      'actor_loss', 'actor_grad_norm', 'actor_ent', 'actor_ent_scale',
      'critic_loss', 'critic_grad_norm', 'critic', 'critic_slow',
      'critic_target', 'reward_mean', 'reward_normed_std',
  } <= set(history[0])


def test_the_same_seed_gives_the_same_weights_bit_for_bit(trained):
  _, history, before, after = trained
  agent = make_agent()
  for path, value in agent.get_weights().items():
    np.testing.assert_array_equal(value, before[path])
  assert train(agent) == history
  for path, value in agent.get_weights().items():
    np.testing.assert_array_equal(value, after[path], err_msg=path)


def test_another_seed_gives_other_weights(trained):
  _, _, before, _ = trained
  for seed in (1, 2 ** 31 + 1, 2 ** 40):
    agent = make_agent(settings={'seed': seed})
    kernel = agent.get_weights()['world_model/rssm/img_in/kernel']
    assert not np.array_equal(kernel, before['world_model/rssm/img_in/kernel'])
    with eagerly():  # Also a seed that does not fit into 32 bits works.
      action = agent.policy(make_obs(first=True))[0]['action']
    np.testing.assert_array_equal(tf.reduce_sum(action, -1), [1] * 4)


def test_eager_and_compiled_training_agree(trained):
  _, history, _, after = trained
  agent = make_agent()
  with eagerly():
    eager = train(agent)
  for got, want in zip(eager, history):
    for key, value in want.items():
      np.testing.assert_allclose(
          got[key], value, rtol=1e-4, atol=1e-5, err_msg=key)
  for path, value in agent.get_weights().items():
    np.testing.assert_allclose(
        value, after[path], rtol=1e-4, atol=1e-5, err_msg=path)


def traces(agent):
  return {
      k: f.experimental_get_tracing_count()
      for k, f in agent._functions.items()}


def test_every_function_is_traced_once(trained):
  assert traces(trained[0])['train'] == 1
  agent = make_agent(IMAGE)
  state = {mode: None for mode in ('train', 'explore', 'eval')}
  for step in range(3):
    for mode in state:
      _, state[mode] = agent.policy(
          make_obs(seed=step, first=step == 0, shapes=IMAGE), state[mode],
          mode)
  for seed in range(2):
    agent.report(make_batch(IMAGE, seed, length=6))
  assert traces(agent) == {'policy': 3, 'train': 0, 'report': 1}


@pytest.mark.parametrize('precision, dtype, mode', [
    (16, tf.float16, contextlib.nullcontext), (16, tf.float16, eagerly),
    ('bf16', tf.bfloat16, eagerly)])
def test_half_precision_trains(precision, dtype, mode):
  shapes = IMAGE | VECTOR
  agent = make_agent(shapes, settings={'precision': precision})
  before = agent.get_weights()
  with mode():
    history = train(agent, 4, shapes=shapes)
  for metrics in history:
    for key, value in metrics.items():
      # A step that is skipped has a gradient that is not finite.
      assert np.isfinite(value) or key.endswith('grad_norm'), (key, metrics)
  assert history[-1].get('model_skipped', 0) == 0
  assert ('model_loss_scale' in history[0]) == (precision == 16)
  after = agent.get_weights()
  assert all(v.dtype == np.float32 for k, v in after.items() if 'mag' not in k)
  moved = [k for k in after if not np.array_equal(after[k], before[k])]
  assert len(moved) == len(after) - 1
  with eagerly():
    outputs, state = agent.policy(make_obs(first=True, shapes=shapes))
  assert outputs['action'].dtype == tf.float32
  assert state['latent']['deter'].dtype == dtype


def test_precisions_agree_at_first():
  losses = []
  for precision in (32, 'bf16', 16):
    with eagerly():
      agent = make_agent(settings={'precision': precision})
      losses.append(train(agent, 1)[0]['model_loss'])
  np.testing.assert_allclose(losses[1:], losses[0], rtol=0.03)


def test_weights_go_out_and_in_by_path(trained):
  agent, _, _, after = trained
  assert {
      'world_model/rssm/img_in/kernel', 'world_model/encoder/dense0/bias',
      'world_model/heads/reward/out/out/kernel',
      'actor_critic/actor/out/out/bias',
      'actor_critic/target_critic/dense0/kernel', 'actor_critic/rewnorm/mag',
  } <= set(after)
  other = make_agent(settings={'seed': 5})
  obs = make_obs(first=True)
  with eagerly():
    other.set_weights(after)
    other._seed = agent._seed
    got, want = (x.policy(obs, mode='eval') for x in (other, agent))
  for path, value in other.get_weights().items():
    np.testing.assert_array_equal(value, after[path])
  for key in got[1]['latent']:
    np.testing.assert_array_equal(got[1]['latent'][key],
                                  want[1]['latent'][key])


@pytest.mark.parametrize('change, match', [
    (lambda w: w.pop('world_model/rssm/img_in/kernel'),
     'world_model/rssm/img_in/kernel: missing'),
    (lambda w: w.update({'actor_critic/actor/dense7/bias': np.zeros(3)}),
     'actor_critic/actor/dense7/bias: unknown'),
    (lambda w: w.update({'world_model/rssm/img_in/bias': np.zeros(3)}),
     r'world_model/rssm/img_in/bias: expected \(8,\), got \(3,\)'),
])
def test_weights_of_another_architecture_are_refused_untouched(
    trained, change, match):
  agent, _, _, after = trained
  weights = {k: v + 1 for k, v in agent.get_weights().items()}
  change(weights)
  with pytest.raises(StateError, match=match + '.* Nothing was changed'):
    agent.set_weights(weights)
  for path, value in agent.get_weights().items():
    np.testing.assert_array_equal(value, after[path])


@pytest.mark.fault(42)
def test_nan_in_a_batch_stops_before_any_weight_changes(trained):
  agent, _, _, _ = trained
  before = agent.get_weights()
  batch = make_batch()
  batch['reward'][0, 0] = np.nan
  with pytest.raises(
      NonFiniteError,
      match='^model_loss: NaN or infinite in gradient step 4; .* precision 32'):
    agent.train(batch)
  for path, value in agent.get_weights().items():
    np.testing.assert_array_equal(value, before[path], err_msg=path)
  assert int(agent.train_calls) == 3
  agent.train(make_batch(seed=9))  # A good batch goes on.


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
  with eagerly():
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
  np.testing.assert_array_equal(state['age'], [5, 3, 5, 5])
  np.testing.assert_allclose(
      state1['latent']['stoch'][0], state['latent']['stoch'][1], atol=1e-5)


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
  assert state['latent']['deter'].shape == (4, 8)


def test_looking_ahead_needs_actions_that_can_be_listed():
  with pytest.raises(ConfigError, match='eval_lookahead.depth must be 0'):
    make_agent(discrete=False, settings={'eval_lookahead': {'depth': 1}})


def test_eval_noise_of_one_is_uniform_and_differs_by_step():
  with eagerly():
    agent = make_agent(settings={'eval_noise': 1.0})
    actions, _ = rollout(agent, [0, 1, 2, 3], steps=30)
  counts = actions[0].sum(0)
  assert counts.sum() == 30 and counts.min() >= 4


def test_a_new_episode_forgets_the_one_before(trained):
  agent = trained[0]
  state = agent.policy(make_obs(first=True), None, 'eval')[1]
  state = agent.policy(make_obs(seed=1), state, 'eval')[1]
  got = agent.policy(make_obs(seed=2, first=True), state, 'eval')
  want = agent.policy(make_obs(seed=2, first=True), None, 'eval')
  tf.nest.map_structure(np.testing.assert_array_equal, got, want)


def test_modes(trained):
  agent = trained[0]
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


def test_policy_remembers_action_and_latent(trained):
  agent = trained[0]
  outputs, state = agent.policy(make_obs(first=True))
  np.testing.assert_array_equal(state['action'], outputs['action'])
  obs = make_obs(seed=1)
  latent = lambda state: agent.policy(
      obs, state, 'eval')[1]['latent']['deter'].numpy()
  want = latent(state)
  for key in ('action', 'latent'):
    blank = state | {key: agent.initial_state(4)[key]}
    assert not np.allclose(latent(blank), want, atol=1e-4), key


def test_act_is_the_eval_policy(trained):
  agent = make_agent(
      adapter=lambda obs: {'vector': np.float32(obs['position'])},
      actions=lambda action: int(action.argmax()))
  agent.set_weights(trained[3])
  with eagerly():
    want, _ = rollout(agent, [0], late=0, steps=2)
    state, got = None, []
    for step in range(2):
      obs = {'position': make_obs(seed=step)['vector'][0].tolist()}
      action, state = agent.act(obs, state)
      got.append(action)
  assert got == want[0].argmax(-1).tolist()
  assert all(isinstance(action, int) for action in got)


def test_act_without_adapter_takes_observation_keys():
  agent = make_agent(discrete=False)
  with eagerly():
    action, state = agent.act({'vector': np.zeros(5, np.float32)})
    action, state = agent.act({'vector': np.zeros(5, np.float32)}, state)
  assert action.shape == (A,) and action.dtype == np.float32
  assert int(state['age'][0]) == 2


@pytest.mark.parametrize('settings', [
    {}, {'actor_grad': 'both'}, {'actor.dist': 'tanh_normal'},
    {'rssm.discrete': 0}, {'rssm.ensemble': 2}, {'expl_noise': 0.3},
    {'pred_discount': False, 'grad_heads': ['decoder', 'reward']},
    {'.*\\.norm': 'layer'}])
def test_continuous_actions(settings):
  with eagerly():
    agent = make_agent(discrete=False, settings=settings)
    for metrics in train(agent, 2, discrete=False):
      assert all(np.isfinite(v) for v in metrics.values()), metrics
    state = None
    for mode in ('train', 'explore', 'eval'):
      outputs, state = agent.policy(make_obs(first=True), state, mode)
      assert outputs['action'].shape == [4, A]
      assert np.abs(outputs['action']).max() <= 1


@pytest.mark.parametrize('name, cls', [
    ('random', exploration.Random),
    ('plan-2_explore', exploration.Plan2Explore),
    ('Model_Loss', exploration.ModelLoss)])
def test_exploration_trains_and_acts(name, cls):
  with eagerly():
    agent = make_agent(settings={'expl_behavior': name})
    assert type(agent.explorer) is cls
    before = agent.get_weights()
    history = train(agent, 2)
    action = agent.policy(make_obs(first=True), None, 'explore')[0]['action']
  np.testing.assert_array_equal(tf.reduce_sum(action, -1), [1] * 4)
  assert all(np.isfinite(v) for m in history for v in m.values())
  explores = cls is not exploration.Random
  assert ({'expl_actor_loss', 'expl_expl_loss'} <= set(history[0])) == explores
  moved = {
      k.split('/')[0] for k, v in agent.get_weights().items()
      if not np.array_equal(v, before[k])}
  assert moved == {'world_model', 'actor_critic'} | (
      {'explorer'} if explores else set())


def test_exploring_asks_the_explorer_and_training_the_task():
  agent = make_agent(settings={'expl_behavior': 'Random'})
  weights = agent.get_weights()
  weights['actor_critic/actor/out/out/bias'] = np.array([99, 0, 0], 'f')
  agent.set_weights(weights)
  obs = make_obs(600, first=True)
  with eagerly():
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


def test_schedules_read_the_step_of_the_agent():
  with eagerly():
    agent = make_agent(settings={'actor_ent': 'linear(1,0,100)'})
    agent.step.assign(75)
    assert train(agent, 1)[0]['actor_ent_scale'] == 0.25


def test_report_shows_every_image_that_is_read_and_predicted():
  shapes = {
      'image': (16, 16, 1), 'goal': (16, 16, 1), 'blind': (16, 16, 1),
      'image/a': (16, 16, 1), 'image_a': (16, 16, 1)}
  with eagerly():
    agent = make_agent(shapes, settings={
        'encoder.cnn_keys': 'image|goal', 'decoder.cnn_keys': 'image|blind',
        'decoder.mlp_keys': '$^'})
    report = agent.report(make_batch(shapes, length=7))
    assert agent.report(make_batch(shapes, length=5)) == {}
  assert sorted(report) == ['openl_image', 'openl_image/a', 'openl_image_a']
  assert report['openl_image'].shape == (7, 48, B * 16, 1)
  assert report['openl_image'].dtype == np.float32


def test_unknown_precision():
  with pytest.raises(ConfigError, match='precision'):
    make_agent(settings={'precision': 64})


@pytest.mark.parametrize('behavior', ['greedy', 'Random', 'Plan2Explore'])
def test_collecting_policies_act_on_the_frozen_weights(behavior):
  agent, plain = (
      make_agent(settings={'expl_behavior': behavior}) for _ in range(2))
  first = agent.get_weights()
  agent.policy(make_obs(first=True), mode='train')  # It is traced again.
  agent.policy_calls.assign(0)
  agent.freeze()
  frozen = agent.frozen()
  assert 'actor/out/out/kernel' in frozen and not plain.frozen()
  assert agent.get_weights().keys() == first.keys()

  rng = np.random.default_rng(0)
  second = {k: rng.normal(size=v.shape) for k, v in first.items()}
  agent.set_weights(second)

  def act(agent, mode):
    outputs, state = agent.policy(make_obs(first=True), mode=mode)
    return [outputs['action'].numpy(), state['latent']['logit'].numpy()]

  def assert_same(mode, other):
    plain.set_weights(other)
    for x, y in zip(act(agent, mode), act(plain, mode)):
      np.testing.assert_array_equal(x, y)

  for path, value in agent.frozen().items():
    np.testing.assert_array_equal(value, frozen[path])
  assert_same('train', first)
  assert_same('explore', first)
  assert_same('eval', second)
  agent.freeze()
  assert_same('train', second)
  agent.freeze(frozen)
  assert_same('train', first)
