"""Whole runs of the command: what they write, and that they resume exactly."""

from concurrent import futures
import io
import json
import math
import os
import shutil
import signal
import types

import numpy as np
from PIL import Image
import pytest
import runs
from tensorboard.backend.event_processing import event_accumulator

from dreamerv2_tf.config import Config, resolve
from dreamerv2_tf.data.replay import Replay
from dreamerv2_tf.run.train import Trainer

LOSSES = (
    'kl_loss', 'model_kl', 'prior_ent', 'post_ent', 'reward_loss',
    'discount_loss', 'model_loss', 'model_grad_norm', 'actor_loss',
    'actor_ent', 'actor_grad_norm', 'critic_loss', 'critic_target',
    'critic_grad_norm')
TIMES = (
    'fps', 'fps_env', 'time_env', 'time_policy', 'time_wait', 'time_train',
    'time_replay', 'time_total', 'time_eval')
KINDS = [('highway_kinematics', 'vector'), ('highway', 'image')]


class TestHighway:
  """The debug preset on the real environment."""

  @pytest.mark.parametrize('preset, key', KINDS)
  def test_files(self, highway, preset, key):
    logdir = highway[preset]
    assert {path.name for path in logdir.iterdir()} >= {
        'config.yaml', 'run.json', 'metrics.jsonl', 'train_episodes',
        'eval_episodes', 'checkpoints', 'lock'}
    assert not list(logdir.rglob('.tmp-*'))
    assert not (logdir / 'failure.json').exists()
    config = Config.load(logdir / 'config.yaml')
    assert config.task == 'highway_highway-fast-v0' and config.rssm.deter == 32
    [begin] = json.loads((logdir / 'run.json').read_text())['history']
    assert begin['step'] == 0 and '--configs' in begin['argv']
    assert runs.newest(logdir).step >= config.steps
    assert runs.newest(logdir).state['pretrained'] == config.pretrain

  @pytest.mark.parametrize('preset, key', KINDS)
  def test_metrics_have_the_names_of_the_original(self, highway, preset, key):
    logdir = highway[preset]
    runs.assert_steps_increase(logdir)
    names = set().union(*runs.rows(logdir))
    assert names >= {
        'train_return', 'train_length', 'eval_return', 'eval_length',
        'eval_crash_rate', 'eval_speed', 'train_total_steps', *LOSSES, *TIMES,
        f'{key}_loss', f'{key}_excess', f'{key}_mse'}
    for name in (*LOSSES, *TIMES, f'{key}_loss'):
      values = runs.column(logdir, name)
      assert values and all(map(math.isfinite, values)), name
    # Each of the first 30 decisions earns between 0 and 1 here.
    assert all(0 < x <= 30 for x in runs.column(logdir, 'eval_return'))

  @pytest.mark.parametrize('preset, key', KINDS)
  def test_episodes_hold_all_steps(self, highway, preset, key):
    logdir = highway[preset]
    stored = runs.episodes(logdir)
    for episode in stored:
      rows = len(episode['reward'])
      assert episode['is_first'].tolist() == [True] + [False] * (rows - 1)
      assert episode['is_last'].tolist() == [False] * (rows - 1) + [True]
      assert episode['action'].shape == (rows, 5)
      assert not episode['action'][0].any() and (
          episode['action'][1:].sum(-1) == 1).all()
      # A crash is terminal, the end of the time is not.
      assert episode['is_terminal'][-1] == episode['log_crashed'][-1]
      shape = (32, 128, 1) if key == 'image' else (25,)
      assert episode[key].shape == (rows, *shape)
    steps = sum(len(episode['reward']) - 1 for episode in stored)
    state = runs.newest(logdir).state
    running = sum(
        len(w.get('actions', ())) for w in state['driver']['workers'])
    assert steps + running == state['step']
    returns = [episode['reward'].sum(dtype=np.float64) for episode in stored]
    np.testing.assert_allclose(
        runs.column(logdir, 'train_return'), returns, rtol=1e-6)

  @pytest.mark.parametrize('preset, key', KINDS)
  def test_tensorboard(self, highway, preset, key):
    logdir = highway[preset]
    events = event_accumulator.EventAccumulator(
        str(logdir), size_guidance={'images': 0, 'scalars': 0, 'tensors': 0})
    tags = events.Reload().Tags()
    names = set().union(*runs.rows(logdir)) - {'step'}
    assert {f'scalars/{name}' for name in names} <= set(tags['scalars'])
    for event in events.Scalars('scalars/eval_return'):
      assert np.float32(event.value) in np.float32(
          runs.column(logdir, 'eval_return'))
    videos = {'eval_policy'} if key == 'vector' else {
        'train_policy_image', 'eval_policy_image', 'train_openl_image',
        'eval_openl_image'}
    assert set(tags['images']) == videos
    for name in videos:
      data = events.Images(name)[-1].encoded_image_string
      assert data[:3] == b'GIF'
      assert Image.open(io.BytesIO(data)).n_frames > 1
    assert any('config' in tag for tag in tags['tensors'])

  def test_terminal(self, highway):
    out = (highway['highway'].parent / 'highway.out').read_text()
    for text in (
        'Observations  image uint8 (32, 128, 1)', 'Actions       Discrete(5)',
        'New run.', 'eval_return', 'Done: ', 'dreamerv2 eval --logdir'):
      assert text in out, text


