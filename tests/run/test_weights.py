"""Weights in place of checkpoints: what acts, and what is refused."""

import json
import pickle
import shutil

import numpy as np
import pytest
import runs

from dreamerv2_tf import cli
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError, StateError
from dreamerv2_tf.run import loading, weights


class Holder:
  """Stands for an agent: two arrays that are set or not."""

  def __init__(self, **arrays):
    self.arrays = arrays

  def get_weights(self):
    return self.arrays

  def set_weights(self, arrays):
    if {k: v.shape for k, v in arrays.items()} != {
        k: v.shape for k, v in self.arrays.items()}:
      raise StateError('These weights belong to another architecture.')
    self.arrays = arrays


@pytest.fixture
def holder():
  return Holder(a=np.float32([1, 2]), b=np.float64(3))


@pytest.fixture(scope='module')
def agent(highway):
  return loading.load_agent(highway['highway_kinematics'])[0]


@pytest.fixture(scope='module')
def packed(highway, agent, tmp_path_factory):
  """Type of the stored weights to a folder of the agent."""
  logdir, folders = highway['highway_kinematics'], {}
  for dtype in weights.DTYPES:
    folders[dtype] = tmp_path_factory.mktemp(dtype)
    shutil.copy(logdir / 'config.yaml', folders[dtype])
    weights.save(folders[dtype], agent, dtype)
    (folders[dtype] / 'card.json').write_text('{"step": 200}')
  return folders


def test_float32_acts_bit_for_bit_as_the_run(packed, agent, highway):
  loaded, config, step = loading.load_agent(packed['float32'])
  assert step == 200
  assert config == Config.load(highway['highway_kinematics'] / 'config.yaml')
  theirs, ours = agent.get_weights(), loaded.get_weights()
  assert set(theirs) == set(ours)
  assert all(np.array_equal(theirs[key], ours[key]) for key in theirs)
  state = other = None
  for obs in np.random.default_rng(0).normal(size=[6, 5, 5]):
    obs = obs.astype(np.float32)
    one, state = agent.act(obs, state)
    two, other = loaded.act(obs, other)
    assert one == two
    for key, value in state.latent.items():
      assert np.array_equal(value, other.latent[key]), key


def test_float16_acts_nearly_as_the_run(packed, agent):
  loaded, _, _ = loading.load_agent(packed['float16'])
  feat = np.random.default_rng(0).normal(
      size=[50, agent.world_model.rssm.dim]).astype(np.float32)
  probs = [x.actor_critic.actor(feat).probs_parameter().numpy()
           for x in (agent, loaded)]
  assert 0 < np.abs(probs[0] - probs[1]).max() < 1e-3
  size = lambda dtype: (packed[dtype] / 'weights.npz').stat().st_size
  assert size('float16') < 0.7 * size('float32')


def test_dreams_need_nothing_else(packed):
  loaded, _, _ = loading.load_agent(
      packed['float16'], overrides=['--eval_lookahead.depth', '2'])
  assert loaded.act(np.zeros([5, 5], np.float32))[0] in range(5)


def test_other_networks_are_refused(packed):
  with pytest.raises(StateError, match='weights.npz: These weights belong to'):
    loading.load_agent(packed['float32'], overrides=['--rssm.deter', '16'])


def test_there_are_no_checkpoints(packed):
  with pytest.raises(ConfigError, match="no checkpoint 'best'. Leave"):
    loading.load_agent(packed['float32'], 'best')


def test_training_can_not_go_on(packed, capsys):
  before = runs.tree(packed['float32'])
  assert cli.main(['--logdir', str(packed['float32'])]) == 3
  assert 'holds the networks of an agent without' in capsys.readouterr().err
  assert runs.tree(packed['float32']) == before


def test_checkpoints_go_before_weights(packed, highway, tmp_path):
  shutil.copytree(packed['float32'], tmp_path / 'a')
  assert weights.held(tmp_path / 'a')
  (tmp_path / 'a' / 'checkpoints').mkdir()
  assert not weights.held(tmp_path / 'a')
  assert not weights.held(highway['highway_kinematics'])


