"""Episodes of the original and of its ports, as a new run takes them in."""

import json
import os
import signal

import elsewhere
import numpy as np
import pytest

from dreamerv2_tf import errors, files
from dreamerv2_tf.data import importing
from dreamerv2_tf.data.replay import Replay


def are_actions(actions):
  return (np.sort(actions, 1) == [0, 1]).all(1)


def take(source, folder, **kwargs):
  folder.mkdir(exist_ok=True)
  return importing.take(
      source, folder, elsewhere.SPACES, are_actions, **kwargs)


def stored(folder):
  """Returns the episodes of a new run, in their order, and checks them."""
  eps = folder / 'train_episodes'
  replay = Replay(eps, minlen=1, spaces=elsewhere.SPACES, seed=0)
  names = sorted(os.listdir(eps))
  assert replay.stats['loaded_episodes'] == len(names)
  return [dict(np.load(eps / name, allow_pickle=False)) for name in names]


def assert_episodes(folder, lengths):
  found = stored(folder)
  assert len(found) == len(lengths)
  for number, (got, steps) in enumerate(zip(found, lengths)):
    want = elsewhere.rows(steps, number)
    assert set(got) == set(want)
    for key, value in want.items():
      np.testing.assert_array_equal(got[key], value, err_msg=key)
      assert got[key].dtype == value.dtype, key


def refused(source, folder, match, kind=errors.StateError, **kwargs):
  """Asserts that nothing is left in the new folder nor changed in the old."""
  folder.mkdir(exist_ok=True)
  before = sorted(folder.rglob('*'))
  with pytest.raises(kind, match=match) as info:
    take(source, folder, **kwargs)
  assert '\n' not in str(info.value)
  assert sorted(folder.rglob('*')) == before


@pytest.mark.parametrize('place', ['', 'train_episodes'])
def test_a_run_folder_of_the_original_and_its_episodes_are_the_same(
    tmp_path, place):
  source = elsewhere.original(tmp_path / 'there', (7, 3, 12))
  taken = take(source / place, tmp_path / 'new')
  assert (taken.episodes, taken.steps) == (3, 22)
  assert_episodes(tmp_path / 'new', (7, 3, 12))
  assert taken.line() == (
      f'Imported      3 episodes, 22 steps from {source / "train_episodes"} '
      '(vector from image)')


def test_arrays_of_a_run_folder_that_are_no_episodes_are_let_be(tmp_path):
  source = elsewhere.original(tmp_path / 'there')
  np.savez(source / 'dream.npz', image=np.zeros(3))
  assert take(source, tmp_path / 'new').episodes == 3


def test_episodes_of_evaluation_are_taken_if_asked_for(tmp_path):
  source = elsewhere.original(tmp_path / 'there')
  assert take(source / 'eval_episodes', tmp_path / 'new').episodes == 1


@pytest.mark.parametrize('parts', [1, 2, 3])
@pytest.mark.parametrize('numbers', [False, True])
def test_files_of_pydreamer_hold_many_episodes_or_a_part_of_one(
    tmp_path, parts, numbers):
  source = elsewhere.pydreamer(
      tmp_path / 'mlruns' / 'episodes_train' / '0', (7, 5), parts, numbers)
  taken = take(source.parent.parent, tmp_path / 'new')
  assert_episodes(tmp_path / 'new', (7, 5))
  for number, place in enumerate([source.parent, source]):
    assert take(place, tmp_path / f'other{number}').episodes == 2
  assert 'is_terminal from terminal' in taken.line()


@pytest.mark.parametrize('size', [3, 6, 100])
@pytest.mark.parametrize('numbers', [False, True])
def test_chunks_of_dreamerv3_are_joined_and_actions_moved(
    tmp_path, size, numbers):
  elsewhere.dreamerv3(tmp_path / 'there' / 'replay', (7, 5, 4), size, numbers)
  taken = take(tmp_path / 'there', tmp_path / 'new')
  assert_episodes(tmp_path / 'new', (7, 5, 4))
  assert taken.notes == ['actions moved to the rows that they led to']


def test_episodes_without_beginning_or_end_are_left_out(tmp_path):
  source = elsewhere.dreamerv3(
      tmp_path / 'replay', (7, 5, 4), size=6, unfinished=2)
  min(source.iterdir()).unlink()  # Of the episode of 7 steps.
  taken = take(source, tmp_path / 'new')
  assert (taken.episodes, taken.steps, taken.parts) == (1, 5, 2)
  [got] = stored(tmp_path / 'new')
  np.testing.assert_array_equal(got['vector'], elsewhere.rows(5, 1)['vector'])
  assert 'left out 2: ' in taken.line() and 'and 1 more' in taken.line()
  assert 'the beginning of the episode is missing' in taken.line()


def test_an_order_of_actions_that_zeros_show_is_kept_to(tmp_path):
  source = tmp_path / 'there'
  source.mkdir()
  episode = elsewhere.rows(5)
  episode['action'] = np.roll(episode['action'], -1, 0)
  np.savez(source / 'first.npz', **episode)
  assert take(source, tmp_path / 'new').notes == [importing.MOVED]
  assert_episodes(tmp_path / 'new', (5,))
  np.savez(source / 'second.npz', **elsewhere.rows(5))
  refused(source, tmp_path / 'other', 'in others it follows it')


