"""What goes wrong in a run: nothing is lost, and one line says what to do."""

import functools
import json
import os
import pathlib
import shutil
import signal
import time

import numpy as np
import pytest
import runs

from dreamerv2_tf import cli
from dreamerv2_tf.run.checkpoint import Checkpoints

FAST = ('--deterministic', 'False')  # Leaves this process as it was.


@pytest.fixture
def train(tmp_path, capsys):
  """Runs the command here; returns its only line on stderr."""

  def call(status, *arguments, logdir=tmp_path / 'run'):
    words = ['--logdir', str(logdir), *map(str, (*arguments, *FAST))]
    assert cli.main(words) == status, capsys.readouterr()
    [line] = capsys.readouterr().err.strip().splitlines()
    return line

  return call


class Touch:
  """Unpickling it would make a file."""

  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return pathlib.Path.touch, (self._path,)


def history(logdir):
  return json.loads((logdir / 'run.json').read_text())['history']


def failure(logdir):
  return json.loads((logdir / 'failure.json').read_text())


def workers_of(parent):
  """Ids of the environment workers that a process has started."""
  found = []
  for path in pathlib.Path('/proc').glob('[0-9]*'):
    try:
      words = (path / 'cmdline').read_text().split('\0')
    except OSError:
      continue
    if 'dreamerv2_tf.envs.worker' in words and str(parent) in words:
      found.append(int(path.name))
  return found


def gone(pid):
  try:
    stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except OSError:
    return True
  return stat.rpartition(')')[2].split()[0] == 'Z'


@pytest.fixture(scope='module')
def killed(tmp_path_factory):
  """A run killed while an environment hangs; what a second trainer said.

  Returns the run folder, flags to go on, the message and exit status of the
  second trainer, and the workers that outlived the first.
  """
  folder = tmp_path_factory.mktemp('killed')
  logdir = folder / 'run'
  flags = [*runs.TOY, '--steps', 240, '--eval_every', 0, *runs.plan(
      folder / 'visits', (runs.seed_of(12, 1), 1, 'hang'))]
  first = runs.start(logdir, *flags)
  try:
    moment = folder / 'visits' / f'{runs.seed_of(12, 1)}-now'
    runs.wait_for(moment.exists, first)
    before = runs.tree(logdir)
    second = runs.call(logdir, *flags, status=7)
    assert runs.tree(logdir) == before
    workers = workers_of(first.pid)
    assert len(workers) == 2 and first.poll() is None
  finally:
    first.kill()
    first.communicate()
  until = time.monotonic() + 60
  while not all(map(gone, workers)) and time.monotonic() < until:
    time.sleep(0.05)
  return logdir, flags, second, [pid for pid in workers if not gone(pid)]


