"""Vectors of highway-env's Kinematics as cars on the ground, in metres."""

import dataclasses
from typing import Any

import numpy as np

SIZE = 5.0, 2.0  # Metres; all cars of highway-env.
NEAR = 10.0  # Metres within which a car is the one that was expected there.
STILL = 1.0  # m/s; slower ones look where they looked, ahead at first.


@dataclasses.dataclass(frozen=True)
class Lane:
  """A lane as a line in the middle of it.

  Attributes:
    points: [n, 2], metres.
    width: metres.
  """

  points: np.ndarray
  width: float


@dataclasses.dataclass(frozen=True)
class Traffic:
  """What the numbers of a vector mean, and the roads where they are known.

  Attributes:
    features: names of the numbers of a car; x and y are among them.
    low, high: what a number of -1 and 1 means, one for each feature; -1 and 1
      themselves where it means itself.
    absolute: places and speeds are those on the ground; otherwise those of
      others are told from the own car, which stands in the first place.
    seconds: between two decisions.
    lanes: of the whole network where places are absolute, of a straight road
      where only the side is; empty where it is unknown what lies where.
    straight: the road goes along x.
  """

  features: tuple[str, ...]
  low: np.ndarray
  high: np.ndarray
  absolute: bool
  seconds: float
  lanes: tuple[Lane, ...] = ()
  straight: bool = False

  @property
  def follows(self) -> bool:
    """Whether pictures go with the own car, as no place is known but beside."""
    return self.straight or not self.absolute

  def cars(self, vector: np.ndarray) -> np.ndarray:
    """Returns the cars of a vector, the own one first.

    Args:
      vector: [V * F], float; V cars of F features, in the environment's units.

    Returns:
      [n, 5], float; x and y in metres, speeds along them in m/s, and heading
      in radians, of the own car and those that are present. x counts from the
      own car if the picture follows it.
    """
    rows = np.reshape(vector, [-1, len(self.features)]).astype(float)
    there = self._there(rows)
    rows = self.low + (rows + 1) / 2 * (self.high - self.low)
    get = lambda name, default=0.0: (
        rows[:, self.features.index(name)].copy() if name in self.features
        else np.full(len(rows), default))
    moving = np.stack([get(k) for k in ('x', 'y', 'vx', 'vy')], -1)
    if not self.absolute:
      moving[1:] += moving[0]
    if self.follows:
      moving[:, 0] -= moving[0, 0]
    heading = np.arctan2(moving[:, 3], moving[:, 2])
    heading[np.hypot(moving[:, 2], moving[:, 3]) < STILL] = 0
    if {'cos_h', 'sin_h'} <= set(self.features):
      heading = np.arctan2(get('sin_h'), get('cos_h'))
    elif 'heading' in self.features:
      heading = get('heading')
    return np.concatenate([moving, heading[:, None]], -1)[there]

  def between(
      self, now: np.ndarray, then: np.ndarray, part: float) -> np.ndarray:
    """Returns cars between two decisions.

    A car of the first is that of the second which is nearest to where its
    speed brings it, within 10 m. Others stay or are there for half of the time.

    Args:
      now, then: [n, 5], of `cars`.
      part: of the time between, 0 to 1.

    Returns:
      [m, 5].
    """
    if not part:
      return now
    free = list(range(1, len(then)))
    result = [_mixed(now[0], then[0], part)]
    for car in now[1:]:
      speed = car[2:4] - [now[0, 2] * self.follows, 0]
      expected = car[:2] + speed * self.seconds
      cost = lambda i, x=expected: np.abs(then[i, :2] - x).sum()
      best = min(free, key=cost, default=None)
      if best is not None and cost(best) < NEAR:
        free.remove(best)
        result.append(_mixed(car, then[best], part))
      elif part < 0.5:
        result.append(car)
    return np.stack(result + [then[i] for i in free if part >= 0.5])

  def _there(self, rows):
    """Tells which rows, in the environment's units, are cars."""
    if 'presence' in self.features:
      there = rows[:, self.features.index('presence')] > 0.5
    else:  # Rows without a car are zeros.
      there = np.abs(rows).max(-1) > 0.02
    there[0] = True  # A dream may forget it.
    return there


def read(plain: Any, repeat: int) -> Traffic | None:
  """Returns what the vectors of an environment mean; None: no cars.

  Args:
    plain: an environment of highway-env, which was reset.
    repeat: environment steps for each decision.
  """
  seen = plain.observation_type
  if plain.config['observation']['type'] != 'Kinematics' or not (
      {'x', 'y'} <= set(seen.features)):
    return None
  count = len(seen.features)
  low, high = -np.ones(count), np.ones(count)
  if seen.normalize:
    for name, limits in (seen.features_range or {}).items():
      if name in seen.features:
        index = seen.features.index(name)
        low[index], high[index] = limits
  lanes = [_lane(lane) for lane in plain.road.network.lanes_list()]
  straight = all(np.ptp(lane.points[:, 1]) < 1e-6 for lane in lanes)
  return Traffic(
      tuple(seen.features), low, high, bool(seen.absolute),
      repeat / plain.config['policy_frequency'],
      tuple(lanes) if straight or seen.absolute else (), straight)


def _lane(lane):
  """Reads a lane of highway-env."""
  places = np.linspace(0, lane.length, max(2, int(lane.length / 2)))
  return Lane(
      np.array([lane.position(x, 0) for x in places]),
      float(lane.width_at(0)))


def _mixed(one, other, part):
  """Returns a car on the straight way from one place to another."""
  turn = (other[4] - one[4] + np.pi) % (2 * np.pi) - np.pi
  result = (1 - part) * one + part * other
  result[4] = one[4] + part * turn
  return result
