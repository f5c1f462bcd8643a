import papers
import pytest

from dreamerv2_tf.curves import runs
from dreamerv2_tf.paper import differences, yours

M = papers.M


def read(place, metric='auto'):
  said = []
  found = runs.once(runs.find([place], said.append), said.append)
  return yours.read(found, said.append, metric), said


@pytest.mark.parametrize('task, settings, want', [
    ('atari_pong', {}, ('atari', 'pong', 1)),
    ('atari_jamesbond', {}, ('atari', 'james_bond', 1)),
    ('gym_ale_py:ALE/MsPacman-v5', {}, None),
    ('gym_ale_py:ALE/DemonAttack-v5', {}, ('atari', 'demon_attack', 4)),
    ('gym_ALE/Pong-v5', {'env.config.frameskip': 1}, ('atari', 'pong', 1)),
    ('dmc_walker_walk', {}, ('dmc', 'walker_walk', 1)),
    ('dmc_ball_in_cup_catch', {}, ('dmc', 'cup_catch', 1)),
    ('dmc_humanoid_walk', {}, ('dmc', 'humanoid_walk', 1)),
    ('dmc_ALL20_mean', {}, None), ('atari_foo', {}, None),
    ('crafter_reward', {}, None), ('highway_highway-fast-v0', {}, None)])
def test_tasks_are_found_under_their_published_names(task, settings, want):
  if 'MsPacman' in task:
    want = 'atari', 'ms_pacman', 4
  assert yours.published_task(task, settings) == want


def test_runs_of_the_original_ours_and_score_files_are_read(tmp_path):
  papers.original(tmp_path / 'a', seed=3, scores=[1, 2])
  papers.ours(tmp_path / 'b', 'atari_breakout', scores=[5])
  papers.scores(
      tmp_path / 'scores.json', ('atari_qbert', 'm', 0, [M, 2 * M], [7, 8]))
  mine, said = read(tmp_path)
  assert said == []
  assert [(x.name, x.metric, list(x.frames), list(x.values)) for x in mine] == [
      ('breakout', 'eval_return', [M], [5]),
      ('pong', 'eval_return', [M, 2 * M], [1, 2]),
      ('qbert', 'scores', [M, 2 * M], [7, 8])]
  assert [x.seed for x in mine] == ['0', '3', '0']
  assert mine[2].settings is None and mine[1].settings['action_repeat'] == 4


def test_frames_that_the_environment_skips_itself_are_counted(tmp_path):
  papers.ours(
      tmp_path, 'gym_ale_py:ALE/Pong-v5', scores=[1], every=M, action_repeat=1)
  (mine,), _ = read(tmp_path)
  assert list(mine.frames) == [4 * M] and mine.reached == 4 * M
  assert mine.settings['env.config.full_action_space'] is False


def test_the_metric_is_that_of_what_is_published(tmp_path):
  folder = papers.original(tmp_path, 'dmc_walker_walk', preset='dmc_vision')
  papers.rows(
      folder, {'step': 10, 'eval_return': 1}, {'step': 20, 'train_return': 2})
  (mine,), _ = read(tmp_path)
  assert mine.metric == 'train_return' and list(mine.values) == [2]
  (mine,), _ = read(tmp_path, 'eval_return')
  assert list(mine.values) == [1] and mine.reached == 20
  papers.original(tmp_path / 'b', scores=[3], metric='train_return')
  (_, pong), said = read(tmp_path)[0][::-1], read(tmp_path)[1]
  assert pong.metric == 'train_return' and said == []


def test_what_is_left_out_is_said(tmp_path):
  papers.original(tmp_path, 'atari_foo', scores=[1])
  papers.original(tmp_path, 'atari_pong', scores=[])
  (tmp_path / 'levels.json').write_text('{"atari_pong": {"random": -20.7}}')
  mine, said = read(tmp_path)
  assert mine == []
  text = '\n'.join(said)
  assert 'foo/mine/1 is of atari_foo. Published are atari_<game>' in text
  assert 'levels.json has a score of random in atari_pong, but not at' in text
  assert 'atari_pong/mine/1 has no metrics yet.' in text


def keys(place):
  mine, _ = read(place)
  return {
      x.key: (x.yours, x.paper, x.note)
      for x in differences.differences(mine, mine[0].suite)}


def test_settings_that_differ_from_the_paper_are_told(tmp_path):
  papers.ours(
      tmp_path, scores=[1], dataset__batch=32, train_every=4, discount=0.99,
      prefill=1000, replay__capacity=2e6, actor__units=300)
  found = keys(tmp_path)
  assert found['dataset.batch'] == ('32', '50', '')
  assert found['train_every'] == ('4', '16', 'its text says 4')
  assert found['discount'] == ('0.99', '0.999', 'its text says 0.995')
  assert found['prefill'] == ('4,000 frames', '200,000 frames', '')
  assert found['actor.units'] == ('300', '400', '')
  assert not {'replay.capacity', 'steps', 'precision', 'logdir'} & {*found}


def test_settings_of_the_environment_and_beyond_the_paper_are_told(tmp_path):
  papers.ours(
      tmp_path, 'gym_ALE/Pong-v5', scores=[1], overshooting__steps=3,
      env__config__repeat_action_probability=0.0)
  found = keys(tmp_path)
  assert found['overshooting.steps'] == ('3', '0', '')
  assert found['env.config.repeat_action_probability'] == ('0', '0.25', '')
  mine, _ = read(tmp_path)
  assert not any('sticky' in x for x in differences.unrecorded(mine))
  assert any('no-ops' in x for x in differences.unrecorded(mine))


def test_the_preset_of_the_paper_has_the_settings_of_the_paper(tmp_path):
  papers.ours(tmp_path, scores=[1], preset='atari_paper')
  assert keys(tmp_path) == {}
  mine, _ = read(tmp_path)
  assert differences.unrecorded(mine) == []


def test_pieces_of_the_protocol_that_are_changed_are_told(tmp_path):
  papers.ours(
      tmp_path, scores=[1], preset='atari_paper', atari_sticky=0.0,
      atari_noops=0, atari_full_actions=False, atari_life_done=True)
  assert keys(tmp_path) == {
      'atari_sticky': ('0', '0.25', ''), 'atari_noops': ('0', '30', ''),
      'atari_full_actions': ('False', 'True', ''),
      'atari_life_done': ('True', 'False', '')}


def test_values_of_several_runs_are_told_together(tmp_path):
  papers.ours(tmp_path / 'a', scores=[1], seed=0, precision=32)
  papers.ours(tmp_path / 'b', scores=[1], seed=1)
  assert keys(tmp_path)['precision'] == ('32 or 16', '16', '')


def test_dmc_is_compared_with_the_preset(tmp_path):
  papers.ours(
      tmp_path, 'dmc_walker_walk', preset='dmc_vision', scores=[1],
      dataset__length=20)
  assert keys(tmp_path) == {'dataset.length': ('20', '50', '')}


@pytest.mark.parametrize('value, text, want', [
    (2e-4, '2e-4', True), ('2e-4', '0.0002', True), (50, '16', False),
    ([64, 64], '64 64', True), ((4, 4), '4 4 4', False),
    ('auto', 'reinforce|auto', True), (True, 'True', True),
    (True, '1', False), (None, 'None', True)])
def test_settings_are_equal_whatever_their_spelling(value, text, want):
  assert differences.same(value, text) is want
