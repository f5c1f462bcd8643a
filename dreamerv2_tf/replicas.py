"""Data-parallel learning: a batch divided between devices, one set of weights.

    global batch   row 0 ... row b - 1 | row b ... row 2b - 1 | ...
    replica              0             |          1           | ...

Each replica computes the loss of its rows. Means over rows, on which losses
depend not linearly (free nats, normalisers), are means over all replicas, and
so are the gradients, before they are clipped. Random numbers belong to the row
in the global batch. So a step computes what one device would, up to rounding.
What moves numbers is tf.distribute; outside of it, a mean is a mean.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from .errors import ConfigError, Interrupted, StateError

# What TensorFlow raises when another process of a group is gone.
LOST = (
    tf.errors.UnavailableError, tf.errors.AbortedError,
    tf.errors.CancelledError, tf.errors.DeadlineExceededError)


class Replicas:
  """The devices that learn together, in this process or in several.

  Attributes:
    strategy: of tf.distribute; MirroredStrategy, or another that keeps the
      variables of all replicas the same.
  """

  def __init__(self, strategy: tf.distribute.Strategy):
    self.strategy = strategy
    self._gathering = None

  @classmethod
  def here(cls, count: int) -> 'Replicas | None':
    """Returns so many devices of this machine; None for one.

    Args:
      count: GPUs, or logical CPUs where there is no GPU.

    Raises:
      ConfigError: there are fewer.
    """
    if count == 1:
      return None
    kind = 'GPU' if tf.config.list_physical_devices('GPU') else 'CPU'
    devices = tf.config.list_logical_devices(kind)
    if count > len(devices):
      raise ConfigError(
          f'replicas is {count}, but TensorFlow sees {len(devices)} '
          f'{kind}{"s" * (len(devices) != 1)} here. Each replica needs one of '
          f'its own: set it to at most {len(devices)}.')
    names = [device.name for device in devices[:count]]
    ops = tf.distribute.ReductionToOneDevice() if kind == 'CPU' else None
    return cls(tf.distribute.MirroredStrategy(names, cross_device_ops=ops))

  @classmethod
  def workers(cls, timeout: float = 60.0) -> 'Replicas':
    """Joins the processes that the variable TF_CONFIG names.

    Call it before anything else of TensorFlow.

    Args:
      timeout: seconds after which a silent process counts as gone.

    Raises:
      ConfigError: TF_CONFIG names no other process.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if len(resolver.cluster_spec().as_dict().get('worker', ())) < 2:
      raise ConfigError(
          'TF_CONFIG must name at least two workers, as in {"cluster": '
          '{"worker": ["host:port", "host:port"]}, "task": {"type": "worker", '
          '"index": 0}}.')
    return cls(tf.distribute.MultiWorkerMirroredStrategy(
        resolver, tf.distribute.experimental.CommunicationOptions(
            timeout_seconds=timeout)))

  @property
  def count(self) -> int:
    """All replicas, those of other processes as well."""
    return self.strategy.num_replicas_in_sync

  def check(self, batch: int, starts: int) -> None:
    """Refuses what can not be divided evenly.

    Args:
      batch: rows of the global batch.
      starts: states from which dreams start; 0: all.

    Raises:
      ConfigError: that is so.
    """
    for name, value in ('dataset.batch', batch), ('imag_starts', starts):
      if value % self.count:
        raise ConfigError(
            f"'{name}' must be a multiple of the {self.count} replicas but is "
            f'{value}: each has as many of its rows.')

  @contextlib.contextmanager
  def scope(self) -> Iterator[None]:
    """Makes variables that all replicas have, with the same values."""
    def create(creator, **kwargs):
      # All replicas assign the same.
      kwargs['aggregation'] = tf.VariableAggregation.ONLY_FIRST_REPLICA
      return creator(**kwargs)
    with self.strategy.scope(), tf.variable_creator_scope(create):
      yield

  def compiled(self, train: Callable, jit_compile: bool | None) -> Callable:
    """Returns a function as `train`, divided between the replicas.

    Args:
      train: maps data and state, of the rows of one replica, to a state and
        metrics.
      jit_compile: see tf.function.

    Returns:
      Maps data and state of all rows of this process, [B, ...], to the state
      of all of them and to metrics, means over the replicas.
    """
    def step(data, state):
      state, metrics = train(data, state)
      return state, means(metrics)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def run(data, state):
      return self.strategy.run(step, (data, state))

    def call(data, state):
      with _lost():
        return self._joined(*run(self._divided(data), self._divided(state)))
    return call

  def check_same(self, step: int, weights: Mapping[str, np.ndarray]) -> None:
    """Compares what all replicas begin with.

    Args:
      step: gradient steps so far.
      weights: path -> array.

    Raises:
      StateError: they differ; so all of them stop.
      Interrupted: another process is gone.
    """
    digest = hashlib.sha256()
    for path in sorted(weights):
      digest.update(path.encode())
      digest.update(np.ascontiguousarray(weights[path]).tobytes())
    mine = tf.constant([
        step, *np.frombuffer(digest.digest()[:16], np.int64)], tf.int64)
    with _lost():
      rows = self._gather(mine)
    if (rows != rows[0]).any():
      steps = ', '.join(str(x) for x in rows[:, 0])
      raise StateError(
          f'The replicas begin with different states: gradient steps {steps}'
          + ', and other weights' * (len({*rows[:, 0]}) == 1)
          + '. Give all of them the same checkpoint.')

  def agree(self, flag: bool) -> bool:
    """Returns whether any process says so; all get the same answer.

    Raises:
      Interrupted: another process is gone.
    """
    with _lost():
      return bool(self._gather(tf.constant([int(flag)], tf.int64)).any())

  def _gather(self, mine):
    """Returns the vectors of all replicas, [replicas, n]."""
    if self._gathering is None:
      self._gathering = tf.function(lambda x: self.strategy.run(
          lambda x: tf.distribute.get_replica_context().all_gather(
              x[None], 0), (x,)), autograph=False)
    return self.strategy.experimental_local_results(
        self._gathering(mine))[0].numpy()

  def _divided(self, tree):
    """Gives each replica of this process its rows."""
    local = len(self.strategy.extended.worker_devices)
    def divide(x):
      size = x.shape[0] // local
      assert size * local == x.shape[0], (x.shape, local)
      parts = [x[i * size:(i + 1) * size] for i in range(local)]
      if local == 1:
        return parts[0]
      return self.strategy.experimental_distribute_values_from_function(
          lambda context: parts[context.replica_id_in_sync_group])
    return tf.nest.map_structure(divide, tree)

  def _joined(self, state, metrics):
    values = self.strategy.experimental_local_results
    return (
        tf.nest.map_structure(lambda x: tf.concat(values(x), 0), state),
        tf.nest.map_structure(lambda x: values(x)[0], metrics))


