"""How many episodes collectors hand over, and how far their policies lag.

    python scripts/collectors.py --collectors 8

N collectors against N times one, each in environments whose steps sleep, so
that few cores do not limit them: episodes per second, measured in turn, several
times. Then a run with N collectors tells by how many
gradient steps the weights of its actions were behind.
"""

from collections.abc import Callable, Iterator, Sequence
import json
import pathlib
import sys
import tempfile
import time

import command
import gymnasium as gym
import numpy as np

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError

FLAGS = {
    'collectors': (8, 'N.'),
    'address': ('local', 'Of the Ray cluster: local, auto or HOST:PORT.'),
    'step_ms': (50.0, 'Sleep of a step, ms.'),
    'length': (40, 'Steps of an episode.'),
    'seconds': (10.0, 'Of each measurement.'),
    'rounds': (3, 'Measurements of each number of collectors.'),
    'steps': (3000, 'Of the run that measures the lag; 0: none.'),
    'sync_every': (10, 'Gradient steps until collectors get new weights.'),
}


class Sleeper(gym.Env):
  """A simulator that takes its time and no processor."""

  observation_space = gym.spaces.Box(-1, 1, (4,), np.float32)
  action_space = gym.spaces.Discrete(2)

  def __init__(self, seconds: float, length: int):
    """Args: seconds: of a step; length: steps of an episode."""
    self._seconds, self._length = seconds, length
    self._count = 0

  def reset(
      self, *, seed: int | None = None,
      options: dict | None = None) -> tuple[np.ndarray, dict]:
    """Begins an episode."""
    super().reset(seed=seed)
    self._count = 0
    return self._observe(), {}

  def step(
      self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
    """Sleeps; action 1 is rewarded."""
    time.sleep(self._seconds)
    self._count += 1
    return (
        self._observe(), float(action), False, self._count >= self._length, {})

  def _observe(self):
    return self.np_random.uniform(-1, 1, 4).astype(np.float32)


def work(arguments: Sequence[str]) -> Iterator[str]:
  """Yields the lines of the results."""
  options = command.parse(FLAGS, arguments)
  if min(options.collectors, options.rounds, options.length) < 1:
    raise ConfigError('collectors, rounds and length must be at least 1.')
  yield from efficiency(options)
  if options.steps:
    yield from lag(options)


def efficiency(options: configlib.Config) -> Iterator[str]:
  """Yields episodes per second of N collectors, and of one.

  Both fleets are there all the time; one of them is at work.
  """
  from dreamerv2_tf.run import cluster
  count = options.collectors
  names = ['1', str(count)]
  rates = []
  with cluster.connected(options.address, count + 1):
    with Source(options, 1) as one, Source(options, count) as many:
      for _ in range(options.rounds):
        rates.append([one.rate(), many.rate()])
        command.say(' and '.join(
            f'{x:.3f}' for x in rates[-1]) + f' episodes/s of 1 and {count}')
  rates = np.array(rates)
  ideal = 1e3 / options.step_ms / options.length
  yield '| collectors | episodes/s | of what sleep alone allows |'
  yield '|---|---|---|'
  for name, values in zip(names, rates.T):
    yield (
        f'| {name} | {np.median(values):.3f} ({min(values):.3f} to '
        f'{max(values):.3f}) | {np.median(values) / int(name) / ideal:.2f} |')
  pairs = rates[:, 1] / rates[:, 0] / count
  yield (
      f'Efficiency, median of {len(pairs)} pairs: {np.median(pairs):.3f} '
      f'({pairs.min():.3f} to {pairs.max():.3f})')


def settings(options: configlib.Config, number: int) -> configlib.Config:
  """Returns the settings of a run with so many collectors."""
  return configlib.resolve(['debug']).update({
      'collectors': number, 'ray.address': options.address, 'envs': 1,
      'envs_parallel': 'none', 'sync_every': options.sync_every})


def make_factory(
    options: configlib.Config,
    config: configlib.Config) -> Callable[[], envs.Env]:
  """Returns what makes an environment of them."""
  def make():
    return envs.wrap(
        Sleeper(options.step_ms / 1e3, options.length),
        **config.taken_by(envs.wrap))
  return make


class Source:
  """Collectors with a policy of the debug preset, whose weights stay."""

  def __init__(self, options: configlib.Config, number: int):
    """Starts so many; waits until all have handed over an episode."""
    from dreamerv2_tf import startup
    from dreamerv2_tf.run import fleet
    self._seconds = options.seconds
    config = settings(options, number)
    self._done = [0] * number
    self._fleet = fleet.Fleet(
        config, make_factory(options, config), **config.taken_by(fleet.Fleet))
    startup.import_tensorflow()
    from dreamerv2_tf.agent import Agent
    agent = Agent(config, self._fleet.obs_space, self._fleet.act_space)
    self._fleet.prepare(list(agent.obs_space), lambda i: [self._done[i]])
    self._fleet.direct('agent', 'train', 0, agent.policy.weights())
    self._wait_for_all(1)

  def __enter__(self) -> 'Source':
    return self

  def __exit__(self, *exc_info) -> None:
    self._fleet.close()

  def rate(self) -> float:
    """Returns episodes per second, the sum over the collectors.

    Each is measured from one of its episodes to another, so that none counts
    in part. Those that had ended while nobody asked are left out.
    """
    self._wait_for_all(3)  # Two calls may have waited.
    times = [[] for _ in self._done]
    until = time.monotonic() + self._seconds
    while time.monotonic() < until or min(map(len, times)) < 2:
      if taken := self._take():
        times[taken[0]].append(time.monotonic())
    return sum((len(x) - 1) / (x[-1] - x[0]) for x in times)

  def _wait_for_all(self, count):
    done = list(self._done)
    while any(x < y + count for x, y in zip(self._done, done)):
      self._take()

  def _take(self):
    if taken := self._fleet.take(0.5):
      self._done[taken[0]] += 1
    return taken


def lag(options: configlib.Config) -> Iterator[str]:
  """Yields how far policies lag in a run with all collectors."""
  from dreamerv2_tf.run import train as training
  with tempfile.TemporaryDirectory() as folder:
    config = settings(options, options.collectors).update({
        'logdir': folder, 'task': 'gym_custom', 'steps': options.steps,
        'prefill': 500, 'eval_every': 0, 'log_every': 500,
        'replay.minlen': 8, 'replay.maxlen': 8, 'dataset.length': 8})
    training.run(config, factory=make_factory(options, config))
    rows = [json.loads(line) for line in pathlib.Path(
        folder, 'metrics.jsonl').read_text().splitlines()]
  lags = [row for row in rows if 'policy_lag' in row]
  if not lags:
    raise ConfigError('No episode of the agent: give more --steps.')
  per_episode = config.train_steps * options.length / config.train_every
  yield (
      f'policy_lag {np.mean([x["policy_lag"] for x in lags]):.1f}, '
      f'policy_lag_max {max(x["policy_lag_max"] for x in lags):.0f} gradient '
      f'steps; sync_every {options.sync_every}, {per_episode:g} gradient steps '
      'per episode')


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the script; returns the exit status."""
  return command.main(argv, __doc__, FLAGS, work)


if __name__ == '__main__':
  sys.exit(main())
