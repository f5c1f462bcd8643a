"""Predictions of the latent dynamics without observations."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from . import replicas, tfutils
from .nets.rssm import EnsembleRSSM, State
from .tfutils import flatten, sg, split


class Dream(NamedTuple):
  """An imagined trajectory; its first state is a posterior."""

  state: State  # [H + 1, N, ...]; see EnsembleRSSM.
  feat: tf.Tensor  # [H + 1, N, F], compute dtype; of the states.
  action: tf.Tensor  # [H + 1, N, A], float32; led to the state; zeros first.
  log_prob: tf.Tensor  # [H + 1, N], float32, nats; of the action; 0 first.
  entropy: tf.Tensor  # [H + 1, N], float32, nats; where it was drawn; 0 first.
  discount: tf.Tensor  # [H + 1, N], float32; chance to go on, times gamma.
  weight: tf.Tensor  # [H + 1, N], float32; chance that the state is reached.
  reward: tf.Tensor | None = None  # [H + 1, N], float32; normalised.


def rollout(
    rssm: EnsembleRSSM, policy: Callable, start: State, horizon: int,
    seed: tf.Tensor, *, action_dim: int, stop_gradients: bool = False,
    first: tf.Tensor | None = None
) -> tuple[State, tf.Tensor, tf.Tensor, tf.Tensor]:
  r"""Rolls a policy out in the prior.

      Policies:          p1    p2    p3    p_i at z_(i-1) makes a_i.
      Actions:      0    a1    a2    a3    a_i leads to z_i; a0 is zeros.
                        / \   / \   / \
      States:      [z0]-> z1 -> z2 -> z3   [z0] is the start.

  Args:
    rssm: the latent dynamics.
    policy: maps features, [N, F], to an action distribution.
    start: [N, ...].
    horizon: number H of steps.
    seed: [2], int.
    action_dim: A.
    stop_gradients: those of actions and states, so that those of the
      log-probability and the entropy reach the policy alone; cheaper.
    first: [D, N, A], D < H; actions a1 to aD in the policy's place. Their
      log-probability and entropy are zero.

  Returns:
    The fields state, action, log_prob and entropy of a Dream.
  """
  stop = sg if stop_gradients else tf.identity
  still = tf.zeros([start['deter'].shape[0]])
  def step(prev, seed):
    act_seed, step_seed = split(seed, 2)
    dist = policy(sg(rssm.get_feat(prev[0])))
    action = stop(replicas.sample(dist, act_seed))
    state = rssm.img_step(prev[0], action, step_seed)
    return (
        tf.nest.map_structure(stop, state), action, dist.log_prob(action),
        dist.entropy())
  seeds = tf.random.split(seed, horizon)
  begin = [(start, tf.zeros([still.shape[0], action_dim]), still, still)]
  for i, action in enumerate([] if first is None else tf.unstack(first)):
    state = rssm.img_step(begin[-1][0], action, seeds[i])
    begin.append((state, action, still, still))
  rest = tfutils.scan(step, seeds[len(begin) - 1:], begin[-1])
  return tf.nest.map_structure(
      lambda later, *begin: tf.concat([tf.stack(begin), later], 0),
      rest, *begin)


def predict(
    rssm: EnsembleRSSM, data: Mapping[str, tf.Tensor], prior: State,
    steps: int, seed: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
  """Predicts open loop under the recorded actions, from every posterior.

  Args:
    rssm: the latent dynamics.
    data: [B, T, ...]; reads `action` and `is_first`.
    prior: states one step ahead, [B, T, ...].
    steps: largest distance.
    seed: [2], int.

  Returns:
    For each distance d from 1 on:
    feats: [B, T - d + 1, F]; of the times d - 1, d, ..., T - 1.
    masks: [B, T - d + 1], bool; whether no episode began on the way there.
  """
  state, valid = prior, ~data['is_first']
  feats, masks = [rssm.get_feat(state)], [valid]
  for distance, step_seed in enumerate(split(seed, steps)[1:], 1):
    shape = [valid.shape[0], valid.shape[1] - 1]
    # The gradient of tf.split is quicker than that of a slice.
    known = tf.nest.map_structure(
        lambda x, shape=shape: tf.split(x, [shape[1], 1], 1)[0], state)
    state = rssm.img_step(
        flatten(known), flatten(data['action'][:, distance:]), step_seed)
    state = tf.nest.map_structure(
        lambda x, shape=shape: tf.reshape(x, shape + x.shape[1:]), state)
    valid = valid[:, :-1] & ~data['is_first'][:, distance:]
    feats.append(rssm.get_feat(state))
    masks.append(valid)
  return feats, masks
