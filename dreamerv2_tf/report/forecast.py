"""How fast a run is, and when it will end."""

import collections

PACED = ('prefill', 'training')  # Phases in which environments step.
WINDOW = 60  # Seconds of such a phase over which its rate is taken.
EVALUATION = ('evaluating', 'reporting', 'saving')
ENOUGH = 10  # Seconds of training before the end can be foreseen.


class Forecast:
  """Rates and time left, from the step and the phase at some moments.

  Evaluations, checkpoints and reports do not slow the rate. The time left
  counts the evaluations that are to come, each as long as the last one.
  """

  def __init__(self, total: int, eval_every: float = 0):
    """Knows of no time yet.

    Args:
      total: last step of the run, 0 if that is not known.
      eval_every: steps between evaluations; 0: there are none.
    """
    self._total = total
    self._eval_every = int(eval_every)
    self._paced: str | None = None  # The phase of the marks.
    self._marks = collections.deque()  # (seconds in that phase, step).
    self._active = 0.0  # Seconds in that phase so far.
    self._phase: str | None = None
    self._time: float | None = None
    self._evaluation = 0.0  # Seconds of the last one.
    self._evaluated: int | None = None  # At which step that was.
    self._pause, self._scored = 0.0, False  # Since an environment stepped.

  def note(self, now: float, step: int, phase: str) -> None:
    """Takes in where the run is.

    Args:
      now: seconds on a clock that never goes back.
      step: so far.
      phase: what the run does from now on; its first word counts.
    """
    phase = phase.split()[0]
    if self._time is not None:
      self._spend(now - self._time, self._phase, phase)
    self._time, self._phase = now, phase
    if phase == 'evaluating':
      self._evaluated = step
    if phase not in PACED:
      return
    if phase != self._paced:  # Another pace.
      self._paced, self._active = phase, 0.0
      self._marks.clear()
    marks = self._marks
    if len(marks) < 2 or self._active - marks[-2][0] >= 1:
      marks.append((self._active, step))
    marks[-1] = (self._active, step)
    while len(marks) > 2 and self._active - marks[1][0] >= WINDOW:
      marks.popleft()

  @property
  def rate(self) -> float | None:
    """Steps per second in the phase of now, None before they are known."""
    return self._pace() if self._phase == self._paced else None

  def left(self, step: int) -> float | None:
    """Returns the seconds until the end, None while no one can know."""
    rate = self._pace()
    if not (self._total and rate) or (
        self._paced != 'training' or self._active < ENOUGH):
      return None
    evaluations, every = 0, self._eval_every
    if every:
      last = self._evaluated
      if last is None:
        last = step - step % every
      # One is at the end.
      evaluations = 1 + max(int((self._total - 1 - last) // every), 0)
    return max(self._total - step, 0) / rate + evaluations * self._evaluation

  def _pace(self):
    """Returns steps per second of the last phase in which there were any."""
    marks = list(self._marks)
    if len(marks) < 2 or marks[-1][0] - marks[0][0] < 1:
      return None
    (before, first), (now, last) = marks[0], marks[-1]
    return (last - first) / (now - before)

  def _spend(self, seconds, phase, following):
    if phase == self._paced:
      self._active += seconds
    if phase in EVALUATION:
      self._pause += seconds
      self._scored |= phase == 'evaluating'
    if following in PACED:
      if self._scored:
        self._evaluation = self._pause
      self._pause, self._scored = 0.0, False
