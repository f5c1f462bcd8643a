"""Every action tried in dreams, and an actor drawn to those that pay."""

from collections.abc import Callable
import itertools

import numpy as np
import tensorflow as tf

from . import losses, replicas, tfutils
from .imagination import Dream
from .nets.rssm import State
from .tfutils import sg
from .world_model import WorldModel

LIMIT = 6.0  # Of centred logits, beyond which they are not driven.


def gains(
    world_model: WorldModel, actor: Callable,
    judge: Callable[[Dream], tf.Tensor], states: State, seed: tf.Tensor, *,
    actions: int, horizon: int, samples: int, depth: int = 1) -> tf.Tensor:
  """Dreams what comes of every action, or sequence of actions.

  Args:
    world_model: to dream with.
    actor: maps features to action distributions; acts after the sequence.
    judge: maps a dream to the target of its first state, [...], float32.
    states: [N, ...].
    seed: [2], int; no two dreams share their noise.
    actions: number A of actions.
    horizon: steps H of the dreams, the given actions included; above depth.
    samples: dreams of each sequence.
    depth: actions of a sequence.

  Returns:
    [A ** depth, N], float32; target of the state after the first action, mean
    over the dreams; no gradient. Sequences are sorted by their first action,
    then by the second.
  """
  count = states['deter'].shape[0]
  plans = list(itertools.product(range(actions), repeat=depth))
  tiled = tf.nest.map_structure(
      lambda x: tf.tile(
          x[None], [len(plans) * samples] + [1] * x.shape.rank), states)
  first = tf.one_hot(np.transpose(plans * samples), actions)
  dream = world_model.imagine(
      actor, tiled, None, horizon, seed, stop_gradients=True,
      first=tf.repeat(first, count, 1), skip=1)
  return sg(tf.reduce_mean(
      tf.reshape(judge(dream), [samples, len(plans), count]), 0))


def first_target(
    dream: Dream, *, reward: Callable[[Dream], tf.Tensor],
    value: Callable[[tf.Tensor], tf.Tensor], lambda_: float) -> tf.Tensor:
  """Returns the lambda return of the first state of a dream.

  It learns nothing, and asks about no more states than it needs.

  Args:
    dream: of H + 1 states, [H + 1, N, ...]; discount is [H, N].
    reward: maps a dream of H states to its rewards, [H, N], float32.
    value: maps features, [H, N, F], to values, [H, N], float32.
    lambda_: see `losses.lambda_return`.

  Returns:
    [N], float32.
  """
  rewards = reward(dream._replace(
      state={k: v[:-1] for k, v in dream.state.items()},
      feat=dream.feat[:-1], action=dream.action[:-1]))
  values = value(dream.feat[1:])
  return losses.lambda_return(
      rewards, tf.concat([values[:1], values[:-1]], 0),  # No use of v0.
      dream.discount, bootstrap=values[-1], lambda_=lambda_)[0]


def actor_loss(
    logits: tf.Tensor, gain: tf.Tensor, weight: tf.Tensor, *,
    ent_scale: tf.Tensor | float) -> tf.Tensor:
  r"""Draws the actor to the actions that pay.

      L(psi) = -E[ w * sum_a  sg(g_a) * l_a ],   l logits, less their mean
      g_a = Q_a - eta ln pi_a - sum_b pi_b (Q_b - eta ln pi_b)

  Q is what `gains` returns and eta `ent_scale`. The slope to a logit is not
  proportional to the probability of the action, so an action that the policy
  has given up comes back when it pays; and it is linear in Q, so the noise of
  single dreams averages out. It vanishes at pi = softmax(Q / eta). Logits
  beyond LIMIT are not driven further.

  Args:
    logits: [A, N], float32; of the actor.
    gain: [A, N], float32.
    weight: [N], float32; of the states.
    ent_scale: reward per nat.

  Returns:
    [], float32.

  Paper: arXiv 1906.00190 (NeuRD), with its threshold of logits.
  """
  logits -= tf.reduce_mean(logits, 0)
  logs = tf.nn.log_softmax(logits, 0)
  gap = gain - ent_scale * logs
  gap -= tf.reduce_sum(tf.exp(logs) * gap, 0)
  free = tf.where(gap < 0, logits > -LIMIT, logits < LIMIT)
  slope = sg(tf.where(free, gap, 0.0))
  return -replicas.mean(sg(weight) * tf.reduce_sum(slope * logits, 0))


def loss(
    world_model: WorldModel, actor: Callable,
    judge: Callable[[Dream], tf.Tensor], dream: Dream, seed: tf.Tensor, *,
    actions: int, states: int, horizon: int, samples: int,
    ent_scale: tf.Tensor | float) -> tuple[tf.Tensor, dict]:
  """Looks ahead from states of a dream and compares the actor with that.

  Args:
    world_model, actor, judge, seed: see `gains`.
    dream: [H + 1, N, ...].
    actions: number A of actions.
    states: how many of its first states are judged, at most H; each counts
      by its weight.
    horizon, samples: see `gains`.
    ent_scale: reward per nat.

  Returns:
    loss: [], float32; of `actor_loss`.
    metrics: [] each.
  """
  count = min(states, dream.weight.shape[0] - 1)
  some = tfutils.flatten({k: sg(v[:count]) for k, v in dream.state.items()})
  gain = gains(
      world_model, actor, judge, some, seed, actions=actions, horizon=horizon,
      samples=samples)
  dist = actor(world_model.rssm.get_feat(some))
  value = actor_loss(
      tf.transpose(dist.logits_parameter()), gain,
      tf.reshape(dream.weight[:count], [-1]), ent_scale=ent_scale)
  best = tf.reduce_max(gain, 0)
  return value, {
      'actor_ent': tf.reduce_mean(dist.entropy()),
      'actor_ent_scale': ent_scale,
      'lookahead_gain': tf.reduce_mean(best - tf.reduce_mean(gain, 0))}
