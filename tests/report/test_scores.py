"""Scores of episodes, by hand."""

import numpy as np
import pytest

from dreamerv2_tf.report import scores


def test_summary_by_hand():
  def episode(rewards, crashed, speeds):
    return {
        'reward': np.array([0, *rewards], np.float32),
        'log_crashed': np.array([0, *crashed], np.float32),
        'log_speed': np.array([99, *speeds], np.float32)}
  episodes = [
      episode([1, 1], [0, 1], [20, 22]), episode([4], [0], [30]),
      episode([6], [0], [28])]
  result = scores.summarize(episodes)
  half = 1.96 * 2 / 3 ** 0.5
  assert result['return_ci95'] == pytest.approx([4 - half, 4 + half])
  del result['return_ci95']
  assert result == pytest.approx({
      'return_mean': 4, 'return_std': 2, 'length_mean': 4 / 3,
      'crash_rate': 1 / 3, 'speed_mean': 25})
  assert scores.table(episodes) == {
      'return': [2, 4, 6], 'length': [2, 1, 1],
      'crashed': [True, False, False], 'speed': [21, 30, 28]}
  assert 'actions' not in scores.table(episodes)
  plain = scores.summarize([{'reward': np.ones(3, np.float32)}])
  assert plain['crash_rate'] is None and plain['speed_mean'] is None
  assert plain['return_ci95'] is None


def test_success_counts_at_the_end_of_an_episode():
  def episode(*success):
    return {
        'reward': np.zeros(1 + len(success), np.float32),
        'log_success': np.array([0, *success], np.float32)}
  episodes = [episode(0, 1), episode(1, 0), episode(0), episode(0)]
  assert scores.table(episodes)['success'] == [True, False, False, False]
  summary = scores.summarize(episodes)
  assert summary['success_rate'] == 0.25
  assert scores.metrics(summary, 4)['success_rate'] == 0.25


def test_actions_are_counted_where_they_are_discrete():
  def episode(*actions):
    return {
        'reward': np.zeros(1 + len(actions), np.float32),
        'action': np.array([[0, 0, 0], *actions], np.float32)}
  left, stay, right = np.eye(3)
  one, two = episode(left, right, right), episode(stay)
  assert scores.table([one, two])['actions'] == [[1, 0, 2], [0, 1, 0]]
  for continuous in [0.5, 0.5, 0], [0, 0, 0], [1, 1, -1]:
    assert 'actions' not in scores.table([one, episode(left, continuous)])


def test_the_crafter_score_is_a_geometric_mean_of_success_rates():
  def episode(wood, coal):
    return {
        'reward': np.zeros(3, np.float32),
        'log_achievement_wood': np.array([0, *wood], np.float32),
        'log_achievement_coal': np.array([0, *coal], np.float32)}
  episodes = [episode([1, 3], [0, 0]), episode([0, 0], [0, 0])]
  summary = scores.summarize(episodes)
  assert summary['achievements'] == {'wood': 0.5, 'coal': 0}
  # exp((ln(1 + 50) + ln(1 + 0)) / 2) - 1
  assert summary['crafter_score'] == pytest.approx(51 ** 0.5 - 1)
  assert scores.table(episodes)['achievements'] == [['wood'], []]
  assert scores.metrics(summary, 2)['crafter_score'] == pytest.approx(
      51 ** 0.5 - 1)
  assert 'crafter_score' not in scores.summarize([{'reward': np.ones(3)}])


def test_metrics_of_an_episode():
  keys = {'sum': 'log_a', 'mean': 'log_.*', 'max': 'log_b'}
  episode = {
      'reward': np.array([0, 1, 2], np.float32),
      'log_a': np.array([1, 2, 3]), 'log_b': np.array([1, 2, 9])}
  assert scores.episode_metrics(episode, keys, 'train') == {
      'train_return': 3, 'train_length': 2, 'sum_train_log_a': 6,
      'mean_train_log_a': 2, 'mean_train_log_b': 4, 'max_train_log_b': 9}


def test_an_evaluation_is_logged_without_what_the_environment_does_not_tell():
  summary = scores.summarize([{'reward': np.ones(3, np.float32)}])
  assert scores.metrics(summary, 1) == {
      'return': 3, 'return_std': 0, 'length': 2, 'eps': 1}
