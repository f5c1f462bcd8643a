import gymnasium as gym
import numpy as np
import pytest

from dreamerv2_tf.dreams import plans
from dreamerv2_tf.errors import ConfigError

LANES = gym.spaces.Discrete(3)
NAMES = {0: 'LEFT', 1: 'IDLE', 2: 'RIGHT'}
WHEEL = gym.spaces.Box(-1, 1, (2,), np.float32)
DONE = np.eye(3, dtype=np.float32)[[2, 0]]


def filled(word, length, space=LANES, names=NAMES, done=DONE):
  [plan] = plans.read([word], space, names)
  actions, free = plans.fill(plan, done, length)
  return actions, free.tolist()


def test_the_last_action_goes_on():
  actions, free = filled('left,2,Idle', 5)
  assert actions.argmax(-1).tolist() == [0, 2, 1, 1, 1]
  assert free == [False] * 5


def test_names_may_be_written_as_people_do():
  actions, _ = filled('turn left,Turn-Left', 2, names={2: 'TURN_LEFT'})
  assert actions.argmax(-1).tolist() == [2, 2]


def test_the_agent_may_take_over():
  actions, free = filled('RIGHT,agent', 3)
  assert actions.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
  assert free == [False, True, True]


def test_what_was_done_is_repeated_beyond_its_end():
  actions, free = filled('done', 4)
  assert actions.argmax(-1).tolist() == [2, 0, 0, 0] and free == [False] * 4


def test_continuous_actions_are_vectors():
  actions, _ = filled('0.5,-1/0,0', 3, WHEEL, {}, np.zeros([1, 2], np.float32))
  assert actions.tolist() == [[0.5, -1], [0, 0], [0, 0]]
  assert plans.name_of(actions[0], WHEEL, {}) == '+0.50 -1.00'


def test_each_action_is_tried_if_none_is_named():
  found = lambda space, names: [x.name for x in plans.read([], space, names)]
  assert found(LANES, NAMES) == ['done', 'LEFT', 'IDLE', 'RIGHT']
  assert found(gym.spaces.Discrete(2), {}) == ['done', '0', '1']
  assert found(gym.spaces.Discrete(18), {}) == ['done', 'agent']
  assert found(WHEEL, {}) == ['done', 'agent']


def test_a_word_counts_once():
  assert len(plans.read(['LEFT', 'LEFT'], LANES, NAMES)) == 1


@pytest.mark.parametrize('word, space, text', [
    ('LEFFT', LANES, "Unknown action 'LEFFT'. Did you mean 'LEFT'? Actions of "
     'this task: LEFT, IDLE, RIGHT; besides, done and agent.'),
    ('LEFT,3', LANES, "Unknown action '3' in 'LEFT,3'."),
    ('-1', LANES, "Unknown action '-1'"),
    ('LEFT,', LANES, "Unknown action '' in 'LEFT,'"),
    ('0.5', WHEEL, "are 2 numbers from -1 to 1, but '0.5' is none. Write "
     '--actions 0.5,0.5,'),
    ('0,2', WHEEL, "but '0,2' is none"), ('nan,0', WHEEL, "'nan,0' is none"),
    ('a,b', WHEEL, "but 'a,b' is none")])
def test_what_is_no_action_is_named(word, space, text):
  with pytest.raises(ConfigError) as error:
    plans.read([word], space, NAMES)
  assert text in str(error.value)


def test_labels_are_words_of_people():
  label = lambda word: plans.read([word], LANES, NAMES)[0].label()
  assert [label(x) for x in ('done', 'agent', 'LEFT')] == [
      'as driven', 'as the agent likes', 'if LEFT']
