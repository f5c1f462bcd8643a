"""Values of all actions, against sums made by hand."""

import builders
from builders import SEED
import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tf import action_values
from dreamerv2_tf.action_values import ActionValues
from dreamerv2_tf.errors import ConfigError

F, A, N = 2, 3, 4


class Chain:
  """A world in which action 2 pays 1 and ends it with probability 1/2."""

  def imagine(
      self, policy, start, is_terminal, horizon, seed, stop_gradients, first):
    assert stop_gradients and is_terminal is None
    count = start['deter'].shape[1]
    feat = tf.zeros([count, F])
    actions = [tf.zeros([count, A]), *tf.unstack(first)]
    for i in range(horizon - 1):
      actions.append(policy(feat).sample(seed=seed + i))
    action = tf.stack(actions)
    discount = 1 - 0.5 * action[..., 2]
    return builders.dream(
        feat=tf.zeros([horizon + 1, count, F]), action=action,
        discount=discount, weight=tf.ones_like(discount))


def pay(dream):
  return dream.action[..., 2]


def make(**settings):
  return builders.actor_critic(F, A, **{
      'actor_grad': 'values', 'imag_horizon': 2, 'actor_ent': 0.1,
      '.*_opt.lr': 3e-3, 'slow_target_update': 1, 'slow_target_fraction': 0.1,
      'imag_noise': 0.2, '.*units': 32, **settings})


class TestTreeBackup:

  REWARD = np.array([[1.0], [2.0], [3.0]])
  VALUE = np.array([[10.0], [20.0], [30.0]])
  DISCOUNT = np.array([[0.5], [0.5], [0.1]])
  TAKEN = np.array([[8.0], [16.0]])

  def target(self, trace):
    return action_values.tree_backup(
        self.REWARD, self.VALUE, self.DISCOUNT, self.TAKEN,
        np.full([2, 1], trace)).numpy()[:, 0].tolist()

  def test_without_a_trace_the_next_value_stands(self):
    assert self.target(0.0) == [1 + 5, 2 + 10, 3 + 3]

  def test_a_full_trace_replaces_what_was_thought_of_the_action_taken(self):
    last = 3 + 0.1 * 30
    middle = 2 + 0.5 * (20 + last - 16)
    assert self.target(1.0) == [1 + 0.5 * (10 + middle - 8), middle, last]

  def test_a_trace_counts_as_far_as_the_policy_takes_the_action(self):
    last = 3 + 0.1 * 30
    middle = 2 + 0.5 * (20 + 0.25 * (last - 16))
    first = 1 + 0.5 * (10 + 0.25 * (middle - 8))
    np.testing.assert_allclose(self.target(0.25), [first, middle, last])


def test_the_critic_says_what_the_policy_is_worth():
  behavior = make()
  feat = tf.constant(np.random.default_rng(0).normal(size=[5, F]), tf.float32)
  probs = behavior.actor(feat).probs_parameter()
  values = behavior.values(behavior.critic, feat, probs)
  assert np.ptp(values, -1).min() > 1e-4
  np.testing.assert_allclose(
      tf.reduce_sum(probs * values, -1), behavior.critic(feat).mode(),
      rtol=1e-5, atol=1e-6)


def test_dreams_begin_with_every_action_as_often():
  values = make().values
  first = values.first(3000, SEED).numpy()
  assert first.shape == (1, 3000, A)
  np.testing.assert_array_equal(first.sum(-1), 1)
  np.testing.assert_allclose(first.mean(1)[0], 1 / A, atol=0.03)


def test_noise_gives_each_action_its_share_of_the_policy():
  behavior = make(imag_noise=0.3)
  feat = tf.ones([1, F])
  probs = behavior.actor(feat).probs_parameter()
  np.testing.assert_allclose(
      behavior.values.explore(behavior.actor)(feat).probs_parameter(),
      0.7 * probs + 0.1, rtol=1e-5)


def test_values_become_those_of_the_best_policy():
  behavior = make(discount_lambda=0.5)
  train = tf.function(lambda seed: behavior.train(
      Chain(), {'deter': tf.zeros([1, 64, F])}, None, pay, seed))
  for i in range(1500):
    metrics = train(tf.constant([0, i]))
  # Q(2) = 1 + V / 2 and Q(other) = V are the same for V = 2.
  feat = tf.zeros([1, F])
  probs = behavior.actor(feat).probs_parameter()
  np.testing.assert_allclose(
      behavior.values(behavior.critic, feat, probs)[0], [2, 2, 2], atol=0.1)
  assert float(metrics['critic_target']) == pytest.approx(2, abs=0.1)
  assert metrics['action_gap'] < 0.1


@pytest.mark.parametrize('slow', [True, False])
def test_the_policy_imitates_the_softmax_of_the_values(slow):
  behavior = make(slow_target=slow, discount_lambda=0.9)
  class Bandit(Chain):
    def imagine(self, *args, **kwargs):
      dream = super().imagine(*args, **kwargs)
      return dream._replace(discount=0.5 * tf.ones_like(dream.discount))
  train = tf.function(lambda seed: behavior.train(
      Bandit(), {'deter': tf.zeros([1, 64, F])}, None,
      lambda dream: 0.1 * pay(dream), seed))
  for i in range(1500):
    train(tf.constant([0, i]))
  # Gaps of 0.1 with a weight of 0.1: e times as likely as each other action.
  np.testing.assert_allclose(
      behavior.actor(tf.zeros([1, F])).probs_parameter()[0],
      np.array([1, 1, np.e]) / (2 + np.e), atol=0.03)


