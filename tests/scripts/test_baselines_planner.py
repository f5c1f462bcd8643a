"""The planner that sees five cars: what it expects, and what it decides."""

import pathlib

import numpy as np
import pytest

SCRIPT = (
    pathlib.Path(__file__).resolve().parents[2] / 'scripts'
    / 'baselines_planner.py')
LEFT, IDLE, RIGHT, FASTER, SLOWER = range(5)


def vector(*cars, y=8.0, speed=25.0):
  """Observes from y, in m, cars (m ahead, y, m/s, and m/s to the right)."""
  rows = np.zeros((5, 5))
  rows[0] = 1, 1, y / 12, speed / 80, 0
  for row, (x, car_y, vx, *vy) in zip(rows[1:], cars):
    row[:] = (
        1, x / 200, (car_y - y) / 12, (vx - speed) / 80, sum(vy) / 80)
  return rows.reshape(1, 25).astype(np.float32)


@pytest.fixture
def decide(script):
  """Returns the action in an observation."""

  def decide(*cars, hedged=False, **ego):
    policy = script.Planner(3, hedged)
    output, state = policy({'vector': vector(*cars, **ego)}, 'memory')
    assert output['action'].shape == (1, 5) and output['action'].sum() == 1
    assert output['action'].dtype == np.float32 and state == 'memory'
    return int(output['action'].argmax())

  return decide


def test_reads_what_the_environment_scaled(script):
  traffic = script.read(vector((40, 4, 21, -1), (-6, 8, 23)), 3)
  assert traffic.y == pytest.approx([8]) and traffic.speed == [25]
  assert traffic.cars_x[0, :2] == pytest.approx([40, -6])
  assert np.isposinf(traffic.cars_x[0, 2:]).all()
  assert traffic.cars_y[0, :2] == pytest.approx([4, 8])
  assert traffic.cars_vx[0, :2] == pytest.approx([21, 23])
  assert traffic.cars_vy[0, :2] == pytest.approx([-1, 0])


@pytest.mark.parametrize('x, y, hit', [
    (0, 0, True), (7.4, 2.7, True), (-7.4, -2.7, True), (7.5, 0, False),
    (0, 2.8, False), (0, 4, False)])
def test_centres_within_a_rectangle_collide(script, x, y, hit):
  assert script.collides(np.float64(x), np.float64(y)) == hit


@pytest.mark.parametrize('speed, lane, expected', [
    (20, 0, 1 / 1.5), (20, 2, 1.1 / 1.5), (25, 2, 1.3 / 1.5), (30, 2, 1),
    (35, 2, 1), (15, 0, 1 / 1.5)])
def test_rewards_are_those_of_the_environment(script, speed, lane, expected):
  assert script.reward(
      np.float64(speed), lane, 3) == pytest.approx(expected)


def test_own_car_goes_where_it_is_told(script):
  sequences = np.array([
      [FASTER, IDLE, IDLE], [IDLE] * 3, [SLOWER, SLOWER, SLOWER],
      [LEFT, IDLE, IDLE], [RIGHT, IDLE, IDLE], [LEFT, LEFT, LEFT]])
  x, y, speed, lane = (values[0] for values in script.drive(
      script.read(vector(), 3), sequences, 3))
  assert x.shape == y.shape == speed.shape == lane.shape == (6, 25)
  assert x[1] == pytest.approx(25 * 0.2 * np.arange(1, 26))
  # A third of what is left in each 0.2 s: 0.2 / 0.6.
  assert speed[0, 0] == pytest.approx(25 + 5 / 3)
  assert speed[0, 1] == pytest.approx(25 + 5 / 3 + 10 / 9)
  assert speed[:3, -1] == pytest.approx([30, 25, 20], abs=0.01)
  assert y[3, 0] == pytest.approx(8 - 4 * 0.2 / 0.75)
  assert y[:, -1] == pytest.approx([8, 8, 8, 4, 8, 0], abs=0.05)
  assert lane[:, 0].tolist() == [2, 2, 2, 1, 2, 1]
  assert lane[:, -1].tolist() == [2, 2, 2, 1, 2, 0]


def test_a_change_that_was_begun_goes_on(script):
  _, y, speed, _ = script.drive(
      script.read(vector(y=6.8, speed=29.0), 3), np.array([[IDLE] * 3]), 3)
  assert y[0, 0, -1] == pytest.approx(8, abs=0.01)
  assert speed[0, 0, -1] == pytest.approx(30, abs=0.01)


