"""Faults 25 to 31: runs that are stopped, killed or left alone go on."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
from pools import children, gone, stat
import pytest
import runs

TESTS = pathlib.Path(__file__).parents[1]

# Collects without learning: signals are the same, and a run takes a second.
COLLECT = (*runs.TOY, '--prefill', 1000, '--eval_every', 0)

# A signal while the gradient step is traced.
TRACED = """
import os, signal
from dreamerv2_tf.world_model import WorldModel
loss = WorldModel.loss
def traced(*args, **kwargs):
  os.kill(os.getpid(), signal.SIGTERM)
  return loss(*args, **kwargs)
WorldModel.loss = traced
"""

# More signals when the checkpoint of the stop is about to be put in place.
AGAIN = """
import os, signal
from dreamerv2_tf.run.checkpoint import Checkpoints
place = Checkpoints._place
def disturbed(self, temp, path):
  for name in {}:
    if int(path.name):
      os.kill(os.getpid(), getattr(signal, name))
  place(self, temp, path)
Checkpoints._place = disturbed
"""


def history(logdir):
  return json.loads((logdir / 'run.json').read_text())['history']


@pytest.fixture(scope='module')
def toys(tmp_path_factory, launcher):
  """Runs of 200 steps: straight, with signals, and a few of another seed."""
  folder = tmp_path_factory.mktemp('toys')
  # In another process, whose sets and dictionaries have another order.
  straight = runs.start(folder / 'straight', *runs.TOY, '--steps', 200)
  launcher.call(folder / 'other', *runs.TOY, '--steps', 28, '--seed', 1)
  # In prefill; in the second evaluation; in training.
  faults = runs.plan(
      folder / 'visits', (runs.seed_of(2), 1, 'SIGTERM'),
      (20_001, 2, 'SIGINT'), (runs.seed_of(10), 1, 'SIGKILL'))
  messages = {}
  for status, setup in [
      (75, ''), (75, TRACED), (130, ''), (-signal.SIGKILL, ''), (0, '')]:
    messages.setdefault(status, []).append(launcher.call(
        folder / 'signals', *runs.TOY, *faults, '--steps', 200, setup=setup,
        status=status))
  runs.finish(straight, 0)
  return folder, messages


class TestResume:
  """Runs that were stopped equal one that was not, bit for bit."""

  @pytest.mark.fault(25)
  @pytest.mark.fault(26)
  @pytest.mark.fault(28)
  @pytest.mark.fault(31)
  def test_signals_change_nothing(self, toys):
    folder, _ = toys
    runs.assert_equal(folder / 'straight', folder / 'signals')
    runs.assert_steps_increase(folder / 'signals')
    assert (folder / 'signals' / 'metrics.1.cut.jsonl').exists()
    assert not (folder / 'signals' / 'failure.json').exists()
    steps = [x['step'] for x in history(folder / 'signals')]
    # Killed at about 145, it went back to where it was stopped before.
    assert steps[0] == 0 and 28 < steps[1] < 42 and steps[2] == 60
    assert steps[3:] == [130, 130]

  @pytest.mark.fault(26)
  def test_messages(self, toys):
    _, messages = toys
    for status, name in (75, 'SIGTERM'), (130, 'SIGINT'):
      for _, err in messages[status]:
        line = err.splitlines()[-1]
        assert line.startswith(f'Stopped by {name} at step ')
        assert 'the state is saved. Run the same command again' in line
        assert 'error: ' not in line
    [(out, _)] = messages[0]
    assert 'Resumed       checkpoint 130' in out and 'New run' not in out

  @pytest.mark.fault(25)
  @pytest.mark.minutes
  def test_halves_equal_the_whole(self, toys, launcher):
    folder, _ = toys
    for steps in 100, 200:
      launcher.call(folder / 'halves', *runs.TOY, '--steps', steps)
    runs.assert_equal(folder / 'straight', folder / 'halves')
    assert [(x['step'], list(x['changed']))
            for x in history(folder / 'halves')] == [(0, []), (100, ['steps'])]

  @pytest.mark.fault(25)
  def test_another_seed_differs(self, toys):
    folder, _ = toys
    one, other = runs.episodes(folder / 'straight'), runs.episodes(
        folder / 'other')
    assert len(other) == 4 and not np.array_equal(
        np.concatenate([x['action'] for x in one[:4]]),
        np.concatenate([x['action'] for x in other]))
    weights = [
        runs.checkpoint(folder / name)[0]['world_model/rssm/img_in/kernel']
        for name in ('straight', 'other')]
    assert np.abs(weights[0] - weights[1]).min() > 0


@pytest.mark.fault(26)
@pytest.mark.minutes
def test_signals_at_any_time_change_nothing(toys, launcher):
  folder, _ = toys
  logdir = folder / 'random'
  rng = random.Random(0)
  for _ in range(10):
    starts = len(history(logdir)) if logdir.exists() else 0
    run = launcher.start(logdir, *runs.TOY, '--steps', 200)
    began = lambda starts=starts: (logdir / 'run.json').exists() and len(
        history(logdir)) > starts
    runs.wait_for(began, run)
    time.sleep(rng.uniform(0, 4))
    number = rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
    if run.poll() is not None:
      break
    run.send_signal(number)
    run.communicate()
    assert run.returncode in (0, {
        signal.SIGTERM: 75, signal.SIGINT: 130}.get(number, -number))
  launcher.call(logdir, *runs.TOY, '--steps', 200)
  runs.assert_equal(folder / 'straight', logdir)


@pytest.mark.fault(27)
@pytest.mark.parametrize('first, others, status', [
    ('SIGTERM', ['SIGTERM', 'SIGINT'], 75),
    pytest.param('SIGINT', ['SIGINT'], 130, marks=pytest.mark.minutes),
    ('SIGTERM', ['SIGKILL'], -signal.SIGKILL)])
def test_more_signals_during_the_save(
    launcher, tmp_path, first, others, status):
  logdir = tmp_path / 'run'
  flags = [*COLLECT, '--steps', 60, *runs.plan(
      tmp_path / 'visits', (runs.seed_of(2), 1, first))]
  _, err = launcher.call(
      logdir, *flags, setup=AGAIN.format(others), status=status)
  stopped = runs.newest(logdir).step
  before = len(runs.episodes(logdir))
  if status > 0:
    assert f'Stopped by {first} at step {stopped}, the state is' in err
    assert 28 < stopped < 42
  else:
    assert stopped == 0 and len(list(logdir.rglob('.tmp-*'))) == 1
  launcher.call(logdir, *flags)
  assert runs.newest(logdir).step == 60
  assert len(runs.episodes(logdir)) == 8 > before
  assert not list(logdir.rglob('.tmp-*'))
  runs.assert_steps_increase(logdir)


# Signals while the interpreter ends, which takes a while with TensorFlow.
LATE = """
import atexit, os, signal
from dreamerv2_tf import cli
def late():
  for number in signal.SIGTERM, signal.SIGINT:
    os.kill(os.getpid(), number)
