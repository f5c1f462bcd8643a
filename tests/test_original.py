"""What a program for the original does here: `defaults`, `configs`, flags."""

import pathlib
import re
import sys
import types

import gymnasium as gym
import numpy as np
import pytest
import runs
import toys

import dreamerv2_tf as dv2
from dreamerv2_tf import presets

ROOT = pathlib.Path(__file__).resolve().parents[1]

# As in the original's README, with its keys and numbers.
SETTINGS = {
    'logdir': '~/logdir/minigrid',
    'log_every': 1e3,
    'train_every': 10,
    'prefill': 1e5,
    'actor_ent': 3e-3,
    'loss_scales.kl': 1.0,
    'discount': 0.99,
}


def test_defaults_are_those_of_resolve_and_update_returns_others():
  assert dv2.defaults == dv2.resolve()
  config = dv2.defaults.update(SETTINGS)
  assert config.prefill == 100_000 and isinstance(config.prefill, int)
  assert config.log_every == 1000 and config.loss_scales.kl == 1.0
  assert dv2.defaults.prefill == 10_000  # As it was.
  assert config == dv2.resolve((), [
      '--logdir', '~/logdir/minigrid', '--log_every', '1e3', '--train_every',
      '10', '--prefill', '1e5', '--actor_ent', '3e-3', '--loss_scales.kl',
      '1.0', '--discount', '0.99'])


def test_numbers_of_numpy_and_paths_are_read():
  config = dv2.defaults.update({
      'steps': np.int64(7), 'discount': np.float32(0.5),
      'logdir': pathlib.Path('a/b')})
  assert (config.steps, config.discount, config.logdir) == (7, 0.5, 'a/b')
  assert [*map(type, (config.steps, config.discount))] == [int, float]


@pytest.mark.parametrize('call, text', [
    (lambda: dv2.defaults.update(None), "such as {'steps': 5}, got None"),
    (lambda: dv2.defaults.update([('steps', 3)]), "got [('steps', 3)]"),
    (lambda: dv2.defaults.parse_flags('--steps 5'), "but got '--steps 5'"),
    (lambda: dv2.defaults.parse_flags(['--steps', 5]), "got ['--steps', 5]"),
    (lambda: dv2.resolve((), '--steps 5'), "but got '--steps 5'")])
def test_other_types_are_refused(call, text):
  with pytest.raises(dv2.ConfigError) as info:
    call()
  assert text in str(info.value)


@pytest.mark.parametrize('name', [
    'atari', 'crafter', 'dmc_vision', 'highway_kinematics', 'debug'])
def test_configs_are_the_presets(name):
  assert dv2.defaults.update(dv2.configs[name]) == dv2.resolve([name])


def test_configs_have_all_presets_but_the_defaults():
  assert [*dv2.configs] == [x for x in presets.presets() if x != 'defaults']
  dv2.configs['debug'].clear()  # A copy, which hurts no one.
  assert dv2.configs['debug']


def test_the_module_api_has_them_too():
  import dreamerv2_tf.api as api
  assert api.defaults == dv2.defaults and api.configs == dv2.configs
  for name in api.__all__:
    assert getattr(api, name) is getattr(dv2, name)
  with pytest.raises(AttributeError, match="no attribute 'default'"):
    _ = api.default


def test_names_of_the_package_are_all_there():
  assert set(dv2.__all__) <= set(dir(dv2))
  for name in dv2.__all__:
    assert getattr(dv2, name) is not None
  with pytest.raises(AttributeError, match="no attribute 'defalts'"):
    _ = dv2.defalts


def test_flags_that_are_given_change_the_configuration():
  config = dv2.defaults.update({'steps': 7, 'discount': 0.5})
  words = ['--steps', '1e5', '--rssm.deter=30', r'--.*\.norm', 'layer']
  other = config.parse_flags(words)
  assert (other.steps, other.rssm.deter, other.actor.norm) == (
      100_000, 30, 'layer')
  assert other.discount == 0.5 and config.steps == 7
  assert dv2.defaults.parse_flags(['--configs', 'atari', 'debug']) == (
      dv2.resolve(['atari', 'debug']))
  assert dv2.defaults.parse_flags([]) == dv2.defaults


