"""`dreamerv2 plot`: learning curves of runs."""

from collections.abc import Mapping, Sequence
import os
import pathlib
import re
import sys
from typing import Any

from .. import config as configlib
from .. import flags, helptext
from ..errors import ConfigError
from ..schema import suggest
from . import check_least, leading

FLAGS: dict[str, tuple[Any, str]] = {
    'indir': (
        ('~/logdir',), 'Folders that hold runs at any depth, or score files.'),
    'indir-prefix': ('', 'Folder that all of these are in.'),
    'outdir': ('plots', 'Folder to write.'),
    'subdir': (True, 'Write into a folder there, named as the first indir.'),
    'xaxis': ('step', 'Metric from left to right, such as time_total.'),
    'yaxis': ('eval_return', 'Metric from bottom to top.'),
    'tasks': (('.*',), 'Regular expressions of tasks.'),
    'methods': (('.*',), 'Regular expressions of methods, in this order.'),
    'by': (
        'auto', 'Name methods by TASK/METHOD/SEED, else by settings (auto), by '
        'settings or by folder.'),
    'baselines': (
        ('d4pg', 'rainbow_sticky', 'human_gamer', 'impala', '^slower$',
         '^observation_planner$'),
        'Regular expressions of what has no curve: horizontal lines. Also '
        'human_gamer, impala, ^slower$, ^observation_planner$.'),
    'prefix': (False, 'Put indir1_, indir2_ ... before the methods.'),
    'bins': (
        'auto', 'Width of bins; none or 0: none, auto or -1: by the task.'),
    'nbins': (0, 'Instead of a width: number of bins.'),
    'fill': ('none', 'After the end of a run: none, or its last value (last).'),
    'agg': (
        'std1', 'What is shown of seeds: std1, minmax, ci95, per0, per5, per25 '
        'or each (none).'),
    'add': (
        ('auto',), 'Panels of all tasks: mean, median, gamer_median, '
        'gamer_mean, record_mean, clip_record_mean, human_above, human_below, '
        'seeds, none.'),
    'maxval': (0.0, 'Values beyond it count as it; 0: no limit.'),
    'xmult': (1.0, 'Factor of x, such as 4 for policy steps of Atari.'),
    'size': ((), 'Width and height of a panel in inches.'),
    'dpi': (200, 'Dots per inch of the PNG.'),
    'cols': (6, 'Most panels side by side.'),
    'xlim': ((), 'Both ends of the x axis.'),
    'ylim': ((), 'Both ends of the y axis.'),
    'ylimticks': (True, 'Show the numbers of ylim.'),
    'xticks': (6, 'About how many numbers the x axis has.'),
    'yticks': (5, 'About how many numbers the y axis has.'),
    'xlabel': ('', 'Text at the x axis.'),
    'ylabel': ('', 'Text at the y axis.'),
    'labels': ((), 'Pairs: method, its name in the legend.'),
    'palette': (
        ('contrast',), 'contrast, discrete, gradient, a color map of '
        'matplotlib, or colors.'),
    'colors': ((), 'Pairs: method, its color.'),
    'legendcols': (4, 'Most columns of the legend.'),
    'debug': (False, 'Print the traceback of any error.'),
}
# Whose words are taken as they are: commas and brackets have no meaning.
WORDS = {
    name for name, (default, _) in FLAGS.items() if isinstance(default, tuple)}
LEAST = {
    'nbins': 0, 'dpi': 10, 'cols': 1, 'xticks': 1, 'yticks': 1, 'legendcols': 1,
    'maxval': 0}


def run(words: Sequence[str]) -> int | None:
  """Reads runs, draws their curves and writes PNG, PDF and JSON.

  Raises:
    ConfigError: a flag is wrong, or there is nothing to draw.
    OSError: the files can not be written.
  """
  options = parse(words)
  from ..curves import plot
  said = set()

  def tell(text):
    if text not in said:
      print(text, file=sys.stderr, flush=True)
    said.add(text)

  for line in plot.work(options, _published(), tell):
    print(line, flush=True)
  return None


def _published():
  """Returns the scores of humans and of other methods in games of Atari."""
  from ..curves.scores import Baseline
  from ..paper import published
  for game in published.games().values():
    scores = {
        'random': game.random, 'human_gamer': game.gamer,
        'human_record': game.record,
        **{f'{k}_sticky_2e8': v for k, v in game.baselines.items()}}
    for method, score in scores.items():
      yield Baseline(
          f'atari_{game.name}', method, score, published.DATA)


