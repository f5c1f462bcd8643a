"""Saves a run and goes on with it: a registry of parts that have a state."""

from collections.abc import Callable, Iterable, Mapping
import contextlib
import functools
import math
import pathlib
from typing import Any

from .. import errors
from . import rundir
from .progress import Progress
from .stop import Stop


class Group(dict):
  """Parts by name that are stored as one."""

  def state(self) -> dict[str, Any]:
    """Returns the state of each by its name."""
    return {name: part.state() for name, part in self.items()}

  def load_state(self, state: Mapping[str, Any]) -> None:
    """Continues from a state, which may hold more."""
    for name, part in self.items():
      part.load_state(state[name])


class Session:
  """Writes checkpoints of all that decides what comes next, and restores them.

  A new part of a run needs no more than a line in `parts`, and these methods:

      state() -> JSON-able
      load_state(state), or load_state(state, arrays) if it has `arrays`
      arrays() -> name to array, where numbers are many; names are its own

  Attributes:
    stores: name -> Replay; restored first, as their files may be newer.
    parts: name -> all others, in the order in which they are restored. Those
      named `driver`, `random` and `datasets` begin anew where the files or
      the seed ask for it.
    saved: step of the last checkpoint, None if there is none.
    changed: settings that differ from those that the checkpoint which was
      restored was made with: dotted key to (old, new).
  """

  def __init__(
      self, folder: pathlib.Path, checkpoints: Any, agent: Any,
      progress: Progress, *, meta: Mapping[str, Any], every: int, exact: bool,
      stop: Stop, finish: Callable[[], Any],
      saving: Callable[[], contextlib.AbstractContextManager] = (
          contextlib.nullcontext)):
    """Holds no parts yet.

    Args:
      folder: of the run.
      checkpoints: Checkpoints, where they are written.
      agent: whose variables they hold.
      progress: restored between stores and parts.
      meta: for the manifest; `spaces` must stay as they are, and those of
        `settings` that can not change in a run.
      every: environment steps between checkpoints.
      exact: leave out episodes that are newer than the checkpoint, as they
        come again.
      stop: says whether a signal came.
      finish: waits for all that changes the state meanwhile.
      saving: returns a context in which a checkpoint is written.
    """
    self.stores = {}
    self.parts = {}
    self.saved = None
    self.changed = {}
    self._folder = folder
    self._checkpoints = checkpoints
    self._agent = agent
    self._progress = progress
    self._meta = meta
    self._every = every
    self._exact = exact
    self._stop = stop
    self._finish = finish
    self._saving = saving
    self._marked = None  # Score of the checkpoint that is marked as best.
    self._improved = False  # The next one has a better score.

  @property
  def failures(self) -> int:
    """Number of checkpoints that could not be saved."""
    return self._checkpoints.failures

  def begin(self) -> None:
    """Saves a new run."""
    if self.saved is None:
      self.save(must=True)

  def save_if_due(self) -> None:
    """Saves after so many steps, and what is better than before at once."""
    step, every = int(self._progress.step), self._every
    if self._improved or step // every > self.saved // every:
      self.save()

  def leave_if_asked(self) -> None:
    """Saves and leaves if a signal came.

    Raises:
      Interrupted: that is so.
    """
    number = self._stop.signal
    if number:
      self.save(must=True)
      raise errors.interrupted(
          number, f'at step {int(self._progress.step)}, the state is saved.')

  def offer(self, score: float) -> None:
    """Marks the next checkpoint as best, if no score was as high."""
    progress = self._progress
    if progress.best is None or score > progress.best:
      progress.best, progress.best_step = score, int(progress.step)
      self._improved = True

  def save(self, must: bool = False) -> None:
    """Writes a checkpoint with everything that decides what comes next.

    Args:
      must: try again if that fails, up to the StorageError.
    """
    self._finish()
    progress = self._progress
    self.saved = int(progress.step)
    best, self._improved = self._improved, False
    parts = {**self.stores, **self.parts}
    state = {
        **progress.state(), **{k: v.state() for k, v in parts.items()}}
    arrays = {}
    for part in filter(_has_arrays, parts.values()):
      arrays.update(part.arrays())
    save = functools.partial(
        self._checkpoints.save, self.saved, self._agent, state, arrays,
        self._meta, best)
    with self._saving():
      saved = save()
      while must and not saved:
        saved = save()  # The third failure in a row raises.
    if saved:
      for store in self.stores.values():
        store.saved()
    if saved and best:
      self._marked = progress.best
    elif best:
      # A better score than that gets the mark.
      progress.best, progress.best_step = self._marked, None

  def restore(self) -> str:
    """Continues from the newest checkpoint and the episodes on disk.

    Returns:
      What was restored, in words; empty for a new run.

    Raises:
      StateError: the checkpoints are damaged or do not fit.
    """
    record = self._checkpoints.newest()
    if record is None:
      return self._adopt()
    try:
      return self._resume(record)
    except errors.DreamerError:
      raise
    except Exception as error:  # Whatever a foreign state makes us do.
      raise errors.StateError(
          f'Can not go on with checkpoint {record.path}: '
          f'{errors.brief(error)}. Move it away to go on with the '
          'one before it, or begin a new run with another --logdir.'
      ) from error

  def _resume(self, record):
    self._check_spaces(record)
    self._check_settings(record)
    self._checkpoints.restore(record, self._agent)
    state, arrays = record.state, record.arrays
    check_state(state, self._progress.due, self.parts['every'])
    for name, store in self.stores.items():
      store.load_state(state[name], mask=self._exact)
    stored = self.stores['replay'].stats
    newer = stored['total_steps'] - state['replay']['total_steps']
    if newer:
      state = _after_newer(state, stored)
      arrays = {k: v for k, v in arrays.items() if not k.startswith('policy')}
    if state.get('seed', self._progress.seed) != self._progress.seed:
      state = self._reseeded(state)
    self._progress.load_state(state)
    for name, part in self.parts.items():
      more = [arrays] if _has_arrays(part) else []
      part.load_state(state[name], *more)
    self._marked = self._progress.best
    self.saved = record.step
    extra = f' and {newer} newer steps' if newer else ''
    return (
        f'Resumed       checkpoint {record.step}{extra}: networks, optimizers,'
        f" random states, counters; {stored['loaded_episodes']} episodes, "
        f"{stored['loaded_steps']} steps in replay")

  def _reseeded(self, state):
    """Returns the state with draws that follow from the seed of now."""
    datasets = {
        name: {k: v for k, v in dataset.items() if k != 'rng'}
        for name, dataset in state['datasets'].items()}
    return {
        **state, 'datasets': datasets, 'random': self.parts['random'].state()}

  def _adopt(self):
    """Begins a new run, with the episodes that were put into its folder."""
    stats = self.stores['replay'].stats
    begun, step = rundir.reached(self._folder)
    if step or rundir.went_on(self._folder) or (
        begun and stats['loaded_episodes']):
      raise errors.StateError(
          f"The run in {self._folder} has {stats['loaded_episodes']} episodes "
          f'and metrics up to step {step}, but no checkpoint. Put back a copy '
          'of the folder checkpoints, or begin a new run with another '
          '--logdir; it begins with these episodes if you copy the folder '
          'train_episodes there.')
    if not stats['loaded_episodes']:
      return ''
    self._progress.step.increment(stats['total_steps'])
    driver = self.parts['driver']
    driver.load_state(
        _begin_after(driver.state(), stats['total_episodes']), {})
    return (
        f"Resumed       no checkpoint; {stats['loaded_episodes']} episodes, "
        f"{stats['loaded_steps']} steps in replay")

  def _check_settings(self, record):
    """Compares with the checkpoint itself.

    It may be that of another run, or config.yaml was edited or lost.
    """
    ours = self._meta.get('settings', {})
    theirs = record.manifest.get('settings', ours)  # Older ones do not tell.
    self.changed = rundir.changed(theirs, ours)
    rundir.check_changed(self._folder, self.changed)

  def _check_spaces(self, record):
    ours, theirs = self._meta['spaces'], record.manifest['spaces']
    if ours != theirs:
      raise errors.StateError(
          f'The run in {self._folder} was made with other spaces: {theirs}; '
          f'the environment now has {ours}. Give another --logdir.')


