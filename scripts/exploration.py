"""Shows where behaviours go that collect data, in four rooms.

Trains a small agent with each behaviour, then counts the cells that the stored
episodes have been to: as a table in OUTDIR/exploration.md, as a picture in
exploration.png. Runs that are in LOGDIR already are not done again, and those
that were stopped go on. Other flags are keys of all runs.
"""

from collections.abc import Iterator, Mapping, Sequence
import os
import pathlib
import shlex
import subprocess
import sys
from typing import NamedTuple

import command
import exploration_plot
import exploration_world as world
import numpy as np

from dreamerv2_tf import config as configlib
from dreamerv2_tf import files
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError, StateError

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAME = 'exploration'
FLAGS = {
    'logdir': ('~/logdir/exploration', 'Folder of the runs.'),
    'outdir': (str(ROOT / 'results'), 'Folder of the table and the picture.'),
    'behaviors': ((
        'greedy', 'noise', 'Random', 'ModelLoss', 'Plan2Explore', 'next', 'now',
        'until'), 'Which of them.'),
    'seeds': ((0, 1), 'Seeds of each.'),
    'steps': (3000, 'Environment steps of a run.'),
}
PLAN = ['--expl_behavior', 'Plan2Explore']
NOW = [*PLAN, '--disag_target', 'embed', '--disag_offset', '0']
# An explorer's reward is some ten times what the task pays near by; so is that
# of entropy.
ENTROPY = ['--actor_ent', '0.1']
# Name -> keys; {half} and {all} are numbers of steps.
BEHAVIORS = {
    'greedy': [],
    'noise': ['--expl_noise', '0.3'],
    # It learns nothing, so that the agent need not either.
    'Random': ['--expl_behavior', 'Random', '--train_every', '{all}'],
    'ModelLoss': ['--expl_behavior', 'ModelLoss', *ENTROPY],
    'Plan2Explore': [*PLAN, *ENTROPY],
    'next': [*PLAN, '--disag_action_next', 'True', *ENTROPY],
    'now': [*NOW, *ENTROPY],
    'until': [
        *NOW, '--expl_until', '{half}', '--actor_ent',
        'linear(0.1,0.01,1,{half})'],
}
LABELS = {
    'noise': 'greedy, noise', 'next': 'Plan2Explore, next action',
    'now': 'Plan2Explore, of states', 'until': 'the same, then greedy',
    'uniform': 'uniform'}
SCALE = 3  # Of observations: a cell is 0.3, some tenths of a nat.
LENGTH = 80  # Steps of an episode; the far corner is 40 away.
SETTINGS = [
    '--configs', 'small', '--task', 'gym_exploration_world:Rooms-v0',
    '--time_limit', str(LENGTH), '--env.obs_scale', str(SCALE),
    '--envs_parallel', 'none', '--prefill', '400', '--pretrain', '50',
    '--train_every', '4', '--eval_every', '0', '--eval_eps', '1',
    '--log_every', '500', '--rssm.hidden', '64', '--rssm.deter', '64',
    '--rssm.stoch', '8', '--rssm.discrete', '8', r'--.*\.units', '64',
    r'--.*\.mlp_layers', '[64,64]', '--imag_starts', '64',
    '--discount', '0.97', '--model_opt.lr', '1e-3', '--actor_opt.lr', '3e-4',
    '--critic_opt.lr', '3e-4', '--expl_opt.lr', '1e-3', '--disag_models', '5',
    # Disagreement falls while it is learned: it is kept at 1 per step.
    '--expl_reward_norm.momentum', '0.99', '--actor_ent', '1e-2']
UNIFORM = 20  # Seeds of uniformly random walks to compare with.


class Walk(NamedTuple):
  """Where a run has been."""

  share: np.ndarray  # [steps]; of all cells, seen up to that step.
  visits: np.ndarray  # [SIZE, SIZE]; number of steps on each cell.
  late: float  # Share of all cells seen in the last quarter.
  reward: float  # Mean return of the episodes that end in the last quarter.


