"""Makes every task of every suite, plays some steps, and tells what came of it.

Prints a table in Markdown for each suite: what is observed, the actions, and
whether it runs or why not. With --write it replaces those in docs/tasks.md.
"""

from collections.abc import Iterator, Mapping, Sequence
import math
import pathlib
import re
import sys
from typing import Any

import command
import gymnasium
import numpy as np

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError, DreamerError, brief
from dreamerv2_tf.paper import published

PAGE = pathlib.Path(__file__).resolve().parents[1] / 'docs' / 'tasks.md'
STEPS = 5
# Suite -> preset whose settings its tasks are made with.
PRESETS = {
    'atari': 'atari', 'dmc': 'dmc_vision', 'crafter': 'crafter',
    'minatar': 'minatar', 'highway': 'defaults', 'gym': 'defaults'}
FLAGS = {
    'suites': (tuple(PRESETS), 'Which of them.'),
    'write': (False, 'Replace the tables in docs/tasks.md.')}
MARKS = '<!-- table of {} -->\n', '<!-- end of it -->\n'


def main(argv: Sequence[str] | None = None) -> int:
  """Prints the tables; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def names(suite: str) -> list[str]:
  """Returns all tasks of a suite, without its name.

  Of Atari those of the paper, of Gymnasium those without further packages.
  """
  from dreamerv2_tf.envs.suites import crafter, dmc, minatar
  if suite == 'atari':
    return sorted(published.games())
  if suite == 'dmc':
    return dmc.tasks()
  if suite == 'crafter':
    return [crafter.REWARD, crafter.NO_REWARD]
  if suite == 'minatar':
    return sorted(minatar.MOTION)
  if suite == 'highway':
    import highway_env
    package, kinds = highway_env.__name__, ('',)
  else:
    package, kinds = 'gymnasium', ('classic_control', 'toy_text')
  return sorted(
      key for key, spec in gymnasium.registry.items()
      if str(spec.entry_point).startswith(package)
      and any(kind in str(spec.entry_point) for kind in kinds))


def row(suite: str, name: str) -> dict[str, str]:
  """Makes a task, plays some steps and describes it.

  Returns:
    task, observed, actions, result; the latter begins with 'runs', 'refused'
    or 'fails'.
  """
  result = dict(task=f'`{suite}_{name}`', observed='', actions='')
  preset = [PRESETS[suite]] * (PRESETS[suite] != 'defaults')
  config = configlib.resolve(preset)
  settings: dict[str, Any] = config.taken_by(envs.make)
  try:
    env = envs.make(f'{suite}_{name}', **settings)
    result |= _spaces(env)
    _play(env)
    env.close()
  except ConfigError as error:
    return {**result, 'result': f'refused: {_short(error)}'}
  except DreamerError as error:
    return {**result, 'result': f'fails: {_short(error)}'}
  except Exception as error:  # Whatever the environment raises.
    return {**result, 'result': f'fails: {_short(brief(error))}'}
  return {**result, 'result': 'runs'}


def observed(spaces: Mapping[str, gymnasium.Space]) -> str:
  """Returns images and the number of values in words."""
  shapes = {key: space.shape or () for key, space in spaces.items()}
  images = [
      f"{'' if key == 'image' else key + ' '}{'×'.join(map(str, shape))}"
      for key, shape in shapes.items() if len(shape) == 3]
  values = sum(shape[0] for shape in shapes.values() if len(shape) == 1)
  return ', '.join(images + [f'{values} values'] * bool(values))


def acted(space: gymnasium.Space) -> str:
  """Returns the number of actions in words."""
  if isinstance(space, gymnasium.spaces.Discrete):
    return f'{space.n}'
  return f'{math.prod(space.shape or ())} continuous'


def replaced(text: str, suite: str, table: str) -> str:
  """Returns a page with the table of a suite in place of what it has there."""
  begin, end = MARKS[0].format(suite), MARKS[1]
  pattern = re.compile(f'({re.escape(begin)}).*?({re.escape(end)})', re.S)
  assert pattern.search(text), suite
  return pattern.sub(
      lambda match: f'{match[1]}\n{table}\n{match[2]}', text)


def _work(arguments) -> Iterator[str]:
  options = command.parse(FLAGS, arguments)
  for suite in options.suites:
    if suite not in PRESETS:
      raise ConfigError(
          f"'suites' must be of {', '.join(PRESETS)} but has '{suite}'.")
  for suite in options.suites:
    rows = []
    for name in names(suite):
      command.say(f'{suite}_{name}')
      rows.append(row(suite, name))
    table = '\n'.join(_table(rows)) + '\n'
    yield table
    if options.write:
      with command.writing(str(PAGE)):
        PAGE.write_text(replaced(PAGE.read_text(), suite, table))


def _play(env):
  """Plays some steps with random actions."""
  space = env.act_space['action']
  random = np.random.default_rng(0)
  env.reset(1)
  for _ in range(STEPS):
    if isinstance(space, gymnasium.spaces.Discrete):
      action = np.eye(space.n, dtype=np.float32)[random.integers(space.n)]
    else:
      action = random.uniform(-1, 1, space.shape).astype(np.float32)
    if env.step({'action': action})['is_last']:
      env.reset(1)


def _spaces(env):
  """Returns what is observed and the actions, as words."""
  return {
      'observed': observed(env.adapter.spaces),
      'actions': acted(env.act_space['action'])}


def _short(error):
  """Returns the first sentence of an error, fit for a cell."""
  return re.split(r'(?<=\.) ', str(error))[0].replace('|', r'\|')


def _table(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
  """Yields the lines of a table."""
  yield '| task | observed | actions | |'
  yield '|---|---|---|---|'
  for one in rows:
    yield '| ' + ' | '.join(one.values()) + ' |'


if __name__ == '__main__':
  sys.exit(main())
