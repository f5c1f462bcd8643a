"""Makes every task of every suite, plays some steps, and tells what came of it.

Prints a table in Markdown for each suite: what is observed, the actions, and
whether it runs, learns (of results/learning.json) or is refused, and why. With
--write it replaces those in docs/tasks.md, and the summary in README.md. With
--play False no task is made: what the tables say stays, and what was learned
since is put in.
"""

from collections.abc import Iterator, Mapping, Sequence
import math
import pathlib
import re
import sys
from typing import Any

import command
import gymnasium
import learned
import numpy as np

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError, DreamerError, brief
from dreamerv2_tf.paper import published

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE, README = ROOT / 'docs' / 'tasks.md', ROOT / 'README.md'
STEPS = 5
# Suite -> preset whose settings its tasks are made with.
PRESETS = {
    'atari': 'atari', 'dmc': 'dmc_vision', 'crafter': 'crafter',
    'minatar': 'minatar', 'highway': 'defaults', 'gym': 'defaults'}
FLAGS = {
    'suites': (tuple(PRESETS), 'Which of them.'),
    'play': (True, 'Make the tasks; False: take what docs/tasks.md says.'),
    'write': (False, 'Replace the tables in docs/tasks.md and README.md.')}
MARKS = '<!-- table of {} -->\n', '<!-- end of it -->\n'
SUMMARY = 'all suites'  # The mark in README.md.
LABELS = {
    'atari': 'Atari, `atari_<game>`', 'dmc': 'DeepMind Control, '
    '`dmc_<domain>_<task>`', 'crafter': '[Crafter](docs/tasks.md#crafter)',
    'minatar': 'MinAtar, `minatar_<game>`',
    'highway': '[highway-env](docs/highway.md), `highway_<id>`',
    'gym': 'Gymnasium, `gym_<id>`; listed are its own, others run as well'}
KINDS = 'classic_control', 'toy_text', 'box2d', 'mujoco'  # Of Gymnasium.


def main(argv: Sequence[str] | None = None) -> int:
  """Prints the tables; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def names(suite: str) -> list[str]:
  """Returns all tasks of a suite, without its name.

  Of Atari those of the paper, of Gymnasium its own in their newest version.
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
    return sorted(
        key for key, spec in gymnasium.registry.items()
        if str(spec.entry_point).startswith(highway_env.__name__))
  newest = {}
  for key, spec in gymnasium.registry.items():
    if str(spec.entry_point).startswith(
        tuple(f'gymnasium.envs.{kind}' for kind in KINDS)):
      newest[spec.name] = max(
          newest.get(spec.name, ''), key, key=lambda x: (len(x), x))
  return sorted(newest.values())


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
    kind = 'refused' if 'pip install' in str(error) else 'fails'
    return {**result, 'result': f'{kind}: {_short(error)}'}
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
  pattern = _between(suite)
  assert pattern.search(text), suite
  return pattern.sub(
      lambda match: f'{match[1]}\n{table}\n{match[3]}', text)


def rows_of(text: str, suite: str) -> list[dict[str, str]]:
  """Returns the rows of a suite on a page, as `row` has them."""
  match = _between(suite).search(text)
  assert match, suite
  names = 'task', 'observed', 'actions', 'result'
  return [
      dict(zip(names, map(str.strip, re.split(r'(?<!\\)\|', line)[1:-1])))
      for line in match[2].splitlines() if line.startswith('| `')]


def summary(text: str) -> str:
  """Returns the table of README.md.

  Args:
    text: of docs/tasks.md.
  """
  lines = ['| suite | tasks | run | refused or fail | learned so far |',
           '|---|---|---|---|---|']
  for suite in PRESETS:
    rows = rows_of(text, suite)
    good = [x for x in rows if x['result'].startswith(('runs', 'learns'))]
    names = [x['task'] for x in rows if x['result'].startswith('learns')]
    lines.append(
        f'| {LABELS[suite]} | {len(rows)} | {len(good)} | '
        f"{len(rows) - len(good)} | {', '.join(names)} |")
  return '\n'.join(lines) + '\n'


def with_learned(
    rows: Sequence[Mapping[str, str]],
    records: Sequence[learned.Record]) -> list[dict[str, str]]:
  """Returns rows whose result tells what was learned.

  Args:
    rows: of `row`, or of `rows_of`.
    records: of learning.py, and of results.py.
  """
  result = []
  for one in rows:
    text = one['result']
    if text.startswith(('learns', 'runs')):
      text = 'runs'
    result.append({**one, 'result': learned.verdict(
        one['task'].strip('`'), text, records)})
  return result


def _work(arguments) -> Iterator[str]:
  options = command.parse(FLAGS, arguments)
  for suite in options.suites:
    if suite not in PRESETS:
      raise ConfigError(
          f"'suites' must be of {', '.join(PRESETS)} but has '{suite}'.")
  records = learned.known()
  for suite in options.suites:
    rows = [] if options.play else rows_of(PAGE.read_text(), suite)
    for name in names(suite) * options.play:
      command.say(f'{suite}_{name}')
      rows.append(row(suite, name))
    table = '\n'.join(_table(with_learned(rows, records))) + '\n'
    yield table
    if options.write:
      with command.writing(str(PAGE)):
        PAGE.write_text(replaced(PAGE.read_text(), suite, table))
  if options.write:
    with command.writing(str(README)):
      README.write_text(replaced(
          README.read_text(), SUMMARY, summary(PAGE.read_text())))


def _between(suite):
  """Returns a pattern of three groups: mark, what is between, mark."""
  begin, end = MARKS[0].format(suite), MARKS[1]
  return re.compile(f'({re.escape(begin)})(.*?)({re.escape(end)})', re.S)


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
