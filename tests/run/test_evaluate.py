"""The command `eval`: the same numbers however it runs, and what it writes."""

import json
import os
import sys

import gymnasium as gym
import numpy as np
from PIL import Image
import pytest
import runs

from dreamerv2_tf import cli, errors
from dreamerv2_tf.config import resolve
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.run import evaluate, train

KEYS = {
    'return_mean', 'return_std', 'return_ci95', 'length_mean', 'crash_rate',
    'speed_mean', 'episodes', 'seed', 'step', 'simulator'}


@pytest.fixture
def eval_(capsys):
  """Runs `eval` here; returns the lines on stdout, or the one on stderr."""

  def call(logdir, *arguments, status=0):
    words = ['eval', '--logdir', str(logdir), *map(str, arguments)]
    assert cli.main(words) == status, capsys.readouterr()
    out, err = capsys.readouterr()
    if not status:
      return out.splitlines()
    line, *table = err.splitlines()
    assert all(row.startswith('  ') for row in table)
    return line

  return call


@pytest.fixture(scope='module')
def by_command(highway, tmp_path_factory):
  """Preset to the lines of `eval` as a child process, with one environment."""
  folder = tmp_path_factory.mktemp('videos')
  processes = {
      preset: runs.start(
          logdir, '--episodes', 3, '--envs', 1, '--json', '--video',
          folder / f'{preset}.gif', command='eval')
      for preset, logdir in highway.items()}
  return folder, {
      preset: runs.finish(process, 0)[0].splitlines()
      for preset, process in processes.items()}


class TestHighway:
  """Evaluations of the runs on the real environment."""

  @pytest.mark.parametrize('preset', ['highway', 'highway_kinematics'])
  def test_record(self, highway, by_command, preset):
    lines = by_command[1][preset]
    record = json.loads(lines[-1])
    assert set(record) == KEYS
    assert (record['episodes'], record['seed']) == (3, 10_000)
    assert record['step'] == runs.newest(highway[preset]).step
    assert record['simulator'] == (  # Of the training.
        'envpool' if preset == 'highway_kinematics' else 'highway-env')
    assert 0 < record['return_mean'] <= 30
    half = 1.96 * record['return_std'] / 3 ** 0.5
    assert record['return_ci95'] == pytest.approx(
        [record['return_mean'] - half, record['return_mean'] + half])
    assert 0 <= record['crash_rate'] <= 1 and 15 < record['speed_mean'] < 35
    assert 1 <= record['length_mean'] <= 30
    name = f"eval-{record['step']}-10000-3.json"
    stored = json.loads((highway[preset] / name).read_text())
    each = stored.pop('per_episode')
    assert stored == {**record, 'overrides': []}
    for kind in ('return', 'length'):
      assert np.mean(each[kind]) == pytest.approx(record[f'{kind}_mean'])
    assert sum(each['crashed']) == pytest.approx(3 * record['crash_rate'])
    assert len(each['speed']) == 3
    text = '\n'.join(lines[:-1])
    assert f"Return        {record['return_mean']:.2f} +- " in text
    assert 'Crash rate' in text and f'{name} and ' in text

  @pytest.mark.parametrize('preset', ['highway', 'highway_kinematics'])
  def test_environments_side_by_side_change_nothing(
      self, highway, by_command, eval_, preset):
    lines = eval_(highway[preset], '--episodes', 3, '--envs', 2, '--json')
    assert lines[-1] == by_command[1][preset][-1]

  @pytest.mark.parametrize('preset', ['highway', 'highway_kinematics'])
  def test_video_shows_the_time_between_decisions(self, by_command, preset):
    folder, records = by_command
    with Image.open(folder / f'{preset}.gif') as video:
      # 15 instants for each decision, of which equal ones are merged.
      assert video.n_frames > 5 * 3
      assert video.size == (600, 150)
      last = np.asarray(video.convert('RGB'))
    assert last.std() > 1

  def test_scenarios_and_settings(self, highway, eval_):
    logdir = highway['highway_kinematics']
    first = json.loads(eval_(
        logdir, '--episodes', 1, '--seed', 5, '--json')[-1])
    other = json.loads(eval_(
        logdir, '--episodes', 1, '--seed', 6, '--json', '--env.config.duration',
        3, '--checkpoint', 'best')[-1])
    assert first['return_std'] == 0 and first['seed'] == 5
    assert other['length_mean'] <= 3 and other['return_mean'] != (
        first['return_mean'])
    step = json.loads((logdir / 'checkpoints' / 'best.json').read_text())
    assert other['step'] == step['step']

  @pytest.mark.parametrize('status, flags, message', [
      (3, ['--checkpoint', '7'], "There is no checkpoint '7' in"),
      (2, ['--video', 'a.mp4'], 'does not end in .gif'),
      (2, ['--video', 'missing/a.gif'], 'its folder does not exist'),
      (2, ['--env.config.lane_count', '3'], "Did you mean 'lanes_count'"),
      (3, ['--rssm.deter', '16'], 'is of another agent')])
  def test_wrong_input(self, highway, eval_, status, flags, message):
    logdir = highway['highway_kinematics']
    before = runs.tree(logdir)
    line = eval_(logdir, *flags, status=status)
    assert line.startswith('error: ') and message in line
    assert runs.tree(logdir) == before


