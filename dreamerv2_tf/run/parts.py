"""Makes the parts of a run from its configuration, which none asks again.

This imports TensorFlow: the environments, which must be started before, are
made in `environments`.
"""

from collections.abc import Callable, Mapping
import dataclasses
import functools
import hashlib
import json
import pathlib
import sys
import time
from typing import Any

import numpy as np

from .. import config as configlib
from .. import envs, schema, tfutils
from ..agent import Agent
from ..config import Config
from ..data import when
from ..data.driver import Driver
from ..data.random_policy import RandomPolicy
from ..data.replay import Replay
from ..report import jsonl, tensorboard, terminal, weights_biases
from ..report import logger as loglib
from . import agents, checkpoint, describe, environments, rundir, texts
from .clock import Clock
from .collector import Collector
from .evaluator import Evaluator
from .learner import Learner
from .profile import Profile
from .progress import Progress, Schedule
from .session import Group, Session
from .stop import Stop


@dataclasses.dataclass(frozen=True)
class Parts:
  """All that a run consists of; closes what needs that at the end.

  Attributes:
    folder: of the run.
    config: for records; the parts have what they need of it.
    schedule: numbers that the loop asks for.
    progress: how far the run is.
    pool: the training environments.
    agent: what acts and learns.
    random: RandomPolicy; acts in prefill.
    collector: acts in the pool.
    learner: takes the gradient steps.
    replays: `train` and `eval`, the stored episodes.
    datasets: `train`, `train_report` and `eval_report`, batches of them.
    evaluator: runs scenarios with the mode of the policy.
    every: `train`, `log`, `eval` and `video`, when that is due.
    logger: takes metrics, texts and videos.
    outputs: of the logger; the first is `terminal`.
    terminal: shows phase and metrics.
    profile: of TensorFlow.
    session: saves and restores.
  """

  folder: pathlib.Path
  config: Config
  schedule: Schedule
  progress: Progress
  pool: envs.Pool
  agent: Agent
  random: RandomPolicy
  collector: Collector
  learner: Learner
  replays: dict[str, Replay]
  datasets: 'Datasets'
  evaluator: Evaluator
  every: Group
  logger: loglib.Logger
  outputs: list[Callable]
  terminal: terminal.TerminalOutput
  profile: Profile
  session: Session

  def __enter__(self) -> 'Parts':
    return self

  def __exit__(self, *exc_info) -> None:
    self.close()

  def close(self) -> None:
    """Ends threads and evaluation environments and closes the outputs."""
    self.learner.close()
    self.profile.close(int(self.progress.step))
    for dataset in self.datasets.values():
      dataset.close()
    self.evaluator.close()
    self.logger.close()

  def say(self, text: str) -> None:
    """Prints lines that are no metrics."""
    self.terminal.message(text)


class Datasets(Group):
  """Batches of the replays; none before the replays are restored."""

  def __init__(self, replays: Mapping[str, Replay], shape: Mapping[str, int]):
    """Opens nothing yet.

    Args:
      replays: `train` and `eval`.
      shape: `batch` and `length`.
    """
    super().__init__()
    self._replays = replays
    self._shape = shape

  def open(self) -> None:
    """Makes the datasets, if they are not there."""
    if not self:
      train, evaluation, shape = *self._replays.values(), self._shape
      self.update(
          train=train.dataset(**shape),
          train_report=train.dataset(**shape, prefetch=0),
          eval_report=evaluation.dataset(**shape, prefetch=0))

  def load_state(self, state: Mapping[str, Any]) -> None:
    """Continues from a state; without `rng`, the draws are those of now."""
    self.open()
    for name, dataset in self.items():
      rng = {'rng': dataset.state()['rng']}
      dataset.load_state({**rng, **state[name]})


