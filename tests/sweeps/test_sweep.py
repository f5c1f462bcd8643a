import json

import pytest
import runs
import sweeping

from dreamerv2_tf.curves import scores
from dreamerv2_tf.sweeps import evaluations, reporter, supervisor


def states(place):
  return {
      path.stem: json.loads(path.read_text())['state']
      for path in (place / 'trials').glob('*.json')}


def test_a_sweep_leaves_run_folders_a_table_and_curves(tmp_path, capsys):
  place = tmp_path / 'sweep'
  arguments = ['--logdir', place, '--grid.discount', '0.9,0.99', '--seeds', 3]
  assert sweeping.sweep(*arguments) == 0
  out = capsys.readouterr().out
  assert '6 trials, of which 6 are to be done.' in out
  assert states(place) == {
      f'discount={x},seed={seed}': 'done'
      for x in (0.9, 0.99) for seed in range(3)}
  rows = json.loads((place / 'results' / 'table.json').read_text())
  assert [x['settings'] for x in rows] == ['discount=0.9', 'discount=0.99']
  for row in rows:
    assert row['seeds'] == [3, 3] and row['states'] == {'done': 3}
    assert row['mean'] == 11 and 10 <= row['low'] < 11 < row['high'] <= 12
    assert row['steps'] == [10, 10] and row['better'] == 0.5
  runs, _ = scores.read(place / 'results' / 'scores.json')
  assert len(runs) == 6 and runs[0].ys.tolist() == list(range(1, 11))
  assert {x.suffix for x in (place / 'results').iterdir()} == {
      '.json', '.md', '.png', '.pdf'}
  assert 'discount=0.9 ' in out and '95 % interval' in out


def test_the_same_command_does_nothing_twice_and_more_adds(tmp_path, capsys):
  place = tmp_path / 'sweep'
  arguments = ['--logdir', place, '--grid.discount', '0.9']
  assert sweeping.sweep(*arguments) == 0
  assert sweeping.sweep(*arguments) == 0
  assert 'of which 0 are to be done' in capsys.readouterr().out
  assert sweeping.sweep(*arguments, '--seeds', 2) == 0
  assert sweeping.sweep(
      '--logdir', place, '--grid.discount', '0.9,0.5', '--seeds', 2) == 0
  assert len(states(place)) == 4
  for folder in place.glob('discount*'):
    assert sweeping.starts(folder) == [0]


def test_other_settings_are_refused_in_the_same_folder(tmp_path, capsys):
  place = tmp_path / 'sweep'
  arguments = ['--logdir', place, '--grid.discount', '0.9']
  assert sweeping.sweep(*arguments) == 0
  capsys.readouterr()
  assert sweeping.sweep(*arguments, '--model_opt.lr', 1e-5) == 3
  [line] = capsys.readouterr().err.strip().splitlines()
  assert 'model_opt.lr was' in line and 'is now 1e-05' in line
  # What changes no result may differ.
  assert sweeping.sweep(*arguments, '--log_every', 7) == 0


def test_a_run_folder_is_no_folder_of_a_sweep(tmp_path, capsys):
  (tmp_path / 'config.yaml').touch()
  assert sweeping.sweep('--logdir', tmp_path) == 2
  assert 'is the folder of a run' in capsys.readouterr().err


def test_two_sweeps_at_once_are_refused(tmp_path, capsys):
  from dreamerv2_tf.sweeps import folder
  with folder.locked(tmp_path / 'sweep', False):
    assert sweeping.sweep('--logdir', tmp_path / 'sweep') == 7
  assert 'is locked by pid' in capsys.readouterr().err


def test_the_budget_is_shared_by_all_trials(tmp_path):
  place = tmp_path / 'sweep'
  flags = [x for x in sweeping.FLAGS if x not in ('--steps', '10')]
  before, sweeping.FLAGS[:] = [*sweeping.FLAGS], flags
  try:
    assert sweeping.sweep(
        '--logdir', place, '--budget', 100, '--seeds', 2,
        '--grid.discount', '0.9,0.8') == 0
  finally:
    sweeping.FLAGS[:] = before
  record = json.loads(
      (place / 'trials' / 'discount=0.9,seed=0.json').read_text())
  assert record['arguments'][-6:] == [
      '--steps', '25', '--discount', '0.9', '--seed', '0']