class TestReplayLoss:

  def rows(self, **change):
    rng = np.random.default_rng(0)
    rows = {
        'feat': rng.normal(size=[1, 4, F]), 'action': np.eye(A)[[[0, 2, 1, 0]]],
        'reward': [[9.0, 1.0, 2.0, 3.0]], 'discount': [[0.9, 0.5, 0.0, 0.9]],
        **change}
    first = tf.constant(rows.pop('is_first', [[True, False, False, False]]))
    return action_values.Replayed(is_first=first, **{
        k: tf.constant(v, tf.float32) for k, v in rows.items()})

  def loss(self, behavior, rows):
    return float(behavior.values.replay_loss(
        behavior.actor, behavior.critic, behavior.critic, rows,
        tf.constant(0.1)))

  def values(self, behavior, rows):
    probs = behavior.actor(rows.feat).probs_parameter()
    return behavior.values(behavior.critic, rows.feat, probs).numpy()[0]

  def test_values_are_compared_with_reward_and_value_of_the_next_row(self):
    behavior = make(slow_target=False, discount_lambda=0)
    rows = self.rows()
    q = self.values(behavior, rows)
    greedy = np.exp(q / 0.1) / np.exp(q / 0.1).sum(-1, keepdims=True)
    v = (greedy * q).sum(-1)
    errors = [
        q[0, 2] - (1 + 0.5 * v[1]), q[1, 1] - 2.0, q[2, 0] - (3 + 0.9 * v[3])]
    assert self.loss(behavior, rows) == pytest.approx(
        np.square(errors).mean() / 2, rel=1e-4)

  def test_the_trace_follows_the_episode(self):
    behavior = make(slow_target=False, discount_lambda=1)
    rows = self.rows()
    q = self.values(behavior, rows)
    greedy = np.exp(q / 0.1) / np.exp(q / 0.1).sum(-1, keepdims=True)
    v = (greedy * q).sum(-1)
    later = v[1] + greedy[1, 1] * (2.0 - q[1, 1])
    errors = [
        q[0, 2] - (1 + 0.5 * later), q[1, 1] - 2.0, q[2, 0] - (3 + 0.9 * v[3])]
    assert self.loss(behavior, rows) == pytest.approx(
        np.square(errors).mean() / 2, rel=1e-4)

  def test_no_value_reaches_into_another_episode(self):
    behavior = make(slow_target=False, discount_lambda=1)
    first = [[True, False, False, True]]
    rows = self.rows(is_first=first, discount=[[0.9, 0.5, 0.9, 0.9]])
    other = self.rows(
        is_first=first, discount=[[0.9, 0.5, 0.9, 0.1]],
        reward=[[9.0, 1.0, 2.0, -7.0]], action=np.eye(A)[[[0, 2, 1, 2]]])
    assert self.loss(behavior, rows) == self.loss(behavior, other)
    assert self.loss(behavior, self.rows(is_first=[[True] * 4])) == 0

  def test_an_agent_holds_its_values_to_what_was_replayed(self):
    settings = {'actor_grad': 'values', 'replay_values': 2.0}
    agent = builders.agent(settings=settings)
    _, metrics = agent.train(builders.batch())
    assert metrics['replay_value_loss'] > 0
    assert metrics['critic_loss'] > 2 * metrics['replay_value_loss']
    without = builders.agent(settings={'actor_grad': 'values'})
    _, before = without.train(builders.batch())
    assert 'replay_value_loss' not in before
    assert float(metrics['critic_loss']) == pytest.approx(float(
        before['critic_loss'] + 2 * metrics['replay_value_loss']), rel=1e-4)

  def test_other_actors_have_no_values_of_actions(self):
    with pytest.raises(ConfigError, match='replay_values is 1.0, but actor_gr'):
      builders.actor_critic(F, A, replay_values=1.0)


def test_the_slow_copy_follows_by_its_share():
  behavior = make(slow_target_fraction=0.25)
  behavior.updates.assign(1)  # The first update copies all.
  values = behavior.values
  before = values.target_advantage.get_weights()
  values.advantage.set_weights({k: v + 1 for k, v in before.items()})
  behavior.update_slow_target()
  for k, v in values.target_advantage.get_weights().items():
    np.testing.assert_allclose(v, before[k] + 0.25, rtol=1e-5)


def test_the_optimizer_of_the_critic_trains_both_networks():
  behavior = make()
  before = {**behavior.get_weights()}
  behavior.train(
      Chain(), {'deter': tf.zeros([1, 8, F])}, None, pay, SEED)
  after = behavior.get_weights()
  for name in ('actor/', 'critic/', 'values/advantage/'):
    keys = [k for k in before if k.startswith(name) and k.endswith('bias')]
    assert keys
    assert any((before[k] != after[k]).any() for k in keys), name


def test_continuous_actions_can_not_be_listed():
  with pytest.raises(ConfigError, match='actor_grad values tries every'):
    builders.actor_critic(F, A, False, actor_grad='values')


def test_networks_have_a_slow_copy_only_if_asked_for():
  values = ActionValues(
      builders.config(slow_target=False), F, A, builders.init())
  assert not any('target' in k for k in values.get_weights())
