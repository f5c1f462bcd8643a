"""The training loop: collects, learns, evaluates, logs and saves.

`train` is the loop. Every iteration sends an action to each environment, begins
the gradient steps that are due, and takes in the results. All that decides the
next iteration is in the checkpoint, so a run that was stopped goes on as if it
had not been.

Code: danijar/dreamerv2 train.py.
Differs: one loop instead of nested drivers; prefill turns into training
  without dropping the running episodes; evaluations have fixed scenarios and
  log means over their episodes.
"""

from collections.abc import Callable, Sequence
import functools
import logging
import time
from typing import TYPE_CHECKING, Any

from .. import envs, errors, original, startup
from ..config import Config
from ..data import importing, when
from ..report import terminal
from . import environments, events, finished, measure, rundir, texts
from .stop import Stop

if TYPE_CHECKING:  # It imports TensorFlow.
  from .parts import Parts

log = logging.getLogger('dreamerv2_tf')

MAX_REJECTED = 10  # Episodes of each environment, if none could be used.
LONG = 100  # Steps of each environment before an end is missed.
ENDLESS = 'Cut them after a number of steps, such as --time_limit 1000.'


def run(
    config: Config, *, factory: Callable[[], envs.Env] | None = None,
    fresh: bool = False, break_lock: bool = False, source: str = '',
    callbacks: Sequence[Callable[[events.Event], Any]] = ()) -> None:
  """Trains in config.logdir, or goes on with the run in it.

  Args:
    config: the resolved configuration; logdir is set.
    factory: makes one environment; None makes that of config.task.
    fresh: refuse a folder that holds a run.
    break_lock: take over the lock of a host that has been silent for long.
    source: folder of episodes of another program, with which a new run
      begins; see `importing`.
    callbacks: told of what happens, see `events`; what they raise passes
      through, once the state is saved.

  Raises:
    ConfigError, StateError, EnvError, NonFiniteError, StorageError,
    LockedError: see `errors`. Once the run has begun, they are also written
      to failure.json.
    Interrupted: SIGINT or SIGTERM came; the state is saved.
  """
  began = time.monotonic()
  original.refuse(config.logdir)
  make = _maker(config, factory)
  with rundir.RunDir(config.logdir, break_lock) as folder:
    config, diff = _changes(config, folder, fresh)
    if source and not importing.check(source, folder.path):
      source = ''
    done = '' if callbacks else finished.complete(config, folder.path)
    if done:
      print(done, flush=True)
      return
    terminal.announce(
        folder.path, config.task, config.envs * max(1, config.collectors))
    made = None
    try:
      with Stop() as stop, _open_terminal(config) as screen:
        environments.check_collectors(config)
        with startup.importing_tensorflow(stop.asked):  # Beside the workers.
          pool = environments.make_training(config, make, stop.asked)
        with pool:
          from . import parts  # Imports TensorFlow: after the workers.
          with parts.make(
              config, pool, folder, stop, screen, factory=factory, diff=diff,
              began=began, source=source) as made:
            train(made, events.Events(callbacks, made, make))
    except errors.Interrupted:
      raise
    except BaseException as error:
      if folder.config_path.exists():
        folder.failure(
            errors.for_user(error), made and int(made.progress.step))
      raise


def _maker(config, factory):
  """Returns what makes one environment."""
  if factory is None and config.task == environments.CUSTOM:
    raise errors.ConfigError(
        f'The run in {config.logdir} was begun by a Python program in an '
        'environment without a name. Go on with dreamerv2_tf.train(env, '
        'config).')
  return factory or functools.partial(
      envs.make, config.task, **config.taken_by(envs.make))


def train(p: 'Parts', told: events.Events) -> None:
  """Goes on until `steps`, then saves and tells what to do next.

  Args:
    p: all parts of the run, restored.
    told: hears what happens.

  Raises:
    Interrupted: a signal came; the state is saved.
    ConfigError: nothing was learned, as no episode has ended.
  """
  step, due = p.progress.step, p.progress.due
  logged, warned, last = False, False, None
  while True:
    if not prefilling(p):
      pretrain(p)
      if due['eval']:
        last = measure.evaluate_policy(p)
        told.evaluated(last[1])
    told.tell()
    p.logger.write(fps=logged)
    p.progress.written = int(step)
    p.session.leave_if_asked()
    told.leave_if_failed()
    if told.stopped or int(step) >= p.schedule.steps:
      break
    p.session.save_if_due()
    if prefilling(p):
      warned = warned or warn_if_endless(p)
      p.terminal.phase = 'prefill'
      p.collector('random', p.random)
    else:
      p.terminal.phase = 'compiling' if p.learner.compiling else 'training'
      mode = 'explore' if when.Until(p.schedule.expl_until)(step) else 'train'
      p.collector(
          'agent', p.learner.policy, mode,
          overlap=functools.partial(learn_if_due, p))
    logged = bool(due['log'])
    if logged:
      measure.log_training(p)
      told.logged()
    if not (prefilling(p) or p.pool.stopped):
      due['eval'] |= p.every['eval'](step)
  finish(p, told, last)


