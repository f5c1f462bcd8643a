"""What a session saves comes back, whatever parts a run has."""

import json
import pathlib
import types

import numpy as np
import pytest

from dreamerv2_tf import errors
from dreamerv2_tf.run.clock import Clock
from dreamerv2_tf.run.progress import Progress
from dreamerv2_tf.run.session import Group, Session
from dreamerv2_tf.run.stop import Stop

SPACES = {'action': 'Discrete(2)'}


class Number:
  """A part whose state is one number."""

  def __init__(self, value=0):
    self.value = value

  def state(self):
    return self.value

  def load_state(self, state):
    self.value = state


class Table(Number):
  """A part that also has arrays."""

  def __init__(self, value=0, array=None):
    super().__init__(value)
    self.array = array

  def arrays(self):
    return {'table': np.array(self.array)}

  def load_state(self, state, arrays):
    self.value, self.array = state, arrays['table'].tolist()


class Files:
  """A replay; `newer` steps were stored beyond the state."""

  def __init__(self, steps=0, newer=0):
    self.stats = {
        'total_steps': steps, 'total_episodes': steps // 10,
        'loaded_episodes': steps // 10, 'loaded_steps': steps}
    self.newer = newer
    self.times_saved = 0

  def state(self):
    return {
        **self.stats, 'next_seq': 0, 'episodes_rejected': 0,
        'episodes_skipped': 0}

  def saved(self):
    self.times_saved += 1

  def load_state(self, state, mask):
    more = 0 if mask else self.newer
    self.stats['total_steps'] = state['total_steps'] + more
    self.stats['total_episodes'] = state['total_episodes'] + more // 10


class Shelf:
  """Checkpoints in memory; saves fail while `broken`."""

  failures = 0

  def __init__(self):
    self.record = None
    self.best = []
    self.broken = 0

  def newest(self):
    return self.record

  def restore(self, record, agent):
    agent.restored = True

  def save(self, step, agent, state, arrays, meta, best):
    if self.broken:
      self.broken -= 1
      return False
    self.best += [step] * best
    self.record = types.SimpleNamespace(
        path=pathlib.Path('checkpoint'), step=step,
        state=json.loads(json.dumps(state)), arrays=arrays, manifest=meta)
    return True


@pytest.fixture
def make(tmp_path):
  """Makes sessions of one run, with the same shelf."""
  shelf = Shelf()

  def make(exact=True, newer=0, seed=3, stop=None):
    progress = Progress(seed, Clock(0))
    session = Session(
        tmp_path, shelf, types.SimpleNamespace(), progress,
        meta={'spaces': SPACES}, every=50, exact=exact, stop=stop or Stop(),
        finish=lambda: None)
    session.stores = {'replay': Files(0, newer), 'eval_replay': Files()}
    driver = Table({'steps': 0, 'episodes': 0, 'workers': [
        {'episode': 4, 'running': True, 'actions': [1, 0, 1]}]}, [7, 8])
    streams = Number({'rng': 5, 'streams': []})
    session.parts = {
        'driver': driver, 'datasets': Group(train=streams),
        'every': Group(log=Number({'last': 2})), 'random': Number(11),
        'learner': Number({'skipped': 0}), 'pending': Number([])}
    return session, progress, shelf

  return make


def test_a_part_is_stored_by_being_named(make):
  session, progress, _ = make()
  session.parts['mine'] = Table(6, [1, 2])
  progress.step.increment(40)
  progress.due['train'] = 2
  progress.written, progress.policy = 39, 'agent'
  session.save()
  other, restored, _ = make()
  mine = other.parts['mine'] = Table()
  text = other.restore()
  assert text.startswith('Resumed       checkpoint 40: ')
  assert (mine.value, mine.array) == (6, [1, 2])
  assert other.parts['driver'].value['workers'][0]['actions'] == [1, 0, 1]
  assert (int(restored.step), restored.written, restored.policy) == (
      40, 39, 'agent')
  assert restored.due == {'train': 2, 'log': False, 'eval': False}
  assert other.saved == 40 and session.stores['replay'].times_saved == 1


def test_what_is_newer_on_disk_counts_and_running_episodes_begin_anew(make):
  session, progress, _ = make()
  progress.step.increment(40)
  progress.written = 40
  session.parts['pending'].value = [[40, 'x', 1.0]]
  session.save()
  other, restored, _ = make(exact=False, newer=20)
  other.parts['driver'].load_state = lambda state, arrays: found.update(state)
  found = {}
  assert ' checkpoint 40 and 20 newer steps: ' in other.restore()
  # Three of the twenty were steps of the episode that was running.
  assert int(restored.step) == 40 + 20 - 3
  assert found['workers'] == [{'episode': 4 + 2, 'running': False}]
  assert restored.written == 0 and other.parts['pending'].value == []


@pytest.mark.parametrize('seed, random, stored', [
    (3, 11, {'rng': 5, 'streams': []}), (4, 12, {'streams': []})])
def test_another_seed_draws_anew(make, seed, random, stored):
  session, _, _ = make(seed=3)
  session.save()
  other, _, _ = make(seed=seed)
  other.parts['random'].value = 12
  other.restore()
  assert other.parts['random'].value == random
  assert other.parts['datasets']['train'].value == stored


def test_a_run_of_other_spaces_is_refused(make):
  session, _, shelf = make()
  session.save()
  shelf.record.manifest = {'spaces': {'action': 'Discrete(3)'}}
  with pytest.raises(errors.StateError, match='made with other spaces: .*3'):
    make()[0].restore()


def test_a_state_that_lacks_a_part_is_refused(make):
  session, _, shelf = make()
  session.save()
  del shelf.record.state['random']
  with pytest.raises(errors.StateError, match="go on .*: KeyError: 'random'"):
    make()[0].restore()


def test_a_new_run_is_saved_at_once_and_then_as_often_as_asked(make):
  session, progress, shelf = make()
  saved = []
  session.begin()
  for step in 0, 49, 50, 99, 100:
    progress.step.value = step
    session.save_if_due()
    saved.append(shelf.record.step)
  assert saved == [0, 0, 50, 50, 100]


def test_the_best_checkpoint_is_that_of_the_best_score(make):
  session, progress, shelf = make()
  session.begin()
  for step, score in (10, 5.0), (20, 4.0), (30, 6.0):
    progress.step.value = step
    session.offer(score)
    session.save_if_due()
  assert shelf.best == [10, 30]
  assert (progress.best, progress.best_step) == (6, 30)
  progress.step.value, shelf.broken = 40, 1
  session.offer(8.0)
  session.save_if_due()
  # It was not saved, and something less may be the best then.
  assert (progress.best, progress.best_step) == (6, None)
  progress.step.value = 45
  session.offer(7.0)
  session.save_if_due()
  assert shelf.best == [10, 30, 45]


def test_a_save_that_must_be_is_tried_until_it_works(make):
  session, progress, shelf = make()
  progress.step.value, shelf.broken = 5, 2
  session.save(must=True)
  assert shelf.record.step == 5


def test_a_signal_is_answered_by_a_save(make):
  stop = Stop()
  session, progress, shelf = make(stop=stop)
  session.leave_if_asked()
  assert shelf.record is None
  stop.signal, progress.step.value = 15, 7
  with pytest.raises(errors.Interrupted, match='SIGTERM at step 7, the state'):
    session.leave_if_asked()
  assert shelf.record.step == 7


def test_states_of_former_versions_have_no_step_of_the_best(make):
  progress = Progress(0, Clock(0))
  state = progress.state()
  del state['best_step'], state['eval_seconds']
  progress.load_state({**state, 'best': 2.0})
  assert (progress.best, progress.best_step) == (2, None)
  assert progress.clock.evaluation is None
