"""The command `dreamerv2 plot`."""

import json
import os
import pathlib
import re

import folders
import numpy as np
import pytest

from dreamerv2_tf import cli
from dreamerv2_tf.commands import plot as command
from dreamerv2_tf.curves import draw, plot
from dreamerv2_tf.curves.scores import Baseline

TASK = 'gym_CartPole-v1'


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
  """Runs the command in an empty folder; returns status, out and err lines."""
  work = tmp_path / 'work'
  work.mkdir()
  monkeypatch.chdir(work)
  # Pictures are looked at in the tests of `draw`.
  monkeypatch.setattr(draw, 'save', lambda figure, start, dpi: [
      pathlib.Path(f'{start}.png')])

  def run(*words):
    status = cli.main(['plot', *map(str, words)])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()
  return run


def written(name='runs.json', folder='plots/logdir'):
  return [
      (x['task'], x['method'], x['seed'], x['xs'], x['ys'])
      for x in json.loads(pathlib.Path(folder, name).read_text())]


@pytest.fixture
def logdir(tmp_path):
  folder = tmp_path / 'logdir'
  for seed in 0, 1:
    folders.ours(folder / f'r{seed}', folders.rows(1 + seed, 5), seed=seed)
  return folder


def test_runs_become_curves(call, logdir):
  status, out, err = call(logdir)
  assert status == 0 and err == []
  assert out == [
      f'{TASK}: eval_return', '  debug',
      '    5 (5 to 5) at step 200, seeds 0, 1',
      'Shaded: mean and standard deviation of the seeds.',
      'plots/logdir/curves.png', 'plots/logdir/runs.json']
  assert written() == [
      (TASK, 'debug', 0, [100, 200], [1, 5]),
      (TASK, 'debug', 1, [100, 200], [2, 5])]


def test_one_seed_has_no_shade(call, logdir):
  status, out, _ = call(logdir / 'r0')
  assert status == 0 and not [x for x in out if x.startswith('Shaded')]


def test_pictures_are_there(tmp_path, logdir, capsys):
  assert cli.main([
      'plot', str(logdir), '--outdir', str(tmp_path / 'out'), '--subdir',
      'False', '--dpi', '40']) == 0
  assert {path.name for path in (tmp_path / 'out').iterdir()} == {
      'curves.png', 'curves.pdf', 'runs.json'}


def test_names_may_be_no_utf_8_and_look_like_formulas(tmp_path, capsys):
  folder = tmp_path / os.fsdecode(b'$\\frac{$/\xff')
  folders.write(folder / '0' / 'metrics.jsonl', folders.rows(1, 2))
  outdir = tmp_path / os.fsdecode(b'\xfe')
  assert cli.main([
      'plot', str(tmp_path), '--outdir', str(outdir), '--xlabel', '\t']) == 0
  out, err = capsys.readouterr()
  assert err == '' and out.endswith('\\udcfe/' + f'{tmp_path.name}/runs.json\n')
  assert written(folder=outdir / tmp_path.name) == [
      ('$\\frac{$', '\\xff', 0, [100, 200], [1, 2])]


def test_the_flags_of_the_original(call, tmp_path):
  for seed in 1, 2:
    folders.original(tmp_path / 'logdir', 'atari_pong', 'a', seed, [
        *folders.rows(1, seed + 1, 3, 99, every=5e5)])
  folders.original(tmp_path / 'logdir', 'atari_pong', 'b', 1, folders.rows(1))
  folders.original(tmp_path / 'logdir', 'dmc_walk', 'a', 1, folders.rows(1))
  status, out, err = call(
      '--indir-prefix', tmp_path, '--indir', 'logdir', '--outdir', 'o',
      '--subdir', 'True', '--xaxis', 'step', '--yaxis', 'eval_return',
      '--tasks', 'atari_.*', '--methods', 'a$', '--baselines', 'impala',
      '--prefix', 'True', '--bins', '1e6', '--agg', 'per0', '--size', '2', '3',
      '--dpi', '50', '--cols', '2', '--xlim', '0', '2e6', '--ylim', '-3', '9',
      '--ylimticks', 'False', '--xlabel', 'x', '--ylabel', 'y', '--xticks',
      '3', '--yticks', '3', '--xmult', '2', '--labels', 'indir1_a', 'A name',
      '--palette', 'discrete', '--legendcols', '1', '--colors', 'indir1_a',
      'red', '--maxval', '7', '--add', 'none')
  assert (status, err) == (0, [])
  assert written(folder='o/logdir') == [
      ('atari_pong', 'indir1_a', seed, [1e6, 2e6, 3e6, 4e6],
       [1, seed + 1, 3, 7]) for seed in (1, 2)]
  assert 'Shaded: median, lowest and highest seed.' in out


