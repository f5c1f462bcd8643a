"""`dreamerv2 sweep`: a grid of settings with several seeds each."""

from collections.abc import Sequence
import os
import pathlib
import sys

from .. import config as configlib
from .. import errors, files, flags, helptext, startup
from ..errors import ConfigError, StorageError
from . import check_least

FLAGS = {
    'logdir': (
        '', 'Folder of the sweep, with a run folder for each trial; empty: '
        '~/logdir/sweep/<task>/<presets>.'),
    'seeds': (1, 'Seeds of each combination, from --seed on.'),
    'budget': (
        0, 'Steps of all trials together, in place of --steps; 0: no such '
        'limit.'),
    'stopping': (
        'none', 'Which trials end early, by eval_return: none; asha, all but '
        'the best third at each rung; median, those below the median.'),
    'grace': (
        0, 'Steps before which no trial ends early; 0: a ninth of them.'),
    'retries': (2, 'Further starts of a trial that fails.'),
    'cpus': (1.0, 'Cores for each trial; says how many run at once.'),
    'gpus': (0.0, 'GPUs for each trial; may be a share, such as 0.5.'),
    'ray.address': (
        '', 'Where trials run: local, this machine, several at once; none: one '
        'after the other, without Ray; HOST:PORT or auto, a cluster. Empty: '
        'local if Ray is installed, else none.'),
    'dry-run': (False, 'Print the trials and begin nothing.'),
    'break-lock': (
        False, 'Take over the lock of another host that is silent for long.'),
    'debug': (False, 'Print the traceback of any error.'),
}
LEAST = {
    'seeds': 1, 'budget': 0, 'grace': 0, 'retries': 0, 'cpus': 0.01, 'gpus': 0}
STOPPING = 'none', 'asha', 'median'


def run(words: Sequence[str]) -> int | None:
  """Runs a sweep, or goes on with it; then prints what it found.

  Returns:
    The exit status of the first trial that failed, None if none did.

  Raises:
    DreamerError: a flag, key or value is wrong; Ray is missing; the folder
      holds another sweep.
    Interrupted: a signal came; all trials are saved.
  """
  from ..sweeps import grid as gridlib
  grid, words = gridlib.take(words)
  options, presets, overrides = configlib.parse(FLAGS, words)
  _check(options)
  known = ('configs', 'grid.KEY', *FLAGS)
  base = configlib.resolve(presets, overrides, flags=known)
  if not presets and 'task' not in {**grid, **dict.fromkeys(
      flags.split(x)[0] for x in flags.chunks(overrides))}:
    raise ConfigError('To begin a sweep, give --configs or --task.')
  overrides = _shared(options, overrides, grid, base)
  trials = gridlib.trials(
      presets, overrides, grid, options.seeds, known)
  _check_lengths(trials)
  startup.prepare()
  gridlib.check_environments(trials)
  if options['dry-run']:
    print('\n'.join(x.name for x in trials))
    return None
  place = _folder(options, base, presets)
  common = []
  if presets:
    common += ['--configs', *presets]
  return _sweep(place, trials, [*common, *overrides], options, grid, base)


def _check(options):
  check_least(options, LEAST)
  if options.stopping not in STOPPING:
    raise ConfigError(
        f"'stopping' must be one of {', '.join(STOPPING)} but is "
        f"'{options.stopping}'.")
  if options.stopping != 'none' and options['ray.address'] == 'none':
    raise ConfigError(
        'Ray decides which trials end early: leave out --ray.address none, or '
        '--stopping.')


def _shared(options, overrides, grid, base):
  """Returns the words of all trials, with each one's share of the budget."""
  if not options.budget:
    return overrides
  if 'steps' in grid or any(
      flags.split(x)[0] == 'steps' for x in flags.chunks(overrides)):
    raise ConfigError('Give one of --steps and --budget.')
  count = options.seeds
  for values in grid.values():
    count *= len(values)
  steps = options.budget // count
  if steps <= base.prefill:
    raise ConfigError(
        f'--budget {options.budget:,} leaves {steps:,} steps for each of '
        f'{count:,} trials, no more than prefill ({base.prefill:,}): nothing '
        'would be learned.')
  return [*overrides, '--steps', f'{steps}']


