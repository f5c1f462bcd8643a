"""`dreamerv2 doctor`: looks at machine, packages, task and settings."""

from collections.abc import Sequence
import os
import pathlib

from .. import config as configlib
from .. import helptext, original, startup
from ..config import Config

FLAGS = {
    'quick': (False, 'Measure nothing: some ten seconds instead of a minute.'),
    'json': (False, 'Print everything as one JSON object on the last line.'),
    'trust': (False, 'Run code of modules that only the folder names.'),
    'debug': (False, 'Print the traceback of any error.'),
}


def run(words: Sequence[str]) -> int | None:
  """Looks at everything; returns the exit status that a run would end with.

  Raises:
    ConfigError: the settings themselves are wrong.
    Interrupted: a signal came.
  """
  options, presets, overrides = configlib.parse(FLAGS, words)
  config = configlib.resolve(presets, overrides, flags=('configs', *FLAGS))
  logdir = os.path.expanduser(config.logdir)
  stored = pathlib.Path(logdir, 'config.yaml') if logdir else None
  if logdir:
    original.refuse(logdir)
  startup.prepare()
  from ..doctor import checks, examine
  report = checks.Report()
  if not presets and stored and stored.is_file():
    from ..run import trust
    config = configlib.resolve((), overrides, Config.load(stored))
    trust.check(stored.parent, config, options.trust)
  elif not (presets or any(x.startswith('--task') for x in overrides)):
    config = None
  examine.run(config, report, logdir=logdir, quick=options.quick)
  report.close()
  if options.json:
    print(report.to_json(), flush=True)
  return report.status


def help_lines(words: Sequence[str], topics: Sequence[str]) -> list[str]:
  """Returns the help."""
  return [
      'usage: dreamerv2 doctor [--configs PRESET ...] [--any.key VALUE] ...',
      '', helptext.paragraph(
          'Tells whether a run with these settings would work here, how fast, '
          'and what it takes: packages, processor and GPUs, number format, '
          'drawing, the task, memory, disk and time. Each line is ok, warn or '
          'fail, with what to do about it. Without a preset or task it looks '
          'at the machine alone. It takes a minute or a few and leaves nothing '
          'behind. The exit status is 0 if a run would work, else that of the '
          'run.'), '', 'Flags',
      *helptext.entries(FLAGS)]
