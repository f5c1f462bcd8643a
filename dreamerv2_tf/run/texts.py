"""What a run says of itself on the terminal."""

from collections.abc import Mapping
import pathlib
import shlex
from typing import Any

from .. import envs
from .progress import Progress


def introduction(
    folder: pathlib.Path, agent: Any, count: int, ram: float,
    restored: str, seconds: float) -> str:
  """Returns what is said before the first step.

  Args:
    folder: of the run.
    agent: with the spaces of its environments.
    count: environments.
    ram: bytes that the replay may take in memory.
    restored: what was restored, in words.
    seconds: that the start took.
  """
  wm = agent.world_model
  parameters = sum(v.shape.num_elements() for v in (
      agent.named_variables().values()))
  spaces = envs.signature(agent.obs_space, agent.act_space)
  keys = wm.encoder.cnn_keys + wm.encoder.mlp_keys
  lines = [
      f'Run folder    {folder}',
      f'Observations  {", ".join(f"{k} {spaces[k]}" for k in keys)}',
      f'Actions       {spaces["action"]}',
      f'Environments  {count}',
      f'Parameters    {parameters:,}',
      f'Replay        at most {ram / 1e9:.1f} GB of '
      'memory, the rest on disk',
      restored or 'New run.',
      f'Ready after {seconds:.1f} s.']
  return '\n'.join(lines)


def summary(
    folder: pathlib.Path, progress: Progress, *, episodes: int, prefill: int,
    trained: bool, final: Mapping[str, Any] | None, named: bool) -> str:
  """Returns what is said at the end of a run.

  Args:
    folder: of the run.
    progress: at the end.
    episodes: number of training episodes.
    prefill: environment steps before training.
    trained: whether there was a gradient step.
    final: the record of the last evaluation, if there is one.
    named: whether the environment can be made by its name.
  """
  where = shlex.quote(str(folder))
  show = f'dreamerv2 eval --logdir {where}'
  if not named:
    show = f'dreamerv2_tf.load({str(folder)!r}, env=...)'
  score = ''
  if final:
    score = (
        f", last eval_return {final['return_mean']:.1f} +- "
        f"{final['return_std']:.1f} ({final['episodes']} episodes)")
  if progress.best is not None:
    score += f', best eval_return {progress.best:.1f}'
  if progress.best_step is not None:
    score += f' at step {progress.best_step}'
  begin = 'Done' if trained else (
      f'No gradient step was taken (prefill is {prefill} steps)')
  return (
      f'{begin}: {int(progress.step)} steps, {episodes} episodes'
      f'{score}.\n'
      f'  {show}\n'
      f'  tensorboard --logdir {where}')
