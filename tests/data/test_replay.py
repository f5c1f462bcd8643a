import collections
import json
import os
import shutil

import coded
from coded import check_joined, fill, make_episode, make_rows
import numpy as np
import pytest

from dreamerv2_tf import errors
from dreamerv2_tf.data.episodes import parse


@pytest.fixture
def make(tmp_path):
  with coded.replays(tmp_path / 'eps') as make:
    yield make


def equal(left, right):
  assert left.keys() == right.keys()
  for key in left:
    np.testing.assert_array_equal(left[key], right[key], err_msg=key)


def test_rows_of_zero_and_one_become_an_episode_file(make, tmp_path):
  replay = make()
  for row in make_rows(5, 3):
    replay.add_step(row, worker=2)
  [path] = (tmp_path / 'eps').iterdir()
  assert path.name.startswith('000000000000-') and path.name.endswith('-3.npz')
  with np.load(path) as arrays:
    assert arrays['action'].tolist() == [[0, 0], [1, 1], [1, 1], [1, 1]]
    assert arrays['reward'].tolist() == [0, 1, 2, 3]
    assert arrays['is_first'].tolist() == [True, False, False, False]
    assert arrays['is_last'].tolist() == [False, False, False, True]
    assert arrays['code'].dtype == np.int32 and 'log_speed' in arrays


def test_workers_do_not_mix(make):
  replay = make()
  rows = make_rows(0, 3), make_rows(1, 2)
  for worker, row in [(0, 0), (1, 0), (1, 1), (0, 1), (1, 2), (0, 2), (0, 3)]:
    replay.add_step(rows[worker][row], worker)
  check_joined([next(replay.dataset(4, 10)) for _ in range(3)])
  assert replay.stats['total_episodes'] == 2
  assert replay.stats['total_steps'] == 5


def test_a_cut_episode_ends_as_truncated(make):
  replay = make()
  assert not replay.end_episode(0)
  for row in make_rows(0, 5)[:3]:
    replay.add_step(row)
  assert replay.end_episode(0) and not replay.end_episode(0)
  [name] = replay._index
  episode = replay._store.load(name)
  assert episode['is_last'].tolist() == [False, False, True]
  assert not episode['is_terminal'].any()


def test_totals_survive_a_restart(make):
  replay = make()
  fill(replay, [3, 4, 5])
  want = replay.stats
  assert want['total_steps'] == want['loaded_steps'] == 12
  again = make()
  assert {**again.stats, 'ram_bytes': 0} == {**want, 'ram_bytes': 0}
  again.add_episode(make_episode(9, 2))
  assert [parse(x)[0] for x in again._index] == [0, 1, 2, 3]


def test_a_worker_that_starts_again_leaves_its_episode(make, caplog):
  replay = make()
  for row in make_rows(0, 5)[:3] + make_rows(1, 2):
    replay.add_step(row)
  assert replay.stats['total_episodes'] == 1
  assert 'rejected unfinished episode' in caplog.text


def test_rows_with_other_keys_are_rejected(make, caplog):
  replay = make()
  rows = make_rows(0, 2)
  del rows[1]['code']
  for row in rows:
    replay.add_step(row)
  assert replay.stats['episodes_rejected'] == 1 and "'code'" in caplog.text


def test_each_row_of_a_batch_continues_the_one_before(make):
  replay = make(minlen=1, maxlen=0)
  fill(replay, [3, 30, 7, 12])
  batches = [next(x) for x in [replay.dataset(3, 8)] for _ in range(40)]
  for batch in batches:
    assert 'log_speed' not in batch
    assert {k: (v.shape, v.dtype.name) for k, v in batch.items()} == {
        'code': ((3, 8, 2), 'int32'), 'action': ((3, 8, 2), 'float32'),
        'reward': ((3, 8), 'float32'), 'is_first': ((3, 8), 'bool'),
        'is_last': ((3, 8), 'bool'), 'is_terminal': ((3, 8), 'bool')}
    np.testing.assert_array_equal(batch['reward'], batch['code'][..., 1])
  sequences = check_joined(batches)
  # With minlen 1 and no maxlen each sequence is a whole episode.
  for number, first, length, whole in sequences:
    assert first == 0
    assert not whole or length == [4, 31, 8, 13][number]


@pytest.mark.parametrize('minlen, maxlen, ends', [
    (5, 5, False), (5, 5, True), (3, 8, False), (4, 0, True)])
