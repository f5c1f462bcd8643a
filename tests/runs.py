"""Whole runs as a user starts them, and how to compare what they leave."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

from dreamerv2_tf import cli
from dreamerv2_tf.run import environments
from dreamerv2_tf.run import manifest as manifestlib
from dreamerv2_tf.run.checkpoint import Checkpoints

HERE = pathlib.Path(__file__).resolve().parent

# A run of seconds: two toy environments, episodes of 7 steps, constant reward.
# Seeds are part of the toy's observation, hence the scale.
TOY = (
    '--configs debug --task gym_toys:Plan-v0 --envs 2 --env.config.length 7 '
    '--env.obs_scale 1e-9 --prefill 60 --eval_every 70 --eval_eps 3 '
    '--log_every 40 --checkpoint_every 80').split()

# What no program of ours writes into a JSON file.
ODD = [
    '', '\xff\xfe', '[' * 100_000, '[1]', '"x"', '3', 'null', '\0', '9' * 9999]


def start(logdir, *arguments, command='train', env=None, **kwargs):
  """Starts `python -m dreamerv2_tf` and returns the process."""
  env = {
      **os.environ, 'PYTHONPATH': f'{HERE.parent}{os.pathsep}{HERE}',
      **(env or {})}
  kwargs = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **kwargs}
  return subprocess.Popen(
      [sys.executable, '-m', 'dreamerv2_tf', command, '--logdir', str(logdir),
       *map(str, arguments)], text=True, env=env, **kwargs)


def here(logdir, *arguments):
  """Trains in this process, which stays as it was; returns the exit status."""
  return cli.main([
      '--logdir', str(logdir), *map(str, arguments), '--deterministic',
      'False'])


def finish(process, status, timeout=300):
  """Waits for a process; returns what it printed if its status is right."""
  try:
    out, err = process.communicate(timeout=timeout)
  except subprocess.TimeoutExpired:
    process.kill()
    raise
  assert process.returncode == status, (process.returncode, out, err)
  return out, err


def call(logdir, *arguments, status=0, **kwargs):
  """Runs `python -m dreamerv2_tf`; returns what it printed."""
  return finish(start(logdir, *arguments, **kwargs), status)


def wait_for(condition, process, timeout=300):
  """Waits until a condition holds while a process runs."""
  until = time.monotonic() + timeout
  while not condition():
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < until, 'It took too long.'
    time.sleep(0.1)


def seed_of(episode, worker=0, seed=0):
  """Scenario of a training episode."""
  return environments.train_scenario(seed, worker, episode)


def plan(folder, *faults):
  """Flags that make the toy break: (seed, which visit of it, fault)."""
  folder.mkdir(exist_ok=True)
  return [
      '--env.config.folder', folder, '--env.config.plan',
      json.dumps([list(fault) for fault in faults])]


def rows(logdir, timing=True):
  """Reads metrics.jsonl, on request without what depends on the clock."""
  lines = (logdir / 'metrics.jsonl').read_text().splitlines()
  return [
      {k: v for k, v in json.loads(line).items()
       if timing or not ('time' in k or 'fps' in k)} for line in lines]


def assert_steps_increase(logdir):
  steps = [row['step'] for row in rows(logdir)]
  assert all(a < b for a, b in zip(steps, steps[1:])), steps


def column(logdir, name):
  return [row[name] for row in rows(logdir) if name in row]


def episodes(logdir, folder='train_episodes'):
  """Returns the arrays of all stored episodes in order."""
  result = []
  for path in sorted((logdir / folder).iterdir()):
    with np.load(path) as data:
      result.append(dict(data))
  return result


def newest(logdir):
  return Checkpoints(logdir / 'checkpoints', readonly=True).find('latest')


def checkpoint(logdir):
  """Returns variables, arrays and state of the newest checkpoint.

  File names of episodes, which are unique, are left out of the state.
  """
  record = newest(logdir)
  state = json.loads(json.dumps(record.state))
  del state['seconds'], state['eval_seconds']
  for dataset in state['datasets'].values():
    streams = [stream and [stream] for stream in dataset['streams']]
    plans = [row for batch in dataset['plans'] for row in batch]
    for piece in (piece for row in streams + plans if row for piece in row):
      piece[0] = str(piece[0]).split('-')[0]
  for row in state['pending']:
    if 'time' in row[1] or 'fps' in row[1]:
      row.clear()
  return {**record.variables(), **record.arrays}, state


def assert_equal(one, other, folders=('train_episodes', 'eval_episodes')):
  """Compares two runs bit for bit, less what depends on the clock."""
  (arrays, state), (others, expected) = checkpoint(one), checkpoint(other)
  assert len(arrays) > 100 and set(arrays) == set(others)
  differing = [k for k in arrays if not np.array_equal(arrays[k], others[k])]
  assert not differing
  assert state == expected
  assert rows(one, timing=False) == rows(other, timing=False)
  for folder in folders:
    first, second = episodes(one, folder), episodes(other, folder)
    assert len(first) == len(second) > 0
    for a, b in zip(first, second):
      assert set(a) == set(b)
      assert all(np.array_equal(a[key], b[key]) for key in a)


def resign(path, **changes):
  """Changes a manifest and makes the checksums of its folder right again."""
  manifest = json.loads((path / 'MANIFEST.json').read_text())
  for name in manifest['files']:
    manifest['files'][name] = manifestlib.entry(path / name)
  manifest.update(changes)
  (path / 'MANIFEST.json').write_text(
      json.dumps(manifestlib.with_checksum(manifest)))


def tree(folder, *but):
  """Returns path -> digest of all files below, but for some names."""
  return {
      str(path.relative_to(folder)): hashlib.sha256(
          path.read_bytes()).hexdigest()
      for path in sorted(folder.rglob('*'))
      if path.is_file() and path.name not in but}
