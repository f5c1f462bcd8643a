"""Scenarios are run once each, in order, whatever fails."""

import functools
import json

import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf import errors
from dreamerv2_tf.config import resolve
from dreamerv2_tf.data.random_policy import RandomPolicy
from dreamerv2_tf.run import environments
from dreamerv2_tf.run import evaluator as evaluatorlib
from dreamerv2_tf.run.evaluator import Evaluator


class TestEvaluator:
  """Scenarios in which environments fail."""

  def collect(self, tmp_path, seeds, *plan, count=2, **options):
    config = resolve(['debug'], [
        '--task', 'gym_toys:Plan-v0', '--env.config.folder', str(tmp_path),
        '--env.config.at', str(options.pop('at', 3)),
        '--env.config.plan', json.dumps(plan), '--envs_parallel', 'none',
        *options.pop('flags', ())])
    make = environments.factory(config, True)
    with Evaluator(
        functools.partial(environments.make_pool, config, make, count),
        **options) as evaluator:
      return evaluator(RandomPolicy(evaluator.pool.act_space, 0), seeds)

  def seeds(self, episodes):
    return [round(10 * episode['vector'][0, 1]) for episode in episodes]

  def check_film(self, films):
    assert list(films) == [3]
    assert [
        [frame.pixels[0, 0, 0] for frame in shot.frames]
        for shot in films[3]] == [[0], [1], [2], [3], [4], [5]]

  def test_each_scenario_once_in_order(self, tmp_path):
    episodes, films = self.collect(tmp_path, [5, 3, 9], film=[3])
    assert self.seeds(episodes) == [5, 3, 9]
    self.check_film(films)

  @pytest.mark.parametrize('count', [1, 2, 3])
  @pytest.mark.parametrize('at', [1, 2])
  def test_failed_ones_run_again(self, tmp_path, at, count):
    episodes, films = self.collect(
        tmp_path, [5, 3, 9], [3, 1, 'raise'], [9, 1, 'raise'], at=at,
        count=count, film=[3])
    assert self.seeds(episodes) == [5, 3, 9]
    assert {len(x['reward']) for x in episodes} == {6}
    self.check_film(films)

  def test_what_the_policy_thinks_is_filmed_with_its_action(self, tmp_path):
    asked = []
    def look(outputs, state):
      asked.append(1)
      return {'twice': 2 * outputs['action']}
    _, films = self.collect(
        tmp_path, [5, 3, 9], film=[3], count=1, look=look)
    [first, *others] = films[3]
    assert first.look == {} and len(others) == 5
    for shot in others:
      np.testing.assert_array_equal(
          shot.look['twice'], 2 * shot.row['action'])
    assert len(asked) == 5  # Not for episodes that are not filmed.

  def test_failure_in_the_reset(self, tmp_path):
    episodes, _ = self.collect(
        tmp_path, [5, 3, 9], [3, 1, 'raise'], [3, 2, 'raise'], at=0)
    assert self.seeds(episodes) == [5, 3, 9]

  def test_hopeless_ones_are_left_out(self, tmp_path, caplog):
    plan = [[3, visit, 'raise'] for visit in (1, 2, 3)]
    episodes, _ = self.collect(tmp_path, [5, 3, 9], *plan)
    assert self.seeds(episodes) == [5, 9]
    assert 'Scenario 3 is left out: its episode was cut 3 times.' in caplog.text

  def test_an_episode_that_may_never_end_is_told(
      self, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(evaluatorlib, 'LONG', 4)
    self.collect(tmp_path, [5, 3], count=1)
    assert caplog.text.count('goes on after 4 steps. If it never ends') == 2
    assert 'scenario 3 goes on' in caplog.text
    assert '--time_limit 4' in caplog.text
    caplog.clear()
    monkeypatch.setattr(evaluatorlib, 'LONG', 6)
    self.collect(tmp_path, [5, 3], count=1)
    assert 'goes on' not in caplog.text

  def test_dropped_data_ends_no_evaluation(self, tmp_path):
    plan = [[3, visit, 'nan'] for visit in (1, 2, 3)]
    with pytest.raises(errors.EnvError, match='No scenario could be run'):
      self.collect(tmp_path, [3], *plan, flags=['--on_bad_data', 'drop'])


def test_only_vector_tasks_of_highway_are_filmed():
  box = lambda *shape: {'x': gym.spaces.Box(0, 1, shape)}
  config = resolve(['highway'])
  assert list(environments.filmed(config, box(25))) == [environments.EVAL_SEED]
  assert not environments.filmed(config, box(32, 128, 1))
  assert not environments.filmed(resolve(['atari']), box(25))


class TestEnvironments:
  """When they are started, and how long they stay."""

  def make(self, opened):
    config = resolve(['debug'], [
        '--task', 'gym_toys:Counter-v0', '--envs_parallel', 'none'])
    def start():
      opened.append(1)
      return environments.make_pool(
          config, environments.factory(config, ()), 2)
    return start

  def test_they_are_kept_for_the_next_policy(self):
    opened = []
    with Evaluator(self.make(opened)) as evaluator:
      assert not opened
      random = RandomPolicy(evaluator.pool.act_space, 0)
      lengths = [len(evaluator(random, range(n)).episodes) for n in (1, 3)]
    assert lengths == [1, 3] and opened == [1]

  def test_a_signal_while_they_start_is_answered_before_it_is_raised(self):
    def start():
      raise errors.interrupted(15, 'during the start.')
    answered = []
    evaluator = Evaluator(start, before_step=lambda: answered.append(1))
    with pytest.raises(errors.Interrupted, match='during the start'):
      evaluator(None, [1])
    assert answered == [1]
