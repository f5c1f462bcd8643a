"""DeepMind Control: spaces, cameras, repeats, ends, what can not be drawn.

Pictures are drawn in a worker, as this process may have TensorFlow.
"""

import contextlib
import functools
import sys
import types

import dm_env
from dm_env import specs
from environments import config
import numpy as np
from pools import run
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.envs.suites import dmc
from dreamerv2_tf.errors import ConfigError, EnvError, NonFiniteError


def make(task='cartpole_balance', env_config=None, render=False, **settings):
  return envs.make(
      f'dmc_{task}', **config(env_config, **settings), render=render)


def blind(task='cartpole_balance', env_config=None, **settings):
  return make(task, env_config, dmc_images=False, **settings)


@contextlib.contextmanager
def worker(task='cartpole_balance', env_config=None, render=False, **settings):
  make = functools.partial(
      envs.make, f'dmc_{task}', **config(env_config, **settings), render=render)
  pool = envs.Pool(make, 1)
  yield pool
  pool.close()


def push(env, value=1.0):
  return env.step({'action': np.full(
      env.act_space['action'].shape, value, np.float32)})


def test_images_and_joints_are_observed():
  with worker('walker_walk', render_size=(48, 64)) as pool:
    got = envs.signature(pool.obs_space, pool.act_space)
    first, again, other = (
        run(pool, ('reset', seed))[0]['image'] for seed in (1, 1, 2))
  assert {k: v for k, v in got.items() if 'is_' not in k} == {
      'image': 'uint8 (48, 64, 3)', 'height': 'float32 (1,)',
      'orientations': 'float32 (14,)', 'velocity': 'float32 (9,)',
      'reward': 'float32 ()', 'action': 'float32 (6,)'}
  np.testing.assert_array_equal(first, again)
  assert (first != other).any() and first.std() > 10


def test_without_images_nothing_is_drawn(monkeypatch):
  monkeypatch.setattr(
      dmc.Control, '_draw', lambda *args: pytest.fail('drawn'))
  env = blind()
  row = env.reset(0)
  assert {'position', 'velocity'} < set(row) and 'image' not in row


@pytest.mark.parametrize('task, number', [
    ('quadruped_run', 2), ('cartpole_swingup', 0),
    ('locom_rodent_two_touch', 1)])
