"""Faults 1 to 17: whole episodes are kept, and nothing else is sampled."""

import io
import itertools
import json
import os
import pathlib
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile

import coded
from coded import check_joined, fill, make_rows
import numpy as np
import pytest
import runs
from stored import SPACES, make_episode, put, quarantined, read_all

from dreamerv2_tf import errors
from dreamerv2_tf.data import scan
from dreamerv2_tf.data import store as storelib
from dreamerv2_tf.data.episodes import parse
from dreamerv2_tf.data.layout import EpisodeError
from dreamerv2_tf.data.store import Store

ROOT = pathlib.Path(__file__).parents[2]


def marked(number, *values):
  """Parameters of a test that inject the fault of this number."""
  return pytest.param(*values, marks=pytest.mark.fault(number))


def failure(logdir):
  return json.loads((logdir / 'failure.json').read_text())


def at(rows, *where):
  flags = np.zeros(rows, bool)
  flags[list(where)] = True
  return flags


@pytest.fixture
def eps(tmp_path):
  """A folder with room for a quarantine beside it."""
  (tmp_path / 'eps').mkdir()
  return tmp_path / 'eps'


@pytest.fixture
def make(tmp_path):
  with coded.replays(tmp_path / 'eps') as make:
    yield make


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


@pytest.mark.fault(1)
@pytest.mark.parametrize('place', [
    ('zipfile', 'open'), ('zipfile', 'close'), ('os', 'fsync'),
    ('os', 'replace')])
def test_a_kill_while_writing_leaves_whole_files_only(place, tmp_path):
  child = subprocess.Popen(
      [sys.executable, '-c', WRITER, tmp_path, *place], stdout=subprocess.PIPE,
      cwd=ROOT)
  try:
    assert child.stdout.readline() == b'stopped\n'
  finally:
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
  [debris] = [x for x in os.listdir(tmp_path) if x.startswith('.tmp-')]
  store = Store(tmp_path, 0)
  assert debris not in os.listdir(tmp_path)
  names, bad = store.scan()
  assert bad == 0 and sorted(os.listdir(tmp_path)) == sorted(names)
  assert [parse(x)[0] for x in names] == [0, 1, 2]
  for name in names:
    assert len(store.load(name)['image']) == 250


# Tells the name of each episode, of 5 MB, once it is saved.
LOOP = WRITER.split('writer =')[0] + """
episode['image'] = np.zeros((rows, 80, 80, 3), np.uint8)
writer = store.Store(sys.argv[1], 0)
seq = int(sys.argv[2])
while True:
  print(writer.save(seq, episode), flush=True)
  seq += 1
"""


@pytest.mark.fault(1)
@pytest.mark.minutes
def test_kills_at_any_time_lose_one_episode_at_most(tmp_path):
  rng = random.Random(0)
  known = set()
  for _ in range(25):
    child = subprocess.Popen(
        [sys.executable, '-c', LOOP, tmp_path / 'eps', str(len(known))],
        stdout=subprocess.PIPE, text=True, cwd=ROOT)
    told = {child.stdout.readline().strip()}
    time.sleep(rng.uniform(0.01, 0.06))  # Where in a save does not matter.
    child.kill()
    told |= {name.strip() for name in child.stdout}
    child.wait()
    child.stdout.close()
    assert len(told) > 1 or '' not in told
    store = Store(tmp_path / 'eps', 0)
    names, bad = store.scan()
    assert bad == 0 and sorted(os.listdir(tmp_path / 'eps')) == sorted(names)
    assert known | told <= set(names)
    assert len(names) - len(known | told) in (0, 1)  # Saved but not told.
    for name in set(names) - known:
      assert len(store.load(name)['image']) == 250
    known = set(names)


@pytest.mark.fault(2)
@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@pytest.mark.parametrize('share', [0, 0.01, 0.5, 0.95, 0.999])
def test_truncated_files_are_put_aside(eps, save, share):
  good = put(eps, make_episode())
  bad = put(eps, make_episode(value=2), save=save)
  bad.write_bytes(bad.read_bytes()[:int(share * bad.stat().st_size)])
  store = Store(eps, 1e6, SPACES)
  assert list(read_all(store)) == [good.name]
  assert quarantined(store) == [bad.name]


