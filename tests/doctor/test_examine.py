import json
import pathlib
import tempfile

import pytest

from dreamerv2_tf import cli
from dreamerv2_tf.doctor import measure, rendering, storage

TOY = [
    '--configs', 'debug', '--task', 'gym_toys:Plan-v0', '--envs', '2',
    '--env.config.length', '7', '--env.obs_scale', '1e-9', '--steps', '5000']


@pytest.fixture
def doctor(capsys, monkeypatch, tmp_path):
  """Runs the command here; returns the checks by name, and what was printed."""
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  (tmp_path / 'home').mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'trial'))
  (tmp_path / 'trial').mkdir()
  monkeypatch.setattr(storage, 'TRIAL', 1_000_000)
  for name in ('RANDOM', 'GRADIENT', 'LOOP'):
    monkeypatch.setattr(measure, name, 0.05)

  def call(status, *words):
    assert cli.main(['doctor', *words, '--json']) == status, (
        capsys.readouterr())
    out = capsys.readouterr().out
    record = json.loads(out.splitlines()[-1])
    assert record['status'] == status
    assert not list((tmp_path / 'trial').iterdir())  # Nothing is left.
    assert not (tmp_path / 'home' / 'logdir').exists()
    checks = {}
    for check in record['checks']:
      checks.setdefault(check['name'], check)
    return checks, out

  return call


def test_a_task_is_measured_to_its_end(doctor, tmp_path):
  checks, out = doctor(0, *TOY, '--logdir', str(tmp_path / 'run'))
  assert list(checks) == [
      'python', 'packages', 'processor', 'memory', 'disk', 'rendering',
      'spaces', 'gpu', 'precision', 'keys', 'networks', 'episodes', 'speed',
      'time', 'ram', 'files']
  assert set(checks['episodes']['values']['lengths']) == {7}
  assert checks['keys']['values']['encoder'] == {'mlp': ['vector'], 'cnn': []}
  speeds = checks['speed']['values']
  for name in 'training', 'prefill', 'gradient', 'period':
    assert speeds[name] > 0, name
  parts = checks['time']['values']['parts']
  assert sum(parts.values()) == checks['time']['values']['total']
  # 4,800 steps after prefill, a training in 10 of them.
  assert parts['training'] == pytest.approx(480 * speeds['period'])
  # Moments of all that is trained, and a slow critic that is not.
  sizes = checks['networks']['values']
  assert 0 <= sizes['bytes'] - 4 * sizes['parameters'] < 100
  assert sizes['bytes'] < sizes['optimizers'] < 2 * sizes['bytes']
  saved = checks['files']['values']['checkpoint']
  assert saved > sizes['bytes'] + sizes['optimizers']
  assert checks['ram']['values']['environments'] > 0
  assert out.splitlines()[-2].startswith('Usable: ')
  assert not (tmp_path / 'run').exists()


def test_a_quick_look_measures_nothing(doctor):
  checks, _ = doctor(0, *TOY, '--quick')
  assert not {'speed', 'time'} & set(checks)
  assert {'spaces', 'keys', 'networks', 'ram', 'files'} <= set(checks)


def test_what_the_networks_can_not_take_is_told(doctor):
  checks, out = doctor(2, *TOY, '--encoder.mlp_keys', 'none')
  assert "encoder.mlp_keys 'none' match no observation" in (
      checks['settings']['text'])
  assert out.splitlines()[-2].startswith('Not usable: settings failed')


def test_an_environment_that_can_not_be_built_is_told(doctor):
  checks, _ = doctor(
      4, '--configs', 'debug', '--task', 'gym_toys:Fault-v0',
      '--env.config.fault', 'constructor')
  assert 'no such map' in checks['environment']['text']
  assert 'precision' in checks  # The rest is looked at.


def test_other_networks_than_those_of_the_run_are_told(
    doctor, tmp_path, monkeypatch):
  monkeypatch.setattr(
      rendering, 'check', lambda must: storage.ok('rendering', ''))
  logdir = tmp_path / 'run'
  logdir.mkdir()
  from dreamerv2_tf import config
  config.resolve(['debug'], TOY[2:]).save(logdir / 'config.yaml')
  checks, _ = doctor(
      3, *TOY, '--quick', '--rssm.deter', '64', '--logdir', str(logdir))
  assert 'rssm.deter was 32, is now 64' in checks['run']['text']
  checks, _ = doctor(
      0, *TOY, '--quick', '--seed', '5', '--logdir', str(logdir))
  assert checks['run']['text'].endswith(
      'holds a run, which can go on, with other seed')
  assert [path.name for path in logdir.iterdir()] == ['config.yaml']


def test_black_pictures_fail_where_they_are_needed(monkeypatch):
  monkeypatch.setenv('SDL_VIDEODRIVER', 'dummy')
  check = rendering.check(must=True)
  assert (check.status, check.code) == ('fail', 4)
  assert 'draws only black frames' in check.text
  assert check.advice.startswith('Unset SDL_VIDEODRIVER')
  assert rendering.check(must=False).status == 'warn'


def test_pictures_that_are_drawn_are_measured(monkeypatch):
  monkeypatch.delenv('SDL_VIDEODRIVER', raising=False)
  check = rendering.check(must=True)
  assert check.status == 'ok' and '600x150 pixels of' in check.text


@pytest.mark.parametrize('name, status, code', [
    ('new/run', 'ok', 0), ('file', 'fail', 2), ('file/run', 'fail', 2)])
def test_the_folder_of_a_run(name, status, code, tmp_path):
  (tmp_path / 'file').write_text('mine')
  check = storage.check(tmp_path / name, measure=False)
  assert (check.status, check.code) == (status, code)
  assert storage.existing(tmp_path / 'new' / 'run') == tmp_path
  assert [path.name for path in pathlib.Path(tmp_path).iterdir()] == ['file']


def test_a_slow_disk_is_told(tmp_path, monkeypatch):
  monkeypatch.setattr(storage, '_write_speed', lambda folder: 1e6)
  check = storage.check(tmp_path)
  assert check.status == 'warn' and '1.0 MB per second' in check.text


def test_wrong_settings_are_refused_before_anything_is_looked_at(capsys):
  assert cli.main(['doctor', '--configs', 'smal']) == 2
  out, err = capsys.readouterr()
  assert out == '' and "Did you mean 'small'" in err
