import json
import pathlib
import shutil

import numpy as np
import pytest
import runs

from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.run import evaluate, loading

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'scripts' / 'ship.py'

RECORD = {
    'return_mean': 21.5, 'return_std': 2.5, 'return_ci95': [21.01, 21.99],
    'length_mean': 28.5, 'crash_rate': 0.05, 'speed_mean': 20.25,
    'episodes': 100, 'seed': 10000, 'simulator': 'highway-env',
    'overrides': [], 'per_episode': {'return': [21.5] * 100}}


def add_record(logdir, **changes):
  step = changes.setdefault('step', runs.newest(logdir).step)
  overrides = changes.get('overrides', ())
  path = evaluate.record_path(logdir, step, 10_000, 100, overrides)
  path.write_text(json.dumps({**RECORD, **changes}))


@pytest.fixture(scope='module')
def logdir(highway, tmp_path_factory):
  folder = tmp_path_factory.mktemp('ship') / 'run'
  return shutil.copytree(highway['highway_kinematics'], folder)


@pytest.fixture(scope='module')
def shipped(script, logdir, tmp_path_factory):
  """The folder of an agent, made by the script."""
  add_record(logdir)
  add_record(
      logdir, return_mean=23.25, overrides=['--eval_lookahead.depth', '2'])
  outdir = tmp_path_factory.mktemp('shelf')
  assert script.main([
      '--logdir', str(logdir), '--name', 'driver', '--checkpoint', 'latest',
      '--outdir', str(outdir), '--commit', 'abc123', '--note', 'A try.']) == 0
  return outdir / 'driver'


def test_the_agent_is_that_of_the_run(shipped, logdir):
  assert sorted(path.name for path in shipped.iterdir()) == [
      'card.json', 'card.md', 'config.yaml', 'drive.gif', 'weights.npz']
  assert [path.name for path in shipped.parent.iterdir()] == ['driver']
  ours, config, step = loading.load_agent(shipped)
  theirs, settings, same = loading.load_agent(logdir)
  assert step == same and config == settings.update({'logdir': ''})
  weights = ours.get_weights()
  for key, value in theirs.get_weights().items():
    np.testing.assert_array_equal(
        weights[key], value.astype(np.float16).astype(value.dtype), key)


def test_the_card_tells_origin_and_scores(shipped, logdir):
  card = json.loads((shipped / 'card.json').read_text())
  assert card['step'] == runs.newest(logdir).step
  assert card['observations'] == runs.newest(logdir).manifest['observations']
  assert card['presets'] == ['highway_kinematics', 'debug']
  assert card['settings']['steps'] == [1000, 200]
  assert card['settings'].keys() == {
      'steps', 'prefill', 'eval_every', 'log_every', 'checkpoint_every'}
  assert card['simulator'] == {
      'training': 'envpool', 'evaluation': 'highway-env'}
  assert [x['return_mean'] for x in card['evaluations']] == [21.5, 23.25]
  assert 'per_episode' not in card['evaluations'][0]
  assert str(logdir) not in (shipped / 'card.json').read_text()


def test_the_card_for_people(shipped):
  text = (shipped / 'card.md').read_text()
  for line in (
      '# driver', 'dreamerv2 eval --pretrained driver --episodes 1 --video '
      'video.gif', "agent = dv2.load('driver')",
      '| as stored | 21.50 (21.01 to 21.99) | 2.50 | 5 % (2.2 to 11.2) | '
      '20.2 m/s | 28.5 |', '- A try.', '| `prefill` | 200 | 80 |'):
    assert line in text.splitlines()
  assert '| `--eval_lookahead.depth 2` | 23.25 (' in text
  assert 'Commit that trained: abc123;' in text
  assert '--logdir' not in text
  assert '](drive.gif)' in text


def test_an_interval_by_hand(script):
  # z = 1.96: 0 of 100 crashes leave up to z^2 / (100 + z^2).
  low, high = script.wilson(0.0, 100)
  assert low == pytest.approx(0) and high == pytest.approx(3.8416 / 103.8416)
  low, high = script.wilson(0.5, 100)
  assert low + high == pytest.approx(1) and high == pytest.approx(0.5962, 1e-4)


