"""Draws an episode beside what the world model dreams of it, as a GIF.

The agent drives one scenario. Above: what happened. Below: the world model,
which sees the first observations and then dreams open loop under the same
actions: images, as its decoder shows them, or vehicles (Kinematics), drawn as
cars on a road and, between decisions, on the straight line from one place to
the next. After so many steps the model sees one observation and dreams on.
"""

from collections.abc import Mapping, Sequence
import functools
import itertools
import os
import pathlib
import sys
from typing import Any

import command
import numpy as np
from PIL import Image, ImageDraw

from dreamerv2_tf import config as configlib
from dreamerv2_tf import pretrained
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError, StorageError
from dreamerv2_tf.report import video as videolib

FLAGS = {
    'logdir': ('', 'Folder of the run.'),
    'pretrained': (
        '', 'Instead of a run: an agent that comes with this package.'),
    'checkpoint': ('latest', 'latest, best or the step of a checkpoint.'),
    'out': ('drive.gif', 'GIF to write.'),
    'seed': (10000, 'Scenario.'),
    'context': (5, 'Observations that the model sees before it dreams.'),
    'ahead': (10, 'Steps of a dream until it sees one again; 0: to the end.'),
    'fps': (2.0, 'Decisions per second of the GIF.'),
    'trust': (False, 'Run code of modules that only the folder names.'),
}
WIDTH = 720  # Pixels; at most, where images are enlarged.
BAND = 22  # Pixels of a caption.
BETWEEN = 5  # Frames for each decision where cars are drawn.
METRE = 6.6  # Pixels.
CAR = 5.0, 2.0  # Metres; all cars of highway-env.
BEHIND = 33.0  # Metres of road shown behind the own car.
COLORS = {
    'grass': (58, 84, 54), 'road': (92, 92, 96), 'mark': (226, 226, 226),
    'own': (64, 214, 92), 'crashed': (226, 62, 52), 'other': (104, 178, 255)}


def main(argv: Sequence[str] | None = None) -> int:
  """Drives and draws; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def parse(arguments: Sequence[str]) -> tuple[Config, list[str]]:
  """Returns the values of FLAGS, and keys that change the settings.

  Raises:
    ConfigError: a flag is wrong.
  """
  options, presets, overrides = configlib.parse(FLAGS, arguments)
  if presets or bool(options.logdir) == bool(options.pretrained):
    raise ConfigError(
        'Give the folder of a run as --logdir or an agent of this package as '
        '--pretrained, no --configs.')
  if not options.out.lower().endswith('.gif'):
    raise ConfigError(f"'out' must end in .gif but is '{options.out}'.")
  if not pathlib.Path(options.out).absolute().parent.is_dir():
    raise ConfigError(f"The folder of '{options.out}' does not exist.")
  for name, low in ('context', 1), ('ahead', 0), ('seed', 0), ('fps', 0.1):
    if options[name] < low:
      raise ConfigError(
          f"'{name}' must be at least {low} but is {options[name]}.")
  return options, overrides


def film(
    agent: Any, config: Config, options: Config) -> tuple[np.ndarray, float]:
  """Drives a scenario and draws it beside the dream of it.

  Args:
    agent: with world model.
    config: of the agent.
    options: reads `seed`, `context`, `ahead` and `fps`.

  Returns:
    [T, H, W, 3], uint8, and frames per second.

  Raises:
    ConfigError: what the model predicts can not be drawn.
    EnvError: the environment fails.
  """
  from dreamerv2_tf.run import environments
  decoder = agent.world_model.heads['decoder']
  names, road = _highway(config)
  if decoder.cnn_keys:
    key, road = decoder.cnn_keys[0], None
  elif road and 'vector' in decoder.mlp_keys:
    key = 'vector'
  else:
    raise ConfigError(
        'Only images, and the vehicles that a highway shows by default, can be '
        'drawn.')
  with environments.make_evaluator(config, 1) as evaluator:
    [episode], _ = evaluator(
        functools.partial(agent.policy, mode='eval'), [options.seed])
  dreamed, distance = dream(
      agent, episode, key, options.context, options.ahead, options.seed)
  crashed = episode.get('log_crashed', np.zeros(len(dreamed))) > 0
  looks = [
      f'blind for {n} {"steps" if n > 1 else "step"}' if n
      else 'the model looks' for n in distance]
  panels = [
      _panel('truth', road, episode[key], crashed, _actions(episode, names)),
      _panel('dream', road, dreamed, np.zeros_like(crashed), looks)]
  return np.concatenate(panels, 1), options.fps * (BETWEEN if road else 1)


def dream(
    agent: Any, episode: Mapping[str, np.ndarray], key: str, context: int,
    ahead: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Predicts an episode open loop, piece by piece.

  Args:
    agent: with world model.
    episode: key -> [T, ...].
    key: of the observation to predict.
    context: rows that the model sees first.
    ahead: rows that it dreams before it sees one again; 0: all.
    seed: of the dream.

  Returns:
    Predictions of `key`, [T, ...], images in 0 to 1; and the distance of each
    from the last row that the model saw, [T], 0 where it saw the row.
  """
  import tensorflow as tf
  wm = agent.world_model
  data = wm.preprocess({
      k: tf.convert_to_tensor(v[None]) for k, v in episode.items()
      if not k.startswith('log_')})
  length = len(episode['reward'])
  seed = tf.constant([seed % 2 ** 31, 0])
  states, _ = wm.rssm.observe(
      wm.encoder(data), data['action'], data['is_first'], None, seed)
  feats = [wm.rssm.get_feat(states)]
  distance = np.zeros(length, int)
  pieces = [feats[0][:, :context]]
  start = min(context, length)  # Of the next dream.
  while start < length:
    stop = min(start + (ahead or length), length)
    prior = wm.rssm.imagine(
        data['action'][:, start:stop],
        tf.nest.map_structure(lambda x, t=start - 1: x[:, t], states),
        tf.random.fold_in(seed, start))
    distance[start:stop] = np.arange(stop - start) + 1
    pieces += [wm.rssm.get_feat(prior), feats[0][:, stop:stop + 1]]
    start = stop + 1
  result = wm.heads['decoder'](tf.concat(pieces, 1))[key].mode()[0].numpy()
  if key in wm.heads['decoder'].cnn_keys:
    result = np.clip(result + 0.5, 0, 1)
  return result, distance


