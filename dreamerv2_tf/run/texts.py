"""What a run says of itself on the terminal."""

from collections.abc import Mapping
import pathlib
import shlex
from typing import Any

from .. import envs
from ..report import lines


def introduction(
    agent: Any, mapping: Mapping[str, str], count: int, ram: float,
    restored: str, seconds: float) -> str:
  """Returns what is said before the first step.

  Args:
    agent: with the spaces of its environments.
    mapping: from what observations and actions are made, see envs.Env.
    count: environments.
    ram: bytes that the replay may take in memory.
    restored: what was restored, in words.
    seconds: that the start took.
  """
  parameters = sum(v.shape.num_elements() for v in (
      agent.named_variables().values()))
  encoder = agent.world_model.encoder
  return '\n'.join([
      *_observations(
          envs.signature(agent.obs_space, {}), mapping,
          encoder.cnn_keys + encoder.mlp_keys),
      f"Actions       {mapping['action']}",
      f'Environments  {count}',
      f'Parameters    {parameters:,}',
      f'Replay        at most {ram / 1e9:.1f} GB of '
      'memory, the rest on disk',
      restored or 'New run.',
      f'Ready after {seconds:.1f} s.'])


def _observations(spaces, mapping, read):
  """Yields a line for each observation that networks read, one for others."""
  label = 'Observations  '
  for key in read:
    yield f'{label}{key} {spaces[key]} {mapping.get(key, "")}'.rstrip()
    label = ' ' * len(label)
  others = [key for key in spaces if key in mapping and key not in read]
  if others:
    yield f"Not read      {', '.join(others)}"


def summary(
    folder: pathlib.Path, step: int, *, episodes: int, prefill: int,
    trained: bool, score: str, named: bool) -> str:
  """Returns what is said at the end of a run.

  Args:
    folder: of the run.
    step: environment steps.
    episodes: number of training episodes.
    prefill: environment steps before training.
    trained: whether there was a gradient step.
    score: of `scored`.
    named: whether the environment can be made by its name.
  """
  begin = 'Done' if trained else (
      f'No gradient step was taken (prefill is {prefill} steps)')
  return '\n'.join([
      f'{begin}: {lines.count(step, "step")}, '
      f'{lines.count(episodes, "episode")}.',
      *([score] if score else []), hints(folder, named)])


def complete(
    folder: pathlib.Path, step: int, steps: int, score: str,
    named: bool) -> str:
  """Returns what is said of a run that has nothing to do.

  Args:
    folder, step, score, named: see `summary`.
    steps: that it was to make.
  """
  further = 2 * (steps if step < 2 * steps else step)
  return '\n'.join([
      f'This run is complete ({step} of {steps} steps). Go on with --steps '
      f'{further}.',
      *([score] if score else []), hints(folder, named)])


def scored(
    final: Mapping[str, Any] | None, best: float | None,
    best_step: int | None, count: int) -> str:
  """Returns a line with the last and the best evaluation, '' without any.

  Args:
    final: the record of the last evaluation, if there is one.
    best: highest mean return of an evaluation, if something was learned.
    best_step: when that was.
    count: episodes of an evaluation.
  """
  parts = []
  if final:
    score = lines.spread(
        final['return_mean'], final['return_std'], final['episodes'])
    crash = final.get('crash_rate')
    crash = '' if crash is None else f', crash {100 * crash:.0f} %'
    episodes = lines.count(final['episodes'], 'episode')
    parts.append(f'last {score}{crash} ({episodes})')
  if best is not None:
    number = lines.count(count, 'episode')
    when = '' if best_step is None else f' at step {best_step}'
    parts.append(
        f'best {lines.format_score(best)}{when} ({number})')
  return f"Return: {'; '.join(parts)}." if parts else ''


def hints(folder: pathlib.Path, named: bool) -> str:
  """Returns the commands that come next."""
  where = shlex.quote(str(folder))
  show = f'dreamerv2 eval --logdir {where}'
  if not named:
    show = f'dreamerv2_tf.load({str(folder)!r}, env=...)'
  return f'  {show}\n  tensorboard --logdir {where}'
