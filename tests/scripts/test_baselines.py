"""What is compared with the agent: the same scenarios, code and format."""

import importlib.util
import json
import os
import pathlib
import re
import sys

import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf.config import resolve
from dreamerv2_tf.run import environments
from dreamerv2_tf.run.evaluator import Evaluator

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'baselines.py'
COUNTER = ('--task', 'gym_toys:Counter-v0', '--envs', '2')
FAST = 'highway_highway-fast-v0'


@pytest.fixture
def call(script, tmp_path, capsys):
  """Runs the script; returns what it printed and the folder of a task."""

  def call(*words, status=0):
    got = script.main([*words, '--outdir', str(tmp_path / 'out')])
    out, err = capsys.readouterr()
    assert got == status, (out, err)
    return err if status else out

  call.folder = tmp_path / 'out'
  return call


def read(folder, name):
  return json.loads((folder / name).read_text())


def make(script, *words):
  """Returns the environment of a command line."""
  _, _, config, _ = script.parse(['random', *words])
  return environments.factory(config, ())()


class TestRecords:
  """What a run writes, and when it is not run again."""

  @pytest.fixture
  def random(self, call):
    call('random', *COUNTER, '--episodes', '5', '--seed', '3')
    return call.folder / 'gym_toys:Counter-v0' / 'random-3'

  def test_files(self, random):
    assert sorted(x.name for x in random.iterdir()) == [
        'eval.json', 'metrics.jsonl', 'record.json']
    record = read(random, 'record.json')
    assert record['method'] == 'random' and record['seed'] == 3
    assert record['task'] == 'gym_toys:Counter-v0'
    assert record['steps'] == record['env_steps'] == 0
    assert (record['episodes'], record['scenarios']) == (5, 10_000)
    assert record['wall_seconds'] > record['train_seconds'] == 0
    assert record['machine']['cores'] >= 1
    assert record['versions']['gymnasium'] == gym.__version__
    assert record['argv'][0] == 'random'

  def test_evaluation_has_the_format_of_the_command(self, random):
    result = read(random, 'eval.json')
    assert set(result) == {
        'return_mean', 'return_std', 'return_ci95', 'length_mean',
        'crash_rate', 'speed_mean', 'episodes', 'seed', 'step', 'overrides',
        'per_episode'}
    assert (result['episodes'], result['seed'], result['step']) == (
        5, 10_000, 0)
    returns = result['per_episode']['return']
    assert len(returns) == 5 and result['length_mean'] == 5
    assert np.mean(returns) == pytest.approx(result['return_mean'])
    assert result['crash_rate'] is None

  def test_metrics_are_rows_of_scalars(self, random):
    [row] = (random / 'metrics.jsonl').read_text().splitlines()
    row = json.loads(row)
    assert row['step'] == row['time'] == 0
    assert row['eval_return'] == read(random, 'eval.json')['return_mean']
    assert row['eval_eps'] == 5 and 'eval_crash_rate' not in row

  def test_the_number_of_environments_changes_nothing(self, call, random):
    before = read(random, 'eval.json')
    call('random', *COUNTER, '--envs', '1', '--episodes', '5', '--seed', '3',
         '--fresh')
    assert read(random, 'record.json')['envs'] == 1
    assert read(random, 'eval.json') == before
    call('random', *COUNTER, '--episodes', '5', '--seed', '4')
    other = read(random.parent / 'random-4', 'eval.json')
    assert other['per_episode'] != before['per_episode']

  def test_what_is_finished_is_not_run_again(self, call, random):
    words = 'random', *COUNTER, '--episodes', '5', '--seed', '3'
    times = lambda: [x.stat().st_mtime_ns for x in sorted(random.iterdir())]
    before = times()
    assert call(*words) == f'Finished already: {random}\n'
    assert times() == before
    err = call(*words[:-3], '4', '--seed', '3', status=3)
    assert 'episodes was 5, is now 4' in err and '--fresh' in err
    assert times() == before
    call(*words[:-3], '4', '--seed', '3', '--fresh')
    assert read(random, 'record.json')['episodes'] == 4

  def test_what_was_cut_is_run_again(self, call, random):
    (random / 'record.json').unlink()
    (random / '.tmp-1-a').write_text('half')
    call('random', *COUNTER, '--episodes', '5', '--seed', '3')
    assert read(random, 'record.json')['episodes'] == 5
    assert len(list(random.iterdir())) == 3
    assert (random / 'metrics.jsonl').read_text().count('\n') == 1


