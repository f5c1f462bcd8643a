import math

import builders
from builders import SEED, A, B, T, tensors
import numpy as np
import pytest
import reference
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dreamerv2_tf import tfutils
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.nets.distributions import OneHotDist
from dreamerv2_tf.tfutils import sg

GAMMA = 0.9
SHAPES = builders.IMAGE | builders.VECTOR


def make_model(shapes=SHAPES, dtype=tf.float32, **settings):
  """A world model with random biases, and its weights in float64."""
  model = builders.world_model(
      shapes, dtype, **{
          'clip_rewards': 'tanh', 'discount': GAMMA, **settings})
  return model, reference.scramble(model)


def make_batch(shapes=SHAPES, length=T):
  """Row 1 ends and begins at time 2."""
  return builders.batch(
      shapes, length, first=[(0, 0), (1, 0), (1, 2)], last=[(1, 1)])


def flat(x):
  return x.reshape([*x.shape[:-2], -1])


def reference_losses(w, batch, stoch, state, discount_head=True):
  """All losses, given the sampled posterior states; NumPy.

  Returns losses by name, the KL of each step, [B, T], and both logits.
  """
  part = reference.part
  rssm = part(w, 'rssm')
  image = batch['image'] / 255 - 0.5
  x = image.reshape([-1, 16, 16, 1])
  for i in range(4):
    x = reference.conv(part(w, f'encoder/conv{i}'), x, 'SAME')
  embed = np.concatenate([
      x.reshape([B, T, -1]),
      reference.stack(part(w, 'encoder'), batch['vector'])], -1)
  deter, prev_stoch, deters = state['deter'], flat(state['stoch']), []
  for t in range(T):
    keep = 1 - batch['is_first'][:, t, None]
    deter = reference.deter_step(
        rssm, prev_stoch * keep, batch['action'][:, t] * keep, deter * keep)
    deters.append(deter)
    prev_stoch = flat(stoch[:, t])
  deter = np.stack(deters, 1)
  shape = [B, T, 3, 4]
  post = reference.posterior(rssm, deter, embed).reshape(shape)
  prior = reference.prior(rssm, deter).reshape(shape)
  feat = np.concatenate([flat(stoch), deter], -1)
  x = reference.dense(part(w, 'heads/decoder/convin'), feat, 'none')
  x = x.reshape([B * T, 1, 1, 8])
  for i, size in enumerate([2, 4, 8, 16]):
    x = reference.conv_transpose(
        part(w, f'heads/decoder/conv{i}'), x, (size, size), 'SAME',
        'none' if i == 3 else 'elu')
  hidden = reference.stack(part(w, 'heads/decoder'), feat)
  vector = reference.dense(
      part(w, 'heads/decoder/heads/vector/out'), hidden, 'none')
  target = (1 - batch['is_terminal']) * GAMMA
  logp = {
      'image': reference.normal_logp(
          image, x.reshape([B, T, 16, 16, 1])).sum((-3, -2, -1)),
      'vector': reference.normal_logp(batch['vector'], vector).sum(-1),
      'reward': reference.normal_logp(
          np.tanh(batch['reward']),
          reference.mlp(part(w, 'heads/reward'), feat)[..., 0])}
  if discount_head:
    logp['discount'] = reference.bernoulli_logp(
        target, reference.mlp(part(w, 'heads/discount'), feat)[..., 0])
  kl = reference.kl_onehot(post, prior)
  losses = {'kl': kl.mean(), **{k: -v.mean() for k, v in logp.items()}}
  return losses, kl, logp, post, prior


