"""Whole runs of the command: what they write, and that they resume exactly."""

import io
import json
import math
import types

import boards
import numpy as np
from PIL import Image
import pytest
import runs

from dreamerv2_tf.config import Config, resolve
from dreamerv2_tf.data.replay import Replay
from dreamerv2_tf.report import metrics, terminal
from dreamerv2_tf.run import measure
from dreamerv2_tf.run.learner import Learner

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
    events = boards.events(logdir)
    names = set().union(*runs.rows(logdir)) - {'step'}
    assert not [x for x in names if metrics.find(x) is None]
    tags = {f'{metrics.find(x).group}/{x}' for x in names}
    # Nothing failed, so that there is no such chart.
    drawn = {x for x in tags if not x.startswith(metrics.HEALTH)}
    assert boards.tags_of(events, 'scalars') == drawn != tags
    assert all(
        'Unit' in events.SummaryMetadata(x).summary_description
        for x in drawn if 'return' in x or 'time' in x or 'fps' in x)
    for _, value in boards.points(events, '1 results/eval_return'):
      assert np.float32(value) in np.float32(
          runs.column(logdir, 'eval_return'))
    videos = {'eval_policy'} if key == 'vector' else {
        'train_policy_image', 'eval_policy_image', 'train_openl_image',
        'eval_openl_image'}
    found = {x.split('/')[1]: x for x in boards.tags_of(events, 'images')}
    assert set(found) == videos
    for name in videos:
      _, width, _, data = boards.picture(events, found[name])
      assert width >= 480 and data[:3] == b'GIF'
      assert Image.open(io.BytesIO(data)).n_frames > 1
    page = events.Tensors('about this run')[0].tensor_proto.string_val[0]
    assert f'- Preset: `{preset}`, `debug`' in page.decode()
    assert 'config' in boards.tags_of(events, 'text')

  def test_terminal(self, highway):
    out = (highway['highway'].parent / 'highway.out').read_text()
    for text in (
        'Observations  image uint8 (32, 128, 1) from Box (1, 128, 32) uint8 '
        '[0, 255], axes 2 1 0', 'Actions       Discrete(5), one-hot',
        'Starting TensorFlow and ', 'New run.', '  evaluation: return ',
        '  training: return ', 'Done: ', 'Return: last ',
        'dreamerv2 eval --logdir'):
      assert text in out, text


# Gradient steps take longer by so many seconds.
SLOWED = """
import time
from dreamerv2_tf.agent import Agent
train = Agent.train
def slowed(self, data, state=None):
  time.sleep({})
  return train(self, data, state)
Agent.train = slowed
"""


def test_how_long_gradient_steps_take_changes_nothing(launcher, tmp_path):
  # Drops make iterations of fewer steps than environments.
  flags = [
      *runs.TOY, '--steps', '110', '--prefill', '40', '--on_bad_data', 'drop',
      '--train_every', '2', '--envs_parallel', 'none']
  for name in 'model', 'actor', 'critic':
    flags += [f'--{name}_opt.lr', '1e-2']
  for name, seconds in ('fast', 0), ('slow', 0.06):
    faults = runs.plan(tmp_path / f'visits {name}', *[
        (runs.seed_of(index), 1, 'nan') for index in range(3, 30)])
    launcher.call(
        tmp_path / name, *flags, *faults, setup=SLOWED.format(seconds))
  runs.assert_equal(tmp_path / 'fast', tmp_path / 'slow')


def test_nothing_is_reported_while_no_episode_can_be_sampled(tmp_path):
  flags = np.arange(4) == 0, np.arange(4) == 3
  Replay(tmp_path).add_episode({
      'action': np.zeros((4, 2)), 'reward': np.zeros(4), 'is_first': flags[0],
      'is_last': flags[1], 'is_terminal': flags[1]})
  heads = {'decoder': types.SimpleNamespace(cnn_keys=['image'])}
  agent = types.SimpleNamespace(
      world_model=types.SimpleNamespace(heads=heads, CONTEXT=1),
      report=lambda batch: {'image': (np.zeros((1, 2, 4, 4, 1)),) * 2})
  batch = {'is_first': np.zeros((1, 2), bool)}
  logged = []
  for minlen in 5, 3:  # The episode has 3 steps.
    replay = Replay(tmp_path, minlen=minlen)
    assert replay.stats['loaded_episodes'] == 1
    measure.report(types.SimpleNamespace(
        replays={'eval': replay}, agent=agent, terminal=terminal.nowhere(),
        datasets={'eval_report': iter([batch] * (minlen == 3))},
        logger=types.SimpleNamespace(
            add=lambda metrics, prefix: logged.append((prefix, *metrics)))),
        'eval')
  assert logged == [('eval', 'openl_image')]


def test_a_run_without_configs_goes_on_with_its_own(launcher, tmp_path):
  logdir = tmp_path / 'run'
  launcher.call(logdir, *runs.TOY, '--steps', 20)
  _, err = launcher.call(logdir, '--steps', 30)
  assert 'No --configs: settings from' in err
  config = Config.load(logdir / 'config.yaml')
  expected = resolve(['debug']).update({
      'logdir': str(logdir), 'task': 'gym_toys:Plan-v0', 'envs': 2})
  assert (config.rssm, config.task, config.envs) == (
      expected.rssm, expected.task, expected.envs)


def test_an_episode_that_never_ends_is_learned_from_while_it_runs(
    launcher, tmp_path):
  out, err = launcher.call(
      tmp_path / 'run', *runs.TOY, '--env.config.length', 10 ** 6,
      '--replay.ongoing', 'True', '--steps', 110, '--eval_every', 0)
  assert 'Done: 110 steps, 0 episodes' in out and 'no episode' not in err
  assert runs.column(tmp_path / 'run', 'model_loss')


@pytest.mark.parametrize('until, repeat, explored', [
    (60, 2, 20), (30, 1, 0), (0, 1, 35)])
def test_exploration_ends_at_its_step_and_prefill_counts(
    until, repeat, explored, tmp_path, monkeypatch):
  """Steps are those of the policy, however often actions are repeated."""
  modes = []
  act = Learner.policy

  def policy(self, *args, mode, **kwargs):
    modes.append(mode)
    return act(self, *args, mode=mode, **kwargs)

  monkeypatch.setattr(Learner, 'policy', policy)
  assert runs.here(
      tmp_path / 'run', '--configs', 'debug', '--task', 'gym_toys:Counter-v0',
      '--envs_parallel', 'none', '--expl_behavior', 'Random', '--expl_until',
      until, '--action_repeat', repeat, '--prefill', 40, '--steps', 75,
      '--eval_every', 0, '--eval_eps', 1, '--train_every', 1000) == 0
  assert [mode for mode in modes if mode != 'eval'] == (
      ['explore'] * explored + ['train'] * (35 - explored))
