"""Step counter and the questions asked about it."""

import functools


class Every:
  """True at the first call and then once every `every` steps.

  A late call answers once; the following calls catch up one by one, so that
  the number of answers does not depend on how often the question is asked.

  Code: danijar/dreamerv2 common/when.py, Every.
  Differs: negative values mean never, as 0 does; has a state.
  """

  def __init__(self, every: float):
    """Args: every: distance in the steps passed to the call; 0: never."""
    self._every = every
    self._last: float | None = None

  def __call__(self, step: 'int | Counter') -> bool:
    """Tells whether it is due at this step, and counts that as done."""
    step = int(step)
    if self._every <= 0:
      return False
    if self._last is None:
      self._last = step
      return True
    if step >= self._last + self._every:
      self._last += self._every
      return True
    return False

  def state(self) -> dict:
    """Returns the last step at which it was due, JSON-able."""
    return {'last': self._last, 'every': self._every}

  def load_state(self, state: dict) -> None:
    """Continues from a state; begins anew if the distance has changed.

    Answers for the past would otherwise be made up for, or held back.
    """
    same = state.get('every', self._every) == self._every
    self._last = state['last'] if same else None


class Until:
  """True while the step is below `until`; always if that is 0."""

  def __init__(self, until: float):
    """Args: until: number of steps; 0: no end."""
    self._until = until

  def __call__(self, step: 'int | Counter') -> bool:
    """Tells whether the step is below."""
    return not self._until or int(step) < self._until


@functools.total_ordering
class Counter:
  """A number of steps that parts of a run share and compare like an int."""

  def __init__(self, initial: int = 0):
    """Begins with a number of steps."""
    self.value = initial

  def __int__(self) -> int:
    return int(self.value)

  def __eq__(self, other) -> bool:
    return int(self) == other

  def __lt__(self, other) -> bool:
    return int(self) < other

  def __repr__(self) -> str:
    return f'Counter({int(self)})'

  def increment(self, amount: int = 1) -> None:
    """Adds steps."""
    self.value += amount