@pytest.mark.parametrize('carried', [False, True])
def test_loss_and_metrics(carried):
  scales = {'kl': 0.3, 'reward': 2.0, 'discount': 5.0}
  model, w = make_model(loss_scales=scales)
  batch = make_batch()
  state = model.rssm.initial(B)
  if carried:
    batch['is_first'][:, 0] = False
    rng = np.random.default_rng(3)
    state = tf.nest.map_structure(
        lambda x: tf.constant(rng.normal(size=x.shape), x.dtype), state)
  loss, last, outputs, metrics = model.loss(
      tensors(batch), state if carried else None, SEED)
  stoch = outputs.post['stoch'].numpy()
  assert set(np.unique(stoch)) == {0.0, 1.0}
  want, kl, logp, post, prior = reference_losses(
      w, batch, stoch, {k: v.numpy() for k, v in state.items()})
  total = sum(scales.get(k, 1.0) * v for k, v in want.items())
  np.testing.assert_allclose(loss, total, rtol=1e-5)
  for key, value in want.items():
    np.testing.assert_allclose(metrics[f'{key}_loss'], value, rtol=1e-4)
  np.testing.assert_allclose(metrics['model_kl'], kl.mean(), rtol=1e-4)
  for name, logits in (('post', post), ('prior', prior)):
    np.testing.assert_allclose(
        getattr(outputs, name)['logit'], logits, rtol=1e-3, atol=1e-4)
    entropy = reference.entropy_onehot(logits).sum(-1).mean()
    np.testing.assert_allclose(metrics[f'{name}_ent'], entropy, rtol=1e-4)
  np.testing.assert_allclose(outputs.kl, kl, rtol=1e-3, atol=1e-5)
  for key, value in logp.items():
    np.testing.assert_allclose(outputs.likes[key], value, rtol=1e-3)
  for key, value in outputs.post.items():
    np.testing.assert_array_equal(last[key], value[:, -1])


def test_loss_without_discount_head():
  model, w = make_model(
      pred_discount=False, grad_heads=['decoder', 'reward'])
  batch = make_batch()
  loss, _, outputs, metrics = model.loss(tensors(batch), None, SEED)
  want = reference_losses(
      w, batch, outputs.post['stoch'].numpy(),
      {k: v.numpy() for k, v in model.rssm.initial(B).items()}, False)[0]
  np.testing.assert_allclose(loss, sum(want.values()), rtol=1e-5)
  assert 'discount_loss' not in metrics


def test_kl_options_reach_the_loss():
  model, _ = make_model(kl={'free': 50.0})
  _, _, _, metrics = model.loss(tensors(make_batch()), None, SEED)
  np.testing.assert_allclose(metrics['kl_loss'], 50)
  assert 0 < metrics['model_kl'] < 50


def test_image_metrics_say_what_is_above_the_floor():
  shapes = {'image': (64, 64, 1), 'vector': (5,)}
  model, _ = make_model(shapes)
  batch = make_batch(shapes)
  loss, _, outputs, metrics = model.loss(tensors(batch), None, SEED)
  mean = model.heads['decoder'](outputs.feat)['image'].mode().numpy()
  mse = ((mean - (batch['image'] / 255 - 0.5)) ** 2).mean()
  np.testing.assert_allclose(metrics['image_mse'], mse, rtol=1e-4)
  np.testing.assert_allclose(
      metrics['image_psnr'], -10 * math.log10(mse), rtol=1e-4)
  np.testing.assert_allclose(
      metrics['image_excess'], mse * 64 * 64 / 2, rtol=1e-4)
  # Half log(2 pi) for each pixel is what perfect reconstructions cost.
  np.testing.assert_allclose(
      metrics['image_loss'] - metrics['image_excess'], 3764.0, atol=0.1)
  np.testing.assert_allclose(
      metrics['vector_loss'] - metrics['vector_excess'],
      2.5 * reference.LOG_2PI, rtol=1e-4)
  assert 'vector_psnr' not in metrics


@pytest.mark.parametrize('heads', [
    [], ['decoder'], ['reward'], ['discount'],
    ['decoder', 'reward', 'discount']])
