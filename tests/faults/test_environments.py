"""Faults 32 to 41: environments that fail, hang, lie or change."""

import functools
import importlib
import json
import os
import shutil
import signal
import time
import types

import gymnasium as gym
import numpy as np
from pools import ACTION, children, factory, gone, run, stat
import pytest
import runs
import toys

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs
from dreamerv2_tf.data.layout import EpisodeError
from dreamerv2_tf.data.store import Store
from dreamerv2_tf.envs import pool as poollib
from dreamerv2_tf.errors import (
  ConfigError,
  EnvError,
  NonFiniteError,
  StateError,
)
from dreamerv2_tf.run import train as training


def failure(logdir):
  return json.loads((logdir / 'failure.json').read_text())


def onehot(index, size=2):
  return {'action': np.eye(size, dtype=np.float32)[index]}


def marked(numbers, *values):
  """Parameters of a test that inject the faults of these numbers."""
  return pytest.param(*values, marks=[pytest.mark.fault(n) for n in numbers])


@pytest.mark.parametrize('timeout, faults', [
    # Noticed at once; waiting would call them hung.
    marked((32, 34, 41), 600, {
        'raise': ('raised', 'raised ValueError: the wheel came off'),
        'exit': ('died', 'died with exit code 7'),
        'sys.exit': ('died', 'died with exit code 3'),
        'segfault': ('died', 'was killed by SIGSEGV')}),
    marked((35,), 2, {
        name: ('hung', 'gave no answer within 2 s')
        for name in ('hang', 'deaf', 'stop')})])
def test_failing_steps_are_told_and_rebuilt(timeout, faults, caplog, tmp_path):
  seeds = range(7, 7 + len(faults))
  make = factory(
      'Plan', at=2, length=9, folder=str(tmp_path),
      plan=[(seed, 1, fault) for seed, fault in zip(seeds, faults)])
  count = len(faults)
  with envs.Pool(make, 1 + count, timeout=timeout) as pool:
    run(pool, ('reset', 5), *[('reset', seed) for seed in seeds])
    pids = children(os.getpid())
    run(pool, *[ACTION] * (1 + count))
    row, *failures = run(pool, *[ACTION] * (1 + count))
    # Other workers are untouched.
    assert row['vector'].tolist() == pytest.approx([0.2, 0.5, 0.1])
    assert pool.failures == count
    for index, failure in enumerate(failures):
      kind, text = list(faults.values())[index]
      assert failure.kind == kind
      assert failure.text.startswith(
          f'Worker {index + 1}, seed {seeds[index]}, step 2: '
          f'The environment {text}')
    row, *others = run(pool, ACTION, *[('reset', 20)] * count)
    assert row['vector'][0] == pytest.approx(0.3)
    for other in others:
      assert other['vector'].tolist() == pytest.approx([0, 2, 0])
    for other in run(pool, None, *[ACTION] * count)[1:]:
      assert other['vector'].tolist() == pytest.approx([0.1, 2, 0.1])
    assert len(set(children(os.getpid())) - set(pids)) == count
  assert gone(pids)
  if 'raise' in faults:
    assert 'in break_down' in caplog.text  # The traceback of the worker.
  assert caplog.text.count('It is rebuilt') == count


@pytest.mark.fault(32)
def test_too_many_failures_end_the_run():
  make = factory('Fault', fault='raise', at=1)
  with envs.Pool(make, 1, parallel='none', max_failures=2) as pool:
    for _ in range(2):
      run(pool, ('reset', 7))
      assert isinstance(run(pool, ACTION)[0], envs.Failure)
    run(pool, ('reset', 7))
    with pytest.raises(EnvError, match='failure 3 within an hour.*is 2'):
      run(pool, ACTION)


