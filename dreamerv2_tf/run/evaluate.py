"""Runs episodes on fixed scenarios and says how good they were."""

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
import functools
import json as jsonlib
import logging
import math
import pathlib
import re
import sys
from typing import Any
import zlib

import numpy as np

from .. import config as configlib
from .. import envs as envlib
from .. import errors, files, startup
from ..config import Config
from ..data.driver import Driver
from ..report import video as videolib
from . import trust as trustlib
from . import weights as weightslib

log = logging.getLogger('dreamerv2_tf')

Episode = Mapping[str, np.ndarray]

CUSTOM = 'gym_custom'  # Task of runs whose environment has no name.
TRIES = 3  # Of a scenario in which the environment fails.
LONG = 30_000  # Steps of an episode that may never end.


def run(
    logdir: str, *, episodes: int = 100, seed: int = 10_000,
    checkpoint: str = 'latest', json: bool = False, video: str | None = None,
    envs: int | None = None, overrides: Sequence[str] = (),
    trust: bool = False, keep: bool = True) -> None:
  """Evaluates a checkpoint, prints the result and writes it into the folder.

  Args:
    logdir: run folder.
    episodes: number of episodes; the i-th has the scenario seed + i.
    seed: first scenario.
    checkpoint: latest, best or a step.
    json: also print one JSON object on the last line.
    video: GIF file to write, of the first episode.
    envs: environments side by side; None: as in training. The result does
      not depend on it, up to rounding.
    overrides: command line words that change the run's configuration.
    trust: run code that the settings of the run name, see `trust.check`.
    keep: write the result; False leaves the folder as it is.

  Raises:
    ConfigError, StateError, EnvError, StorageError: see `errors`.
  """
  folder = pathlib.Path(logdir).expanduser()
  if video:
    _check_video(pathlib.Path(video))
  agent, config, step = load_agent(
      folder, checkpoint, overrides, trust=trust)
  seeds = range(seed, seed + episodes)
  count = min(envs or config.envs, episodes)
  film = seeds[:1] if video else ()
  with make_pool(config, factory(config, film), count) as pool:
    policy = functools.partial(agent.policy, mode='eval')
    results, frames = collect(
        pool, policy, seeds, film, progress=show_progress(episodes))
    fps = pool.fps
  record = make_record(config, results, seed, step)
  path = record_path(folder, step, seed, episodes, overrides)
  try:
    if frames:
      videolib.save_gif(video, np.stack(frames), fps)
    elif video:
      log.warning('No video: scenario %d could not be run.', seed)
    if keep:
      write(path, record, results, overrides)
  except OSError as error:
    raise errors.StorageError(
        f'Can not write {error.filename}: {error.strerror}. The result was '
        f'{jsonlib.dumps(record)}.') from error
  written = [str(path)] * keep + [str(video)] * bool(frames)
  print(_text(record, written), flush=True)
  if json:
    print(jsonlib.dumps(record), flush=True)


def make_record(
    config: Config, episodes: Sequence[Episode], seed: int,
    step: int) -> dict[str, Any]:
  """Returns what is printed and stored of an evaluation.

  Args:
    config: of the run.
    episodes: key -> [rows, ...].
    seed: first scenario.
    step: of the checkpoint.
  """
  return {
      **summarize(episodes), 'episodes': len(episodes), 'seed': seed,
      'step': step, 'simulator': envlib.simulator(config)}


def record_path(
    folder: pathlib.Path, step: int, seed: int, episodes: int,
    overrides: Sequence[str] = ()) -> pathlib.Path:
  """Returns the file of an evaluation in the run folder."""
  name = f'eval-{step}-{seed}-{episodes}'
  if overrides:  # Another world: another file.
    name += f'-{zlib.crc32(" ".join(overrides).encode()):08x}'
  return folder / f'{name}.json'


def read_record(path: pathlib.Path) -> dict[str, Any] | None:
  """Returns what `write` left in a file; None if it is not there or no such."""
  try:
    record = files.parse_object(path.read_bytes())
    for name in 'return_mean', 'return_std', 'episodes':
      float(record[name])
  except (OSError, ValueError, KeyError, TypeError, OverflowError):
    return None
  return record


def write(
    path: pathlib.Path, record: Mapping[str, Any], episodes: Sequence[Episode],
    overrides: Sequence[str] = ()) -> None:
  """Writes an evaluation; raises OSError where that is not possible."""
  content = {
      **record, 'overrides': list(overrides), 'per_episode': table(episodes)}
  files.write_text(path, jsonlib.dumps(content, indent=2) + '\n')