def test_a_reader_may_leave(highway):
  read, write = os.pipe()
  os.close(read)
  with os.fdopen(write, 'w') as pipe:
    _, err = runs.call(
        highway['highway_kinematics'], '--episodes', 1, '--seed', 7,
        command='eval', stdout=pipe)
  assert 'BrokenPipe' not in err
  assert list(highway['highway_kinematics'].glob('eval-*-7-1.json'))


def test_run_without_a_checkpoint(tmp_path, eval_):
  resolve(['debug'], ['--task', 'gym_toys:Counter-v0']).save(
      tmp_path / 'config.yaml')
  line = eval_(tmp_path, status=3)
  assert line == (
      f'error: There is no checkpoint in {tmp_path}/checkpoints. Train first, '
      'or check --logdir.')
  assert [path.name for path in tmp_path.iterdir()] == ['config.yaml']


def test_a_missing_package_is_one_line(tmp_path, eval_, monkeypatch):
  resolve(['debug'], ['--task', 'highway_highway-fast-v0']).save(
      tmp_path / 'config.yaml')
  monkeypatch.setitem(sys.modules, 'highway_env', None)
  assert eval_(tmp_path, status=4).endswith(
      "needs the module 'highway_env', which can not be imported. Install it, "
      'perhaps with: pip install highway-env')