@pytest.mark.fault(32)
@pytest.mark.minutes
def test_too_many_failures_end_the_run_and_it_goes_on(
    train, finishes, collect, tmp_path):
  flags = [
      *collect, '--envs_parallel', 'process', '--max_env_failures', 2,
      *runs.plan(
          tmp_path / 'visits', (runs.seed_of(1), 1, 'raise'),
          (runs.seed_of(2, 1), 1, 'raise'), (runs.seed_of(3), 1, 'raise'))]
  line = train(4, *flags)
  assert f'Worker 0, seed {runs.seed_of(3)}, step 3' in line
  assert 'raised ValueError: the wheel came off' in line
  assert 'That is failure 3 within an hour, and max_env_failures is 2' in line
  assert failure(tmp_path / 'run')['error'] == 'EnvError'
  stored = runs.episodes(tmp_path / 'run')
  cut = [x for x in stored if len(x['reward']) == 3]
  assert len(cut) == 2 and len(stored) > 2
  assert all(x['is_last'][-1] and not x['is_terminal'].any() for x in cut)
  finishes(*flags)


@pytest.mark.minutes
@pytest.mark.fault(32)
@pytest.mark.fault(34)
@pytest.mark.fault(35)
@pytest.mark.fault(36)
def test_failing_environments_are_replaced_and_counted(tmp_path):
  logdir = tmp_path / 'run'
  faults = runs.plan(
      tmp_path / 'visits', (runs.seed_of(1), 1, 'raise'),
      (runs.seed_of(3), 1, 'exit'), (runs.seed_of(6, 1), 1, 'hang'),
      (runs.seed_of(7), 1, 'nan reward'), (20_001, 1, 'raise'))
  _, err = runs.call(
      logdir, *runs.TOY, *faults, '--steps', 180, '--env_timeout', 8,
      '--on_bad_data', 'drop')
  assert runs.column(logdir, 'env_failures')[-1] == 3
  assert runs.column(logdir, 'env_dropped')[-1] == 1
  assert set(runs.column(logdir, 'eval_env_failures')) == {1}
  for text in (
      f'Worker 0, seed {runs.seed_of(1)}, step 3: The environment raised '
      'ValueError: the wheel came off. It is rebuilt.',
      'The environment died with exit code 7',
      'gave no answer within 8 s', 'reward is nan', 'seed 20001, step 3'):
    assert text in err, text
  lengths = [len(x['reward']) - 1 for x in runs.episodes(logdir)]
  assert lengths.count(2) == 4 and set(lengths) == {2, 7}
  cut = [x for x in runs.episodes(logdir) if len(x['reward']) == 3]
  assert all(x['is_last'][-1] and not x['is_terminal'].any() for x in cut)
  # The evaluation ran that scenario again.
  assert set(runs.column(logdir, 'eval_eps')) == {3}
  assert {len(x['reward']) for x in runs.episodes(logdir, 'eval_episodes')} == {
      8}
  runs.assert_steps_increase(logdir)
  assert runs.newest(logdir).step >= 180


@pytest.mark.parametrize('fault', [
    marked((32,), 'raise'), marked((34, 41), 'sys.exit')])
def test_without_processes_failures_are_rebuilt_too(fault):
  make = factory('Fault', fault=fault, at=1, seeds=(7,))
  with envs.Pool(make, 2, parallel='none') as pool:
    run(pool, ('reset', 5), ('reset', 7))
    row, failure = run(pool, ACTION, ACTION)
    assert row['reward'] == 1 and isinstance(failure, envs.Failure)
    assert run(pool, None, ('reset', 8))[1]['is_first']


class Wordy(Exception):
  """Its message is as long as that of an array, on many lines."""

  def __str__(self):
    return '[0 1]\n\x1b' * 1_000_000


class Mute(Exception):
  """Not even its message works."""

  def __str__(self):
    raise ValueError('no words')


def fail(error):
  raise error()


@pytest.mark.fault(32)
@pytest.mark.parametrize('error, text', [
    (Wordy, 'raised Wordy: [0 1] ?[0 1] ?'),
    (Mute, 'raised Mute: its message can not be read')])
