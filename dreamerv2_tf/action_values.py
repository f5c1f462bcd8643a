"""Values of all actions, learned inside the dreams of the world model."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from . import tfutils
from .imagination import Dream
from .nets import layers
from .nets.distributions import OneHotDist
from .nets.mlp import MLP
from .tfutils import sg


class ActionValues(tfutils.Module):
  r"""Advantages beside the critic; both together say what each action is worth.

      Q(z, a) = v(z) + A(z, a) - sum_b pi(b|z) A(z, b)

  So v stays what it is, the value of the actor pi. Q is learned from dreams
  in which every first action is as likely as another, by tree backup, for
  the greedier policy softmax(Q / eta); the actor imitates that policy. A
  network averages the noise of dreams that the gain of one dream drowns in.

  Source: expected values of a soft policy as in arXiv 1910.07207 (discrete
    SAC), advantages as in arXiv 1511.06581 (dueling networks).
  """

  def __init__(
      self, config: Mapping, feat_dim: int, action_dim: int,
      init: layers.Init):
    """Builds the networks of the advantages.

    Args:
      config: the resolved configuration.
      feat_dim: F.
      action_dim: A.
      init: random numbers and compute dtype.
    """
    super().__init__()
    self._config = config
    self._action_dim = action_dim
    build = lambda: MLP(feat_dim, [action_dim], **config.critic, init=init)
    self.advantage = build()
    if config.slow_target:
      self.target_advantage = build()
      self.target_advantage.set_weights(self.advantage.get_weights())

  def __call__(
      self, critic: Callable, feat: tf.Tensor, probs: tf.Tensor,
      slow: bool = False) -> tf.Tensor:
    """Returns the values of all actions.

    Args:
      critic: maps features to the distribution of v.
      feat: [..., F].
      probs: [..., A]; of the actor.
      slow: take the slow copy of the advantages; the critic given should be
        the slow one then.

    Returns:
      [..., A], float32.
    """
    net = self.target_advantage if slow else self.advantage
    advantage = net(feat).mode()
    advantage -= tf.reduce_sum(probs * advantage, -1, keepdims=True)
    return critic(feat).mode()[..., None] + advantage

  def with_advantage(
      self, critic: Mapping[str, tf.Variable]) -> dict[str, tf.Variable]:
    """Returns path -> variable of what one optimizer trains."""
    advantage = self.advantage.named_variables()
    return {
        **{f'critic/{k}': v for k, v in critic.items()},
        **{f'advantage/{k}': v for k, v in advantage.items()}}

  def explore(self, actor: Callable) -> Callable:
    """Returns a policy for dreams: the actor with `imag_noise` mixed in."""
    noise = self._config.imag_noise
    def policy(feat):
      probs = (1 - noise) * actor(feat).probs_parameter()
      return OneHotDist(
          probs=probs + noise / self._action_dim, dtype=tf.float32)
    return policy

  def first(self, count: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws the first actions of `count` dreams evenly, [1, count, A]."""
    index = tf.random.stateless_uniform(
        [1, count], seed, 0, self._action_dim, tf.int32)
    return tf.one_hot(index, self._action_dim)

  def losses(
      self, actor: Callable, critic: Callable, slow_critic: Callable,
      dream: Dream, ent_scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, dict]:
    """Compares values with what dreams came to, and the actor with values.

    Args:
      actor: maps features to action distributions.
      critic: maps features to the distribution of v.
      slow_critic: its slow copy, or itself.
      dream: with rewards, [H + 1, N, ...].
      ent_scale: [], float32; eta, in reward per nat.

    Returns:
      actor_loss: [], float32, nats.
      critic_loss: [], float32.
      metrics: [] each.
    """
    feat, weight = sg(dream.feat), sg(dream.weight[:-1])
    dist = actor(feat)
    probs = sg(dist.probs_parameter())
    values = self(critic, feat, probs)
    slow = values
    if self._config.slow_target:
      slow = self(slow_critic, feat, probs, slow=True)
    greedy = sg(tf.nn.softmax(values / tf.maximum(ent_scale, 1e-6)))
    value = tf.reduce_sum(greedy * slow, -1)
    pick = lambda x: tf.reduce_sum(x[:-1] * dream.action[1:], -1)
    target = sg(tree_backup(
        dream.reward[1:], value[1:], dream.discount[1:], pick(slow)[1:],
        self._config.discount_lambda * pick(greedy)[1:]))
    critic_loss = tf.reduce_mean(
        weight * tf.math.squared_difference(pick(values), target) / 2)
    logs = tf.nn.log_softmax(dist.logits_parameter())
    actor_loss = -tf.reduce_mean(
        weight * tf.reduce_sum(greedy * logs, -1)[:-1])
    return actor_loss, critic_loss, {
        'actor_ent': tf.reduce_mean(dist.entropy()),
        'actor_ent_scale': ent_scale,
        'critic': tf.reduce_mean(value),
        'critic_slow': tf.reduce_mean(slow),
        'critic_target': tf.reduce_mean(target),
        'action_gap': tf.reduce_mean(
            tf.reduce_max(values, -1) - tf.reduce_mean(values, -1))}


def tree_backup(
    reward: tf.Tensor, value: tf.Tensor, discount: tf.Tensor,
    taken: tf.Tensor, trace: tf.Tensor) -> tf.Tensor:
  r"""Returns targets for the values of the actions that were taken.

      States:    z0 -> [z1]-> [z2]-> [z3]   a_i leads from z_(i-1) to z_i.
      Actions:    [a1]   a2     a3
      Rewards:          [r1]   [r2]   [r3]  t_i = r_(i+1) + d_(i+1) * (
      Discounts:        [d1]   [d2]   [d3]      v_(i+1) + c_(i+1) *
      Values:           [v1]   [v2]   [v3]      (t_(i+1) - q_(i+1)))
      Taken:            [q1]   [q2]         q_i = Q(z_i, a_(i+1)) and
      Targets:    t0     t1     t2          c_i = lambda * pi(a_(i+1)|z_i).

  The value v of the policy pi is corrected by what came of the action that
  was taken, as far as pi would have taken it; so actions may come from
  another policy.

  Args:
    reward: [H, ...], float32; of the states after each action.
    value: [H, ...], float32; expected value under pi of these states.
    discount: [H, ...], float32; of these states.
    taken: [H - 1, ...], float32; values of the actions taken there.
    trace: [H - 1, ...], float32; their probabilities under pi times lambda.

  Returns:
    [H, ...], float32.

  Source: tree-backup(lambda), Precup, Sutton and Singh, 2000, Eligibility
    traces for off-policy policy evaluation.
  """
  target = reward[-1] + discount[-1] * value[-1]
  targets = [target]
  for i in reversed(range(reward.shape[0] - 1)):
    value_i = value[i] + trace[i] * (target - taken[i])
    target = reward[i] + discount[i] * value_i
    targets.append(target)
  return tf.stack(targets[::-1])
