"""Videos say of each moment what happened, and last as long as they should."""

import functools

import numpy as np
from PIL import Image
import pytest

from dreamerv2_tf import envs, errors
from dreamerv2_tf.report import hud
from dreamerv2_tf.run import film
from dreamerv2_tf.run.evaluator import Shot

NAMES = ['lane left', 'idle', 'faster']
HIGHWAY = {'actions': NAMES, 'timed': True}


def shot(action=None, reward=0.0, frames=((20.0, 0),), last=False,
         terminal=False, **look):
  """A row of highway-env; a pair of speed and crashed for each frame."""
  row = {
      'vector': np.zeros(25, np.float32), 'log_speed': frames[-1][0],
      'log_crashed': np.float32(frames[-1][1]), 'reward': np.float32(reward),
      'is_first': action is None, 'is_last': last, 'is_terminal': terminal,
      'action': np.eye(3, dtype=np.float32)[action or 0]}
  return Shot(row, [
      envs.Frame.take(np.full([15, 480, 3], index, np.uint8), {
          'log_speed': speed, 'log_crashed': crashed})
      for index, (speed, crashed) in enumerate(frames)], look)


def plain(count, last=True, terminal=True, **row):
  """A film of an environment that is no highway."""
  frame = envs.Frame.take(np.zeros([4, 6, 3], np.uint8), {})
  rows = [{
      'action': np.array([0.5, -1], np.float32), 'reward': np.float32(1),
      'is_last': last and i == count, 'is_terminal': terminal and i == count,
      **row} for i in range(count + 1)]
  return [Shot(row, [frame], {}) for row in rows]


@pytest.fixture
def told(monkeypatch):
  """Returns the texts of each frame of a film."""
  texts = []
  def dashboard(width, values, shares):
    assert len(values) == len(shares) and width >= 480
    texts.append({name: text for name, text in values})
    return np.zeros([1, width, 3], np.uint8)
  def line(width, left, right='', **kwargs):
    if right or 'right_color' in kwargs:
      texts[-1]['note'], texts[-1]['outcome'] = left, right
    return np.zeros([1, width, 3], np.uint8)
  monkeypatch.setattr(hud, 'dashboard', dashboard)
  monkeypatch.setattr(hud, 'line', line)
  def call(shots, fps=15, about=HIGHWAY):
    texts.clear()
    frames = list(film.pictures(shots, 'scenario 7', fps, about))
    assert len({frame.shape for frame in frames}) == 1
    assert len(frames) == len(texts)
    return list(texts)
  return call


def test_all_numbers_of_a_drive(told):
  got = told([
      shot(),
      shot(2, 0.75, [(21, 0), (22, 0), (23, 0)], value=12.345, prob=0.984),
      shot(0, -1, [(24, 0), (25, 1), (0, 1)], True, True, value=-4,
           prob=0.501)], fps=3)
  columns = {name: [x[name] for x in got] for name in got[0]}
  assert columns == {
      'time': ['0.0 s', '0.3 s', '0.7 s', '1.0 s', '1.3 s', '1.7 s', '2.0 s'],
      'speed': [f'{x:.1f} m/s' for x in (20, 21, 22, 23, 24, 25, 0)],
      'action': ['', *3 * ['faster  98 %'], *3 * ['lane left  50 %']],
      'reward': ['', '', '', '+0.75', '+0.75', '+0.75', '-1.00'],
      'return': ['0.00', '0.00', '0.00', '0.75', '0.75', '0.75', '-0.25'],
      'value': ['', *3 * ['12.35'], *3 * ['-4.00']],
      'note': 7 * ['scenario 7'],
      'outcome': [*5 * [''], *2 * ['crashed at 1.7 s']]}


@pytest.mark.parametrize('terminal, steps, outcome', [
    (False, 30, '30 s, no crash'), (True, 17, '17 s, no crash')])
def test_a_drive_without_a_crash(told, terminal, steps, outcome):
  shots = [shot(), *(shot(1) for _ in range(steps - 1)),
           shot(1, last=True, terminal=terminal)]
  got = told(shots, fps=1)
  assert [x['outcome'] for x in got] == [*steps * [''], outcome]


@pytest.mark.parametrize('terminal, outcome', [
    (True, 'ended after 2 steps'),
    (False, 'stopped by the time limit after 2 steps')])
