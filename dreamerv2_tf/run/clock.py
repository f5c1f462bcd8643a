"""How long a run takes, and how much of that its evaluations take."""

from collections.abc import Iterator, Mapping
import contextlib
import time


class Clock:
  """Seconds since a run began, without the pauses between its starts.

  Training alone takes `total - evaluation`, the time by which methods are
  compared.
  """

  def __init__(self, began: float):
    """Begins at a `time.monotonic()` of this process, seconds."""
    self._began = began
    self._earlier = 0.0  # Seconds that the starts before this one took.
    self._evaluation = 0.0
    self._since = None  # When the evaluation that is running began.

  @property
  def total(self) -> float:
    """Seconds that the run took so far."""
    return self._earlier + time.monotonic() - self._began

  @property
  def evaluation(self) -> float | None:
    """Those of them in evaluations, also in the one that is running.

    None if the run was begun by a version that did not count them.
    """
    if self._evaluation is None or self._since is None:
      return self._evaluation
    return self._evaluation + time.monotonic() - self._since

  @contextlib.contextmanager
  def evaluating(self) -> Iterator[None]:
    """Counts the time in the body as that of an evaluation, however it ends."""
    self._since = time.monotonic()
    try:
      yield
    finally:
      self._evaluation, self._since = self.evaluation, None

  def metrics(self) -> dict[str, float]:
    """Returns `time_total` and, if it is known, `time_eval`."""
    evaluation = self.evaluation
    known = {} if evaluation is None else {'time_eval': evaluation}
    return {'time_total': self.total, **known}

  def state(self) -> dict[str, float | None]:
    """Returns the JSON-able seconds so far."""
    return {'seconds': self.total, 'eval_seconds': self.evaluation}

  def load_state(self, state: Mapping) -> None:
    """Goes on from the state of an earlier process, which may have been older.

    Raises:
      TypeError: it holds no numbers.
    """
    self._earlier = 0.0 + state['seconds']
    self._evaluation = state.get('eval_seconds')
    if self._evaluation is not None:
      self._evaluation += 0.0
