import numpy as np
import pytest

from dreamerv2_tf.dreams import road, traffic
from dreamerv2_tf.dreams.traffic import Lane, Traffic
from dreamerv2_tf.envs.suites import highway


def straight_lane(y):
  return Lane(np.array([[0.0, y], [1000.0, y]]), 4.0)


@pytest.fixture
def three():
  """Three lanes as in the preset: 200 m, 12 m and 80 m/s are 1."""
  high = np.array([1.0, 200, 12, 80, 80])
  return Traffic(
      ('presence', 'x', 'y', 'vx', 'vy'), -high, high, False, 1.0,
      tuple(straight_lane(y) for y in (0.0, 4.0, 8.0)), True)


def car(x, y, speed, presence=1.0):
  return [presence, x / 200, y / 12, speed / 80, 0]


def vector(*cars):
  return np.float32(cars).ravel()


def test_vectors_become_metres(three):
  own, other = car(160, 4, 20), car(30, 4, 5, presence=0.9)
  absent = car(9, 0, 0, presence=0.1)
  # Where the own car is along the road is not shown; others are told from it.
  np.testing.assert_allclose(
      three.cars(vector(own, absent, other)),
      [[0, 4, 20, 0, 0], [30, 8, 25, 0, 0]], rtol=1e-5)
  own[0] = 0.2  # A dream may forget it.
  assert len(three.cars(vector(own, absent))) == 1


def test_absolute_places_stay_where_they_are():
  ground = Traffic(
      ('y', 'x', 'cos_h', 'sin_h'), np.array([-50.0, -100, -1, -1]),
      np.array([50.0, 100, 1, 1]), True, 1.0)
  found = ground.cars(vector([0.5, 0.2, 0, 1], [0, 0, 0, 0], [0, -0.1, -1, 0]))
  np.testing.assert_allclose(
      found[:, [0, 1, 4]], [[20, 25, np.pi / 2], [-10, 0, np.pi]], atol=1e-5)


def test_a_car_looks_where_it_goes_unless_it_stands(three):
  turning = [1, 0, 0, 20 / 80, 20 / 80]
  standing = [1, 0.1, 0, -20 / 80, -19.5 / 80]
  np.testing.assert_allclose(
      three.cars(vector(turning, standing))[:, 4], [np.pi / 4, 0])


def test_cars_move_from_place_to_place(three):
  make = lambda *rows: np.array([[x, y, v, 0, 0] for x, y, v in rows], float)
  now = make((0, 4, 20), (30, 4, 25), (50, 8, 20))
  # The rows have changed places, and one car gave way to another.
  then = make((0, 8, 22), (-20, 0, 20), (35, 4, 25))
  assert three.between(now, then, 0.0) is now
  np.testing.assert_allclose(
      three.between(now, then, 0.25),
      make((0, 5, 20.5), (31.25, 4, 25), (50, 8, 20)))
  np.testing.assert_allclose(
      three.between(now, then, 0.75),
      make((0, 7, 21.5), (33.75, 4, 25), (-20, 0, 20)))
  np.testing.assert_allclose(
      three.between(now[:1], then[:1], 0.5), make((0, 6, 21)))


def test_a_turn_takes_the_short_way(three):
  one, other = np.zeros([2, 1, 5])
  one[0, 4], other[0, 4] = 3.0, -3.0
  half = three.between(one, other, 0.5)[0, 4]
  assert np.cos(half) == pytest.approx(-1)


def test_the_road_is_drawn_to_scale(three):
  own, other = car(100, 0, 20), car(30, 4, 0)
  vectors = np.stack([vector(own, other)] * 2)
  view = road.View(three, vectors)
  assert view.size == (960, 8 * 14)
  film = road.Film(view, three, vectors)
  assert film.speed(0) == pytest.approx(20)
  picture = film.draw(0, 0.0, False)
  assert picture.shape == (112, 960, 3)
  # 8 pixels for a metre; 30 m behind, and 3 m left of the middle of lane 0.
  at = lambda x, y: (int((y + 3) * 8), int((x + 30) * 8))
  for x, y, color in [
      (-1, 0, 'own'), (2.2, 0.5, 'own'), (3, 0, 'road'), (29, 4, 'other'),
      (33, 4, 'road'), (0, -2.6, 'ground'), (0, 10.6, 'ground'),
      (0.8, 0, 'glass')]:
    np.testing.assert_array_equal(
        picture[at(x, y)], road.COLORS[color], f'{x} {y}')
  np.testing.assert_array_equal(
      film.draw(1, 0.0, True)[at(-1, 0)], road.COLORS['ended'])
  # Marks are 3 m long, one each 9 m, and pass by with 20 m/s.
  line = at(0, 2)[0]
  for part, color in (0.0, 'mark'), (0.25, 'road'), (0.45, 'mark'):
    np.testing.assert_array_equal(
        film.draw(0, part, False)[line, 220], road.COLORS[color], str(part))


def test_an_unknown_road_is_a_grid():
  high = np.array([1.0, 200, 8, 80, 80])
  merge = Traffic(('presence', 'x', 'y', 'vx', 'vy'), -high, high, False, 1.0)
  view = road.View(merge, [vector([1, 0.5, 0.5, 0.25, 0])])
  assert view.size == (960, 24 * 8)
  picture = view.draw(merge.cars(vector([1, 0.5, 0.5, 0.25, 0])))
  colors = {tuple(x) for x in picture.reshape([-1, 3])}
  assert {road.COLORS[x] for x in ('blank', 'grid', 'own')} <= colors
  assert not {road.COLORS[x] for x in ('road', 'mark')} & colors


@pytest.mark.parametrize('name, follows, straight, lanes', [
    ('highway-fast-v0', True, True, 3), ('merge-v1', True, False, 0),
    ('intersection-v2', False, False, 20)])
def test_tasks_are_read(name, follows, straight, lanes):
  env = highway.configured(name, {})
  obs, _ = env.reset(seed=3)
  found = traffic.read(env.unwrapped, 1)
  assert (found.follows, found.straight, len(found.lanes)) == (
      follows, straight, lanes)
  cars = found.cars(obs.ravel())
  own = env.unwrapped.vehicle
  assert cars[0, 1] == pytest.approx(own.position[1], abs=1e-3)
  np.testing.assert_allclose(cars[0, 2:4], own.velocity, atol=1e-3)
  road = env.unwrapped.road
  places = np.array([
      x.position - own.position for x in road.vehicles + road.objects])
  if not found.absolute:  # What lies beyond is shown at the edge.
    places = np.clip(places, found.low[1:3], found.high[1:3])
  for x in cars[:, :2] - cars[0, :2]:
    assert np.abs(places - x).sum(-1).min() < 0.01
  env.close()


def test_other_observations_are_no_cars():
  for observation in (
      {'type': 'TimeToCollision'},
      {'type': 'Kinematics', 'features': ['presence', 'vx']}):
    env = highway.configured('highway-fast-v0', {'observation': observation})
    assert traffic.read(env.unwrapped, 1) is None
    env.close()


def test_plain_numbers_and_other_clocks_are_read():
  env = highway.configured('highway-fast-v0', {
      'policy_frequency': 2, 'simulation_frequency': 10,
      'observation': {'type': 'Kinematics', 'normalize': False}})
  obs, _ = env.reset(seed=3)
  found = traffic.read(env.unwrapped, 3)
  assert found.seconds == 1.5
  np.testing.assert_allclose(
      found.cars(obs.ravel())[0, 1:4],
      [*env.unwrapped.vehicle.position[1:], *env.unwrapped.vehicle.velocity],
      rtol=1e-5)
  env.close()
