"""The Python interface, on environments that know nothing of this package."""

import json
import pathlib
import threading

import gymnasium as gym
import numpy as np
import pytest
import runs
import toys

import dreamerv2_tf as dv2
from dreamerv2_tf import cli
from dreamerv2_tf.config import Config, resolve
from dreamerv2_tf.errors import StateError
from dreamerv2_tf.run import evaluate


def drive(agent, env, seed):
  """Returns the sum of rewards of one greedy episode."""
  obs, _ = env.reset(seed=seed)
  state, total, done = None, 0.0, False
  while not done:
    action, state = agent.act(obs, state)
    obs, reward, terminated, truncated, _ = env.step(action)
    total += float(np.float32(reward))
    done = terminated or truncated
  return total


@pytest.mark.parametrize('preset', ['highway', 'highway_kinematics'])
def test_act_earns_what_eval_reports(highway, preset, capsys):
  logdir = highway[preset]
  config = Config.load(logdir / 'config.yaml').to_dict()['env']['config']
  if 'observation' in config:
    config['observation']['observation_shape'] = (128, 32)
  evaluate.run(str(logdir), episodes=2, seed=30_000, envs=1, json=True)
  record = json.loads(capsys.readouterr().out.splitlines()[-1])
  import highway_env  # noqa: F401  Registers the environment.
  agent = dv2.load(logdir)
  env = gym.make('highway-fast-v0', config=config)
  returns = [drive(agent, env, seed) for seed in (30_000, 30_001)]
  env.close()
  assert np.mean(returns) == pytest.approx(record['return_mean'], rel=1e-6)


def test_load_takes_checkpoints_by_name(highway):
  logdir = highway['highway_kinematics']
  step = json.loads((logdir / 'checkpoints' / 'best.json').read_text())['step']
  path = 'actor_critic/actor/out/kernel'
  best = dv2.load(str(logdir), checkpoint='best').get_weights()
  same = dv2.load(str(logdir), checkpoint=str(step)).get_weights()
  assert {k.split('/')[0] for k in best} >= {'world_model', 'actor_critic'}
  assert all(np.array_equal(best[key], same[key]) for key in best), path
  with pytest.raises(StateError, match="no checkpoint '3'"):
    dv2.load(logdir, checkpoint='3')
  with pytest.raises(dv2.ConfigError, match='holds no run'):
    dv2.load(logdir / 'nothing')


class Ancient:
  """An environment of old Gym."""

  make = classmethod(lambda cls: cls())

  def reset(self):
    return np.zeros(3)

  def step(self, action):
    return np.zeros(3), 0.0, True, {}


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  flags = [
      '--steps', '48', '--prefill', '40', '--train_every', '1000',
      '--eval_every', '0', '--log_every', '0', '--deterministic', 'False',
      '--logdir', str(tmp_path_factory.mktemp('api') / 'run')]
  return resolve(['debug'], flags)


@pytest.fixture(scope='module')
def agent(config):
  return dv2.train(lambda: toys.Image(length=6), config)


class TestTrain:
  """A function, an environment or a task name."""

  def test_function(self, agent, config):
    obs, _ = toys.Image().reset(seed=0)
    action, state = agent.act(obs)
    assert action in (0, 1) and isinstance(action, int)
    action, _ = agent.act(obs, state)
    assert action in (0, 1)

  def test_second_call_goes_on(self, agent, config):
    env = toys.Image(length=6)
    other = dv2.train(env, config.update({'steps': 60}))
    env.reset()
    assert env.step(1)[1] == 1  # It is not closed, a copy was used.
    history = json.loads(
        pathlib.Path(config.logdir, 'run.json').read_text())['history']
    assert [x['step'] for x in history] == [0, 48]
    assert runs.newest(pathlib.Path(config.logdir)).step == 60
    one, two = agent.get_weights(), other.get_weights()
    assert all(np.array_equal(one[key], two[key]) for key in one)

  def test_load_needs_the_environment_of_a_run_without_task(
      self, agent, config):
    with pytest.raises(dv2.ConfigError, match='env='):
      dv2.load(config.logdir)
    env = toys.Image()
    loaded = dv2.load(config.logdir, env=env)
    obs, _ = env.reset(seed=1)
    assert loaded.act(obs)[0] in (0, 1)

  def test_another_environment_is_refused(self, agent, config):
    with pytest.raises(StateError, match='other spaces|another environment'):
      dv2.train(lambda: toys.Counter(), config.update({'steps': 70}))

  def test_task_name_and_continuous_actions(self, tmp_path, config):
    agent = dv2.train('gym_toys:Continuous-v0', config.update({
        'logdir': str(tmp_path / 'run'), 'pretrain': 0, 'steps': 44}))
    action, _ = agent.act(toys.Continuous().reset(seed=0)[0])
    assert toys.Continuous().action_space.contains(action)
    assert runs.newest(tmp_path / 'run').step == 44
    assert dv2.load(tmp_path / 'run').act_space == agent.act_space

  def test_needs_a_folder(self):
    with pytest.raises(dv2.ConfigError, match='train needs a folder'):
      dv2.train('gym_CartPole-v1')

  @pytest.mark.parametrize('env, text', [
      (None, 'got None'), (Ancient, 'got the class test_api.Ancient'),
      (Ancient(), 'the API of old Gym, wrap it'),
      (lambda size: toys.Counter(), "missing a required argument: 'size'"),
      (lambda: None, 'got None'), (lambda: 'CartPole-v1', "got 'CartPole-v1'"),
      (Ancient.make, 'the API of old Gym, wrap it'),
      (lambda: gym.make_vec('CartPole-v1'), '`envs` sets how many'),
      ('CartPole-v1', "Did you mean 'gym_CartPole-v1'")])
  def test_what_is_no_environment_is_refused(self, env, text, config, tmp_path):
    with pytest.raises(dv2.ConfigError) as info:
      dv2.train(env, config.update({'logdir': str(tmp_path / 'run')}))
    assert text in str(info.value)
    assert list(tmp_path.iterdir()) == []

  def test_closing_may_fail(self, config, tmp_path, caplog):
    agent = dv2.train(lambda: toys.Image(length=6, close_fault=True), (
        config.update({
            'logdir': str(tmp_path / 'run'), 'steps': 8, 'prefill': 8})))
    assert agent.act(toys.Image().reset(seed=0)[0])[0] in (0, 1)
    assert 'the door is stuck' in caplog.text

  def test_the_command_does_not_go_on_with_a_run_from_python(
      self, agent, config, capsys):
    assert cli.main(['--logdir', config.logdir, '--steps', '99']) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f'error: The run in {config.logdir} was begun by a Python program in '
        'an environment without a name. Go on with dreamerv2_tf.train(env, '
        'config).')

  def test_environment_that_can_not_be_copied(self, config, tmp_path):
    env = toys.Counter()
    env.lock = threading.Lock()
    with pytest.raises(dv2.ConfigError, match='Pass a function'):
      dv2.train(env, config.update({'logdir': str(tmp_path / 'run')}))
    assert list(tmp_path.iterdir()) == []