def load_agent(
    logdir: pathlib.Path, checkpoint: str = 'latest',
    overrides: Sequence[str] = (), env: envlib.Env | None = None,
    trust: bool = False) -> tuple[Any, Config, int]:
  """Builds the agent of a run with the variables of a checkpoint.

  Args:
    logdir: run folder, or one of `weights`; nothing is written.
    checkpoint: latest, best or a step; of weights, latest.
    overrides: command line words that change the run's configuration.
    env: that the run was trained in, whose spaces are read; None makes the
      one of its task.
    trust: run code that the settings of the run name, see `trust.check`.

  Returns:
    The agent, the run's configuration, and the step of the checkpoint.

  Raises:
    ConfigError: no run there, or wrong overrides.
    StateError: no such checkpoint, or it does not fit.
    EnvError: the environment can not be built.
  """
  stored = logdir / 'config.yaml'
  try:
    files.check_name(logdir)
  except ValueError as error:
    raise errors.ConfigError(
        f"Can not read the run folder '{files.printable(logdir)}': {error}. "
        'Rename it.') from error
  if not stored.is_file():
    raise errors.ConfigError(
        f'{logdir} holds no run: config.yaml is missing. Give the folder of '
        'a run.')
  config = configlib.resolve((), overrides, Config.load(stored))
  if env is None:
    if config.task == CUSTOM:
      raise errors.ConfigError(
          f'The run in {logdir} was trained by a Python program in an '
          'environment without a name. Give it to load(logdir, env=...).')
    trustlib.check(logdir, config, trust)
    env = envlib.make(config.task, config, mode='eval')
    env.close()
  startup.import_tensorflow()
  from .. import tfutils
  from ..agent import Agent
  from . import checkpoint as checkpointlib
  tfutils.prepare_gpus()
  step, record, restore = _find(logdir, checkpoint)
  agent = Agent(
      config, checkpointlib.observations(record, env.obs_space),
      env.act_space, adapter=env.adapter, actions=env.actions)
  restore(agent)
  return agent, config, step


def _find(logdir, checkpoint):
  """Returns the step of what is stored, what it tells, and how to restore it.

  That is a manifest or a card, and a function of an agent.
  """
  if weightslib.held(logdir):
    card = weightslib.read_card(logdir, checkpoint)
    return card['step'], card, functools.partial(weightslib.restore, logdir)
  from .checkpoint import Checkpoints
  checkpoints = Checkpoints(logdir / 'checkpoints', readonly=True)
  record = checkpoints.find(checkpoint)
  return (record.step, record.manifest,
          functools.partial(checkpoints.restore, record))


def factory(
    config: Config, film: Sequence[int]) -> Callable[[], envlib.Env]:
  """Returns what makes an evaluation environment.

  Args:
    config: the resolved configuration.
    film: scenarios whose pictures are collected.
  """
  return functools.partial(
      envlib.make, config.task, config, mode='eval', render=film)


def make_pool(
    config: Config, factory: Callable[[], envlib.Env], count: int,
    stop: Callable[[], int] = lambda: 0) -> envlib.Pool:
  """Starts environments with the limits of the configuration.

  Args:
    config: the resolved configuration.
    factory: makes one.
    count: how many.
    stop: see Pool.
  """
  return envlib.Pool(
      factory, count, parallel=config.envs_parallel,
      timeout=config.env_timeout, max_failures=config.max_env_failures,
      on_bad_data=config.on_bad_data, stop=stop, seed=config.seed)


def collect(
    pool: envlib.Pool, policy: Callable, seeds: Iterable[int],
    film: Iterable[int] = (), between: Callable[[], Any] = lambda: None,
    progress: Callable[[int], Any] = lambda done: None
) -> tuple[list[Episode], list[np.ndarray]]:
  """Runs one episode for each scenario.

  A scenario in which the environment fails is run again; after three times
  it is left out, with a warning.

  Args:
    pool: environments that work side by side.
    policy: maps observations and state to actions and state.
    seeds: scenarios.
    film: scenarios whose pictures are returned, if the pool renders.
    between: called between steps; may raise.
    progress: called with the number of complete episodes.

  Returns:
    Episodes in the order of the seeds, and frames, [H, W, 3] uint8.

  Raises:
    EnvError: there is no episode at all.
  """
  seeds = list(seeds)
  waiting = seeds[::-1]
  running, done, cut = {}, {}, set()
  tries = collections.Counter()
  frames = {seed: [] for seed in film}
  def next_seed(worker, index):
    cut.discard(worker)
    if tries[running.get(worker)] == TRIES:
      log.warning(
          'Scenario %d is left out: its episode was cut %d times.',
          running.pop(worker), TRIES)
    if worker not in running and waiting:
      running[worker] = waiting.pop()
    seed = running.get(worker)
    if seed is not None:
      tries[seed] += 1
    return seed
  def shoot(row, worker):
    if running[worker] in frames:
      if row['is_first']:
        frames[running[worker]].clear()
      frames[running[worker]].extend(pool.frames[worker])
  def finish(episode, worker):
    if worker not in cut:
      done[running.pop(worker)] = episode
      progress(len(done))
  driver = Driver(pool, next_seed)
  for function in shoot, _measurer(running):
    driver.on_reset(function)
    driver.on_step(function)
  driver.on_cut(cut.add)
  driver.on_episode(finish)
  while waiting or running:
    between()
    driver(policy, steps=1)
  if not done:
    raise errors.EnvError('No scenario could be run to its end.')
  return [done[seed] for seed in seeds if seed in done], [
      frame for seed in frames for frame in frames[seed]]


