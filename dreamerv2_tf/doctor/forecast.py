"""From what was measured to the time, memory and disk of a whole run.

Nothing here measures: numbers in, numbers out.
"""

from collections.abc import Mapping, Sequence
import math
from typing import Any, NamedTuple

import numpy as np

from ..config import Config
from ..data import layout
from .checks import Check, duration, fail, ok, rate, size, warn

LONG = 3 * 24 * 3600  # Seconds that are no surprise to nobody.


class Speeds(NamedTuple):
  """What was measured.

  Attributes:
    start: seconds until the first step.
    prefill: steps for each second, with random actions.
    first: seconds of the first gradient step, which is traced.
    gradient: seconds of each further one.
    period: seconds from one training to the next, collection included.
    evaluation: steps for each second in evaluations.
    checkpoint: seconds to save one.
    policy: seconds of a call of the policy, for all environments.
    length: mean steps of an episode of random actions; None: none ended.
  """

  start: float
  prefill: float
  first: float
  gradient: float
  period: float
  evaluation: float
  checkpoint: float
  policy: float
  length: float | None


def row_bytes(
    obs_space: Mapping[str, Any], action_dim: int) -> tuple[int, int]:
  """Returns the bytes of a step in memory, and on disk without headers.

  Args:
    obs_space: key -> space, flags and `log_*` included.
    action_dim: A.
  """
  spaces = {key: (space.shape, space.dtype)
            for key, space in obs_space.items()}
  spaces['action'] = ((action_dim,), np.float32)
  count = lambda items: sum(
      math.prod(shape) * layout.disk_dtype(dtype).itemsize
      for shape, dtype in items)
  return count(layout.sampled(spaces).values()), count(spaces.values())


def stored_steps(config: Config) -> int:
  """Returns how many steps the replay holds at the end of the run."""
  return int(min(config.steps, config.replay.capacity or config.steps))


def evaluations(config: Config) -> int:
  """Returns how many evaluations a run makes, that at its end included."""
  left = config.steps - config.prefill
  if not config.eval_every or left < 0:
    return 0
  count = 1 + left // config.eval_every
  return count + bool(left % config.eval_every)


def times(
    config: Config, speeds: Speeds, longest: int | None) -> dict[str, float]:
  """Returns the seconds of each part of a run.

  Args:
    config: the settings.
    speeds: what was measured.
    longest: steps after which an episode is over; evaluations are counted
      with such episodes. None: unknown, then as long as random ones.
  """
  steps = max(0, config.steps - config.prefill)
  trainings = steps / config.train_every
  length = longest or speeds.length or 0
  checkpoints = config.steps / config.checkpoint_every
  return {
      'start': speeds.start,
      'prefill': min(config.prefill, config.steps) / speeds.prefill,
      'pretrain': (
          speeds.first + config.pretrain * speeds.gradient if steps else 0.0),
      'training': trainings * speeds.period,
      'evaluations': (
          evaluations(config) * config.eval_eps * length / speeds.evaluation),
      'checkpoints': checkpoints * speeds.checkpoint}


def check_speed(config: Config, speeds: Speeds) -> Check:
  """Tells what was measured."""
  per_second = config.train_every / speeds.period
  return ok(
      'speed', f'{rate(per_second)} steps per second in training; environments '
      f'alone {rate(speeds.prefill)}; a gradient step '
      f'{_milliseconds(speeds.gradient)} (the first '
      f'{duration(speeds.first)}), a call of the policy '
      f'{_milliseconds(speeds.policy)}', training=per_second,
      **speeds._asdict())


def check_time(config: Config, parts: Mapping[str, float]) -> Check:
  """Tells the time to the end of the run.

  Args:
    config: the settings.
    parts: of `times`, seconds.
  """
  total = sum(parts.values())
  told = [
      f'{name} {duration(seconds)}' for name, seconds in parts.items()
      if seconds >= 0.01 * total]
  text = (
      f"{config.steps:,} steps in about {duration(total)}: {', '.join(told)}")
  values = {'total': total, 'parts': dict(parts)}
  if total > LONG:
    return warn(
        'time', text, 'Fewer --steps, smaller networks (--configs small) or a '
        'GPU.', **values)
  return ok('time', text, **values)


def check_networks(count: int, bytes_: int, moments: int) -> Check:
  """Tells the size of the networks.

  Args:
    count: parameters.
    bytes_: of them.
    moments: bytes of what the optimizers keep.
  """
  return ok(
      'networks', f'{count:,} parameters: {size(bytes_)}, and {size(moments)} '
      'of the optimizers', parameters=count, bytes=bytes_, optimizers=moments)


def check_memory(
    config: Config, row: int, process: float, workers: Sequence[int],
    evaluating: int, free: float) -> Check:
  """Tells the memory at the end of the run.

  Args:
    config: the settings.
    row: bytes of a step in memory.
    process: bytes of this process.
    workers: bytes of each process of an environment.
    evaluating: environments of the evaluations.
    free: bytes that may be taken.
  """
  replay = min(stored_steps(config) * row, 0.9 * config.replay.ram)
  each = sum(workers) / len(workers) if workers else 0.0
  others = each * (len(workers) + evaluating)
  total = process + replay + others
  text = f'{size(total)} at the end of the run: process {size(process)}'
  text += f', replay {size(replay)} ({size(row)} a step, at most '
  text += f'{size(config.replay.ram)})'
  if workers:
    count = len(workers) + evaluating
    text += f', {count} processes of environments {size(others)}'
  values = {
      'total': total, 'process': process, 'replay': replay, 'row': row,
      'environments': others, 'free': free}
  # What this process and the workers hold is no longer free.
  left = free + process + sum(workers)
  if total > left:
    return fail(
        'ram', f'{text}; {size(left)} are there',
        '--replay.ram 500000000 or less, fewer --envs, or smaller networks', 6,
        **values)
  if total > 0.8 * left:
    return warn(
        'ram', f'{text}; {size(left)} are there', 'Lower replay.ram or envs if '
        'other programs run beside it.', **values)
  return ok('ram', text, **values)


def check_disk(
    config: Config, row: float, episode: float, length: float | None,
    checkpoint: float, free: float) -> Check:
  """Tells the disk that the run folder takes.

  Args:
    config: the settings.
    row: bytes of a step.
    episode: bytes that an episode takes besides.
    length: mean steps of an episode.
    checkpoint: bytes of a checkpoint.
    free: bytes on the disk.
  """
  each = row + episode / max(1.0, length or 1000.0)
  steps = stored_steps(config)
  episodes = 1.1 * steps * each  # Those of evaluations may be a tenth.
  saved = (config.checkpoint_keep + 1) * checkpoint
  total = episodes + saved
  text = (
      f'{size(total)} at the end of the run: {steps:,} steps of episodes '
      f'{size(episodes)} ({size(each)} a step), {config.checkpoint_keep + 1} '
      f'checkpoints {size(saved)}')
  full = config.replay.capacity or 0
  if full > steps:
    text += f'; at replay.capacity {full:,} {size(1.1 * full * each + saved)}'
  values = {'total': total, 'step': each, 'checkpoint': checkpoint}
  if total > free:
    return fail(
        'files', f'{text}; {size(free)} are free',
        'Free some space, lower --replay.capacity, or give another --logdir.',
        6, **values)
  return ok('files', text, **values)


def _milliseconds(seconds):
  if seconds >= 10:
    return duration(seconds)
  if seconds >= 1:
    return f'{seconds:.1f} s'
  return f'{1000 * seconds:.{1 if seconds < 0.1 else 0}f} ms'