class TestCollect:
  """Scenarios in which environments fail."""

  def collect(self, tmp_path, seeds, *plan, count=2, **options):
    config = resolve(['debug'], [
        '--task', 'gym_toys:Plan-v0', '--env.config.folder', str(tmp_path),
        '--env.config.at', str(options.pop('at', 3)),
        '--env.config.plan', json.dumps(plan), '--envs_parallel', 'none',
        *options.pop('flags', ())])
    with evaluate.make_pool(
        config, evaluate.factory(config, True), count) as pool:
      policy = RandomPolicy(pool.act_space, 0)
      return evaluate.collect(pool, policy, seeds, **options)

  def seeds(self, episodes):
    return [round(10 * episode['vector'][0, 1]) for episode in episodes]

  def test_each_scenario_once_in_order(self, tmp_path):
    episodes, frames = self.collect(tmp_path, [5, 3, 9], film=[3])
    assert self.seeds(episodes) == [5, 3, 9]
    assert [frame[0, 0, 0] for frame in frames] == [0, 1, 2, 3, 4, 5]

  @pytest.mark.parametrize('count', [1, 2, 3])
  @pytest.mark.parametrize('at', [1, 2])
  def test_failed_ones_run_again(self, tmp_path, at, count):
    episodes, frames = self.collect(
        tmp_path, [5, 3, 9], [3, 1, 'raise'], [9, 1, 'raise'], at=at,
        count=count, film=[3])
    assert self.seeds(episodes) == [5, 3, 9]
    assert {len(x['reward']) for x in episodes} == {6}
    assert [frame[0, 0, 0] for frame in frames] == [0, 1, 2, 3, 4, 5]

  def test_failure_in_the_reset(self, tmp_path):
    episodes, _ = self.collect(
        tmp_path, [5, 3, 9], [3, 1, 'raise'], [3, 2, 'raise'], at=0)
    assert self.seeds(episodes) == [5, 3, 9]

  def test_hopeless_ones_are_left_out(self, tmp_path, caplog):
    plan = [[3, visit, 'raise'] for visit in (1, 2, 3)]
    episodes, _ = self.collect(tmp_path, [5, 3, 9], *plan)
    assert self.seeds(episodes) == [5, 9]
    assert 'Scenario 3 is left out: its episode was cut 3 times.' in caplog.text

  def test_an_episode_that_may_never_end_is_told(
      self, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(evaluate, 'LONG', 4)
    self.collect(tmp_path, [5, 3], count=1)
    assert caplog.text.count('goes on after 4 steps. If it never ends') == 2
    assert 'scenario 3 goes on' in caplog.text
    assert '--time_limit 4' in caplog.text
    caplog.clear()
    monkeypatch.setattr(evaluate, 'LONG', 6)
    self.collect(tmp_path, [5, 3], count=1)
    assert 'goes on' not in caplog.text

  def test_dropped_data_ends_no_evaluation(self, tmp_path):
    plan = [[3, visit, 'nan'] for visit in (1, 2, 3)]
    with pytest.raises(errors.EnvError, match='No scenario could be run'):
      self.collect(tmp_path, [3], *plan, flags=['--on_bad_data', 'drop'])


def test_summary_by_hand():
  def episode(rewards, crashed, speeds):
    return {
        'reward': np.array([0, *rewards], np.float32),
        'log_crashed': np.array([0, *crashed], np.float32),
        'log_speed': np.array([99, *speeds], np.float32)}
  episodes = [
      episode([1, 1], [0, 1], [20, 22]), episode([4], [0], [30]),
      episode([6], [0], [28])]
  result = evaluate.summarize(episodes)
  half = 1.96 * 2 / 3 ** 0.5
  assert result['return_ci95'] == pytest.approx([4 - half, 4 + half])
  del result['return_ci95']
  assert result == pytest.approx({
      'return_mean': 4, 'return_std': 2, 'length_mean': 4 / 3,
      'crash_rate': 1 / 3, 'speed_mean': 25})
  assert evaluate.table(episodes) == {
      'return': [2, 4, 6], 'length': [2, 1, 1],
      'crashed': [True, False, False], 'speed': [21, 30, 28]}
  plain = evaluate.summarize([{'reward': np.ones(3, np.float32)}])
  assert plain['crash_rate'] is None and plain['speed_mean'] is None
  assert plain['return_ci95'] is None


def test_metrics_of_an_episode():
  config = resolve([], [
      '--log_keys_sum', 'log_a', '--log_keys_mean', 'log_.*', '--log_keys_max',
      'log_b'])
  episode = {
      'reward': np.array([0, 1, 2], np.float32),
      'log_a': np.array([1, 2, 3]), 'log_b': np.array([1, 2, 9])}
  assert evaluate.episode_metrics(episode, config, 'train') == {
      'train_return': 3, 'train_length': 2, 'sum_train_log_a': 6,
      'mean_train_log_a': 2, 'mean_train_log_b': 4, 'max_train_log_b': 9}


def test_only_vector_tasks_of_highway_are_filmed():
  box = lambda *shape: {'x': gym.spaces.Box(0, 1, shape)}
  config = resolve(['highway'])
  assert list(train.filmed(config, box(25))) == [train.EVAL_SEED]
  assert not train.filmed(config, box(32, 128, 1))
  assert not train.filmed(resolve(['atari']), box(25))
