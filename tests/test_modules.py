"""What every module of the package keeps to, whatever it computes.

Compiled as plainly run; one trace; float16; saved and restored.
"""

from collections.abc import Callable
import importlib
import pkgutil
from typing import NamedTuple

import builders
from builders import SEED, A, init
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

import dreamerv2_tf
from dreamerv2_tf import exploration, rlmath, tfutils
from dreamerv2_tf.nets import decoder, encoder, gru, layers, mlp
from dreamerv2_tf.nets.optimizer import Optimizer
from dreamerv2_tf.nets.rssm import EnsembleRSSM

SHAPES = {'image': (16, 16, 1), 'vector': (3,)}
ABSTRACT = {'Module', 'Layer', 'Explorer'}  # Their subclasses are tested.


class Case(NamedTuple):
  """How to make a module and what to do with it."""

  make: Callable  # From (compute dtype, seed) to the module.
  inputs: Callable  # From (seed, compute dtype) to the arguments of `call`.
  call: Callable = lambda module, *args: module(*args)  # To nested tensors.


def normal(seed, *shape, dtype=tf.float32):
  return tf.cast(tf.random.stateless_normal(shape, [seed, 0]), dtype)


def features(*shape):
  return lambda seed, dtype: (normal(seed, *shape, dtype=dtype),)


def images(seed, dtype):
  return ({k: normal(seed, 2, 4, *s) for k, s in SHAPES.items()},)


def batch(seed, dtype):
  data = builders.tensors(builders.batch(seed=seed))
  return data, tf.constant([seed, 1])


def sequence(seed, dtype):
  first = tf.constant([[True, False, seed == 1, False]] * 2)
  return normal(seed, 2, 4, 5, dtype=dtype), normal(seed, 2, 4, A), first


def make_rssm(dtype, seed):
  return EnsembleRSSM(
      A, 5, ensemble=2, stoch=3, deter=4, hidden=6, discrete=3,
      init=init(dtype, seed))


def make_optimizer(dtype, seed):
  kernel = init(seed=seed).glorot([3, 2])
  module = Optimizer(
      'some', {'kernel': kernel}, lr=0.1, eps=1e-5, clip=100, wd=0,
      mixed=dtype == tf.float16)
  module.kernel = kernel  # For the checkpoint.
  return module


def make_behavior(dtype, seed):
  module = builders.actor_critic(3 * 4 + 5, dtype=dtype, seed=seed)
  module.world = builders.world_model(dtype=dtype, seed=seed)
  return module


def make_explorer(cls):
  def make(dtype, seed):
    module, world = builders.explorer(
        cls, dtype=dtype, seed=seed, disag_models=2)
    module.world = world
    return module
  return make


def make_agent(dtype, seed):
  # Its seed is no part of a checkpoint.
  precision = {tf.float32: 32, tf.float16: 16}[dtype]
  return builders.agent(settings={'precision': precision})


def of_interest(metrics):
  """Gradients may overflow in float16."""
  return {k: v for k, v in metrics.items() if not k.endswith('grad_norm')}


def optimize(module, x):
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum((tf.cast(x, tf.float32) @ module.kernel) ** 2)
  return of_interest(module(tape, loss)), tf.identity(module.kernel)


def learn(module, data, seed):
  state, _, metrics = module.train(data, None, seed)
  return state, of_interest(metrics)


def behave(module, data, seed):
  _, _, outputs, _ = module.world.loss(data, None, seed)
  reward = lambda dream: tf.cast(dream.feat[..., 0], tf.float32)
  return of_interest(module.train(
      module.world, outputs.post, data['is_terminal'], reward, seed))


def explore(module, data, seed):
  _, _, outputs, _ = module.world.loss(data, None, seed)
  return (
      of_interest(module.train(module.world, outputs, data, seed)),
      module.actor(outputs.feat).sample(seed=seed))


def act_and_train(module, data, seed):
  state, metrics = module.train(data)
  return state, of_interest(metrics), module.policy({
      k: v[:, 0] for k, v in data.items()})


