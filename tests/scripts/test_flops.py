import importlib.util
import pathlib

import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location(
    'flops', ROOT / 'scripts' / 'flops.py')
flops = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(flops)


def count(function, *shapes):
  args = [tf.TensorSpec(shape) for shape in shapes]
  return flops.count(
      tf.function(function, autograph=False).get_concrete_function(*args).graph)


def gradients(function):
  """Returns the function's value and gradients to all arguments."""
  def result(*args):
    with tf.GradientTape() as tape:
      tape.watch(args)
      value = function(*args)
    return value, tape.gradient(value, args)
  return result


@pytest.mark.parametrize('function, shapes', [
    (tf.matmul, [(2, 3), (3, 5)]),
    (lambda a, b: tf.matmul(a, b, transpose_a=True), [(3, 2), (3, 5)]),
    (lambda a, b: tf.matmul(a, b, transpose_b=True), [(2, 3), (5, 3)]),
    (lambda a, b: tf.matmul(a, b, a_is_sparse=True), [(2, 3), (3, 5)]),
])
def test_a_product_takes_two_operations_for_each_triple(function, shapes):
  assert count(function, *shapes) == {'conv': 0, 'matmul': 2 * 2 * 3 * 5}


def test_batched_products():
  assert count(tf.matmul, (7, 2, 3), (7, 3, 5))['matmul'] == 7 * 2 * 2 * 3 * 5
  assert count(
      lambda a, b: tf.matmul(a, b, adjoint_a=True),
      (7, 3, 2), (7, 3, 5))['matmul'] == 7 * 2 * 2 * 3 * 5


def test_gradients_of_a_product_are_two_more():
  product = 2 * 2 * 3 * 5
  assert count(gradients(tf.matmul), (2, 3), (3, 5))['matmul'] == 3 * product


def test_a_convolution_and_its_gradients_take_the_same():
  # From 8x8x3 with 4x4 kernels and stride 2 to 3x3x6, without padding.
  shapes = [(10, 8, 8, 3), (4, 4, 3, 6)]
  conv = lambda x, w: tf.nn.conv2d(x, w, 2, 'VALID')
  forward = 2 * 10 * 3 * 3 * 6 * 4 * 4 * 3
  assert count(conv, *shapes) == {'conv': forward, 'matmul': 0}
  assert count(gradients(conv), *shapes) == {'conv': 3 * forward, 'matmul': 0}


def test_a_transposed_convolution_counts_by_its_input():
  # From 3x3x6 to 8x8x3.
  conv = lambda x, w: tf.nn.conv2d_transpose(x, w, (10, 8, 8, 3), 2, 'VALID')
  assert count(conv, (10, 3, 3, 6), (4, 4, 3, 6)) == {
      'conv': 2 * 10 * 3 * 3 * 6 * 4 * 4 * 3, 'matmul': 0}


def scan(xs, w):
  return tf.scan(lambda s, x: tf.tanh(s @ w) + x, xs, tf.ones([3, 4]))


def test_loops_count_for_each_iteration():
  product = 2 * 3 * 4 * 4
  assert count(scan, (5, 3, 4), (4, 4))['matmul'] == 5 * product
  # Backwards, one product to the state and one to the weight.
  assert count(gradients(scan), (5, 3, 4), (4, 4))['matmul'] == 15 * product


def test_a_loop_in_a_called_function_in_a_loop():
  called = tf.function(scan)
  outer = lambda xs, w: tf.scan(
      lambda s, x: called(x, w)[-1] + s, xs, tf.zeros([3, 4]))
  assert count(
      outer, (2, 5, 3, 4), (4, 4))['matmul'] == 2 * 5 * 2 * 3 * 4 * 4


def test_a_gradient_runs_as_often_as_its_loop():
  def loop(x, w):
    body = lambda i, x: (i + 1, tf.tanh(x @ w))
    return tf.while_loop(
        lambda i, x: i < 6, body, (0, x), maximum_iterations=6)[1]
  assert count(gradients(loop), (3, 4), (4, 4))['matmul'] == (
      3 * 6 * 2 * 3 * 4 * 4)


def test_what_is_not_needed_does_not_count():
  def function(a, b):
    tf.matmul(b, a)
    return a @ b
  assert count(function, (2, 3), (3, 2))['matmul'] == 2 * 2 * 3 * 2


def test_unknown_sizes_are_refused():
  with pytest.raises(ValueError, match=r'shape \(None, 3\) is not known'):
    count(tf.matmul, (None, 3), (3, 5))
  loop = lambda x, w: tf.while_loop(
      lambda x: tf.reduce_sum(x) < 9, lambda x: (x @ w,), (x,))
  with pytest.raises(ValueError, match='number of iterations is unknown'):
    count(loop, (3, 4), (4, 4))
