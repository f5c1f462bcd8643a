import io
import json

import pytest

from dreamerv2_tf.doctor import checks
from dreamerv2_tf.doctor.checks import Report, duration, fail, ok, rate, warn


class Terminal(io.StringIO):
  """A stream that says that it is a terminal."""

  def isatty(self):
    return True


@pytest.fixture
def report(monkeypatch):
  monkeypatch.setenv('COLUMNS', '60')
  return Report(io.StringIO(), io.StringIO())


def test_a_check_is_a_line_with_its_advice_below_it(report):
  report.add(
      ok('python', 'Python 3.11'),
      warn('packages', 'numpy 1.0 is not one that was tried: expected >=1.26',
           "pip install 'numpy>=1.26'"))
  assert report._out.getvalue() == (
      'ok    python      Python 3.11\n'
      'warn  packages    numpy 1.0 is not one that was tried:\n'
      '                  expected >=1.26\n'
      "                  -> pip install 'numpy>=1.26'\n")


@pytest.mark.parametrize('added, status, line', [
    ([], 0, 'Usable: 0 warnings.'),
    ([warn('a', 'b', 'c')], 0, 'Usable: 1 warning.'),
    ([fail('a', 'b', 'c', 4), warn('d', 'e', 'f'), fail('g', 'h', 'i', 2)], 4,
     'Not usable: a, g failed, 1 warning.')])
def test_the_first_failure_decides_the_exit_status(
    added, status, line, report):
  report.add(*added)
  report.close()
  assert report.status == status
  assert report._out.getvalue().splitlines()[-1] == line


def test_everything_is_in_the_json(report):
  report.add(ok('time', 'an hour', total=3600.0), fail('x', 'y', 'z', 6))
  assert json.loads(report.to_json()) == {'status': 6, 'checks': [
      {'name': 'time', 'status': 'ok', 'text': 'an hour', 'advice': '',
       'code': 0, 'values': {'total': 3600.0}},
      {'name': 'x', 'status': 'fail', 'text': 'y', 'advice': 'z', 'code': 6,
       'values': {}}]}


def test_what_is_done_meanwhile_goes_away_on_a_terminal(report):
  report._err = Terminal()
  report.doing('measuring')
  assert report._err.getvalue() == '      measuring ...'
  report.add(ok('a', 'b'))
  report.add(ok('c', 'd'))
  assert report._err.getvalue() == '      measuring ...\r\x1b[K'


def test_what_is_done_meanwhile_is_a_line_in_a_file(report):
  report.doing('measuring')
  report.add(ok('a', 'b'))
  assert report._err.getvalue() == '      measuring ...\n'


@pytest.mark.parametrize('function, value, want', [
    (checks.size, 56, '56 bytes'), (checks.size, 4100, '4.1 kB'),
    (checks.size, 999_900, '1.0 MB'), (checks.size, 64e6, '64 MB'),
    (checks.size, 1.94e9, '1.9 GB'), (checks.size, 3e12, '3.0 TB'),
    (duration, 0.4, '0 s'), (duration, 99, '99 s'), (duration, 100, '2 min'),
    (duration, 99 * 60, '99 min'), (duration, 190 * 60, '3 h 10 min'),
    (duration, 80 * 3600, '3 days'),
    (rate, 1234.4, '1,234'), (rate, 56.2, '56'), (rate, 7.84, '7.8'),
    (rate, 0.0421, '0.042')])
def test_numbers_in_words(function, value, want):
  assert function(value) == want
