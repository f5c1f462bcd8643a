import errno
import os
import re
import shlex
import types

import pytest

from dreamerv2_tf import __version__, cli, commands, errors, run, startup
from dreamerv2_tf.config import resolve


@pytest.fixture
def calls(monkeypatch):
  """Replaces both loops; returns the arguments that they were called with."""
  seen = []

  def record(*args, **kwargs):
    seen.append((args, kwargs))

  for name in 'train', 'evaluate':
    loop = types.SimpleNamespace(run=record)
    monkeypatch.setattr(run, name, loop, raising=False)
  return seen


@pytest.fixture
def stored(tmp_path):
  """A run folder that holds its settings."""
  logdir = tmp_path / 'stored'
  logdir.mkdir()
  resolve(['highway', 'debug'], ['--seed', '7']).save(logdir / 'config.yaml')
  return logdir


def fail_with(monkeypatch, error):
  def loop(*args, **kwargs):
    raise error
  monkeypatch.setattr(
      run, 'train', types.SimpleNamespace(run=loop), raising=False)


@pytest.mark.parametrize('prefix', [[], ['train']])
def test_train_resolves_presets_and_flags(prefix, calls, tmp_path):
  status = cli.main([
      *prefix, '--logdir', str(tmp_path / 'run'), '--configs', 'atari', 'debug',
      '--dmc_camera', '-2', '--.*\\.norm=layer', '--break-lock'])
  assert status == 0
  [((config,), kwargs)] = calls
  assert config.task == 'atari_pong' and config.rssm.deter == 32
  assert config.dmc_camera == -2 and config.rssm.norm == 'layer'
  assert config.logdir == str(tmp_path / 'run')
  assert kwargs == {'fresh': False, 'break_lock': True, 'source': ''}
  assert list(tmp_path.iterdir()) == []