def test_only_grad_heads_train_the_representation(heads):
  model, _ = make_model(grad_heads=heads, loss_scales={'kl': 0.0})
  variables = model.named_variables()
  with tf.GradientTape() as tape:
    loss = model.loss(tensors(make_batch()), None, SEED)[0]
  grads = tape.gradient(loss, variables)
  moved = {k for k, g in grads.items() if np.abs(g).max() > 0}
  for part in ('encoder/conv0/kernel', 'rssm/img_in/kernel',
               'rssm/gru/dense/kernel', 'rssm/obs_dist/kernel'):
    assert (part in moved) == bool(heads), part
  for part in ('decoder/convin', 'reward/dense0', 'discount/out/out'):
    assert f'heads/{part}/kernel' in moved


def test_the_prior_learns_from_the_kl_alone():
  model, _ = make_model(loss_scales={'kl': 0.0})
  variables = model.named_variables()
  with tf.GradientTape() as tape:
    loss = model.loss(tensors(make_batch()), None, SEED)[0]
  grads = tape.gradient(loss, variables)
  assert not grads['rssm/img_dist0/kernel'].numpy().any()
  assert not grads['rssm/img_out0/kernel'].numpy().any()


@pytest.mark.parametrize('clip, function', [
    ('identity', lambda x: x), ('sign', np.sign), ('tanh', np.tanh)])
def test_preprocess(clip, function):
  model, _ = make_model(clip_rewards=clip)
  batch = make_batch() | {
      'ram': np.array([[0, 255]] * B, np.uint8),
      'count': np.array([[7, -3]] * B, np.int64),
      'log_speed': np.zeros([B, T], np.float32)}
  got = model.preprocess(tensors(batch))
  assert set(got) == set(batch) - {'log_speed'} | {'discount'}
  assert got['image'].dtype == tf.float32
  np.testing.assert_allclose(
      got['image'], batch['image'] / 255 - 0.5, atol=1e-6)
  np.testing.assert_array_equal(got['ram'], [[-0.5, 0.5]] * B)
  np.testing.assert_array_equal(got['count'], [[7.0, -3.0]] * B)
  assert got['count'].dtype == tf.float32
  np.testing.assert_allclose(
      got['reward'], function(batch['reward']), rtol=1e-6)
  np.testing.assert_allclose(got['discount'], np.where(
      batch['is_terminal'], 0, GAMMA), rtol=1e-6)
  assert got['is_first'].dtype == tf.bool
  np.testing.assert_array_equal(got['vector'], batch['vector'])


def make_start(model):
  _, _, outputs, _ = model.loss(tensors(make_batch()), None, SEED)
  return outputs.post


def test_dreams_follow_the_prior():
  model, w = make_model()
  start = make_start(model)
  seen = []

  def policy(feat):
    seen.append(feat)
    return OneHotDist(feat[:, :A] * 3, dtype=tf.float32)

  seq = model.imagine(policy, start, None, 3, SEED)
  assert seq.reward is None and set(seq.state) == {'deter', 'stoch', 'logit'}
  seq = tf.nest.map_structure(
      lambda x: x.numpy(), seq._replace(reward=seq.weight))
  state = seq.state
  for key, value in start.items():
    np.testing.assert_array_equal(
        seq.state[key][0], value.numpy().reshape([B * T, *value.shape[2:]]))
  assert not seq.action[0].any()
  np.testing.assert_array_equal(seq.action[1:].sum(-1), 1)
  np.testing.assert_array_equal(
      seq.feat, np.concatenate([flat(state['stoch']), state['deter']], -1))
  logits = 3 * seq.feat[:-1, :, :A]
  assert not seq.log_prob[0].any() and not seq.entropy[0].any()
  np.testing.assert_allclose(
      seq.log_prob[1:],
      (reference.log_softmax(logits) * seq.action[1:]).sum(-1), rtol=1e-4)
  np.testing.assert_allclose(
      seq.entropy[1:], reference.entropy_onehot(logits), rtol=1e-4)
  rssm = reference.part(w, 'rssm')
  for i in range(3):  # Action i + 1 leads from state i to state i + 1.
    np.testing.assert_allclose(seen[i], seq.feat[i], rtol=1e-6)
    deter = reference.deter_step(
        rssm, flat(state['stoch'][i]), seq.action[i + 1], state['deter'][i])
    np.testing.assert_allclose(state['deter'][i + 1], deter, atol=1e-5)
    np.testing.assert_allclose(
        flat(state['logit'][i + 1]), reference.prior(rssm, deter), atol=1e-4)
  discount = reference.sigmoid(
      reference.mlp(reference.part(w, 'heads/discount'), seq.feat)[..., 0])
  np.testing.assert_allclose(seq.discount, discount, rtol=1e-4)
  np.testing.assert_allclose(seq.weight, np.stack([
      np.ones(B * T), discount[0], discount[0] * discount[1],
      discount[0] * discount[1] * discount[2]]), rtol=1e-4)


