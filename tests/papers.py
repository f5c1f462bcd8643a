"""Makes runs that can stand beside the paper's: folders and score files."""

import functools
import json
import pathlib

from dreamerv2_tf import config as configlib
from dreamerv2_tf.paper import published

M = 1_000_000


def rows(folder, *rows):
  """Writes metrics.jsonl; returns the folder."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'metrics.jsonl').write_text(
      ''.join(json.dumps(row) + '\n' for row in rows))
  return folder


def original(
    logdir, task='atari_pong', method='mine', seed=1, scores=(), every=M,
    metric='eval_return', preset='atari', **changes):
  """Writes a folder as the original does: settings, no run.json.

  Args:
    scores: of the evaluations, one each `every` environment steps.
    changes: keys, with `__` for the dot, to values.
  """
  folder = rows(logdir / task / method / str(seed), *(
      {'step': index * every, metric: score}
      for index, score in enumerate(scores, 1)))
  changes = {key.replace('__', '.'): value for key, value in changes.items()}
  config = _settings(preset).update({
      'task': task, 'seed': int(seed), 'precision': 16, **changes})
  config.save(folder / 'config.yaml')
  return folder


@functools.cache
def _settings(preset):
  return configlib.resolve([preset])


def ours(logdir, task='atari_pong', seed=0, **kwargs):
  """Writes a folder as this package does."""
  folder = original(logdir, task, 'mine', seed, **kwargs)
  history = [{
      'step': 0, 'argv': ['dreamerv2', '--configs', 'atari'], 'changed': {}}]
  (folder / 'run.json').write_text(json.dumps({'history': history}))
  return folder


def scores(path, *runs):
  """Writes a score file of (task, method, seed, xs, ys)."""
  names = 'task', 'method', 'seed', 'xs', 'ys'
  path.write_text(json.dumps([dict(zip(names, run)) for run in runs]))
  return path


def curve(game):
  """Returns the published means of a game: frames to return."""
  return {point.frames: point.mean for point in published.curves()[game]}


def copy_of_the_paper(path, only=None):
  """Writes each published run as a score file: its curve, and its end.

  Args:
    only: games; None: all.
  """
  runs = []
  for game, seeds in published.finals().items():
    if only is None or game in only:
      grid = {k: x for k, x in curve(game).items() if k < published.LAST}
      runs += [
          (f'atari_{game}', 'paper', seed, [*grid, published.LAST],
           [*grid.values(), end.score]) for seed, end in seeds.items()]
  return scores(path, *runs)
