"""The command `eval`: the same numbers however it runs, and what it writes."""

import json
import os
import sys

import numpy as np
from PIL import Image
import pytest
import runs

from dreamerv2_tf import cli, startup
from dreamerv2_tf.config import resolve

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
    lines = err.splitlines()
    if lines[0].startswith('Run folder'):  # What begins, in three lines.
      lines = lines[3:]
    line, *table = lines
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
    assert [sum(counts) for counts in each['actions']] == each['length']
    text = '\n'.join(lines[:-1])
    assert f"Return        {record['return_mean']:.2f} ± " in text
    assert 'Crash rate' in text and f'{name} and ' in text

  @pytest.mark.parametrize('preset', ['highway', 'highway_kinematics'])
  def test_environments_side_by_side_change_nothing(
      self, highway, by_command, eval_, preset):
    lines = eval_(highway[preset], '--episodes', 3, '--envs', 2, '--json')
    assert lines[-1] == by_command[1][preset][-1]

  @pytest.mark.parametrize('preset, height', [
      ('highway', 150 + 88 + 68),  # With what the agent sees.
      ('highway_kinematics', 150 + 68)])
  def test_video_shows_the_time_between_decisions(
      self, highway, by_command, preset, height):
    folder, _ = by_command
    [stored] = highway[preset].glob('eval-*-10000-3.json')
    length = json.loads(stored.read_text())['per_episode']['length'][0]
    with Image.open(folder / f'{preset}.gif') as video:
      # 15 frames for each decision, of which equal ones are merged.
      assert 10 * length < video.n_frames <= 15 * length + 1
      assert video.size == (600, height)
      video.seek(video.n_frames - 1)
      assert video.info['duration'] >= 1400
      last = np.asarray(video.convert('RGB'))
    assert last[:150].std() > 1 and last[150:].std() > 1

  def test_files_for_each_episode(self, highway, eval_, tmp_path):
    lines = eval_(
        highway['highway_kinematics'], '--episodes', 3, '--envs', 1, '--seed',
        31, '--video', tmp_path / '{seed}.mp4', '--video-episodes', 2,
        '--env.config.duration', 2)
    paths = [str(tmp_path / f'{seed}.mp4') for seed in (31, 32)]
    assert sorted(map(str, tmp_path.iterdir())) == paths
    assert lines[-1].endswith(f', {paths[0]} and {paths[1]}')

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
      (2, ['--video', 'a.avi'], 'does not end in .gif or .mp4'),
      (2, ['--video', 'a.gif', '--video-episodes', '0'], 'must be 1 to 100'),
      (2, ['--video-episodes', '3'], 'such as --video drive.gif'),
      (2, ['--video', 'a.gif', '--video-episodes', '3', '--episodes', '2'],
       'must be 1 to 2, the number of --episodes, but is 3'),
      (2, ['--video', 'missing/a.gif'], 'its folder does not exist'),
      (2, ['--env.config.lane_count', '3'], "Did you mean 'lanes_count'"),
      (2, ['--task', 'gym_CartPole-v1'],
       'The agent was trained in highway_highway-fast-v0 and can not act in '
       "gym_CartPole-v1: 'env.obs_scale' has 5 numbers"),
      (3, ['--rssm.deter', '16'], 'is of another agent')])
  def test_wrong_input(self, highway, eval_, status, flags, message):
    logdir = highway['highway_kinematics']
    before = runs.tree(logdir)
    line = eval_(logdir, *flags, status=status)
    assert line.startswith('error: ') and message in line
    assert runs.tree(logdir) == before


def test_an_mp4_without_its_package_is_refused_at_once(
    highway, eval_, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'av', None)
  line = eval_(
      highway['highway_kinematics'], '--video', tmp_path / 'a.mp4', status=2)
  assert line == (
      "error: --video needs the package 'av' to write an MP4. Install it with: "
      'pip install av, or write a .gif, which needs none.')
  assert not list(tmp_path.iterdir())


def test_an_environment_that_can_not_render_is_refused(
    tmp_path, eval_, monkeypatch):
  monkeypatch.setattr(startup, 'import_tensorflow', None)  # Not that late.
  resolve(['debug'], ['--task', 'gym_toys:Dark-v0']).save(
      tmp_path / 'config.yaml')
  line = eval_(
      tmp_path, '--trust', '--video', tmp_path / 'a.gif', status=2)
  assert line == (
      "error: Environment 'gym_toys:Dark-v0' can not render pictures "
      '(rgb_array), so that it can not be filmed.')
  assert [path.name for path in tmp_path.iterdir()] == ['config.yaml']


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
  line = eval_(tmp_path, '--trust', status=3)
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
