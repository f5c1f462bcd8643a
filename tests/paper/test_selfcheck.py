import re
import shutil

import papers
import pytest

from dreamerv2_tf import cli
from dreamerv2_tf.errors import StateError
from dreamerv2_tf.paper import published, selfcheck


@pytest.fixture
def folder(tmp_path):
  return shutil.copytree(published.DATA, tmp_path / 'data')


def change(folder, name, start, column, value):
  """Sets a cell of the only row of a table that begins so."""
  path = folder / f'{name}.csv'
  head, *rows = path.read_text().splitlines()
  place = head.split(',').index(column)
  found = [i for i, row in enumerate(rows) if row.startswith(start)]
  assert len(found) == 1, found
  cells = rows[found[0]].split(',')
  assert cells[place] != value
  cells[place] = value
  rows[found[0]] = ','.join(cells)
  path.write_text('\n'.join([head, *rows]) + '\n')


def failed(folder):
  return {
      check.name.split(',')[0]: [*check.problems()]
      for check in selfcheck.check(folder) if not check.passed}


def test_the_paper_is_computed_from_its_runs():
  checks = selfcheck.check()
  assert [(check.good, len(check.parts)) for check in checks] == [
      (55, 55), (55, 55), (6, 6), (3, 3), (24, 24), (55, 55), (7, 7)]
  assert all(check.passed for check in checks)
  numbers = {
      name: [pair.computed for pair in part]
      for check in checks for name, part in check.parts.items()}
  assert numbers['dreamerv2'] == pytest.approx(
      [2.15, 11.33, 0.44, 0.28], abs=0.005)
  assert numbers['dreamerv2_schedules'][:2] == pytest.approx(
      [2.64, 10.45], abs=0.005)
  assert numbers['dreamerv2_recomputed_aggregate_then_seeds'][0] == (
      pytest.approx(1.79, abs=0.005))


def test_a_changed_return_of_one_seed_is_found(folder):
  change(
      folder, 'atari_final_per_seed', 'breakout,dreamerv2,4,', 'return_at_199m',
      '100')
  problems = failed(folder)
  assert [*problems] == [
      'Table K.1', 'Table 1', 'Per seed: aggregates of each seed',
      'Curves end where the scores are']
  (text,) = problems['Table K.1']
  assert re.fullmatch(r'breakout: computed 2\d\d\.\d+, expected 312', text)


@pytest.mark.parametrize('name, start, column, value, check', [
    ('atari_scores', 'pong,', 'paper_table_dreamerv2', '21', 'Table K.1'),
    ('atari_scores', 'pong,', 'paper_table_iqn', '21', 'Table K.1'),
    ('atari_scores', 'james_bond,', 'human_gamer', '29', 'Table 1'),
    ('atari_aggregates', 'iqn,', 'gamer_median', '1.30', 'Table 1'),
    ('atari_curves', 'pong,10,', 'mean_return', '-17', 'Curves'),
    ('atari_curves_baselines', 'pong,c51,199,', 'mean_return', '1',
     'Curves end where the scores are'),
    ('dmc_vision_scores', 'walker_walk,1M,', 'mean_return', '900',
     'DeepMind Control: mean over 20 tasks at each number of steps')])
def test_any_changed_number_is_found(folder, name, start, column, value, check):
  change(folder, name, start, column, value)
  assert check in failed(folder)


def test_a_lost_seed_is_found(folder):
  path = folder / 'atari_final_per_seed.csv'
  path.write_text(re.sub(r'pong,dreamerv2,10,.*\n', '', path.read_text()))
  with pytest.raises(StateError, match='pong has 7 runs of dreamerv2, exp'):
    selfcheck.check(folder)


def test_a_lost_row_is_found(folder):
  path = folder / 'atari_curves.csv'
  path.write_text(re.sub(r'pong,10,.*\n', '', path.read_text()))
  assert failed(folder)['Curves'][-1] == (
      'games at 10,000,000 frames: computed 54, expected 55')
  path = folder / 'atari_curves_baselines.csv'
  path.write_text(re.sub(r'pong,dqn,199,.*\n', '', path.read_text()))
  with pytest.raises(StateError, match='199000000'):
    selfcheck.check(folder)


def test_numbers_round_to_what_is_printed():
  agrees = lambda printed, computed, unit: selfcheck.Pair(
      '', printed, computed, unit).agrees
  assert agrees(2.15, 2.1451, 0.01) and agrees(2.15, 2.155, 0.01)
  assert not agrees(2.15, 2.1449, 0.01) and not agrees(2.15, 2.1551, 0.01)
  assert agrees(2, 2.5, 1) and agrees(8, 8, 0) and not agrees(8, 7, 0)
  assert not agrees(2, float('nan'), 1)


def test_the_command_says_55_of_55(capsys):
  assert cli.main(['compare', '--self-check']) == 0
  out = capsys.readouterr().out
  lines = out.splitlines()
  assert lines[0] == (
      'Table K.1, DreamerV2: mean of 8 seeds at 199M frames               '
      '55 of 55')
  assert lines[7].startswith('highway_highway-fast-v0: returns and crashes')
  assert re.search(
      r'dreamerv2 +2\.146 \(2\.15\) *11\.327 \(11\.33\) +0\.438 \(0\.44\) +'
      r'0\.280 \(0\.28\)', out)
  assert re.search(r'schedules +2\.640 \(2\.64\) *10\.450 \(10\.45\)', out)
  assert re.search(r'\nper seed +1\.787 ', out)
  assert max(map(len, lines)) <= 80


def test_the_command_fails_if_a_number_is_wrong(folder, monkeypatch, capsys):
  change(folder, 'atari_scores', 'pong,', 'paper_table_dreamerv2', '21')
  monkeypatch.setattr(published, 'DATA', folder)
  assert cli.main(['compare', '--self-check']) == 3
  said = capsys.readouterr()
  assert '54 of 55\n  pong: computed 19.55, expected 21' in said.out
  assert 'do not agree with each other: Table K.1' in said.err


def test_the_self_check_takes_no_runs(tmp_path, capsys):
  papers.original(tmp_path, scores=[1])
  assert cli.main(['compare', str(tmp_path), '--self-check']) == 2
  assert 'no runs' in capsys.readouterr().err


@pytest.mark.parametrize('content, text', [
    (b'a,b\n1\n', 'row 2 has not as many cells'), (b'\xff\xfe', 'no table'),
    (b'game,random\npong,x\n', "row 2 has no number in 'random' but 'x'")])
def test_damaged_tables_are_told(folder, content, text):
  (folder / 'atari_scores.csv').write_bytes(content)
  with pytest.raises(StateError, match=text):
    published.games(folder=folder)
  (folder / 'atari_scores.csv').unlink()
  with pytest.raises(StateError, match='No such file'):
    published.games(folder=folder)
