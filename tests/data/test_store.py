"""Episodes that are stored, read as a whole or by rows, and put aside."""

import os
import zipfile

import numpy as np
import pytest
from stored import SPACES, make_episode, put, quarantined

from dreamerv2_tf import errors
from dreamerv2_tf.data import store as storelib
from dreamerv2_tf.data.layout import EpisodeError
from dreamerv2_tf.data.store import Store


@pytest.fixture
def eps(tmp_path):
  """A folder with room for a quarantine beside it."""
  (tmp_path / 'eps').mkdir()
  return tmp_path / 'eps'


def test_saved_files_have_the_promised_names_dtypes_and_load_anywhere(tmp_path):
  store = Store(tmp_path, 1e6)
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
  store = Store(eps, ram, SPACES)
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
  store = Store(eps, 0, SPACES)
  [name], _ = store.scan()
  for _ in range(2):
    out = {'image': np.empty((3, 4, 4, 1), np.uint8),
           'reward': np.empty(3, np.float32),
           'action': np.empty((3, 2), np.float32)}
    store.read(name, 2, 5, out)
    np.testing.assert_array_equal(out['image'], image[2:5])
    np.testing.assert_array_equal(out['reward'], [2, 3, 4])
    np.testing.assert_array_equal(out['action'], np.ones((3, 2)))


def test_episodes_of_another_environment_stop_the_run_untouched(eps):
  for _ in range(3):
    put(eps, make_episode(image=np.zeros((10, 8, 8, 3), np.uint8)))
  store = Store(eps, 1e6, SPACES)
  with pytest.raises(errors.StateError, match=r'\(8, 8, 3\).*\(4, 4, 1\)'):
    store.scan()
  assert len(os.listdir(eps)) == 3 and not quarantined(store)


def test_ram_holds_what_fits(eps):
  size = 10 * (16 + 8 + 4 + 3)
  store = Store(eps, 2.5 * size, SPACES)
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
  store = Store(eps, 0, SPACES)
  name = store.save(0, make_episode(image=image))
  store.load(name)  # Checked once, as a whole.
  monkeypatch.setattr(zipfile, 'ZipFile', None)
  out = {'image': np.empty((3, 4, 4, 1), np.uint8)}
  store.read(name, 6, 9, out)
  np.testing.assert_array_equal(out['image'], image[6:9])
  os.truncate(eps / name, 200)
  with pytest.raises(EpisodeError, match='became shorter'):
    store.read(name, 6, 9, out)


def test_forgotten_episodes_stay_out_of_ram(eps):
  store = Store(eps, 1e6, SPACES)
  name = store.save(0, make_episode())
  store.forget(name)
  assert len(store.load(name)['image']) == 10 and store.ram_bytes == 0


def test_compressed_files_take_turns_in_ram(eps):
  size = 10 * (16 + 8 + 4 + 3)
  for value in range(3):
    put(eps, make_episode(value=value))
  store = Store(eps, 2.5 * size, SPACES)
  names, _ = store.scan()
  for name in names * 2:
    kept = store.load(name)
    assert store.load(name) is kept and store.ram_bytes <= 2 * size


def test_a_full_disk_is_retried_and_then_reported(
    eps, monkeypatch, caplog):
  store = Store(eps, 1e6, SPACES)
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
  with pytest.raises(errors.StorageError, match='No space left.*some space'):
    store.save(2, make_episode())
  assert len(os.listdir(eps)) == 2 and old in os.listdir(eps)


def test_a_folder_below_a_file_is_a_storage_error(tmp_path, eps):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.StorageError, match='can not hold episodes'):
    Store(tmp_path / 'file' / 'eps', 1e6)


def test_spaces_must_be_complete(eps):
  with pytest.raises(ValueError, match="need the keys .*'action', 'reward'"):
    Store(eps, 1e6, {'image': SPACES['image']})
