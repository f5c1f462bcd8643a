"""What was found, one line each, and how it is told."""

from collections.abc import Mapping
import dataclasses
import json
import shutil
import sys
import textwrap
from typing import Any, TextIO

OK, WARN, FAIL = 'ok', 'warn', 'fail'
INDENT = 18  # Columns before the text of a check.


@dataclasses.dataclass(frozen=True)
class Check:
  """One thing that was looked at.

  Attributes:
    name: of the thing, at most eleven characters.
    status: ok, warn (works, but not as it could) or fail (a run would end).
    text: what was found.
    advice: what to do about it, empty if nothing is wrong.
    code: exit status of a run that fails of it, 0 unless the status is fail.
    values: the same in numbers, JSON-able.
  """

  name: str
  status: str
  text: str
  advice: str = ''
  code: int = 0
  values: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def lines(self, width: int) -> list[str]:
    """Returns what is shown, in so many columns."""
    indent = ' ' * INDENT
    fold = lambda text, first, rest: textwrap.wrap(
        text, max(width, INDENT + 30), initial_indent=first,
        subsequent_indent=rest, break_long_words=False,
        break_on_hyphens=False)
    lines = fold(self.text, f'{self.status:<6}{self.name:<12}', indent)
    if self.advice:
      lines += fold(self.advice, f'{indent}-> ', f'{indent}   ')
    return lines


def ok(name: str, text: str, **values: Any) -> Check:
  """Returns a check of what is as it should be."""
  return Check(name, OK, text, values=values)


def warn(name: str, text: str, advice: str, **values: Any) -> Check:
  """Returns a check of what works, but not as it could."""
  return Check(name, WARN, text, advice, values=values)


def fail(name: str, text: str, advice: str, code: int, **values: Any) -> Check:
  """Returns a check of what ends a run with the exit status `code`."""
  return Check(name, FAIL, text, advice, code, values)


class Report:
  """Shows checks as they come, and what is being done meanwhile.

  Attributes:
    checks: list of Check, so far.
  """

  def __init__(self, out: TextIO | None = None, err: TextIO | None = None):
    """Begins without checks.

    Args:
      out: where checks are written; None: the standard output.
      err: where is written what is being done; None: the standard error.
    """
    self.checks: list[Check] = []
    self._out = out or sys.stdout
    self._err = err or sys.stderr
    self._width = min(shutil.get_terminal_size().columns, 100)
    self._doing = ''

  @property
  def failed(self) -> list[Check]:
    """The checks that failed."""
    return [check for check in self.checks if check.status == FAIL]

  @property
  def status(self) -> int:
    """Exit status: that of the first check that failed, or 0."""
    return self.failed[0].code if self.failed else 0

  def add(self, *checks: Check) -> None:
    """Shows checks."""
    self._clear()
    for check in checks:
      self.checks.append(check)
      print('\n'.join(check.lines(self._width)), file=self._out, flush=True)

  def doing(self, text: str) -> None:
    """Says what takes its time now; on a terminal, until the next check."""
    self._clear()
    if self._err.isatty():
      self._doing = f'      {text} ...'[:self._width - 1]
      self._err.write(self._doing)
    else:
      self._err.write(f'      {text} ...\n')
    self._err.flush()

  def close(self) -> None:
    """Says in a line what comes of it."""
    self._clear()
    count = {
        status: sum(check.status == status for check in self.checks)
        for status in (OK, WARN, FAIL)}
    verdict = 'Not usable' if self.failed else 'Usable'
    told = f"{count[WARN]} warning{'s' * (count[WARN] != 1)}"
    if self.failed:
      names = ', '.join(check.name for check in self.failed)
      told = f'{names} failed, {told}'
    print(f'{verdict}: {told}.', file=self._out, flush=True)

  def to_json(self) -> str:
    """Returns everything as one JSON object."""
    return json.dumps({
        'status': self.status,
        'checks': [dataclasses.asdict(check) for check in self.checks]})

  def _clear(self):
    if self._doing:
      self._err.write('\r\x1b[K')
      self._err.flush()
      self._doing = ''


def size(count: float) -> str:
  """Returns bytes in words: 1.9 GB, 64 MB, 4.1 kB."""
  for unit, factor in ('TB', 1e12), ('GB', 1e9), ('MB', 1e6), ('kB', 1e3):
    if count >= 0.9995 * factor:
      value = count / factor
      return f'{value:.{1 if value < 9.95 else 0}f} {unit}'
  return f'{count:.0f} bytes'


def duration(seconds: float) -> str:
  """Returns seconds in words: 40 s, 52 min, 3 h 10 min, 12 days."""
  if seconds < 99.5:
    return f'{seconds:.0f} s'
  minutes = round(seconds / 60)
  if minutes < 100:
    return f'{minutes} min'
  if minutes < 72 * 60:
    return f'{minutes // 60} h {minutes % 60} min'
  return f'{minutes / 60 / 24:.0f} days'


def rate(value: float) -> str:
  """Returns a number per second in a readable precision: 1,234, 56 or 7.8."""
  return f'{value:,.{0 if value >= 9.95 else 1 if value >= 0.95 else 3}f}'
