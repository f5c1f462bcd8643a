import io
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import tracemalloc
import uuid
import zipfile

import numpy as np
import pytest

from dreamerv2_tf import errors
from dreamerv2_tf.data import store as storelib

SPACES = {
    'image': ((4, 4, 1), np.uint8),
    'action': ((2,), np.float32),
    'reward': ((), np.float32),
    'is_first': ((), bool),
    'is_last': ((), bool),
    'is_terminal': ((), bool),
    'log_speed': ((), np.float32),
}


def make_episode(rows=10, value=1, **changes):
  flags = np.zeros((2, rows), bool)
  flags[0, :1] = flags[1, -1:] = True
  episode = {
      'image': np.full((rows, 4, 4, 1), value, np.uint8),
      'action': np.ones((rows, 2), np.float32) * (np.arange(rows) > 0)[:, None],
      'reward': np.arange(rows, dtype=np.float32),
      'is_first': flags[0],
      'is_last': flags[1],
      'is_terminal': flags[1],
      'log_speed': np.zeros(rows, np.float32),
  }
  return {k: v for k, v in {**episode, **changes}.items() if v is not None}


def put(directory, episode, steps=9, save=np.savez_compressed, head=None):
  """Writes a file as the original does, without any check."""
  head = head or '20210101T000000'
  path = pathlib.Path(directory) / f'{head}-{uuid.uuid4().hex}-{steps}.npz'
  save(path, **episode)
  return path


def read_all(store):
  """Loads everything and treats what is damaged as the sampler does."""
  result = {}
  for name in store.scan()[0]:
    try:
      result[name] = store.load(name)
    except storelib.EpisodeError as error:
      store.quarantine(name, error)
  return result


def quarantined(store):
  return sorted(x.name for x in store.directory.parent.glob('quarantine/*'))


def at(rows, *where):
  flags = np.zeros(rows, bool)
  flags[list(where)] = True
  return flags


@pytest.fixture
def eps(tmp_path):
  """A folder with room for a quarantine beside it."""
  (tmp_path / 'eps').mkdir()
  return tmp_path / 'eps'


def test_names():
  key = 'ab' * 16
  assert storelib.parse(f'000000000012-{key}-30.npz') == (12, 30)
  assert storelib.parse(f'20210102T030405-{key}-30.npz') == (None, 30)
  for name in ['foo.npz', f'12-{key}-30.npz', f'000000000012-{key}-x.npz',
               f'000000000012-{key}-30.npz ', f'000000000012-{key}-30.npy']:
    assert storelib.parse(name) is None, name


def test_saved_files_have_the_promised_names_dtypes_and_load_anywhere(tmp_path):
  store = storelib.Store(tmp_path, 1e6)
  name = store.save(7, make_episode(
      reward=np.arange(10.0), count=np.arange(10), log_list=[0.5] * 10))
  assert name.startswith('000000000007-') and name.endswith('-9.npz')
  assert os.listdir(tmp_path) == [name]
  # How the original reads it: length from the name, each key by np.load.
  assert int(str(tmp_path / name).split('-')[-1][:-4]) == 9
  with (tmp_path / name).open('rb') as file:
    arrays = np.load(file)
    arrays = {key: arrays[key] for key in arrays.keys()}
  assert {k: v.dtype.name for k, v in arrays.items()} == {
      'image': 'uint8', 'action': 'float32', 'reward': 'float32',
      'is_first': 'bool', 'is_last': 'bool', 'is_terminal': 'bool',
      'log_speed': 'float32', 'count': 'int32', 'log_list': 'float32'}
  np.testing.assert_array_equal(arrays['reward'], np.arange(10))


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@pytest.mark.parametrize('ram', [1e6, 0])
def test_files_of_the_original_load_as_a_whole_and_by_rows(
    eps, save, ram):
  image = np.random.default_rng(0).integers(0, 255, (10, 4, 4, 1), np.uint8)
  put(eps, make_episode(image=image), save=save)
  store = storelib.Store(eps, ram, SPACES)
  [name], _ = store.scan()
  for start, stop in [(0, 10), (3, 7), (9, 10)]:
    out = {'image': np.empty((stop - start, 4, 4, 1), np.uint8),
           'reward': np.empty(stop - start, np.float32)}
    store.read(name, start, stop, out)
    np.testing.assert_array_equal(out['image'], image[start:stop])
    np.testing.assert_array_equal(out['reward'], np.arange(start, stop))
  assert store.ram_bytes <= ram and 'log_speed' not in store.load(name)