def test_default_logdir_is_below_home_and_named_after_the_task(
    calls, monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert cli.main(['--task', 'gym_module:Id/A-v0', '--fresh']) == 0
  assert cli.main(['--logdir=~/a/b', '--task=gym_A-v0']) == 0
  ((first,), kwargs), ((second,), _) = calls
  assert re.fullmatch(
      re.escape(f'{tmp_path}/logdir/gym_module-Id-A-v0/') + r'\d{8}T\d{6}',
      first.logdir)
  assert kwargs['fresh'] is True
  assert second.logdir == f'{tmp_path}/a/b'


def test_without_configs_a_run_keeps_its_settings(calls, stored, capsys):
  logdir = str(stored)
  assert cli.main(['--logdir', logdir, '--envs', '3']) == 0
  assert cli.main(['--logdir', logdir, '--configs', 'debug']) == 0
  ((first,), _), ((second,), _) = calls
  assert (first.rssm.deter, first.seed, first.envs) == (32, 7, 3)
  assert first.logdir == second.logdir == logdir
  assert second.seed == 0  # Presets begin from the defaults.
  assert capsys.readouterr().err == (
      f'No --configs: settings from {stored}/config.yaml.\n')


def test_eval_passes_its_flags_and_overrides(calls, stored):
  assert cli.main(['eval', '--logdir', str(stored)]) == 0
  assert cli.main([
      'eval', '--logdir', str(stored), '--episodes', '1e1', '--json', '--seed',
      '3', '--env.config.lanes_count', '4', '--checkpoint=best', '--video',
      'a.gif', '--trust', '--envs', '2', '--precision=32']) == 0
  assert cli.main(['eval', str(stored)]) == 0
  defaults = dict(
      episodes=100, seed=10000, checkpoint='latest', json=False, video=None,
      video_episodes=1, envs=None, overrides=[], trust=False, keep=True)
  assert calls[0] == ((str(stored),), defaults)
  assert calls[2] == calls[0]
  assert calls[1] == ((str(stored),), dict(
      episodes=10, seed=3, checkpoint='best', json=True, video='a.gif', envs=2,
      video_episodes=1, trust=True, keep=True,
      overrides=['--env.config.lanes_count', '4', '--precision=32']))


@pytest.mark.parametrize('place, message', [
    (None, 'error: To begin a run, give --configs or --task.'),
    ('none', 'error: No run in {}/none. To begin a run, give --configs or '
     '--task.'),
    ('.', 'error: No run in {0}. There is one in {0}/stored. To begin a run, '
     'give --configs or --task.'),
    ('stored/checkpoints', 'error: No run in {0}/stored/checkpoints. There is '
     'one in {0}/stored. To begin a run, give --configs or --task.')])
def test_a_run_of_no_task_is_not_begun(
    place, message, calls, stored, tmp_path, capsys):
  words = ['--logdir', str(tmp_path / place)] if place else []
  before = sorted(tmp_path.rglob('*'))
  assert cli.main([*words, '--seed', '3']) == 2
  assert capsys.readouterr().err == message.format(tmp_path) + '\n'
  assert not calls and sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('arguments, message', [
    (['trian'], "Unknown command 'trian'. Did you mean 'train'?"),
    (['walk'], 'Commands: train, eval, dream, sweep, plot, compare, doctor;'),
    (['enjoy'], "Unknown command 'enjoy'. Did you mean 'eval'?"),
    (['--pretrained', 'a'], 'dreamerv2 eval --pretrained a --video drive.gif'),
    (['help', 'evl'], "Unknown command 'evl'. Did you mean 'eval'?"),
    (['evaluate'], "Unknown command 'evaluate'. Did you mean 'eval'?"),
    (['train', 'highway'], "Unexpected argument 'highway'"),
    (['--configs', 'higway'], "Unknown preset 'higway'. Did you mean 'highway"),
    (['--configs'], "'--configs' needs the name of a preset"),
    (['--config', 'highway'], "Unknown key 'config'. Did you mean 'configs'"),
    (['--frehs'], "Unknown key 'frehs'. Did you mean 'fresh'"),
    (['--fresh', 'maybe'], "'fresh' must be True or False but is 'maybe'"),
    (['--break_lock'], "Unknown key 'break_lock'. Did you mean 'break-lock'"),
    (['--rssm.dter', '3'], "Did you mean 'rssm.deter'"),
    (['--logdir'], "'--logdir' needs a value"),
    (['--help', 'deter'], "Unknown key 'deter'. Did you mean 'rssm.deter'?"),
    (['eval'], 'eval needs the folder of a run: --logdir DIR, or an agent'),
    (['eval', '--logdir', 'a', '--pretrained', 'b'], 'give one of them'),
    (['eval', '--pretrained', 'no_such'],
     "There is no pretrained agent 'no_such'. Pretrained agents: "),
    (['eval', '--pretrained', '../pretrained'], 'There is no pretrained agent'),
    (['eval', '--pretrained', 'a', '--checkpoint', 'best'],
     'A pretrained agent has one state'),
    (['eval', '--logdir', 'nowhere'], 'nowhere: no run here'),
    (['eval', 'a', 'b'], "'--logdir' takes one value but got 2: a b."),
    (['eval', '--configs', 'highway'], 'eval takes the settings of the run'),
    (['eval', '--logdir', '.', '--episodes', '0'], "'episodes' must be at lea"),
    (['eval', '--logdir', '.', '--seed', '-1'], "'seed' must be at least 0"),
    (['eval', '--logdir', '.', '--episodes', '2.5'], 'a whole number'),
    (['eval', '--logdir', '.', '--checkpoint', 'lates'],
     "latest, best or a step such as 5000 but is 'lates'. Did you mean 'lat"),
])
def test_wrong_usage_is_one_line_and_status_2(
    arguments, message, calls, capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path))
  assert cli.main(arguments) == 2
  out, err = capsys.readouterr()
  assert err.startswith('error: ') and message in err
  assert err.count('\n') == 1 and not out
  assert not calls and list(tmp_path.iterdir()) == []


