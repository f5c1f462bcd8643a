"""Games of the Atari 2600 as EnvPool plays them, for training.

It has the same emulator and ROMs behind an interface in C++, and the same
preprocessing: with one no-op, the same seed and the same actions give the
same pictures and rewards in both, sticky actions included. Three things differ:

- The number of no-ops is drawn otherwise, uniformly from the same range.
- The limit of 108,000 frames is counted from the end of the no-ops.
- The last step of an episode that ends between two pictures: here it is
  drawn where the game ended, and a step in which a life is lost is finished.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from ..env import Env
from . import atari
from .common import missing
from .instances import ENDLESS, Instances, fixed, known, lacks, like


def make(
    name: str, config: Mapping[str, Any], *,
    scale: float | Sequence[float] = 1.0,
    render: bool | Container[int] = False,
    action_repeat: int = 4, time_limit: int = 0,
    size: Sequence[int] = (64, 64), noops: int = 30, life_done: bool = False,
    **options: Any) -> Env:
  """Makes a game with the spaces of `atari.make`.

  Args:
    name, config, scale, render, action_repeat, time_limit, size, noops,
      life_done: see `atari.make`.
    **options: its grayscale, sticky, full_actions, ram.

  Raises:
    ConfigError: EnvPool is not installed, or lacks the game or a setting; or
      what `atari.make` refuses.
    EnvError: the emulator is not installed or fails.
  """
  names = games()
  if name not in names and name in atari.games():
    raise lacks(f'atari_{name}', names)
  own = atari.make(
      name, config, scale=scale, action_repeat=action_repeat,
      time_limit=time_limit, size=size, noops=noops, life_done=life_done,
      **options)
  if noops < 1:
    raise fixed('atari_noops', noops, 'at least 1')
  plain: Any = own._env
  env = Game(
      names[name], {
          'frame_skip': action_repeat, 'noop_max': noops,
          'repeat_action_probability': options.get('sticky', 0.25),
          'full_action_space': options.get('full_actions', False),
          'gray_scale': options.get('grayscale', True), 'stack_num': 1,
          'img_height': size[0], 'img_width': size[1],
          'use_fire_reset': False, **config},
      plain.observation_space, plain.action_space, seeds=emulator_seed,
      limit=ENDLESS if time_limit else -(-atari.FRAMES // action_repeat),
      render=bool(render))
  env.life_done = life_done
  return like(own, env, render=render, time_limit=time_limit)


def games() -> dict[str, str]:
  """Returns the id of EnvPool for each game that it has, as tasks name them.

  Raises:
    ConfigError: EnvPool is not installed.
    EnvError: the emulator is not installed.
  """
  ids = known()
  try:
    names = {name: atari.IDS.get(name, name) for name in atari.games()}
  except ModuleNotFoundError as error:
    raise missing('atari', error, extra='atari') from None
  found = {name: ''.join(word.capitalize() for word in rom.split('_')) + '-v5'
           for name, rom in names.items()}
  return {name: id_ for name, id_ in found.items() if id_ in ids}


def emulator_seed(seed: int) -> int:
  """Returns the seed that ale_py gives the emulator in a reset, int32."""
  return int(np.random.SeedSequence(seed).generate_state(2).view(np.int32)[1])


class Game(Instances):
  """A game: observes as `atari.make`, with the memory where that is asked.

  Attributes:
    life_done: a lost life ends an episode.
  """

  life_done = False
  _lives = 0

  def _observe(self, obs, info):
    picture = obs[0].transpose(1, 2, 0)
    if picture.shape[-1] == 1:
      picture = picture[..., 0]
    if isinstance(self.observation_space, gym.spaces.Dict):
      return {'image': picture, 'ram': info['ram'][0]}
    return picture

  def _over(self, info):
    lives = int(info['lives'][0])
    lost, self._lives = lives < self._lives, lives
    return self.life_done and lost
