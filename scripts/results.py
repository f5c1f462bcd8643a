"""Makes tables and plots of finished runs, ours and of other methods.

Below the given folders it takes run folders of `dreamerv2` with an evaluation
of 100 episodes on the scenarios from 10000 on (`dreamerv2 eval --logdir DIR`),
and folders of `scripts/baselines.py`. For each task it writes into the folder
of the results: `TASK.json`, all that the others show; `TASK.md`, the table with
the commands, versions and machines; `TASK-steps.png` and `TASK-time.png`,
learning curves.
"""

from collections.abc import Iterable, Mapping, Sequence
import importlib.util
import json
import os
import pathlib
import re
import shlex
import sys
from typing import Any

import command
import numpy as np

from dreamerv2_tf import config as configlib
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
COLUMNS = (
    'method', 'seeds', 'steps', 'return', '95 %', 'IQM', '95 %',
    'of the seeds', 'crashes', 'speed', 'training, minutes')
NOTE = (
    r'\* With the evaluations in the course of training, which runs of earlier '
    'versions did not time; all other minutes are without.')


def main(argv: Sequence[str] | None = None) -> int:
  """Reads and writes; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def parse(arguments: Sequence[str]) -> Config:
  """Returns the values of FLAGS.

  Raises:
    ConfigError: a flag is wrong, a folder is missing, or matplotlib is.
  """
  options = command.parse(FLAGS, arguments)
  for folder in options.indir:
    if not pathlib.Path(folder).expanduser().is_dir():
      raise ConfigError(f"--indir: '{folder}' is no folder.")
  if importlib.util.find_spec('matplotlib') is None:
    raise ConfigError(
        "Plots need the package matplotlib: pip install '.[results]'")
  return options


def read(options: Config) -> dict[str, dict[str, list[dict]]]:
  """Reads all runs that have been evaluated.

  Returns:
    task -> method -> runs, by seed: `seed`, `steps`, `seconds` of training up
    to the last evaluation within it (None without training), `inclusive`
    (whether these hold the evaluations, which older runs did not time),
    `curve` (step, seconds or None, return of each evaluation in training),
    `per_episode` of the final evaluation, `command`, `versions`, `machine`.

  Raises:
    ConfigError: there is none.
  """
  tasks, pending = {}, []
  for folder in options.indir:
    for path in sorted(pathlib.Path(folder).expanduser().rglob('*.jsonl')):
      if path.name != 'metrics.jsonl':
        continue
      run = _baseline(path.parent) or _ours(path.parent, options)
      if run is None:
        pending.append(path.parent)
        continue
      if (run['first'], run['count']) != (options.scenarios, options.episodes):
        print(
            f'Left out: {path.parent} was evaluated on {run["count"]} '
            f'scenarios from {run["first"]} on.', file=sys.stderr)
        continue
      tasks.setdefault(run.pop('task'), {}).setdefault(
          run.pop('method'), []).append(run)
  for folder in pending:
    print(
        f'Left out: {folder} has no evaluation of {options.episodes} scenarios '
        f'from {options.scenarios} on yet.', file=sys.stderr)
  if not tasks:
    raise ConfigError(
        f"No evaluated run below {', '.join(options.indir)}. Evaluate one: "
        'dreamerv2 eval --logdir DIR')
  return {task: _distinct(methods) for task, methods in tasks.items()}


def _distinct(methods):
  """Sorts runs by seed; one for each seed, and runs of one length together.

  Two runs with one seed tell no more than one, and the mean of runs of
  different lengths belongs to none of them.
  """
  result = {}
  for method, runs in methods.items():
    lengths = sorted({run['steps'] for run in runs})
    for length in lengths:
      name = method if len(lengths) == 1 else f'{method}, {length:,} steps'
      seeds = {}
      for run in (run for run in runs if run['steps'] == length):
        if run['seed'] in seeds:
          print(
              f"Left out: another run of {name} with seed {run['seed']}.",
              file=sys.stderr)
        seeds.setdefault(run['seed'], run)
      result[name] = sorted(
          seeds.values(), key=lambda run: run['seed'] or 0)
  return result


def _baseline(folder):
  """Returns a run of scripts/baselines.py, None if it is none."""
  if not (folder / 'record.json').is_file():
    return None
  record = json.loads((folder / 'record.json').read_text())
  final = json.loads((folder / 'eval.json').read_text())
  curve = [
      [row['step'], row.get('time'), row['eval_return']]
      for row in _evaluations(folder)] if record['env_steps'] else []
  return {
      'task': record['task'], 'method': record['method'],
      'seed': record['seed'], 'steps': record['env_steps'],
      'seconds': _seconds(curve), 'inclusive': False, 'curve': curve,
      'per_episode': final['per_episode'], 'first': final['seed'],
      'count': final['episodes'],
      'command': shlex.join(['scripts/baselines.py', *record['argv']]),
      'versions': record['versions'], 'machine': record['machine']}


def _ours(folder, options):
  """Returns a run of ours, None if there is no such or no evaluation."""
  pattern = re.compile(
      rf'eval-(\d+)-{options.scenarios}-{options.episodes}\.json')
  finals = {
      int(match[1]): path for path in folder.glob('eval-*.json')
      if (match := pattern.fullmatch(path.name))}
  if not (folder / 'config.yaml').is_file() or not finals:
    return None
  steps = max(finals)
  final = json.loads(finals[steps].read_text())
  config = Config.load(folder / 'config.yaml')
  history = json.loads((folder / 'run.json').read_text())
  command = history['history'][0]['argv']
  curve, inclusive = _our_curve(_evaluations(folder))
  return {
      'task': config.task, 'method': f'DreamerV2, {_presets(command)}',
      'seed': config.seed, 'steps': steps,
      'seconds': _seconds(curve), 'inclusive': inclusive, 'curve': curve,
      'per_episode': final['per_episode'], 'first': final['seed'],
      'count': final['episodes'],
      'command': shlex.join(['dreamerv2', *_portable(command[1:])]),
      'versions': history.get('versions', {}),
      'machine': history.get('machine', {})}


def _presets(command):
  """Names the presets of a command line, and the keys that it sets."""
  names, others = [], []
  for chunk in configlib.chunks(
      [word for word in command[1:] if word != 'train']):
    name, words = configlib.split(chunk)
    if name == 'configs':
      names += words
    elif name not in ('logdir', 'seed', 'steps'):
      others.append(' '.join([name, *words]))
  return ' '.join(names) + (f" ({', '.join(others)})" if others else '')


def _portable(words):
  """Leaves out the folder of the run."""
  return [
      word for chunk in configlib.chunks(
          [word for word in words if word != 'train'])
      if configlib.split(chunk)[0] != 'logdir' for word in chunk]


def _evaluations(folder):
  """Yields the rows of metrics.jsonl with evaluations in training."""
  for line in (folder / 'metrics.jsonl').read_bytes().splitlines():
    try:
      row = files.parse_object(line)
    except ValueError:
      continue  # The last one, of a run that was killed.
    if row.get('eval_return') is not None:
      yield row


def _our_curve(rows):
  """Returns [step, seconds of training, return] and if evaluations count.

  They do in all points if they were not timed at one, so that time goes on.
  """
  rows = list(rows)
  inclusive = any(row.get('time_eval') is None for row in rows)
  def seconds(row):
    total = row.get('time_total')
    return total if inclusive or total is None else total - row['time_eval']
  return [
      [row['step'], seconds(row), row['eval_return']] for row in rows
  ], inclusive


def _seconds(curve):
  """Seconds up to the last evaluation; None without training."""
  return curve[-1][1] if curve else None


def _work(arguments):
  options = parse(arguments)
  with command.writing():
    return map(str, write(read(options), options))


def write(
    tasks: Mapping[str, Mapping[str, Sequence[Mapping]]],
    options: Config) -> list[pathlib.Path]:
  """Writes the files of each task; returns their paths."""
  outdir = pathlib.Path(os.path.expanduser(options.outdir))
  outdir.mkdir(parents=True, exist_ok=True)
  written = []
  for task, methods in sorted(tasks.items()):
    stats = {
        name: statistics(runs, options.samples)
        for name, runs in methods.items()}
    ranked = sorted(methods, key=lambda name: -stats[name]['return'])
    name = re.sub(r'[^\w.-]', '-', task)
    path = outdir / f'{name}.json'
    files.write_text(path, json.dumps({
        method: {'statistics': stats[method], 'runs': methods[method]}
        for method in ranked}, indent=1) + '\n')
    table = outdir / f'{name}.md'
    files.write_text(table, '\n'.join(_page(task, methods, stats, ranked)))
    written += [path, table]
    for kind, axis in ('steps', 0), ('time', 1):
      picture = outdir / f'{name}-{kind}.png'
      plot(methods, stats, ranked, axis, picture)
      written.append(picture)
  return written


def iqm(values: np.ndarray) -> float:
  """Mean of the middle half of the values."""
  values = np.sort(np.ravel(values))
  cut = len(values) // 4
  return float(values[cut:len(values) - cut].mean())


def statistics(runs: Sequence[Mapping], samples: int) -> dict[str, Any]:
  """Summarises the final evaluations of the runs of one method.

  Intervals are bootstrapped: seeds are drawn, then episodes of each, with
  replacement; with one run, episodes alone.

  Args:
    runs: of `read`.
    samples: how many times.

  Returns:
    `return`, `iqm`, each with `_ci95` (low, high); `seed_returns`; `steps`,
    `crash_rate`, `speed` and `seconds`: means over runs, None if unknown;
    `inclusive`: whether the seconds hold evaluations in a run.

  Paper: arXiv 2108.13264 (interquartile mean, stratified bootstrap).
  """
  returns = [np.array(run['per_episode']['return']) for run in runs]
  rng = np.random.default_rng(0)
  means, middles = [], []
  for _ in range(samples):
    drawn = [
        rng.choice(returns[index], len(returns[index]))
        for index in rng.integers(len(returns), size=len(returns))]
    means.append(np.mean([x.mean() for x in drawn]))
    middles.append(iqm(np.concatenate(drawn)))
  interval = lambda x: [float(y) for y in np.percentile(x, [2.5, 97.5])]
  def mean(values):
    values = list(values)
    return None if None in values else float(np.mean(values))
  each = lambda key: (
      np.average(
          run['per_episode'][key], weights=(
              run['per_episode']['length'] if key == 'speed' else None))
      if key in run['per_episode'] else None for run in runs)
  return {
      'return': float(np.mean([x.mean() for x in returns])),
      'return_ci95': interval(means),
      'iqm': iqm(np.concatenate(returns)), 'iqm_ci95': interval(middles),
      'seed_returns': [float(x.mean()) for x in returns],
      'crash_rate': mean(each('crashed')), 'speed': mean(each('speed')),
      'steps': mean(run['steps'] for run in runs),
      'seconds': mean(run['seconds'] for run in runs),
      'inclusive': any(run['inclusive'] for run in runs)}


def _page(task, methods, stats, ranked):
  """Returns the lines of a page with table, commands and machines."""
  lines = [
      f'# {task}', '',
      '| ' + ' | '.join(COLUMNS) + ' |', '|---' * len(COLUMNS) + '|']
  show = lambda x, form: '' if x is None else form.format(x)
  span = lambda pair: '{:.1f} to {:.1f}'.format(*pair)
  for name in ranked:
    stat = stats[name]
    lines.append('| ' + ' | '.join([
        name, str(len(methods[name])), f"{stat['steps']:,.0f}",
        f"{stat['return']:.2f}", span(stat['return_ci95']),
        f"{stat['iqm']:.2f}", span(stat['iqm_ci95']),
        ', '.join(f'{x:.1f}' for x in stat['seed_returns']),
        show(stat['crash_rate'], '{:.0%}').replace('%', ' %'),
        show(stat['speed'], '{:.1f} m/s'),
        show(stat['seconds'] and stat['seconds'] / 60, '{:.0f}')
        + ' *' * stat['inclusive']]) + ' |')
  if any(stat['inclusive'] for stat in stats.values()):
    lines += ['', NOTE]
  lines += ['', 'Commands:', '', '```sh']
  lines += [run['command'] for name in ranked for run in methods[name]]
  lines += ['```', '']
  for name in ranked:
    for run in methods[name][:1]:
      parts = [
          ', '.join(f'{k} {v}' for k, v in run[key].items())
          for key in ('versions', 'machine') if run[key]]
      if parts:
        lines.append(f"- {name}: {'; '.join(parts)}")
  return lines + ['']


def plot(
    methods: Mapping[str, Sequence[Mapping]], stats: Mapping[str, Mapping],
    ranked: Iterable[str], axis: int, path: pathlib.Path) -> None:
  """Draws learning curves: mean over seeds, shaded from lowest to highest.

  Methods that do not learn are horizontal lines.

  Args:
    methods: method -> runs of `read`.
    stats: method -> statistics.
    ranked: methods in the order of the legend.
    axis: 0 for environment steps, 1 for minutes.
    path: of the PNG.
  """
  import matplotlib
  matplotlib.use('Agg')
  from matplotlib import pyplot
  figure, axes = pyplot.subplots(figsize=(8, 4.5), layout='constrained')
  styles = iter(['--', ':', '-.', (0, (1, 4))] * len(methods))
  for name in ranked:
    curves = [
        (np.array([p[axis] for p in run['curve']]) / (60 if axis else 1),
         np.array([p[2] for p in run['curve']]))
        for run in methods[name]
        if run['curve'] and run['curve'][0][axis] is not None]
    if not curves:
      if not any(run['curve'] for run in methods[name]):
        axes.axhline(
            stats[name]['return'], color='gray', linewidth=1,
            linestyle=next(styles), label=name)
      continue
    grid = np.linspace(
        max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves), 200)
    values = np.array([np.interp(grid, x, y) for x, y in curves])
    [line] = axes.plot(grid, values.mean(0), label=name)
    axes.fill_between(
        grid, values.min(0), values.max(0), color=line.get_color(), alpha=0.2,
        linewidth=0)
  axes.set_xlabel('minutes' if axis else 'environment steps')
  axes.set_ylabel('return')
  axes.set_ylim(bottom=0)
  axes.grid(alpha=0.3)
  axes.legend(fontsize='small', loc='center left', bbox_to_anchor=(1, 0.5))
  files.write(path, lambda file: figure.savefig(file, format='png', dpi=120))
  pyplot.close(figure)


if __name__ == '__main__':
  sys.exit(main())
