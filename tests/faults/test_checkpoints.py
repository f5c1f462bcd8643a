"""Faults 18 to 24: a checkpoint is whole and fits, or it is not used."""

import errno
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import time

import numpy as np
import pytest
import runs
from saved import Net, fill, flip, folder
import tensorflow as tf

from dreamerv2_tf import cli, errors, files
from dreamerv2_tf.run import agents, checkpoint, session, variables
from dreamerv2_tf.run import manifest as manifests

GOLDEN = pathlib.Path(__file__).with_name('golden')

# Collects without learning: what is stored is the same, in less time.
COLLECT = (
    *runs.TOY, '--prefill', 1000, '--eval_every', 0, '--envs_parallel', 'none')

# Checkpoints of steps within these bounds are not written.
FULL = """
import errno
from dreamerv2_tf.run.checkpoint import Checkpoints
place = Checkpoints._place
def full(self, temp, path):
  if {} <= int(path.name) <= {}:
    raise OSError(errno.ENOSPC, 'No space left on device')
  place(self, temp, path)
Checkpoints._place = full
"""

# A kill when the episodes of step 84 are stored and its checkpoint is not.
KILLED_BETWEEN = """
import os, signal
from dreamerv2_tf.run.checkpoint import Checkpoints
save = Checkpoints.save
def killed(self, step, *args, **kwargs):
  if step == 84:
    os.kill(os.getpid(), signal.SIGKILL)
  return save(self, step, *args, **kwargs)
Checkpoints.save = killed
"""


# A kill when the first checkpoint is in its place.
PLACED = """
import os, signal
from dreamerv2_tf.run.checkpoint import Checkpoints
place = Checkpoints._place
def killed(self, temp, path):
  place(self, temp, path)
  os.kill(os.getpid(), signal.SIGKILL)
Checkpoints._place = killed
"""

# Somebody deletes all checkpoints after that of step 20.
DELETED = """
import shutil
from dreamerv2_tf.run.checkpoint import Checkpoints
save = Checkpoints.save
def delete(self, step, *args, **kwargs):
  saved = save(self, step, *args, **kwargs)
  if step == 20:
    shutil.rmtree(self._dir)
  return saved
Checkpoints.save = delete
"""


@pytest.fixture
def store(tmp_path):
  return checkpoint.Checkpoints(tmp_path / 'checkpoints')


def _full(*args, **kwargs):
  raise OSError(errno.ENOSPC, 'No space left on device')


class Touch:
  """Unpickling it would make a file."""

  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return pathlib.Path.touch, (self._path,)


def late(*values):
  """Parameters that few ever meet; they run with --all."""
  return pytest.param(*values, marks=pytest.mark.minutes)


def failure(logdir):
  return json.loads((logdir / 'failure.json').read_text())


class TestDebris:

  @pytest.mark.fault(18)
  def test_debris_is_removed_and_a_cut_replacement_undone(self, store):
    fill(store, 1, 2)
    (store._dir / '.tmp-1-a').mkdir()
    (store._dir / '.tmp-1-a' / 'x').touch()
    (store._dir / '.tmp-1-b').touch()
    # Killed after the old folder was set aside, and after the new one came.
    folder(store, 2).rename(store._dir / '000000000002.replaced')
    shutil.copytree(folder(store, 1), store._dir / '000000000001.replaced')
    again = checkpoint.Checkpoints(store._dir)
    assert sorted(os.listdir(store._dir)) == ['000000000001', '000000000002']
    assert again.newest().step == 2


class TestPointer:

  @pytest.mark.fault(20)
  def test_other_names_are_ignored(self, store):
    fill(store, 1)
    (store._dir / '000000000009').write_text('a file')
    (store._dir / 'notes').mkdir()
    assert store.newest().step == 1

  @pytest.mark.fault(20)
  @pytest.mark.parametrize('text', [
      '', 'model_check', 'model_checkpoint_path: "gone"', '\0'])
  def test_the_pointer_of_tensorflow_counts_for_nothing(self, store, text):
    fill(store, 1, 2)
    (store._dir / 'checkpoint').write_text(text)
    (folder(store, 2) / 'checkpoint').write_text(text)
    assert store.newest().step == 2
    net = Net()
    store.restore(store.newest(), net)
    assert net.heads['reward'].numpy() == 2