@pytest.fixture(scope='module')
def toys(tmp_path_factory):
  """Runs of 300 steps: straight, in halves, with signals, of another seed."""
  folder = tmp_path_factory.mktemp('toys')
  messages = {}

  def straight():
    runs.call(folder / 'straight', *runs.TOY, '--steps', 300)
    runs.call(folder / 'other', *runs.TOY, '--steps', 28, '--seed', 1)

  def halves():
    for steps in 150, 300:
      runs.call(folder / 'halves', *runs.TOY, '--steps', steps)

  def signals():
    # In prefill; in the second evaluation; beyond a checkpoint; in training.
    faults = runs.plan(
        folder / 'visits', (runs.seed_of(2), 1, 'SIGTERM'),
        (20_001, 2, 'SIGTERM'), (runs.seed_of(10), 1, 'SIGKILL'),
        (runs.seed_of(15, 1), 1, 'SIGINT'))
    for status in 75, 75, -signal.SIGKILL, 130, 0:
      messages.setdefault(status, []).append(runs.call(
          folder / 'signals', *runs.TOY, *faults, '--steps', 300,
          status=status))

  with futures.ThreadPoolExecutor(2) as pool:
    for job in [pool.submit(job) for job in (signals, straight, halves)]:
      job.result()
  return folder, messages


class TestResume:
  """Runs that were stopped equal one that was not, bit for bit."""

  def test_halves_equal_the_whole(self, toys):
    folder, _ = toys
    runs.assert_equal(folder / 'straight', folder / 'halves')
    history = json.loads((folder / 'halves' / 'run.json').read_text())[
        'history']
    assert [(x['step'], list(x['changed'])) for x in history] == [
        (0, []), (150, ['steps'])]

  def test_signals_change_nothing(self, toys):
    folder, messages = toys
    runs.assert_equal(folder / 'straight', folder / 'signals')
    runs.assert_steps_increase(folder / 'signals')
    assert (folder / 'signals' / 'metrics.1.cut.jsonl').exists()
    assert not (folder / 'signals' / 'failure.json').exists()
    steps = [x['step'] for x in json.loads(
        (folder / 'signals' / 'run.json').read_text())['history']]
    # Killed at about 145, it went back to where it was stopped before.
    assert steps[0] == 0 and 28 < steps[1] < 42
    assert steps[2] == steps[3] == 130 and 210 < steps[4] < 224

  def test_an_environment_that_hangs_changes_nothing(self, toys, tmp_path):
    folder, _ = toys
    logdir = tmp_path / 'run'
    seed = runs.seed_of(12, 1)
    flags = [
        *runs.TOY, '--steps', 300, '--env_timeout', 3600,
        *runs.plan(tmp_path / 'visits', (seed, 1, 'hang'))]
    process = runs.start(logdir, *flags)
    runs.wait_for((tmp_path / 'visits' / f'{seed}-now').exists, process)
    process.send_signal(signal.SIGTERM)
    runs.finish(process, 75)
    assert len(runs.newest(logdir).state['driver']['unanswered']) == 2
    runs.call(logdir, *flags)
    runs.assert_equal(folder / 'straight', logdir)

  def test_messages(self, toys):
    _, messages = toys
    for status, name in (75, 'SIGTERM'), (130, 'SIGINT'):
      for _, err in messages[status]:
        line = err.splitlines()[-1]
        assert line.startswith(f'Stopped by {name} at step ')
        assert 'the state is saved. Run the same command again' in line
        assert 'error: ' not in line
    [(out, _)] = messages[0]
    assert 'Resumed       checkpoint 2' in out and 'New run' not in out

  def test_another_seed_differs(self, toys):
    folder, _ = toys
    one, other = runs.episodes(folder / 'straight'), runs.episodes(
        folder / 'other')
    assert not np.array_equal(
        np.concatenate([x['action'] for x in one[:8]]),
        np.concatenate([x['action'] for x in other[:8]]))
    weights = [
        runs.checkpoint(folder / name)[0]['world_model/rssm/img_in/kernel']
        for name in ('straight', 'other')]
    assert np.abs(weights[0] - weights[1]).min() > 0


