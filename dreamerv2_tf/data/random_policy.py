"""A policy that knows nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np


class RandomPolicy:
  """Uniform random actions from its own seeded generator."""

  def __init__(
      self, act_space: Mapping[str, gym.Space], seed: int | Sequence[int]):
    """Takes {'action': Discrete(n) or Box(low, high, (n,))} and a seed."""
    self._space = act_space['action']
    self._rng = np.random.default_rng(seed)

  def __call__(
      self, obs: Mapping[str, np.ndarray], state: Any = None,
      mode: str | None = None) -> tuple[dict[str, np.ndarray], Any]:
    """Returns ({'action': [N, A] float32}, state) for N observations."""
    count = len(next(iter(obs.values())))
    space = self._space
    if isinstance(space, gym.spaces.Discrete):
      indices = self._rng.integers(int(space.n), size=count)
      return {'action': np.eye(space.n, dtype=np.float32)[indices]}, state
    assert isinstance(space, gym.spaces.Box), space
    action = self._rng.uniform(space.low, space.high, (count, *space.shape))
    return {'action': action.astype(np.float32)}, state

  def state(self) -> dict[str, Any]:
    """Returns the JSON-able state of the generator."""
    return dict(self._rng.bit_generator.state)

  def load_state(self, state: Mapping[str, Any]) -> None:
    """Continues from a state."""
    self._rng.bit_generator.state = dict(state)
