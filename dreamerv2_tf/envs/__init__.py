"""Environments: one of them behind a dict interface, and pools of them."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import gymnasium

from ..errors import ConfigError
from ..schema import suggest
from .actions import Actions, are_actions, check_actions
from .env import Env
from .frame import Frame
from .observations import Adapter
from .pool import Failure, Pool
from .suites import ENVPOOL, SUITES

__all__ = [
    'Actions', 'Adapter', 'Env', 'Failure', 'Frame', 'Pool', 'are_actions',
    'check', 'check_actions', 'in_order', 'make', 'signature', 'simulator',
    'wrap']


def make(
    task: str, *, env: Mapping[str, Any], action_repeat: int, time_limit: int,
    render_size: Sequence[int] = (64, 64), dmc_camera: int = -1,
    dmc_images: bool = True, atari_grayscale: bool = True,
    atari_noops: int = 30, atari_sticky: float = 0.25,
    atari_full_actions: bool = False, atari_life_done: bool = False,
    atari_ram: bool = False, minatar_partial: bool = False,
    mode: str = 'train', render: bool | Container[int] = False,
    smooth: bool = False, probe: bool = False) -> Env:
  """Makes the environment of a task.

  Args:
    task: `<suite>_<name>`; docs/tasks.md has them all.
    env: config (configuration of the environment), obs_scale, simulator.
    action_repeat: environment steps per policy step.
    time_limit: policy steps after which an episode is cut; 0: none.
    render_size: height and width of the images of atari, dmc, crafter and
      minatar.
    dmc_camera, dmc_images: see `suites.dmc.make`.
    atari_grayscale, atari_noops, atari_sticky, atari_full_actions,
      atari_life_done, atari_ram: see `suites.atari.make`.
    minatar_partial: see `suites.minatar.make`.
    mode: 'train', or 'eval', which never takes another simulator than
      highway-env, and always has the rewards of Crafter.
    render: collect frames, see Env.
    smooth: at least 15 frames a second in highway.
    probe: only its spaces are needed; what can not be done beside TensorFlow
      is not tried.

  Raises:
    ConfigError: unknown task or environment key, unsupported space, or one
      that the simulator lacks.
    EnvError: the environment can not be built or breaks its API.
  """
  assert mode in ('train', 'eval'), mode
  suite, _, name = task.partition('_')
  _check_task(task, suite, name)
  build = SUITES[suite]
  if mode == 'train' and env['simulator'] == 'envpool':
    _check_simulator(suite)
    build = ENVPOOL[suite]
  own: dict[str, dict[str, Any]] = {
      'highway': {'smooth': smooth},
      'atari': {
          'size': render_size, 'grayscale': atari_grayscale,
          'noops': atari_noops, 'sticky': atari_sticky,
          'full_actions': atari_full_actions, 'life_done': atari_life_done,
          'ram': atari_ram},
      'dmc': {
          'size': render_size, 'camera': dmc_camera, 'images': dmc_images,
          'probe': probe},
      'crafter': {'size': render_size, 'mode': mode},
      'minatar': {'size': render_size, 'partial': minatar_partial}}
  return build(
      name, env['config'], scale=env['obs_scale'], render=render,
      action_repeat=action_repeat, time_limit=time_limit,
      **own.get(suite, {}))


def wrap(
    plain: gymnasium.Env, *, env: Mapping[str, Any], action_repeat: int,
    time_limit: int, name: str | None = None, render: bool = False) -> Env:
  """Puts an environment that the caller made behind the dict interface.

  Args:
    plain: any Gymnasium environment.
    env: obs_scale and simulator, see `make`.
    action_repeat, time_limit: see `make`.
    name: how messages call it; by default its id or class.
    render: collect frames; the environment must render rgb_array.

  Raises:
    ConfigError: it is no Gymnasium environment, a space is not supported, or
      a simulator is asked for.
    EnvError: the environment breaks its API.
  """
  check(plain)
  if env['simulator'] == 'envpool':
    _check_simulator('own')
  name = name or (
      plain.spec.id if plain.spec else type(plain.unwrapped).__name__)
  adapter = Adapter(plain.observation_space, scale=env['obs_scale'])
  return Env(
      plain, name, adapter, render=render, action_repeat=action_repeat,
      time_limit=time_limit)


def check(plain: Any) -> None:
  """Raises a ConfigError if this is no Gymnasium environment."""
  if not isinstance(plain, gymnasium.Env):
    raise ConfigError(
        f'Expected an environment of the class gymnasium.Env, got '
        f'{_what_was_given(plain)}.')


def simulator(task: str, env: Mapping[str, Any]) -> str | None:
  """Returns what simulates the training: its setting, None outside highway.

  Args:
    task: see `make`.
    env: simulator, see `make`.
  """
  return env['simulator'] if task.startswith('highway_') else None


def _what_was_given(value):
  """Says what someone gave in place of an environment."""
  kind = type(value)
  text = f'{value!r:.80}' if value is None or isinstance(value, str) else (
      f'an object of the class {kind.__module__}.{kind.__qualname__}')
  if isinstance(value, gymnasium.vector.VectorEnv):
    return f'{text}, which is several in one. Give one; `envs` sets how many'
  if hasattr(value, 'reset') and hasattr(value, 'step'):
    return (
        f'{text}. If it has the API of old Gym, wrap it, for example with '
        'shimmy')
  return text


def signature(
    obs_space: Mapping[str, gymnasium.Space],
    act_space: Mapping[str, gymnasium.Space]) -> dict[str, str]:
  """Describes spaces by key, to compare them and to store them as JSON.

  Returns:
    dict such as {'image': 'uint8 (64, 64, 3)', 'action': 'Discrete(5)'}.
  """
  def describe(space):
    if isinstance(space, gymnasium.spaces.Discrete):
      return f'Discrete({space.n})'
    return f'{space.dtype} {space.shape}'
  return {key: describe(space) for key, space in
          sorted({**obs_space, **act_space}.items())}


def in_order(
    space: Mapping[str, gymnasium.Space],
    names: Any) -> dict[str, gymnasium.Space]:
  """Brings observations in the order in which networks take them in.

  Vectors are concatenated and images stacked, so that a trained network can
  not do with another order; spaces of Gymnasium have that of whoever made them.

  Args:
    space: key -> space.
    names: a list, of a checkpoint; keys that are not in it come last, sorted.
  """
  names = [name for name in names if isinstance(name, str)] if isinstance(
      names, list) else []
  first = [name for name in dict.fromkeys(names) if name in space]
  return {k: space[k] for k in (*first, *sorted(set(space) - set(first)))}


def _check_task(task, suite, name):
  """Refuses a task without a suite, or of one that there is not."""
  if suite in SUITES and name:
    return
  if suite in SUITES:
    raise ConfigError(
        f"'{task}' names no task of the suite '{suite}'. Write {suite}_<name>; "
        'docs/tasks.md has the names.')
  known = ':' in task or task in gymnasium.registry
  raise ConfigError(
      f"'{task}' is not a known task."
      + (f" Did you mean 'gym_{task}'?" if known else suggest(suite, SUITES))
      + f" Write <suite>_<name>, such as highway_highway-fast-v0; suites are "
      f"{', '.join(SUITES)}.")


def _check_simulator(suite):
  if suite not in ENVPOOL:
    raise ConfigError(
        "env.simulator is envpool, which is for the suite 'highway' alone, not "
        f"for '{suite}'. Leave it at highway-env, which others ignore.")