def test_a_trial_is_the_ordinary_command(tmp_path):
  job = supervisor.Job('a=1,seed=0', str(tmp_path), ('--seed', '0'), 0, 10)
  assert supervisor.command(job)[1:] == [
      '-m', 'dreamerv2_tf', 'train', '--seed', '0', '--logdir',
      str(tmp_path / 'a=1,seed=0')]


def test_the_evaluation_of_the_end_counts_as_well(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text(
      '{"step": 8, "eval_return": 1}\n{"step": 9, "loss": 3}\n')
  (tmp_path / 'eval-5-20000-3.json').write_text('{"return_mean": 4}')
  found = evaluations.read(tmp_path, 2)
  assert found.steps.tolist() == [8, 10] and found.returns.tolist() == [1, 4]
  found = evaluations.read(tmp_path, 1)
  assert found.steps.tolist() == [8] and found.returns.tolist() == [1]


def test_stopped_trials_stay_stopped_only_while_trials_are_compared(tmp_path):
  job = supervisor.Job('seed=0', str(tmp_path), (), 0, 10)
  (tmp_path / 'trials').mkdir()
  assert supervisor.record(job)['state'] == 'open'
  supervisor.stop(job)
  assert supervisor.record(job)['state'] == 'stopped'
  assert supervisor.settled(job, True) and not supervisor.settled(job, False)


@pytest.mark.parametrize('ray', ['asha', 'median', 'none'])
def test_schedulers_of_ray_are_made(ray):
  pytest.importorskip('ray')
  from dreamerv2_tf.sweeps import tune
  assert tune.installed()
  assert tune._scheduler(tune.Plan('', 1, 0, ray, 10, 90, {}))


def test_a_reporter_tells_what_was_before_it_starts_the_trial(
    tmp_path, monkeypatch):
  monkeypatch.setattr(supervisor, 'command', sweeping.command)
  (tmp_path / 'trials').mkdir()
  (tmp_path / 'seed=5').mkdir()
  (tmp_path / 'seed=5' / 'metrics.jsonl').write_text(
      '{"step": 1, "eval_return": 3}\n{"step": 2, "eval_return": 4}\n')
  job = supervisor.Job('seed=5', str(tmp_path), (), 0, sweeping.LENGTH)
  trial, told = reporter.Reporter(job, 1, True), []
  for _ in range(2):
    told.append(trial.report())
    assert not (tmp_path / 'seed=5' / 'starts').exists()
  while not told[-1]['done']:
    told.append(trial.report())
  assert sweeping.starts(tmp_path / 'seed=5') == [2]
  assert list(dict.fromkeys(x['step'] for x in told)) == list(range(1, 11))
  assert [x['eval_return'] for x in told[:2]] == [3, 4]
  assert told[-1] == {'step': 10, 'eval_return': 15, 'done': True}
  # What is over is told once more and not started.
  again = reporter.Reporter(job, 1, True)
  told = [again.report() for _ in range(10)]
  assert [x['step'] for x in told] == list(range(1, 11))
  assert [x['done'] for x in told] == [False] * 9 + [True]
  again.end()
  assert sweeping.starts(tmp_path / 'seed=5') == [2]


@pytest.mark.minutes
def test_ray_ends_trials_that_do_worse_and_lets_them_be(tmp_path):
  pytest.importorskip('ray')
  flags = [*runs.TOY]
  at = flags.index('--env.config.length')  # The return of an episode.
  del flags[at:at + 2]
  arguments = [
      *flags, '--steps', '300', '--stopping', 'asha',
      '--grid.env.config.length', '9,7,5']
  for _ in range(2):
    out, _ = runs.call(tmp_path / 'sweep', *arguments, command='sweep')
    found = states(tmp_path / 'sweep')
    assert found['length=9,seed=0'] == 'done'
    assert 'length=5,seed=0: stopped' in out or 'of which 0 are' in out
  rows = json.loads(
      (tmp_path / 'sweep' / 'results' / 'table.json').read_text())
  assert rows[0]['mean'] == 9 and rows[-1]['states'] == {'stopped': 1}
