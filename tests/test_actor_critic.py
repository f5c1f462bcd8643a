import math

import builders
from builders import SEED, SGD
import numpy as np
import pytest
import reference
import tensorflow as tf

from dreamerv2_tf import lookahead
from dreamerv2_tf.actor_critic import ActorCritic
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.tfutils import sg

H, N, F, A = 4, 3, 5, 2
LAMBDA = 0.8
STILL = SGD | {'lr': 0.0}


def make(discrete=True, **settings):
  """An actor-critic with random weights, also in the slow critic."""
  behavior = builders.actor_critic(F, A, discrete, **{
      'discount_lambda': LAMBDA, 'actor_ent': 0.3, 'actor.min_std': 0.1,
      'imag_horizon': H, **settings})
  return behavior, reference.scramble(behavior)


def make_dream():
  rng = np.random.default_rng(1)
  normal = lambda *shape: rng.normal(size=[H + 1, N, *shape])
  return builders.dream(
      feat=normal(F), action=normal(A), reward=normal(),
      discount=rng.uniform(size=[H + 1, N]),
      weight=rng.uniform(size=[H + 1, N]), log_prob=normal(),
      entropy=normal())


def value_of(w, dream, name='target_critic'):
  value = reference.mlp(reference.part(w, name), dream.feat.numpy())
  return value[..., 0].astype(np.float32)


def targets(w, dream):
  value = value_of(w, dream)
  return tf.constant(reference.lambda_return(
      dream.reward[:-1].numpy(), value[:-1], dream.discount[:-1].numpy(),
      value[-1], LAMBDA), tf.float32)


def actor_loss(dream, target, baseline, mix=0.0, scale=0.3):
  """Loss from the states 0 ... H - 2 one by one; NumPy."""
  dream = [x.numpy() for x in (dream.log_prob, dream.entropy, dream.weight)]
  log_prob, entropy, weight = dream
  total = 0
  for i in range(H - 1):
    reinforce = log_prob[i + 1] * (target[i + 1] - baseline[i])
    gain = mix * target[i + 1] + (1 - mix) * reinforce
    total -= (weight[i] * (gain + scale * entropy[i + 1])).numpy().sum()
  return total / ((H - 1) * N)


