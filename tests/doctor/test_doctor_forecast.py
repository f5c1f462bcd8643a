import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf import config as configlib
from dreamerv2_tf.doctor import forecast, measure
from dreamerv2_tf.doctor.forecast import Speeds

SPEEDS = Speeds(
    start=10.0, prefill=100.0, first=5.0, gradient=0.5, period=2.0,
    evaluation=50.0, checkpoint=0.25, policy=0.01, length=20.0)


def settings(**changes):
  return configlib.resolve().update({
      'steps': 1000, 'prefill': 200, 'pretrain': 10, 'train_every': 8,
      'eval_every': 400, 'eval_eps': 5, 'checkpoint_every': 500, **changes})


def test_the_time_of_each_part_by_hand():
  assert forecast.times(settings(), SPEEDS, longest=None) == {
      'start': 10.0,
      'prefill': 2.0,  # 200 steps, 100 for each second.
      'pretrain': 10.0,  # The first, and 10 of half a second.
      'training': 200.0,  # 800 steps, 8 for each training, 2 s.
      'evaluations': 6.0,  # At 200, 600 and 1,000: 3 * 5 * 20 steps, 50 a s.
      'checkpoints': 0.5}


def test_evaluations_count_with_the_longest_episodes():
  parts = forecast.times(settings(), SPEEDS, longest=100)
  assert parts['evaluations'] == 30.0


def test_a_run_that_ends_in_prefill_trains_nothing():
  parts = forecast.times(settings(prefill=5000), SPEEDS, longest=None)
  assert (parts['prefill'], parts['pretrain'], parts['training']) == (
      10.0, 0.0, 0.0)
  assert parts['evaluations'] == 0.0


@pytest.mark.parametrize('changes, want', [
    ({}, 3), ({'steps': 1100}, 4), ({'eval_every': 0}, 0),
    ({'prefill': 1000}, 1), ({'prefill': 1001}, 0)])
def test_evaluations_of_a_run(changes, want):
  assert forecast.evaluations(settings(**changes)) == want


def test_the_bytes_of_a_step_by_hand():
  box = lambda shape, dtype: gym.spaces.Box(0, 1, shape, dtype)
  spaces = {
      'image': box((4, 4, 3), np.uint8), 'vector': box((5,), np.float32),
      'reward': box((), np.float32), 'is_first': box((), bool),
      'is_last': box((), bool), 'is_terminal': box((), bool),
      'log_speed': box((), np.float32)}
  # 48 + 20 + 4 + 3 and two of the action; on disk the logged number, too.
  assert forecast.row_bytes(spaces, 2) == (83, 87)


def test_the_replay_holds_at_most_its_capacity_and_its_memory():
  config = settings(**{'steps': 10 ** 6, 'replay.capacity': 10 ** 5})
  assert forecast.stored_steps(config) == 10 ** 5
  assert forecast.stored_steps(
      config.update({'replay.capacity': 0})) == 10 ** 6
  check = forecast.check_memory(config, 1000, 1e9, [10 ** 8, 10 ** 8], 1, 8e9)
  assert check.status == 'ok'
  assert check.values == {
      'total': 1e9 + 1e8 + 3e8, 'process': 1e9, 'replay': 1e8, 'row': 1000,
      'environments': 3e8, 'free': 8e9}
  check = forecast.check_memory(
      config.update({'replay.ram': 10 ** 7}), 1000, 1e9, [], 0, 8e9)
  assert check.values['replay'] == 9e6


@pytest.mark.parametrize('free, status, code', [
    (1e9, 'ok', 0), (0.15e9, 'warn', 0), (0.05e9, 'fail', 6)])
def test_memory_that_does_not_suffice(free, status, code):
  config = settings(**{'steps': 100_000})
  # A gigabyte that is there, and 0.1 GB of replay to come.
  check = forecast.check_memory(config, 1000, 0.2e9, [], 0, free)
  assert (check.status, check.code) == (status, code)


def test_a_disk_that_does_not_suffice():
  # 1,000 steps of 100 bytes, and 50 for each step of an episode of 20.
  check = forecast.check_disk(settings(), 100, 1000, 20, 1e6, 1e9)
  assert check.status == 'ok' and check.values['step'] == 150
  assert check.values['total'] == pytest.approx(1.1 * 150_000 + 4e6)
  check = forecast.check_disk(settings(), 100, 1000, 20, 1e6, 4e6)
  assert (check.status, check.code) == ('fail', 6)


def test_a_run_of_weeks_is_a_warning():
  config = settings(steps=10 ** 8)
  assert forecast.check_time(config, {'training': 1e7}).status == 'warn'
  check = forecast.check_time(config, {'start': 1.0, 'training': 5400.0})
  assert check.status == 'ok'
  assert check.text == '100,000,000 steps in about 90 min: training 90 min'


@pytest.mark.parametrize('sizes, want', [
    ([(10, 300), (20, 400), (30, 500)], (10.0, 200.0)),
    ([(10, 300), (10, 320)], (31.0, 0.0)), ([], (0.0, 0.0))])
def test_files_of_episodes_are_a_line_in_their_steps(sizes, want):
  assert measure.fit(sizes) == want
