"""Commands without their folders and seeds, as results.py shows them."""

from collections.abc import Sequence
import itertools
import pathlib
import re
import shlex

from dreamerv2_tf import flags

FOLDERS = 'logdir', 'outdir'  # Flags that are of no use to others.


def portable(words: Sequence[str]) -> list[str]:
  """Returns a command line without folders of results and absolute paths.

  What lies in the home folder begins with `~`; of others the name is left.
  """
  result = list(itertools.takewhile(lambda x: not x.startswith('--'), words))
  for chunk in flags.chunks(words[len(result):]):
    if flags.split(chunk)[0] not in FOLDERS:
      result += chunk
  return [_without_root(word) for word in result]


def line(program: str, words: Sequence[str]) -> str:
  """Returns a command as a shell reads it; `~` stays without quotes."""
  quoted = [
      word if re.fullmatch(r'~(/[\w.-]+)+', word) else shlex.quote(word)
      for word in words]
  return ' '.join([program, *quoted])


def without_seed(words: Sequence[str]) -> tuple[tuple[str, ...], str]:
  """Returns a command line without its seed, and the seed, '' if not given."""
  first = list(itertools.takewhile(lambda x: not x.startswith('--'), words))
  seed = ''
  for chunk in flags.chunks(words[len(first):]):
    name, values = flags.split(chunk)
    if name == 'seed':
      seed = ' '.join(values)
    else:
      first += chunk
  return tuple(first), seed


def _without_root(word):
  home = str(pathlib.Path.home())
  word = re.sub(rf'(?<![^=,:]){re.escape(home)}(?=/|$)', '~', word)
  return re.sub(r'(?<![^=,:])/(?:[^/=,:]+/)*([^/=,:]+)', r'\1', word)