def test_eval_checks_overrides_and_stored_settings(calls, stored, capsys):
  logdir = str(stored)
  assert cli.main(['eval', '--logdir', logdir, '--episode', '3']) == 2
  assert "Unknown key 'episode'. Did you mean 'episodes'" in (
      capsys.readouterr().err)
  for words in ['--steps', '9000'], ['--replay\\.m.*', '1'], ['--prefill=1']:
    assert cli.main(['eval', '--logdir', logdir, *words]) == 2
    assert 'changes nothing in an evaluation' in capsys.readouterr().err
  (stored / 'config.yaml').write_text('seed: 1\nseed: 2\n')
  assert cli.main(['eval', '--logdir', logdir]) == 2
  assert cli.main(['--logdir', logdir]) == 2
  assert capsys.readouterr().err.count('duplicate key "seed"') == 2
  assert not calls


@pytest.mark.parametrize('error, status, message', [
    (errors.ConfigError('No such task.'), 2, 'error: No such task.'),
    (errors.StateError('Old.'), 3, 'error: Old.'),
    (errors.EnvError('Dead.'), 4, 'error: Dead.'),
    (errors.NonFiniteError('NaN.'), 5, 'error: NaN.'),
    (errors.StorageError('Full.'), 6, 'error: Full.'),
    (errors.LockedError('Locked.'), 7, 'error: Locked.'),
    (errors.Interrupted('Stopped.'), 75, '\nStopped.\n'),
    (errors.Interrupted('Stopped.', 130), 130, '\nStopped.\n'),
    (KeyboardInterrupt(), 130, '\nInterrupted.\n'),
    (MemoryError(), 6, 'error: out of memory; lower replay.ram'),
    (OSError(errno.ENOSPC, 'No space', 'a'), 6, "No space: 'a'"),
    (PermissionError(errno.EACCES, 'Denied', 'a'), 6, "Denied: 'a'"),
    (OSError(errno.ENAMETOOLONG, 'Too long', 'a'), 2, "Too long: 'a'"),
    (OSError(errno.ENOMEM, 'No memory'), 6, 'error: out of memory; lower'),
    (OSError(errno.EMFILE, 'Many'), 6, 'Many; raise the limit (ulimit -n)'),
])
def test_errors_map_to_exit_statuses(
    error, status, message, monkeypatch, capsys, tmp_path):
  fail_with(monkeypatch, error)
  arguments = ['--logdir', str(tmp_path / 'a'), '--task', 'gym_A-v0']
  assert cli.main(arguments) == status
  err = '\n' + capsys.readouterr().err
  assert message in err and 'Traceback' not in err
  assert cli.main(arguments + ['--debug']) == status
  err = capsys.readouterr().err
  assert message in err and 'Traceback' in err


@pytest.mark.parametrize('error', [
    RuntimeError('bug'), OSError(errno.EIO, 'bug')])
def test_unexpected_errors_show_a_traceback(
    error, monkeypatch, capsys, tmp_path):
  fail_with(monkeypatch, error)
  assert cli.main(['--logdir', str(tmp_path / 'a'), '--task', 'gym_A-v0']) == 1
  err = capsys.readouterr().err
  assert 'Traceback' in err and 'bug' in err


def test_status_of_the_loop_is_returned(monkeypatch, tmp_path):
  monkeypatch.setattr(run, 'train', types.SimpleNamespace(
      run=lambda *args, **kwargs: 75), raising=False)
  assert cli.main(['--logdir', str(tmp_path / 'a'), '--task', 'gym_A-v0']) == 75


def test_help_lists_every_key_with_its_value(capsys):
  assert cli.main(['--configs', 'highway', 'debug', '--help']) == 0
  out = capsys.readouterr().out
  config = resolve(['highway', 'debug'])
  for key in config.flat:
    if not key.startswith('env.config'):
      assert f'\n  --{key} ' in out or f'\n* --{key} ' in out, key
  assert '--rssm.deter 32 ' in out and 'World model\n' in out
  assert 'type: ' in out and '--env.config {observation' in out
  assert max(map(len, re.sub('.*env.config.*', '', out).split('\n'))) <= 100


