"""Episodes that other programs have written, made by hand."""

import os
import uuid

import numpy as np
import pytest
import runs

from dreamerv2_tf import errors
from dreamerv2_tf.data import scan
from dreamerv2_tf.data.replay import Replay
from dreamerv2_tf.data.store import Store

SPACES = {
    'image': ((2, 3, 1), np.uint8),
    'speed': ((1,), np.float32),
    'action': ((2,), np.float32),
    'reward': ((), np.float32),
    'is_first': ((), bool),
    'is_last': ((), bool),
    'is_terminal': ((), bool),
}
IMAGE = np.arange(24, dtype=np.uint8).reshape(4, 2, 3, 1)


def flags(*rows):
  return np.isin(np.arange(4), rows)


def episode(**changes):
  """Three steps in the layout of the original; None leaves a key out."""
  arrays = {
      'image': IMAGE,
      'speed': np.array([[1], [2], [3], [4]], np.float32),
      'action': np.float32([[0, 0], [0, 1], [0, 1], [1, 0]]),
      'reward': np.array([0, 1, 2, 3], np.float32),
      'is_first': flags(0), 'is_last': flags(3), 'is_terminal': flags(3)}
  return {k: v for k, v in {**arrays, **changes}.items() if v is not None}


def bare(**changes):
  """Without flags, as programs of before 2021 store it, and ports of them."""
  return episode(is_first=None, is_last=None, is_terminal=None, **changes)


def put(folder, arrays, number=3, key=None, time='20220101T123456', count=1):
  for _ in range(count):
    name = f'{time}-{key or uuid.uuid4().hex}-{number}.npz'
    np.savez_compressed(folder / name, **arrays)
  return name


@pytest.fixture
def eps(tmp_path):
  (tmp_path / 'eps').mkdir()
  return tmp_path / 'eps'


def load(eps, **kwargs):
  store = Store(eps, 1e6, SPACES)
  [name], _ = store.scan()
  return store.load(name)


def refused(eps, match):
  """Asserts that a start is refused in one line and changes nothing."""
  before = sorted(os.listdir(eps))
  with pytest.raises(errors.StateError, match=match) as caught:
    Store(eps, 1e6, SPACES).scan()
  assert '\n' not in str(caught.value)
  assert 'nothing was moved' in str(caught.value)
  assert sorted(os.listdir(eps)) == before
  assert os.listdir(eps.parent) == ['eps']


def assert_original(arrays):
  expected = episode()
  assert set(arrays) == set(expected)
  for key, (_, dtype) in SPACES.items():
    assert arrays[key].dtype == dtype, key
    np.testing.assert_array_equal(arrays[key], expected[key], err_msg=key)


@pytest.mark.parametrize('arrays', [
    bare(terminal=flags(3)),
    bare(terminal=flags(3).astype(np.float32)),
    bare(terminal=flags(3)[:, None].astype(np.uint8), reset=flags(0)),
    bare(nonterminal=1 - flags(3).astype(np.float16)[:, None]),
    bare(discount=np.array([1, 1, 1, 0], np.float32)),
    bare(discount=np.array([1, 1, 1, 0.0]), terminal=flags(3)),
    episode(is_last=None, discount=np.ones(4)),  # is_terminal says more.
    episode(is_first=flags(0).astype(np.int64)),
], ids=lambda arrays: '-'.join(sorted(set(arrays) - set(SPACES))) or 'dtype')
def test_flags_are_told_by_what_the_file_holds(eps, arrays):
  put(eps, arrays)
  assert_original(load(eps))


def test_an_episode_that_a_time_limit_ended_is_not_terminal(eps):
  put(eps, bare(discount=np.ones(4)))
  arrays = load(eps)
  assert arrays['is_last'].tolist() == [False, False, False, True]
  assert not arrays['is_terminal'].any()