def test_foreign_layouts_are_read_by_value(eps):
  image = np.random.default_rng(0).integers(0, 255, (10, 4, 4, 1), np.uint8)
  put(eps, make_episode(
      image=np.asfortranarray(image), reward=np.arange(10, dtype='>f8'),
      action=np.ones((10, 2), np.int64) * (np.arange(10) > 0)[:, None]),
      save=np.savez)
  store = storelib.Store(eps, 0, SPACES)
  [name], _ = store.scan()
  for _ in range(2):
    out = {'image': np.empty((3, 4, 4, 1), np.uint8),
           'reward': np.empty(3, np.float32),
           'action': np.empty((3, 2), np.float32)}
    store.read(name, 2, 5, out)
    np.testing.assert_array_equal(out['image'], image[2:5])
    np.testing.assert_array_equal(out['reward'], [2, 3, 4])
    np.testing.assert_array_equal(out['action'], np.ones((3, 2)))


@pytest.mark.parametrize('changes, message', [
    ({'reward': np.zeros(9)}, "'reward' has 9 rows, 'action' has 10"),
    ({'action': np.float32(1)}, "'image' has 10 rows, 'action' has 0"),
    ({'image': None}, "key 'image' is missing"),
    ({'reward': None}, "key 'reward' is missing"),
    ({'image': np.zeros((10, 4, 4, 3), np.uint8)}, r'expected \(4, 4, 1\)'),
    ({'image': np.zeros((10, 4, 4, 1))}, 'has dtype float64, expected uint8'),
    ({'reward': np.full(10, 'x')}, 'must be numeric'),
    ({'count': np.full(10, 2 ** 40)}, "'count' holds 1099511627776, too large"),
    ({'reward': [0.0, 1.0, np.nan] + [0.0] * 7}, "'reward' is nan at row 2"),
    ({'reward': np.full(10, 1e300)}, 'must be a finite float32'),
    ({'is_first': at(10)}, r'is_first is set at rows \[\], expected \[0\]'),
    ({'is_first': at(10, 0, 4)}, r'is_first is set at rows \[0, 4\]'),
    ({'is_last': at(10, 3, 9)}, r'is_last is set at rows \[3, 9\], .* \[9\]'),
    ({'is_last': at(10)}, r'is_last is set at rows \[\]'),
    ({'is_terminal': at(10, 5)}, 'is_terminal without is_last at row 5'),
])
def test_invalid_episodes_are_refused_from_memory_and_from_disk(
    tmp_path, caplog, changes, message):
  spaces = {**SPACES, **(
      {'count': ((), np.int64)} if 'count' in changes else {})}
  store = storelib.Store(tmp_path / 'a', 1e6, spaces)
  with pytest.raises(storelib.EpisodeError, match=message):
    store.save(0, make_episode(**changes))
  assert not os.listdir(tmp_path / 'a')
  store = storelib.Store(tmp_path / 'b', 1e6, spaces)
  good = {'count': np.zeros(10, int)} if 'count' in changes else {}
  put(tmp_path / 'b', make_episode(**good))
  bad = put(tmp_path / 'b', make_episode(**changes))
  assert len(read_all(store)) == 1
  assert quarantined(store) == [bad.name] and not bad.exists()
  [record] = [x for x in caplog.records if 'corrupt' in x.message]
  assert bad.name in record.message


@pytest.mark.parametrize('rows', [0, 1])
def test_episodes_without_a_step_are_refused(eps, rows):
  store = storelib.Store(eps, 1e6, SPACES)
  with pytest.raises(storelib.EpisodeError, match='has at least 2'):
    store.save(0, make_episode(rows))


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@pytest.mark.parametrize('share', [0, 0.01, 0.5, 0.95, 0.999])
def test_truncated_files_are_put_aside(eps, save, share):
  good = put(eps, make_episode())
  bad = put(eps, make_episode(value=2), save=save)
  bad.write_bytes(bad.read_bytes()[:int(share * bad.stat().st_size)])
  store = storelib.Store(eps, 1e6, SPACES)
  assert list(read_all(store)) == [good.name]
  assert quarantined(store) == [bad.name]


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_flipped_bits_are_found_by_their_crc(eps, save):
  path = put(eps, make_episode(), save=save)
  with zipfile.ZipFile(path) as archive:
    [info] = [x for x in archive.infolist() if x.filename == 'image.npy']
  data = bytearray(path.read_bytes())
  data[info.header_offset + 60 + info.compress_size - 30] ^= 16
  path.write_bytes(data)
  store = storelib.Store(eps, 1e6, SPACES)
  assert not read_all(store) and quarantined(store) == [path.name]


class Bomb:

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return (open, (str(self.path), 'w'))


