"""Dreams in Python, as `dreamerv2 dream` shows them."""

from collections.abc import Sequence

from .. import pretrained
from ..config import Config, resolve
from ..errors import plainly
from ..report import movie
from ..run import loading
from . import show
from .numbers import Scene


@plainly
def dream(
    logdir: str, actions: Sequence[str] = (), checkpoint: str = 'latest', *,
    seeds: Sequence[int] = (10_000,), starts: Sequence[int] = (0,),
    context: int = 5, length: int = 15, look: int = 0, samples: int = 16,
    video: str = '', npz: str = '', overrides: Sequence[str] = (),
    trust: bool = False) -> list[Scene]:
  """Dreams of what would happen, beside what did, as `dreamerv2 dream` does.

  Args:
    logdir, checkpoint, overrides, trust: see `load`.
    actions: sequences of actions, such as 'FASTER,FASTER,LANE_LEFT', whose last
      one goes on; none: each action by itself. What was done comes first.
    seeds: scenarios, which the agent drives.
    starts: steps of an episode at which scenes begin.
    context: observations that the model sees before it dreams.
    length: steps that it dreams; 0: to the end of the episode.
    look: steps of a dream until it sees one again; 0: it does not.
    samples: dreams of each sequence.
    video: GIF or MP4 to write; empty: none.
    npz: file to write with all numbers; empty: none.

  Raises:
    ConfigError: no run there, wrong actions, or too short episodes.
    StateError, EnvError, StorageError: see `load`, or a file can not be
      written.
  """
  folder = pretrained.locate(logdir)
  if video:
    movie.check(video, 'video')
  show.check_checkpoint(folder, checkpoint)
  config = resolve((), overrides, Config.load(folder / 'config.yaml'))
  env = show.make_env(folder, config, trust)
  choices = show.choose(actions, env, look)
  agent, config, step = loading.load_agent(
      folder, checkpoint, overrides, env, trust=True)
  scenes = list(show.dream(
      agent, env, config, choices, seeds=seeds, starts=starts, context=context,
      length=length, look=look, samples=samples))
  show.write(
      scenes, show.mean(agent, env, config), f'{folder.name}, step {step}',
      video=video, npz=npz)
  return scenes
