"""Commands that others can run."""

import pathlib

SCRIPT = (
    pathlib.Path(__file__).resolve().parents[2] / 'scripts'
    / 'results_names.py')


def test_commands_lack_folders_of_this_computer(script, monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  assert script.portable([
      'train', '--logdir', '/home/me/x', '--env.config.a', '/home/me/b/c',
      '--outdir=/data/z', '--x=/data/y/z.txt', '--.*\\.norm', 'none',
      '--y', '/home/meg/q', '--z', '1/2', '~/k']) == [
          'train', '--env.config.a', '~/b/c', '--x=z.txt', '--.*\\.norm',
          'none', '--y', 'q', '--z', '1/2', '~/k']


def test_commands_are_those_of_a_shell(script):
  assert script.line('run', ['--a', '~/b/c', '--.*\\.x', 'exp(1,2,3)']) == (
      "run --a ~/b/c '--.*\\.x' 'exp(1,2,3)'")


def test_seeds_are_taken_out(script):
  assert script.without_seed(['ppo', '--seed', '3', '--envs', '2']) == (
      ('ppo', '--envs', '2'), '3')
  assert script.without_seed(['ppo', '--envs=2', '--seed=4']) == (
      ('ppo', '--envs=2'), '4')
  assert script.without_seed(['ppo']) == (('ppo',), '')
