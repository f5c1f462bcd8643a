"""Lines and bars are for people: short, whole, with units."""

import math

import pytest

from dreamerv2_tf.report import lines
from dreamerv2_tf.report.lines import Field


@pytest.mark.parametrize('value, want', [
    (0, '0'), (-0.0, '0'), (1, '1'), (100, '100'), (0.5, '0.5'),
    (12.345, '12.35'), (-3.1, '-3.1'), (123456, '1.2e5'), (3e-4, '3e-4'),
    (-2.5e-7, '-2.5e-7'), (math.nan, 'nan'), (math.inf, 'inf')])
def test_numbers_take_a_few_characters(value, want):
  assert lines.format_value(value) == want


@pytest.mark.parametrize('value, want', [
    (0, '0'), (0.5, '0.5'), (0.25, '0.25'), (7, '7.0'), (-21.26, '-21.3'),
    (9999, '9999.0'), (12345, '1.2e4'), (math.nan, 'nan')])
def test_a_return_needs_one_digit(value, want):
  assert lines.format_score(value) == want


@pytest.mark.parametrize('value, want', [
    (0, '0:00'), (41.9, '0:41'), (3599, '59:59'), (3725.9, '1:02:05'),
    (90061, '1d 1:01:01'), (-1, '0:00')])
def test_durations_have_hours_and_days_where_needed(value, want):
  assert lines.format_seconds(value) == want


@pytest.mark.parametrize('value, want', [
    (0, '0'), (9999, '9,999'), (10_000, '10k'), (300_149, '300.1k'),
    (750_000, '750k'), (2_000_000, '2M'), (12_345_678, '12.3M')])
def test_steps_have_units_from_ten_thousand_on(value, want):
  assert lines.format_steps(value) == want


@pytest.mark.parametrize('value, want', [
    (0.25, '0.2/s'), (14.94, '14.9/s'), (1234.5, '1,234/s')])
def test_rates_are_per_second(value, want):
  assert lines.format_rate(value) == want


@pytest.mark.parametrize('mean, std, episodes, want', [
    (20.11, 1.66, 2, '20.1 ± 1.7'), (13.2, 0.54, 2, '13.2 ± 0.5'),
    (0.5, 0.25, 4, '0.5 ± 0.25'), (4.07, 0.0, 1, '4.1')])
def test_a_spread_has_the_digits_of_its_mean(mean, std, episodes, want):
  assert lines.spread(mean, std, episodes) == want


@pytest.mark.parametrize('width, want', [
    (26, '84 %  training  ETA 0:06'), (24, '84 %  training  ETA 0:06'),
    (23, '84 %  training'), (14, '84 %  training'), (13, 'training'),
    (7, '84 %'), (3, '')])
def test_a_field_is_shown_whole_or_not_at_all(width, want):
  fields = [Field(1, '84 %'), Field(0, 'training'), Field(3, ''),
            Field(2, 'ETA 0:06'), Field(4, 'return 7.9')]
  assert lines.fit(fields, width) == want


def test_an_evaluation_is_one_line_with_units():
  summary = {
      'return_mean': 20.11, 'return_std': 1.66, 'length_mean': 28.5,
      'crash_rate': 0.5, 'speed_mean': 20.49}
  assert lines.evaluation(1200, summary, 2, True) == (
      'step 1,200  evaluation: return 20.1 ± 1.7, crash 50 %, length 28.5, '
      '20.5 m/s (2 episodes)  new best')
  summary.update(crash_rate=None, speed_mean=None, return_std=0.0)
  assert lines.evaluation(7, summary, 1, False) == (
      'step 7  evaluation: return 20.1, length 28.5 (1 episode)')


def test_long_lines_are_wrapped_and_commands_are_not():
  text = 'step 1  training: return 5\n  dreamerv2 eval --logdir a-long-path'
  assert lines.wrap(text, 20) == (
      'step 1  training:\n    return 5\n  dreamerv2 eval --logdir a-long-path')
