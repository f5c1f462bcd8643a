"""Batches of sequences, also of a run that goes on."""

import collections
import json
import os
import shutil

import coded
from coded import check_joined, fill, make_rows
import numpy as np
import pytest

from dreamerv2_tf.data.episodes import parse


@pytest.fixture
def make(tmp_path):
  with coded.replays(tmp_path / 'eps') as make:
    yield make


def equal(left, right):
  assert left.keys() == right.keys()
  for key in left:
    np.testing.assert_array_equal(left[key], right[key], err_msg=key)


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
      replay._library.sample(rng)[1:] for _ in range(6000))
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


@pytest.mark.parametrize('rows', [[2, 2], [3, 1], [-1, 2], [0, 9]])
def test_positions_beyond_an_episode_are_drawn_anew(make, rows):
  replay = make(minlen=4)
  fill(replay, [7])
  [name] = replay._library.episodes
  dataset = replay.dataset(1, 2)
  next(dataset)
  state = dataset.state()
  state['streams'] = [[name, *rows]]
  state['plans'] = [[[[name, -1, 1, False]]]] if -1 in rows else []
  other = replay.dataset(1, 2)
  other.load_state(json.loads(json.dumps(state)))
  batches = [next(other) for _ in range(12)]
  check_joined(batches)
