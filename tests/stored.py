"""Episodes in files, sound ones and others."""

import pathlib
import uuid

import numpy as np

from dreamerv2_tf.data.layout import EpisodeError

COMMON = {
    'action': ((2,), np.float32),
    'reward': ((), np.float32),
    'is_first': ((), bool),
    'is_last': ((), bool),
    'is_terminal': ((), bool),
    'log_speed': ((), np.float32),
}
SPACES = {'image': ((4, 4, 1), np.uint8), **COMMON}


def make_episode(rows=10, value=1, **changes):
  flags = np.zeros((2, rows), bool)
  flags[0, :1] = flags[1, -1:] = True
  episode = {
      'image': np.full((rows, 4, 4, 1), value, np.uint8),
      'action': np.ones((rows, 2), np.float32) * (np.arange(rows) > 0)[:, None],
      'reward': np.arange(rows, dtype=np.float32),
      'is_first': flags[0],
      'is_last': flags[1],
      'is_terminal': flags[1],
      'log_speed': np.zeros(rows, np.float32),
  }
  return {k: v for k, v in {**episode, **changes}.items() if v is not None}


def put(directory, episode, steps=9, save=np.savez_compressed, head=None):
  """Writes a file as the original does, without any check."""
  head = head or '20210101T000000'
  path = pathlib.Path(directory) / f'{head}-{uuid.uuid4().hex}-{steps}.npz'
  save(path, **episode)
  return path


def read_all(store):
  """Loads everything and treats what is damaged as the sampler does."""
  result = {}
  for name in store.scan()[0]:
    try:
      result[name] = store.load(name)
    except EpisodeError as error:
      store.quarantine(name, error)
  return result


def quarantined(store):
  return sorted(x.name for x in store.directory.parent.glob('quarantine/*'))
