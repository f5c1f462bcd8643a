"""Fixtures that several test files share."""

import os
import subprocess
import sys

import pytest

from dreamerv2_tf import config, startup

startup.prepare()  # Tests compute as the command does.


@pytest.fixture
def tiny() -> config.Config:
  """The `debug` preset over the defaults."""
  return config.resolve(['debug'])


@pytest.fixture
def command(tmp_path):
  """Runs `python -m dreamerv2_tf` in an empty folder that is also HOME."""

  def run(*arguments, timeout=60, env=None):
    return subprocess.run(
        [sys.executable, '-m', 'dreamerv2_tf', *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=timeout,
        env={**os.environ, 'HOME': str(tmp_path), **(env or {})})

  return run
