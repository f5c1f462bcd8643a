"""Crafter: rewards, achievements, worlds decided by their seed."""

import sys

from environments import config, onehot
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError, EnvError

SMALL = {'area': (24, 24)}  # Made in a fraction of the time.
COLLECT, SLEEP = 5, 6  # Actions: interact with what is in front, and sleep.


def make(name='reward', env_config=None, render=False, **settings):
  return envs.make(
      f'crafter_{name}', **config({**SMALL, **(env_config or {})}, **settings),
      render=render)


def act(env, action, steps):
  return [env.step(onehot(action, 17)) for _ in range(steps)]


def test_rewards_are_given_in_training_or_only_in_evaluation():
  seen = {}
  for name, mode in [
      ('reward', 'train'), ('noreward', 'train'), ('noreward', 'eval')]:
    env = make(name, mode=mode)
    assert env.act_space['action'].n == 17
    env.reset(1)
    for _ in range(99):  # Grass gives a sapling with a probability of 0.1.
      [row] = act(env, COLLECT, 1)
      if row['log_achievement_collect_sapling']:
        break
    assert row['log_reward'] == 1
    assert row['log_achievement_collect_coal'] == 0
    seen[name, mode] = row['reward']
    assert env.reset(2)['log_achievement_collect_sapling'] == 0
  assert list(seen.values()) == [1, 0, 1]


def test_the_end_of_the_day_is_not_terminal_and_death_is():
  env = make(env_config={'length': 3})
  env.reset(0)
  rows = act(env, SLEEP, 3)
  assert [bool(row['is_last']) for row in rows] == [False, False, True]
  assert not rows[-1]['is_terminal']
  env.reset(0)
  env._env.unwrapped._world._player.health = 0
  [row] = act(env, SLEEP, 1)
  assert row['is_last'] and row['is_terminal']


def test_a_seed_gives_the_same_world_whatever_was_before():
  def live(seed):
    env.reset(seed)
    rng = np.random.default_rng(0)
    rows = []
    for action in rng.integers(1, 17, 150):
      [row] = act(env, action, 1)
      rows.append(row['image'])
      if row['is_last']:
        break
    return np.stack(rows)

  env = make()
  first, other, again = live(8), live(9), live(8)
  np.testing.assert_array_equal(first, again)
  assert first.shape != other.shape or (first != other).any()


def test_a_video_does_not_change_the_world():
  rows = []
  for render in False, True:
    env = make(render=render)
    env.reset(4)
    env._env.unwrapped._world._step = 200  # Night, drawn with noise.
    rows.append(np.stack([row['image'] for row in act(env, SLEEP, 3)]))
  np.testing.assert_array_equal(*rows)
  assert (rows[0][1] != rows[0][2]).any()


def test_creatures_are_drawn_in_the_order_of_their_birth():
  env = make()
  env.reset(0)
  world = env._env.unwrapped._world
  seen = []
  world._balance_object = lambda chunk, objs, *args: seen.append(list(objs))
  act(env, SLEEP, 10)  # Every tenth step.
  order = {id(x): i for i, x in enumerate(world._world.objects)}
  assert sum(map(len, seen)) > 10
  for group in seen:
    places = [order[id(x)] for x in group if id(x) in order]
    assert places == sorted(places)


def test_images_and_videos_have_the_asked_sizes():
  env = make(render=True, render_size=(48, 64))
  assert env.reset(0)['image'].shape == (48, 64, 3)
  frame = env.frames()[0].pixels
  assert frame.shape == (360, 360, 3) and frame.std() > 0


@pytest.mark.parametrize('name, settings, text', [
    ('rewards', {}, "Did you mean 'crafter_reward'"),
    ('reward', {'env_config': {'lenght': 3}}, "Did you mean 'length'"),
    ('reward', {'action_repeat': 2}, 'action_repeat must be 1 but is 2')])
def test_mistakes_are_named(name, settings, text):
  with pytest.raises(ConfigError, match=text):
    make(name, **settings)


def test_a_missing_package_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'crafter', None)
  with pytest.raises(EnvError, match=r"pip install '\.\[crafter\]'"):
    make()
