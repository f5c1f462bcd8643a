"""Settings of others name code; it is run with the user's word only."""

import os
import sys

import pytest

from dreamerv2_tf import cli
from dreamerv2_tf.config import resolve
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.run import trust

VEHICLES = '--env.config.other_vehicles_type'


def settings(task='gym_stranger:A-v0', *words):
  return resolve(['debug'], ['--task', task, *words])


@pytest.fixture(autouse=True)
def stranger(tmp_path, monkeypatch):
  """A module that leaves a file when it is imported; returns that file."""
  monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'state'))
  monkeypatch.delitem(sys.modules, 'stranger', raising=False)
  place = tmp_path / 'modules'
  place.mkdir()
  (place / 'stranger.py').write_text(
      f"open({str(tmp_path / 'was run')!r}, 'w').close()\n"
      'raise SystemError("far enough")\n')
  monkeypatch.syspath_prepend(place)
  return tmp_path / 'was run'


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'run').mkdir()
  settings().save(tmp_path / 'run' / 'config.yaml')
  return tmp_path / 'run'


@pytest.mark.parametrize('task, words, want', [
    ('gym_CartPole-v1', [], []), ('gym_a.b:C-v0', [], ['a']),
    ('gym_a:b:C-v0', [], ['a:b']), ('gym_gymnasium.envs:C-v0', [], []),
    ('highway_merge-v0', [VEHICLES, 'highway_env.vehicle.behavior.X'], []),
    ('highway_merge-v0', [VEHICLES, 'a.b.C'], ['a']),
    ('gym_CartPole-v1', ['--env.config.file', 'a/b.xml'], []),
    ('gym_A-v0', ['--env.config.device', 'gpu:0', '--env.config.base.env',
                  'stranger:B-v0', '--env.config.other', 'gymnasium:C'],
     ['stranger'])])
def test_modules_that_settings_import(task, words, want):
  assert trust.modules(settings(task, *words)) == want


@pytest.mark.parametrize('command', [['eval'], ['train']])
def test_code_of_others_is_not_run_without_a_word(
    command, folder, stranger, capsys):
  assert cli.main([*command, '--logdir', str(folder)]) == 2
  assert capsys.readouterr().err.splitlines()[-1] == (
      f"error: The settings in {folder} run code of the module 'stranger' "
      "(task 'gym_stranger:A-v0'), which you have not used in training here. "
      'If you trust that folder, add --trust, in Python load(..., trust=True).')
  assert not stranger.exists()
  assert [path.name for path in folder.iterdir()] == ['config.yaml']


def test_one_word_is_enough(folder, stranger, capsys):
  assert cli.main(['eval', '--logdir', str(folder), '--trust']) == 4
  assert stranger.exists()
  stranger.unlink()
  assert cli.main(['eval', '--logdir', str(folder)]) == 4
  assert stranger.exists() and 'far enough' in capsys.readouterr().err


def test_what_the_user_named_in_training_is_known(folder, monkeypatch):
  with pytest.raises(ConfigError):
    trust.check(folder, settings())
  trust.remember(settings())
  trust.check(folder, settings())
  # Another file of that name is another module.
  (folder / 'stranger.py').touch()
  monkeypatch.syspath_prepend(folder)
  with pytest.raises(ConfigError, match="'stranger'"):
    trust.check(folder, settings())


def test_imported_modules_are_known_but_not_those_of_python(folder):
  trust.check(folder, settings('gym_pytest:A-v0'))
  with pytest.raises(ConfigError, match="'os'"):
    trust.check(folder, settings('highway_merge-v0', VEHICLES, 'os.system'))


def test_a_home_that_can_not_be_written_is_no_error(
    folder, tmp_path, monkeypatch):
  (tmp_path / 'file').touch()
  monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'file'))
  trust.remember(settings())
  trust.check(folder, settings(), trust=True)


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_what_was_remembered_may_be_no_file(folder, stranger, tmp_path, make):
  (tmp_path / 'state' / 'dreamerv2_tf').mkdir(parents=True)
  make(tmp_path / 'state' / 'dreamerv2_tf' / 'modules')
  with pytest.raises(ConfigError, match='which you have not used'):
    trust.check(folder, settings())