def test_settings_that_changed_on_the_way(script, tmp_path, logdir):
  folder = shutil.copytree(logdir, tmp_path / 'run')
  add_record(folder)
  record = json.loads((folder / 'run.json').read_text())
  record['history'].append({
      **record['history'][0], 'argv': ['dreamerv2', '--logdir', 'x'],
      'changed': {'actor_ent': [0.1, '0.2']}, 'step': 120, 'simulator': 'b'})
  (folder / 'run.json').write_text(json.dumps(record))
  _, config, step = loading.load_agent(folder)
  options = script.Config({
      'name': 'a', 'dtype': 'float32', 'commit': '', 'note': ''})
  card = script.describe(folder, config, step, options)
  assert card['presets'] == ['highway_kinematics', 'debug']
  assert card['changed'] == [{'step': 120, 'keys': {'actor_ent': [0.1, '0.2']}}]
  text = script.text({**card, 'parameters': 1}, 2_500_000, False)
  assert '- From step 120 on: `actor_ent` 0.2 instead of 0.1.' in text
  assert '2.5 MB as float32' in text and 'drive.gif' not in text
  assert 'Stored as' not in text


def test_only_evaluated_checkpoints_are_shipped(
    script, highway, tmp_path, capsys):
  logdir = highway['highway_kinematics']
  step = runs.newest(logdir).step
  assert script.main([
      '--logdir', str(logdir), '--name', 'driver', '--outdir', str(tmp_path),
      '--checkpoint', 'latest']) == 2
  assert (
      f'Make it: dreamerv2 eval --logdir {logdir} --checkpoint {step}\n'
      in capsys.readouterr().err)
  assert list(tmp_path.iterdir()) == []


def test_an_evaluation_with_gaps_is_refused(script, tmp_path):
  folder = tmp_path
  (folder / 'eval-5-10000-100.json').write_text(
      json.dumps({**RECORD, 'step': 5, 'episodes': 99}))
  with pytest.raises(script.StateError, match='not of 100 episodes of step 5'):
    script.records(folder, 5)
  (folder / 'eval-5-10000-100.json').write_text('{')
  with pytest.raises(script.StateError, match='Can not read'):
    script.records(folder, 5)


def test_an_agent_is_replaced_on_request(script, shipped, logdir, tmp_path):
  outdir = shutil.copytree(shipped.parent, tmp_path / 'shelf')
  flags = [
      '--logdir', str(logdir), '--name', 'driver', '--outdir', str(outdir),
      '--checkpoint', 'latest']
  before = runs.tree(outdir)
  with pytest.raises(ConfigError, match='exists. Add --replace'):
    script.parse(flags)
  (outdir / 'driver' / 'old').touch()
  assert script.main([*flags, '--replace', '--dtype', 'float32']) == 0
  after = runs.tree(outdir)
  assert after.keys() == before.keys()
  assert after['driver/weights.npz'] != before['driver/weights.npz']
  assert after['driver/config.yaml'] == before['driver/config.yaml']


@pytest.mark.parametrize('arguments, text', [
    ([], 'Give the folder of a run'),
    (['--logdir', 'x'], "'name' must be small letters"),
    (['--logdir', 'x', '--name', '../a'], "'name' must be small letters"),
    (['--logdir', 'x', '--name', 'a', '--dtype', 'int8'], "'dtype' must be"),
    (['--logdir', 'x', '--name', 'a', '--outdir', 'y'], "'outdir' is no fol"),
    (['--logdir', 'x', '--name', 'a', '--scenario', '-1'], "'scenario' must"),
    (['--logdir', 'x', '--name', 'a'], 'x holds no run with checkpoints'),
    (['--logdir', 'x', '--seed', '3'], "Unknown flag '--seed'")])
def test_wrong_flags(script, arguments, text):
  with pytest.raises(ConfigError, match=text):
    script.parse(arguments)


def test_a_run_without_a_best_checkpoint(script, tmp_path):
  (tmp_path / 'checkpoints').mkdir()
  with pytest.raises(ConfigError, match='has no best checkpoint; give its st'):
    script.parse(['--logdir', str(tmp_path), '--name', 'a'])