def make(
    config: Config, pool: envs.Pool, folder: rundir.RunDir, stop: Stop,
    screen: terminal.TerminalOutput, *,
    factory: Callable[[], envs.Env] | None = None,
    diff: Mapping[str, tuple] | None = None, began: float = 0.0) -> Parts:
  """Makes everything and restores the newest checkpoint, if there is one.

  Args:
    config: the resolved configuration.
    pool: the training environments.
    folder: the locked run folder.
    stop: says whether a signal came.
    screen: shows the run.
    factory: makes an environment for evaluation; None makes that of
      config.task.
    diff: configuration keys that changed since the last start.
    began: `time.monotonic()` of the start, seconds.

  Raises:
    ConfigError, StateError, StorageError: see `errors`.
  """
  exact = agents.prepare_tensorflow(config)
  config = config.update({'precision': tfutils.settled(config.precision)})
  parts = assemble(
      config, pool, folder.path, stop, screen, factory, began, exact)
  restored = parts.session.restore()
  screen.tick(parts.logger.step)
  parts.datasets.open()
  parts.session.begin()  # Before the records: a run without has lost it.
  diff = {**parts.session.changed, **(diff or {})}
  folder.start(
      int(parts.progress.step), sys.argv, diff,
      envs.simulator(config.task, config.env),
      pool.nodes if config.collectors else ())
  config.save(folder.config_path)
  # Last, as what can not be restored stays as it is.
  parts.outputs.extend(open_outputs(config, parts, bool(restored)))
  parts.say(texts.introduction(
      parts.agent, pool.mapping, len(pool), config.replay.ram, restored,
      time.monotonic() - began))
  parts.logger.text('about this run', describe.page(config, folder.path))
  parts.logger.text(
      'config', loglib.code_block(folder.config_path.read_text('utf-8')))
  parts.logger.hparams(config.flat)
  return parts


def assemble(
    config: Config, pool: envs.Pool, path: pathlib.Path, stop: Stop,
    screen: terminal.TerminalOutput,
    factory: Callable[[], envs.Env] | None, began: float,
    exact: bool) -> Parts:
  """Makes everything but the outputs, and restores nothing.

  Args:
    path: of the run folder.
    exact: whether the same computation gives the same result.
    config, pool, stop, screen, factory, began: see `make`.
  """
  progress = Progress(config.seed, Clock(began))
  outputs = []
  logger = loglib.Logger(progress.step, outputs, config.action_repeat)
  agent = agents.make_agent(config, path, pool.obs_space, pool.act_space)
  replays = make_replays(config, path, pool, agent.action_dim)
  # After those, which may refuse what is in the folder.
  checkpoints = checkpoint.Checkpoints(
      path / 'checkpoints', config.checkpoint_keep)
  profile = Profile(
      path, schema.read_window(config.profile), screen.message)
  learner = Learner(agent, path, profile, **config.taken_by(Learner))
  every = make_every(config)
  collector = make_collector(
      config, pool, agent, replays['train'], progress, every, logger, profile,
      learner)
  random = RandomPolicy(pool.act_space, [config.seed, 2])
  datasets = Datasets(replays, config.dataset)
  session = Session(
      path, checkpoints, agent, progress, meta=meta_of(config, agent),
      every=config.checkpoint_every, exact=exact and not config.collectors,
      stop=stop,
      finish=learner.finish,
      saving=functools.partial(screen.during, 'saving'))
  session.stores = {
      'replay': replays['train'], 'eval_replay': replays['eval']}
  session.parts = {
      'driver': collector, 'datasets': datasets, 'every': every,
      'random': random, 'learner': learner, 'pending': logger}
  if config.collectors:
    collector.save = functools.partial(session.save, must=True)
  return Parts(
      path, config, Schedule(*(config[k] for k in Schedule._fields)), progress,
      pool, agent, random, collector, learner, replays, datasets,
      make_evaluator(config, pool, factory, stop, session, screen), every,
      logger, outputs, screen, profile, session)


