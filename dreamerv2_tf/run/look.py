"""What an agent thinks while it acts, for films."""

from collections.abc import Mapping

import gymnasium as gym
import numpy as np
import tensorflow as tf

from ..agent import Agent
from ..policy import PolicyState


def look(
    agent: Agent, outputs: Mapping[str, tf.Tensor],
    state: PolicyState) -> dict[str, np.ndarray]:
  """Judges the state in which actions were chosen; changes nothing.

  Args:
    agent: with world model and behaviour.
    outputs: of its policy; reads `action`, [N, A].
    state: that the policy returned with it.

  Returns:
    value: [N], float32; the discounted return that the critic expects, in
      units of the reward.
    prob: [N], float32; probability of the action; only where it is discrete.
    model/<key>: [N, H, W, C], float32, about 0 to 1; how the model sees each
      image that it reads and predicts.
  """
  wm, ac = agent.world_model, agent.actor_critic
  feat = wm.rssm.get_feat(state.latent)
  result = {
      'value': ac.critic(feat).mode() / ac.rewnorm.transform(tf.constant(1.0))}
  if isinstance(agent.act_space['action'], gym.spaces.Discrete):
    probs = ac.actor(feat).probs_parameter()
    result['prob'] = tf.reduce_sum(probs * outputs['action'], -1)
  decoder = wm.heads['decoder']
  keys = [key for key in decoder.cnn_keys if key in wm.encoder.cnn_keys]
  if keys:
    images = decoder(feat)
    result.update({f'model/{k}': images[k].mode() + 0.5 for k in keys})
  return {key: value.numpy() for key, value in result.items()}