def test_sequences_follow_the_rule_of_the_original(make, minlen, maxlen, ends):
  replay = make(minlen=minlen, maxlen=maxlen, prioritize_ends=ends)
  fill(replay, [20])
  rng = np.random.default_rng(0)
  drawn = collections.Counter(
      replay._sample_sequence(rng)[1:] for _ in range(6000))
  want = collections.Counter()
  total = 21
  for less in range(minlen):
    length = max(minlen, min(total, maxlen or total) - less)
    outcomes = total - length + 1 + (minlen if ends else 0)
    for index in range(outcomes):
      start = min(index, total - length)
      want[start, start + length] += 1 / minlen / outcomes
  assert drawn.keys() <= want.keys()
  for key, share in want.items():
    assert abs(drawn[key] / 6000 - share) < 5 * np.sqrt(share / 6000), key


def test_the_time_spent_waiting_is_taken_once(make):
  replay = make()
  fill(replay, [5])
  dataset = replay.dataset(2, 7)
  next(dataset)
  assert dataset.wait_seconds > 0 and dataset.take_wait() > 0
  assert dataset.take_wait() == 0


def test_batches_depend_on_the_seed_only(make, tmp_path):
  fill(make(), [5, 9, 14])
  take = lambda **kwargs: [
      next(x) for x in [make(**kwargs).dataset(2, 7)] for _ in range(10)]
  want, again, other = take(seed=1), take(seed=1, ram=0), take(seed=2)
  for left, right in zip(want, again, strict=True):
    equal(left, right)
  assert any(
      (x['code'] != y['code']).any() for x, y in zip(want, other, strict=True))
  replay = make(seed=1)
  first, second = replay.dataset(2, 7), replay.dataset(2, 7)
  equal(next(first), want[0])
  assert (next(second)['code'] != want[0]['code']).any()


def test_running_episodes_are_sampled_if_asked(make):
  for ongoing in (False, True):
    replay = make(ongoing=ongoing, minlen=2)
    if not ongoing:
      fill(replay, [4])
    for row in make_rows(7, 30)[:6]:
      replay.add_step(row, worker=3)
    for row in make_rows(8, 30)[:2]:  # One step: too short.
      replay.add_step(row, worker=4)
    batches = [next(x) for x in [replay.dataset(2, 6)] for _ in range(20)]
    seen = {number for number, *_ in check_joined(batches)}
    assert seen == ({0, 7} if ongoing else {0})


def test_long_but_invalid_episodes_are_not_called_short(make):
  replay = make()
  episode = make_episode(0, 9)
  episode['reward'][3] = np.nan
  assert not replay.add_episode(episode)
  with pytest.raises(errors.ConfigError, match='of 1, 1 were rejected and 0'):
    replay.give_up(1)


@pytest.mark.parametrize('kwargs', [
    {'minlen': 0}, {'minlen': 5, 'maxlen': 4}, {'capacity': -1}])
def test_senseless_lengths_are_refused(make, kwargs):
  with pytest.raises(errors.ConfigError, match='expected 1 <= minlen'):
    make(**kwargs)


def test_spaces_can_come_from_the_first_episode(make):
  fill(make(), [4])
  batch = next(make(spaces=None).dataset(2, 3))
  assert batch['code'].dtype == np.int32 and 'log_speed' not in batch
  with pytest.raises(errors.ConfigError, match='no episode to sample'):
    make(make()._store.directory.parent / 'empty', spaces=None).dataset(2, 3)


def test_capacity_deletes_the_oldest(make, tmp_path):
  replay = make(capacity=20)
  fill(replay, [5, 6, 7, 8])
  assert [x.steps for x in replay._index.values()] == [7, 8]
  assert sorted(x.name for x in (tmp_path / 'eps').iterdir()) == sorted(
      replay._index)
  assert replay.stats['loaded_steps'] == 15
  assert replay.stats['total_steps'] == 26
  replay.add_episode(make_episode(9, 100))  # Longer than the capacity alone.
  assert [x.steps for x in replay._index.values()] == [100]


def test_planned_episodes_outlive_their_eviction(make, tmp_path, caplog):
  replay = make(capacity=10, ram=0)
  fill(replay, [5, 5])
  dataset = replay.dataset(4, 5, prefetch=2)
  batches = [next(dataset)]
  fill(replay, [5, 5], start=2)
  assert len(os.listdir(tmp_path / 'eps')) == 4
  batches += [next(dataset), next(dataset)]
  assert {n for n, *_ in check_joined(batches)} == {0, 1}
  later = [next(dataset) for _ in range(5)]
  check_joined(batches + later)
  assert set(np.stack([x['code'] for x in later])[..., 0].flat) == {2, 3}
  assert not caplog.records
  dataset.close()
  fill(replay, [5], start=4)
  assert len(os.listdir(tmp_path / 'eps')) == 2


