import contextlib

import builders
from builders import IMAGE, VECTOR, A, B
import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tf import exploration
from dreamerv2_tf.errors import ConfigError, NonFiniteError, StateError

make_obs = builders.observations


def make_agent(shapes=VECTOR, discrete=True, settings=None, **kwargs):
  settings = {
      'clip_rewards': 'identity', 'disag_models': 2, **(settings or {})}
  return builders.agent(shapes, discrete, settings, **kwargs)


def train(agent, steps=3, **kwargs):
  """Trains on a carried state; returns the metrics of each step."""
  state, history = None, []
  for step in range(steps):
    first = () if step else [(0, 0), (1, 0)]
    batch = builders.batch(seed=step, first=first, **kwargs)
    state, metrics = agent.train(batch, state)
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
    with builders.eagerly():  # Also seeds of more than 32 bits work.
      action = agent.policy(make_obs(first=True))[0]['action']
    np.testing.assert_array_equal(tf.reduce_sum(action, -1), [1] * 4)


def test_eager_and_compiled_training_agree(trained):
  _, history, _, after = trained
  agent = make_agent()
  with builders.eagerly():
    eager = train(agent)
  for got, want in zip(eager, history):
    for key, value in want.items():
      np.testing.assert_allclose(
          got[key], value, rtol=1e-4, atol=1e-5, err_msg=key)
  for path, value in agent.get_weights().items():
    np.testing.assert_allclose(
        value, after[path], rtol=1e-4, atol=1e-5, err_msg=path)


def traces(agent):
  return [f.experimental_get_tracing_count() for f in (
      agent.policy.function, agent.train_function, agent.report_function)]


def test_every_function_is_traced_once(trained):
  assert traces(trained[0])[1] == 1
  agent = make_agent(IMAGE)
  state = {mode: None for mode in ('train', 'explore', 'eval')}
  for step in range(3):
    for mode in state:
      _, state[mode] = agent.policy(
          make_obs(seed=step, first=step == 0, shapes=IMAGE), state[mode],
          mode)
  for seed in range(2):
    agent.report(builders.batch(IMAGE, length=6, seed=seed))
  assert traces(agent) == [3, 0, 1]


@pytest.mark.parametrize('precision, dtype, mode', [
    (16, tf.float16, contextlib.nullcontext),
    (16, tf.float16, builders.eagerly),
    ('bf16', tf.bfloat16, builders.eagerly)])
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
  with builders.eagerly():
    outputs, state = agent.policy(make_obs(first=True, shapes=shapes))
  assert outputs['action'].dtype == tf.float32
  assert state.latent['deter'].dtype == dtype


def test_precisions_agree_at_first():
  losses = []
  for precision in (32, 'bf16', 16):
    with builders.eagerly():
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
  with builders.eagerly():
    other.set_weights(after)
    other.policy._seed = agent.policy._seed
    got, want = (x.policy(obs, mode='eval') for x in (other, agent))
  for path, value in other.get_weights().items():
    np.testing.assert_array_equal(value, after[path])
  for key in got[1].latent:
    np.testing.assert_array_equal(got[1].latent[key], want[1].latent[key])


@pytest.mark.parametrize('change, match', [
    (lambda w: w.pop('world_model/rssm/img_in/kernel'),
     'world_model/rssm/img_in/kernel: missing'),
    (lambda w: w.update({'actor_critic/actor/dense7/bias': np.zeros(3)}),
     'actor_critic/actor/dense7/bias: unknown'),
    (lambda w: w.update({'world_model/rssm/img_in/bias': np.zeros(3)}),
     r'world_model/rssm/img_in/bias: expected \(6,\), got \(3,\)'),
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
  batch = builders.batch()
  batch['reward'][0, 0] = np.nan
  with pytest.raises(
      NonFiniteError,
      match='^model_loss: NaN or infinite in gradient step 4; .* precision 32'):
    agent.train(batch)
  for path, value in agent.get_weights().items():
    np.testing.assert_array_equal(value, before[path], err_msg=path)
  assert int(agent.train_calls) == 3
  agent.train(builders.batch(seed=9))  # A good batch goes on.


def test_act_is_the_eval_policy(trained):
  agent = make_agent(
      adapter=lambda obs: {'vector': np.float32(obs['position'])},
      actions=lambda action: int(action.argmax()))
  agent.set_weights(trained[3])
  with builders.eagerly():
    states, got, want = [None, None], [], []
    for step in range(2):
      obs = make_obs(1, seed=step, first=step == 0)
      outputs, states[0] = agent.policy(obs, states[0], 'eval')
      want.append(int(outputs['action'].numpy().argmax()))
      action, states[1] = agent.act(
          {'position': obs['vector'][0].tolist()}, states[1])
      got.append(action)
  assert got == want
  assert all(isinstance(action, int) for action in got)


def test_act_without_adapter_takes_observation_keys():
  agent = make_agent(discrete=False)
  with builders.eagerly():
    action, state = agent.act({'vector': np.zeros(5, np.float32)})
    action, state = agent.act({'vector': np.zeros(5, np.float32)}, state)
  assert action.shape == (A,) and action.dtype == np.float32
  assert int(state.age[0]) == 2


@pytest.mark.parametrize('settings', [
    {}, {'actor_grad': 'both'}, {'actor.dist': 'tanh_normal'},
    {'rssm.discrete': 0}, {'rssm.ensemble': 2}, {'expl_noise': 0.3},
    {'pred_discount': False, 'grad_heads': ['decoder', 'reward']},
    {'.*\\.norm': 'layer'}])
def test_continuous_actions(settings):
  with builders.eagerly():
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
  with builders.eagerly():
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


def test_schedules_read_the_step_of_the_agent():
  with builders.eagerly():
    agent = make_agent(settings={'actor_ent': 'linear(1,0,100)'})
    agent.step.assign(75)
    assert train(agent, 1)[0]['actor_ent_scale'] == 0.25


def test_report_predicts_every_image_that_is_read_and_predicted():
  shapes = {
      'image': (16, 16, 1), 'goal': (16, 16, 1), 'blind': (16, 16, 1),
      'image/a': (16, 16, 1), 'image_a': (16, 16, 1)}
  with builders.eagerly():
    agent = make_agent(shapes, settings={
        'encoder.cnn_keys': 'image|goal', 'decoder.cnn_keys': 'image|blind',
        'decoder.mlp_keys': '$^'})
    batch = builders.batch(shapes, length=7)
    report = agent.report(batch)
    assert agent.report(builders.batch(shapes, length=5)) == {}
  assert sorted(report) == ['image', 'image/a', 'image_a']
  truth, model = report['image']
  np.testing.assert_allclose(truth, batch['image'] / 255, atol=1e-6)
  assert model.shape == (B, 7, 16, 16, 1) and model.dtype == np.float32


def test_unknown_precision():
  with pytest.raises(ConfigError, match='precision'):
    make_agent(settings={'precision': 64})


def test_settings_that_do_not_fit_one_another():
  with pytest.raises(ConfigError, match='overshooting.steps must be below'):
    make_agent(settings={'overshooting.steps': 8, 'dataset.length': 8})