def test_help_of_some_keys_says_all_that_is_known_of_them(capsys):
  assert cli.main([
      '--configs', 'highway', '--help', 'kl', 'rssm.norm', '--seed', '3']) == 0
  out = capsys.readouterr().out
  for key in ('free', 'forward', 'balance', 'free_avg'):
    assert f'--kl.{key} ' in out
  assert out.endswith(
      '--kl.free_avg True\n'
      '    Free nats hold for the average instead of each state.\n'
      '    True or False.\n'
      "--rssm.norm 'none'\n    Normalisation.\n"
      '    One of none, layer. A run folder keeps it.\n')
  assert 'A finite number in [0, 1].\n' in out
  assert cli.main(['--help', 'env.config.lanes_count', '.*_opt.wd']) == 0
  out = capsys.readouterr().out
  assert re.findall(r'^--(\S+)', out, re.M) == [
      'env.config', 'model_opt.wd', 'actor_opt.wd', 'critic_opt.wd',
      'expl_opt.wd']


def test_help_shows_ranges_choices_and_what_a_run_keeps(capsys):
  assert cli.main(['--help']) == 0
  out = ' '.join(capsys.readouterr().out.split())
  assert 'Units of the deterministic state. At least 1; fixed. --' in out
  assert 'trains the prior. In [0, 1]. --' in out
  assert 'Normalisation. One of none, layer; fixed. --' in out


def test_help_marks_what_the_given_settings_change(capsys):
  assert cli.main(['--configs', 'debug', '--help', '--seed', '3']) == 0
  out = capsys.readouterr().out
  config, defaults = resolve(['debug'], ['--seed', '3']), resolve()
  assert re.findall(r'^\* --(\S+)', out, re.M) == [
      key for key in re.findall(r'^. --(\S+)', out, re.M)
      if key in config.flat and config[key] != defaults[key]]
  assert '\n* --seed 3 ' in out and '\n  --gru ' not in out
  assert cli.main(['--help']) == 0
  assert '\n* --' not in capsys.readouterr().out


def test_without_arguments_the_command_shows_one_screen(capsys):
  assert cli.main([]) == 0
  out = capsys.readouterr().out
  assert cli.main(['help']) == 0 and capsys.readouterr().out == out
  assert len(out.splitlines()) <= 23 and max(map(len, out.splitlines())) <= 80
  for name in commands.COMMANDS:
    example = f'\n  dreamerv2 {name} ' in out
    assert f'\n  {name} ' in out and example == bool(commands.COMMANDS[name][2])


@pytest.mark.parametrize('name', commands.COMMANDS)
def test_examples_of_the_overview_are_understood(name, capsys):
  words = shlex.split(commands.COMMANDS[name][-1])
  assert cli.main([name, *words, '--help']) == 0
  assert cli.main(['help', name]) == 0
  assert f'usage: dreamerv2 {name}'.replace(' train', ' [train]') in (
      capsys.readouterr().out)


@pytest.mark.parametrize('lines, paged', [(10, True), (1000, False)])
def test_help_that_a_terminal_can_not_show_is_paged(
    lines, paged, monkeypatch, capsys):
  shown = []
  monkeypatch.setattr(cli.pydoc, 'pager', shown.append)
  monkeypatch.setattr(cli.sys.stdout, 'isatty', lambda: True)
  monkeypatch.setenv('LINES', str(lines))
  monkeypatch.setenv('COLUMNS', '80')
  assert cli.main(['--help']) == 0
  assert bool(shown) == paged
  assert (shown or [capsys.readouterr().out])[0].startswith('usage: ')


def test_help_of_eval(capsys):
  assert cli.main(['eval', '-h']) == 0
  out = capsys.readouterr().out
  for name in 'logdir', 'episodes 100', 'seed 10000', 'checkpoint latest':
    assert f'\n  --{name}' in out


def test_version(capsys):
  assert cli.main(['--version']) == 0
  assert capsys.readouterr().out == f'dreamerv2_tf {__version__}\n'


