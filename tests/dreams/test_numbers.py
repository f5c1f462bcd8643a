import json

import numpy as np
import pytest

from dreamerv2_tf.dreams import numbers, table
from dreamerv2_tf.dreams.numbers import Course, Scene


def test_promises_by_hand():
  reward = np.array([9.0, 1, 2, 4])
  goes_on = np.array([0.1, 0.5, 0.5, 1])
  value = np.array([9.0, 9, 9, 10])
  seen = np.array([True, False, False, False])
  alive, gain, outlook = numbers.weigh(
      reward, goes_on, value, seen, discount=0.8, scale=2.0)
  assert alive.tolist() == [1, 0.5, 0.25, 0.25]
  assert gain.tolist() == [0, 1, 1 + 0.5 * 2, 2 + 0.25 * 4]
  # The critic knows rewards twice as large; its value has the last one inside.
  assert outlook == pytest.approx(2 + 0.8 * 0.5 * 4 + 0.64 * 0.25 * 10)


def test_a_look_begins_anew():
  ones, seen = np.ones(5), np.array([True, False, True, False, False])
  alive, gain, outlook = numbers.weigh(
      ones, ones / 2, 3 * ones, seen, discount=1.0)
  assert alive.tolist() == [1, 0.5, 1, 0.5, 0.25]
  assert gain.tolist() == [0, 1, 0, 1, 1.5]
  assert outlook == 1 + 0.5 * 3


def course(name, rows, offset=0.0, alive=1.0):
  values = np.arange(rows, dtype=np.float32)
  return Course(
      name, f'if {name}', np.eye(2, dtype=np.float32)[[0] * rows],
      {'vector': np.stack([values + offset, values], -1)}, values / 10,
      np.ones(rows, np.float32), np.full(rows, alive, np.float32), values,
      values / 2, offset)


def scene(known=5, rows=6, context=2, **flags):
  values = np.arange(known, dtype=np.float32)
  last = np.arange(known) == known - 1
  truth = {
      'vector': np.stack([values, values], -1), 'reward': values / 10,
      'action': np.eye(2, dtype=np.float32)[[1] * known],
      'is_last': last & flags.get('is_last', False),
      'is_terminal': last & flags.get('is_terminal', False)}
  if 'crashed' in flags:
    truth['log_crashed'] = last * np.float32(flags['crashed'])
  return Scene(
      'scenario 7', 7, 0, context, np.arange(rows) < context, truth,
      [course('done', rows, 2.0), course('a', rows, 3.0, 0.5)])


@pytest.mark.parametrize('flags, text', [
    ({}, ''), ({'is_last': True}, 'time is up'),
    ({'is_last': True, 'is_terminal': True}, 'terminated'),
    ({'is_last': True, 'is_terminal': True, 'crashed': 1}, 'crash')])
def test_ends_are_named(flags, text):
  assert scene(**flags).end == text


def test_errors_by_hand():
  found = numbers.errors([scene(), scene(known=3)])
  assert [x['ahead'] for x in found] == [1, 2, 3]
  assert [x['count'] for x in found] == [2, 1, 1]
  for row in found:
    # The first of two numbers is 2 too large; rewards are right.
    assert row['vector_rmse'] == pytest.approx(np.sqrt(2))
    assert row['vector_rmse_copy'] == pytest.approx(row['ahead'])
    assert row['reward_rmse'] == pytest.approx(0)


def test_summaries_by_hand():
  [row] = numbers.summary([scene()])
  assert row['really'] == {
      'steps': 3, 'return': pytest.approx(0.9), 'end': ''}
  done, other = row['courses']
  assert done == {
      'name': 'done', 'reward': pytest.approx((2 + 3 + 4 + 5) / 40),
      'return': 2.5, 'goes_on': 1.0, 'value': 2.0, 'outlook': 2.0}
  assert other['goes_on'] == 0.5
  json.dumps(row)


def test_looks_count_what_was_received():
  parts = scene(known=6)
  parts.seen[3] = True
  [row] = numbers.summary([parts])
  # Row 2 promised 1, row 3 gave 0.3, and rows 4 and 5 promised 2.5.
  assert row['courses'][0]['return'] == pytest.approx(1 + 0.3 + 2.5)
  assert row['courses'][1]['goes_on'] == 0.25
  assert row['courses'][0]['outlook'] is None
  assert ' - ' in ' '.join(table.lines([parts], 1)) + ' '


def test_arrays_have_a_place_for_every_row(tmp_path):
  scenes = [scene(), scene(known=3, is_last=True)]
  numbers.save(tmp_path / 'a.npz', numbers.arrays(scenes))
  with np.load(tmp_path / 'a.npz') as found:
    assert found['names'].tolist() == ['done', 'a']
    assert found['truth_rows'].tolist() == [5, 3]
    assert found['truth_vector'].shape == (2, 6, 2)
    assert np.isnan(found['truth_reward'][1]).tolist() == [
        False] * 3 + [True] * 3
    assert found['dream_vector'].shape == (2, 2, 6, 2)
    assert found['action'].shape == (2, 2, 6, 2)
    assert found['alive'].shape == (2, 2, 6)
    assert found['outlook'].tolist() == [[2, 3], [2, 3]]
    assert found['seen'][0].tolist() == [True, True] + [False] * 4


def test_images_are_pixels_in_the_file():
  parts = scene()
  parts.truth['image'] = np.full([5, 2, 2, 1], 255, np.uint8)
  for x in parts.courses:
    x.observation['image'] = np.full([6, 2, 2, 1], 0.5, np.float32)
    x.observation['image'][0] = 1.5
  found = numbers.arrays([parts])
  assert found['dream_image'].dtype == found['truth_image'].dtype == np.uint8
  assert found['dream_image'][0, 0, :2, 0, 0, 0].tolist() == [255, 128]
  assert numbers.errors([parts])[0]['image_rmse'] == 0.5


def test_the_table_fits_a_terminal():
  lines = table.lines([scene(is_last=True, is_terminal=True)], 16)
  for discount in True, False:
    lines += table.explanation(discount, 'tanh')
  assert max(map(len, lines)) <= 80
  text = '\n'.join(lines)
  assert 'scenario 7: 2 observations, then 4 steps dreamed, 16 times' in text
  assert 'terminated after 3 steps' in text
  assert [line for line in lines if line.endswith('<')][0].split()[:3] == [
      'dream:', 'if', 'a']
