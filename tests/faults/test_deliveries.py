"""What a run takes from collectors: whole episodes, each once."""

import contextlib
import types

import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf.data import when
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.run.clock import Clock
from dreamerv2_tf.run.deliveries import RemoteCollector, RemoteDriver
from dreamerv2_tf.run.progress import Progress
from dreamerv2_tf.run.session import Group

FLAG = gym.spaces.Box(0, 1, (), bool)
SPACES = {
    'vector': gym.spaces.Box(-9, 9, (2,), np.float32),
    'log_speed': gym.spaces.Box(0, 1, (), np.float32),
    'reward': gym.spaces.Box(-9, 9, (), np.float32),
    **dict.fromkeys(['is_first', 'is_last', 'is_terminal'], FLAG)}


class Fleet:
  """Two collectors with two environments each that say what they are told."""

  obs_space = SPACES
  act_space = {'action': gym.spaces.Discrete(2)}
  up, lost, steps = 2, 0, 0

  def __init__(self):
    self.inbox, self.blamed, self.praised = [], [], []
    self.plans = []

  def __len__(self):
    return 4

  def take(self, seconds):
    return self.inbox.pop(0) if self.inbox else None

  def see_to(self):
    pass

  def blame(self, number, text):
    self.blamed.append((number, text))

  def praise(self, number):
    self.praised.append(number)

  def direct(self, *plan):
    self.plans.append(plan)

  def count(self, key):
    return 0


def arrays(steps=3, **changes):
  rows = np.arange(steps + 1)
  return {
      'vector': np.ones([steps + 1, 2], np.float32),
      'log_speed': np.ones(steps + 1, np.float32),
      'reward': (rows > 0).astype(np.float32),
      'action': np.eye(2, dtype=np.float32)[rows % 2] * (rows > 0)[:, None],
      'is_first': rows == 0, 'is_last': rows == steps,
      'is_terminal': rows == steps, **changes}


def episode(worker=0, index=0, versions=(4, 4, 6), data=None):
  return {
      'worker': worker, 'index': index, 'arrays': data or arrays(),
      'versions': np.array(versions, np.int64)}


@pytest.fixture
def fleet():
  return Fleet()


@pytest.fixture
def trained():
  return types.SimpleNamespace(steps=10)


@pytest.fixture
def driver(fleet, trained):
  return RemoteDriver(
      fleet, 2, lambda: (trained.steps, {'w': trained.steps}),
      lambda: trained.steps, sync_every=5, envs=2, steps=100)


def collect(driver, fleet, *delivered):
  fleet.inbox += delivered
  for _ in delivered:
    driver.collect(wait=True)


def test_rows_come_in_order_and_then_the_episode(driver, fleet):
  seen = []
  driver.on_reset(lambda row, worker: seen.append(('reset', worker)))
  driver.on_step(lambda row, worker: seen.append((row['reward'], worker)))
  driver.on_episode(lambda rows, worker: seen.append(len(rows['action'])))
  collect(driver, fleet, (1, episode(worker=3)))
  assert seen == [('reset', 3), (1.0, 3), (1.0, 3), (1.0, 3), 4]
  assert (driver.steps, driver.episodes) == (3, 1) and fleet.praised == [1]
  assert driver.indices(0) == [0, 0] and driver.indices(1) == [0, 1]


@pytest.mark.fault(58)
@pytest.mark.parametrize('bad, text', [
    (7, 'it is int'), ({}, 'it is of environment None'),
    (episode(worker=2), 'it is of environment 2'),
    (episode(worker=True), 'it is of environment True'),
    (episode(index='1'), "its number is '1'"),
    (episode(index=-1), 'its number is -1'),
    (episode(versions=[1]), 'does not say which weights acted'),
    (episode(data={'vector': 1}), "'vector' is int, expected an array"),
    (episode(data=arrays(vector=np.ones([4, 3]))), 'has shape (3,) per row'),
    (episode(data=arrays(vector=np.ones([3, 2]))), 'different lengths'),
    (episode(data=arrays(vector=np.full([4, 2], np.nan))), "'vector' is nan"),
    (episode(data=arrays(vector=np.full([4, 2], None))), 'has dtype object'),
    (episode(data=arrays(log_speed=np.full(4, np.inf))), "'log_speed' is inf"),
    (episode(data=arrays(is_first=np.ones(4, bool))), 'is_first is set at'),
    (episode(data=arrays(is_last=np.zeros(4, bool))), 'is_last is set at'),
    (episode(data=arrays(reward=np.ones(4))), "'reward' is 1.0 at row 0"),
    (episode(data=arrays(action=np.eye(2)[[0, 0, 0, 0]] * 2)), 'at row 0'),
    (episode(data=arrays(
        action=np.float32([[0, 0], [0, 1], [1, 1], [0, 1]]))),
     'is [1.0, 1.0] at row 2, which is not in the action space')])
