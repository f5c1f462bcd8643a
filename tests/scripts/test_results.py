import json
import pathlib

import numpy as np
from PIL import Image
import pytest

from dreamerv2_tf import config as configlib

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'scripts' / 'results.py'
TASK = 'highway_highway-fast-v0'


def dump(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))


def columns(returns):
  return {
      'return': returns, 'length': [30] * (len(returns) - 1) + [10],
      'crashed': [False] * (len(returns) - 1) + [True],
      'speed': [20.0] * (len(returns) - 1) + [30.0]}


def add_ours(root, seed, returns, *words, step=200, timed=(20.0, 30.0)):
  """A run folder of the command with two evaluations in training.

  Training takes 40 s to the first and 90 s to the second of them; `timed`:
  seconds of evaluations up to each, None where they were not counted.
  """
  folder = root / f'ours-{seed}-{len(words)}'
  folder.mkdir(parents=True)
  configlib.resolve(['highway'], ['--seed', str(seed)]).save(
      folder / 'config.yaml')
  (folder / 'metrics.jsonl').write_text(''.join(
      json.dumps(row) + '\n' for row in (
          {'step': 1, 'model_loss': 1.0},
          {'step': 100, 'eval_return': 5.0 + seed, 'time_total': 60.0,
           **({} if timed[0] is None else {'time_eval': timed[0]})},
          {'step': step, 'eval_return': 9.0 + seed, 'time_total': 120.0,
           **({} if timed[1] is None else {'time_eval': timed[1]})})))
  dump(folder / 'run.json', {
      'versions': {'python': '3.11'}, 'machine': {'cores': 2},
      'history': [{'argv': [
          '/bin/dreamerv2', '--configs', 'highway', '--logdir', str(folder),
          '--seed', str(seed), *words]}]})
  for at, values in (100, [0.0] * 4), (step, returns):
    dump(folder / f'eval-{at}-10000-4.json', {
        'seed': 10000, 'episodes': 4, 'per_episode': columns(values)})
  return folder


