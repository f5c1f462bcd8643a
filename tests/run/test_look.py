"""What films show of an agent's mind is what it acted on."""

import builders
import numpy as np
import pytest

from dreamerv2_tf.run.look import look


@pytest.fixture(scope='module', autouse=True)
def eager():
  with builders.eagerly():
    yield


def act(agent, **kwargs):
  obs = builders.observations(seed=0, first=True, **kwargs)
  outputs, state = agent.policy(obs, mode='eval')
  return outputs, state, look(agent, outputs, state)


def test_the_greedy_action_is_the_likeliest():
  agent = builders.agent()
  outputs, state, seen = act(agent)
  count = len(outputs['action'])
  assert set(seen) == {'value', 'prob'}
  assert seen['prob'].shape == seen['value'].shape == (count,)
  feat = agent.world_model.rssm.get_feat(state.latent)
  probs = agent.actor_critic.actor(feat).probs_parameter().numpy()
  np.testing.assert_allclose(seen['prob'], probs.max(-1), rtol=1e-6)
  other = {'action': np.roll(outputs['action'], 1, -1)}
  assert (look(agent, other, state)['prob'] <= seen['prob']).all()


def test_values_are_in_units_of_the_reward():
  agent = builders.agent(settings={'reward_norm': {
      'momentum': 0.5, 'scale': 2.0, 'eps': 0.0}})
  agent.actor_critic.rewnorm.mag.assign(10.0)
  _, state, seen = act(agent)
  critic = agent.actor_critic.critic(
      agent.world_model.rssm.get_feat(state.latent)).mode().numpy()
  np.testing.assert_allclose(seen['value'], critic * 5, rtol=1e-5)


def test_continuous_actions_have_no_probability():
  assert set(act(builders.agent(discrete=False))[2]) == {'value'}


def test_images_are_shown_as_the_model_sees_them():
  agent = builders.agent(shapes=builders.IMAGE)
  _, state, seen = act(agent, shapes=builders.IMAGE)
  count = state.age.shape[0]
  assert seen['model/image'].shape == (count, *builders.IMAGE['image'])
  feat = agent.world_model.rssm.get_feat(state.latent)
  mode = agent.world_model.heads['decoder'](feat)['image'].mode()
  np.testing.assert_allclose(seen['model/image'], mode + 0.5, atol=1e-6)