def parse(words: Sequence[str]) -> dict[str, Any]:
  """Returns the values of FLAGS; patterns, numbers and pairs as such.

  Raises:
    ConfigError: one is wrong.
  """
  given, rest = {}, []
  for chunk in flags.chunks(leading('indir', words)):
    name, values = flags.split(chunk)
    if name not in WORDS:
      rest += chunk
    elif values:
      given[name] = tuple(values)
    else:
      raise ConfigError(f"'--{name}' needs a value.")
  plain, presets, others = configlib.parse(
      {k: v for k, v in FLAGS.items() if k not in WORDS}, rest)
  if presets or others:
    name, _ = flags.split(others[:1] or ['--configs'])
    raise ConfigError(
        f"Unknown flag '--{name}'.{suggest(name, FLAGS)} "
        'All: dreamerv2 plot --help.')
  options = {name: default for name, (default, _) in FLAGS.items()}
  options |= {**plain, **given}
  check_least(options, LEAST)
  _check(options)
  return options


def _check(options: dict[str, Any]) -> None:
  """Checks flags and puts what they mean in their place."""
  from ..curves import bins, combine, identity, stats
  for name, choices in ('by', identity.BY), ('fill', bins.FILLS), (
      'agg', (*stats.BANDS, 'none')):
    _one_of(name, options[name], choices)
  for name in options['add']:
    _one_of('add', name, ('auto', *combine.NAMES, 'none'))
  for name in 'tasks', 'methods', 'baselines':
    options[name] = [_pattern(name, text) for text in options[name]]
  for name in 'size', 'xlim', 'ylim':
    options[name] = _two(name, options[name])
  _check_ranges(options)
  for name in 'labels', 'colors':
    words = options[name]
    if len(words) % 2:
      raise ConfigError(
          f"'{name}' must be pairs but has {len(words)} words. Quote names "
          'with spaces.')
    options[name] = dict(zip(words[::2], words[1::2]))
  text = {'auto': '-1', 'none': '0'}.get(options['bins'], options['bins'])
  width = _number('bins', text)
  if width < 0 and width != -1:
    raise ConfigError(
        f"'bins' must be a width, none or auto but is {options['bins']}.")
  options['bins'] = width
  if options['nbins'] and width != -1:
    raise ConfigError("Give one of 'bins' and 'nbins'.")
  options['indir'] = [
      pathlib.Path(options['indir-prefix'], name).expanduser()
      for name in options['indir']]
  for path in options['indir']:
    if not path.exists():
      raise ConfigError(f"--indir: '{path}' is neither a folder nor a file.")
  outdir = pathlib.Path(os.path.expanduser(options['outdir']))
  if options['subdir']:
    outdir /= pathlib.Path(os.path.abspath(options['indir'][0])).stem
  options['outdir'] = outdir


def _check_ranges(options):
  if not 1e-9 <= options['xmult'] <= 1e9:
    raise ConfigError(
        f"'xmult' must be a factor from 1e-9 to 1e9 but is {options['xmult']}.")
  for name in 'xlim', 'ylim':
    if any(abs(end) > 1e15 for end in options[name]):
      raise ConfigError(
          f"'{name}' must be two numbers from -1e15 to 1e15 but is "
          f"{' '.join(map(str, options[name]))}.")
  if options['size'] and min(options['size']) < 0.5:  # Text has no room.
    raise ConfigError("'size' must be two numbers from 0.5 on.")


def _one_of(name, value, choices):
  if value not in choices:
    raise ConfigError(
        f"'{name}' must be one of {', '.join(choices)} but is '{value}'."
        f'{suggest(value, choices)}')


def _pattern(name, text):
  try:
    return re.compile(text)
  except re.error as error:
    raise ConfigError(
        f"'{name}': '{text}' is no valid regular expression: {error}."
    ) from None


def _two(name, words):
  """Returns what is given as '0 1e6' or '0,1e6' as two numbers."""
  parts = [x for word in words for x in word.split(',') if x]
  values = [_number(name, x) for x in parts]
  if values and (len(values) != 2 or name != 'size' and not (
      values[0] < values[1])):
    raise ConfigError(
        f"'{name}' must be two numbers, the lower one first, but is "
        f"{' '.join(words)}.".replace(', the lower one first,' * (
            name == 'size'), ''))
  return tuple(values)


def _number(name, text):
  try:
    value = float(text)
    if value - value == 0:  # Neither NaN nor infinite.
      return value
  except ValueError:
    pass
  raise ConfigError(f"'{name}': '{text}' is no number.")


def help_lines(words: Sequence[str], topics: Sequence[str]) -> list[str]:
  """Returns the help."""
  return [
      'usage: dreamerv2 plot DIR ... [--yaxis METRIC] [--outdir DIR] ...', '',
      'Draws learning curves of any metric, a panel for each task: the mean of '
      'the', 'seeds of each method and, shaded, how they differ. Reads the '
      'metrics.jsonl of', "runs, also of ones that are being trained and of "
      "the original's, and the", "original's score files. Writes curves.png, "
      'curves.pdf and runs.json, the runs', 'in bins.', '',
      'Flags', *helptext.entries(_shown(FLAGS))]


def _shown(table: Mapping[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
  """Returns flags with defaults as one writes them, of long ones the start."""
  result = {}
  for name, (default, text) in table.items():
    if isinstance(default, tuple):
      default = ' '.join(default[:2]) + ' ...' * (len(default) > 2)
    result[name] = default, text
  return result
