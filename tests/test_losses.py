"""The equations of the paper, with numbers to check by hand."""

import math

import numpy as np
import pytest
import reference
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dreamerv2_tf import losses
from dreamerv2_tf.errors import ConfigError


def column(*xs):
  return tf.constant(xs, tf.float32)[:, None]


def gradients(function, *inputs):
  """The value of a function and its gradients to all inputs."""
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    value = function(*inputs)
  return value, tape.gradient(value, inputs)


class TestModelLoss:

  LIKES = {
      'image': tf.constant([[-10.0, -20.0]]),
      'reward': tf.constant([[-1.0, -3.0]])}

  def test_it_is_the_sum_of_the_mean_terms_times_their_scales(self):
    loss, terms = losses.model_loss(
        self.LIKES, tf.constant(2.0), scales={'kl': 0.5, 'reward': 3.0})
    assert {k: float(v) for k, v in terms.items()} == {
        'kl': 2, 'image': 15, 'reward': 2}
    assert float(loss) == 0.5 * 2 + 15 + 3 * 2

  def test_scales_of_what_is_not_predicted_do_nothing(self):
    loss, _ = losses.model_loss(
        self.LIKES, tf.constant(2.0), scales={'discount': 5.0})
    assert float(loss) == 2 + 15 + 2


def divergence(q, p):
  """Stands for a KL: not symmetric, with slopes 2 q p and q^2."""
  return q ** 2 * p


class TestKL:

  @pytest.mark.parametrize('forward, want', [
      (False, 2 ** 2 * 3), (True, 3 ** 2 * 2)])
  def test_both_terms_have_the_same_value(self, forward, want):
    loss, value = losses.kl_loss(
        tf.constant([[2.0]]), tf.constant([[3.0]]), divergence,
        forward=forward)
    assert float(loss) == value.numpy() == [[want]]

  @pytest.mark.parametrize('forward, to_post, to_prior', [
      (False, 2 * 2 * 3, 2 ** 2), (True, 3 ** 2, 2 * 3 * 2)])
  @pytest.mark.parametrize('balance', [0.8, 0.5, 1.0, 0.0])
  def test_balance_splits_the_gradient(
      self, balance, forward, to_post, to_prior):
    _, (post, prior) = gradients(
        lambda post, prior: losses.kl_loss(
            post, prior, divergence, balance=balance, forward=forward)[0],
        tf.constant([[2.0]]), tf.constant([[3.0]]))
    np.testing.assert_allclose(post, [[(1 - balance) * to_post]], rtol=1e-6)
    np.testing.assert_allclose(prior, [[balance * to_prior]], rtol=1e-6)

  @pytest.mark.parametrize('free_avg, free, want', [
      (True, 0.0, (4 + 1) / 2),
      (True, 2.0, (4 + 1) / 2),  # The average exceeds 2 already.
      (True, 3.0, 3),
      (False, 2.0, (4 + 2) / 2),
      (False, 5.0, 5),
  ])
  def test_free_nats_bound_the_average_or_each_element(
      self, free_avg, free, want):
    loss, value = losses.kl_loss(
        tf.constant([[2.0], [1.0]]), tf.constant([[1.0], [1.0]]), divergence,
        free=free, free_avg=free_avg)
    assert float(loss) == pytest.approx(want)
    np.testing.assert_array_equal(value, [[4], [1]])

  def test_free_nats_stop_the_gradient_of_the_average(self):
    _, grads = gradients(
        lambda post, prior: losses.kl_loss(
            post, prior, divergence, free=13.0)[0],
        tf.constant([[2.0]]), tf.constant([[3.0]]))
    assert not any(x.numpy().any() for x in grads)

  def test_parameters_may_be_nested(self):
    kl = lambda q, p: q['mean'] * p['mean']
    loss, _ = losses.kl_loss(
        {'mean': tf.constant([[2.0]])}, {'mean': tf.constant([[3.0]])}, kl)
    assert float(loss) == 6

  def test_a_balance_out_of_range_is_refused(self):
    with pytest.raises(ConfigError, match=r'in \[0, 1\] but is 1.2'):
      losses.kl_loss(
          tf.zeros([1, 1]), tf.zeros([1, 1]), divergence, balance=1.2)