class TestLearning:
  """The course of training, with a learner that knows the best action."""

  @pytest.fixture
  def learner(self, script, monkeypatch):
    def learn(method, config, given, limits, assess):
      policy = lambda obs, state=None: (
          {'action': np.eye(2)[[1] * len(obs['is_first'])]}, state)
      assert limits == (200, 0, 100)
      for step in (100, 200):
        assess(step, step / 10, policy)
      return script.learners.Trained(200, 20.0, policy)
    monkeypatch.setattr(script.learners, 'learn', learn)
    monkeypatch.setattr(script.learners, 'load', lambda: None)
    monkeypatch.setattr(
        sys.modules['baselines_run'], '_versions', lambda method: {})

  def test_curve_and_final_evaluation(self, call, learner):
    out = call('dqn', *COUNTER, '--episodes', '4', '--steps', '200',
               '--eval_every', '100', '--eval_eps', '3')
    assert out.startswith('dqn-200-steps-0 [100] return 5.00, 10 s\n')
    folder = call.folder / 'gym_toys:Counter-v0' / 'dqn-200-steps-0'
    rows = [json.loads(line) for line in
            (folder / 'metrics.jsonl').read_text().splitlines()]
    assert [row['step'] for row in rows] == [100, 200]
    assert [row['eval_return'] for row in rows] == [5, 5]
    assert [row['eval_eps'] for row in rows] == [3, 3]
    assert [row['time'] for row in rows] == [10, 20]
    result, record = read(folder, 'eval.json'), read(folder, 'record.json')
    assert (result['step'], result['episodes']) == (200, 4)
    assert result['return_mean'] == 5
    assert record['steps'] == record['env_steps'] == 200
    assert record['method'] == 'dqn 200 steps'
    assert record['train_seconds'] == 20 and record['device'] == 'cpu'
    assert record['eval_scenarios'] == 20_000
    assert record['hyperparameters']['learning_rate'] == 5e-4

  def test_the_clock_stands_still_in_evaluations(self, script, monkeypatch):
    now = iter([10, 14, 15, 115, 116])
    monkeypatch.setattr(
        script.learners.time, 'monotonic', lambda: next(now))
    clock = script.learners.Clock()
    assert clock.seconds == 4
    assert clock.pause(lambda x: x + 1, 6) == 7  # From 15 to 115.
    assert clock.seconds == 6

  def test_steps_and_minutes_have_folders_of_their_own(self, script):
    folders = []
    for words in [], ['--steps', '9'], ['--minutes', '1.5']:
      _, options, config, _ = script.parse(['dqn', *words])
      folders.append(script.locate(
          'x', script.describe('dqn', options, config)).name)
    assert folders == ['dqn-20000-steps-0', 'dqn-9-steps-0',
                       'dqn-1.5-minutes-0']

  def test_scenarios_of_training_are_apart(self, script):
    _, _, config, _ = script.parse(['dqn', *COUNTER, '--seed', '5'])
    seen = []
    for worker in 0, 0, 1:
      env = script.learners.Training(config, worker)
      for _ in range(20):
        obs, _ = env.reset(seed=7)
        seen.append(env.scenario)
        assert obs[1] == pytest.approx(env.scenario / 10)
    assert seen[:20] == seen[20:40] and len(set(seen)) == 40
    assert min(seen) >= 1_000_000

  def test_training_tells_the_end_of_time_from_termination(self, script):
    for terminal in True, False:
      _, _, config, _ = script.parse([
          'dqn', *COUNTER, '--env.config.length', '2',
          '--env.config.terminal', str(terminal)])
      env = script.learners.Training(config, 0)
      env.reset()
      assert env.step(np.int64(1))[1:] == (1.0, False, False, {})
      obs, *rest = env.step(np.int64(0))
      assert rest == [0.0, terminal, not terminal, {}]
      assert env.observation_space.contains(obs)

  def test_the_greedy_policy_asks_for_no_exploration(self, script):
    class Model:
      action_space = gym.spaces.Discrete(3)
      def predict(self, obs, deterministic):
        assert deterministic
        return obs.argmax(-1), None
    policy = script.learners.greedy(Model())
    obs = {'vector': np.array([[0, 2, 1], [5, 3, 4]], np.float32)}
    output, state = policy(obs, None)
    assert output['action'].tolist() == [[0, 1, 0], [1, 0, 0]]
    assert state is None


