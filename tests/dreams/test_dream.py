"""The command, and what is below it, on small runs."""

import json

import numpy as np
from PIL import Image
import pytest
import runs

import dreamerv2_tf as dv2
from dreamerv2_tf import cli
from dreamerv2_tf.dreams import model, show, sources
from dreamerv2_tf.errors import ConfigError

SHORT = ['--env.config.duration', '6']


@pytest.fixture(scope='module')
def loaded(highway):
  from dreamerv2_tf.run import loading
  return loading.load_agent(highway['highway_kinematics'])[0]


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
  """A run of a toy with a vector, two actions and episodes of 7 steps."""
  logdir = tmp_path_factory.mktemp('toy') / 'run'
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(runs.HERE)
    assert runs.here(
        logdir, *runs.TOY, '--steps', 70, '--envs_parallel', 'none') == 0
  return logdir


def foresee(agent, actions, seen, free=None, samples=3, seed=0, shift=0.0):
  """Dreams of noise; `shift` changes the rows from 3 on."""
  rows = 6
  vectors = np.random.default_rng(0).normal(size=[rows, 25])
  vectors[3:] += shift
  episode = {
      'vector': vectors.astype(np.float32),
      'action': np.eye(5, dtype=np.float32)[[0] * rows],
      'reward': np.zeros(rows, np.float32), 'is_first': np.arange(rows) == 0,
      'is_terminal': np.zeros(rows, bool), 'log_speed': np.zeros(rows)}
  free = np.zeros(len(actions), bool) if free is None else np.array(free)
  return model.foresee(
      agent, episode, np.eye(5, dtype=np.float32)[actions], free,
      np.array(seen, bool), samples, seed)


def test_dreams_are_blind_until_they_look(loaded):
  actions, seen = [0] * 8, [1, 1, 1, 0, 0, 0, 0, 0]
  one = foresee(loaded, actions, seen)
  assert one.reward.shape == one.value.shape == (8, 3)
  assert one.observation['vector'].shape == (8, 25)
  other = foresee(loaded, actions, seen, shift=1.0)
  np.testing.assert_array_equal(one.reward, other.reward)
  seen[4] = 1
  one = foresee(loaded, actions, seen)
  other = foresee(loaded, actions, seen, shift=1.0)
  np.testing.assert_array_equal(one.reward[:4], other.reward[:4])
  assert (one.reward[4] != other.reward[4]).any()


def test_dreams_differ_once_actions_do(loaded):
  seen = [1, 1, 0, 0, 0, 0]
  one = foresee(loaded, [0, 0, 3, 3, 1, 1], seen)
  other = foresee(loaded, [0, 0, 3, 3, 4, 1], seen)
  np.testing.assert_array_equal(one.reward[:4], other.reward[:4])
  assert (one.reward[4:] != other.reward[4:]).any(-1).all()
  assert (one.reward != foresee(
      loaded, [0, 0, 3, 3, 1, 1], seen, seed=1).reward).any()


def test_the_agent_acts_in_its_dream(loaded):
  found = foresee(loaded, [0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 1])
  np.testing.assert_array_equal(found.action[2], np.eye(5)[[1] * 3])
  np.testing.assert_array_equal(found.action[3].sum(-1), [1, 1, 1])
  assert set(np.unique(found.action[3])) == {0, 1}


def test_heads_are_asked_as_they_were_trained(loaded):
  found = foresee(loaded, [0] * 4, [1, 1, 0, 0])
  assert (found.goes_on > 0).all() and (found.goes_on <= 1).all()
  assert np.isfinite(found.value).all()


