"""A Gymnasium environment behind the dict interface of the agent."""

from collections.abc import Callable, Container, Mapping, Sequence
import copy
import importlib
import inspect
import logging
import math
from typing import Any

import gymnasium as gym
import numpy as np

from ..errors import (
  ConfigError,
  DreamerError,
  EnvError,
  NonFiniteError,
  brief,
)
from ..schema import suggest

# Keys that rows, losses and metrics need.
RESERVED = (
    'action', 'reward', 'discount', 'kl', 'is_first', 'is_last', 'is_terminal',
    'model', 'actor', 'critic', 'expl', 'expl_actor', 'expl_critic',
    'expl_expl', 'ahead_reward', 'ahead_discount')
MAX_KEY = 200  # Characters; keys become names of arrays, metrics and tensors.
log = logging.getLogger(__name__)

MAX_COMBINATIONS = 512
BIG = 4096  # Values of a vector that was perhaps meant as an image.


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
    advice: list of sentences that the user should see once.
    outside: observation key -> a sentence, of those outside of their space
      in the last row.
    own_random: bool; set where nothing draws from the global generators, so
      that these need not be seeded or kept apart.
  """

  def __init__(
      self, env: gym.Env, name: str, adapter: 'Adapter', *,
      action_repeat: int = 1, time_limit: int = 0,
      render: bool | Container[int] = False,
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
      logs: functions of the innermost environment, by `log_` key.

    Raises:
      ConfigError: the action space is not supported.
      EnvError: the environment breaks the Gymnasium API.
    """
    self.name = name
    self.adapter = adapter
    self.fps = float(env.metadata.get('render_fps') or 30)
    self.advice = list(adapter.advice)
    self.outside = {}
    self.own_random = False
    self._env = env
    self.actions = Actions(env.action_space)
    self._repeat = action_repeat
    self._limit = time_limit
    self._render = render
    self._filming = render is True
    self._logs = dict(logs or {})
    self._frames = []
    self._seed = None
    self._step = 0
    scalar = lambda: gym.spaces.Box(-np.inf, np.inf, (), np.float32)
    flag = lambda: gym.spaces.Box(0, 1, (), bool)
    self.act_space = {'action': self.actions.space}
    self.obs_space = {
        **adapter.spaces, 'reward': scalar(), 'is_first': flag(),
        'is_last': flag(), 'is_terminal': flag(),
        **{key: scalar() for key in self._logs}}
    self._check()

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
          f"Environment '{self.name}' rendered {_describe(image)}, expected "
          'an array [H, W, 3]; it needs render_mode rgb_array.')
    if not np.can_cast(image.dtype, np.uint8, 'same_kind'):
      raise EnvError(
          f"Environment '{self.name}' rendered {image.dtype}, expected uint8. "
          'Convert pictures to 0 to 255 in the environment.')
    return np.array(image, np.uint8)

  def frames(self) -> list[np.ndarray]:
    """Returns the pictures since the step before, [H, W, 3] uint8 each.

    Empty without `render=True`; one per decision where the environment does
    not show the time between decisions.
    """
    return self._frames

  def capture(self) -> None:
    """Adds the current picture to `frames` if this episode is filmed."""
    if self._filming:
      self._frames.append(self.render())

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
      raise _Breach(problems)
    return self._row(result[0], 0.0, first=True)

  def _advance(self, action):
    action = self.actions(action)
    self._step += 1
    self._frames = []
    total = 0.0
    for _ in range(self._repeat):
      # A copy each, as some environments scale or clip it in place.
      result = self._env.step(copy.copy(action))
      problems = _step_problems(result)
      if problems:
        raise _Breach(problems)
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
    reward = np.float32(reward)
    if not math.isfinite(reward):
      raise NonFiniteError(f'reward is {reward}.')
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
      except _Breach as breach:
        problems += breach.sentences
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
          + ' '.join(problems))


