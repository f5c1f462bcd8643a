import os
import pathlib
import re
import subprocess
import sys

import clusters
import pytest

from dreamerv2_tf.errors import ConfigError

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'collectors.py'


@pytest.mark.minutes
def test_two_collectors_are_measured_against_twice_one():
  with clusters.settings():
    result = subprocess.run(
        [sys.executable, SCRIPT, '--collectors', '2', '--rounds', '2',
         '--seconds', '2', '--step_ms', '20', '--length', '10', '--steps',
         '700'], env={**os.environ, 'PYTHONPATH': str(ROOT)}, text=True,
        capture_output=True, timeout=600)
  assert result.returncode == 0, (result.stdout, result.stderr)
  table = [x.split('|') for x in result.stdout.splitlines() if x[:1] == '|']
  assert [row[1].strip() for row in table[2:]] == ['1', '2']
  assert all(0 < float(row[3]) < 1.01 for row in table[2:])
  assert re.search(r'\nEfficiency, median of 2 pairs: [01]\.\d', result.stdout)
  mean, largest = map(float, re.search(
      r'policy_lag ([\d.]+), policy_lag_max (\d+) gradient steps; sync_every 10'
      r', 1 gradient steps per episode', result.stdout).groups())
  assert 0 <= mean <= largest


def test_no_collector_is_an_error_of_usage(script):
  with pytest.raises(ConfigError, match='must be at least 1'):
    list(script.work(['--collectors', '0']))


def test_what_is_measured_sleeps_and_ends(script):
  env = script.Sleeper(seconds=0.0, length=3)
  observation, _ = env.reset(seed=1)
  assert env.observation_space.contains(observation)
  ends = [env.step(1)[3] for _ in range(3)]
  assert ends == [False, False, True] and env.step(0)[1] == 0.0
