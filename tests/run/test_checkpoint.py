"""A checkpoint is whole and fits, or it is not used."""

import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tf import errors, files
from dreamerv2_tf.run import checkpoint


class Net(tf.Module):
  """Variables in attributes, a list and a dictionary, and a generator."""

  def __init__(self, units=4, value=0.0, extra=False, dtype=tf.float32):
    super().__init__()
    self.kernel = tf.Variable(tf.fill([3, units], tf.cast(value, dtype)))
    self.slots = [tf.Variable(tf.fill([units], float(value)))]
    self.heads = {'reward': tf.Variable(float(value))}
    self.rng = tf.random.Generator.from_seed(1)
    if extra:
      self.extra = tf.Variable([1, 2])

  def values(self):
    return [x.numpy().tolist() for x in (
        self.kernel, self.slots[0], self.heads['reward'], self.rng.state)]


@pytest.fixture
def store(tmp_path):
  return checkpoint.Checkpoints(tmp_path / 'checkpoints')


def fill(store, *steps):
  for step in steps:
    assert store.save(step, Net(value=step), {'step': step})


def folder(store, step):
  return store._dir / f'{step:012d}'


def flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def resign(path, **changes):
  """Changes a manifest and makes its checksums right again."""
  manifest = json.loads((path / 'MANIFEST.json').read_text())
  for name in manifest['files']:
    manifest['files'][name] = checkpoint._entry(path / name)
  manifest = checkpoint.sign({**manifest, **changes})
  (path / 'MANIFEST.json').write_text(json.dumps(manifest))


class TestSaveAndRestore:

  def test_everything_comes_back(self, store):
    net = Net(value=7.0)
    net.rng.normal([5])
    state = {
        'step': 5, 'rng': np.random.default_rng(0).bit_generator.state,
        'best': -np.inf, 'names': ['a', 'ä']}
    arrays = {'x/y': np.arange(5), 'actions': np.array(['l', 'r'])}
    meta = {'config_hash': 'abc', 'spaces': {'image': [[2, 3], 'uint8']}}
    assert store.save(5, net, state, arrays, meta)
    record = store.newest()
    assert record.step == 5
    assert record.state == state
    assert {k: v.tolist() for k, v in record.arrays.items()} == {
        'x/y': [0, 1, 2, 3, 4], 'actions': ['l', 'r']}
    assert record.manifest['config_hash'] == 'abc'
    assert record.manifest['spaces'] == meta['spaces']
    assert record.manifest['versions']['tensorflow'] == tf.__version__
    new = Net()
    store.restore(record, new)
    assert new.values() == net.values()
    np.testing.assert_array_equal(new.rng.normal([5]), net.rng.normal([5]))

  def test_layout(self, store):
    fill(store, 5000)
    assert os.listdir(store._dir) == ['000000005000']
    assert sorted(os.listdir(folder(store, 5000))) == [
        'MANIFEST.json', 'arrays.npz', 'state.json',
        'variables.data-00000-of-00001', 'variables.index']

  def test_variables_by_name(self, store):
    fill(store, 2)
    values = store.find('latest').variables()
    assert sorted(values) == [
        'heads/reward', 'kernel', 'rng/_state_var', 'slots/0']
    np.testing.assert_array_equal(values['kernel'], np.full([3, 4], 2.0))

  def test_same_step_again_replaces(self, store):
    fill(store, 5)
    store.save(5, Net(value=6.0), {'again': True})
    assert store.newest().state == {'again': True}
    assert store.newest().variables()['heads/reward'] == 6
    assert os.listdir(store._dir) == ['000000000005']

  @pytest.mark.parametrize('name', [
      'x [a]=1', '[x]', 'a*b', 'what?', 'back\\slash', '{a,b}', 'ä €', ' ',
      '%s', '$HOME', '-rf', "it's"])
  def test_any_name_of_a_folder(self, tmp_path, name):
    (tmp_path / name).mkdir()
    store = checkpoint.Checkpoints(tmp_path / name / 'checkpoints')
    fill(store, 5, 6)
    store.save(6, Net(value=7.0), {})
    # What such a pattern would find.
    shutil.copytree(tmp_path / name, tmp_path / 'a-b')
    shutil.copytree(tmp_path / name, tmp_path / 'x a=1')
    net = Net()
    store.restore(store.newest(), net)
    assert net.heads['reward'].numpy() == 7
    assert store.find(5).variables()['heads/reward'] == 5
    flip(folder(store, 6) / 'variables.index')
    assert checkpoint.Checkpoints(store._dir).newest().step == 5

  def test_bfloat16_variables(self, store):
    store.save(1, Net(value=2.0, dtype=tf.bfloat16), {})
    new = Net(dtype=tf.bfloat16)
    store.restore(store.newest(), new)
    assert new.heads['reward'].numpy() == 2

  def test_objects_are_not_pickled(self, store):
    with pytest.raises(AssertionError, match='bad'):
      store.save(1, Net(), {}, {'bad': np.array([None])})
    assert not os.listdir(store._dir)


