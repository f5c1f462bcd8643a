import json
import pathlib

import numpy as np
import papers
import pytest

from dreamerv2_tf.curves import runs
from dreamerv2_tf.errors import StateError
from dreamerv2_tf.paper import compare, highway

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'results' / f'{highway.TASK}.json'


def record(returns, **changes):
  count = len(returns)
  return {
      'seed': 10_000, 'episodes': count, 'step': 500, 'overrides': [],
      'simulator': 'envpool', 'per_episode': {
          'return': returns, 'length': [30] * count,
          'crashed': [False] * (count - 1) + [True], 'speed': [20.0] * count},
      **changes}


def folder(place, *records, steps=500, **kwargs):
  """Writes a run and its evaluations."""
  made = papers.ours(
      place, highway.TASK, preset='highway_kinematics', scores=[1],
      steps=steps, precision=32, **kwargs)
  history = [{
      'step': 0, 'changed': {},
      'argv': ['dreamerv2', '--configs', 'highway_kinematics']}]
  (made / 'run.json').write_text(json.dumps({'history': history}))
  for one in records:
    name = f"eval-{one['step']}-{one['seed']}-{one['episodes']}.json"
    (made / name).write_text(json.dumps(one))
  return made


def read(place):
  said = []
  found = runs.once(runs.find([place], said.append), said.append)
  return highway.yours(found, said.append), said


def test_the_published_results_are_those_of_the_repository():
  assert highway.source().read_bytes() == RESULTS.read_bytes()
  rows = highway.published()
  assert len(rows) == 14
  assert highway.check().passed and len(highway.check().parts) == 14
  planner = next(x for x in rows if x.method == 'observation_planner')
  assert highway.summary(planner)['return'] == pytest.approx(24.1069)
  assert [x.shipped for x in rows if x.shipped] == ['highway_kinematics']


def test_a_changed_result_is_found(tmp_path):
  rows = json.loads(RESULTS.read_text())
  rows[2]['runs'][0]['per_episode']['return'][5] += 1
  path = tmp_path / 'results.json'
  path.write_text(json.dumps(rows))
  check = highway.check(path)
  assert check.good == 13 and not check.passed
  path.write_text('{"a": 1}')
  with pytest.raises(StateError, match='no results'):
    highway.check(path)


def test_the_summary_by_hand():
  row = highway.Row('m', 'best', 1, ['0', '1'], [1, 1], [
      {'return': [1, 3], 'length': [10, 30], 'crashed': [True, False],
       'speed': [20, 24]},
      {'return': [7, 9], 'length': [30, 30], 'crashed': [False, False],
       'speed': [25, 25]}])
  found = highway.summary(row)
  assert found['return'] == 5 and found['seeds'] == {'0': 2, '1': 8}
  assert found['iqm'] == 5  # Of 3 and 7.
  assert found['crash_rate'] == 0.25 and found['episodes'] == 4
  assert found['speed'] == (23 + 25) / 2
  low, high = found['return_ci95']
  assert 1 <= low < 5 < high <= 9


def test_the_probability_of_improvement_by_hand():
  row = lambda *returns: highway.Row(
      '', '', 0, ['0'], [0], [{'return': returns}])
  # Pairs: 1 against 1, 2; 2 against 1, 2: one is higher, two are equal.
  same, lower = highway.better(row(1, 2), [row(1, 2), row(0, 1)])
  assert same['probability'] == 0.5 and lower['probability'] == 3.5 / 4
  assert same['ci95'][0] < 0.5 < same['ci95'][1]
  assert highway.better(row(5, 6), [row(1, 2)]) == [
      {'probability': 1, 'ci95': [1, 1]}]


def test_evaluations_of_seeds_share_a_row(tmp_path):
  for seed in 0, 1:
    folder(tmp_path, record([20.0 + seed] * 100), seed=seed)
  (row,), said = read(tmp_path)
  assert said == []
  assert (row.method, row.kind, row.steps) == (
      'highway_kinematics', 'last', 500)
  assert row.seeds == ['0', '1'] and row.reached == [500, 500]
  assert [x.mean() for x in row.returns] == [20, 21]


def test_best_last_and_running_checkpoints_are_apart(tmp_path):
  made = folder(
      tmp_path, record([1.0] * 100, step=100), record([2.0] * 100, step=200),
      record([3.0] * 100, step=300), steps=400)
  (made / 'checkpoints').mkdir()
  (made / 'checkpoints' / 'best.json').write_text('{"step": 200}')
  rows, _ = read(tmp_path)
  assert {(x.kind, x.reached[0]) for x in rows} == {
      ('best', 200), ('running', 300)}
  notes = compare.on_the_road(rows)['notes']
  assert 'highway_kinematics 0k running: trained for 300 steps so far.' in (
      notes)


@pytest.mark.parametrize('one, text', [
    (record([1.0] * 20), 'eval-500-10000-20.json has 20 from 10000 on.'),
    (record([1.0] * 100, seed=20_000), 'has 100 from 20000 on.'),
    (record([1.0] * 99 + [float('nan')]), 'has returns that are not 100 fin'),
    (record([1.0] * 100, overrides=['--env.config.vehicles_count', '30']),
     'has other settings: --env.config.vehicles_count 30.'),
    (None, 'on scenarios from 10000 on. Make one: dreamerv2 eval ')])
def test_what_can_not_be_compared_is_said(tmp_path, one, text):
  folder(tmp_path, *([one] if one else []))
  rows, said = read(tmp_path)
  assert rows == [] and len(said) == 1 and text in said[0]


def test_acting_otherwise_is_no_other_task(tmp_path):
  folder(tmp_path, record(
      [1.0] * 100, overrides=['--eval_lookahead.depth', '2']))
  assert len(read(tmp_path)[0]) == 1


def test_damaged_evaluations_are_passed_over(tmp_path):
  made = folder(tmp_path, record([1.0] * 100))
  (made / 'eval-1-10000-100.json').write_text('{"a"')
  (made / 'eval-2-10000-100.json').write_text('{"episodes": 100}')
  rows, said = read(tmp_path)
  assert len(rows) == 1 and len(said) == 2
  assert all('passed over' in x for x in said)


def test_yours_stand_beside_the_published_and_copies_are_told(tmp_path):
  shipped = next(x for x in highway.published() if x.shipped)
  folder(tmp_path, record(shipped.episodes[0]['return']))
  rows, _ = read(tmp_path)
  road = compare.on_the_road(rows)
  (mine,) = [x for x in road['rows'] if x['yours']]
  assert mine['same_as'] == 'highway_kinematics 900k best'
  assert mine['better']['highway_kinematics 900k best']['probability'] == (
      pytest.approx(0.5))
  assert mine['better']['random']['probability'] > 0.9
  assert mine['better']['observation_planner']['probability'] < 0.5
  others = [x['method'] for x in road['rows'] if not x['yours']]
  assert {'random', 'slower', 'observation_planner'} < {*others}
  assert 'faster' not in others
  returns = [x['return'] for x in road['rows']]
  assert returns == sorted(returns, reverse=True)
  assert any('is, episode for episode, the published' in x
             for x in road['notes'])
  assert np.isfinite(mine['return_ci95']).all()
