"""Run folders for the tests of curves, ours and others'."""

import functools
import json

from dreamerv2_tf import config as configlib


def rows(*values, name='eval_return', every=100):
  """Rows of metrics: a value every 100 steps."""
  return [{'step': every * i, name: x} for i, x in enumerate(values, 1)]


def write(path, lines):
  """Writes rows, and texts as they are, a line each."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(''.join(
      (x if isinstance(x, str) else json.dumps(x) + '\n') for x in lines))


def ours(folder, lines, *words, seed=0, task='gym_CartPole-v1', changed=()):
  """A run folder of this package, of the preset `debug`."""
  write(folder / 'metrics.jsonl', lines)
  config = _debug(words).update({'task': task, 'seed': seed})
  config.save(folder / 'config.yaml')
  write(folder / 'run.json', [{'history': [
      {'step': 0, 'changed': {}, 'argv': ['x', '--configs', 'debug']},
      *changed]}])
  return folder


@functools.cache
def _debug(words):
  return configlib.resolve(['debug'], words)


def original(root, task, method, seed, lines, settings=True):
  """A run folder of the original, which does not use the seed it stores."""
  folder = root / task / method / str(seed)
  write(folder / 'metrics.jsonl', lines)
  if settings:
    (folder / 'config.yaml').write_text(
        f'task: {task}\nseed: 0\naction_repeat: 4\nunknown_key: 3\n')
  return folder


def baseline(folder, lines, method='slower', steps=0, seed=None):
  """A folder of scripts/baselines.py."""
  write(folder / 'metrics.jsonl', lines)
  write(folder / 'record.json', [{
      'task': 'gym_CartPole-v1', 'method': method, 'seed': seed,
      'env_steps': steps}])
  return folder
