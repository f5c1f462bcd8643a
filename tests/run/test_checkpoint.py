"""A checkpoint is whole and fits, or it is not used."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from saved import Net, fill, flip, folder
import tensorflow as tf

from dreamerv2_tf import errors
from dreamerv2_tf.run import checkpoint


@pytest.fixture
def store(tmp_path):
  return checkpoint.Checkpoints(tmp_path / 'checkpoints')


class TestSaveAndRestore:

  def test_everything_comes_back(self, store):
    net = Net(value=7.0)
    net.rng.normal([5])
    state = {
        'step': 5, 'rng': np.random.default_rng(0).bit_generator.state,
        'best': -np.inf, 'names': ['a', 'ä']}
    arrays = {'x/y': np.arange(5), 'actions': np.array(['l', 'r'])}
    meta = {'config_hash': 'abc', 'spaces': {'image': [[2, 3], 'uint8']}}
    assert store.save(5, net, state, arrays, meta)
    record = store.newest()
    assert record.step == 5
    assert record.state == state
    assert {k: v.tolist() for k, v in record.arrays.items()} == {
        'x/y': [0, 1, 2, 3, 4], 'actions': ['l', 'r']}
    assert record.manifest['config_hash'] == 'abc'
    assert record.manifest['spaces'] == meta['spaces']
    assert record.manifest['versions']['tensorflow'] == tf.__version__
    new = Net()
    store.restore(record, new)
    assert new.values() == net.values()
    np.testing.assert_array_equal(new.rng.normal([5]), net.rng.normal([5]))

  def test_layout(self, store):
    fill(store, 5000)
    assert os.listdir(store._dir) == ['000000005000']
    assert sorted(os.listdir(folder(store, 5000))) == [
        'MANIFEST.json', 'arrays.npz', 'state.json',
        'variables.data-00000-of-00001', 'variables.index']

  def test_variables_by_name(self, store):
    fill(store, 2)
    values = store.find('latest').variables()
    assert sorted(values) == [
        'heads/reward', 'kernel', 'rng/_state_var', 'slots/0']
    np.testing.assert_array_equal(values['kernel'], np.full([3, 4], 2.0))

  def test_same_step_again_replaces(self, store):
    fill(store, 5)
    store.save(5, Net(value=6.0), {'again': True})
    assert store.newest().state == {'again': True}
    assert store.newest().variables()['heads/reward'] == 6
    assert os.listdir(store._dir) == ['000000000005']

  @pytest.mark.parametrize('name', [
      'x [a]=1', '[x]', 'a*b', 'what?', 'back\\slash', '{a,b}', 'ä €', ' ',
      '%s', '$HOME', '-rf', "it's"])
  def test_any_name_of_a_folder(self, tmp_path, name):
    (tmp_path / name).mkdir()
    store = checkpoint.Checkpoints(tmp_path / name / 'checkpoints')
    fill(store, 5, 6)
    store.save(6, Net(value=7.0), {})
    # What such a pattern would find.
    shutil.copytree(tmp_path / name, tmp_path / 'a-b')
    shutil.copytree(tmp_path / name, tmp_path / 'x a=1')
    net = Net()
    store.restore(store.newest(), net)
    assert net.heads['reward'].numpy() == 7
    assert store.find(5).variables()['heads/reward'] == 5
    flip(folder(store, 6) / 'variables.index')
    assert checkpoint.Checkpoints(store._dir).newest().step == 5

  def test_bfloat16_variables(self, store):
    store.save(1, Net(value=2.0, dtype=tf.bfloat16), {})
    new = Net(dtype=tf.bfloat16)
    store.restore(store.newest(), new)
    assert new.heads['reward'].numpy() == 2

  def test_objects_are_not_pickled(self, store):
    with pytest.raises(AssertionError, match='bad'):
      store.save(1, Net(), {}, {'bad': np.array([None])})
    assert not os.listdir(store._dir)


class TestKeep:

  def test_newest_and_best_stay(self, store):
    fill(store, 1)
    store.save(2, Net(), {}, best=True)
    fill(store, 3, 4, 5, 6)
    assert store.steps() == [2, 4, 5, 6]
    assert store.find('best').step == store.best_step() == 2
    store.save(7, Net(), {}, best=True)
    assert store.steps() == [5, 6, 7]
    assert store.find('best').step == 7

  def test_find(self, store):
    with pytest.raises(errors.StateError, match='no checkpoint in .* Train fi'):
      store.find('latest')
    fill(store, 1, 2)
    assert store.find('latest').step == 2
    assert store.find('1').step == store.find(1).step == 1
    with pytest.raises(errors.StateError, match='marked as best yet.*: 1, 2'):
      store.find('best')
    for which in ('7', 'newest'):
      with pytest.raises(errors.StateError, match=f"'{which}'.*step: 1, 2"):
        store.find(which)


class TestFailingDisk:

  def test_no_space_for_the_files(self, tmp_path):
    # A limit on the file size stops TensorFlow's writes as a full disk does.
    code = (
        'import resource, sys, tensorflow as tf\n'
        'from dreamerv2_tf.run import checkpoint\n'
        'store = checkpoint.Checkpoints(sys.argv[1])\n'
        'net = tf.Variable(tf.zeros([200_000]))\n'
        'assert store.save(1, net, {})\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,) * 2)\n'
        'assert not store.save(2, net, {})\n'
        'assert store.failures == 1\n'
        'assert store.newest().step == 1\n')
    subprocess.run(
        [sys.executable, '-c', code, str(tmp_path / 'checkpoints')],
        check=True, env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'})
    assert os.listdir(tmp_path / 'checkpoints') == ['000000000001']

  def test_folder_can_not_be_made(self, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(errors.StorageError, match='Can not write to'):
      checkpoint.Checkpoints(tmp_path / 'file' / 'checkpoints')


def test_the_order_of_observations_is_that_of_the_newest_checkpoint(store):
  space = {'b': 2, 'c': 3, 'a': 1}
  order = lambda: ''.join(checkpoint.newest_observations(
      store._dir, space))
  assert order() == 'abc'  # There is none yet.
  store.save(1, Net(), {}, meta={})
  assert order() == 'bca'  # Of a version that took that of the space.
  store.save(2, Net(), {}, meta={'observations': ['c', 'b', 'a']})
  assert order() == 'cba'
  store.save(3, Net(), {}, meta={'observations': ['a', 'c', 'b']})
  assert order() == 'acb'
  record = store.find(2)
  assert list(checkpoint.observations(record.manifest, space)) == [
      'c', 'b', 'a']
  for harm in '[]', '{"observations": ["b", "a", "c"]}', '':
    (folder(store, 3) / 'MANIFEST.json').write_text(harm)
    assert order() == 'cba'