def test_pickles_are_never_loaded(tmp_path, eps):
  touched = tmp_path / 'touched'
  put(eps, make_episode(
      reward=np.array([Bomb(touched)] * 10, object)))
  raw = put(eps, {})
  raw.write_bytes(pickle.dumps(Bomb(touched)))
  npy = put(eps, {})
  with npy.open('wb') as file:
    np.save(file, np.zeros(3))
  store = storelib.Store(eps, 1e6, SPACES)
  assert not read_all(store)
  assert len(quarantined(store)) == 3 and not touched.exists()


def header(shape, descr='|u1'):
  file = io.BytesIO()
  np.lib.format.write_array_header_1_0(
      file, {'shape': shape, 'fortran_order': False, 'descr': descr})
  return file.getvalue()


def write_members(path, members):
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, data in members.items():
      archive.writestr(name, data)


@pytest.mark.parametrize('members', [
    {'action.npy': header((1 << 43,))},  # Claims 8 TB, has none of it.
    {'action.npy': header((10, -1, -4)) + bytes(40)},
    {'action.npy': header((10, 20_000_000)) + bytes(200_000_000)},
    {'action.npy': b'\x93NUMPY\x02\x00\xff\xff\xff\xff' + bytes(1000)},
    {'action.npy': b'\x93NUMPY\x01\x00\xff\x00' + b'(' * 250},
    {'../../evil.txt': b'hello'},
])
def test_bombs_are_refused_before_their_values_are_read(eps, members):
  good = put(eps, make_episode())
  bad = put(eps, {})
  full = {f'{k}.npy': header((10,), '|b1') + bytes(10) for k in SPACES}
  write_members(bad, {**full, **members})
  store = storelib.Store(eps, 1e6, SPACES)
  tracemalloc.start()
  try:
    assert list(read_all(store)) == [good.name]
    assert tracemalloc.get_traced_memory()[1] < 2_000_000  # Peak, bytes.
  finally:
    tracemalloc.stop()
  assert quarantined(store) == [bad.name]


def test_foreign_entries_are_ignored_with_one_warning(eps, caplog):
  good = put(eps, make_episode())
  for name in ['foo.npz', 'with space.npz', 'notes.txt', '12-ab-3.npz']:
    (eps / name).write_text('hello')
  (eps / f'000000000001-{"a" * 32}-9.npz').mkdir()
  (eps / f'000000000002-{"a" * 32}-9.npz').symlink_to(good)
  os.mkfifo(eps / f'000000000003-{"a" * 32}-9.npz')
  store = storelib.Store(eps, 1e6, SPACES)
  assert list(read_all(store)) == [good.name]
  [record] = caplog.records
  assert 'ignored 7 entries' in record.message
  assert len(os.listdir(eps)) == 8 and not quarantined(store)


def test_order_follows_the_sequence_and_not_the_clock(eps):
  later = put(eps, make_episode(), head='20990101T000000')
  first = put(eps, make_episode(), head='20210101T000000')
  names = [
      put(eps, make_episode(), head=f'{seq:012d}') for seq in (10, 2, 9)]
  for path in names:  # Neither does the time of the file matter.
    os.utime(path, (0, 10 ** 9 - storelib.parse(path.name)[0]))
  want = [first, later, names[1], names[2], names[0]]
  store = storelib.Store(eps, 1e6, SPACES)
  assert store.scan()[0] == [x.name for x in want]


def test_episodes_of_another_environment_stop_the_run_untouched(eps):
  for _ in range(3):
    put(eps, make_episode(image=np.zeros((10, 8, 8, 3), np.uint8)))
  store = storelib.Store(eps, 1e6, SPACES)
  with pytest.raises(errors.StateError, match=r'\(8, 8, 3\).*\(4, 4, 1\)'):
    store.scan()
  assert len(os.listdir(eps)) == 3 and not quarantined(store)


def test_extra_keys_are_ignored_with_one_warning(eps, caplog):
  for _ in range(2):
    put(eps, make_episode(extra=np.zeros(10)))
  store = storelib.Store(eps, 1e6, SPACES)
  assert all('extra' not in x for x in read_all(store).values())
  assert [x.message for x in caplog.records] == [
      'ignored keys of stored episodes: extra']


def test_ram_holds_what_fits(eps):
  size = 10 * (16 + 8 + 4 + 3)
  store = storelib.Store(eps, 2.5 * size, SPACES)
  names = [store.save(i, make_episode(value=i)) for i in range(4)]
  assert store.ram_bytes == 2 * size
  for value, name in enumerate(names):
    assert store.load(name)['image'][0, 0, 0, 0] == value
  store.forget(names[0])
  assert store.ram_bytes == size
  store.load(names[3])
  assert store.ram_bytes == 2 * size