# Gradient steps take longer by what the first argument says, in seconds.
SLOWED = """
import sys, time
from dreamerv2_tf import cli
from dreamerv2_tf.agent import Agent
train = Agent.train
def slowed(self, data, state=None):
  time.sleep(float(sys.argv[1]))
  return train(self, data, state)
Agent.train = slowed
sys.exit(cli.main(sys.argv[2:]))
"""


def test_how_long_gradient_steps_take_changes_nothing(tmp_path, python):
  # Drops make iterations of fewer steps than environments.
  flags = [
      *runs.TOY, '--steps', '110', '--prefill', '40', '--on_bad_data', 'drop',
      '--train_every', '2', '--envs_parallel', 'none']
  for name in 'model', 'actor', 'critic':
    flags += [f'--{name}_opt.lr', '1e-2']
  path = f'{runs.HERE.parent}{os.pathsep}{runs.HERE}'
  for name, seconds in ('fast', '0'), ('slow', '0.06'):
    faults = runs.plan(tmp_path / f'visits {name}', *[
        (runs.seed_of(index), 1, 'nan') for index in range(3, 30)])
    result = python(
        '-c', SLOWED, seconds, 'train', '--logdir', str(tmp_path / name),
        *flags, *map(str, faults), env={'PYTHONPATH': path})
    assert result.returncode == 0, result.stderr
  runs.assert_equal(tmp_path / 'fast', tmp_path / 'slow')


def test_nothing_is_reported_while_no_episode_can_be_sampled(tmp_path):
  flags = np.arange(4) == 0, np.arange(4) == 3
  Replay(tmp_path).add_episode({
      'action': np.zeros((4, 2)), 'reward': np.zeros(4), 'is_first': flags[0],
      'is_last': flags[1], 'is_terminal': flags[1]})
  heads = {'decoder': types.SimpleNamespace(cnn_keys=['image'])}
  agent = types.SimpleNamespace(
      world_model=types.SimpleNamespace(heads=heads),
      report=lambda batch: {'openl': batch})
  logged = []
  for minlen in 5, 3:  # The episode has 3 steps.
    replay = Replay(tmp_path, minlen=minlen)
    assert replay.stats['loaded_episodes'] == 1
    Trainer._report(types.SimpleNamespace(
        _replay=None, _eval_replay=replay, agent=agent,
        _datasets={'eval_report': iter(['batch'] * (minlen == 3))},
        _logger=types.SimpleNamespace(
            add=lambda metrics, prefix: logged.append((prefix, metrics)))),
        'eval')
  assert logged == [('eval', {'openl': 'batch'})]


@pytest.fixture(scope='module')
def kept(tmp_path_factory):
  """A run without determinism, killed and resumed; rows before and after."""
  folder = tmp_path_factory.mktemp('kept')
  logdir = folder / 'run'
  flags = [
      *runs.TOY, '--deterministic', 'False', *runs.plan(
          folder / 'visits', (runs.seed_of(10), 1, 'SIGKILL')),
      '--checkpoint_every', 1000, '--eval_every', 0, '--steps', 200]
  runs.call(logdir, *flags, status=-signal.SIGKILL)
  before = runs.rows(logdir), sorted(
      path.name for path in (logdir / 'train_episodes').iterdir())
  return logdir, *before, *runs.call(logdir, '--steps', 200)


def test_without_determinism_newer_episodes_count(kept):
  logdir, rows, names, out, err = kept
  # Ten episodes of each worker were complete, 7 steps each.
  assert len(names) == 20 and rows[-1]['step'] > 140
  assert 'checkpoint 0 and 140 newer steps' in out
  now = sorted(path.name for path in (logdir / 'train_episodes').iterdir())
  assert set(names) <= set(now) and len(now) > 20
  runs.assert_steps_increase(logdir)
  certain = [row for row in rows if row['step'] < 140]
  assert runs.rows(logdir)[:len(certain)] == certain and len(certain) > 10
  record = runs.newest(logdir)
  assert record.step == 200
  assert record.state['replay']['total_steps'] == sum(
      len(x['reward']) - 1 for x in runs.episodes(logdir))
  # No scenario is repeated.
  seeds = [x['vector'][0, 1] for x in runs.episodes(logdir)]
  assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize('name', ['x [a]=1', 'a*b?\\c'])
