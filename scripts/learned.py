"""Records of learning.py, and how their numbers are told."""

from collections.abc import Mapping, Sequence
import json
import pathlib
from typing import Any

from dreamerv2_tf import files
from dreamerv2_tf.errors import StateError

PATH = pathlib.Path(__file__).resolve().parents[1] / 'results/learning.json'
DRIVING = PATH.with_name('highway_highway-fast-v0.json')
BEST_BLIND = 'slower_right'  # Of the policies that observe nothing.

Record = Mapping[str, Any]


def load(path: pathlib.Path = PATH) -> list[dict[str, Any]]:
  """Returns the records of a file, none if it is not there.

  Raises:
    StateError: it holds something else.
  """
  if not path.is_file():
    return []
  try:
    found = json.loads(files.read(path))
    for record in found:
      _ = record['task'], record['preset'], record['steps'], record['return']
  except (ValueError, KeyError, TypeError) as error:
    raise StateError(f'{path} holds no records: {error!r}.') from None
  return found


def driving(path: pathlib.Path = DRIVING) -> list[dict[str, Any]]:
  """Returns the agents of a page of results.py as records.

  Their target is the best of the policies that observe nothing.

  Raises:
    StateError: it holds something else.
  """
  try:
    rows = json.loads(files.read(path))
    means = {x['method']: x['statistics']['return'] for x in rows}
    return [{
        'task': path.stem, 'preset': x['method'], 'steps': x['steps'],
        'return': x['statistics']['seed_returns'], 'random': means['random'],
        'target': means[BEST_BLIND]} for x in rows if x['steps']]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise StateError(f'{path} holds no results: {error!r}.') from None


def known() -> list[dict[str, Any]]:
  """Returns the records of all pages in results/."""
  return load() + driving()


def number(value: float) -> str:
  """Returns a return with one digit after the point, of small ones two."""
  return f'{value:,.{1 if abs(value) >= 10 or not value else 2}f}'


def reached(record: Record) -> str:
  """Returns whether the target was reached: yes, no, by some, or ''."""
  if record.get('target') is None:
    return ''
  means = record['return']
  count = sum(mean >= record['target'] for mean in means)
  return {0: 'no', len(means): 'yes'}.get(count, f'{count} of {len(means)}')


def verdict(task: str, result: str, records: Sequence[Record]) -> str:
  """Returns whether a task runs, learns or is refused, in a few words.

  Args:
    task: its name.
    result: of `tasks.row`.
    records: of all tasks. The first that reached its target counts, of others
      that with the best return.
  """
  some = [record for record in records if record['task'] == task]
  if not some or not result.startswith(('runs', 'learns')):
    return result
  best = max(some, key=lambda x: (reached(x) == 'yes', min(x['return'])))
  text = ', '.join(map(number, best['return']))
  if best.get('target') is not None:
    text += f" of {number(best['target'])}"
  if best.get('random') is not None:
    text += f"; random {number(best['random'])}"
  begin = 'learns' if reached(best) == 'yes' else 'runs, was trained'
  return f"{begin}: {text}; `{best['preset']}`, {best['steps']:,} steps"
