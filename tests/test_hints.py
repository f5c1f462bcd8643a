"""What is said to those who begin a run without a preset."""

import pytest

from dreamerv2_tf import cli
from dreamerv2_tf.run import train


@pytest.fixture
def said(monkeypatch, capsys, tmp_path):
  """Returns what a command says before the run begins."""
  monkeypatch.setattr(train, 'run', lambda config, **options: None)
  monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path))

  def call(*words):
    assert cli.main([*words, '--logdir', str(tmp_path / 'run')]) == 0
    return capsys.readouterr().err

  return call


@pytest.mark.parametrize('task, preset', [
    ('gym_CartPole-v1', '--configs small '),
    ('highway_merge-v0', '--configs highway_kinematics or highway ')])
def test_a_task_without_a_preset_is_told_which_one_fits(task, preset, said):
  text = said('--task', task)
  assert text.startswith('No --configs: these are the settings of the original')
  assert preset in text and text.count('\n') == 1


def test_nothing_is_said_to_those_who_chose(said):
  assert said('--configs', 'small', '--task', 'gym_Acrobot-v1') == ''
