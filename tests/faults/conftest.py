"""Runs within this process, for faults that need no process of their own."""

import shutil

import pytest
import runs

# Collects without learning: files, folders and environments are as in any run.
COLLECT = (
    *runs.TOY, '--prefill', 1000, '--steps', 60, '--checkpoint_every', 20,
    '--envs_parallel', 'none')


@pytest.fixture
def train(tmp_path, capsys):
  """Runs the command here; returns the only error on stderr, or ''."""

  def call(status, *arguments, logdir=tmp_path / 'run'):
    assert runs.here(logdir, *arguments) == status, capsys.readouterr()
    lines = capsys.readouterr().err.strip().splitlines()
    lines = [x for x in lines if not x.startswith('No --configs: ')]
    assert len(lines) == (status != 0), lines
    return ''.join(lines)

  return call


@pytest.fixture
def finishes(train, tmp_path):
  """Goes on with a run to its end; nothing that it had is lost."""

  def check(*arguments, logdir=tmp_path / 'run'):
    before = len(runs.episodes(logdir))
    train(0, *arguments, logdir=logdir)
    runs.assert_steps_increase(logdir)
    assert len(runs.episodes(logdir)) >= before
    assert not (logdir / 'failure.json').exists()
    assert not list(logdir.rglob('.tmp-*'))

  return check


@pytest.fixture
def collect():
  """Flags of a run of 60 steps that collects and does not learn."""
  return COLLECT


@pytest.fixture(scope='session')
def original(tmp_path_factory):
  """A finished run of these flags; tests work on copies of it."""
  logdir = tmp_path_factory.mktemp('collected') / 'run'
  assert runs.here(logdir, *COLLECT) == 0
  return logdir


@pytest.fixture
def collected(original, tmp_path):
  """A copy of that run."""
  return shutil.copytree(original, tmp_path / 'run')
