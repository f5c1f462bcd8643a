"""Runs this package under load, and says what it took and what held.

Each case starts whole runs with tiny networks in a world of no cost, in a
folder of its own that is removed afterwards:

  environments  one run with many environments
  runs          many runs at once, and two more in one folder, of which one
                must be refused with status 7
  length        long episodes, stopped within one by SIGTERM and gone on with
  pixels        large images
  episodes      a run that begins with many stored episodes, and goes on

Seconds are those of the longest process, beside its CPU time with all workers,
which other work on the machine does not stretch; memory is that of the largest
process. The exit status is 1 if anything that was promised did not hold.
"""

from collections.abc import Callable, Iterator, Sequence
import functools
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

import command
import numpy as np

from dreamerv2_tf.config import Config
from dreamerv2_tf.data.replay import Replay
from dreamerv2_tf.data.store import Store
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.run import rundir

HERE = pathlib.Path(__file__).resolve().parent
FLAGS = {
    'cases': (
        ('environments', 'runs', 'length', 'pixels', 'episodes'),
        'Cases, one after another.'),
    'envs': (16, 'Environments of the case environments.'),
    'runs': (8, 'Runs at once, in folders of their own.'),
    'length': (10_000, 'Steps of each long episode.'),
    'size': (256, 'Height and width of the large images.'),
    'episodes': (100_000, 'Stored episodes, of ten steps each.'),
    'steps': (640, 'Steps of each run, beside what the case needs.'),
    'limit': (450, 'Seconds after which a process is killed.'),
    'folder': ('', 'Where the runs are written; a temporary one if empty.'),
    'json': (False, 'Print one JSON object on the last line.'),
}
SHORT = 10  # Steps of an episode where its length does not matter.
BASE = (
    '--configs debug --task gym_load_world:World-v0 --prefill 100 --eval_every '
    '0 --log_every 100 --train_every 20 --checkpoint_every 1e9').split()


class Ended(NamedTuple):
  """A process that has ended.

  Attributes:
    status: exit status; negative if a signal killed it.
    seconds: from its start to its end.
    cpu_seconds: of all its cores and workers.
    memory_mb: its largest resident memory.
    error: last line on stderr.
  """

  status: int
  seconds: float
  cpu_seconds: float
  memory_mb: float
  error: str


class Run:
  """A process that trains in a folder."""

  def __init__(self, folder: pathlib.Path, *flags: Any):
    """Starts it; what it prints goes to files beside the folder."""
    self.folder = folder
    self._ended = None
    self._began = time.monotonic()
    self._stderr = folder.with_name(f'{folder.name}-{time.monotonic_ns()}.err')
    env = {
        **os.environ, 'XDG_STATE_HOME': str(folder.parent),
        'PYTHONPATH': os.pathsep.join([str(HERE.parent), str(HERE)])}
    with open(self._stderr, 'wb') as err:
      self.process = subprocess.Popen(
          [sys.executable, '-m', 'dreamerv2_tf', 'train', '--logdir',
           str(folder), *BASE, *map(str, flags)],
          env=env, stdout=subprocess.DEVNULL, stderr=err)

  def poll(self) -> Ended | None:
    """Returns how it ended, None while it runs."""
    if self._ended is None:
      pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
      if pid:
        self.process.returncode = os.waitstatus_to_exitcode(status)
        lines = self._stderr.read_text(errors='replace').splitlines()
        self._ended = Ended(
            self.process.returncode, time.monotonic() - self._began,
            usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024,
            lines[-1] if lines else '')
    return self._ended

  def stored(self) -> list[int]:
    """Returns the steps of each stored episode, by their file names."""
    names = sorted(os.listdir(self.folder / 'train_episodes'))
    return [int(name.split('-')[-1].removesuffix('.npz')) for name in names]

  def counted(self) -> list[int]:
    """Returns episodes and steps of the replay in the newest checkpoint."""
    paths = (self.folder / 'checkpoints').glob('*/state.json')
    replay = json.loads(max(paths).read_text())['replay']
    return [replay['total_episodes'], replay['total_steps']]


def wait(limit: float, *running: Run) -> list[Ended]:
  """Waits until all have ended; kills those that take so many seconds."""
  until = time.monotonic() + limit
  try:
    while not all([run.poll() for run in running]):  # None is left out.
      if time.monotonic() > until:
        break
      time.sleep(0.02)
  finally:
    for run in running:
      while not run.poll():
        run.process.kill()
        time.sleep(0.02)
  return [run.poll() for run in running]


def main(argv: Sequence[str] | None = None) -> int:
  """Measures and prints; returns the exit status."""
  broken = []
  status = command.main(
      argv, __doc__, FLAGS, functools.partial(_work, broken))
  return status or int(bool(broken))