def damaged(eps, count, head):
  """Adds truncated files whose names begin with this."""
  for _ in range(count):
    path = put(eps, make_episode(), head=head)
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.fault(2)
@pytest.mark.parametrize('head', ['20220101T123456', '000000000000'])
@pytest.mark.parametrize('good, bad', [(4, 4), (30, 30), (0, 3)])
def test_half_of_a_folder_may_be_put_aside(eps, head, good, bad):
  for _ in range(good):
    put(eps, make_episode(), head=head)
  damaged(eps, bad, head)
  store = Store(eps, 1e6, SPACES)
  names, skipped = store.scan()
  assert (len(names), skipped, len(quarantined(store))) == (good, bad, bad)


@pytest.mark.fault(2)
@pytest.mark.parametrize('good, bad, head', [
    (4, 5, '20220101T123456'),
    (3, 20, '000000000001')])  # Of the older 20, five are looked at.
def test_more_than_half_of_a_folder_stays_where_it_is(
    eps, monkeypatch, good, bad, head):
  monkeypatch.setattr(scan, 'CHECKED_AT_START', 4)
  monkeypatch.setattr(scan, 'OLDER_AT_START', 5)
  for _ in range(good):
    put(eps, make_episode(), head='000000000009')
  damaged(eps, bad, head)
  store = Store(eps, 1e6, SPACES)
  with pytest.raises(errors.StateError, match=(
      rf'{bad} of {good + bad} episodes are damaged .*BadZipFile.*; then \S+, '
      r'\S+ and \d+ more; nothing was moved: move such files out of this '
      'folder')) as info:
    store.scan()
  for name in re.findall(r'[\w-]+[.]npz', str(info.value)):
    (eps / name).read_bytes()  # Those that it names are there, and damaged.
    with pytest.raises(EpisodeError):
      store.load(name)
  assert len(os.listdir(eps)) == good + bad and not quarantined(store)


@pytest.mark.fault(3)
@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_flipped_bits_are_found_by_their_crc(eps, save):
  path = put(eps, make_episode(), save=save)
  with zipfile.ZipFile(path) as archive:
    [info] = [x for x in archive.infolist() if x.filename == 'image.npy']
  data = bytearray(path.read_bytes())
  data[info.header_offset + 60 + info.compress_size - 30] ^= 16
  path.write_bytes(data)
  store = Store(eps, 1e6, SPACES)
  assert not read_all(store) and quarantined(store) == [path.name]


class Bomb:

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return (open, (str(self.path), 'w'))


@pytest.mark.fault(4)
def test_pickled_arrays_are_never_loaded(tmp_path, eps):
  touched = tmp_path / 'touched'
  bad = put(eps, make_episode(reward=np.array([Bomb(touched)] * 10, object)))
  store = Store(eps, 1e6, SPACES)
  assert not read_all(store)
  assert quarantined(store) == [bad.name] and not touched.exists()


@pytest.mark.fault(5)
def test_pickles_and_single_arrays_are_no_episodes(tmp_path, eps):
  touched = tmp_path / 'touched'
  raw, npy = put(eps, {}), put(eps, {})
  raw.write_bytes(pickle.dumps(Bomb(touched)))
  with npy.open('wb') as file:
    np.save(file, np.zeros(3))
  store = Store(eps, 1e6, SPACES)
  assert not read_all(store)
  assert quarantined(store) == sorted([raw.name, npy.name])
  assert not touched.exists()


def header(shape, descr='|u1'):
  file = io.BytesIO()
  np.lib.format.write_array_header_1_0(
      file, {'shape': shape, 'fortran_order': False, 'descr': descr})
  return file.getvalue()


def write_members(path, members):
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, data in members.items():
      archive.writestr(name, data)


