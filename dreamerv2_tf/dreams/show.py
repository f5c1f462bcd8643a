"""The work of `dreamerv2 dream`: from a run to scenes, a film and a table."""

from collections.abc import Callable, Iterable, Iterator, Sequence
import itertools
import json as jsonlib
import pathlib
import sys
import time
from typing import Any

import numpy as np

from .. import envs as envlib
from .. import startup
from ..config import Config
from ..envs import describe
from ..errors import ConfigError, StateError, StorageError
from ..report import movie
from ..run import environments, loading, trust
from ..schema import suggest
from . import film, numbers, plans, sources, table, traffic
from .numbers import Scene
from .panels import Meaning

SHAPE = 'context', 'length', 'look', 'samples'  # Flags for a scene.
LOOK_AT = """\
In the film the model looks as long as panels are blue. Then the bar below each
dream is the chance that it goes on{}."""
RED = '; where that is below one half, the own car is red'
HOLD = 2.0  # Seconds that the end of a scene stays.
FPS = {True: 2.0, False: 5.0}  # Decisions per second, on highways and not.


def run(
    folder: pathlib.Path, config: Config, options: Config,
    words: Sequence[str], overrides: Sequence[str], name: str) -> None:
  """Dreams, writes and prints.

  Args:
    folder: of a run or agent.
    config: its settings, with the overrides.
    options: values of the command's flags.
    words: sequences of actions; see `plans.read`.
    overrides: command line words that change the settings.
    name: how people call the agent.

  Raises:
    ConfigError, StateError, EnvError, StorageError: see `errors`.
  """
  say(f'Dreams of {name}. Starting {config.task} ...')
  check_checkpoint(folder, options.checkpoint)
  stored = options.stored and sources.find(folder, options.stored)
  env = make_env(folder, config, options.trust)
  choices = choose(words, env, options.look)
  if stored:
    stored = _title(stored), sources.read(stored, env)
    _check_stored(*stored, options)
  say('Starting TensorFlow ...')
  startup.import_tensorflow()
  agent, config, step = loading.load_agent(
      folder, options.checkpoint, overrides, env, trust=True)
  meaning = mean(agent, env, config, options.key)
  seeds = range(options.seed, options.seed + options.episodes)
  if not stored:
    say(f'Driving {len(seeds)} scenarios ...' if len(seeds) > 1 else
        f'Driving scenario {seeds[0]} ...')
  scenes = list(dream(
      agent, env, config, choices, seeds=seeds, stored=stored,
      starts=options.start, tell=say, **{k: options[k] for k in SHAPE}))
  if options.video:
    say(f'Drawing {sum(len(x.seen) for x in scenes)} steps ...')
  npz = options.npz or options.video and str(
      pathlib.Path(options.video).with_suffix('.npz'))
  write(
      scenes, meaning, f'{name}, step {step}', video=options.video, npz=npz,
      fps=options.fps)
  target = [x for x in (options.video, npz) if x]
  _tell(agent, meaning, scenes, options, target, step)


def check_checkpoint(folder: pathlib.Path, which: str) -> None:
  """Refuses a run that has nothing to load, before TensorFlow is.

  Raises:
    StateError: it has no checkpoint, or not that one.
  """
  if (folder / 'weights.npz').is_file():
    return
  steps = sorted(
      int(x.name) for x in folder.glob('checkpoints/*') if x.name.isdecimal())
  if not steps:
    raise StateError(
        f'{folder} has no checkpoint yet: there is nothing to dream with. '
        f'Train first: dreamerv2 --logdir {folder}')
  if which.isdecimal() and int(which) not in steps:
    raise StateError(
        f'{folder} has no checkpoint {which}. There are '
        f"{', '.join(map(str, steps))}.")


def make_env(
    folder: pathlib.Path, config: Config, trusted: bool) -> envlib.Env:
  """Makes the environment of a run, to see what its numbers mean.

  Raises:
    ConfigError: it has no name, or names code that is not known.
    EnvError: it can not be built.
  """
  if config.task == environments.CUSTOM:
    raise ConfigError(
        f'The run in {folder} was trained by a Python program in an '
        'environment without a name, which no command can make.')
  trust.check(folder, config, trusted)
  env = environments.factory(config, ())()
  env.close()
  return env


def choose(
    words: Sequence[str], env: envlib.Env, look: int) -> list[plans.Plan]:
  """Returns the plans to dream of; the first is what was done.

  Raises:
    ConfigError: a word means no action, or looks make no sense.
  """
  if look and not words:
    words = [plans.DONE]
  space = env.act_space['action']
  choices = plans.read(words, space, names(env))
  others = [x for x in choices if x.name != plans.DONE]
  if look and others:
    raise ConfigError(
        '--look shows the model what happened, so it goes with --actions '
        f"{plans.DONE} alone, not with '{others[0].name}'.")
  return plans.read([plans.DONE], space, {}) + others


def names(env: envlib.Env) -> dict[int, str]:
  """Returns number -> name of the actions of an environment that tells them."""
  return dict(enumerate(describe.action_names(env)))


def mean(
    agent: Any, env: envlib.Env, config: Config, key: str = '') -> Meaning:
  """Returns what is shown of an agent's dreams, and what it means.

  Args:
    agent: with decoder.
    env: its environment.
    config: of the agent.
    key: of the observation to show; empty: an image, or the first vector.

  Raises:
    ConfigError: that is not predicted.
  """
  decoder = agent.world_model.heads['decoder']
  keys = [
      k for k in (*decoder.cnn_keys, *decoder.mlp_keys)
      if k in env.adapter.spaces]
  if key and key not in keys:
    raise ConfigError(
        f"--key must be an observation that the model predicts but is '{key}'."
        f"{suggest(key, keys)} There are: {', '.join(keys)}.")
  cars = None
  if config.task.startswith('highway_'):
    cars = traffic.read(env.plain, config.action_repeat)
  return Meaning(
      key or keys[0], env.act_space['action'],
      names(env), cars)


