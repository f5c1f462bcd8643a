import json
import os
import pathlib
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf.data.replay import Replay
from dreamerv2_tf.errors import ConfigError

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'load.py'
TINY = (
    '--envs', '3', '--runs', '1', '--length', '60', '--size', '16',
    '--episodes', '30', '--steps', '100')


def measure(tmp_path, *flags, status=0):
  result = subprocess.run(
      [sys.executable, SCRIPT, *TINY, '--folder', tmp_path, '--json', *flags],
      cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(ROOT)}, text=True,
      capture_output=True, timeout=600)
  assert result.returncode == status, (result.stdout, result.stderr)
  *table, last = result.stdout.splitlines()
  assert not [path for path in tmp_path.iterdir() if 'load-' in path.name]
  return table, json.loads(last)['cases']


def test_a_case_is_measured_and_holds(tmp_path):
  table, cases = measure(tmp_path, '--cases', 'environments')
  case = cases['environments']
  assert case['promises'] == {
      'exit status 0': True, '9 episodes stored': True}
  assert min(case['seconds'], case['cpu_seconds']) > 0
  assert case['memory_mb'] > 100
  assert table[0].split() == ['case', 'seconds', 'CPU', 'memory', 'promises']
  assert table[1].startswith('environments') and '2 of 2 held' in table[1]


@pytest.mark.minutes
@pytest.mark.parametrize('case, promises', [
    ('runs', 5), ('length', 3), ('pixels', 3), ('episodes', 5)])
def test_the_other_cases_hold(tmp_path, case, promises):
  _, cases = measure(tmp_path, '--cases', case)
  assert len(cases[case]['promises']) == promises
  assert all(cases[case]['promises'].values())


class Stub:
  """Takes the place of a run; the first in a folder writes episodes."""

  lost = 0  # Episodes that the checkpoint counts and the folder lacks.
  statuses = ()

  def __init__(self, folder, *flags):
    self.end = Stub.statuses.pop(0)
    self.folder = folder

  def stored(self):
    return [10] * (10 - Stub.lost)

  def counted(self):
    return [10, 100]


@pytest.fixture
def stub(script, monkeypatch):
  monkeypatch.setattr(script, 'Run', Stub)
  monkeypatch.setattr(script, 'wait', lambda limit, *runs: [
      script.Ended(run.end, 2.5, 1.5, 700.0, 'the reason') for run in runs])
  monkeypatch.setattr(Stub, 'lost', 0)
  return Stub


@pytest.mark.parametrize('statuses, lost, status, broken', [
    ([0, 0, 0, 7], 0, 0, []),
    ([0, 0, 7, 0], 0, 0, []),
    ([0, 6, 0, 7], 0, 1, ['run 1: exit status 0 (got 6: the reason)']),
    ([0, 0, 0, 0], 0, 1, ['statuses 0 and 7 in one folder (got [0, 0])']),
    ([0, 0, 0, 7], 1, 1, [
        'run 0: 10 episodes stored', 'run 1: 10 episodes stored',
        '10 episodes in that folder']),
])
def test_what_does_not_hold_is_named_and_ends_with_1(
    script, stub, capsys, statuses, lost, status, broken):
  stub.statuses, stub.lost = list(statuses), lost
  assert script.main(
      ['--cases', 'runs', '--runs', '2', '--steps', '100']) == status
  out = capsys.readouterr().out
  assert [line.split(': ', 1)[1] for line in out.splitlines()
          if line.startswith('  BROKEN')] == broken
  assert f'runs{2.5:>19}{1.5:>8}    700 MB  {7 - len(broken)} of 7' in out


def test_a_process_that_takes_too_long_is_killed(script, tmp_path):
  run = script.Run(tmp_path / 'run', '--no_such_key', '1')
  [end] = script.wait(600, run)
  assert end.status == 2 and 'no_such_key' in end.error
  run = script.Run(tmp_path / 'run')
  [end] = script.wait(0, run)
  assert end.status == -9 and end.memory_mb > 0


def test_written_episodes_are_found_by_a_replay(script, tmp_path):
  script.write_episodes(tmp_path / 'eps', 12)
  replay = Replay(tmp_path / 'eps', minlen=1)
  assert replay.stats['total_episodes'] == 12
  assert replay.stats['total_steps'] == 120
  dataset = replay.dataset(2, 11)
  batch = next(dataset)
  dataset.close()
  np.testing.assert_array_equal(batch['reward'], [[0] + [1] * 10] * 2)
  np.testing.assert_allclose(batch['vector'][1, :, 2], np.arange(11) / 10)


def test_the_world_ends_and_stops_its_trainer_once(
    script, tmp_path, monkeypatch):
  import load_world
  env = gym.make(
      'World-v0', length=4, size=16, stop=str(tmp_path / 'stopped')).unwrapped
  sent = []
  monkeypatch.setattr(
      load_world.os, 'kill', lambda *args: sent.append((env.ended, env.count)))
  ends = []
  for _ in range(3):
    obs, _ = env.reset()
    assert obs.shape == (16, 16, 3) and obs.max() == 0
    ends += [env.step(0)[2] for _ in range(4)]
  assert ends == [False, False, False, True] * 3
  assert sent == [(1, 2)]


@pytest.mark.parametrize('arguments, match', [
    (['--cases', 'flood'], "'cases' must be of environments, .*has 'flood'"),
    (['--envs', '0'], "'envs' must be at least 1 but is 0"),
    (['--size', '8'], "'size' must be at least 16"),
    (['--configs', 'debug'], "Unknown flag '--configs'. Known flags: --cases"),
])
def test_wrong_flags(script, arguments, match):
  with pytest.raises(ConfigError, match=match):
    script.parse(arguments)