@pytest.mark.parametrize('arguments', [['--help'], ['eval', '--help'], []])
def test_help_needs_no_heavy_package(arguments, python):
  program = (
      'import sys; from dreamerv2_tf.cli import main\n'
      'assert main(sys.argv[1:]) == 0\n'
      'heavy = {"tensorflow", "gymnasium", "highway_env", "numpy"}\n'
      'print(heavy & set(sys.modules), file=sys.stderr)\n')
  result = python('-c', program, *arguments)
  assert result.stderr == 'set()\n' and result.stdout.startswith('usage: ')


def test_help_survives_a_reader_that_leaves(command):
  read, write = os.pipe()
  os.close(read)
  with os.fdopen(write, 'w') as pipe:
    result = command('--help', stdout=pipe)
  assert (result.returncode, result.stderr) == (0, '')


def test_module_is_the_command(command):
  result = command('--configs', 'higway')
  assert result.returncode == 2
  assert result.stderr.startswith("error: Unknown preset 'higway'")
  assert result.stdout == ''


def test_package_exposes_its_names_without_tensorflow(python):
  program = (
      'import sys, dreamerv2_tf as dv2\n'
      'assert "ruamel.yaml" not in sys.modules\n'
      'assert dv2.Config({"a": 1}).a == 1\n'
      'assert issubclass(dv2.ConfigError, ValueError)\n'
      'assert {"load", "train", "Config"} <= set(dir(dv2))\n'
      'assert not hasattr(dv2, "lod")\n'
      'assert "tensorflow" not in sys.modules\n')
  result = python('-c', program)
  assert (result.returncode, result.stderr) == (0, '')


def test_startup_keeps_what_the_user_set(monkeypatch):
  monkeypatch.setenv('TF_ENABLE_ONEDNN_OPTS', '0')
  monkeypatch.delenv('TF_CPP_MIN_LOG_LEVEL', raising=False)
  monkeypatch.delenv('SDL_VIDEODRIVER', raising=False)
  startup.prepare()
  assert os.environ['TF_ENABLE_ONEDNN_OPTS'] == '0'
  assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == '3'
  assert 'SDL_VIDEODRIVER' not in os.environ


def test_chatter_is_held_back_without_any_folder_for_files(python):
  program = (
      'import os, tempfile\n'
      'from dreamerv2_tf import startup\n'
      'tempfile.tempdir = "/nowhere/at/all"\n'
      'with startup._filtered_stderr():\n'
      '  os.write(2, b"W0000 00:00 chatter\\nkept\\n")\n')
  result = python('-c', program)
  assert (result.returncode, result.stderr) == (0, 'kept\n')


def test_closed_standard_streams_do_not_give_their_place_to_files(python):
  program = (
      'import os\n'
      'from dreamerv2_tf import cli\n'
      'for handle in range(3): os.close(handle)\n'
      'status = cli.main(["--configs", "higway"])\n'
      'file = os.open("file", os.O_CREAT | os.O_WRONLY)\n'
      'os._exit(10 * status + file)\n')
  assert python('-c', program).returncode == 23


def test_a_signal_while_tensorflow_is_imported_ends_the_process_at_once(python):
  program = (
      'import os, threading, time\n'
      'from dreamerv2_tf import cli, errors, run, startup\n'
      'begun = threading.Event()\n'
      'def slow():\n'
      '  with startup._filtered_stderr():\n'
      '    begun.set()\n'
      '    time.sleep(3600)\n'
      'startup.import_tensorflow = slow\n'
      'class train:\n'
      '  def run(*args, **kwargs):\n'
      '    with startup.importing_tensorflow(lambda: 15):\n'
      '      begun.wait()\n'
      'run.train = train\n'
      'cli.main(["--logdir", "a", "--configs", "debug"])\n')
  result = python('-c', program)
  assert result.returncode == 75
  assert result.stderr == (
      'Stopped by SIGTERM during the start. Run the same command again to go '
      'on.\n')
