"""What is done in a dream: sequences of actions, as words.

A word is one sequence, such as `FASTER,FASTER,LANE_LEFT`; its last action is
repeated to the end of the dream. `agent` leaves the rest to the policy, `done`
is what was done in the episode. Actions without names have numbers. Continuous
ones are vectors, with `/` between one step and the next: `0.5,-1/0,0`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from ..errors import ConfigError
from ..schema import suggest

DONE, AGENT = 'done', 'agent'
MOST = 8  # Constant actions that are tried where none are named.


class Plan(NamedTuple):
  """A sequence of actions.

  Attributes:
    name: the word that it was given as.
    steps: of each step an action, [A] float32, or DONE or AGENT; the last one
      goes on.
  """

  name: str
  steps: tuple

  def label(self) -> str:
    """Returns what pictures and tables call it."""
    return {DONE: 'as driven', AGENT: 'as the agent likes'}.get(
        self.name, f'if {self.name}')


def read(
    words: Sequence[str], space: gym.Space,
    names: Mapping[int, str]) -> list[Plan]:
  """Returns the plans that words mean.

  Args:
    words: one for each plan; none: what was done, and each constant action, or
      what the agent likes where these are many or continuous.
    space: of the agent's actions, Discrete(n) or Box in -1 to 1.
    names: number of an action -> its name, perhaps of some only.

  Raises:
    ConfigError: a word means no action.
  """
  if not words:
    words = [DONE, AGENT]
    if isinstance(space, gym.spaces.Discrete) and space.n <= MOST:
      words = [DONE, *(names.get(i, str(i)) for i in range(int(space.n)))]
  return [_plan(word, space, names) for word in dict.fromkeys(words)]


def fill(
    plan: Plan, done: np.ndarray,
    length: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the actions of a plan step by step.

  Args:
    plan: to follow.
    done: [n, A], float32; actions that were done in these steps, n at least 1.
    length: steps L. What was done is repeated from its last on.

  Returns:
    [L, A], float32, zeros where the agent chooses; and where it does, [L],
    bool.
  """
  actions = np.zeros([length, done.shape[1]], np.float32)
  free = np.zeros(length, bool)
  for index in range(length):
    step = plan.steps[min(index, len(plan.steps) - 1)]
    if isinstance(step, str):
      free[index] = step == AGENT
      if step == DONE:
        actions[index] = done[min(index, len(done) - 1)]
    else:
      actions[index] = step
  return actions, free


def name_of(
    action: np.ndarray, space: gym.Space, names: Mapping[int, str]) -> str:
  """Returns how people call an action, [A], of the agent."""
  if isinstance(space, gym.spaces.Discrete):
    index = int(np.argmax(action))
    return names.get(index, str(index))
  return ' '.join(f'{x:+.2f}' for x in action)


def _plan(word, space, names):
  discrete = isinstance(space, gym.spaces.Discrete)
  parts = [x.strip() for x in word.split(',' if discrete else '/')]
  read = _discrete if discrete else _continuous
  return Plan(word, tuple(
      x.lower() if x.lower() in (DONE, AGENT) else read(x, word, space, names)
      for x in parts))


def _discrete(text, word, space, names):
  """Returns one action of a discrete space as a one-hot vector."""
  simple = lambda name: name.lower().replace(' ', '_').replace('-', '_')
  index = {simple(x): index for index, x in names.items()}.get(simple(text))
  if index is None and text.isdecimal() and int(text) < space.n:
    index = int(text)
  if index is None:
    listed = ', '.join(names.get(i, str(i)) for i in range(int(space.n)))
    where = f" in '{word}'" * (text != word)
    raise ConfigError(
        f"Unknown action '{text}'{where}.{suggest(text, names.values())} "
        f'Actions of this task: {listed}; besides, {DONE} and {AGENT}.')
  return np.eye(int(space.n), dtype=np.float32)[index]


def _continuous(text, word, space, names):
  """Returns one action of a Box as a vector."""
  size = space.shape[0]
  try:
    action = np.array([float(x) for x in text.split(',')], np.float32)
  except ValueError:
    action = np.zeros(0, np.float32)
  if action.shape != (size,) or not (np.abs(action) <= 1).all():
    example = ','.join(['0.5'] * size)
    raise ConfigError(
        f"The actions of this task are {size} number{'s' * (size > 1)} from -1 "
        f"to 1, but '{text}' is none. Write --actions {example}, with / "
        f"between steps that differ; besides, {DONE} and {AGENT}.")
  return action
