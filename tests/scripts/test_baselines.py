"""What is compared with the agent: the same scenarios, code and format."""

import importlib.util
import json
import pathlib
import re
import sys
import types

import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.run import evaluate

SCRIPT = (
    pathlib.Path(__file__).resolve().parents[2] / 'scripts' / 'baselines.py')
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
  return evaluate.factory(config, ())()


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
    assert record['wall_seconds'] > 0 and record['machine']['cores'] >= 1
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
    assert row['step'] == 0 and row['time'] > 0
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
    def learn(method, config, assess):
      policy = lambda obs, state=None: (
          {'action': np.eye(2)[[1] * len(obs['is_first'])]}, state)
      for step in (100, 200):
        assess(step, policy)
      return 200, policy
    monkeypatch.setattr(script, 'learn', learn)
    monkeypatch.setitem(
        sys.modules, 'stable_baselines3', types.ModuleType('sb3'))
    monkeypatch.setattr(script, '_versions', lambda method: {})

  def test_curve_and_final_evaluation(self, call, learner):
    out = call('dqn', *COUNTER, '--episodes', '4', '--steps', '200',
               '--eval_every', '100', '--eval_eps', '3')
    assert re.match(r'dqn-0 \[100\] return 5.00, \d+ s\n', out)
    folder = call.folder / 'gym_toys:Counter-v0' / 'dqn-0'
    rows = [json.loads(line) for line in
            (folder / 'metrics.jsonl').read_text().splitlines()]
    assert [row['step'] for row in rows] == [100, 200]
    assert [row['eval_return'] for row in rows] == [5, 5]
    assert [row['eval_eps'] for row in rows] == [3, 3]
    assert 0 < rows[0]['time'] < rows[1]['time']
    result, record = read(folder, 'eval.json'), read(folder, 'record.json')
    assert (result['step'], result['episodes']) == (200, 4)
    assert result['return_mean'] == 5
    assert record['steps'] == record['env_steps'] == 200
    assert record['eval_scenarios'] == 20_000
    assert record['hyperparameters']['learning_rate'] == 5e-4

  def test_scenarios_of_training_are_apart(self, script):
    _, _, config, _ = script.parse(['dqn', *COUNTER, '--seed', '5'])
    seen = []
    for worker in 0, 0, 1:
      env = script.Training(config, worker)
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
      env = script.Training(config, 0)
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
    policy = script.greedy(Model())
    obs = {'vector': np.array([[0, 2, 1], [5, 3, 4]], np.float32)}
    output, state = policy(obs, None)
    assert output['action'].tolist() == [[0, 1, 0], [1, 0, 0]]
    assert state is None


class TestScripts:
  """Policies that observe nothing."""

  def test_right_three_times_then_slower(self, script):
    _, _, config, _ = script.parse(['idle'])
    names = {'LANE_LEFT': 0, 'IDLE': 1, 'LANE_RIGHT': 2, 'SLOWER': 4}
    policy = script.scripted('right_slower', config, names, 5)
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
    count = env.act_space['action'].n
    assert len(names) == count
    policy = script.scripted(method, config, names, count)
    output, _ = policy({'is_first': np.ones(1, bool)})
    index = int(output['action'].argmax())
    assert script.plain(env).action_type.actions[index] == action

  def test_on_the_road(self, call):
    call('slower', 'right_slower', '--episodes', '1', '--scenarios', '10001')
    slower = read(call.folder / FAST / 'slower', 'eval.json')
    right = read(call.folder / FAST / 'right_slower', 'eval.json')
    assert slower['crash_rate'] == right['crash_rate'] == 0
    assert slower['return_mean'] < right['return_mean']
    assert right['return_mean'] == pytest.approx(22.42, abs=0.01)


class Bait(gym.Env):
  """Two actions: 0 gives 0.6 each time; 1 gives 0.5, then 1 in a row of them.

  After an action 1, an action 0 ends the episode with reward 0.
  """

  observation_space = gym.spaces.Box(-1, 9, (1,), np.float32)
  action_space = gym.spaces.Discrete(2)

  def __init__(self):
    self.ones = self.steps = 0

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.ones = 0
    return np.zeros(1, np.float32), {}

  def step(self, action):
    self.steps += 1
    end = action == 0 and self.ones > 0
    reward = 0.0 if end else 0.6 if action == 0 else 1.0 if self.ones else 0.5
    self.ones += action
    return np.full(1, self.ones, np.float32), reward, bool(end), False, {}


