import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'tasks.py'
PAGE = ROOT / 'docs' / 'tasks.md'


def test_a_task_that_runs_and_one_that_is_refused(script):
  assert script.row('gym', 'CartPole-v1') == {
      'task': '`gym_CartPole-v1`', 'observed': '4 values', 'actions': '2',
      'result': 'runs'}
  refused = script.row('gym', 'Blackjack-v1')
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


@pytest.mark.parametrize('suite', ['atari', 'crafter', 'minatar', 'highway'])
def test_the_page_has_all_tasks(script, suite):
  text = PAGE.read_text()
  names = script.names(suite)
  assert len(names) > 1
  assert [x for x in names if f'| `{suite}_{x}` |' not in text] == []


def test_an_unknown_suite_is_refused(script, capsys):
  assert script.main(['--suites', 'atary']) == 2
  err = capsys.readouterr().err
  assert err.count('\n') == 1 and "has 'atary'" in err
