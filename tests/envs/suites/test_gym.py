"""Registered environments of Gymnasium."""

import sys

from environments import config, make
import gymnasium as gym
import pytest

from dreamerv2_tf import envs
from dreamerv2_tf.errors import ConfigError, EnvError


@pytest.mark.parametrize('code, text', [
    ('def f(:', "module 'broken' can not be imported: SyntaxError"),
    ('raise RuntimeError("no licence")', 'RuntimeError: no licence'),
    ('import nowhere_at_all', "'nowhere_at_all'.*pip install nowhere-at-all")])
def test_modules_that_can_not_be_imported(code, text, tmp_path, monkeypatch):
  (tmp_path / 'broken.py').write_text(code)
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(EnvError, match=text) as info:
    envs.make('gym_broken:A-v0', **config())
  assert 'exist' not in str(info.value)


@pytest.mark.parametrize('code, text', [
    ('def f(:', 'SyntaxError: invalid syntax'),
    ('raise RuntimeError("no licence")', 'RuntimeError: no licence'),
    ('import nowhere_at_all', "'nowhere_at_all'.*pip install nowhere-at-all"),
    ('', 'AttributeError: ')])
def test_registered_classes_that_can_not_be_imported(
    code, text, tmp_path, monkeypatch):
  (tmp_path / 'broken.py').write_text(code)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.delitem(sys.modules, 'broken', raising=False)
  monkeypatch.setitem(
      gym.registry, 'Broken-v0', gym.envs.registration.EnvSpec(
          'Broken-v0', 'broken:Env'))
  with pytest.raises(EnvError, match=text) as info:
    envs.make('gym_Broken-v0', **config(env_config={'size': 3}))
  assert "Environment 'gym_Broken-v0'" in str(info.value)


def test_missing_packages_are_named_with_how_to_install_them(monkeypatch):
  monkeypatch.setitem(sys.modules, 'highway_env', None)
  with pytest.raises(EnvError, match='pip install highway-env'):
    envs.make('highway_highway-fast-v0', **config())
  monkeypatch.setitem(
      gym.registry, 'Away-v0', gym.envs.registration.EnvSpec(
          'Away-v0', 'nowhere_at_all:Env'))
  with pytest.raises(EnvError, match='pip install nowhere-at-all'):
    envs.make('gym_Away-v0', **config())


def test_games_of_atari_have_a_suite_of_their_own():
  with pytest.raises(ConfigError, match='Write Atari as atari_<game>'):
    envs.make('gym_ALE/Nowhere-v5', **config())


def test_unknown_argument_of_the_constructor():
  with pytest.raises(ConfigError, match="env.config.lenght.*'length'"):
    make('Counter', {'lenght': 3})


def test_constructor_that_raises():
  with pytest.raises(EnvError, match='can not be built: ValueError: no such'):
    make('Fault', {'fault': 'constructor'})


@pytest.mark.parametrize('name', ['Blind', 'Dark'])
def test_what_can_not_render_can_not_be_filmed(name):
  make(name)
  with pytest.raises(ConfigError, match=(
      f"'gym_toys:{name}-v0' can not render pictures .rgb_array., so that it "
      'can not be filmed')):
    make(name, render=True)
