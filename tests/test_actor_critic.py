import math

import numpy as np
import pytest
import reference
import tensorflow as tf

from dreamerv2_tf import config as configlib
from dreamerv2_tf.actor_critic import ActorCritic
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.nets import layers
from dreamerv2_tf.tfutils import sg

H, N, F, A = 4, 3, 5, 2
LAMBDA = 0.8
SEED = tf.constant([1, 2])


def make(discrete=True, feat_dim=F, dtype=tf.float32, step=0, **settings):
  """An actor-critic with random weights, also in the slow critic."""
  config = configlib.resolve(['debug']).update({
      'precision': 32, 'discount_lambda': LAMBDA, 'actor_ent': 0.3,
      'actor.min_std': 0.1, '.*units': 6, 'imag_horizon': H, **settings})
  behavior = ActorCritic(
      config, feat_dim, A, discrete, tf.Variable(step, dtype=tf.int64),
      layers.Init(np.random.default_rng(0), dtype))
  return behavior, reference.scramble(behavior)


def make_dream(discrete=True):
  rng = np.random.default_rng(1)
  if discrete:
    action = np.eye(A)[rng.integers(A, size=[H + 1, N])]
  else:
    action = rng.uniform(-0.9, 0.9, size=[H + 1, N, A])
  return {
      'feat': rng.normal(size=[H + 1, N, F]), 'action': action,
      'reward': rng.normal(size=[H + 1, N]),
      'discount': rng.uniform(size=[H + 1, N]),
      'weight': rng.uniform(size=[H + 1, N])}


def tensors(seq):
  return {k: tf.cast(v, tf.float32) for k, v in seq.items()}


def loss_of(behavior, seq, target, value, grad='reinforce'):
  """Calls actor_loss after the policy has judged the actions of the dream."""
  seq = tensors(seq)
  dist = behavior.actor(sg(seq['feat'][:-1]))
  action = seq['action'][1:]
  log_prob = dist.log_prob(sg(action) if grad == 'reinforce' else action)
  first = [[1, 0], [0, 0]]
  return behavior.actor_loss(
      {**seq, 'log_prob': tf.pad(log_prob, first),
       'entropy': tf.pad(dist.entropy(), first)},
      tf.cast(target, tf.float32), tf.cast(value, tf.float32))


def value_of(w, seq, name='target_critic'):
  return reference.mlp(reference.part(w, name), seq['feat'])[..., 0]


def targets(w, seq):
  value = value_of(w, seq)
  return reference.lambda_return(
      seq['reward'][:-1], value[:-1], seq['discount'][:-1], value[-1], LAMBDA)


def policy_terms(w, feat, action, discrete):
  """Log-probability of the action and entropy at each state; NumPy."""
  net = reference.part(w, 'actor')
  hidden = reference.stack(net, feat)
  out = reference.dense(reference.part(net, 'out/out'), hidden, 'none')
  if discrete:
    logp = (reference.log_softmax(out) * action).sum(-1)
    return logp, reference.entropy_onehot(out)
  raw = reference.dense(reference.part(net, 'out/std'), hidden, 'none')
  loc, scale = np.tanh(out), 2 * reference.sigmoid(raw / 2) + 0.1
  return (
      reference.trunc_normal_logp(action, loc, scale).sum(-1),
      reference.trunc_normal_entropy(loc, scale).sum(-1))


def actor_loss(w, seq, target, grad, mix=0.0, scale=0.3, discrete=True,
               baseline=None):
  """Loss from the states 0 … H - 2 one by one; NumPy."""
  logp, entropy = policy_terms(
      w, seq['feat'][:-2], seq['action'][1:-1], discrete)
  value = value_of(w, seq) if baseline is None else baseline
  total = 0
  for i in range(H - 1):
    reinforce = logp[i] * (target[i + 1] - value[i])
    gain = {
        'reinforce': reinforce, 'dynamics': target[i + 1],
        'both': mix * target[i + 1] + (1 - mix) * reinforce}[grad]
    total -= (seq['weight'][i] * (gain + scale * entropy[i])).sum()
  return total / ((H - 1) * N)


