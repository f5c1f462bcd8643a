"""What a run tells its user."""

import pathlib
import shlex
import types

import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf.run import texts


@pytest.mark.parametrize('name', ['run', 'my run', "it's [a] run; $HOME"])
def test_the_last_words_are_commands_that_a_shell_understands(name):
  folder = pathlib.Path('/a') / name
  say = lambda **changes: texts.summary(folder, 7, **{
      'episodes': 2, 'prefill': 3, 'trained': True, 'named': True,
      'score': 'Return: last 1.0.', **changes}).splitlines()
  first, score, *commands = say()
  assert first == 'Done: 7 steps, 2 episodes.'
  assert score == 'Return: last 1.0.'
  assert [shlex.split(command) for command in commands] == [
      ['dreamerv2', 'eval', '--logdir', str(folder)],
      ['tensorboard', '--logdir', str(folder)]]
  first, load, _ = say(trained=False, named=False, score='')
  assert first.startswith('No gradient step was taken (prefill is 3 steps): 7')
  assert load == f'  dreamerv2_tf.load({str(folder)!r}, env=...)'


def test_a_score_has_its_spread_and_number_of_episodes():
  final = {
      'return_mean': 7.84, 'return_std': 3.9, 'crash_rate': 1.0, 'episodes': 10}
  assert texts.scored(final, 20.11, 200, 2) == (
      'Return: last 7.8 ± 3.9, crash 100 % (10 episodes); best 20.1 at step 200'
      ' (2 episodes).')
  assert texts.scored(final, None, None, 2) == (
      'Return: last 7.8 ± 3.9, crash 100 % (10 episodes).')
  final.update(crash_rate=None, episodes=1)
  assert texts.scored(final, 8.0, None, 1) == (
      'Return: last 7.8 (1 episode); best 8.0 (1 episode).')
  assert texts.scored(None, None, None, 2) == ''


@pytest.mark.parametrize('step, steps, further', [
    (600, 600, 1200), (608, 600, 1200), (800, 300, 1600)])
def test_a_complete_run_says_how_to_go_on(step, steps, further):
  assert texts.complete(
      pathlib.Path('/a'), step, steps, 'Return: last 1.0.', True) == (
          f'This run is complete ({step} of {steps} steps). Go on with --steps '
          f'{further}.\nReturn: last 1.0.\n  dreamerv2 eval --logdir /a\n'
          '  tensorboard --logdir /a')


def test_each_observation_is_told_with_what_it_is_made_of():
  box = lambda *shape: gym.spaces.Box(0, 1, shape, np.float32)
  names = types.SimpleNamespace
  weights = {'a': np.zeros((2, 3)), 'b': np.zeros(4)}
  agent = names(
      obs_space={
          'camera': gym.spaces.Box(0, 255, (16, 16, 3), np.uint8),
          'gear': box(3), 'pose': box(2), 'reward': box(), 'log_x': box()},
      named_variables=lambda: {
          key: names(shape=names(num_elements=lambda value=value: value.size))
          for key, value in weights.items()},
      world_model=names(encoder=names(cnn_keys=['camera'], mlp_keys=['gear'])))
  lines = texts.introduction(
      agent, {
          'camera': 'from Box (3, 16, 16) uint8 [0, 255], axes 1 2 0',
          'gear': 'from gear: Discrete(3), one-hot', 'pose': 'from pose: x',
          'action': 'Discrete(2), one-hot'}, 4, 2e9, '', 1.25).splitlines()
  assert lines[:6] == [
      'Observations  camera uint8 (16, 16, 3) from Box (3, 16, 16) uint8 '
      '[0, 255], axes 1 2 0',
      '              gear float32 (3,) from gear: Discrete(3), one-hot',
      'Not read      pose', 'Actions       Discrete(2), one-hot',
      'Environments  4', 'Parameters    10']