class TestPresets:
  """The environment of a preset, as the agent that it trains has it."""

  WORDS = '--configs', 'highway_parking', '--time_limit', '4'

  def test_environment_and_budget_are_those_of_the_preset(self, script):
    _, options, config, overrides = script.parse(
        ['ppo', *self.WORDS, '--gamma', '0.9'])
    assert config.task == 'highway_parking-v0'
    assert config.steps == resolve(['highway_parking']).steps
    assert overrides == ['--time_limit', '4']
    settings = script.describe('ppo', options, config)
    assert settings['hyperparameters'] == {
        **script.learners.LEARNERS['ppo'], 'gamma': 0.9}
    assert settings['wrapping'] == {
        'env.obs_scale': list(config.env.obs_scale), 'time_limit': 4}
    _, options, config, _ = script.parse(['ppo'])
    settings = script.describe('ppo', options, config)
    assert 'wrapping' not in settings
    assert settings['hyperparameters'] == script.learners.LEARNERS['ppo']

  def test_random_steering_by_its_seed_alone(self, call):
    words = 'random', *self.WORDS, '--episodes', '2'
    out = call(*words, '--envs', '2')
    assert 'success rate 0 %' in out
    folder = call.folder / 'highway_parking-v0' / 'random-0'
    first = read(folder, 'eval.json')
    assert first['success_rate'] == 0 and first['length_mean'] == 4
    assert first['per_episode']['success'] == [False, False]
    call(*words, '--envs', '1', '--fresh')
    assert read(folder, 'eval.json') == first
    err = call('random', '--configs', 'highway_parking', '--episodes', '2',
               status=3)
    assert 'wrapping was' in err and '--fresh' in err

  def test_goal_dictionaries_are_one_vector(self, script):
    _, _, config, _ = script.parse(['ppo', *self.WORDS])
    env = script.learners.Training(config, 0)
    assert env.observation_space.shape == (18,)
    assert env.action_space == gym.spaces.Box(-1, 1, (2,))
    obs, _ = env.reset()
    # achieved_goal, desired_goal, observation: of a car that stands still.
    np.testing.assert_array_equal(obs[:6], obs[12:])
    assert not obs[8:10].any()
    for step in range(4):
      obs, _, terminated, truncated, _ = env.step(np.float32([1, 0]))
      assert (terminated, truncated) == (False, step == 3)
    assert np.abs(obs[14:16]).max() > 1

  def test_the_policy_of_continuous_actions_passes_them_on(self, script):
    class Model:
      action_space = gym.spaces.Box(-1, 1, (2,))
      def predict(self, obs, deterministic):
        return obs[:, 1:], None
    policy = script.learners.greedy(Model())
    obs = {'b': np.float32([[0.5]]), 'a': np.float32([[3, -1]]),
           'reward': np.zeros(1), 'log_speed': np.zeros(1)}
    output, _ = policy(obs)
    assert output['action'].tolist() == [[-1, 0.5]]


class TestScripts:
  """Policies that observe nothing."""

  def test_right_three_times_then_slower(self, script):
    _, _, config, _ = script.parse(['idle'])
    names = {'LANE_LEFT': 0, 'IDLE': 1, 'LANE_RIGHT': 2, 'SLOWER': 4}
    policy = script.scripts.scripted(
        'right_slower', config, names, gym.spaces.Discrete(5))
    state, seen = None, []
    for first in [(1, 1), (0, 0), (0, 1), (0, 0), (0, 0), (1, 0)]:
      output, state = policy({'is_first': np.array(first, bool)}, state)
      seen.append(output['action'].argmax(-1).tolist())
    assert seen == [[2, 2], [2, 2], [2, 2], [4, 2], [4, 2], [2, 4]]

  @pytest.mark.parametrize('task, method, action', [
      (FAST, 'left', 'LANE_LEFT'), (FAST, 'slower', 'SLOWER'),
      ('highway_intersection-v2', 'faster', 'FASTER')])
  def test_actions_go_by_their_names(self, script, task, method, action):
    _, _, config, _ = script.parse([method, '--task', task])
    names = script.check([method], config)
    env = make(script, '--task', task)
    space = env.act_space['action']
    assert len(names) == space.n
    policy = script.scripts.scripted(method, config, names, space)
    output, _ = policy({'is_first': np.ones(1, bool)})
    index = int(output['action'].argmax())
    assert script.scripts.unwrapped(env).action_type.actions[index] == action

  def test_on_the_road(self, call):
    call('slower', 'right_slower', '--episodes', '1', '--scenarios', '10001')
    slower = read(call.folder / FAST / 'slower', 'eval.json')
    right = read(call.folder / FAST / 'right_slower', 'eval.json')
    assert slower['crash_rate'] == right['crash_rate'] == 0
    assert slower['return_mean'] < right['return_mean']
    assert right['return_mean'] == pytest.approx(22.42, abs=0.01)


