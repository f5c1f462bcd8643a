"""What goes wrong in a run: nothing is lost, and one line says what to do."""

import json
import os
import pathlib
import shutil
import time

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

  @pytest.mark.fault(51)
  def test_second_trainer_is_refused(self, killed):
    logdir, _, (out, err), _ = killed
    assert out == '' and err.splitlines()[-1].startswith(
        f'error: {logdir} is locked by pid ')

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