class TestDamage:

  @pytest.mark.fault(19)
  @pytest.mark.parametrize(
      'harm', ['flip', 'truncate', 'empty', 'remove', 'pipe'])
  @pytest.mark.parametrize('name', [
      'variables.index', 'variables.data-00000-of-00001', 'state.json',
      'arrays.npz', 'MANIFEST.json'])
  def test_goes_back_to_an_intact_one(self, tmp_path, caplog, name, harm):
    store = checkpoint.Checkpoints(tmp_path / 'checkpoints')
    _damaged(store, name, harm)
    record = store.newest()
    assert record.step == 1
    net = Net()
    store.restore(record, net)
    assert net.heads['reward'].numpy() == 1
    assert 'Went back to checkpoint 1' in caplog.text and name in caplog.text
    assert 'Errno' not in caplog.text
    assert store.steps() == [1]
    assert os.listdir(tmp_path / 'quarantine') == ['checkpoint-000000000002']

  @pytest.mark.fault(19)
  @pytest.mark.parametrize('text', [
      '', '\xff\xfe', '[' * 100_000, '[1]', '"x"', '3', 'null', '{}',
      '{"format": 1}', '{"format": "1.0", "files": []}',
      '{"step": 1e999}', '{"step": "x"}', '{"step": null}', '{"step": [2]}'])
  def test_odd_manifests_and_marks(self, tmp_path, store, text, caplog):
    fill(store, 1, 2)
    for path in folder(store, 2) / 'MANIFEST.json', store._dir / 'best.json':
      path.write_bytes(text.encode('latin-1'))
    assert store.best_step() is None and 'best.json' in caplog.text
    assert store.newest().step == 1
    assert os.listdir(tmp_path / 'quarantine') == ['checkpoint-000000000002']

  @pytest.mark.fault(19)
  def test_a_mark_that_is_a_pipe_is_not_waited_for(self, store, caplog):
    fill(store, 1)
    os.mkfifo(store._dir / 'best.json')
    assert store.best_step() is None and 'best.json' in caplog.text

  @pytest.mark.fault(19)
  def test_names_of_other_digits_are_no_checkpoints(self, store):
    fill(store, 1)
    shutil.copytree(folder(store, 1), store._dir / ('0' * 11 + '\u0662'))
    assert store.steps() == [1]

  @pytest.mark.fault(19)
  @pytest.mark.parametrize('number', [
      errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
  def test_what_can_not_be_read_is_not_taken_for_damaged(
      self, store, monkeypatch, number):
    fill(store, 1, 2)
    entry = manifests.entry
    def failing(path):
      if path.name == 'variables.index' and path.parent.name.endswith('2'):
        raise OSError(number, os.strerror(number), str(path))
      return entry(path)
    monkeypatch.setattr(manifests, 'entry', failing)
    for find in store.newest, lambda: store.find('2'):
      with pytest.raises(errors.StorageError, match=(
          f'Can not read .*2/variables.index: {os.strerror(number)}. Make it')):
        find()
    assert store.steps() == [1, 2]
    monkeypatch.undo()
    assert store.newest().step == 2

  @pytest.mark.fault(19)
  def test_none_intact_never_starts_from_zero(self, tmp_path, store):
    fill(store, 1, 2)
    for step in (1, 2):
      flip(folder(store, step) / 'state.json')
    for _ in range(2):  # The second start meets the same.
      with pytest.raises(errors.StateError, match='is intact: .*2/state.json'):
        checkpoint.Checkpoints(tmp_path / 'checkpoints').newest()
    assert store.steps() == [1, 2]

  @pytest.mark.fault(19)
  def test_readonly_moves_nothing(self, tmp_path):
    store = checkpoint.Checkpoints(tmp_path / 'checkpoints')
    _damaged(store, 'state.json', 'flip')
    (store._dir / '.tmp-1-other').mkdir()
    reader = checkpoint.Checkpoints(store._dir, readonly=True)
    assert reader.newest().step == 1
    with pytest.raises(errors.StateError, match='2 is damaged.*another of: 1'):
      reader.find('2')
    assert store.steps() == [1, 2]
    assert (store._dir / '.tmp-1-other').exists()
    assert checkpoint.Checkpoints(
        tmp_path / 'none', readonly=True).newest() is None
    assert not (tmp_path / 'none').exists()

  @pytest.mark.fault(19)
  def test_renamed_folder_is_damaged(self, store):
    fill(store, 1)
    folder(store, 1).rename(folder(store, 9))
    with pytest.raises(errors.StateError, match='MANIFEST.json was altered'):
      store.newest()

  @pytest.mark.fault(19)
  def test_manifest_can_not_point_outside(self, store):
    fill(store, 1)
    manifest = json.loads((folder(store, 1) / 'MANIFEST.json').read_text())
    manifest['files']['../../x'] = {'size': 0, 'sha256': ''}
    (folder(store, 1) / 'MANIFEST.json').write_text(
        json.dumps(manifests.with_checksum(manifest)))
    with pytest.raises(errors.StateError, match='foreign file ../../x'):
      store.newest()

  @pytest.mark.fault(22)
  def test_newer_format_is_refused_not_quarantined(self, store):
    fill(store, 1, 2)
    runs.resign(
        folder(store, 2), format='2.0', versions={'dreamerv2_tf': '9.1'})
    with pytest.raises(
        errors.StateError, match='format 2.0, written by dreamerv2_tf 9.1; '
        'this is .*, which reads up to format 1.1'):
      store.newest()
    assert store.steps() == [1, 2]

  @pytest.mark.fault(22)
  def test_newer_minor_format_is_read(self, store):
    fill(store, 1)
    runs.resign(folder(store, 1), format='1.7')
    assert store.newest().step == 1


class TestOtherAgent:

  @pytest.mark.fault(21)
  @pytest.mark.parametrize('theirs, ours, rows', [
      (dict(units=4), dict(units=8), [
          'kernel      [3, 4] float32  [3, 8] float32',
          'slots/0     [4] float32     [8] float32']),
      (dict(extra=True), {}, ['extra       [2] int32   missing']),
      ({}, dict(extra=True), ['extra       missing     [2] int32']),
      ({}, dict(dtype=tf.float16), [
          'kernel      [3, 4] float32  [3, 4] float16']),
  ])
  def test_table_and_nothing_touched(self, store, theirs, ours, rows):
    store.save(1, Net(value=9.0, **theirs), {})
    net = Net(**ours)
    before = net.values()
    with pytest.raises(errors.StateError) as info:
      store.restore(store.newest(), net)
    lines = str(info.value).splitlines()
    assert f'of another agent: {len(rows)} of ' in lines[0]
    assert lines[1].split() == ['variable', 'checkpoint', 'this', 'agent']
    squeeze = lambda line: ' '.join(line.split())
    assert list(map(squeeze, lines[2:])) == list(map(squeeze, rows))
    assert net.values() == before

  @pytest.mark.fault(21)
  def test_long_table_is_cut(self):
    ours = {f'x{i:03d}': '[] float32' for i in range(50)}
    text = variables._table('path', {}, ours)
    assert 'another agent: 50 of 50' in text
    assert text.endswith('\n  and 30 more')


class Old(tf.Module):
  """As in format 1.0: settings of its optimizer are variables."""

  def __init__(self, rate):
    super().__init__()
    self.kernel = tf.Variable(rate)
    self._opt = tf.Module()
    self._opt.learning_rate = tf.Variable(rate)
    self._opt.beta_1 = tf.Variable(rate)


class New(tf.Module):
  """The same, now."""

  def __init__(self, value):
    super().__init__()
    self.kernel = tf.Variable(value)
    self._opt = tf.Module()


@pytest.mark.fault(22)
def test_settings_of_optimizers_in_old_checkpoints_are_passed_by(store):
  store.save(1, Old(0.5), {})
  net = New(0.0)
  store.restore(store.newest(), net)
  assert net.kernel.numpy() == 0.5
  assert set(store.newest().variables()) == {'kernel'}


@pytest.mark.fault(22)
@pytest.mark.parametrize('version', ['1.0', '1.1'])
def test_checkpoints_of_earlier_formats_are_read(tmp_path, version):
  # As they were written, by Old and New above.
  shutil.copytree(GOLDEN / version, tmp_path / 'checkpoints')
  store = checkpoint.Checkpoints(tmp_path / 'checkpoints')
  record = store.newest()
  assert (record.step, record.manifest['format']) == (5000, version)
  assert record.state == {'step': 5000, 'rng': [1, 2]}
  assert record.arrays['x/y'].tolist() == [0, 1, 2]
  net = New(0.0)
  store.restore(record, net)
  assert net.kernel.numpy() == 0.5


class TestFailingDisk:

  @pytest.mark.fault(23)
  def test_failed_save_deletes_nothing(self, store, monkeypatch):
    fill(store, 1, 2, 3)
    monkeypatch.setattr(checkpoint.np, 'savez', _full)
    assert not store.save(4, Net(), {})
    assert store.steps() == [1, 2, 3]

  @pytest.mark.fault(23)
  @pytest.mark.parametrize('kind', [
      OSError(errno.ENOSPC, 'No space left on device'),
      tf.errors.ResourceExhaustedError(None, None, 'No space left on device')])
  def test_two_failures_then_success(
      self, store, monkeypatch, caplog, kind):
    fill(store, 1)
    place, left = os.replace, 2
    def replace(source, target):
      nonlocal left
      if left:
        left -= 1
        raise kind
      place(source, target)
    monkeypatch.setattr(os, 'replace', replace)
    assert not store.save(2, Net(), {})
    assert not store.save(3, Net(), {})
    assert os.listdir(store._dir) == ['000000000001']
    assert store.save(4, Net(), {})
    assert store.failures == 2 and store.steps() == [1, 4]
    assert caplog.text.count('was not saved: ') == 2
    assert 'No space left' in caplog.text
    left = 2  # The count in a row began anew.
    assert not store.save(5, Net(), {})
    assert not store.save(6, Net(), {})

  @pytest.mark.fault(23)
  def test_third_failure_in_a_row_tries_once_more(self, store, monkeypatch):
    calls = []
    def savez(*args, **kwargs):
      calls.append(args)
      _full()
    monkeypatch.setattr(checkpoint.np, 'savez', savez)
    assert not store.save(1, Net(), {})
    assert not store.save(2, Net(), {})
    with pytest.raises(errors.StorageError, match='3 times in a row. Free'):
      store.save(3, Net(), {})
    assert len(calls) == 4
    assert not os.listdir(store._dir)

  @pytest.mark.fault(23)
  def test_last_try_may_succeed(self, store, monkeypatch):
    savez, results = np.savez, iter([_full, _full, _full])
    monkeypatch.setattr(
        checkpoint.np, 'savez', lambda *a, **k: next(results, savez)(*a, **k))
    assert [store.save(i, Net(), {}) for i in range(3)] == [False, False, True]
    assert store.newest().step == 2

  @pytest.mark.fault(23)
  def test_failed_replacement_keeps_the_old_one(self, store, monkeypatch):
    fill(store, 1)
    place = os.replace
    def replace(source, target):
      if files.PREFIX in str(source):
        _full()
      place(source, target)
    monkeypatch.setattr(os, 'replace', replace)
    assert not store.save(1, Net(value=5.0), {})
    assert store.newest().variables()['heads/reward'] == 1


# Saves one checkpoint after the other. It tells the step that it found, and
# that of each save when it begins and ends.
SAVE = """
import os
import tensorflow as tf
from dreamerv2_tf.run import checkpoint

folder, size = {!r}, {}  # Ten variables of that size, of four bytes each.

def net(value):
  return [tf.Variable(tf.fill([size], float(value))) for _ in range(10)]

store = checkpoint.Checkpoints(folder)
record = store.newest()
step = 0
if record:
  step = record.state['step']
  store.restore(record, value := tf.train.Checkpoint(x=net(-1)))
  for variable in value.x:
    tf.debugging.assert_equal(variable, float(step))
assert not [x for x in os.listdir(folder) if not x.isdecimal()]
os.write(1, b'%d\\n' % step)
while True:
  step += 1
  os.write(1, b'%d\\n' % step)
  assert store.save(step, tf.train.Checkpoint(x=net(step)), dict(step=step))
  os.write(1, b'%d\\n' % step)
"""


@pytest.mark.fault(18)
@pytest.mark.parametrize('count, size, seconds', [
    (4, 50_000, 0.03),
    pytest.param(25, 1_000_000, 0.3, marks=pytest.mark.minutes)])
def test_kill_during_save(launcher, tmp_path, count, size, seconds):
  code = SAVE.format(str(tmp_path / 'checkpoints'), size)
  rng, rounds = random.Random(0), []
  for _ in range(count):
    run = launcher.start(tmp_path, setup=code)
    # One save has ended, another begins.
    runs.wait_for(lambda run=run: run.out.read_text().count('\n') > 3, run)
    time.sleep(rng.uniform(0, seconds))  # Where in it does not matter.
    run.kill()
    told = list(map(int, runs.finish(run, -signal.SIGKILL)[0].split()))
    rounds.append((told[0], told[(len(told) - 1) // 2 * 2]))
  assert rounds[0][0] == 0
  # Each found what the one before had saved, or the save that it was killed
  # in, and saved at least one.
  for (_, saved), (found, more) in zip(rounds, rounds[1:]):
    assert found in (saved, saved + 1) and more > found
  assert not (tmp_path / 'quarantine').exists()


def _damaged(store, name, harm):
  """Leaves an intact checkpoint 1 and a damaged 2."""
  fill(store, 1, 2)
  path = folder(store, 2) / name
  if harm in ('remove', 'pipe'):
    path.unlink()
    if harm == 'pipe':
      os.mkfifo(path)  # Nobody will ever write to it.
  elif harm == 'flip':
    flip(path)
  else:
    keep = 0 if harm == 'empty' else path.stat().st_size * 9 // 10
    os.truncate(path, keep)


@pytest.fixture(scope='module')
def stored(tmp_path_factory, launcher):
  """Folder of a run of 140 steps with checkpoints of 100, 120 and 140."""
  logdir = tmp_path_factory.mktemp('stored') / 'run'
  launcher.call(logdir, *COLLECT, '--checkpoint_every', 20, '--steps', 140)
  return logdir


class TestRun:
  """What the command makes of it."""

  @pytest.mark.fault(23)
  @pytest.mark.minutes
  def test_a_run_goes_on_without_two_checkpoints(self, launcher, tmp_path):
    logdir = tmp_path / 'run'
    _, err = launcher.call(
        logdir, *runs.TOY, '--eval_every', 0, '--checkpoint_every', 20,
        '--log_every', 30, '--steps', 140, setup=FULL.format(61, 119))
    for step in 80, 100:
      assert f'{step} was not saved: [Errno 28] No space left' in err
    assert runs.column(logdir, 'checkpoint_failures') == [0, 1, 2]
    steps = checkpoint.Checkpoints(
        logdir / 'checkpoints', readonly=True).steps()
    assert steps == [60, 120, 140]
    runs.assert_steps_increase(logdir)
    assert not list(logdir.rglob('.tmp-*'))

  @pytest.mark.fault(23)
  @pytest.mark.minutes
  def test_the_third_failure_ends_a_run_that_goes_on_later(
      self, launcher, tmp_path):
    logdir = tmp_path / 'run'
    flags = [*COLLECT, '--checkpoint_every', 20, '--steps', 90]
    _, err = launcher.call(
        logdir, *flags, setup=FULL.format(1, 1000), status=6)
    message = err.splitlines()[-1]
    assert message.startswith('error: Can not save checkpoint 60 in ')
    assert 'Free some space and run the same command again.' in message
    assert failure(logdir)['exit_code'] == 6
    assert runs.newest(logdir).step == 0 and len(runs.episodes(logdir)) == 8
    launcher.call(logdir, *flags)
    assert runs.newest(logdir).step == 90
    assert len(runs.episodes(logdir)) == 12
    runs.assert_steps_increase(logdir)

  @pytest.mark.fault(23)
  def test_a_run_begins_with_a_checkpoint_or_not_at_all(
      self, launcher, tmp_path):
    logdir = tmp_path / 'run'
    flags = [*COLLECT, '--steps', 30]
    _, err = launcher.call(
        logdir, *flags, setup=FULL.format(0, 1000), status=6)
    assert err.splitlines()[-1].startswith(
        'error: Can not save checkpoint 0 in ')
    assert not logdir.exists()
    out, _ = launcher.call(logdir, *flags)
    assert 'New run.' in out and len(runs.episodes(logdir)) == 4

  @pytest.mark.fault(23)
  @pytest.mark.parametrize('setup, status, says', [
      (FULL.format(0, 1000), 6, 'Resumed       no checkpoint; 20 episodes'),
      (PLACED, -signal.SIGKILL, 'Resumed       checkpoint 140: ')])
  def test_a_run_that_did_not_begin_with_episodes_of_others_begins_later(
      self, launcher, stored, tmp_path, setup, status, says):
    logdir = tmp_path / 'run'
    shutil.copytree(stored / 'train_episodes', logdir / 'train_episodes')
    before = runs.tree(logdir)
    flags = [*COLLECT, '--steps', 160]
    launcher.call(logdir, *flags, setup=setup, status=status)
    assert runs.tree(logdir / 'train_episodes') == {
        name.partition('/')[2]: digest for name, digest in before.items()}
    assert not (logdir / 'config.yaml').exists()
    out, _ = launcher.call(logdir, *flags)
    assert says in out and len(runs.episodes(logdir)) > 20
    runs.assert_steps_increase(logdir)

  @pytest.mark.fault(19)
  def test_the_folder_of_checkpoints_is_made_again(
      self, launcher, tmp_path):
    launcher.call(
        tmp_path / 'run', *COLLECT, '--checkpoint_every', 20, '--steps', 60,
        setup=DELETED)
    assert [path.name for path in sorted(
        (tmp_path / 'run' / 'checkpoints').iterdir())] == [
            '000000000040', '000000000060']

  @pytest.mark.fault(2)
  @pytest.mark.fault(19)
  def test_damaged_checkpoint_and_episode_are_put_aside(
      self, stored, tmp_path, launcher):
    logdir = tmp_path / 'run'
    shutil.copytree(stored, logdir)
    [data] = (logdir / 'checkpoints' / '000000000140').glob('*.data-*')
    os.truncate(data, data.stat().st_size // 2)
    episode = min((logdir / 'train_episodes').iterdir())
    os.truncate(episode, episode.stat().st_size // 2)
    out, err = launcher.call(
        logdir, *COLLECT, '--checkpoint_every', 20, '--steps', 180)
    assert 'Went back to checkpoint 120, as a newer one is damaged' in err
    assert err.count(f'skipped corrupt episode {episode.name}') == 1
    # 16 episodes were complete at step 120.
    assert 'Resumed       checkpoint 120:' in out
    assert '15 episodes, 105 steps in replay' in out
    assert {x.name for x in (logdir / 'quarantine').iterdir()} == {
        episode.name, 'checkpoint-000000000140'}
    runs.assert_steps_increase(logdir)
    record = runs.newest(logdir)
    assert record.step == 180
    assert record.state['replay']['episodes_skipped'] == 1
    assert len(runs.episodes(logdir)) == 23  # 24 of 7 steps, less that one.

  @pytest.mark.fault(19)
  def test_without_any_good_checkpoint_nothing_changes(
      self, stored, tmp_path, train):
    logdir = tmp_path / 'run'
    shutil.copytree(stored, logdir)
    for path in (logdir / 'checkpoints').glob('*/state.json'):
      path.write_text('{}')
    before = runs.tree(logdir)
    line = train(3, *COLLECT, '--steps', 300)
    assert line.startswith(f'error: No checkpoint in {logdir}/checkpoints is ')
    assert runs.tree(logdir, 'failure.json') == before
    assert failure(logdir)['exit_code'] == 3

  @pytest.mark.fault(19)
  @pytest.mark.parametrize('words, value, message', [
      ('driver', None, "KeyError: 'driver'"),
      late('replay next_seq', None, "KeyError: 'next_seq'"),
      late('every log', None, "KeyError: 'log'"),
      late('datasets train rng', 'x', ''),
      ('driver workers', [{'episode': 1, 'running': True, 'seed': 3,
                           'actions': [0, 99], 'digest': ''}] * 2,
       'ValueError: action 99 is not below 2'),
      late('driver workers', [{'episode': 1, 'running': True, 'seed': 3,
                               'actions': [-1], 'digest': ''}] * 2,
           'ValueError: action -1 is not below 2'),
      ('step', 'x', "TypeError: 'step' is 'x'"),
      late('due train', 'x', "TypeError: 'due train' is 'x'"),
      late('best', [1], "TypeError: 'best' is [1]"),
      late('pending', [3], 'TypeError: ')])
  def test_odd_states_with_a_right_checksum(
      self, stored, tmp_path, train, words, value, message):
    logdir = tmp_path / 'run'
    shutil.copytree(stored, logdir)
    path = runs.newest(logdir).path
    state = json.loads((path / 'state.json').read_text())
    *parents, last = words.split()
    target = functools.reduce(dict.get, parents, state)
    if value is None:
      del target[last]
    else:
      target[last] = value
    (path / 'state.json').write_text(json.dumps(state))
    runs.resign(path)
    before = runs.tree(logdir)
    line = train(3, *COLLECT, '--steps', 300)
    assert line.startswith(f'error: Can not go on with checkpoint {path}: ')
    assert message in line
    assert runs.tree(logdir, 'failure.json') == before

  @pytest.mark.fault(4)
  def test_a_pickled_array_is_not_loaded(self, stored, tmp_path, train):
    logdir = tmp_path / 'run'
    shutil.copytree(stored, logdir)
    path = runs.newest(logdir).path
    np.savez(path / 'arrays.npz', policy_0=np.array([Touch(tmp_path / 'it')]))
    runs.resign(path)
    line = train(3, *COLLECT, '--steps', 300)
    assert 'Object arrays cannot be loaded when allow_pickle=False' in line
    assert not (tmp_path / 'it').exists()

  @pytest.mark.fault(19)
  @pytest.mark.parametrize('gone', [
      ['checkpoints', 'metrics.jsonl'], late(['checkpoints']),
      late(['checkpoints', 'train_episodes']),
      late(['checkpoints', 'metrics.jsonl', 'run.json']),
      ['checkpoints', 'train_episodes', 'eval_episodes', 'config.yaml']])
  def test_lost_checkpoints_are_not_made_up_for(
      self, stored, tmp_path, train, gone):
    logdir = tmp_path / 'run'
    shutil.copytree(stored, logdir)
    for name in gone:
      path = logdir / name
      shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = runs.tree(logdir)
    line = train(3, *COLLECT, '--steps', 300)
    assert line.startswith(f'error: The run in {logdir} has ')
    assert 'but no checkpoint. Put back a copy' in line
    assert ('up to step 0,' in line) == ('metrics.jsonl' in gone)
    assert (' has 0 episodes' in line) == ('train_episodes' in gone)
    assert runs.tree(logdir, 'failure.json') == before

  @pytest.mark.fault(21)
  def test_another_architecture_changes_nothing(
      self, stored, tmp_path, capsys):
    logdir = tmp_path / 'run'
    shutil.copytree(stored, logdir)
    path = logdir / 'config.yaml'  # Else the changed key alone is an error.
    text = path.read_text()
    path.write_text(text.replace('deter: 32', 'deter: 48'))
    assert path.read_text() != text
    record = runs.newest(logdir)
    runs.resign(record.path, settings={
        **record.manifest['settings'], 'rssm.deter': 48})
    before = runs.tree(logdir)
    words = [
        '--logdir', logdir, *COLLECT, '--rssm.deter', 48, '--deterministic',
        False]
    assert cli.main(list(map(str, words))) == 3
    err = capsys.readouterr().err
    assert f'error: Checkpoint {logdir}/checkpoints/000000000140 is of' in err
    _, head, *rows = err.splitlines()
    assert head.split() == ['variable', 'checkpoint', 'this', 'agent']
    assert len(rows) > 3 and 'float32' in rows[0]
    assert runs.tree(logdir, 'failure.json') == before
    assert failure(logdir)['exit_code'] == 3


@pytest.mark.fault(19)
def test_a_history_without_checkpoints_never_begins_from_zero(
    collected, train, collect):
  train(0, *collect, '--steps', 80)
  for name in 'checkpoints', 'train_episodes', 'eval_episodes':
    shutil.rmtree(collected / name)
  (collected / 'metrics.jsonl').unlink()
  before = runs.tree(collected)
  line = train(3, *collect, '--steps', 80)
  assert 'but no checkpoint. Put back a copy' in line
  assert runs.tree(collected, 'failure.json') == before


@pytest.mark.fault(19)
@pytest.mark.parametrize('path, value', [
    ('learner skipped', 'x'), ('driver steps', 'x'), ('driver episodes', None),
    ('driver steps', -1), ('driver workers 1 episode', -1),
    ('driver workers 0 episode', '0'), ('every train last', 'x'),
    ('every eval last', [1]), ('replay next_seq', 1.5),
    ('replay total_steps', 'x'), ('eval_replay episodes_skipped', {}),
    ('step', -1), ('pending', [['x', 'fps', 1]]),
    ('pending', [[1, 'fps', 'x']])])
def test_what_would_fail_later_is_told_while_resuming(original, path, value):
  state = json.loads(json.dumps(runs.newest(original).state))
  check = functools.partial(
      session.check_state, due=state['due'], every=state['every'])
  check(json.loads(json.dumps(state)))
  place = state
  *parents, last = path.split()
  for key in parents:
    place = place[int(key) if isinstance(place, list) else key]
  place[last] = value
  with pytest.raises((TypeError, ValueError), match=f"'{path}' "):
    check(state)


@pytest.mark.fault(19)
def test_an_evaluation_takes_another_checkpoint_if_a_run_deletes_its_own(
    collected, monkeypatch, capsys):
  class Slow(agents.Agent):
    def __init__(self, *args, **kwargs):
      shutil.rmtree(collected / 'checkpoints' / '000000000060')
      super().__init__(*args, **kwargs)
  monkeypatch.setattr(agents, 'Agent', Slow)
  assert cli.main([
      'eval', '--logdir', str(collected), '--episodes', '1', '--json']) == 0
  assert json.loads(capsys.readouterr().out.splitlines()[-1])['step'] == 40


@pytest.mark.fault(24)
@pytest.mark.parametrize('exact', [
    True, pytest.param(False, marks=pytest.mark.minutes)])
def test_a_kill_between_an_episode_and_its_checkpoint(
    launcher, tmp_path, exact):
  logdir = tmp_path / 'run'
  flags = [
      *COLLECT, '--checkpoint_every', 84, '--steps', 100, '--deterministic',
      exact]
  launcher.call(
      logdir, *flags, setup=KILLED_BETWEEN, status=-signal.SIGKILL)
  # Six episodes of each worker were complete, 7 steps each.
  names = {path.name for path in (logdir / 'train_episodes').iterdir()}
  before, rows = runs.episodes(logdir), runs.rows(logdir)
  assert len(names) == 12 and runs.newest(logdir).step == 0
  out, _ = launcher.call(logdir, *flags)
  now = {path.name for path in (logdir / 'train_episodes').iterdir()}
  stored = runs.episodes(logdir)
  if exact:  # They were stored again, in place of the first ones.
    assert 'Resumed       checkpoint 0:' in out and not names & now
    for one, other in zip(before, stored):
      assert all(np.array_equal(one[key], other[key]) for key in one)
  else:
    assert 'checkpoint 0 and 84 newer steps' in out and names < now
    assert runs.rows(logdir)[:10] == rows[:10]
  assert len(stored) == 14
  runs.assert_steps_increase(logdir)
  record = runs.newest(logdir)
  assert record.step == 100
  assert record.state['replay']['total_steps'] == 14 * 7
  # No scenario is repeated.
  assert len({x['vector'][0, 1] for x in stored}) == 14
