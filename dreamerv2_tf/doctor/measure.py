"""Runs the parts of a run for some seconds, in a folder of its own.

These are the parts that training uses, in its order: random actions, the first
gradient step, more of them, actions of the policy beside gradient steps, an
evaluation, a checkpoint. This imports TensorFlow.
"""

from collections.abc import Callable
import functools
import pathlib
import time
from typing import Any, NamedTuple

from .. import envs
from ..config import Config
from ..report import terminal
from ..report.means import Scales
from ..run import environments, parts, train
from ..run.stop import Stop
from . import machine
from .forecast import Speeds

RANDOM, GRADIENT, LOOP, LOOP_MOST = 2.5, 4.0, 6.0, 20.0  # Seconds.
ROUNDS = 20  # At least so many steps of all environments.
FEW, MANY = 2, 40  # Gradient steps that are measured.
SCENARIOS = 4  # Of an evaluation, where another simulator runs it.
NEVER = 1_000_000_000  # Steps.


class Findings(NamedTuple):
  """What a trial gave.

  Attributes:
    speeds: see Speeds.
    lengths: steps of the episodes of random actions.
    process: bytes of this process.
    workers: bytes of each process of an environment.
    row: bytes of a stored step, from the files.
    episode: bytes of a file besides.
    checkpoint: bytes of a checkpoint.
    advice: sentences on observations that networks can hardly read.
  """

  speeds: Speeds
  lengths: list[int]
  process: int
  workers: list[int]
  row: float
  episode: float
  checkpoint: int
  advice: list[str]


def trial_settings(config: Config, folder: pathlib.Path) -> Config:
  """Returns settings with which only a trial collects and learns.

  Running episodes are drawn from as well, so that none has to end.
  """
  return config.update({
      'logdir': str(folder), 'steps': NEVER, 'prefill': NEVER, 'pretrain': 0,
      'log_every': 0, 'eval_every': 0, 'checkpoint_every': NEVER,
      'profile': '', 'collectors': 0, 'replay.ongoing': True,
      'replay.minlen': 1, 'replay.maxlen': 0})


def assemble(
    config: Config, pool: envs.Pool, folder: pathlib.Path, stop: Stop,
    exact: bool) -> parts.Parts:
  """Makes the parts of a run that has no outputs.

  Args:
    config: the settings.
    pool: the training environments.
    folder: an empty one.
    stop: says whether a signal came.
    exact: whether the same computation gives the same result.
  """
  p = parts.assemble(
      trial_settings(config, folder), pool, folder, stop, terminal.nowhere(),
      None, 0.0, exact)
  p.session.restore()  # There is nothing; replays begin.
  p.datasets.open()
  return p