@pytest.mark.parametrize('capacity', [0, 40])
@pytest.mark.parametrize('ongoing', [False, True])
def test_a_resumed_run_sees_the_same_batches(
    make, tmp_path, caplog, capacity, ongoing):
  kwargs = {'capacity': capacity, 'ongoing': ongoing, 'ram': 300, 'seed': 3,
            'minlen': 2, 'maxlen': 9}
  stream = [
      (worker, row) for number in range(30)
      for worker, row in zip(
          [number % 2] * 40, make_rows(number, 3 + number % 7), strict=False)]

  def go(replay, dataset, begin, end):
    """A row at a time, every third one a batch."""
    batches = []
    for index in range(begin, end):
      worker, row = stream[index]
      replay.add_step(row, worker)
      if index % 3 == 0 and index >= 21:
        batches.append(next(dataset))
    return batches

  def save(replay, dataset):
    rows = {k: list(x.rows) for k, x in replay._running.items()}
    states = json.dumps([replay.state(), dataset.state()])
    replay.saved()
    return states, rows

  def resume(directory, saved, running):
    replay = make(directory, **kwargs)
    replay_state, dataset_state = json.loads(saved)
    replay.load_state(replay_state)
    for worker, rows in running.items():
      for row in rows:
        replay.add_step(row, worker)
    dataset = replay.dataset(3, 5)
    dataset.load_state(dataset_state)
    assert dataset.state() == dataset_state
    return replay, dataset

  def check(got, want):
    assert len(got) == len(want) > 10
    for left, right in zip(got, want, strict=True):
      equal(left, right)
    got[0]['is_first'][:, 0] = True  # It may continue what came before.
    check_joined(got)

  replay = make(**kwargs)
  dataset = replay.dataset(3, 5)
  go(replay, dataset, 0, 60)
  first = save(replay, dataset)
  batches = go(replay, dataset, 60, 100)
  second = save(replay, dataset)
  # Killed before the second checkpoint is written, or after newer episodes
  # are: some that the checkpoint knows are evicted, some it does not know.
  shutil.copytree(tmp_path / 'eps', tmp_path / 'one')
  check(go(*resume(tmp_path / 'one', *first), 60, 100), batches)
  batches = go(replay, dataset, 100, 140)
  shutil.copytree(tmp_path / 'eps', tmp_path / 'two')
  again, resumed = resume(tmp_path / 'two', *second)
  check(go(again, resumed, 100, 140), batches)
  assert not caplog.records
  for name in ('total_steps', 'total_episodes', 'loaded_steps'):
    assert again.stats[name] == replay.stats[name], name
  # The masked files were replaced one by one: no episode is there twice.
  seqs = [parse(x)[0] for x in os.listdir(tmp_path / 'two')]
  assert len(seqs) == len(set(seqs))


def test_what_the_last_saved_state_needs_outlives_failed_saves(
    make, tmp_path):
  files = lambda: {
      parse(x)[0] for x in os.listdir(tmp_path / 'eps')}
  replay = make(capacity=10)
  fill(replay, [5, 5])
  replay.state()
  replay.saved()
  for number in range(2, 6):
    fill(replay, [5], start=number)
    replay.state()  # Its checkpoint is not written.
  assert files() == {0, 1, 2, 3, 4, 5}
  state = replay.state()
  replay.saved()
  assert files() == {0, 1, 2, 3, 4, 5}  # It may be that it can not be read.
  replay.state()
  assert files() == {0, 1, 2, 3, 4, 5}
  replay.saved()
  assert files() == {4, 5}
  again = make(capacity=10)
  again.load_state(state)
  assert again.stats['loaded_episodes'] == 2


def test_states_without_a_batch_between_them_keep_planned_files(
    make, tmp_path, caplog):
  replay = make(capacity=10, ram=0)
  fill(replay, [5, 5])
  dataset = replay.dataset(4, 6)
  next(dataset)
  save = lambda: (replay.state(), replay.saved())
  save()
  fill(replay, [5, 5], start=2)
  for _ in range(3):
    save()
  assert len(os.listdir(tmp_path / 'eps')) == 4
  check_joined([next(dataset) for _ in range(5)])
  save()
  save()
  assert len(os.listdir(tmp_path / 'eps')) == 2 and not caplog.records


