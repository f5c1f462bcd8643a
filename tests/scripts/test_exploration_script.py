import pathlib

import numpy as np
from PIL import Image
import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'scripts' / (
    'exploration.py')
TINY = [
    '--prefill', '160', '--pretrain', '1', '--train_every', '80',
    '--envs', '2', '--rssm.hidden', '8', '--rssm.deter', '8', '--rssm.stoch',
    '2', r'--.*\.units', '8', r'--.*\.mlp_layers', '[8]', '--imag_horizon', '3',
    '--disag_models', '2', '--dataset.batch', '2', '--dataset.length', '4']


@pytest.fixture
def world(script):
  return script.world


def test_rooms_have_walls_with_doors(world):
  assert len(world.CELLS) == 4 * 10 ** 2 + 4 * 2
  env = world.Rooms()
  obs, _ = env.reset()
  np.testing.assert_array_equal(obs, [-1, -1])
  right, left, up, down = range(4)
  env.step(left)
  assert env.place == (0, 0)  # The outer wall.
  for action in [right] * 12:
    obs = env.step(action)[0]
  assert env.place == (9, 0)  # The wall between the rooms.
  np.testing.assert_array_equal(world.cells(obs), [9, 0])
  for action in [up] * 4 + [right] * 2:
    env.step(action)
  assert env.place == (11, 4)  # Through a door.
  assert env.step(down)[0].dtype == np.float32


def test_rooms_pay_a_little_near_and_much_far_away(world):
  env = world.Rooms()
  env.reset()
  right, left, up = range(3)
  rewards = [env.step(action)[1] for action in [up] * 4 + [left, right]]
  assert rewards == [0, 0, 0, 0.1, 0.1, 0]
  way = [right] * 15 + [up] * 16 + [right] * 5
  rewards = [env.step(action)[1] for action in way]
  assert rewards == [0] * 34 + [1, 1]


def test_cells_are_counted(script):
  cells = [np.array([(0, 0), (1, 0), (1, 0), (2, 0)]),
           np.array([(1, 0), (1, 1), (0, 0), (0, 0)])]
  found = script.walk(cells, [1.0, 3.0], 7)
  np.testing.assert_allclose(
      found.share, np.array([1, 2, 2, 3, 3, 4, 4]) / 408)
  assert found.visits.sum() == 7 and found.visits[1, 0] == 3
  assert found.late == 2 / 408  # Steps 6 and 7: (1, 1) and (0, 0).
  assert found.reward == 3


def test_uniform_walks_begin_in_the_corner_and_have_seeds(script):
  one, same, other = (script.uniform(seed, 200) for seed in (0, 0, 1))
  np.testing.assert_array_equal(one.share, same.share)
  assert not np.array_equal(one.visits, other.visits)
  assert one.visits[:3, :3].sum() > 20 and not one.visits[15:].any()
  assert (np.diff(one.share) >= 0).all() and len(one.share) == 200


def test_the_table_has_means_and_ends(script):
  walks = {
      'until': [script.Walk(np.array(share), np.ones([21, 21]), late, reward)
                for share, late, reward in (
                    ([0.1, 0.2, 0.3, 0.4], 0.1, 1.0),
                    ([0.1, 0.4, 0.5, 0.8], 0.3, 2.5))],
      'uniform': [script.uniform(0, 4)]}
  head, line, until, uniform = script.table(walks)
  assert 'cells seen in 1 steps | cells seen in 2 steps' in head
  assert line.count('-') == 3 * head.count(' | ') + 3
  assert until == (
      '| the same, then greedy | `--expl_behavior Plan2Explore --disag_target '
      'embed --disag_offset 0 --expl_until 2 --actor_ent linear(0.1,0.01,1,2)` '
      '| 2 | 10 % (10 to 10) | 30 % (20 to 40) | 60 % (40 to 80) '
      '| 20 % (10 to 30) | 1.8 (1.0 to 2.5) |')
  assert uniform.startswith('| uniform |  | 1 | 0 % | ')


def test_it_trains_reads_and_draws_and_does_nothing_twice(
    script, tmp_path, capsys):
  arguments = [
      '--logdir', str(tmp_path / 'runs'), '--outdir', str(tmp_path / 'out'),
      '--behaviors', 'now', '--seeds', '3', '--steps', '320', *TINY]
  assert script.main(arguments) == 0
  first = capsys.readouterr().out
  page = (tmp_path / 'out' / 'exploration.md').read_text()
  assert first in page and str(tmp_path) not in page
  assert '--behaviors now --seeds 3 --steps 320 --prefill 160' in page
  with Image.open(tmp_path / 'out' / 'exploration.png') as picture:
    assert picture.width > 600 and len(picture.getcolors(1 << 20)) > 10
  log = tmp_path / 'runs' / 'now-3' / 'metrics.jsonl'
  assert 'expl_expl_loss' in log.read_text()
  times = [path.stat().st_mtime_ns for path in (
      log, log.parent / 'checkpoints')]
  found = script.read(log.parent, 320)
  assert len(found.share) == 320 and found.visits.sum() == 320
  assert script.main(arguments) == 0
  assert capsys.readouterr().out == first
  assert times == [path.stat().st_mtime_ns for path in (
      log, log.parent / 'checkpoints')]


@pytest.mark.parametrize('arguments, text', [
    (['--behaviors', 'curious'], "now, until but has 'curious'"),
    (['--steps', '100'], 'at least 320, four episodes, but is 100'),
    (['--seeds'], 'seeds'), (['--configs', 'atari'], 'no --configs'),
    (['--disag_target', 'x'], 'disag_target'), (['--stesp', '3'], 'stesp')])
def test_wrong_flags_are_one_line_and_begin_nothing(
    script, arguments, text, tmp_path, capsys):
  assert script.main(['--logdir', str(tmp_path / 'runs'), *arguments]) == 2
  err = capsys.readouterr().err
  assert err.count('\n') == 1 and text in err
  assert not (tmp_path / 'runs').exists()
