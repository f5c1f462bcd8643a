"""Nested tensors as named arrays, and back, whatever a later version adds."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tf import tfutils


def make_tree(start=0, dtype=tf.float32):
  return {
      'latent': {
          'stoch': tf.constant([start + 1.5], dtype),
          'deter': tf.constant([start + 2.5], dtype)},
      'age': tf.constant([start + 3])}


class Memory(NamedTuple):
  latent: dict
  age: tf.Tensor


def plain(tree):
  return tf.nest.map_structure(lambda x: x.numpy().tolist(), tree)


@pytest.mark.parametrize('dtype', [tf.float32, tf.float16, tf.bfloat16])
def test_tensors_are_named_by_their_paths(dtype):
  arrays = tfutils.to_arrays('policy', make_tree(dtype=dtype))
  assert {k: (v.dtype.name, v.tolist()) for k, v in arrays.items()} == {
      'policy/age': ('int32', [3]), 'policy/latent/deter': ('float32', [2.5]),
      'policy/latent/stoch': ('float32', [1.5])}
  arrays['carry/age'] = np.int32([9])
  got = tfutils.from_arrays('policy', arrays, make_tree(7, dtype))
  assert plain(got) == plain(make_tree())
  assert got['latent']['stoch'].dtype == dtype


def test_numbers_of_earlier_versions_are_read():
  arrays = {
      'policy_0': np.int32([3]), 'policy_1': np.float32([2.5]),
      'policy_2': np.float32([1.5])}
  assert plain(tfutils.from_arrays('policy', arrays, make_tree(7))) == plain(
      make_tree())


@pytest.mark.parametrize('numbered', [True, False])
def test_fields_are_named_as_keys_are(numbered):
  arrays = tfutils.to_arrays('policy', Memory(**make_tree()))
  assert list(arrays) == list(tfutils.to_arrays('policy', make_tree()))
  if numbered:  # In the order of names, not of fields.
    arrays = {f'policy_{i}': x for i, x in enumerate(arrays.values())}
  got = tfutils.from_arrays('policy', arrays, Memory(**make_tree(7)))
  assert isinstance(got, Memory) and plain(got._asdict()) == plain(make_tree())


def test_a_seed_depends_on_run_kind_and_count():
  seeds = {
      tuple(tfutils.fold(seed, tag, tf.constant(count, tf.int64)).numpy())
      for seed in (0, 2 ** 31 - 1) for tag in (2, 3) for count in (0, 1)}
  assert len(seeds) == 8


def test_what_is_only_logged_is_no_tensor():
  got = tfutils.tensors({'reward': np.float32([1]), 'log_speed': np.ones(1)})
  assert set(got) == {'reward'} and tf.is_tensor(got['reward'])


def test_another_structure_begins_anew():
  arrays = tfutils.to_arrays('policy', make_tree())
  more = {**make_tree(), 'action': tf.constant([0.5])}
  assert tfutils.from_arrays('policy', arrays, more) is None
  arrays = tfutils.to_arrays('policy', more)
  assert plain(tfutils.from_arrays('policy', arrays, make_tree())) == plain(
      make_tree())
  arrays['policy/age'] = np.int32([3, 4])
  assert tfutils.from_arrays('policy', arrays, make_tree()) is None
  assert tfutils.to_arrays('policy', None) == {}
  assert tfutils.from_arrays('policy', {}, make_tree()) is None


def test_a_tensor_alone_has_the_name_itself():
  arrays = tfutils.to_arrays('carry', tf.constant([2]))
  assert list(arrays) == ['carry']
  assert tfutils.from_arrays('carry', arrays, tf.constant([0])).numpy() == [2]
