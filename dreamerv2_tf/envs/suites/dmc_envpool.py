"""Tasks of the DeepMind Control Suite as EnvPool simulates them, for training.

Vectors only: without a display EnvPool does not draw these bodies, but ends
the process.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ..env import Env
from . import dmc
from .instances import Instances, check_config, fixed, known, lacks, like

# EnvPool starts these poles nearly straight, lqr takes actions without bounds,
# and the ground of the last one needs OpenGL.
OTHERS = (
    'cartpole_two_poles', 'cartpole_three_poles', 'lqr_lqr_2_1', 'lqr_lqr_6_2',
    'quadruped_escape')


def make(
    name: str, config: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False,
    action_repeat: int = 1, time_limit: int = 0,
    images: bool = True, **options: Any) -> Env:
  """Makes a task with the spaces of `dmc.make`.

  Args:
    name, config, scale, render, action_repeat, time_limit, images: see
      `dmc.make`.
    **options: its size, camera and probe.

  Raises:
    ConfigError: EnvPool is not installed, or lacks the task or a setting; or
      what `dmc.make` refuses.
    EnvError: a package is not installed, or the environment fails.
  """
  ids = known()
  if images:
    raise fixed('dmc_images', images, 'False')
  if render:
    raise fixed('render', render, 'False')
  own = dmc.make(
      name, {}, scale=scale, action_repeat=action_repeat,
      time_limit=time_limit, images=False, **options)
  check_config(config)
  names = {name: id_ for name, id_ in found().items()
           if id_ in ids and name not in OTHERS}
  if name not in names:
    raise lacks(own.name, names)
  plain: Any = own._env
  env = Instances(
      names[name], {}, plain.observation_space, plain.action_space,
      limit=plain.limit)
  return like(
      own, env, render=False, action_repeat=action_repeat,
      time_limit=time_limit)


def found() -> dict[str, str]:
  """Returns the id that EnvPool gives each task of the suite, by name.

  Raises:
    ModuleNotFoundError: dm_control is not installed.
  """
  camel = lambda name: ''.join(x[:1].upper() + x[1:] for x in name.split('_'))
  with dmc.renderer(False):
    from dm_control import suite
  names = {f'{domain}_{task}': f'{camel(domain)}{camel(task)}-v1'
           for domain, task in suite.ALL_TASKS}
  return {**names, **{
      alias: names[name] for alias, name in dmc.ALIASES.items()}}
