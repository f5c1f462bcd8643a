"""Measures how much of the traffic open-loop predictions show.

The world model of a run sees five frames of an episode that it was not trained
on and predicts the rest from the actions alone. Bright pixels are cars: in the
pictures of the preset `highway` the threshold lies between other cars and all
the rest, the own car included. Recall is the share of true car pixels that are
predicted, precision the share of predicted ones that are true. The baseline
repeats the last of the five frames.
"""

from collections.abc import Iterator, Mapping, Sequence
import functools
import json
import os
import pathlib
import sys
from typing import Any

import command
import numpy as np

from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError

FLAGS = {
    'logdir': ('', 'Folder of the run.'),
    'checkpoint': ('latest', 'latest, best or the step of a checkpoint.'),
    'episodes': (50, 'Episodes to predict, driven by the greedy policy.'),
    'seed': (11000, 'Scenario of the first episode; the next has the next.'),
    'steps': ((1, 5, 15), 'Frames after the five, at which to compare.'),
    'threshold': (0.55, 'Brightness from which a pixel is a car, 0 to 1.'),
    'trust': (False, 'Run code of modules that only the folder names.'),
    'json': (False, 'Print one JSON object on the last line.'),
}
STRIDE = 5  # Frames from the beginning of a prediction to that of the next.
ROWS = 6  # Sequences in a report.


def main(argv: Sequence[str] | None = None) -> int:
  """Measures and prints; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def parse(arguments: Sequence[str]) -> tuple[Config, list[str]]:
  """Returns the values of FLAGS, and keys that change the run's settings.

  Raises:
    ConfigError: a flag is wrong.
  """
  options, overrides = command.parse_run(FLAGS, arguments)
  if options.episodes < 1 or options.seed < 0:
    raise ConfigError("'episodes' must be positive and 'seed' not negative.")
  return options, overrides


def measure(options: Config, overrides: Sequence[str]) -> dict[str, Any]:
  """Drives, predicts and compares.

  Args:
    options: values of FLAGS.
    overrides: command line words that change the run's configuration.

  Returns:
    `dream` and `copy`, each with `recall` and `precision`, step -> share or
    None where there is no such pixel; `sequences`, `step` of the checkpoint,
    and the flags.

  Raises:
    ConfigError: no run there, no image is predicted, or all episodes are too
      short.
    StateError, EnvError: see `dreamerv2 eval`.
  """
  from dreamerv2_tf.run import environments, evaluator, loading
  folder = pathlib.Path(os.path.expanduser(options.logdir))
  command.say('Starting TensorFlow ...')
  agent, config, step = loading.load_agent(
      folder, options.checkpoint, overrides, trust=options.trust)
  if not agent.world_model.heads['decoder'].cnn_keys:
    raise ConfigError(f'{folder} predicts no image.')
  key = agent.world_model.heads['decoder'].cnn_keys[0]
  seeds = range(options.seed, options.seed + options.episodes)
  command.say(f'Driving {len(seeds)} scenarios ...')
  with environments.make_evaluator(
      config, config.envs,
      progress=evaluator.show_progress(len(seeds))) as play:
    policy = functools.partial(agent.policy, mode='eval')
    episodes, _ = play(policy, seeds)
  command.say('Predicting ...')
  context = agent.world_model.CONTEXT
  length = context + max(options.steps)
  pairs = [
      pair for batch in batches(episodes, length)
      for pair in predictions(agent, batch, key)]
  if not pairs:
    raise ConfigError(
        f'No episode has the {length} frames that are needed; lower --steps.')
  truth, dream = (
      np.stack(x)[:, context - 1:] > options.threshold for x in zip(*pairs))
  copy = np.broadcast_to(truth[:, :1], truth.shape)
  return {
      'dream': compare(truth, dream, options.steps),
      'copy': compare(truth, copy, options.steps), 'sequences': len(truth),
      'step': step, **options.to_dict()}


def batches(
    episodes: Sequence[Mapping[str, np.ndarray]],
    length: int) -> Iterator[dict[str, np.ndarray]]:
  """Cuts episodes into sequences, ROWS to a batch; a rest is left out.

  Args:
    episodes: key -> [rows, ...].
    length: T.

  Yields:
    key -> [ROWS, T, ...]; is_first is set where a sequence begins.
  """
  cuts = []
  for episode in episodes:
    for start in range(0, len(episode['reward']) - length + 1, STRIDE):
      cut = {k: v[start:start + length] for k, v in episode.items()}
      cut['is_first'] = np.arange(length) == 0
      cuts.append(cut)
  for start in range(0, len(cuts) - ROWS + 1, ROWS):
    rows = cuts[start:start + ROWS]
    yield {k: np.stack([row[k] for row in rows]) for k in rows[0]}


def predictions(
    agent: Any, batch: Mapping[str, np.ndarray],
    key: str) -> list[tuple[np.ndarray, np.ndarray]]:
  """Returns truth and prediction, [T, H, W] each, 0 to 1, of each row."""
  truth, dream = agent.report(batch)[key]
  return list(zip(truth[..., 0], np.clip(dream[..., 0], 0, 1)))


def compare(
    truth: np.ndarray, guess: np.ndarray,
    steps: Sequence[int]) -> dict[str, dict[str, float | None]]:
  """Counts pixels.

  Args:
    truth: [N, T, H, W], bool; frame 0 is the last that the model sees.
    guess: [N, T, H, W], bool.
    steps: frames to compare.

  Returns:
    recall and precision: step -> share; None where nothing is counted.
  """
  share = lambda part, whole: float(part / whole) if whole else None
  result = {'recall': {}, 'precision': {}}
  for step in steps:
    real, seen = truth[:, step], guess[:, step]
    both = (real & seen).sum()
    result['recall'][str(step)] = share(both, real.sum())
    result['precision'][str(step)] = share(both, seen.sum())
  return result


def _work(arguments):
  options, overrides = parse(arguments)
  result = measure(options, overrides)
  lines = _table(result)
  if not any(x for x in result['dream']['recall'].values()):
    lines += ['', 'The model shows no car: it has learned too little so far.']
  return lines + [json.dumps(result)] * options.json


def _table(result):
  show = lambda x: '    -' if x is None else f'{x:5.2f}'
  lines = [
      f"Checkpoint {result['step']}, {result['sequences']} sequences, pixels "
      f"above {result['threshold']}", '',
      'frames ahead   recall  of a copy   precision  of a copy']
  for step in map(str, result['steps']):
    cells = [
        show(result[name][kind][step])
        for kind in ('recall', 'precision') for name in ('dream', 'copy')]
    lines.append('{:>12}    {}      {}       {}      {}'.format(step, *cells))
  return lines


if __name__ == '__main__':
  sys.exit(main())