@pytest.fixture(scope='module')
def mended(killed):
  """The same, gone on with after its newest checkpoint and an episode broke.

  Returns the run folder, flags, steps of the checkpoints before, the name of
  the broken episode, stdout and stderr.
  """
  logdir, flags, *_ = killed
  steps = Checkpoints(logdir / 'checkpoints', readonly=True).steps()
  [data] = (logdir / 'checkpoints' / f'{steps[-1]:012d}').glob('*.data-*')
  os.truncate(data, data.stat().st_size // 2)
  episode = min((logdir / 'train_episodes').iterdir())
  os.truncate(episode, episode.stat().st_size // 2)
  out, err = runs.call(logdir, *flags, '--model_opt.lr', 1e-3)
  return logdir, flags, steps, episode.name, out, err


class TestKilled:
  """The life of one run folder, from kill -9 on."""

  def test_no_worker_outlives_the_trainer(self, killed):
    *_, survivors = killed
    assert not survivors

  def test_second_trainer_is_refused(self, killed):
    logdir, _, (out, err), _ = killed
    assert out == '' and err.splitlines()[-1].startswith(
        f'error: {logdir} is locked by pid ')

  def test_damaged_checkpoint_and_episode_are_put_aside(self, mended):
    logdir, _, steps, episode, out, err = mended
    assert steps == [0, 80, 160]
    assert 'Went back to checkpoint 80, as a newer one is damaged' in err
    assert f'skipped corrupt episode {episode}' in err
    assert 'Resumed       checkpoint 80:' in out
    assert {x.name for x in (logdir / 'quarantine').iterdir()} == {
        episode, 'checkpoint-000000000160'}
    runs.assert_steps_increase(logdir)
    assert runs.newest(logdir).step == 240
    assert not list(logdir.rglob('.tmp-*'))

  def test_a_key_of_another_version_is_no_obstacle(
      self, mended, tmp_path, capsys):
    logdir = tmp_path / 'run'
    shutil.copytree(mended[0], logdir)
    with open(logdir / 'config.yaml', 'a') as file:
      file.write('of_tomorrow: 3\n')
    assert cli.main(['eval', '--logdir', str(logdir), '--episodes', '1']) == 0
    runs.call(logdir, '--steps', 250)
    assert runs.newest(logdir).step >= 250
    assert 'of_tomorrow' not in (logdir / 'config.yaml').read_text()

  def test_without_any_good_checkpoint_nothing_changes(
      self, mended, tmp_path, train):
    logdir = tmp_path / 'run'
    shutil.copytree(mended[0], logdir)
    for path in (logdir / 'checkpoints').glob('*/state.json'):
      path.write_text('{}')
    before = runs.tree(logdir)
    line = train(3, *mended[1], '--model_opt.lr', 1e-3)
    assert line.startswith(f'error: No checkpoint in {logdir}/checkpoints is ')
    assert runs.tree(logdir, 'failure.json') == before
    assert failure(logdir)['exit_code'] == 3

  @pytest.mark.parametrize('words, value, message', [
      ('driver', None, "KeyError: 'driver'"),
      ('replay next_seq', None, "KeyError: 'next_seq'"),
      ('every log', None, "KeyError: 'log'"),
      ('datasets train rng', 'x', ''),
      ('driver workers', [{'episode': 1, 'running': True, 'seed': 3,
                           'actions': [0, 99], 'digest': ''}] * 2,
       'ValueError: action 99 is not below 2'),
      ('driver workers', [{'episode': 1, 'running': True, 'seed': 3,
                           'actions': [-1], 'digest': ''}] * 2,
       'ValueError: action -1 is not below 2'),
      ('step', 'x', "TypeError: 'step' is 'x'"),
      ('due train', 'x', "TypeError: 'due train' is 'x'"),
      ('best', [1], r"TypeError: 'best' is [1]"),
      ('pending', [3], 'TypeError: ')])
  def test_odd_states_with_a_right_checksum(
      self, mended, tmp_path, train, words, value, message):
    logdir = tmp_path / 'run'
    shutil.copytree(mended[0], logdir)
    path = runs.newest(logdir).path
    state = json.loads((path / 'state.json').read_text())
    *parents, last = words.split()
    target = functools.reduce(dict.get, parents, state)
    if value is None:
      del target[last]
    else:
      target[last] = value
    (path / 'state.json').write_text(json.dumps(state))
    runs.resign(path)
    before = runs.tree(logdir)
    line = train(3, *mended[1], '--model_opt.lr', 1e-3, '--steps', 300)
    assert line.startswith(f'error: Can not go on with checkpoint {path}: ')
    assert message in line
    assert runs.tree(logdir, 'failure.json') == before

  def test_a_pickled_array_is_not_loaded(self, mended, tmp_path, train):
    logdir = tmp_path / 'run'
    shutil.copytree(mended[0], logdir)
    path = runs.newest(logdir).path
    np.savez(path / 'arrays.npz', policy_0=np.array([Touch(tmp_path / 'it')]))
    runs.resign(path)
    line = train(3, *mended[1], '--model_opt.lr', 1e-3, '--steps', 300)
    assert 'Object arrays cannot be loaded when allow_pickle=False' in line
    assert not (tmp_path / 'it').exists()

  @pytest.mark.parametrize('gone', [
      ['checkpoints'], ['checkpoints', 'metrics.jsonl'],
      ['checkpoints', 'train_episodes'],
      ['checkpoints', 'metrics.jsonl', 'run.json'],
      ['checkpoints', 'train_episodes', 'eval_episodes', 'config.yaml']])
  def test_lost_checkpoints_are_not_made_up_for(
      self, mended, tmp_path, train, gone):
    logdir = tmp_path / 'run'
    shutil.copytree(mended[0], logdir)
    for name in gone:
      path = logdir / name
      shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = runs.tree(logdir)
    line = train(3, *mended[1], '--model_opt.lr', 1e-3)
    assert line.startswith(f'error: The run in {logdir} has ')
    assert 'but no checkpoint. Put back a copy' in line
    assert ('up to step 0,' in line) == ('metrics.jsonl' in gone)
    assert (' has 0 episodes' in line) == ('train_episodes' in gone)
    assert runs.tree(logdir, 'failure.json') == before

  def test_a_new_run_begins_with_episodes_put_into_its_folder(
      self, mended, tmp_path):
    logdir = tmp_path / 'run'
    shutil.copytree(mended[0] / 'train_episodes', logdir / 'train_episodes')
    count = len(list((logdir / 'train_episodes').iterdir()))
    out, _ = runs.call(logdir, *mended[1], '--steps', 300)
    assert f'Resumed       no checkpoint; {count} episodes, ' in out
    assert runs.newest(logdir).step >= 300
    assert history(logdir)[0]['step'] == sum(
        len(x['reward']) - 1 for x in runs.episodes(mended[0]))


def test_black_frames_are_refused_at_once(tmp_path):
  _, err = runs.call(
      tmp_path / 'run', '--configs', 'highway', 'debug', status=4,
      env={'SDL_VIDEODRIVER': 'dummy'})
  assert 'black frames because SDL_VIDEODRIVER=dummy' in err.splitlines()[-1]
  assert list(tmp_path.iterdir()) == []


def test_vectors_do_without_frames(tmp_path):
  _, err = runs.call(
      tmp_path / 'run', '--configs', 'highway_kinematics', 'debug', '--steps',
      60, '--prefill', 40, '--eval_eps', 1, env={'SDL_VIDEODRIVER': 'dummy'})
  assert 'Evaluations are not filmed' in err
  assert runs.column(tmp_path / 'run', 'eval_return')


def test_episodes_shorter_than_minlen_are_an_error_of_usage(train, tmp_path):
  line = train(2, *runs.TOY, '--replay.minlen', 9)
  assert 'has 7 steps, replay.minlen is 9' in line
  assert failure(tmp_path / 'run')['exit_code'] == 2


def test_an_environment_that_never_ends_is_an_error_of_usage(
    train, tmp_path, caplog):
  line = train(
      2, *runs.TOY, '--env.config.length', 10 ** 6, '--steps', 90)
  assert line == (
      'error: Nothing was learned: in 90 steps no episode has ended. Cut them '
      'after a number of steps, such as --time_limit 1000.')
  [warning] = [x.getMessage() for x in caplog.records if 'Prefill' in x.msg]
  assert 'in 60 steps no episode has ended' in warning
  assert runs.newest(tmp_path / 'run').step == 90


def test_a_run_without_gradient_steps_is_not_called_done(train, tmp_path):
  out, _ = runs.call(
      tmp_path / 'run', *runs.TOY, '--steps', 30, '--eval_every', 0)
  assert 'No gradient step was taken (prefill is 60 steps): 30 steps, ' in out
  assert 'Done' not in out


def test_a_signal_while_running_episodes_are_repeated(tmp_path):
  logdir = tmp_path / 'run'
  # After 40 steps of each environment its sixth episode is at step 5.
  flags = [*runs.TOY, *runs.plan(
      tmp_path / 'visits', (runs.seed_of(5), 2, 'SIGTERM'))]
  runs.call(logdir, *flags, '--steps', 80)
  before = runs.tree(logdir)
  _, err = runs.call(logdir, *flags, '--steps', 90, status=75)
  assert 'Stopped by SIGTERM while resuming, the state is as it was' in err
  assert runs.tree(logdir) == before
  runs.call(logdir, *flags, '--steps', 90)
  assert runs.newest(logdir).step == 90


def test_one_short_episode_does_not_end_a_run_with_a_good_one(tmp_path):
  logdir = tmp_path / 'run'
  faults = runs.plan(tmp_path / 'visits', (runs.seed_of(0), 1, 'raise'))
  flags = [
      *runs.TOY, *faults, '--env.config.length', 40, '--replay.minlen', 5,
      '--prefill', 20, '--steps', 100, '--eval_every', 0]
  _, err = runs.call(logdir, *flags)
  assert 'rejected short episode: 2 steps' in err
  assert runs.column(logdir, 'train_episodes_rejected')[-1] == 1
  assert len(runs.column(logdir, 'model_loss')) == 1
  assert runs.newest(logdir).step >= 100


def test_a_small_capacity_is_a_limit_for_evaluations_too(tmp_path):
  logdir = tmp_path / 'run'
  runs.call(logdir, *runs.TOY, '--replay.capacity', 9, '--steps', 150)
  assert set(runs.column(logdir, 'eval_total_episodes')) == {3, 6}
  assert set(runs.column(logdir, 'eval_loaded_episodes')) == {1}
  assert set(runs.column(logdir, 'train_loaded_episodes')) == {1}


def test_the_end_of_a_run_scores_what_was_trained(tmp_path, capsys, caplog):
  logdir = tmp_path / 'my run'
  flags = [*map(str, runs.TOY), *FAST, '--logdir', str(logdir)]
  assert cli.main([*flags, '--steps', '100', '--env.obs_scale', '1']) == 0
  out = capsys.readouterr().out
  # At step 60 was the end of prefill: no best yet. Each of 7 steps earns 1.
  assert runs.column(logdir, 'eval_return') == [7]
  assert ('steps, 14 episodes, last eval_return 7.0 +- 0.0 (3 episodes).\n'
          f"  dreamerv2 eval --logdir '{logdir}'\n"
          f"  tensorboard --logdir '{logdir}'") in out
  record = json.loads((logdir / 'eval-100-20000-3.json').read_text())
  assert record['return_mean'] == 7 and record['episodes'] == 3
  assert not (logdir / 'checkpoints' / 'best.json').exists()
  assert "'vector' is far from unit variance: value 1 " in caplog.text
  assert cli.main([*flags, '--steps', '140', '--env.obs_scale', '1']) == 0
  assert runs.column(logdir, 'eval_return') == [7, 7]
  out = capsys.readouterr().out
  assert ', best eval_return 7.0 at step 130.' in out
  assert cli.main([*flags, '--steps', '140', '--env.obs_scale', '1']) == 0
  assert 'last eval_return 7.0 +- 0.0 (3 episodes)' in capsys.readouterr().out


def test_a_signal_while_environments_are_built_leaves_no_trace(tmp_path):
  process = runs.start(
      tmp_path / 'run', *runs.TOY, '--task', 'gym_toys:Fault-v0',
      '--env.config.fault', 'hanging constructor', '--env.config.once',
      tmp_path / 'once')
  runs.wait_for((tmp_path / 'once').exists, process)
  workers = workers_of(process.pid)
  process.send_signal(signal.SIGTERM)
  _, err = runs.finish(process, 75, timeout=100)  # Below BUILD_SECONDS.
  assert err.splitlines()[-1] == (
      'Stopped by SIGTERM while environments were built, before anything '
      'changed. Run the same command again to go on.')
  assert len(workers) == 2 and all(map(gone, workers))
  assert [path.name for path in tmp_path.iterdir()] == ['once']


def test_a_signal_while_an_environment_hangs_saves_the_state(tmp_path):
  logdir = tmp_path / 'run'
  flags = [
      *runs.TOY, '--steps', 120, '--eval_every', 0, '--env_timeout', 3600,
      *runs.plan(tmp_path / 'visits', (runs.seed_of(6, 1), 1, 'hang'))]
  process = runs.start(logdir, *flags)
  moment = tmp_path / 'visits' / f'{runs.seed_of(6, 1)}-now'
  runs.wait_for(moment.exists, process)
  before = len(runs.episodes(logdir))
  process.send_signal(signal.SIGTERM)
  _, err = runs.finish(process, 75)
  message = err.splitlines()[-1]
  step = runs.newest(logdir).step
  assert message.startswith(f'Stopped by SIGTERM at step {step}, the state is')
  assert step >= 72
  out, err = runs.call(logdir, *flags)
  assert f'Resumed       checkpoint {step}' in out
  assert 'could not be replayed' not in err
  stored = runs.episodes(logdir)
  assert len(stored) > before
  assert {len(x['reward']) for x in stored} == {8}  # No episode was cut.
  runs.assert_steps_increase(logdir)