atexit.register(late)
cli.main = lambda: 75
cli.command()
"""


@pytest.mark.fault(27)
def test_more_signals_after_the_save(python):
  result = python('-c', LATE)
  assert (result.returncode, result.stderr) == (75, '')


@pytest.mark.fault(28)
def test_a_signal_while_running_episodes_are_repeated(launcher, tmp_path):
  logdir = tmp_path / 'run'
  # After 40 steps of each environment its sixth episode is at step 5.
  flags = [*COLLECT, *runs.plan(
      tmp_path / 'visits', (runs.seed_of(5), 2, 'SIGTERM'))]
  launcher.call(logdir, *flags, '--steps', 80)
  before = runs.tree(logdir)
  _, err = launcher.call(logdir, *flags, '--steps', 90, status=75)
  assert 'Stopped by SIGTERM while resuming, the state is as it was' in err
  assert runs.tree(logdir) == before
  launcher.call(logdir, *flags, '--steps', 90)
  assert runs.newest(logdir).step == 90


@pytest.mark.fault(28)
def test_a_signal_while_environments_are_built_leaves_no_trace(tmp_path):
  process = runs.start(
      tmp_path / 'run', *runs.TOY, '--task', 'gym_toys:Fault-v0',
      '--env.config.fault', 'hanging constructor', '--env.config.once',
      tmp_path / 'once')
  runs.wait_for((tmp_path / 'once').exists, process)
  workers = children(process.pid)
  process.send_signal(signal.SIGTERM)
  _, err = runs.finish(process, 75, timeout=100)  # Below BUILD_SECONDS.
  assert err.splitlines()[-1] == (
      'Stopped by SIGTERM while environments were built, before anything '
      'changed. Run the same command again to go on.')
  assert len(workers) == 2 and gone(workers)
  assert [path.name for path in tmp_path.iterdir()] == ['once']


@pytest.mark.fault(26)
@pytest.mark.parametrize('flags, folders', [
    (COLLECT, ['train_episodes']),
    pytest.param(
        runs.TOY, ['train_episodes', 'eval_episodes'],
        marks=pytest.mark.minutes)], ids=['collect', 'learn'])
def test_a_signal_while_an_environment_hangs_changes_nothing(
    launcher, tmp_path, flags, folders):
  logdir, seed = tmp_path / 'run', runs.seed_of(6, 1)
  launcher.call(tmp_path / 'straight', *flags, '--steps', 120)
  flags = [
      *flags, '--steps', 120, '--env_timeout', 3600,
      *runs.plan(tmp_path / 'visits', (seed, 1, 'hang'))]
  run = launcher.start(logdir, *flags)
  runs.wait_for((tmp_path / 'visits' / f'{seed}-now').exists, run)
  run.send_signal(signal.SIGTERM)
  _, err = runs.finish(run, 75)
  record = runs.newest(logdir)
  assert err.splitlines()[-1].startswith(
      f'Stopped by SIGTERM at step {record.step}, the state is')
  assert record.step >= 72 and len(record.state['driver']['unanswered']) == 2
  out, err = launcher.call(logdir, *flags)
  assert f'Resumed       checkpoint {record.step}' in out
  assert 'could not be replayed' not in err
  runs.assert_equal(tmp_path / 'straight', logdir, folders)
  runs.assert_steps_increase(logdir)


# A signal when an episode can not be written, until the second try.
UNWRITTEN = """
import os, signal
from dreamerv2_tf import files
write = files.write
def failing(path, fill, tries=[]):
  if 'train_episodes' in str(path):
    tries.append(path)
    if len(tries) == 5:
      os.kill(os.getpid(), signal.SIGTERM)
      raise OSError(28, 'No space left on device')
  write(path, fill)