class TestKeep:

  def test_newest_and_best_stay(self, store):
    fill(store, 1)
    store.save(2, Net(), {}, best=True)
    fill(store, 3, 4, 5, 6)
    assert store.steps() == [2, 4, 5, 6]
    assert store.find('best').step == store.best_step() == 2
    store.save(7, Net(), {}, best=True)
    assert store.steps() == [5, 6, 7]
    assert store.find('best').step == 7

  def test_find(self, store):
    with pytest.raises(errors.StateError, match='no checkpoint in .* Train fi'):
      store.find('latest')
    fill(store, 1, 2)
    assert store.find('latest').step == 2
    assert store.find('1').step == store.find(1).step == 1
    with pytest.raises(errors.StateError, match='marked as best yet.*: 1, 2'):
      store.find('best')
    for which in ('7', 'newest'):
      with pytest.raises(errors.StateError, match=f"'{which}'.*step: 1, 2"):
        store.find(which)

  def test_failed_save_deletes_nothing(self, store, monkeypatch):
    fill(store, 1, 2, 3)
    monkeypatch.setattr(checkpoint.np, 'savez', _full)
    assert not store.save(4, Net(), {})
    assert store.steps() == [1, 2, 3]

  def test_other_names_are_ignored(self, store):
    fill(store, 1)
    (store._dir / '000000000009').write_text('a file')
    (store._dir / 'notes').mkdir()
    # The pointer file of TensorFlow's own manager counts for nothing.
    (store._dir / 'checkpoint').write_text('model_checkpoint_path: "gone"')
    (folder(store, 1) / 'checkpoint').write_text('')
    assert store.newest().step == 1


