"""Everything in its order: what the command `doctor` looks at."""

import contextlib
import functools
import logging
import pathlib
import shutil
import tempfile
import time

from .. import envs, startup
from ..config import Config
from ..envs import describe
from ..errors import ConfigError, DreamerError, Interrupted
from ..run import environments
from ..run.stop import Stop
from . import forecast, machine, packages, rendering, storage, task
from .checks import Check, Report, fail, warn

ADVICE = 'See docs/troubleshooting.md; --debug shows the traceback.'


def run(
    config: Config | None, report: Report, *, logdir: str = '',
    quick: bool = False) -> None:
  """Looks at everything and tells it; leaves nothing behind.

  Args:
    config: the settings of a run; None: the machine alone is looked at.
    report: told what is found, as soon as it is.
    logdir: of a run, which need not exist; empty: the default one.
    quick: measure nothing.

  Raises:
    Interrupted: a signal came.
  """
  began = time.monotonic()
  with Stop() as stop, _quiet():
    python, requirements = packages.required()
    report.add(packages.check_python(python))
    report.add(*packages.check_packages(requirements))
    report.add(machine.check_processor(), machine.check_memory())
    folder = pathlib.Path(logdir or '~/logdir').expanduser()
    report.add(storage.check(folder, measure=bool(logdir) and not quick))
    if logdir and config:
      report.add(*filter(None, [storage.check_run(folder, config)]))
    images = config is not None and _draws(config)
    report.doing('drawing a road')
    report.add(rendering.check(must=images or config is None))
    if report.failed and report.status == 2 and _missing(report):
      return
    if config is None:
      report.doing('starting TensorFlow')
      with startup.importing_tensorflow(stop.asked):
        pass
      _tensorflow(report, 'auto')
      return
    _examine_task(config, report, stop, folder, quick, began)


def _examine_task(config, report, stop, folder, quick, began):
  """Starts the environments and TensorFlow, then measures."""
  make = functools.partial(
      envs.make, config.task, **config.taken_by(envs.make))
  report.doing(
      f'starting TensorFlow and {config.envs} of the environments')
  try:
    with startup.importing_tensorflow(stop.asked):
      pool = environments.make_pool(config, make, config.envs, stop.asked)
  except Interrupted:
    raise
  except DreamerError as error:
    report.add(_failed('environment', error))
    _tensorflow(report, config.precision)
    return
  with pool, tempfile.TemporaryDirectory(prefix='dreamerv2-doctor-') as path:
    facts = _facts(config, pool)
    report.add(*task.check_spaces(facts))
    report.add(*filter(None, [task.check_schedule(config)]))
    if not _tensorflow(report, config.precision):
      return
    with _told(report, 'networks'):
      _examine_agent(
          config, report, pool, facts, stop, pathlib.Path(path), folder,
          quick, began)


def _examine_agent(
    config, report, pool, facts, stop, path, folder, quick, began):
  """Builds the networks, measures them and tells what comes of it."""
  from ..run import agents
  from . import measure
  report.doing('building the networks')
  exact = agents.prepare_tensorflow(config)
  p = measure.assemble(config, pool, path, stop, exact)
  with p:
    model = p.agent.world_model
    decoder = model.heads['decoder']
    report.add(task.check_keys(
        facts, {'mlp': model.encoder.mlp_keys, 'cnn': model.encoder.cnn_keys},
        {'mlp': decoder.mlp_keys, 'cnn': decoder.cnn_keys}))
    report.add(forecast.check_networks(*_sizes(p.agent)))
    found = None
    if quick:
      report.add(task.check_lengths(config, facts.longest, []))
    else:
      found = measure.Trial(p, config, began, report.doing).run()
      report.add(task.check_lengths(config, facts.longest, found.lengths))
      report.add(*(
          warn('values', text, 'Without that the agent learns slowly or never.')
          for text in found.advice))
      report.add(
          forecast.check_speed(config, found.speeds),
          forecast.check_time(config, forecast.times(
              config, found.speeds, facts.longest)))
    _tell_room(config, report, p.agent, facts, folder, found)


