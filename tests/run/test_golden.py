"""A finished run of version 0.1.0, which later versions must go on with."""

import json
import pathlib
import shutil
import sys

import gymnasium as gym
import numpy as np
import pytest
import runs

import dreamerv2_tf as dv2

DATA = pathlib.Path(__file__).resolve().parents[1] / 'data'
EXPECTED = json.loads((DATA / 'golden.json').read_text())


@pytest.fixture
def golden(tmp_path):
  """A copy, so that the original stays as it is."""
  return pathlib.Path(shutil.copytree(DATA / 'golden', tmp_path / 'golden'))


def digest(weights):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, 'path', [str(DATA), *sys.path])
    import make_golden
  return make_golden.digest(weights)


def test_it_is_small_and_names_no_machine():
  files = [path for path in (DATA / 'golden').rglob('*') if path.is_file()]
  assert sum(path.stat().st_size for path in files) < 300_000
  record = json.loads((DATA / 'golden' / 'run.json').read_text())
  assert record['host'] == 'somewhere' and record['machine']['cores'] == 1
  assert not [path for path in files if b'/home/' in path.read_bytes()]


def test_it_loads_with_the_same_weights_and_acts_as_it_did(golden):
  before = runs.tree(golden)
  agent = dv2.load(str(golden), trust=True)
  assert digest(agent.get_weights()) == EXPECTED['weights']
  env = gym.make('toys:Counter-v0', length=20)
  for seed, expected in zip(EXPECTED['seeds'], EXPECTED['actions']):
    obs, _ = env.reset(seed=seed)
    state, done, actions = None, False, []
    while not done:
      action, state = agent.act(obs, state)
      obs, _, done, _, _ = env.step(action)
      actions.append(int(action))
    assert actions == expected
  assert runs.tree(golden) == before


def test_it_is_evaluated_with_the_same_returns(golden):
  out, _ = runs.call(
      golden, '--trust', '--episodes', 3, '--json', command='eval')
  result = json.loads(out.splitlines()[-1])
  assert result['return_mean'] == np.mean(EXPECTED['returns']) == 20
  assert (result['length_mean'], result['step']) == (20, 400)
  stored = json.loads((golden / 'eval-400-10000-3.json').read_text())
  assert stored['per_episode']['return'] == EXPECTED['returns']


def test_it_goes_on_from_its_last_step(golden):
  before, old = runs.rows(golden), runs.tree(golden / 'train_episodes')
  assert runs.newest(golden).step == 400
  out, _ = runs.call(golden, '--trust', '--steps', 480)
  assert 'Resumed       checkpoint 400: ' in out
  assert '20 episodes, 400 steps in replay' in out
  assert runs.rows(golden)[:len(before)] == before
  runs.assert_steps_increase(golden)
  assert runs.column(golden, 'train_length')[-4:] == [20] * 4
  new = runs.tree(golden / 'train_episodes')
  assert old.items() <= new.items() and len(new) == 24
  assert runs.newest(golden).step == 480
  history = json.loads((golden / 'run.json').read_text())['history']
  assert [start['step'] for start in history] == [0, 400]
  assert history[1]['changed']['steps'] == [400, 480]


def test_its_episodes_hold_what_was_done(golden):
  episodes = runs.episodes(golden)
  assert [len(x['reward']) for x in episodes] == [21] * 20
  for x in episodes:
    np.testing.assert_array_equal(x['reward'], x['action'][:, 1])
    np.testing.assert_array_equal(x['is_terminal'], np.arange(21) == 20)
