"""Measures of collecting and learning together for benchmark.py."""

import pathlib
import tempfile

import benchmark_tools as tools
import numpy as np

from dreamerv2_tf import envs, startup
from dreamerv2_tf.report import terminal
from dreamerv2_tf.run.stop import Stop


def loop(task: tools.Task) -> dict:
  """Measures collecting and learning, each alone and both.

  The learner has one core, the worker of one environment another.
  """
  first, second, *_ = tools.cores()
  tools.pin([second])
  with tools.make_pool(task.config, 1) as pool:
    tools.pin([first])
    run = Loop(task, pool)
    phases = [run.collect, run.train, run.both]
    longest = max(tools.seconds(phase, 1) for phase in phases)
    count = int(np.clip(task.seconds(4) / longest, 2, 50))
    rounds = [
        [1e3 * tools.seconds(phase, count) / count for phase in phases]
        for _ in range(1 if task.options.quick else 3)]
    run.close()
  collect, learn, both = np.median(rounds, 0) / task.config.train_steps
  return {
      'loop_collect_ms': collect, 'loop_train_ms': learn, 'loop_both_ms': both,
      'loop_efficiency': both / max(collect, learn),
      'loop_wait_ms': 1e3 * tools.median(run.waits)}


def free_loop(task: tools.Task) -> dict:
  """Measures both at the same time with all environments, on all cores."""
  with tools.make_pool(task.config, task.config.envs) as pool:
    run = Loop(task, pool)
    usual = tools.seconds(run.both, 1)
    count = int(np.clip(task.seconds(8) / usual, 2, 200))
    spent = tools.seconds(run.both, count)
    run.close()
  return {'loop_steps_per_s': count * task.config.train_every / spent}


class Loop:
  """The parts of training, driven so that phases can be measured."""

  def __init__(self, task: tools.Task, pool: envs.Pool):
    """Collects random episodes and traces all functions."""
    startup.import_tensorflow()
    from dreamerv2_tf.run import agents, parts
    self._config = config = task.config
    self._folder = tempfile.TemporaryDirectory()
    exact = agents.prepare_tensorflow(config)
    self._parts = p = parts.assemble(
        config, pool, pathlib.Path(self._folder.name), Stop(),
        terminal.nowhere(), None, task.began, exact)
    self._driver, self._learner = p.collector.driver, p.learner
    self._driver.on_step(self._on_step)
    self._steps = self._due = 0
    self.waits = []  # Seconds, for each gradient step.
    while self._driver.steps < config.prefill and (
        self._driver.steps < 200
        or not p.replays['train'].stats['loaded_episodes']):
      self._driver(p.random, steps=10)
    self._driver.policy_state = None
    p.datasets.open()
    self._dataset = p.datasets['train']
    self.both(1)

  def collect(self, count: int) -> None:
    """Takes the steps that belong to `count` trainings."""
    self._due = 0
    self._driver(self._policy, steps=count * self._config.train_every)

  def train(self, count: int) -> None:
    """Trains so many times, and collects nothing."""
    for _ in range(count):
      self._due = 1
      self._begin()
    self._learner.finish()

  def both(self, count: int) -> None:
    """Trains while environments simulate; begins with the first step."""
    self._steps, self._due = 0, 1
    self._driver(
        self._policy, steps=count * self._config.train_every,
        overlap=self._begin)
    self._learner.finish()

  def close(self) -> None:
    """Ends the threads and removes the folder."""
    self._parts.close()
    self._folder.cleanup()

  def _on_step(self, row, worker):
    self._steps += 1
    self._due += self._steps % self._config.train_every == 0

  def _policy(self, obs, state):
    if self._due:
      self._learner.finish()
    return self._learner.policy(obs, state, mode='train')

  def _begin(self):
    if self._due:
      count, self._due = self._due * self._config.train_steps, 0
      self._learner.begin(self._dataset, count, self._driver.steps)
      self.waits.append(self._dataset.take_wait() / count)