@pytest.mark.fault(6)
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
  store = Store(eps, 1e6, SPACES)
  tracemalloc.start()
  try:
    assert list(read_all(store)) == [good.name]
    assert tracemalloc.get_traced_memory()[1] < 2_000_000  # Peak, bytes.
  finally:
    tracemalloc.stop()
  assert quarantined(store) == [bad.name]


@pytest.mark.parametrize('changes, message', [
    marked(7, {'reward': np.zeros(9)}, "'reward' has 9 rows, 'action' has 10"),
    marked(7, {'action': np.float32(1)}, "'image' has 10 rows, 'action' has 0"),
    marked(8, {'image': None}, "key 'image' is missing"),
    marked(8, {'reward': None}, "key 'reward' is missing"),
    marked(
        8, {'image': np.zeros((10, 4, 4, 3), np.uint8)},
        r'expected \(4, 4, 1\)'),
    marked(
        8, {'image': np.zeros((10, 4, 4, 1))},
        'has dtype float64, expected uint8'),
    marked(8, {'reward': np.full(10, 'x')}, 'must be numeric'),
    marked(
        8, {'count': np.full(10, 2 ** 40)},
        "'count' holds 1099511627776, too large"),
    marked(
        8, {'reward': [0.0, 1.0, np.nan] + [0.0] * 7},
        "'reward' is nan at row 2"),
    marked(8, {'reward': np.full(10, 1e300)}, 'must be a finite float32'),
    marked(
        11, {'is_first': at(10)},
        r'is_first is set at rows \[\], expected \[0\]'),
    marked(11, {'is_first': at(10, 0, 4)}, r'is_first is set at rows \[0, 4\]'),
    marked(
        11, {'is_last': at(10, 3, 9)},
        r'is_last is set at rows \[3, 9\], .* \[9\]'),
    marked(11, {'is_last': at(10)}, r'is_last is set at rows \[\]'),
    marked(
        11, {'is_terminal': at(10, 5)},
        'is_terminal without is_last at row 5'),
])
def test_invalid_episodes_are_refused_from_memory_and_from_disk(
    tmp_path, caplog, changes, message):
  spaces = {**SPACES, **(
      {'count': ((), np.int64)} if 'count' in changes else {})}
  store = Store(tmp_path / 'a', 1e6, spaces)
  with pytest.raises(EpisodeError, match=message):
    store.save(0, make_episode(**changes))
  assert not os.listdir(tmp_path / 'a')
  store = Store(tmp_path / 'b', 1e6, spaces)
  good = {'count': np.zeros(10, int)} if 'count' in changes else {}
  put(tmp_path / 'b', make_episode(**good))
  bad = put(tmp_path / 'b', make_episode(**changes))
  assert len(read_all(store)) == 1
  assert quarantined(store) == [bad.name] and not bad.exists()
  [record] = [x for x in caplog.records if 'corrupt' in x.message]
  assert bad.name in record.message


@pytest.mark.fault(8)
def test_extra_keys_are_ignored_with_one_warning(eps, caplog):
  for _ in range(2):
    put(eps, make_episode(extra=np.zeros(10)))
  store = Store(eps, 1e6, SPACES)
  assert all('extra' not in x for x in read_all(store).values())
  assert [x.message for x in caplog.records] == [
      'ignored keys of stored episodes: extra']


@pytest.mark.fault(9)
@pytest.mark.parametrize('rows', [0, 1])
def test_episodes_without_a_step_are_refused(eps, rows):
  store = Store(eps, 1e6, SPACES)
  with pytest.raises(EpisodeError, match='has at least 2'):
    store.save(0, make_episode(rows))


@pytest.mark.fault(9)
def test_an_episode_of_a_reset_alone_is_counted_and_warned_of_once(
    make, tmp_path, caplog):
  replay = make()
  for number in range(3):
    [row] = make_rows(number, 0)
    replay.add_step(row)
  assert replay.stats['episodes_rejected'] == 3
  assert not list((tmp_path / 'eps').iterdir())
  assert [x.message.split(':')[0] for x in caplog.records] == [
      'rejected short episode']