def mean(x: tf.Tensor) -> tf.Tensor:
  """Returns the mean over all elements and replicas; with its gradient."""
  return _reduced(tf.distribute.ReduceOp.MEAN, tf.reduce_mean(x))


def total(x: tf.Tensor) -> tf.Tensor:
  """Returns the sum of all elements of all replicas; with its gradient."""
  return _reduced(tf.distribute.ReduceOp.SUM, tf.reduce_sum(x))


def std(x: tf.Tensor) -> tf.Tensor:
  """Returns the standard deviation of all elements of all replicas."""
  if count() == 1:
    return tf.math.reduce_std(x)
  return tf.sqrt(mean(tf.math.squared_difference(x, mean(x))))


def means(tree: Any) -> Any:
  """Returns the mean over the replicas of each tensor of a structure."""
  if count() == 1:
    return tree
  leaves = [tf.cast(x, tf.float32) for x in tf.nest.flatten(tree)]
  if not leaves:
    return tree
  return tf.nest.pack_sequence_as(
      tree, _reduced(tf.distribute.ReduceOp.MEAN, leaves))


def gradients(grads: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
  """Returns the gradients of the mean loss from those of each replica."""
  return _reduced(tf.distribute.ReduceOp.MEAN, list(grads))


def sample(dist: Any, seed: tf.Tensor) -> tf.Tensor:
  """Draws from a distribution, the rows of all replicas independently.

  Each replica draws the noise of the whole batch and takes that of its rows,
  so that it does not depend on how many replicas there are.

  Args:
    dist: batch shape [N, ...]; has `sample`, whose noise must have the order
      of the sample's elements for the same numbers as on one device.
    seed: [2], int.
  """
  if count() == 1:
    return dist.sample(seed=seed)
  return dist.sample(count(), seed=seed)[_index()]


def own(seed: tf.Tensor) -> tf.Tensor:
  """Returns a seed of this replica's own, for draws of no row."""
  return seed if count() == 1 else tf.random.fold_in(seed, _index())


def count() -> int:
  """Returns how many replicas run the function that calls; 1 outside."""
  if not tf.distribute.in_cross_replica_context():
    return tf.distribute.get_strategy().num_replicas_in_sync
  return 1


def _index():
  return tf.distribute.get_replica_context().replica_id_in_sync_group


def _reduced(how, x):
  if count() == 1:
    return x
  return tf.distribute.get_replica_context().all_reduce(how, x)


@contextlib.contextmanager
def _lost():
  """Turns the loss of another process into an end that can be resumed."""
  try:
    yield
  except LOST as error:
    raise Interrupted(
        'Another process of this group is gone, so that no gradient can be '
        'taken. Run all of them again to go on from their last checkpoint.',
        75) from error