def add_baseline(root, method, returns, steps=0, first=10000):
  folder = root / method
  dump(folder / 'record.json', {
      'task': TASK, 'method': method, 'seed': None, 'env_steps': steps,
      'wall_seconds': 6000.0, 'argv': [method], 'versions': {}, 'machine': {}})
  dump(folder / 'eval.json', {
      'seed': first, 'episodes': 4, 'per_episode': columns(returns)})
  (folder / 'metrics.jsonl').write_text(''.join(
      json.dumps({'step': step, 'eval_return': 1.0, 'time': time}) + '\n'
      for step, time in ((steps // 2, 300.0), (steps, 660.0))))


@pytest.fixture
def root(tmp_path):
  add_ours(tmp_path, 0, [20.0, 22, 24, 2])
  add_ours(tmp_path, 1, [24.0, 26, 28, 6])
  add_ours(tmp_path, 0, [1.0, 1, 1, 1], '--rssm.deter', '9')
  add_baseline(tmp_path, 'slower', [20.0, 20, 20, 20])
  add_baseline(tmp_path, 'elsewhere', [0.0] * 4, first=7)
  (tmp_path / 'running').mkdir()
  (tmp_path / 'running' / 'metrics.jsonl').write_text('')
  return tmp_path


def test_tables_and_plots(script, root, capsys):
  outdir = root / 'out'
  assert script.main([
      '--indir', str(root), '--outdir', str(outdir), '--episodes', '4',
      '--samples', '50']) == 0
  out, err = capsys.readouterr()
  names = {f'{TASK}{end}' for end in (
      '.json', '.md', '-steps.png', '-time.png')}
  assert {pathlib.Path(line).name for line in out.split()} == names
  assert {path.name for path in outdir.iterdir()} == names
  assert 'elsewhere was evaluated on 4 scenarios from 7 on' in err
  assert 'running has no evaluation of 4 scenarios from 10000 on yet' in err
  page = (outdir / f'{TASK}.md').read_text()
  rows = [line for line in page.splitlines() if line.startswith('| ')][1:]
  assert [row.split(' | ')[0] for row in rows] == [
      '| slower', '| DreamerV2, highway',
      '| DreamerV2, highway (rssm.deter 9)']
  # Seeds 17 and 21; the middle half of 2 6 20 22 24 24 26 28; a crash in four,
  # (90 * 20 + 10 * 30) / 100 m/s.
  assert '| 2 | 200 | 19.00 |' in rows[1] and '| 22.50 |' in rows[1]
  assert '| 17.0, 21.0 | 25 % | 21.0 m/s | 2 |' in rows[1]
  assert 'dreamerv2 --configs highway --seed 1\n' in page
  assert 'scripts/baselines.py slower\n' in page
  assert 'python 3.11; cores 2' in page and str(root) not in page
  for kind in 'steps', 'time':
    picture = np.asarray(Image.open(outdir / f'{TASK}-{kind}.png'))
    assert picture.std() > 10


def page_of(script, root):
  outdir = root / 'out'
  assert script.main([
      '--indir', str(root), '--outdir', str(outdir), '--episodes', '4',
      '--samples', '9']) == 0
  return (outdir / f'{TASK}.md').read_text(), json.loads(
      (outdir / f'{TASK}.json').read_text())


def test_minutes_are_those_of_training_in_all_methods(script, tmp_path):
  # Its last evaluation ends after 200 s, of which 20 in evaluations.
  folder = add_ours(tmp_path, 0, [20.0] * 4, timed=(10.0, 20.0))
  metrics = folder / 'metrics.jsonl'
  metrics.write_text(metrics.read_text().replace('120.0', '200.0') + '{"ste')
  add_baseline(tmp_path, 'ppo', [10.0] * 4, steps=50)  # Its: after 660 s.
  add_baseline(tmp_path, 'slower', [5.0] * 4)
  page, data = page_of(script, tmp_path)
  head, _, *rows = [
      [cell.strip() for cell in line[1:-1].split('|')]
      for line in page.splitlines() if line.startswith('|')]
  assert head[-1] == 'training, minutes'
  assert [(row[0], row[-1]) for row in rows] == [
      ('DreamerV2, highway', '3'), ('ppo', '11'), ('slower', '')]
  [run] = data['DreamerV2, highway']['runs']
  assert run['curve'] == [[100, 60 - 10, 5], [200, 200 - 20, 9]]
  assert data['DreamerV2, highway']['statistics']['seconds'] == 180
  assert 'earlier versions' not in page


@pytest.mark.parametrize('timed', [(None, None), (None, 30.0), (20.0, None)])
def test_minutes_of_runs_that_did_not_time_evaluations_are_marked(
    script, tmp_path, timed):
  add_ours(tmp_path, 0, [20.0] * 4, timed=timed)
  add_baseline(tmp_path, 'ppo', [10.0] * 4, steps=50)
  page, data = page_of(script, tmp_path)
  [run] = data['DreamerV2, highway']['runs']
  assert run['inclusive'] and run['seconds'] == 120
  assert run['curve'] == [[100, 60, 5], [200, 120, 9]]
  ours, ppo = [
      line for line in page.splitlines() if line.startswith('| ')][1:]
  assert ours.endswith('| 2 * |') and ppo.endswith('| 11 |')
  assert script.NOTE in page.splitlines()
  assert script.NOTE.startswith(r'\* With the evaluations')


def test_one_seed_counts_once_and_lengths_are_apart(
    script, tmp_path, capsys):
  add_ours(tmp_path / 'a', 0, [20.0, 22, 24, 2])
  add_ours(tmp_path / 'b', 0, [20.0, 22, 24, 2])  # Repeats it.
  add_ours(tmp_path / 'c', 0, [1.0, 1, 1, 1], step=300)
  add_ours(tmp_path / 'd', 1, [2.0, 2, 2, 2], step=300)
  options = script.parse(['--indir', str(tmp_path), '--episodes', '4'])
  [methods] = script.read(options).values()
  assert {
      name: [(run['seed'], run['steps']) for run in runs]
      for name, runs in methods.items()} == {
          'DreamerV2, highway, 200 steps': [(0, 200)],
          'DreamerV2, highway, 300 steps': [(0, 300), (1, 300)]}
  assert capsys.readouterr().err == (
      'Left out: another run of DreamerV2, highway, 200 steps with seed 0.\n')


def test_interquartile_mean_by_hand(script):
  assert script.iqm(np.array([9, 1, 100, 3, 5, -50, 7, 2])) == 17 / 4


def test_intervals_cover_seeds_and_episodes(script):
  run = lambda *returns: {
      'per_episode': {'return': list(returns), 'length': [1] * len(returns)},
      'steps': 1, 'seconds': None, 'inclusive': False}
  one = script.statistics([run(5, 5, 5)], 100)
  assert one['return_ci95'] == [5, 5] == one['iqm_ci95']
  two = script.statistics([run(4, 4), run(8, 8)], 300)
  assert two['return'] == 6 and two['return_ci95'] == [4, 8]
  assert two['seconds'] is None and two['crash_rate'] is None
  spread = script.statistics([run(*range(101))], 300)
  assert 42 < spread['return_ci95'][0] < 47 < 53 < spread['return_ci95'][1] < 58


@pytest.mark.parametrize('words, match', [
    (['--indir', '{}/none'], 'is no folder'),
    (['--indir', '{}'], 'No evaluated run below'),
    (['--indirr', '{}'], "Unknown flag '--indirr'. Known flags: --indir"),
])
def test_mistakes(script, tmp_path, words, match, capsys):
  assert script.main([word.format(tmp_path) for word in words]) == 2
  assert match in capsys.readouterr().err