def check_state(
    state: Mapping[str, Any], due: Iterable[str], every: Iterable[str]) -> None:
  """Refuses what would only be noticed later.

  Args:
    state: of a checkpoint.
    due, every: names of what it should hold of these.

  Raises:
    TypeError, ValueError: a value is not of its type, or negative.
    LookupError: it is missing.
  """
  kinds = {
      'step': int, 'written': int, 'seconds': float, 'pretrained': int,
      'best': float | None, 'policy': str | None, 'pending': list,
      'learner skipped': int, 'driver steps': int, 'driver episodes': int,
      **{f'driver workers {index} episode': int
         for index in range(len(state['driver']['workers']))},
      **{f'{name} {key}': int for name in ('replay', 'eval_replay')
         for key in (
             'next_seq', 'total_steps', 'total_episodes',
             'episodes_rejected', 'episodes_skipped')},
      **{f'every {key} last': int | None for key in every},
      **{f'due {key}': int for key in due}}
  for path, kind in kinds.items():
    value = state
    for key in path.split():
      value = value[int(key) if isinstance(value, list) else key]
    if isinstance(value, int) and kind in (float, float | None):
      value = float(value)
    if not isinstance(value, kind) or (
        isinstance(value, float) and not math.isfinite(value)):
      raise TypeError(f"'{path}' is {value!r}")
    if isinstance(value, int) and value < 0:
      raise ValueError(f"'{path}' is {value!r}")
  for row in state['pending']:
    step, name, value = row
    if not (isinstance(step, int) and isinstance(name, str)
            and isinstance(value, int | float)):
      raise TypeError(f"'pending' holds {row!r}")


def _has_arrays(part):
  return hasattr(part, 'arrays')


def _after_newer(state, stored):
  """Returns a state that also counts what is stored beyond it.

  Running episodes may be among the newer ones on disk, so that all workers
  begin others.
  """
  driver = state['driver']
  steps = stored['total_steps'] - state['replay']['total_steps']
  episodes = stored['total_episodes'] - state['replay']['total_episodes']
  running = sum(len(w.get('actions', ())) for w in driver['workers'])
  return {
      **state, 'step': state['step'] + max(0, steps - running), 'written': 0,
      'pending': [], 'driver': _begin_after(driver, episodes)}


def _begin_after(state, episodes):
  """Driver state whose workers begin episodes that no one has run yet."""
  workers = [
      {'episode': w['episode'] + episodes, 'running': False}
      for w in state['workers']]
  return {**state, 'workers': workers}
