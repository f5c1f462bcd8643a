"""Colors, labels and numbers of figures."""

import re

import pytest

from dreamerv2_tf.curves import style
from dreamerv2_tf.errors import ConfigError


def test_colors_follow_the_palette_and_begin_again():
  got = style.colors('abc', ('red', '#00ff00'), {'b': 'black'})
  assert got == {'a': 'red', 'b': 'black', 'c': 'red'}
  assert style.colors('a', ('contrast',), {}) == {'a': '#0072b2'}


def test_a_gradient_goes_from_end_to_end():
  first, middle, last = style.colors('abc', ('gradient',), {}).values()
  assert (first, last) == ('#fde725', '#440154')
  assert middle not in (first, last)
  assert style.colors('a', ('gray',), {}) == {'a': '#000000'}


@pytest.mark.parametrize('palette, given, match', [
    (('contrasts',), {}, "'contrasts' is no color .* mean 'contrast'"),
    (('red', 'reed'), {}, "'reed' is no color"),
    (('red',), {'a': '12'}, "'12' is no color")])
def test_other_colors_are_refused(palette, given, match):
  with pytest.raises(ConfigError, match=match):
    style.colors('a', palette, given)


def test_the_first_ten_markers_differ_and_then_go_with_other_colors():
  markers = [style.marker(i) for i in range(20)]
  assert len(set(markers[:10])) == 10
  assert all(markers[i] != markers[i + 10] for i in range(10))


@pytest.mark.parametrize('task, title', [
    ('atari_james_bond', 'James Bond'), ('dmc_walker_walk', 'Walker Walk'),
    ('crafter_reward', 'Crafter Reward'), ('gym_CartPole-v1', 'CartPole-v1'),
    ('highway_highway-fast-v0', 'highway-fast-v0'), ('corridor', 'Corridor')])
def test_titles(task, title):
  assert style.title(task) == title


@pytest.mark.parametrize('name, repeats, label', [
    ('step', [1, 1], 'environment steps'),
    ('step', [None], 'environment steps'),
    ('step', [4, 4], 'environment steps (action repeat 4 included)'),
    ('step', [4, None], 'environment steps'), ('kl', [], 'kl'),
    ('eval_return', [4], 'return of evaluations')])
def test_labels_of_axes(name, repeats, label):
  assert style.axis_label(name, repeats) == label


@pytest.mark.parametrize('name, longest, want', [
    ('step', 1e9, (1, '')), ('time_total', 100, (1, 'seconds')),
    ('time', 1000, (60, 'minutes')), ('time_eval', 1e5, (3600, 'hours')),
    ('timeless', 1e5, (1, ''))])
def test_times_have_a_unit(name, longest, want):
  assert style.unit(name, longest) == want


@pytest.mark.parametrize('value, text', [
    (0, '0'), (250_000, '250k'), (1.5e6, '1.5M'), (2e9, '2G'), (0.02, '0.02'),
    (-700, '−700'), (-2500, '−2.5k'), (999, '999')])
def test_numbers_are_short(value, text):
  assert style.number(value) == text


def test_long_names_are_cut_to_the_number_of_settings_and_a_folder():
  long = 'highway (' + ', '.join(f'key_{i} {i},{i}' for i in range(9)) + ')'
  got = style.names(
      ['a', long, long + '.', 'x' * 99], {long: 'r1', long + '.': 'r1'})
  assert got == {
      'a': 'a', long: 'highway + 9 settings (r1)',
      long + '.': "highway + 9 settings (r1)'", 'x' * 99: 'x' * 56 + ' ...'}


def test_labels_tell_the_number_of_seeds():
  assert style.counted('m', [1]) == 'm, 1 seed'
  assert style.counted('m', [3, 3]) == 'm, 3 seeds'
  assert style.counted('m', [1, 4]) == 'm, 1 to 4 seeds'


def test_a_legend_has_as_many_columns_as_fit():
  # 5 inches are 40 em; 'abcd' takes 6.2 of them.
  assert style.columns(['abcd'] * 9, 5, 4, 9) == (4, ['abcd'] * 9)
  assert style.columns(['abcd'] * 9, 5, 9, 9)[0] == 6
  assert style.columns(['abcd'] * 2, 5, 9, 9)[0] == 2
  count, [label] = style.columns(['word ' * 20], 5, 4, 9)
  assert count == 1 and 1 < len(label.splitlines()) < 4


def test_methods_come_in_the_order_of_the_patterns():
  patterns = [re.compile(x) for x in ('b', '.')]
  assert style.ordered(patterns, ['a2', 'a10', 'b', 'a2']) == [
      'b', 'a2', 'a10']