def finish(
    p: 'Parts', told: events.Events, last: tuple[int, list] | None) -> None:
  """Saves, scores the agent, and tells what to do next.

  Args:
    p, told: see `train`.
    last: of the latest evaluation.

  Raises:
    ConfigError: nothing was learned, as no episode has ended.
  """
  p.session.save(must=True)
  if endless(p):
    raise errors.ConfigError(
        f'Nothing was learned: in {int(p.progress.step)} steps no episode has '
        f'ended. {ENDLESS}')
  final = measure.final_evaluation(p, last)
  p.terminal.finish()
  p.say(texts.summary(
      p.folder, int(p.progress.step), score=texts.scored(
          final, p.progress.best, p.progress.best_step, p.schedule.eval_eps),
      episodes=p.replays['train'].stats['total_episodes'],
      prefill=p.schedule.prefill, trained=measure.trained(p) > 0,
      named=p.config.task != environments.CUSTOM))
  told.end(final)


def prefilling(p: 'Parts') -> bool:
  """Random until prefill is over and there is something to learn from."""
  if int(p.progress.step) < p.schedule.prefill:
    return True
  if p.replays['train'].can_sample:
    return False
  p.replays['train'].give_up(MAX_REJECTED * len(p.pool))
  return True


def endless(p: 'Parts') -> bool:
  """Returns whether prefill is over and nothing came to be learned from.

  With `replay.ongoing`, that may be an episode that never ends.
  """
  return int(p.progress.step) >= p.schedule.prefill and not (
      p.collector.driver.episodes
      or p.replays['train'].stats['total_episodes'] or measure.trained(p))


def warn_if_endless(p: 'Parts') -> bool:
  """Returns whether that was to be told."""
  if endless(p) and int(p.progress.step) >= LONG * len(p.pool):
    log.warning(
        'Prefill is over, but in %d steps no episode has ended, and nothing '
        'is learned until one has. %s', int(p.progress.step), ENDLESS)
    return True
  return False


def pretrain(p: 'Parts') -> None:
  """Takes the gradient steps at the end of prefill that are still missing."""
  progress, total = p.progress, p.schedule.pretrain
  while progress.pretrained < total:
    learn(p, 1)
    p.terminal.phase = 'compiling' if p.learner.compiling else (
        f'pretraining {progress.pretrained}/{total}')
    p.learner.finish()
    progress.pretrained += 1
    p.session.leave_if_asked()


def learn_if_due(p: 'Parts', most: int | None = None) -> None:
  """Begins the gradient steps that are due; they go on meanwhile.

  Args:
    p: see `train`.
    most: that many of them; the others stay due. None: all.
  """
  count = p.progress.due['train'] if most is None else min(
      most, p.progress.due['train'])
  p.progress.due['train'] -= count
  if count:
    learn(p, count)


def learn(p: 'Parts', count: int) -> None:
  """Begins that many gradient steps."""
  p.learner.begin(p.datasets['train'], count, int(p.progress.step))


def _open_terminal(config):
  """Returns what shows the run from its start on."""
  repeat = config.action_repeat
  return terminal.TerminalOutput(
      config.steps * repeat, eval_every=config.eval_every * repeat)


def _changes(config, folder, fresh):
  """Returns the settings, and which differ from those of the run in a folder.

  A run keeps the precision that `auto` was where it began.
  """
  if not folder.config_path.exists():
    return config, {}
  if fresh:
    raise errors.StateError(
        f'{folder.path} holds a run and --fresh was given. Leave it out '
        'to go on with that run, or give another --logdir.')
  stored = Config.load(folder.config_path)
  if config.precision == 'auto':
    config = config.update({'precision': stored.precision})
  diff = rundir.changed(stored.flat, config.flat)
  rundir.check_changed(folder.path, diff)
  return config, diff
