"""`dreamerv2 eval`: scores an agent on fixed scenarios."""

from collections.abc import Sequence

from .. import config as configlib
from .. import helptext, pretrained, startup
from ..config import Config
from ..errors import ConfigError
from . import agents, check_least, leading

FLAGS = {
    **agents.FLAGS,
    'episodes': (100, 'Episodes to run.'),
    'seed': (10000, 'Seed of the first episode; the next has the next seed.'),
    'json': (False, 'Print one JSON object on the last line.'),
    'video': (
        '', 'Film the first episode into this .gif or .mp4. With {seed} in its '
        'name, one file for each episode filmed.'),
    'video-episodes': (1, 'How many episodes to film.'),
    'envs': (0, 'Environments that run at the same time; 0: as in training.'),
    'debug': (False, 'Print the traceback of any error.'),
}


def run(words: Sequence[str]) -> int | None:
  """Evaluates.

  Raises:
    DreamerError: see `dreamerv2_tf.run.evaluate.run`.
  """
  options, presets, overrides = configlib.parse(
      FLAGS, leading('logdir', words))
  if presets:
    raise ConfigError('eval takes the settings of the run, no --configs.')
  check_least(options, {'episodes': 1, 'seed': 0, 'envs': 0})
  if options['video-episodes'] != 1 and not options.video:
    raise ConfigError(
        "'video-episodes' says how many episodes --video films: give it a "
        'file, such as --video drive.gif.')
  logdir = agents.folder('eval', options)
  config = Config.load(logdir / 'config.yaml')
  configlib.resolve((), overrides, config, flags=(*FLAGS,))
  agents.check_effect(
      config, overrides,
      'an evaluation. Length and scenarios: --episodes, --seed')
  startup.prepare()
  from ..run import evaluate
  return evaluate.run(
      str(logdir), episodes=options.episodes, seed=options.seed,
      checkpoint=options.checkpoint, json=options.json,
      video=options.video or None,
      video_episodes=options['video-episodes'], envs=options.envs or None,
      overrides=overrides, trust=options.trust,
      keep=not pretrained.holds(logdir))


def help_lines(words: Sequence[str], topics: Sequence[str]) -> list[str]:
  """Returns the help; topics are those of `train`."""
  return [
      'usage: dreamerv2 eval DIR|--pretrained NAME [--episodes N] ...', '',
      helptext.paragraph(
          'Runs episodes on fixed seeds and reports the return. Settings come '
          'from the run; keys such as --env.config.lanes_count 4 change them. '
          'The result of a run is written into its folder, that of a '
          'pretrained agent only shown.'), '', 'Flags',
      *helptext.entries(FLAGS), '', 'Pretrained agents',
      f"  {', '.join(pretrained.names()) or 'none in this package'}"]
