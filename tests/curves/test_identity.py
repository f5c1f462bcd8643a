"""What runs are called."""

import folders
import pytest

from dreamerv2_tf.curves.identity import Identity, identify

TASK = 'gym_CartPole-v1'


@pytest.fixture
def said():
  return []


def test_a_run_of_ours_is_called_by_its_settings(tmp_path, said):
  folder = folders.ours(
      tmp_path / 'try', [], '--discount', '0.9', '--action_repeat', '2', seed=3)
  assert identify(folder, said.append) == Identity(
      TASK, 'debug (action_repeat 2, discount 0.9)', '3', True, 2)
  assert identify(folder, said.append, 'folder').method == 'try'
  assert said == []


def test_the_layout_names_the_method_and_settings_the_seed(tmp_path, said):
  folder = folders.ours(tmp_path / TASK / 'mine' / '7', [], seed=3)
  assert identify(folder, said.append)[:3] == (TASK, 'mine', '3')
  assert identify(folder, said.append, 'folder').method == 'mine'
  assert identify(folder, said.append, 'settings').method == 'debug'


def test_the_folder_of_a_task_may_be_written_as_folders_are(tmp_path, said):
  folder = folders.ours(
      tmp_path / 'gym_a-b-v1' / 'mine' / '0', [], task='gym_a/b-v1')
  assert identify(folder, said.append)[:2] == ('gym_a/b-v1', 'mine')


def test_what_changed_and_what_is_unknown_is_in_the_name(
    tmp_path, said, caplog):
  folder = folders.ours(tmp_path / 'a', [], changed=[
      {'step': 500, 'changed': {'discount': [0.9, 0.99]}, 'argv': []}])
  with open(folder / 'config.yaml', 'a') as file:
    file.write('gone: 0.5\n')
  assert identify(folder, said.append).method == (
      'debug (discount 0.9 before step 500, gone 0.5)')
  assert not said and not caplog.records


def test_settings_that_are_no_longer_valid_leave_the_folder_as_name(
    tmp_path, said):
  folder = folders.ours(tmp_path / 'old', [], seed=2)
  path = folder / 'config.yaml'
  path.write_text(path.read_text().replace('actor_grad: auto', 'actor_grad: x'))
  assert identify(folder, said.append)[:3] == (TASK, 'old', '2')
  [text] = said
  assert text.startswith(f'{folder}: named after its folder. ')
  assert "'actor_grad' must be one of" in text


@pytest.mark.parametrize('settings, repeat', [(True, 4), (False, None)])
def test_a_run_of_the_original_is_called_by_its_layout(
    tmp_path, said, settings, repeat):
  folder = folders.original(
      tmp_path, 'atari_pong', 'dreamerv2', 12, [], settings)
  assert identify(folder, said.append) == Identity(
      'atari_pong', 'dreamerv2', '12', True, repeat)
  other = folders.original(tmp_path, 'atari_jamesbond', 'm', 1, [])
  assert identify(other, said.append).task == 'atari_james_bond'


def test_without_the_layout_settings_have_the_task(tmp_path, said):
  folder = tmp_path / 'try'
  folders.write(folder / 'metrics.jsonl', [])
  (folder / 'config.yaml').write_text('task: atari_pong\nseed: 0\n')
  assert identify(folder, said.append) == Identity(
      'atari_pong', 'try', '0', True, None)


def test_other_methods_have_a_record(tmp_path, said):
  folder = folders.baseline(tmp_path / 'a', [])
  assert identify(folder, said.append) == Identity(TASK, 'slower', '0', False)
  folder = folders.baseline(tmp_path / 'b', [], 'ppo', steps=9, seed=4)
  assert identify(folder, said.append) == Identity(TASK, 'ppo', '4', True)