class Road:
  """Draws vectors of default Kinematics as cars on a straight road."""

  def __init__(
      self, lanes: int, scale: float | Sequence[float], seconds: float):
    """Plans the drawing.

    Args:
      lanes: number of lanes.
      scale: env.obs_scale.
      seconds: between two decisions.
    """
    from highway_env.road.lane import AbstractLane
    from highway_env.vehicle.kinematics import Vehicle
    self._lanes = lanes
    self._lane = AbstractLane.DEFAULT_WIDTH
    self._seconds = seconds
    # What highway-env divides by.
    x, speed = 5 * Vehicle.MAX_SPEED, 2 * Vehicle.MAX_SPEED
    self._units = np.array(
        [1, x, lanes * self._lane, speed, speed]) / np.array(scale)

  def cars(self, vector: np.ndarray) -> np.ndarray:
    """Returns the cars of a vector, the own one first.

    Args:
      vector: [V * 5]; of each vehicle presence, x, y, vx and vy, relative to
        the own one in the first place.

    Returns:
      [n, 3], float; metres ahead of the own car, metres right of the middle of
      the left lane, m/s, of the own car and those that are present.
    """
    rows = vector.reshape([-1, 5]) * self._units
    rows[1:, 1:] += rows[0, 1:]
    rows[:, 1] -= rows[0, 1]
    there = rows[:, 0] > 0.5
    there[0] = True
    return rows[there][:, 1:4]

  def film(self, vectors: np.ndarray, crashed: np.ndarray) -> np.ndarray:
    """Draws an episode.

    Args:
      vectors: [T, V * 5].
      crashed: [T], bool.

    Returns:
      [(T - 1) * BETWEEN + 1, H, W, 3], uint8.
    """
    rows = [self.cars(vector) for vector in vectors]
    frames, way = [], 0.0
    for index, (now, then) in enumerate(itertools.pairwise(rows)):
      for part in np.arange(BETWEEN) / BETWEEN:
        speed = (1 - part) * now[0, 2] + part * then[0, 2]
        cars = between(now, then, part, self._seconds)
        frames.append(self._draw(cars, way, crashed[index]))
        way += speed * self._seconds / BETWEEN
    frames.append(self._draw(rows[-1], way, crashed[-1]))
    return np.stack(frames)

  def _draw(self, cars, way, crashed):
    """Draws cars, [n, 3], after so many metres."""
    height = round((self._lanes + 0.5) * self._lane * METRE)
    image = Image.new('RGB', (WIDTH, height), COLORS['grass'])
    draw = ImageDraw.Draw(image)
    across = lambda y: round((y + 0.75 * self._lane) * METRE)
    along = lambda x: round((x + BEHIND) * METRE)
    edges = [across((i - 0.5) * self._lane) for i in range(self._lanes + 1)]
    draw.rectangle([0, edges[0], WIDTH, edges[-1]], fill=COLORS['road'])
    for y in edges[0], edges[-1]:
      draw.line([0, y, WIDTH, y], fill=COLORS['mark'], width=2)
    for y in edges[1:-1]:
      for x in np.arange(-(way % 12) - 12, WIDTH / METRE, 12):
        draw.line(
            [round(x * METRE), y, round((x + 4) * METRE), y],
            fill=COLORS['mark'], width=1)
    own = 'crashed' if crashed else 'own'
    for x, y, color in [
        *((x, y, 'other') for x, y, _ in cars[:0:-1]), (*cars[0, :2], own)]:
      draw.rectangle(
          [along(x - CAR[0] / 2), across(y - CAR[1] / 2),
           along(x + CAR[0] / 2), across(y + CAR[1] / 2)],
          fill=COLORS[color], outline=(20, 20, 20))
    return np.asarray(image)