class Adapter:
  """Maps plain Gymnasium observations to the observation keys of a row.

  Stateless and picklable. A plain space becomes the key `image` or `vector`,
  a Dict space its keys, nested ones joined by `_`:

      uint8 Box [H, W, C], [H, W], [C, H, W]   image [H, W, C] uint8
      uint8 Box [H, W, C, K] and the like      image [H, W, C * K] uint8
      other Box                     float32 [n], flattened; uint8 in [0, 1]
      Discrete, MultiDiscrete       float32 [n], one-hot
      MultiBinary                   float32 [n]

  Entries of a Dict space that are none of these are left out. Observations
  outside of their space pass as they are, with a warning; a class that is
  none becomes zeros.

  Attributes:
    spaces: dict of Box spaces of the results, by key.
    advice: list of sentences that the user should see once.
  """

  def __init__(
      self, space: gym.Space, *, scale: float | Sequence[float] = 1.0,
      axes: Sequence[int] | None = None, bounds: bool = True):
    """Plans the conversion of each part of the space.

    Args:
      space: observation space of the environment.
      scale: factor for float Boxes, or one for each place along their last
        axis.
      axes: transposition that brings uint8 [., ., .] Boxes to [H, W, C]; None
        takes them as [H, W, C], or as [C, H, W] where only that can be meant.
      bounds: tell observations outside of finite bounds.

    Raises:
      ConfigError: no part of the space is supported, a key is reserved, or a
        part has another number of factors.
    """
    self._leaves, self.advice, self._told = {}, [], set()
    leaves = list(_flatten(space))
    good = [leaf for _, leaf in leaves if _is_supported(leaf)]
    for path, leaf in leaves:
      if good and not _is_supported(leaf):
        self.advice.append(
            f"The observation '{'.'.join(path)}' is left out: its space {leaf} "
            'is not supported.')
        continue
      key = '_'.join(path) or (
          'image' if _image_axes(leaf, axes) else 'vector')
      if key in RESERVED or key.startswith('log_') or key in self._leaves:
        raise ConfigError(
            f"Observation key '{key}' is reserved or there twice. Rename it in"
            ' the environment, for example with a TransformObservation '
            'wrapper.')
      if len(key) > MAX_KEY or not key.isprintable():
        raise ConfigError(
            f'The observation key {key[:MAX_KEY]!r} can not be a name: '
            f'expected at most {MAX_KEY} printable characters. Rename it in '
            'the environment.')
      for other in self._leaves:
        short, long = sorted([key, other], key=len)
        if long == f'ahead_{short}':
          raise ConfigError(
              f"The observation keys '{short}' and '{long}' give two losses one"
              ' name. Rename one in the environment.')
      self._leaves[key] = _Leaf(path, leaf, scale, axes, bounds)
      self.advice += self._leaves[key].advice()
    self.spaces = {key: leaf.out for key, leaf in self._leaves.items()}

  def __call__(self, obs: Any) -> dict[str, np.ndarray]:
    """Checks and converts one observation.

    Raises:
      EnvError: wrong shape or dtype, or a missing key; a sentence for each.
      NonFiniteError: a float is NaN or infinite.
    """
    try:
      row, outside = self.convert(obs)
    except _Breach as breach:
      raise EnvError(str(breach)) from None
    for key in outside.keys() - self._told:
      self._told.add(key)
      log.warning(outside[key])
    return row

  def convert(self, obs: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Does the same without warnings.

    Returns:
      The row, and a sentence by key for what lies outside of its space.
    """
    row, outside, problems = {}, {}, []
    for key, leaf in self._leaves.items():
      try:
        row[key], sentence = leaf(obs)
      except _Breach as breach:
        problems += breach.sentences
        continue
      if sentence:
        outside[key] = sentence
    if problems:
      raise _Breach(problems)
    return row, outside


class Actions:
  """Maps the agent's actions to those of a Gymnasium space.

  Attributes:
    space: Discrete(n), acted on by one-hot vectors, or Box(-1, 1, (n,)).
      MultiDiscrete and MultiBinary become the Discrete space of all
      combinations, if there are at most 512.
  """

  def __init__(self, space: gym.Space):
    """Raises ConfigError where the space is not supported."""
    self._plain = space
    sizes = combinations(space)
    if sizes is not None:
      count = math.prod(sizes)
      if not isinstance(space, gym.spaces.Discrete) and (
          count > MAX_COMBINATIONS):
        raise ConfigError(
            f'The action space {space} has {count} combinations, but at most '
            f'{MAX_COMBINATIONS} are supported. Use fewer choices or a Box.')
      self.space = gym.spaces.Discrete(count)
    elif isinstance(space, gym.spaces.Box) and (
        np.issubdtype(space.dtype, np.floating)):
      if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ConfigError(
            f'The action space {space} is unbounded, so it can not be scaled '
            'to [-1, 1]. Give it finite bounds, for example with a '
            'RescaleAction wrapper.')
      self.space = gym.spaces.Box(
          -1, 1, (math.prod(space.shape),), np.float32)
    else:
      raise ConfigError(
          f'The action space {space} is not supported. Supported are Discrete,'
          ' bounded float Box, and MultiDiscrete or MultiBinary of at most '
          f'{MAX_COMBINATIONS} combinations, for a single agent.')

  def __call__(self, action: np.ndarray) -> Any:
    """Returns the plain action; raises ValueError if it is not in the space."""
    check_actions(self.space, action)
    plain = self._plain
    if isinstance(plain, gym.spaces.Box):
      low, high = plain.low.astype(np.float64), plain.high.astype(np.float64)
      unit = (np.clip(action, -1, 1).reshape(plain.shape) + 1.0) / 2.0
      return (low + unit * (high - low)).astype(plain.dtype)
    index = int(np.argmax(action))
    if isinstance(plain, gym.spaces.Discrete):
      return index + int(plain.start)
    values = np.unravel_index(index, combinations(plain))
    start = getattr(plain, 'start', 0)
    return (np.reshape(values, plain.shape) + start).astype(plain.dtype)


def check_actions(space: gym.Space, actions: np.ndarray) -> None:
  """Refuses actions that the space of the agent does not hold.

  Args:
    space: Discrete(n) or Box(-1, 1, (n,)).
    actions: [..., n], float; one-hot or in [-1, 1].

  Raises:
    ValueError: wrong size, NaN, not one-hot, or out of range.
  """
  actions = np.asarray(actions)
  if isinstance(space, gym.spaces.Discrete):
    size, wanted = int(space.n), f'one-hot vectors of {space.n} values'
  else:
    size, wanted = space.shape[0], f'{space.shape[0]} values in [-1, 1]'
  if actions.shape[-1:] != (size,) or not are_actions(space, actions).all():
    raise ValueError(
        f'The policy gave the actions {actions.tolist()} of shape '
        f'{actions.shape}, expected {wanted}.')


def are_actions(space: gym.Space, actions: np.ndarray) -> np.ndarray:
  """Tells which vectors are actions of the agent: [...], bool.

  Args:
    space: Discrete(n) or Box(-1, 1, (n,)).
    actions: [..., n], float.
  """
  if isinstance(space, gym.spaces.Discrete):
    binary = (np.abs(actions) < 1e-2) | (np.abs(actions - 1) < 1e-2)
    return binary.all(-1) & (np.abs(actions.sum(-1) - 1) < 1e-2)
  return (np.abs(actions) <= 1 + 1e-6).all(-1)


def combinations(space: gym.Space) -> tuple[int, ...] | None:
  """Numbers of choices of a discrete action space; None for others."""
  if isinstance(space, gym.spaces.Discrete):
    return (int(space.n),)
  if isinstance(space, gym.spaces.MultiDiscrete):
    return tuple(int(n) for n in space.nvec.ravel())
  if isinstance(space, gym.spaces.MultiBinary):
    return (2,) * math.prod(space.shape)
  return None


def make(
    name: str, kwargs: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False, **options: Any) -> Env:
  """Makes a registered Gymnasium environment, `Id-v0` or `module:Id-v0`.

  Args:
    name: id of the environment.
    kwargs: arguments of its constructor.
    scale: factor for float observations, see Adapter.
    render: collect frames, see Env.
    **options: `action_repeat` and `time_limit` of Env.

  Raises:
    ConfigError: unknown id or argument, or a space that is not supported.
    EnvError: the environment can not be built or breaks the API.
  """
  kwargs = plainly(kwargs)
  if render:
    kwargs['render_mode'] = 'rgb_array'
  task = f'gym_{name}'
  module, _, name = name.rpartition(':')
  try:
    if module:
      _import(task, module)  # It registers its environments.
    env = gym.make(name, disable_env_checker=True, **kwargs)
  except DreamerError:
    raise
  except ModuleNotFoundError as error:
    raise missing(task, error) from None
  except (gym.error.UnregisteredEnv, gym.error.DeprecatedEnv) as error:
    why = str(error).split(' Did you mean')[0]
    raise ConfigError(
        f"'{task}' is not a known task: {why}"
        + suggest(name, gym.registry)) from None
  except (Exception, SystemExit) as error:
    _check_arguments(task, name, kwargs)
    raise EnvError(
        f"Environment '{task}' can not be built: {brief(error)}") from error
  if type(env.unwrapped).__module__.startswith('highway_env.'):
    env.close()
    raise ConfigError(
        f"Write the task as 'highway_{name}', which knows its image layout.")
  if render and env.render_mode != 'rgb_array':
    raise ConfigError(f"Environment '{task}' can not render rgb_array.")
  return Env(
      env, task, Adapter(env.observation_space, scale=scale),
      render=render, **options)


def missing(task: str, error: ModuleNotFoundError) -> EnvError:
  """Returns the error that says how to install what a task needs."""
  name = error.name or 'of an unknown name'
  package = name.partition('.')[0].replace('_', '-')
  return EnvError(
      f"Environment '{task}' needs the module '{name}', which can not be "
      f'imported. Install it, perhaps with: pip install {package}')


def _import(task, module):
  """Imports a module that the task names; says why if that fails."""
  try:
    importlib.import_module(module)
  except ModuleNotFoundError as error:
    if error.name and (module + '.').startswith(error.name + '.'):
      raise ConfigError(
          f"Environment '{task}' needs the module '{error.name}', which can "
          'not be imported. Install it or add its folder to PYTHONPATH.'
      ) from None
    raise
  except (Exception, SystemExit) as error:
    raise EnvError(
        f"Environment '{task}': the module '{module}' can not be imported: "
        f'{brief(error)}') from error


def plainly(value: Any) -> Any:
  """Turns tuples to lists and mappings to dicts, all the way down."""
  if isinstance(value, Mapping):
    return {key: plainly(inner) for key, inner in value.items()}
  if isinstance(value, list | tuple):
    return [plainly(inner) for inner in value]
  return value


class _Breach(EnvError):
  """Breaks of the environment API, one sentence each."""

  def __init__(self, sentences):
    super().__init__(' '.join(sentences))
    self.sentences = list(sentences)


class _Leaf:
  """Checks and converts one part of an observation space."""

  def __init__(self, path, space, scale, axes, bounds):
    self._path = path
    self._name = f"observation '{'.'.join(path)}'" if path else 'observation'
    self._space = space
    self._scale = None
    self._low = self._high = None
    self._axes = _image_axes(space, axes)
    if self._axes:
      shape = [(space.shape + (1,))[axis] for axis in self._axes]
      shape = (*shape[:2], math.prod(shape[2:]))
      self.out = gym.spaces.Box(0, 255, shape, np.uint8)
      return
    if isinstance(space, gym.spaces.Box):
      count = math.prod(space.shape)
      if np.issubdtype(space.dtype, np.floating):
        self._scale = self._factors(scale)
      elif space.dtype == np.uint8:
        self._scale = np.float32(1 / 255)
      low, high = space.low.astype(float), space.high.astype(float)
      finite = np.isfinite(low).any() or np.isfinite(high).any()
      if bounds and finite:
        # Rounding in the environment is not worth a run.
        slack = 1e-3 * np.where(np.isfinite(high - low), high - low, 1)
        self._low, self._high = low - slack, high + slack
    elif isinstance(space, gym.spaces.MultiBinary):
      count = math.prod(space.shape)
      self._low, self._high = 0, 1
    elif isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
      count = sum(combinations(space))
      sizes = np.reshape(combinations(space), space.shape)
      self._low = np.asarray(space.start)
      self._high = self._low + sizes - 1
    else:
      raise ConfigError(
          f'The {self._name} has the space {space}, which is not supported. '
          'Supported are Box, Discrete, MultiDiscrete, MultiBinary and Dict '
          'of these, for a single agent.')
    self.out = gym.spaces.Box(-np.inf, np.inf, (count,), np.float32)

  def advice(self):
    """Returns sentences on what was perhaps meant otherwise."""
    shape, count = self._space.shape, math.prod(self.out.shape)
    if self._axes and (len(shape) > 3 or len(_image_sides(shape)) > 1):
      height, width, channels = self.out.shape
      yield (
          f'The {self._name} {shape} is read as images of height {height}, '
          f'width {width} and {channels} channels. If that is wrong, '
          'transpose it in a wrapper.')
    if not self._axes and shape and (
        count > BIG or len(shape) > 2 and self._space.dtype == np.uint8):
      yield (
          f'The {self._name} {shape} {self._space.dtype} is read as a vector '
          f'of {count:,} values. Images are uint8, [H, W] or [H, W, C], from '
          '16x16.')

  def __call__(self, obs):
    """Returns the value and '', or a sentence on its being outside."""
    space = self._space
    for key in self._path:
      if isinstance(obs, Mapping) and key not in obs:
        key = next((k for k in obs if str(k) == key), key)
      if not isinstance(obs, Mapping) or key not in obs:
        raise _Breach([f'The {self._name} is missing.'])
      obs = obs[key]
    try:
      value = np.asarray(obs)
    except ValueError:
      raise _Breach([f'The {self._name} is no regular array.']) from None
    if value.shape != space.shape:
      raise _Breach([
          f'The {self._name} has shape {value.shape}, expected '
          f'{space.shape}.'])
    if not np.can_cast(value.dtype, space.dtype, 'same_kind'):
      raise _Breach([
          f'The {self._name} has dtype {value.dtype}, expected {space.dtype}.'
          + (' Convert images to 0 to 255 in the environment.'
             if self._axes else '')])
    if self._axes:
      value = value[..., None] if value.ndim == 2 else value
      value = np.array(value.transpose(self._axes), np.uint8, order='C')
      return value.reshape(self.out.shape), ''
    if value.dtype.kind == 'f' and not np.isfinite(value).all():
      index = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
      raise NonFiniteError(
          f'{self._name} is {value[index]} at index {index}.')
    sentence, inside = '', True
    if self._low is not None:
      inside = (value >= self._low) & (value <= self._high)
    if not np.all(inside):
      sentence = (
          f'The {self._name} lies in [{value.min():.6g}, {value.max():.6g}], '
          f'outside of its space {space}.')
    if isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
      hot = np.zeros(self.out.shape, np.float32)
      sizes = combinations(space)
      starts = np.cumsum((0,) + sizes[:-1])
      places = starts + np.ravel(value - self._low)
      hot[places[np.ravel(inside & np.ones(space.shape, bool))]] = 1
      return hot, sentence
    value = np.array(value, np.float32)
    if self._scale is not None:
      value *= self._scale
    value = value.ravel()
    if not np.isfinite(value).all():
      raise NonFiniteError(f'{self._name} is too large for float32.')
    return value, sentence

  def _factors(self, scale):
    """Returns what to multiply with, [] or [last axis]; None for ones."""
    shape = self._space.shape
    factors = np.asarray(scale, np.float32)
    if factors.ndim and factors.shape != shape[-1:]:
      expected = f'{shape[-1]}, one for each place along its last axis' if (
          shape) else 'a single number'
      raise ConfigError(
          f"'env.obs_scale' has {len(factors)} numbers, but the {self._name} "
          f'has the shape {shape}: expected {expected}.')
    return None if (factors == 1).all() else factors


def _flatten(space, path=()):
  """Yields (path, leaf) of nested Dict spaces."""
  if isinstance(space, gym.spaces.Dict):
    for key, inner in space.spaces.items():
      yield from _flatten(inner, path + (str(key),))
  else:
    yield path, space


def _is_supported(space):
  return isinstance(
      space, gym.spaces.Box | gym.spaces.Discrete | gym.spaces.MultiDiscrete |
      gym.spaces.MultiBinary)


def _image_axes(space, axes):
  """Axes of the plain image in the order H, W, rest; None if it is none.

  2-D gets a third axis.
  """
  if not isinstance(space, gym.spaces.Box) or space.dtype != np.uint8:
    return None
  shape = space.shape
  if axes and len(shape) == 3 and min(
      shape[axes[0]], shape[axes[1]]) >= 16:
    return tuple(axes)
  sides = _image_sides(shape)
  if not sides:
    return None
  # That with the fewest channels, for equal ones the first.
  height = max(sides, key=lambda i: shape[i] * shape[i + 1])
  rest = [i for i in range(max(len(shape), 3)) if i not in (
      height, height + 1)]
  return (height, height + 1, *rest)


def _image_sides(shape):
  """Indices i of which axes i and i + 1 can be height and width."""
  return [
      i for i in range(len(shape) - 1 if len(shape) <= 4 else 0)
      if min(shape[i:i + 2]) >= 16]


def _reset_problems(result):
  if not isinstance(result, tuple) or len(result) != 2:
    return [f'reset() returned {_describe(result)}, expected the 2 values '
            '(observation, info).']
  if not isinstance(result[1], Mapping):
    return [f'reset() returned {_describe(result[1])} as info, expected a '
            'dict.']
  return []


def _step_problems(result):
  if not isinstance(result, tuple) or len(result) != 5:
    old = isinstance(result, tuple) and len(result) == 4
    return [f'step() returned {_describe(result)}, expected the 5 values '
            '(observation, reward, terminated, truncated, info)'
            + (': 4 values are the API of old Gym.' if old else '.')]
  _, reward, terminated, truncated, info = result
  problems = []
  if np.asarray(reward).size != 1 or np.asarray(reward).dtype.kind not in (
      'biuf'):
    problems.append(
        f'step() returned {_describe(reward)} as reward, expected a number.')
  for name, value in [('terminated', terminated), ('truncated', truncated)]:
    if not isinstance(value, bool | np.bool_):
      problems.append(
          f'step() returned {_describe(value)} as {name}, expected a bool.')
  if not isinstance(info, Mapping):
    problems.append(
        f'step() returned {_describe(info)} as info, expected a dict.')
  return problems


def _describe(value):
  if value is None:
    return 'None'
  if isinstance(value, tuple):
    return f'a tuple of {len(value)} values'
  return f'a value of type {type(value).__name__}'


def _check_arguments(task, name, kwargs):
  """Refuses arguments that the constructor, if it is there, does not name."""
  try:
    creator = gym.spec(name).entry_point
    if isinstance(creator, str):
      creator = gym.envs.registration.load_env_creator(creator)
    params = inspect.signature(creator).parameters
  except Exception:  # Whatever a module raises while it is imported.
    return
  if any(param.kind is param.VAR_KEYWORD for param in params.values()):
    return
  for key in kwargs:
    if key == 'render_mode' and key not in params:
      raise ConfigError(f"Environment '{task}' can not render.")
    if key not in params:
      raise ConfigError(
          f"'env.config.{key}' is not an argument of environment '{task}'."
          f"{suggest(key, params)} Known arguments: {', '.join(params)}.")