def test_what_is_raised_is_told_in_one_short_line(error, text, caplog):
  make = factory('Fault', fault='')
  def broken():
    env = make()
    env._env.unwrapped.observe = functools.partial(fail, error)
    return env
  with envs.Pool(broken, 1, parallel='none') as pool:
    failure, = run(pool, ('reset', 7))
  assert text in failure.text and '\n' not in failure.text
  assert len(failure.text) < 700 and len(caplog.text) < 6000


@pytest.mark.fault(33)
def test_a_failing_reset_is_told_and_rebuilt():
  make = factory('Fault', fault='raise', at=0, seeds=(7,))
  with envs.Pool(make, 1) as pool:
    failure, = run(pool, ('reset', 7))
    assert failure.kind == 'raised' and 'seed 7, step 0' in failure.text
    row, = run(pool, ('reset', 8))
    assert row['is_first']


@pytest.mark.fault(33)
@pytest.mark.parametrize('parallel', ['process', 'none'])
def test_constructor_failures_end_the_start(parallel):
  with pytest.raises(EnvError, match='can not be built: ValueError: no such'):
    envs.Pool(factory('Fault', fault='constructor'), 2, parallel=parallel)
  with pytest.raises(ConfigError, match="Did you mean 'gym_Counter-v0'"):
    envs.Pool(factory('Countr'), 1, parallel=parallel)


@pytest.mark.fault(33)
def test_any_factory_that_raises_is_an_environment_error():
  with pytest.raises(EnvError, match='raised ZeroDivisionError.*while it was'):
    envs.Pool(lambda: 1 / 0, 1)
  with pytest.raises(EnvError, match='died with exit code 4 while it was'):
    envs.Pool(functools.partial(os._exit, 4), 1)


@pytest.mark.fault(34)
def test_killed_from_outside():
  with envs.Pool(factory(length=9), 1) as pool:
    run(pool, ('reset', 1))
    child, = children(os.getpid())
    os.kill(child, signal.SIGKILL)
    failure, = run(pool, ACTION)
    assert failure.kind == 'died' and 'killed by SIGKILL' in failure.text
    assert run(pool, ('reset', 2))[0]['is_first']


@pytest.mark.fault(34)
@pytest.mark.parametrize('fault', ['exit', ''])
def test_what_a_worker_started_ends_with_it(fault, tmp_path):
  make = factory(
      'Family', folder=str(tmp_path), fault=fault, at=1, seeds=(7,))
  with envs.Pool(make, 1) as pool:
    run(pool, ('reset', 7))
    [first] = [int(path.name) for path in tmp_path.iterdir()]
    assert stat(first)
    result, = run(pool, ACTION)
    if fault:
      assert result.kind == 'died' and gone([first])
  pids = [int(path.name) for path in tmp_path.iterdir()]
  assert first in pids and gone(pids)


@pytest.mark.fault(34)
@pytest.mark.fault(35)
def test_close_waits_for_no_worker_that_hangs():
  make = factory('Fault', fault='deaf', at=1, seeds=(7,))
  pool = envs.Pool(make, 2)
  run(pool, ('reset', 7), ('reset', 8))
  pids = children(os.getpid())
  pool.send([ACTION, ACTION])
  pool.close()  # The worker itself would take an hour.
  assert len(pids) == 2 and gone(pids)


@pytest.mark.fault(35)
def test_time_in_which_the_trainer_was_suspended_does_not_count(monkeypatch):
  clock = types.SimpleNamespace(looks=0)
  def monotonic():
    clock.looks += 1
    return time.monotonic() + 1000 * (clock.looks > 3)
  with envs.Pool(factory('Plan', seconds=1.0), 1, timeout=60) as pool:
    run(pool, ('reset', 7))
    clock.monotonic = monotonic
    monkeypatch.setattr(poollib, 'time', clock)
    [row] = run(pool, ACTION)
    assert clock.looks > 3 and row['vector'][0] == np.float32(0.1)
    assert pool.failures == 0


