"""The table of faults in docs/reliability.md names the tests there are."""

import pathlib
import re

import pytest

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE.parents[1] / 'docs' / 'reliability.md'
NAME = re.compile(r'(test_\w+\.py(?:::\w+)+)([^:]*?)(?=test_\w+\.py::|$)')


class Collector:
  """Notes the tests that pytest finds."""

  def __init__(self):
    self.items = []

  def pytest_collection_modifyitems(self, items):
    self.items = list(items)


@pytest.fixture(scope='module')
def rows():
  """Rows of the table: (number, {test: whether it says all})."""
  result = []
  _, table = TABLE.read_text().split('\n## Faults\n')
  for line in table.splitlines():
    if re.match(r'\| *\d+ *\|', line):
      number, _, _, tests = line.strip('| ').split(' | ')
      result.append((int(number), {
          name: 'all' in re.findall(r'\w+', rest)
          for name, rest in NAME.findall(tests)}))
  return result


@pytest.fixture(scope='module')
def found():
  """Number to {test: whether all its cases take minutes}."""
  collector = Collector()
  assert pytest.main(
      ['--collect-only', '-q', '--all', '-p', 'no:cacheprovider', '-p',
       'no:faulthandler', str(HERE)], plugins=[collector]) == 0
  result = {}
  for item in collector.items:
    name = item.nodeid.split('faults/')[-1].split('[')[0]
    for number in {mark.args[0] for mark in item.iter_markers('fault')}:
      tests = result.setdefault(number, {})
      long = item.get_closest_marker('minutes') is not None
      tests[name] = tests.get(name, True) and long
  return result


def test_every_fault_has_one_row(rows):
  assert [number for number, _ in rows] == list(range(1, 63))


def test_every_row_names_the_tests_that_carry_its_number(rows, found):
  for number, tests in rows:
    assert set(tests) == set(found.get(number, ())), number
  assert set(found) <= {number for number, _ in rows}


def test_rows_say_which_tests_run_with_all_only(rows, found):
  for number, tests in rows:
    assert tests == found.get(number, {}), number
