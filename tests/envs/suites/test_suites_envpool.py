"""What all suites do with EnvPool: repeat, train, go on, be refused."""

import functools
import json
import sys

from environments import config
import numpy as np
import pytest
import runs

from dreamerv2_tf import cli, envs
from dreamerv2_tf.data.driver import Driver
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.errors import ConfigError

PIXELS = {'observation': {
    'type': 'GrayscaleObservation', 'observation_shape': (128, 32),
    'stack_size': 1, 'weights': (-1.5, 1.05, 0.75), 'scaling': 1.5}}
TASKS = {
    'highway_highway-fast-v0': {'env_config': PIXELS},
    'atari_pong': {'action_repeat': 4},
    'dmc_cartpole_balance': {'dmc_images': False},
    'gym_CartPole-v1': {}, 'gym_HalfCheetah-v5': {}}
# Its own simulator of each; a run is evaluated there.
OWN = {
    'highway_highway-fast-v0': 'HighwayEnvFast',
    'atari_pong': 'AtariEnv', 'dmc_cartpole_balance': 'Control',
    'gym_CartPole-v1': 'CartPoleEnv', 'gym_HalfCheetah-v5': 'HalfCheetahEnv'}
RUNS = {
    'atari_pong': ['atari_small', '--time_limit', 12],
    'dmc_cartpole_balance': ['dmc_proprio', '--time_limit', 12],
    'gym_CartPole-v1': ['small', '--envs', 1, '--time_limit', 12]}


def make(task, simulator='envpool', mode='train'):
  return envs.make(
      task, mode=mode, **config(simulator=simulator, **TASKS[task]))


def equal(rows, others):
  return len(rows) == len(others) and all(
      np.array_equal(row[key], other[key])
      for row, other in zip(rows, others) for key in row)


@pytest.mark.parametrize('task', TASKS)
def test_the_seed_alone_decides_an_episode(task):
  env = make(task)
  first, other = (list(_rows(env, seed)) for seed in (11, 12))
  assert equal(list(_rows(env, 11)), first)
  assert equal(list(_rows(make(task), 11)), first)
  assert not equal(other, first)
  env.reset(None)  # Any episode.
  assert env.own_random


def _rows(env, seed):
  rng, space = np.random.default_rng(0), env.act_space['action']
  row = env.reset(seed)
  yield row
  for _ in range(12):
    if row['is_last']:
      return
    row = env.step({'action': np.eye(space.n, dtype=np.float32)[
        rng.integers(space.n)] if hasattr(space, 'n') else rng.uniform(
            -1, 1, space.shape).astype(np.float32)})
    yield row


@pytest.mark.parametrize('task', TASKS)
def test_running_episodes_are_replayed_exactly(task):
  factory = functools.partial(
      envs.make, task, **config(simulator='envpool', **TASKS[task]))
  seeds = lambda worker, episode: 100 * worker + episode
  with envs.Pool(factory, 2, parallel='none') as pool:
    driver = Driver(pool, seeds)
    rows = [[], []]
    driver.on_reset(lambda row, worker: rows[worker].append(row))
    driver.on_step(lambda row, worker: rows[worker].append(row))
    driver(RandomPolicy(pool.act_space, 0), steps=4)
    state = json.loads(json.dumps(driver.state()))
  replayed = [[], []]
  with envs.Pool(factory, 2, parallel='process') as pool:
    Driver(pool, seeds).restore(
        state, lambda row, worker: replayed[worker].append(row))
  for before, after in zip(rows, replayed):
    assert len(before) == 3 and equal(before, after)


@pytest.mark.parametrize('task', TASKS)
def test_evaluations_take_the_own_simulator(task, monkeypatch):
  monkeypatch.setitem(sys.modules, 'envpool', None)
  env = make(task, mode='eval')
  assert type(env.plain).__name__ == OWN[task]
  with pytest.raises(ConfigError, match='Run pip install envpool, or give'):
    make(task)


@pytest.mark.parametrize('task', RUNS)
def test_a_run_trains_goes_on_and_says_what_trained_it(task, tmp_path, capsys):
  logdir = tmp_path / 'run'
  preset, *flags = RUNS[task]
  assert runs.here(
      logdir, '--configs', preset, 'debug', '--task', task, '--env.simulator',
      'envpool', '--envs_parallel', 'none', '--prefill', 20, '--train_every',
      1000, '--log_every', 0, '--eval_every', 0, *flags, '--steps', 30) == 0
  assert runs.here(logdir, '--steps', 34) == 0
  printed = capsys.readouterr()
  assert 'could not be replayed' not in printed.out + printed.err
  history = json.loads((logdir / 'run.json').read_text())['history']
  assert [start['simulator'] for start in history] == ['envpool', 'envpool']
  assert cli.main([
      'eval', '--logdir', str(logdir), '--episodes', '1', '--json']) == 0
  record = json.loads(capsys.readouterr().out.splitlines()[-1])
  assert record['simulator'] == 'envpool' and record['length_mean'] <= 12


@pytest.mark.parametrize('flags, text', [
    (['--task', 'gym_CartPole-v9'], "Did you mean 'CartPole-v1'"),
    (['--task', 'atari_pong', '--atari_noops', '0'], "'atari_noops' must be"),
    (['--task', 'dmc_walker_walk'], "'dmc_images' must be False"),
    (['--task', 'crafter_reward'], "not for 'crafter'")])
def test_a_run_that_is_refused_leaves_nothing(flags, text, tmp_path, capsys):
  logdir = tmp_path / 'run'
  assert runs.here(
      logdir, '--configs', 'debug', *flags, '--env.simulator', 'envpool') == 2
  printed = capsys.readouterr().err.strip()
  assert text in printed and len(printed.splitlines()) == 1
  assert not logdir.exists()
