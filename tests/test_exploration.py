import builders
from builders import SEED, SGD, A, B, T, tensors
import numpy as np
import pytest
import reference
import tensorflow as tf

from dreamerv2_tf import exploration
from dreamerv2_tf.errors import ConfigError

STOCH, DETER = 3 * 4, 6
FEAT = STOCH + DETER


def make(cls, discrete=True, scramble=True, **settings):
  """A behaviour, its weights and the world model it explores."""
  behavior, model = builders.explorer(cls, discrete, **{
      'rssm.deter': DETER, '.*mlp_layers': [7], **settings})
  weights = reference.scramble(behavior) if scramble else {}
  return behavior, weights, model


def make_batch():
  return tensors(builders.batch(first=()))


def make_outputs(model):
  return model.loss(make_batch(), None, SEED)[2]


def make_dream(seed=2):
  rng = np.random.default_rng(seed)
  return builders.dream(
      feat=rng.normal(size=[4, 8, FEAT]), action=rng.normal(size=[4, 8, A]))


def predictions(w, inputs):
  """Means of all networks of the ensemble, [networks, …]; NumPy."""
  nets = [reference.part(w, f'networks{i}') for i in range(3)]
  return np.stack([reference.mlp(net, inputs) for net in nets])


@pytest.mark.parametrize('discrete', [True, False])
def test_random_actions_are_uniform(discrete):
  behavior, _, model = make(exploration.Random, discrete)
  feat = tf.constant(np.random.default_rng(0).normal(size=[6000, FEAT]))
  draws = behavior.actor(feat).sample(seed=SEED).numpy()
  assert draws.shape == (6000, A) and draws.dtype == np.float32
  if discrete:
    np.testing.assert_array_equal(np.sort(draws), [[0, 0, 1]] * 6000)
    np.testing.assert_allclose(draws.mean(0), 1 / 3, atol=0.02)
  else:
    assert np.abs(draws).max() <= 1
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(draws.std(0), 1 / np.sqrt(3), atol=0.02)
  assert behavior.train(model, None, {}, SEED) == {}


@pytest.mark.parametrize('target, width, offset', [
    ('embed', 7, 1), ('stoch', STOCH, 0), ('stoch', STOCH, 2),
    ('deter', DETER, 1), ('feat', FEAT, 1)])
