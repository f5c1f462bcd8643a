"""What finished runs have learned: records, table and curves."""

import json
import pathlib

import numpy as np
from PIL import Image
import pytest

from dreamerv2_tf import config as configlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'learning.py'


def make_run(folder, seed, returns, steps=400, reached=400, words=()):
  """Writes what a run of CartPole leaves, as far as it is read."""
  words = ['--seed', str(seed), '--steps', str(steps), *words]
  config = configlib.resolve(['small'], words)
  for step in 200, reached:
    (folder / 'checkpoints' / f'{step}').mkdir(parents=True)
  (folder / 'checkpoints' / 'best.json').write_text('{"step": 200}')
  config.save(folder / 'config.yaml')
  (folder / 'run.json').write_text(json.dumps({
      'versions': {'python': '3.11'}, 'machine': {'cores': 1}, 'history': [{
          'argv': ['dreamerv2', '--configs', 'small', '--logdir', '/x', *words],
          'step': 0, 'changed': {}}]}))
  rows = [
      {'step': step, 'train_return': step / 10} for step in range(4, 400, 4)]
  rows += [{'step': 200, 'eval_return': 50.0, 'time_total': 60.0,
            'time_eval': 6.0},
           {'step': 400, 'eval_return': 90.0, 'time_total': 126.0,
            'time_eval': 6.0}]
  (folder / 'metrics.jsonl').write_text(
      ''.join(json.dumps(row) + '\n' for row in rows))
  for step, shift in (reached, 0), (200, 100):
    (folder / f'eval-{step}-10000-3.json').write_text(json.dumps(
        {'per_episode': {'return': [x - shift for x in returns]}}))


@pytest.fixture
def seeds(tmp_path):
  for seed, returns in enumerate(([480, 490, 500], [470, 480, 490])):
    make_run(tmp_path / 'runs' / str(seed), seed, returns)
  return tmp_path / 'runs'


def call(script, tmp_path, *words):
  return script.main([
      '--outdir', str(tmp_path / 'out'), '--episodes', '3', *map(str, words)])


def load(tmp_path):
  return json.loads((tmp_path / 'out' / 'learning.json').read_text())


def test_seeds_of_a_preset_are_one_record(script, seeds, tmp_path, capsys):
  assert call(script, tmp_path, '--runs', seeds) == 0
  [record] = load(tmp_path)
  assert capsys.readouterr().out.split() == [
      str(tmp_path / 'out' / f'learning.{x}') for x in ('json', 'md', 'png')]
  want = {
      'task': 'gym_CartPole-v1', 'preset': 'small', 'seeds': [0, 1],
      'steps': 400, 'minutes': 2.0, 'return': [490, 480], 'std': [10, 10],
      'episodes': 3, 'target': 475, 'learned': True, 'checkpoint': 'latest',
      'target_source': "Gymnasium's reward_threshold",
      'observation': '4 values', 'actions': '2', 'beside': [],
      'command': ['--configs', 'small', '--steps', '400']}
  assert {key: record[key] for key in want} == want
  assert 8 <= record['random'] < 100
  for curves in record['curves']:
    assert curves['evaluation'] == [[200, 50], [400, 90]]
    assert len(curves['training']) == 50
    assert curves['training'][0] == [8, pytest.approx(0.6)]
    assert curves['training'][-1][0] == 396
  text = (tmp_path / 'out' / 'learning.md').read_text()
  assert (
      '| `gym_CartPole-v1` | small | 4 values | 2 | 400 | 2.0 | 0, 1 | '
      '490.0 ± 10.0; 480.0 ± 10.0 |') in text
  assert '| 475.0 | yes |' in text
  assert 'dreamerv2 --configs small --steps 400  # --seed 0, 1' in text
  with Image.open(tmp_path / 'out' / 'learning.png') as picture:
    assert picture.width > 200 and np.asarray(picture).std() > 1