@pytest.mark.parametrize('changes', [
    {'reward': np.array([[0], [1], [2], [3]], np.float64)},
    {'reward': np.array([0, 1, 2, 3], np.float16)},
    {'reward': np.array([0, 1, 2, 3])},
    {'action': episode()['action'].astype(np.int64)},
    {'action': episode()['action'].astype(np.float64)},
    {'speed': np.array([1, 2, 3, 4], np.float16)},
    {'image': IMAGE[..., 0]},
    {'image': IMAGE.transpose(0, 3, 1, 2)},
    {'image': IMAGE.astype(np.int32)},
    {'logprob': np.zeros(4), 'name': np.array('episode'), 'more': np.ones(9),
     'policy_value': np.full(4, np.nan)},
], ids=str)
def test_shapes_and_dtypes_with_one_meaning_are_read(eps, changes):
  put(eps, episode(**changes))
  assert_original(load(eps))


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_pictures_with_channels_first_are_read_by_rows(eps, save):
  spaces = {**SPACES, 'image': ((2, 4, 3), np.uint8)}
  image = np.arange(96, dtype=np.uint8).reshape(4, 2, 4, 3)
  name = put(eps, {})
  save(eps / name, **bare(
      image=image.transpose(0, 3, 1, 2), discount=np.array([1, 1, 1, 0])))
  store = Store(eps, 0, spaces)
  assert store.scan() == ([name], 0)
  out = {'image': np.empty((2, 2, 4, 3), np.uint8),
         'is_terminal': np.empty(2, bool)}
  for _ in range(2):
    store.read(name, 2, 4, out)
    np.testing.assert_array_equal(out['image'], image[2:])
    assert out['is_terminal'].tolist() == [False, True]


@pytest.mark.parametrize('key', [None, '01234567-89ab-cdef-0123-456789abcdef'])
@pytest.mark.parametrize('number', [3, 4])
def test_names_may_give_steps_or_rows(eps, key, number):
  put(eps, episode(), number, key)
  replay = Replay(eps, minlen=1, maxlen=0, spaces=SPACES)
  assert replay.stats['total_steps'] == 3
  dataset = replay.dataset(1, 4)
  batch = next(dataset)
  dataset.close()
  np.testing.assert_array_equal(batch['reward'], [[0, 1, 2, 3]])


def test_names_of_files_that_were_not_opened_count_as_the_others(
    eps, monkeypatch):
  monkeypatch.setattr(scan, 'CHECKED_AT_START', 2)
  monkeypatch.setattr(scan, 'OLDER_AT_START', 2)
  put(eps, episode(), 4, count=9)
  store = Store(eps, 1e6, SPACES)
  names, bad = store.scan()
  assert bad == 0 and [store.steps(name) for name in names] == [3] * 9
  # One that gives steps: all are opened now.
  put(eps, episode(), 3, time='20230101T000000')
  store = Store(eps, 1e6, SPACES)
  names, bad = store.scan()
  assert bad == 0 and [store.steps(name) for name in names] == [3] * 10
  assert sum(len(store.load(name)['reward']) for name in names) == 40


def test_a_number_that_is_neither_is_refused(eps):
  put(eps, episode(), 7)
  refused(eps, '4 rows, but its name promises 8')


def test_our_own_names_give_steps_only(eps):
  put(eps, episode(), 4, time='000000000000')
  refused(eps, '4 rows, but its name promises 5')


def test_what_was_read_otherwise_is_said_once(eps, caplog):
  put(eps, bare(discount=np.ones(4), image=IMAGE[..., 0]), 4, count=3)
  store = Store(eps, 1e6, SPACES)
  for name in store.scan()[0]:
    store.load(name)
  [record] = caplog.records
  assert record.message == (
      'read episodes of another program: image with rows (2, 3) for (2, 3, 1), '
      'is_first from the number of rows, is_last from the number of rows, '
      'is_terminal from discount, names give rows')


