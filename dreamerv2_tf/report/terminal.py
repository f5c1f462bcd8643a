"""What a run shows: a bar with its phase, and lines that say something."""

import collections
from collections.abc import Iterator, Sequence
import contextlib
import io
import logging
import math
import os
import re
import sys
import time
from typing import Any, TextIO

from . import display, lines, metrics
from .forecast import Forecast
from .lines import Field
from .means import Means
from .summary import Summary, to_row

RECENT = 20  # Episodes whose means are beside the bar.

# Of an episode: pattern of the metric to what it is called here.
EPISODE = (
    (r'train_return', 'return'),
    (r'train_length', 'length'),
    (r'max_train_log_crashed', 'crash'),
    (r'max_train_log_success', 'success'),
    (r'mean_train_log_speed', 'speed'),
)
# Of a row of training: the first metric that matches, and its name here.
TRAINING = (
    (r'.+_excess', 'excess'),
    (r'actor_ent', 'entropy'),
    (r'critic', 'value'),
)


class TerminalOutput:
  """A bar below the lines on a terminal, lines alone elsewhere.

  There is a line for each row of training (`log_every`), with means of the
  episodes, and of metrics of callbacks, since the line before it; for the end
  of prefill; and for each `message`, such as that of an evaluation. When the
  terminal or the pipe goes away, the output falls silent and the run goes on.

  Attributes:
    phase: what the run does; its first word is one of starting, prefill,
      compiling, pretraining, training, evaluating, saving and reporting.
  """

  def __init__(
      self, total: int | None = None, stream: TextIO | None = None,
      every: float = 60, eval_every: float = 0):
    """Looks whether the stream is a terminal, and shows the bar there.

    Args:
      total: last step of the run, environment steps times action repeat.
      stream: text file; standard output by default.
      every: seconds between lines of prefill where there is no bar.
      eval_every: steps between evaluations, for the time left; 0: none.
    """
    self._total = int(total or 0)
    self._stream = display.Stream(sys.stdout if stream is None else stream)
    self._every = every
    self._began = self._printed = time.monotonic()
    self._step = 0
    self._phase = 'starting'
    self._forecast = Forecast(self._total, eval_every)
    self._recent = collections.deque(maxlen=RECENT)
    self._means, self._episodes = Means(), 0  # Since the last line.
    self._own = Means()  # Of callbacks, since then.
    self._latest = {}
    self._handler = self._live = None
    if self._stream.is_terminal():
      self._live = display.open_live(self._stream, self._bar)
      # Warnings of this package appear above the bar instead of across it.
      self._handler = display.Handler(self.message)
      logging.getLogger('dreamerv2_tf').addHandler(self._handler)

  def __enter__(self) -> 'TerminalOutput':
    return self

  def __exit__(self, *exc_info: Any) -> None:
    self.close()

  def __call__(self, summaries: Sequence[Summary]) -> None:
    """Takes in metrics; prints a line if they are a row of training."""
    step, scalars = to_row(summaries)
    for episode in _episodes(summaries):
      self._recent.append(episode)
      self._means.add(episode)
      self._episodes += 1
    if 'eval_return' in scalars:
      self._latest['eval'] = scalars['eval_return']
    shown = _first(scalars, TRAINING)
    self._latest.update(shown)
    self._own.add({k: v for k, v in scalars.items() if not metrics.find(k)})
    self._note(step)
    if 'fps' in scalars:
      self._print_episodes(step, [
          f'{name} {lines.format_value(x)}' for name, x in shown.items()])

  def tick(self, step: int) -> None:
    """Moves the bar; without one, prints a line in a long prefill."""
    self._note(step)
    if self._live is None and self._phase == 'prefill' and (
        time.monotonic() - self._printed >= self._every):
      self._print_episodes(step)

  @property
  def phase(self) -> str:
    """What the run does."""
    return self._phase

  @phase.setter
  def phase(self, phase: str) -> None:
    if phase == self._phase:
      return
    if self._phase == 'prefill' and self._episodes and (
        phase.split()[0] != 'saving'):
      self._print_episodes(self._step)
    self._phase = phase
    self._note(self._step)

  @contextlib.contextmanager
  def during(self, phase: str) -> Iterator[None]:
    """Shows another phase while the body runs."""
    before = self._phase
    self.phase = phase
    try:
      yield
    finally:
      self.phase = before

  def message(self, text: str) -> None:
    """Prints lines, above the bar; long ones are wrapped on a terminal."""
    self._printed = time.monotonic()
    if self._live is None:
      self._stream.write(text + '\n')
      self._stream.flush()
    else:
      self._live.console.print(
          lines.wrap(self._stream.plain(text), self._stream.columns()),
          soft_wrap=True, markup=False, highlight=False, emoji=False)
      self._live.refresh()

  def finish(self) -> None:
    """Prints a line about the episodes that none was about."""
    if self._episodes:
      self._print_episodes(self._step)

  def close(self) -> None:
    """Takes the bar away."""
    if self._handler is not None:
      logging.getLogger('dreamerv2_tf').removeHandler(self._handler)
      self._handler = None
    if self._live is not None:
      live, self._live = self._live, None
      live.stop()

  def _note(self, step):
    self._step = step
    self._forecast.note(time.monotonic(), step, self._phase)

  def _print_episodes(self, step, more=()):
    """Prints means since the last line, of episodes and gradient steps."""
    phase = 'prefill' if self._phase == 'prefill' else 'training'
    means, number = self._means.take(), self._episodes
    self._episodes = 0
    parts = ['no episode has ended']
    if number:
      parts = [
          lines.outcome(
              lines.format_score(means.get('return', math.nan)),
              means.get('crash'), means.get('length'), means.get('speed'),
              means.get('success'))
          + f' ({lines.count(number, "episode")})']
    parts += more
    parts += [
        f'{name} {lines.format_value(value)}'
        for name, value in self._own.take().items()]
    if self._forecast.rate:
      parts.append(lines.format_rate(self._forecast.rate))
    self.message(f'step {step:,}  {phase}: ' + ', '.join(parts))

  def _bar(self, width):
    """Returns the bar of now, which the thread of the display asks for."""
    step, total, phase = self._step, self._total, self._phase
    elapsed = lines.format_seconds(time.monotonic() - self._began)
    if phase == 'starting':  # The step is not known yet.
      return lines.fit([Field(0, phase), Field(1, f'elapsed {elapsed}')], width)
    share = min(max(step / total, 0), 1) if total else 0
    left, rate = self._forecast.left(step), self._forecast.rate
    recent = _averages(list(self._recent))
    show = lambda name, text: text if name in recent else ''
    latest = lambda name: (
        f'{name} {lines.format_score(self._latest[name])}'
        if name in self._latest else '')
    steps = lines.format_steps(step)
    return lines.fit([
        Field(1, f'{int(100 * share):3d} %' if total else ''),
        Field(8, f'[{"=" * int(12 * share):12s}]' if total else ''),
        Field(0, phase),
        Field(4, f'{steps}/{lines.format_steps(total)}' if total
              else f'{steps} steps'),
        Field(5, lines.format_rate(rate) if rate else ''),
        Field(3, '' if not total else f'ETA {lines.format_seconds(left)}'
              if left is not None else 'ETA ?'),
        Field(2, f'elapsed {elapsed}'),
        Field(6, show('return', 'return '
                      f'{lines.format_score(recent.get("return", 0))}')),
        Field(7, show('crash', f'crash {100 * recent.get("crash", 0):.0f} %')),
        Field(9, latest('eval')),
        Field(10, latest('excess')),
    ], width)


