"""One writer per run folder, whatever happened to the one before."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from dreamerv2_tf import errors
from dreamerv2_tf.run import rundir

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
      path.name: (path.stat().st_mtime_ns, path.read_bytes())
      for path in folder.iterdir()}


# What no program of ours writes into a JSON file.
ODD = [
    '', '\xff\xfe', '[' * 100_000, '[1]', '"x"', '3', 'null', '\0', '9' * 9999]


def foreign_lock(folder, silent, **more):
  """Writes the lock of another host that was last touched `silent` s ago."""
  folder.mkdir()
  holder = {
      'pid': 5, 'host': 'elsewhere', 'boot_id': 'other',
      'since': '2024-01-01T00:00:00+00:00', **more}
  (folder / 'lock').write_text(json.dumps(holder))
  stamp = time.time() - silent
  os.utime(folder / 'lock', (stamp, stamp))


class TestLock:

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

  @pytest.mark.parametrize('name', rundir.OWNED)
  def test_links_in_the_folder_are_refused(self, tmp_path, name):
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

  def test_a_file_that_is_linked_elsewhere_stays_as_it_is(self, tmp_path):
    (tmp_path / 'file').write_text('x' * 900)
    (tmp_path / 'run').mkdir()
    os.link(tmp_path / 'file', tmp_path / 'run' / 'lock')
    with rundir.RunDir(tmp_path / 'run'):
      with pytest.raises(errors.LockedError):
        rundir.RunDir(tmp_path / 'run')
      holder = json.loads((tmp_path / 'run' / 'lock').read_text())
      assert holder['pid'] == os.getpid()
    assert (tmp_path / 'file').read_text() == 'x' * 900

  def test_the_folder_itself_may_be_a_link(self, tmp_path):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'run').symlink_to(tmp_path / 'disk')
    with rundir.RunDir(tmp_path / 'run') as folder:
      folder.start(0, [])
    assert (tmp_path / 'disk' / 'run.json').exists()

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

  def test_break_lock_replaces_the_flock_of_a_silent_host(
      self, tmp_path, holder):
    # As on a network disk whose server still keeps a dead client's flock.
    lock = tmp_path / 'run' / 'lock'
    lock.write_text('{"pid": 5, "host": "elsewhere", "boot_id": "other"}')
    os.utime(lock, (0, 0))
    with pytest.raises(errors.LockedError, match='--break-lock'):
      rundir.RunDir(tmp_path / 'run')
    with rundir.RunDir(tmp_path / 'run', break_lock=True):
      with pytest.raises(errors.LockedError, match=f'pid {os.getpid()}'):
        rundir.RunDir(tmp_path / 'run')

  @pytest.mark.parametrize('here', [
      {'host': 'me'},  # An earlier boot of this host.
      {'boot_id': 'same'},  # Another container on the same kernel.
  ])
  def test_no_waiting_where_the_kernel_knows(
      self, tmp_path, monkeypatch, here):
    monkeypatch.setattr(rundir.socket, 'gethostname', lambda: 'me')
    monkeypatch.setattr(rundir, '_boot_id', lambda: 'same')
    foreign_lock(tmp_path / 'run', silent=1, **here)
    rundir.RunDir(tmp_path / 'run').close()

  def test_heartbeat_touches_the_file(self, tmp_path, monkeypatch):
    monkeypatch.setattr(rundir, 'HEARTBEAT', 0.01)
    with rundir.RunDir(tmp_path / 'run') as folder:
      os.utime(folder.path / 'lock', (0, 0))
      deadline = time.time() + 60
      while not (folder.path / 'lock').stat().st_mtime:
        assert time.time() < deadline
        time.sleep(0.01)

  def test_deleted_lock_file_is_not_a_second_lock(self, tmp_path, monkeypatch):
    # The file is replaced between the opening and the flock.
    flock = rundir._flock
    def late(handle):
      (tmp_path / 'run' / 'lock').unlink()
      return flock(handle)
    monkeypatch.setattr(rundir, '_flock', late)
    with pytest.raises(errors.LockedError):
      rundir.RunDir(tmp_path / 'run')


class TestFolder:

  def test_parents_and_odd_names(self, tmp_path):
    with rundir.RunDir(tmp_path / 'a' / 'Größe und mehr' / '..b') as folder:
      (folder.path / 'file').touch()
    assert (tmp_path / 'a' / 'Größe und mehr' / '..b' / 'file').exists()

  def test_unused_new_folder_disappears(self, tmp_path):
    rundir.RunDir(tmp_path / 'run').close()
    assert not (tmp_path / 'run').exists()
    (tmp_path / 'mine').mkdir()
    rundir.RunDir(tmp_path / 'mine').close()
    assert (tmp_path / 'mine').exists()

  def test_home(self, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    with rundir.RunDir('~/run') as folder:
      assert folder.path == tmp_path / 'run'

  def test_file_in_the_way(self, tmp_path):
    (tmp_path / 'file').write_text('mine')
    for path in (tmp_path / 'file', tmp_path / 'file' / 'run'):
      with pytest.raises(errors.StorageError, match='Can not write to the run'):
        rundir.RunDir(path)
    assert (tmp_path / 'file').read_text() == 'mine'

  def test_no_permission(self, tmp_path):
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

  @pytest.mark.parametrize('name', [
      'x' * 300, 'null\0byte', '~nobody-such/x', 'not-utf-8-\udcff'])
  def test_impossible_names(self, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ConfigError, match='Can not write to the run'):
      rundir.RunDir(name)
    assert not list(tmp_path.iterdir())


class TestRecords:

  def test_history(self, tmp_path):
    (tmp_path / '.tmp-1-debris').touch()
    with rundir.RunDir(tmp_path) as folder:
      folder.start(0, ['dreamerv2', '--seed', '1'])
      folder.start(
          500, ['dreamerv2'], {'model_opt.lr': (1e-4, 2e-4)}, 'envpool')
    record = json.loads((tmp_path / 'run.json').read_text())
    assert record['versions']['numpy'] and record['versions']['python']
    assert record['machine']['cores'] >= 1 and record['machine']['processor']
    one, two = record['history']
    assert one['argv'] == ['dreamerv2', '--seed', '1'] and one['changed'] == {}
    assert two['step'] == 500
    assert (one['simulator'], two['simulator']) == (None, 'envpool')
    assert two['changed'] == {'model_opt.lr': [1e-4, 2e-4]}
    assert not list(tmp_path.glob('.tmp-*'))

  @pytest.mark.parametrize('text', ODD + [
      '{"history": [', '{}', '{"history": "abc"}', '{"history": [1]}',
      '{"history": {"a": 1}}', '{"history": null}'])
  def test_unreadable_history_is_begun_anew(self, tmp_path, caplog, text):
    (tmp_path / 'run.json').write_bytes(text.encode('latin-1'))
    (tmp_path / 'failure.json').write_bytes(text.encode('latin-1'))
    with rundir.RunDir(tmp_path) as folder:
      folder.start(3, [])
    assert 'Began a new history' in caplog.text
    history = json.loads((tmp_path / 'run.json').read_text())['history']
    assert [start['step'] for start in history] == [3]

  def test_full_disk(self, tmp_path, monkeypatch):
    def full(*args):
      raise OSError(28, 'No space left on device')
    with rundir.RunDir(tmp_path) as folder:
      monkeypatch.setattr(rundir.files, 'write_text', full)
      with pytest.raises(errors.StorageError, match='run.json: No space left'):
        folder.start(0, [])
      folder.failure(ValueError('x'))  # Best effort: silent.

  def test_an_odd_failure_is_left_out(self, tmp_path):
    with rundir.RunDir(tmp_path) as folder:
      for text in ODD:
        folder.start(0, [])
        (tmp_path / 'failure.json').write_bytes(text.encode('latin-1'))
      folder.start(1, [])
    history = json.loads((tmp_path / 'run.json').read_text())['history']
    assert len(history) == 10 and not any('failure' in x for x in history)

  def test_failure_moves_into_the_history(self, tmp_path):
    with rundir.RunDir(tmp_path) as folder:
      folder.start(0, [])
      folder.failure(errors.EnvError('worker 1 died'), step=70)
      record = json.loads((tmp_path / 'failure.json').read_text())
      assert (record['error'], record['message']) == (
          'EnvError', 'worker 1 died')
      assert (record['exit_code'], record['step']) == (4, 70)
      assert 'traceback' not in record
      folder.start(60, [])
    assert not (tmp_path / 'failure.json').exists()
    history = json.loads((tmp_path / 'run.json').read_text())['history']
    assert history[0]['failure'] == record and 'failure' not in history[1]

  def test_internal_error_keeps_its_traceback(self, tmp_path):
    with rundir.RunDir(tmp_path) as folder:
      try:
        raise KeyError('inside')
      except KeyError as error:
        folder.failure(error)
    record = json.loads((tmp_path / 'failure.json').read_text())
    assert record['exit_code'] == 1
    assert 'test_internal_error_keeps' in record['traceback']


class TestChanged:

  OLD = {
      'logdir': '/a', 'task': 'gym_x', 'rssm.deter': 200, 'seed': 0,
      'model_opt.lr': 1e-4, 'encoder.mlp_layers': (200, 200)}

  def test_equal(self):
    new = {**self.OLD, 'logdir': '/b', 'encoder.mlp_layers': [200, 200]}
    assert rundir.changed(self.OLD, new) == {}

  def test_safe_keys_pass(self, tmp_path):
    diff = rundir.changed(
        self.OLD, {**self.OLD, 'seed': 1, 'model_opt.lr': 1e-3})
    assert diff == {'seed': (0, 1), 'model_opt.lr': (1e-4, 1e-3)}
    rundir.check_changed(tmp_path, diff)

  @pytest.mark.parametrize('key, old, new', [
      ('task', 'gym_x', 'gym_y'),
      ('rssm.deter', 200, 600),
      ('encoder.mlp_layers', (200, 200), (400,)),
      ('discount_head.units', 400, 200),
      ('env.obs_scale', 1.0, 10.0),
      ('env.config.observation.type', 'Kinematics', None),
  ])
  def test_structural_keys_are_refused(self, tmp_path, key, old, new):
    diff = rundir.changed({key: old, 'seed': 0}, {key: new, 'seed': 1})
    with pytest.raises(errors.StateError) as info:
      rundir.check_changed(tmp_path, diff)
    now = 'not set' if new is None else repr(new)
    assert f'{key} was {old!r}, is now {now}. Give a new' in str(info.value)
    assert 'seed' not in str(info.value)

  def test_keys_of_a_new_version_are_no_change(self, tmp_path):
    diff = rundir.changed(self.OLD, {**self.OLD, 'rssm.blocks': 8})
    assert diff == {'rssm.blocks': (None, 8)}
    rundir.check_changed(tmp_path, diff)


@pytest.mark.parametrize('files, want', [
    ({}, False), ({'run.json': '{"history": [{"step": 0}]}'}, False),
    ({'run.json': '{"history": [{"step": 0}, {"step": 90}]}'}, True),
    ({'run.json': '{"history": [{"step": "x"}]}'}, False),
    ({'run.json': '{"history": 7}'}, False), ({'run.json': '[' * 9}, False),
    ({'run.json': '{"history": [{"step": 1e999}]}'}, False),
    ({'eval-0-20000-3.json': ''}, False),
    ({'eval-200-20000-3.json': ''}, True),
    ({'run.json': 'x', 'eval-9-1-1-0a1b2c3d.json': ''}, True),
    ({'eval-x-1-1.json': '', 'eval-200.json': ''}, False)])
def test_traces_of_a_run_that_lost_its_checkpoints(files, want, tmp_path):
  for name, text in files.items():
    (tmp_path / name).write_text(text)
  assert rundir.went_on(tmp_path) == want
