import json

import pytest

from dreamerv2_tf.data import when


def test_every_answers_at_the_first_call_and_catches_up():
  every = when.Every(10)
  steps = [3, 4, 12, 13, 14, 45, 46, 47, 48]
  # Due at 3, 13, 23, 33, 43: late answers follow call by call.
  assert [s for s in steps if every(s)] == [3, 13, 45, 46, 47]


@pytest.mark.parametrize('never', [0, -1])
def test_every_zero_is_never(never):
  every = when.Every(never)
  assert not any(every(step) for step in range(5))


def test_until():
  assert [when.Until(2)(s) for s in (0, 1, 2, 3)] == [True, True, False, False]
  assert when.Until(0)(10 ** 9)


def test_counter_compares_like_an_int():
  counter = when.Counter(4)
  counter.increment()
  counter.increment(2)
  assert counter == 7 and counter != 6 and counter < 8 and counter >= 7
  assert int(counter) == 7
  assert when.Every(5)(counter)


def test_a_changed_distance_begins_anew():
  before = when.Every(100)
  assert [s for s in range(0, 250, 10) if before(s)] == [0, 100, 200]
  after = when.Every(20)
  after.load_state(json.loads(json.dumps(before.state())))
  # Neither three answers at once, nor the next one at 300.
  assert [s for s in range(250, 300, 10) if after(s)] == [250, 270, 290]
  old = when.Every(20)
  old.load_state({'last': 240})  # Of a former version.
  assert [s for s in range(250, 290, 10) if old(s)] == [260, 280]


def test_state_resumes_exactly():
  whole, before, after = when.Every(7), when.Every(7), when.Every(7)
  want = [whole(step) for step in range(0, 50, 3)]
  got = [before(step) for step in range(0, 21, 3)]
  after.load_state(json.loads(json.dumps(before.state())))
  got += [after(step) for step in range(21, 50, 3)]
  assert got == want
