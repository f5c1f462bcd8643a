"""What the text page of a run says, from its settings and its history."""

import pathlib
from typing import Any

from .. import config as configlib
from .. import errors, files
from ..config import Config
from ..report import about
from ..settings.run import LOGGING
from . import rundir

# Of where and how a run is watched, not of what it is.
UNTOLD = {'logdir', *LOGGING} - {'log_every', 'eval_every', 'eval_eps'}


def page(config: Config, folder: pathlib.Path) -> str:
  """Returns the page about a run, in Markdown.

  Args:
    config: its settings.
    folder: with `run.json`.
  """
  record, starts = _history(folder)
  presets, base = _begun_with(starts)
  changes = {
      key: pair for key, pair in rundir.changed(base.flat, config.flat).items()
      if key not in UNTOLD}
  return about.page(config.task, presets, changes, starts, record)


def usual(folder: pathlib.Path) -> dict[str, Any]:
  """Returns the settings of the presets with which a run was begun."""
  return dict(_begun_with(_history(folder)[1])[1].flat)


def _history(folder):
  """Returns `run.json` and the starts in it, as far as they can be read."""
  try:
    record = files.parse_object(files.read(folder / 'run.json'))
    return record, [dict(start) for start in record.get('history', ())]
  except (OSError, ValueError, TypeError):
    return {}, []


def _begun_with(starts):
  """Returns the presets of a run and their settings."""
  presets = about.presets_of(starts)
  try:
    return presets, configlib.resolve(presets, [])
  except errors.ConfigError:  # Of another version, or no word of ours.
    return [], configlib.resolve([], [])
