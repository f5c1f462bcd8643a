"""Names of runs by their settings."""

import pytest

from dreamerv2_tf import config as configlib
from dreamerv2_tf.curves import names
from dreamerv2_tf.settings import KEYS


@pytest.fixture
def name():
  """Names a run of a command line."""
  def call(*words, program=('dreamerv2',), **options):
    _, presets, overrides = configlib.parse({}, words)
    return names.method(
        configlib.resolve(presets, overrides), [*program, *words], **options)
  return call


def test_what_is_left_out_exists():
  assert set(names.BESIDE) <= set(KEYS)
  assert not {'task', 'discount', 'envs', 'precision'} & names.BESIDE


def test_a_preset_is_its_name_whatever_is_said_again(name):
  assert name('--configs', 'highway_kinematics') == 'highway_kinematics'
  assert name(
      '--configs', 'highway_kinematics', '--rssm.stoch', '16', '--.*\\.norm',
      'layer', '--actor_ent', 'linear(3e-2, 0.006, 500000)', '--seed', '4',
      '--steps', '9e5', '--eval_every', '7', '--log_every', '3', '--logdir',
      '/tmp/x', '--profile', '1:2', '--env.obs_scale', '1,15,2.5,20,80',
  ) == 'highway_kinematics'
  assert name('--configs', 'highway,debug') == 'highway debug'
  assert name('--seed', '1') == 'defaults'


def test_real_differences_are_named(name):
  assert name(
      '--configs', 'highway', '--discount', '0.9', '--actor_ent', '0.5',
      '--env.config.lanes_count', '3', '--grad_heads', 'decoder,reward',
  ) == (
      'highway (grad_heads decoder,reward, discount 0.9, actor_ent 0.5, '
      'env.config.lanes_count 3)')


def test_one_value_of_all_keys_of_an_ending_is_named_once(name):
  assert name('--configs', 'highway', '--.*\\.norm', 'layer') == (
      'highway (all norm layer)')
  # Not if one of them has another.
  text = name(
      '--configs', 'highway', '--.*\\.norm', 'layer', '--actor.norm', 'none')
  assert 'all norm' not in text and 'critic.norm layer' in text


@pytest.mark.parametrize('old, step, text', [
    (3e-4, 500, ''), (3e-4, 501, ', actor_opt.lr 0.0003 before step 501'),
    (1e-4, 500, ', actor_opt.lr 0.0001 before step 500')])
def test_a_schedule_that_still_waits_is_its_first_value(name, old, step, text):
  lr = 'linear(3e-4,6e-5,1000,500)'
  assert name('--configs', 'highway', '--actor_opt.lr', lr, changed=[
      (step, {'actor_opt.lr': [old, lr]})]) == (
          f'highway (actor_opt.lr {lr}{text})')


def test_what_the_preset_has_and_the_run_lacks_is_named():
  base = configlib.resolve([], ['--env.config.a', '3', '--env.config.b', '4'])
  config = configlib.resolve([], ['--env.config.b', '4'])
  assert names.differences(base, config) == {'env.config.a': None}
  assert names.differences(config, base) == {'env.config.a': 3}


def test_what_changed_on_the_way_is_named(name):
  changed = [
      (0, {'eval_every': [1, 2]}),
      (5000, {'discount': [0.9, 0.95], 'gone': [1, 2], 'seed': [0, 1],
              'imag_starts': [None, 0], 'actor_ent': ['linear(1,0,1e3)',
                                                      'linear(1,0,1000)']})]
  assert name('--configs', 'highway', changed=changed) == (
      'highway (discount 0.9 before step 5,000)')


def test_the_task_is_no_difference(name):
  assert name('--configs', 'debug', '--task', 'gym_CartPole-v1') == 'debug'
  assert name('--task', 'gym_CartPole-v1') == 'defaults'


def test_words_of_programs_that_train_are_passed_by(name):
  assert name(
      '--configs', 'debug', program=('my.py', 'train', 'fast')) == 'debug'


def test_settings_that_this_version_lacks_are_named(name):
  assert name('--configs', 'debug', unknown={'gone': 0.5, 'old': 'x'}) == (
      'debug (gone 0.5, old x)')