def test_types_of_stored_numbers(holder, tmp_path):
  weights.save(tmp_path, holder, 'float16')
  with np.load(tmp_path / 'weights.npz', allow_pickle=False) as data:
    assert data['a'].dtype == np.float16 and data['b'].dtype == np.float64
  other = Holder(a=np.zeros(2), b=np.float64(0))
  weights.restore(tmp_path, other)
  np.testing.assert_array_equal(other.arrays['a'], [1, 2])
  assert other.arrays['b'] == 3


def test_behaviours_that_explore_are_left_out(tmp_path):
  weights.save(tmp_path, Holder(
      **{'actor/a': np.float32([1]), 'explorer/actor/a': np.float32([2])}))
  with np.load(tmp_path / 'weights.npz') as data:
    assert data.files == ['actor/a']


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e5])
def test_only_finite_numbers_are_written(value, tmp_path):
  with pytest.raises(StateError, match='not finite numbers in a'):
    weights.save(tmp_path, Holder(a=np.float32([1, value])), 'float16')
  assert list(tmp_path.iterdir()) == []


def npz(**arrays):
  def write(path):
    np.savez(path, **arrays)
  return write


def flip(path):
  """Changes a byte of an array."""
  np.savez(path, a=np.float32([1, 2]), b=np.float64(3))
  data = bytearray(path.read_bytes())
  place = data.index(np.float32([1, 2]).tobytes())
  data[place] ^= 1
  path.write_bytes(data)


@pytest.mark.parametrize('write, text', [
    (npz(a=np.float32([1, np.nan]), b=np.float64(3)), 'finite numbers in a'),
    (npz(a=np.array([1, 2]), b=np.float64(3)), 'not finite numbers in a'),
    (npz(a=np.array(['x', 'y']), b=np.float64(3)), 'not finite numbers in a'),
    (npz(a=np.float32([1]), b=np.float64(3)), 'another architecture'),
    (npz(a=np.float32([1, 2])), 'another architecture'),
    (npz(a=np.array([{}, {}]), b=np.float64(3)), 'Can not read'),
    (lambda path: path.write_bytes(pickle.dumps([1])), 'Can not read'),
    (lambda path: path.write_bytes(b''), 'Can not read'),
    (lambda path: path.write_bytes(b'PK\3\4 no archive'), 'Can not read'),
    (lambda path: np.save(path.open('wb'), np.zeros(3)), 'Can not read'),
    (flip, 'Can not read'),
    (lambda path: path.mkdir(), 'Can not read'),
    (lambda path: None, 'Can not read .*No such file')])
def test_damaged_files_change_nothing(write, text, holder, tmp_path):
  write(tmp_path / 'weights.npz')
  with pytest.raises(StateError, match=text):
    weights.restore(tmp_path, holder)
  np.testing.assert_array_equal(holder.arrays['a'], [1, 2])


def test_observations_keep_the_order_of_the_card(packed, agent, tmp_path):
  folder = shutil.copytree(packed['float32'], tmp_path / 'agent')
  names = list(agent.obs_space)[::-1]
  card = {'step': 200, 'observations': names}
  (folder / 'card.json').write_text(json.dumps(card))
  loaded, _, _ = loading.load_agent(folder)
  assert list(loaded.obs_space) == names != list(agent.obs_space)


@pytest.mark.parametrize('content', [
    None, '', '[]', '{}', '{"step": "3"}', '{"step": -1}', '{"step": true}',
    '{"step": 1.5}', '\xff'])
def test_a_damaged_card_is_one_line(content, tmp_path):
  if content is not None:
    (tmp_path / 'card.json').write_bytes(content.encode('latin-1'))
  with pytest.raises(StateError, match='Can not read .*card.json: ') as info:
    weights.read_card(tmp_path)
  assert '\n' not in str(info.value)


def test_an_evaluation_of_a_folder_is_that_of_the_run(
    packed, highway, capsys, tmp_path):
  folder = shutil.copytree(packed['float32'], tmp_path / 'agent')
  lines = []
  for logdir in folder, highway['highway_kinematics']:
    assert cli.main([
        'eval', '--logdir', str(logdir), '--episodes', '2', '--seed', '40000',
        '--envs', '1', '--json']) == 0
    lines.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
  assert lines[0] == {**lines[1], 'step': 200}
  assert (folder / 'eval-200-40000-2.json').is_file()