@pytest.mark.fault(35)
def test_late_replies_are_dropped():
  with envs.Pool(factory(length=9), 1) as pool:
    pool.send([('reset', 10)])
    pool.send([ACTION])  # The reply to the reset was never taken.
    row, = pool.recv()
    assert not row['is_first'] and row['reward'] == 1


@pytest.mark.fault(36)
@pytest.mark.parametrize('fault, text', [
    ('nan', r'observation is nan at index \(1,\)'),
    ('inf', r'observation is inf at index \(2,\)'),
    ('nan reward', 'reward is nan'), ('inf reward', 'reward is inf')])
def test_non_finite_data_names_key_and_index(fault, text):
  env = factory('Fault', fault=fault, at=2)()
  env.reset(5)
  env.step(onehot(0))
  with pytest.raises(NonFiniteError, match=f'seed 5, step 2: {text}'):
    env.step(onehot(0))


@pytest.mark.fault(36)
@pytest.mark.parametrize('fault', ['nan', 'inf reward'])
def test_bad_data_stops_the_run(fault):
  make = factory('Fault', fault=fault, at=2)
  with envs.Pool(make, 1) as pool:
    run(pool, ('reset', 6))
    run(pool, ACTION)
    with pytest.raises(NonFiniteError, match='Worker 0.*seed 6, step 2'):
      run(pool, ACTION)


@pytest.mark.fault(36)
def test_bad_data_can_be_dropped():
  make = factory('Fault', fault='nan', at=2, seeds=(6,))
  with envs.Pool(make, 1, on_bad_data='drop') as pool:
    run(pool, ('reset', 6))
    child = children(os.getpid())
    run(pool, ACTION)
    assert run(pool, ACTION)[0].kind == 'dropped'
    assert (pool.dropped, pool.failures) == (1, 0)
    assert run(pool, ('reset', 7))[0]['is_first']
    assert children(os.getpid()) == child  # Nothing to rebuild.


@pytest.mark.fault(36)
def test_bad_data_of_a_reset_leaves_no_episode_to_end():
  make = factory('Fault', fault='nan', at=0, seeds=(6,))
  with envs.Pool(make, 1, parallel='none', on_bad_data='drop') as pool:
    assert run(pool, ('reset', 6))[0].kind == 'raised'
    assert (pool.dropped, pool.failures) == (0, 1)
    assert run(pool, ('reset', 7))[0]['is_first']


@pytest.mark.fault(36)
def test_what_is_logged_is_checked_as_well():
  env = envs.Env(
      gym.make('CartPole-v1').unwrapped, 'it',
      envs.Adapter(gym.spaces.Box(-np.inf, np.inf, (4,))),
      logs={'log_speed': lambda env: 1 if env.steps_beyond_terminated is None
            else np.nan})
  env.reset(1)
  env._env.steps_beyond_terminated = 0
  with pytest.raises(NonFiniteError, match="seed 1, step 1: 'log_speed' is n"):
    env.step(onehot(0))


@pytest.mark.fault(36)
def test_nan_reward_ends_the_run_and_is_never_stored(
    train, finishes, collect, tmp_path):
  flags = [*collect, *runs.plan(
      tmp_path / 'visits', (runs.seed_of(2), 1, 'nan reward'))]
  line = train(5, *flags)
  assert f"'gym_toys:Plan-v0', seed {runs.seed_of(2)}, step 3: rewar" in line
  assert 'reward is nan' in line and 'on_bad_data' in line
  record = failure(tmp_path / 'run')
  assert (record['exit_code'], record['error']) == (5, 'NonFiniteError')
  assert f"error: {record['message']}" == line and 'traceback' not in record
  finishes(*flags)
  assert all(np.isfinite(x['reward']).all()
             for x in runs.episodes(tmp_path / 'run'))


@pytest.mark.fault(37)
@pytest.mark.parametrize('fault, text', [
    ('shape', r'shape \(2,\), expected \(3,\)'),
    ('dtype', 'dtype <U1, expected float32'),
    ('image', 'dtype float32, expected uint8. Convert images to 0 to 255'),
    ('key', "observation 'b' is missing"),
    ('no reward', 'None as reward'), ('truncated', 'type str as truncated'),
    ('old', '4 values are the API of old Gym')])