def test_a_run_in_a_folder_of_any_name(name, tmp_path):
  logdir = tmp_path / name / 'run'
  for steps in 100, 120:
    out, _ = runs.call(logdir, *runs.TOY, '--steps', steps)
  assert 'Resumed       checkpoint 100' in out
  assert runs.newest(logdir).variables()['step'] > 100
  out, _ = runs.call(logdir, '--episodes', 2, command='eval')
  assert 'Return        7.00' in out
  assert list(logdir.glob('eval-120-*.json'))
  runs.assert_steps_increase(logdir)


def test_a_run_without_configs_goes_on_with_its_own(kept):
  logdir, *_, err = kept
  assert 'No --configs: settings from' in err
  config = Config.load(logdir / 'config.yaml')
  expected = resolve(['debug']).update({
      'logdir': str(logdir), 'task': 'gym_toys:Plan-v0', 'envs': 2})
  assert (config.rssm, config.task, config.envs) == (
      expected.rssm, expected.task, expected.envs)


def test_a_history_without_checkpoints_never_begins_from_zero(kept, tmp_path):
  logdir = tmp_path / 'run'
  shutil.copytree(kept[0], logdir)
  for name in 'checkpoints', 'train_episodes', 'eval_episodes':
    shutil.rmtree(logdir / name)
  (logdir / 'metrics.jsonl').unlink()
  before = runs.tree(logdir)
  _, err = runs.call(logdir, '--steps', 210, status=3)
  assert 'but no checkpoint. Put back a copy' in err.splitlines()[-1]
  assert runs.tree(logdir, 'failure.json') == before


def test_an_episode_that_never_ends_is_learned_from_while_it_runs(tmp_path):
  out, err = runs.call(
      tmp_path / 'run', *runs.TOY, '--env.config.length', 10 ** 6,
      '--replay.ongoing', 'True', '--steps', 110, '--eval_every', 0)
  assert 'Done: 110 steps, 0 episodes' in out and 'no episode' not in err
  assert runs.column(tmp_path / 'run', 'model_loss')


def test_another_order_of_observations_changes_nothing(tmp_path):
  # As another version of the environment may have it, or of Gymnasium.
  flags = [*runs.TOY, '--task', 'gym_toys:Keys-v0', '--eval_every', 0]
  begun, one, other = (tmp_path / name for name in ('begun', 'one', 'other'))
  keys = {'TOY_KEYS': 'long b'}
  runs.call(begun, *flags, '--steps', 100, env=keys)
  for logdir in one, other:
    shutil.copytree(begun, logdir)
  runs.call(one, *flags, '--steps', 140, env=keys)
  runs.call(other, *flags, '--steps', 140, env={'TOY_KEYS': 'b long'})
  (arrays, _), (others, _) = runs.checkpoint(one), runs.checkpoint(other)
  assert set(arrays) == set(others) and all(
      np.array_equal(arrays[key], others[key]) for key in arrays)
  names = runs.newest(other).manifest['observations']
  assert [name for name in names if name in ('b', 'long')] == ['b', 'long']


@pytest.mark.parametrize('path, value', [
    ('learner skipped', 'x'), ('driver steps', 'x'), ('driver episodes', None),
    ('driver steps', -1), ('driver workers 1 episode', -1),
    ('driver workers 0 episode', '0'), ('every train last', 'x'),
    ('every eval last', [1]), ('replay next_seq', 1.5),
    ('replay total_steps', 'x'), ('eval_replay episodes_skipped', {}),
    ('step', -1), ('pending', [['x', 'fps', 1]]),
    ('pending', [[1, 'fps', 'x']])])
def test_what_would_fail_later_is_told_while_resuming(kept, path, value):
  state = json.loads(json.dumps(runs.newest(kept[0]).state))
  trainer = types.SimpleNamespace(_due=state['due'], _every=state['every'])
  Trainer._check_state(trainer, state)
  place = state
  *parents, last = path.split()
  for key in parents:
    place = place[int(key) if isinstance(place, list) else key]
  place[last] = value
  with pytest.raises((TypeError, ValueError), match=f"'{path}' "):
    Trainer._check_state(trainer, state)
