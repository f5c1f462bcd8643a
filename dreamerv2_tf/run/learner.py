"""Takes gradient steps beside the environments."""

from collections.abc import Iterator, Mapping
import concurrent.futures
import contextlib
import functools
import json
import pathlib
import time
from typing import Any

import numpy as np

from .. import errors, files, tfutils
from ..agent import Agent
from ..data import episodes
from ..policy import PolicyState
from ..report.means import Means
from .profile import Profile


class Learner:
  """Takes gradient steps in a thread, so that environments go on meanwhile.

  What the steps compute depends on when they are begun, never on how long
  they take: batches are drawn at the beginning, and nothing that collection
  changes is read after it. Whoever acts while it trains asks `policy` here. If
  a gradient step may span several policy calls (`train_every` above `envs`),
  these act on a copy with the weights from before it; otherwise each waits
  for the steps that are running.

  Attributes:
    means: of the metrics of the finished steps.
    compiling: whether the first step runs, which TensorFlow traces.
  """

  def __init__(
      self, agent: Agent, folder: pathlib.Path, profile: Profile, *,
      train_every: int, envs: int, collectors: int,
      max_skipped_updates: int, dataset: tfutils.Settings):
    """Begins nothing yet.

    Args:
      agent: to train.
      folder: where the batch of a step that is not finite is kept.
      profile: names the steps.
      train_every: environment steps between two trainings.
      envs: environments that collect at the same time.
      collectors: how many act elsewhere, if any: then no policy acts here.
      max_skipped_updates: float16 overflows in a row that are borne.
      dataset: `batch` and `length`, the sequences of a batch and their rows.
    """
    self.means = Means()
    self.compiling = False
    self._compiled = False
    self._agent = agent
    self._folder = folder
    self._profile = profile
    self._max_skipped_updates = max_skipped_updates
    self._batch = dataset['batch']
    self._carry = None  # Latent state after the last batch.
    self._skipped = 0
    self._times = {'time_train': 0.0, 'time_wait': 0.0}
    self._thread = concurrent.futures.ThreadPoolExecutor(1)
    self._running = None
    self._copy = None  # Acts while steps change the weights of the agent.
    if train_every > envs and not collectors:
      self._copy = agent.policy.copy()

  def begin(self, dataset: Iterator, count: int, step: int) -> None:
    """Begins gradient steps and returns at once.

    Args:
      dataset: of which one batch is drawn for each.
      count: how many.
      step: environment steps so far, for the schedules.

    Raises:
      What steps that were still running raised; see `finish`.
    """
    self.finish()
    if self._copy:
      self._copy.sync()
    self._agent.step.assign(step)
    with self._profile.trace('batch'):
      batches = [next(dataset) for _ in range(count)]
    self.compiling = not self._compiled
    self._running = self._thread.submit(self._run, batches, step)

  def finish(self) -> None:
    """Waits for the steps that were begun.

    Raises:
      NonFiniteError: a loss or gradient is not finite.
      StorageError: out of memory.
    """
    running, self._running = self._running, None
    if running:
      began = time.monotonic()
      running.result()
      self._times['time_wait'] += time.monotonic() - began

  def policy(
      self, obs: Mapping[str, np.ndarray], state: PolicyState | None = None, *,
      mode: str) -> tuple[dict, PolicyState]:
    """Acts as `Agent.policy`, on weights that no running step changes.

    However few steps the environments made since steps were begun, as some may
    have failed. The mode `eval` always has the newest weights.

    Raises:
      What steps that were still running raised; see `finish`.
    """
    if self._copy and mode != 'eval':
      return self._copy(obs, state, mode)
    self.finish()
    return self._agent.policy(obs, state, mode)

  def close(self) -> None:
    """Waits for the thread; what it raises is lost."""
    self._thread.shutdown()

  def take_times(self) -> dict[str, float]:
    """Returns seconds since the last call; only between steps.

    Returns:
      time_train: in gradient steps.
      time_wait: of waiting for them.
    """
    times = dict(self._times)
    self._times = dict.fromkeys(times, 0.0)
    return times

  def state(self) -> dict[str, Any]:
    """Returns JSON-able state between steps; `arrays` has the rest."""
    return {'means': self.means.state(), 'skipped': self._skipped}

  def arrays(self) -> dict[str, np.ndarray]:
    """Returns the latent state and the weights that policies act on."""
    acting = self._copy.weights() if self._copy else {}
    return {
        **tfutils.to_arrays('carry', self._carry),
        **{f'acting/{k}': v for k, v in acting.items()}}

  def load_state(
      self, state: Mapping[str, Any],
      arrays: Mapping[str, np.ndarray]) -> None:
    """Continues from `state` and `arrays`; the agent is restored already."""
    self.means.load_state(state['means'])
    self._skipped = state['skipped']
    self._carry = tfutils.from_arrays(
        'carry', arrays, self._agent.world_model.rssm.initial(self._batch))
    if self._copy:
      self._copy.sync({
          k.removeprefix('acting/'): v for k, v in arrays.items()
          if k.startswith('acting/')})

  def _run(self, batches, step):
    for batch in batches:
      began = time.monotonic()
      try:
        with self._profile.trace('train', step):
          self._carry, metrics = self._agent.train(batch, self._carry)
          metrics = {k: float(v) for k, v in metrics.items()}
        self._check_finite(metrics, step)
      except errors.NonFiniteError:
        self._dump(batch, step)
        raise
      self._times['time_train'] += time.monotonic() - began
      self.compiling, self._compiled = False, True
      self.means.add(metrics)

  def _check_finite(self, metrics, step):
    """Counts float16 overflows, which change nothing, and stops at others."""
    skips = [v for k, v in metrics.items() if k.endswith('_skipped')]
    self._skipped = self._skipped + 1 if any(skips) else 0
    if self._skipped > self._max_skipped_updates:
      raise errors.NonFiniteError(
          f'gradient: NaN or infinite in {self._skipped} float16 steps in a '
          'row. Use --precision 32, or bf16 if the GPU has it.')
    bad = [
        k for k, v in metrics.items() if k.endswith('_loss')
        and not np.isfinite(v)]
    if bad:
      raise errors.NonFiniteError(
          f'{bad[0]}: NaN or infinite at step {step}. The last '
          'checkpoint is from before; lower the learning rates.')

  def _dump(self, batch, step):
    """Keeps the batch of a failed gradient step and the means before it."""
    with contextlib.suppress(OSError):
      folder = self._folder / 'nan'
      folder.mkdir(exist_ok=True)
      files.write_text(
          folder / f'metrics-{step}.json',
          json.dumps(self.means.take(), indent=2) + '\n')
      files.write(
          folder / f'batch-{step}.npz',
          functools.partial(episodes.write_arrays, arrays=batch))