def nowhere() -> TerminalOutput:
  """Returns an output that nobody sees, for parts of a run by themselves."""
  return TerminalOutput(stream=io.StringIO())


def announce(
    folder: str | os.PathLike, task: str, environments: int,
    stream: TextIO | None = None, label: str = 'Run folder') -> None:
  """Says at once what begins, as TensorFlow takes seconds to start.

  Args:
    folder: of the run, or the name of an agent.
    task: its name.
    environments: how many will be started.
    stream: text file; standard output by default.
    label: what `folder` is.
  """
  out = display.Stream(sys.stdout if stream is None else stream)
  number = lines.count(environments, 'environment')
  out.write(
      f'{label:<14}{folder}\n'
      f'Task          {task}\n'
      f'Starting TensorFlow and {number} …\n')
  out.flush()


def _episodes(summaries):
  """Returns name -> value of each episode among the metrics of a write."""
  found = []
  for _, name, value in summaries:
    for pattern, label in EPISODE:
      if not isinstance(value, str) and re.fullmatch(pattern, name):
        if label == 'return' or not found:
          found.append({})
        found[-1][label] = float(value)
  return found


def _first(scalars, patterns):
  """Returns label -> value of the first metric that each pattern matches."""
  found = {}
  for pattern, label in patterns:
    for name, value in scalars.items():
      if re.fullmatch(pattern, name) and label not in found:
        found[label] = value
  return found


def _averages(rows):
  """Returns the means of what finite values the rows have, by name."""
  means = Means()
  for row in rows:
    means.add(row)
  return means.take()