def dream(
    agent: Any, env: envlib.Env, config: Config, choices: Sequence[plans.Plan],
    *, seeds: Sequence[int] = (), stored: tuple | None = None,
    starts: Sequence[int] = (0,), tell: Callable[[str], Any] = len,
    **shape: int) -> Iterator[Scene]:
  """Drives, where nothing is stored, and dreams.

  Args:
    agent, env, config: of a run.
    choices: what is done in the dreams.
    seeds: scenarios to drive.
    stored: instead, title and content of an episode.
    starts: rows at which scenes begin.
    tell: is told what is done, and what is left out.
    **shape: `context`, `length`, `look` and `samples` of `scenes.make`.

  Raises:
    ConfigError: all episodes are too short; some are left out.
    EnvError: the environment fails.
  """
  from . import scenes as scenelib
  episodes = [(-1, *stored)] if stored else (
      (seed, f'scenario {seed}', episode)
      for seed, episode in zip(seeds, sources.drive(agent, config, seeds)))
  found, failed = False, []
  for seed, title, episode in episodes:
    tell(f'Dreaming of {title}, with {len(choices)} sequences of actions ...'
         if len(choices) > 1 else f'Dreaming of {title} ...')
    for start in starts:
      try:
        scene = scenelib.make(
            agent, env.adapter, episode, choices, title=title, seed=seed,
            start=start, **shape)
      except ConfigError as error:
        failed.append(error)
        tell(f'Left out: {error}')
        continue
      found = True
      yield scene
  if not found:
    raise failed[0]


def drive(
    agent: Any, config: Config, path: pathlib.Path, name: str,
    seed: int) -> None:
  """Films a drive beside the dream of it, which looks every ten steps.

  Args:
    agent: drives and dreams.
    config: of its run.
    path: GIF or MP4 to write.
    name: for the headline.
    seed: scenario.

  Raises:
    ConfigError, EnvError, StorageError: see `dream` and `write`.
  """
  env = environments.factory(config, ())()
  env.close()
  [scene] = dream(
      agent, env, config, choose([plans.DONE], env, 10), seeds=[seed],
      length=0, look=10)
  write([scene], mean(agent, env, config), name, video=str(path))


def write(
    scenes: Sequence[Scene], meaning: Meaning, name: str, *, video: str = '',
    npz: str = '', fps: float = 0.0) -> None:
  """Writes a film and all numbers.

  Args:
    scenes: at least one, of the same plans.
    meaning: of their numbers.
    name: of agent and checkpoint, for the headline.
    video: file; empty: none.
    npz: file; empty: none.
    fps: decisions per second; 0: as it suits.

  Raises:
    StorageError: the disk is full or the folder not writable.
  """
  try:
    if npz:
      numbers.save(npz, numbers.arrays(scenes))
    if video:
      fps = fps or FPS[meaning.traffic is not None]
      parts = [film.frames(x, meaning, name, fps) for x in scenes]
      rate = parts[0][1]
      frames = itertools.chain.from_iterable(
          movie.held(part, rate, HOLD) for part, _ in parts)
      movie.write(video, counted(frames), rate)
  except OSError as error:
    raise StorageError(
        f'Can not write {error.filename or video or npz}: {error.strerror}.'
    ) from error


def counted(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
  """Yields frames and shows on a terminal how many there were."""
  shown = sys.stderr and sys.stderr.isatty()
  for count, frame in enumerate(frames, 1):
    if shown:
      print(f'\r{count} pictures', end='', file=sys.stderr, flush=True)
    yield frame
  if shown:
    print('\r\x1b[K', end='', file=sys.stderr, flush=True)


def say(text: str) -> None:
  """Says at once what is done now, with the time."""
  print(f'{time.strftime("%H:%M:%S")}  {text}', file=sys.stderr, flush=True)


def _title(path):
  """Returns how people call a stored episode."""
  number = path.name.partition('-')[0]
  return f'episode {int(number)}' if number.isdecimal() else (
      'a stored episode')


def _check_stored(title, episode, options):
  """Refuses what an episode is too short for, before TensorFlow is there."""
  sources.check_length(
      title, len(episode['reward']), min(options.start), options.context)


def _tell(agent, meaning, scenes, options, target, step):
  """Prints the tables, where the files are, and JSON."""
  lines = table.lines(scenes, options.samples)
  lines += table.explanation(
      'discount' in agent.world_model.heads, agent.config.clip_rewards)
  if options.video:
    cars = meaning.traffic and meaning.key not in (
        agent.world_model.heads['decoder'].cnn_keys)
    lines += [LOOK_AT.format(RED if cars else '')]
  if target:
    lines.append(f"Written to {' and '.join(target)}")
  print('\n'.join(lines), flush=True)
  if options.json:
    print(jsonlib.dumps({
        'step': step, 'samples': options.samples,
        'scenes': numbers.summary(scenes), 'errors': numbers.errors(scenes),
        'files': target}, default=_plain), flush=True)


def _plain(value):
  """Turns numbers of NumPy into those of Python."""
  if isinstance(value, np.generic):
    return value.item()
  raise TypeError(type(value))
