import csv
import json
import os

import papers
from PIL import Image
import pytest

from dreamerv2_tf import cli
from dreamerv2_tf.commands import compare as command
from dreamerv2_tf.curves import runs
from dreamerv2_tf.paper import compare, published, text

M = papers.M


def call(capsys, *words, status=0):
  assert cli.main(['compare', *map(str, words)]) == status
  said = capsys.readouterr()
  return said.out, said.err


def result(place, **kwargs):
  found = runs.once(runs.find([place], print), print)
  return compare.compare(found, print, **kwargs)


def test_the_paper_compared_with_itself_is_the_same(tmp_path):
  place = papers.copy_of_the_paper(tmp_path / 'scores.json')
  (one,) = result(place)['paper']
  (total,) = one['aggregates']
  assert total['frames'] == published.LAST and len(total['games']) == 55
  assert total['paired'] == 'name'
  for order, want in ('seeds_first', [2.146, 11.327, 0.438, 0.280]), (
      'per_seed', [1.787, 11.327, 0.438, 0.276]):
    scores = total[order]
    assert [*scores['yours'].values()] == pytest.approx(want, abs=6e-4)
    for other in 'paper', 'paper_all':
      assert [*scores[other].values()] == pytest.approx(want, abs=6e-4)
    assert scores['ci95'] == scores['paper_ci95']
    low, high = scores['ci95']['gamer_mean']
    assert 10 < low < 11.327 < high < 13
  assert all(
      abs(x['rows'][-1]['distance']) < 1e-3 for x in one['tasks'].values())
  assert one['tasks']['breakout']['end']['paper_runs'][:3] == [1.1, 1.2, 4.4]
  assert max(map(len, text.lines(
      {'paper': [one], 'highway': None}, curves=True))) <= 80
  notes = '\n'.join(one['notes'])
  assert (
      "breakout: 4 of the paper's 8 runs had stopped and count with their last "
      'value, as in its table; its complete ones have 490') in notes
  assert 'seed' not in notes and 'no settings beside these scores' in notes


def test_aggregates_over_some_games_are_of_the_same_games(tmp_path):
  games = ['pong', 'qbert', 'breakout']
  place = papers.copy_of_the_paper(tmp_path / 'scores.json', games)
  (total,) = result(place)['paper'][0]['aggregates']
  assert total['games'] == sorted(games) and total['of'] == 55
  # Pong 1.140, Qbert 7.112, Breakout 10.770 of gamers, as in the table.
  assert total['seeds_first']['paper']['gamer_median'] == pytest.approx(
      7.112, abs=1e-3)
  assert total['seeds_first']['yours']['gamer_median'] == pytest.approx(
      7.112, abs=1e-3)
  assert total['seeds_first']['paper_all']['gamer_median'] == pytest.approx(
      2.146, abs=1e-3)
  assert total['per_seed']['paper'] == total['per_seed']['yours']
  assert total['per_seed']['paper_all']['gamer_median'] == 1.787


def test_before_the_end_part_of_the_games_have_no_scores_per_seed(tmp_path):
  for game in 'pong', 'qbert':
    papers.original(tmp_path, f'atari_{game}', scores=range(10))
  (total,) = result(tmp_path)['paper'][0]['aggregates']
  assert total['frames'] == 10 * M and total['per_seed']['paper'] is None
  assert total['per_seed']['paper_all']['gamer_median'] == 0.5
  assert total['seeds_first']['ci95'] is None and total['paired'] == 'single'
  notes = [*text.aggregate_notes(total)]
  assert notes[0].startswith('One seed in each') and '199M alone' in notes[1]


def test_short_runs_do_not_hide_how_far_others_came(tmp_path):
  papers.original(tmp_path, 'atari_alien', scores=[1])
  for game in 'pong', 'qbert':
    papers.original(tmp_path, f'atari_{game}', scores=range(5))
  first, second = result(tmp_path)['paper'][0]['aggregates']
  assert (first['frames'], len(first['games'])) == (M, 3)
  assert (second['frames'], second['games']) == (5 * M, ['pong', 'qbert'])


@pytest.mark.parametrize('seeds, paired', [
    ({'pong': [1, 2], 'qbert': [1, 2]}, 'name'),
    ({'pong': [1, 2], 'qbert': [2]}, 'some'),
    ({'pong': [1, 2], 'qbert': [3, 4]}, 'order'),
    ({'pong': [1], 'qbert': [2]}, 'single')])
def test_seeds_of_games_are_joined(tmp_path, seeds, paired):
  for game, names in seeds.items():
    for seed in names:
      papers.original(tmp_path, f'atari_{game}', seed=seed, scores=[seed])
  (total,) = result(tmp_path)['paper'][0]['aggregates']
  assert total['paired'] == paired


