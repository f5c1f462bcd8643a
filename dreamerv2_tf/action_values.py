"""Values of all actions, learned inside the dreams of the world model."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from . import tfutils
from .imagination import Dream
from .nets import layers
from .nets.distributions import OneHotDist
from .nets.mlp import MLP
from .tfutils import sg


class Replayed(NamedTuple):
  """What really came, in sequences from replay; row t follows row t - 1."""

  feat: tf.Tensor  # [B, T, F], compute dtype; features of the posteriors.
  action: tf.Tensor  # [B, T, A], float32, one-hot; action[:, t] led to row t.
  reward: tf.Tensor  # [B, T], float32; as in dreams.
  discount: tf.Tensor  # [B, T], float32; gamma, 0 where the episode ended.
  is_first: tf.Tensor  # [B, T], bool; row t begins an episode.


class ActionValues(tfutils.Module):
  r"""Advantages beside the critic; both together say what each action is worth.

      Q(z, a) = v(z) + A(z, a) - sum_b pi(b|z) A(z, b)

  So v stays what it is, the value of the actor pi. Q is learned from dreams
  in which every first action is as likely as another, by tree backup, for
  the greedier policy softmax(Q / eta); the actor imitates that policy. A
  network averages the noise of dreams that the gain of one dream drowns in.

  With `replay_values`, Q is held to what was replayed as well. Dreams judge
  every action, but by the model; what was replayed holds no error of the
  model where the policy has been. Both have the same targets.

  Source: expected values of a soft policy as in arXiv 1910.07207 (discrete
    SAC), advantages as in arXiv 1511.06581 (dueling networks), values of
    replayed states beside those of dreams as in arXiv 2301.04104.
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
      dream: Dream, ent_scale: tf.Tensor,
      replayed: Replayed | None = None
  ) -> tuple[tf.Tensor, tf.Tensor, dict]:
    """Compares values with what came of actions, and the actor with values.

    Args:
      actor: maps features to action distributions.
      critic: maps features to the distribution of v.
      slow_critic: its slow copy, or itself.
      dream: with rewards, [H + 1, N, ...].
      ent_scale: [], float32; eta, in reward per nat.
      replayed: [B, T, ...]; None: values are learned from dreams alone.

    Returns:
      actor_loss: [], float32, nats.
      critic_loss: [], float32.
      metrics: [] each.
    """
    critics = critic, slow_critic
    feat, weight = sg(dream.feat), sg(dream.weight[:-1])
    dist = actor(feat)
    values, slow, greedy = self._judge(dist, critics, feat, ent_scale)
    taken, target = self._targets(
        values, slow, greedy, dream.action, dream.reward, dream.discount)
    critic_loss = tf.reduce_mean(
        weight * tf.math.squared_difference(taken, target) / 2)
    logs = tf.nn.log_softmax(dist.logits_parameter())
    actor_loss = -tf.reduce_mean(
        weight * tf.reduce_sum(greedy * logs, -1)[:-1])
    metrics = {
        'actor_ent': tf.reduce_mean(dist.entropy()),
        'actor_ent_scale': ent_scale,
        'critic': tf.reduce_mean(tf.reduce_sum(greedy * slow, -1)),
        'critic_slow': tf.reduce_mean(slow),
        'critic_target': tf.reduce_mean(target),
        'action_gap': tf.reduce_mean(
            tf.reduce_max(values, -1) - tf.reduce_mean(values, -1))}
    if replayed is not None:
      loss = self.replay_loss(actor, critic, slow_critic, replayed, ent_scale)
      metrics['replay_value_loss'] = loss
      critic_loss += self._config.replay_values * loss
    return actor_loss, critic_loss, metrics

  def replay_loss(
      self, actor: Callable, critic: Callable, slow_critic: Callable,
      replayed: Replayed, ent_scale: tf.Tensor) -> tf.Tensor:
    r"""Compares values with what came of the actions that were replayed.

        States:     z0 -> z1 -> z2 -> y0 -> y1    y0 begins another episode.
        Values:    [q0]  [q1]   q2   [q0]   q1    Q(z_t, a_(t+1)).

    Args:
      actor: maps features to action distributions.
      critic: maps features to the distribution of v.
      slow_critic: its slow copy, or itself.
      replayed: [B, T, ...]; learned from as it is, without a gradient to it.
      ent_scale: [], float32; eta, in reward per nat.

    Returns:
      [], float32; mean over the steps within episodes.
    """
    rows = Replayed(*(
        tf.transpose(sg(x), [1, 0, *range(2, x.shape.rank)])
        for x in replayed))
    follows = 1 - tf.cast(rows.is_first[1:], tf.float32)
    values, slow, greedy = self._judge(
        actor(rows.feat), (critic, slow_critic), rows.feat, ent_scale)
    taken, target = self._targets(
        values, slow, greedy, rows.action, rows.reward, rows.discount, follows)
    return tf.math.divide_no_nan(
        tf.reduce_sum(
            follows * tf.math.squared_difference(taken, target) / 2),
        tf.reduce_sum(follows))

  def _judge(self, dist, critics, feat, ent_scale):
    """Returns values, slow values under the greedier policy, that policy."""
    critic, slow_critic = critics
    probs = sg(dist.probs_parameter())
    values = slow = self(critic, feat, probs)
    if self._config.slow_target:
      slow = self(slow_critic, feat, probs, slow=True)
    greedy = sg(tf.nn.softmax(values / tf.maximum(ent_scale, 1e-6)))
    return values, sg(slow), greedy

  def _targets(
      self, values, slow, greedy, action, reward, discount, follows=None):
    """Returns values of the actions taken and their targets, [T - 1, N].

    All from T rows; follows, [T - 1, N], is 0 where a row begins an episode.
    """
    pick = lambda x: tf.reduce_sum(x[:-1] * action[1:], -1)
    trace = self._config.discount_lambda * pick(greedy)[1:]
    if follows is not None:
      trace *= follows[1:]
    value = tf.reduce_sum(greedy * slow, -1)
    return pick(values), sg(tree_backup(
        reward[1:], value[1:], discount[1:], pick(slow)[1:], trace))


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
