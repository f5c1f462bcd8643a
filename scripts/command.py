"""What measuring scripts share: their help, flags, errors and exit status."""

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
    work: Callable[[list[str]], Iterable[str]]) -> int:
  """Prints the help or what the work returns, and maps errors.

  Args:
    argv: arguments; those of the process if None.
    doc: of the script.
    flags: name to default and description.
    work: maps the arguments to lines.

  Returns:
    The exit status, as the command has it.
  """
  arguments = list(sys.argv[1:] if argv is None else argv)
  if {'-h', '--help'} & {*arguments}:
    print(doc)
    print('\n'.join(helptext.entries(flags)))
    return 0
  startup.prepare()
  try:
    lines = work(arguments)
  except DreamerError as error:
    print(f'error: {error}', file=sys.stderr)
    return error.exit_code
  print('\n'.join(lines))
  return 0


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
def writing() -> Iterator[None]:
  """Says of what the body can not write that it is so, with StorageError."""
  try:
    yield
  except OSError as error:
    raise StorageError(
        f'Can not write {error.filename}: {error.strerror}.') from error


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
