"""The command `dreamerv2`: parses, calls, maps errors to exit statuses.

TensorFlow and the environments are imported after parsing, by the loops.
"""

import collections
from collections.abc import Iterable, Sequence
import os
import pydoc
import shutil
import signal
import sys
import traceback

from . import __version__, commands, helptext, startup
from . import presets as presetlib
from .errors import DreamerError, Interrupted, for_user

MOST_SCREENS = 2  # That are printed without a pager.
MANY = 3  # Presets that begin alike; more are one entry of the overview.


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command.

  Args:
    argv: arguments without the program's name; those of the process if None.

  Returns:
    The exit status: 0 done, 1 internal error, 2 usage or configuration, 3
    incompatible state, 4 environment, 5 non-finite, 6 disk or memory, 7 run
    folder locked, 75 stopped by SIGTERM, 130 interrupted.
  """
  arguments = list(sys.argv[1:] if argv is None else argv)
  startup.open_streams()
  try:
    return _dispatch(arguments)
  except KeyboardInterrupt:
    return _fail(Interrupted('Interrupted.', 130), 130, arguments)
  except BrokenPipeError:  # The reader, such as head, has seen enough.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
  except Exception as raised:
    error = for_user(raised)
    if isinstance(error, DreamerError):
      return _fail(error, error.exit_code, arguments)
    traceback.print_exc()
  return 1


def command() -> None:
  """Runs the command and ends the process with its exit status.

  The end of TensorFlow takes a while, and more signals change nothing then.
  """
  status = main()
  for number in signal.SIGINT, signal.SIGTERM:
    signal.signal(number, signal.SIG_IGN)
  sys.exit(status)


def _fail(error, status: int, arguments: Sequence[str]) -> int:
  if '--debug' in arguments:
    traceback.print_exc()
  # Being asked to stop is no error.
  prefix = '' if isinstance(error, Interrupted) else 'error: '
  startup.leave_if_importing(status, f'{prefix}{error}')
  print(f'{prefix}{error}', file=sys.stderr)
  return status


def _dispatch(arguments: list[str]) -> int:
  if not arguments or arguments == ['help']:
    return _show(_overview())
  if arguments[0] == 'help':
    arguments = [*arguments[1:2], '--help', *arguments[2:]]
  name = 'train' if arguments[0].startswith('-') else arguments.pop(0)
  module = commands.find(name)
  if '--version' in arguments:
    print(f'dreamerv2_tf {__version__}')
    return 0
  words, topics = _split_help(arguments)
  if topics is None:
    return module.run(words) or 0
  return _show(module.help_lines(words, topics))


def _overview():
  """Returns the help of the command as a whole: what fits on one screen."""
  lines = ['usage: dreamerv2 COMMAND ...', '', 'Commands']
  lines += [
      helptext.entry(name, text, column=12)
      for name, (_, text, _) in commands.COMMANDS.items()]
  lines += ['', 'Examples']
  lines += [
      f'  dreamerv2 {name} {example}'
      for name, (_, _, example) in commands.COMMANDS.items() if example]
  lines += ['', 'Presets']
  lines.append(helptext.paragraph(', '.join(_families(
      presetlib.describe())), '  '))
  lines += ['', 'More: dreamerv2 help COMMAND; settings: dreamerv2 --help, or '
            'of one --help KEY.']
  return lines


def _families(names: Iterable[str]) -> list[str]:
  """Returns names; many that begin alike, up to `_`, are one with a star."""
  count = collections.Counter(name.partition('_')[0] for name in names)
  return list(dict.fromkeys(
      f"{name.partition('_')[0]}_*"
      if '_' in name and count[name.partition('_')[0]] > MANY else name
      for name in names))


def _show(lines):
  """Prints lines, through a pager if they are many screens."""
  text = '\n'.join(lines)
  screens = len(text.splitlines()) / shutil.get_terminal_size().lines
  if sys.stdout.isatty() and screens > MOST_SCREENS:
    os.environ.setdefault('LESS', 'FRX')
    pydoc.pager(text)
  else:
    print(text, flush=True)
  return 0


def _split_help(arguments):
  """Returns the arguments without `--help`, and the words right after it.

  None instead of these words if there is no `--help`.
  """
  words, topics, after = [], None, False
  for word in arguments:
    if word in ('-h', '--help'):
      topics, after = topics or [], True
    elif after and not word.startswith('--'):
      topics.append(word)
    else:
      words.append(word)
      after = False
  return words, topics
