"""The page about a run says what made it."""

from dreamerv2_tf.config import resolve
from dreamerv2_tf.report import about
from dreamerv2_tf.run import describe


def start(*words, program='/bin/dreamerv2', step=0):
  return {'time': 'noon', 'step': step, 'argv': [program, *words]}


def test_a_page_tells_preset_changes_commands_versions_and_machine():
  page = about.page(
      'gym_X-v0', ['highway', 'debug'],
      {'a.b': (1, [2, 3]), 'c': (None, 'x|y')},
      [start('--configs', 'highway', '--logdir', 'a b'),
       start('more.py', program='run it.py', step=7)],
      {'versions': {'python': '3.11', 'envpool': None},
       'machine': {'cores': 2}})
  lines = page.splitlines()
  for line in (
      '- Task: `gym_X-v0`', '- Preset: `highway`, `debug`',
      '| `a.b` | `1` | `[2, 3]` |', '| `c` |  | `"x\\|y"` |',
      "- noon, from step 0: `dreamerv2 --configs highway --logdir 'a b'`",
      "- noon, from step 7: `'run it.py' more.py`", '- python 3.11',
      '- cores: 2'):
    assert line in lines, line
  assert '**1 results**' in page


def test_a_page_of_little_is_still_one():
  page = about.page('x', [], {}, [], {})
  assert 'none (the defaults)' in page and 'Nothing.' in page


def test_the_presets_are_those_of_the_first_start_that_names_some():
  starts = [
      start('--logdir', 'a'),
      start('--steps', '9', '--configs', 'a', 'b', '--seed', '1'),
      start('--configs', 'c')]
  assert about.presets_of(starts) == ['a', 'b']
  assert about.presets_of(starts[2:]) == ['c']
  assert about.presets_of([{}, start()]) == []


def test_a_run_is_described_by_its_folder(tmp_path):
  config = resolve(['highway', 'debug'], ['--imag_horizon', '7'])
  words = '["dreamerv2", "--configs", "highway", "debug"]'
  (tmp_path / 'run.json').write_text(f'{{"history": [{{"argv": {words}}}]}}')
  page = describe.page(config, tmp_path)
  assert '| `imag_horizon` |' in page and page.count('\n| `') == 1
  assert describe.usual(tmp_path) == resolve(['highway', 'debug'], []).flat


def test_a_history_that_can_not_be_read_is_no_obstacle(tmp_path):
  config = resolve([], ['--imag_horizon', '7'])
  for content in '', '[1]', '{"history": 3}', (
      '{"history": [{"argv": ["x", "--configs", "no such"]}]}'):
    (tmp_path / 'run.json').write_text(content)
    assert '| `imag_horizon` |' in describe.page(config, tmp_path)