@pytest.mark.parametrize('words, text', [
    (['--stesp', '3'], "Unknown key 'stesp'. Did you mean 'steps'?"),
    (['--steps', 'x'], "'steps' must be"), (['run'], "argument 'run'"),
    (['--configs', 'atary'], "Unknown preset 'atary'"),
    (['--steps', '0'], "'steps' must be")])
def test_wrong_flags_are_one_error(words, text):
  with pytest.raises(dv2.ConfigError) as info:
    dv2.defaults.parse_flags(words)
  assert text in str(info.value)
  assert [frame.name for frame in info.traceback[1:]] == ['call']


SCRIPT = """
import sys
import dreamerv2_tf as dv2
config = dv2.defaults.update({'steps': 7}).parse_flags()
print(config.steps, config.seed)
"""


@pytest.mark.parametrize('words, said', [
    ([], '7 0\n'), (['--steps', '9', '--seed', '2'], '9 2\n'),
    (['--help'], 'All keys and presets: dreamerv2 --help\n')])
def test_a_script_is_given_its_own_words(words, said, python, tmp_path):
  path = tmp_path / 'mine.py'
  path.write_text(SCRIPT)
  result = python(str(path), *words)
  assert result.returncode == 0 and result.stdout.endswith(said), result.stderr


@pytest.mark.parametrize('program', [
    '/venv/lib/ipykernel_launcher.py', '/lib/colab_kernel_launcher.py',
    '/bin/ipython', '/lib/pytest/__main__.py', '/bin/pytest', ''])
def test_words_for_other_programs_are_left_alone(program, monkeypatch):
  monkeypatch.setattr(sys, 'argv', [program, '-f', 'kernel-1.json'])
  if not program:
    monkeypatch.setattr(sys, 'argv', [])
  assert dv2.defaults.parse_flags() == dv2.defaults


def test_under_pytest_there_are_none():
  assert dv2.defaults.parse_flags() == dv2.defaults


def test_the_example_in_the_docs_trains(tmp_path, monkeypatch):
  """As it stands, with words after it, in a toy that stands for MiniGrid."""
  page = (ROOT / 'docs' / 'python.md').read_text()
  code, = [
      x for x in re.findall('```python\n(.*?)```', page, re.S)
      if 'import minigrid' in x]
  wrappers = types.SimpleNamespace(
      RGBImgPartialObsWrapper=gym.wrappers.RecordEpisodeStatistics)
  monkeypatch.setitem(
      sys.modules, 'minigrid', types.SimpleNamespace(wrappers=wrappers))
  monkeypatch.setitem(
      gym.registry, 'MiniGrid-DoorKey-6x6-v0',
      gym.envs.registration.EnvSpec(
          'MiniGrid-DoorKey-6x6-v0', lambda: toys.Dict(length=60)))
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.setattr(sys, 'argv', [
      'mine.py', '--configs', 'debug', '--prefill', '60', '--steps', '70',
      '--eval_every', '0', '--envs', '1', '--envs_parallel', 'none',
      '--deterministic', 'False', '--encoder.cnn_keys', 'camera',
      '--encoder.mlp_keys', 'car'])
  scope = {}
  exec(compile(code, 'mine.py', 'exec'), scope)
  assert runs.newest(tmp_path / 'logdir' / 'minigrid').step == 70
  assert '\n'.join(f'    {k!r}: ' for k in SETTINGS) in re.sub(
      '(: ).*', r'\1', code)
  config = scope['config']
  assert (config.actor_ent, config.discount, config.prefill) == (
      SETTINGS['actor_ent'], SETTINGS['discount'], 60)


@pytest.mark.parametrize('config, text', [
    ({'logdir': 'x'}, 'but is of the type dict'),
    (dv2.defaults.update({'logdir': 'x', 'steps': 0}), "'steps' must be")])
def test_train_refuses_what_is_no_configuration(config, text, tmp_path):
  with pytest.raises(dv2.ConfigError) as info:
    dv2.train('gym_CartPole-v1', config)
  assert text in str(info.value)
  assert [frame.name for frame in info.traceback[1:]] == ['call']
