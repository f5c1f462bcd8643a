"""A planner that sees only what an agent sees, for roads of highway-env.

From one default Kinematics observation, ego and four cars, it extrapolates all
sequences of three decisions, each followed by IDLE, and takes the first
decision of the best one. It needs no learning and no simulator: an agent that
does better has learned what others will do.

Constants were chosen on 2048 scenarios of EnvPool's HighwayFast-v0 (seed 1000),
which are none of highway-env's: 23.7 +- 7.1, 10 % crashes, 25.6 m/s there, and
23.9 +- 6.8, 9 %, 25.7 m/s hedged.
"""

from collections.abc import Mapping
import itertools
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from dreamerv2_tf.errors import ConfigError

LEFT, IDLE, RIGHT, FASTER, SLOWER = range(5)  # highway-env, ACTIONS_ALL.
SPEEDS = np.array([20.0, 25, 30])  # m/s; highway-env, MDPVehicle.
LANE = 4.0  # Width, m.
CARS = 5  # In an observation, the ego vehicle first.
RANGES = 200.0, LANE, 80.0, 80.0  # Of x, y in each lane, vx, vy.

SETTINGS = {  # All that was chosen; seconds, metres.
    'decisions': 3,
    'horizon': 5,  # Decisions, of which the last are IDLE.
    'dt': 0.2,
    'speed_seconds': 0.6,  # Time constant of the own speed: highway-env's.
    'lane_seconds': 0.75,  # And of the own lateral position.
    'length': 7.5, 'width': 2.8,  # Closer centres collide; a car is 5 by 2.
    'drift': 4.0,  # The most that a car leaves its lateral position.
    'discount': 0.99,  # For each decision.
    'end_value': 7.3,  # Ten decisions at 20 m/s on the right.
    'end_gap': 25.0,  # Gap in the lane that is worth all of it.
    'end_least': 0.3,  # Share of it that a smaller gap is worth at least.
}
HEDGE = {
    'weight': 0.2,  # Of the world in which cars ahead in the lane brake.
    'brake': 1.0,  # m/s^2.
    'brake_seconds': 1.5,
}
# Equal values: the earlier action of these.
ORDER = SLOWER, IDLE, LEFT, RIGHT, FASTER
DEFAULTS = (  # Of the environment, on which the constants rest.
    'observation', 'action', 'policy_frequency', 'collision_reward',
    'right_lane_reward', 'high_speed_reward', 'lane_change_reward',
    'reward_speed_range', 'normalize_reward')


class Traffic(NamedTuple):
  """Ego vehicle, [N], and the others, [N, 4]; metres and m/s, float64.

  Attributes:
    y, speed: of the ego vehicle; y is 0 in the middle of the left lane.
    cars_x: ahead of it; infinite where there is no car.
    cars_y: on the road, as y.
    cars_vx, cars_vy: on the road.
  """

  y: np.ndarray
  speed: np.ndarray
  cars_x: np.ndarray
  cars_y: np.ndarray
  cars_vx: np.ndarray
  cars_vy: np.ndarray


class Planner:
  """The policy; it has no memory."""

  def __init__(self, lanes: int, hedged: bool = False):
    """Prepares the sequences.

    Args:
      lanes: of the road.
      hedged: also think of a world in which cars ahead brake.
    """
    self._lanes = lanes
    self._hedged = hedged
    self._sequences = np.array(list(
        itertools.product(ORDER, repeat=SETTINGS['decisions'])))

  def __call__(
      self, obs: Mapping[str, np.ndarray], state: Any = None
  ) -> tuple[dict[str, np.ndarray], Any]:
    """Returns ({'action': [N, 5] float32}, state) for {'vector': [N, 25]}."""
    values = self.values(read(obs['vector'], self._lanes))
    actions = self._sequences[values.argmax(-1), 0]
    return {'action': np.eye(5, dtype=np.float32)[actions]}, state

  def values(self, traffic: Traffic) -> np.ndarray:
    """Returns the expected return of each sequence, [N, 125] float64."""
    own = drive(traffic, self._sequences, self._lanes)
    plain = value(own, extrapolate(traffic, 0.0), self._lanes)
    if not self._hedged:
      return plain
    braked = value(own, extrapolate(traffic, HEDGE['brake']), self._lanes)
    return plain + HEDGE['weight'] * (braked - plain)


def settings(hedged: bool) -> dict[str, Any]:
  """Returns the constants, as JSON has them."""
  return {**SETTINGS, **(HEDGE if hedged else {})}


def check(env: gym.Env, method: str, task: str) -> int:
  """Refuses a world for which the constants do not hold.

  Args:
    env: of highway-env or another, innermost.
    method, task: for the message.

  Returns:
    Number of lanes.

  Raises:
    ConfigError: the environment is another, or changed.
  """
  from highway_env.envs.highway_env import HighwayEnv
  if not isinstance(env, HighwayEnv):
    raise ConfigError(
        f"'{method}' drives on straight roads alone, but the task is '{task}'. "
        'Take highway_highway-fast-v0.')
  defaults = type(env).default_config()
  for key in DEFAULTS:
    if env.config[key] != defaults[key]:
      raise ConfigError(
          f"'{method}' needs env.config.{key} {defaults[key]} but got "
          f'{env.config[key]}. Leave it out.')
  return env.config['lanes_count']


