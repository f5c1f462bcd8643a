"""Lines for people: numbers, durations, scores, and a bar that always fits."""

from collections.abc import Mapping, Sequence
import math
import textwrap
from typing import NamedTuple

# What an encoding without these characters shows instead.
PLAIN = str.maketrans({'±': '+-', '…': '...', '–': '-', '×': 'x'})


class Field(NamedTuple):
  """A part of the bar.

  Attributes:
    rank: the higher, the sooner it is left out.
    text: never cut.
  """

  rank: int
  text: str


def fit(fields: Sequence[Field], width: int) -> str:
  """Joins as many fields as there is room for, those of low rank first.

  Args:
    fields: in the order in which they are shown.
    width: most characters of the line.
  """
  chosen, room = set(), width + 2
  for field in sorted(fields, key=lambda field: field.rank):
    if field.text and len(field.text) + 2 <= room:
      chosen.add(field)
      room -= len(field.text) + 2
  return '  '.join(field.text for field in fields if field in chosen)


def wrap(text: str, width: int) -> str:
  """Wraps long lines between words, but for indented ones: commands."""
  return '\n'.join(
      line if line.startswith(' ') else textwrap.fill(
          line, width, subsequent_indent='    ', break_long_words=False,
          break_on_hyphens=False)
      for line in text.split('\n'))


def format_value(value: float) -> str:
  """Writes a number in a few characters: 0, 0.5, 12.34, 1.2e5, 3e-4."""
  if value == 0 or not math.isfinite(value):
    return f'{abs(value) if value == 0 else value:.0f}'
  if 0.01 < abs(value) < 10000:
    return f'{value:.2f}'.rstrip('0').rstrip('.')
  digits, exponent = f'{value:.1e}'.split('e')
  return f'{digits.removesuffix(".0")}e{int(exponent)}'


def format_score(value: float) -> str:
  """Writes a return, of which one digit after the point is enough."""
  return f'{value:.1f}' if 1 <= abs(value) < 10000 else format_value(value)


def format_seconds(seconds: float) -> str:
  """Writes a duration: 0:41, 1:02:05 from an hour on, 1d 1:01:01."""
  minutes, seconds = divmod(max(int(seconds), 0), 60)
  hours, minutes = divmod(minutes, 60)
  days, hours = divmod(hours, 24)
  if not (days or hours):
    return f'{minutes}:{seconds:02d}'
  clock = f'{hours}:{minutes:02d}:{seconds:02d}'
  return f'{days}d {clock}' if days else clock


def format_steps(steps: int) -> str:
  """Writes a number of steps: 9,999, 10.2k, 750k, 2M."""
  for unit, size in ('M', 10 ** 6), ('k', 10 ** 3):
    if steps >= 10 * size or (unit == 'M' and steps >= size):
      return f'{steps / size:.1f}'.removesuffix('.0') + unit
  return f'{steps:,}'


def format_rate(rate: float) -> str:
  """Writes steps per second."""
  return f'{rate:,.0f}/s' if rate >= 100 else f'{rate:.1f}/s'


def count(number: int, noun: str) -> str:
  """Writes a number of things: 1 episode, 2 episodes."""
  return f'{number:,} {noun}' + 's' * (number != 1)


def spread(mean: float, std: float, episodes: int) -> str:
  """Writes a mean return with its spread, which one episode has not."""
  if episodes < 2:
    return format_score(mean)
  plain = 1 <= abs(mean) < 10000
  return f'{format_score(mean)} ± ' + (
      f'{std:.1f}' if plain else format_value(std))


def outcome(
    score: str, crash: float | None, length: float | None,
    speed: float | None, success: float | None = None) -> str:
  """Describes episodes: return, success, crashes and so on, where known.

  Args:
    score: the return, in words.
    crash: share of the episodes, 0 to 1.
    length: steps.
    speed: m/s.
    success: share of the episodes, 0 to 1.
  """
  parts = [f'return {score}']
  if success is not None:
    parts.append(f'success {100 * success:.0f} %')
  if crash is not None:
    parts.append(f'crash {100 * crash:.0f} %')
  if length is not None:
    parts.append(f'length {length:.1f}')
  if speed is not None:
    parts.append(f'{speed:.1f} m/s')
  return ', '.join(parts)


def evaluation(
    step: int, summary: Mapping, episodes: int, best: bool) -> str:
  """Returns the line of an evaluation.

  Args:
    step: environment steps times action repeat.
    summary: of `scores.summarize`.
    episodes: how many.
    best: whether no evaluation was as good.
  """
  text = outcome(
      spread(summary['return_mean'], summary['return_std'], episodes),
      summary['crash_rate'], summary['length_mean'],
      summary['speed_mean'], summary.get('success_rate'))
  return (
      f'step {step:,}  evaluation: {text} ({count(episodes, "episode")})'
      + '  new best' * best)
