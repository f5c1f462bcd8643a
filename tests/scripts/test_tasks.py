import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'tasks.py'
PAGE = ROOT / 'docs' / 'tasks.md'


def test_a_task_that_runs_and_one_that_is_refused(script):
  assert script.row('gym', 'CartPole-v1') == {
      'task': '`gym_CartPole-v1`', 'observed': '4 values', 'actions': '2',
      'result': 'runs'}
  refused = script.row('gym', 'toys:Wordy-v0')
  assert refused['result'].startswith('refused: The observation has the space')
  assert script.row('minatar', 'breakout')['observed'] == '20×20×4'


def test_an_environment_that_raises_fails(script):
  found = script.row('gym', 'toys:Fault-v0')
  assert found['result'] == 'fails: ValueError: the wheel came off'
  broken = script.row('gym', 'toys:Sloppy-v0')
  assert broken['result'].startswith("fails: Environment 'gym_toys:Sloppy-v0'")


def test_a_table_is_replaced_and_the_rest_stays(script):
  begin, end = script.MARKS[0].format('gym'), script.MARKS[1]
  page = f'a\n{begin}old\n{end}b\n'
  new = script.replaced(page, 'gym', r'\1 new' + '\n')
  assert new == f'a\n{begin}\n\\1 new\n\n{end}b\n'


@pytest.mark.parametrize('suite', [
    'atari', 'dmc', 'crafter', 'minatar', 'highway', 'gym'])
def test_the_page_has_all_tasks_and_what_was_learned(
    script, suite, monkeypatch):
  # A renderer and TensorFlow in one process crash.
  monkeypatch.setenv('MUJOCO_GL', 'disabled')
  rows = script.rows_of(PAGE.read_text(), suite)
  names = script.names(suite)
  assert len(names) > 1
  assert [row['task'] for row in rows] == [f'`{suite}_{x}`' for x in names]
  assert rows == script.with_learned(rows, script.learned.known())


# Those that are made in a moment.
@pytest.mark.parametrize('suite, names', [
    ('minatar', None), ('gym', [
        'Acrobot-v1', 'Blackjack-v1', 'CartPole-v1', 'CliffWalking-v1',
        'Pendulum-v1', 'Taxi-v4']),
    ('highway', ['intersection-multi-agent-v2', 'highway-fast-v0'])])
def test_the_page_says_what_the_script_yields(script, suite, names):
  rows = {x['task']: x for x in script.rows_of(PAGE.read_text(), suite)}
  records = script.learned.known()
  for name in names or script.names(suite):
    [want] = script.with_learned([script.row(suite, name)], records)
    assert rows[f'`{suite}_{name}`'] == want


def test_the_readme_has_the_summary_of_the_page(script):
  text = (ROOT / 'README.md').read_text()
  begin, end = script.MARKS[0].format(script.SUMMARY), script.MARKS[1]
  inside = text.split(begin)[1].split(end)[0]
  assert inside == f'\n{script.summary(PAGE.read_text())}\n'


def test_the_shipped_agent_is_among_what_was_learned(script):
  [best, *_] = script.learned.driving()
  assert best['preset'] == 'highway_kinematics'
  assert best['random'] < best['target'] < best['return'][0]


def record(task, returns, target, **changes):
  return {
      'task': task, 'preset': 'small', 'steps': 16_000, 'return': returns,
      'target': target, 'random': 22.0, **changes}


@pytest.mark.parametrize('result, records, want', [
    ('runs', [], 'runs'),
    ('runs', [record('a', [480, 490], 475)],
     'learns: 480.0, 490.0 of 475.0; random 22.0; `small`, 16,000 steps'),
    ('runs', [record('a', [480, 400], 475)],
     'runs, was trained: 480.0, 400.0 of 475.0; random 22.0; `small`, 16,000 '
     'steps'),
    ('runs', [record('a', [7], None, random=None)],
     'runs, was trained: 7.00; `small`, 16,000 steps'),
    ('runs', [record('a', [400], 475), record('a', [480], 475, preset='b')],
     'learns: 480.0 of 475.0; random 22.0; `b`, 16,000 steps'),
    ('runs', [record('b', [480], 475)], 'runs'),
    ('refused: no', [record('a', [480], 475)], 'refused: no')])
def test_what_was_learned_is_told(script, result, records, want):
  row = {'task': '`a`', 'result': result}
  [found] = script.with_learned([row], records)
  assert found == {'task': '`a`', 'result': want}
  assert script.with_learned([found], records) == [found]


def test_rows_survive_the_page(script):
  rows = [
      {'task': '`gym_a`', 'observed': '3 values', 'actions': '2',
       'result': r'refused: a \| b'},
      {'task': '`gym_b`', 'observed': '', 'actions': '', 'result': 'runs'}]
  begin, end = script.MARKS[0].format('gym'), script.MARKS[1]
  page = script.replaced(
      f'{begin}{end}', 'gym', '\n'.join(script._table(rows)) + '\n')
  assert script.rows_of(page, 'gym') == rows


def test_an_unknown_suite_is_refused(script, capsys):
  assert script.main(['--suites', 'atary']) == 2
  err = capsys.readouterr().err
  assert err.count('\n') == 1 and "has 'atary'" in err
