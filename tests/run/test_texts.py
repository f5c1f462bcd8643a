"""What a run tells its user."""

import pathlib
import shlex
import types

import pytest

from dreamerv2_tf.run import texts


@pytest.mark.parametrize('name', ['run', 'my run', "it's [a] run; $HOME"])
def test_the_last_words_are_commands_that_a_shell_understands(name):
  folder = pathlib.Path('/a') / name
  progress = types.SimpleNamespace(step=7, best=1.25, best_step=5)
  say = lambda **changes: texts.summary(folder, progress, **{
      'episodes': 2, 'prefill': 3, 'trained': True, 'named': True,
      'final': {'return_mean': 1.0, 'return_std': 0.5, 'episodes': 4},
      **changes}).splitlines()
  first, *commands = say()
  assert first == (
      'Done: 7 steps, 2 episodes, last eval_return 1.0 +- 0.5 (4 episodes), '
      'best eval_return 1.2 at step 5.')
  assert [shlex.split(command) for command in commands] == [
      ['dreamerv2', 'eval', '--logdir', str(folder)],
      ['tensorboard', '--logdir', str(folder)]]
  first, load, _ = say(trained=False, named=False, final=None)
  assert first.startswith('No gradient step was taken (prefill is 3 steps): 7')
  assert load == f'  dreamerv2_tf.load({str(folder)!r}, env=...)'