@pytest.mark.parametrize('words, xs', [
    (['--bins', '40'], [40, 80, 120]), (['--bins=none'], [30, 60, 90, 120]),
    (['--bins', '0'], [30, 60, 90, 120]), (['--bins', 'auto'], None),
    (['--nbins', '2'], [60, 120]), (['--bins', '-1'], None)])
def test_bins(call, tmp_path, words, xs):
  folders.ours(tmp_path / 'logdir', folders.rows(1, 2, 3, 4, every=30))
  assert call(tmp_path / 'logdir', *words)[0] == 0
  [(*_, got, _)] = written()
  assert got == (xs or [30, 60, 90, 120])  # Of few points, all are shown.


def test_other_metrics_have_files_of_their_own(call, tmp_path):
  folders.ours(tmp_path / 'logdir', [
      {'step': 1, 'eval_return': 3, 'a/b': 4, 'time_total': 60}])
  for words in [], ['--yaxis', 'a/b'], ['--xaxis', 'time_total']:
    assert call(tmp_path / 'logdir', *words)[0] == 0
  assert {x.name for x in pathlib.Path('plots/logdir').iterdir()} == {
      'runs.json', 'runs-a-b.json', 'runs-time_total.json'}


def test_what_was_written_can_be_drawn_again(call, logdir):
  assert call(logdir)[0] == 0
  first = written()
  status, out, _ = call('plots/logdir/runs.json')
  assert status == 0 and 'plots/runs/runs.json' in out
  assert written(folder='plots/runs') == first


def test_one_seed_counts_once_and_runs_without_the_metric_not_at_all(
    call, logdir):
  folders.ours(logdir / 'again', folders.rows(9), seed=1)
  folders.ours(logdir / 'young', [{'step': 1, 'train_return': 2}], seed=2)
  status, _, err = call(logdir)
  assert status == 0 and [x[2] for x in written()] == [0, 1]
  assert err == [
      f'Left out: {logdir}/again, as {logdir}/r1 has seed 1 of debug in {TASK},'
      ' too, and is longer.',
      f'Left out: {logdir}/young has no eval_return; it has step, '
      'train_return.']


def test_lengths_that_differ_are_told(call, logdir):
  folders.ours(logdir / 'long', folders.rows(1, 2, 3), seed=7)
  _, out, _ = call(logdir)
  assert '    4 (2.586 to 5.414) at step 200, seeds 0, 1, 7' in out
  assert 'Dotted: where not all seeds are.' in out


def test_seeds_that_do_not_meet_are_told(call, tmp_path):
  for seed, step in (0, 10), (1, 20):
    folders.ours(
        tmp_path / 'logdir' / f'{seed}', folders.rows(1, every=step), seed=seed)
  _, out, _ = call(tmp_path / 'logdir')
  assert '    seeds 0, 1, which have no point in common' in out


def test_action_repeats_that_differ_are_told(call, tmp_path):
  for repeat in 1, 4:
    folders.ours(
        tmp_path / 'logdir' / f'{repeat}', folders.rows(1), '--action_repeat',
        str(repeat))
  _, _, err = call(tmp_path / 'logdir')
  assert err == [
      f'{TASK}: runs with action repeat 1 and 4 are in one panel; x is '
      'environment steps in all of them, repeated actions included.']


