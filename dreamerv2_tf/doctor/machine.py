"""Processor, memory, GPUs, and what number formats these are good for."""

import os
import pathlib
import platform
import re
import shutil
import subprocess
from typing import Any, NamedTuple

from .checks import Check, fail, ok, size, warn

# Of /proc/cpuinfo: flag to name, of what matters to TensorFlow.
FLAGS = {
    'avx2': 'AVX2', 'fma': 'FMA', 'avx512f': 'AVX-512',
    'avx512_vnni': 'VNNI', 'avx512_bf16': 'bfloat16 (AVX-512)',
    'amx_bf16': 'bfloat16 (AMX)'}
BFLOAT16 = {'avx512_bf16', 'amx_bf16'}
CGROUP = pathlib.Path('/sys/fs/cgroup')
GPU_PIP = "pip install 'tensorflow[and-cuda]>=2.21,<2.22'"
HALF, BRAIN = (7, 0), (8, 0)  # GPUs that are fast in float16, bfloat16.


class Gpu(NamedTuple):
  """A GPU that TensorFlow sees."""

  name: str
  capability: tuple[int, int] | None


def check_processor() -> Check:
  """Tells the processor, its cores for this process, and useful flags."""
  info = _read(pathlib.Path('/proc/cpuinfo'))
  model = re.search(r'model name\s*: (.*)', info)
  flags = cpu_flags(info)
  useful = [name for flag, name in FLAGS.items() if flag in flags]
  cores = count_cores()
  name = model[1] if model else platform.machine()
  text = f"{name}, {cores:g} core{'s' * (cores != 1)}"
  values = {'processor': name, 'cores': cores, 'flags': sorted(
      flags & FLAGS.keys())}
  if flags and 'avx2' not in flags and platform.machine() == 'x86_64':
    return warn(
        'processor', f'{text}, without AVX2',
        'TensorFlow is slow on it, or ends with an illegal instruction.',
        **values)
  return ok('processor', ', '.join([text, *useful]), **values)


def check_memory() -> Check:
  """Tells the memory that may be used."""
  total, free = memory()
  text = f'{size(free)} free of {size(total)}'
  values = {'total': total, 'free': free}
  if free < 1.5e9:
    return warn(
        'memory', text, 'A run with the networks of the presets takes some '
        '1.2 GB. Close other programs.', **values)
  return ok('memory', text, **values)


def check_gpus(gpus: list[Gpu], built_for: dict[str, Any]) -> Check:
  """Tells the GPUs that TensorFlow sees, or why it may see none.

  Args:
    gpus: from `find_gpus`.
    built_for: `tf.sysconfig.get_build_info()`.
  """
  cuda = built_for.get('cuda_version')
  libraries = (
      f"CUDA {cuda}, cuDNN {built_for.get('cudnn_version', 'unknown')}"
      if cuda else 'no CUDA')
  values = {
      'gpus': [gpu._asdict() for gpu in gpus], 'cuda': cuda,
      'cudnn': built_for.get('cudnn_version')}
  if gpus:
    names = ', '.join(gpu.name for gpu in gpus)
    detail = nvidia()
    return ok('gpu', f'{names}; TensorFlow was built for {libraries}'
              + f'; {detail}' * bool(detail), **values)
  driver = nvidia()
  if driver:
    return warn(
        'gpu', f'The driver knows {driver}, but TensorFlow (built for '
        f'{libraries}) sees no GPU.', f'{GPU_PIP}; see that '
        'CUDA_VISIBLE_DEVICES is not empty.', **values)
  return ok('gpu', 'none: networks run on the CPU', **values)


def check_precision(
    precision: int | str, gpus: list[Gpu], flags: set[str]) -> Check:
  """Tells what the setting `precision` does on this machine.

  Args:
    precision: auto, 16, 32 or bf16.
    gpus: that TensorFlow sees.
    flags: of the processor.
  """
  used = str(precision)
  if used == 'auto':
    used = '16' if gpus else '32'
  names = {'16': 'float16', '32': 'float32', 'bf16': 'bfloat16'}
  where = 'the GPU' if gpus else 'the CPU'
  text = f'{precision}: {names[used]} on {where}'
  values = {'precision': used}
  if used == '16' and not gpus:
    return warn(
        'precision', f'{text}, where it is slow',
        '--precision 32, or leave it at auto', **values)
  if used == 'bf16' and not gpus and not flags & BFLOAT16:
    return warn(
        'precision', f'{text}, which has no instructions for it',
        '--precision 32', **values)
  least = {'16': HALF, 'bf16': BRAIN}.get(used)
  old = [
      gpu.name for gpu in gpus
      if least and gpu.capability and gpu.capability < least]
  if old:
    return warn(
        'precision', f"{text}: {', '.join(old)} is not fast in it",
        '--precision 32', **values)
  return ok('precision', text, **values)