def test_ensemble_predicts_the_target_steps_ahead(target, width, offset):
  behavior, w, model = make(
      exploration.Plan2Explore, disag_models=3, disag_target=target,
      disag_offset=offset, expl_opt=SGD)
  batch, outputs = make_batch(), make_outputs(model)
  metrics = behavior.train(model, outputs, batch, SEED)
  want = {
      'embed': outputs.embed, 'feat': outputs.feat,
      'deter': outputs.post['deter'],
      'stoch': tf.reshape(outputs.post['stoch'], [B, T, STOCH]),
  }[target].numpy()[:, offset:]
  inputs = np.concatenate(
      [outputs.feat, batch['action']], -1)[:, :T - offset]
  preds = predictions(w, inputs)
  assert preds.shape == (3, B, T - offset, width)
  logp = reference.normal_logp(want, preds).sum(-1)
  np.testing.assert_allclose(
      metrics['expl_loss'], -logp.mean((1, 2)).sum(), rtol=1e-4)
  # One step down the gradient of the squared error.
  bias = behavior.get_weights()['networks1/out/out/bias']
  step = (want - preds[1]).mean((0, 1))
  np.testing.assert_allclose(
      bias, w['networks1/out/out/bias'] + step, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('offset, kept', [
    # Rows 0 to 3; the second episode of sequence 0 begins in row 2.
    (0, [[1, 1, 1, 1], [1, 1, 1, 1]]), (1, [[1, 0, 1], [1, 1, 1]]),
    (2, [[0, 0], [1, 1]])])
def test_ensemble_predicts_nothing_beyond_the_end_of_an_episode(offset, kept):
  behavior, w, model = make(
      exploration.Plan2Explore, disag_models=3, disag_target='deter',
      disag_offset=offset, expl_opt=SGD)
  first = np.zeros([B, T], bool)
  first[0, 2] = first[0, 0] = True
  batch = make_batch() | {'is_first': tf.constant(first)}
  outputs = model.loss(batch, None, SEED)[2]
  metrics = behavior.train(model, outputs, batch, SEED)
  want = outputs.post['deter'].numpy()[:, offset:]
  inputs = np.concatenate(
      [outputs.feat, batch['action']], -1)[:, :T - offset]
  logp = reference.normal_logp(want, predictions(w, inputs)).sum(-1)
  np.testing.assert_allclose(
      metrics['expl_loss'], -logp[:, np.bool_(kept)].mean(1).sum(), rtol=1e-4)


def intrinsic_reward(behavior, dream, model):
  """What the behaviour's actor-critic gets as the reward of a dream."""
  rewards = []
  behavior.actor_critic.train = (
      lambda model, start, terminal, reward, seed: rewards.append(
          reward(dream)) or {})
  behavior.train(model, make_outputs(model), make_batch(), SEED)
  return rewards[0].numpy()


@pytest.mark.parametrize('settings', [
    {}, {'disag_log': True}, {'disag_action_cond': False},
    {'expl_intr_scale': 0.5, 'expl_extr_scale': 2.0}])
def test_reward_is_the_disagreement_of_the_ensemble(settings):
  still = SGD | {'lr': 0.0}
  behavior, w, model = make(
      exploration.Plan2Explore, disag_models=3, expl_opt=still, **settings)
  model_weights = reference.scramble(model, 5)
  dream = make_dream()
  got = intrinsic_reward(behavior, dream, model)
  inputs = dream.feat
  if settings.get('disag_action_cond', True):
    inputs = np.concatenate([dream.feat, dream.action], -1)
  want = predictions(w, inputs).std(0).mean(-1)
  if settings.get('disag_log'):
    want = np.log(want)
  want = settings.get('expl_intr_scale', 1) * want
  extrinsic = reference.mlp(
      reference.part(model_weights, 'heads/reward'), dream.feat)[..., 0]
  want += settings.get('expl_extr_scale', 0) * extrinsic
  np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_intrinsic_rewards_are_normalised_once():
  still = SGD | {'lr': 0.0}
  behavior, w, model = make(
      exploration.Plan2Explore, disag_models=3, expl_opt=still,
      expl_reward_norm={'momentum': 0.0, 'scale': 3.0})
  dream = make_dream()
  got = intrinsic_reward(behavior, dream, model)
  want = predictions(
      w, np.concatenate([dream.feat, dream.action], -1)).std(0).mean(-1)
  np.testing.assert_allclose(got, 3 * want / want.mean(), rtol=1e-3)


@pytest.mark.parametrize('offset', [1, 2])
def test_the_next_action_is_that_which_leaves_the_state(offset):
  behavior, w, model = make(
      exploration.Plan2Explore, disag_models=3, disag_target='deter',
      disag_offset=offset, disag_action_next=True, expl_opt=SGD | {'lr': 0.0})
  batch, outputs, dream = make_batch(), make_outputs(model), make_dream()
  metrics = behavior.train(model, outputs, batch, SEED)
  logp = 0
  for time in range(T - offset):  # What action[time + 1] leads to.
    inputs = np.concatenate(
        [outputs.feat[:, time], batch['action'][:, time + 1]], -1)
    want = outputs.post['deter'][:, time + offset].numpy()
    logp += reference.normal_logp(want, predictions(w, inputs)).sum(-1)
  np.testing.assert_allclose(
      metrics['expl_loss'], -(logp / (T - offset)).mean(1).sum(), rtol=1e-4)

  got = intrinsic_reward(behavior, dream, model)
  assert got.shape == (4, 8)
  for time in range(1, 4):
    want = predictions(w, np.concatenate(
        [dream.feat[time - 1], dream.action[time]], -1)).std(0).mean(-1)
    np.testing.assert_allclose(got[time], want, rtol=1e-3, atol=1e-4)
  np.testing.assert_array_equal(got[0], got[1])


def test_the_next_action_needs_a_step_and_to_be_seen():
  with pytest.raises(ConfigError, match='disag_offset of at least 1'):
    make(exploration.Plan2Explore, disag_action_next=True, disag_offset=0)
  behavior, w, model = make(  # Without an action there is none to choose.
      exploration.Plan2Explore, disag_models=3, disag_action_next=True,
      disag_action_cond=False, expl_opt=SGD | {'lr': 0.0})
  dream = make_dream()
  np.testing.assert_allclose(
      intrinsic_reward(behavior, dream, model),
      predictions(w, dream.feat).std(0).mean(-1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('cls', [
    exploration.Plan2Explore, exploration.ModelLoss])
def test_both_rewards_are_divided_by_running_magnitudes_of_their_own(cls):
  norm = {'momentum': 0.75, 'scale': 2.0, 'eps': 0.1}
  behavior, w, model = make(
      cls, disag_models=3, disag_log=True, expl_opt=SGD | {'lr': 0.0},
      expl_reward_norm=norm, expl_intr_scale=0.5, expl_extr_scale=-3.0)
  model_weights = reference.scramble(model, 5)
  magnitudes = np.ones(2)
  for seed in range(3):
    dream = make_dream(seed)
    got = intrinsic_reward(behavior, dream, model)
    inputs = np.concatenate([dream.feat, dream.action], -1)
    intrinsic = (
        reference.mlp(reference.part(w, 'head'), dream.feat)[..., 0]
        if cls is exploration.ModelLoss
        else np.log(predictions(w, inputs).std(0).mean(-1)))
    extrinsic = reference.mlp(
        reference.part(model_weights, 'heads/reward'), dream.feat)[..., 0]
    rewards = np.stack([intrinsic, extrinsic])
    # By what is large in absolute value, negative or not.
    magnitudes = 0.75 * magnitudes + 0.25 * np.abs(rewards).mean((1, 2))
    normed = 2 * rewards / (magnitudes + 0.1)[:, None, None]
    np.testing.assert_allclose(
        got, 0.5 * normed[0] - 3 * normed[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('scale, asked', [(0.0, False), (0.1, True)])
def test_the_task_is_asked_only_if_its_reward_counts(scale, asked):
  behavior, _, model = make(
      exploration.Plan2Explore, disag_models=2, expl_extr_scale=scale,
      expl_reward_norm={'momentum': 0.5})
  intrinsic_reward(behavior, make_dream(), model)
  assert (float(behavior.extr_rewnorm.mag) != 1) == asked
  assert float(behavior.intr_rewnorm.mag) != 1


def test_the_actor_critic_normalises_rewards_once_more():
  """As in the original; both are off by default."""
  off = {'momentum': 0.0, 'eps': 0.0}
  behavior, _, model = make(
      exploration.Plan2Explore, disag_models=2,
      expl_reward_norm={'scale': 3.0, **off}, expl_intr_scale=0.5,
      reward_norm={'scale': 7.0, **off})
  metrics = behavior.train(model, make_outputs(model), make_batch(), SEED)
  # Disagreement is never negative, so that its mean is its magnitude.
  np.testing.assert_allclose(metrics['reward_mean'], 0.5 * 3, rtol=1e-4)
  np.testing.assert_allclose(metrics['reward_normed_mean'], 7, rtol=1e-4)


def test_an_ensemble_agrees_where_it_has_learned_and_not_elsewhere():
  """What is seen often grows dull; what is not stays interesting."""
  behavior, _, model = make(
      exploration.Plan2Explore, scramble=False, disag_models=4,
      disag_target='deter', disag_offset=0,
      expl_opt={'opt': 'adam', 'lr': 3e-3, 'wd': 0.0})
  batch, outputs = make_batch(), make_outputs(model)
  seen = builders.dream(
      feat=outputs.feat[:1], action=batch['action'][:1])
  rng = np.random.default_rng(4)
  new = builders.dream(
      feat=2 * rng.normal(size=seen.feat.shape), action=seen.action)
  fit = tf.function(
      lambda: behavior._fit(outputs, batch), autograph=False)
  before = [np.mean(behavior._intrinsic(x)) for x in (seen, new)]
  for _ in range(300):
    fit()
  after = [np.mean(behavior._intrinsic(x)) for x in (seen, new)]
  assert after[0] < 0.3 * before[0]
  assert after[0] < 0.3 * after[1]


@pytest.mark.parametrize('name', ['kl', 'reward', 'vector', 'discount'])
def test_model_loss_learns_the_loss_and_seeks_it(name):
  behavior, w, model = make(
      exploration.ModelLoss, expl_model_loss=name, expl_opt=SGD)
  outputs, dream = make_outputs(model), make_dream()
  head = reference.part(w, 'head')
  target = {'kl': outputs.kl, **{
      k: -v for k, v in outputs.likes.items()}}[name].numpy()
  pred = reference.mlp(head, outputs.feat.numpy())[..., 0]
  metrics = behavior.train(model, outputs, make_batch(), SEED)
  np.testing.assert_allclose(
      metrics['expl_loss'], -reference.normal_logp(target, pred).mean(),
      rtol=1e-4)
  after = behavior.get_weights()
  np.testing.assert_allclose(
      after['head/out/out/bias'],
      w['head/out/out/bias'] + (target - pred).mean(), rtol=1e-3, atol=1e-4)
  behavior, w, model = make(
      exploration.ModelLoss, expl_model_loss=name,
      expl_opt=SGD | {'lr': 0.0})
  got = intrinsic_reward(behavior, dream, model)
  np.testing.assert_allclose(
      got, reference.mlp(head, dream.feat)[..., 0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('cls', [
    exploration.Plan2Explore, exploration.ModelLoss])
@pytest.mark.parametrize('discrete', [True, False])
def test_explorers_leave_the_world_model_alone(cls, discrete):
  behavior, _, model = make(cls, discrete, scramble=False, disag_models=2)
  before = model.get_weights(), behavior.get_weights()
  metrics = behavior.train(model, make_outputs(model), make_batch(), SEED)
  assert {'expl_loss', 'actor_loss', 'critic_loss', 'reward_mean'} <= set(
      metrics)
  assert all(np.isfinite(v) for v in metrics.values())
  for path, value in model.get_weights().items():
    np.testing.assert_array_equal(value, before[0][path])
  moved = {
      k.split('/')[0] for k, v in behavior.get_weights().items()
      if not np.array_equal(v, before[1][k])}
  nets = {'head'} if cls is exploration.ModelLoss else {
      'networks0', 'networks1'}
  assert moved == nets | {'actor_critic'}


@pytest.mark.parametrize('name, want', [
    ('greedy', None), ('Greedy', None), ('Random', exploration.Random),
    ('plan2explore', exploration.Plan2Explore),
    ('PLAN2EXPLORE', exploration.Plan2Explore),
    ('model_loss', exploration.ModelLoss),
])
def test_behaviors_by_name(name, want):
  assert exploration.behavior(name) is want


def test_unknown_names_are_refused():
  with pytest.raises(ConfigError, match="ModelLoss but is 'curious'"):
    exploration.behavior('curious')
  with pytest.raises(ConfigError, match="deter, feat but is 'post'"):
    make(exploration.Plan2Explore, disag_target='post')
  with pytest.raises(ConfigError, match="discount but is 'image'"):
    make(exploration.ModelLoss, expl_model_loss='image')
