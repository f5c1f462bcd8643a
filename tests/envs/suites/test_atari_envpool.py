"""EnvPool's games: the pictures and rewards of ale_py, seed by seed."""

import environments
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.envs.suites import atari_envpool
from dreamerv2_tf.errors import ConfigError

BOTH = 'highway-env', 'envpool'


def make(task, simulator='envpool', env_config=None, **kwargs):
  return envs.make(task, **environments.config(
      env_config, simulator=simulator, **{'action_repeat': 4, **kwargs}))


def play(env, seed, steps=10 ** 6):
  """Returns the rows of an episode of random actions, always the same."""
  rng, count = np.random.default_rng(0), env.act_space['action'].n
  rows = [env.reset(seed)]
  while not rows[-1]['is_last'] and len(rows) <= steps:
    action = np.eye(count, dtype=np.float32)[rng.integers(count)]
    rows.append(env.step({'action': action}))
  return rows


def differences(rows, others):
  """Returns (step, key) of all values that are not the same."""
  assert len(rows) == len(others)
  return [
      (step, key) for step, (row, other) in enumerate(zip(rows, others))
      for key in row if not np.array_equal(row[key], other[key])]


@pytest.mark.parametrize('task, kwargs', [
    ('atari_breakout', {}),
    ('atari_pong', {'action_repeat': 1, 'atari_grayscale': False,
                    'env_config': {'mode': 1, 'difficulty': 1}}),
    ('atari_seaquest', {'atari_full_actions': True, 'atari_sticky': 0.0}),
    ('atari_freeway', {'action_repeat': 2, 'render_size': (48, 80)}),
    ('atari_james_bond', {'atari_ram': True, 'atari_sticky': 0.7}),
    ('atari_montezuma_revenge', {'action_repeat': 5})])
def test_pictures_rewards_and_memory_are_equal(task, kwargs):
  # One no-op, as the number of several is drawn otherwise.
  kwargs = {'atari_noops': 1, 'time_limit': 120, **kwargs}
  slow, fast = (make(task, simulator, **kwargs) for simulator in BOTH)
  assert (fast.obs_space, fast.act_space) == (slow.obs_space, slow.act_space)
  assert (fast.about, fast.fps) == (slow.about, slow.fps)
  for seed in (0, 2 ** 31 + 5):
    rows = play(slow, seed)
    assert len(rows) == 121 or task == 'atari_breakout'
    assert differences(rows, play(fast, seed)) == []


def test_actions_stick_by_the_seed():
  env = make('atari_freeway', atari_noops=1, time_limit=60)
  first, other = play(env, 3), play(env, 4)
  assert differences(first, play(env, 3)) == []
  assert differences(first, other)
  sober = make(
      'atari_freeway', atari_noops=1, atari_sticky=0.0, time_limit=60)
  assert differences(play(sober, 3), play(sober, 4)) == []


@pytest.mark.parametrize('task', ['atari_breakout', 'atari_qbert'])
@pytest.mark.parametrize('lost', [False, True])
def test_games_and_lives_end_alike_but_for_the_last_picture(task, lost):
  kwargs = {'atari_noops': 1, 'atari_life_done': lost}
  slow, fast = (make(task, simulator, **kwargs) for simulator in BOTH)
  lengths = []
  for seed in range(3):
    rows, others = play(slow, seed), play(fast, seed)
    assert rows[-1]['is_terminal'] and others[-1]['is_terminal']
    assert set(differences(rows, others)) <= {(len(rows) - 1, 'image')}
    lengths.append(len(rows))
  assert len(play(make(task, atari_noops=1), 0)) >= lengths[0]


def test_an_episode_is_cut_after_108_000_frames():
  # Idle in Freeway, which goes on for as long as one plays.
  lengths = {}
  for simulator in BOTH:
    env = make(
        'atari_freeway', simulator, action_repeat=1200, atari_noops=1,
        atari_sticky=0.0)
    rows = [env.reset(0)]
    idle = np.eye(env.act_space['action'].n, dtype=np.float32)[0]
    while not rows[-1]['is_last']:
      rows.append(env.step({'action': idle}))
    lengths[simulator] = len(rows), bool(rows[-1]['is_terminal'])
  assert lengths['envpool'] == lengths['highway-env']


def test_no_ops_are_drawn_from_the_same_range():
  # The memory of Pong counts frames.
  seen = {}
  for simulator in BOTH:
    env = make('atari_pong', simulator, atari_noops=3, atari_sticky=0.0,
               atari_ram=True)
    seen[simulator] = {
        env.reset(seed)['ram'].tobytes() for seed in range(16)}
  assert len(seen['envpool']) == 3
  assert seen['envpool'] == seen['highway-env']


@pytest.mark.minutes
def test_scores_of_random_play_agree_with_the_protocol_of_the_paper():
  means, errors = [], []
  for simulator in BOTH:
    env = make('atari_breakout', simulator)
    rng = np.random.default_rng(0)
    scores = []
    for seed in range(40):
      env.reset(seed)
      total, last = 0, False
      while not last:
        row = env.step({'action': np.eye(4, dtype=np.float32)[rng.integers(4)]})
        total, last = total + row['reward'], row['is_last']
      scores.append(total)
    means.append(np.mean(scores))
    errors.append(np.std(scores) / len(scores) ** 0.5)
  assert means[0] > 0.3 and errors[0] > 0
  assert abs(means[0] - means[1]) < 4 * np.hypot(*errors)


def test_every_game_of_one_player_has_the_rom_that_its_name_says():
  envpool = pytest.importorskip('envpool')
  games = atari_envpool.games()
  assert len(games) > 95 and games['james_bond'] == 'Jamesbond-v5'
  for name, id_ in games.items():
    rom = atari_envpool.atari.IDS.get(name, name)
    assert envpool.registration.registry.specs[id_][2]['task'] == rom


@pytest.mark.parametrize('task, kwargs, text', [
    ('atari_pong', {'atari_noops': 0}, "'atari_noops' must be at least 1 with "
     'env.simulator envpool but is 0'),
    ('atari_joust', {}, "does not simulate 'atari_joust'.*breakout"),
    ('atari_pnog', {}, "Did you mean 'atari_pong'"),
    ('atari_pong', {'env_config': {'mode': 99}}, 'Its modes are'),
    ('atari_pong', {'env_config': {'speed': 2}}, "'env.config.speed' is no")])
def test_what_it_lacks_is_refused_by_name(task, kwargs, text):
  with pytest.raises(ConfigError, match=text):
    make(task, **kwargs)


def test_it_can_be_filmed():
  env = envs.make('atari_pong', render=True, **environments.config(
      simulator='envpool', action_repeat=4))
  env.reset(0)
  assert env.frames()[0].shape == (210, 160, 3)
