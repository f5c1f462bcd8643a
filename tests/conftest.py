"""Fixtures that several test files share."""

import functools
import importlib
import os
import pathlib
import subprocess
import sys

import pytest

from dreamerv2_tf import config, startup

ROOT = pathlib.Path(__file__).resolve().parent.parent

startup.prepare()  # Tests compute as the command does.


def pytest_addoption(parser):
  parser.addoption(
      '--all', action='store_true', help='run the tests that take minutes, too')


def pytest_collection_modifyitems(config, items):
  """Leaves the tests of minutes to those who ask for them."""
  if config.getoption('--all'):
    return
  long = [item for item in items if item.get_closest_marker('minutes')]
  config.hook.pytest_deselected(items=long)
  items[:] = [item for item in items if item not in long]


@pytest.fixture(autouse=True)
def vehicles(monkeypatch):
  """Undoes what intersections do to the drivers of all other roads.

  They set constants of the vehicle class for the whole process.
  """
  from highway_env.vehicle.behavior import IDMVehicle
  for name in ('DISTANCE_WANTED', 'COMFORT_ACC_MAX', 'COMFORT_ACC_MIN'):
    monkeypatch.setattr(IDMVehicle, name, getattr(IDMVehicle, name))


@pytest.fixture(scope='session', autouse=True)
def state_home(tmp_path_factory):
  """Keeps what tests trust apart from what the user does."""
  with pytest.MonkeyPatch.context() as patch:
    folder = tmp_path_factory.mktemp('state')
    patch.setenv('XDG_STATE_HOME', str(folder))
    yield folder


@pytest.fixture(scope='session')
def highway(tmp_path_factory):
  """Runs of the debug preset on the real environment: preset to folder."""
  import runs
  folder = tmp_path_factory.mktemp('highway')
  processes = {
      preset: runs.start(
          folder / preset, '--configs', preset, 'debug', '--steps', 200,
          '--prefill', 80, '--eval_every', 100, '--log_every', 60,
          '--checkpoint_every', 80)
      for preset in ('highway', 'highway_kinematics')}
  for preset, process in processes.items():
    out, _ = runs.finish(process, 0)
    (folder / f'{preset}.out').write_text(out)
  return {preset: folder / preset for preset in processes}


@pytest.fixture(scope='session')
def launcher(tmp_path_factory):
  """Starts runs as processes that need not import TensorFlow."""
  from launcher import Launcher
  with Launcher(tmp_path_factory.mktemp('launcher')) as launcher:
    yield launcher


@pytest.fixture(scope='module')
def script(request):
  """Imports the file SCRIPT of the test module, as Python runs a script."""
  path = request.module.SCRIPT
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(path.parent)
    yield importlib.import_module(path.stem)


@pytest.fixture
def tiny() -> config.Config:
  """The `debug` preset over the defaults."""
  return config.resolve(['debug'])


@pytest.fixture
def python(tmp_path):
  """Runs Python as a child in an empty folder that is also HOME."""

  def run(*arguments, timeout=300, env=None, **kwargs):
    env = {
        **os.environ, 'HOME': str(tmp_path), 'PYTHONPATH': str(ROOT),
        **(env or {})}
    kwargs = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **kwargs}
    return subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, text=True, timeout=timeout,
        env=env, **kwargs)

  return run


@pytest.fixture
def command(python):
  """Runs `python -m dreamerv2_tf` as a child in an empty folder."""
  return functools.partial(python, '-m', 'dreamerv2_tf')