def test_others_keep_their_speed_and_drift_one_lane(script):
  traffic = script.read(vector((30, 8, 20), (50, 0, 22, 2)), 3)
  x, y = script.extrapolate(traffic, 0)
  assert x.shape == y.shape == (1, 4, 25)
  assert x[0, :2, 4] == pytest.approx([50, 72])  # After one second.
  assert x[0, :2, 24] == pytest.approx([130, 160])
  assert y[0, :2, 4] == pytest.approx([8, 2], abs=1e-5)
  assert y[0, :2, 24] == pytest.approx([8, 4], abs=1e-5)  # Not 10.
  assert np.isposinf(x[0, 2:]).all()


def test_only_those_ahead_in_the_lane_brake(script):
  traffic = script.read(vector((30, 8, 20), (-9, 8, 20), (30, 4, 20)), 3)
  x, _ = script.extrapolate(traffic, 1)
  # 1 m/s^2 for 1.5 s: 0.5 m after one second; 1.125 m and 3.5 s of 1.5 m/s.
  assert x[0, :3, 4] == pytest.approx([49.5, 11, 50])
  assert x[0, :3, 24] == pytest.approx([130 - 1.125 - 3.5 * 1.5, 91, 130])


def test_values_by_hand(script):
  sequences = np.array([[IDLE] * 3])
  value = lambda *cars: script.value(
      script.drive(script.read(vector(*cars), 3), sequences, 3),
      script.extrapolate(script.read(vector(*cars), 3), 0), 3).item()
  reward, powers = 1.3 / 1.5, 0.99 ** np.arange(6)
  free = reward * powers[:5].sum() + 7.3 * powers[5]
  assert value() == pytest.approx(free)
  # At 23 m/s, 35 m become 25 m; 20 m become 10 m; below 7.5 m they are 0.3.
  assert value((35, 8, 23)) == pytest.approx(free, rel=1e-4)
  assert value((20, 8, 23)) == pytest.approx(
      free - 0.6 * 7.3 * powers[5], rel=1e-4)
  assert value((35, 4, 0)) == pytest.approx(free)
  # 25 m/s faster: 35 - 5 t is below 7.5 at the sixth instant, after 1.2 s.
  assert value((35, 8, 0)) == pytest.approx(reward, rel=1e-4)


@pytest.mark.parametrize('hedged', [False, True])
@pytest.mark.parametrize('cars, ego, action', [
    ([], {}, FASTER), ([], {'speed': 20}, FASTER),
    ([(200, 8, 25)], {}, FASTER),
    # A wall of slow cars: brake, in whatever lane.
    ([(28, 0, 18), (28, 4, 18), (28, 8, 18)], {}, SLOWER),
    # Behind a slow car, with one beside it in the middle lane: brake.
    ([(20, 8, 18), (4, 4, 25)], {}, SLOWER),
    # The same with a free lane beside: pass it.
    ([(20, 8, 18)], {}, LEFT),
    ([(20, 0, 18)], {'y': 0}, RIGHT),
])
def test_decisions(decide, cars, ego, action, hedged):
  assert decide(*cars, hedged=hedged, **ego) == action


def test_the_hedged_one_weighs_a_world_in_which_a_car_brakes(script):
  traffic = script.read(vector((35, 8, 23)), 3)
  idle = 31  # IDLE is the second of each five: 25 + 5 + 1.
  plain, hedged = (
      script.Planner(3, hedge).values(traffic) for hedge in (False, True))
  assert plain.shape == hedged.shape == (1, 125)
  # Of the gap of 25 m, 18.625 m are left in that world; it has weight 0.2.
  lost = (25 - 18.625) / 25 * 7.3 * 0.99 ** 5
  assert hedged[0, idle] == pytest.approx(plain[0, idle] - 0.2 * lost, rel=1e-5)


def test_all_rows_of_a_batch_count_for_themselves(script):
  rows = [vector(), vector((20, 8, 18)), vector((20, 0, 18), y=0)]
  output, _ = script.Planner(3)({'vector': np.concatenate(rows)})
  assert output['action'].argmax(-1).tolist() == [FASTER, LEFT, RIGHT]
