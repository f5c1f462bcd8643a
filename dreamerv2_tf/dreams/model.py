"""What a world model dreams under given actions, step by step."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..tfutils import swap


class Foresight(NamedTuple):
  """Dreams of one sequence of actions: R rows, N dreams that differ by chance.

  What belongs to rows that the model saw is its reconstruction of them.
  """

  action: np.ndarray  # [R, N, A], float32; led to the row.
  observation: dict[str, np.ndarray]  # Key -> [R, ...], of the first dream.
  reward: np.ndarray  # [R, N], float32; as the model learns it.
  goes_on: np.ndarray  # [R, N], float32; chance that the row is not the end.
  value: np.ndarray  # [R, N], float32; by the critic, of row and what follows.


def foresee(
    agent: Any, episode: Mapping[str, np.ndarray], actions: np.ndarray,
    free: np.ndarray, seen: np.ndarray, samples: int, seed: int) -> Foresight:
  """Filters the rows that are seen and dreams the others.

      Rows:      x0    x1    x2     .     .       seen: the first three
      States:    q0 -> q1 -> q2 -> p3 -> p4
      Actions:      a1    a2    a3    a4          a_i led to row i

  The noise depends on the row and the dream, not on the actions: sequences that
  begin alike are dreamed alike until they differ.

  Args:
    agent: whose world model, actor and critic are asked.
    episode: key -> [T, ...]; row 0 begins it. T may be less than R.
    actions: [R, A], float32; row 0 does not matter.
    free: [R], bool; rows to which the actor chooses the action, its mode.
    seen: [R], bool; rows that the model sees, all before T; the first one is.
    samples: number N of dreams.
    seed: of the noise.

  Returns:
    What it foresees; observations as the decoder has them.
  """
  assert seen[0] and not seen[len(episode['reward']):].any(), seen
  wm = agent.world_model
  data = wm.preprocess({
      k: tf.convert_to_tensor(np.asarray(v)[None]) for k, v in episode.items()
      if not k.startswith('log_')})
  embed = wm.encoder(data)[0]
  seeds = tf.random.split(tf.constant([seed % 2 ** 31, 0]), len(actions))
  repeat = lambda x: tf.repeat(x[None], samples, 0)
  state, states, taken = wm.rssm.initial(samples), [], []
  for row, given in enumerate(np.float32(actions)):
    action = repeat(tf.constant(given))
    if free[row]:
      dist = agent.actor_critic.actor(wm.rssm.get_feat(state))
      action = tf.cast(dist.mode(), tf.float32)
    if seen[row]:
      state = wm.rssm.posterior_step(
          state, action, repeat(embed[row]), repeat(tf.constant(row == 0)),
          seeds[row])
    else:
      state = wm.rssm.img_step(state, action, seeds[row])
    states.append(state)
    taken.append(action)
  stacked = tf.nest.map_structure(lambda *xs: tf.stack(xs), *states)
  return _judged(agent, wm.rssm.get_feat(stacked), tf.stack(taken))


def _judged(agent, feat, action):
  """Asks all heads about features, [R, N, F]."""
  heads = agent.world_model.heads
  reward = heads['reward'](feat).mode()
  goes_on = tf.ones_like(reward)
  if 'discount' in heads:
    mean = heads['discount'](feat).mean() / agent.config.discount
    goes_on = tf.clip_by_value(mean, 0, 1)
  seen = heads['decoder'](swap(feat[:, :1]))  # As sequences: [1, R, F].
  return Foresight(
      action=action.numpy(),
      observation={k: v.mode()[0].numpy() for k, v in seen.items()},
      reward=reward.numpy(), goes_on=goes_on.numpy(),
      value=agent.actor_critic.critic(feat).mode().numpy())