class TestSimulatorPlanner:

  def test_run(self, call):
    call('simulator_planner', '--episodes', '1', '--env.config.duration', '3')
    folder = call.folder / FAST / 'simulator_planner'
    result, record = read(folder, 'eval.json'), read(folder, 'record.json')
    assert result['length_mean'] == 3 and result['crash_rate'] == 0
    assert result['return_mean'] > 2.5  # 2.2 of SLOWER in the right lane.
    assert result['overrides'] == ['--env.config.duration', '3']
    assert record['hyperparameters'] == {'horizon': 5, 'budget': 500}
    assert record['env_config'] == {'duration': 3}
    assert record['seed'] is None
    assert not (folder / 'partial.json').exists()

  @pytest.fixture
  def partial(self, call, script, monkeypatch):
    """Interrupts the second scenario of three; returns words and the file."""
    words = (
        'simulator_planner', *COUNTER, '--episodes', '3', '--envs', '1',
        '--env.config.length', '2')
    play = Evaluator.__call__
    self.seen = []
    def note(self_, policy, seeds):
      self.seen += seeds
      if self.seen[1:] == [10_001]:
        raise KeyboardInterrupt
      return play(self_, policy, seeds)
    monkeypatch.setattr(Evaluator, '__call__', note)
    call(*words, status=130)
    folder = call.folder / 'gym_toys:Counter-v0' / 'simulator_planner'
    assert [x.name for x in folder.iterdir()] == ['partial.json']
    return words, folder

  def test_goes_on_after_the_last_complete_episode(self, call, partial):
    words, folder = partial
    call(*words)
    assert self.seen == [10_000, 10_001, 10_001, 10_002]
    first = read(folder, 'eval.json')
    assert first['per_episode'] == {
        'return': [2.0] * 3, 'length': [2] * 3, 'actions': [[0, 2]] * 3}
    assert read(folder, 'record.json')['episodes'] == 3
    call(*words, '--fresh')
    assert self.seen[4:] == [10_000, 10_001, 10_002]
    assert read(folder, 'eval.json') == first

  def test_starts_over_with_other_settings(self, call, partial):
    words, folder = partial
    call(*words[:-1], '3')
    assert self.seen == [10_000, 10_001, 10_000, 10_001, 10_002]
    assert read(folder, 'eval.json')['return_mean'] == 3


