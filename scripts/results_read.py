"""Reads evaluated runs for results.py, ours and those of baselines.py."""

from collections.abc import Iterator, Mapping, Sequence
import re
import sys
from typing import Any, NamedTuple

import results_names as names

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs, files, flags, original, schema, yamlfile
from dreamerv2_tf.config import Config
from dreamerv2_tf.curves import metrics, runs
from dreamerv2_tf.curves import names as naming
from dreamerv2_tf.errors import ConfigError

# Keys that an evaluation may change without leaving the task.
ACTING = 'eval_lookahead.', 'eval_noise', 'eval_state_mean'
BEST, LAST = 'best', 'last'


class Row(NamedTuple):
  """Runs that differ in their seed alone.

  Attributes:
    method: what they are called.
    asked: steps of training that they were asked for; 0: not by steps.
    checkpoint: which was evaluated, best or last; '' without training.
    runs: by seed, of `read`.
  """

  method: str
  asked: int
  checkpoint: str
  runs: list[dict[str, Any]]


def read(
    folders: Sequence[str], first: int, count: int) -> dict[str, list[Row]]:
  """Reads all runs that have been evaluated; says what is left out, and why.

  Args:
    folders: that hold run folders, at any depth.
    first: first scenario of the evaluations.
    count: episodes of each.

  Returns:
    task -> rows. A run has its `seed`, `step` of what was evaluated,
    `simulator` that trained, `seconds` of training in all (None without),
    `inclusive` (whether these hold the evaluations, which older runs did not
    time), `curve` (step, seconds or None, return of each evaluation in
    training), `per_episode` of the final evaluation, `words` of the command
    line, `program`, `versions`, `machine` and `unknown`, settings that this
    version lacks.

  Raises:
    ConfigError: there is none.
  """
  tasks = {}
  for folder in runs.folders(folders, _say):
    try:
      found = list(_runs(folder, first, count))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
      _leave_out(f'{folder} can not be read: {error!r}.')
      continue
    for run in found:
      tasks.setdefault(run.pop('task'), []).append(run)
  if not tasks:
    raise ConfigError(
        f"No evaluated run below {', '.join(folders)}. Evaluate one: "
        'dreamerv2 eval --logdir DIR')
  return {task: rows(found) for task, found in tasks.items()}


def rows(found: Sequence[Mapping[str, Any]]) -> list[Row]:
  """Puts runs together that differ in their seed alone; each seed once.

  Runs of one length belong together even if the best checkpoint of each is of
  another step. Best and last ones are apart; what is both counts as the best.
  """
  groups = {}
  for run in found:
    key = run['method'], run['asked'], run['minutes']
    groups.setdefault(key, []).append(run)
  result = []
  for (method, asked, _), group in groups.items():
    for kind in BEST, LAST, '':
      seeds = {}
      some = [run for run in group if kind in run['kinds']]
      if kind == LAST and all(BEST in run['kinds'] for run in some):
        continue
      for run in some:
        if run['seed'] in seeds:
          _leave_out(
              f"another run of {method}, {asked:,} steps, {kind} checkpoint, "
              f"with seed {run['seed']}.")
        seeds.setdefault(run['seed'], run)
      if seeds:
        result.append(Row(method, asked, kind, sorted(
            seeds.values(), key=lambda run: run['seed'] or 0)))
  return result


def _leave_out(what):
  _say(f'Left out: {what}')


def _say(text):
  print(text, file=sys.stderr)


def _runs(folder, first, count) -> Iterator[dict[str, Any]]:
  """Yields what a folder holds: an entry for each evaluation that counts."""
  if (folder / 'record.json').is_file():
    found = [_baseline(folder)]
  else:
    found = list(_ours(folder, first, count))
  for run in found:
    if (run['first'], run['count']) == (first, count):
      yield run
    else:
      _leave_out(
          f"{folder} was evaluated on {run['count']} scenarios from "
          f"{run['first']} on.")


def _baseline(folder):
  """Returns a run of scripts/baselines.py."""
  record = _object(folder / 'record.json')
  learned = record['env_steps'] > 0
  curve = [
      [row['step'], row.get('time'), row['eval_return']]
      for row in metrics.read(folder / metrics.NAME).rows
      if row.get('eval_return') is not None]
  return {
      'task': record['task'], 'method': record['method'],
      'seed': record['seed'], 'asked': record['steps'],
      'minutes': record['minutes'], 'kinds': (LAST if learned else '',),
      'step': record['env_steps'],
      'simulator': 'highway-env' if learned and record['task'].startswith(
          'highway_') else '',
      'seconds': record['train_seconds'] if learned else None,
      'inclusive': False, 'curve': curve if learned else [],
      **_final(_object(folder / 'eval.json')),
      'program': 'scripts/baselines.py',
      'words': names.portable(record['argv']),
      'versions': record['versions'], 'machine': record['machine'],
      'unknown': {}}


