"""Faults 45 to 55: the configuration, the command line and the run folder."""

import errno
import fcntl
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import types

from boards import events, points, rows
import numpy as np
from pools import children, factory
import pytest
import runs
from runs import ODD
import tensorflow as tf
import toys

from dreamerv2_tf import cli, envs, errors
from dreamerv2_tf.config import Config, resolve
from dreamerv2_tf.data import store as storelib
from dreamerv2_tf.data.episodes import parse
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.report.jsonl import JSONLOutput
from dreamerv2_tf.report.logger import Logger
from dreamerv2_tf.report.tensorboard import TensorBoardOutput
from dreamerv2_tf.run import lock as locklib
from dreamerv2_tf.run import measure, parts, rundir

HOLD = """
import sys
from dreamerv2_tf.run import rundir
folder = rundir.RunDir(sys.argv[1])
print('locked', flush=True)
sys.stdin.read()
folder.close()
"""


@pytest.fixture
def holder(tmp_path):
  """Another process that holds the lock of `tmp_path / 'run'`."""
  process = subprocess.Popen(
      [sys.executable, '-c', HOLD, str(tmp_path / 'run')],
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
  assert process.stdout.readline() == 'locked\n'
  yield process
  process.kill()
  process.communicate()


def snapshot(folder):
  return {
      path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes())
      for path in folder.rglob('*') if path.is_file()}


def foreign_lock(folder, silent, **more):
  """Writes the lock of another host that was last touched `silent` s ago."""
  folder.mkdir()
  holder = {
      'pid': 5, 'host': 'elsewhere', 'boot_id': 'other',
      'since': '2024-01-01T00:00:00+00:00', **more}
  (folder / 'lock').write_text(json.dumps(holder))
  stamp = time.time() - silent
  os.utime(folder / 'lock', (stamp, stamp))


class Full:
  """A file on a disk that is full after some bytes, until there is space."""

  def __init__(self, file, space):
    self.file = file
    self.space = space

  def write(self, data):
    if not self.space:
      raise OSError(errno.ENOSPC, 'No space left on device')
    count = self.file.write(bytes(data[:self.space]))
    self.space -= count
    return count

  def fileno(self):
    return self.file.fileno()

  def close(self):
    self.file.close()


def history(logdir):
  return json.loads((logdir / 'run.json').read_text())['history']


def failure(logdir):
  return json.loads((logdir / 'failure.json').read_text())


@pytest.mark.fault(45)
@pytest.mark.parametrize('status, flags, message', [
    (2, ['--configs', 'higway'], "Unknown preset 'higway'. Did you mean"),
    (2, ['--rssm.dter', '3'], "Unknown key 'rssm.dter'. Did you mean 'rssm.d"),
    (2, ['--steps', '2.5'], "'steps' must be a whole number"),
    (2, ['--task', 'gym_CartPol-v1'], "'gym_CartPol-v1' is not a known task"),
    (2, ['--task', 'highway_highway-fst-v0'], 'is not a known task. Did you'),
    (2, ['--task', 'atari_pongg'],
     "'atari_pongg' is not a known task. Did you mean 'atari_pong'"),
    (2, ['--configs', 'highway', '--env.config.lane_count', '3'],
     "'env.config.lane_count' is not a key of this environment. Did you mean"),
    (2, ['--task', 'gym_toys:Counter-v0', '--env.config.lenth', '3'],
     "'env.config.lenth' is not an argument of environment"),
    (2, ['--task', 'gym_CartPole-v1', '--encoder.mlp_keys', 'nothing',
         '--precision', '32'], 'mlp_keys'),
    pytest.param(
        4, ['--task', 'gym_toys:Fault-v0', '--env.config.fault', 'constructor'],
        'can not be built: ValueError: no such map',
        marks=pytest.mark.fault(33)),
    pytest.param(
        4, ['--task', 'gym_toys:Sloppy-v0'], 'does not follow the Gymnasium AP',
        marks=pytest.mark.fault(39)),
])
def test_wrong_input_creates_nothing(
    status, flags, message, train, tmp_path):
  line = train(status, *flags, logdir=tmp_path / 'a' / 'b')
  assert line.startswith('error: ') and message in line
  assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(45)
