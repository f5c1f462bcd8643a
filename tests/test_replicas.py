import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import runs
import tensorflow as tf

from dreamerv2_tf import cli, errors, replicas

TESTS = pathlib.Path(__file__).parent
# Two devices where there is none but the CPU.
TWO = """
import sys
import tensorflow as tf
[cpu] = tf.config.list_physical_devices('CPU')
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from dreamerv2_tf import cli
sys.exit(cli.main(sys.argv[1:]))
"""
ENVIRONMENT = {
    **os.environ, 'PYTHONPATH': f'{TESTS.parent}{os.pathsep}{TESTS}'}

PLAIN = {'kl.free': 0.7, 'reward_norm.momentum': 0.9}
MORE = {
    'expl_behavior': 'Plan2Explore', 'overshooting.steps': 2,
    'overshooting.heads': ['reward', 'discount'], 'model_opt.wd': 1e-3,
    'model_opt.clip': 1.0, 'rssm.ensemble': 2}


@pytest.mark.parametrize('settings', [
    PLAIN, pytest.param(MORE, marks=pytest.mark.minutes)])
def test_two_replicas_learn_as_one_device_does(settings):
  case = {'settings': settings, 'discrete': True, 'steps': 20}
  found = subprocess.run(
      [sys.executable, str(TESTS / 'parity.py'), json.dumps(case)],
      capture_output=True, text=True, env=ENVIRONMENT)
  assert found.returncode == 0, found.stderr
  result = json.loads(found.stdout.splitlines()[-1])
  assert result['calls'] == [20, 20] and result['moved'] > 1e-3
  for name in 'metrics', 'moments', 'weights', 'state':
    assert result[name] < 1e-5, result


def two(logdir, *arguments, status=0):
  found = subprocess.run(
      [sys.executable, '-c', TWO, 'train', '--logdir', str(logdir), *map(
          str, [*runs.TOY, '--replicas', 2, *arguments])],
      capture_output=True, text=True, env=ENVIRONMENT)
  assert found.returncode == status, (found.stdout, found.stderr)
  return found.stderr


@pytest.mark.minutes
def test_a_run_on_two_devices_goes_on_exactly_and_acts_on_one(tmp_path):
  two(tmp_path / 'straight', '--steps', 160)
  for steps in 100, 160:
    two(tmp_path / 'halves', '--steps', steps)
  runs.assert_equal(tmp_path / 'straight', tmp_path / 'halves')
  assert cli.main([
      'eval', str(tmp_path / 'straight'), '--episodes', '1',
      '--trust']) == 0


def test_more_replicas_than_devices_are_refused(tmp_path, capsys):
  assert runs.here(tmp_path / 'run', *runs.TOY, '--replicas', 99) == 2
  [line] = capsys.readouterr().err.strip().splitlines()
  assert line.startswith('error: replicas is 99, but TensorFlow sees ')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('batch, starts, name', [
    (5, 0, 'dataset.batch'), (4, 3, 'imag_starts')])
def test_what_can_not_be_divided_is_refused(batch, starts, name):
  group = replicas.Replicas(tf.distribute.get_strategy())
  group.check(batch, starts)
  class Two(replicas.Replicas):
    count = 2
  with pytest.raises(errors.ConfigError, match=f"'{name}' must be a multiple"):
    Two(group.strategy).check(batch, starts)


def test_workers_need_a_group(monkeypatch):
  monkeypatch.delenv('TF_CONFIG', raising=False)
  with pytest.raises(errors.ConfigError, match='TF_CONFIG must name at least'):
    replicas.Replicas.workers()


def test_outside_of_replicas_nothing_is_reduced():
  x = tf.constant([[1.0, 2.0], [3.0, 6.0]])
  assert replicas.count() == 1 and replicas.Replicas.here(1) is None
  assert replicas.mean(x) == 3 and replicas.total(x) == 12
  assert replicas.means({'a': x})['a'] is x
  np.testing.assert_array_equal(replicas.own(x), x)
  assert replicas.std(x) == tf.math.reduce_std(x)