def main(argv: Sequence[str] | None = None) -> int:
  """Trains, counts and draws; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def parse(arguments: Sequence[str]) -> tuple[Config, list[str]]:
  """Returns the values of FLAGS and the words for all runs.

  Raises:
    ConfigError: a flag is wrong.
  """
  options, presets, words = configlib.parse(FLAGS, arguments)
  if presets:
    raise ConfigError(
        'The runs have the preset small; give single keys, no --configs.')
  for name in options.behaviors:
    if name not in BEHAVIORS:
      raise ConfigError(
          f"'behaviors' must be of {', '.join(BEHAVIORS)} but has '{name}'.")
  if not options.behaviors or not options.seeds:
    raise ConfigError("Give at least one of 'behaviors' and of 'seeds'.")
  if options.steps < 4 * LENGTH:
    raise ConfigError(
        f"'steps' must be at least {4 * LENGTH}, four episodes, but is "
        f'{options.steps}.')
  configlib.resolve(SETTINGS[1:2], [*SETTINGS[2:], *words])
  return options, words


def train(
    folder: pathlib.Path, behavior: str, seed: int, steps: int,
    words: Sequence[str]) -> None:
  """Trains an agent, goes on with it, or finds that it is there.

  Args:
    folder: of the run.
    behavior: a key of BEHAVIORS.
    seed, steps: of the run.
    words: of the command line, for further keys.

  Raises:
    StateError: the run failed.
  """
  keys = [
      word.format(half=steps // 2, all=steps) for word in BEHAVIORS[behavior]]
  here = pathlib.Path(__file__).resolve().parent
  path = [str(ROOT), str(here), os.environ.get('PYTHONPATH', '')]
  done = subprocess.run([
      sys.executable, '-m', 'dreamerv2_tf', '--logdir', str(folder),
      *SETTINGS, '--seed', str(seed), '--steps', str(steps), *keys, *words],
      env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, path))},
      stdout=subprocess.DEVNULL)
  if done.returncode in (75, 130):
    raise KeyboardInterrupt
  if done.returncode:
    raise StateError(
        f'The run in {folder} ended with the exit status {done.returncode}; '
        'what it said stands above.')


def read(folder: pathlib.Path, steps: int) -> Walk:
  """Counts the cells in the stored episodes of a run.

  Environments that run beside each other end their episodes at once: these
  count one after the other.

  Args:
    folder: of the run.
    steps: how many are counted.

  Raises:
    StateError: there are no episodes.
  """
  episodes = []
  for path in sorted((folder / 'train_episodes').glob('*.npz')):
    with np.load(path) as data:
      episodes.append((
          world.cells(data['vector'] / SCALE)[1:], data['reward'].sum()))
  if not episodes:
    raise StateError(f'{folder} holds no episodes.')
  return walk(*zip(*episodes), steps)


def walk(
    episodes: Sequence[np.ndarray], returns: Sequence[float],
    steps: int) -> Walk:
  """Counts the cells of episodes.

  Args:
    episodes: [length, 2] each; cell after each step.
    returns: of each.
    steps: how many are counted.
  """
  ends = np.cumsum([len(x) for x in episodes])
  places = [tuple(cell) for x in episodes for cell in x][:steps]
  late = 3 * len(places) // 4
  seen, share = set(), []
  visits = np.zeros([world.SIZE] * 2, int)
  for place in places:
    visits[place] += 1
    seen.add(place)
    share.append(len(seen) / len(world.CELLS))
  return Walk(
      np.array(share), visits, len({*places[late:]}) / len(world.CELLS),
      float(np.mean(np.array(returns)[ends > late])))


def uniform(seed: int, steps: int) -> Walk:
  """Walks with uniformly random actions, without any agent."""
  rng = np.random.default_rng(seed)
  env = world.Rooms()
  episodes, returns = [], []
  for _ in range(-(-steps // LENGTH)):
    env.reset()
    rewards, places = [], []
    for action in rng.integers(len(world.MOVES), size=LENGTH):
      rewards.append(env.step(action)[1])
      places.append(env.place)
    episodes.append(np.array(places))
    returns.append(np.sum(rewards))
  return walk(episodes, returns, steps)


def table(walks: Mapping[str, Sequence[Walk]]) -> Iterator[str]:
  """Yields the lines of a table in Markdown.

  Args:
    walks: behaviour -> those of its seeds.
  """
  steps = max(len(x.share) for some in walks.values() for x in some)
  marks = [steps // 4, steps // 2, steps]
  yield ' | '.join([
      '| behaviour', 'keys', 'seeds',
      *(f'cells seen in {mark:,} steps' for mark in marks),
      'in the last quarter alone', 'return there |'])
  yield '|---' * 8 + '|'
  for name, some in walks.items():
    keys = ' '.join(BEHAVIORS.get(name, [])).format(
        half=steps // 2, all=steps)
    cells = [[x.share[:mark][-1] for x in some] for mark in marks]
    yield ' | '.join([
        f'| {LABELS.get(name, name)}', f'`{keys}`' if keys else '',
        str(len(some)),
        *(_range([100 * x for x in row], ' %') for row in cells),
        _range([100 * x.late for x in some], ' %'),
        _range([x.reward for x in some], '', 1)]) + ' |'


def _range(values: Sequence[float], unit: str, digits: int = 0) -> str:
  """Returns the mean of the seeds, and the lowest and highest."""
  text = f'{np.mean(values):.{digits}f}{unit}'
  if len(values) > 1:
    text += f' ({min(values):.{digits}f} to {max(values):.{digits}f})'
  return text


def _work(arguments):
  options, words = parse(arguments)
  logdir = pathlib.Path(os.path.expanduser(options.logdir))
  walks: dict[str, list[Walk]] = {}
  for name in options.behaviors:
    for seed in options.seeds:
      folder = logdir / f'{name}-{seed}'
      command.say(f'{folder}: {options.steps:,} steps')
      train(folder, name, seed, options.steps, words)
      walks.setdefault(name, []).append(read(folder, options.steps))
  walks['uniform'] = [uniform(seed, options.steps) for seed in range(UNIFORM)]
  lines = [*table(walks)]
  yield from lines
  outdir = pathlib.Path(options.outdir)
  with command.writing(str(outdir)):
    outdir.mkdir(parents=True, exist_ok=True)
    exploration_plot.draw_to(
        {LABELS.get(name, name): some for name, some in walks.items()},
        outdir / f'{NAME}.png')
    files.write_text(outdir / f'{NAME}.md', _page(lines, options, words))


def _page(lines, options, words):
  """Returns the text of the page: how it was made, table and picture."""
  given = ['python', 'scripts/exploration.py']
  for name in ('behaviors', 'seeds', 'steps'):
    value = options[name]
    if value != FLAGS[name][0]:
      values = value if isinstance(value, tuple) else (value,)
      given += [f'--{name}', *map(str, values)]
  return '\n'.join([
      '# Where behaviours go', '',
      f'Made by `{shlex.join([*given, *words])}`.', '',
      f'Cells: the share of the {len(world.CELLS)} cells of four rooms that '
      'the steps of a run have been to. Numbers are means of the seeds, with '
      'the lowest and the highest.', '', *lines, '',
      f'![Visits of each cell, and cells seen over the steps]({NAME}.png)', ''])


if __name__ == '__main__':
  sys.exit(main())
