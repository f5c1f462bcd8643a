"""Tells at once, without TensorFlow, that a run has nothing left to do."""

import contextlib
import pathlib
import re

from .. import errors
from ..config import Config
from . import environments, evaluate, rundir, texts
from . import manifest as manifests
from .manifest import Record


def complete(config: Config, folder: pathlib.Path) -> str:
  """Says that a run is complete, and how to go on.

  Args:
    config: the settings of now.
    folder: of the run.

  Returns:
    What is to be said; '' if something is left to do, or may be.

  Raises:
    StateError: the run was made with settings that can not change.
  """
  record = _last(folder, config.steps)
  if record is None:
    return ''
  ours = rundir.comparable(config)
  theirs = record.manifest.get('settings', ours)
  rundir.check_changed(folder, rundir.changed(theirs, ours))
  final = None
  if config.eval_every:
    final = evaluate.read_record(evaluate.record_path(
        folder, record.step, environments.EVAL_SEED, config.eval_eps))
  try:
    state = record.state
    due = state['due']
    waiting = state['pending'] or due['log'] or due['eval']
    learned = state['replay']['total_episodes'] and (
        final or state['pretrained'])
    best, best_step = state['best'], state.get('best_step')
    if waiting or not learned or bool(config.eval_every) != bool(final):
      return ''
    score = texts.scored(final, best, best_step, config.eval_eps)
  except (OSError, ValueError, LookupError, TypeError, AttributeError):
    return ''  # The loop will tell.
  return texts.complete(
      folder, record.step, config.steps, score,
      config.task != environments.CUSTOM)


def _last(folder: pathlib.Path, steps: int) -> Record | None:
  """Returns the newest checkpoint, if it is whole and has so many steps."""
  with contextlib.suppress(OSError, errors.DreamerError):
    found = sorted(
        path for path in (folder / 'checkpoints').iterdir()
        if re.fullmatch(r'[0-9]{12}', path.name))
    if found and int(found[-1].name) >= steps:
      return manifests.verify(found[-1])
  return None
