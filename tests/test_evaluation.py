"""`dv2.evaluate`: what the command `eval` says, in Python."""

import json

import builders
import gymnasium as gym
import numpy as np
import pytest
import toys

import dreamerv2_tf as dv2
from dreamerv2_tf import cli, envs
from dreamerv2_tf.agent import Agent
from dreamerv2_tf.run import environments


@pytest.fixture(scope='module')
def driver():
  return dv2.load('highway_kinematics')


@pytest.fixture(scope='module')
def expected(tmp_path_factory, driver):
  """What the command prints and stores of three scenarios, in one world."""
  folder = tmp_path_factory.mktemp('copy') / 'agent'
  folder.mkdir()
  from dreamerv2_tf import pretrained
  for path in pretrained.find('highway_kinematics').iterdir():
    (folder / path.name).write_bytes(path.read_bytes())
  assert cli.main([
      'eval', '--logdir', str(folder), '--episodes', '3', '--seed', '30000',
      '--envs', '1', '--env.config.duration', '8']) == 0
  record, = folder.glob('eval-*.json')
  return json.loads(record.read_text())


def short():
  """The world of that evaluation, made as anyone would."""
  import highway_env  # noqa: F401  Registers the environment.
  return gym.make('highway-fast-v0', config={'duration': 8})


def assert_same(scores, record):
  each = record['per_episode']
  assert scores.returns.tolist() == each['return']
  assert scores.lengths.tolist() == each['length']
  assert scores.crashed.tolist() == each['crashed']
  assert scores.speeds.tolist() == each['speed']
  assert scores.mean == record['return_mean']
  assert scores.std == record['return_std']
  assert list(scores.interval) == record['return_ci95']
  assert scores.length == record['length_mean']
  assert scores.crash_rate == record['crash_rate']
  assert scores.speed == record['speed_mean']
  assert len(scores) == record['episodes'] and scores.seed == record['seed']


def test_a_plain_environment_gives_what_eval_gives(driver, expected):
  env = short()
  scores = dv2.evaluate(driver, env, episodes=3, seed=30_000)
  assert_same(scores, expected)
  assert scores.success is None and scores.success_rate is None
  env.reset(seed=1)  # It is still open.
  env.step(1)
  env.close()


def test_a_function_gives_what_eval_gives(driver, expected):
  assert_same(
      dv2.evaluate(driver, short, episodes=3, seed=30_000, envs=1), expected)


def test_the_name_of_a_task_gives_what_eval_gives(driver, capsys):
  scores = dv2.evaluate(
      driver, 'highway_highway-fast-v0', episodes=2, seed=30_000, envs=2)
  assert cli.main([
      'eval', '--pretrained', 'highway_kinematics', '--episodes', '2',
      '--seed', '30000', '--envs', '2', '--json']) == 0
  record = json.loads(capsys.readouterr().out.splitlines()[-1])
  assert [scores.mean, scores.std, list(scores.interval)] == [
      record['return_mean'], record['return_std'], record['return_ci95']]
  again = dv2.evaluate(driver, episodes=2, seed=30_000, envs=2)
  assert again.returns.tolist() == scores.returns.tolist()


class Told(toys.Counter):
  """Tells of success and crashes, in the last step alone."""

  def step(self, action):
    *result, info = super().step(action)
    if result[2]:
      info = {'is_success': self.seed % 2 == 0, 'crashed': self.seed == 7}
    return *result, info


def agent(env, **settings):
  """An untrained agent for a toy."""
  wrapped = envs.wrap(
      env, env={'obs_scale': 1.0, 'simulator': 'highway-env'}, action_repeat=1,
      time_limit=0)
  config = builders.config(**{
      'envs_parallel': 'none', 'task': environments.CUSTOM, **settings})
  return Agent(
      config, wrapped.obs_space, wrapped.act_space, adapter=wrapped.adapter,
      actions=wrapped.actions)


def test_info_tells_of_success_and_crashes():
  scores = dv2.evaluate(agent(Told()), Told, episodes=4, seed=6, envs=2)
  assert scores.success.tolist() == [True, False, True, False]
  assert scores.crashed.tolist() == [False, True, False, False]
  assert scores.success_rate == 0.5 and scores.crash_rate == 0.25
  assert scores.lengths.tolist() == [5] * 4 and scores.speeds is None


@pytest.mark.parametrize('settings, lengths', [
    ({'time_limit': 3}, [3, 3]), ({'action_repeat': 2}, [3, 3]),
    ({'action_repeat': 3}, [2, 2])])
def test_settings_of_the_agent_hold(settings, lengths):
  scores = dv2.evaluate(
      agent(toys.Counter(), **settings), toys.Counter(), episodes=2)
  assert scores.lengths.tolist() == lengths


def test_the_text_has_what_is_known():
  one = dict(
      crashed=None, success=None, speeds=None, seed=3, std=0.0, interval=None,
      crash_rate=None, success_rate=None, speed=None)
  scores = dv2.Scores(
      returns=np.array([4.0]), lengths=np.array([5]), mean=4.0, length=5.0,
      **one)
  assert str(scores) == 'return 4.00 ± 0.00, 5.0 steps; 1 episode'
  scores = dv2.Scores(
      returns=np.array([4.0, 6.0]), lengths=np.array([5, 6]), mean=5.0,
      length=5.5, **{
          **one, 'std': 1.414, 'interval': (3.04, 6.96), 'crash_rate': 0.5,
          'success_rate': 0.25, 'speed': 20.04})
  assert str(scores) == (
      'return 5.00 ± 1.41 (95 % interval of the mean: 3.04 to 6.96), crashes '
      '50 %, success 25 %, 20.0 m/s, 5.5 steps; 2 episodes')


@pytest.mark.parametrize('env, options, text', [
    (toys.Counter, {'episodes': 0},
     "'episodes' must be a whole number of at least 1 but is 0"),
    (toys.Counter, {'episodes': 2.5}, 'but is 2.5'),
    (toys.Counter, {'seed': -1}, "'seed' must be"),
    (toys.Counter, {'envs': -2}, "'envs' must be"),
    (toys.Counter, {'envs': 0}, "'envs' must be"),
    (toys.Counter, {'agent': '~/run'},
     "evaluate takes an agent, from load or train, but got '~/run'"),
    (None, {}, 'Give it: evaluate'),
    (3, {}, 'or a task name such as gym_CartPole-v1, but got 3'),
    ('gym_CartPole-v1', {}, 'The agent does not fit the environment'),
    ('CartPole-v1', {}, "Did you mean 'gym_CartPole-v1'"),
    (toys.Image, {}, 'was trained on Box(-inf, inf, (3,), float32), the env'),
    (lambda: toys.Counter(actions=3), {}, "'Discrete(2)'"),
    (lambda: None, {}, 'got None')])
def test_wrong_arguments_are_one_error_that_says_what_to_do(
    env, options, text):
  with pytest.raises(dv2.ConfigError) as info:
    dv2.evaluate(**{
        'agent': agent(toys.Counter()), 'env': env, 'episodes': 1, **options})
  assert text in str(info.value)
  assert len(info.traceback) == 2  # This test, and the call that raises.


def test_an_environment_that_always_fails_is_an_error():
  with pytest.raises(dv2.EnvError, match='No scenario could be run to its end'):
    dv2.evaluate(
        agent(toys.Counter()), lambda: toys.Fault(fault='raise'), episodes=1)
