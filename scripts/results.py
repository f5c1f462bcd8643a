"""Makes tables and plots of finished runs, ours and of other methods.

Below the given folders it takes run folders of `dreamerv2` with an evaluation
of 100 episodes on the scenarios from 10000 on (`dreamerv2 eval --logdir DIR`,
of the best or the last checkpoint), and folders of `scripts/baselines.py`. For
each task it writes into the folder of the results: `TASK.json`, all that the
others show; `TASK.md`, the tables with the commands, versions and machines;
`TASK-steps.png` and `TASK-time.png`, learning curves.

A run of ours is called by its preset and by what its settings say differently
from the preset of today. Runs that differ in their seed alone share a row.
"""

from collections.abc import Mapping, Sequence
import json
import os
import pathlib
import re
import sys
from typing import Any

from baselines_run import PLANNERS
from baselines_scripted import SCRIPTS
import command
from results_page import page
from results_plot import STEPS, TIME, plot
from results_read import Row, read
from results_stats import improvement, statistics

from dreamerv2_tf import files
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError

FLAGS = {
    'indir': (('~/logdir',), 'Folders that hold run folders, at any depth.'),
    'outdir': ('results', 'Folder to write.'),
    'scenarios': (10_000, 'First scenario of the evaluations.'),
    'episodes': (100, 'Episodes of each.'),
    'samples': (2000, 'Resamplings for the 95 % intervals.'),
}
# Policies that do not learn, to compare with the best of each kind: those that
# observe nothing, and those that observe what the agent does.
KINDS = ('random', *SCRIPTS), tuple(PLANNERS)
DIGITS = 4  # Of the numbers in the JSON file.


def main(argv: Sequence[str] | None = None) -> int:
  """Reads and writes; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def parse(arguments: Sequence[str]) -> Config:
  """Returns the values of FLAGS.

  Raises:
    ConfigError: a flag is wrong, or a folder is missing.
  """
  options = command.parse(FLAGS, arguments)
  for folder in options.indir:
    if not pathlib.Path(folder).expanduser().is_dir():
      raise ConfigError(f"--indir: '{folder}' is no folder.")
  for name in 'episodes', 'samples':
    if options[name] < 1:
      raise ConfigError(
          f"'{name}' must be at least 1 but is {options[name]}.")
  return options


def _work(arguments):
  options = parse(arguments)
  tasks = read(options.indir, options.scenarios, options.episodes)
  with command.writing():
    return map(str, write(tasks, options))


def write(
    tasks: Mapping[str, Sequence[Row]], options: Config) -> list[pathlib.Path]:
  """Writes the files of each task; returns their paths.

  Args:
    tasks: of `results_read.read`.
    options: of `parse`.
  """
  outdir = pathlib.Path(os.path.expanduser(options.outdir))
  outdir.mkdir(parents=True, exist_ok=True)
  scenarios = range(options.scenarios, options.scenarios + options.episodes)
  written = []
  for task, rows in sorted(tasks.items()):
    pairs = [(row, statistics(row.runs, options.samples)) for row in rows]
    pairs.sort(key=lambda pair: -pair[1]['return'])
    rows, stats = zip(*pairs)
    others = compared(rows)
    against = {
        other.method: [
            None if row is other else
            improvement(row.runs, other.runs, options.samples) for row in rows]
        for other in others}
    levels = {
        f'{row.method}, without learning': stats[rows.index(row)]['return']
        for row in others}
    start = outdir / re.sub(r'[^\w.-]', '-', task)
    written += [
        start.with_name(start.name + end)
        for end in ('.json', '.md', '-steps.png', '-time.png')]
    data, table, steps, time = written[-4:]
    files.write_text(data, dump(rows, stats, against))
    files.write_text(
        table, '\n'.join(page(task, rows, stats, against, scenarios)))
    plot(task, rows, levels, STEPS, steps)
    plot(task, rows, levels, TIME, time)
  return written


def compared(rows: Sequence[Row]) -> list[Row]:
  """Returns the best row of each of KINDS, the best of all being first."""
  return [
      found[0] for kind in KINDS
      if (found := [row for row in rows if row.method in kind])]


def dump(
    rows: Sequence[Row], stats: Sequence[Mapping[str, Any]],
    against: Mapping[str, Sequence[Mapping | None]]) -> str:
  """Returns the JSON of a task: a list of rows, a line for each run."""
  texts = []
  for index, (row, stat) in enumerate(zip(rows, stats)):
    head = {
        'method': row.method, 'steps': row.asked, 'checkpoint': row.checkpoint,
        'statistics': stat, 'improvement': {
            name: found[index] for name, found in against.items()}}
    lines = ',\n  '.join(
        json.dumps(_rounded(_kept(run)), ensure_ascii=False)
        for run in row.runs)
    start = json.dumps(_rounded(head), ensure_ascii=False)[:-1]
    texts.append(f'{start},\n "runs": [\n  {lines}]}}')
  return '[' + ',\n'.join(texts) + ']\n'


def _kept(run):
  names = (
      'seed', 'step', 'simulator', 'seconds', 'inclusive', 'curve',
      'per_episode', 'program', 'words', 'versions', 'machine', 'unknown')
  return {name: run[name] for name in names}


def _rounded(value):
  if isinstance(value, Mapping):
    return {key: _rounded(x) for key, x in value.items()}
  if isinstance(value, list | tuple):
    return [_rounded(x) for x in value]
  return round(value, DIGITS) if isinstance(value, float) else value


if __name__ == '__main__':
  sys.exit(main())
