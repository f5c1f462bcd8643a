"""Versions of Python and of the packages, against what this one asks for."""

from collections.abc import Iterable
import importlib.metadata
import pathlib
import platform
import shlex
import tomllib

from .. import __version__
from .checks import Check, fail, ok, warn

DISTRIBUTION = 'dreamerv2_tf'
# Other names of the same modules.
ALIASES = {'tensorflow': ('tensorflow-cpu', 'tf-nightly', 'tensorflow-rocm')}
# Needed by some tasks alone.
OPTIONAL = {
    'envpool': 'env.simulator envpool', 'highway-env': 'highway tasks'}
SHOWN = ('tensorflow', 'gymnasium', 'highway-env', 'envpool', 'numpy')


def required() -> tuple[str, list[str]]:
  """Returns which Python and which packages are asked for.

  Returns:
    Specifiers of Python such as '>=3.11', and requirements such as
    'numpy>=1.26,<3'. Those of a clone stand in its pyproject.toml, those of an
    installed package in its metadata.
  """
  path = pathlib.Path(__file__).resolve().parents[2] / 'pyproject.toml'
  if path.is_file():
    project = tomllib.loads(path.read_text('utf-8')).get('project', {})
    if project.get('name') == DISTRIBUTION:
      return project['requires-python'], project['dependencies']
  try:
    meta = importlib.metadata.metadata(DISTRIBUTION)
    words = importlib.metadata.requires(DISTRIBUTION) or []
  except importlib.metadata.PackageNotFoundError:
    return '', []
  return meta.get('Requires-Python') or '', [
      word for word in words if 'extra ==' not in word]


def check_python(specifiers: str, version: str = '') -> Check:
  """Compares the version of Python.

  Args:
    specifiers: such as '>=3.11'.
    version: of Python; that of now if empty.
  """
  from packaging.specifiers import SpecifierSet
  version = version or platform.python_version()
  text = f'Python {version}, dreamerv2_tf {__version__}'
  values = {'python': version, 'dreamerv2_tf': __version__}
  if SpecifierSet(specifiers).contains(version, prereleases=True):
    return ok('python', text, **values)
  return fail(
      'python', f'{text}; expected Python {specifiers}',
      'Make a virtual environment of such a Python and install the package '
      'there.', 2, **values)


def check_packages(requirements: Iterable[str]) -> list[Check]:
  """Compares the versions of packages.

  Args:
    requirements: such as 'numpy>=1.26,<3'.

  Returns:
    A check for each that is missing or of another version, or one for all.
  """
  from packaging.requirements import Requirement
  checks, found = [], {}
  for text in requirements:
    need = Requirement(text)
    if need.marker and not need.marker.evaluate():
      continue
    found[need.name] = version = installed(need.name)
    plain = f'{need.name}{need.specifier}'
    remedy = f'pip install {shlex.quote(plain)}'
    if version is None and need.name in OPTIONAL:
      checks.append(warn(
          'packages', f'{need.name} is not installed: no '
          f'{OPTIONAL[need.name]}', remedy))
    elif version is None:
      checks.append(fail(
          'packages', f'{need.name} is not installed', remedy, 2))
    elif not need.specifier.contains(version, prereleases=True):
      checks.append(warn(
          'packages', f'{need.name} {version} is not one that was tried: '
          f'expected {need.specifier}', remedy))
  if not found:
    return [warn(
        'packages', 'Nothing says which versions are asked for: the package '
        'is neither installed nor a clone.', 'pip install . in a clone')]
  if checks:
    return checks
  shown = ', '.join(
      f'{name} {found[name]}' for name in SHOWN if found.get(name))
  return [ok(
      'packages', f'all {len(found)} as asked for: {shown}', **found)]


def installed(name: str) -> str | None:
  """Returns the version of a distribution, None if it is not there."""
  for each in (name, *ALIASES.get(name, ())):
    try:
      return importlib.metadata.version(each)
    except importlib.metadata.PackageNotFoundError:
      continue
  return None
