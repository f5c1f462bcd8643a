"""TensorFlow helpers that every network uses.

Shape letters, used in all docstrings: B batch, T time, H horizon, N = B * T
(or environments in the policy), S latent variables, C classes of each, D
deterministic state, E embedding, F features (stochastic and deterministic
state together), A action. World-model tensors are [B, T, ...], imagined ones
[H + 1, N, ...]. Steps are environment steps before action repeat unless said
otherwise.
"""

from collections.abc import Callable, Mapping
import contextlib
from typing import Any

import numpy as np
import tensorflow as tf

from .errors import ConfigError, StateError

PRECISIONS = {'32': tf.float32, '16': tf.float16, 'bf16': tf.bfloat16}

sg = tf.stop_gradient

Settings = Mapping[str, Any]  # A group of settings, such as `config.rssm`.


def has_gpu() -> bool:
  """Returns whether TensorFlow sees a GPU."""
  return bool(tf.config.list_physical_devices('GPU'))


def prepare_gpus() -> bool:
  """Makes TensorFlow take GPU memory as it needs it; returns if there is any.

  Call it before the first tensor is made.
  """
  for gpu in tf.config.list_physical_devices('GPU'):
    with contextlib.suppress(RuntimeError):  # TensorFlow is in use already.
      tf.config.experimental.set_memory_growth(gpu, True)
  return has_gpu()


class Module(tf.Module):
  """A tf.Module whose variables have readable paths.

  A path joins the names of the public attributes, and keys of dicts, that lead
  to a variable: `world_model/rssm/img_in/kernel`. Weights are floating; integer
  variables are counters. Optimizers keep theirs to themselves.
  """

  def named_variables(self) -> dict[str, tf.Variable]:
    """Returns path -> variable in the order of definition."""
    public = {k: v for k, v in vars(self).items() if not k.startswith('_')}
    return dict(_walk(public, ''))

  def get_weights(self) -> dict[str, np.ndarray]:
    """Returns path -> array of all network variables."""
    return {k: v.numpy() for k, v in self.named_variables().items()}

  def set_weights(self, weights: dict[str, np.ndarray]) -> None:
    """Sets all network variables from a dictionary of paths.

    Args:
      weights: path -> array; exactly the paths and shapes of `get_weights`.

    Raises:
      StateError: a path is missing, unknown or of another shape; no variable
        was changed.
    """
    variables = self.named_variables()
    wrong = [f'{k}: missing' for k in variables if k not in weights]
    wrong += [f'{k}: unknown' for k in weights if k not in variables]
    wrong += [
        f'{k}: expected {tuple(v.shape)}, got {np.shape(weights[k])}'
        for k, v in variables.items()
        if k in weights and tuple(v.shape) != np.shape(weights[k])]
    if wrong:
      more = f' and {len(wrong) - 8} more' if len(wrong) > 8 else ''
      raise StateError(
          'These weights belong to another architecture: '
          + '; '.join(wrong[:8]) + more + '. Nothing was changed.')
    for key, variable in variables.items():
      variable.assign(np.asarray(weights[key], variable.dtype.as_numpy_dtype))


def _walk(tree: Any, prefix: str):
  for name, value in tree.items():
    path = f'{prefix}{name}'
    if isinstance(value, tf.Variable):
      if value.dtype.is_floating:
        yield path, value
    elif isinstance(value, Module):
      for tail, variable in value.named_variables().items():
        yield f'{path}/{tail}', variable
    elif isinstance(value, dict):
      yield from _walk(value, path + '/')
    elif isinstance(value, (list, tuple)):  # dense: dense0, dense1, ...
      yield from _walk({f'{path}{i}': x for i, x in enumerate(value)}, '')


def compute_dtype(precision: int | str) -> tf.DType:
  """Returns the dtype in which networks compute: float32, float16, bfloat16.

  Args:
    precision: the configuration's `precision`: 32, 16, bf16 or auto.

  Raises:
    ConfigError: another value.
  """
  try:
    return PRECISIONS[str(settled(precision))]
  except KeyError:
    raise ConfigError(
        f"precision must be 32, 16, bf16 or auto but is '{precision}'."
    ) from None


def settled(precision: int | str) -> int | str:
  """Returns what `auto` stands for on this machine; other values as given."""
  if precision == 'auto':
    return 16 if has_gpu() else 32
  return precision