def test_rows_are_read_without_decoding_the_episode(eps, monkeypatch):
  image = np.random.default_rng(0).integers(0, 255, (10, 4, 4, 1), np.uint8)
  store = storelib.Store(eps, 0, SPACES)
  name = store.save(0, make_episode(image=image))
  store.load(name)  # Checked once, as a whole.
  monkeypatch.setattr(zipfile, 'ZipFile', None)
  out = {'image': np.empty((3, 4, 4, 1), np.uint8)}
  store.read(name, 6, 9, out)
  np.testing.assert_array_equal(out['image'], image[6:9])
  os.truncate(eps / name, 200)
  with pytest.raises(storelib.EpisodeError, match='became shorter'):
    store.read(name, 6, 9, out)


def test_forgotten_episodes_stay_out_of_ram(eps):
  store = storelib.Store(eps, 1e6, SPACES)
  name = store.save(0, make_episode())
  store.forget(name)
  assert len(store.load(name)['image']) == 10 and store.ram_bytes == 0


def test_compressed_files_take_turns_in_ram(eps):
  size = 10 * (16 + 8 + 4 + 3)
  for value in range(3):
    put(eps, make_episode(value=value))
  store = storelib.Store(eps, 2.5 * size, SPACES)
  names, _ = store.scan()
  for name in names * 2:
    kept = store.load(name)
    assert store.load(name) is kept and store.ram_bytes <= 2 * size


def test_a_full_disk_is_retried_and_then_reported(
    eps, monkeypatch, caplog):
  store = storelib.Store(eps, 1e6, SPACES)
  old = store.save(0, make_episode())
  monkeypatch.setattr(storelib, 'WRITE_WAITS', (0.0, 0.01, 0.02))
  fail, replace = [], os.replace

  def broken(source, target):
    if fail:
      fail.pop()
      raise OSError(28, 'No space left on device')
    replace(source, target)

  monkeypatch.setattr(os, 'replace', broken)
  fail.extend('123')  # The fourth try succeeds.
  store.save(1, make_episode())
  assert len(caplog.records) == 3 and 'No space left' in caplog.text
  fail.extend('1234')
  with pytest.raises(errors.StorageError, match='No space left.*free disk'):
    store.save(2, make_episode())
  assert len(os.listdir(eps)) == 2 and old in os.listdir(eps)


def test_a_folder_below_a_file_is_a_storage_error(tmp_path, eps):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.StorageError, match='can not hold episodes'):
    storelib.Store(tmp_path / 'file' / 'eps', 1e6)


def test_spaces_must_be_complete(eps):
  with pytest.raises(ValueError, match="need the keys .*'action', 'reward'"):
    storelib.Store(eps, 1e6, {'image': SPACES['image']})


WRITER = """
import sys, os, time, zipfile
import numpy as np
from dreamerv2_tf.data import store
rows = 250
flags = np.arange(rows) == 0, np.arange(rows) == rows - 1
episode = {
    'image': np.zeros((rows, 64, 64, 3), np.uint8),
    'action': np.zeros((rows, 2)), 'reward': np.zeros(rows),
    'is_first': flags[0], 'is_last': flags[1], 'is_terminal': flags[1]}
def stop(*args, **kwargs):
  print('stopped', flush=True)
  time.sleep(3600)
writer = store.Store(sys.argv[1], 0)
for seq in range(3):
  writer.save(seq, episode)
setattr({'zipfile': zipfile.ZipFile, 'os': os}[sys.argv[2]], sys.argv[3], stop)
writer.save(3, episode)
"""


@pytest.mark.parametrize('place', [
    ('zipfile', 'open'), ('zipfile', 'close'), ('os', 'fsync'),
    ('os', 'replace')])
def test_a_kill_while_writing_leaves_whole_files_only(place, tmp_path):
  child = subprocess.Popen(
      [sys.executable, '-c', WRITER, tmp_path, *place], stdout=subprocess.PIPE,
      cwd=pathlib.Path(storelib.__file__).parents[2])
  try:
    assert child.stdout.readline() == b'stopped\n'
  finally:
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
  [debris] = [x for x in os.listdir(tmp_path) if x.startswith('.tmp-')]
  store = storelib.Store(tmp_path, 0)
  assert debris not in os.listdir(tmp_path)
  names, bad = store.scan()
  assert bad == 0 and sorted(os.listdir(tmp_path)) == sorted(names)
  assert [storelib.parse(x)[0] for x in names] == [0, 1, 2]
  for name in names:
    assert len(store.load(name)['image']) == 250
