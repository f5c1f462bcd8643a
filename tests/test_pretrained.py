"""Agents that come with the package: found by name, and whole."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import runs

import dreamerv2_tf as dv2
from dreamerv2_tf import cli, pretrained
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.run import loading, weights

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def shelf(highway, tmp_path_factory):
  """A folder of agents with one of them, `driver`."""
  shelf = tmp_path_factory.mktemp('shelf')
  logdir = highway['highway_kinematics']
  agent, config, step = loading.load_agent(logdir)
  folder = shelf / 'driver'
  folder.mkdir()
  config.update({'logdir': ''}).save(folder / 'config.yaml')
  weights.save(folder, agent)
  (folder / 'card.json').write_text(json.dumps(
      {'name': 'driver', 'step': step, 'dtype': 'float32'}))
  (folder / 'card.md').write_text('# driver\n')
  (shelf / '__pycache__').mkdir()
  return shelf


@pytest.fixture
def driver(shelf, monkeypatch, tmp_path):
  """The agent in place of those of the package, and an empty folder."""
  monkeypatch.setattr(pretrained, 'HERE', shelf)
  monkeypatch.chdir(tmp_path)
  return shelf / 'driver'


def test_names_are_those_of_folders_with_settings(driver):
  assert pretrained.names() == ['driver']
  assert pretrained.find('driver') == driver


@pytest.mark.parametrize('name', ['diver', '', '.', '../driver', 'driver/'])
def test_an_unknown_name_lists_those_there_are(name, driver):
  with pytest.raises(dv2.ConfigError, match='Pretrained agents: driver.$'):
    pretrained.find(name)


def test_a_package_without_agents_says_so(tmp_path, monkeypatch):
  monkeypatch.setattr(pretrained, 'HERE', tmp_path)
  with pytest.raises(dv2.ConfigError, match='none in this package'):
    pretrained.find('driver')


def test_folders_go_before_names(driver, tmp_path):
  assert pretrained.locate('driver') == driver
  assert pretrained.locate(pathlib.Path('driver')) == driver
  for path in './driver/', 'a/driver', str(tmp_path / 'driver'):
    assert pretrained.locate(path) == pathlib.Path(path)
  pathlib.Path('driver').mkdir()
  assert pretrained.locate('driver') == pathlib.Path('driver')
  with pytest.raises(dv2.ConfigError, match='driver holds no run'):
    dv2.load('driver')


@pytest.mark.parametrize('value', [None, 3, ['a']])
def test_what_is_no_path_is_refused(value):
  with pytest.raises(ConfigError, match='An agent is the path of a run folder'):
    pretrained.locate(value)


def test_load_takes_a_name(driver, tmp_path):
  agent = dv2.load('driver')
  assert agent.act(np.zeros([5, 5], np.float32))[0] in range(5)
  with pytest.raises(dv2.ConfigError) as info:
    dv2.load('drivr')
  assert str(info.value) == (
      "'drivr' is neither a folder here nor a pretrained agent. Did you mean "
      "'driver'? Pretrained agents: driver.")
  assert list(tmp_path.iterdir()) == []


def test_eval_of_a_name_writes_the_video_alone(
    driver, highway, tmp_path, capsys):
  flags = ['--episodes', '2', '--seed', '41000', '--envs', '1', '--json']
  logdir = highway['highway_kinematics']
  assert cli.main(['eval', '--logdir', str(logdir), *flags]) == 0
  expected = capsys.readouterr().out.splitlines()[-1]
  before = runs.tree(driver)
  assert cli.main(
      ['eval', '--pretrained', 'driver', '--video', 'a.gif', *flags]) == 0
  out, err = capsys.readouterr()
  assert err.startswith('Agent         driver\nTask          highway_')
  *lines, record = out.splitlines()
  assert record == expected
  assert lines[-1] == f"Written to    {tmp_path / 'a.gif'}"
  assert [path.name for path in tmp_path.iterdir()] == ['a.gif']
  assert runs.tree(driver) == before


def test_eval_takes_settings_and_writes_nothing(driver, tmp_path, capsys):
  before = runs.tree(driver)
  for agent in ['--pretrained', 'driver'], ['--logdir', str(driver)]:
    assert cli.main([
        'eval', *agent, '--episodes', '1', '--env.config.duration', '3',
        '--eval_lookahead.depth', '2']) == 0
    out = capsys.readouterr().out
    assert 'Return' in out and 'Written' not in out
  assert list(tmp_path.iterdir()) == [] and runs.tree(driver) == before


@pytest.mark.parametrize('flags, text', [
    (['--pretrained', 'drivr'], "Did you mean 'driver'? Pretrained agents: d"),
    (['--pretrained', 'driver', '--logdir', 'a'], 'give one of them'),
    (['--pretrained', 'driver', '--checkpoint', 'best'], 'no checkpoints'),
    (['--pretrained', 'driver', '--rssm.dter', '3'], "mean 'rssm.deter'"),
    (['--logdir', 'driver'], 'Did you mean --pretrained driver?')])
def test_wrong_words_are_one_line(flags, text, driver, tmp_path, capsys):
  assert cli.main(['eval', *flags]) == 2
  out, err = capsys.readouterr()
  assert text in err and err.count('\n') == 1 and not out
  assert list(tmp_path.iterdir()) == []


def test_the_help_names_them(driver, capsys):
  assert cli.main(['eval', '--help']) == 0
  assert capsys.readouterr().out.endswith('Pretrained agents\n  driver\n')


def test_agents_are_whole_and_small(shelf):
  """Also those of the package."""
  folders = [shelf / 'driver', *map(pretrained.find, pretrained.names())]
  for folder in folders:
    card = json.loads((folder / 'card.json').read_text())
    assert card['name'] == folder.name
    assert f'# {folder.name}\n' in (folder / 'card.md').read_text()
    agent, config, step = loading.load_agent(folder)
    assert step == card['step'] and config.logdir == ''
    assert agent.get_weights()['actor_critic/actor/dense0/kernel'].any()
    assert {path.suffix for path in folder.iterdir()} <= {
        '.yaml', '.npz', '.json', '.md', '.gif'}
    assert (folder / 'weights.npz').stat().st_size < 12e6
    gif = folder / 'drive.gif'
    assert not gif.exists() or gif.stat().st_size < 1.5e6


def test_an_installed_package_has_them(shelf, tmp_path):
  source = tmp_path / 'source'
  shutil.copytree(
      ROOT / 'dreamerv2_tf', source / 'dreamerv2_tf',
      ignore=shutil.ignore_patterns('__pycache__'))
  shutil.copytree(
      shelf / 'driver', source / 'dreamerv2_tf' / 'pretrained' / 'driver')
  for name in 'setup.py', 'README.md', 'configs.yaml', 'pyproject.toml':
    shutil.copy(ROOT / name, source)
  result = subprocess.run(
      [sys.executable, 'setup.py', '-q', 'build_py', '--build-lib', 'built'],
      cwd=source, capture_output=True, text=True)
  assert result.returncode == 0, result.stderr
  built = source / 'built' / 'dreamerv2_tf'
  assert (built / 'configs.yaml').is_file()
  assert runs.tree(built / 'pretrained') == runs.tree(
      source / 'dreamerv2_tf' / 'pretrained')
  assert (built / 'pretrained' / 'driver' / 'weights.npz').is_file()
