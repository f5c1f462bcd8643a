import json

import pytest

from dreamerv2_tf.run import clock as clocklib
from dreamerv2_tf.run.clock import Clock


@pytest.fixture
def now(monkeypatch):
  """Returns a function that lets seconds pass; it is 1000 s o'clock."""
  time = [1000.0]
  monkeypatch.setattr(clocklib.time, 'monotonic', lambda: time[0])

  def wait(seconds):
    time[0] += seconds

  return wait


def test_evaluations_are_a_part_of_the_total(now):
  clock = Clock(990.0)
  assert clock.metrics() == {'time_total': 10, 'time_eval': 0}
  now(5)
  with clock.evaluating():
    now(3)
    assert clock.metrics() == {'time_total': 18, 'time_eval': 3}
    now(4)
  now(1)
  assert clock.metrics() == {'time_total': 23, 'time_eval': 7}
  with clock.evaluating():
    now(2)
  assert clock.metrics() == {'time_total': 25, 'time_eval': 9}


def test_an_evaluation_that_is_cut_off_counts_and_the_sums_go_on(now):
  clock = Clock(1000.0)
  now(20)
  with pytest.raises(InterruptedError), clock.evaluating():
    now(6)
    state = json.loads(json.dumps(clock.state()))  # Saved in the midst of it.
    raise InterruptedError
  assert clock.metrics() == {'time_total': 26, 'time_eval': 6}
  now(500)  # Until the next start, which takes 8 s.
  clock = Clock(1526.0)
  now(8)
  clock.load_state(state)
  with clock.evaluating():
    now(10)
  assert clock.metrics() == {'time_total': 26 + 8 + 10, 'time_eval': 6 + 10}


def test_a_run_that_did_not_count_evaluations_never_says_how_long(now):
  clock = Clock(1000.0)
  clock.load_state({'seconds': 100})
  with clock.evaluating():
    now(10)
    assert clock.metrics() == {'time_total': 110}
  assert clock.metrics() == {'time_total': 110}
  later = Clock(1010.0)
  later.load_state(json.loads(json.dumps(clock.state())))
  assert later.metrics() == {'time_total': 110}


@pytest.mark.parametrize('state', [
    {'seconds': 'x'}, {'seconds': None}, {'seconds': 1, 'eval_seconds': [1]}])
def test_what_are_no_seconds_is_an_error(state):
  with pytest.raises(TypeError):
    Clock(0.0).load_state(state)