@pytest.mark.parametrize('text, message', [
    ('', 'empty, or no mapping'),
    ('# Only a comment.', 'empty, or no mapping'),
    ('- 1', 'empty, or no mapping'),
    ('seed: 1\nseed: 2', 'line 2.*duplicate key "seed"'),
    ('seed: [1', 'Invalid YAML'),
    ('a: &a [1]\nb: *a', r'line 2: aliases \(\*name\) are not taken'),
    ('a: ' + 60 * '[', 'nested deeper than 50'),
    ('rssm: 1', "'rssm' is a group of keys"),
    ('rssm:', "'rssm' is a group of keys"),
    ('rssm: {deter: 2.5}', "'rssm.deter' must be a whole number"),
    ('seed: true', "'seed' must be a whole number of at least 0 such as 0 but"),
    ('1: 2', "'1': keys must be text"),
    ('env: {config: 3}', "'env.config' is a group"),
    ('task: 2020-01-01', "'task' must be text"),
    ('seed: \0', 'Invalid YAML'),
    ('jit: !!bool maybe', 'Invalid YAML'),
])
def test_damaged_files_are_refused_by_name(text, message, tmp_path):
  path = tmp_path / 'config.yaml'
  path.write_text(text)
  with pytest.raises(ConfigError, match=re.escape(str(path)) + '.*' + message):
    Config.load(path)
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('text, message', [
    pytest.param(text, message, marks=pytest.mark.fault(number))
    for number, text, message in [
        (45, '', 'empty, or no mapping'),
        (45, 'seed: 1.5\n', "'seed' must be a whole number of at least 0 such"),
        (45, 'seed: 1\nseed: 2\n', 'duplicate key "seed"'),
        (46, 'task: !!python/object/apply:os.system [touch owned]\n',
         'Invalid YAML in line 1: could not determine a constructor'),
        (46, 'seed: !!python/name:os.system\n', 'Invalid YAML in line 1'),
        (47, 'a: &a [1]\nb: [*a, *a]\n', 'aliases (*name) are not taken'),
        (47, 'seed: 1\n#' + 'x' * 1_000_000, 'larger than 1000000 bytes')]])
def test_a_damaged_configuration_ends_the_command_and_changes_nothing(
    text, message, collected, train, collect, finishes, monkeypatch):
  monkeypatch.chdir(collected)
  path = collected / 'config.yaml'
  good = path.read_text()
  path.write_text(text)
  before = runs.tree(collected)
  for flags in ['--steps', 80], [*collect, '--steps', 80]:
    line = train(2, *flags, logdir=collected)
    assert line.startswith(f'error: {path}: ') and message in line
  assert runs.tree(collected) == before
  if not text:
    path.write_text(good)
    finishes('--configs', *collect[1:], '--steps', 80)


@pytest.mark.fault(46)
@pytest.mark.parametrize('text', [
    'task: !!python/object/apply:os.system [touch {}]',
    'task: !!python/object/new:os.system [touch {}]',
    'env: {{config: {{a: !!python/object/apply:os.system [touch {}]}}}}',
    'a: !!python/name:os.system', 'a: !<tag:yaml.org,2002:python/none> x'])
def test_tags_of_python_are_refused_and_nothing_is_run(text, tmp_path):
  path = tmp_path / 'config.yaml'
  path.write_text(text.format(tmp_path / 'owned'))
  with pytest.raises(ConfigError, match=re.escape(str(path)) + '.*Invalid YA'):
    Config.load(path)
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.fault(47)
def test_hostile_files_are_refused(tmp_path):
  path = tmp_path / 'config.yaml'
  bomb = 'a: &a [x]\n' + ''.join(
      f'{y}: &{y} [{", ".join([f"*{x}"] * 9)}]\n'
      for x, y in zip('abcdefghi', 'bcdefghij'))
  merge = 'a: &a {x: 1}\n' + ''.join(
      f'{y}: &{y} {{<<: [{", ".join([f"*{x}"] * 9)}]}}\n'
      for x, y in zip('abcdefghi', 'bcdefghij'))
  for text, message in [
      (bomb, 'aliases'), (merge, 'aliases'),
      ('a: ' + 300_000 * '[', 'nested deeper'),
      (f'a: [{"1," * 400_000}]', 'more than 10000 keys and values'),
      ('seed: 1\n' + 'x' * 20_000_000, 'larger than 1000000 bytes')]:
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
      Config.load(path)
  path.write_bytes(b'seed: \xff\xfe')
  with pytest.raises(ConfigError, match='not UTF-8'):
    Config.load(path)
  with pytest.raises(ConfigError, match='No such file'):
    Config.load(tmp_path / 'missing.yaml')


@pytest.mark.fault(47)
def test_no_more_of_a_file_is_read_than_a_configuration_may_have(tmp_path):
  path = tmp_path / 'config.yaml'
  path.touch()
  os.truncate(path, 2 ** 40)  # A hole: no memory would hold it.
  with pytest.raises(ConfigError, match='larger than 1000000 bytes'):
    Config.load(path)


@pytest.mark.fault(48)
def test_a_changed_setting_that_is_safe_is_recorded(
    collected, finishes, collect):
  finishes(*collect, '--steps', 80, '--model_opt.lr', 1e-3)
  first, last = history(collected)
  assert first['changed'] == {} and last['step'] == 60
  assert last['changed'] == {
      'model_opt.lr': [1e-4, 1e-3], 'steps': [60, 80]}


@pytest.mark.fault(48)
@pytest.mark.parametrize('flags, message', [
    (['--fresh'], 'holds a run and --fresh was given'),
    (['--rssm.deter', '48'], 'rssm.deter was 32, is now 48'),
    (['--task', 'gym_CartPole-v1'],
     "task was 'gym_toys:Plan-v0', is now 'gym_CartPole-v1'"),
    (['--env.config.length', '9'], 'env.config.length was 7, is now 9')])
