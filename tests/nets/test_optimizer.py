import logging

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.nets.optimizer import Optimizer


def make(values, **kwargs):
  """Variables of the given values and their optimizer."""
  kwargs = {
      'lr': 0.1, 'eps': 0.5, 'clip': 0, 'wd': 0, 'opt': 'sgd', **kwargs}
  variables = {
      k: tf.Variable(tf.constant(v, tf.float32)) for k, v in values.items()}
  return variables, Optimizer('test', variables, **kwargs)


def descend(variables, opt, **slopes):
  """One step on the loss sum(slope * variable)."""
  with tf.GradientTape() as tape:
    loss = tf.add_n([
        tf.reduce_sum(tf.convert_to_tensor(slope) * variables[k])
        for k, slope in slopes.items()])
  return opt(tape, loss)


def test_two_adam_steps_by_hand():
  variables, opt = make({'x': 1.0}, opt='adam', lr=0.1, eps=0.5)
  m = v = 0
  want = 1.0
  for step, grad in enumerate([2.0, -3.0], 1):
    descend(variables, opt, x=grad)
    m = 0.9 * m + 0.1 * grad
    v = 0.999 * v + 0.001 * grad ** 2
    rate = 0.1 * np.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step)
    want -= rate * m / (np.sqrt(v) + 0.5)  # Epsilon outside of the root.
    np.testing.assert_allclose(variables['x'].numpy(), want, rtol=1e-5)


def test_clips_by_the_global_norm():
  variables, opt = make({'x': [0.0, 0.0], 'y': 0.0}, lr=1, clip=1)
  metrics = descend(variables, opt, x=[3.0, 0.0], y=4.0)
  assert float(metrics['test_grad_norm']) == 5  # Before clipping.
  np.testing.assert_allclose(variables['x'], [-0.6, 0], rtol=1e-6)
  np.testing.assert_allclose(variables['y'].numpy(), -0.8, rtol=1e-6)
  descend(variables, opt, x=[0.3, 0.0], y=0.4)  # Small gradients stay.
  np.testing.assert_allclose(variables['x'], [-0.9, 0], rtol=1e-6)


def test_no_clipping():
  variables, opt = make({'x': 0.0}, lr=1, clip=0)
  descend(variables, opt, x=500.0)
  assert float(variables['x']) == -500


def test_decays_before_the_step_whatever_the_learning_rate():
  variables, opt = make({'kernel': 2.0, 'bias': -1.0}, lr=0, wd=0.1)
  descend(variables, opt, kernel=1.0, bias=1.0)
  np.testing.assert_allclose(variables['kernel'].numpy(), 1.8, rtol=1e-6)
  np.testing.assert_allclose(variables['bias'].numpy(), -0.9, rtol=1e-6)
  # The step is not decayed: 2 * 0.9 - 1, not (2 - 1) * 0.9.
  variables, opt = make({'x': 2.0}, lr=1, wd=0.1)
  descend(variables, opt, x=1.0)
  np.testing.assert_allclose(variables['x'].numpy(), 0.8, rtol=1e-6)


def test_decays_what_the_pattern_finds():
  variables, opt = make(
      {'a/kernel': 2.0, 'a/bias': 2.0}, lr=0, wd=0.1,
      wd_pattern=r'^test/.*/kernel')
  descend(variables, opt, **{'a/kernel': 1.0, 'a/bias': 1.0})
  np.testing.assert_allclose(variables['a/kernel'].numpy(), 1.8, rtol=1e-6)
  assert float(variables['a/bias']) == 2


@pytest.mark.fault(42)
@pytest.mark.parametrize('compiled', [False, True])
@pytest.mark.parametrize('slope, match', [
    (np.nan, 'test_loss : Tensor had NaN'),
    (np.inf, 'test_loss : Tensor had Inf'),
])
def test_a_loss_that_is_not_finite_changes_nothing(slope, match, compiled):
  variables, opt = make({'x': 2.0, 'y': 3.0}, opt='adam', wd=0.1)
  step = lambda slope: descend(variables, opt, x=slope, y=1.0)
  step = tf.function(step, autograph=False) if compiled else step
  with pytest.raises(tf.errors.InvalidArgumentError, match=match):
    step(tf.constant(slope, tf.float32))
  assert float(variables['x']) == 2 and float(variables['y']) == 3
  # The moments are as new, too: Adam's first step is the learning rate.
  step(tf.constant(1e6))
  np.testing.assert_allclose(
      variables['x'].numpy(), 2 * 0.9 - 0.1, rtol=1e-4)


@pytest.mark.fault(42)
def test_a_gradient_that_is_not_finite_changes_nothing():
  variables, opt = make({'x': 0.0, 'y': 3.0}, wd=0.1)
  with tf.GradientTape() as tape:
    loss = tf.sqrt(variables['x']) + variables['y']  # Infinite slope at zero.
  with pytest.raises(
      tf.errors.InvalidArgumentError, match='test_grad_norm : Tensor had'):
    opt(tape, loss)
  assert float(variables['x']) == 0 and float(variables['y']) == 3


def test_float16_steps_do_not_depend_on_the_loss_scale(caplog):
  results = []
  for mixed in (False, True):
    variables, opt = make(
        {'x': [1.0, -2.0]}, opt='adam', clip=1, wd=0.1, mixed=mixed)
    with caplog.at_level(logging.WARNING):
      metrics = [descend(variables, opt, x=[3.0, g]) for g in (4.0, -1.0)]
    results.append([
        variables['x'].numpy(), metrics[0]['test_grad_norm'],
        metrics[1]['test_grad_norm'], metrics[1]['test_loss']])
  assert metrics[0]['test_loss_scale'] == 2 ** 15
  assert metrics[0]['test_skipped'] == 0
  for plain, scaled in zip(*results):
    np.testing.assert_allclose(scaled, plain, rtol=1e-6)
  assert not caplog.records  # Keras warns if it takes the loss for unscaled.


