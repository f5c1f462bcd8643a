r"""The equations of the paper as functions of tensors, in its order.

    Eq. 1           nets/rssm.py, EnsembleRSSM: the model itself
    Algorithm 1     nets/distributions.py, OneHotDist: straight-through samples
    Eq. 2           model_loss
    Algorithm 2     kl_loss: the last term of Eq. 2
    Eq. 4           lambda_return
    Eq. 5           critic_loss
    Eq. 6           actor_loss

    paper   here                                      setting
    phi     weights of the world model
    psi     weights of the actor
    xi      weights of the critic
    beta    scales['kl']                              loss_scales.kl
    alpha   balance                                   kl.balance
    gamma   discount, times the chance of going on    discount
    lambda  lambda_                                   discount_lambda
    rho     1 - mix                                   actor_grad, actor_grad_mix
    eta     ent_scale                                 actor_ent
    sg      stop gradients

Sums over time are means here, over time and rows. All is float32. [x] in a
diagram enters the loss, a bare x does not.

Paper: arXiv 2010.02193, Sections 2.1 and 2.2.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from . import replicas, tfutils
from .errors import ConfigError
from .tfutils import sg


def model_loss(
    likes: Mapping[str, tf.Tensor], kl: tf.Tensor, *,
    scales: Mapping[str, float]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  r"""Loss of the world model; Equation 2.

      L(phi) = E[ sum_t  -ln p(x_t | h_t, z_t)          likes: observations,
                         -ln p(r_t | h_t, z_t)          reward,
                         -ln p(gamma_t | h_t, z_t)      discount
                         +beta * KL(q(z_t) || p(z_t)) ]

      Actions:        a0    a1    a2       a_t led to the observation x_t.
                        \     \     \
      States:     [z]->[z0]->[z1]->[z2]    z_t sees x_0 ... x_t.
      Heads:           [x0]  [x1]  [x2]    Every state predicts its own
                       [r0]  [r1]  [r2]    observation, reward, discount.
      KL:              [k0]  [k1]  [k2]    Prior from z_(t-1), a_t.

  Args:
    likes: name -> [B, T], nats; ln p of each target.
    kl: [], nats; of `kl_loss`.
    scales: factors of the terms by name, `kl` among them; 1 where missing.

  Returns:
    loss: [], nats.
    losses: name -> [], nats; each term before its factor.
  """
  losses = {'kl': kl, **{k: -replicas.mean(v) for k, v in likes.items()}}
  loss = tf.add_n([
      tf.cast(scales.get(k, 1.0), tf.float32) * v for k, v in losses.items()])
  return loss, losses


def kl_loss(
    post: Any, prior: Any, kl: Callable[[Any, Any], tf.Tensor], *,
    forward: bool = False, balance: float = 0.8, free: float = 0.0,
    free_avg: bool = True) -> tuple[tf.Tensor, tf.Tensor]:
  r"""Balanced KL of posterior and prior; last term of Equation 2, Algorithm 2.

      alpha * KL(sg(q) || p)  +  (1 - alpha) * KL(q || sg(p))
      trains the prior p         regularises the posterior q

  Args:
    post: nested tensors, [B, T, ...]; parameters of q.
    prior: the same of p.
    kl: maps parameters of two distributions to KL(first || second), [B, T].
    forward: True takes KL(p || q) in both terms.
    balance: weight of the term that trains the prior, in [0, 1].
    free: lower bound of each term, nats.
    free_avg: whether the bound applies to the mean over the batch or to each
      element.

  Returns:
    loss: [], nats.
    value: [B, T], nats; the plain KL, for logging.

  Raises:
    ConfigError: balance outside [0, 1].

  Code: danijar/dreamerv2 common/nets.py, EnsembleRSSM.kl_loss.
  Differs: balance 0.5 is no special case. There it gives twice the gradient
    and ignores free_avg.
  """
  if not 0 <= balance <= 1:
    raise ConfigError(
        f'kl.balance must lie in [0, 1] but is {balance}. The paper uses '
        '0.8; larger trains the prior more, smaller the posterior.')
  stop = lambda state: tf.nest.map_structure(sg, state)
  divergence = (lambda q, p: kl(p, q)) if forward else kl
  def clip(x):
    if free_avg:
      return tf.maximum(replicas.mean(x), free)
    return replicas.mean(tf.maximum(x, free))
  train_post = divergence(post, stop(prior))
  train_prior = divergence(stop(post), prior)
  loss = balance * clip(train_prior) + (1 - balance) * clip(train_post)
  return loss, train_post


def lambda_return(
    reward: tf.Tensor, value: tf.Tensor, discount: tf.Tensor,
    bootstrap: tf.Tensor, *, lambda_: float) -> tf.Tensor:
  r"""Mixes returns of all lengths into one target per step; Equation 4.

      V_t = r_t + gamma_t * ((1 - lambda) * v(z_(t+1)) + lambda * V_(t+1))
      V_H = v(z_H)

      States:      z0    z1    z2    z3
      Rewards:    [r0]  [r1]  [r2]
      Discounts:  [d0]  [d1]  [d2]          d_t is gamma_t; 0 ends all at z_t.
      Values:      v0   [v1]  [v2]  [v3]    v3 is the bootstrap.
      Targets:     V0    V1    V2           lambda 0: one step; 1: Monte Carlo.

  Gradients flow; callers stop them.

  Args:
    reward: [H, ...]; reward of each state.
    value: [H, ...]; value of each state.
    discount: [H, ...]; probability that the episode goes on after the state,
      times gamma.
    bootstrap: [...]; value of the state after the last one.
    lambda_: weight of longer returns, in [0, 1].

  Returns:
    [H, ...]; the targets.

  Code: danijar/dreamerv2 common/other.py, lambda_return.
  """
  next_value = tf.concat([value[1:], bootstrap[None]], 0)
  one_step = reward + discount * (1 - lambda_) * next_value
  target = tfutils.scan(
      lambda later, now: now[0] + now[1] * lambda_ * later,
      (one_step[::-1], discount[::-1]), bootstrap)
  return target[::-1]


def critic_loss(
    value: tfd.Distribution, target: tf.Tensor,
    weight: tf.Tensor) -> tf.Tensor:
  r"""Loss of the critic; Equation 5.

      L(xi) = E[ sum_t  w_t * (v(z_t) - sg(V_t))^2 / 2 ]    plus a constant

      States:     [z0]  [z1]  [z2]   z3
      Values:     [v0]  [v1]  [v2]   v3    A Normal of unit variance each.
      Targets:    [V0]  [V1]  [V2]
      Weights:    [ 1]  [w1]  [w2]   w3    Does z_t exist at all?

  Args:
    value: batch shape [H, N]; what the critic says of z_0 to z_(H-1), from
      features without gradient.
    target: [H, N]; of `lambda_return`.
    weight: [H, N].

  Returns:
    [], nats.
  """
  return -replicas.mean(value.log_prob(sg(target)) * sg(weight))


def actor_loss(
    log_prob: tf.Tensor, entropy: tf.Tensor, target: tf.Tensor,
    baseline: tf.Tensor | None, weight: tf.Tensor, *,
    mix: tf.Tensor | float, ent_scale: tf.Tensor | float) -> tf.Tensor:
  r"""Loss of the actor; Equation 6, with rho = 1 - mix and eta = ent_scale.

      L(psi) = -E[ sum_t  w_t * (rho * ln p(a_t | z_t) * sg(V_t - v(z_t))
                                 + (1 - rho) * V_t
                                 + eta * H[a_t | z_t]) ]

      Policies:         [p1]  [p2]   p3    p_i at z_(i-1) makes a_i, so that
      Actions:      0   [a1]  [a2]   a3    the a_t of the equation is a_(t+1)
                        / \   / \   / \    here, and its return V_(t+1).
      States:       [z0]->[z1]-> z2 -> z3
      Targets:       V0   [V1]  [V2]
      Baselines:    [v0]  [v1]   v2    v3
      Entropies:        [e1]  [e2]   e3    e_i of p_i.
      Weights:      [ 1]  [w1]   w2    w3
      Loss:          l0    l1              l_i: how good was a_(i+1) at z_i?

  The last two states make no loss: the bootstrap has no target, and the
  action before it can not be judged. The first target is lost because the
  first action comes from the replay.

  A term whose factor is a plain 0 is left out, with its gradient.

  Args:
    log_prob: [H - 1, N], nats; of a_1 to a_(H-1).
    entropy: [H - 1, N], nats; of p_1 to p_(H-1).
    target: [H - 1, N]; V_1 to V_(H-1). Its gradient is that of the dream.
    baseline: [H - 1, N]; values of z_0 to z_(H-2); None if mix is a plain 1.
    weight: [H - 1, N]; of z_0 to z_(H-2).
    mix: share of the gradient through the dream (dynamics); the rest is that
      of the log-probability (reinforce).
    ent_scale: reward per nat.

  Returns:
    [].
  """
  terms = []
  if not _is_zero(mix):
    terms.append(mix * target)
  if not _is_zero(1 - mix):
    terms.append((1 - mix) * (log_prob * sg(target - baseline)))
  if not _is_zero(ent_scale):
    terms.append(ent_scale * entropy)
  return -replicas.mean(sg(weight) * sum(terms[1:], terms[0]))


def _is_zero(factor):
  """Whether it is a plain 0; a tensor may have another value later."""
  return not tf.is_tensor(factor) and factor == 0
