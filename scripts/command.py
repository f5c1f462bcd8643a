"""What scripts share: their help, flags, errors and exit status."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import sys
from typing import Any

from dreamerv2_tf import config as configlib
from dreamerv2_tf import helptext, startup
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError, DreamerError, StorageError

Flags = Mapping[str, tuple[Any, str]]


def main(
    argv: Sequence[str] | None, doc: str, flags: Flags,
    work: Callable[[list[str]], Iterable[str]], *, usage: str = '',
    before: Sequence[str] = (), after: Sequence[str] = (),
    needs_words: bool = False) -> int:
  """Prints the help or what the work returns, and maps errors.

  Args:
    argv: arguments; those of the process if None.
    doc: of the script.
    flags: name to default and description.
    work: maps the arguments to lines, which are printed as they come.
    usage: first line of the help.
    before, after: lines of the help around the flags.
    needs_words: whether there is no work without arguments, only help.

  Returns:
    The exit status, as the command has it.
  """
  arguments = list(sys.argv[1:] if argv is None else argv)
  if {'-h', '--help'} & {*arguments} or needs_words and not arguments:
    print('\n'.join([
        *[usage, ''][:2 * bool(usage)], *doc.splitlines(), '', *before,
        *helptext.entries(flags), *after]))
    return 0
  startup.prepare()
  try:
    for line in work(arguments):
      print(line, flush=True)
  except DreamerError as error:
    print(f'error: {error}', file=sys.stderr)
    return error.exit_code
  except KeyboardInterrupt:
    return 130
  return 0


def say(text: str) -> None:
  """Says at once what is done now; results go to the standard output."""
  print(text, file=sys.stderr, flush=True)


def parse(flags: Flags, arguments: Sequence[str]) -> Config:
  """Reads flags of a script that takes nothing else.

  Raises:
    ConfigError: a flag is wrong.
  """
  options, presets, others = configlib.parse(flags, arguments)
  if presets or others:
    raise ConfigError(
        f"Unknown flag '{(others or ['--configs'])[0]}'. Known flags: "
        f"{', '.join(f'--{name}' for name in flags)}.")
  return options


@contextlib.contextmanager
def writing(path: str | None = None) -> Iterator[None]:
  """Says of what the body can not write that it is so, with StorageError.

  Args:
    path: what the message names; None: what the error does.
  """
  try:
    yield
  except OSError as error:
    raise StorageError(
        f'Can not write {path or error.filename}: {error.strerror}.'
    ) from error


def parse_run(
    flags: Flags, arguments: Sequence[str]) -> tuple[Config, list[str]]:
  """Reads flags of a script that looks some steps ahead in a run.

  Args:
    flags: with `logdir` and `steps`.
    arguments: of the command line.

  Returns:
    The values of the flags, and keys that change the run's settings.

  Raises:
    ConfigError: a flag is wrong.
  """
  options, presets, overrides = configlib.parse(flags, arguments)
  if presets or not options.logdir:
    raise ConfigError('Give the folder of a run as --logdir, no --configs.')
  if not options.steps or min(options.steps) < 1:
    raise ConfigError(
        f"'steps' must be at least 1 each but are {list(options.steps)}.")
  return options, overrides