def test_float16_keeps_small_gradients():
  variables, opt = make({'x': 1.0}, lr=1, mixed=True)
  with tf.GradientTape() as tape:
    # Less than the smallest number of float16, 6e-8, on the way back.
    half = tf.cast(variables['x'], tf.float16)
    loss = tf.cast(half, tf.float32) * 1e-8
  metrics = opt(tape, loss)
  np.testing.assert_allclose(metrics['test_grad_norm'], 1e-8, rtol=1e-2)


@pytest.mark.fault(42)
@pytest.mark.parametrize('compiled', [False, True])
def test_float16_overflow_skips_the_step_and_halves_the_scale(compiled):
  variables, opt = make(
      {'x': 1.0, 'y': 2.0}, opt='adam', clip=100, wd=0.1, mixed=True)

  def step(slope):
    with tf.GradientTape() as tape:
      half = tf.cast(variables['x'], tf.float16)
      loss = slope * tf.cast(half, tf.float32) + variables['y']
    return opt(tape, loss)

  step = tf.function(step, autograph=False) if compiled else step
  metrics = step(tf.constant(3.0))  # 3 * 2 ** 15 exceeds 65504.
  assert metrics['test_skipped'] == 1
  assert metrics['test_loss_scale'] == 2 ** 15
  assert float(variables['x']) == 1 and float(variables['y']) == 2
  metrics = step(tf.constant(3.0))
  assert metrics['test_skipped'] == 0
  assert metrics['test_loss_scale'] == 2 ** 14
  np.testing.assert_allclose(metrics['test_grad_norm'], 10 ** 0.5, rtol=1e-5)
  assert float(variables['x']) < 0.9 and float(variables['y']) < 1.8


@pytest.mark.fault(42)
def test_float16_still_refuses_a_nan_loss():
  variables, opt = make({'x': 1.0}, wd=0.1, mixed=True)
  with pytest.raises(tf.errors.InvalidArgumentError, match='test_loss : '):
    descend(variables, opt, x=np.nan)
  assert float(variables['x']) == 1


@pytest.mark.parametrize('name', ['adam', 'nadam', 'adamax', 'sgd', 'momentum'])
def test_all_optimizers_descend(name):
  variables, opt = make({'x': 1.0}, opt=name, lr=0.01)
  descend(variables, opt, x=2.0)
  assert float(variables['x']) < 1
  assert opt.get_weights() == {}  # Moments are no weights.


@pytest.mark.parametrize('mixed', [False, True])
@pytest.mark.parametrize('name', ['adam', 'nadam', 'adamax', 'sgd', 'momentum'])
def test_a_checkpoint_leaves_the_settings_alone(name, mixed, tmp_path):
  slow, opt = make({'x': 1.0}, opt=name, lr=0.0, mixed=mixed)
  descend(slow, opt, x=2.0)
  path = tf.train.Checkpoint(opt=opt).write(str(tmp_path / 'slow'))
  saved = {key.split('/.')[0].rsplit('/')[-1] for key, _ in
           tf.train.list_variables(path)}
  assert 'iter' in saved  # Steps taken are state.
  assert not saved & {
      'learning_rate', 'decay', 'beta_1', 'beta_2', 'momentum'}
  fast, twin = make({'x': 1.0}, opt=name, lr=0.1, mixed=mixed)
  tf.train.Checkpoint(opt=twin).read(path).assert_consumed()
  moved = float(fast['x'])
  descend(fast, twin, x=2.0)
  assert moved == 1 and float(fast['x']) < 0.99


def test_a_variable_without_gradient_is_an_error_in_the_program():
  variables, opt = make({'x': 1.0, 'unused/kernel': 1.0})
  with pytest.raises(AssertionError, match=r"on \['unused/kernel'\]"):
    descend(variables, opt, x=1.0)


def test_settings_out_of_range():
  with pytest.raises(ConfigError, match="sgd, momentum but is 'adamw'"):
    make({'x': 1.0}, opt='adamw')
  with pytest.raises(ConfigError, match='wd 1.5 and clip 0'):
    make({'x': 1.0}, wd=1.5)
  with pytest.raises(ConfigError, match='wd 0 and clip 0.5'):
    make({'x': 1.0}, clip=0.5)


def test_the_learning_rate_follows_a_schedule():
  step = tf.Variable(0, dtype=tf.int64)
  variables, opt = make(
      {'x': 2.0}, lr='linear(0.5,0.1,100)', step=step)
  train = tf.function(lambda: descend(variables, opt, x=1.0))
  want = 2.0
  for now, rate in [(0, 0.5), (50, 0.3), (100, 0.1), (500, 0.1)]:
    step.assign(now)
    metrics = train()
    want -= rate
    np.testing.assert_allclose(metrics['test_lr'], rate, rtol=1e-6)
    np.testing.assert_allclose(variables['x'].numpy(), want, rtol=1e-5)


def test_a_plain_learning_rate_is_no_metric():
  variables, opt = make({'x': 1.0})
  assert set(descend(variables, opt, x=1.0)) == {'test_loss', 'test_grad_norm'}