@pytest.mark.parametrize('at', [0, 2])
def test_breaches_in_a_run_name_seed_and_step(fault, text, at):
  if at == 0 and fault in ('no reward', 'truncated', 'old'):
    at = 1
  env = factory('Fault', fault=fault, at=at)()
  with pytest.raises(EnvError, match=text) as info:
    env.reset(5)
    for _ in range(at):
      env.step(onehot(1))
  assert f"'gym_toys:Fault-v0', seed 5, step {at}: " in str(info.value)


@pytest.mark.fault(37)
def test_breaches_of_the_space_end_the_run():
  make = factory('Fault', fault='shape', at=2)
  with envs.Pool(make, 2) as pool:
    run(pool, ('reset', 6), ('reset', 6))
    run(pool, ACTION, ACTION)
    with pytest.raises(EnvError, match=r'shape \(2,\), expected \(3,\)'):
      run(pool, ACTION, ACTION)


@pytest.mark.fault(37)
@pytest.mark.parametrize('parallel', ['process', 'none'])
def test_values_outside_of_the_space_are_told_once_and_counted(
    parallel, caplog):
  make = factory('Fault', fault='outside', at=2, seeds=(6,))
  with envs.Pool(make, 2, parallel=parallel) as pool:
    for count in 1, 2:
      run(pool, ('reset', 6), ('reset', 7))
      run(pool, ACTION, ACTION)
      row, other = run(pool, ACTION, ACTION)
      assert row['vector'][2] == -8 and other['vector'][2] > 0
      assert pool.outside == count
    assert pool.failures == 0
  [record] = [r for r in caplog.records if 'outside' in r.msg % r.args]
  assert record.getMessage().startswith(
      'Worker 0, seed 6, step 2: The observation lies in [-8, 0.6], outside')


@pytest.mark.fault(37)
def test_pictures_of_floats_are_refused():
  env = factory(render=True)()
  env._env.unwrapped.render = lambda: np.ones((8, 12, 3))  # All would be 1.
  with pytest.raises(EnvError, match='rendered float64, expected uint8'):
    env.reset(1)


@pytest.mark.fault(38)
@pytest.mark.parametrize('name, action', [
    ('Counter', [0, 0]), ('Counter', [1, 1]), ('Counter', [0.5, 0.5]),
    ('Counter', [1, 0, 0]), ('Counter', [np.nan, 1]),
    ('Continuous', [2, 0]), ('Continuous', [np.nan, 0]), ('Continuous', [0])])
def test_bad_actions_stop_before_the_step(name, action):
  env = factory(name)()
  env.reset(1)
  with pytest.raises(ValueError, match='The policy gave the actions'):
    env.step({'action': np.float32(action)})
  assert env._env.unwrapped.count == 0


@pytest.mark.fault(38)
@pytest.mark.parametrize('space, action, text', [
    (gym.spaces.Discrete(2), [0, 0], r"'action' is \[0.0, 0.0\] at row 2, whi"),
    (gym.spaces.Discrete(2), [1, 1], r'\[1.0, 1.0\] at row 2'),
    (gym.spaces.Box(-1, 1, (2,)), [0, 1.5], r'\[0.0, 1.5\] at row 2')])
def test_stored_actions_of_another_space_are_refused(
    space, action, text, tmp_path):
  spaces = {
      'action': ((2,), np.float32), 'reward': ((), np.float32),
      **{key: ((), bool) for key in ('is_first', 'is_last', 'is_terminal')}}
  store = Store(
      tmp_path, 0, spaces, functools.partial(envs.are_actions, space))
  rows = np.arange(4)
  episode = {
      'action': np.float32([[0, 0], [0, 1], [1, 0], [0, 1]]),
      'reward': np.zeros(4, np.float32), 'is_first': rows == 0,
      'is_last': rows == 3, 'is_terminal': rows == 3}
  assert len(store.load(store.save(0, episode))['action']) == 4
  episode['action'][2] = action
  name = store.save(1, episode)
  with pytest.raises(EpisodeError, match=text):
    store.load(name)


