"""Films highway-env for people: the whole road, smoothly, the own car marked.

Between two simulated instants cars are drawn on the straight line from one
place to the next. Whatever is changed to draw them is put back afterwards, the
very same objects, so that the world goes on as if nobody had looked.
"""

from collections.abc import Iterator
import contextlib
import math
import types
from typing import Any

import numpy as np

SMOOTH = 15  # Frames per second, at least; as highway-env's own demonstrations.
TALLEST = 320  # Pixels; a screen grows up to this height to show all lanes.
EDGE = 20  # Pixels around the lanes.
JUMP = 20  # Metres; a car that moves more at once was put elsewhere.
OWN = (50, 200, 0)  # Green, as highway-env draws it before a crash.
CRASHED = (225, 25, 25)  # Darker than other cars that crashed.


class Camera:
  """Follows the own car; where all lanes fit on the screen, they stand still.

  Attributes:
    fps: frames per simulated second, a multiple of the simulation's.
  """

  def __init__(self, env: Any, smooth: bool):
    """Looks at the road.

    Args:
      env: the innermost environment, reset.
      smooth: add frames between instants of a slow simulation.
    """
    frequency = env.config['simulation_frequency']
    self._between = math.ceil(SMOOTH / frequency) if smooth else 1
    self.fps = float(self._between * frequency)
    self._env = env
    self._scaling = env.config['scaling']
    self._size = np.array(
        [env.config['screen_width'], env.config['screen_height']])
    needed = np.diff(_corners(env.road), axis=0)[0] * self._scaling + 2 * EDGE
    self._size[1] = max(self._size[1], min(math.ceil(needed[1]), TALLEST))
    self._fits = needed <= self._size
    self._viewer: Any = None
    self._road: Any = None  # The one that was filmed last.
    self._middle = np.zeros(2)
    self._poses: dict[Any, tuple] = {}  # Of its cars then.

  def shots(self) -> Iterator[np.ndarray]:
    """Yields the pictures since the instant before, [H, W, 3] uint8.

    While the caller has one of them, the environment is as it shows; when the
    next is asked for, it is as before.
    """
    env = self._env
    if env.road is not self._road:  # Another episode.
      self._road, self._poses = env.road, {}
      self._middle = _corners(env.road).mean(0)
    now = {car: _pose(car) for car in env.road.vehicles}
    for index in range(1, self._between if self._poses else 1):
      with _moved(self._poses, now, index / self._between):
        yield self._shoot()
    self._poses = {  # Copies, as the simulation moves cars in place.
        car: (pose[0].copy(), *pose[1:]) for car, pose in now.items()}
    yield self._shoot()
    # Without these, highway-env does not tell of instants between decisions.
    env.viewer, env.enable_auto_render = self._viewer, True

  def _shoot(self):
    env, viewer = self._env, self._viewer
    if viewer is None:
      from highway_env.envs.common.graphics import EnvViewer
      width, height = (int(x) for x in self._size)
      viewer = self._viewer = EnvViewer(env, {
          **env.config, 'screen_width': width, 'screen_height': height})
    viewer.observer_vehicle = types.SimpleNamespace(position=self._aim())
    with _colored(env.vehicle, OWN):
      viewer.display()
    if env.vehicle.crashed:
      import pygame
      surface = viewer.sim_surface
      pygame.draw.polygon(
          surface, CRASHED,
          [surface.vec2pix(x) for x in _outline(env.vehicle)], 3)
    return np.array(viewer.get_image())

  def _aim(self):
    """Returns the place that highway-env should center, [2], metres."""
    position = np.array(self._env.vehicle.position)
    half = self._size / 2 / self._scaling
    # What is centered lies at this share of the screen.
    share = np.array(self._env.config['centering_position'])
    shift = (share - 0.5) * 2 * half
    reach = np.maximum(half - EDGE / self._scaling, 0)
    still = np.clip(self._middle, position - reach, position + reach) + shift
    return np.where(self._fits, still, position)


def _pose(car):
  return car.position, car.heading, car.speed, car.crashed


def _corners(road):
  """Returns the least and the greatest coordinates of all lanes, [2, 2]."""
  points = [
      lane.position(along, side * lane.width_at(along) / 2)
      for lane in road.network.lanes_list()
      for along in np.linspace(0, lane.length, 20) for side in (-1, 1)]
  return np.stack([np.min(points, 0), np.max(points, 0)])


@contextlib.contextmanager
def _moved(before, now, part):
  """Puts cars on their way from where they were to where they are."""
  try:
    for car, (position, heading, speed, _) in now.items():
      if car not in before:
        continue
      old_position, old_heading, old_speed, old_crashed = before[car]
      way = position - old_position
      if np.abs(way).max() > JUMP:
        continue
      turn = math.remainder(heading - old_heading, 2 * math.pi)
      car.position = old_position + part * way
      car.heading = old_heading + part * turn
      car.speed = old_speed + part * (speed - old_speed)
      car.crashed = old_crashed
    yield
  finally:
    for car, pose in now.items():
      car.position, car.heading, car.speed, car.crashed = pose


@contextlib.contextmanager
def _colored(car, color):
  """Gives a car a colour of its own."""
  own = vars(car)
  there, old = 'color' in own, own.get('color')
  car.color = color
  try:
    yield
  finally:
    if there:
      car.color = old
    else:
      del car.color


def _outline(car, margin=0.5):
  """Returns the corners of a rectangle around a car, [4, 2], metres."""
  along = np.array([math.cos(car.heading), math.sin(car.heading)])
  across = np.array([-along[1], along[0]])
  length, width = car.LENGTH / 2 + margin, car.WIDTH / 2 + margin
  return [
      car.position + x * length * along + y * width * across
      for x, y in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
