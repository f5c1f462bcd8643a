"""The protocol of the paper, piece by piece, on the real emulator."""

import sys

import cv2
from environments import config, onehot
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.envs.suites import atari
from dreamerv2_tf.errors import ConfigError, EnvError
from dreamerv2_tf.paper import published


def make(game='pong', env_config=None, render=False, **settings):
  settings = {'action_repeat': 4, **settings}
  return envs.make(
      f'atari_{game}', **config(env_config, **settings), render=render)


def emulator(env):
  return env._env.unwrapped.ale


def test_all_games_of_the_paper_are_in_the_emulator():
  from ale_py import roms
  names = list(published.games())
  assert len(names) == 55 and 'james_bond' in names
  assert set(names) <= set(atari.games())
  for name in names:  # It reads the file, too.
    assert roms.get_rom_path(atari.IDS.get(name, name)).exists()


def test_by_default_it_is_the_protocol_of_the_paper():
  env = make()
  assert envs.signature(
      {'image': env.obs_space['image']}, env.act_space) == {
          'image': 'uint8 (64, 64, 1)', 'action': 'Discrete(6)'}
  assert emulator(env).getFloat('repeat_action_probability') == 0.25
  assert emulator(env).getInt('max_num_frames_per_episode') == 108_000
  assert env.fps == 15  # 60 frames, every fourth.
  limited = make(time_limit=27_000)  # 108,000 frames without the no-ops.
  assert emulator(limited).getInt('max_num_frames_per_episode') == 0


def test_each_piece_can_be_changed():
  env = make(
      'james_bond', atari_full_actions=True, atari_grayscale=False,
      atari_ram=True, render_size=(84, 96))
  assert env.act_space['action'].n == 18
  assert env.obs_space['image'].shape == (84, 96, 3)
  row = env.reset(0)
  assert row['image'].shape == (84, 96, 3)
  np.testing.assert_array_equal(
      row['ram'], np.float32(emulator(env).getRAM()) * np.float32(1 / 255))


@pytest.mark.parametrize('gray', [True, False])
def test_the_image_is_the_larger_of_the_last_two_frames_made_small(gray):
  env = make(atari_noops=0, atari_sticky=0, atari_grayscale=gray)
  plain = atari.emulator('', 'pong', {}, repeat_action_probability=0)
  screen = plain.ale.getScreenGrayscale if gray else plain.ale.getScreenRGB
  env.reset(3), plain.reset(seed=3)
  for _ in range(30):
    frames = []
    row = env.step(onehot(3, 6))
    for _ in range(4):
      reward = plain.step(3)[1]
      frames.append(screen())
    small = cv2.resize(
        np.maximum(frames[-2], frames[-1]), (64, 64),
        interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(row['image'], small.reshape(64, 64, -1))
  assert (frames[-2] != frames[-1]).any()
  assert row['reward'] == reward == 0


def test_an_episode_begins_with_up_to_30_idle_frames():
  counts = []
  for noops in 30, 0:
    env = make(atari_noops=noops)
    for seed in range(6):
      env.reset(seed)
      counts.append(emulator(env).getEpisodeFrameNumber())
  assert min(counts[:6]) >= 1 and max(counts[:6]) <= 30
  assert len(set(counts[:6])) > 2
  assert counts[6:] == [0] * 6


def play(env, seed, steps=25):
  rows = [env.reset(seed)]
  for step in range(steps):
    rows.append(env.step(onehot(2 + step % 2, 6)))
  return np.stack([row['image'] for row in rows])


def test_the_seed_decides_idle_frames_and_when_actions_stick():
  env = make(atari_noops=0)
  first, again, other = (play(env, seed) for seed in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()
  exact = make(atari_noops=0, atari_sticky=0)
  np.testing.assert_array_equal(play(exact, 1), play(exact, 2))


def test_an_episode_without_a_limit_ends_at_the_frames_of_the_paper(
    monkeypatch):
  monkeypatch.setattr(atari, 'FRAMES', 40)
  env = make(atari_noops=0)
  env.reset(0)
  rows = [env.step(onehot(0, 6)) for _ in range(10)]
  assert [bool(row['is_last']) for row in rows] == [False] * 9 + [True]
  assert not any(row['is_terminal'] for row in rows)


@pytest.mark.parametrize('done', [True, False])
def test_a_lost_life_ends_an_episode_on_request(done):
  env = make('breakout', atari_life_done=done, atari_sticky=0)
  env.reset(0)
  for _ in range(100):  # Serves, and never moves.
    row = env.step(onehot(1, 4))
    if emulator(env).lives() < 5:
      break
  assert emulator(env).lives() == 4
  assert row['is_last'] == row['is_terminal'] == done


@pytest.mark.parametrize('game, settings, text', [
    ('pongg', {}, "'atari_pongg' is not a known task. Did you mean 'atari_pon"),
    ('jamesbond', {}, "Did you mean 'atari_james_bond'"),
    ('xyz', {}, 'There are 10[0-9] games; docs/tasks.md has them'),
    ('pong', {'mod': 3}, "'env.config.mod' is no setting of 'atari_pong'. Did "
     "you mean 'mode'"),
    ('pong', {'mode': 9}, 'Its modes are 0, 1, its difficulties 0, 1, 2, 3'),
    ('pong', {'mode': 'a'}, 'can not be played with env.config')])
def test_mistakes_are_named(game, settings, text):
  with pytest.raises(ConfigError, match=text) as info:
    make(game, settings)
  assert '\n' not in str(info.value)


def test_modes_of_a_game_are_settings_of_its_environment():
  easy, hard = (make(env_config={'difficulty': d}) for d in (0, 3))
  assert (play(easy, 0, 3) != play(hard, 0, 3)).any()


@pytest.mark.parametrize('module', ['ale_py', 'cv2'])
def test_a_missing_package_is_named_with_how_to_install_it(
    module, monkeypatch):
  monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(EnvError) as info:
    make()
  assert str(info.value) == (
      f"Environment 'atari_pong' needs the module '{module}', which can not be "
      "imported. Install it, in the folder of the clone, with: pip install "
      "'.[atari]'")