def test_targets():
  behavior, w = make()
  dream = make_dream()
  target, value, metrics = behavior.target(dream)
  want = targets(w, dream)
  assert want.shape == (H, N)
  np.testing.assert_allclose(target, want, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(value, value_of(w, dream), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
      metrics['critic_slow'], value_of(w, dream).mean(), rtol=1e-4)
  np.testing.assert_allclose(
      metrics['critic_target'], want.numpy().mean(), rtol=1e-4)


def test_without_slow_target_the_critic_itself_makes_targets():
  behavior, w = make(slow_target=False)
  assert not any('target_critic' in k for k in w)
  dream = make_dream()
  value = value_of(w, dream, 'critic')
  np.testing.assert_allclose(
      behavior.target(dream)[1], value, rtol=1e-4, atol=1e-5)
  behavior.update_slow_target()


@pytest.mark.parametrize('grad, mix', [
    ('reinforce', 0.0), ('dynamics', 1.0), ('both', 0.25)])
def test_actor_loss(grad, mix):
  behavior, w = make(actor_grad=grad, actor_grad_mix=0.25)
  dream = make_dream()
  target, value = targets(w, dream), value_of(w, dream)
  got, metrics = behavior.actor_loss(dream, target, tf.constant(value))
  np.testing.assert_allclose(
      got, actor_loss(dream, target, value, mix), rtol=1e-4)
  np.testing.assert_allclose(
      metrics['actor_ent'], dream.entropy[1:-1].numpy().mean(), rtol=1e-4)
  np.testing.assert_allclose(metrics['actor_ent_scale'], 0.3)
  assert ('actor_grad_mix' in metrics) == (grad == 'both')


def test_the_first_target_and_the_last_two_states_are_not_used():
  behavior, w = make()
  dream = make_dream()
  target, value = targets(w, dream), tf.constant(value_of(w, dream))

  def loss(dream, target, value):
    return float(behavior.actor_loss(dream, target, value)[0])

  def shift(x, *rows):
    return x + tf.reduce_sum(tf.one_hot(rows, len(x)), 0)[:, None] * 9

  want = loss(dream, target, value)
  unused = dream._replace(
      weight=shift(dream.weight, H - 1, H),
      log_prob=shift(dream.log_prob, 0, H),
      entropy=shift(dream.entropy, 0, H))
  assert loss(unused, shift(target, 0), shift(value, H - 1, H)) == want
  for used in (
      {'weight': shift(dream.weight, H - 2)},
      {'log_prob': shift(dream.log_prob, H - 1)},
      {'entropy': shift(dream.entropy, 1)}):
    assert loss(dream._replace(**used), target, value) != want
  assert loss(dream, shift(target, H - 1), value) != want
  assert loss(dream, target, shift(value, H - 2)) != want


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


@pytest.mark.parametrize('discrete', [True, False])
def test_gradients_of_the_policy_equal_finite_differences(discrete):
  behavior, w = make(discrete)
  rng = np.random.default_rng(1)
  feat, gain = rng.normal(size=[N, F]), rng.normal(size=[N])
  action = rng.uniform(-0.9, 0.9, [N, A])
  if discrete:
    action = np.eye(A)[rng.integers(A, size=N)]
  want = lambda w: (np.array(policy_terms(w, feat, action, discrete))
                    * [gain, np.full(N, 0.3)]).sum()
  variables = behavior.actor.named_variables()
  with tf.GradientTape() as tape:
    dist = behavior.actor(tf.constant(feat, tf.float32))
    total = tf.reduce_sum(
        dist.log_prob(tf.constant(action, tf.float32)) * gain.astype('f')
        + 0.3 * dist.entropy())
  np.testing.assert_allclose(total, want(w), rtol=1e-4)
  grads = tape.gradient(total, variables)
  for path in ('dense0/kernel', 'out/out/bias'):
    for index in range(2):
      shifted = []
      for shift in (1e-4, -1e-4):
        copy = {k: v.copy() for k, v in w.items()}
        copy[f'actor/{path}'].ravel()[index] += shift
        shifted.append(want(copy))
      np.testing.assert_allclose(
          grads[path].numpy().ravel()[index],
          (shifted[0] - shifted[1]) / 2e-4, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize('grad, flows', [
    ('reinforce', False), ('dynamics', True)])
def test_reinforce_stops_the_gradients_of_the_dream(grad, flows):
  behavior, _ = make(False, actor_grad=grad)
  dream = make_dream()
  fields = {k: getattr(dream, k) for k in (
      'reward', 'discount', 'feat', 'action', 'weight', 'log_prob')}
  with tf.GradientTape() as tape:
    tape.watch(fields)
    target, value, _ = behavior.target(dream)
    loss, _ = behavior.actor_loss(dream, target, value)
  reach = {k for k, v in tape.gradient(loss, fields).items() if v is not None}
  # Values see the features.
  assert reach == ({'reward', 'discount', 'feat'} if flows else {'log_prob'})


def test_scales_follow_schedules_of_the_step():
  behavior, w = make(
      False, step=25, actor_grad='both', actor_ent='linear(1,0,100)',
      actor_grad_mix='warmup(50, 0.2)')
  dream = make_dream()
  target, value = targets(w, dream), value_of(w, dream)
  got, metrics = behavior.actor_loss(dream, target, tf.constant(value))
  np.testing.assert_allclose(metrics['actor_ent_scale'], 0.75)
  np.testing.assert_allclose(metrics['actor_grad_mix'], 0.1)
  np.testing.assert_allclose(
      got, actor_loss(dream, target, value, 0.1, 0.75), rtol=1e-4)


@pytest.mark.parametrize('slow', [True, False])
def test_baseline(slow):
  behavior, w = make(slow_baseline=slow)
  dream = make_dream()
  target = targets(w, dream)
  got, _ = behavior.actor_loss(
      dream, target, tf.constant(value_of(w, dream)))
  baseline = value_of(w, dream, 'target_critic' if slow else 'critic')
  np.testing.assert_allclose(
      got, actor_loss(dream, target, baseline), rtol=1e-4)


def test_critic_loss():
  behavior, w = make()
  dream = make_dream()
  target = targets(w, dream)
  value = value_of(w, dream, 'critic')
  inputs = {'feat': dream.feat, 'weight': dream.weight, 'target': target}
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    loss, metrics = behavior.critic_loss(dream, target)
  logp = reference.normal_logp(target.numpy(), value[:-1])
  np.testing.assert_allclose(
      loss, -(dream.weight[:-1].numpy() * logp).mean(), rtol=1e-5)
  np.testing.assert_allclose(
      metrics['critic'], value[:-1].mean(), rtol=1e-4)
  grads = tape.gradient(loss, inputs)  # It is the critic alone that learns.
  assert all(g is None for g in grads.values())


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
  behavior = builders.actor_critic(F, A)
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

  def imagine(self, policy, start, is_terminal, horizon, seed, stop_gradients):
    feat = tf.zeros([N, F])
    actions, terms = [tf.zeros([N, A])], [tf.zeros([2, N])]
    for i in range(horizon):
      dist = policy(feat)
      actions.append(dist.sample(seed=seed + i))
      judged = sg(actions[-1]) if stop_gradients else actions[-1]
      terms.append([dist.log_prob(judged), dist.entropy()])
    action = tf.stack(actions)
    log_prob, entropy = tf.unstack(tf.stack(terms), axis=1)
    discount = self._discount * tf.ones([horizon + 1, N])
    weight = tf.math.cumprod(discount, 0, exclusive=True)
    return builders.dream(
        state={'deter': tf.cumsum(tf.reduce_sum(action, -1))},
        feat=tf.stack([feat] * (horizon + 1)), action=action,
        discount=discount, weight=weight, log_prob=log_prob, entropy=entropy)


def position(dream):
  return dream.state['deter']


def test_dynamics_gradient_flows_through_the_dream_by_hand():
  # Horizon 3, lambda 1, critic 0: t1 = r1 + d * t2 and t2 = r2 (+ d * 0),
  # where r1 = a1 and r2 = a1 + a2. A sample follows its mean with slope 1.
  gamma, bias = 0.5, np.array([0.3, -0.4])
  behavior, w = make(
      False, imag_horizon=3, discount_lambda=1.0, actor_ent=0.0,
      actor_opt=SGD, critic_opt=STILL)
  w = {k: np.zeros_like(v) for k, v in w.items()} | {
      'actor/out/out/bias': bias, 'rewnorm/mag': np.array(1.0)}
  behavior.set_weights(w)
  metrics = behavior.train(
      LineWorld(gamma), {}, None, position, SEED)
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
      actor_opt=SGD, critic_opt=STILL)
  behavior.set_weights({k: np.zeros_like(v) for k, v in w.items()} | {
      'rewnorm/mag': np.array(1.0)})
  dreams = []

  def reward(dream):
    dreams.append(dream.action.numpy())
    return dream.action[..., 0]

  behavior.train(LineWorld(0.5), {}, None, reward, SEED)
  # Only state 0 makes a loss: log p(a1) * (t1 - v0), t1 = r1, v = 0.
  first = dreams[0][1]
  grad = -(first[:, :1] * (first - 0.5)).mean(0)
  np.testing.assert_allclose(
      behavior.get_weights()['actor/out/out/bias'], -grad, rtol=1e-5)


def still_actor(behavior, w, bias):
  """Sets all weights to zero but the bias of the actor's output."""
  behavior.set_weights({k: np.zeros_like(v) for k, v in w.items()} | {
      'actor/out/out/bias': bias, 'rewnorm/mag': np.array(1.0)})


@pytest.mark.parametrize('mix, step, share', [
    (0.3, 0, 0.3), ('linear(0.1,0.9,200)', 50, 0.3), ('warmup(50,0.2)', 25, 0.1)
])
def test_mixed_gradient_of_discrete_actions_by_hand(mix, step, share):
  # A bandit, over at once: reward 1 for action 0. Straight through the
  # sample, its gradient is that of the probability of action 0.
  bias = np.array([0.5, -0.2])
  behavior, w = make(
      True, imag_horizon=2, discount_lambda=1.0, actor_ent=0.0, step=step,
      actor_grad='both', actor_grad_mix=mix, actor_opt=SGD, critic_opt=STILL)
  still_actor(behavior, w, bias)
  dreams = []

  def reward(dream):
    dreams.append(dream.action.numpy())
    return dream.action[..., 0]

  metrics = behavior.train(LineWorld(0.5), {}, None, reward, SEED)
  first = dreams[0][1]
  probs = np.exp(bias) / np.exp(bias).sum()
  dynamics = probs[0] * (np.eye(2)[0] - probs)
  reinforce = (first[:, :1] * (first - probs)).mean(0)
  np.testing.assert_allclose(metrics['actor_grad_mix'], share, rtol=1e-6)
  np.testing.assert_allclose(
      behavior.get_weights()['actor/out/out/bias'] - bias,
      share * dynamics + (1 - share) * reinforce, rtol=1e-5)


def test_mixed_gradient_of_continuous_actions_by_hand():
  # Reward: the sum of the action, so that its gradient is that of the mean.
  # As in the original, the log-probability is that of a sample that moves
  # with the mean: only how much lies within the bounds changes.
  mix, bias = 0.3, np.array([0.3, -0.4])
  behavior, w = make(
      False, imag_horizon=2, discount_lambda=1.0, actor_ent=0.0,
      actor_grad='both', actor_grad_mix=mix, actor_opt=SGD, critic_opt=STILL)
  still_actor(behavior, w, bias)
  dreams = []

  def reward(dream):
    dreams.append(dream.action.numpy().astype(np.float64))
    return position(dream)

  behavior.train(LineWorld(0.5), {}, None, reward, SEED)
  action = dreams[0][1]
  loc, scale, slope = np.tanh(bias), 1 + 0.1, 1 - np.tanh(bias) ** 2
  moved = lambda e: reference.trunc_normal_logp(action + e, loc + e, scale)
  score = (moved(1e-4) - moved(-1e-4)) / 2e-4
  gain = action.sum(-1, keepdims=True)  # The critic says 0.
  want = slope * (mix + (1 - mix) * (score * gain).mean(0))
  np.testing.assert_allclose(
      behavior.get_weights()['actor/out/out/bias'] - bias, want, rtol=1e-4)


def test_training_touches_actor_and_critic_and_copies_the_critic():
  behavior, before = make(False)
  behavior.train(LineWorld(0.5), {}, None, position, SEED)
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

  def imagine(
      self, policy, start, is_terminal, horizon, seed, stop_gradients,
      first=None, skip=0):
    start = tf.reshape(start['deter'], [-1, F])
    self.starts.append((start.numpy(), is_terminal))
    count = start.shape[0]
    dist = policy(start)
    action = [tf.zeros([count, A])] + [
        dist.sample(seed=seed + i) for i in range(horizon)]
    if first is not None:
      action[1:1 + len(first)] = tf.unstack(first)
    ones = tf.ones([horizon + 1, count])
    feat = tf.stack([start] * (horizon + 1))
    dream = {
        'state': {'deter': feat}, 'feat': feat, 'action': tf.stack(action),
        'discount': ones, 'weight': ones * 0.5, 'log_prob': ones * 0,
        'entropy': ones * 0}
    dream = tf.nest.map_structure(lambda x: x[skip:], dream)
    if skip:
      dream['discount'] = dream['discount'][:-1]
    return builders.dream(**dream)


def payoff(dream):
  """Action 1 pays 0.3."""
  return 0.3 * dream.action[..., 1]


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


def lookahead_slope(behavior, logits, ent_scale=0.3):
  """The negative gradient of the loss to the bias of the logits."""
  set_actor(behavior, logits)
  dream = Bandit().imagine(
      behavior.actor, make_states(N), None, H, SEED, True)
  with tf.GradientTape() as tape:
    loss, metrics = lookahead.loss(
        Bandit(), behavior.actor, behavior.judge(payoff), dream, SEED,
        actions=A, states=2, horizon=2, samples=2, ent_scale=ent_scale)
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
  behavior = make_bandit_player()
  np.testing.assert_allclose(
      lookahead_slope(behavior, logits), [-slope, slope],
      rtol=1e-4, atol=1e-6)


def test_lookahead_leaves_logits_beyond_the_limit_where_they_would_go_on():
  behavior = make_bandit_player()
  assert lookahead_slope(behavior, [-5.9, 5.9], 0.0)[1] > 0
  np.testing.assert_array_equal(
      lookahead_slope(behavior, [-6.1, 6.1], 0.0), 0)


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
      LineWorld(0.5), {}, None, lambda dream: tf.fill([H + 1, N], 8.0), SEED)
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
        LineWorld(0.5), {}, None, position, SEED)
    assert math.isfinite(metrics['actor_loss'])


@pytest.mark.parametrize('dist, discrete, message', [
    ('trunc_normal', True, 'actions are discrete. Use auto or onehot.'),
    ('mse', True, 'actions are discrete. Use auto or onehot.'),
    ('onehot', False, 'Use auto or trunc_normal or tanh_normal.'),
    ('normal', False, 'continuous, in .-1, 1.. Use auto or trunc')])
def test_distribution_that_the_actions_do_not_allow(dist, discrete, message):
  with pytest.raises(ConfigError, match=message) as info:
    make(discrete, **{'actor.dist': dist})
  assert f"actor.dist is '{dist}', but" in str(info.value)


def test_unknown_gradient():
  given = builders.config().taken_by(ActorCritic) | {'actor_grad': 'reparam'}
  with pytest.raises(ConfigError, match="lookahead but is 'reparam'"):
    ActorCritic(F, A, True, tf.Variable(0), builders.init(), **given)
