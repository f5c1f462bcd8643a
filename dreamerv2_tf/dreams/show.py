"""The work of `dreamerv2 dream`: from a run to scenes, a film and a table."""

from collections.abc import Iterator, Sequence
import itertools
import json as jsonlib
import logging
import pathlib
import sys
import time
from typing import Any

import numpy as np

from .. import startup
from .. import envs as envlib
from ..config import Config
from ..errors import ConfigError, StorageError
from ..report import movie
from ..run import environments, loading, trust
from ..schema import suggest
from . import film, numbers, plans, sources, table, traffic
from .numbers import Scene
from .panels import Meaning

log = logging.getLogger('dreamerv2_tf')

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
  episodes = [sources.read(stored, env)] if stored else None
  _check_stored(episodes, stored, options)
  say('Starting TensorFlow ...')
  startup.import_tensorflow()
  agent, config, step = loading.load_agent(
      folder, options.checkpoint, overrides, env, trust=True)
  meaning = mean(agent, env, config, options.key)
  scenes = list(dream(
      agent, env, config, options, choices, episodes, stored))
  target = write(scenes, meaning, options, f'{name}, step {step}')
  _tell(agent, scenes, options, target, step)


def check_checkpoint(folder: pathlib.Path, which: str) -> None:
  """Refuses a run that has nothing to load, before TensorFlow is.

  Raises:
    ConfigError: it has no checkpoint, or not that one.
  """
  if (folder / 'weights.npz').is_file():
    return
  steps = sorted(
      int(x.name) for x in folder.glob('checkpoints/*') if x.name.isdecimal())
  if not steps:
    raise ConfigError(
        f'{folder} has no checkpoint yet: there is nothing to dream with. '
        f'Train first: dreamerv2 --logdir {folder}')
  if which.isdecimal() and int(which) not in steps:
    raise ConfigError(
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
  choices = plans.read(words, space, sources.action_names(env.plain))
  others = [x for x in choices if x.name != plans.DONE]
  if look and others:
    raise ConfigError(
        '--look shows the model what happened, so it goes with --actions '
        f"{plans.DONE} alone, not with '{others[0].name}'.")
  return plans.read([plans.DONE], space, {}) + others


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
      sources.action_names(env.plain), cars)


def dream(
    agent: Any, env: envlib.Env, config: Config, options: Config,
    choices: Sequence[plans.Plan], episodes: Sequence | None = None,
    stored: pathlib.Path | None = None) -> Iterator[Scene]:
  """Drives, where nothing is stored, and dreams.

  Args:
    agent, env, config: of a run.
    options: reads `seed`, `episodes`, `start`, `context`, `length`, `look`
      and `samples`.
    choices: what is done in the dreams.
    episodes: one that is stored; None: the agent drives.
    stored: its file.

  Raises:
    ConfigError: all episodes are too short.
    EnvError: the environment fails.
  """
  from . import scenes as scenelib
  seeds = range(options.seed, options.seed + options.episodes)
  if episodes is None:
    episodes, titles = (
        sources.drive(agent, config, seeds), [f'scenario {x}' for x in seeds])
    say(f'Driving {titles[0]}'
        f'{f" to {seeds[-1]}" if len(seeds) > 1 else ""} ...')
  else:
    seeds, titles = [-1], [f'episode {int(stored.name.split("-")[0])}' if (
        stored.name.split('-')[0].isdecimal()) else 'stored episode']
  count, failed = 0, None
  for episode, seed, title in zip(episodes, seeds, titles):
    for start in options.start:
      say(f'Dreaming of {title} under {len(choices)} '
          f'plan{"s" * (len(choices) > 1)} ...')
      try:
        scene = scenelib.make(
            agent, env.adapter, episode, choices, title=title, seed=seed,
            start=start, context=options.context, length=options.length,
            look=options.look, samples=options.samples)
      except ConfigError as error:
        failed = error
        log.warning('%s', error) if options.episodes * len(
            options.start) > 1 else None
        continue
      count += 1
      yield scene
  if not count:
    raise failed


def write(
    scenes: Sequence[Scene], meaning: Meaning, options: Config,
    name: str) -> list[str]:
  """Writes film and numbers; returns the files.

  Raises:
    StorageError: the disk is full or the folder not writable.
  """
  video, npz = files(options)
  try:
    if npz:
      numbers.save(npz, numbers.arrays(scenes))
    if video:
      fps = options.fps or FPS[meaning.traffic is not None]
      parts = [film.frames(x, meaning, name, fps) for x in scenes]
      total = sum(len(x.seen) for x in scenes)
      say(f'Drawing {total} steps ...')
      rate = parts[0][1]
      movie.write(video, itertools.chain.from_iterable(
          movie.held(frames, rate, 2.0) for frames, _ in parts), rate)
  except OSError as error:
    raise StorageError(
        f'Can not write {error.filename or video or npz}: {error.strerror}.'
    ) from error
  return [x for x in (video, npz) if x]


def files(options: Config) -> tuple[str, str]:
  """Returns the files to write, video and npz; empty: none."""
  npz = options.npz
  if options.video and not npz:
    npz = str(pathlib.Path(options.video).with_suffix('.npz'))
  return options.video, npz


def say(text: str) -> None:
  """Says at once what is done now, with the time."""
  print(f'{time.strftime("%H:%M:%S")}  {text}', file=sys.stderr, flush=True)


def _check_stored(episodes, stored, options):
  """Refuses what a stored episode is too short for, before TensorFlow."""
  if episodes is None:
    return
  rows = len(episodes[0]['reward'])
  need = min(options.start) + options.context + 1
  if rows < need:
    raise ConfigError(
        f"'{stored}' has {rows} observations, but --start "
        f'{min(options.start)} and --context {options.context} need at least '
        f'{need}.')


def _tell(agent, scenes, options, target, step):
  """Prints the tables, where the files are, and JSON."""
  lines = table.lines(scenes, options.samples)
  lines += table.explanation(
      scenes, 'discount' in agent.world_model.heads)
  if agent.config.clip_rewards != 'identity':
    lines.append(
        f'Dreamed rewards are those that the model learned: through '
        f'{agent.config.clip_rewards}.')
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