def read(vector: np.ndarray, lanes: int) -> Traffic:
  """Undoes the scaling of observations, [N, 25]."""
  rows = np.reshape(vector, (-1, CARS, 5)).astype(np.float64)
  x, y, vx, vy = (
      rows[..., 1 + index] * size * (lanes if index == 1 else 1)
      for index, size in enumerate(RANGES))
  there = rows[:, 1:, 0] > 0.5
  return Traffic(
      y=y[:, 0], speed=vx[:, 0],  # Others are relative to these.
      cars_x=np.where(there, x[:, 1:], np.inf),
      cars_y=y[:, 1:] + y[:, :1], cars_vx=vx[:, 1:] + vx[:, :1],
      cars_vy=vy[:, 1:] + vy[:, :1])


def drive(
    traffic: Traffic, sequences: np.ndarray,
    lanes: int) -> tuple[np.ndarray, ...]:
  """Moves the ego vehicle.

  Args:
    traffic: at the time of the decision.
    sequences: [S, 3] int; indices of actions.
    lanes: of the road.

  Returns:
    x, y (m), speed (m/s) and target lane, [N, S, 25] each, after each 0.2 s.
  """
  shape = len(traffic.y), len(sequences)
  spread = lambda values: np.repeat(values[:, None], shape[1], 1)
  x, y, speed = np.zeros(shape), spread(traffic.y), spread(traffic.speed)
  # What was decided before is nearly reached after a second.
  lane = np.clip(np.round(y / LANE), 0, lanes - 1)
  target = SPEEDS[_gear(speed)]
  dt, states = SETTINGS['dt'], []
  for decision in range(SETTINGS['horizon']):
    if decision < sequences.shape[1]:
      action = sequences[:, decision]
      change = (action == FASTER).astype(int) - (action == SLOWER)
      gear = np.clip(_gear(speed) + change, 0, len(SPEEDS) - 1)
      target = np.where(change, SPEEDS[gear], target)
      side = (action == RIGHT).astype(int) - (action == LEFT)
      lane = np.clip(lane + side, 0, lanes - 1)
    for _ in range(round(1 / dt)):
      x = x + speed * dt
      speed = speed + (target - speed) * dt / SETTINGS['speed_seconds']
      y = y + (lane * LANE - y) * dt / SETTINGS['lane_seconds']
      states.append((x, y, speed, lane))
  return tuple(np.stack(values, -1) for values in zip(*states))


def extrapolate(
    traffic: Traffic, brake: float) -> tuple[np.ndarray, np.ndarray]:
  """Moves the others.

  Args:
    traffic: at the time of the decision.
    brake: m/s^2, of those ahead in the lane of the ego vehicle.

  Returns:
    x ahead of where the ego vehicle was, and y, [N, 4, 25], m.
  """
  dt = SETTINGS['dt']
  time = dt * np.arange(1, round(SETTINGS['horizon'] / dt) + 1)
  braking = np.minimum(time, HEDGE['brake_seconds'])
  lost = brake * braking * (time - braking / 2)
  ahead = (traffic.cars_x > 0) & (
      np.abs(traffic.cars_y - traffic.y[:, None]) < SETTINGS['width'])
  drift = np.clip(
      traffic.cars_vy[..., None] * time, -SETTINGS['drift'], SETTINGS['drift'])
  return (
      traffic.cars_x[..., None] + traffic.cars_vx[..., None] * time
      - ahead[..., None] * lost,
      traffic.cars_y[..., None] + drift)


def collides(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Tells, bool, whether cars so far apart along and across the road touch."""
  return (np.abs(x) < SETTINGS['length']) & (np.abs(y) < SETTINGS['width'])


def value(
    own: tuple[np.ndarray, ...], cars: tuple[np.ndarray, np.ndarray],
    lanes: int) -> np.ndarray:
  """Returns the discounted rewards up to a collision, and the end value.

  Args:
    own: of `drive`.
    cars: of `extrapolate`.
    lanes: of the road.

  Returns:
    [N, S] float64.
  """
  x, y, speed, lane = own
  cars_x, cars_y = (values[:, None] for values in cars)  # [N, 1, 4, 25]
  hit = collides(cars_x - x[:, :, None], cars_y - y[:, :, None]).any(2)
  free = np.logical_and.accumulate(~hit, -1)
  count = round(1 / SETTINGS['dt'])
  decision = np.arange(x.shape[-1]) // count
  rewards = reward(speed, lane, lanes) * SETTINGS['discount'] ** decision
  ahead = cars_x[..., -1] - x[:, :, None, -1]
  inside = np.abs(
      cars_y[..., -1] - LANE * lane[:, :, None, -1]) < SETTINGS['width']
  gap = np.where(inside & (ahead > 0), ahead, np.inf).min(-1)
  share = np.clip(gap / SETTINGS['end_gap'], SETTINGS['end_least'], 1)
  end = SETTINGS['end_value'] * share * (
      SETTINGS['discount'] ** SETTINGS['horizon'])
  # A collision costs what is left of its second, too.
  return (free * rewards).sum(-1) / count + free[..., -1] * end


def reward(speed: np.ndarray, lane: np.ndarray, lanes: int) -> np.ndarray:
  """Returns highway-env's reward of a decision without a crash, in [0, 1]."""
  fast = np.clip((speed - 20) / 10, 0, 1)
  return (1 + 0.4 * fast + 0.1 * lane / max(lanes - 1, 1)) / 1.5


def _gear(speed):
  """Returns the index of the nearest of SPEEDS."""
  return np.clip(np.round((speed - 20) / 5), 0, len(SPEEDS) - 1).astype(int)
