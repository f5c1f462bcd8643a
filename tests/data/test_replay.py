"""What a replay stores, counts, deletes and goes on with."""

import os

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
  [name] = replay._library.episodes
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
  assert [parse(x)[0] for x in again._library.episodes] == [0, 1, 2, 3]


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
  assert [x.steps for x in replay._library.episodes.values()] == [7, 8]
  assert sorted(x.name for x in (tmp_path / 'eps').iterdir()) == sorted(
      replay._library.episodes)
  assert replay.stats['loaded_steps'] == 15
  assert replay.stats['total_steps'] == 26
  replay.add_episode(make_episode(9, 100))  # Longer than the capacity alone.
  assert [x.steps for x in replay._library.episodes.values()] == [100]


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
    assert list(again._library._masked) == [1, 2]
    assert again.stats['total_steps'] == 3
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