def test_what_is_no_episode_is_refused_and_blamed(driver, fleet, bad, text):
  driver.on_reset(lambda row, worker: pytest.fail('It was taken in.'))
  collect(driver, fleet, (0, bad))
  [(number, told)] = fleet.blamed
  assert number == 0 and text in told and not driver.episodes


@pytest.mark.fault(58)
def test_an_episode_is_taken_in_once(driver, fleet):
  count = []
  driver.on_episode(lambda rows, worker: count.append(worker))
  collect(driver, fleet, *[(0, episode(index=i)) for i in (0, 1, 1, 0, 2)])
  assert count == [0, 0, 0] and driver.indices(0) == [3, 0]
  assert [text.split('again')[0] for _, text in fleet.blamed] == [
      f'It handed over episode {i} of environment 0 ' for i in (1, 0)]
  assert driver.stats()['collector_repeats'] == 2


def test_lags_count_gradient_steps_from_acting_to_taking_in(driver, fleet):
  collect(driver, fleet, (0, episode(versions=[-1, 4, 6])))  # 10 now.
  collect(driver, fleet, (0, episode(index=1, versions=[-1, -1, -1])))
  stats = driver.stats()
  assert (stats['policy_lag'], stats['policy_lag_max']) == (5, 6)
  assert 'policy_lag' not in driver.stats()


def test_weights_go_out_each_so_many_gradient_steps(driver, fleet, trained):
  driver.direct('random', None)
  driver.direct('random', None)
  for trained.steps in 10, 12, 14, 15, 19, 20:
    driver.direct('agent', 'train')
  driver.direct('agent', 'explore')
  assert fleet.plans == [
      ('random', None, -1, {}), ('agent', 'train', 10, {'w': 10}),
      ('agent', 'train', 15, {'w': 15}), ('agent', 'train', 20, {'w': 20}),
      ('agent', 'explore', 20, {'w': 20})]


def test_a_state_goes_on_and_fits_a_driver(driver, fleet):
  for index in 0, 5:
    collect(driver, fleet, (1, episode(worker=3, index=index)))
  state = driver.state()
  assert state['workers'] == [
      {'episode': x, 'running': False} for x in (0, 0, 0, 6)]
  driver.restore({**state, 'workers': state['workers'][2:]})
  assert driver.indices(0) == [0, 6] and driver.indices(1) == [0, 0]
  assert (driver.steps, driver.episodes) == (6, 2)


def test_episodes_without_an_end_are_an_error_of_usage(driver, fleet):
  fleet.steps = 99
  driver.collect(wait=True)
  fleet.steps = 100
  with pytest.raises(ConfigError, match='made 100 steps and no episode has'):
    driver.collect(wait=True)


def test_gradient_steps_are_taken_before_the_next_episode():
  fleet = Fleet()
  driver = RemoteDriver(
      fleet, 2, lambda: (0, {}), lambda: 0, sync_every=5, envs=2, steps=100)
  progress = Progress(0, Clock(0.0))
  every = Group(
      train=when.Every(2), log=when.Every(0), eval=when.Every(4),
      video=when.Every(0))
  replay = types.SimpleNamespace(
      add_step=lambda row, worker: None, end_episode=lambda worker: None)
  logger = types.SimpleNamespace(
      add=lambda metrics: None, tick=lambda: None, write=lambda: None,
      pending_step=None, step=0)
  collector = RemoteCollector(
      driver, replay, progress, every, logger, memory=dict,
      around=contextlib.nullcontext, vectors=[], train_steps=3,
      log_keys_sum='$^', log_keys_mean='$^', log_keys_max='$^',
      log_keys_video=[])
  begun = []
  def overlap(most):
    count = min(most, progress.due['train'])
    progress.due['train'] -= count
    begun.append(count)
  fleet.inbox = [
      (0, episode(index=i, data=arrays(6), versions=[0] * 6))
      for i in range(2)]
  for _ in range(8):
    collector('agent', None, 'train', overlap)
  # Due at steps 1, 3, 5 and then at 7, 9, 11, three gradient steps each.
  assert begun == [0, 3, 3, 3, 3, 3, 3, 0] and int(progress.step) == 12
  assert progress.due['eval'] is True and every['eval'](progress.step) is False