def test_a_run_is_dreamed_of(highway, tmp_path, capsys):
  logdir, out = highway['highway_kinematics'], tmp_path / 'a.gif'
  before = runs.tree(logdir, 'lock')
  assert cli.main([
      'dream', str(logdir), '--context', '2', '--length', '4', '--samples', '2',
      '--actions', 'SLOWER', 'lane_left,agent', '--video', str(out), '--json',
      *SHORT]) == 0
  assert runs.tree(logdir, 'lock') == before
  text, err = capsys.readouterr()
  phases = [line.split('  ', 1)[1].split()[0] for line in err.splitlines()
            if line[2:3] == ':']
  assert phases == ['Dreams', 'Starting', 'Driving', 'Dreaming', 'Drawing']
  *lines, last = text.splitlines()
  record = json.loads(last)
  [scene] = record['scenes']
  assert [x['name'] for x in scene['courses']] == [
      'done', 'SLOWER', 'lane_left,agent']
  assert record['files'] == [str(out), str(tmp_path / 'a.npz')]
  assert max(map(len, lines)) <= max(80, len(lines[-1]))
  with Image.open(out) as gif:
    assert gif.size == (960, 31 + 4 * (26 + 112 + 8) + 3 * 10 + 13)
    # Six rows, five pictures between them, and pauses, which are one each.
    assert 20 <= gif.n_frames <= 26
    duration = 0
    for index in range(gif.n_frames):
      gif.seek(index)
      duration += gif.info['duration']
  assert duration == 100 * (26 + 8 + 19)
  with np.load(tmp_path / 'a.npz') as found:
    assert found['action'][0, 1, 2:].argmax(-1).tolist() == [4] * 4
    assert found['action'][0, 2, 2].argmax() == 0
    # In the units of the environment, in which presence is 1.
    np.testing.assert_allclose(found['truth_vector'][0, :4, 0], 1)
    assert found['seed'].tolist() == [10000]


def test_images_are_dreamed_of(highway, tmp_path, capsys):
  out = tmp_path / 'a.gif'
  assert cli.main([
      'dream', str(highway['highway']), '--context', '2', '--length', '2',
      '--samples', '1', '--actions', 'done', '--video', str(out), *SHORT]) == 0
  with Image.open(out) as gif:
    width, height = gif.size
    assert width in (512, 1034) and height > 2 * 128
    assert gif.n_frames == 4
  assert 'image (if nothing moved)' in capsys.readouterr().out


