"""Episodes in which every row tells where it is from, and replays of them."""

import contextlib

import numpy as np
import stored

from dreamerv2_tf.data import replay as replaylib

# Number of the episode, row within it.
SPACES = {'code': ((2,), np.int32), **stored.COMMON}


def make_rows(number, steps):
  """Transitions of an episode in which every row tells where it is from."""
  return [{
      'code': np.array([number, row]),
      'action': np.ones(2) * (row > 0),
      'reward': float(row),
      'is_first': row == 0,
      'is_last': row == steps,
      'is_terminal': row == steps,
      'log_speed': 0.0,
  } for row in range(steps + 1)]


def make_episode(number, steps):
  rows = make_rows(number, steps)
  return {key: np.array([row[key] for row in rows]) for key in rows[0]}


@contextlib.contextmanager
def replays(folder):
  """Yields what makes replays of one folder; closes their datasets."""
  made = []

  def make(directory=folder, **kwargs):
    made.append(replaylib.Replay(directory, **{'spaces': SPACES, **kwargs}))
    return made[-1]

  yield make
  for replay in made:
    for dataset in list(replay._datasets):
      dataset.close()


def fill(replay, lengths, start=0):
  for number, steps in enumerate(lengths, start):
    assert replay.add_episode(make_episode(number, steps))


def check_joined(batches, maxlen=0):
  """Rows go on within an episode unless is_first is set; returns sequences."""
  rows = {
      key: np.concatenate([batch[key] for batch in batches], 1)
      for key in batches[0]}
  assert rows['is_first'][:, 0].all()
  sequences = []
  for code, first in zip(rows['code'], rows['is_first'], strict=True):
    starts = [*np.flatnonzero(first), len(first)]
    for begin, end in zip(starts, starts[1:], strict=False):
      part = code[begin:end]
      assert (part[:, 0] == part[0, 0]).all()
      np.testing.assert_array_equal(
          part[:, 1], part[0, 1] + np.arange(end - begin))
      assert not maxlen or end - begin <= maxlen
      sequences.append((part[0, 0], part[0, 1], end - begin, end < len(first)))
  return sequences
