"""Callbacks of `dv2.train`, early stop, and the end by a signal."""

import json
import pathlib
import signal
import types

import numpy as np
import pytest
import runs
import toys

import dreamerv2_tf as dv2
from dreamerv2_tf.run import events

# Episodes of 6 steps in one environment; training from 40 on, evaluations at
# 50 and 60, logs at 45, 55 and 65.
FLAGS = (
    '--steps 66 --prefill 40 --train_every 8 --eval_every 10 --eval_eps 2 '
    '--log_every 10 --envs 1 --envs_parallel none --pretrain 1').split()


def configure(folder, *flags):
  return dv2.resolve(['debug'], [*FLAGS, '--logdir', str(folder), *flags])


def make():
  return toys.Counter(length=6)


@pytest.fixture(scope='module', autouse=True)
def exact():
  """Lets this process be as it was, after runs that are exact."""
  yield
  from tensorflow.python.framework import config
  config.disable_op_determinism()


class Recorder(dv2.Callback):
  """Notes what it is told, by kind."""

  def __init__(self):
    self.seen = {}

  def __call__(self, event):
    self.seen.setdefault(event.kind, []).append(event)
    super().__call__(event)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that no one took part in, and what a callback was told of it."""
  folder = tmp_path_factory.mktemp('whole') / 'run'
  recorder = Recorder()
  plain = []
  dv2.train(make, configure(folder), callbacks=[
      recorder, lambda event: plain.append((event.kind, event.step))])
  return folder, recorder.seen, plain


def test_events_come_in_order_to_all_callbacks(whole):
  _, seen, plain = whole
  assert plain == sorted(plain, key=lambda x: x[1])
  for kind, events_of_kind in seen.items():
    assert [step for name, step in plain if name == kind] == [
        event.step for event in events_of_kind]
  assert [x.step for x in seen['episode']] == list(range(6, 67, 6))
  assert [x.step for x in seen['end']] == [66] and plain[-1] == ('end', 66)
  assert len(seen['log']) >= 2 and len(seen['evaluation']) >= 2


def test_events_hold_what_the_metrics_hold(whole):
  folder, seen, _ = whole
  rows = {row['step']: row for row in runs.rows(folder)}
  for event in [*seen['log'], *seen['evaluation'], *seen['episode']]:
    row = rows[event.step]
    assert event.metrics.items() <= row.items() and event.metrics
    assert event.folder == folder
  assert 'model_loss' in seen['log'][-1].metrics
  assert 'eval_return' in seen['evaluation'][0].metrics
  for event in seen['episode']:
    episode, = event.episodes
    assert episode['reward'].shape == (7,)
    assert event.metrics['train_return'] == episode['reward'].sum()
  assert [len(x.episodes) for x in seen['evaluation']] == [2] * len(
      seen['evaluation'])
  final = json.loads(next(folder.glob('eval-66-*.json')).read_text())
  assert seen['end'][0].metrics['eval_return'] == final['return_mean']


class Own(dv2.Callback):
  """Logs its own, also what the agent of the moment does."""

  def on_episode(self, event):
    event.log({'own_first': float(event.episodes[0]['action'][1].argmax())})

  def on_evaluation(self, event):
    obs, _ = toys.Counter().reset(seed=3)
    action, _ = event.agent.act(obs)
    event.log({'own_action': action, 'own_step': event.step})


def test_metrics_of_ones_own_change_nothing_else(whole, tmp_path):
  folder, seen, _ = whole
  other = tmp_path / 'run'
  dv2.train(make, configure(other), callbacks=[Own()])
  steps = [x.step for x in seen['evaluation']]
  assert runs.column(other, 'own_step') == steps
  assert set(runs.column(other, 'own_action')) <= {0, 1}
  assert len(runs.column(other, 'own_first')) == len(seen['episode'])
  rows = runs.rows(other, timing=False)
  assert [
      {k: v for k, v in row.items() if not k.startswith('own_')}
      for row in rows] == runs.rows(folder, timing=False)
  assert_same_training(other, folder)


def assert_same_training(one, other):
  """Compares the last checkpoints bit for bit."""
  (arrays, state), (others, expected) = map(runs.checkpoint, (one, other))
  assert state == expected and len(arrays) > 100
  assert all(np.array_equal(arrays[key], others[key]) for key in others)


def test_early_stop_saves_and_the_next_call_goes_on_exactly(
    whole, tmp_path, capsys):
  folder, _, _ = whole
  other = tmp_path / 'run'
  seen = []

  def stop(event):
    seen.append(event.kind)
    if event.kind == 'evaluation' and event.step >= 50:
      event.stop('good enough')

  agent = dv2.train(make, configure(other), callbacks=[stop])
  step = runs.newest(other).step
  assert 50 <= step < 60 and seen[-1] == 'end'
  assert f'stops the run at step {step}: good enough' in capsys.readouterr().out
  assert agent.act(toys.Counter().reset(seed=0)[0])[0] in (0, 1)
  assert not (other / 'failure.json').exists()
  dv2.train(make, configure(other))
  runs.assert_equal(other, folder)


@pytest.mark.parametrize('kind, at', [('episode', 30), ('evaluation', 50)])
def test_what_a_callback_raises_passes_through_and_loses_nothing(
    kind, at, whole, tmp_path):
  folder, _, _ = whole
  other = tmp_path / 'run'

  def fail(event):
    if event.kind == kind and event.step >= at:
      raise KeyError('mine')

  with pytest.raises(KeyError, match='mine') as info:
    dv2.train(make, configure(other), callbacks=[fail])
  step = runs.newest(other).step
  assert at <= step < at + 10
  assert info.value.__notes__ == [
      f'A callback raised this. The run in {other} is saved at step {step}; '
      'the same call goes on.']
  assert info.traceback[-1].name == 'fail'
  dv2.train(make, configure(other))
  runs.assert_equal(other, folder)


@pytest.mark.parametrize('kind, metrics, text', [
    ('evaluation', {'eval_return': 1.0}, "'eval_return' is a metric of this"),
    ('evaluation', {'own': np.zeros(3)}, "Value 'own' of shape (3,)"),
    ('end', {'own': 1.0}, 'The run has ended')])
def test_metrics_that_can_not_be_logged_are_refused(
    kind, metrics, text, tmp_path):
  def log(event):
    if event.kind == kind:
      event.log(metrics)

  with pytest.raises(dv2.ConfigError) as info:
    dv2.train(make, configure(tmp_path / 'run'), callbacks=[log])
  assert text in str(info.value)


@pytest.mark.parametrize('name', ['step', '', 5, '\udcff', 'two\nlines'])
def test_names_that_rows_can_not_have_are_refused(name):
  parts = types.SimpleNamespace(config=None, logger=None)
  event = types.SimpleNamespace(kind='log')
  with pytest.raises(dv2.ConfigError, match='can not be called') as info:
    events.Events([], parts, None).log(event, {name: 1.0})
  assert repr(name) in str(info.value)


def test_callbacks_can_not_change_episodes():
  parts = types.SimpleNamespace(
      config=None, progress=types.SimpleNamespace(step=3), folder=None,
      logger=types.SimpleNamespace(pending={}),
      collector=types.SimpleNamespace(driver=types.SimpleNamespace(
          on_episode=lambda note: None)))
  episode, errors = {'reward': np.ones(2)}, []

  def change(event):
    with pytest.raises(ValueError, match='read-only') as info:
      event.episodes[0]['reward'][0] = 5
    errors.append(info.value)

  told = events.Events([change], parts, None)
  told.evaluated([episode])
  told.tell()
  assert len(errors) == 1 and episode['reward'].tolist() == [1, 1]
  episode['reward'][0] = 2  # Whose it is can.


@pytest.mark.parametrize('callbacks, text', [
    (print, 'callbacks must be a list'), (3, 'callbacks must be a list'),
    ([print, 'x'], "Callback, but got 'x'"), ([dv2.Callback], 'an object of'),
    ([lambda: 0], 'one event, which this one does not take: too many')])
def test_what_is_no_callback_is_refused_before_anything_is_made(
    callbacks, text, tmp_path):
  with pytest.raises(dv2.ConfigError) as info:
    dv2.train(make, configure(tmp_path / 'run'), callbacks=callbacks)
  assert text in str(info.value) and list(tmp_path.iterdir()) == []


def test_a_callback_that_overrides_nothing_does_nothing():
  for kind in 'episode', 'log', 'evaluation', 'end':
    dv2.Callback()(events.Event(kind, 0, {}, [], pathlib.Path('x'), None))


@pytest.mark.parametrize('number, kind, status', [
    (signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 75)])
def test_signals_leave_train_as_python_knows_them(
    number, kind, status, whole, tmp_path, capsys):
  folder, _, _ = whole
  other = tmp_path / 'run'

  def ask(event):
    if event.kind == 'episode' and event.step == 48:
      signal.raise_signal(number)

  with pytest.raises(kind) as info:
    dv2.train(make, configure(other), callbacks=[ask])
  said = 'at step 48, the state is saved. Run the same command again'
  if status:
    assert info.value.code == status and said in capsys.readouterr().err
  else:
    assert said in str(info.value)
  assert [frame.name for frame in info.traceback[1:]] == ['call', 'train']
  assert info.value.__cause__ is None and info.value.__suppress_context__
  assert runs.newest(other).step == 48
  dv2.train(make, configure(other))
  runs.assert_equal(other, folder)