def test_cameras_are_those_of_the_original(task, number, monkeypatch):
  seen = []
  monkeypatch.setattr(dmc, '_load', lambda *args: FAKE)
  monkeypatch.setattr(dmc, '_check_pictures', lambda *args: None)
  monkeypatch.setattr(dmc, '_check_process', lambda: None)
  monkeypatch.setattr(
      dmc.Control, '_draw', lambda self, size: seen.append(
          self._camera) or np.zeros((*size, 3), np.uint8))
  make(task)
  make(task, dmc_camera=5)
  assert set(seen[:len(seen) // 2]) == {number}
  assert set(seen[len(seen) // 2:]) == {5}


def test_actions_are_repeated_and_rewards_summed_as_by_hand():
  from dm_control import suite
  plain = suite.load('cartpole', 'balance', task_kwargs={'random': 0})
  plain.task.random.seed(11)
  plain.reset()
  env = blind(action_repeat=3)
  env.reset(11)
  assert env.fps == pytest.approx(1 / (0.01 * 3))
  for _ in range(4):
    rewards = [plain.step(np.array([0.5])).reward for _ in range(3)]
    row = push(env, 0.5)
    assert row['reward'] == np.float32(sum(rewards))
  np.testing.assert_allclose(
      row['velocity'], plain.physics.velocity(), rtol=1e-6)


def test_the_limit_of_a_task_is_not_terminal():
  env = blind(env_config={'task_kwargs': {'time_limit': 0.05}})
  env.reset(0)
  rows = [push(env) for _ in range(5)]
  assert [bool(row['is_last']) for row in rows] == [False] * 4 + [True]
  assert not rows[-1]['is_terminal']


class Fake:
  """An environment of dm_control that ends at once, with any discount."""

  task = types.SimpleNamespace(random=np.random.RandomState(0))
  discount = 0.0

  def observation_spec(self):
    return {
        'empty': specs.Array((0,), float), 'count': specs.Array((), int),
        'eye': specs.BoundedArray((1, 20, 20, 3), np.uint8, 0, 255)}

  def action_spec(self):
    return specs.BoundedArray((2,), float, [-np.inf, 0], [np.inf, 4])

  def control_timestep(self):
    return 0.1

  def reset(self):
    return dm_env.restart(self._observe())

  def step(self, action):
    self.action = action
    return dm_env.TimeStep(
        dm_env.StepType.LAST, None, self.discount, self._observe())

  def close(self):
    pass

  def _observe(self):
    return {
        'empty': np.zeros(0), 'count': 3,
        'eye': np.full((1, 20, 20, 3), 7, np.uint8)}


FAKE = Fake()


@pytest.mark.parametrize('discount, terminal', [(0.0, True), (1.0, False)])
def test_a_discount_of_0_is_terminal(discount, terminal, monkeypatch):
  monkeypatch.setattr(dmc, '_load', lambda *args: FAKE)
  monkeypatch.setattr(FAKE, 'discount', discount, raising=False)
  env = blind('fake')
  assert env.reset(0)['count'] == [3]
  row = push(env)
  assert row['is_last'] and row['is_terminal'] == terminal
  assert row['reward'] == 0
  assert row['eye'].shape == (20, 20, 3)
  assert env.advice[0].startswith("The observation 'empty' is left out")


def test_actions_without_bounds_are_taken_as_they_are(monkeypatch):
  monkeypatch.setattr(dmc, '_load', lambda *args: FAKE)
  env = blind('fake')
  env.reset(0)
  push(env, 0.5)
  assert FAKE.action.tolist() == [0.5, 3.0]


def test_names_of_the_original_and_of_the_suite():
  names = dmc.tasks()
  assert {'cup_catch', 'ball_in_cup_catch', 'humanoid_CMU_run',
          'manip_reach_site', 'locom_rodent_maze_forage'} < set(names)
  assert blind('cup_catch').act_space['action'].shape == (2,)


@pytest.mark.parametrize('task, kwargs, text', [
    ('walker_wlk', {}, "Did you mean 'dmc_walker_walk'"),
    ('cartpole_balance', {'env_config': {'limit': 1}},
     'Known settings: environment_kwargs, task_kwargs'),
    ('cartpole_balance', {'env_config': {'task_kwargs': {'colour': 1}}},
     'does not take env.config')])
def test_mistakes_are_named(task, kwargs, text):
  with pytest.raises(ConfigError, match=text):
    blind(task, **kwargs)


def test_a_camera_that_is_not_there_is_named():
  with pytest.raises(ConfigError, match=(
      "'dmc_camera' is 9, but 'dmc_cartpole_balance' has the cameras 0 to ")):
    with worker(dmc_camera=9):
      pass


def test_it_does_not_draw_beside_tensorflow(monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  for here in make, lambda: make(dmc_images=False, render=True):
    with pytest.raises(ConfigError, match='Give --envs_parallel process'):
      here()
  monkeypatch.setattr(dmc, '_check_process', lambda: None)
  monkeypatch.setattr(
      dmc.Control, '_draw', lambda self, size: np.arange(
          3 * size[0] * size[1]).reshape((*size, 3)).astype(np.uint8))
  with pytest.raises(ConfigError, match='Give --envs_parallel process'):
    envs.Pool(make, 1, parallel='none')
  envs.Pool(blind, 1, parallel='none').close()


def test_a_missing_package_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'dm_control', None)
  with pytest.raises(EnvError, match=r"pip install '\.\[dmc\]'"):
    blind()


def test_a_broken_package_is_told_without_a_word_of_pictures(
    tmp_path, monkeypatch):
  (tmp_path / 'dm_control').mkdir()
  (tmp_path / 'dm_control' / '__init__.py').write_text(
      "raise ImportError('no libX')")
  monkeypatch.syspath_prepend(tmp_path)
  for name in [x for x in sys.modules if x.partition('.')[0] == 'dm_control']:
    monkeypatch.delitem(sys.modules, name)
  with pytest.raises(EnvError) as info:
    blind()
  assert str(info.value).endswith(
      "needs the module 'dm_control', which is installed but can not be "
      'imported: ImportError: no libX')


@pytest.mark.parametrize('picture', [
    np.zeros((240, 320, 3), np.uint8), RuntimeError('no display')])
def test_what_can_not_be_drawn_is_refused(picture, monkeypatch):
  def draw(self, size):
    if isinstance(picture, Exception):
      raise picture
    return picture
  monkeypatch.setattr(dmc.Control, '_draw', draw)
  monkeypatch.setattr(dmc, '_check_process', lambda: None)
  with pytest.raises(EnvError, match='apt install libegl1.*dmc_proprio'):
    make()
  blind()


def test_a_renderer_that_is_not_there_ends_a_run_in_one_line(command, tmp_path):
  result = command(
      '--configs', 'dmc_vision', 'debug', '--logdir', tmp_path / 'run',
      env={'MUJOCO_GL': 'nothing'})
  assert result.returncode == 4
  assert result.stderr.count('\n') == 1
  assert 'can not draw here' in result.stderr and 'MUJOCO_GL' in result.stderr
  assert not (tmp_path / 'run').exists()


def test_drawing_beside_tensorflow_is_refused_in_one_line(command, tmp_path):
  result = command(
      '--configs', 'dmc_vision', 'debug', '--envs_parallel', 'none',
      '--logdir', tmp_path / 'run')
  assert result.returncode == 2
  assert result.stderr == (
      'error: DeepMind Control draws in a process without TensorFlow only, as '
      'both together crash. Give --envs_parallel process.\n')
  assert not (tmp_path / 'run').exists()


def test_an_unstable_simulation_is_bad_data():
  env = blind()
  env.reset(0)
  env._env.unwrapped._env.physics.data.qvel[:] = np.nan
  with pytest.raises(NonFiniteError, match='seed 0, step 1: PhysicsError: Ph'):
    push(env)