@pytest.mark.fault(9)
@pytest.mark.fault(10)
def test_short_and_invalid_episodes_are_counted(make, caplog):
  replay = make(minlen=3)
  for steps in (0, 2, 2):
    assert not replay.add_episode(coded.make_episode(0, steps))
  bad = coded.make_episode(0, 5)
  assert not replay.add_episode({**bad, 'reward': np.full(6, np.nan)})
  assert not replay.add_episode({**bad, 'reward': np.zeros(5)})
  assert not replay.add_episode({k: bad[k] for k in bad if k != 'action'})
  assert replay.stats['episodes_rejected'] == 6
  assert replay.stats['total_episodes'] == 0
  assert [x.message.split(':')[0] for x in caplog.records] == [
      'rejected short episode', 'rejected invalid episode']


@pytest.mark.fault(10)
@pytest.mark.parametrize('lengths', [[], [3, 4]])
def test_only_short_episodes_are_an_error_with_both_numbers(make, lengths):
  replay = make(minlen=50)
  for number, steps in enumerate(lengths):
    replay.add_episode(coded.make_episode(number, steps))
  with pytest.raises(errors.ConfigError, match=(
      f'longest of {len(lengths)} has {max(lengths, default=0)} steps, '
      'replay.minlen is 50')):
    next(replay.dataset(2, 10))


@pytest.mark.fault(10)
def test_hope_ends_after_many_rejections_without_a_long_running_episode(make):
  replay = make(minlen=4)
  fill_short = lambda: replay.add_episode(coded.make_episode(0, 3))
  assert not fill_short() and not fill_short()
  replay.give_up(3)
  for row in make_rows(1, 9)[:5]:  # Four steps: long enough.
    replay.add_step(row)
  assert not fill_short()
  replay.give_up(3)
  state = replay.state()
  again = make(minlen=4)
  again.load_state(state)
  with pytest.raises(errors.ConfigError, match='of 3 has 3 steps, replay.minl'):
    again.give_up(3)
  assert not replay.can_sample
  replay.end_episode()
  assert replay.can_sample
  replay.give_up(3)
  ongoing = make(replay._store.directory.parent / 'other', ongoing=True)
  for row in make_rows(1, 9)[:2]:
    assert not ongoing.can_sample
    ongoing.add_step(row)
  assert ongoing.can_sample


@pytest.mark.fault(10)
def test_stored_episodes_below_minlen_are_not_sampled(make, caplog):
  fill(make(), [2, 9, 3])
  replay = make(minlen=5)
  assert '2 of 3 stored episodes have fewer steps' in caplog.text
  assert replay.can_sample and not make(minlen=10).can_sample
  batches = [next(x) for x in [replay.dataset(2, 9)] for _ in range(10)]
  assert {number for number, *_ in check_joined(batches)} == {1}


@pytest.mark.fault(10)
def test_episodes_shorter_than_minlen_are_an_error_of_usage(train, tmp_path):
  line = train(2, *runs.TOY, '--replay.minlen', 9)
  assert 'has 7 steps, replay.minlen is 9' in line
  assert failure(tmp_path / 'run')['exit_code'] == 2


@pytest.mark.fault(10)
@pytest.mark.minutes
def test_one_short_episode_does_not_end_a_run_with_a_good_one(
    launcher, tmp_path):
  logdir = tmp_path / 'run'
  faults = runs.plan(tmp_path / 'visits', (runs.seed_of(0), 1, 'raise'))
  flags = [
      *runs.TOY, *faults, '--env.config.length', 40, '--replay.minlen', 5,
      '--prefill', 20, '--steps', 100, '--eval_every', 0]
  _, err = launcher.call(logdir, *flags)
  assert 'rejected short episode: 2 steps' in err
  assert runs.column(logdir, 'train_episodes_rejected')[-1] == 1
  assert len(runs.column(logdir, 'model_loss')) == 1
  assert runs.newest(logdir).step >= 100