@pytest.mark.parametrize('words, message', [
    (['--steps', '9'], 'Name at least one method: random, idle'),
    (['dqm'], "'dqm' is not a known method. Did you mean 'dqn'"),
    (['idle', '--stps', '9'], "Unknown key 'stps'. Did you mean 'steps'"),
    (['idle', '--rssm.deter', '9'], "Unknown key 'rssm.deter'"),
    (['idle', '--configs', 'highwy'], "Did you mean 'highway'"),
    (['ppo', '--configs', 'highway'], "learns from vectors, but .* 'uint8"),
    (['ppo', '--gamma', '1.5'], r"'gamma' must lie in \[0, 1\] but is 1.5"),
    (['idle', '--episodes', '0'], "'episodes' must be at least 1 but is 0"),
    (['dqn', '--minutes', '-1'], "'minutes' must be at least 0 but is -1"),
    (['planner'], "'planner' is not .* observation_planner, .*simulator_pla"),
    (['observation_planner', *COUNTER], 'drives on straight roads alone'),
    (['observation_planner', '--env.config.policy_frequency', '5'],
     'needs env.config.policy_frequency 1 but got 5'),
    (['observation_planner_hedged',
      '--env.config.observation.vehicles_count', '9'],
     "'observation_planner_hedged' needs env.config.observation "),
    (['dqn', '--steps', '0'], "'steps' must be at least 1 but is 0"),
    (['idle', '--task', 'highway_fast'], "'highway_fast' is not a known task"),
    (['idle', '--env.config.lane_count', '3'], "Did you mean 'lanes_count'"),
    (['random', 'idle', '--task', 'highway_racetrack-v1'],
     "'idle' chooses among discrete actions, .* for those: random, ppo"),
    (['dqn', '--configs', 'highway_parking'], "'dqn' chooses among discrete"),
    (['left', '--task', 'highway_intersection-v2'],
     "'left' needs the action LANE_LEFT, but .* SLOWER, IDLE, FASTER"),
    (['random', 'idle', *COUNTER], 'has no names for its actions'),
    (['ppo', '--task', 'gym_toys:Image-v0'], "from vectors, .* 'uint8"),
])
def test_mistakes_are_one_line_and_status_2(call, words, message):
  err = call(*words, status=2)
  assert err.startswith('error: ') and err.count('\n') == 1
  assert re.search(message, err), err
  assert not call.folder.exists()


def test_without_the_extra_a_line_says_how_to_get_it(call, monkeypatch):
  monkeypatch.setitem(sys.modules, 'stable_baselines3', None)
  err = call('dqn', *COUNTER, status=2)
  assert err == (
      "error: 'dqn' needs the package 'stable_baselines3'. Install it with: "
      "pip install '.[baselines]'\n")


def test_a_folder_that_can_not_be_written(call):
  call.folder.write_text('a file')
  err = call('random', *COUNTER, status=6)
  assert re.fullmatch(r'error: Can not write .*: Not a directory.\n', err)


def test_help_names_methods_and_flags(script, capsys):
  assert script.main(['--help']) == 0
  out, _ = capsys.readouterr()
  for name in [*script.METHODS, *map('--{}'.format, script.FLAGS)]:
    assert f'  {name} ' in out


# PyTorch is several GB: these come with the extra `baselines` alone.
if importlib.util.find_spec('stable_baselines3'):

  @pytest.fixture
  def learned(python, tmp_path):
    """Runs the script as a child: TensorFlow and PyTorch may not mix here."""

    def learned(method, *words):
      path = os.pathsep.join(map(str, [ROOT, ROOT / 'tests']))
      result = python(
          str(SCRIPT), method, *COUNTER, '--envs', '1', '--eval_every', '200',
          '--eval_eps', '2', '--episodes', '3', '--env.config.length', '7',
          '--outdir', str(tmp_path / 'out'), *words, timeout=300,
          env={'PYTHONPATH': path})
      assert result.returncode == 0, result.stderr
      [folder] = (tmp_path / 'out' / 'gym_toys:Counter-v0').iterdir()
      rows = map(
          json.loads, (folder / 'metrics.jsonl').read_text().splitlines())
      return folder, read(folder, 'record.json'), list(rows)

    return learned

  @pytest.mark.parametrize('method, steps, times', [
      ('dqn', 260, 2), ('ppo', 768, 1)])
  def test_stable_baselines3_learns(learned, method, steps, times):
    curves = []
    for _ in range(times):
      folder, record, rows = learned(
          method, '--steps', '260', '--seed', '2', '--fresh')
      assert folder.name == f'{method}-260-steps-2'
      assert record['env_steps'] == steps and 'torch' in record['versions']
      assert 0 < record['train_seconds'] < record['wall_seconds']
      expected = [200, 260] if method == 'dqn' else [204, 768]
      assert [row['step'] for row in rows] == expected
      curves.append([row['eval_return'] for row in rows])
    assert curves[0] == curves[-1]

  def test_time_ends_training(learned):
    folder, record, rows = learned(
        'dqn', '--minutes', '0.05', '--steps', '9', '--eval_every', '0')
    assert folder.name == 'dqn-0.05-minutes-0'
    assert record['method'] == 'dqn 0.05 minutes'
    assert record['steps'] == 0 < record['env_steps']
    assert record['train_seconds'] >= 3
    assert [row['step'] for row in rows] == [record['env_steps']]
    assert rows[0]['time'] == record['train_seconds']