files.write = failing
"""

# A signal while the first environment is being replaced.
REPLACED = """
import os, signal
from dreamerv2_tf.envs.pool import Pool
rebuild = Pool._rebuild
def signalled(self, *args):
  os.kill(os.getpid(), signal.SIGTERM)
  return rebuild(self, *args)
Pool._rebuild = signalled
"""


@pytest.mark.fault(26)
@pytest.mark.parametrize('setup', [UNWRITTEN, REPLACED])
def test_a_signal_while_a_fault_is_met_changes_nothing(
    launcher, tmp_path, setup):
  flags = lambda name: [*COLLECT, '--steps', 80, *runs.plan(
      tmp_path / name, (runs.seed_of(3), 1, 'raise'))]
  launcher.call(tmp_path / 'straight', *flags('a'))
  _, err = launcher.call(tmp_path / 'run', *flags('b'), setup=setup, status=75)
  assert 'No space left' in err or 'the wheel came off' in err
  launcher.call(tmp_path / 'run', *flags('b'))
  one, other = (
      runs.episodes(tmp_path / name) for name in ('straight', 'run'))
  assert [list(map(repr, x.items())) for x in one] == [
      list(map(repr, x.items())) for x in other]
  assert [len(x['reward']) for x in one].count(3) == 1  # Cut by the fault.
  runs.assert_steps_increase(tmp_path / 'run')


# Nobody reads what the run prints.
UNREAD = """
import os
reader, writer = os.pipe()
os.close(reader)
for handle in 1, 2:
  os.dup2(writer, handle)
