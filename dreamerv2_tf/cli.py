"""The command `dreamerv2`: parses, calls, maps errors to exit statuses.

TensorFlow and the environments are imported after parsing, by the loops.
"""

from collections.abc import Sequence
import datetime
import os
import pathlib
import re
import signal
import sys
import traceback

from . import __version__, helptext, pretrained, startup
from . import config as configlib
from . import presets as presetlib
from .config import Config
from .errors import ConfigError, DreamerError, Interrupted, for_user
from .schema import suggest

USAGE = """\
usage: dreamerv2 [train] [--configs PRESET ...] [--any.key VALUE] ...
       dreamerv2 eval --logdir DIR|--pretrained NAME [--episodes N] ...
       dreamerv2 [train|eval] --help
       dreamerv2 [--configs PRESET ...] --help KEY ...
       dreamerv2 --version
"""

MOST_RUNS = 5  # In a message.

# Flags that are no keys: name to default, of the type it has, and description.
TRAIN = {
    'fresh': (False, 'Refuse a folder that holds a run.'),
    'trust': (False, 'Run code of modules that only the folder names.'),
    'break-lock': (
        False, 'Take over the lock of another host that is silent for long.'),
    'debug': (False, 'Print the traceback of any error.'),
}
EVAL = {
    'logdir': ('', 'Folder of the run.'),
    'pretrained': (
        '', 'Instead of a run: an agent that comes with this package.'),
    'episodes': (100, 'Episodes to run.'),
    'seed': (10000, 'Seed of the first episode; the next has the next seed.'),
    'checkpoint': ('latest', 'latest, best or the step of a checkpoint.'),
    'json': (False, 'Print one JSON object on the last line.'),
    'video': ('', 'Write a GIF of an episode to this file.'),
    'trust': (False, 'Run code of modules that only the folder names.'),
    'envs': (0, 'Environments that run at the same time; 0: as in training.'),
    'debug': (False, 'Print the traceback of any error.'),
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command.

  Args:
    argv: arguments without the program's name; those of the process if None.

  Returns:
    The exit status: 0 done, 1 internal error, 2 usage or configuration, 3
    incompatible state, 4 environment, 5 non-finite, 6 disk or memory, 7 run
    folder locked, 75 stopped by SIGTERM, 130 interrupted.
  """
  arguments = list(sys.argv[1:] if argv is None else argv)
  startup.open_streams()
  try:
    return _dispatch(arguments)
  except KeyboardInterrupt:
    return _fail(Interrupted('Interrupted.', 130), 130, arguments)
  except BrokenPipeError:  # The reader, such as head, has seen enough.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
  except Exception as raised:
    error = for_user(raised)
    if isinstance(error, DreamerError):
      return _fail(error, error.exit_code, arguments)
    traceback.print_exc()
  return 1


def command() -> None:
  """Runs the command and ends the process with its exit status.

  The end of TensorFlow takes a while, and more signals change nothing then.
  """
  status = main()
  for number in signal.SIGINT, signal.SIGTERM:
    signal.signal(number, signal.SIG_IGN)
  sys.exit(status)


def _fail(error, status: int, arguments: Sequence[str]) -> int:
  if '--debug' in arguments:
    traceback.print_exc()
  # Being asked to stop is no error.
  prefix = '' if isinstance(error, Interrupted) else 'error: '
  startup.leave_if_importing(status, f'{prefix}{error}')
  print(f'{prefix}{error}', file=sys.stderr)
  return status


def _dispatch(arguments: list[str]) -> int:
  if not arguments:
    arguments = ['--help']
  name = 'train' if arguments[0].startswith('-') else arguments.pop(0)
  if name not in COMMANDS:
    raise ConfigError(
        f"Unknown command '{name}'.{suggest(name, COMMANDS)} "
        f"Commands: {', '.join(COMMANDS)}; dreamerv2 --help tells more.")
  if '--version' in arguments:
    print(f'dreamerv2_tf {__version__}')
    return 0
  run, show_help = COMMANDS[name]
  words, topics = _split_help(arguments)
  return run(words) if topics is None else show_help(words, topics)


def _split_help(arguments):
  """Returns the arguments without `--help`, and the words right after it.

  None instead of these words if there is no `--help`.
  """
  words, topics, after = [], None, False
  for word in arguments:
    if word in ('-h', '--help'):
      topics, after = topics or [], True
    elif after and not word.startswith('--'):
      topics.append(word)
    else:
      words.append(word)
      after = False
  return words, topics


def _train(arguments):
  options, presets, overrides = configlib.parse(TRAIN, arguments)
  base = None if presets else _stored(overrides)
  config = configlib.resolve(
      presets, overrides, base, flags=('configs', *TRAIN))
  if not (presets or base):
    _check_task(overrides)
  logdir = config.logdir
  if not logdir:
    task = re.sub(r'[^A-Za-z0-9_.-]', '-', config.task).lstrip('.') or 'run'
    logdir = f'~/logdir/{task}/{datetime.datetime.now():%Y%m%dT%H%M%S}'
  config = config.update({'logdir': os.path.expanduser(logdir)})
  startup.prepare()
  from .run import train, trust
  if base:
    trust.check(pathlib.Path(config.logdir), config, options.trust)
  else:
    trust.remember(config)
  return train.run(
      config, fresh=options.fresh, break_lock=options['break-lock']) or 0


def _eval(arguments):
  options, presets, overrides = configlib.parse(EVAL, arguments)
  if presets:
    raise ConfigError('eval takes the settings of the run, no --configs.')
  if bool(options.logdir) == bool(options.pretrained):
    raise ConfigError(
        '--pretrained is an agent of this package and --logdir a run: give one '
        'of them.' if options.logdir else
        'eval needs the folder of a run: --logdir DIR, or an agent that comes '
        'with this package: --pretrained NAME.')
  for name, low in ('episodes', 1), ('seed', 0), ('envs', 0):
    if options[name] < low:
      raise ConfigError(
          f"'{name}' must be at least {low} but is {options[name]}.")
  if not re.fullmatch(r'latest|best|\d+', options.checkpoint):
    raise ConfigError(
        "'checkpoint' must be latest, best or a step such as 5000 but is "
        f"'{options.checkpoint}'."
        + suggest(options.checkpoint, ('latest', 'best')))
  logdir = _evaluated(options)
  stored = logdir / 'config.yaml'
  configlib.resolve((), overrides, Config.load(stored), flags=(*EVAL,))
  startup.prepare()
  from .run import evaluate
  return evaluate.run(
      str(logdir), episodes=options.episodes, seed=options.seed,
      checkpoint=options.checkpoint, json=options.json,
      video=options.video or None, envs=options.envs or None,
      overrides=overrides, trust=options.trust,
      keep=pretrained.HERE not in logdir.resolve().parents) or 0


def _evaluated(options):
  """Returns the folder of the run or agent to evaluate."""
  if options.pretrained:
    if options.checkpoint != EVAL['checkpoint'][0]:
      raise ConfigError(
          'A pretrained agent has one state and no checkpoints: leave out '
          '--checkpoint.')
    return pretrained.find(options.pretrained)
  logdir = pathlib.Path(os.path.expanduser(options.logdir))
  if not (logdir / 'config.yaml').is_file():
    known = options.logdir in pretrained.names()
    raise ConfigError(
        f'{logdir}: no run here, config.yaml is missing; give the folder of a '
        'run as --logdir.'
        + f' Did you mean --pretrained {options.logdir}?' * known)
  return logdir


def _given(overrides, key):
  """Returns the last word given for a key, None if there is none."""
  words = [words[-1] for name, words in map(
      configlib.split, configlib.chunks(overrides)) if name == key and words]
  return words[-1] if words else None


def _check_task(overrides):
  """Refuses to begin a run of which nothing says in what task."""
  if _given(overrides, 'task'):
    return
  advice = 'To begin a run, give --configs or --task.'
  logdir = _given(overrides, 'logdir')
  if not logdir:
    raise ConfigError(advice)
  folder = pathlib.Path(os.path.expanduser(logdir))
  runs = sorted(
      str(path.parent) for path in folder.glob('*/config.yaml'))[:MOST_RUNS]
  if (folder.parent / 'config.yaml').is_file():
    runs.insert(0, str(folder.parent))
  near = f" There is one in {', '.join(runs)}." if runs else ''
  raise ConfigError(f'No run in {folder}.{near} {advice}')


def _stored(overrides):
  """Returns the settings of the run in --logdir, None if there is none."""
  logdir = _given(overrides, 'logdir')
  if not logdir:
    return None
  path = pathlib.Path(os.path.expanduser(logdir), 'config.yaml')
  if not path.is_file():
    return None
  print(f'No --configs: settings from {path}.', file=sys.stderr)
  return Config.load(path)


def _help_train(arguments, topics):
  _, presets, overrides = configlib.parse(TRAIN, arguments)
  config = configlib.resolve(presets, overrides)
  if topics:
    return _print(helptext.details(config, topics))
  lines = [
      USAGE,
      'Trains, or goes on with the run in --logdir; without --configs, with '
      'the settings', 'of that run.', '',
      'Presets (--configs merges several in order)']
  lines += [
      helptext.entry(name, text) for name, text in presetlib.describe().items()]
  lines += ['', 'Flags']
  lines += helptext.entries(TRAIN)
  lines += [
      '', f"Keys and their values{' with these settings' * bool(arguments)}. "
      'Lists: 84 84 or 84,84. A regular',
      "expression sets all keys that it matches from the start: "
      "'--.*\\.norm' layer.", 'A run folder keeps what is fixed. Some keys or '
      'groups of them: --help actor_ent rssm']
  return _print(lines + helptext.listing(config))


def _help_eval(arguments, topics):
  lines = [
      USAGE, 'Runs episodes on fixed seeds and reports the return. Settings '
      'come from the run;', 'keys such as --env.config.lanes_count 4 change '
      'them. The result of a run is written', 'into its folder, that of a '
      'pretrained agent only shown.', '', 'Flags']
  lines += helptext.entries(EVAL)
  lines += [
      '', 'Pretrained agents',
      f"  {', '.join(pretrained.names()) or 'none in this package'}"]
  return _print(lines)


def _print(lines):
  print('\n'.join(lines), flush=True)
  return 0


COMMANDS = {'train': (_train, _help_train), 'eval': (_eval, _help_eval)}
