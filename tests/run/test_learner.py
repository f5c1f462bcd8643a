"""Gradient steps beside the environments, with a stand-in for the agent."""

import itertools
import threading
import types

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tf import config as configlib
from dreamerv2_tf.errors import NonFiniteError
from dreamerv2_tf.run.learner import Learner
from dreamerv2_tf.run.profile import Profile


class Policy:
  """Acts with the number of gradient steps in its weights."""

  def __init__(self, agent, copied=None):
    self.agent = agent
    self.copied = copied  # Weight of a copy.

  def __call__(self, obs, state, mode):
    assert mode != 'eval' or self.copied is None
    weight = self.agent.weight if self.copied is None else self.copied
    return {'action': weight}, state

  def copy(self):
    self.agent.copy = Policy(self.agent, self.agent.weight)
    return self.agent.copy

  def sync(self, weights=None):
    self.copied = weights['weight'] if weights else self.agent.weight

  def weights(self):
    return {'weight': np.array(self.copied)}


class Agent:
  """Weight and latent state count gradient steps; each waits for `go`."""

  def __init__(self):
    self.go = threading.Event()
    self.go.set()
    self.step = tf.Variable(0)
    self.weight = 0
    self.policy = Policy(self)
    self.copy = None
    self.trained = []  # (batch, carry, step) of each gradient step.
    self.metrics = {'model_loss': 1.0}
    self.world_model = types.SimpleNamespace(
        rssm=types.SimpleNamespace(initial=lambda count: tf.constant(0)))

  def train(self, batch, carry):
    assert self.go.wait(30)
    self.trained.append((batch, carry and int(carry), int(self.step)))
    self.weight += 1
    return tf.constant(self.weight), self.metrics


@pytest.fixture
def make(tmp_path):
  learners = []

  def make(**settings):
    config = configlib.resolve(['debug']).update(
        {'envs': 1, 'train_every': 1, **settings})
    agent = Agent()
    learners.append(Learner(
        agent, tmp_path, Profile(tmp_path, range(0), print),
        **config.taken_by(Learner)))
    return learners[-1], agent

  yield make
  for learner in learners:
    learner.close()


def test_begin_returns_before_the_step_is_done_and_finish_after(make):
  learner, agent = make()
  agent.go.clear()
  learner.begin(itertools.count(), 2, 7)
  assert not agent.trained
  threading.Timer(0.1, agent.go.set).start()
  learner.finish()
  assert agent.trained == [(0, None, 7), (1, 1, 7)]
  assert learner.means.take() == {'model_loss': 1.0}
  times = learner.take_times()
  assert times['time_train'] > 0 and times['time_wait'] > 0
  assert not any(learner.take_times().values())
  learner.finish()  # There is nothing to wait for.
  assert len(agent.trained) == 2


def test_all_that_steps_read_is_fixed_when_they_begin(make):
  learner, agent = make()
  agent.go.clear()
  dataset = itertools.count()
  learner.begin(dataset, 2, 7)
  assert next(dataset) == 2
  threading.Timer(0.1, agent.go.set).start()
  learner.begin(dataset, 1, 9)  # Waits, as the step is still 7 before.
  learner.finish()
  assert [(b, s) for b, _, s in agent.trained] == [(0, 7), (1, 7), (3, 9)]


@pytest.mark.parametrize('envs, train_every, lags', [
    (1, 1, False), (2, 2, False), (3, 2, False), (1, 2, True), (2, 5, True)])
def test_policies_act_on_a_copy_if_steps_span_several_calls(
    make, envs, train_every, lags):
  learner, agent = make(envs=envs, train_every=train_every)
  copies = []
  for _ in range(3):
    learner.begin(itertools.count(), 2, 0)
    learner.finish()
    copies.append(agent.copy and agent.copy.copied)
  assert agent.weight == 6
  assert copies == ([0, 2, 4] if lags else [None] * 3)


@pytest.mark.parametrize('train_every, mode, weight', [
    (1, 'train', 2), (1, 'explore', 2), (1, 'eval', 2),
    (2, 'train', 0), (2, 'explore', 0), (2, 'eval', 2)])
def test_a_policy_never_acts_on_weights_that_are_being_written(
    make, train_every, mode, weight):
  learner, agent = make(train_every=train_every)
  agent.go.clear()
  learner.begin(itertools.count(), 2, 0)
  if weight:  # It waits for both steps. Else it needs none of them.
    threading.Timer(0.1, agent.go.set).start()
  outputs, state = learner.policy({}, 'memory', mode=mode)
  assert (outputs['action'], state) == (weight, 'memory')
  assert agent.weight == weight
  agent.go.set()


@pytest.mark.parametrize('train_every', [1, 2])
def test_goes_on_from_state_and_arrays(make, train_every):
  learner, agent = make(train_every=train_every)
  learner.begin(itertools.count(), 3, 0)
  learner.finish()
  other, twin = make(train_every=train_every)
  twin.weight = agent.weight
  other.load_state(learner.state(), learner.arrays())
  if train_every == 2:
    assert twin.copy.copied == agent.copy.copied == 0
  assert (twin.copy is None) == (train_every == 1)
  assert other.means.take() == {'model_loss': 1.0}
  other.begin(itertools.count(), 1, 0)
  other.finish()
  assert twin.trained == [(0, 3, 0)]


@pytest.mark.fault(42)
def test_what_a_step_raises_comes_out_of_finish(make, tmp_path):
  learner, agent = make()
  agent.metrics = {'model_loss': float('nan')}
  names = ['reward', 'file', 'allow_pickle', 'a/b', '..', 'ü']
  batch = {name: np.full(3, i) for i, name in enumerate(names)}
  learner.begin(iter([batch]), 1, 5)
  with pytest.raises(NonFiniteError, match='model_loss: NaN .* at step 5'):
    learner.finish()
  with np.load(tmp_path / 'nan' / 'batch-5.npz') as batch:
    assert {k: v.tolist() for k, v in batch.items()} == {
        name: [i] * 3 for i, name in enumerate(names)}
  learner.finish()  # Once.


@pytest.mark.fault(42)
def test_only_overflows_in_a_row_end_the_run(make):
  learner, agent = make(max_skipped_updates=2)
  for skipped in (1, 1, 0, 1, 1):
    agent.metrics = {'actor_skipped': skipped}
    learner.begin(iter([{}]), 1, 0)
    learner.finish()
  learner.begin(iter([{}]), 1, 0)
  with pytest.raises(NonFiniteError, match='in 3 float16 steps in a row'):
    learner.finish()
