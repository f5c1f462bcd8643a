"""The profile of a window of steps, and that it changes nothing else."""

from concurrent import futures
import functools
import json
import logging

import pytest
import runs
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from dreamerv2_tf.config import resolve
from dreamerv2_tf.run import parts
from dreamerv2_tf.run.profile import Profile


@pytest.fixture
def profile(tmp_path):
  """Makes a profile of a window; its lines go into the list `said`."""
  made = []

  def make(*window):
    said = []
    made.append(Profile(tmp_path, range(*window), said.append))
    return made[-1], said

  yield make
  for each in made:
    each.close(0)


def written(logdir):
  """Reads the profiles of a run folder."""
  assert not list(logdir.glob('.tmp-*'))
  paths = sorted(logdir.glob('plugins/profile/*/*.xplane.pb'))
  return [xplane_pb2.XSpace.FromString(x.read_bytes()) for x in paths]


def events(space):
  """Returns (name, {statistic: value}) of all events."""
  for plane in space.planes:
    for event in (event for line in plane.lines for event in line.events):
      yield plane.event_metadata[event.metadata_id].name, {
          plane.stat_metadata[x.metadata_id].name: x.int64_value
          for x in event.stats}


@pytest.mark.parametrize('window, count, first, last', [
    ((0, 2), 1, 0, 2),
    ((3, 5), 1, 3, 5),
    ((3, 5), 2, 2, 6),  # The steps 2 and 3 come together, as do 4 and 5.
    ((3, 4), 4, 0, 4),
    ((8, 99), 2, 8, 10),  # The end of the run.
])
def test_window(profile, tmp_path, window, count, first, last):
  recorder, said = profile(*window)
  waits = []
  for step in range(0, 10, count):
    recorder.before(step, count)
    with recorder.trace('train', step):
      tf.square(2.0)
    recorder.after(step + count, functools.partial(waits.append, step + count))
  recorder.close(10)
  assert waits == [last] * (last < 10)  # Once, and not at the end of the run.
  [line] = said
  assert line.startswith(f'Profile of steps {first} to {last} written. ')
  assert line.endswith(f'tensorboard --logdir {tmp_path}, page Profile.')
  [space] = written(tmp_path)
  steps = [stats['step_num'] for name, stats in events(space)
           if name == 'train' and stats['_r'] == 1]
  assert steps == list(range(first, last, count))


def test_no_window_nor_one_that_is_over(profile, tmp_path):
  for recorder, said in profile(0), profile(3, 5):
    for step in 5, 6:
      recorder.before(step, 1)
      recorder.after(step + 1, pytest.fail)
    recorder.close(7)
    assert not said and not list(tmp_path.iterdir())


def test_steps_are_ours_and_not_those_of_loops(profile, tmp_path):
  @tf.function
  def loop():
    return tf.while_loop(lambda x: x < 3, lambda x: x + 1, [0])
  recorder, _ = profile(0, 1)
  recorder.before(0, 1)
  loop()
  recorder.after(1, lambda: None)
  names = {name for name, _ in events(written(tmp_path)[0])}
  stats = {key for _, stats in events(written(tmp_path)[0]) for key in stats}
  assert 'loop' in names and 'loop_num' in stats and 'iter_num' not in stats


def test_failures_are_warnings_and_end_the_window(profile, tmp_path, caplog):
  one, said = profile(0, 9)
  two, _ = profile(0, 9)
  one.before(0, 1)
  with caplog.at_level(logging.WARNING):
    for step in 0, 1:
      two.before(step, 1)
  assert caplog.messages == ['No profile: Another profiler is running.']
  two.close(2)
  (tmp_path / 'plugins').write_text('')
  one.close(3)
  assert caplog.messages[1].startswith('No profile: [Errno ')
  assert not said and written(tmp_path) == []
  tf.profiler.experimental.start(str(tmp_path / 'free'))  # None was left over.
  tf.profiler.experimental.stop(save=False)


@pytest.fixture(scope='module')
def toys(tmp_path_factory):
  """A run without profile; one stopped in its window, resumed with another."""
  folder = tmp_path_factory.mktemp('toys')
  straight, parts = folder / 'straight', folder / 'parts'
  faults = runs.plan(folder / 'visits', (runs.seed_of(5), 1, 'SIGTERM'))
  with futures.ThreadPoolExecutor(2) as pool:
    job = pool.submit(runs.call, straight, *runs.TOY, '--steps', 130)
    messages = [
        runs.call(parts, *runs.TOY, *faults, '--steps', 130, '--profile',
                  '1:1e3', status=75),
        runs.call(parts, '--profile', '90:110')]
    job.result()
  return straight, parts, messages


def test_runs_with_profiles_are_the_same_bit_for_bit(toys):
  straight, parts, _ = toys
  runs.assert_equal(straight, parts)
  history = json.loads((parts / 'run.json').read_text())['history']
  assert [list(x['changed']) for x in history] == [[], ['profile']]


def test_a_checkpoint_names_the_same_settings_with_a_profile():
  digests = {parts.digest(resolve(['debug'], flags)) for flags in (
      [], ['--profile', '1:2'], ['--seed', '1'])}
  assert len(digests) == 2


def test_profiles_of_runs(toys):
  _, parts, messages = toys
  one, two = written(parts)
  names = {name for name, _ in events(one)}
  assert 'collect' in names and 'train' in names
  steps = [
      stats['step_num'] for name, stats in events(two) if name == 'train']
  assert steps == [92, 102]  # Every tenth, from the first step after 60 on.
  for (out, err), span in zip(messages, ('0 to ', '90 to 110')):
    assert out.count(f'Profile of steps {span}') == 1 and 'Profile' not in err
