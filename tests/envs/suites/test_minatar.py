"""MinAtar: cells as pixels, hidden channels, seeds."""

import sys

from environments import config, onehot
import minatar as library
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.envs.suites import minatar
from dreamerv2_tf.errors import ConfigError, EnvError


def make(game='breakout', env_config=None, render=False, **settings):
  settings = {'render_size': (20, 20), **settings}
  return envs.make(
      f'minatar_{game}', **config(env_config, **settings), render=render)


@pytest.mark.parametrize('game, channels, seen, actions', [
    ('asterix', 4, 3, 5), ('breakout', 4, 3, 3), ('freeway', 7, 2, 3),
    ('seaquest', 10, 9, 6), ('space_invaders', 6, 4, 4)])
def test_spaces_with_and_without_what_shows_motion(
    game, channels, seen, actions):
  for partial, count in (False, channels), (True, seen):
    env = make(game, minatar_partial=partial)
    assert env.obs_space['image'].shape == (20, 20, count)
    assert env.act_space['action'].n == actions
  full = make(game, {'use_minimal_action_set': False})
  assert full.act_space['action'].n == 6


@pytest.mark.parametrize('game', minatar.MOTION)
def test_what_is_hidden_are_trails_speeds_and_directions(game):
  # Of each enemy and friend too, and aliens that go left or right.
  names = library.Environment(game).env.channels
  hidden = {
      name for name, index in names.items() if index in minatar.MOTION[game]}
  assert hidden == {
      name for name in names
      if any(word in name for word in ('trail', 'speed', '_left', '_right'))}


def test_a_cell_is_a_square_of_pixels_of_255():
  env = make(env_config={'sticky_action_prob': 0.0})
  plain = library.Environment('breakout', sticky_action_prob=0.0)
  plain.seed(7)
  plain.reset()
  row = env.reset(7)
  for _ in range(8):
    state = plain.state()
    np.testing.assert_array_equal(row['image'][::2, ::2], 255 * state)
    np.testing.assert_array_equal(row['image'][1::2, 1::2], 255 * state)
    row = env.step(onehot(1, 3))  # The second of the minimal actions: left.
    reward, done = plain.act(1)
    assert (row['reward'], row['is_terminal']) == (reward, done)


def test_other_sizes_spread_the_cells_evenly():
  large = make(render_size=(64, 64)).reset(7)['image']
  exact = make().reset(7)['image'][::2, ::2]
  cells = np.arange(64) * 10 // 64
  np.testing.assert_array_equal(large, exact[cells][:, cells])


def test_hidden_channels_are_left_out_and_the_others_stay():
  whole, part = make(), make(minatar_partial=True)
  np.testing.assert_array_equal(
      whole.reset(5)['image'][..., [0, 1, 3]], part.reset(5)['image'])


def test_an_episode_knows_nothing_of_the_one_before():
  def play(env):
    rows = [env.reset(3)]
    rows += [env.step(onehot(0, 3)) for _ in range(4)]
    return np.stack([row['image'] for row in rows])

  # The action before the first would stick now and then.
  env = make(env_config={'sticky_action_prob': 0.9})
  fresh = play(env)
  env.reset(4)
  for _ in range(3):
    env.step(onehot(2, 3))
  np.testing.assert_array_equal(play(env), fresh)


def test_videos_show_all_channels_in_colours():
  env = make(render=True, minatar_partial=True)
  env.reset(0)
  frame = env.frames()[0].pixels
  assert frame.shape == (240, 240, 3) and frame.dtype == np.uint8
  # Nothing, paddle and bricks; the ball begins in front of a brick.
  assert len(np.unique(frame.reshape(-1, 3), axis=0)) == 3


@pytest.mark.parametrize('game, settings, text', [
    ('breakuot', {}, "Did you mean 'minatar_breakout'[?] Known games: aster"),
    ('breakout', {'env_config': {'sticky_action': 0}},
     "'env.config.sticky_action' is no setting of 'minatar_breakout'. Did you"),
    ('breakout', {'render_size': (9, 64)}, 'must be at least as large')])
def test_mistakes_are_named(game, settings, text):
  with pytest.raises(ConfigError, match=text):
    make(game, **settings)


def test_a_missing_package_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'minatar', None)
  with pytest.raises(EnvError, match=r"pip install '\.\[minatar\]'"):
    make()