def test_other_environments_show_what_they_have(told, terminal, outcome):
  got = told(plain(2, terminal=terminal), 50, {'actions': [], 'timed': True})
  assert got == [
      {'step': '0', 'time': '0.00 s', 'action': '', 'reward': '',
       'return': '0.00', 'note': 'scenario 7', 'outcome': ''},
      {'step': '1', 'time': '0.02 s', 'action': '+0.50 -1.00',
       'reward': '+1.00', 'return': '1.00', 'note': 'scenario 7',
       'outcome': ''},
      {'step': '2', 'time': '0.04 s', 'action': '+0.50 -1.00',
       'reward': '+1.00', 'return': '2.00', 'note': 'scenario 7',
       'outcome': outcome}]
  assert 'time' not in told(plain(2), 50, {'actions': [], 'timed': False})[0]


def test_an_action_without_a_name_has_a_number(told):
  shots = [shot(), shot(2, last=True, prob=1.0)]
  assert told(shots, about={'timed': True})[-1]['action'] == '2  100 %'


@pytest.mark.parametrize('value, text', [
    (99.949, '99.95'), (-123.45, '-123.5'), (12345.6, '12,346'), (0, '0.00')])
def test_large_numbers_have_fewer_digits(value, text):
  assert film._number(value) == text


def test_observation_and_reconstruction_stand_beside_one_another():
  image = np.full([8, 16, 1], 200, np.uint8)
  model = np.full([8, 16, 1], 0.2, np.float32)
  shots = plain(2, image=image)
  without = next(film.pictures(shots, '', 15, {}))
  shots = [shots[0], *(x._replace(look={'model/image': model})
                       for x in shots[1:])]
  frames = list(film.pictures(shots, '', 15, {}))
  assert {frame.shape for frame in frames} == {without.shape}
  for frame in frames:
    # 235 pixels for each: 14 times 16.
    assert (frame == 200).all(-1).sum() == (14 * 16) * (14 * 8)
    assert (frame == 51).all(-1).sum() == (14 * 16) * (14 * 8)
    left, right = (
        np.flatnonzero((frame == value).all(-1).any(0)) for value in (200, 51))
    assert left.max() < right.min()
  assert not (without == 51).all(-1).any()


def write(path, count, **kwargs):
  films = {
      seed: plain(3, action=np.full(2, seed, np.float32))
      for seed in range(5, 5 + count)}
  return film.write(str(path), films, 'me', 10, {'timed': True})


def test_several_episodes_follow_one_another(tmp_path):
  assert write(tmp_path / 'a.gif', 2) == [str(tmp_path / 'a.gif')]
  with Image.open(tmp_path / 'a.gif') as gif:
    times = []
    for index in range(gif.n_frames):
      gif.seek(index)
      times.append(gif.info['duration'])
  assert times == 2 * [100, 100, 100, 1500]  # The last is held.


def test_each_episode_has_its_file_if_the_name_says_so(tmp_path):
  paths = write(tmp_path / 'a{seed}-x.gif', 2)
  assert paths == [str(tmp_path / f'a{seed}-x.gif') for seed in (5, 6)]
  assert sorted(map(str, tmp_path.iterdir())) == paths
  assert all(Image.open(path).n_frames == 4 for path in paths)


@pytest.mark.parametrize('video, count, message', [
    ('a.webm', 1, 'does not end in .gif or .mp4'),
    ('{seed}/a.gif', 1, 'its folder does not exist'),
    ('a{step}.gif', 1, '{step} is not known. For a file of each episode write '
     '{seed}'),
    ('a.gif', 0, "'video-episodes' must be 1 to 3, the number of --episodes, "
     'but is 0'),
    ('a.gif', 4, 'but is 4')])
def test_what_can_not_be_filmed_is_refused(tmp_path, video, count, message):
  with pytest.raises(errors.ConfigError) as info:
    film.check(str(tmp_path / video), count, 3)
  assert message in str(info.value)
  check = functools.partial(film.check, episodes=3)
  check(str(tmp_path / 'a.gif'), 1)
  check(str(tmp_path / 'a-{seed}.mp4'), 3)


def test_a_folder_of_each_episode_is_refused(tmp_path):
  (tmp_path / '{seed}').mkdir()
  with pytest.raises(errors.ConfigError, match='name of the file, not in'):
    film.check(str(tmp_path / '{seed}' / 'a.gif'), 1, 3)