class TestDamage:

  @pytest.mark.parametrize('harm', ['flip', 'truncate', 'empty', 'remove'])
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
    assert store.steps() == [1]
    assert os.listdir(tmp_path / 'quarantine') == ['checkpoint-000000000002']

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

  @pytest.mark.parametrize('number', [
      errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
  def test_what_can_not_be_read_is_not_taken_for_damaged(
      self, store, monkeypatch, number):
    fill(store, 1, 2)
    entry = checkpoint._entry
    def failing(path):
      if path.name == 'variables.index' and path.parent.name.endswith('2'):
        raise OSError(number, os.strerror(number), str(path))
      return entry(path)
    monkeypatch.setattr(checkpoint, '_entry', failing)
    for find in store.newest, lambda: store.find('2'):
      with pytest.raises(errors.StorageError, match=(
          f'Can not read .*2/variables.index: {os.strerror(number)}. Make it')):
        find()
    assert store.steps() == [1, 2]
    monkeypatch.undo()
    assert store.newest().step == 2

  def test_none_intact_never_starts_from_zero(self, tmp_path, store):
    fill(store, 1, 2)
    for step in (1, 2):
      flip(folder(store, step) / 'state.json')
    for _ in range(2):  # The second start meets the same.
      with pytest.raises(errors.StateError, match='is intact: .*2/state.json'):
        checkpoint.Checkpoints(tmp_path / 'checkpoints').newest()
    assert store.steps() == [1, 2]

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

  def test_renamed_folder_is_damaged(self, store):
    fill(store, 1)
    folder(store, 1).rename(folder(store, 9))
    with pytest.raises(errors.StateError, match='MANIFEST.json was altered'):
      store.newest()

  def test_manifest_can_not_point_outside(self, store):
    fill(store, 1)
    manifest = json.loads((folder(store, 1) / 'MANIFEST.json').read_text())
    manifest['files']['../../x'] = {'size': 0, 'sha256': ''}
    (folder(store, 1) / 'MANIFEST.json').write_text(
        json.dumps(checkpoint.sign(manifest)))
    with pytest.raises(errors.StateError, match='foreign file ../../x'):
      store.newest()

  def test_newer_format_is_refused_not_quarantined(self, store):
    fill(store, 1, 2)
    resign(folder(store, 2), format='2.0', versions={'dreamerv2_tf': '9.1'})
    with pytest.raises(
        errors.StateError, match='format 2.0, written by dreamerv2_tf 9.1; '
        'this is .*, which reads up to format 1.1'):
      store.newest()
    assert store.steps() == [1, 2]

  def test_newer_minor_format_is_read(self, store):
    fill(store, 1)
    resign(folder(store, 1), format='1.7')
    assert store.newest().step == 1

  @pytest.mark.parametrize('value', [np.nan, np.inf])
  def test_weights_that_are_not_finite(self, store, value):
    store.save(1, Net(value=value), {})
    net = Net(value=3.0)
    with pytest.raises(
        errors.StateError,
        match='NaN or infinite values in heads/reward, kernel, slots/0'):
      store.restore(store.newest(), net)
    assert net.values() == Net(value=3.0).values()

  def test_altered_and_signed_weights(self, store):
    fill(store, 1)
    path = folder(store, 1) / 'variables.data-00000-of-00001'
    data = path.read_bytes()
    path.write_bytes(data.replace(
        np.float32(1).tobytes() * 12, np.float32(np.nan).tobytes() * 12))
    assert path.read_bytes() != data
    resign(folder(store, 1))
    with pytest.raises(errors.StateError, match='NaN|Can not read'):
      store.restore(store.newest(), Net())

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


class TestOtherAgent:

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

  def test_long_table_is_cut(self):
    ours = {f'x{i:03d}': '[] float32' for i in range(50)}
    text = checkpoint._table('path', {}, ours)
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


def test_settings_of_optimizers_in_old_checkpoints_are_passed_by(store):
  store.save(1, Old(0.5), {})
  net = New(0.0)
  store.restore(store.newest(), net)
  assert net.kernel.numpy() == 0.5
  assert set(store.newest().variables()) == {'kernel'}


def _full(*args, **kwargs):
  raise OSError(errno.ENOSPC, 'No space left on device')


class TestFailingDisk:

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

  def test_last_try_may_succeed(self, store, monkeypatch):
    savez, results = np.savez, iter([_full, _full, _full])
    monkeypatch.setattr(
        checkpoint.np, 'savez', lambda *a, **k: next(results, savez)(*a, **k))
    assert [store.save(i, Net(), {}) for i in range(3)] == [False, False, True]
    assert store.newest().step == 2

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

  def test_no_space_for_the_files(self, tmp_path):
    # A limit on the file size stops TensorFlow's writes as a full disk does.
    code = (
        'import resource, sys, tensorflow as tf\n'
        'from dreamerv2_tf.run import checkpoint\n'
        'store = checkpoint.Checkpoints(sys.argv[1])\n'
        'net = tf.Variable(tf.zeros([200_000]))\n'
        'assert store.save(1, net, {})\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,) * 2)\n'
        'assert not store.save(2, net, {})\n'
        'assert store.failures == 1\n'
        'assert store.newest().step == 1\n')
    subprocess.run(
        [sys.executable, '-c', code, str(tmp_path / 'checkpoints')],
        check=True, env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'})
    assert os.listdir(tmp_path / 'checkpoints') == ['000000000001']

  def test_folder_can_not_be_made(self, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(errors.StorageError, match='Can not write to'):
      checkpoint.Checkpoints(tmp_path / 'file' / 'checkpoints')


# TensorFlow is imported once; each child begins its own work with it. A child
# tells the step that it found, and that of each save when it begins and ends.
KILL = """
import os, random, signal, sys, time
import tensorflow as tf
from dreamerv2_tf.run import checkpoint

def net(value):
  return [tf.Variable(tf.fill([50_000], float(value))) for _ in range(10)]

def save(tell):
  store = checkpoint.Checkpoints(sys.argv[1])
  record = store.newest()
  step = 0
  if record:
    step = record.state['step']
    store.restore(record, value := tf.train.Checkpoint(x=net(-1)))
    for variable in value.x:
      tf.debugging.assert_equal(variable, float(step))
  assert not [x for x in os.listdir(sys.argv[1]) if not x.isdecimal()]
  os.write(tell, b'%012d' % step)
  while True:
    step += 1
    os.write(tell, b'%012d' % step)
    assert store.save(step, tf.train.Checkpoint(x=net(step)), {'step': step})
    os.write(tell, b'%012d' % step)

def hear(listen):
  data = os.read(listen, 12)
  return int(data) if data else None

random.seed(0)
for _ in range(int(sys.argv[2])):
  listen, tell = os.pipe()
  pid = os.fork()
  if not pid:
    try:
      save(tell)
    finally:
      os._exit(1)
  os.close(tell)
  heard = [hear(listen) for _ in range(4)]  # One save ended, another begins.
  time.sleep(random.uniform(0, 0.03))  # Where in it does not matter.
  os.kill(pid, signal.SIGKILL)
  os.waitpid(pid, 0)
  while (step := hear(listen)) is not None:
    heard.append(step)
  os.close(listen)
  print(heard[0], heard[(len(heard) - 1) // 2 * 2], flush=True)
"""


def test_kill_during_save(tmp_path):
  result = subprocess.run(
      [sys.executable, '-c', KILL, str(tmp_path / 'checkpoints'), '8'],
      capture_output=True, text=True,
      env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'})
  rounds = [
      tuple(map(int, line.split())) for line in result.stdout.splitlines()]
  assert len(rounds) == 8, result.stderr
  assert rounds[0][0] == 0
  # Each child found what the one before had saved, or the save that it was
  # killed in, and saved at least one.
  for (_, saved), (found, more) in zip(rounds, rounds[1:]):
    assert found in (saved, saved + 1) and more > found
  assert not (tmp_path / 'quarantine').exists()


def _damaged(store, name, harm):
  """Leaves an intact checkpoint 1 and a damaged 2."""
  fill(store, 1, 2)
  path = folder(store, 2) / name
  if harm == 'remove':
    path.unlink()
  elif harm == 'flip':
    flip(path)
  else:
    keep = 0 if harm == 'empty' else path.stat().st_size * 9 // 10
    os.truncate(path, keep)


def test_the_order_of_observations_is_that_of_the_newest_checkpoint(store):
  space = {'b': 2, 'c': 3, 'a': 1}
  order = lambda: ''.join(checkpoint.order(store._dir, space))
  assert order() == 'abc'  # There is none yet.
  store.save(1, Net(), {}, meta={})
  assert order() == 'bca'  # Of a version that took that of the space.
  store.save(2, Net(), {}, meta={'observations': ['c', 'b', 'a']})
  assert order() == 'cba'
  store.save(3, Net(), {}, meta={'observations': ['a', 'c', 'b']})
  assert order() == 'acb'
  record = store.find(2)
  assert list(checkpoint.observations(record.manifest, space)) == [
      'c', 'b', 'a']
  for harm in '[]', '{"observations": ["b", "a", "c"]}', '':
    (folder(store, 3) / 'MANIFEST.json').write_text(harm)
    assert order() == 'cba'
