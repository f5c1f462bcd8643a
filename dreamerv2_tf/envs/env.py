"""A Gymnasium environment behind the dict interface of the agent."""

from collections.abc import Callable, Container, Iterable, Mapping
import copy
import logging
import math

import gymnasium as gym
import numpy as np

from ..errors import DreamerError, EnvError, NonFiniteError, brief
from .actions import Actions
from .frame import Frame
from .observations import Adapter
from .part import ApiError
from .spaces import describe_actions

log = logging.getLogger(__name__)

LARGEST = float(np.finfo(np.float32).max)


class Env:
  """One environment: resets and steps to flat dicts of arrays (rows).

  A row holds the observation keys (images [H, W, C] uint8, vectors [n]
  float32), `reward` float32, `is_first`, `is_last`, `is_terminal` bool, and
  `log_*` float32. `is_last` is terminated or truncated; `is_terminal` is
  terminated only, so a time limit never zeroes the discount.

  The constructor resets and steps the environment once to check its API.

  Attributes:
    obs_space: dict of Gymnasium spaces, one for each key of a row.
    act_space: {'action': Discrete(n) or Box(-1, 1, (n,), float32)}.
    adapter: maps plain observations to the observation keys of a row.
    fps: float; frames of `frames()` for each second of simulated time.
    about: `actions`, a list of their names, and `timed`: whether time passes
      as `fps` says; both for people.
    shots: function that yields the pictures since the one before, at least
      one, [H, W, 3] uint8; by default what `render` returns.
    advice: list of sentences that the user should see once.
    mapping: observation key or `action` -> how it is made of the spaces of
      the environment, in words.
    outside: observation key -> a sentence, of those outside of their space
      in the last row.
    own_random: bool; set where nothing draws from the global generators, so
      that these need not be seeded or kept apart.
    alone: bool; set where its libraries and TensorFlow crash in one process.
  """

  def __init__(
      self, env: gym.Env, name: str, adapter: Adapter, *,
      action_repeat: int = 1, time_limit: int = 0,
      render: bool | Container[int] = False, check: bool = True,
      logs: Mapping[str, Callable[[gym.Env], float]] | None = None):
    """Wraps and checks a Gymnasium environment.

    Args:
      env: made with `render_mode='rgb_array'` if `render` is set.
      name: how messages call it, such as the task.
      adapter: built from the observation space of env.
      action_repeat: environment steps for each step of the policy; rewards
        are summed.
      time_limit: policy steps after which an episode is truncated; 0: none.
      render: collect the frames that `frames` returns; True for all episodes,
        or the seeds of those.
      check: reset and step it.
      logs: functions of the innermost environment, by `log_` key.

    Raises:
      ConfigError: the action space is not supported.
      EnvError: the environment breaks the Gymnasium API.
    """
    self.name = name
    self.adapter = adapter
    fps = _fps(env)
    self.fps = fps or 30.0
    self.about = {'actions': _meanings(env), 'timed': fps is not None}
    self.shots: Callable[[], Iterable[np.ndarray]] = lambda: [self.render()]
    self.advice = list(adapter.advice)
    self.outside = {}
    self.own_random = self.alone = False
    self._env = env
    self.actions = Actions(env.action_space)
    self.mapping = {
        **adapter.mapping,
        'action': describe_actions(env.action_space, self.actions.space)}
    self._repeat = action_repeat
    self._limit = time_limit
    self._render = render
    self._filming = render is True
    self._logs = dict(logs or {})
    self._frames = []
    self._seed = None
    self._step = 0
    scalar = lambda: gym.spaces.Box(-np.inf, np.inf, (), np.float32)
    flag = lambda: gym.spaces.Box(0, 1, (), bool)  # type: ignore
    self.act_space = {'action': self.actions.space}
    self.obs_space: dict[str, gym.Space] = {
        **adapter.spaces, 'reward': scalar(), 'is_first': flag(),
        'is_last': flag(), 'is_terminal': flag(),
        **{key: scalar() for key in self._logs}}
    if check:
      self._check()

  @property
  def plain(self) -> gym.Env:
    """The innermost environment, as it was made."""
    return self._env.unwrapped

  @property
  def spec(self) -> gym.envs.registration.EnvSpec | None:
    """What Gymnasium knows of it, the limit of an episode, for example."""
    return self._env.spec

  def reset(self, seed: int | None = None) -> dict[str, np.ndarray]:
    """Begins an episode and returns its first row: reward 0, `is_first`.

    Raises:
      EnvError: the result breaks the API or the observation space.
      NonFiniteError: the observation holds NaN or infinity.
    """
    return self._named(self._reset, seed)

  def step(self, action: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Takes {'action': one-hot [n] or [-1, 1] floats [n]}; returns a row.

    Raises:
      ValueError: the action is not in the action space.
      EnvError: the result breaks the API or the observation space.
      NonFiniteError: observation or reward are NaN or infinite.
    """
    return self._named(self._advance, action['action'])

  def render(self) -> np.ndarray:
    """Returns the current picture, [H, W, 3] uint8; needs `render=True`."""
    image = self._env.render()
    if not isinstance(image, np.ndarray) or image.ndim != 3:
      raise EnvError(
          f"Environment '{self.name}' rendered {_type_of(image)}, expected "
          'an array [H, W, 3]; it needs render_mode rgb_array.')
    if not np.can_cast(image.dtype, np.uint8, 'same_kind'):
      raise EnvError(
          f"Environment '{self.name}' rendered {image.dtype}, expected uint8. "
          'Convert pictures to 0 to 255 in the environment.')
    return np.array(image, np.uint8)

  def frames(self) -> list[Frame]:
    """Returns the pictures since the step before, with readings.

    Empty without `render=True`; one for each step of the environment where it
    does not show the time between them.
    """
    return self._frames

  def capture(self) -> None:
    """Adds the current pictures to `frames` if this episode is filmed."""
    if self._filming:
      for pixels in self.shots():
        self._frames.append(Frame.take(pixels, {
            key: float(function(self._env.unwrapped))
            for key, function in self._logs.items()}))

  def close(self) -> None:
    """Closes the environment; what that raises is only a warning."""
    try:
      self._env.close()
    except (Exception, SystemExit) as error:
      log.warning('Closing %r raised %r.', self.name, error)

  def _reset(self, seed):
    self._seed, self._step, self._frames = seed, 0, []
    if self._render and self._render is not True:
      self._filming = seed in self._render
    result = self._env.reset(seed=seed)
    problems = _reset_problems(result)
    if problems:
      raise ApiError(problems)
    return self._row(result[0], 0.0, first=True)

  def _advance(self, action):
    action = self.actions(action)
    self._step += 1
    self._frames = []
    total = 0.0
    for index in range(self._repeat):
      if index:
        self.capture()
      # A copy each, as some environments scale or clip it in place.
      result = self._env.step(copy.copy(action))
      problems = _step_problems(result)
      if problems:
        raise ApiError(problems)
      obs, reward, terminated, truncated, _ = result
      total += float(np.asarray(reward).item())
      if terminated or truncated:
        break
    if self._limit and self._step >= self._limit:
      truncated = True
    return self._row(obs, total, last=terminated or truncated,
                     terminal=terminated)

  def _row(self, obs, reward, first=False, last=False, terminal=False):
    row, self.outside = self.adapter.convert(obs)
    if not abs(reward) <= LARGEST:
      large = ', too large for float32' * math.isfinite(reward)
      raise NonFiniteError(f'reward is {reward}{large}.')
    reward = np.float32(reward)
    row.update(
        reward=reward, is_first=np.bool_(first), is_last=np.bool_(last),
        is_terminal=np.bool_(terminal))
    for key, function in self._logs.items():
      row[key] = np.float32(function(self._env.unwrapped))
      if not math.isfinite(row[key]):
        raise NonFiniteError(f"'{key}' is {row[key]}.")
    self.capture()
    return row

  def _named(self, function, argument):
    """Calls the function; errors say which environment, seed and step."""
    try:
      return function(argument)
    except DreamerError as error:
      kind = NonFiniteError if isinstance(error, NonFiniteError) else EnvError
      raise kind(
          f"Environment '{self.name}', seed {self._seed}, step {self._step}: "
          f'{error}') from None

  def _check(self):
    """Resets and steps once; raises one sentence for each breach."""
    zero = np.zeros(self.actions.space.shape, np.float32)
    if isinstance(self.actions.space, gym.spaces.Discrete):
      zero = np.eye(self.actions.space.n, dtype=np.float32)[0]
    problems = []
    for name, function, argument in [
        ('reset(seed=0)', self._reset, 0), ('step()', self._advance, zero)]:
      try:
        function(argument)
      except ApiError as error:
        problems += error.sentences
      except NonFiniteError:
        pass  # Data, not API: the run decides what to do with it.
      except (Exception, SystemExit) as error:
        problem = f'{name} raised {brief(error)}.'
        if 'values to unpack' in str(error):  # In one of Gymnasium's wrappers.
          problem += (
              ' reset() must return (observation, info) and step() must return'
              ' (observation, reward, terminated, truncated, info).')
        problems.append(problem)
    if problems:
      raise EnvError(
          f"Environment '{self.name}' does not follow the Gymnasium API: "
          + ' '.join(dict.fromkeys(problems)))


def _fps(env):
  """Frames per second of an environment; None where it does not say."""
  try:
    fps = float(env.metadata['render_fps'])
  except (TypeError, KeyError, ValueError):
    return None
  return fps if math.isfinite(fps) and fps > 0 else None


def _meanings(env):
  """Names of the actions, as environments of Atari tell them."""
  try:
    return [str(x) for x in env.unwrapped.get_action_meanings()]
  except Exception:  # Most have no such method.
    return []


def _reset_problems(result):
  if not isinstance(result, tuple) or len(result) != 2:
    return [f'reset() returned {_type_of(result)}, expected the 2 values '
            '(observation, info).']
  if not isinstance(result[1], Mapping):
    return [f'reset() returned {_type_of(result[1])} as info, expected a '
            'dict.']
  return []


def _step_problems(result):
  if not isinstance(result, tuple) or len(result) != 5:
    old = isinstance(result, tuple) and len(result) == 4
    return [f'step() returned {_type_of(result)}, expected the 5 values '
            '(observation, reward, terminated, truncated, info)'
            + (': 4 values are the API of old Gym.' if old else '.')]
  _, reward, terminated, truncated, info = result
  problems = []
  if np.asarray(reward).size != 1 or np.asarray(reward).dtype.kind not in (
      'biuf'):
    problems.append(
        f'step() returned {_type_of(reward)} as reward, expected a number.')
  for name, value in [('terminated', terminated), ('truncated', truncated)]:
    if not isinstance(value, bool | np.bool_):
      problems.append(
          f'step() returned {_type_of(value)} as {name}, expected a bool.')
  if not isinstance(info, Mapping):
    problems.append(
        f'step() returned {_type_of(info)} as info, expected a dict.')
  return problems


def _type_of(value):
  if value is None:
    return 'None'
  if isinstance(value, tuple):
    return f'a tuple of {len(value)} values'
  return f'a value of type {type(value).__name__}'
