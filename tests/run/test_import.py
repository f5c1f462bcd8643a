"""Runs that begin with the episodes of the original, and what it left."""

import json

import elsewhere
import numpy as np
import pytest
import runs
import toys

import dreamerv2_tf as dv2
from dreamerv2_tf import cli, original

KILL = """
import os, signal
from dreamerv2_tf import files
write, count = files.write, [0]
def die(path, fill):
  count[0] += '.tmp-' in str(path)  # An episode.
  if count[0] == 3:
    os.kill(os.getpid(), signal.SIGKILL)
  write(path, fill)
files.write = die
"""


KILLED = -9


def said(capsys, *words):
  """Calls the command; returns its status and what it said."""
  status = cli.main([*map(str, words)])
  out, err = capsys.readouterr()
  return status, out, err


def test_a_run_begins_with_what_the_original_left(launcher, tmp_path):
  source, new = elsewhere.original(tmp_path / 'there'), tmp_path / 'new'
  before = runs.tree(source)
  out, err = launcher.call(new, '--import', source, '--trust')
  assert f'No --configs: settings from {source}/config.yaml.' in err
  assert (
      f'Imported      3 episodes, 21 steps from {source}/train_episodes '
      '(vector from image)\n') in out
  assert 'no checkpoint; 3 episodes, 21 steps in replay' in out
  assert runs.newest(new).step == 25
  assert len(runs.episodes(new)) >= 3
  assert runs.tree(source) == before
  config = dv2.Config.load(new / 'config.yaml')
  assert (config.prefill, config.rssm.deter, config.logdir) == (
      30, 16, str(new))
  # The same command goes on, and takes no episode again.
  count = len(runs.episodes(new))
  out, _ = launcher.call(new, '--import', source, '--steps', 40)
  assert 'Imported' not in out and 'Resumed       checkpoint 25' in out
  assert count <= len(runs.episodes(new)) <= count + 4
  _, err = launcher.call(
      new, '--import', source / 'eval_episodes', '--steps', 50, status=2)
  assert 'has begun without' in err


def test_a_killed_import_begins_anew(launcher, tmp_path):
  source, new = elsewhere.original(tmp_path / 'there'), tmp_path / 'new'
  launcher.call(
      new, '--import', source, '--trust', setup=KILL, status=KILLED)
  assert not (new / 'train_episodes').exists()
  assert any(path.name.startswith('.tmp-') for path in new.iterdir())
  out, _ = launcher.call(new, '--import', source, '--trust')
  assert 'Imported      3 episodes, 21 steps' in out
  assert not any(path.name.startswith('.tmp-') for path in new.iterdir())


def test_episodes_of_another_task_leave_nothing_behind(launcher, tmp_path):
  source, new = elsewhere.original(tmp_path / 'there'), tmp_path / 'a' / 'new'
  out, err = launcher.call(
      new, *runs.TOY, '--task', 'gym_toys:Dict-v0', '--import', source,
      status=3)
  line = err.splitlines()[-1]
  assert line.startswith(f'error: {source}/train_episodes: 3 of 3 episodes')
  assert 'the environment has' in line and 'Nothing was imported' in line
  assert not new.parent.exists()


def test_folders_without_episodes_are_told_before_anything_starts(
    tmp_path, capsys):
  for place in tmp_path, tmp_path / 'none':
    status, out, err = said(
        capsys, '--logdir', tmp_path / 'new', '--configs', 'small', '--import',
        place)
    assert status == 2 and err.startswith('error: --import: ')
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('settings', [True, False])
@pytest.mark.parametrize('words', [
    ('eval',), ('dream',), (), ('doctor',),
    ('train', '--configs', 'small')], ids=str)
def test_commands_tell_what_to_do_with_a_run_of_the_original(
    tmp_path, capsys, words, settings):
  folder = elsewhere.original(tmp_path / 'there', settings=settings)
  before = runs.tree(folder)
  status, _, err = said(capsys, *words, '--logdir', folder)
  assert status == 3
  [line] = err.splitlines()
  assert f'{folder} is a run of the original' in line
  assert f'dreamerv2 --logdir NEW --import {folder}' in line
  assert f'dreamerv2 plot {folder}' in line
  assert runs.tree(folder) == before


def test_python_tells_the_same(tmp_path):
  folder = elsewhere.original(tmp_path / 'there')
  before = runs.tree(folder)
  with pytest.raises(Exception, match='is a run of the original'):
    dv2.load(folder)
  config = dv2.resolve(['debug'], [
      '--logdir', str(tmp_path / 'new'), '--steps', '24', '--prefill', '20',
      '--eval_every', '0', '--envs_parallel', 'none'])
  dv2.train(toys.Plan, config, source=folder)
  assert runs.newest(tmp_path / 'new').step == 24
  assert len(runs.episodes(tmp_path / 'new')) >= 3
  config = config.update({'logdir': str(folder)})
  with pytest.raises(Exception, match='is a run of the original'):
    dv2.train('gym_CartPole-v1', config)
  assert runs.tree(folder) == before


def test_runs_of_ours_and_other_folders_are_not_taken_for_the_original(
    tmp_path):
  (tmp_path / 'empty').mkdir()
  assert not original.held(tmp_path / 'empty')
  assert not original.held(tmp_path / 'none')
  dv2.resolve(['debug']).save(tmp_path / 'config.yaml')
  assert not original.held(tmp_path)


def test_metrics_of_the_original_are_plotted(tmp_path, capsys):
  """Two seeds; NaN and a line that was not finished are in both."""
  for seed in 1, 2:
    elsewhere.original(
        tmp_path / 'gym_toys:Plan-v0' / 'dreamerv2' / str(seed))
  status, out, err = said(
      capsys, 'plot', tmp_path, '--outdir', tmp_path / 'plots', '--subdir',
      'False', '--bins', '100')
  assert status == 0 and err == ''
  found = json.loads((tmp_path / 'plots' / 'runs.json').read_text())
  assert 'dreamerv2' in out and len(found) == 2, out
  for run in found:
    assert run['method'] == 'dreamerv2'
    np.testing.assert_allclose(run['ys'], [5, 7])


def test_metrics_of_the_original_are_compared(tmp_path, capsys):
  folder = elsewhere.original(tmp_path / 'atari_pong' / 'dreamerv2' / '1')
  (folder / 'config.yaml').write_text('task: atari_pong\naction_repeat: 4\n')
  rows = [
      json.dumps({'step': step, 'eval_return': -20.0, 'model_loss': np.nan})
      for step in range(1_000_000, 5_000_000, 500_000)]
  (folder / 'metrics.jsonl').write_text('\n'.join(rows) + '\n{"step": 5e')
  status, out, err = said(capsys, 'compare', folder)
  assert status == 0 and 'pong' in out and '-20' in out
  assert 'Traceback' not in err
  # Curves that have no counterpart are named.
  other = elsewhere.original(tmp_path / 'mine' / 'dreamerv2' / '1')
  status, _, err = said(capsys, 'compare', other)
  assert status == 2 and 'Left out' in err