@pytest.mark.parametrize('changes, match', [
    ({'action': np.eye(2)[[0, 1, 0, 1]]}, 'zeros in the first, if an action'),
    ({'action': np.array([0, 1, 0, 1])}, 'holds numbers of actions'),
    ({'reward': np.ones(4)}, "'reward' is 1.0 at row 0"),
    ({'action': np.array([[0, 0], [0, 1], [1, 1], [0, 1.0]])},
     'not in the action space'),
    ({'vector': np.zeros((4, 2))}, 'has shape \\(2,\\) per row'),
    ({'vector': np.full((4, 3), np.nan)}, 'must be a finite'),
    ({'vector': np.array([{}] * 4)}, 'pickled objects'),
    ({'reward': np.ones(3)}, 'different lengths'),
    ({'is_last': np.zeros(4)}, 'the end of the episode is missing'),
    ({'is_terminal': np.array([0, 1, 0, 0])}, 'without is_last at row 1'),
])
def test_what_is_not_certain_is_refused_and_nothing_remains(
    tmp_path, changes, match):
  source = tmp_path / 'there'
  source.mkdir()
  np.savez(source / 'one.npz', **{**elsewhere.rows(3), **changes})
  before = (source / 'one.npz').read_bytes()
  refused(source, tmp_path / 'new', f'1 of 1 episodes .*one.npz: .*{match}')
  assert (source / 'one.npz').read_bytes() == before


def test_known_programs_whose_files_say_otherwise_are_refused(tmp_path):
  source = elsewhere.dreamerv3(tmp_path / 'replay', (5,), 100)
  [path] = source.iterdir()
  np.savez(path, **elsewhere.rows(5))
  refused(source, tmp_path / 'new', 'expected zeros in the first')


def test_a_few_bad_files_are_left_out_and_many_refuse_all(tmp_path):
  source = elsewhere.original(tmp_path / 'there', (7,) * 6) / 'train_episodes'
  for path in sorted(source.iterdir())[:3]:
    path.write_bytes(path.read_bytes()[:-40])
  taken = take(source, tmp_path / 'new')
  assert (taken.episodes, taken.unfit) == (3, 3)
  assert 'BadZipFile' in taken.line()
  for number in range(6, 8):
    (source / elsewhere.name(number, 7)).write_bytes(b'no')
  refused(source, tmp_path / 'other', '5 of 8 episodes can not be used')


def test_chains_that_go_in_circles_or_are_cut_end(tmp_path):
  source = elsewhere.dreamerv3(tmp_path / 'replay', (7, 5), size=6)
  last = max(source.iterdir())
  last.rename(source / last.name.replace('0' * 22, f'{1:022d}'))
  assert take(source, tmp_path / 'new').episodes >= 1


def test_a_signal_ends_it_and_leaves_nothing(tmp_path):
  source = elsewhere.original(tmp_path / 'there')
  refused(
      source, tmp_path / 'new', 'Stopped by SIGTERM', errors.Interrupted,
      stop=iter([0, signal.SIGTERM]).__next__)


def test_a_killed_import_is_done_anew(tmp_path, monkeypatch):
  """A kill shows as what stands on the disk when it comes."""
  source, new = elsewhere.original(tmp_path / 'there'), tmp_path / 'new'
  take(source, tmp_path / 'whole')
  count = 0
  def die(path, fill, write=files.write):
    nonlocal count
    count += 1
    if count > 2:
      raise KeyboardInterrupt
    write(path, fill)
  with monkeypatch.context() as patch:
    patch.setattr(files, 'write', die)
    patch.setattr(importing.shutil, 'rmtree', lambda *args, **kwargs: None)
    with pytest.raises(KeyboardInterrupt):
      take(source, new)
  [left] = new.iterdir()
  assert left.name.startswith(files.PREFIX) and len(os.listdir(left)) == 2
  take(source, new)
  assert_episodes(new, (7, 7, 7))
  assert sorted(os.listdir(new)) == ['import.json', 'train_episodes']
  (new / 'import.json').unlink()  # Killed before it was written.
  assert take(source, new).episodes == 3
  assert {*os.listdir(new / 'train_episodes')} == {
      *os.listdir(tmp_path / 'whole' / 'train_episodes')}


def test_a_folder_with_other_episodes_is_refused(tmp_path):
  source = elsewhere.original(tmp_path / 'there')
  new = elsewhere.original(tmp_path / 'new', (3,))
  refused(source, new, 'holds episodes already', errors.ConfigError)


def test_a_full_disk_is_told_and_nothing_remains(tmp_path, monkeypatch):
  source = elsewhere.original(tmp_path / 'there')
  def fail(*args, **kwargs):
    raise OSError(28, 'No space left on device', 'x.npz')
  monkeypatch.setattr(files, 'write', fail)
  refused(
      source, tmp_path / 'new', 'No space left on device', errors.StorageError)


@pytest.mark.parametrize('make, match', [
    (lambda path: None, 'is no folder'),
    (lambda path: path.mkdir(), 'no episodes in'),
    (lambda path: path.write_text(''), 'is no folder')])
def test_folders_without_episodes_are_refused_at_once(tmp_path, make, match):
  make(tmp_path / 'there')
  with pytest.raises(errors.ConfigError, match=match):
    importing.check(tmp_path / 'there', tmp_path / 'new')


def test_a_run_that_has_begun_imports_nothing_again(tmp_path):
  source, new = elsewhere.original(tmp_path / 'there'), tmp_path / 'new'
  assert importing.check(source, new)
  take(source, new)
  assert importing.check(source, new)
  (new / 'run.json').write_text('{}')
  assert not importing.check(source, new)
  record = json.loads((new / 'import.json').read_text())
  assert (record['episodes'], record['steps']) == (3, 21)
  with pytest.raises(errors.ConfigError, match='has begun without'):
    importing.check(source / 'eval_episodes', new)
