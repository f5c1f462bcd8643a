"""Faults 42 and 44: values that are not finite, in training and on disk."""

import json
import shutil

import numpy as np
import pytest
import runs
import tensorflow as tf

from dreamerv2_tf import errors
from dreamerv2_tf.run.checkpoint import Checkpoints

LEARN = (
    *runs.TOY, '--eval_every', 0, '--log_every', 0, '--checkpoint_every', 25,
    '--train_every', 2, '--envs_parallel', 'none')


def failure(logdir):
  return json.loads((logdir / 'failure.json').read_text())


@pytest.fixture(scope='module')
def diverged(tmp_path_factory):
  """A run whose loss became NaN soon after step 60."""
  logdir = tmp_path_factory.mktemp('diverged') / 'run'
  assert runs.here(logdir, *LEARN, '--critic_opt.lr', 1e30) == 5
  return logdir


@pytest.mark.fault(42)
def test_nan_loss_ends_the_run_without_a_checkpoint(diverged):
  record = failure(diverged)
  assert 'loss: NaN or infinite' in record['message']
  assert 'Lower the learning rates' in record['message']
  assert (record['exit_code'], record['error']) == (5, 'NonFiniteError')
  assert record['step'] >= 60
  assert runs.newest(diverged).step == 50
  [batch] = (diverged / 'nan').glob('batch-*.npz')
  [metrics] = (diverged / 'nan').glob('metrics-*.json')
  with np.load(batch) as data:
    assert data['vector'].shape == (4, 8, 3)
  assert 'model_loss' in json.loads(metrics.read_text())


@pytest.mark.minutes
@pytest.mark.fault(42)
@pytest.mark.fault(48)
def test_a_run_goes_on_with_the_learning_rate_of_now(
    diverged, train, finishes, tmp_path):
  logdir = shutil.copytree(diverged, tmp_path / 'run')
  finishes(*LEARN, '--critic_opt.lr', 1e-4, '--steps', 75)
  reached = runs.newest(logdir).step
  assert reached >= 75
  line = train(5, *LEARN, '--critic_opt.lr', 1e30, '--steps', 90)
  assert 'Lower the learning rates' in line
  assert runs.newest(logdir).step == reached
  finishes(*LEARN, '--critic_opt.lr', 1e-4, '--steps', 90)


@pytest.mark.minutes
@pytest.mark.fault(42)
def test_overflows_of_float16_are_skipped_up_to_a_number(
    train, finishes, tmp_path):
  flags = [*LEARN, '--precision', 16, '--steps', 70]
  line = train(
      5, *flags, '--loss_scales.reward', 1e30, '--max_skipped_updates', 2)
  assert 'gradient: NaN or infinite in 3 float16 steps in a row' in line
  assert runs.newest(tmp_path / 'run').step == 50
  finishes(*flags, '--max_skipped_updates', 2)  # The first step overflows.


class Net(tf.Module):
  """Two variables."""

  def __init__(self, kernel, bias=0.0):
    super().__init__()
    self.kernel = tf.Variable(tf.fill([3, 4], float(kernel)))
    self.bias = tf.Variable(float(bias))


@pytest.fixture
def store(tmp_path):
  return Checkpoints(tmp_path / 'checkpoints')


@pytest.mark.fault(44)
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_untouched(store, value):
  store.save(1, Net(value), {})
  net = Net(3.0, 4.0)
  with pytest.raises(
      errors.StateError, match='NaN or infinite values in kernel. Use an old'):
    store.restore(store.newest(), net)
  assert np.unique(net.kernel) == 3 and float(net.bias) == 4


@pytest.mark.fault(44)
def test_altered_and_signed_weights(store):
  store.save(1, Net(1), {})
  [path] = store.newest().path.glob('variables.data-*')
  data = path.read_bytes()
  path.write_bytes(data.replace(
      np.float32(1).tobytes() * 12, np.float32(np.nan).tobytes() * 12))
  assert path.read_bytes() != data
  runs.resign(path.parent)
  with pytest.raises(errors.StateError, match='NaN|Can not read'):
    store.restore(store.newest(), Net(0))


@pytest.mark.fault(44)
def test_memories_that_are_not_finite_are_refused(store):
  arrays = {'policy_0': np.float32([[1, np.nan]]), 'carry_0': np.arange(3)}
  store.save(1, Net(1), {}, arrays)
  with pytest.raises(errors.StateError, match='infinite values in policy_0. U'):
    _ = store.newest().arrays


def rewrite(path, name, value):
  """Changes a variable of a checkpoint as TensorFlow would have saved it."""
  prefix = str(path / 'variables')
  reader = tf.train.load_checkpoint(prefix)
  tensors = {
      key: reader.get_tensor(key)
      for key in reader.get_variable_to_shape_map()}
  [key] = [key for key in tensors if key.startswith(f'agent/{name}/.ATTRIBU')]
  tensors[key] = np.full_like(tensors[key], value)
  tf.raw_ops.SaveV2(
      prefix=prefix, tensor_names=list(tensors),
      shape_and_slices=[''] * len(tensors), tensors=list(tensors.values()))
  runs.resign(path)


@pytest.mark.fault(44)
def test_a_run_with_nan_in_its_checkpoint_changes_nothing(
    collected, train, collect, finishes):
  path = runs.newest(collected).path
  rewrite(path, 'world_model/rssm/img_in/kernel', np.nan)
  before = runs.tree(collected)
  line = train(3, *collect, '--steps', 80, logdir=collected)
  assert line == (
      f'error: Checkpoint {path} holds NaN or infinite values in '
      'world_model/rssm/img_in/kernel. Use an older one.')
  assert runs.tree(collected, 'failure.json') == before
  shutil.rmtree(path)
  finishes(*collect, '--steps', 80)


@pytest.mark.fault(44)
@pytest.mark.parametrize('key', ['best', 'seconds'])
def test_a_state_with_nan_is_refused(key, collected, train, collect):
  path = runs.newest(collected).path
  state = json.loads((path / 'state.json').read_text())
  (path / 'state.json').write_text(json.dumps({**state, key: float('nan')}))
  runs.resign(path)
  line = train(3, *collect, '--steps', 80, logdir=collected)
  assert f"TypeError: '{key}' is nan. Move it away" in line