def summarize(episodes: Sequence[Episode]) -> dict[str, Any]:
  """Describes evaluated episodes.

  Args:
    episodes: key -> [rows, ...].

  Returns:
    return_mean, return_std (of the sample), return_ci95 (low and high end of
    the 95% interval of the mean, normal approximation; None of one episode),
    length_mean (steps
    before action repeat), crash_rate (share of episodes with a crash) and
    speed_mean (m/s, over all steps); None where the environment has none.
  """
  each = table(episodes)
  returns, lengths = np.array(each['return']), np.array(each['length'])
  mean = float(returns.mean())
  std = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
  half = 1.96 * std / math.sqrt(len(returns))
  crashed, speed = each.get('crashed'), each.get('speed')
  return {
      'return_mean': mean, 'return_std': std,
      'return_ci95': [mean - half, mean + half] if len(returns) > 1 else None,
      'length_mean': float(lengths.mean()),
      'crash_rate': None if crashed is None else float(np.mean(crashed)),
      'speed_mean': None if speed is None else float(
          np.average(speed, weights=lengths))}


def table(episodes: Sequence[Episode]) -> dict[str, list]:
  """Returns columns with a value per episode, for statistics.

  Args:
    episodes: key -> [rows, ...].

  Returns:
    `return`, `length` (steps) and, where the environment tells, `crashed`
    and `speed` (mean, m/s).
  """
  columns = {
      'return': [_return(ep) for ep in episodes],
      'length': [len(ep['reward']) - 1 for ep in episodes]}
  if 'log_crashed' in episodes[0]:
    columns['crashed'] = [bool(ep['log_crashed'].max() > 0) for ep in episodes]
  if 'log_speed' in episodes[0]:
    columns['speed'] = [
        float(ep['log_speed'][1:].mean(dtype=np.float64)) for ep in episodes]
  return columns


def episode_metrics(
    episode: Episode, config: Config, mode: str) -> dict[str, float]:
  """Returns the metrics of one episode under the original's names.

  Args:
    episode: key -> [rows, ...].
    config: reads log_keys_sum, log_keys_mean and log_keys_max.
    mode: train or eval.

  Returns:
    `<mode>_return`, `<mode>_length` (steps), and `sum_<mode>_<key>`,
    `mean_<mode>_<key>`, `max_<mode>_<key>` of the keys that match.
  """
  metrics = {
      f'{mode}_return': _return(episode),
      f'{mode}_length': len(episode['reward']) - 1}
  for name in ('sum', 'mean', 'max'):
    for key, value in episode.items():
      if re.match(config[f'log_keys_{name}'], key):
        value = np.asarray(value, np.float64)
        metrics[f'{name}_{mode}_{key}'] = float({
            'sum': value.sum(), 'mean': value.mean(),
            'max': value.max(0).mean()}[name])
  return metrics


def _check_video(path):
  """Refuses a path that could not be written after all the work."""
  if path.suffix.lower() != '.gif':
    raise errors.ConfigError(
        f"--video writes a GIF, but '{path}' does not end in .gif.")
  if not path.absolute().parent.is_dir():
    raise errors.ConfigError(
        f"--video can not write '{path}': its folder does not exist.")


def _measurer(running):
  """Returns what warns of an episode that may never end."""
  lengths = collections.Counter()
  def measure(row, worker):
    lengths[worker] = 0 if row['is_first'] else lengths[worker] + 1
    if lengths[worker] == LONG:
      log.warning(
          'The episode of scenario %d goes on after %d steps. If it never '
          'ends, cut it: --time_limit %d.', running[worker], LONG, LONG)
  return measure


def show_progress(total: int) -> Callable[[int], None]:
  """Returns what shows the number of complete episodes on a terminal."""
  def show(done):
    if sys.stderr and sys.stderr.isatty():
      end = '\r\x1b[K' if done == total else ''
      print(f'\r{done}/{total} episodes{end}', end='', file=sys.stderr,
            flush=True)
  return show


def _return(episode):
  return float(episode['reward'].astype(np.float64).sum())


def _text(record, written):
  interval = ''
  if record['return_ci95']:
    low, high = record['return_ci95']
    interval = f' (95% interval of the mean: {low:.2f} to {high:.2f})'
  lines = [
      f"Checkpoint    step {record['step']}",
      f"Episodes      {record['episodes']}, scenarios {record['seed']} to "
      f"{record['seed'] + record['episodes'] - 1}",
      f"Return        {record['return_mean']:.2f} +- "
      f"{record['return_std']:.2f}{interval}",
      f"Length        {record['length_mean']:.1f} steps"]
  if record['crash_rate'] is not None:
    lines.append(f"Crash rate    {100 * record['crash_rate']:.0f} %")
  if record['speed_mean'] is not None:
    lines.append(f"Speed         {record['speed_mean']:.1f} m/s")
  if written:
    lines.append(f"Written to    {' and '.join(written)}")
  return '\n'.join(lines)
