"""Small Ray clusters on this machine, whose processes end with them."""

import contextlib
import os
import pathlib
import shutil
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SMALL = {'num_cpus': 1, 'object_store_memory': 100_000_000}


@contextlib.contextmanager
def settings():
  """What Ray reads: no token in the home folder, sockets of short paths."""
  folder = pathlib.Path(tempfile.mkdtemp(prefix='r', dir='/tmp'))
  (folder / 'ray').mkdir()
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('RAY_TMPDIR', str(folder))
    patch.setenv('RAY_AUTH_MODE', 'disabled')
    patch.setenv('RAY_USAGE_STATS_ENABLED', '0')
    patch.setenv('RAY_worker_niceness', '0')
    patch.delenv('RAY_ADDRESS', raising=False)
    patch.setenv('PYTHONPATH', f'{HERE.parent}{os.pathsep}{HERE}')
    try:
      yield
    finally:
      shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cluster(cpus):
  """A cluster of one node; others can be added and removed."""
  with settings():
    from ray.cluster_utils import Cluster
    result = Cluster(initialize_head=True, head_node_args={
        **SMALL, 'num_cpus': cpus, 'include_dashboard': False})
    try:
      yield result
    finally:
      result.shutdown()
