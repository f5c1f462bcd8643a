"""Films of highway-env show the whole road and change nothing on it."""

import pickle
import random

import environments
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.envs.suites import highway_camera

FAST = 'highway_highway-fast-v0'
GREEN, RED = highway_camera.OWN, highway_camera.CRASHED


def make(task=FAST, env_config=None, render=True, smooth=True):
  return envs.make(
      task, **environments.config(env_config), render=render, smooth=smooth)


def play(env, seed, actions):
  """Yields the row and frames of an episode, from its reset on."""
  yield env.reset(seed), env.frames()
  for action in actions:
    onehot = np.eye(env.act_space['action'].n, dtype=np.float32)[action]
    row = env.step({'action': onehot})
    yield row, env.frames()
    if row['is_last']:
      return


def world(env):
  """All that the simulation goes on from, bit for bit."""
  plain = env._env.unwrapped
  return pickle.dumps([
      plain.np_random.bit_generator.state, plain.time, plain.steps,
      [{k: v for k, v in vars(car).items() if isinstance(
          v, int | float | bool | str | tuple | np.ndarray)}
       for car in plain.road.vehicles]])


@pytest.mark.parametrize('task', [
    FAST, 'highway_merge-v1', 'highway_intersection-v2'])
def test_a_film_changes_neither_the_world_nor_random_generators(task):
  ends = []
  for render in False, True:
    random.seed(1)
    np.random.seed(1)
    env = make(task, {'simulation_frequency': 5}, render)
    results = [
        (row, len(frames), world(env))
        for row, frames in play(env, 7, [0, 2, 1, 0])]
    ends.append((results, random.getstate(), np.random.get_state()))
  (plain, *generators), (filmed, *others) = ends
  assert len(plain) == len(filmed) > 3
  for (row, none, state), (other, some, same) in zip(plain, filmed):
    assert none == 0 and some == (1 if other['is_first'] else 15)
    assert state == same
    for key in row:
      np.testing.assert_array_equal(row[key], other[key])
  assert generators[0] == others[0]
  np.testing.assert_equal(generators[1], others[1])


def test_frames_lie_on_the_way_between_two_instants():
  rough, smooth = make(smooth=False), make()
  assert (rough.fps, smooth.fps) == (5, 15)
  speeds = lambda env: [
      frame.readings['log_speed']
      for _, frames in play(env, 3, [3, 4]) for frame in frames]
  few, many = speeds(rough), speeds(smooth)
  assert len(few) == 11 and len(set(few)) == 11
  np.testing.assert_allclose(
      many, np.interp(np.arange(31) / 3, np.arange(11), few), rtol=1e-12)
  assert many[::3] == few


def test_a_fast_simulation_is_smooth_already():
  env = make(env_config={'simulation_frequency': 20})
  assert env.fps == 20
  assert [len(frames) for _, frames in play(env, 3, [1])] == [1, 20]


def test_each_frame_shows_another_moment():
  frames = [x for _, frames in play(make(), 3, [3, 0]) for x in frames]
  assert all((a.pixels != b.pixels).any() for a, b in zip(frames, frames[1:]))


def count(frame, color):
  return (frame.pixels == color).all(-1).sum()


def test_the_own_car_is_green_and_after_a_crash_framed_in_red():
  frames = [x for _, frames in play(make(), 4, [3, 3, 3]) for x in frames]
  crashed = [bool(frame.readings['log_crashed']) for frame in frames]
  begin = crashed.index(True)
  assert begin % 3 == 0  # With the instant, not on the way to it.
  assert crashed == [False] * begin + [True] * (len(frames) - begin)
  for frame, crash in zip(frames, crashed):
    assert count(frame, GREEN) > 50
    assert (count(frame, RED) > 50) == crash


def test_a_colour_that_a_car_had_is_given_back():
  class Car:
    pass
  car = Car()
  with highway_camera._colored(car, GREEN):
    assert car.color == GREEN
  assert not hasattr(car, 'color')
  car.color = 'yellow'
  with highway_camera._colored(car, GREEN):
    assert car.color == GREEN
  assert car.color == 'yellow'


def test_the_road_stands_still_while_the_car_changes_lanes():
  films = list(play(make(), 3, [2, 2]))
  lines = [
      np.flatnonzero((frame.pixels == 255).all(-1).all(1))  # The two edges.
      for _, frames in films for frame in frames]
  assert len(lines[0]) == 2 and abs(lines[0].mean() - 75) < 2
  for line in lines[1:]:
    np.testing.assert_array_equal(line, lines[0])


@pytest.mark.parametrize('task, size', [
    ('highway_merge-v1', (150, 600)), ('highway_exit-v1', (320, 600))])
def test_the_screen_is_as_high_as_the_road_needs(task, size):
  env = make(task)
  env.reset(0)
  assert env.frames()[0].pixels.shape == (*size, 3)


def test_more_lanes_make_the_screen_higher():
  env = make(env_config={'lanes_count': 8, 'vehicles_count': 5})
  env.reset(0)
  # 8 lanes of 4 m at 5.5 pixels, and the edges.
  assert env.frames()[0].pixels.shape == (216, 600, 3)


def test_a_film_of_some_scenarios_alone():
  env = make(render=[4])
  counts = [[len(frames) for _, frames in play(env, seed, [1, 1])]
            for seed in (3, 4, 5)]
  assert counts == [[0, 0, 0], [1, 15, 15], [0, 0, 0]]


def test_names_of_the_actions():
  assert make(render=False).about['actions'] == [
      'lane left', 'idle', 'lane right', 'faster', 'slower']
  assert make(render=False, env_config={
      'action': {'type': 'ContinuousAction'}}).about['actions'] == []