CASES = {
    'Dense': Case(
        lambda *x: layers.Dense(3, 4, 'elu', 'layer', init=init(*x)),
        features(2, 3)),
    'Conv2D': Case(
        lambda *x: layers.Conv2D(1, 4, 4, 'SAME', 'elu', init=init(*x)),
        features(2, 8, 8, 1)),
    'ConvTranspose2D': Case(
        lambda *x: layers.ConvTranspose2D(
            3, 1, 6, (4, 4), (8, 8), 'SAME', init=init(*x)),
        features(2, 4, 4, 3)),
    'LayerNorm': Case(lambda *x: layers.LayerNorm(5), features(2, 5)),
    'DistLayer': Case(
        lambda *x: mlp.DistLayer(5, [A], 'trunc_normal', init=init(*x)),
        features(2, 5), lambda module, x: module(x).sample(seed=SEED)),
    'MLP': Case(
        lambda *x: mlp.MLP(5, [], 2, 6, init=init(*x)), features(2, 4, 5),
        lambda module, x: module(x).mode()),
    'Encoder': Case(
        lambda *x: encoder.Encoder(
            SHAPES, cnn_depth=1, mlp_layers=[4], init=init(*x)), images),
    'Decoder': Case(
        lambda *x: decoder.Decoder(
            5, SHAPES, cnn_depth=1, mlp_layers=[4], init=init(*x)),
        features(2, 4, 5),
        lambda module, x: {k: v.mode() for k, v in module(x).items()}),
    'GRUCell': Case(
        lambda *x: gru.GRUCell(3, 3, init=init(*x)), features(2, 3),
        lambda module, x: module(x, x)),
    'EnsembleRSSM': Case(
        make_rssm, sequence,
        lambda module, *args: module.observe(*args, None, SEED)),
    'Optimizer': Case(make_optimizer, features(2, 3), optimize),
    'StreamNorm': Case(lambda *x: rlmath.StreamNorm(), features(2, 3)),
    'WorldModel': Case(
        lambda *x: builders.world_model(builders.VECTOR, *x), batch, learn),
    'ActorCritic': Case(make_behavior, batch, behave),
    'Random': Case(make_explorer(exploration.Random), batch, explore),
    'Plan2Explore': Case(
        make_explorer(exploration.Plan2Explore), batch, explore),
    'ModelLoss': Case(make_explorer(exploration.ModelLoss), batch, explore),
    'Agent': Case(make_agent, batch, act_and_train),
}
each = pytest.mark.parametrize('case', CASES.values(), ids=CASES)


def subclasses(cls):
  for sub in cls.__subclasses__():
    yield sub
    yield from subclasses(sub)


def assert_equal(got, want, **tolerance):
  got, want = (  # Metrics that do not change are plain numbers.
      [tf.convert_to_tensor(v) for v in tf.nest.flatten(x)]
      for x in (got, want))
  assert len(got) == len(want) > 0
  for x, y in zip(got, want):
    assert x.dtype == y.dtype and x.shape == y.shape
    np.testing.assert_allclose(
        *(tf.cast(v, tf.float32) for v in (x, y)), **tolerance)


def test_every_module_of_the_package_is_tested():
  for info in pkgutil.walk_packages(dreamerv2_tf.__path__, 'dreamerv2_tf.'):
    if not info.name.endswith('__main__'):
      importlib.import_module(info.name)
  ours = {
      cls for cls in subclasses(tf.Module)
      if cls.__module__.startswith('dreamerv2_tf.')
      and not issubclass(cls, (tfd.Distribution, tfb.Bijector))}
  assert {cls.__name__ for cls in ours} == CASES.keys() | ABSTRACT
  assert all(issubclass(cls, tfutils.Module) for cls in ours)


@each
def test_compiled_in_one_trace_it_does_what_it_does_run_plainly(case):
  plain, module = (case.make(tf.float32, 0) for _ in range(2))
  compiled = tf.function(
      lambda *args: case.call(module, *args), autograph=False)
  for seed in range(3):
    inputs = case.inputs(seed, tf.float32)
    with builders.eagerly():
      want = case.call(plain, *inputs)
    assert_equal(compiled(*inputs), want, rtol=1e-3, atol=1e-4)
  assert compiled.experimental_get_tracing_count() == 1


@each
def test_in_float16_it_is_finite_and_keeps_its_weights_in_float32(case):
  module = case.make(tf.float16, 0)
  with builders.eagerly():
    outputs = case.call(module, *case.inputs(1, tf.float16))
  for x in tf.nest.flatten(outputs):
    assert np.isfinite(tf.cast(x, tf.float32)).all()
  wide = {tf.float32, tf.float64}
  assert {v.dtype for v in module.named_variables().values()} <= wide


@each
def test_restored_it_goes_on_as_the_one_that_was_saved(case, tmp_path):
  module, other = (case.make(tf.float32, seed) for seed in (1, 2))
  with builders.eagerly():
    case.call(module, *case.inputs(1, tf.float32))
    path = tf.train.Checkpoint(module=module).write(str(tmp_path / 'saved'))
    tf.train.Checkpoint(module=other).read(path).assert_consumed()
    inputs = case.inputs(2, tf.float32)
    assert_equal(
        case.call(other, *inputs), case.call(module, *inputs), rtol=1e-5,
        atol=1e-6)


@each
def test_weights_go_out_and_in_by_their_paths(case):
  module, other = (case.make(tf.float32, seed) for seed in (1, 2))
  weights = module.get_weights()
  other.set_weights({k: v + 1 for k, v in weights.items()})
  for path, value in other.get_weights().items():
    np.testing.assert_array_equal(value, weights[path] + 1)