@pytest.mark.fault(12)
def test_foreign_entries_are_ignored_with_one_warning(eps, caplog):
  good = put(eps, make_episode())
  for name in ['foo.npz', 'with space.npz', 'notes.txt', '12-ab-3.npz']:
    (eps / name).write_text('hello')
  (eps / f'000000000001-{"a" * 32}-9.npz').mkdir()
  (eps / f'000000000002-{"a" * 32}-9.npz').symlink_to(good)
  os.mkfifo(eps / f'000000000003-{"a" * 32}-9.npz')
  store = Store(eps, 1e6, SPACES)
  assert list(read_all(store)) == [good.name]
  [record] = caplog.records
  assert 'ignored 7 entries' in record.message
  assert len(os.listdir(eps)) == 8 and not quarantined(store)


@pytest.mark.fault(13)
def test_order_follows_the_sequence_and_not_the_clock(eps):
  later = put(eps, make_episode(), head='20990101T000000')
  first = put(eps, make_episode(), head='20210101T000000')
  names = [
      put(eps, make_episode(), head=f'{seq:012d}') for seq in (10, 2, 9)]
  for path in names:  # Neither does the time of the file matter.
    os.utime(path, (0, 10 ** 9 - parse(path.name)[0]))
  want = [first, later, names[1], names[2], names[0]]
  store = Store(eps, 1e6, SPACES)
  assert store.scan()[0] == [x.name for x in want]


@pytest.mark.fault(13)
def test_eviction_follows_the_sequence_when_the_clock_goes_back(
    make, tmp_path, monkeypatch):
  clock = itertools.count(2 * 10 ** 9, -3600)
  monkeypatch.setattr(time, 'time', lambda: next(clock))
  replay = make(capacity=20)
  for number, steps in enumerate([5, 6, 7, 8]):
    fill(replay, [steps], start=number)
    for path in (tmp_path / 'eps').iterdir():
      os.utime(path, (next(clock), next(clock)))
  for again in replay, make(capacity=20):
    assert [x.steps for x in again._library.episodes.values()] == [7, 8]
    assert [parse(x)[0] for x in again._library.episodes] == [2, 3]


@pytest.mark.fault(13)
def test_numbers_of_episodes_never_end(make, tmp_path):
  fill(make(), [5, 6])
  first, last = sorted((tmp_path / 'eps').iterdir())
  last.rename(last.with_name('9' * 12 + last.name[12:]))  # By someone.
  fill(make(), [7, 8], start=2)
  replay = make()
  assert [parse(x)[0] for x in replay._library.episodes] == [
      0, 10 ** 12 - 1, 10 ** 12, 10 ** 12 + 1]
  assert [x.steps for x in replay._library.episodes.values()] == [5, 6, 7, 8]


@pytest.mark.fault(14)
@pytest.mark.parametrize('ram', [2e9, 500, 0])
def test_sampling_is_uniform_whatever_is_in_ram(make, ram):
  replay = make(ram=ram)
  fill(replay, [9] * 20)
  dataset = replay.dataset(10, 10)
  counts = np.zeros(20)
  for _ in range(200):
    for number, *_ in check_joined([next(dataset)]):
      counts[number] += 1
  assert counts.sum() == 2000 and replay.stats['ram_bytes'] <= ram
  # 43.8 is the 0.999 quantile of chi-square with 19 degrees of freedom.
  assert ((counts - 100) ** 2 / 100).sum() < 43.8


CHILD = """
import resource, sys
import numpy as np
from dreamerv2_tf.data import replay
rows = 250
flags = np.arange(rows) == 0, np.arange(rows) == rows - 1
writer = replay.Replay(sys.argv[1], maxlen=10, ram=20e6)
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(70):
  writer.add_episode({
      'image': np.full((rows, 64, 64, 3), number, np.uint8),
      'action': np.zeros((rows, 2)), 'reward': np.zeros(rows),
      'is_first': flags[0], 'is_last': flags[1], 'is_terminal': flags[1]})
dataset = writer.dataset(16, 10)
seen = set()
for _ in range(100):
  seen |= set(next(dataset)['image'][..., 0, 0, 0].flat)
dataset.close()
end = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(seen), (end - start) / 1e3)
"""


