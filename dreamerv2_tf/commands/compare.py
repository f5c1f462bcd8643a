"""`dreamerv2 compare`: runs beside the paper's numbers and this package's."""

from collections.abc import Sequence
import json
import os
import pathlib
import sys

from .. import config as configlib
from .. import helptext
from ..errors import ConfigError, StateError, StorageError
from . import leading

METRICS = 'auto', 'eval_return', 'train_return'
FLAGS = {
    'logdir': ((), 'Run folders, folders above them, or score files.'),
    'indir': ((), 'The same, as the original calls it.'),
    'metric': (
        'auto', 'Returns of your runs: eval_return, train_return, or auto: '
        'what is like the published ones.'),
    'smooth': (
        False, 'Compare means of ten bins of 1M frames (of three in DeepMind '
        'Control), which are less noisy than single ones.'),
    'curves': (
        False, 'Show all points that your runs reached, of any number of '
        'tasks.'),
    'json': (False, 'Print one JSON object instead of tables.'),
    'outdir': (
        '', 'Write compare.json, compare.md, compare.csv and pictures there.'),
    'self-check': (
        False, 'Compute the printed numbers from the published runs.'),
    'debug': (False, 'Print the traceback of any error.'),
}


def run(words: Sequence[str]) -> int | None:
  """Compares, and prints or writes.

  Returns:
    The exit status; None if done.

  Raises:
    DreamerError: a flag is wrong, there is no run, or nothing to compare it
      with; the published numbers are damaged.
  """
  options, presets, others = configlib.parse(FLAGS, leading('logdir', words))
  if presets or others:
    raise ConfigError(
        f"Unknown flag '{(others or ['--configs'])[0]}'. Known flags: "
        f"{', '.join(f'--{name}' for name in FLAGS)}.")
  places = [*options.logdir, *options.indir]
  if options['self-check']:
    if places:
      raise ConfigError('--self-check computes published numbers, no runs.')
    return _self_check()
  if options.metric not in METRICS:
    raise ConfigError(
        f"'metric' must be one of {', '.join(METRICS)} but is "
        f"'{options.metric}'.")
  for place in places:
    if not os.path.exists(os.path.expanduser(place)):
      raise ConfigError(f"There is no '{place}'.")
  if not places:
    raise ConfigError(
        'compare needs runs: dreamerv2 compare DIR. DIR is a run folder, one '
        'above several, or a score file. --self-check needs none.')
  return _compare(options, places)


def _compare(options, places):
  if sys.stderr.isatty():
    print(f"Looking for runs in {', '.join(places)} ...", file=sys.stderr)
  from ..curves import runs
  from ..paper import compare, text
  tell = lambda message: print(message, file=sys.stderr)
  found = runs.once(runs.find(places, tell), tell)
  if not found:
    raise ConfigError(f"No run in {', '.join(places)}.")
  outdir = options.outdir and pathlib.Path(os.path.expanduser(options.outdir))
  if outdir:
    from ..paper import pages
    pages.check(outdir)
  result = compare.compare(found, tell, options.metric, options.smooth)
  if options.json:
    print(json.dumps(result, ensure_ascii=False))
  else:
    print('\n'.join(text.lines(result, options.curves)).rstrip())
  if outdir:
    try:
      written = pages.write(result, outdir)
    except OSError as error:
      raise StorageError(
          f'Can not write {error.filename or outdir}: {error.strerror}.'
      ) from error
    for path in written:
      print(path, file=sys.stderr if options.json else sys.stdout)
  if not result['highway'] and not any(
      task['rows'] for one in result['paper']
      for task in one['tasks'].values()):
    raise ConfigError('None of these runs has reached a published point yet.')
  return None


def _self_check():
  from ..paper import highway, published, selfcheck
  checks = [*selfcheck.check(published.DATA), highway.check()]
  print('\n'.join([
      *selfcheck.lines(checks), '', 'Computed; in brackets, as printed:',
      *selfcheck.aggregate_lines(checks)]))
  failed = [check.name for check in checks if not check.passed]
  if failed:
    raise StateError(
        'The published numbers in this package do not agree with each other: '
        f"{'; '.join(failed)}. Install it again.")
  return None


def help_lines(words: Sequence[str], topics: Sequence[str]) -> list[str]:
  """Returns the help; there are no topics."""
  return [
      'usage: dreamerv2 compare DIR ... [--smooth] [--json] [--outdir DIR]',
      '       dreamerv2 compare --self-check', '',
      "Your runs beside the DreamerV2 paper's in Atari and DeepMind Control, "
      'at the', 'same number of frames and at the end, and beside the results '
      'of this package in', 'highway-fast-v0. Runs are folders of this package '
      'or of the original, or score', 'files. What is not alike is said: '
      'seeds, episodes, protocol, settings.', '', 'Flags',
      *helptext.entries(FLAGS)]