def test_gradients_flow_along_dreams_but_not_into_what_policies_see():
  model, _ = make_model()
  start, seen = make_start(model), []

  def policy(feat):
    seen.append(feat)
    return OneHotDist(feat[:, :A], dtype=tf.float32)

  with tf.GradientTape(persistent=True) as tape:
    tape.watch(start)
    last = model.imagine(policy, start, None, 2, SEED).state['deter'][-1]
  assert tape.gradient(last, start['deter']).numpy().any()
  assert tape.gradient(seen, start['deter']) is None


def test_the_loop_of_a_dream_equals_the_unrolled_one():
  model, _ = make_model()
  start = tfutils.flatten(make_start(model))
  weight = tf.constant(
      np.random.default_rng(0).normal(size=[model.rssm.dim, A]), tf.float32)

  def policy(feat):
    return OneHotDist(feat @ weight, dtype=tf.float32)

  def unrolled():
    state, feats = start, [model.rssm.get_feat(start)]
    for seed in tf.unstack(tf.random.split(SEED, 3)):
      act_seed, step_seed = tfutils.split(seed, 2)
      action = policy(sg(feats[-1])).sample(seed=act_seed)
      state = model.rssm.img_step(state, action, step_seed)
      feats.append(model.rssm.get_feat(state))
    return tf.stack(feats)

  looped = lambda: model.imagine(
      policy, {k: v[None] for k, v in start.items()}, None, 3, SEED).feat
  variables = [model.rssm.named_variables()[k] for k in (
      'img_in/kernel', 'gru/dense/kernel', 'img_dist0/kernel')]
  results = []
  for function in (tf.function(looped, autograph=False), unrolled):
    with tf.GradientTape() as tape:
      tape.watch([weight, start['deter']])
      feat = function()
      loss = tf.reduce_sum(tf.sin(3 * feat))
    results.append([
        feat, *tape.gradient(loss, [weight, start['deter'], *variables])])
  for ours, plain in zip(*results):
    assert np.asarray(plain).any()
    np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('discrete', [True, False])
def test_stopped_dreams_teach_policies_what_their_loss_outside_would(discrete):
  model, _ = make_model()
  start = make_start(model)
  shift = tf.Variable(0.3)
  if discrete:
    policy = lambda feat: OneHotDist(
        feat[..., :A] + shift * feat[..., A:2 * A], dtype=tf.float32)
  else:
    policy = lambda feat: tfd.Independent(
        tfd.Normal(shift * feat[..., -A:], 0.5), 1)
  results = []
  for stopped in (True, False):
    with tf.GradientTape(persistent=True) as tape:
      seq = model.imagine(policy, start, None, 3, SEED, stopped)
      loss = tf.reduce_sum(seq.log_prob + 2 * seq.entropy)
      if stopped:
        assert tape.gradient(seq.state['deter'], shift) is None
    with tf.GradientTape() as plain:
      dist = policy(sg(seq.feat[:-1]))
      log_prob = dist.log_prob(sg(seq.action[1:]))
      want = tf.reduce_sum(log_prob + 2 * dist.entropy())
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    results.append([tape.gradient(loss, shift), plain.gradient(want, shift)])
  np.testing.assert_allclose(*results[0], rtol=1e-4)
  # The actions' own gradient, which one-hots do not have, is not stopped.
  assert (abs(results[1][0] - results[1][1]) > 1e-3) != discrete