@pytest.mark.fault(14)
def test_memory_is_bounded_with_a_store_larger_than_it(tmp_path):
  output = subprocess.run(
      [sys.executable, '-c', CHILD, tmp_path / 'eps'], check=True, text=True,
      stdout=subprocess.PIPE,
      cwd=ROOT).stdout
  seen, megabytes = output.split()
  assert int(seen) == 70
  assert float(megabytes) < 20 + 40  # Store: 215 MB.


@pytest.mark.fault(3)
@pytest.mark.fault(15)
def test_a_damaged_episode_is_replaced_while_training(make, tmp_path, caplog):
  fill(make(), [6, 7, 8, 9])
  replay = make(ram=0)
  for number, name in enumerate(replay._library.episodes):
    path = tmp_path / 'eps' / name
    if number == 1:
      data = bytearray(path.read_bytes())
      data[data.index(b'code.npy') + 160] ^= 1  # In its values.
      path.write_bytes(data)
    if number == 2:
      path.unlink()
  dataset = replay.dataset(4, 5)
  batches = [next(dataset) for _ in range(40)]
  assert {n for n, *_ in check_joined(batches)} == {0, 3}
  assert sorted(x.message[:16] for x in caplog.records) == [
      'skipped corrupt ', 'skipped episode ']
  assert len(os.listdir(tmp_path / 'quarantine')) == 1
  assert replay.stats['episodes_skipped'] == 2
  assert replay.stats['loaded_steps'] == 15


@pytest.mark.fault(15)
def test_an_episode_deleted_under_the_loader_is_dropped(
    make, tmp_path, caplog):
  replay = make(ram=0)
  fill(replay, [6, 7, 8])
  dataset = replay.dataset(4, 5)
  before = [next(dataset) for _ in range(20)]  # The places of rows are known.
  assert {n for n, *_ in check_joined(before)} == {0, 1, 2}
  [name] = [x for x in replay._library.episodes if x.endswith('-7.npz')]
  (tmp_path / 'eps' / name).unlink()
  check_joined(before + [next(dataset) for _ in range(4)])
  after = np.stack([next(dataset)['code'] for _ in range(20)])
  assert set(after[..., 0].flat) == {0, 2}
  [record] = caplog.records
  assert f'skipped episode {name}: ' in record.message
  assert replay.stats['episodes_skipped'] == 1
  assert replay.stats['loaded_steps'] == 14
  fill(replay, [9], start=3)  # It goes on.
  assert replay.stats['total_episodes'] == 4


@pytest.mark.fault(15)
def test_no_good_episode_left_is_an_error_and_not_a_loop(make, tmp_path):
  fill(make(), [6, 7])
  replay = make()
  for path in (tmp_path / 'eps').iterdir():
    path.unlink()
  with pytest.raises(errors.ConfigError, match='no episode to sample'):
    next(replay.dataset(2, 5))


@pytest.mark.fault(15)
def test_a_run_that_has_learned_does_not_go_on_without_episodes(
    make, tmp_path):
  replay = make()
  fill(replay, [6, 7])
  dataset = replay.dataset(2, 5)
  next(dataset)
  states = replay.state(), dataset.state()
  for path in (tmp_path / 'eps').iterdir():
    path.unlink()
  replay = make()
  replay.load_state(states[0])
  with pytest.raises(errors.StateError, match=(
      'eps: of the 2 episodes of this run none is left .*; put back a copy')):
    replay.dataset(2, 5).load_state(states[1])


