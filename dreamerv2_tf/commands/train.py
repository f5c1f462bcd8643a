"""`dreamerv2 train`: begins a run, or goes on with it."""

from collections.abc import Sequence
import datetime
import os
import pathlib
import sys

from .. import config as configlib
from .. import files, flags, helptext, original, startup
from .. import presets as presetlib
from ..config import Config
from ..errors import ConfigError
from . import agents

FLAGS = {
    'fresh': (False, 'Refuse a folder that holds a run.'),
    'import': (
        '', 'Begin with episodes of another program: its run folder or that '
        'of the episodes.'),
    'trust': (False, 'Run code of modules that only the folder names.'),
    'break-lock': (
        False, 'Take over the lock of another host that is silent for long.'),
    'debug': (False, 'Print the traceback of any error.'),
}


def run(words: Sequence[str]) -> int | None:
  """Trains.

  Raises:
    DreamerError: see `dreamerv2_tf.run.train.run`.
  """
  options, presets, overrides = configlib.parse(FLAGS, words)
  source = os.path.expanduser(options['import'])
  base, folder = (None, None) if presets else _stored(overrides, source)
  _check_command(overrides)
  config = configlib.resolve(
      presets, overrides, base, flags=('configs', *FLAGS))
  if not (presets or base):
    _check_task(overrides)
    print(_hint(config.task), file=sys.stderr)
  logdir = config.logdir
  if not logdir:
    task = files.safe_name(config.task)
    logdir = f'~/logdir/{task}/{datetime.datetime.now():%Y%m%dT%H%M%S}'
  config = config.update({'logdir': os.path.expanduser(logdir)})
  original.refuse(config.logdir)
  if source:
    from ..data import importing
    importing.check(source, pathlib.Path(config.logdir).absolute())
  startup.prepare()
  from ..run import train, trust
  if base:
    trust.check(folder, config, options.trust)
  else:
    trust.remember(config)
  return train.run(
      config, fresh=options.fresh, break_lock=options['break-lock'],
      source=source)


def help_lines(words: Sequence[str], topics: Sequence[str]) -> list[str]:
  """Returns the help: of some settings, or of all with what presets make them.

  Raises:
    ConfigError: unknown presets or settings.
  """
  _, presets, overrides = configlib.parse(FLAGS, words)
  config = configlib.resolve(presets, overrides)
  if topics:
    return helptext.details(config, topics)
  lines = [
      'usage: dreamerv2 [train] [--configs PRESET ...] [--any.key VALUE] ...',
      '       dreamerv2 [--configs PRESET ...] --help KEY ...', '',
      helptext.paragraph(
          'Trains, or goes on with the run in --logdir; without --configs, '
          'with the settings of that run.'), '',
      'Presets (--configs merges several in order)']
  lines += [
      helptext.entry(name, text) for name, text in presetlib.describe().items()]
  lines += ['', 'Flags', *helptext.entries(FLAGS)]
  changed = ' These settings change the keys with a * before them.'
  lines += ['', helptext.paragraph(
      f"Keys and their values{' with these settings' * bool(words)}. Lists: "
      '84 84 or 84,84. A regular expression sets all keys that it matches '
      "from the start: '--.*\\.norm' layer. A run folder keeps what is fixed. "
      'Some keys or groups of them: --help actor_ent rssm.'
      + changed * bool(words))]
  return lines + helptext.listing(config, configlib.resolve())


def _given(overrides, key):
  """Returns the last word given for a key, None if there is none."""
  words = [words[-1] for name, words in map(
      flags.split, flags.chunks(overrides)) if name == key and words]
  return words[-1] if words else None


def _check_command(overrides):
  """Tells of a flag of other commands that is no key."""
  name = _given(overrides, 'pretrained')
  if name:
    raise ConfigError(
        'Training begins anew or goes on with a run. To see an agent of this '
        f'package: dreamerv2 eval --pretrained {name} --video drive.gif')


def _check_task(overrides):
  """Refuses to begin a run of which nothing says in what task."""
  if _given(overrides, 'task'):
    return
  advice = 'To begin a run, give --configs or --task.'
  logdir = _given(overrides, 'logdir')
  if not logdir:
    raise ConfigError(advice)
  folder = pathlib.Path(os.path.expanduser(logdir))
  runs = agents.near(folder)
  near = f" There is one in {', '.join(runs)}." if runs else ''
  raise ConfigError(f'No run in {folder}.{near} {advice}')


def _hint(task):
  """Returns which presets fit a task for which none was given."""
  fit = (
      'highway_kinematics or highway fits the roads of highway-env'
      if task.startswith('highway_') else
      'small learns small tasks within minutes')
  return (
      'No --configs: these are the settings of the original, for days of a '
      f'GPU. On a CPU, --configs {fit}.')


def _stored(overrides, source):
  """Returns the settings of the run in --logdir, and their folder.

  Without such a run those of the original that --import names; None if there
  are none of these either.
  """
  logdir = _given(overrides, 'logdir')
  path = None
  if logdir:
    path = pathlib.Path(os.path.expanduser(logdir), 'config.yaml')
    original.refuse(path.parent)
  if path is None or not path.is_file():
    path = original.settings(source) if source else None
  if path is None:
    return None, None
  print(f'No --configs: settings from {path}.', file=sys.stderr)
  return Config.load(path).update({'logdir': ''}), path.parent  # Moved, maybe.
