import json
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
import runs

from dreamerv2_tf.errors import ConfigError

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'scripts' / 'dreams.py'


def test_pixels_by_hand(script):
  truth, guess = np.zeros([2, 2, 3, 2, 2], bool)
  truth[0, 1] = [[True, True], [False, False]]
  guess[0, 1] = [[True, False], [True, True]]
  truth[1, 1, 0, 0] = guess[0, 2, 0, 0] = True
  assert script.compare(truth, guess, [1, 2]) == {
      'recall': {'1': 1 / 3, '2': None}, 'precision': {'1': 1 / 3, '2': 0.0}}


def test_sequences_begin_every_few_frames_and_fill_batches(script):
  episodes = [
      {'reward': np.arange(n), 'is_first': np.zeros(n, bool)}
      for n in (12, 6, 7, 17, 22)]
  [batch] = script.batches(episodes, 7)
  np.testing.assert_array_equal(
      batch['reward'][:, 0], [0, 5, 0, 0, 5, 10])
  assert batch['reward'].shape == (6, 7)
  np.testing.assert_array_equal(
      batch['is_first'], [[True] + 6 * [False]] * 6)


def test_predictions_are_those_of_the_agent(script):
  truth, dream = np.random.default_rng(0).uniform(size=[2, 6, 4, 2, 3, 1])
  dream[0, 0, 0, 0, 0] = 1.5
  agent = types.SimpleNamespace(report=lambda batch: {'a/b': (truth, dream)})
  pairs = script.predictions(agent, {'reward': np.zeros([6, 4])}, 'a/b')
  for row, (one, two) in enumerate(pairs):
    np.testing.assert_array_equal(one, truth[row, ..., 0])
    np.testing.assert_array_equal(two, np.minimum(dream[row, ..., 0], 1))
  assert len(pairs) == 6


@pytest.mark.parametrize('arguments, match', [
    ([], 'Give the folder of a run as --logdir'),
    (['--logdir', 'x', '--steps', '0'], "'steps' must be at least 1"),
    (['--logdir', 'x', '--episodes', '0'], "'episodes' must be positive"),
])
def test_wrong_flags(script, arguments, match):
  with pytest.raises(ConfigError, match=match):
    script.parse(arguments)


def test_a_run_is_measured(script, tmp_path, capsys):
  logdir = tmp_path / 'run'
  runs.call(logdir, '--configs', 'highway', 'debug', '--steps', '40',
            '--prefill', '20', '--eval_eps', '1', '--env.config.duration', '9')
  result = subprocess.run(
      [sys.executable, SCRIPT, '--logdir', logdir, '--episodes', '8',
       '--steps', '1,2', '--json'], capture_output=True, text=True)
  assert result.returncode == 0, result.stderr
  *table, last = result.stdout.splitlines()
  record = json.loads(last)
  assert record['step'] >= 40 and record['sequences'] % 6 == 0
  for kind in ('recall', 'precision'):
    assert 0 <= record['copy'][kind]['1'] < 1  # There are cars, and they move.
    assert set(record['dream'][kind]) == {'1', '2'}
  assert sum(line.split()[:1] in (['1'], ['2']) for line in table) == 2
  assert script.main(['--logdir', str(tmp_path / 'none')]) == 2
  assert 'holds no run' in capsys.readouterr().err
