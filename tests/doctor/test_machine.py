import os
import subprocess
import sys

import pytest

from dreamerv2_tf.doctor import machine
from dreamerv2_tf.doctor.machine import Gpu, check_gpus, check_precision

OLD = Gpu('GTX 1080', (6, 1))
NEW = Gpu('A100', (8, 0))


@pytest.mark.parametrize('precision, gpus, flags, status, text', [
    ('auto', [], set(), 'ok', 'auto: float32 on the CPU'),
    ('auto', [NEW], set(), 'ok', 'auto: float16 on the GPU'),
    (32, [NEW], set(), 'ok', '32: float32 on the GPU'),
    (16, [], set(), 'warn', '16: float16 on the CPU, where it is slow'),
    ('bf16', [], {'avx2'}, 'warn',
     'bf16: bfloat16 on the CPU, which has no instructions for it'),
    ('bf16', [], {'amx_bf16'}, 'ok', 'bf16: bfloat16 on the CPU'),
    ('auto', [NEW, OLD], set(), 'warn',
     'auto: float16 on the GPU: GTX 1080 is not fast in it'),
    ('bf16', [Gpu('V100', (7, 0))], set(), 'warn',
     'bf16: bfloat16 on the GPU: V100 is not fast in it'),
    (16, [Gpu('Other', None)], set(), 'ok', '16: float16 on the GPU')])
def test_what_a_precision_does_here(precision, gpus, flags, status, text):
  check = check_precision(precision, gpus, flags)
  assert (check.status, check.text) == (status, text)
  assert bool(check.advice) == (status == 'warn')


def test_a_driver_whose_gpu_tensorflow_does_not_see(monkeypatch):
  monkeypatch.setattr(machine, 'nvidia', lambda: 'A100 with 40 GB')
  check = check_gpus([], {})
  assert check.status == 'warn' and 'A100 with 40 GB' in check.text
  assert check.advice.startswith(
      "pip install 'tensorflow[and-cuda]>=2.21,<2.22'")
  check = check_gpus([NEW], {'cuda_version': '12.5', 'cudnn_version': '9'})
  assert check.status == 'ok'
  assert check.text == (
      'A100; TensorFlow was built for CUDA 12.5, cuDNN 9; A100 with 40 GB')


def test_no_gpu_is_no_problem(monkeypatch):
  monkeypatch.setattr(machine, 'nvidia', lambda: '')
  assert check_gpus([], {}).status == 'ok'


def test_what_the_driver_says_is_read(monkeypatch, tmp_path):
  program = tmp_path / 'nvidia-smi'
  program.write_text(
      '#!/bin/sh\necho "A100, 40960 MiB, 40000 MiB, 550.1"\n')
  program.chmod(0o755)
  monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}/bin')
  assert machine.nvidia() == (
      'A100 with 40960 MiB (40000 MiB free), driver 550.1')
  program.write_text('#!/bin/sh\necho "No devices were found"; exit 6\n')
  assert machine.nvidia() == ''


def test_flags_of_processors_of_both_kinds():
  assert machine.cpu_flags('x: 1\nflags\t\t: fpu avx2 fma\n') == {
      'fpu', 'avx2', 'fma'}
  assert machine.cpu_flags('Features\t: fp asimd\n') == {'fp', 'asimd'}
  assert machine.cpu_flags('') == set()


@pytest.mark.parametrize('text, want', [
    ('150000 100000\n', 1.5), ('max 100000\n', None), ('', None)])
def test_the_cores_of_a_container(text, want, tmp_path, monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0, 1, 2, 3})
  (tmp_path / 'cpu.max').write_text(text)
  assert machine.count_cores(tmp_path) == (want or 4)


def test_the_memory_of_a_container(tmp_path):
  total, free = machine.memory(tmp_path)
  assert 0 < free <= total
  (tmp_path / 'memory.max').write_text('5000000\n')
  (tmp_path / 'memory.current').write_text('2000000\n')
  assert machine.memory(tmp_path) == (5_000_000, 3_000_000)
  (tmp_path / 'memory.max').write_text('max\n')
  assert machine.memory(tmp_path)[0] == total


def test_children_are_found_and_measured():
  process = subprocess.Popen(
      [sys.executable, '-c', 'print(1, flush=True); input()'],
      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
  assert process.stdout.readline() == b'1\n'
  try:
    assert process.pid in machine.children()
    assert machine.resident(process.pid) > 1_000_000
  finally:
    process.communicate(b'\n')
  assert process.pid not in machine.children()
  assert machine.resident(process.pid) == 0