def _ours(folder, first, count) -> Iterator[dict[str, Any]]:
  """Yields a run of ours for each evaluation of its best or last checkpoint."""
  if original.held(folder):
    _leave_out(
        f'{folder} is a run of the original, which has no evaluations of fixed '
        'scenarios. Its curve: dreamerv2 plot.')
    return
  records = dict(_records(folder, first, count))
  if not (folder / 'config.yaml').is_file() or not records:
    _leave_out(
        f'{folder} has no evaluation of {count} scenarios from {first} on '
        'yet.')
    return
  config = Config.load(folder / 'config.yaml')
  reached = max(map(_step, [
      *folder.glob('checkpoints/[0-9]*'), *folder.glob('eval-*.json')]))
  if reached < config.steps:
    _leave_out(
        f'{folder} is at step {reached:,} of {config.steps:,}: go on.')
    return
  best = folder / 'checkpoints' / 'best.json'
  best = _object(best)['step'] if best.is_file() else None
  common = {'asked': config.steps, 'minutes': 0, **_training(folder, config)}
  history = common.pop('history')
  for path, record in records.items():
    step, words = _step(path), record['overrides']
    kinds = (BEST,) * (step == best) + (LAST,) * (step >= config.steps)
    if not all(
        flags.split(chunk)[0].startswith(ACTING)
        for chunk in flags.chunks(words)):
      _leave_out(f"{path} is of other settings: {' '.join(words)}.")
    elif not kinds:
      _leave_out(f'{path} is neither of the best nor of the last checkpoint.')
    else:
      yield {
          **common, 'kinds': kinds, 'step': step, **_final(record),
          'method': naming.method(
              configlib.resolve((), words, config), history[0]['argv'],
              [(x['step'], x['changed']) for x in history[1:]])}


def _records(folder, first, count):
  """Yields the paths of evaluations on these scenarios, and what they hold."""
  for path in sorted(folder.glob(f'eval-*-{first}-{count}*.json')):
    if re.fullmatch(rf'eval-\d+-{first}-{count}(-[0-9a-f]{{8}})?', path.stem):
      yield path, _object(path)


def _object(path):
  """Returns a JSON object; raises OSError or ValueError if it is none."""
  return files.parse_object(files.read(path))


def _step(path):
  """Returns the step in the name of a checkpoint or of an evaluation."""
  return int(re.match(r'(?:eval-)?(\d+)', path.name)[1])


def _final(record):
  return {
      'per_episode': record['per_episode'], 'first': record['seed'],
      'count': record['episodes']}


def _training(folder, config):
  """Returns what is known of how a run of ours was trained, and `history`."""
  record = _object(folder / 'run.json')
  history = record['history']
  usual = envs.simulator(config.task, config.env) or ''
  simulators = [x.get('simulator') or usual for x in history]
  curve, seconds, inclusive = times(metrics.read(folder / metrics.NAME).rows)
  stored = dict(yamlfile.leaves(yamlfile.read(folder / 'config.yaml')))
  return {
      'task': config.task, 'seed': config.seed,
      'simulator': ', then '.join(dict.fromkeys(simulators)),
      'seconds': seconds, 'inclusive': inclusive, 'curve': curve,
      'program': 'dreamerv2', 'words': names.portable(history[0]['argv'][1:]),
      'versions': record.get('versions', {}),
      'machine': record.get('machine', {}), 'history': history,
      'unknown': {
          key: schema.show(value) for key, value in stored.items()
          if key not in config.flat}}


def times(
    metrics: Sequence[Mapping[str, Any]]
) -> tuple[list[list], float | None, bool]:
  """Tells when a run was how good, in seconds of training.

  Args:
    metrics: rows of metrics.jsonl.

  Returns:
    [step, seconds, return] of each evaluation; seconds up to the last row that
    has them, None if there is none; and whether evaluations count in all of
    these. They do if they were not timed at one, so that time goes on.
  """
  scored = [row for row in metrics if row.get('eval_return') is not None]
  inclusive = any(row.get('time_eval') is None for row in scored)
  def seconds(row):
    total = row.get('time_total')
    return total if inclusive or total is None else (
        total - row.get('time_eval', 0))
  known = [row for row in metrics if row.get('time_total') is not None]
  return (
      [[row['step'], seconds(row), row['eval_return']] for row in scored],
      seconds(known[-1]) if known else None, inclusive)