def panels(monkeypatch, call, *words):
  """Returns the panels and the look of the figure that a call draws."""
  seen, whole = [], draw.figure
  monkeypatch.setattr(
      draw, 'figure', lambda *args: (seen.append(args), whole(*args))[1])
  assert call(*words)[0] == 0
  return seen[-1]


def test_games_have_the_scores_of_humans(call, tmp_path, monkeypatch):
  for task in 'atari_pong', 'atari_alien':
    folders.original(
        tmp_path / 'logdir', task, 'm', 1, folders.rows(1, 2, every=2e6))
  drawn, look = panels(monkeypatch, call, tmp_path / 'logdir')
  assert [panel.title for panel in drawn] == [
      'Alien', 'Pong', 'Gamer median', 'Gamer mean', 'Record mean',
      'Clipped record mean']
  assert {x.method: x.score for x in drawn[0].levels} == {
      'human_gamer': 7127.7, 'rainbow_sticky_2e8': 3456.9}
  assert 'action repeat 4' in look.xlabel
  # Of the gamer's 7127.7 and 14.6 and of 228.8 and -20.7 at random.
  last = drawn[3].runs[0].ys[-1]
  assert last == pytest.approx(np.mean([
      (2 - 228.8) / (7127.7 - 228.8), (2 + 20.7) / (14.6 + 20.7)]), rel=1e-3)


def test_tasks_that_no_seed_has_all_are_not_combined(
    call, tmp_path, monkeypatch, logdir):
  folders.original(logdir, 't', 'm', 1, folders.rows(1))
  drawn, _ = panels(monkeypatch, call, logdir)
  assert [panel.title for panel in drawn] == ['CartPole-v1', 'T']
  _, _, err = call(logdir, '--add', 'mean')
  assert len(err) == 2 and 'Left out of combined curves' in err[0]


def test_levels_beside_runs(call, logdir, monkeypatch):
  folders.baseline(logdir / 'slow', folders.rows(4))
  folders.baseline(logdir / 'idle', folders.rows(3), 'idle')
  [panel], look = panels(monkeypatch, call, logdir)
  assert [(x.method, x.score) for x in panel.levels] == [('slower', 4)]
  assert list(look.methods) == ['debug', 'slower']
  [panel], _ = panels(monkeypatch, call, logdir, '--baselines', 'i.le')
  assert [x.method for x in panel.levels] == ['idle']


def test_labels_and_colors_may_name_the_short_name_of_a_method(
    call, tmp_path, monkeypatch):
  words = [
      x for i in range(9) for x in ('--env.config.' + 'k' * 9 + str(i), '1')]
  folders.ours(tmp_path / 'logdir', folders.rows(1), *words)
  _, look = panels(monkeypatch, call, tmp_path / 'logdir')
  [short] = look.methods.values()
  assert short == 'debug + 9 settings (logdir)'
  _, look = panels(
      monkeypatch, call, tmp_path / 'logdir', '--labels', short, 'mine',
      '--colors', short, 'red')
  assert [*look.methods.values()] == ['mine']
  assert [*look.colors.values()] == ['red']


@pytest.mark.parametrize('name, value', [('labels', 'x'), ('colors', 'red')])
def test_labels_and_colors_of_nothing_are_told(call, logdir, name, value):
  status, _, err = call(logdir, f'--{name}', 'other', value)
  assert (status, err) == (0, [
      f"--{name}: nothing here is named 'other'. There are debug."])


def test_known_scores_count_rather_than_those_of_a_file():
  said, path = [], pathlib.Path('x.json')
  known = [Baseline('t', 'a', 302.8, path), Baseline('other', 'a', 1, path)]
  got = plot.merged([
      Baseline('t', 'a', 29, path), Baseline('t', 'b', 5, path)], known, {'t'},
      said.append)
  assert [(x.method, x.score) for x in got] == [('a', 302.8), ('b', 5)]
  assert said == [
      'x.json: a of t is 29 there; 302.8, as in the paper, counts.']
  said.clear()
  assert len(plot.merged(
      [Baseline('t', 'a', 302.75, path)], known, {'t'}, said.append)) == 1
  assert said == []