def parse(arguments: Sequence[str]) -> Config:
  """Returns the values of FLAGS.

  Raises:
    ConfigError: a flag is wrong.
  """
  options = command.parse(FLAGS, arguments)
  if wrong := [name for name in options.cases if name not in CASES]:
    raise ConfigError(
        f"'cases' must be of {', '.join(CASES)} but has '{wrong[0]}'.")
  for name in ('envs', 'runs', 'length', 'size', 'episodes', 'steps', 'limit'):
    least = {'size': 16, 'steps': 100}.get(name, 1)
    if options[name] < least:
      raise ConfigError(
          f"'{name}' must be at least {least} but is {options[name]}.")
  return options


def environments(options: Config, folder: pathlib.Path) -> dict[str, Any]:
  """One run with many environments, of which all store their episodes."""
  each = max(2 * SHORT, options.steps // options.envs)
  run = Run(
      folder / 'run', '--envs', options.envs, '--steps', each * options.envs,
      '--env.config.length', SHORT)
  [ended] = wait(options.limit, run)
  count = each // SHORT * options.envs
  return _report([ended], {
      'steps per second': each * options.envs / ended.seconds}, {
      **_status(ended, 0),
      f'{count} episodes stored': _holds(run, [SHORT] * count)})


def runs(options: Config, folder: pathlib.Path) -> dict[str, Any]:
  """Many runs at once, and two in one folder."""
  flags = '--steps', options.steps, '--env.config.length', SHORT
  own = [Run(folder / f'run{i}', *flags) for i in range(options.runs)]
  shared = [Run(folder / 'shared', *flags) for _ in range(2)]
  ended = wait(options.limit, *own, *shared)
  ended, pair = ended[:-2], ended[-2:]
  count = options.steps // SHORT
  promises = {}
  for i, (run, end) in enumerate(zip(own, ended)):
    promises |= {f'run {i}: {k}': v for k, v in {
        **_status(end, 0),
        f'{count} episodes stored': _holds(run, [SHORT] * count)}.items()}
  statuses = sorted(end.status for end in pair)
  rows = [_rows(run) for run in own]
  return _report([*ended, *pair], {
      'seconds of the fastest': min(end.seconds for end in ended),
      'seconds of the refusal': min(end.seconds for end in pair)}, {
      **promises,
      f'statuses 0 and 7 in one folder (got {statuses})': statuses == [0, 7],
      f'{count} episodes in that folder': _holds(shared[0], [SHORT] * count),
      'all write the same metrics': all(x == rows[0] for x in rows)})


def length(options: Config, folder: pathlib.Path) -> dict[str, Any]:
  """Long episodes, stopped within the second of each environment."""
  flags = (
      '--envs', 2, '--steps', 4 * options.length, '--env.config.length',
      options.length, '--env.config.stop', folder / 'stopped', '--time_limit',
      0, '--prefill', options.length, '--train_every',
      max(20, options.length // 20), '--log_every', options.length)
  [first] = wait(options.limit, Run(folder / 'run', *flags))
  run = Run(folder / 'run', *flags)
  [second] = wait(options.limit, run)
  return _report([first, second], {'seconds after the stop': second.seconds}, {
      **_status(first, 75), **_status(second, 0, 'then '),
      f'4 episodes of {options.length} steps': _holds(
          run, [options.length] * 4)})


def pixels(options: Config, folder: pathlib.Path) -> dict[str, Any]:
  """Large images, in the networks, in replay and on disk."""
  steps = options.steps // SHORT * SHORT
  run = Run(
      folder / 'run', '--env.config.size', options.size, '--steps', steps,
      '--env.config.length', SHORT)
  [ended] = wait(options.limit, run)
  shapes = set()
  for path in (folder / 'run' / 'train_episodes').glob('*.npz'):
    with np.load(path) as data:
      shapes.add(data['image'].shape)
  want = (SHORT + 1, options.size, options.size, 3)
  return _report([ended], {
      'disk, MB': _disk(folder / 'run' / 'train_episodes')}, {
      **_status(ended, 0), f'images of {want}': shapes == {want},
      f'{steps // SHORT} episodes stored': _holds(
          run, [SHORT] * (steps // SHORT))})


def episodes(options: Config, folder: pathlib.Path) -> dict[str, Any]:
  """Many stored episodes: index, samples, a run that begins with them."""
  eps = folder / 'run' / 'train_episodes'
  written = _timed(lambda: write_episodes(eps, options.episodes))[1]
  counts, figures = _sample(eps, min(200, options.episodes))
  total = options.episodes * SHORT
  flags = '--env.config.length', SHORT, '--steps'
  first = Run(folder / 'run', *flags, total + options.steps)
  [ended] = wait(options.limit, first)
  again = Run(folder / 'run', *flags, total + 2 * options.steps)
  [resumed] = wait(options.limit, again)
  count = options.episodes + 2 * (options.steps // SHORT)
  return _report([ended, resumed], {
      'seconds to write them': written, **figures,
      'seconds to go on': resumed.seconds}, {
      f'{options.episodes} episodes found': counts == (
          options.episodes, total),
      **_status(ended, 0), **_status(resumed, 0, 'then '),
      f'{count} episodes in the end': _holds(again, [SHORT] * count),
      'none put aside': not (folder / 'run' / 'quarantine').exists()})


def _sample(folder, batches):
  """Returns episodes and steps that a replay finds, and what it takes."""
  before, used = _resident(), time.process_time()
  replay, index = _timed(lambda: Replay(folder, minlen=1, ram=1e6))
  used = time.process_time() - used
  grown = _resident() - before
  dataset = replay.dataset(16, 50)
  next(dataset)
  seconds = _timed(lambda: list(itertools.islice(dataset, batches)))[1]
  dataset.close()
  return (replay.stats['total_episodes'], replay.stats['total_steps']), {
      'seconds to index': index, 'CPU seconds to index': used,
      'MB of the index': grown,
      'batches of 16x50 per second': batches / seconds}


CASES: dict[str, Callable[[Config, pathlib.Path], dict[str, Any]]] = {
    'environments': environments, 'runs': runs, 'length': length,
    'pixels': pixels, 'episodes': episodes}


def write_episodes(folder: pathlib.Path, count: int) -> None:
  """Fills a folder with episodes of the world, without waiting for the disk.

  Args:
    folder: made if it is missing.
    count: number of episodes.
  """
  rows = np.arange(SHORT + 1)
  steps = rows[:, None].repeat(3, 1) / SHORT
  store = Store(folder, 0)
  name = store.save(0, {
      'vector': steps.astype(np.float32),
      'action': np.eye(3)[rows % 3] * (rows > 0)[:, None],
      'reward': (rows > 0) * 1.0, 'is_first': rows == 0,
      'is_last': rows == SHORT, 'is_terminal': rows == SHORT})
  data = (folder / name).read_bytes()
  for number in range(1, count):
    path = folder / f'{number:012d}-{number:032x}-{SHORT}.npz'
    path.write_bytes(data)


def _report(ended, figures, promises):
  return {
      'seconds': max(end.seconds for end in ended),
      'cpu_seconds': max(end.cpu_seconds for end in ended),
      'memory_mb': max(end.memory_mb for end in ended),
      'figures': figures, 'promises': promises}


def _status(ended, status, begin=''):
  got = f' (got {ended.status}: {ended.error})' * (ended.status != status)
  return {f'{begin}exit status {status}{got}': ended.status == status}


def _holds(run, steps):
  """Whether files and checkpoint agree on the stored episodes."""
  try:
    return run.stored() == steps and run.counted() == [len(steps), sum(steps)]
  except (OSError, ValueError):
    return False


def _rows(run):
  """Reads the metrics but for times."""
  path = run.folder / 'metrics.jsonl'
  lines = path.read_text().splitlines() if path.exists() else []
  return [{k: v for k, v in json.loads(line).items()
           if 'time' not in k and 'fps' not in k} for line in lines]


def _disk(folder):
  return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def _resident():
  """Memory of this process, MB."""
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE') / 1e6


def _timed(function):
  began = time.monotonic()
  return function(), time.monotonic() - began


def _work(broken, arguments):
  options = parse(arguments)
  result = {
      'machine': rundir.machine(), 'versions': rundir.versions(), 'cases': {}}
  for name in options.cases:
    print(f'Running {name}', file=sys.stderr, flush=True)
    with command.writing(), tempfile.TemporaryDirectory(
        prefix='load-', dir=options.folder or None) as folder:
      result['cases'][name] = CASES[name](options, pathlib.Path(folder))
    broken += [text for text, held in
               result['cases'][name]['promises'].items() if not held]
  return [*_table(result), *([json.dumps(result)] * options.json)]


def _table(result: dict[str, Any]) -> Iterator[str]:
  """Yields the lines for people."""
  yield f"{'case':<14}{'seconds':>9}{'CPU':>8}{'memory':>10}  promises"
  for name, case in result['cases'].items():
    held = list(case['promises'].values())
    yield (
        f"{name:<14}{case['seconds']:>9.1f}{case['cpu_seconds']:>8.1f}"
        f"{case['memory_mb']:>7.0f} MB  {sum(held)} of {len(held)} held")
    for text, value in case['figures'].items():
      yield f'  {text:<32}{value:>12,.1f}'
    for text, kept in case['promises'].items():
      if not kept:
        yield f'  BROKEN: {text}'


if __name__ == '__main__':
  sys.exit(main())
