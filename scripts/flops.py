"""Counts the arithmetic of a traced TensorFlow function.

A multiplication and an addition count as two. Only matrix products and
convolutions count: the rest is small beside them. Products with padding or
with sparse matrices count as if all values were there.
"""

import math
from typing import Any

import tensorflow as tf

MATMUL = ('MatMul', '_FusedMatMul', 'SparseMatMul')
BATCH_MATMUL = ('BatchMatMul', 'BatchMatMulV2', 'BatchMatMulV3')
CONV = ('Conv2D', '_FusedConv2D', 'Conv2DBackpropInput', 'Conv2DBackpropFilter')
LOOP = ('While', 'StatelessWhile')
CALL = ('PartitionedCall', 'StatefulPartitionedCall')


def count(graph: Any) -> dict[str, int]:
  """Adds up what one call of a function computes.

  Args:
    graph: of a concrete function; all shapes and numbers of iterations are
      known.

  Returns:
    conv, matmul: floating-point operations of convolutions and of products.

  Raises:
    ValueError: a shape or a number of iterations is unknown.
  """
  return _count(graph, {})


def _count(graph, given):
  """Counts in a graph whose inputs, by name, have the given values."""
  total = {'conv': 0, 'matmul': 0}
  for op in _needed(graph):
    if op.type in LOOP:
      parts, times = _inside(op, 'body', given), _iterations(op, given)
    elif op.type in CALL:
      parts, times = _inside(op, 'f', given), 1
    else:
      parts, times = _own(op), 1
    for kind, flop in parts.items():
      total[kind] += times * flop
  return total


def _needed(graph):
  """Returns the operations that outputs and side effects depend on."""
  waiting = [x.op for x in graph.outputs] + list(graph.control_outputs)
  found = {}
  while waiting:
    op = waiting.pop()
    if op.name not in found:
      found[op.name] = op
      waiting += [x.op for x in op.inputs] + list(op.control_inputs)
  return found.values()


def _inside(op, name, given):
  graph = op.graph._get_function(op.get_attr(name).name).graph
  values = {
      inner.name: _value(outer, given)
      for inner, outer in zip(graph.inputs, op.inputs)}
  if op.type in LOOP:  # The counter changes.
    del values[graph.inputs[0].name]
  return _count(graph, values)


def _iterations(op, given):
  """Returns how often a loop of `tf.while_loop` runs.

  Its inputs are a counter, the limit and, in the loop of a gradient, the
  counter of the loop that it is of; the limit is -1 if there is none.
  """
  limit = _value(op.inputs[1], given)
  if limit is not None and limit >= 0:
    return int(limit)
  source = op.inputs[2]
  if source.op.type in LOOP and source is source.op.outputs[0]:
    return _iterations(source.op, given)
  raise ValueError(
      f'{op.name}: the number of iterations is unknown; give the loop '
      'maximum_iterations.')


def _value(tensor, given):
  while tensor.op.type == 'Identity':
    tensor = tensor.op.inputs[0]
  return given.get(tensor.name, tf.get_static_value(tensor))


def _own(op):
  shape = lambda tensor: _shape(op, tensor)
  if op.type in MATMUL:
    inner = shape(op.inputs[0])[0 if op.get_attr('transpose_a') else 1]
    return {'matmul': 2 * math.prod(shape(op.outputs[0])) * inner}
  if op.type in BATCH_MATMUL:
    inner = shape(op.inputs[0])[-2 if op.get_attr('adj_x') else -1]
    return {'matmul': 2 * math.prod(shape(op.outputs[0])) * inner}
  if op.type in CONV:
    # All three multiply each value of the result with a filter's, where the
    # result is that of the forward convolution.
    if op.type == 'Conv2DBackpropInput':
      kernel, result = op.inputs[1], op.inputs[2]
    elif op.type == 'Conv2DBackpropFilter':
      kernel, result = op.outputs[0], op.inputs[2]
    else:
      kernel, result = op.inputs[1], op.outputs[0]
    return {'conv': 2 * math.prod(shape(result)) * math.prod(
        shape(kernel)[:3])}
  return {}


def _shape(op, tensor):
  if not tensor.shape.is_fully_defined():
    raise ValueError(f'{op.name}: the shape {tensor.shape} is not known.')
  return tensor.shape.as_list()