def make_replays(
    config: Config, folder: pathlib.Path, pool: envs.Pool,
    action_dim: int) -> dict[str, Replay]:
  """Opens the stores of the episodes of training and evaluation.

  Evaluation takes a tenth of the memory, and another of the capacity.
  """
  spaces = {k: (v.shape, v.dtype) for k, v in pool.obs_space.items()}
  spaces['action'] = ((action_dim,), np.float32)
  def open_replay(name, share, ram):
    return Replay(
        folder / name, seed=[config.seed, 3, share], spaces=spaces,
        are_actions=functools.partial(
            envs.are_actions, pool.act_space['action']), **{
            **config.replay,  # Rounded up, as a capacity of 0 has no limit.
            'capacity': -(-config.replay.capacity // share),
            'ram': config.replay.ram * ram})
  return {
      'train': open_replay('train_episodes', 1, 0.9),
      'eval': open_replay('eval_episodes', 10, 0.1)}


def make_every(config: Config) -> Group:
  """Returns when to train, log, evaluate and show an episode."""
  return Group(
      train=when.Every(config.train_every), log=when.Every(config.log_every),
      eval=when.Every(config.eval_every), video=when.Every(config.eval_every))


def make_collector(
    config: Config, pool: envs.Pool, agent: Agent, replay: Replay,
    progress: Progress, every: Group, logger: loglib.Logger,
    profile: Profile, learner: Learner) -> Collector:
  """Returns what acts in the training environments, or takes in from them."""
  kind, driver = Collector, None
  if config.collectors:
    from . import deliveries  # Imports Ray.
    kind = deliveries.RemoteCollector
    driver = deliveries.make_driver(config, pool, agent, learner)
  driver = driver or Driver(
      pool, functools.partial(environments.train_scenario, config.seed))
  return kind(
      driver, replay, progress, every, logger,
      memory=functools.partial(agent.policy.initial, len(pool)),
      around=functools.partial(
          profile.collecting, progress.step, len(pool), learner.finish),
      vectors=agent.world_model.encoder.mlp_keys,
      **config.taken_by(Collector))


def make_evaluator(
    config: Config, pool: envs.Pool, factory: Callable[[], envs.Env] | None,
    stop: Stop, session: Session,
    screen: terminal.TerminalOutput) -> Evaluator:
  """Returns what runs the scenarios of the evaluations within training."""
  count = config.eval_envs or min(config.envs, config.eval_eps)
  film = () if factory else environments.filmed(config, pool.obs_space)
  start = functools.partial(
      environments.make_pool, config, factory, count, stop.asked
  ) if factory else functools.partial(
      environments.make_film_pool, config, film, count, stop.asked)
  def show(done):
    screen.phase = f'evaluating {done}/{config.eval_eps}'
  return Evaluator(
      start, film, before_step=session.leave_if_asked, progress=show)


def open_outputs(
    config: Config, parts: Parts, restored: bool) -> list[Callable]:
  """Opens metrics.jsonl and TensorBoard, cut to where the run is.

  Weights & Biases as well, if it is asked for.
  """
  folder, progress, repeat = parts.folder, parts.progress, config.action_repeat
  step = int(progress.step) * repeat
  if progress.written < int(progress.step):
    step -= 1  # The row of this step is still to be written.
  jsonl.JSONLOutput.take_back(folder, step)
  fps, mode = min(max(parts.pool.fps, 5), 20), config.logger.wandb
  return [
      parts.terminal, jsonl.JSONLOutput(folder),
      tensorboard.TensorBoardOutput(
          folder, fps, step if restored else None,
          configlib.resolve([], []).flat, describe.usual(folder)),
      *[weights_biases.WeightsBiasesOutput(folder, x, fps)
        for x in [mode] if x != 'off']]


def meta_of(config: Config, agent: Agent) -> dict[str, Any]:
  """Returns what the manifest of a checkpoint tells of its run."""
  return {
      'config_hash': digest(config), 'settings': rundir.comparable(config),
      'observations': list(agent.obs_space),
      'spaces': envs.signature(agent.obs_space, agent.act_space)}


def digest(config: Config) -> str:
  """Returns the SHA-256 of the settings that decide what is computed."""
  return hashlib.sha256(json.dumps(
      rundir.comparable(config), sort_keys=True).encode()).hexdigest()
