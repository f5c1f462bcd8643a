import pathlib

import numpy as np
from PIL import Image
import pytest

from dreamerv2_tf.errors import ConfigError

SCRIPT = (
    pathlib.Path(__file__).resolve().parents[2] / 'scripts' / 'drive_gif.py')


def vector(*rows):
  return np.float32(rows).ravel()


@pytest.fixture
def road(script):
  # highway-env divides by 200 m, by 12 m of three lanes, and by 80 m/s.
  return script.Road(3, [1, 2, 3, 4, 5], seconds=1.0)


def test_vectors_become_metres(road):
  own = [1, 2 * 1, 3 * 4 / 12, 4 * 20 / 80, 0]
  other = [0.9, 2 * 30 / 200, 3 * 4 / 12, 4 * 5 / 80, 0]
  absent = [0.1, 2 * 9 / 200, 0, 0, 0]
  # x of the own car says nothing; y and speed are relative to it.
  np.testing.assert_allclose(
      road.cars(vector(own, absent, other)), [[0, 4, 20], [30, 8, 25]],
      rtol=1e-6)
  own[0] = 0.2  # A dream may forget it.
  assert len(road.cars(vector(own, absent))) == 1


def test_cars_move_from_place_to_place(script):
  now = np.array([[0, 4, 20], [30, 4, 25], [50, 8, 20.]])
  # The rows have changed places, and one car gave way to another.
  then = np.array([[0, 8, 22], [-20, 0, 20], [35, 4, 25.]])
  quarter = script.between(now, then, 0.25, 1.0)
  np.testing.assert_allclose(
      quarter, [[0, 5, 20.5], [31.25, 4, 25], [50, 8, 20]])
  later = script.between(now, then, 0.75, 1.0)
  np.testing.assert_allclose(
      later, [[0, 7, 21.5], [33.75, 4, 25], [-20, 0, 20]])
  alone = script.between(now[:1], then[:1], 0.5, 1.0)
  np.testing.assert_allclose(alone, [[0, 6, 21]])


def test_the_road_is_drawn_to_scale(script, road):
  own, other = [1, 0, 0, 4 * 20 / 80, 0], [1, 2 * 30 / 200, 1, 0, 0]
  vectors = np.stack([vector(own, other)] * 2)
  frames = road.film(vectors, np.array([False, True]))
  assert frames.shape == (script.BETWEEN + 1, 92, 720, 3)
  at = lambda x, y: (round((y + 3) * 6.6), round((x + 33) * 6.6))
  for x, y, color in [
      (0, 0, 'own'), (2, 0.5, 'own'), (3, 0, 'road'), (30, 4, 'other'),
      (33, 4, 'road'), (0, -2.6, 'grass'), (0, 10.5, 'grass')]:
    np.testing.assert_array_equal(frames[0][at(x, y)], script.COLORS[color])
  np.testing.assert_array_equal(
      frames[-1][at(0, 0)], script.COLORS['crashed'])
  # Marks of 4 m, one each 12 m, pass by with 4 m in each of the frames.
  line = at(0, 2)[0]
  for index, color in (0, 'mark'), (1, 'road'), (2, 'road'), (3, 'mark'):
    np.testing.assert_array_equal(
        frames[index][line, 10], script.COLORS[color])


@pytest.fixture(scope='module')
def loaded(highway):
  from dreamerv2_tf.run import loading
  return {k: loading.load_agent(v)[:2] for k, v in highway.items()}


def test_dreams_are_cut_by_looks(script, loaded):
  agent, _ = loaded['highway_kinematics']
  rng = np.random.default_rng(0)
  episode = {
      'vector': rng.normal(size=[9, 25]).astype(np.float32),
      'action': np.eye(5, dtype=np.float32)[[0] * 9],
      'reward': np.zeros(9, np.float32), 'is_first': np.arange(9) == 0,
      'is_terminal': np.zeros(9, bool), 'log_speed': np.zeros(9)}
  dream = lambda data, *args: script.dream(agent, data, 'vector', *args, 0)
  vectors, distance = dream(episode, 2, 3)
  assert distance.tolist() == [0, 0, 1, 2, 3, 0, 1, 2, 3]
  assert vectors.shape == (9, 25) and np.isfinite(vectors).all()
  # What comes after a look does not touch the dream from it.
  other = {**episode, 'vector': episode['vector'].copy()}
  other['vector'][2:] += 1
  changed, _ = dream(other, 2, 3)
  np.testing.assert_array_equal(vectors[:5], changed[:5])
  assert not np.allclose(vectors[5], changed[5])
  assert dream(episode, 2, 0)[1].tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7]
  assert dream(episode, 20, 3)[1].tolist() == [0] * 9


@pytest.mark.parametrize('preset, size', [
    ('highway', (640, 2 * (160 + 22))),
    ('highway_kinematics', (720, 2 * (92 + 22)))])
def test_a_run_is_drawn(script, highway, preset, size, tmp_path, capsys):
  out = tmp_path / 'a.gif'
  assert script.main([
      '--logdir', str(highway[preset]), '--out', str(out), '--context', '2',
      '--env.config.duration', '3', '--seed', '10001', '--fps', '4']) == 0
  assert capsys.readouterr().out == f'Written to {out}\n'
  with Image.open(out) as gif:
    assert gif.size == size and gif.n_frames >= 3
    first = np.asarray(gif.convert('RGB'))
  for top in 0, size[1] // 2:
    assert first[top:top + 22].max() > 200  # Letters on
    assert (first[top:top + 22] == 0).mean() > 0.8  # black.
    assert first[top + 22:top + 60].std() > 0


@pytest.mark.parametrize('arguments, text', [
    ([], 'Give the folder of a run as --logdir or'),
    (['--logdir', 'x', '--pretrained', 'y'], 'Give the folder of a run'),
    (['--logdir', 'x', '--out', 'a.mp4'], "'out' must end in .gif"),
    (['--logdir', 'x', '--out', 'no/where/a.gif'], 'does not exist'),
    (['--logdir', 'x', '--context', '0'], "'context' must be at least 1"),
    (['--logdir', 'x', '--fps', '0'], "'fps' must be at least 0.1")])
def test_wrong_flags(script, arguments, text):
  with pytest.raises(ConfigError, match=text):
    script.parse(arguments)


def test_other_vectors_are_not_drawn(script, loaded):
  agent, config = loaded['highway_kinematics']
  for other in (
      {'task': 'highway_merge-v0'}, {'task': 'gym_CartPole-v1'},
      {'env.config.observation.absolute': True}):
    with pytest.raises(ConfigError, match='Only images, and the vehicles'):
      script.film(agent, config.update(other), None)
