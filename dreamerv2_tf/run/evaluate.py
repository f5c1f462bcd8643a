"""The command `eval`, and the record of an evaluation in a run folder."""

from collections.abc import Mapping, Sequence
import functools
import json as jsonlib
import logging
import os
import pathlib
import sys
from typing import Any
import zlib

from .. import config as configlib
from .. import envs as envlib
from .. import errors, files, pretrained
from ..config import Config
from ..report import scores, terminal
from . import environments, loading
from . import film as filmlib
from .evaluator import show_line, show_progress

log = logging.getLogger('dreamerv2_tf')


def run(
    logdir: str, *, episodes: int = 100, seed: int = 10_000,
    checkpoint: str = 'latest', json: bool = False, video: str | None = None,
    video_episodes: int = 1, envs: int | None = None,
    overrides: Sequence[str] = (), trust: bool = False,
    keep: bool = True) -> None:
  """Evaluates a checkpoint, prints the result and writes it into the folder.

  Args:
    logdir: run folder.
    episodes: number of episodes; the i-th has the scenario seed + i.
    seed: first scenario.
    checkpoint: latest, best or a step.
    json: also print one JSON object on the last line.
    video: GIF or MP4 to write; with `{seed}` in its name, one of each
      episode.
    video_episodes: how many episodes it shows, the first ones.
    envs: environments side by side; None: as in training. The result does
      not depend on it, up to rounding.
    overrides: command line words that change the run's configuration.
    trust: run code that the settings of the run name, see `trust.check`.
    keep: write the result; False leaves the folder as it is.

  Raises:
    ConfigError, StateError, EnvError, StorageError: see `errors`.
  """
  # The environment may go to another folder.
  folder = pathlib.Path(logdir).expanduser().absolute()
  if video:
    filmlib.check(video, video_episodes, episodes)
    video = os.path.abspath(video)
  _announce(folder, overrides, envs, episodes)
  seeds = range(seed, seed + episodes)
  film = seeds[:video_episodes] if video else ()
  agent, config, step = loading.load_agent(
      folder, checkpoint, overrides, trust=trust, film=film)
  with environments.make_evaluator(
      config, min(envs or config.envs, episodes), film=film,
      progress=show_progress(episodes), look=_look(agent)) as evaluator:
    policy = functools.partial(agent.policy, mode='eval')
    results, films = evaluator(policy, seeds)
    fps, about = evaluator.pool.fps, evaluator.pool.about
  record = make_record(config, results, seed, step)
  path = record_path(folder, step, seed, episodes, overrides)
  written = []
  try:
    if keep:
      write(path, record, results, overrides)
      written.append(str(path))
    if video:
      note = f'{config.task}   {filmlib.name_of(folder, step)}'
      written += _write_films(video, film, films, note, fps, about)
  except OSError as error:
    raise errors.StorageError(
        f'Can not write {error.filename}: {error.strerror}. The result was '
        f'{jsonlib.dumps(record)}.') from error
  print(_text(record, written), flush=True)
  if json:
    print(jsonlib.dumps(record), flush=True)


def _announce(folder, overrides, envs, episodes):
  """Says what begins, if there is a run; `load_agent` says if not."""
  if (folder / 'config.yaml').is_file():
    config = configlib.resolve(
        (), overrides, Config.load(folder / 'config.yaml'))
    ours = pretrained.holds(folder)
    terminal.announce(
        folder.name if ours else folder, config.task,
        min(envs or config.envs, episodes), sys.stderr,
        label='Agent' if ours else 'Run folder')


def make_record(
    config: Config, episodes: Sequence[scores.Episode], seed: int,
    step: int) -> dict[str, Any]:
  """Returns what is printed and stored of an evaluation.

  Args:
    config: of the run.
    episodes: key -> [rows, ...].
    seed: first scenario.
    step: of the checkpoint.
  """
  return {
      **scores.summarize(episodes), 'episodes': len(episodes), 'seed': seed,
      'step': step, 'simulator': envlib.simulator(config.task, config.env)}


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
    record = files.parse_object(files.read(path))
    for name in 'return_mean', 'return_std', 'episodes':
      float(record[name])
  except (OSError, ValueError, KeyError, TypeError, OverflowError):
    return None
  return record


def write(
    path: pathlib.Path, record: Mapping[str, Any],
    episodes: Sequence[scores.Episode], overrides: Sequence[str] = ()) -> None:
  """Writes an evaluation; raises OSError where that is not possible."""
  content = {
      **record, 'overrides': list(overrides),
      'per_episode': scores.table(episodes)}
  files.write_text(path, jsonlib.dumps(content, indent=2) + '\n')


def _look(agent):
  """Returns what films show of the agent's mind."""
  def look(outputs, state):
    from .look import look  # It imports TensorFlow.
    return look(agent, outputs, state)
  return look


def _write_films(video, seeds, films, note, fps, about):
  """Writes what was filmed; returns the files."""
  for seed in seeds:
    if seed not in films:
      log.warning('No video: scenario %d could not be run.', seed)
  if not films:
    return []
  show_line(
      f"Writing the video of {len(films)} episode{'s' * (len(films) > 1)}")
  try:
    return filmlib.write(video, films, note, fps, about)
  except ValueError as error:
    log.warning('No video: %s', error)
    return []
  finally:
    show_line('')


def _text(record, written):
  first, count = record['seed'], record['episodes']
  spread, scenarios = '', f'scenario {first}'
  if count > 1:
    scenarios = f'scenarios {first} to {first + count - 1}'
    spread = f" ± {record['return_std']:.2f}"
  if record['return_ci95']:
    low, high = record['return_ci95']
    spread += f' (95% interval of the mean: {low:.2f} to {high:.2f})'
  lines = [
      f"Checkpoint    step {record['step']}",
      f"Episodes      {record['episodes']}, {scenarios}",
      f"Return        {record['return_mean']:.2f}{spread}",
      f"Length        {record['length_mean']:.1f} steps"]
  if record['crash_rate'] is not None:
    lines.append(f"Crash rate    {100 * record['crash_rate']:.0f} %")
  if record['speed_mean'] is not None:
    lines.append(f"Speed         {record['speed_mean']:.1f} m/s")
  if 'crafter_score' in record:
    reached = [
        f'{name} {100 * rate:.0f} %'
        for name, rate in record['achievements'].items() if rate]
    lines += [
        f"Crafter score {record['crafter_score']:.2f} %",
        f"Achievements  {', '.join(reached) or 'none'}"]
  if written:
    *others, last = written
    lines.append(
        f"Written to    {', '.join(others)}{' and ' * bool(others)}{last}")
  return '\n'.join(lines)
