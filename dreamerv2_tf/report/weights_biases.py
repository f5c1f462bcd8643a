"""Metrics, pictures and settings in a run of Weights & Biases.

Needs the extra `wandb`. What fails there is a warning, once, never an error:
`metrics.jsonl` has the scalars.
"""

from collections.abc import Mapping, Sequence
import io
import itertools
import json
import logging
import os
import pathlib
import uuid

from .. import errors, files
from . import video
from .summary import Summary, to_row

log = logging.getLogger(__name__)

ID = 'wandb.json'  # In the run folder: which run there a restart goes on with.
PROJECT = 'dreamerv2_tf'  # Unless the variable WANDB_PROJECT names another.
MODES = ('off', 'online', 'offline')
START_SECONDS = 30  # Until it goes on offline.
END_SECONDS = 60  # For what is still to be uploaded at the end.


class WeightsBiasesOutput:
  """Writes a row of scalars, and pictures, for each write of the logger.

  A restart goes on with the same run. As it may begin before the last row
  that was sent, rows have no step of Weights & Biases but a column `step`,
  which charts take as their axis.
  """

  def __init__(
      self, logdir: str | os.PathLike, mode: str, fps: float = 20):
    """Starts or goes on with the run there; offline if that can not be.

    Args:
      logdir: run folder; files go to `wandb/` in it.
      mode: online or offline.
      fps: frames per second of videos.
    """
    assert mode in MODES[1:], mode
    self._folder = pathlib.Path(logdir)
    self._fps = fps
    self._run = None
    self._wandb = None
    self._failed = False
    try:
      import wandb
    except Exception as error:  # It may also be broken.
      self._fail(
          'can not be imported', error,
          "Install it: pip install 'dreamerv2_tf[wandb]'.")
      return
    self._wandb = wandb
    if mode == 'online':
      try:
        if not wandb.login(prompt=False, verify=False):  # It would ask.
          raise ValueError('there is no API key; see `wandb login`')
        self._run = self._start('online')
      except Exception as error:
        log.warning(
            'Weights & Biases can not be reached: %s. This run is kept in '
            '%s/wandb; send it later: wandb sync %s/wandb/offline-run-*',
            errors.first_line(error), self._folder, self._folder)
    try:
      self._run = self._run or self._start('offline')
      self._run.define_metric('*', step_metric='step')
    except Exception as error:
      self._fail('can not start', error)

  def __call__(self, summaries: Sequence[Summary]) -> None:
    """Sends a row of scalars, and pictures in rows of their steps."""
    if self._failed:
      return
    try:
      step, row = to_row(summaries)
      for number, group in itertools.groupby(summaries, lambda x: x[0]):
        media = {
            name: self._media(value) for _, name, value in group
            if not isinstance(value, str) and value.ndim}
        if media and number != step:
          self._run.log({'step': number, **media})
        elif media:
          row.update(media)
      if row:
        self._run.log({'step': step, **row})
    except Exception as error:
      self._fail('takes no more values', error)

  def hparams(self, mapping: Mapping) -> None:
    """Sends the settings of this run."""
    if self._failed:
      return
    try:
      self._run.config.update({
          key: list(value) if isinstance(value, tuple) else value
          for key, value in mapping.items()}, allow_val_change=True)
    except Exception as error:
      self._fail('takes no settings', error)

  def close(self) -> None:
    """Ends the run there, after at most a minute for what is to be sent."""
    if self._run is None:
      return
    try:
      self._run.finish()
    except Exception as error:
      self._fail('did not end', error)

  def _start(self, mode):
    name, known = self._identity()
    # Anything that it asks or prints would be in the way of the run's own.
    run = self._wandb.init(
        id=name, resume='allow', mode=mode, dir=str(self._folder),
        name=os.environ.get('WANDB_NAME') or self._folder.name,
        project=os.environ.get('WANDB_PROJECT') or known or PROJECT,
        settings=self._wandb.Settings(
            silent=True, console='off', reinit='create_new',
            init_timeout=START_SECONDS, finish_timeout=END_SECONDS))
    files.write_text(self._folder / ID, json.dumps(
        {'id': name, 'project': run.project}) + '\n')
    return run

  def _identity(self):
    """Returns id and project of the run of this folder, a new id if none."""
    try:
      content = files.parse_object(files.read(self._folder / ID))
      name, project = content['id'], content.get('project')
      if isinstance(name, str) and name.isalnum() and (
          project is None or isinstance(project, str)):
        return name, project
      raise ValueError('No id.')
    except FileNotFoundError:
      pass
    except (OSError, ValueError, KeyError, TypeError):
      log.warning(
          '%s is damaged; a new run of Weights & Biases begins.',
          self._folder / ID)
    return uuid.uuid4().hex[:8], None

  def _media(self, value):
    pixels = video.displayable(value[..., None] if value.ndim == 2 else value)
    if pixels.ndim == 3:
      return self._wandb.Image(pixels.squeeze(-1) if (
          pixels.shape[-1] == 1) else pixels)
    gif = io.BytesIO(video.encode_gif(pixels, self._fps))
    return self._wandb.Video(gif, format='gif')

  def _fail(self, what, error, advice=''):
    if not self._failed:
      log.warning(
          'Weights & Biases %s: %s. The run goes on without it; metrics.jsonl '
          'has the scalars. %s', what, errors.first_line(error), advice)
    self._failed = True
