"""Runs trials side by side with Ray Tune, on one machine or several.

Ray decides where a trial runs and which ones stop early. A trial itself is the
ordinary command in its run folder, which is all that is kept: when a sweep goes
on, Ray hears the evaluations of before again, so that it compares with them.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import logging
import os
import pathlib
import shutil
import socket
import time
from typing import Any

from ..errors import ConfigError, EnvError, brief
from . import local, supervisor
from .evaluations import METRIC
from .reporter import Reporter
from .supervisor import Job

STOPPING = 'none', 'asha', 'median'
REDUCTION = 3  # One in so many trials goes on behind each rung of ASHA.
SAMPLES = 3  # Trials that a median needs.
WAIT = 5.0  # Seconds for an address to answer.
INSTALL = "pip install 'dreamerv2_tf[ray]'"

# Of Ray, before it is imported.
ENVIRONMENT = {
    'RAY_USAGE_STATS_ENABLED': '0', 'RAY_DEDUP_LOGS': '0',
    'RAY_AIR_NEW_OUTPUT': '0', 'RAY_CHDIR_TO_TRIAL_DIR': '0',
    'TUNE_DISABLE_SIGINT_HANDLER': '1', 'TUNE_DISABLE_AUTO_CALLBACK_LOGGERS':
    '1', 'TUNE_DISABLE_STRICT_METRIC_CHECKING': '1',
    'TUNE_GLOBAL_CHECKPOINT_S': '3600', 'TUNE_WARN_THRESHOLD_S': '3600',
    'TUNE_FORCE_TRIAL_CLEANUP_S': '150',
    'RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO': '0'}


@dataclasses.dataclass(frozen=True)
class Plan:
  """How trials are spread and compared.

  Attributes:
    address: of a cluster, host:port or auto; '' or local: Ray on this machine.
    cpus, gpus: of each trial.
    stopping: one of STOPPING.
    grace: environment steps, repeated actions included, before which no trial
      is stopped.
    length: of the longest trial, likewise.
    repeat: environment steps for each step of the policy, by trial.
  """

  address: str
  cpus: float
  gpus: float
  stopping: str
  grace: int
  length: int
  repeat: Mapping[str, int]


def installed() -> bool:
  """Returns whether Ray Tune can be imported."""
  os.environ.update(ENVIRONMENT)
  try:
    from ray import tune  # noqa: F401
  except ImportError:
    return False
  return True


def connect(plan: Plan) -> None:
  """Starts Ray on this machine, or connects to a cluster.

  Raises:
    ConfigError: the address is none, or no machine has so many devices.
    EnvError: Ray is missing, can not start, or the address does not answer.
  """
  if not installed():
    raise EnvError(
        f'Ray is not installed: {INSTALL}, or --ray.address none to run one '
        'trial after the other.')
  import ray
  address = None if plan.address in ('', 'local') else plan.address
  if address and address != 'auto':
    _check_answers(address)
  try:
    ray.init(
        # 'local': never a cluster that happens to be here.
        address=address or 'local', log_to_driver=False,
        logging_level=logging.ERROR,
        include_dashboard=None if address else False)
  except Exception as error:
    raise EnvError(
        f'Ray can not {"connect to " + address if address else "start"}: '
        f'{brief(error, 200)}. Give another --ray.address; none runs one trial '
        'after the other.') from error
  have = ray.cluster_resources()
  for name, count in ('CPU', plan.cpus), ('GPU', plan.gpus):
    if count > have.get(name, 0):
      raise ConfigError(
          f'--{name.lower()}s {count:g} for each trial, but '
          f'{"the cluster" if address else "this machine"} has '
          f'{have.get(name, 0):g}.')


def disconnect() -> None:
  """Ends what `connect` began, if anything."""
  import ray
  ray.shutdown()


def run(
    jobs: Sequence[Job], plan: Plan, asked: Callable[[], int],
    tell: Callable[[str], None]) -> None:
  """Runs trials as resources allow, or until it is asked to stop.

  Args:
    jobs: all trials, those with nothing left to do as well: they are compared.
    plan: see Plan; `connect` was called with it.
    asked: returns the number of a signal that came, or 0.
    tell: takes a line for each event.
  """
  from ray import tune
  stopping = plan.stopping != 'none'
  # Those that are over first: others are compared with them.
  done = [x for x in jobs if supervisor.settled(x, stopping)]
  left = [x for x in jobs if x not in done]
  order = [*(done if stopping else []), *left]
  by_name = {job.name: job for job in order}
  folder = pathlib.Path(jobs[0].place, supervisor.FOLDER, 'tune')
  shutil.rmtree(folder, ignore_errors=True)
  try:
    tune.Tuner(
        tune.with_resources(
            _trainable(dict(plan.repeat), stopping),
            {'cpu': plan.cpus, 'gpu': plan.gpus}),
        param_space={'job': tune.grid_search(
            [dataclasses.asdict(job) for job in order])},
        tune_config=tune.TuneConfig(
            scheduler=_scheduler(plan), reuse_actors=False,
            trial_dirname_creator=lambda trial: trial.trial_id),
        run_config=tune.RunConfig(
            name='tune', storage_path=str(folder), verbose=0,
            stop=_stopper(asked),
            callbacks=[_teller(by_name, done, asked, tell)],
            failure_config=tune.FailureConfig(max_failures=2)),
    ).fit()
  finally:
    shutil.rmtree(folder, ignore_errors=True)
  until = time.monotonic() + supervisor.GRACE
  while any(map(supervisor.alive, left)) and time.monotonic() < until:
    time.sleep(local.INTERVAL)  # They are saving.


def _check_answers(address):
  """Raises an error unless something listens there."""
  host, _, port = address.rpartition(':')
  if not host or not port.isdecimal() or '/' in address or (
      not 0 < int(port) < 65536):
    raise ConfigError(
        "'ray.address' must be none, local, auto or HOST:PORT, such as "
        f"10.0.0.1:6379, but is '{address}'.")
  try:
    socket.create_connection((host.strip('[]'), int(port)), WAIT).close()
  except OSError as error:
    raise EnvError(
        f'No Ray at {address}: {error.strerror or error}. Start one with `ray '
        'start --head`, or give another --ray.address.') from None


def _scheduler(plan):
  from ray.tune import schedulers
  which: dict[str, Any] = {'metric': METRIC, 'mode': 'max'}
  if plan.stopping == 'asha':
    return schedulers.ASHAScheduler(
        # Nothing stops by its length: that is the end.
        'step', **which, max_t=10 * plan.length, grace_period=plan.grace,
        reduction_factor=REDUCTION)
  if plan.stopping == 'median':
    return schedulers.MedianStoppingRule(
        'step', **which, grace_period=plan.grace,
        min_samples_required=SAMPLES)
  return schedulers.FIFOScheduler()


def _stopper(asked):
  """Returns what ends all trials once a signal came."""
  from ray import tune

  class Asked(tune.Stopper):
    def __call__(self, trial_id, result):
      return bool(asked())

    def stop_all(self):
      return bool(asked())

  return Asked()


def _teller(jobs, over, asked, tell):
  """Returns a callback of Tune that tells which trials begin and end."""
  from ray import tune

  class Teller(tune.Callback):
    def on_trial_start(self, iteration, trials, trial, **info):
      job = jobs[trial.config['job']['name']]
      if supervisor.record(job)['state'] == supervisor.OPEN:
        tell(f'{job.name}: begins')

    def on_trial_complete(self, iteration, trials, trial, **info):
      job = jobs[trial.config['job']['name']]
      if job in over or asked():
        return
      if supervisor.record(job)['state'] == supervisor.OPEN:
        supervisor.stop(job)
      tell(local.said(job))

    def on_trial_error(self, iteration, trials, trial, **info):
      job = jobs[trial.config['job']['name']]
      tell(f'{job.name}: Ray lost it several times; the same command goes on')

  return Teller()


def _trainable(repeats, stopping):
  """Returns the class of which Tune makes one for each trial.

  Made here, as Ray must not be imported where it is not asked for.
  """
  from ray import tune

  class Trial(tune.Trainable):
    """Reports the evaluations of a run to Ray."""

    def setup(self, config):
      job = Job(**config['job'])
      self.reporter = Reporter(job, repeats[job.name], stopping)

    def step(self):
      return self.reporter.report()

    def cleanup(self):
      self.reporter.end()

    def save_checkpoint(self, checkpoint_dir):
      return None  # Its run folder has all.

    def load_checkpoint(self, checkpoint):
      pass

  return Trial
