"""From a task, or an environment of the caller, to the dict interface."""

from environments import config, make
import gymnasium as gym
import numpy as np
import pytest
import toys

from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError


@pytest.mark.parametrize('task, text', [
    ('gym_toys:Countr-v0', "Did you mean 'gym_toys:Counter-v0' or 'gym_Mount"),
    ('gym_CartPol-v1', "Did you mean 'gym_CartPole-v1'"),
    ('gym_highway_env:highway-fst-v0', "mean 'highway_highway-fast-v0' or"),
    ('gym_nowhere:X-v0', "module 'nowhere'"),
    ('higway_highway-v0', "Did you mean 'highway'"),
    ('pong', "'pong' is not a known task"),
    ('CartPole-v1', "Did you mean 'gym_CartPole-v1'"),
    ('foo_bar', 'suites are highway, gym, atari, dmc, crafter, minatar'),
    ('atari_', "'atari_' names no task of the suite 'atari'. Write atari_<na")])
def test_unknown_tasks(task, text):
  with pytest.raises(ConfigError, match=text):
    envs.make(task, **config())


def test_wrap_takes_gymnasium_environments_only():
  for env, text in [
      (None, 'got None'), ('CartPole-v1', "got 'CartPole-v1'"),
      (toys.Counter, 'class builtins.type'),
      (gym.make_vec('CartPole-v1'), '`envs` sets how many')]:
    with pytest.raises(ConfigError, match='class gymnasium.Env, ') as info:
      envs.wrap(env, **config())
    assert text in str(info.value)


def test_wrap_agrees_with_the_adapter_of_make():
  plain = toys.Dict()
  env = envs.wrap(plain, **config())
  assert env.name == 'Dict'
  row = env.reset(3)
  made = make('Dict').adapter(toys.Dict().reset(seed=3)[0])
  assert set(made) < set(row)
  for key, value in made.items():
    np.testing.assert_array_equal(row[key], value)


def test_signature_describes_spaces():
  env = make('Image')
  got = envs.signature(env.obs_space, env.act_space)
  assert got['image'] == 'uint8 (16, 16, 1)'
  assert got['action'] == 'Discrete(2)'
  assert got['is_last'] == 'bool ()'