@pytest.mark.parametrize('words, match', [
    (['{}/none'], "--indir: '.*none' is neither a folder nor a file"),
    (['{}/work'], 'No runs to plot: no metrics.jsonl and no score file with '
                  'runs in or below .*work'),
    (['--yaxis', 'eval_retrn'], "none of 2 has the metric 'eval_retrn'. Did "
     "you mean 'eval_return'. They have: eval_return, step"),
    (['--xaxis', 'time'], "has the metric 'time'"),
    (['--tasks', 'x'], 'match none of 2. Tasks: gym_CartPole-v1. Methods: deb'),
    (['--methods', 'x'], 'match none of 2'),
    (['--tasks', '('], "'tasks': '\\(' is no valid regular expression"),
    (['--yaxes', 'x'], "Unknown flag '--yaxes'. Did you mean '?-*yaxis"),
    (['--agg', 'std'], "'agg' must be one of std1, .* mean 'std1'"),
    (['--by', 'x'], "'by' must be one of"), (['--fill', 'x'], "'fill' must be"),
    (['--add', 'x'], "'add' must be one of"), (['--bins', 'x'], 'is no number'),
    (['--bins', '-3'], "'bins' must be a width, none or auto but is -3"),
    (['--bins', '3', '--nbins', '3'], "Give one of 'bins' and 'nbins'"),
    (['--bins', 'nan'], "'nan' is no number"),
    (['--dpi', '9'], "'dpi' must be at least 10 but is 9"),
    (['--cols', '0'], "'cols' must be at least 1 but is 0"),
    (['--dpi', 'x'], "'dpi' must be a whole number"),
    (['--xlim', '3'], "'xlim' must be two numbers, the lower one first, but "),
    (['--xlim', '3', '1'], "'xlim' must be two numbers, the lower one first"),
    (['--xlim', '0', '1e300'], "'xlim' must be two numbers from -1e15 to 1e15"),
    (['--size', '0', '1'], "'size' must be two numbers from 0.5 on"),
    (['--size', '1'], "'size' must be two numbers but is 1"),
    (['--labels', 'a'], "'labels' must be pairs but has 1 words"),
    (['--xmult', '0'], "'xmult' must be a factor from 1e-9 to 1e9 but is 0.0"),
    (['--size', '1000', '1000'], 'have 200,000 x .* pixels; .* Lower --size'),
    (['--ylabel', r'$\frac$'], 'a formula between \\$ that matplotlib can no'),
    (['--labels', 'debug', '$x_$'], "'.x_.' has a formula between"),
    (['--palette', 'no'], "'no' is no color"), (['--labels'], 'needs a value'),
    (['--configs', 'debug'], "Unknown flag '--configs'"),
])
def test_mistakes_are_told_in_a_line_and_nothing_is_written(
    call, tmp_path, logdir, words, match):
  words = [word.format(tmp_path) for word in words]
  words = words if words[0][:2] != '--' else [logdir, *words]
  status, out, err = call(*words)
  assert (status, out) == (2, [])
  assert err[-1].startswith('error: ') and re.search(match, err[-1])
  assert os.listdir() == []


def test_a_folder_that_can_not_be_written_is_told(call, logdir):
  pathlib.Path('plots').write_text('')
  status, _, err = call(logdir)
  assert status == 6
  assert err == ['error: Can not write plots/logdir: Not a directory.']


def test_the_help_has_all_flags(call):
  status, out, _ = call('--help')
  text = '\n'.join(out)
  assert status == 0 and all(f'\n  --{name}' in text for name in command.FLAGS)
  assert max(map(len, out)) <= 80