def scan(fn: Callable, inputs: Any, start: Any) -> Any:
  """Applies `last = fn(last, inputs[t])` over time as one TensorFlow loop.

  One or two steps are no loop: what nobody asks for of them is left out.

  Args:
    fn: maps (state, slice of the inputs) to a state of the same structure.
    inputs: nested tensors, [T, ...].
    start: nested tensors; the state before the first step.

  Returns:
    The states after each step, nested tensors, [T, ...].
  """
  length = tf.nest.flatten(inputs)[0].shape[0]
  if length is None or length > 2:
    return tf.scan(fn, inputs, start, parallel_iterations=1)
  states = [start]
  for t in range(length):
    states.append(fn(states[-1], tf.nest.map_structure(
        lambda x, t=t: x[t], inputs)))
  return tf.nest.map_structure(lambda *xs: tf.stack(xs), *states[1:])


def swap(x: Any) -> Any:
  """Swaps batch and time: [B, T, ...] <-> [T, B, ...], nested."""
  return tf.nest.map_structure(
      lambda t: tf.transpose(t, [1, 0] + list(range(2, t.shape.rank))), x)


def flatten(x: Any) -> Any:
  """Merges batch and time: [B, T, ...] -> [B * T, ...], nested."""
  return tf.nest.map_structure(
      lambda t: tf.reshape(t, [-1] + t.shape[2:].as_list()), x)


def split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
  """Splits a stateless seed, [2] int, into independent ones."""
  return tf.unstack(tf.random.split(seed, count))


def fold(seed: int, tag: int, count: tf.Tensor) -> tf.Tensor:
  """Makes the seed of one call.

  Args:
    seed: of the run, int32.
    tag: another for each kind of call.
    count: [], integer; calls of this kind so far.

  Returns:
    [2], int32.
  """
  return tf.random.fold_in(
      tf.constant([seed, tag], tf.int32), tf.cast(count, tf.int32))


def tensors(data: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
  """Converts what networks may read: all keys but those of `log_`."""
  return {
      k: tf.convert_to_tensor(v) for k, v in data.items()
      if not k.startswith('log_')}


def to_arrays(name: str, tree: Any) -> dict[str, np.ndarray]:
  """Names the tensors of a nested structure, to be stored.

  Args:
    name: prefix of the names.
    tree: tensors in nested dicts and NamedTuples; None for nothing.

  Returns:
    Arrays of types that NumPy knows, by paths such as `name/latent/deter`:
    half precision becomes float32.
  """
  result = {}
  for path, tensor in _leaves(tree, name):
    if tensor is not None:
      if tensor.dtype.is_floating:
        tensor = tf.cast(tensor, tf.float32)
      result[path] = tensor.numpy()
  return result


def from_arrays(
    name: str, arrays: Mapping[str, np.ndarray], template: Any) -> Any:
  """Undoes `to_arrays`.

  Args:
    name: prefix of the names.
    arrays: of `to_arrays`, among others; earlier versions had the number of a
      tensor, in the order of sorted keys, in place of its path.
    template: nested tensors of the same structure, shapes and dtypes.

  Returns:
    Nested tensors; None if there were none, or of other shapes.
  """
  leaves = dict(_leaves(template, name))
  names = {path: path for path in leaves}
  if f'{name}_0' in arrays:
    names = {path: f'{name}_{i}' for i, path in enumerate(leaves)}
  if any(
      names[path] not in arrays or arrays[names[path]].shape != t.shape
      for path, t in leaves.items()):
    return None
  return _fill(template, name, {
      path: tf.cast(arrays[names[path]], t.dtype)
      for path, t in leaves.items()})


def _children(tree):
  """Returns the parts of a dict or NamedTuple by name, None of a leaf."""
  if hasattr(tree, '_asdict'):
    return tree._asdict()
  return tree if isinstance(tree, Mapping) else None


def _leaves(tree, path):
  """Yields (path, leaf), sorted by the names at each level."""
  children = _children(tree)
  if children is None:
    yield path, tree
    return
  for key in sorted(children):
    yield from _leaves(children[key], f'{path}/{key}')


def _fill(tree, path, leaves):
  """Returns the structure of a tree with other leaves."""
  children = _children(tree)
  if children is None:
    return leaves[path]
  children = {
      key: _fill(x, f'{path}/{key}', leaves) for key, x in children.items()}
  return type(tree)(**children) if hasattr(tree, '_asdict') else children