class Trial:
  """Measures the parts of a run."""

  def __init__(
      self, p: parts.Parts, config: Config, began: float,
      doing: Callable[[str], Any]):
    """Measures nothing yet.

    Args:
      p: the parts, of `assemble`.
      config: the settings of the run itself.
      began: `time.monotonic()` of the start.
      doing: told what is measured.
    """
    self._p = p
    self._config = config
    self._start = time.monotonic() - began
    self._doing = doing
    self._lengths = []
    self._scales = Scales()
    self._policy = functools.partial(p.learner.policy, mode='train')
    p.collector.driver.on_step(self._look)
    p.collector.driver.on_episode(
        lambda episode, worker: self._lengths.append(
            len(episode['action']) - 1))

  def run(self) -> Findings:
    """Measures everything.

    Raises:
      Interrupted: a signal came.
      DreamerError: what the environments or a gradient step raised.
    """
    p = self._p
    self._doing('measuring the environments')
    random = self._collect('random', p.random, RANDOM)
    lengths, advice = list(self._lengths), self._scales.advice()
    self._doing('compiling the first gradient step')
    first = self._learn(1)
    self._doing('measuring gradient steps')
    gradient = self._gradient()
    self._doing('compiling the policy')
    p.collector('agent', self._policy)
    p.collector.driver.stats()
    self._doing('measuring training')
    period, policy = self._loop(random, gradient)
    evaluation = self._evaluation(random, policy)
    self._doing('saving a checkpoint')
    began = time.monotonic()
    p.session.save(must=True)
    saved = time.monotonic() - began
    length = sum(lengths) / len(lengths) if lengths else None
    row, episode = self._files()
    return Findings(
        Speeds(
            self._start, random, first, gradient, period, evaluation, saved,
            policy, length),
        lengths, machine.resident(),
        [machine.resident(pid) for pid in worker_pids()], row, episode,
        sum(x.stat().st_size for x in (p.folder / 'checkpoints').rglob('*')
            if x.is_file()), advice)

  def _look(self, row, worker):
    if self._p.progress.policy == 'random':
      for key in self._p.agent.world_model.encoder.mlp_keys:
        self._scales.add(key, row[key])

  def _collect(self, name, policy, seconds):
    """Returns steps for each second, after a first one that does not count."""
    p = self._p
    p.collector(name, policy)
    began, before = time.monotonic(), int(p.progress.step)
    rounds = 0
    while rounds < ROUNDS or time.monotonic() < began + seconds or not (
        p.replays['train'].can_sample):
      self._leave_if_asked()
      p.collector(name, policy)
      rounds += 1
    return (int(p.progress.step) - before) / (time.monotonic() - began)

  def _learn(self, count):
    """Returns the seconds of so many gradient steps."""
    self._leave_if_asked()
    began = time.monotonic()
    train.learn(self._p, count)
    self._p.learner.finish()
    return time.monotonic() - began

  def _gradient(self):
    """Returns the mean seconds of a gradient step."""
    total, count = 0.0, 0
    while count < FEW or (total < GRADIENT and count < MANY):
      total += self._learn(1)
      count += 1
    return total / count

  def _loop(self, random, gradient):
    """Returns seconds from a training to the next, and of a policy call."""
    p, config = self._p, self._config
    begun = []  # When trainings began: seconds, steps.

    def overlap():
      if p.progress.due['train']:
        begun.append((time.monotonic(), int(p.progress.step)))
      train.learn_if_due(p)

    p.collector.driver.stats()
    rounds, since = 0, time.monotonic()
    while time.monotonic() < since + LOOP or (
        len(begun) <= FEW and time.monotonic() < since + LOOP_MOST):
      self._leave_if_asked()
      p.collector('agent', self._policy, overlap=overlap)
      rounds += 1
    p.learner.finish()
    policy = p.collector.driver.stats()['time_policy'] / rounds
    if len(begun) > FEW:
      (first, before), (last, after) = begun[0], begun[-1]
      return (last - first) / (after - before) * config.train_every, policy
    collecting = config.train_every * (1 / random + policy / len(p.pool))
    return collecting + config.train_steps * gradient, policy

  def _evaluation(self, random, policy):
    """Returns the steps for each second in evaluations."""
    p, config = self._p, self._config
    count = config.eval_envs or min(config.envs, config.eval_eps)
    if envs.simulator(config.task, config.env) != 'envpool':
      share = count / max(1, len(p.pool))
      return 1 / (1 / (random * share) + policy / count)
    self._doing('measuring an evaluation')
    seeds = range(
        environments.EVAL_SEED,
        environments.EVAL_SEED + min(SCENARIOS, config.eval_eps))
    p.evaluator(p.random, seeds[:1])  # Starts the environments.
    began = time.monotonic()
    episodes = p.evaluator(p.random, seeds).episodes
    steps = sum(len(episode['action']) - 1 for episode in episodes)
    return steps / (time.monotonic() - began)

  def _files(self):
    """Returns bytes of a step and of an episode besides, from the files."""
    sizes = [
        (int(path.stem.rpartition('-')[2]), path.stat().st_size)
        for path in (self._p.folder / 'train_episodes').glob('*.npz')]
    return fit(sizes)

  def _leave_if_asked(self):
    self._p.pool.check_stop('before anything was changed.')


def fit(sizes: list[tuple[int, int]]) -> tuple[float, float]:
  """Returns slope and height of the line through (steps, bytes) of files.

  Zeros if there are none; those of one length have no height.
  """
  if not sizes:
    return 0.0, 0.0
  count = len(sizes)
  x = sum(steps for steps, _ in sizes) / count
  y = sum(size for _, size in sizes) / count
  spread = sum((steps - x) ** 2 for steps, _ in sizes)
  if not spread:
    return y / x, 0.0
  slope = sum((steps - x) * (size - y) for steps, size in sizes) / spread
  return slope, y - slope * x


def worker_pids() -> list[int]:
  """Returns the processes of environments that this process has started."""
  found = []
  for pid in machine.children():
    try:
      words = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
    except OSError:
      continue
    if any(word.endswith(b'.envs.worker') for word in words):
      found.append(pid)
  return found
