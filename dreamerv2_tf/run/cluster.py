"""Where collectors run: Ray, found and kept quiet.

Importing this imports Ray, the extra `ray`, before TensorFlow and before any
environment is started. Nothing is sent to its authors.
"""

from collections.abc import Callable, Iterator
import contextlib
import logging
import os
import signal
import socket
from typing import Any

from .. import errors

os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
# Else collectors of a cluster of ours get what the learner leaves of the cores.
os.environ.setdefault('RAY_worker_niceness', '0')
logging.getLogger('ray').setLevel(logging.ERROR)

try:
  import ray
  import ray.exceptions
except ModuleNotFoundError as error:
  raise errors.EnvError(
      f'Collectors run on Ray, but the module {error.name} is missing. Install '
      "it: pip install 'dreamerv2_tf[ray]', or leave out --collectors."
  ) from None

PROBE_SECONDS = 5  # For an address to accept a connection.
HANDLED = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def connected(address: str, cpus: int) -> Iterator[None]:
  """Is connected to a cluster in the body, or to the one that is in use.

  Args:
    address: `local` starts one on this machine, which ends with the body;
      `auto` is the one that this machine is part of; else HOST:PORT.
    cpus: how many a local one has at least, whatever the cores.

  Raises:
    EnvError: there is no cluster that can be used.
  """
  if ray.is_initialized():  # By the program that trains; it is theirs.
    yield
    return
  try:
    with _handlers_kept():
      ray.init(
          address=address, include_dashboard=False if address == 'local'
          else None, log_to_driver=False, logging_level=logging.ERROR, **(
              {'num_cpus': max(cpus, len(os.sched_getaffinity(0)))}
              if address == 'local' else {}))
  except Exception as error:  # Of many classes, none of them documented.
    raise errors.EnvError(_advice(address, errors.brief(error, 200))) from error
  try:
    _silence()
    yield
  finally:
    with contextlib.suppress(Exception), _handlers_kept():
      ray.shutdown()


def probe(address: str) -> None:
  """Refuses an address at which nobody listens, as Ray would wait for long.

  Args:
    address: see `connected`.

  Raises:
    ConfigError: it is no address.
    EnvError: nobody listens there.
  """
  if address in ('auto', 'local') or ray.is_initialized():
    return
  host, _, port = address.rpartition(':')
  if not (host and port.isdecimal()) or '/' in host:
    raise errors.ConfigError(
        "'ray.address' must be auto, local or HOST:PORT, such as "
        f"192.168.0.2:6379, but is '{address}'.")
  try:
    place = host.strip('[]'), int(port)
    socket.create_connection(place, PROBE_SECONDS).close()
  except (OSError, OverflowError) as error:
    raise errors.EnvError(_advice(address, str(error))) from error


def cpus() -> float:
  """Returns how many CPUs the cluster offers in all."""
  return ray.cluster_resources().get('CPU', 0.0)


def start(cls: type, *arguments: Any) -> Any:
  """Starts an actor that takes one CPU, and that Ray restarts for ever.

  Methods run one after the other, those of the group `talk` beside them.

  Raises:
    ConfigError: the arguments can not be sent to another process.
  """
  actor = ray.remote(
      num_cpus=1, max_restarts=-1, max_task_retries=0,
      concurrency_groups={'talk': 1})(cls)
  try:
    return actor.remote(*arguments)
  except (TypeError, AttributeError) as error:
    raise errors.ConfigError(
        'The environment can not be sent to collectors: '
        f'{errors.brief(error, 300)}') from error


def call(method: Any, *arguments: Any, beside: bool = False) -> Any:
  """Calls a method of an actor; returns the reference of its answer."""
  if beside:
    method = method.options(concurrency_group='talk')
  return method.remote(*arguments)


def why(error: BaseException) -> str:
  """Says in a sentence why a call of an actor came to nothing."""
  if isinstance(error, ray.exceptions.RayTaskError):
    return f'It raised {errors.brief(error.cause or error, 300)}.'
  if isinstance(error, ray.exceptions.RayActorError):
    return 'Its process or its machine is gone.'
  return f'Its answer was lost: {errors.brief(error, 200)}.'


def _advice(address, reason):
  if address == 'local':
    return f'Ray can not be started on this machine: {reason}.'
  return (
      f'No Ray cluster answers at ray.address {address}: '
      f"{reason.rstrip('.')}. Start one with ray start --head, let this "
      'machine join it with ray start --address HOST:PORT, or use '
      '--ray.address local.')


def _silence():
  """Ends the thread in which Ray prints what became of processes.

  We tell of our collectors ourselves, between the lines of the run. There is no
  setting for it.
  """
  with contextlib.suppress(Exception):
    worker = ray._private.worker.global_worker
    worker.threads_stopped.set()
    worker.gcs_error_subscriber.close()
    worker.listener_thread.join(5)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
  """Sets the handlers of signals again, which Ray takes for itself."""
  handlers: dict[int, Callable | int | None] = {
      number: signal.getsignal(number) for number in HANDLED}
  try:
    yield
  finally:
    with contextlib.suppress(ValueError):  # Not in the main thread.
      for number, handler in handlers.items():
        signal.signal(number, handler)
