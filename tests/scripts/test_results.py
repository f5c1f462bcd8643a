import json
import os
import pathlib
import re

import elsewhere
import numpy as np
from PIL import Image
import pytest
import runs

from dreamerv2_tf import config as configlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'results.py'
TASK = 'highway_highway-fast-v0'


def dump(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))


def columns(returns):
  return {
      'return': returns, 'length': [30] * (len(returns) - 1) + [10],
      'crashed': [False] * (len(returns) - 1) + [True],
      'speed': [20.0] * (len(returns) - 1) + [30.0],
      'actions': [[3, 0, 0, 0, 1]] * len(returns)}


def add_ours(
    root, seed, returns, *words, asked=200, best=100, last=(1.0,) * 4,
    timed=(20.0, 30.0), reached=None):
  """A run folder of the command with two evaluations in training.

  Training takes 40 s to the first, 90 s to the second of them and 110 s in
  all; `timed`: seconds of evaluations up to each, None where they were not
  counted. `returns` are those of the best checkpoint, `last` of the last one.
  """
  folder = root / f'ours-{seed}-{len(words)}'
  folder.mkdir(parents=True)
  configlib.resolve(
      ['highway'], ['--seed', str(seed), '--steps', str(asked), *words],
  ).save(folder / 'config.yaml')
  time = lambda total, spent: {
      'time_total': total, **({} if spent is None else {'time_eval': spent})}
  (folder / 'metrics.jsonl').write_text(''.join(
      json.dumps(row) + '\n' for row in (
          {'step': 1, 'model_loss': 1.0},
          {'step': 100, 'eval_return': 5.0 + seed, **time(60.0, timed[0])},
          {'step': 200, 'eval_return': 9.0 + seed, **time(120.0, timed[1])},
          {'step': 200, 'model_loss': 1.0, **time(140.0, timed[1])})))
  dump(folder / 'run.json', {
      'versions': {'python': '3.11'}, 'machine': {'cores': 2},
      'history': [{'step': 0, 'changed': {}, 'simulator': 'envpool', 'argv': [
          '/bin/dreamerv2', '--configs', 'highway', '--logdir', str(folder),
          '--seed', str(seed), *words]}]})
  dump(folder / 'checkpoints' / 'best.json', {'step': best})
  (folder / 'checkpoints' / f'{reached or asked:012d}').mkdir()
  for at, values in (50, [0.0] * 4), (best, returns), (asked, last):
    if values:
      add_evaluation(folder, at, values)
  return folder


def add_evaluation(folder, step, returns, *overrides):
  end = '-12345678' if overrides else ''
  dump(folder / f'eval-{step}-10000-4{end}.json', {
      'seed': 10000, 'episodes': 4, 'overrides': list(overrides),
      'per_episode': columns(returns)})