@pytest.mark.parametrize('head', [True, False])
def test_terminal_starts_count_once(head):
  model, _ = make_model(
      pred_discount=head, grad_heads=['decoder', 'reward'])
  policy = lambda feat: OneHotDist(feat[:, :A], dtype=tf.float32)
  start = make_start(model)
  terminal = make_batch()['is_terminal']
  seq = model.imagine(policy, start, tf.constant(terminal), 3, SEED)
  predicted = model.imagine(policy, start, None, 3, SEED).discount.numpy()
  if not head:
    np.testing.assert_allclose(predicted, GAMMA)
  discount = predicted.copy()
  discount[0] = np.where(terminal.ravel(), 0, GAMMA)
  np.testing.assert_allclose(seq.discount, discount, rtol=1e-6)
  weight = seq.weight.numpy()
  index = int(np.argmax(terminal.ravel()))
  np.testing.assert_array_equal(weight[:, index], [1, 0, 0, 0])
  d = discount[:, index + 1]
  np.testing.assert_allclose(
      weight[:, index + 1], [1, GAMMA, GAMMA * d[1], GAMMA * d[1] * d[2]],
      rtol=1e-5)


def test_open_loop_predictions():
  shapes = {'image': (16, 32, 1), 'vector': (5,)}
  model, _ = make_model(shapes)
  batch = make_batch(shapes, 8)
  data = model.preprocess(tensors(batch))
  truth, dream = model.open_loop(data, 'image', SEED)
  assert truth.shape == dream.shape == [B, 8, 16, 32, 1]
  np.testing.assert_allclose(truth, batch['image'] / 255, atol=1e-6)
  assert ((dream > 0) & (dream < 1)).numpy().mean() > 0.1
  # After five frames the model sees actions alone.
  changed = dict(data)
  for key, tail in (('image', data['image'] * -1), ('vector', data['vector'])):
    changed[key] = tf.concat([data[key][:, :5], tail[:, 5:] + 0.1], 1)
  other = model.open_loop(changed, 'image', SEED)
  np.testing.assert_array_equal(other[1], dream)
  assert not np.allclose(other[0], truth)
  changed['action'] = tf.roll(data['action'], 1, 2)
  _, other = model.open_loop(changed, 'image', SEED)
  assert not np.allclose(other[:, 5:], dream[:, 5:])


def test_training_lowers_the_loss():
  model, _ = make_model(model_opt={'lr': 3e-3})
  step = tf.function(model.train, autograph=False)
  state, losses = model.rssm.initial(B), []
  for i in range(60):
    _, _, metrics = step(tensors(make_batch()), state, SEED + i)
    losses.append(float(metrics['model_loss']))
  assert set(metrics) == {
      'model_loss', 'model_grad_norm', 'model_kl', 'prior_ent', 'post_ent',
      'kl_loss', 'image_loss', 'vector_loss', 'reward_loss', 'discount_loss',
      'image_excess', 'image_mse', 'image_psnr', 'vector_excess',
      'vector_mse'}
  floor = (16 * 16 + 5 + 1) / 2 * reference.LOG_2PI
  assert np.mean(losses[-5:]) - floor < 0.5 * (np.mean(losses[:5]) - floor)


def test_gradients_do_not_reach_into_the_batch_before():
  model, _ = make_model()
  batch = make_batch()
  batch['is_first'][:] = False
  with tf.GradientTape() as tape:
    _, state, _, _ = model.loss(tensors(batch), None, SEED)
    total = tf.add_n([tf.reduce_sum(x) for x in state.values()])
  variables = list(model.named_variables().values())
  assert all(g is None for g in tape.gradient(total, variables))


@pytest.mark.parametrize('dtype', [tf.float16, tf.bfloat16])
def test_half_precision_loses_little(dtype):
  # Both models take their samples from nearly the same probabilities.
  losses = []
  for precision in (tf.float32, dtype):
    model, _ = make_model(dtype=precision)
    loss, state, outputs, _ = model.loss(tensors(make_batch()), None, SEED)
    assert loss.dtype == tf.float32 and state['deter'].dtype == precision
    assert all(x.dtype == tf.float32 for x in outputs.likes.values())
    losses.append(float(loss))
  np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)