def test_the_best_checkpoint_on_request(script, seeds, tmp_path):
  assert call(script, tmp_path, '--runs', seeds, '--checkpoint', 'best') == 0
  [record] = load(tmp_path)
  assert record['return'] == [390, 380] and record['learned'] is False


def test_other_records_stay_and_the_same_are_replaced(
    script, seeds, tmp_path):
  assert call(script, tmp_path, '--runs', seeds / '0') == 0
  make_run(tmp_path / 'longer', 0, [10, 20, 30], words=['--discount', '0.9'])
  assert call(script, tmp_path, '--runs', seeds, tmp_path / 'longer') == 0
  found = load(tmp_path)
  assert [(x['preset'], x['seeds']) for x in found] == [
      ('small', [0, 1]), ('small (discount 0.9)', [0])]
  assert call(
      script, tmp_path, '--runs', tmp_path / 'longer', '--keep', 'False') == 0
  assert [x['preset'] for x in load(tmp_path)] == ['small (discount 0.9)']
  assert call(script, tmp_path) == 0  # Pages alone.
  assert len(load(tmp_path)) == 1


def test_runs_that_are_not_finished_are_named(script, tmp_path, capsys):
  make_run(tmp_path / 'run', 0, [1, 2, 3], steps=800)
  assert call(script, tmp_path, '--runs', tmp_path / 'run') == 2
  err = capsys.readouterr().err
  assert 'is at step 400 of 800' in err
  assert 'error: There is no finished run to tell of' in err
  assert not (tmp_path / 'out').exists()


def test_results_of_other_methods_are_beside(script, seeds, tmp_path):
  for seed, mean in (0, 300.0), (1, 310.0):
    folder = tmp_path / 'others' / str(seed)
    folder.mkdir(parents=True)
    (folder / 'record.json').write_text(json.dumps({
        'task': 'gym_CartPole-v1', 'method': 'ppo', 'seed': seed,
        'env_steps': 5000}))
    (folder / 'eval.json').write_text(json.dumps({'return_mean': mean}))
  assert call(script, tmp_path, '--runs', seeds, '--beside',
              tmp_path / 'others') == 0
  [record] = load(tmp_path)
  assert record['beside'] == [
      {'method': 'ppo', 'steps': 5000, 'return': [300, 310]}]
  assert '| `gym_CartPole-v1` | ppo | 5,000 | 300.0, 310.0 |' in (
      tmp_path / 'out' / 'learning.md').read_text()


@pytest.mark.parametrize('task, steps, value, source', [
    ('gym_Acrobot-v1', 1, -100, 'reward_threshold'),
    ('gym_Pendulum-v1', 1, -172.225, 'rl-baselines3-zoo'),
    ('gym_Blackjack-v1', 1, None, ''),
    ('gym_Nowhere-v0', 1, None, ''),
    ('dmc_cartpole_balance', 100_000, 802.665, 'after 90,000 steps'),
    ('dmc_cartpole_balance', 1_000_000, 995.708, 'after 990,000 steps'),
    ('dmc_manip_reach_site', 1, None, ''),
    ('minatar_breakout', 1, None, '')])
def test_targets(script, task, steps, value, source):
  found, text = script.target(task, steps)
  assert found == value and source in text and bool(text) == bool(source)


def test_a_file_that_holds_no_records_is_refused(script, tmp_path, capsys):
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'learning.json').write_text('[3]')
  assert call(script, tmp_path) == 3
  assert 'holds no records' in capsys.readouterr().err


@pytest.mark.parametrize('words, text', [
    (['--checkpoint', 'last'], "must be latest or best but is 'last'"),
    (['--episodes', '1'], "'episodes' must be at least 2"),
    (['--foo', '1'], 'Unknown')])
def test_wrong_flags_are_refused(script, words, text, capsys):
  assert script.main(words) == 2
  err = capsys.readouterr().err
  assert text in err and err.count('\n') == 1


def test_the_published_page_is_that_of_the_published_records(script):
  found = script.learned.load()
  text = (ROOT / 'results' / 'learning.md').read_text()
  assert found and text == script.learning_page.page(found)
