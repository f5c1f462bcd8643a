"""What goes wrong in a run: nothing is lost, and one line says what to do."""

import json
import shutil

import pytest
import runs

from dreamerv2_tf import cli

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


def history(logdir):
  return json.loads((logdir / 'run.json').read_text())['history']


@pytest.fixture(scope='module')
def done(tmp_path_factory, launcher):
  """Folder of a run of 80 steps with 10 episodes of 7 steps."""
  logdir = tmp_path_factory.mktemp('done') / 'run'
  launcher.call(logdir, *runs.TOY, '--eval_every', 0, '--steps', 80)
  return logdir


def test_a_key_of_another_version_is_no_obstacle(
    done, launcher, tmp_path, capsys):
  logdir = tmp_path / 'run'
  shutil.copytree(done, logdir)
  with open(logdir / 'config.yaml', 'a') as file:
    file.write('of_tomorrow: 3\n')
  assert cli.main(['eval', '--logdir', str(logdir), '--episodes', '1']) == 0
  launcher.call(logdir, '--steps', 90)
  assert runs.newest(logdir).step == 90
  assert 'of_tomorrow' not in (logdir / 'config.yaml').read_text()


def test_a_new_run_begins_with_episodes_put_into_its_folder(
    done, launcher, tmp_path):
  logdir = tmp_path / 'run'
  shutil.copytree(done / 'train_episodes', logdir / 'train_episodes')
  out, _ = launcher.call(
      logdir, *runs.TOY, '--eval_every', 0, '--steps', 100)
  assert 'Resumed       no checkpoint; 10 episodes, ' in out
  assert runs.newest(logdir).step == 100
  assert history(logdir)[0]['step'] == 70


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


@pytest.mark.parametrize('prefill, told', [
    (60, 200), (220, 220)])  # Not before 100 steps of each.
def test_an_environment_that_never_ends_is_an_error_of_usage(
    train, tmp_path, caplog, prefill, told):
  line = train(
      2, *runs.TOY, '--env.config.length', 10 ** 6, '--time_limit', 0,
      '--prefill', prefill, '--steps', 230)
  assert line == (
      'error: Nothing was learned: in 230 steps no episode has ended. Cut them '
      'after a number of steps, such as --time_limit 1000.')
  [warning] = [x.getMessage() for x in caplog.records if 'Prefill' in x.msg]
  assert f'in {told} steps no episode has ended' in warning
  assert runs.newest(tmp_path / 'run').step == 230


def test_a_run_without_gradient_steps_is_not_called_done(launcher, tmp_path):
  out, _ = launcher.call(
      tmp_path / 'run', *runs.TOY, '--steps', 30, '--eval_every', 0)
  assert 'No gradient step was taken (prefill is 60 steps): 30 steps, ' in out
  assert 'Done' not in out


def test_a_small_capacity_is_a_limit_for_evaluations_too(
    launcher, tmp_path):
  logdir = tmp_path / 'run'
  launcher.call(logdir, *runs.TOY, '--replay.capacity', 9, '--steps', 150)
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
  assert ('steps, 14 episodes.\nReturn: last 7.0 ± 0.0 (3 episodes).\n'
          f"  dreamerv2 eval --logdir '{logdir}'\n"
          f"  tensorboard --logdir '{logdir}'") in out
  record = json.loads((logdir / 'eval-100-20000-3.json').read_text())
  assert record['return_mean'] == 7 and record['episodes'] == 3
  assert not (logdir / 'checkpoints' / 'best.json').exists()
  assert "'vector' is far from unit variance: value 1 " in caplog.text
  assert cli.main([*flags, '--steps', '140', '--env.obs_scale', '1']) == 0
  assert runs.column(logdir, 'eval_return') == [7, 7]
  out = capsys.readouterr().out
  assert '; best 7.0 at step 130 (3 episodes).' in out
  assert cli.main([*flags, '--steps', '140', '--env.obs_scale', '1']) == 0
  out = capsys.readouterr().out
  assert out.startswith(
      'This run is complete (140 of 140 steps). Go on with --steps 280.\n'
      'Return: last 7.0 ± 0.0 (3 episodes); best 7.0 at step 130 (3 episodes).')
