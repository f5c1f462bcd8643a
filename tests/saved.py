"""Small agents in checkpoints."""

import tensorflow as tf


class Net(tf.Module):
  """Variables in attributes, a list and a dictionary, and a generator."""

  def __init__(self, units=4, value=0.0, extra=False, dtype=tf.float32):
    super().__init__()
    self.kernel = tf.Variable(tf.fill([3, units], tf.cast(value, dtype)))
    self.slots = [tf.Variable(tf.fill([units], float(value)))]
    self.heads = {'reward': tf.Variable(float(value))}
    self.rng = tf.random.Generator.from_seed(1)
    if extra:
      self.extra = tf.Variable([1, 2])

  def values(self):
    return [x.numpy().tolist() for x in (
        self.kernel, self.slots[0], self.heads['reward'], self.rng.state)]


def fill(store, *steps):
  for step in steps:
    assert store.save(step, Net(value=step), {'step': step})


def folder(store, step):
  return store._dir / f'{step:012d}'


def flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)
