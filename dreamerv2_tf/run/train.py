"""The training loop: collects, learns, evaluates, logs and saves."""

from collections.abc import Callable, Mapping
import functools
import hashlib
import json
import logging
import math
import shlex
import sys
import time

import gymnasium as gym
import numpy as np

from .. import envs, errors, schema, startup
from ..config import Config
from ..data import when
from ..data.driver import Driver, RandomPolicy
from ..data.replay import Replay
from ..report import jsonl, tensorboard, terminal
from ..report import logger as loglib
from ..report import video as videolib
from ..report.means import Scales
from . import evaluate, rundir
from .clock import Clock
from .stop import Stop

log = logging.getLogger('dreamerv2_tf')

EVAL_SEED = 20_000  # First scenario of the evaluations within training.
MAX_REJECTED = 10  # Episodes of each environment, if none could be used.
TRAIN_SEEDS = 1_000_000  # Training scenarios begin here, apart from those.
ENDLESS = 'Cut them after a number of steps, such as --time_limit 1000.'


def run(
    config: Config, *, factory: Callable[[], envs.Env] | None = None,
    fresh: bool = False, break_lock: bool = False) -> None:
  """Trains in config.logdir, or goes on with the run in it.

  Args:
    config: the resolved configuration; logdir is set.
    factory: makes one environment; None makes that of config.task.
    fresh: refuse a folder that holds a run.
    break_lock: take over the lock of a host that has been silent for long.

  Raises:
    ConfigError, StateError, EnvError, NonFiniteError, StorageError,
    LockedError: see `errors`. Once the run has begun, they are also written
      to failure.json.
    Interrupted: SIGINT or SIGTERM came; the state is saved.
  """
  began = time.monotonic()
  if factory is None and config.task == evaluate.CUSTOM:
    raise errors.ConfigError(
        f'The run in {config.logdir} was begun by a Python program in an '
        'environment without a name. Go on with dreamerv2_tf.train(env, '
        'config).')
  make = factory or functools.partial(envs.make, config.task, config)
  with rundir.RunDir(config.logdir, break_lock) as folder:
    diff = {}
    if folder.config_path.exists():
      if fresh:
        raise errors.StateError(
            f'{folder.path} holds a run and --fresh was given. Leave it out '
            'to go on with that run, or give another --logdir.')
      diff = rundir.changed(Config.load(folder.config_path).flat, config.flat)
      rundir.check_changed(folder.path, diff)
    trainer = None
    try:
      with Stop() as stop:
        with startup.importing_tensorflow(stop.asked):  # Beside the workers.
          pool = evaluate.make_pool(config, make, config.envs, stop.asked)
        with pool, Trainer(
            config, pool, factory, folder, stop, diff, began) as trainer:
          trainer.run()
    except errors.Interrupted:
      raise
    except BaseException as error:
      if folder.config_path.exists():
        folder.failure(
            errors.for_user(error), trainer and int(trainer.step))
      raise


def filmed(config: Config, obs_space: Mapping[str, gym.Space]) -> range:
  """Returns the scenarios to film: the first, in highway without images."""
  images = [k for k, space in obs_space.items() if len(space.shape) == 3]
  blind = config.task.startswith('highway_') and not images
  return range(EVAL_SEED, EVAL_SEED + blind)