def add_baseline(
    root, method, returns, steps=0, first=10000, minutes=0.0, seed=None):
  folder = root / f'{method}-{seed}'
  dump(folder / 'record.json', {
      'task': TASK, 'method': method, 'seed': seed, 'env_steps': steps,
      'steps': 0 if minutes else steps, 'minutes': minutes,
      'train_seconds': 660.0 if steps else 0.0, 'wall_seconds': 6000.0,
      'argv': [method, '--outdir', str(root)], 'versions': {}, 'machine': {}})
  dump(folder / 'eval.json', {
      'seed': first, 'episodes': 4, 'per_episode': columns(returns)})
  (folder / 'metrics.jsonl').write_text(''.join(
      json.dumps({'step': step, 'eval_return': 1.0, 'time': time}) + '\n'
      for step, time in ((steps // 2, 300.0), (steps, 650.0))))


def rows_of(script, root):
  """Returns {(method, steps, checkpoint): [(seed, step)]}."""
  [rows] = script.read([str(root)], 10000, 4).values()
  return {
      (row.method, row.asked, row.checkpoint):
      [(run['seed'], run['step']) for run in row.runs] for row in rows}


def page_of(script, root):
  outdir = root / 'out'
  assert script.main([
      '--indir', str(root), '--outdir', str(outdir), '--episodes', '4',
      '--samples', '9']) == 0
  return (outdir / f'{TASK}.md').read_text(), json.loads(
      (outdir / f'{TASK}.json').read_text())


def table_of(page, heading=TASK):
  """Returns the cells of the first table below a heading."""
  page = page.split(f'# {heading}\n')[1]
  lines = re.search(r'(?:^\|.*\n)+', page, re.M)[0].splitlines()
  return [
      [cell.strip() for cell in line[1:-1].split(' |')] for line in lines]


@pytest.fixture
def root(tmp_path):
  add_ours(tmp_path, 0, [20.0, 22, 24, 2], last=None)
  add_ours(tmp_path, 1, [24.0, 26, 28, 6], last=None)
  add_ours(tmp_path, 0, [1.0, 1, 1, 1], '--rssm.deter', '9', last=None)
  add_baseline(tmp_path, 'slower', [20.0, 20, 20, 20])
  add_baseline(tmp_path, 'elsewhere', [0.0] * 4, first=7)
  (tmp_path / 'running').mkdir()
  (tmp_path / 'running' / 'metrics.jsonl').write_text('')
  (tmp_path / 'broken').mkdir()
  (tmp_path / 'broken' / 'metrics.jsonl').write_text('')
  (tmp_path / 'broken' / 'record.json').write_text('{')
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
  assert 'elsewhere-None was evaluated on 4 scenarios from 7 on' in err
  assert 'running has no evaluation of 4 scenarios from 10000 on yet' in err
  assert 'broken can not be read: JSONDecodeError' in err
  assert 'neither of the best nor of the last checkpoint' in err
  page = (outdir / f'{TASK}.md').read_text()
  head, _, *rows = table_of(page)
  assert [row[0] for row in rows] == [
      'slower', 'highway', 'highway (rssm.deter 9)']
  # Seeds 17 and 21; the middle half of 2 6 20 22 24 24 26 28; a crash in four,
  # (90 * 20 + 10 * 30) / 100 m/s.
  cells = dict(zip(head, rows[1]))
  assert cells['trained in'] == 'envpool' and cells['seeds'] == '0, 1'
  assert cells['steps'] == '200' and cells['checkpoint'] == 'best: 100, 100'
  assert cells['return, mean ± std'] == '19.00 ± 9.6'
  assert cells['IQM'] == '22.50' and cells['mean of each seed'] == '17.0, 21.0'
  assert cells['crashes'] == '25 %' and cells['speed'] == '21.0'
  assert cells['training, minutes'] == '2'
  for kind in 'steps', 'time':
    picture = np.asarray(Image.open(outdir / f'{TASK}-{kind}.png'))
    assert picture.std() > 10


@pytest.mark.parametrize('name', [
    'eval-100-10000-4.json', 'run.json', 'metrics.jsonl',
    'checkpoints/best.json', 'config.yaml'])
@pytest.mark.parametrize('text', [*runs.ODD, None])
def test_a_run_that_can_not_be_read_leaves_the_others(
    script, tmp_path, name, text, capsys):
  add_ours(tmp_path, 0, [1.0] * 4, last=None)
  path = add_ours(tmp_path, 1, [2.0] * 4, last=None) / name
  if text is None:
    path.unlink()
    os.mkfifo(path)
  else:
    path.write_bytes(text.encode('latin-1'))
  [runs] = rows_of(script, tmp_path).values()
  # Lines of metrics that are none are passed by.
  assert len(runs) == 1 + (name == 'metrics.jsonl' and text is not None)
  err = capsys.readouterr().err
  assert len(runs) == 2 or any(text in err for text in (
      'can not be read: ', 'ours-1-0 has no evaluation of 4 scenarios',
      'ours-1-0/eval-100-10000-4.json is neither of the best'))


def test_a_run_of_the_original_is_told_to_lack_evaluations(
    script, tmp_path, capsys):
  add_ours(tmp_path, 0, [1.0] * 4, last=None)
  elsewhere.original(tmp_path / 'there')
  [found] = rows_of(script, tmp_path).values()
  assert len(found) == 1
  assert f"Left out: {tmp_path / 'there'} is a run of the original" in (
      capsys.readouterr().err)


def test_the_page_has_all_else_that_one_needs(script, root):
  page, _ = page_of(script, root)
  assert table_of(page, 'Actions') == [
      ['method', 'LANE_LEFT', 'IDLE', 'LANE_RIGHT', 'FASTER', 'SLOWER'],
      ['---'] * 6, *(
          [name, '75 %', '0 %', '0 %', '0 %', '25 %'] for name in (
              'slower', 'highway', 'highway (rssm.deter 9)'))]
  head, _, slower, ours, _ = table_of(page, 'Probability of improvement')
  assert head == ['method', 'n', 'over slower, n = 4']
  assert slower == ['slower', '4', '']
  # Of 20 22 24 2 24 26 28 6, five are above 20 and one is equal.
  assert ours[:2] == ['highway', '8'] and ours[2].startswith('0.69 (')
  commands = page.split('```')[1].splitlines()[1:]
  assert commands == [
      'scripts/baselines.py slower',
      'dreamerv2 --configs highway --seed 0  # and --seed 1',
      'dreamerv2 --configs highway --seed 0 --rssm.deter 9']
  assert '- highway, highway (rssm.deter 9): python 3.11; cores 2\n' in page
  assert str(root) not in page


def test_the_data_are_rounded_and_without_folders(script, root):
  _, data = page_of(script, root)
  assert [row['method'] for row in data] == [
      'slower', 'highway', 'highway (rssm.deter 9)']
  assert data[1]['steps'] == 200 and data[1]['checkpoint'] == 'best'
  assert data[1]['statistics']['return'] == 19
  assert data[1]['improvement']['slower']['n'] == [8, 4]
  assert [run['step'] for run in data[1]['runs']] == [100, 100]
  text = (root / 'out' / f'{TASK}.json').read_text()
  assert str(root) not in text
  assert all(len(x) <= 4 for x in re.findall(r'\d\.(\d+)', text))


def test_settings_that_this_version_lacks_are_told(script, tmp_path):
  for seed in 0, 1:
    folder = add_ours(tmp_path, seed, [20.0] * 4, last=None)
    with open(folder / 'config.yaml', 'a') as file:
      file.write('gone: 0.5\n')
  page, _ = page_of(script, tmp_path)
  assert (
      '- Trained with `gone 0.5`, unknown to this version: highway of 200 '
      'steps, seed 0; highway of 200 steps, seed 1.\n') in page


def test_minutes_are_those_of_training_in_all_methods(script, tmp_path):
  # It ends after 300 s, of which 20 in evaluations.
  folder = add_ours(tmp_path, 0, [20.0] * 4, last=None, timed=(10.0, 20.0))
  metrics = folder / 'metrics.jsonl'
  metrics.write_text(metrics.read_text().replace('140.0', '300.0') + '{"ste')
  add_baseline(tmp_path, 'ppo', [10.0] * 4, steps=50)  # Its: 660 s.
  add_baseline(tmp_path, 'slower', [5.0] * 4)
  page, data = page_of(script, tmp_path)
  head, _, *rows = table_of(page)
  assert head[-1] == 'training, minutes'
  assert [(row[0], row[-1]) for row in rows] == [
      ('highway', '5'), ('ppo', '11'), ('slower', '')]
  assert [row[1] for row in rows] == ['envpool', 'highway-env', '']
  [run] = data[0]['runs']
  assert run['curve'] == [[100, 60 - 10, 5], [200, 120 - 20, 9]]
  assert data[0]['statistics']['seconds'] == 280
  assert 'earlier versions' not in page


@pytest.mark.parametrize('timed', [(None, None), (None, 30.0), (20.0, None)])
def test_minutes_of_runs_that_did_not_time_evaluations_are_marked(
    script, tmp_path, timed):
  add_ours(tmp_path, 0, [20.0] * 4, last=None, timed=timed)
  add_baseline(tmp_path, 'ppo', [10.0] * 4, steps=50)
  page, data = page_of(script, tmp_path)
  [run] = data[0]['runs']
  assert run['inclusive'] and run['seconds'] == 140
  assert run['curve'] == [[100, 60, 5], [200, 120, 9]]
  ours, ppo = table_of(page)[2:]
  assert ours[-1] == r'2 \*' and ppo[-1] == '11'
  assert r'\* With the evaluations' in page


class TestRows:
  """Which runs share a row, and which evaluation counts."""

  def test_seeds_of_one_length_share_a_row_wherever_the_best_was(
      self, script, tmp_path):
    add_ours(tmp_path, 0, [9.0] * 4, last=None, best=100)
    add_ours(tmp_path, 1, [9.0] * 4, last=None, best=150)
    assert rows_of(script, tmp_path) == {
        ('highway', 200, 'best'): [(0, 100), (1, 150)]}

  def test_the_name_says_what_is_different_however_it_was_said(
      self, script, tmp_path):
    add_ours(tmp_path, 0, [9.0] * 4, last=None)
    add_ours(
        tmp_path, 1, [9.0] * 4, '--discount', '0.950', '--eval_eps', '7',
        last=None)
    assert rows_of(script, tmp_path) == {
        ('highway', 200, 'best'): [(0, 100), (1, 100)]}

  def test_one_seed_counts_once_and_lengths_are_apart(
      self, script, tmp_path, capsys):
    add_ours(tmp_path / 'a', 0, [20.0] * 4, last=None)
    add_ours(tmp_path / 'b', 0, [30.0] * 4, last=None, best=150)  # Again.
    add_ours(tmp_path / 'c', 0, [1.0] * 4, last=None, asked=300)
    add_ours(tmp_path / 'd', 1, [2.0] * 4, last=None, asked=300)
    capsys.readouterr()
    assert rows_of(script, tmp_path) == {
        ('highway', 200, 'best'): [(0, 100)],
        ('highway', 300, 'best'): [(0, 100), (1, 100)]}
    assert (
        'Left out: another run of highway, 200 steps, best checkpoint, with '
        'seed 0.\n') in capsys.readouterr().err

  def test_best_and_last_checkpoints_are_apart(self, script, tmp_path):
    add_ours(tmp_path, 0, [9.0] * 4)
    add_ours(tmp_path, 1, None, best=200)  # The best is the last.
    assert rows_of(script, tmp_path) == {
        ('highway', 200, 'best'): [(0, 100), (1, 200)],
        ('highway', 200, 'last'): [(0, 200), (1, 200)]}

  def test_what_is_best_and_last_counts_as_the_best(self, script, tmp_path):
    add_ours(tmp_path, 0, None, best=200)
    assert rows_of(script, tmp_path) == {
        ('highway', 200, 'best'): [(0, 200)]}

  def test_a_run_that_is_not_finished_waits(self, script, tmp_path, capsys):
    add_ours(tmp_path, 0, [9.0] * 4, last=None)
    add_ours(tmp_path, 1, [9.0] * 4, last=None, asked=300, reached=200)
    assert rows_of(script, tmp_path) == {
        ('highway', 200, 'best'): [(0, 100)]}
    assert 'ours-1-0 is at step 200 of 300' in capsys.readouterr().err

  def test_other_ways_of_acting_have_a_row_and_other_worlds_have_none(
      self, script, tmp_path, capsys):
    folder = add_ours(tmp_path, 0, [9.0] * 4, last=None)
    add_evaluation(folder, 100, [3.0] * 4, '--eval_lookahead.depth', '2')
    other = add_ours(tmp_path, 1, [9.0] * 4, last=None)
    add_evaluation(other, 100, [3.0] * 4, '--env.config.lanes_count', '2')
    assert rows_of(script, tmp_path) == {
        ('highway', 200, 'best'): [(0, 100), (1, 100)],
        ('highway (eval_lookahead.depth 2)', 200, 'best'): [(0, 100)]}
    assert 'is of other settings: --env.config.lanes_count 2' in (
        capsys.readouterr().err)

  def test_equal_minutes_make_one_row_of_others(self, script, tmp_path):
    for seed, steps in (0, 50), (1, 70):
      add_baseline(
          tmp_path, 'ppo 2 minutes', [10.0] * 4, steps, minutes=2.0, seed=seed)
    assert rows_of(script, tmp_path) == {
        ('ppo 2 minutes', 0, 'last'): [(0, 50), (1, 70)]}
    assert table_of(page_of(script, tmp_path)[0])[2][3] == '50 to 70'


def test_the_best_of_each_kind_is_compared_with(script):
  rows = [
      script.Row(name, 0, '', []) for name in (
          'observation_planner_hedged', 'ppo', 'slower_right', 'slower',
          'observation_planner')]
  assert [row.method for row in script.compared(rows)] == [
      'slower_right', 'observation_planner_hedged']


def test_the_readme_shows_what_was_measured():
  """Each row of its table is one of the method that it names."""
  measured = {}
  for row in json.loads((ROOT / 'results' / f'{TASK}.json').read_text()):
    stat = row['statistics']
    measured.setdefault(row['method'], []).append((
        f"{row['steps']:,}", row['checkpoint'],
        f"{stat['return']:.1f} ± {stat['return_std']:.1f}",
        f"{100 * stat['crash_rate']:.0f} %", f"{stat['speed']:.1f}"))
  text = (ROOT / 'README.md').read_text()
  _, _, *rows = table_of(text, 'Results')
  assert len(rows) > 4
  for name, *cells in rows:
    *_, scores, crashes, speed = cells
    found = [
        (steps, checkpoint) for steps, checkpoint, *rest in
        measured[re.search('`(.*?)`', name)[1]]
        if rest == [x.strip('*') for x in (scores, crashes, speed)]]
    assert len(found) == 1, name
    if found[0][1]:  # What learned.
      assert f'{found[0][0]} steps' in name and f'{found[0][1]} ' in name


def test_results_that_are_kept_are_small_and_of_no_computer():
  files = list((ROOT / 'results').iterdir())
  assert {path.suffix for path in files} == {'.json', '.md', '.png'}
  assert sum(path.stat().st_size for path in files) < 500_000
  for path in files:
    if path.suffix != '.png':
      assert not re.search(r'/(home|root|work|tmp)\b', path.read_text())


@pytest.mark.parametrize('words, match', [
    (['--indir', '{}/none'], 'is no folder'),
    (['--indir', '{}'], 'No evaluated run below'),
    (['--indirr', '{}'], "Unknown flag '--indirr'. Known flags: --indir"),
    (['--indir', '{}', '--samples', '0'], "'samples' must be at least 1"),
])
def test_mistakes(script, tmp_path, words, match, capsys):
  assert script.main([word.format(tmp_path) for word in words]) == 2
  assert match in capsys.readouterr().err