class TestLambdaReturn:

  @pytest.mark.parametrize('lambda_, want', [
      (0.0, [1 + 0.5 * 20, 2 + 0.0 * 30, 4 + 0.5 * 40]),  # One-step targets.
      (1.0, [1 + 0.5 * 2, 2, 4 + 0.5 * 40]),  # Monte Carlo, cut where d = 0.
      (0.5, [1 + 0.5 * (10 + 0.5 * 2), 2, 4 + 0.5 * 40]),
  ])
  def test_by_hand(self, lambda_, want):
    got = losses.lambda_return(
        reward=column(1, 2, 4), value=column(10, 20, 30),
        discount=column(0.5, 0, 0.5), bootstrap=tf.constant([40.0]),
        lambda_=lambda_)
    np.testing.assert_allclose(got[:, 0], want, rtol=1e-6)

  @pytest.mark.parametrize('lambda_', [0.0, 0.95, 1.0])
  def test_it_is_the_mean_of_n_step_returns(self, lambda_):
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=[2, 6, 3])
    discount = rng.uniform(size=[6, 3])
    bootstrap = rng.normal(size=[3])
    want = reference.lambda_return(
        reward, value, discount, bootstrap, lambda_)
    got = losses.lambda_return(
        *(tf.constant(x, tf.float32) for x in (
            reward, value, discount, bootstrap)), lambda_=lambda_)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)

  def test_gradients_pass(self):
    # V1 = 2 + 0.25 * 40 = 12 and V0 = 1 + 0.5 * (0.5 * 20 + 0.5 * V1).
    first, (reward, value, discount, bootstrap) = gradients(
        lambda *inputs: losses.lambda_return(*inputs, lambda_=0.5)[0],
        column(1, 2), column(10, 20), column(0.5, 0.25), tf.constant([40.0]))
    np.testing.assert_allclose(first, [9.0])
    np.testing.assert_allclose(reward[:, 0], [1, 0.25])
    np.testing.assert_allclose(value[:, 0], [0, 0.25])
    np.testing.assert_allclose(discount[:, 0], [16, 0.25 * 40])
    np.testing.assert_allclose(bootstrap, [0.25 * 0.25])


class TestCriticLoss:

  VALUE, TARGET, WEIGHT = column(1, 2, 3), column(2, 2, 5), column(1, 0.5, 0.2)

  def loss(self, value, target, weight):
    return losses.critic_loss(tfd.Normal(value, 1.0), target, weight)

  def test_it_is_half_the_squared_error_and_a_constant(self):
    constant = (1 + 0.5 + 0.2) * math.log(2 * math.pi) / 2
    np.testing.assert_allclose(
        self.loss(self.VALUE, self.TARGET, self.WEIGHT),
        (1 * 1 / 2 + 0.5 * 0 + 0.2 * 4 / 2 + constant) / 3, rtol=1e-6)

  def test_it_moves_values_to_targets_and_nothing_else(self):
    _, (value, target, weight) = gradients(
        self.loss, self.VALUE, self.TARGET, self.WEIGHT)
    np.testing.assert_allclose(
        value[:, 0], np.array([1 * -1, 0.5 * 0, 0.2 * -2]) / 3, rtol=1e-6)
    assert target is None and weight is None


class TestActorLoss:

  LOG_PROB, ENTROPY = column(-1, -2, -0.5), column(0.5, 0.25, 1)
  TARGET, BASELINE = column(4, 2, 6), column(1, 1, 2)
  WEIGHT = column(1, 0.5, 0.25)
  INPUTS = LOG_PROB, ENTROPY, TARGET, BASELINE, WEIGHT

  @pytest.mark.parametrize('mix, gains', [
      (0.0, [-1 * 3, -2 * 1, -0.5 * 4]),  # ln p times what it was better.
      (1.0, [4, 2, 6]),
      (0.25, [0.25 * 4 - 0.75 * 3, 0.25 * 2 - 0.75 * 2, 0.25 * 6 - 0.75 * 2]),
  ])
  @pytest.mark.parametrize('scale', [0.0, 0.1])
  @pytest.mark.parametrize('kind', [float, tf.constant])
  def test_by_hand(self, mix, gains, scale, kind):
    got = losses.actor_loss(
        *self.INPUTS, mix=kind(mix), ent_scale=kind(scale))
    first, second, third = gains
    np.testing.assert_allclose(got, -(
        1 * (first + scale * 0.5) + 0.5 * (second + scale * 0.25)
        + 0.25 * (third + scale * 1)) / 3, rtol=1e-5)

  def test_reinforce_judges_the_probability_alone(self):
    _, (log_prob, entropy, *others) = gradients(
        lambda *inputs: losses.actor_loss(*inputs, mix=0.0, ent_scale=0.1),
        *self.INPUTS)
    np.testing.assert_allclose(
        log_prob[:, 0], -np.array([1 * 3, 0.5 * 1, 0.25 * 4]) / 3, rtol=1e-6)
    np.testing.assert_allclose(
        entropy[:, 0], -0.1 * np.array([1, 0.5, 0.25]) / 3, rtol=1e-6)
    assert others == [None] * 3

  def test_dynamics_takes_the_gradient_of_the_targets_alone(self):
    loss = lambda log_prob, entropy, target, weight: losses.actor_loss(
        log_prob, entropy, target, None, weight, mix=1.0, ent_scale=0.0)
    _, (log_prob, entropy, target, weight) = gradients(
        loss, self.LOG_PROB, self.ENTROPY, self.TARGET, self.WEIGHT)
    np.testing.assert_allclose(
        target[:, 0], -np.array([1, 0.5, 0.25]) / 3, rtol=1e-6)
    assert log_prob is None and entropy is None and weight is None

  def test_a_factor_that_may_change_keeps_its_term(self):
    _, (_, _, target, baseline, _) = gradients(
        lambda *inputs: losses.actor_loss(
            *inputs, mix=tf.constant(0.0), ent_scale=0.0), *self.INPUTS)
    np.testing.assert_array_equal(target, np.zeros([3, 1]))
    assert baseline is None