def test_targets():
  behavior, w = make()
  seq = make_dream()
  target, value, metrics = behavior.target(tensors(seq))
  want = targets(w, seq)
  assert want.shape == (H, N)
  np.testing.assert_allclose(target, want, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(value, value_of(w, seq), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(metrics['critic_slow'], value_of(w, seq).mean(),
                             rtol=1e-4)
  np.testing.assert_allclose(metrics['critic_target'], want.mean(), rtol=1e-4)


def test_without_slow_target_the_critic_itself_makes_targets():
  behavior, w = make(slow_target=False)
  assert not any('target_critic' in k for k in w)
  seq = make_dream()
  value = value_of(w, seq, 'critic')
  np.testing.assert_allclose(
      behavior.target(tensors(seq))[1], value, rtol=1e-4, atol=1e-5)
  behavior.update_slow_target()


@pytest.mark.parametrize('discrete', [True, False])
@pytest.mark.parametrize('grad', ['reinforce', 'dynamics', 'both'])
def test_actor_loss(grad, discrete):
  behavior, w = make(discrete, actor_grad=grad, actor_grad_mix=0.25)
  seq = make_dream(discrete)
  target = targets(w, seq)
  got, metrics = loss_of(behavior, seq, target, value_of(w, seq), grad)
  want = actor_loss(w, seq, target, grad, 0.25, discrete=discrete)
  np.testing.assert_allclose(got, want, rtol=1e-4)
  entropy = policy_terms(
      w, seq['feat'][:-2], seq['action'][1:-1], discrete)[1].mean()
  np.testing.assert_allclose(metrics['actor_ent'], entropy, rtol=1e-4)
  np.testing.assert_allclose(metrics['actor_ent_scale'], 0.3)
  assert ('actor_grad_mix' in metrics) == (grad == 'both')


def test_the_first_target_and_the_last_two_states_are_not_used():
  behavior, w = make()
  seq = make_dream()
  inputs = [targets(w, seq), value_of(w, seq)]

  def loss(seq, target, value):
    return float(loss_of(behavior, seq, target, value)[0])

  want = loss(seq, *inputs)
  seq['feat'][-2:] += 9
  seq['weight'][-2:] += 9
  seq['action'][[0, -1]] = seq['action'][[0, -1], :, ::-1]
  target = inputs[0] + np.array([9.0] + [0.0] * (H - 1), 'f')[:, None]
  value = inputs[1] + np.array([0.0] * (H - 1) + [9.0] * 2, 'f')[:, None]
  assert loss(seq, target, value) == want
  seq['weight'][-3] += 9
  assert loss(seq, target, value) != want


@pytest.mark.parametrize('discrete, grad', [
    (True, 'reinforce'), (False, 'reinforce'), (False, 'both')])
def test_actor_gradient_equals_finite_differences(discrete, grad):
  behavior, w = make(discrete, actor_grad=grad, actor_grad_mix=0.25)
  seq = make_dream(discrete)
  target, value = targets(w, seq), value_of(w, seq)
  variables = behavior.actor.named_variables()
  with tf.GradientTape() as tape:
    loss, _ = loss_of(behavior, seq, target, value, grad)
  grads = tape.gradient(loss, variables)
  for path in ('dense0/kernel', 'out/out/bias'):
    got = grads[path].numpy().ravel()
    for index in range(2):
      shifted = []
      for shift in (1e-4, -1e-4):
        copy = {k: v.copy() for k, v in w.items()}
        copy[f'actor/{path}'].ravel()[index] += shift
        shifted.append(actor_loss(
            copy, seq, target, grad, 0.25, discrete=discrete))
      want = (shifted[0] - shifted[1]) / 2e-4
      np.testing.assert_allclose(got[index], want, rtol=2e-3, atol=1e-4)


def test_reinforce_stops_gradients_of_targets_and_actions():
  seq = tensors(make_dream(False))
  for grad, flows in (('reinforce', False), ('dynamics', True)):
    behavior, _ = make(False, actor_grad=grad)
    with tf.GradientTape() as tape:
      tape.watch(seq)
      target, value, _ = behavior.target(seq)
      loss, _ = loss_of(behavior, seq, target, value, grad)
    grads = tape.gradient(loss, seq)
    assert (grads['reward'] is not None) == flows
    assert (grads['discount'] is not None) == flows
    # Values, but not the policy, see the features.
    assert (grads['feat'] is not None) == flows
    assert grads['action'] is None and grads['weight'] is None


def test_both_judges_actions_by_their_log_probability():
  behavior, w = make(False, actor_grad='both', actor_grad_mix=0.0)
  seq = make_dream(False)
  target, value = targets(w, seq), value_of(w, seq)
  inputs = tensors(seq)
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    loss, _ = loss_of(behavior, inputs, target, value, 'both')
  got = tape.gradient(loss, inputs['action']).numpy()
  shifted = []
  for shift in (1e-4, -1e-4):
    action = seq['action'].copy()
    action[2, 1, 0] += shift
    shifted.append(actor_loss(
        w, seq | {'action': action}, target, 'both', discrete=False))
  np.testing.assert_allclose(
      got[2, 1, 0], (shifted[0] - shifted[1]) / 2e-4, rtol=1e-3)
  assert not got[0].any() and not got[-1].any()


def test_scales_follow_schedules_of_the_step():
  behavior, w = make(
      False, step=25, actor_grad='both', actor_ent='linear(1,0,100)',
      actor_grad_mix='warmup(50, 0.2)')
  seq = make_dream(False)
  target, value = targets(w, seq), value_of(w, seq)
  got, metrics = loss_of(behavior, seq, target, value, 'both')
  np.testing.assert_allclose(metrics['actor_ent_scale'], 0.75)
  np.testing.assert_allclose(metrics['actor_grad_mix'], 0.1)
  want = actor_loss(w, seq, target, 'both', 0.1, 0.75, discrete=False)
  np.testing.assert_allclose(got, want, rtol=1e-4)


@pytest.mark.parametrize('slow', [True, False])
def test_baseline(slow):
  behavior, w = make(slow_baseline=slow)
  seq = make_dream()
  target = targets(w, seq)
  got, _ = loss_of(behavior, seq, target, value_of(w, seq))
  baseline = value_of(w, seq, 'target_critic' if slow else 'critic')
  want = actor_loss(w, seq, target, 'reinforce', baseline=baseline)
  np.testing.assert_allclose(got, want, rtol=1e-4)


def test_critic_loss():
  behavior, w = make()
  seq = make_dream()
  target = targets(w, seq)
  value = value_of(w, seq, 'critic')
  inputs = tensors(seq), tf.constant(target, tf.float32)
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    loss, metrics = behavior.critic_loss(*inputs)
  logp = reference.normal_logp(target, value[:-1])
  np.testing.assert_allclose(
      loss, -(seq['weight'][:-1] * logp).mean(), rtol=1e-5)
  np.testing.assert_allclose(
      metrics['critic'], value[:-1].mean(), rtol=1e-4)
  grads = tape.gradient(loss, inputs)  # It is the critic alone that learns.
  assert all(g is None for g in tf.nest.flatten(grads))


def set_critic(behavior, value):
  behavior.critic.set_weights({
      k: np.full(v.shape, value, 'f')
      for k, v in behavior.critic.get_weights().items()})


def slow_weight(behavior):
  values = {
      float(x) for v in behavior.target_critic.get_weights().values()
      for x in v.ravel()}
  assert len(values) == 1
  return values.pop()


def test_slow_critic_is_copied_after_the_first_update_and_every_100():
  behavior, _ = make()
  update = tf.function(behavior.update_slow_target, autograph=False)
  history = []
  for i in range(1, 302):
    set_critic(behavior, i)
    update()
    history.append(slow_weight(behavior))
  assert history == [1] * 100 + [101] * 100 + [201] * 100 + [301]


def test_slow_critic_moves_by_a_fraction_but_starts_complete():
  behavior, _ = make(slow_target_update=2, slow_target_fraction=0.25)
  history = []
  for value in (8, 16, 16, 24, 24):
    set_critic(behavior, value)
    behavior.update_slow_target()
    history.append(slow_weight(behavior))
  first, second = 8 + 0.25 * 8, 10 + 0.25 * 14
  assert history == [8, 8, first, first, second]


def test_slow_critic_starts_as_a_copy():
  config = configlib.resolve(['debug'])
  behavior = ActorCritic(
      config, F, A, True, tf.Variable(0),
      layers.Init(np.random.default_rng(0)))
  fast, slow = (
      x.get_weights() for x in (behavior.critic, behavior.target_critic))
  assert any(v.any() for v in fast.values())
  for path in fast:
    np.testing.assert_array_equal(fast[path], slow[path])


class LineWorld:
  """A world whose state is the sum of all actions; the reward is the state.

  The policy sees zeros, so its action means depend on its bias alone.
  """

  def __init__(self, discount):
    self._discount = discount

  def imagine(self, policy, start, is_terminal, horizon, seed, cut):
    feat = tf.zeros([N, F])
    actions, terms = [tf.zeros([N, A])], [tf.zeros([2, N])]
    for i in range(horizon):
      dist = policy(feat)
      actions.append(dist.sample(seed=seed + i))
      judged = sg(actions[-1]) if cut else actions[-1]
      terms.append([dist.log_prob(judged), dist.entropy()])
    action = tf.stack(actions)
    log_prob, entropy = tf.unstack(tf.stack(terms), axis=1)
    discount = self._discount * tf.ones([horizon + 1, N])
    weight = tf.math.cumprod(discount, 0, exclusive=True)
    return {
        'feat': tf.stack([feat] * (horizon + 1)), 'action': action,
        'deter': tf.cumsum(tf.reduce_sum(action, -1)),
        'discount': discount, 'weight': weight, 'log_prob': log_prob,
        'entropy': entropy}


def test_dynamics_gradient_flows_through_the_dream_by_hand():
  # Horizon 3, lambda 1, critic 0: t1 = r1 + d * t2 and t2 = r2 (+ d * 0),
  # where r1 = a1 and r2 = a1 + a2. A sample follows its mean with slope 1.
  gamma, bias = 0.5, np.array([0.3, -0.4])
  behavior, w = make(
      False, imag_horizon=3, discount_lambda=1.0, actor_ent=0.0,
      actor_opt={'opt': 'sgd', 'lr': 1.0, 'clip': 0.0, 'wd': 0.0},
      critic_opt={'opt': 'sgd', 'lr': 0.0, 'clip': 0.0, 'wd': 0.0})
  w = {k: np.zeros_like(v) for k, v in w.items()} | {
      'actor/out/out/bias': bias, 'rewnorm/mag': np.array(1.0)}
  behavior.set_weights(w)
  metrics = behavior.train(
      LineWorld(gamma), {}, None, lambda seq: seq['deter'], SEED)
  slope = 1 - np.tanh(bias) ** 2  # Of the mean, tanh(bias).
  first, second = slope * (1 + gamma * 2), slope * 2
  grad = -(first + gamma * second) / 2  # Weights 1 and gamma; mean of two.
  np.testing.assert_allclose(
      behavior.get_weights()['actor/out/out/bias'], bias - grad, rtol=1e-5)
  assert np.isfinite(float(metrics['actor_grad_norm']))


def test_reinforce_gradient_by_hand():
  # A bandit: reward 1 for action 0.
  behavior, w = make(
      True, imag_horizon=2, discount_lambda=1.0, actor_ent=0.0,
      actor_opt={'opt': 'sgd', 'lr': 1.0, 'clip': 0.0, 'wd': 0.0},
      critic_opt={'opt': 'sgd', 'lr': 0.0, 'clip': 0.0, 'wd': 0.0})
  behavior.set_weights({k: np.zeros_like(v) for k, v in w.items()} | {
      'rewnorm/mag': np.array(1.0)})
  dreams = []

  def reward(seq):
    dreams.append(seq['action'].numpy())
    return seq['action'][..., 0]

  behavior.train(LineWorld(0.5), {}, None, reward, SEED)
  # Only state 0 makes a loss: log p(a1) * (t1 - v0), t1 = r1, v = 0.
  first = dreams[0][1]
  grad = -(first[:, :1] * (first - 0.5)).mean(0)
  np.testing.assert_allclose(
      behavior.get_weights()['actor/out/out/bias'], -grad, rtol=1e-5)


def test_training_touches_actor_and_critic_and_copies_the_critic():
  behavior, before = make(False)
  behavior.train(LineWorld(0.5), {}, None, lambda seq: seq['deter'], SEED)
  after = behavior.get_weights()
  for path in before:
    moved = not np.allclose(after[path], before[path], rtol=1e-6, atol=0)
    # The policy saw zeros, so the first kernel has no gradient, but decay.
    assert moved or 'rewnorm' in path or path.endswith('dense0/kernel'), path
  for path, value in behavior.critic.get_weights().items():
    np.testing.assert_array_equal(after[f'target_critic/{path}'], value)


class Bandit:
  """A world that stays as it is, whatever is done; remembers its starts."""

  class rssm:  # noqa: N801  Stands for an instance.
    get_feat = staticmethod(lambda state: state['deter'])

  def __init__(self):
    self.starts = []

  def imagine(self, policy, start, is_terminal, horizon, seed, cut, first=None):
    start = tf.reshape(start['deter'], [-1, F])
    self.starts.append((start.numpy(), is_terminal))
    count = start.shape[0]
    dist = policy(start)
    action = [tf.zeros([count, A])] + [
        dist.sample(seed=seed + i) for i in range(horizon)]
    if first is not None:
      action[1:1 + len(first)] = tf.unstack(first)
    ones = tf.ones([horizon + 1, count])
    return {
        'feat': tf.stack([start] * (horizon + 1)), 'deter': tf.stack(
            [start] * (horizon + 1)), 'action': tf.stack(action),
        'discount': ones, 'weight': ones * 0.5, 'log_prob': ones * 0,
        'entropy': ones * 0}


def payoff(seq):
  """Action 1 pays 0.3."""
  return 0.3 * seq['action'][..., 1]


def make_bandit_player(**settings):
  behavior, w = make(True, actor_grad='lookahead', **settings)
  # The critic says 0 everywhere.
  behavior.set_weights({
      k: np.zeros_like(v) if 'critic' in k else v for k, v in w.items()} | {
          'rewnorm/mag': np.array(1.0)})
  return behavior


def make_states(count):
  return {'deter': tf.constant(
      np.random.default_rng(3).normal(size=[1, count, F]), tf.float32)}


def test_lookahead_returns_what_comes_of_each_sequence_of_actions():
  behavior = make_bandit_player()
  states = {'deter': make_states(N)['deter'][0]}
  one = behavior.lookahead(
      Bandit(), states, payoff, SEED, horizon=2, samples=3)
  np.testing.assert_allclose(one, [[0.0] * N, [0.3] * N], rtol=1e-6)
  two = behavior.lookahead(
      Bandit(), states, payoff, SEED, horizon=3, samples=2, depth=2)
  np.testing.assert_allclose(  # Lambda is 0.8, the critic 0.
      two, np.outer([0, 0.8 * 0.3, 0.3, 0.3 + 0.8 * 0.3], np.ones(N)),
      rtol=1e-5, atol=1e-7)


def set_actor(behavior, logits):
  """Makes the policy the same in every state."""
  weights = {
      k: np.zeros_like(v) if k.startswith('actor/') else v
      for k, v in behavior.get_weights().items()}
  weights['actor/out/out/bias'] = np.array(logits, np.float32)
  behavior.set_weights(weights)


def lookahead_slope(behavior, logits):
  """The negative gradient of the loss to the bias of the logits."""
  set_actor(behavior, logits)
  seq = Bandit().imagine(
      behavior.actor, make_states(N), None, H, SEED, True)
  with tf.GradientTape() as tape:
    loss, metrics = behavior.lookahead_loss(Bandit(), seq, payoff, SEED)
  np.testing.assert_allclose(metrics['lookahead_gain'], 0.15, rtol=1e-5)
  return -tape.gradient(loss, behavior.actor.out.out.bias).numpy()


@pytest.mark.parametrize('logits, slope', [
    # Uniform: gaps -0.15 and 0.15; half of each through the mean of the
    # logits; the weight of all states is 0.5.
    ([0.0, 0.0], 0.5 * 0.15),
    # pi = softmax(Q / eta) = softmax(0, 0.3 / 0.3): nothing is left to gain.
    ([-0.5, 0.5], 0.0),
    # Beyond the limit: action 1, given up, comes back with a gap of 0.3 plus
    # 60 eta; the other one, sure to be taken, has no gap.
    ([30.0, -30.0], 0.5 * (0.3 + 0.3 * 60) / 2),
])
def test_lookahead_draws_the_actor_to_the_softmax_of_what_it_found(
    logits, slope):
  behavior = make_bandit_player(lookahead={'states': 2})
  np.testing.assert_allclose(
      lookahead_slope(behavior, logits), [-slope, slope],
      rtol=1e-4, atol=1e-6)


def test_lookahead_leaves_logits_beyond_the_limit_where_they_would_go_on():
  behavior = make_bandit_player(lookahead={'states': 2}, actor_ent=0.0)
  assert lookahead_slope(behavior, [-5.9, 5.9])[1] > 0
  np.testing.assert_array_equal(lookahead_slope(behavior, [-6.1, 6.1]), 0)


def test_dreams_start_from_as_many_states_as_asked_for_drawn_without_return():
  behavior = make_bandit_player(imag_starts=4)
  world, states = Bandit(), make_states(6)
  flags = tf.constant([[False, True] * 3])
  behavior.train(world, states, flags, payoff, SEED)
  start, terminal = world.starts[0]
  rows = [states['deter'][0].numpy().tolist().index(x.tolist()) for x in start]
  assert len(set(rows)) == 4
  np.testing.assert_array_equal(terminal[:, 0], [row % 2 for row in rows])


def test_several_updates_per_step_dream_anew_each_time():
  behavior = make_bandit_player(actor_critic_steps=3, imag_starts=2)
  world = Bandit()
  behavior.train(
      world, make_states(6), tf.zeros([1, 6], bool), payoff, SEED)
  assert int(behavior.updates) == 3
  starts = [x.tolist() for x, _ in world.starts[::2]]  # Others look ahead.
  assert len(starts) == 3 and starts[0] != starts[1]


def test_lookahead_needs_actions_that_can_be_listed():
  with pytest.raises(ConfigError, match='actor_grad lookahead tries every'):
    make(False, actor_grad='lookahead')


def test_rewards_are_normalised():
  behavior, _ = make(reward_norm={'momentum': 0.0, 'scale': 2.0})
  metrics = behavior.train(
      LineWorld(0.5), {}, None, lambda seq: tf.fill([H + 1, N], 8.0), SEED)
  np.testing.assert_allclose(metrics['reward_mean'], 8)
  np.testing.assert_allclose(metrics['reward_normed_mean'], 2)


def test_auto_fits_the_actions():
  for discrete, names in ((True, {'out'}), (False, {'out', 'std'})):
    behavior, _ = make(discrete, actor_grad='auto')
    got = {
        k.split('/')[1] for k in behavior.actor.get_weights()
        if k.startswith('out/')}
    assert got == names
    metrics = behavior.train(
        LineWorld(0.5), {}, None, lambda seq: seq['deter'], SEED)
    assert math.isfinite(metrics['actor_loss'])


@pytest.mark.parametrize('dist, discrete, message', [
    ('trunc_normal', True, 'actions are discrete. Use auto or onehot.'),
    ('mse', True, 'actions are discrete. Use auto or onehot.'),
    ('onehot', False, 'Use auto or trunc_normal or tanh_normal.'),
    ('normal', False, 'continuous, in .-1, 1.. Use auto or trunc')])
def test_distribution_that_the_actions_do_not_allow(dist, discrete, message):
  config = configlib.resolve(['debug'], ['--actor.dist', dist])
  with pytest.raises(ConfigError, match=message) as info:
    ActorCritic(config, F, A, discrete, tf.Variable(0),
                layers.Init(np.random.default_rng(0)))
  assert f"actor.dist is '{dist}', but" in str(info.value)


def test_unknown_gradient():
  config = configlib.resolve(['debug'])
  config = type(config)(config.to_dict() | {'actor_grad': 'reparam'})
  with pytest.raises(ConfigError, match="lookahead, values but is 'reparam'"):
    ActorCritic(config, F, A, True, tf.Variable(0),
                layers.Init(np.random.default_rng(0)))