def _tell_room(config, report, agent, facts, folder, found):
  """Tells memory and disk; `found` is None if nothing was measured."""
  from . import measure
  row, disk_row = forecast.row_bytes(facts.obs_space, agent.action_dim)
  episode, length = 0.0, facts.longest
  checkpoint = sum(_sizes(agent)[1:])
  workers = [machine.resident(pid) for pid in measure.worker_pids()]
  if found:
    workers, checkpoint = found.workers, found.checkpoint
    disk_row, episode = found.row or disk_row, found.episode
    length = found.speeds.length
  evaluating = (
      config.eval_envs or min(config.envs, config.eval_eps)
  ) if workers and config.eval_every else 0
  report.add(
      forecast.check_memory(
          config, row, machine.resident(), workers, evaluating,
          machine.memory()[1]),
      forecast.check_disk(
          config, disk_row, episode, length, checkpoint, _free_disk(folder)))


def _facts(config, pool):
  """Asks one environment of evaluation what the pool does not tell."""
  actions, longest, advice = [], None, []
  with contextlib.suppress(DreamerError):
    env = environments.factory(config, ())()
    try:
      actions, advice = describe.action_names(env), env.advice
      longest = describe.longest(env, config.time_limit, config.action_repeat)
    finally:
      env.close()
  return task.Facts(
      pool.obs_space, pool.act_space, actions, longest, pool.mapping, advice)


def _tensorflow(report, precision):
  """Tells devices and precision; returns whether TensorFlow computes."""
  import tensorflow as tf
  gpus = machine.find_gpus()
  report.add(
      machine.check_gpus(gpus, dict(tf.sysconfig.get_build_info())),
      machine.check_precision(precision, gpus, machine.cpu_flags()))
  problem = machine.tensorflow_works()
  report.add(*filter(None, [problem]))
  return problem is None


def _sizes(agent):
  """Returns parameters, their bytes, and those of the optimizers."""
  count = lambda variables: sum(
      v.shape.num_elements() * v.dtype.size for v in variables)
  weights = list(agent.named_variables().values())
  parameters = sum(v.shape.num_elements() for v in weights)
  return parameters, count(weights), count(_kept_by_optimizers(agent))


def _kept_by_optimizers(agent):
  """Returns the variables of all optimizers."""
  from ..nets.optimizer import Optimizer
  from ..tfutils import Module
  found, seen, todo = [], set(), [agent]
  while todo:
    node = todo.pop()
    if isinstance(node, dict):
      todo += node.values()
    elif isinstance(node, list | tuple):
      todo += node
    elif isinstance(node, Module) and id(node) not in seen:
      seen.add(id(node))
      todo += vars(node).values()
      if isinstance(node, Optimizer):
        found += node.kept()
  return found


def _draws(config):
  """Returns whether observations of a road are drawn."""
  kind = config.flat.get('env.config.observation.type')
  return config.task.startswith('highway_') and kind == 'GrayscaleObservation'


def _missing(report):
  return any(check.name in ('python', 'packages') for check in report.failed)


def _failed(name: str, error: DreamerError) -> Check:
  return fail(name, str(error), ADVICE, error.exit_code)


@contextlib.contextmanager
def _told(report: Report, name: str):
  """Turns errors of ours into a check that failed."""
  try:
    yield
  except Interrupted:
    raise
  except DreamerError as error:
    label = 'settings' if isinstance(error, ConfigError) else name
    report.add(_failed(label, error))


@contextlib.contextmanager
def _quiet():
  """Holds back warnings of a trial that is no run."""
  log = logging.getLogger('dreamerv2_tf')
  level = log.level
  log.setLevel(logging.ERROR)
  try:
    yield
  finally:
    log.setLevel(level)


def _free_disk(folder: pathlib.Path) -> float:
  return shutil.disk_usage(storage.existing(folder)).free