class Clipper(gym.Wrapper):
  """Scales the action that it is given in place, as some do."""

  def step(self, action):
    action *= 2
    return self.env.step(action)


@pytest.mark.fault(38)
def test_an_environment_that_changes_its_action_gets_a_new_one_each_time():
  config = configlib.resolve(['debug'], ['--action_repeat', '3'])
  env = envs.wrap(
      Clipper(toys.Continuous(length=9)), **config.taken_by(envs.wrap))
  env.reset(1)
  action = np.float32([1, 1])  # 4 and 2, of which the mean is 3.
  for _ in range(2):
    assert env.step({'action': action})['reward'] == 18  # 3 * 2 * 3.
  assert action.tolist() == [1, 1]


@pytest.mark.fault(39)
def test_old_gym_api_gets_a_sentence_for_each_breach():
  with pytest.raises(EnvError) as info:
    factory('Old')()
  for text in (
      "'gym_toys:Old-v0' does not follow the Gymnasium API",
      "unexpected keyword argument 'seed'", 'a tuple of 4 values', 'old Gym'):
    assert text in str(info.value)


@pytest.mark.fault(39)
def test_all_breaches_are_told_at_once():
  with pytest.raises(EnvError) as info:
    factory('Sloppy')()
  for text in ('None as reward', 'type int as terminated',
               'type str as truncated', 'type list as info'):
    assert text in str(info.value)


@pytest.mark.fault(40)
def test_space_mismatch_lists_both(tmp_path):
  flag = str(tmp_path / 'flag')
  base = functools.partial(factory, actions=2)
  def different():
    try:
      os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
      return base(length=3)()
    return base('Image')()
  with pytest.raises(StateError, match='different spaces') as info:
    envs.Pool(different, 2)
  assert "'image'" in str(info.value) and "'vector'" in str(info.value)


@pytest.mark.fault(40)
def test_a_run_in_an_environment_of_other_spaces_changes_nothing(
    collected, finishes, collect):
  before = runs.tree(collected)
  config = configlib.Config.load(collected / 'config.yaml')
  config = config.update({'logdir': str(collected), 'steps': 80})
  for make, text in [
      (factory('Image'), "key 'image' is missing; the environment has image"),
      (factory(actions=3), r"'action' has shape (2,) per row, expected (3,)"),
      (factory('Continuous'), "'action': 'Discrete(2)'")]:
    with pytest.raises(StateError) as info:
      training.run(config, factory=make)
    assert text in str(info.value)
    assert runs.tree(collected, 'failure.json') == before
  assert "environment now has {'action': 'float32 (2,)'" in str(info.value)
  finishes(*collect, '--steps', 80)


@pytest.mark.fault(40)
def test_episodes_of_other_spaces_begin_no_run(
    original, train, collect, tmp_path):
  logdir = tmp_path / 'other'
  shutil.copytree(original / 'train_episodes', logdir / 'train_episodes')
  before = runs.tree(logdir)
  line = train(3, *collect, '--task', 'gym_toys:Image-v0', logdir=logdir)
  assert line.startswith(
      f'error: {logdir}/train_episodes: 8 of 8 episodes are damaged or of an')
  assert "'image' is missing; the environment has image (16, 16, 1) u" in line
  assert runs.tree(logdir) == before
  assert [path.name for path in logdir.iterdir()] == ['train_episodes']