@pytest.mark.parametrize('mask', [True, False])
def test_a_kill_before_the_masked_file_is_deleted_leaves_one_episode(
    make, tmp_path, mask):
  replay = make()
  fill(replay, [3])
  state = replay.state()
  fill(replay, [4, 5], start=1)
  resumed = make()
  resumed.load_state(state)
  resumed._store.delete = lambda name: None  # The kill comes before it.
  fill(resumed, [4], start=1)
  numbers = [parse(x)[0] for x in os.listdir(tmp_path / 'eps')]
  assert sorted(numbers) == [0, 1, 1, 2]
  again = make()
  again.load_state(state, mask)
  if mask:
    assert list(again._masked) == [1, 2] and again.stats['total_steps'] == 3
    fill(again, [4, 5], start=1)
  steps = {parse(x)[0]: parse(x)[1]
           for x in os.listdir(tmp_path / 'eps')}
  assert len(os.listdir(tmp_path / 'eps')) == 3
  assert steps == {0: 3, 1: 4, 2: 5}
  assert again.stats['loaded_steps'] == again.stats['total_steps'] == 12
  assert again.stats['total_episodes'] == 3


def test_a_repetition_that_is_not_exact_replaces_all_of_its_number(
    make, tmp_path):
  replay = make()
  state = replay.state()
  fill(replay, [4])
  resumed = make()
  resumed.load_state(state)
  resumed._store.delete = lambda name: None
  fill(resumed, [6])  # The environment does not repeat itself.
  again = make()
  again.load_state(state)
  fill(again, [5])
  [name] = os.listdir(tmp_path / 'eps')
  assert parse(name) == (0, 5)


def test_newer_episodes_can_be_kept(make):
  replay = make()
  fill(replay, [3, 4])
  state = replay.state()
  fill(replay, [5, 6])
  for mask, steps, seq in [(False, 18, 4), (True, 7, 2)]:
    again = make()
    again.load_state(state, mask=mask)
    assert again.stats['total_steps'] == again.stats['loaded_steps'] == steps
    assert again.state()['next_seq'] == seq


def test_another_batch_shape_starts_new_sequences(make, caplog):
  replay = make()
  fill(replay, [9, 9])
  dataset = replay.dataset(2, 4)
  next(dataset)
  other = make().dataset(3, 4)
  other.load_state(dataset.state())
  assert 'the batch shape changed' in caplog.text
  check_joined([next(other) for _ in range(5)])


def test_planned_rows_of_lost_running_episodes_are_drawn_anew(make, caplog):
  replay = make(ongoing=True)
  for row in make_rows(0, 9)[:6]:
    replay.add_step(row)
  dataset = replay.dataset(2, 4)
  next(dataset)
  fill(replay, [6], start=1)
  again = make(ongoing=True)
  resumed = again.dataset(2, 4)
  resumed.load_state(dataset.state())
  assert 'episode 0 is missing' in caplog.text
  batches = [next(resumed) for _ in range(5)]
  assert {n for n, *_ in check_joined(batches)} == {1}


def test_arrays_of_the_caller_may_change_after_they_were_handed_over(make):
  replay = make(minlen=1)
  episode = make_episode(4, 6)
  row = make_rows(5, 6)[0]
  assert replay.add_episode(episode)
  replay.add_step(row, worker=1)
  for array in (*episode.values(), row['code'], row['action']):
    array[...] = 9
  batch = next(replay.dataset(1, 7))
  assert sorted(batch['code'][0].tolist()) == [[4, i] for i in range(7)]
  assert replay._running[1].rows[0]['code'].tolist() == [5, 0]


@pytest.mark.parametrize('rows', [[2, 2], [3, 1], [-1, 2], [0, 9]])
def test_positions_beyond_an_episode_are_drawn_anew(make, rows):
  replay = make(minlen=4)
  fill(replay, [7])
  [name] = replay._index
  dataset = replay.dataset(1, 2)
  next(dataset)
  state = dataset.state()
  state['streams'] = [[name, *rows]]
  state['plans'] = [[[[name, -1, 1, False]]]] if -1 in rows else []
  other = replay.dataset(1, 2)
  other.load_state(json.loads(json.dumps(state)))
  batches = [next(other) for _ in range(12)]
  check_joined(batches)