def between(
    now: np.ndarray, then: np.ndarray, part: float,
    seconds: float) -> np.ndarray:
  """Returns cars between two decisions.

  A car of the first is that of the second which is nearest to where its speed
  brings it, within 10 m. Others stay or are there for half of the time.

  Args:
    now, then: [n, 3], of `Road.cars`.
    part: of the time between, 0 to 1.
    seconds: between.

  Returns:
    [m, 3].
  """
  free = list(range(1, len(then)))
  result = [(1 - part) * now[0] + part * then[0]]
  for car in now[1:]:
    expected = car[0] + (car[2] - now[0, 2]) * seconds
    cost = lambda i, x=expected, y=car[1]: (
        abs(then[i, 0] - x) + abs(then[i, 1] - y))
    best = min(free, key=cost, default=None)
    if best is not None and cost(best) < 10:
      free.remove(best)
      result.append((1 - part) * car + part * then[best])
    elif part < 0.5:
      result.append(car)
  return np.stack(result + [then[i] for i in free if part >= 0.5])


def _highway(config):
  """Returns the names of actions, and a Road where vectors are cars on one."""
  from dreamerv2_tf.envs.suites import highway, highway_config
  suite, _, name = config.task.partition('_')
  if suite != 'highway':
    return {}, None
  env = highway.configured(name, config.env.config)
  plain = env.unwrapped
  names = getattr(plain.action_type, 'actions', {})
  seen = plain.config['observation']
  usual = highway_config.parameters('Kinematics')
  straight = name in ('highway-v0', 'highway-fast-v0')
  road = None
  if straight and seen['type'] == 'Kinematics' and all(
      seen[key] == usual[key] for key in seen
      if key in usual and key != 'vehicles_count'):
    road = Road(
        plain.config['lanes_count'], config.env.obs_scale,
        config.action_repeat / plain.config['policy_frequency'])
  env.close()
  return names, road


def _panel(title, road, rows, crashed, texts):
  """Draws images, or vectors on a road, below a caption for each row."""
  if road:
    frames, count = road.film(rows, crashed), BETWEEN
    texts = [
        f'{road.cars(row)[0, 2]:.0f} m/s   {text}'
        for text, row in zip(texts, rows)]
  else:
    frames, count = videolib.displayable(rows), 1
    frames = videolib.enlarge(frames, max(1, WIDTH // frames.shape[2]))
  texts = [f'{title}   {text}' for text in texts for _ in range(count)]
  frames = videolib.annotate(frames, texts[:len(frames)], BAND, 15)
  return np.roll(frames, BAND, 1)  # The band, which lies below, comes first.


def _actions(episode, names):
  """Says of each row what the agent does then."""
  chosen = episode['action'][1:].argmax(-1)
  if not isinstance(names, dict) or not names:
    return [''] * (len(chosen) + 1)
  return [names[i] for i in chosen] + [
      'crash' if episode['is_terminal'][-1] else 'end']


def _work(arguments):
  options, overrides = parse(arguments)
  from dreamerv2_tf.run import loading
  folder = pathlib.Path(os.path.expanduser(options.logdir))
  if options.pretrained:
    folder = pretrained.find(options.pretrained)
  agent, config, _ = loading.load_agent(
      folder, options.checkpoint, overrides, trust=options.trust)
  frames, fps = film(agent, config, options)
  try:
    videolib.save_gif(options.out, frames, fps)
  except OSError as error:
    raise StorageError(
        f'Can not write {options.out}: {error.strerror}.') from error
  return [f'Written to {options.out}']


if __name__ == '__main__':
  sys.exit(main())
