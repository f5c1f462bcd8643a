"""`dv2.export`: a folder that loads anywhere, with a card for the hub."""

import json
import shutil

import numpy as np
import pytest
import runs
import toys

import dreamerv2_tf as dv2
from dreamerv2_tf import cli, pretrained, yamlfile
from dreamerv2_tf.run import export


def metadata(text):
  """Returns what stands between the two lines of dashes that begin a text."""
  empty, head, rest = text.split('---\n', 2)
  assert not empty
  return yamlfile.parse(head), rest


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run in an environment without a name."""
  folder = tmp_path_factory.mktemp('export') / 'run'
  dv2.train(lambda: toys.Image(length=6), dv2.resolve(['debug'], [
      '--steps', '24', '--prefill', '18', '--train_every', '6', '--envs', '1',
      '--envs_parallel', 'none', '--eval_every', '6', '--eval_eps', '2',
      '--deterministic', 'False', '--logdir', str(folder)]))
  return folder


def test_a_run_becomes_a_folder_that_acts_the_same_elsewhere(run, tmp_path):
  made = dv2.export(run, tmp_path / 'driver', env=toys.Image())
  assert made == tmp_path / 'driver'
  assert sorted(x.name for x in made.iterdir()) == [
      'README.md', 'card.json', 'config.yaml', 'weights.npz']
  moved = shutil.move(made, tmp_path / 'elsewhere')
  ours = dv2.load(moved, env=toys.Image())
  theirs = dv2.load(run, env=toys.Image())
  weights = ours.get_weights()
  for key, value in theirs.get_weights().items():
    np.testing.assert_array_equal(
        weights[key], value.astype(np.float16).astype(value.dtype), key)
  obs, _ = toys.Image().reset(seed=0)
  assert ours.act(obs)[0] in (0, 1)
  assert str(tmp_path) not in ''.join(
      x.read_text() for x in (tmp_path / 'elsewhere').glob('*[!z]'))


def test_the_card_has_the_score_of_the_run(run, tmp_path):
  record, = [json.loads(x.read_text()) for x in run.glob('eval-24-*.json')]
  folder = dv2.export(
      run, tmp_path / 'deep' / 'driver', env=toys.Image(), dtype='float32')
  meta, text = metadata((folder / 'README.md').read_text())
  assert meta['library_name'] == 'dreamerv2_tf' and 'custom' in meta['tags']
  result, = meta['model-index'][0]['results']
  assert result['metrics'][0] == {
      'type': 'mean_reward', 'name': 'mean_reward', 'verified': False,
      'value': f"{record['return_mean']:.2f} +/- {record['return_std']:.2f}"}
  assert text.startswith('# driver\n')
  assert '2 episodes, scenarios 20000 to 20001' in text
  assert 'dv2.load(FOLDER, env=env)' in text and 'float16' not in text
  card = json.loads((folder / 'card.json').read_text())
  assert card['step'] == 24 and 'per_episode' not in card['evaluations'][0]


def test_scores_that_are_given_go_before(run, tmp_path):
  agent = dv2.load(run, env=toys.Image())
  scores = dv2.evaluate(agent, lambda: toys.Image(length=4), 3, seed=5, envs=1)
  folder = dv2.export(
      run, tmp_path / 'a', env=toys.Image(), name='mine', scores=scores)
  meta, text = metadata((folder / 'README.md').read_text())
  assert meta['model-index'][0]['name'] == 'mine'
  assert text.startswith('# mine\n') and '3 episodes, scenarios 5 to 7' in text
  assert '- length 4.0 steps' in text


def test_a_shipped_agent_can_be_exported_and_evaluated(tmp_path, capsys):
  folder = dv2.export('highway_kinematics', tmp_path / 'driver')
  before = runs.tree(folder)
  assert cli.main([
      'eval', '--logdir', str(folder), '--episodes', '1',
      '--env.config.duration', '2', '--json']) == 0
  assert capsys.readouterr().out
  meta, text = metadata((folder / 'README.md').read_text())
  assert meta['tags'][-1] == 'highway-fast-v0'
  assert [x['type'] for x in meta['model-index'][0]['results'][0][
      'metrics']] == ['mean_reward', 'crash_rate']
  assert '100 episodes, scenarios 10000 to 10099' in text
  assert 'dv2.load(FOLDER)' in text
  assert before.items() <= runs.tree(folder).items()


def test_cards_of_the_package_have_the_metadata():
  assert pretrained.names()
  for name in pretrained.names():
    folder = pretrained.find(name)
    card = json.loads((folder / 'card.json').read_text())
    meta, text = metadata((folder / 'card.md').read_text())
    expected = export.front_matter(name, card['task'], card['evaluations'][0])
    assert meta == yamlfile.parse(expected.strip('-\n'))
    assert text.startswith(f'# {name}\n')


def test_without_scores_there_is_no_index():
  meta, _ = metadata(export.front_matter('a: b', 'gym_CartPole-v1'))
  assert 'model-index' not in meta and meta['tags'][-1] == 'CartPole-v1'
  record = {'return_mean': 1.0, 'return_std': 0.5}
  meta, _ = metadata(export.front_matter('a: #b', 'gym_m:Id-v0', record))
  assert meta['model-index'][0]['name'] == 'a: #b'
  assert meta['model-index'][0]['results'][0]['dataset']['name'] == 'm:Id-v0'


@pytest.mark.parametrize('options, text', [
    ({'dtype': 'int8'}, "must be one of float32, float16 but is 'int8'"),
    ({'scores': 5}, 'scores must be what evaluate returns, but is 5'),
    ({'checkpoint': 'best', 'dtype': 'x'}, 'must be one of')])
def test_wrong_arguments_write_nothing(run, options, text, tmp_path):
  with pytest.raises(dv2.ConfigError) as info:
    dv2.export(run, tmp_path / 'a', env=toys.Image(), **options)
  assert text in str(info.value) and list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(run, tmp_path):
  (tmp_path / 'mine').touch()
  with pytest.raises(dv2.ConfigError, match='is not empty. Give a new folder'):
    dv2.export(run, tmp_path, env=toys.Image())
  with pytest.raises(dv2.StorageError, match='Can not write'):
    dv2.export(run, tmp_path / 'mine' / 'a', env=toys.Image())
  assert [x.name for x in tmp_path.iterdir()] == ['mine']