def test_other_runs_are_refused(original, train, collect, flags, message):
  before = runs.tree(original)
  line = train(3, *collect, '--model_opt.lr', 1e-3, *flags, logdir=original)
  assert line.startswith('error: ') and message in line
  assert runs.tree(original) == before


def edit(path, old, new):
  text = path.read_text()
  assert text.count(old) == 1
  path.write_text(text.replace(old, new))


@pytest.mark.fault(48)
def test_what_is_edited_in_the_folder_is_compared_with_the_checkpoint(
    collected, train, finishes, collect, capsys):
  stored = collected / 'config.yaml'
  edit(stored, 'action_repeat: 1', 'action_repeat: 2')
  before = runs.tree(collected)
  for call in (
      lambda: train(3, '--steps', 80),
      lambda: cli.main(['eval', '--logdir', str(collected)]) == 3 and (
          capsys.readouterr().err)):
    assert 'action_repeat was 1, is now 2. Give a new --logdir' in call()
    assert runs.tree(collected, 'failure.json') == before
  edit(stored, 'action_repeat: 2', 'action_repeat: 1')
  edit(stored, 'seed: 0', 'seed: 5')
  finishes('--steps', 80)
  assert history(collected)[-1]['changed'] == {
      'seed': [0, 5], 'steps': [60, 80]}


@pytest.mark.fault(48)
def test_a_lost_configuration_does_not_let_others_in(
    collected, train, finishes, collect):
  (collected / 'config.yaml').unlink()
  before = runs.tree(collected)
  line = train(3, *collect, '--env.config.length', 9)
  assert 'env.config.length was 7, is now 9' in line
  assert runs.tree(collected) == before
  finishes(*collect, '--steps', 80)


@pytest.mark.fault(48)
def test_checkpoints_of_a_run_with_other_settings_are_refused(
    collected, train, collect, tmp_path):
  train(
      0, *collect, '--env.obs_scale', 0.5, '--steps', 20,
      logdir=tmp_path / 'other')
  shutil.rmtree(collected / 'checkpoints')
  shutil.copytree(tmp_path / 'other' / 'checkpoints', collected / 'checkpoints')
  before = runs.tree(collected)
  assert 'env.obs_scale was 0.5, is now 1e-09' in train(3, *collect)
  assert runs.tree(collected, 'failure.json') == before


def test_settings_may_hold_mappings_in_lists():
  config = resolve(['debug'], ['--env.config.cars', '[{lane: 1}, 2]'])
  assert rundir.comparable(config)['env.config.cars'] == [{'lane': 1}, 2]
  assert len(parts.digest(config)) == 64
  assert not rundir.changed(
      rundir.comparable(config), rundir.comparable(Config(config.to_dict())))


@pytest.mark.fault(48)
def test_another_size_in_a_new_folder_is_another_run(train, collect, tmp_path):
  train(0, *collect, '--steps', 20, '--rssm.deter', 48, '--fresh')
  assert Config.load(tmp_path / 'run' / 'config.yaml').rssm.deter == 48
  assert runs.newest(tmp_path / 'run').step == 20


@pytest.mark.fault(49)
@pytest.mark.parametrize('name, why', [
    ('file', 'it is a file'), ('file/run', 'Not a directory')])
def test_no_environment_is_built_without_a_run_folder(
    name, why, train, collect, tmp_path):
  (tmp_path / 'file').write_text('mine')
  flags = [  # This environment can not be built: it would be exit status 4.
      '--task', 'gym_toys:Fault-v0', '--env.config.fault', 'constructor']
  line = train(2, *collect, *flags, logdir=tmp_path / name)
  assert line.startswith(
      f"error: Can not write to the run folder '{tmp_path / name}': {why}.")
  assert (tmp_path / 'file').read_text() == 'mine'
  assert [path.name for path in tmp_path.iterdir()] == ['file']


@pytest.mark.fault(49)
def test_file_in_the_way(tmp_path):
  (tmp_path / 'file').write_text('mine')
  for path in (tmp_path / 'file', tmp_path / 'file' / 'run'):
    with pytest.raises(errors.ConfigError, match='Can not write to the run'):
      rundir.RunDir(path)
  assert (tmp_path / 'file').read_text() == 'mine'


@pytest.mark.fault(49)
def test_no_permission(tmp_path):
  # Root may write anywhere, so root's attempt is made as nobody, from within
  # the folder, as those above it may be closed to nobody.
  tmp_path.chmod(0o755)
  for name in ('readonly', 'parent'):
    (tmp_path / name).mkdir(0o555)
  code = (
      'import os, sys\n'
      'from dreamerv2_tf import errors\n'
      'from dreamerv2_tf.run import rundir\n'
      'os.chdir(sys.argv[1])\n'
      'os.getuid() or os.setuid(65534)\n'
      'for path in ("readonly", "parent/run"):\n'
      '  try:\n'
      '    rundir.RunDir(path)\n'
      '  except errors.StorageError as error:\n'
      '    print(error)\n')
  result = subprocess.run(
      [sys.executable, '-c', code, str(tmp_path)], capture_output=True,
      text=True, check=True)
  lines = result.stdout.splitlines()
  assert len(lines) == 2
  assert all('Permission denied. Give a folder' in line for line in lines)