def test_what_is_not_alike_is_said(tmp_path):
  papers.original(tmp_path, 'atari_pong', scores=[1] * 3)
  papers.original(tmp_path, 'atari_qbert', seed=1, scores=[1] * 3)
  papers.original(tmp_path, 'atari_qbert', seed=2, scores=[1] * 3)
  papers.original(
      tmp_path, 'atari_hero', scores=[1] * 3, metric='train_return')
  papers.original(tmp_path, 'atari_alien', scores=[1], every=M // 2)
  papers.original(
      tmp_path, 'atari_gopher', scores=[1] * 3, eval_noise=0.1, eval_eps=20)
  notes = '\n'.join(result(tmp_path)['paper'][0]['notes'])
  for line in [
      'alien: ends at 0.5M, and the first published point is at 1M',
      'pong: one seed against 8: no interval', 'qbert: 2 seeds against 8',
      'hero: yours are returns of training, whose actions are sampled',
      'stops before the published end, at 199M',
      "gopher: your evaluations act with eval_noise, the paper's not",
      "a point of yours is the mean of 1 episode, the paper's of 10"]:
    assert line in notes, line
  assert not any(
      'mean of 20' in x or 'gopher' in x and 'mean of 1 ' in x
      for x in notes.splitlines())


def test_runs_beyond_the_paper_are_compared_up_to_its_end(tmp_path):
  papers.original(tmp_path, scores=[19] * 250)
  (one,) = result(tmp_path)['paper']
  rows = one['tasks']['pong']['rows']
  assert rows[-1]['frames'] == published.LAST and len(rows) == 24
  assert one['tasks']['pong']['end']['above'] == 2  # 16.7 and 18.9.
  assert any('beyond 199M has no counterpart' in x for x in one['notes'])


def test_smoothed_values_are_compared_with_smoothed_ones(tmp_path):
  papers.original(tmp_path, scores=range(10))
  row = result(tmp_path, smooth=True)['paper'][0]['tasks']['pong']['rows'][-1]
  assert row['frames'] == 10 * M and row['yours'] == 4.5
  point = next(x for x in published.curves()['pong'] if x.frames == 10 * M)
  assert row['paper'] == point.smooth != point.mean


def test_dmc_has_its_own_bins_and_aggregates(tmp_path):
  for task in 'walker_walk', 'cheetah_run', 'humanoid_walk':
    papers.original(
        tmp_path, f'dmc_{task}', scores=range(1, 101), every=10_000,
        metric='train_return', preset='dmc_vision')
  (one,) = result(tmp_path)['paper']
  rows = one['tasks']['walker_walk']['rows']
  assert [x['frames'] for x in rows] == [
      90_000, 240_000, 480_000, 750_000, 990_000]
  assert rows[0]['yours'] == 8  # Of 7, 8 and 9.
  assert [x['frames'] for x in one['tasks']['humanoid_walk']['rows']] == [
      300_000]
  (total,) = one['aggregates']
  assert total['games'] == ['cheetah_run', 'walker_walk']
  assert total['seeds_first']['paper']['mean'] == pytest.approx(
      (956.454 + 731.938) / 2)
  assert total['seeds_first']['paper_all']['mean'] == 748.893
  assert one['settings_notes'][0].startswith('The settings of the published')


def test_the_command_prints_tables_of_80_columns(tmp_path, capsys):
  for game in 'pong', 'breakout':
    for seed in 1, 2:
      papers.original(
          tmp_path, f'atari_{game}', seed=seed, scores=range(12))
  out, err = call(capsys, tmp_path)
  assert err == '' and max(map(len, out.splitlines())) <= 80
  assert out.startswith('Atari: mine, 2 games, 4 runs\n')
  assert 'breakout     10M   9.00      2   6.61  3.55   +0.7   0.25   0.17' in (
      out)
  assert 'pong: the published points that your runs reached' in out
  assert 'Aggregates over 2 of 55 games at 10M' in out
  assert '- slow_baseline: True, paper False' in out
  assert call(capsys, '--logdir', tmp_path)[0] == out
  assert call(capsys, '--indir', tmp_path)[0] == out


def test_curves_of_many_tasks_are_shown_on_request(tmp_path, capsys):
  place = papers.copy_of_the_paper(
      tmp_path / 's.json', ['pong', 'qbert', 'breakout', 'alien'])
  short, _ = call(capsys, place)
  long, _ = call(capsys, place, '--curves')
  assert 'published points' not in short and 'at the end' not in short
  assert long.count('published points') == 4
  assert long.count(', at the end: ') == 4
  assert max(map(len, long.splitlines())) <= 80


def test_json_is_one_object(tmp_path, capsys):
  papers.original(tmp_path, scores=range(3))
  papers.original(tmp_path, 'atari_foo', scores=range(3))
  out, err = call(capsys, tmp_path, '--json')
  assert err.startswith('Left out: ')
  data = json.loads(out)
  assert data['left_out'] == [err.strip()] and data['highway'] is None
  (one,) = data['paper']
  assert one['runs'][0]['metric'] == 'eval_return'
  assert [x['yours'] for x in one['tasks']['pong']['rows']] == [0, 1, 2]


def test_files_are_written_on_request(tmp_path, capsys):
  for game in 'pong', 'breakout':
    papers.original(tmp_path / 'in', f'atari_{game}', scores=range(5))
  outdir = tmp_path / 'a' / 'b'
  out, _ = call(capsys, tmp_path / 'in', '--outdir', outdir)
  names = ['compare.json', 'compare.md', 'compare.csv', 'atari-mine.png']
  assert out.splitlines()[-4:] == [str(outdir / name) for name in names]
  assert {x.name for x in outdir.iterdir()} == {*names}
  with (outdir / 'compare.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 8
  assert rows[-1]['task'] == 'pong' and rows[-1]['frames'] == '5000000'
  assert float(rows[-1]['yours']) == 4 and rows[-1]['yours_low'] == ''
  page = (outdir / 'compare.md').read_text()
  assert '| pong | 5M | 4.00 | - | 1 | 11.28 | 2.74 | -2.7 |' in page
  assert '![](atari-mine.png)' in page and '### Not alike' in page
  assert json.loads((outdir / 'compare.json').read_text())['paper']
  with Image.open(outdir / 'atari-mine.png') as image:
    assert image.size[0] > 500
    assert len(image.convert('RGB').getcolors(1 << 24)) > 50


@pytest.mark.parametrize('words, message', [
    ([], 'compare needs runs: dreamerv2 compare DIR'),
    (['nothing'], "There is no 'nothing'."),
    (['.'], 'No run in .'),
    (['.', '--metric', 'loss'], "'metric' must be one of auto"),
    (['.', '--stepps', '3'], "Unknown flag '--stepps'"),
    (['.', '--configs', 'atari'], "Unknown flag '--configs'")])
def test_mistakes_are_told_in_a_line(
    tmp_path, monkeypatch, capsys, words, message):
  monkeypatch.chdir(tmp_path)
  out, err = call(capsys, *words, status=2)
  assert out == '' and message in err and err.count('\n') == 1
  assert list(tmp_path.iterdir()) == []


def test_nothing_to_compare_ends_with_status_2(tmp_path, capsys):
  papers.original(tmp_path, 'atari_foo', scores=[1])
  _, err = call(capsys, tmp_path, status=2)
  assert err.splitlines()[-1] == (
      'error: No run can be compared: see above why.')
  papers.original(tmp_path, 'atari_pong', scores=[1], every=10)
  out, err = call(capsys, tmp_path, status=2)
  assert 'nothing to compare yet' in out.replace('\n  ', ' ')
  assert 'None of these runs has reached a published point yet.' in err


def test_broken_lines_and_odd_numbers_are_passed_over(tmp_path, capsys):
  folder = papers.original(tmp_path, scores=[1, 2])
  with (folder / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 3\n{"step": 3000000, "eval_return": NaN}\n{"st')
  out, err = call(capsys, tmp_path)
  assert 'passed over 1 broken line' in err and 'no finite number' in err
  assert '  2M   2.00' in out


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, capsys):
  papers.original(tmp_path / 'in', scores=[1])
  (tmp_path / 'out').write_text('x')
  _, err = call(
      capsys, tmp_path / 'in', '--outdir', tmp_path / 'out', status=2)
  assert 'is no folder' in err


def test_a_folder_that_can_not_be_written_is_told(tmp_path, capsys):
  papers.original(tmp_path / 'in', scores=[1])
  (tmp_path / 'file').write_text('')
  _, err = call(
      capsys, tmp_path / 'in', '--outdir', tmp_path / 'file' / 'out', status=6)
  assert err.splitlines()[-1] == (
      f'error: Can not write {tmp_path}/file/out: Not a directory.')


def test_names_that_are_no_utf_8_are_escaped(tmp_path, capsys):
  place = tmp_path / os.fsdecode(b'\xff')
  papers.original(place, scores=[1], method='$\\frac{$')
  out, _ = call(capsys, tmp_path, '--json', '--outdir', tmp_path / 'out')
  written = json.loads((tmp_path / 'out' / 'compare.json').read_text())
  assert written == json.loads(out)
  [run] = written['paper'][0]['runs']
  assert run['place'].startswith(str(place))


def test_the_help_names_all_flags(capsys):
  assert cli.main(['compare', '--help']) == 0
  out = capsys.readouterr().out
  assert all(f'  --{name}' in out for name in command.FLAGS)
  assert max(map(len, out.splitlines())) <= 80