@pytest.mark.parametrize('arrays, match', [
    (bare(), "'is_terminal' is missing, and so are terminal, nonterminal"),
    (bare(done=flags(3)), "'is_terminal' is missing"),
    (bare(discount=np.array([1, 0.99, 0.98, 0])), "'discount' holds 0.99"),
    (bare(discount=np.array([1, 0, 1, 1])), 'without is_last at row 1 of 4'),
    (bare(discount=np.ones(4), terminal=flags(3)),
     "'terminal' and 'discount' contradict each other"),
    (bare(terminal=flags(3), reset=flags(0, 2)), r'set at rows \[0, 2\]'),
    (episode(is_first=flags(0, 2), is_last=None), r'set at rows \[0, 2\]'),
    (episode(image=IMAGE / 255), 'scale of such images is not known'),
    (episode(image=IMAGE.astype(np.int16) - 1), "'image' holds -1, too small"),
    (episode(image=IMAGE.transpose(0, 2, 1, 3)), r'has shape \(3, 2, 1\) per'),
    (episode(image=None, image_t=IMAGE.transpose(1, 2, 3, 0)),
     "'image' is missing"),
    (episode(action=np.array([0, 1, 1, 0])), r"'action' has shape \(\) per"),
    (episode(action=np.eye(2)[[1, 1, 0, 0]]),
     r"'action' is \[0.0, 1.0\] at row 0, expected zeros"),
    (episode(reward=np.array([1, 2, 3, 0.0])), "'reward' is 1.0 at row 0"),
    (episode(reward=np.zeros((4, 2))), r"'reward' has shape \(2,\) per row"),
    (episode(reward=np.zeros(5)), "'reward' has 5 rows, 'action' has 4"),
])
@pytest.mark.parametrize('count', [1, 5])
def test_what_is_not_certain_is_refused_untouched(eps, arrays, match, count):
  put(eps, arrays, count=count)
  refused(eps, f'{count} of {count} episodes .*{match}')


@pytest.mark.parametrize('name', [
    'ep000000_000001-r5-0003.npz',
    f'20230101T000000F123456-{"a" * 22}-{"0" * 22}-1024.npz',
    'episode_1.npz', f'12-{"a" * 32}-3.npz'])
def test_names_of_other_kinds_are_refused_untouched(eps, name):
  np.savez(eps / name, **episode())
  refused(eps, f'1 of 1 files have names .* such as {name!r}, expected')


def test_some_other_files_beside_episodes_are_ignored(eps, caplog):
  put(eps, episode(), count=4)
  for number in range(4):
    np.savez(eps / f'{number}.npz', **episode())
  assert len(Store(eps, 1e6, SPACES).scan()[0]) == 4
  assert 'ignored 4 entries' in caplog.text
  np.savez(eps / '4.npz', **episode())
  refused(eps, '5 of 9 files have names')


def test_values_of_some_files_are_looked_at_before_the_start(eps):
  put(eps, episode(action=np.eye(2)[[1, 1, 0, 0]]), count=30)
  put(eps, episode(), count=3, time='000000000000')
  refused(eps, '30 of 33 episodes .* at row 0, expected zeros')


def counted(steps, **changes):
  """An episode of gym_toys:Plan-v0 in the layout of older programs."""
  rows = np.arange(steps + 1)
  return {
      'vector': np.stack([rows / 10, 0 * rows, 0 * rows], 1),
      'action': np.eye(2)[rows % 2] * (rows > 0)[:, None],
      'reward': (rows > 0).astype(np.float64), 'discount': rows < steps,
      **changes}


def test_a_run_begins_with_episodes_of_others_or_leaves_no_trace(
    launcher, tmp_path):
  eps = tmp_path / 'train_episodes'
  eps.mkdir()
  put(eps, counted(7), 8, count=3)
  put(eps, counted(7, vector=np.zeros([8, 4])), 8, time='20220202T000000',
      count=4)
  flags = *runs.TOY, '--steps', 21, '--eval_every', 0
  before = sorted(tmp_path.rglob('*')), runs.tree(tmp_path)
  _, err = launcher.call(tmp_path, *flags, status=3)
  last = err.splitlines()[-1]
  assert '4 of 7 episodes are damaged or of another environment' in last
  assert "'vector' has shape (4,) per row, expected (3,)" in last
  assert (sorted(tmp_path.rglob('*')), runs.tree(tmp_path)) == before
  for path in eps.glob('20220202T*'):
    path.unlink()
  out, err = launcher.call(tmp_path, *flags)
  assert 'no checkpoint; 3 episodes, 21 steps in replay' in out
  assert 'is_terminal from discount' in err
  assert not (tmp_path / 'quarantine').exists()
