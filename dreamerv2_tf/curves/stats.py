"""Statistics of few runs: intervals by bootstrap, bands, improvement.

Intervals are of 95 % unless said otherwise. Drawings begin with a fixed seed,
so that the same runs give the same numbers.

Paper: arXiv 2108.13264 (interquartile mean, stratified bootstrap, probability
of improvement).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
import warnings

import numpy as np

LEVEL = 0.95  # Of intervals.
SAMPLES = 2000  # Drawings for an interval.
CHUNK = 1_000_000  # Numbers drawn at a time.

# What `band` knows, and what that shows.
BANDS = {
    'std1': 'mean and standard deviation of the seeds',
    'per0': 'median, lowest and highest seed',
    'per5': 'median, 5th and 95th percentile of the seeds',
    'per25': 'median and middle half of the seeds',
    'minmax': 'mean, lowest and highest seed',
    'ci95': 'mean and its 95 % interval, bootstrapped over the seeds',
}


def iqm(values: np.ndarray) -> float:
  """Mean of the middle half of the values."""
  values = np.sort(np.ravel(values))
  cut = len(values) // 4
  return float(values[cut:len(values) - cut].mean())


def interval(drawn: Sequence[float], level: float = LEVEL) -> list[float]:
  """Returns the low and the high end of the middle of what was drawn.

  Args:
    drawn: a statistic of each drawing.
    level: share of them between the ends.
  """
  outside = round((1 - level) / 2, 9)
  return [float(x) for x in np.quantile(drawn, [outside, 1 - outside])]


def resample(
    groups: Sequence[np.ndarray], samples: int = SAMPLES,
    seed: int = 0) -> Iterator[list[np.ndarray]]:
  """Yields groups drawn with replacement, and the values of each as well.

  For runs with several episodes each: the interval holds what differs between
  seeds and between episodes.

  Args:
    groups: [n] each; at least one.
    samples: number of drawings.
    seed: of the drawings.
  """
  rng = np.random.default_rng(seed)
  for _ in range(samples):
    yield [
        rng.choice(groups[index], len(groups[index]))
        for index in rng.integers(len(groups), size=len(groups))]


def stratified(
    groups: Sequence[np.ndarray], samples: int = SAMPLES,
    seed: int = 0) -> Iterator[list[np.ndarray]]:
  """Yields the same groups, the values of each drawn with replacement.

  For the scores of several seeds in each of several tasks, which are fixed.

  Args:
    groups: [n] each, one for a task.
    samples: number of drawings.
    seed: of the drawings.
  """
  rng = np.random.default_rng(seed)
  for _ in range(samples):
    yield [rng.choice(values, len(values)) for values in groups]


def bootstrap(
    groups: Sequence[np.ndarray],
    statistic: Callable[[list[np.ndarray]], float],
    samples: int = SAMPLES, level: float = LEVEL, seed: int = 0) -> list[float]:
  """Returns an interval of a statistic of the scores of seeds in tasks.

  Args:
    groups: [n] each, the scores of the seeds in one task.
    statistic: of groups such as these.
    samples: number of drawings.
    level: share of the drawings within the interval.
    seed: of the drawings.

  Returns:
    Its low and its high end; equal if each task has one seed.
  """
  return interval(
      [statistic(drawn) for drawn in stratified(groups, samples, seed)], level)


def improvement(ours: np.ndarray, theirs: np.ndarray) -> float:
  """How likely a value of ours is higher than one of theirs.

  All pairs are compared; equal values count half.

  Args:
    ours: [n].
    theirs: [m].
  """
  theirs = np.sort(theirs)
  below = np.searchsorted(theirs, ours, 'left').mean()
  not_above = np.searchsorted(theirs, ours, 'right').mean()
  return float((below + not_above) / 2 / len(theirs))


def band(
    values: np.ndarray, kind: str = 'std1', samples: int = SAMPLES,
    seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Summarises the curves of several seeds at each point.

  Args:
    values: [seeds, points]; NaN where a seed has none.
    kind: a key of BANDS; standard deviations are those of the seeds at hand
      (ddof 0), as in the original.
    samples: number of drawings for ci95.
    seed: of these drawings.

  Returns:
    Low end, middle and high end, [points] each; NaN where no seed has a value.
  """
  with warnings.catch_warnings():  # What is NaN in all seeds stays so.
    warnings.simplefilter('ignore', RuntimeWarning)
    if kind.startswith('per'):
      outside = int(kind.removeprefix('per'))
      ends = outside, 50, 100 - outside
      return tuple(np.nanpercentile(values, x, 0) for x in ends)
    mean = np.nanmean(values, 0)
    if kind == 'std1':
      std = np.nanstd(values, 0)
      return mean - std, mean, mean + std
    if kind == 'minmax':
      return np.nanmin(values, 0), mean, np.nanmax(values, 0)
    if kind == 'ci95':
      low, high = _interval_of_means(values, samples, seed)
      return low, mean, high
  raise ValueError(f"Unknown band '{kind}'. Known: {', '.join(BANDS)}.")


def _interval_of_means(values: np.ndarray, samples: int, seed: int) -> Any:
  """Returns [2, points]: low and high end of the interval of the mean.

  Whole seeds are drawn: the same ones at all points that the same seeds have.
  """
  result = np.full((2, values.shape[1]), np.nan)
  present = np.isfinite(values)
  for pattern in np.unique(present, axis=1).T:
    columns = (present == pattern[:, None]).all(0)
    some = values[pattern][:, columns]
    if not len(some):
      continue
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(
        len(some), np.full(len(some), 1 / len(some)), samples) / len(some)
    size = max(1, CHUNK // samples)
    ends = [
        np.percentile(drawn @ some[:, i:i + size], [2.5, 97.5], 0)
        for i in range(0, some.shape[1], size)]
    result[:, columns] = np.concatenate(ends, 1)
  return result