@pytest.mark.fault(15)
def test_a_folder_that_was_deleted_is_made_again(
    make, tmp_path, monkeypatch, caplog):
  monkeypatch.setattr(storelib, 'WRITE_WAITS', (0, 0, 0))
  replay = make()
  fill(replay, [6])
  shutil.rmtree(tmp_path / 'eps')
  fill(replay, [7], start=1)
  [path] = (tmp_path / 'eps').iterdir()
  assert parse(path.name) == (1, 7)
  assert [x.message[:32] for x in caplog.records] == [
      'can not write an episode, trying']


@pytest.mark.fault(15)
def test_a_run_folder_that_was_moved_is_not_made_again(
    make, tmp_path, monkeypatch):
  monkeypatch.setattr(storelib, 'WRITE_WAITS', (0, 0, 0))
  (tmp_path / 'run').mkdir()
  replay = make(tmp_path / 'run' / 'eps')
  (tmp_path / 'run').rename(tmp_path / 'moved')
  with pytest.raises(errors.StorageError, match=(
      'No such file or directory; older ones are intact; put the folder back '
      'in its place and start again')):
    fill(replay, [6])
  assert os.listdir(tmp_path) == ['moved']


@pytest.mark.fault(16)
def test_a_crash_before_the_deletion_is_corrected_on_start(make, tmp_path):
  fill(make(), [5, 5, 5])
  replay = make(capacity=10)
  replay.dataset(2, 4)
  assert len(os.listdir(tmp_path / 'eps')) == 2
  assert [parse(x)[0] for x in replay._library.episodes] == [1, 2]


# Dies between the writing of the third episode and the deletion of the first.
EVICTER = """
import os, signal, sys
import coded
from dreamerv2_tf.data import replay, store
writer = replay.Replay(sys.argv[1], capacity=10, spaces=coded.SPACES)
coded.fill(writer, [5, 5])
store.Store.delete = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
coded.fill(writer, [5], start=2)
"""


@pytest.mark.fault(16)
def test_a_kill_before_the_eviction_is_corrected_on_start(make, tmp_path):
  child = subprocess.run(
      [sys.executable, '-c', EVICTER, tmp_path / 'eps'], cwd=ROOT,
      env={**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "tests"}'})
  assert child.returncode == -signal.SIGKILL
  assert len(os.listdir(tmp_path / 'eps')) == 3  # Over capacity by one.
  replay = make(capacity=10)
  replay.dataset(2, 4)
  assert [parse(x)[0] for x in replay._library.episodes] == [1, 2]
  left = sorted(os.listdir(tmp_path / 'eps'))
  assert left == sorted(replay._library.episodes)


# Prints the steps found, the bytes read and the episodes opened.
STARTER = """
import pathlib, sys
from dreamerv2_tf.data import replay
read = lambda: int(pathlib.Path('/proc/self/io').read_text().split()[1])
opened = set()
sys.addaudithook(lambda event, arguments: event == 'open' and opened.add(
    str(arguments[0])))
begin = read()
steps = replay.Replay(sys.argv[1]).stats['total_steps']
print(steps, read() - begin, len([x for x in opened if x.endswith('.npz')]))
"""


@pytest.mark.fault(17)
@pytest.mark.parametrize('count', [
    1200, pytest.param(100_000, marks=pytest.mark.minutes)])
def test_starting_reads_some_headers_only(make, tmp_path, count):
  fill(make(), [100_000])
  [path] = (tmp_path / 'eps').iterdir()
  for seq in range(1, count):
    name = path.with_name(f'{seq:012d}-{"a" * 32}-100000.npz')
    if seq % 20_000 == 0:  # A file has a limited number of names.
      path = pathlib.Path(shutil.copyfile(path, name))
    else:
      os.link(path, name)
  steps, read, opened = map(int, subprocess.run(
      [sys.executable, '-c', STARTER, tmp_path / 'eps'], check=True, text=True,
      stdout=subprocess.PIPE, cwd=ROOT).stdout.split())
  assert steps == count * 100_000
  others = len(range(0, count - 1000, -(-(count - 1000) // 100)))
  assert opened == 1000 + others <= 1100
  assert read < opened * path.stat().st_size / 4
