"""Collects metrics for the terminal, `metrics.jsonl` and TensorBoard.

The outputs, which are modules beside this one, need no TensorFlow.
"""

from collections.abc import Callable, Mapping, Sequence
import time
from typing import SupportsFloat, SupportsInt

import numpy as np


class Logger:
  """Collects values and hands them to the outputs at each `write`.

  Code: danijar/dreamerv2 common/logger.py, Logger.
  Differs: texts and hyperparameters; [H, W, C] images reach TensorBoard; the
    first `fps` counts from the first value instead of being 0.
  """

  def __init__(
      self, step: Callable[[], int] | SupportsInt, outputs: Sequence,
      multiplier: int = 1):
    """Keeps the outputs; writes nothing.

    Args:
      step: counter of environment steps before action repeat, or a function
        that returns them.
      outputs: callables that take a list of summaries; those with a method
        `tick` or `hparams` are given that, too.
      multiplier: action repeat.
    """
    self._step = step
    self._outputs = outputs
    self._multiplier = multiplier
    self._summaries = []
    self._last: tuple[int, float] | None = None

  @property
  def step(self) -> int:
    """Environment steps times action repeat."""
    step = self._step() if callable(self._step) else self._step
    return int(step) * self._multiplier

  def add(self, mapping: Mapping, prefix: str | None = None) -> None:
    """Adds values at the present step; the number of axes tells what they are.

    Args:
      mapping: name to scalar, [H, W] or [H, W, C] image, [T, H, W, C] video
        (floats in 0..1 or uint8), or text (Markdown).
      prefix: put before each name with an underscore.

    Raises:
      ValueError: the shape is none of these.
    """
    step = self.step
    if self._last is None:
      self._last = (step, time.monotonic())
    for name, value in dict(mapping).items():
      name = f'{prefix}_{name}' if prefix else name
      if not isinstance(value, str):
        value = np.array(value)
        if value.ndim not in (0, 2, 3, 4) or value.dtype.kind in 'OSUcmM':
          raise ValueError(
              f"Value '{name}' of shape {value.shape} and dtype {value.dtype} "
              'is no scalar, [H, W] or [H, W, C] image, or [T, H, W, C] video.')
      self._summaries.append((step, name, value))

  def scalar(self, name: str, value: SupportsFloat) -> None:
    """Adds one number."""
    self.add({name: value})

  def image(self, name: str, value: np.ndarray) -> None:
    """Adds a picture, [H, W] or [H, W, C]."""
    self.add({name: value})

  def video(self, name: str, value: np.ndarray) -> None:
    """Adds a video, [T, H, W, C]."""
    self.add({name: value})

  def text(self, name: str, value: str) -> None:
    """Adds a text in Markdown; `code_block` keeps its line breaks."""
    self.add({name: value})

  def hparams(self, mapping: Mapping) -> None:
    """Writes the settings for the hparams page of TensorBoard."""
    for output in self._outputs:
      if hasattr(output, 'hparams'):
        output.hparams(mapping)

  def tick(self) -> None:
    """Lets a progress bar move between writes; cheap, call it at every step."""
    for output in self._outputs:
      if hasattr(output, 'tick'):
        output.tick(self.step)

  def write(self, fps: bool = False) -> None:
    """Hands all collected values to the outputs.

    Args:
      fps: also log `fps`, environment steps times action repeat per second
        since the last `write(fps=True)`.

    Raises:
      StorageError: `metrics.jsonl` can not be written, for the third time.
    """
    if fps:
      self.scalar('fps', self._fps())
    if self._summaries:
      summaries, self._summaries = self._summaries, []
      for output in self._outputs:
        output(summaries)

  @property
  def pending_step(self) -> int | None:
    """Step of the values that wait for `write`, None if there are none."""
    return self._summaries[0][0] if self._summaries else None

  @property
  def pending(self) -> dict[str, float]:
    """Scalars that wait for `write`, by name."""
    return {name: value for _, name, value in self.state()}

  def state(self) -> list:
    """Returns the scalars that are not written yet, JSON-able."""
    return [
        [step, name, float(value)] for step, name, value in self._summaries
        if not isinstance(value, str) and value.ndim == 0]

  def load_state(self, state: Sequence) -> None:
    """Takes scalars of an earlier process that did not come to write them."""
    self._summaries += [
        (step, name, np.array(value)) for step, name, value in state]

  def close(self) -> None:
    """Closes the outputs; what is not written is lost."""
    for output in self._outputs:
      if hasattr(output, 'close'):
        output.close()

  def _fps(self) -> float:
    now = (self.step, time.monotonic())
    last, self._last = self._last or now, now
    return (now[0] - last[0]) / max(now[1] - last[1], 1e-9)


def code_block(text: str) -> str:
  """Wraps a text for `Logger.text` so that TensorBoard shows it verbatim."""
  return f'```\n{text.rstrip()}\n```'