def test_heads_are_asked_about_open_loop_predictions():
  # With one class for each latent there is no chance in what is predicted.
  model, _ = make_model(
      {'vector': (5,)}, rssm={'stoch': 3, 'discrete': 1},
      overshooting={'steps': 3, 'heads': ['reward', 'decoder'], 'scale': 2.0},
      loss_scales={'reward': 5.0})
  plain, _ = make_model(
      {'vector': (5,)}, rssm={'stoch': 3, 'discrete': 1},
      loss_scales={'reward': 5.0})
  batch = make_batch({'vector': (5,)})
  data = tensors(batch)
  loss, _, outputs, metrics = model.loss(data, None, SEED)
  losses = {'reward': 0.0, 'vector': 0.0}
  targets = model.preprocess(data)
  # Row 1 begins anew at time 2: nothing leads there from before.
  pairs = {
      1: [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)], 2: [(0, 0), (0, 1)],
      3: [(0, 0)]}
  for distance, starts in pairs.items():
    for row, time in starts:
      state = {k: v[row:row + 1, time] for k, v in outputs.post.items()}
      ahead = slice(time + 1, time + 1 + distance)
      actions = data['action'][row:row + 1, ahead]
      state = model.rssm.imagine(actions, state, SEED)
      feat = model.rssm.get_feat(state)[:, -1]
      for key, dist in {
          'reward': model.heads['reward'](feat),
          'vector': model.heads['decoder'](feat)['vector']}.items():
        target = targets[key][row:row + 1, time + distance]
        losses[key] -= float(dist.log_prob(target)[0]) / len(starts)
  for key, value in losses.items():
    np.testing.assert_allclose(metrics[f'ahead_{key}_loss'], value, rtol=1e-4)
  without, _, _, others = plain.loss(data, None, SEED)
  np.testing.assert_allclose(
      loss, without + 2 * (5 * losses['reward'] + losses['vector']), rtol=1e-4)
  assert not [name for name in others if 'ahead' in name]


def test_dreams_can_begin_with_given_actions():
  model, _ = make_model()
  start = make_start(model)
  given = np.eye(A, dtype=np.float32)[
      np.random.default_rng(2).integers(A, size=[2, B * T])]
  policy = lambda feat: OneHotDist(
      tf.constant([[9.0, -9, -9]] * (B * T)), dtype=tf.float32)
  seq = model.imagine(policy, start, None, 4, SEED, first=tf.constant(given))
  np.testing.assert_array_equal(seq.action[1:3], given)
  np.testing.assert_array_equal(seq.action[3:, :, 0], 1)
  assert not seq.log_prob[:3].numpy().any()
  state = {k: v[0] for k, v in seq.state.items()}
  deter = model.rssm.img_step(state, given[0], SEED)['deter']
  np.testing.assert_allclose(seq.state['deter'][1], deter, rtol=1e-5)


def test_unusable_settings_are_refused():
  with pytest.raises(ConfigError, match='grad_heads names discount but the'):
    make_model(pred_discount=False)
  with pytest.raises(ConfigError, match='decoder.cnn_keys'):
    make_model(decoder={'cnn_keys': '$^', 'mlp_keys': 'nothing'})


def test_variables_have_readable_paths():
  model, _ = make_model()
  paths = list(model.named_variables())
  assert {
      'encoder/conv0/kernel', 'encoder/dense0/bias', 'rssm/img_in/kernel',
      'rssm/gru/dense/norm/gamma', 'rssm/img_out0/kernel',
      'rssm/img_dist0/bias', 'rssm/obs_out/kernel', 'rssm/obs_dist/kernel',
      'heads/decoder/convin/kernel', 'heads/decoder/heads/vector/out/bias',
      'heads/reward/dense0/kernel', 'heads/discount/out/out/bias',
  } <= set(paths)
  assert len(paths) == len(set(paths))
  assert isinstance(model, tfutils.Module)