def test_a_stored_episode_of_numbers_is_dreamed_of(
    toy, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(runs.HERE)
  path = sorted((toy / 'train_episodes').iterdir())[-1]
  assert cli.main([
      'dream', '--logdir', str(toy), '--stored', 'train', '--start', '0', '2',
      '9', '--context', '2', '--length', '3', '--trust']) == 0
  text, err = capsys.readouterr()
  assert f'episode {int(path.name[:12])}: 2 observations' in text
  assert 'from 2 on, then 3 steps' in text
  assert 'Left out: episode' in err and 'begins at 9' in err
  assert 'dream: if 0' in text and 'dream: if 1' in text
  with np.load('dream.npz') as found, np.load(path) as stored:
    assert found['seed'].tolist() == [-1, -1]
    # env.obs_scale is 1e-9.
    np.testing.assert_allclose(
        found['truth_vector'][1], stored['vector'][2:7] * 1e9, rtol=1e-6)
    np.testing.assert_array_equal(
        found['action'][1, 0, 1:], stored['action'][3:7])
  with Image.open('dream.gif') as gif:
    assert gif.n_frames == 10


def test_python_dreams_of_looks(highway, tmp_path):
  [scene] = dv2.dream(
      str(highway['highway_kinematics']), ['done'], seeds=[10001], context=1,
      length=0, look=2, samples=1, overrides=SHORT)
  rows = len(scene.truth['reward'])
  assert scene.seen.tolist() == [i % 3 == 0 for i in range(rows)]
  assert scene.end in ('crash', 'time is up') and scene.seed == 10001
  np.testing.assert_array_equal(
      scene.courses[0].action[1:], scene.truth['action'][1:])
  assert list(tmp_path.iterdir()) == []


def test_errors_of_python_are_plain(highway):
  with pytest.raises(ConfigError, match="Unknown action 'FASTR'"):
    dv2.dream(str(highway['highway_kinematics']), ['FASTR'])
  with pytest.raises(ConfigError, match='video writes a GIF or an MP4'):
    dv2.dream(str(highway['highway_kinematics']), video='a.png')


@pytest.mark.parametrize('words, text', [
    ([], 'dream needs the folder of a run'),
    (['--configs', 'debug'], 'no --configs'),
    (['--context', '0'], "'context' must be at least 1 but is 0"),
    (['--samples', '0'], "'samples' must be at least 1"),
    (['--start', '-1'], "'start' must be steps from 0 on but is [-1]"),
    (['--video', 'no/where.gif'], 'its folder does not exist'),
    (['--video', 'a.avi'], 'writes a GIF or an MP4'),
    (['--npz', 'a.txt'], "--npz must end in .npz but is 'a.txt'"),
    (['--npz', 'no/a.npz'], 'its folder does not exist'),
    (['--npz', 'empty.npz'], "can not write 'empty.npz': it is a folder"),
    (['--fps', '61'], "'fps' must be 0 or from 0.1 to 60 but is 61.0"),
    (['--fps', '1e-9'], "'fps' must be 0 or from 0.1 to 60 but is 1e-09"),
    (['--actions'], "'--actions' needs at least one action"),
    (['--stored', 'eval', '--episodes', '2'], 'give one of them'),
    (['{run}', '--actions', 'FASTR'], "Did you mean 'FASTER'?"),
    (['{run}', '--actions', 'FASTER', '--look', '2'],
     "goes with --actions done alone, not with 'FASTER'"),
    (['{run}', '--checkpoint', '7'], 'has no checkpoint 7. There are '),
    (['{run}', '--stored', 'a.npz'], "There is no file 'a.npz'"),
    (['{run}', '--stored', 'eval', '--context', '90'], 'Lower --context'),
    (['{run}', '--steps', '7'], 'Its length is --length'),
    (['{run}', '--contxt', '7'], "Did you mean 'context'?"),
    (['{empty}'], 'has no checkpoint yet')])
def test_mistakes_are_told_before_tensorflow_is_imported(
    words, text, highway, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(
      show.startup, 'import_tensorflow', lambda: pytest.fail('too late'))
  run = highway['highway_kinematics']
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'empty' / 'config.yaml').write_bytes(
      (run / 'config.yaml').read_bytes())
  (tmp_path / 'empty.npz').mkdir()
  words = [x.format(run=run, empty=tmp_path / 'empty') for x in words]
  assert cli.main(['dream', *words]) == 2 + ('has no checkpoint' in text)
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith('error: ') and text in last
  assert {x.name for x in tmp_path.iterdir()} == {'empty', 'empty.npz'}


def test_an_episode_that_is_too_short_is_told(highway, capsys):
  assert cli.main([
      'dream', str(highway['highway_kinematics']), '--context', '90', *SHORT
  ]) == 2
  assert 'scenario 10000 has ' in capsys.readouterr().err


def test_an_unknown_key_is_told(loaded, highway):
  config = dv2.Config.load(highway['highway_kinematics'] / 'config.yaml')
  env = show.make_env(highway['highway_kinematics'], config, True)
  with pytest.raises(ConfigError, match="Did you mean 'vector'?"):
    show.mean(loaded, env, config, 'vectr')


def test_a_foreign_episode_is_refused(highway, tmp_path):
  run = highway['highway_kinematics']
  path = sources.find(highway['highway'], 'eval')
  env = show.make_env(run, dv2.Config.load(run / 'config.yaml'), True)
  with pytest.raises(ConfigError, match="Can not use '.*'vector' is missing"):
    sources.read(path, env)
  with pytest.raises(ConfigError, match='holds no episode'):
    sources.find(tmp_path, 'train')
  (tmp_path / 'a.npz').touch()
  with pytest.raises(ConfigError, match='is not named as an episode'):
    sources.find(run, str(tmp_path / 'a.npz'))


def test_the_help_names_all_flags(capsys):
  assert cli.main(['help', 'dream']) == 0
  text = capsys.readouterr().out
  for flag in '--actions', '--context 5', '--length 15', '--video dream.gif':
    assert flag in text