def find_gpus() -> list[Gpu]:
  """Returns the GPUs that TensorFlow sees; imports it."""
  import tensorflow as tf
  result = []
  for device in tf.config.list_physical_devices('GPU'):
    try:
      details = tf.config.experimental.get_device_details(device)
    except Exception:  # What plugins of other vendors raise.
      details = {}
    result.append(Gpu(
        details.get('device_name', device.name),
        details.get('compute_capability')))
  return result


def tensorflow_works() -> Check | None:
  """Multiplies two matrices; returns a check if that fails."""
  import tensorflow as tf
  try:
    total = float(tf.reduce_sum(tf.ones([64, 64]) @ tf.ones([64, 64])))
    assert total == 64.0 ** 3, total
  except Exception as error:
    return fail(
        'tensorflow', f'A product of matrices fails: {error}',
        f'{GPU_PIP}, or CUDA_VISIBLE_DEVICES= to do without the GPU.', 2)
  return None


def cpu_flags(info: str | None = None) -> set[str]:
  """Returns the flags in a text like that of /proc/cpuinfo."""
  info = _read(pathlib.Path('/proc/cpuinfo')) if info is None else info
  match = re.search(r'^(?:flags|Features)\s*: (.*)', info, re.M)
  return set(match[1].split()) if match else set()


def count_cores(cgroup: pathlib.Path = CGROUP) -> float:
  """Returns how many cores this process may use, a container's limit too."""
  cores = (
      len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity')
      else os.cpu_count() or 1)
  quota, _, period = _read(cgroup / 'cpu.max').strip().partition(' ')
  if quota.isdigit() and period.isdigit() and int(period):
    return min(cores, int(quota) / int(period))
  return cores


def memory(cgroup: pathlib.Path = CGROUP) -> tuple[int, int]:
  """Returns the memory that this process may use, and what is free of it.

  Returns:
    Both in bytes; a container's limit counts.
  """
  info = dict(re.findall(
      r'^(\w+): +(\d+) kB', _read(pathlib.Path('/proc/meminfo')), re.M))
  total = int(info.get('MemTotal', 0)) * 1024 or (
      os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))
  free = int(info.get('MemAvailable', 0)) * 1024 or total
  limit = _read(cgroup / 'memory.max').strip()
  used = _read(cgroup / 'memory.current').strip()
  if limit.isdigit() and used.isdigit():
    total = min(total, int(limit))
    free = min(free, max(0, int(limit) - int(used)))
  return total, free


def resident(pid: int | str = 'self') -> int:
  """Returns the memory of a process, bytes; 0 if that is not known."""
  match = re.search(
      r'^VmRSS:\s+(\d+) kB', _read(pathlib.Path(f'/proc/{pid}/status')), re.M)
  return int(match[1]) * 1024 if match else 0


def children(parent: int | None = None) -> list[int]:
  """Returns the processes that a process, this one by default, has started."""
  parent = parent or os.getpid()
  found = []
  for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
    words = _read(path).rpartition(')')[2].split()
    if len(words) > 1 and words[1] == str(parent):
      found.append(int(path.parent.name))
  return found


def nvidia() -> str:
  """Returns what NVIDIA's driver says of its GPUs; empty if there is none."""
  program = shutil.which('nvidia-smi')
  if not program:
    return ''
  try:
    out = subprocess.run(
        [program, '--query-gpu=name,memory.total,memory.free,driver_version',
         '--format=csv,noheader'], capture_output=True, text=True, timeout=10)
  except (OSError, subprocess.TimeoutExpired):
    return ''
  rows = [
      [x.strip() for x in line.split(',')] for line in out.stdout.splitlines()]
  return '; '.join(
      f'{row[0]} with {row[1]} ({row[2]} free), driver {row[3]}'
      for row in rows if len(row) == 4)


def _read(path):
  try:
    return path.read_text()
  except OSError:
    return ''