@pytest.mark.fault(40)
@pytest.mark.minutes
def test_another_order_of_observations_changes_nothing(launcher, tmp_path):
  # As another version of the environment may have it, or of Gymnasium.
  begun, one, other = (tmp_path / name for name in ('begun', 'one', 'other'))

  def call(logdir, steps, keys):
    launcher.call(
        logdir, *runs.TOY, '--task', 'gym_toys:Keys-v0', '--eval_every', 0,
        '--steps', steps, setup=f'import os; os.environ["TOY_KEYS"] = "{keys}"')

  call(begun, 100, 'long b')
  for logdir in one, other:
    shutil.copytree(begun, logdir)
  call(one, 140, 'long b')
  call(other, 140, 'b long')
  (arrays, _), (others, _) = runs.checkpoint(one), runs.checkpoint(other)
  assert set(arrays) == set(others) and all(
      np.array_equal(arrays[key], others[key]) for key in arrays)
  names = runs.newest(other).manifest['observations']
  assert [name for name in names if name in ('b', 'long')] == ['b', 'long']


@pytest.mark.fault(40)
@pytest.mark.parametrize('names, want', [
    ([], ['a', 'b', 'c']), (['c', 'a', 'b'], ['c', 'a', 'b']),
    (['b'], ['b', 'a', 'c']), (['c', 'gone', 'c', 'a'], ['c', 'a', 'b']),
    (None, ['a', 'b', 'c']), ([['b'], 3, 'c'], ['c', 'a', 'b'])])
def test_observations_keep_an_order_that_is_remembered(names, want):
  space = {'b': 2, 'c': 3, 'a': 1}
  ordered = envs.in_order(space, names)
  assert list(ordered) == want and ordered == space


@pytest.mark.fault(40)
@pytest.mark.parametrize('key', [
    'a\nb', 'a\0b', '\x1b[2J', 'a\udcff', 'x' * 201])
def test_keys_that_can_not_be_names_are_refused(key):
  with pytest.raises(ConfigError, match='can not be a name: expected at most'):
    envs.Adapter(gym.spaces.Dict({key: gym.spaces.Discrete(2)}))


@pytest.mark.fault(55)
def test_workers_find_modules_in_a_folder_of_any_name(tmp_path, monkeypatch):
  folder = tmp_path / 'a:b'  # What separates names in PYTHONPATH.
  folder.mkdir()
  (folder / 'beside.py').write_text(
      'import pools\ndef make():\n  return pools.factory()()\n')
  monkeypatch.chdir(folder)
  monkeypatch.syspath_prepend('')
  with envs.Pool(importlib.import_module('beside').make, 1) as pool:
    assert run(pool, ('reset', 6))[0]['is_first']


@pytest.mark.fault(55)
def test_the_current_folder_may_be_gone(tmp_path, monkeypatch):
  (tmp_path / 'here').mkdir()
  monkeypatch.chdir(tmp_path / 'here')
  for place in '', 'relative':
    monkeypatch.syspath_prepend(place)
  (tmp_path / 'here').rmdir()
  with envs.Pool(factory(), 1) as pool:
    assert run(pool, ('reset', 6))[0]['is_first']


@pytest.mark.fault(41)
def test_prints_never_reach_us(capfd):
  with envs.Pool(factory('Fault', fault='print'), 1) as pool:
    assert run(pool, ('reset', 6))[0]['is_first']
  assert capfd.readouterr() == ('', '')


@pytest.mark.fault(41)
def test_a_constructor_that_exits_does_not_end_us(tmp_path, monkeypatch):
  with pytest.raises(EnvError, match='can not be built: SystemExit: 0'):
    factory('Fault', fault='exiting constructor')()
  (tmp_path / 'leaving.py').write_text('import sys\nsys.exit(0)')
  monkeypatch.syspath_prepend(tmp_path)
  config = configlib.resolve(['debug'])
  with pytest.raises(EnvError, match='can not be imported: SystemExit: 0'):
    envs.make('gym_leaving:A-v0', **config.taken_by(envs.make))


@pytest.mark.fault(41)
def test_closing_may_fail_or_exit(caplog):
  for fault, text in (True, "ValueError('the door i"), ('exit', 'SystemExit(3'):
    with envs.Pool(factory(close_fault=fault), 1, parallel='none'):
      pass
    assert f'raised {text}' in caplog.text