class TestPlanner:

  @pytest.fixture
  def bait(self, tiny):
    env = envs.wrap(Bait(), tiny)
    env.reset(1)
    return env

  @pytest.mark.parametrize('horizon, budget, best', [
      (1, 99, 0), (2, 99, 1), (3, 99, 1), (5, 99, 1), (5, 4, 0), (5, 5, 1)])
  def test_looks_as_far_as_it_may(self, script, bait, horizon, budget, best):
    # 0.6 > 0.5 at once, 0.5 + 1.0 > 0.6 + 0.6 after two steps, which the fifth
    # and sixth simulated step find out.
    assert script.plan(bait, horizon, budget) == best

  def test_leaves_the_environment_alone(self, script, bait):
    before = script.plain(bait).steps
    script.plan(bait, 5, 99)
    assert script.plain(bait).steps == before
    assert bait.step({'action': np.eye(2)[1]})['vector'] == [1]

  def test_finds_the_best_of_all_sequences(self, script):
    env = make(script, '--task', FAST)
    env.reset(10_003)
    totals = {}
    for first in script.available(env):
      totals[first] = 0
      one = script.copy.deepcopy(env)
      row = one.step({'action': np.eye(5)[first]})
      for second in script.available(one) if not row['is_last'] else ():
        two = script.copy.deepcopy(one)
        reward = two.step({'action': np.eye(5)[second]})['reward']
        totals[first] = max(totals[first], row['reward'] + reward)
    chosen = script.plan(env, 2, 10 ** 6)
    assert totals[chosen] == pytest.approx(max(totals.values()))
    assert totals[chosen] > min(totals.values())

  def test_foresees_what_happens(self, script):
    env = make(script, '--task', FAST)
    env.reset(10_004)
    ahead = script.copy.deepcopy(env)
    for action in 3, 0, 2, 1:
      guess = ahead.step({'action': np.eye(5)[action]})
      script.plan(env, 2, 20)
      truth = env.step({'action': np.eye(5)[action]})
      assert all((guess[key] == truth[key]).all() for key in truth)

  def test_run(self, call):
    call('planner', '--episodes', '1', '--env.config.duration', '3')
    folder = call.folder / FAST / 'planner'
    result, record = read(folder, 'eval.json'), read(folder, 'record.json')
    assert result['length_mean'] == 3 and result['crash_rate'] == 0
    assert result['return_mean'] > 2.5  # 2.2 of SLOWER in the right lane.
    assert result['overrides'] == ['--env.config.duration', '3']
    assert record['hyperparameters'] == {'horizon': 5, 'budget': 500}
    assert record['env_config'] == {'duration': 3}
    assert record['seed'] is None


@pytest.mark.parametrize('words, message', [
    (['--steps', '9'], 'Name at least one method: random, idle'),
    (['dqm'], "'dqm' is not a known method. Did you mean 'dqn'"),
    (['idle', '--stps', '9'], "Unknown key 'stps'. Did you mean 'steps'"),
    (['idle', '--rssm.deter', '9'], "Unknown key 'rssm.deter'"),
    (['idle', '--configs', 'highway'], "Leave '--configs' out"),
    (['idle', '--episodes', '-1'], "'episodes' and 'scenarios' must be at"),
    (['dqn', '--steps', '0'], "'steps' must be at least 1 but is 0"),
    (['idle', '--task', 'highway_fast'], "'highway_fast' is not a known task"),
    (['idle', '--env.config.lane_count', '3'], "Did you mean 'lanes_count'"),
    (['random', '--task', 'highway_racetrack-v1'], 'discrete actions'),
    (['left', '--task', 'highway_intersection-v2'],
     "'left' needs the action LANE_LEFT, but .* SLOWER, IDLE, FASTER"),
    (['random', 'idle', *COUNTER], 'has no names for its actions'),
    (['ppo', '--task', 'gym_toys:Image-v0'], "one vector, .* 'uint8"),
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

  @pytest.mark.parametrize('method, steps', [('dqn', 260), ('ppo', 768)])
  def test_stable_baselines3_learns(call, method, steps):
    curves = []
    for seed in '2', '2':
      call(method, *COUNTER, '--steps', '260', '--eval_every', '200',
           '--eval_eps', '2', '--episodes', '3', '--seed', seed, '--fresh',
           '--env.config.length', '7')
      folder = call.folder / 'gym_toys:Counter-v0' / f'{method}-{seed}'
      record = read(folder, 'record.json')
      assert record['env_steps'] == steps
      assert 'torch' in record['versions']
      rows = [json.loads(line) for line in
              (folder / 'metrics.jsonl').read_text().splitlines()]
      expected = [200, 260] if method == 'dqn' else [204, 768]
      assert [row['step'] for row in rows] == expected
      curves.append([row['eval_return'] for row in rows])
    assert curves[0] == curves[1]
