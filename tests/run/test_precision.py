from types import SimpleNamespace

import pytest
import runs

from dreamerv2_tf import config as configlib
from dreamerv2_tf import tfutils
from dreamerv2_tf.config import Config
from dreamerv2_tf.run import train


@pytest.mark.parametrize('gpu, precision, want', [
    (True, 'auto', 16), (False, 'auto', 32), (False, 16, 16), (True, 32, 32),
    (False, 'bf16', 'bf16')])
def test_auto_is_float16_on_a_gpu_alone(gpu, precision, want, monkeypatch):
  monkeypatch.setattr(tfutils, 'has_gpu', lambda: gpu)
  assert tfutils.settled(precision) == want
  assert tfutils.compute_dtype(precision) == tfutils.PRECISIONS[str(want)]


def test_auto_is_the_default_and_a_run_stores_what_it_was(tmp_path):
  assert configlib.resolve().precision == 'auto'
  logdir = tmp_path / 'run'
  flags = [*runs.TOY, '--steps', 60, '--precision', 'auto']
  assert runs.here(logdir, *flags) == 0
  assert Config.load(logdir / 'config.yaml').precision == 32


@pytest.mark.parametrize('stored', [16, 32, 'bf16'])
def test_a_run_keeps_the_precision_that_it_began_with(stored, tmp_path):
  config = configlib.resolve(['debug'])
  path = tmp_path / 'config.yaml'
  config.update({'precision': stored}).save(path)
  folder = SimpleNamespace(path=tmp_path, config_path=path)
  again, diff = train._changes(
      config.update({'precision': 'auto'}), folder, fresh=False)
  assert again.precision == stored and diff == {}
  _, diff = train._changes(
      config.update({'precision': 32}), folder, fresh=False)
  assert diff == ({} if stored == 32 else {'precision': (stored, 32)})