"""


@pytest.mark.fault(29)
def test_hangup_and_closed_pipes_do_not_end_a_run(launcher, tmp_path):
  logdir = tmp_path / 'run'
  launcher.call(
      logdir, *COLLECT, '--steps', 90, *runs.plan(
          tmp_path / 'visits', (runs.seed_of(2, 1), 1, 'SIGHUP'),
          (runs.seed_of(4), 1, 'raise')),  # A warning on standard error.
      setup=UNREAD)
  runs.assert_steps_increase(logdir)
  assert runs.newest(logdir).step >= 90
  assert runs.rows(logdir)[-1]['step'] >= 80  # Where episodes have ended.
  assert not (logdir / 'failure.json').exists()


@pytest.mark.fault(29)
@pytest.mark.minutes
def test_the_reader_of_a_pipe_may_leave(tmp_path):
  process = runs.start(tmp_path / 'run', *COLLECT, '--steps', 90)
  for line in process.stdout:
    if line.startswith('['):  # The first metrics.
      break
  process.stdout.close()
  assert 'BrokenPipe' not in process.stderr.read()
  process.stderr.close()
  assert process.wait(300) == 0
  assert runs.rows(tmp_path / 'run')[-1]['step'] == 84


@pytest.mark.fault(30)
@pytest.mark.parametrize('fault', ['', 'hang', 'stop'])
def test_workers_and_what_they_started_end_with_a_killed_parent(
    fault, tmp_path):
  script = textwrap.dedent(f"""
      import sys, time
      sys.path.insert(0, {str(TESTS)!r})
      import pools as t
      make = t.factory(
          'Family', folder={str(tmp_path)!r}, fault={fault!r}, at=1, seeds=(7,))
      pool = t.envs.Pool(make, 2)
      t.run(pool, ('reset', 7), ('reset', 8))
      pool.send([t.ACTION, t.ACTION])
      print('ready', flush=True)
      time.sleep(3600)
      """)
  with subprocess.Popen(
      [sys.executable, '-c', script], stdout=subprocess.PIPE, text=True,
      env={**os.environ, 'PYTHONPATH': str(TESTS.parent)}) as parent:
    assert parent.stdout.readline() == 'ready\n'
    pids = children(parent.pid)
    theirs = [int(path.name) for path in tmp_path.iterdir()]
    assert len(pids) == len(theirs) == 2 and all(map(stat, theirs))
    parent.kill()
    assert gone(pids) and gone(theirs)


@pytest.mark.fault(30)
@pytest.mark.fault(31)
def test_no_worker_outlives_a_killed_trainer_and_it_goes_on(
    launcher, tmp_path):
  logdir = tmp_path / 'run'
  flags = [*COLLECT, '--steps', 240, *runs.plan(
      tmp_path / 'visits', (runs.seed_of(12, 1), 1, 'hang'))]
  run = launcher.start(logdir, *flags)
  moment = tmp_path / 'visits' / f'{runs.seed_of(12, 1)}-now'
  runs.wait_for(moment.exists, run)
  workers = children(run.pid)
  run.kill()
  runs.finish(run, -signal.SIGKILL)
  assert len(workers) == 2 and gone(workers)
  # 12 episodes of 7 steps of each worker, after the checkpoint of step 160.
  assert len(runs.episodes(logdir)) == 24
  out, _ = launcher.call(logdir, *flags)
  assert 'Resumed       checkpoint 160:' in out
  assert runs.newest(logdir).step == 240
  assert len(runs.episodes(logdir)) == 34
  assert not list(logdir.rglob('.tmp-*'))
  runs.assert_steps_increase(logdir)


@pytest.mark.fault(31)
def test_too_little_memory_is_told_and_the_run_goes_on(launcher, tmp_path):
  logdir = tmp_path / 'run'
  flags = [*COLLECT, '--steps', 60, '--envs_parallel', 'none']
  _, err = launcher.call(logdir, *flags, status=6, setup="""
import numpy as np
from dreamerv2_tf.data.replay import Replay
Replay.end_episode = lambda *args: np.zeros(1 << 50)
""")
  assert 'error: out of memory; lower replay.ram, dataset.batch' in err
  record = json.loads((logdir / 'failure.json').read_text())
  assert (record['error'], record['exit_code']) == ('StorageError', 6)
  assert err.splitlines()[-1] == f"error: {record['message']}"
  launcher.call(logdir, *flags)
  assert len(runs.episodes(logdir)) == 8
  assert not (logdir / 'failure.json').exists()
  runs.assert_steps_increase(logdir)