def _check_lengths(trials):
  for trial in trials:
    config = trial.config
    if not config.eval_every:
      raise ConfigError(
          "Trials are compared by eval_return: 'eval_every' must be above 0.")


def _folder(options, base, presets):
  if options.logdir:
    return pathlib.Path(os.path.expanduser(options.logdir)).absolute()
  names = '-'.join(x for text in presets for x in text.split(','))
  return pathlib.Path(
      os.path.expanduser('~/logdir/sweep'), files.safe_name(base.task),
      files.safe_name(names or 'defaults'))


def _sweep(place, trials, arguments, options, grid, base):
  """Runs what is left to do of all trials in the folder of the sweep."""
  from ..run.stop import Stop
  from ..sweeps import folder, supervisor
  jobs = [
      supervisor.Job(
          trial.name, str(place), (*arguments, *trial.words), options.retries,
          trial.config.steps * trial.config.action_repeat)
      for trial in trials]
  with folder.locked(place, options['break-lock']):
    folder.check(place, base, grid)
    folder.remember(place, base, grid)
    with Stop() as stop:
      _work(trials, jobs, options, stop)
    _tell_results(place, trials, jobs)
  number = stop.signal
  records = [supervisor.record(job) for job in jobs]
  if number:
    done = sum(x['state'] == supervisor.DONE for x in records)
    raise errors.interrupted(
        number, f'with {done} of {len(jobs)} trials complete, the others are '
        'saved.')
  failed = [x for x in records if x['state'] == supervisor.FAILED]
  if failed:
    print(
        f'{len(failed)} of {len(jobs)} trials failed; what they printed is in '
        f'{place}/{supervisor.FOLDER}/*.log.', file=sys.stderr)
    status = failed[0]['status']
    return status if status > 0 else 1
  return None


def _work(trials, jobs, options, stop):
  """Runs the trials that are not over, with or without Ray."""
  from ..sweeps import local, supervisor, tune
  stopping = options.stopping != 'none'
  left = [job for job in jobs if not supervisor.settled(job, stopping)]
  tell = lambda text: print(text, flush=True)
  tell(f'{len(jobs)} trials, of which {len(left)} are to be done.')
  if not left:
    return
  address = options['ray.address']
  if address == '' and not stopping and not tune.installed():
    address = 'none'
    tell(
        f'Ray is not installed: one trial after the other. {tune.INSTALL} runs '
        'several at once.')
  if address == 'none':
    local.run(left, stop.asked, tell)
    return
  length = max(job.length for job in jobs)
  repeat = {x.name: x.config.action_repeat for x in trials}
  plan = tune.Plan(
      address, options.cpus, options.gpus, options.stopping,
      max(1, options.grace * max(repeat.values()) or length // 9), length,
      repeat)
  try:
    tune.connect(plan)
    tune.run(jobs, plan, stop.asked, tell)
  finally:
    tune.disconnect()


def _tell_results(place, trials, jobs):
  """Prints the table and draws the curves of what there is so far."""
  from ..sweeps import results
  from . import plot
  rows, runs = results.collect(trials, jobs)
  print('\n'.join(['', *results.lines(rows), '']), flush=True)
  try:
    *tables, curves = results.write(place, rows, runs)
  except OSError as error:
    raise StorageError(
        f'Can not write {error.filename}: {error.strerror}.') from error
  print('\n'.join(map(str, tables)))
  if runs:
    plot.run([
        str(curves), '--outdir', str(curves.parent), '--subdir', 'False',
        '--agg', 'ci95'])


def help_lines(words: Sequence[str], topics: Sequence[str]) -> list[str]:
  """Returns the help; there are no topics."""
  return [
      'usage: dreamerv2 sweep [--configs PRESET ...] [--grid.KEY VALUE,VALUE] '
      '...', '', helptext.paragraph(
          'Tries every combination of the values with several seeds, and tells '
          'which did best, with intervals. Each trial is a run folder, such as '
          'lr=1e-4,seed=0. The same command again goes on with what is not '
          'complete; more values and seeds may be added to it. Other flags '
          'are settings of all trials: dreamerv2 --help.'), '',
      'Flags',
      helptext.entry(
          '--grid.KEY', 'Values of a setting: --grid.model_opt.lr 1e-4,3e-4; '
          'of a list, a word for each.'), *helptext.entries(FLAGS)]