@pytest.mark.fault(49)
def test_unused_new_folder_disappears(tmp_path):
  rundir.RunDir(tmp_path / 'run').close()
  assert not (tmp_path / 'run').exists()
  (tmp_path / 'mine').mkdir()
  rundir.RunDir(tmp_path / 'mine').close()
  assert (tmp_path / 'mine').exists()


@pytest.fixture
def full_disk():
  """Limits files as a full disk does, to less than a checkpoint needs."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  def fill():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
  def free():
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  yield fill, free
  free()


@pytest.mark.fault(50)
def test_full_disk_keeps_the_old_checkpoint(
    collected, train, collect, finishes, full_disk, caplog):
  old = runs.tree(collected / 'checkpoints')
  fill, free = full_disk
  fill()
  message = train(6, *collect, '--steps', 160, logdir=collected)
  free()
  assert 'Checkpoint 80 was not saved' in caplog.text
  assert 'Checkpoint 100 was not saved' in caplog.text
  assert message.startswith('error: Can not save checkpoint 120 in ')
  assert runs.tree(collected / 'checkpoints') == old
  assert not list(collected.rglob('.tmp-*'))
  assert failure(collected)['exit_code'] == 6
  assert failure(collected)['message'] == message.removeprefix('error: ')
  finishes(*collect, '--steps', 160)


@pytest.mark.fault(50)
def test_episodes_that_can_not_be_written_end_the_run(
    collected, train, collect, finishes, monkeypatch, caplog):
  monkeypatch.setattr(storelib, 'WRITE_WAITS', (0, 0, 0))
  before = runs.tree(collected, 'metrics.jsonl')
  replace = os.replace
  def full(source, target):
    if str(target).endswith('.npz'):
      raise OSError(errno.ENOSPC, 'No space left on device')
    replace(source, target)
  monkeypatch.setattr(os, 'replace', full)
  line = train(6, *collect, '--steps', 100, logdir=collected)
  assert 'can not write an episode: ' in line and 'No space left' in line
  assert caplog.text.count('can not write an episode, trying again') == 3
  after = runs.tree(collected, 'metrics.jsonl')
  for name, digest in before.items():
    if name not in ('lock', 'run.json', 'config.yaml'):
      assert after[name] == digest  # Nor was anything saved after that.
  assert failure(collected)['exit_code'] == 6
  assert not list(collected.rglob('.tmp-*'))
  monkeypatch.undo()
  finishes(*collect, '--steps', 100)


@pytest.mark.fault(50)
def test_full_disk_keeps_rows_and_whole_lines(tmp_path, caplog):
  output = JSONLOutput(tmp_path)
  logger = Logger(lambda: 1, [output])
  output._file = Full(output._file, space=10)
  for value in (1, 2):
    logger.scalar('x', value)
    logger.write()
    assert rows(tmp_path) == []
  assert 'No space left on device; the rows are kept' in caplog.text
  output._file.space = 1000
  logger.scalar('x', 3)
  logger.write()
  assert [row['x'] for row in rows(tmp_path)] == [1, 2, 3]


@pytest.mark.fault(50)
def test_third_failure_in_a_row_ends_the_run(tmp_path):
  output = JSONLOutput(tmp_path)
  output._file = Full(output._file, space=0)
  logger = Logger(lambda: 1, [output])
  for _ in range(2):
    logger.scalar('x', 1)
    logger.write()
  logger.scalar('x', 1)
  with pytest.raises(errors.StorageError, match='3 times in a row'):
    logger.write()


@pytest.mark.fault(50)
def test_full_disk_warns_once_and_tears_nothing(tmp_path, caplog):
  output = TensorBoardOutput(tmp_path)
  output([(1, 'x', np.array(1.0))])
  output._file = Full(output._file, space=10)
  for step in (2, 3):
    output([(step, 'x', np.array(1.0))])
  assert caplog.text.count('No space left on device') == 1
  output._file.space = 10000
  output([(4, 'x', np.array(1.0))])
  assert points(events(tmp_path), '9 own/x') == [(1, 1), (4, 1)]


@pytest.mark.fault(51)
class TestLock:
  """One writer for each run folder."""

  def test_second_process_is_refused_and_writes_nothing(
      self, tmp_path, holder):
    before = snapshot(tmp_path / 'run')
    with pytest.raises(
        errors.LockedError,
        match=rf'is locked by pid {holder.pid} on host .+ since 2\d\d\d-'):
      rundir.RunDir(tmp_path / 'run')
    with pytest.raises(errors.LockedError, match='give another --logdir'):
      rundir.RunDir(tmp_path / 'run', break_lock=True)
    assert snapshot(tmp_path / 'run') == before

  def test_released_on_close(self, tmp_path, holder):
    (tmp_path / 'run' / 'used').touch()
    holder.communicate('', timeout=60)
    with rundir.RunDir(tmp_path / 'run') as folder:
      assert json.loads(
          (folder.path / 'lock').read_text())['pid'] == os.getpid()
    assert (tmp_path / 'run' / 'lock').read_text() == ''

  def test_released_by_kill(self, tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait(60)
    assert (tmp_path / 'run' / 'lock').read_text()
    rundir.RunDir(tmp_path / 'run').close()

  def test_children_do_not_keep_it(self, tmp_path):
    folder = rundir.RunDir(tmp_path / 'run')
    (folder.path / 'used').touch()  # Else the folder would go, lock and all.
    child = subprocess.Popen(
        [sys.executable, '-c', 'input()'], stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL, close_fds=False)
    folder.close()
    try:
      rundir.RunDir(tmp_path / 'run').close()
    finally:
      child.communicate(b'\n', timeout=60)

  @pytest.mark.parametrize('text', ODD)
  def test_odd_content_is_nobody(self, tmp_path, text):
    (tmp_path / 'lock').write_bytes(text.encode('latin-1'))
    with rundir.RunDir(tmp_path):
      assert json.loads((tmp_path / 'lock').read_text())['pid'] == os.getpid()

  def test_no_lock_stays_where_no_run_came_of_it(self, tmp_path):
    (tmp_path / 'notes').touch()
    rundir.RunDir(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ['notes']
    with rundir.RunDir(tmp_path) as folder:
      folder.config_path.touch()
    assert (tmp_path / 'lock').read_text() == ''

  def test_twice_in_one_process(self, tmp_path):
    with rundir.RunDir(tmp_path / 'run'):
      with pytest.raises(errors.LockedError, match=f'pid {os.getpid()} '):
        rundir.RunDir(tmp_path / 'run')

  def test_deleted_lock_file_is_not_a_second_lock(self, tmp_path, monkeypatch):
    # The file is replaced between the opening and the flock.
    flock = locklib._flock
    def late(handle):
      (tmp_path / 'run' / 'lock').unlink(missing_ok=True)
      return flock(handle)
    monkeypatch.setattr(locklib, '_flock', late)
    with pytest.raises(errors.LockedError):
      rundir.RunDir(tmp_path / 'run')


  def test_without_its_file_the_folder_stays_locked(self, tmp_path, holder):
    (tmp_path / 'run' / 'lock').unlink()
    with pytest.raises(errors.LockedError, match='locked by pid unknown'):
      rundir.RunDir(tmp_path / 'run')
    holder.kill()
    holder.wait()
    rundir.RunDir(tmp_path / 'run').close()

  def test_disks_that_lock_files_alone_will_do(self, tmp_path, monkeypatch):
    flock = locklib._flock
    def files_alone(handle):
      if os.path.isdir(f'/proc/self/fd/{handle}'):
        raise errors.StorageError('The disk has no locks of folders.')
      return flock(handle)
    monkeypatch.setattr(locklib, '_flock', files_alone)
    with rundir.RunDir(tmp_path / 'run'):
      with pytest.raises(errors.LockedError):
        rundir.RunDir(tmp_path / 'run')


@pytest.mark.fault(51)
def test_workers_hold_no_file_of_the_trainer(tmp_path):
  with open(tmp_path / 'lock', 'w') as file:
    os.set_inheritable(file.fileno(), True)
    with envs.Pool(factory(), 1):
      child, = children(os.getpid())
      links = [os.readlink(path) for path in
               pathlib.Path(f'/proc/{child}/fd').iterdir()]
      assert not [link for link in links if 'lock' in link]


@pytest.mark.fault(51)
def test_a_second_trainer_changes_nothing(
    collected, train, collect, finishes):
  with rundir.RunDir(collected):
    before = snapshot(collected)
    line = train(7, *collect, '--steps', 80, '--break-lock', logdir=collected)
    assert line.startswith(f'error: {collected} is locked by pid {os.getpid()}')
    assert snapshot(collected) == before
  finishes(*collect, '--steps', 80)


@pytest.mark.fault(52)
class TestOtherHost:
  """Locks of hosts whose processes can not be seen from here."""

  def test_other_host_is_respected(self, tmp_path):
    foreign_lock(tmp_path / 'run', silent=100)
    before = snapshot(tmp_path / 'run')
    for break_lock in (False, True):
      with pytest.raises(
          errors.LockedError,
          match=r'pid 5 on host elsewhere since 2024.*of life 1\d\d s ago'):
        rundir.RunDir(tmp_path / 'run', break_lock)
    assert snapshot(tmp_path / 'run') == before

  def test_silent_other_host_needs_break_lock(self, tmp_path, caplog):
    foreign_lock(tmp_path / 'run', silent=1200)
    with pytest.raises(
        errors.LockedError, match='no sign of life for 20 min.*--break-lock'):
      rundir.RunDir(tmp_path / 'run')
    with rundir.RunDir(tmp_path / 'run', break_lock=True) as folder:
      holder = json.loads((folder.path / 'lock').read_text())
      assert holder['pid'] == os.getpid()
      with pytest.raises(errors.LockedError):
        rundir.RunDir(tmp_path / 'run')
    assert 'Took over the lock of host elsewhere' in caplog.text

  def test_break_lock_replaces_the_flock_of_a_silent_host(self, tmp_path):
    # As on a network disk whose server still keeps a dead client's flock.
    lock = tmp_path / 'run' / 'lock'
    lock.parent.mkdir()
    lock.write_text('{"pid": 5, "host": "elsewhere", "boot_id": "other"}')
    os.utime(lock, (0, 0))
    with lock.open() as file:
      fcntl.flock(file, fcntl.LOCK_EX)
      with pytest.raises(errors.LockedError, match='--break-lock'):
        rundir.RunDir(tmp_path / 'run')
      with rundir.RunDir(tmp_path / 'run', break_lock=True):
        with pytest.raises(errors.LockedError, match=f'pid {os.getpid()}'):
          rundir.RunDir(tmp_path / 'run')

  def test_break_lock_does_not_break_that_of_a_living_process(
      self, tmp_path, holder):
    lock = tmp_path / 'run' / 'lock'
    lock.write_text('{"pid": 5, "host": "elsewhere", "boot_id": "other"}')
    os.utime(lock, (0, 0))
    with pytest.raises(errors.LockedError, match='locked by pid 5 on host els'):
      rundir.RunDir(tmp_path / 'run', break_lock=True)

  @pytest.mark.parametrize('here', [
      {'host': 'me'},  # An earlier boot of this host.
      {'boot_id': 'same'},  # Another container on the same kernel.
  ])
  def test_no_waiting_where_the_kernel_knows(
      self, tmp_path, monkeypatch, here):
    monkeypatch.setattr(locklib.socket, 'gethostname', lambda: 'me')
    monkeypatch.setattr(locklib, '_boot_id', lambda: 'same')
    foreign_lock(tmp_path / 'run', silent=1, **here)
    rundir.RunDir(tmp_path / 'run').close()

  def test_heartbeat_touches_the_file(self, tmp_path, monkeypatch):
    monkeypatch.setattr(locklib, 'HEARTBEAT', 0.01)
    with rundir.RunDir(tmp_path / 'run') as folder:
      os.utime(folder.path / 'lock', (0, 0))
      deadline = time.time() + 60
      while not (folder.path / 'lock').stat().st_mtime:
        assert time.time() < deadline
        time.sleep(0.01)


@pytest.mark.fault(52)
def test_the_lock_of_a_silent_host_is_taken_over_on_demand(
    train, collect, tmp_path):
  foreign_lock(tmp_path / 'run', silent=1200)
  before = snapshot(tmp_path / 'run')
  line = train(7, *collect)
  assert 'on host elsewhere' in line and line.endswith('add --break-lock.')
  assert snapshot(tmp_path / 'run') == before
  train(0, *collect, '--break-lock')
  assert runs.newest(tmp_path / 'run').step == 60


@pytest.mark.fault(53)
@pytest.mark.fault(54)
def test_metrics_go_on_where_the_run_goes_on(
    collected, finishes, collect, caplog):
  folders = sorted((collected / 'checkpoints').glob('0*'))
  assert [int(path.name) for path in folders] == [20, 40, 60]
  next_seq = json.loads((folders[1] / 'state.json').read_text())['replay'][
      'next_seq']
  shutil.rmtree(folders[2])
  for path in (collected / 'train_episodes').iterdir():
    if parse(path.name)[0] >= next_seq:
      path.unlink()
  metrics = collected / 'metrics.jsonl'
  lost = [row for row in rows(collected) if row['step'] > 40]
  with metrics.open('a') as file:
    file.write('{"step": 61, "train_ret')
  [board] = collected.glob('events.out.tfevents.*')
  os.truncate(board, board.stat().st_size - 5)
  episodes = len(runs.episodes(collected))
  finishes(*collect, '--steps', 80)
  assert len(runs.episodes(collected)) > episodes
  assert 'Dropped 1 unreadable line(s) of ' in caplog.text
  side = collected / 'metrics.1.cut.jsonl'
  assert list(map(json.loads, side.read_text().splitlines())) == lost != []
  want = [(row['step'], row['train_return']) for row in rows(collected)
          if 'train_return' in row]
  assert points(events(collected), '3 training/train_return') == want
  assert want[0][0] < 40 < want[-1][0]


@pytest.mark.fault(53)
def test_cut_moves_rows_beyond_the_step(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  lines = [json.dumps({'step': step, 'x': step / 3}) for step in range(9)]
  path.write_text('\n'.join(lines) + '\n')
  assert JSONLOutput.take_back(tmp_path, 5) == 3
  assert path.read_text().splitlines() == lines[:6]
  side = tmp_path / 'metrics.1.cut.jsonl'
  assert side.read_text().splitlines() == lines[6:]
  before = path.stat().st_mtime_ns
  assert JSONLOutput.take_back(tmp_path, 5) == 0
  assert path.stat().st_mtime_ns == before
  assert JSONLOutput.take_back(tmp_path, 2) == 3
  assert len((tmp_path / 'metrics.2.cut.jsonl').read_text().split()) == 12


@pytest.mark.fault(53)
def test_cut_leaves_steps_that_increase(tmp_path, caplog):
  good = ['{"step": 1}', '{"step": 2}', '{"step": 4}']
  odd = ['{"step": NaN}', '{"step": Infinity}', '{"step": null}', '[1]',
         '[' * 100_000, '{"step": "3"}', '{"step": ' + '9' * 400 + '}']
  again = ['{"step": 2}', '{"step": 1, "x": 3}', '{"step": 4, "x": 3}']
  (tmp_path / 'metrics.jsonl').write_text('\n'.join([
      good[0], odd[0], good[1], *again[:2], *odd[1:], good[2], again[2], '']))
  assert JSONLOutput.take_back(tmp_path, 5) == 3
  assert (tmp_path / 'metrics.jsonl').read_text().splitlines() == good
  assert (
      tmp_path / 'metrics.1.cut.jsonl').read_text().splitlines() == again
  assert 'Dropped 7 unreadable line(s)' in caplog.text


@pytest.mark.fault(53)
def test_restart_purges_only_later_steps(tmp_path):
  def write(output, steps, value):
    for step in steps:
      output([(step, 'x', np.array(value))])
  write(TensorBoardOutput(tmp_path), (10, 50, 90), 1.0)
  write(TensorBoardOutput(tmp_path, resume=50), (70, 90), 2.0)
  assert points(events(tmp_path), '9 own/x') == [
      (10, 1), (50, 1), (70, 2), (90, 2)]


@pytest.mark.fault(54)
def test_cut_drops_a_torn_line(tmp_path, caplog):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1}\n{"step": 2, "lo')
  assert JSONLOutput.take_back(tmp_path, 5) == 0
  assert path.read_text() == '{"step": 1}\n'
  assert 'Dropped 1 unreadable line' in caplog.text
  output = JSONLOutput(tmp_path)
  output([(3, 'x', np.array(1.0))])
  assert rows(tmp_path) == [{'step': 1}, {'step': 3, 'x': 1}]


@pytest.mark.fault(54)
def test_torn_file_is_still_read(tmp_path):
  output = TensorBoardOutput(tmp_path)
  for step in (1, 2):
    output([(step, 'x', np.array(1.0))])
  path, = tmp_path.iterdir()
  path.write_bytes(path.read_bytes()[:-5])
  TensorBoardOutput(tmp_path, resume=1)([(3, 'x', np.array(1.0))])
  assert points(events(tmp_path), '9 own/x') == [(1, 1), (3, 1)]


@pytest.mark.fault(54)
@pytest.mark.parametrize('text', [
    *ODD, '{"return_mean": 1}',
    '{"return_mean": "a", "return_std": 0, "episodes": 1}',
    '{"return_mean": null, "return_std": 0, "episodes": 1}'])
def test_a_damaged_evaluation_is_made_again(text, tmp_path):
  path = tmp_path / 'eval-7-20000-1.json'
  path.write_bytes(text.encode('latin-1'))
  episode = {'reward': np.float32([0, 2, 3])}
  parts = types.SimpleNamespace(
      config=types.SimpleNamespace(
          task='gym_a', env={'simulator': 'highway-env'}), folder=tmp_path,
      schedule=types.SimpleNamespace(eval_every=1, eval_eps=1),
      progress=types.SimpleNamespace(step=7),
      agent=types.SimpleNamespace(train_calls=tf.constant(1)))
  for last in (7, [episode]), None:  # The second time from the file.
    record = measure.final_evaluation(parts, last)
    assert (record['return_mean'], record['episodes']) == (5, 1)
  assert json.loads(path.read_text())['return_mean'] == 5


@pytest.mark.fault(55)
def test_a_run_in_a_folder_of_any_name(
    train, finishes, collect, tmp_path, capsys):
  logdir = tmp_path / 'x [a]=1' / 'a*b?\\c' / '..Größe'
  train(0, *collect, '--steps', 40, logdir=logdir)
  finishes(*collect, logdir=logdir)
  assert runs.newest(logdir).step == 60
  assert cli.main(['eval', '--logdir', str(logdir), '--episodes', '2']) == 0
  assert 'Return        7.00' in capsys.readouterr().out
  assert list(logdir.glob('eval-60-*.json'))


@pytest.mark.minutes
@pytest.mark.fault(55)
def test_keys_of_observations_may_be_odd_names(
    train, finishes, tmp_path, caplog):
  flags = [
      '--configs', 'debug', '--task', 'gym_toys:Names-v0', '--prefill', 40,
      '--train_every', 2, '--log_every', 4, '--eval_every', 0,
      '--env.obs_scale', 1e-9, '--envs_parallel', 'none']
  train(0, *flags, '--steps', 50)
  finishes(*flags, '--steps', 60)
  for key in toys.Names.KEYS:
    assert len(runs.column(tmp_path / 'run', f'{key}_loss')) > 1
    assert all(key in episode for episode in runs.episodes(tmp_path / 'run'))
    assert points(events(tmp_path / 'run'), f'4 world model/{key}_loss')
  assert not (tmp_path / 'run' / 'quarantine').exists()


@pytest.mark.fault(55)
@pytest.mark.parametrize('task', [
    '..', '../..', '/', '.', 'gym_a/../../b', 'gym_\n\0', 'gym_Größe'])
def test_no_task_leads_out_of_the_default_folder(
    task, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  seen = []
  monkeypatch.setattr(
      rundir, 'RunDir', lambda logdir, *_: seen.append(logdir) or 1 / 0)
  assert cli.main(['--task', task]) == 1
  path = pathlib.Path(seen[0])
  assert path.parent.parent == tmp_path / 'logdir' and '..' not in path.parts
  assert re.fullmatch(r'[A-Za-z0-9_.-]+', path.parent.name)


@pytest.mark.fault(55)
def test_parents_and_odd_names(tmp_path):
  with rundir.RunDir(tmp_path / 'a' / 'Größe und mehr' / '..b') as folder:
    (folder.path / 'file').touch()
  assert (tmp_path / 'a' / 'Größe und mehr' / '..b' / 'file').exists()


@pytest.mark.fault(55)
def test_home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  with rundir.RunDir('~/run') as folder:
    assert folder.path == tmp_path / 'run'


@pytest.mark.fault(55)
@pytest.mark.parametrize('name', [
    'x' * 300, 'null\0byte', '~nobody-such/x', 'not-utf-8-\udcff'])
def test_impossible_names(tmp_path, monkeypatch, name):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(errors.ConfigError, match='Can not write to the run'):
    rundir.RunDir(name)
  assert not list(tmp_path.iterdir())


@pytest.mark.fault(55)
@pytest.mark.parametrize('name', rundir.OWNED)
def test_links_in_the_folder_are_refused(tmp_path, name):
  target = tmp_path / 'precious'
  target.mkdir()
  (target / '.tmp-5-a').write_text('mine')
  (tmp_path / 'file').write_text('x' * 900)
  run = tmp_path / 'run'
  run.mkdir()
  file = name in ('lock', 'metrics.jsonl')
  (run / name).symlink_to(tmp_path / 'file' if file else target)
  with pytest.raises(
      errors.StateError, match=f'symbolic links stand for {name}. What'):
    rundir.RunDir(run)
  assert (tmp_path / 'file').read_text() == 'x' * 900
  assert (target / '.tmp-5-a').read_text() == 'mine'
  assert [path.name for path in run.iterdir()] == [name]


@pytest.mark.fault(55)
@pytest.mark.parametrize('name, kinds', [
    *[(name, ('folder', 'pipe')) for name in rundir.FILES],
    *[(name, ('file', 'pipe')) for name in rundir.FOLDERS]])
def test_other_things_in_the_folder_are_refused(tmp_path, name, kinds):
  what = 'file' if 'folder' in kinds else 'folder'
  for kind in kinds:
    path = tmp_path / kind / name
    path.parent.mkdir()
    {'folder': path.mkdir, 'file': path.touch,
     'pipe': lambda path=path: os.mkfifo(path)}[kind]()
    with pytest.raises(errors.StateError, match=(
        f'In the run folder {path.parent}, {name} is no {what}. Move that')):
      rundir.RunDir(path.parent)
    assert os.listdir(path.parent) == [name]


@pytest.mark.fault(55)
def test_an_environment_may_go_to_another_folder(
    train, collect, tmp_path, monkeypatch):
  for name in 'here', 'there':
    (tmp_path / name).mkdir()
  flags = [
      *collect[:2], '--task', 'gym_toys:Nomad-v0', '--env.config.folder',
      tmp_path / 'there', '--steps', 20, '--prefill', 100, '--envs_parallel',
      'none']
  monkeypatch.chdir(tmp_path / 'here')
  train(0, *flags, logdir='run')
  assert os.getcwd() == str(tmp_path / 'there')
  monkeypatch.chdir(tmp_path / 'here')
  assert cli.main([
      'eval', '--logdir', 'run', '--episodes', '1', '--video', 'a.gif']) == 0
  assert runs.newest(tmp_path / 'here' / 'run').step == 20
  assert (tmp_path / 'here' / 'a.gif').exists()
  assert not list((tmp_path / 'there').iterdir())


@pytest.mark.fault(55)
def test_the_folder_itself_may_be_a_link(tmp_path):
  (tmp_path / 'disk').mkdir()
  (tmp_path / 'run').symlink_to(tmp_path / 'disk')
  with rundir.RunDir(tmp_path / 'run') as folder:
    folder.start(0, [])
  assert (tmp_path / 'disk' / 'run.json').exists()


@pytest.mark.fault(55)
def test_a_file_that_is_linked_elsewhere_stays_as_it_is(tmp_path):
  (tmp_path / 'file').write_text('x' * 900)
  (tmp_path / 'run').mkdir()
  os.link(tmp_path / 'file', tmp_path / 'run' / 'lock')
  with rundir.RunDir(tmp_path / 'run'):
    with pytest.raises(errors.LockedError):
      rundir.RunDir(tmp_path / 'run')
    holder = json.loads((tmp_path / 'run' / 'lock').read_text())
    assert holder['pid'] == os.getpid()
  assert (tmp_path / 'file').read_text() == 'x' * 900
