"""Tells what finished runs have learned, beside random actions and a target.

Takes run folders of `dreamerv2` at any depth below --runs, evaluates the
greedy policy of each over fixed scenarios (what `dreamerv2 eval` writes stays
in the run folder), plays random actions in the same scenarios, and puts seeds
of one task and preset together. Into the folder of the results it writes
`learning.json`, the records; `learning.md`, a table with the commands, versions
and machines; and `learning.png`, the curves. Records of other tasks, presets
and lengths that are there already stay, unless --keep is False. Without --runs
it writes table and curves anew.

--beside takes folders of scripts/baselines.py, for other methods.
"""

from collections.abc import Mapping, Sequence
import json
import pathlib
import sys
from typing import Any

import command
import gymnasium
import learned
import learning_page
import learning_read as reading
import numpy as np
import results_names as names

from dreamerv2_tf import files
from dreamerv2_tf.curves import runs
from dreamerv2_tf.errors import ConfigError, EnvError, StateError
from dreamerv2_tf.paper import published

FLAGS = {
    'runs': ((), 'Folders that hold run folders, at any depth.'),
    'beside': ((), 'Folders that hold results of scripts/baselines.py.'),
    'outdir': ('results', 'Folder to write.'),
    'checkpoint': ('latest', 'Which is evaluated: latest or best.'),
    'episodes': (20, 'Of an evaluation.'),
    'keep': (True, 'Keep the records of other tasks and presets.')}
NAME = 'learning'
DIGITS = 6  # Of numbers in the JSON file.
# Task -> return that is called learned, and where it is from. Further ones:
# what Gymnasium says of its environments, and DreamerV2 in DeepMind Control.
TARGETS = {
    'gym_Pendulum-v1': (
        -172.225, 'PPO after 100,000 steps, benchmark.md of '
        'rl-baselines3-zoo'),
    'highway_highway-fast-v0': (
        21.3, 'the best fixed sequence of actions, '
        'results/highway_highway-fast-v0.md')}


def main(argv: Sequence[str] | None = None) -> int:
  """Measures and writes; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def target(task: str, steps: int) -> tuple[float | None, str]:
  """Returns the return that is called learned, and where it is from.

  Args:
    task: as runs name it.
    steps: of the environment, that a run had.

  Returns:
    (None, '') where nobody has said.
  """
  if task in TARGETS:
    return TARGETS[task]
  suite, _, name = task.partition('_')
  if suite == 'gym':
    spec = gymnasium.registry.get(name.rpartition(':')[2])
    if spec and spec.reward_threshold is not None:
      return float(spec.reward_threshold), "Gymnasium's reward_threshold"
  if suite == 'dmc':
    return _published(name, steps)
  return None, ''


def records(
    found: Sequence[Mapping[str, Any]], random: Mapping[str, Any],
    beside: Mapping[str, Sequence[Mapping[str, Any]]], *,
    checkpoint: str) -> list[dict[str, Any]]:
  """Puts seeds of one task, preset and length together.

  Args:
    found: runs, of `learning_read.read`.
    random: task -> `learning_read.play_randomly`.
    beside: of `learning_read.beside`.
    checkpoint: which was evaluated.
  """
  groups: dict[tuple, dict] = {}
  for run in found:
    key = run['task'], run['preset'], run['steps']
    group = groups.setdefault(key, {})
    if run['seed'] in group:
      command.say(f"Left out: another run of {run['task']}, {run['preset']}, "
                  f"with seed {run['seed']}.")
    group.setdefault(run['seed'], run)
  return [
      _record(key, [group[seed] for seed in sorted(group)], random[key[0]],
              beside.get(key[0], ()), checkpoint)
      for key, group in sorted(groups.items())]


def merged(
    old: Sequence[Mapping[str, Any]],
    new: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Returns the new records, and old ones of other tasks and presets."""
  name = lambda record: (record['task'], record['preset'], record['steps'])
  result = {name(record): dict(record) for record in (*old, *new)}
  return [result[key] for key in sorted(result)]


def _work(arguments):
  options = command.parse(FLAGS, arguments)
  if options.checkpoint not in ('latest', 'best'):
    raise ConfigError(
        f"'checkpoint' must be latest or best but is '{options.checkpoint}'.")
  if options.episodes < 2:
    raise ConfigError(
        f"'episodes' must be at least 2 but is {options.episodes}.")
  start = pathlib.Path(options.outdir).expanduser() / NAME
  known = learned.load(start.with_suffix('.json')) if options.keep else []
  found, random = [], {}
  for folder in runs.folders(options.runs, command.say):
    try:
      found.append(reading.read(
          folder.absolute(), options.checkpoint, options.episodes))
    except (StateError, EnvError) as error:
      command.say(f'Left out: {error}')
  for run in found:
    if run['task'] not in random:
      random[run['task']] = reading.play_randomly(
          run['config'], options.episodes)
  new = records(
      found, random, reading.beside(options.beside),
      checkpoint=options.checkpoint)
  everything = merged(known, new)
  if not everything:
    raise ConfigError(
        'There is no finished run to tell of. Give folders of runs: --runs '
        'DIR.')
  with command.writing():
    start.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(
        start.with_suffix('.json'), json.dumps(_short(everything), indent=1)
        + '\n')
    files.write_text(
        start.with_suffix('.md'), learning_page.page(everything))
    learning_page.plot(everything, start.with_suffix('.png'))
  return [str(start.with_suffix(x)) for x in ('.json', '.md', '.png')]


def _record(key, group, random, beside, checkpoint):
  """Returns the record of some seeds."""
  task, preset, steps = key
  returns = [run['per_episode'] for run in group]
  means = [float(np.mean(x)) for x in returns]
  aim, source = target(task, steps)
  minutes = [run['minutes'] for run in group if run['minutes'] is not None]
  return {
      'task': task, 'preset': preset, 'observation': random['observation'],
      'actions': random['actions'], 'seeds': [run['seed'] for run in group],
      'steps': steps,
      'minutes': float(np.mean(minutes)) if minutes else None,
      'checkpoint': checkpoint, 'episodes': len(returns[0]), 'return': means,
      'std': [float(np.std(x, ddof=1)) for x in returns],
      'random': float(np.mean(random['per_episode'])),
      'random_std': float(np.std(random['per_episode'], ddof=1)),
      'target': aim, 'target_source': source,
      'learned': None if aim is None else min(means) >= aim,
      'beside': list(beside),
      'command': list(names.without_seed(group[0]['words'])[0]),
      'versions': group[0]['versions'],
      'machine': group[0]['machine'],
      'curves': [run['curves'] for run in group]}


def _published(name, steps):
  """Returns the return of DreamerV2 from pixels after about as many steps."""
  points = published.dmc().get(name)
  if not points:
    return None, ''
  point = min(points, key=lambda point: abs(point.frames - steps))
  return point.mean, (
      f'DreamerV2 from pixels after {point.frames:,} steps, danijar/dreamerv2')


def _short(value):
  """Returns the same with numbers of fewer digits."""
  if isinstance(value, float):
    return float(f'{value:.{DIGITS}g}')
  if isinstance(value, Mapping):
    return {key: _short(inner) for key, inner in value.items()}
  if isinstance(value, list):
    return [_short(inner) for inner in value]
  return value


if __name__ == '__main__':
  sys.exit(main())
