"""`dreamerv2 dream`: shows what a world model dreams, beside what happened."""

from collections.abc import Sequence
import pathlib

from .. import config as configlib
from .. import flags, helptext, pretrained, startup
from ..config import Config
from ..errors import ConfigError
from ..report import movie
from . import agents, check_least, leading

FLAGS = {
    **agents.FLAGS,
    'actions': (
        '', 'What to do instead, a word for each dream: LANE_LEFT, or '
        'FASTER,FASTER,LANE_LEFT; the last action goes on. agent: as it '
        'likes. By default each action by itself.'),
    'seed': (10000, 'Scenario to drive; the next episode has the next.'),
    'episodes': (1, 'Scenarios to drive.'),
    'stored': (
        '', 'Instead: a stored episode, as a file; or train or eval, for the '
        'newest in that folder of the run.'),
    'start': ((0,), 'Steps of the episode at which scenes begin.'),
    'context': (5, 'Observations that the model sees before it dreams.'),
    'length': (15, 'Steps that it dreams; 0: to the end of the episode.'),
    'look': (0, 'Steps of a dream until it sees one again; 0: it does not.'),
    'samples': (16, 'Dreams of each sequence, of which the mean is told.'),
    'video': ('dream.gif', "GIF or MP4 to write; '' for none."),
    'npz': ('', 'File of all numbers; by default beside the video.'),
    'fps': (0.0, 'Decisions per second of the video; 0: as it suits.'),
    'key': ('', 'Observation to show; by default an image or vector.'),
    'json': (False, 'Print one JSON object on the last line.'),
    'debug': (False, 'Print the traceback of any error.'),
}
LEAST = {
    'seed': 0, 'episodes': 1, 'context': 1, 'length': 0, 'look': 0,
    'samples': 1, 'fps': 0}
FPS = 0.1, 60.0  # A film at rest would never end, nor one of many pictures.


def run(words: Sequence[str]) -> int | None:
  """Dreams.

  Raises:
    DreamerError: see `dreamerv2_tf.dreams.show.run`.
  """
  plans, words = _plans(leading('logdir', words))
  options, presets, overrides = configlib.parse(FLAGS, words)
  if presets:
    raise ConfigError('dream takes the settings of the run, no --configs.')
  _check(options)
  folder = agents.folder('dream', options)
  stored = Config.load(folder / 'config.yaml')
  config = configlib.resolve((), overrides, stored, flags=(*FLAGS,))
  agents.check_effect(
      stored, overrides, 'a dream. Its length is --length')
  startup.prepare()
  from ..dreams import show
  show.run(
      folder, config, options, plans, overrides,
      options.pretrained or folder.absolute().name)
  return None


def _plans(words):
  """Takes the words after --actions, whose commas stay, out of all words."""
  plans, rest = [], []
  for chunk in flags.chunks(words):
    name, given = flags.split(chunk)
    if name == 'actions':
      if not given:
        raise ConfigError("'--actions' needs at least one action.")
      plans += given
    else:
      rest += chunk
  return plans, rest


def _check(options):
  check_least(options, LEAST)
  if not options.start or min(options.start) < 0:
    raise ConfigError(
        f"'start' must be steps from 0 on but is {list(options.start)}.")
  if options.stored and options.episodes > 1:
    raise ConfigError(
        '--stored is one episode, --episodes are driven: give one of them.')
  low, high = FPS
  if options.fps and not low <= options.fps <= high:
    raise ConfigError(
        f"'fps' must be 0 or from {low} to {high:g} but is {options.fps}.")
  if options.video:
    movie.check(options.video)
  npz = pathlib.Path(options.npz)
  if options.npz and npz.suffix != '.npz':
    raise ConfigError(f"--npz must end in .npz but is '{npz}'.")
  if options.npz and npz.is_dir():
    raise ConfigError(f"--npz can not write '{npz}': it is a folder.")
  if options.npz and not npz.absolute().parent.is_dir():
    raise ConfigError(
        f"--npz can not write '{npz}': its folder does not exist.")


def help_lines(words: Sequence[str], topics: Sequence[str]) -> list[str]:
  """Returns the help; topics are those of `train`."""
  return [
      'usage: dreamerv2 dream DIR|--pretrained NAME [--actions WORD ...] ...',
      '', helptext.paragraph(
          'Shows what happened beside what the model dreams, which sees the '
          'first steps of an episode and not the rest; and what it dreams of '
          'other actions: what if I change lane now? Writes a film and all '
          'numbers, prints what each dream promises.'), '', 'Flags',
      *helptext.entries(FLAGS), '', 'Pretrained agents',
      f"  {', '.join(pretrained.names()) or 'none in this package'}"]
