"""Folders as the original and its ports leave them, of gym_toys:Plan-v0.

An episode of `rows(steps)` is the same in all of them: only what programs make
of it differs.
"""

import json
import pickle
import uuid

import numpy as np

SPACES = {
    'vector': ((3,), np.float32), 'action': ((2,), np.float32),
    'reward': ((), np.float32), 'is_first': ((), bool), 'is_last': ((), bool),
    'is_terminal': ((), bool)}


def rows(steps=7, shift=0.0, terminal=True):
  """Returns an episode in the convention of the original and of ours."""
  count = np.arange(steps + 1)
  return {
      'vector': np.stack([count / 10, 0 * count + shift, 0 * count], 1).astype(
          np.float32),
      'action': (np.eye(2)[count % 2] * (count > 0)[:, None]).astype(
          np.float32),
      'reward': (count > 0).astype(np.float32),
      'is_first': count == 0, 'is_last': count == steps,
      'is_terminal': (count == steps) & terminal}


def name(number, steps):
  """Returns a file name of the original."""
  unique = uuid.UUID(int=number).hex
  return f'20220101T{number:06d}-{unique}-{steps}.npz'


def original(folder, lengths=(7, 7, 7), settings=True, key='image'):
  """Makes a run folder of the original, which calls all observations image."""
  for place, some in ('train_episodes', lengths), ('eval_episodes', (7,)):
    (folder / place).mkdir(parents=True)
    for number, steps in enumerate(some):
      episode = rows(steps, number)
      episode[key] = episode.pop('vector')
      np.savez_compressed(folder / place / name(number, steps), **episode)
  with (folder / 'variables.pkl').open('wb') as file:
    pickle.dump([np.zeros(3, np.float32)], file)
  lines = [
      {'step': 100, 'train_return': 3.0, 'train_length': 7.0, 'fps': 0.0},
      {'step': 200, 'eval_return': 5.0, 'model_loss': float('nan')},
      {'step': 300, 'eval_return': 7.0, 'train_return': 4.0}]
  (folder / 'metrics.jsonl').write_text(
      ''.join(json.dumps(x) + '\n' for x in lines) + '{"step": 400, "eval_r')
  if settings:
    (folder / 'config.yaml').write_text(
        'logdir: /home/someone/logdir\nseed: 0\ntask: gym_toys:Plan-v0\n'
        'envs: 1\nenvs_parallel: none\naction_repeat: 1\nsteps: 25.0\n'
        'precision: 32\nprefill: 30\neval_every: 0\nexpl_behavior: greedy\n'
        'train_gifs: false\nreplay: {minlen: 1, maxlen: 0}\n'
        'dataset: {batch: 4, length: 8}\n'
        'rssm: {hidden: 16, deter: 16, stoch: 4, discrete: 4}\n')
  return folder


def pydreamer(folder, lengths=(7, 5), parts=1, numbers=False):
  """Makes files of pydreamer: episodes behind each other, in so many parts."""
  folder.mkdir(parents=True)
  episodes = [rows(steps, i) for i, steps in enumerate(lengths)]
  whole = {k: np.concatenate([x[k] for x in episodes]) for k in episodes[0]}
  data = {
      'vecobs': whole['vector'], 'reward': whole['reward'].astype(np.float64),
      'action': whole['action'].astype(np.float64),
      'terminal': whole['is_terminal'], 'reset': whole['is_first'],
      'policy_value': np.full(len(whole['reward']), np.nan)}
  if numbers:
    data['action'] = data['action'].argmax(1)
  size = -(-len(data['reward']) // parts)
  for part in range(parts):
    some = {k: v[part * size:(part + 1) * size] for k, v in data.items()}
    np.savez_compressed(
        folder / f'ep000000_{len(lengths) - 1:06d}-{part}-r3-{size:04d}.npz',
        **some)
  return folder


def dreamerv3(folder, lengths=(7, 5, 4), size=6, numbers=False, unfinished=0):
  """Makes chunks of DreamerV3: an action is stored with what it follows."""
  folder.mkdir(parents=True)
  episodes = [rows(steps, i) for i, steps in enumerate(lengths)]
  for episode in episodes:
    action = episode['action']
    episode['action'] = np.concatenate([action[1:], 0 * action[:1]])
  data = {k: np.concatenate([x[k] for x in episodes]) for k in episodes[0]}
  data = {k: v[:len(v) - unfinished] for k, v in data.items()}
  if numbers:
    data['action'] = data['action'].argmax(1).astype(np.int32)
  data['dyn/deter'] = np.zeros((len(data['reward']), 4))
  count = -(-len(data['reward']) // size)
  for part in range(count):
    after = f'{part + 2:022d}' if part + 1 < count else '0' * 22
    some = {k: v[part * size:(part + 1) * size] for k, v in data.items()}
    np.savez_compressed(
        folder / f'20230101T00000{part}F123456-{part + 1:022d}-{after}-'
        f'{len(some["reward"])}.npz', **some)
  return folder
