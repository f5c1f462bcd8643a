"""What the text page of a run says, from its settings and its history."""

import pathlib

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
  record = {}
  try:
    record = files.parse_object(files.read(folder / 'run.json'))
    starts = [dict(start) for start in record.get('history', ())]
  except (OSError, ValueError, TypeError):
    starts = []
  presets = about.presets_of(starts)
  try:
    base = configlib.resolve(presets, [])
  except errors.ConfigError:  # Of another version, or no word of ours.
    presets, base = [], configlib.resolve([], [])
  changes = {
      key: pair for key, pair in rundir.changed(base.flat, config.flat).items()
      if key not in UNTOLD}
  return about.page(config.task, presets, changes, starts, record)