class Trainer:
  """One run: its environments, replay, agent, outputs and counters.

  Every iteration sends an action to each environment, begins the gradient
  steps that are due, and takes in the results. All that decides the next
  iteration is in the checkpoint, so a run that was stopped goes on as if it
  had not been.

  Code: danijar/dreamerv2 train.py.
  Differs: one loop instead of nested drivers; prefill turns into training
    without dropping the running episodes; evaluations have fixed scenarios
    and log means over their episodes.

  Attributes:
    step: Counter; environment steps before action repeat.
    agent: Agent.
  """

  def __init__(
      self, config: Config, pool: envs.Pool,
      factory: Callable[[], envs.Env] | None, folder: rundir.RunDir,
      stop: Stop, diff: Mapping[str, tuple], began: float):
    """Builds everything and restores the newest checkpoint, if there is one.

    Args:
      config: the resolved configuration.
      pool: the training environments.
      factory: makes an environment for evaluation; None makes that of
        config.task.
      folder: the locked run folder.
      stop: says whether a signal came.
      diff: configuration keys that changed since the last start.
      began: `time.monotonic()` of the start, seconds.
    """
    self._config = config
    self._pool = pool
    self._factory = factory
    self._film = () if factory else filmed(config, pool.obs_space)
    self._stop = stop
    self._folder = folder.path
    self._eval_pool = None
    from ..agent import Agent
    from . import checkpoint as checkpointlib
    from .learner import Learner
    from .profile import Profile
    self._exact = prepare_tensorflow(config)
    self.step = when.Counter()
    checkpoints = self._folder / 'checkpoints'
    self.agent = Agent(
        config, checkpointlib.order(checkpoints, self._pool.obs_space),
        self._pool.act_space)
    # Evaluation takes a tenth of the memory, and another of the capacity.
    self._replay = self._open_replay('train_episodes', 1, 0.9)
    self._eval_replay = self._open_replay('eval_episodes', 10, 0.1)
    # After those, which may refuse what is in the folder.
    self._checkpoints = checkpointlib.Checkpoints(
        checkpoints, config.checkpoint_keep)
    self._driver = Driver(self._pool, functools.partial(_seed, config.seed))
    self._driver.on_reset(self._replay.add_step)
    self._driver.on_step(self._replay.add_step)
    self._driver.on_step(self._on_step)
    self._driver.on_step(self._watch_scales)
    self._driver.on_cut(self._replay.end_episode)
    self._driver.on_episode(self._on_episode)
    self._random = RandomPolicy(self._pool.act_space, [config.seed, 2])
    self._every = {
        'train': when.Every(config.train_every),
        'log': when.Every(config.log_every),
        'eval': when.Every(config.eval_every),
        'video': when.Every(config.eval_every)}
    self._due = {'train': 0, 'log': False, 'eval': False}
    self._policy = None  # Whose memory the driver holds: random or agent.
    self._pretrained = 0
    self._best = None  # Highest mean return of an evaluation.
    self._best_step = None  # When that was.
    self._last = None  # Step and episodes of the latest evaluation.
    self._marked = None  # That of the checkpoint marked as best.
    self._late = []  # Metrics of cut episodes, for the next step's row.
    self._saved = None  # Step of the last checkpoint.
    self._written = 0  # Step up to which the metrics are in the outputs.
    self._clock = Clock(began)
    self._logged = self._improved = self._warned = False
    self._pending = []
    self._scales = Scales()
    self._profile = Profile(
        self._folder, schema.read_window(config.profile),
        lambda line: self._terminal.message(line))
    self._learner = Learner(self.agent, config, self._folder, self._profile)
    self._restored = self._restore()
    folder.start(
        int(self.step), sys.argv, diff, envs.simulator(config))
    config.save(folder.config_path)
    self._open_outputs(began)

  def __enter__(self) -> 'Trainer':
    return self

  def __exit__(self, *exc_info) -> None:
    self._learner.close()
    self._profile.close(int(self.step))
    for dataset in self._datasets.values():
      dataset.close()
    if self._eval_pool:
      self._eval_pool.close()
    self._logger.close()

  def run(self) -> None:
    """Goes on until config.steps, then saves and tells what to do next.

    Raises:
      Interrupted: a signal came; the state is saved.
    """
    if self._saved is None:
      self._save(must=True)  # A run without a checkpoint has lost it.
    while True:
      if not self._collects_randomly():
        self._pretrain()
        if self._due['eval']:
          self._evaluate()
      self._logger.write(fps=self._logged)
      self._logged = False
      self._written = int(self.step)
      self._stop_if_asked()
      if int(self.step) >= self._config.steps:
        break
      if self._save_is_due():
        self._save()
      if self._collects_randomly():
        self._warn_if_endless()
        self._collect('random', self._random)
      else:
        mode = 'explore' if self._explores() else 'train'
        self._collect(
            'agent', functools.partial(self._learner.policy, mode=mode),
            self._learn_if_due)
        if self._due['log']:
          self._log()
      if not (self._collects_randomly() or self._pool.stopped):
        self._due['eval'] |= self._every['eval'](self.step)
    self._save(must=True)
    if self._endless():
      raise errors.ConfigError(
          f'Nothing was learned: in {int(self.step)} steps no episode has '
          f'ended. {ENDLESS}')
    self._terminal.message(self._summary(self._final_evaluation()))

  def _endless(self):
    """Returns whether prefill is over and nothing came to be learned from.

    With `replay.ongoing`, that may be an episode that never ends.
    """
    return int(self.step) >= self._config.prefill and not (
        self._driver.episodes or self._replay.stats['total_episodes']
        or int(self.agent.train_calls))

  def _warn_if_endless(self):
    if self._endless() and not self._warned:
      self._warned = True
      log.warning(
          'Prefill is over, but in %d steps no episode has ended, and nothing '
          'is learned until one has. %s', int(self.step), ENDLESS)

  def _collects_randomly(self):
    """Random until prefill is over and there is something to learn from."""
    if int(self.step) < self._config.prefill:
      return True
    if self._replay.can_sample:
      return False
    self._replay.give_up(MAX_REJECTED * len(self._pool))
    return True

  def _explores(self):
    return when.Until(self._config.expl_until)(self.step)

  def _watch_scales(self, row, worker):
    """Takes in the vectors of prefill, which networks will read."""
    if self._scales and self._policy == 'random':
      for key in self.agent.world_model.encoder.mlp_keys:
        self._scales.add(key, row[key])

  def _collect(self, name, policy, overlap=None):
    """Makes one step in every environment."""
    if name == 'agent' and self._scales:
      for sentence in self._scales.advice():
        log.warning(sentence)
      self._scales = None
    if self._policy != name:
      self._policy, self._driver.policy_state = name, None
    self._profile.before(int(self.step), len(self._pool))
    with self._profile.trace('collect'):
      self._driver(policy, steps=1, overlap=overlap)
    self._profile.after(int(self.step), self._learner.finish)
    self._logger.tick()

  def _on_step(self, row, worker):
    self.step.increment()
    for metrics in self._late:
      self._logger.add(metrics)
    self._late.clear()
    if self._policy == 'agent':
      self._due['train'] += (
          self._every['train'](self.step) * self._config.train_steps)
      self._due['log'] |= self._every['log'](self.step)

  def _on_episode(self, episode, worker):
    metrics = evaluate.episode_metrics(episode, self._config, 'train')
    if int(self.step) <= self._written:  # Cut before any new step.
      self._late.append(metrics)
      return
    if self._logger.pending_step not in (None, self._logger.step):
      self._logger.write()
    self._logger.add(metrics)
    if self._policy == 'agent' and self._every['video'](self.step):
      self._add_videos('train', episode)

  def _pretrain(self):
    while self._pretrained < self._config.pretrain:
      self._learn(1)
      self._learner.finish()
      self._pretrained += 1
      self._stop_if_asked()

  def _learn_if_due(self):
    count, self._due['train'] = self._due['train'], 0
    if count:
      self._learn(count)

  def _learn(self, count):
    self._learner.begin(self._datasets['train'], count, int(self.step))

  def _evaluate(self):
    """Scores the policy as it is now; none of that is time of training."""
    self._learner.finish()
    self._stop_if_asked()
    with self._clock.evaluating():
      self._score()

  def _score(self):
    """Runs eval_eps episodes of the mode of the policy, on fixed scenarios."""
    config = self._config
    episodes, frames = self._run_scenarios()
    self._due['eval'] = False
    self._last = int(self.step), episodes
    for episode in episodes:
      self._eval_replay.add_episode(episode)
    result = evaluate.summarize(episodes)
    score = result['return_mean']
    metrics = {
        'return': score, 'return_std': result['return_std'],
        'length': result['length_mean'], 'crash_rate': result['crash_rate'],
        'speed': result['speed_mean'], 'eps': len(episodes),
        'env_failures': self._eval_pool.failures, **_totals(self._eval_replay)}
    self._logger.add(self._clock.metrics())
    self._logger.add(
        {k: v for k, v in metrics.items() if v is not None}, prefix='eval')
    self._add_videos('eval', episodes[0])
    if frames:
      self._logger.video('eval_policy', np.stack(frames))
    self._report('eval')
    # What has learned in prefill alone is no agent that one wants back.
    if int(self.agent.train_calls) > config.pretrain and (
        self._best is None or score > self._best):
      self._best, self._best_step = score, int(self.step)
      self._improved = True

  def _final_evaluation(self):
    """Scores the last checkpoint, unless that was done or nobody asked.

    The run does not know of it, as it may go on; the result is in a file of
    its own, as that of the command `eval`.

    Returns:
      The record of the evaluation, or None.
    """
    config, step = self._config, int(self.step)
    if not config.eval_every or not int(self.agent.train_calls):
      return None
    path = evaluate.record_path(self._folder, step, EVAL_SEED, config.eval_eps)
    record = evaluate.read_record(path)
    if record:
      return record
    if self._last is None or self._last[0] != step:
      self._last = step, self._run_scenarios()[0]
    episodes = self._last[1]
    record = evaluate.make_record(config, episodes, EVAL_SEED, step)
    try:
      evaluate.write(path, record, episodes)
    except OSError as error:
      log.warning('Can not write %s: %s.', path, error.strerror)
    return record

  def _run_scenarios(self):
    """Returns the episodes and frames of the fixed scenarios."""
    if self._eval_pool is None:
      self._eval_pool = self._open_eval_pool()
    return evaluate.collect(
        self._eval_pool, functools.partial(self._learner.policy, mode='eval'),
        range(EVAL_SEED, EVAL_SEED + self._config.eval_eps), self._film,
        between=self._stop_if_asked)

  def _open_eval_pool(self):
    config = self._config
    count = config.eval_envs or min(config.envs, config.eval_eps)
    make = self._factory or evaluate.factory(config, self._film)
    try:
      return evaluate.make_pool(config, make, count, self._stop.asked)
    except errors.Interrupted:
      self._stop_if_asked()
      raise
    except errors.EnvError as error:
      if not self._film:
        raise
      log.warning('Evaluations are not filmed: %s', error)
      self._film = ()
      return self._open_eval_pool()

  def _add_videos(self, name, episode):
    for key in self._config.log_keys_video:
      if key in episode:
        self._logger.video(f'{name}_policy_{key}', episode[key])

  def _report(self, name):
    """Logs open-loop predictions on training or evaluation episodes."""
    replay = {'train': self._replay, 'eval': self._eval_replay}[name]
    if not self.agent.world_model.heads['decoder'].cnn_keys or (
        not replay.can_sample):
      return
    batch = videolib.clearest(next(self._datasets[f'{name}_report']))
    self._logger.add(
        videolib.open_loop(self.agent.report(batch)), prefix=name)

  def _log(self):
    self._due['log'] = False
    self._learner.finish()
    self._logger.add(self._learner.means.take())
    self._logger.add(_totals(self._replay), prefix='train')
    self._logger.add({
        **self._driver.stats(),
        'checkpoint_failures': self._checkpoints.failures,
        **self._clock.metrics(), **self._learner.take_times(),
        'time_replay': self._datasets['train'].take_wait()})
    self._report('train')
    self._logged = True

  def _stop_if_asked(self):
    number = self._stop.signal
    if number:
      self._save(must=True)
      raise errors.interrupted(
          number, f'at step {int(self.step)}, the state is saved.')

  def _open_replay(self, name, share, ram):
    config = self._config
    spaces = {
        k: (v.shape, v.dtype) for k, v in self._pool.obs_space.items()}
    spaces['action'] = ((self.agent.action_dim,), np.float32)
    return Replay(
        self._folder / name, seed=[config.seed, 3, share], spaces=spaces,
        are_actions=functools.partial(
            envs.are_actions, self._pool.act_space['action']), **{
            **config.replay,  # Rounded up, as a capacity of 0 has no limit.
            'capacity': -(-config.replay.capacity // share),
            'ram': config.replay.ram * ram})

  def _open_datasets(self):
    shape = self._config.dataset
    return {
        'train': self._replay.dataset(**shape),
        'train_report': self._replay.dataset(**shape, prefetch=0),
        'eval_report': self._eval_replay.dataset(**shape, prefetch=0)}

  def _open_outputs(self, began):
    config = self._config
    repeat = config.action_repeat
    step = int(self.step) * repeat
    if self._written < int(self.step):
      step -= 1  # The row of this step is still to be written.
    jsonl.JSONLOutput.cut(self._folder, step)
    self._terminal = terminal.TerminalOutput(config.steps * repeat)
    self._logger = loglib.Logger(self.step, [
        self._terminal, jsonl.JSONLOutput(self._folder),
        tensorboard.TensorBoardOutput(
            self._folder, min(max(self._pool.fps, 5), 20),
            step if self._restored else None)], repeat)
    self._terminal.message(self._introduction(began))
    self._logger.load_state(self._pending)
    self._logger.text('config', loglib.code_block(
        (self._folder / 'config.yaml').read_text()))
    self._logger.hparams(config.flat)

  def _introduction(self, began):
    wm = self.agent.world_model
    count = sum(v.shape.num_elements() for v in (
        self.agent.named_variables().values()))
    spaces = envs.signature(self._pool.obs_space, self._pool.act_space)
    keys = wm.encoder.cnn_keys + wm.encoder.mlp_keys
    lines = [
        f'Run folder    {self._folder}',
        f'Observations  {", ".join(f"{k} {spaces[k]}" for k in keys)}',
        f'Actions       {spaces["action"]}',
        f'Environments  {self._config.envs}',
        f'Parameters    {count:,}',
        f'Replay        at most {self._config.replay.ram / 1e9:.1f} GB of '
        'memory, the rest on disk',
        self._restored or 'New run.',
        f'Ready after {time.monotonic() - began:.1f} s.']
    return '\n'.join(lines)

  def _summary(self, final):
    folder = shlex.quote(str(self._folder))
    show = f'dreamerv2 eval --logdir {folder}'
    if self._config.task == evaluate.CUSTOM:
      show = f'dreamerv2_tf.load({str(self._folder)!r}, env=...)'
    stats = self._replay.stats
    score = ''
    if final:
      score = (
          f", last eval_return {final['return_mean']:.1f} +- "
          f"{final['return_std']:.1f} ({final['episodes']} episodes)")
    if self._best is not None:
      score += f', best eval_return {self._best:.1f}'
    if self._best_step is not None:
      score += f' at step {self._best_step}'
    begin = 'Done' if int(self.agent.train_calls) else (
        f'No gradient step was taken (prefill is {self._config.prefill} steps)')
    return (
        f"{begin}: {int(self.step)} steps, {stats['total_episodes']} episodes"
        f'{score}.\n'
        f'  {show}\n'
        f'  tensorboard --logdir {folder}')

  def _save_is_due(self):
    every = self._config.checkpoint_every
    return self._improved or (
        int(self.step) // every > self._saved // every)

  def _save(self, must=False):
    """Writes a checkpoint with everything that decides what comes next.

    Args:
      must: try again if that fails, up to the StorageError.
    """
    from .. import tfutils
    self._learner.finish()
    self._saved = int(self.step)
    best, self._improved = self._improved, False
    state = {
        'step': int(self.step), 'written': self._written,
        'best': self._best, 'best_step': self._best_step,
        'due': self._due, **self._clock.state(), 'seed': self._config.seed,
        'pretrained': self._pretrained, 'policy': self._policy,
        'learner': self._learner.state(), 'pending': self._logger.state(),
        'every': {k: v.state() for k, v in self._every.items()},
        'random': self._random.state(), 'driver': self._driver.state(),
        'replay': self._replay.state(),
        'eval_replay': self._eval_replay.state(),
        'datasets': {k: v.state() for k, v in self._datasets.items()}}
    arrays = {
        **tfutils.to_arrays('policy', self._driver.policy_state),
        **self._learner.arrays()}
    meta = {
        'config_hash': _digest(self._config),
        'observations': list(self.agent.obs_space),
        'spaces': envs.signature(
            self._pool.obs_space, self._pool.act_space)}
    save = functools.partial(
        self._checkpoints.save, int(self.step), self.agent, state, arrays,
        meta, best)
    saved = save()
    while must and not saved:
      saved = save()  # The third failure in a row raises.
    if saved:
      self._replay.saved()
      self._eval_replay.saved()
    if saved and best:
      self._marked = self._best
    elif best:
      # A better score than that gets the mark.
      self._best, self._best_step = self._marked, None

  def _restore(self):
    """Continues from the newest checkpoint and the episodes on disk.

    Returns:
      What was restored, in words; empty for a new run.
    """
    record = self._checkpoints.newest()
    if record is None:
      return self._adopt()
    try:
      return self._resume(record)
    except errors.DreamerError:
      raise
    except Exception as error:  # Whatever a foreign state makes us do.
      raise errors.StateError(
          f'Can not go on with checkpoint {record.path}: '
          f'{errors.brief(error)}. Move it away to go on with the '
          'one before it, or begin a new run with another --logdir.'
      ) from error

  def _resume(self, record):
    from .. import tfutils
    self._check_spaces(record)
    self._checkpoints.restore(record, self.agent)
    state = record.state
    self._check_state(state)
    self._replay.load_state(state['replay'], mask=self._exact)
    self._eval_replay.load_state(state['eval_replay'], mask=self._exact)
    stored = self._replay.stats
    newer = stored['total_steps'] - state['replay']['total_steps']
    driver = state['driver']
    self.step.increment(state['step'])
    if newer:  # Running episodes may be among the newer ones on disk.
      running = sum(len(w.get('actions', ())) for w in driver['workers'])
      self.step.increment(max(0, newer - running))
      count = stored['total_episodes'] - state['replay']['total_episodes']
      driver = _begin_after(driver, count)
    self._driver.restore(driver, on_row=self._replay.add_step)
    self._datasets = self._open_datasets()
    reseeded = state.get('seed', self._config.seed) != self._config.seed
    for name, dataset in self._datasets.items():
      rng = {'rng': dataset.state()['rng']} if reseeded else {}
      dataset.load_state({**state['datasets'][name], **rng})
    for name, every in self._every.items():
      every.load_state(state['every'][name])
    if not reseeded:
      self._random.load_state(state['random'])
    self._learner.load_state(state['learner'], record.arrays)
    self._due.update(state['due'])
    self._pretrained = state['pretrained']
    self._policy = state['policy']
    self._best = self._marked = state['best']
    self._best_step = state.get('best_step')
    self._saved = record.step
    self._clock.load_state(state)
    if not newer:
      self._written = state['written']
      self._pending = state['pending']
      self._driver.policy_state = tfutils.from_arrays(
          'policy', record.arrays,
          self.agent.policy.initial(len(self._pool)))
    extra = f' and {newer} newer steps' if newer else ''
    return (
        f'Resumed       checkpoint {record.step}{extra}: networks, optimizers,'
        f" random states, counters; {stored['loaded_episodes']} episodes, "
        f"{stored['loaded_steps']} steps in replay")

  def _check_state(self, state):
    """Raises TypeError or ValueError for what would only be noticed later."""
    kinds = {
        'step': int, 'written': int, 'seconds': float, 'pretrained': int,
        'best': float | None, 'policy': str | None, 'pending': list,
        'learner skipped': int, 'driver steps': int, 'driver episodes': int,
        **{f'driver workers {index} episode': int
           for index in range(len(state['driver']['workers']))},
        **{f'{name} {key}': int for name in ('replay', 'eval_replay')
           for key in (
               'next_seq', 'total_steps', 'total_episodes',
               'episodes_rejected', 'episodes_skipped')},
        **{f'every {key} last': int | None for key in self._every},
        **{f'due {key}': int for key in self._due}}
    for path, kind in kinds.items():
      value = state
      for key in path.split():
        value = value[int(key) if isinstance(value, list) else key]
      if isinstance(value, int) and kind in (float, float | None):
        value = float(value)
      if not isinstance(value, kind) or (
          isinstance(value, float) and not math.isfinite(value)):
        raise TypeError(f"'{path}' is {value!r}")
      if isinstance(value, int) and value < 0:
        raise ValueError(f"'{path}' is {value!r}")
    for row in state['pending']:
      step, name, value = row
      if not (isinstance(step, int) and isinstance(name, str)
              and isinstance(value, int | float)):
        raise TypeError(f"'pending' holds {row!r}")

  def _adopt(self):
    """Begins a new run, with the episodes that were put into its folder."""
    stats = self._replay.stats
    begun, step = rundir.reached(self._folder)
    if step or rundir.went_on(self._folder) or (
        begun and stats['loaded_episodes']):
      raise errors.StateError(
          f"The run in {self._folder} has {stats['loaded_episodes']} episodes "
          f'and metrics up to step {step}, but no checkpoint. Put back a copy '
          'of the folder checkpoints, or begin a new run with another '
          '--logdir; it begins with these episodes if you copy the folder '
          'train_episodes there.')
    self._datasets = self._open_datasets()
    if not stats['loaded_episodes']:
      return ''
    self.step.increment(stats['total_steps'])
    self._driver.restore(_begin_after(
        {'steps': 0, 'episodes': 0,
         'workers': [{'episode': 0}] * len(self._pool)},
        stats['total_episodes']))
    return (
        f"Resumed       no checkpoint; {stats['loaded_episodes']} episodes, "
        f"{stats['loaded_steps']} steps in replay")

  def _check_spaces(self, record):
    ours = envs.signature(self._pool.obs_space, self._pool.act_space)
    theirs = record.manifest['spaces']
    if ours != theirs:
      raise errors.StateError(
          f'The run in {self._folder} was made with other spaces: {theirs}; '
          f'the environment now has {ours}. Give another --logdir.')


def prepare_tensorflow(config: Config) -> bool:
  """Sets what is global in TensorFlow: GPU memory and determinism.

  Args:
    config: reads `precision`, and `deterministic`, which applies where there
      is no GPU.

  Returns:
    Whether the same computation gives the same result, bit for bit.
  """
  import tensorflow as tf

  from .. import tfutils
  gpu = tfutils.prepare_gpus()
  if not gpu and str(config.precision) == '16':
    log.warning(
        'No GPU found: float16 is slow on the CPU. Use --precision 32.')
  if gpu or not config.deterministic:
    return False
  tf.config.experimental.enable_op_determinism()
  return True


def _seed(seed, worker, episode):
  """The scenario of a training episode, apart from those of evaluations."""
  entropy = np.random.SeedSequence([seed, 1, worker, episode])
  return TRAIN_SEEDS + int(entropy.generate_state(1)[0]) % 2 ** 30


def _digest(config):
  """SHA-256 of the settings that decide what is computed."""
  settings = {
      k: v for k, v in config.flat.items() if k not in ('logdir', 'profile')}
  return hashlib.sha256(
      json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _begin_after(state, episodes):
  """Driver state whose workers begin episodes that no one has run yet."""
  workers = [
      {'episode': w['episode'] + episodes, 'running': False}
      for w in state['workers']]
  return {**state, 'workers': workers}


def _totals(replay):
  stats = replay.stats
  names = (
      'total_steps', 'total_episodes', 'loaded_steps', 'loaded_episodes',
      'episodes_rejected', 'episodes_skipped')
  return {name: stats[name] for name in names}
