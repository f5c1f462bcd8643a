"""How far a run is, and how far it is to go."""

from collections.abc import Mapping
import dataclasses
from typing import Any, NamedTuple

from ..data import when
from .clock import Clock


class Schedule(NamedTuple):
  """The numbers that the loop asks for, keys of the configuration."""

  steps: int  # Environment steps of the whole run.
  prefill: int  # Environment steps before training.
  pretrain: int  # Gradient steps at the end of prefill.
  train_steps: int  # Gradient steps at a time.
  expl_until: float  # Environment steps with the exploring behaviour; 0: all.
  eval_every: float  # Environment steps; 0: never.
  eval_eps: int  # Episodes of an evaluation.
  checkpoint_every: int  # Environment steps.


@dataclasses.dataclass
class Progress:
  """What decides the next iteration and belongs to no other part.

  Attributes:
    seed: of the run as it is now.
    clock: seconds of the run.
    step: environment steps before action repeat.
    written: step up to which the metrics are in the outputs.
    pretrained: gradient steps taken of those at the end of prefill.
    policy: whose memory the driver holds: random or agent, None at first.
    best: highest mean return of an evaluation in a checkpoint or to be, None
      before.
    best_step: when that was.
    due: `train`, gradient steps to begin; `log` and `eval`, whether to do so.
  """

  seed: int
  clock: Clock
  step: when.Counter = dataclasses.field(default_factory=when.Counter)
  written: int = 0
  pretrained: int = 0
  policy: str | None = None
  best: float | None = None
  best_step: int | None = None
  due: dict[str, int] = dataclasses.field(
      default_factory=lambda: {'train': 0, 'log': False, 'eval': False})

  def state(self) -> dict[str, Any]:
    """Returns all of it, JSON-able."""
    return {
        'seed': self.seed, 'step': int(self.step), 'written': self.written,
        'pretrained': self.pretrained, 'policy': self.policy,
        'best': self.best, 'best_step': self.best_step, 'due': dict(self.due),
        **self.clock.state()}

  def load_state(self, state: Mapping[str, Any]) -> None:
    """Goes on from a state, with the seed of now."""
    self.clock.load_state(state)
    self.step.value = state['step']
    self.written = state['written']
    self.pretrained = state['pretrained']
    self.policy = state['policy']
    self.best = state['best']
    self.best_step = state.get('best_step')  # Former versions had none.
    self.due.update(state['due'])
