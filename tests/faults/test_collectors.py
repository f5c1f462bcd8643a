"""Faults 56 to 59: collectors and their machines that fail, hang or lie."""

import functools
import importlib
import json
import os
import signal
import sys
import time

import clusters
import numpy as np
import pools
import pytest
import runs

from dreamerv2_tf import config as configlib
from dreamerv2_tf.errors import EnvError
from dreamerv2_tf.run import cluster as clusterlib
from dreamerv2_tf.run import fleet as fleetlib
from dreamerv2_tf.run.remote import Actor


@pytest.fixture(scope='module')
def cluster():
  """A cluster with room for two collectors."""
  with clusters.cluster(2) as cluster:
    yield cluster


@pytest.fixture
def liars():
  """Lets Ray send the classes of this file, which only pytest can import."""
  from ray import cloudpickle
  cloudpickle.register_pickle_by_value(sys.modules[__name__])
  yield
  cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def start(cluster, collectors=2, seconds=0.02, length=20, actor=Actor, **more):
  """Collectors of a toy that act at random, in this process."""
  config = configlib.resolve(['debug']).update({
      'collectors': collectors, 'ray.address': cluster.address, 'envs': 1,
      **more})
  make = pools.factory('Plan', seconds=seconds, length=length)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(fleetlib, 'Actor', actor)
    fleet = fleetlib.Fleet(config, make, **config.taken_by(fleetlib.Fleet))
  fleet.next = [0] * len(fleet)
  fleet.prepare([], lambda number: [fleet.next[number]])
  return fleet


def take(fleet, count=1, until=lambda: True, timeout=120):
  """Takes so many episodes at least, and until that holds."""
  result, end = [], time.monotonic() + timeout
  while len(result) < count or not until():
    assert time.monotonic() < end, (len(result), fleet.up)
    if taken := fleet.take(0.5):
      number, episode = taken
      fleet.next[number] = max(fleet.next[number], episode['index'] + 1)
      fleet.praise(number)
      result.append((number, episode['index'], episode))
  return result


def pids(fleet):
  return {node['collector']: node['pid'] for node in fleet.nodes}


def identities(taken):
  return [(number, index) for number, index, _ in taken]


def run_of(cluster, *more):
  """Flags of a run with two collectors."""
  return [
      *runs.TOY, '--collectors', 2, '--ray.address', cluster.address, '--envs',
      1, '--eval_every', 0, *more]


def nodes(logdir):
  """The nodes of the last start of a run, none before it is recorded."""
  try:
    return json.loads((logdir / 'run.json').read_text())['history'][-1]['nodes']
  except (OSError, LookupError):
    return []


def learns(logdir):
  return (logdir / 'metrics.jsonl').exists() and (
      runs.column(logdir, 'model_loss'))


@pytest.mark.fault(56)
def test_a_killed_collector_is_replaced_and_goes_on(cluster, caplog):
  with start(cluster) as fleet:
    before = take(fleet, 4, until=lambda: fleet.steps > 0)
    assert {number for number, *_ in before} == {0, 1}
    os.kill(pids(fleet)[0], signal.SIGKILL)
    take(fleet, 1, until=lambda: fleet.lost)
    assert 'Collector 0: Its process or its machine is gone.' in caplog.text
    expected = fleet.next[0]
    after = take(fleet, 2, until=lambda: fleet.next[0] > expected + 1)
    assert fleet.up == 2 and fleet.lost == 1
  taken = identities(before + after)
  assert len(set(taken)) == len(taken)
  episode = after[-1][2]['arrays']
  assert len(episode['action']) == 21 and episode['is_last'].tolist() == (
      [False] * 20 + [True])


@pytest.mark.fault(56)
@pytest.mark.fault(59)
@pytest.mark.minutes
def test_a_run_with_a_killed_collector_then_a_killed_learner(
    cluster, launcher, tmp_path):
  logdir = tmp_path / 'run'
  flags = run_of(
      cluster, '--env.config.seconds', 0.01, '--steps', 100_000,
      '--checkpoint_every', 30)
  run = launcher.start(logdir, *flags)
  runs.wait_for(lambda: learns(logdir), run)
  first = nodes(logdir)[0]
  assert first['collector'] == 0 and first['host']
  os.kill(first['pid'], signal.SIGKILL)
  runs.wait_for(lambda: 'Collector 0 is back' in run.err.read_text(), run)
  lost = len(runs.column(logdir, 'model_loss'))
  runs.wait_for(  # With weights, as its episodes know of gradient steps.
      lambda: len(runs.column(logdir, 'policy_lag')) > 2
      and len(runs.column(logdir, 'model_loss')) > lost + 2, run)
  assert runs.column(logdir, 'collector_failures')[-1] == 1
  assert 'Collector 0: Its process' in run.err.read_text()
  alive = [x['pid'] for x in nodes(logdir)] + pools.children(first['pid'])
  episodes = len(runs.episodes(logdir))
  run.kill()
  run.communicate()
  assert pools.gone(alive)
  done = runs.newest(logdir).step
  launcher.call(logdir, *flags, '--steps', done + 60)
  runs.assert_steps_increase(logdir)
  assert len(runs.episodes(logdir)) >= episodes
  assert_ratio(logdir)


def assert_ratio(logdir):
  """One gradient step each five steps since prefill, and one before."""
  variables, state = runs.checkpoint(logdir)
  config = configlib.Config.load(logdir / 'config.yaml')
  owed = state['due']['train']
  trained = int(variables['train_calls']) + owed - config.pretrain
  learned = (state['step'] - config.prefill) / config.train_every
  assert abs(trained - config.train_steps * learned) <= 3, (trained, learned)


@pytest.mark.fault(57)
def test_a_lost_machine_leaves_the_others_at_work(cluster, caplog):
  other = cluster.add_node(**clusters.SMALL)
  with start(cluster, 3, collector_timeout=600) as fleet:
    take(fleet, 3)
    cluster.remove_node(other, allow_graceful=False)
    take(fleet, 3, until=lambda: fleet.lost)
    assert fleet.up == 2
    cluster.add_node(**clusters.SMALL)
    take(fleet, 1, until=lambda: fleet.up == 3)
    assert 'is back.' in caplog.text
    [lost] = {0, 1, 2} - {x.number for x in fleet._members if not x.lost}
    expected = fleet.next[lost]
    take(fleet, 1, until=lambda: fleet.next[lost] > expected)


@pytest.mark.fault(57)
@pytest.mark.minutes
def test_too_few_collectors_save_and_end_the_run(cluster, launcher, tmp_path):
  logdir = tmp_path / 'run'
  flags = run_of(
      cluster, '--env.config.seconds', 0.01, '--min_collectors', 2,
      '--collector_timeout', 0.01, '--env_timeout', 100, '--steps', 100_000)
  run = launcher.start(logdir, *flags)
  runs.wait_for(lambda: learns(logdir), run)
  os.kill(nodes(logdir)[1]['pid'], signal.SIGKILL)
  _, err = runs.finish(run, 4)
  assert '1 of 2 collectors are at work, min_collectors is 2' in err
  step = runs.newest(logdir).step
  assert step == max(row['step'] for row in runs.rows(logdir)) or step > 60
  launcher.call(
      logdir, *flags, '--min_collectors', 1, '--collectors', 1, '--steps',
      step + 30)
  runs.assert_steps_increase(logdir)


@pytest.mark.fault(58)
def test_a_collector_that_hangs_is_replaced(cluster, caplog):
  with start(cluster, collector_timeout=8, env_timeout=2) as fleet:
    take(fleet, 2, until=lambda: min(fleet.next) > 0)
    os.kill(pids(fleet)[1], signal.SIGSTOP)
    take(fleet, 1, until=lambda: fleet._members[1].lost)
    assert 'Collector 1: It made no step within 10 s.' in caplog.text
    expected = fleet.next[1]
    take(fleet, 1, until=lambda: fleet.next[1] > expected)


class Liar(Actor):
  """Answers with what is no answer after its first episode."""

  def collect(self, *arguments):
    answer = super().collect(*arguments)
    return answer if self._number or answer['episodes'][0]['index'] == 0 else (
        {'episodes': 'many'})


@pytest.mark.fault(58)
def test_a_collector_that_lies_is_given_up_in_the_end(cluster, caplog, liars):
  with start(
      cluster, seconds=0.0, actor=Liar, min_collectors=1) as fleet:
    [liar] = [x for x in fleet._members if x.number == 0]
    take(fleet, 3, until=lambda: liar.gone)
    assert fleet.up == 1 and fleet.lost == 5
    assert caplog.text.count('Collector 0: Its answer is none of a coll') == 5
    assert {number for number, *_ in take(fleet, 3)} <= {0, 1}


@pytest.mark.fault(57)
def test_none_left_is_an_error_without_waiting(cluster, liars):
  with start(cluster, 1, seconds=0.0, actor=Liar) as fleet:
    with pytest.raises(EnvError, match='and the others were given up'):
      take(fleet, 100)


@pytest.mark.fault(59)
def test_a_killed_learner_takes_a_cluster_of_its_own_along(
    launcher, tmp_path):
  logdir = tmp_path / 'run'
  with clusters.settings():
    run = runs.start(
        logdir, *runs.TOY, '--collectors', 1, '--prefill', 100_000, '--steps',
        100_000, '--env.config.seconds', 0.01, '--checkpoint_every', 20)
    runs.wait_for(lambda: nodes(logdir) and runs.newest(logdir).step, run)
    family = descendants(run.pid)
    assert any('raylet' in ' '.join(pools.words(x)) for x in family)
    assert any('dreamerv2_tf.envs.worker' in pools.words(x) for x in family)
    run.kill()
    run.communicate()
    # Two helpers of Ray look at times only whether the others are there.
    assert pools.gone(family, 240)


def descendants(pid):
  """Ids of the processes that a process has started, and theirs."""
  numbers = [int(x) for x in os.listdir('/proc') if x.isdigit()]
  parents = {x: stat[1] for x in numbers if (stat := pools.stat(x))}
  found, fresh = set(), {pid}
  while fresh:
    fresh = {x for x, parent in parents.items() if parent in fresh} - found
    found |= fresh
  return found


@pytest.mark.minutes
def test_a_stopped_run_goes_on(cluster, launcher, tmp_path):
  logdir = tmp_path / 'run'
  flags = run_of(cluster, '--env.config.seconds', 0.01, '--eval_every', 90)
  run = launcher.start(logdir, *flags, '--steps', 100_000)
  runs.wait_for(lambda: learns(logdir), run)
  run.send_signal(signal.SIGTERM)
  out, err = runs.finish(run, 75)
  assert 'the state is saved' in err and 'raylet' not in out + err
  step, episodes = runs.newest(logdir).step, len(runs.episodes(logdir))
  assert sum(len(x['action']) - 1 for x in runs.episodes(logdir)) == step
  assert_ratio(logdir)
  out, _ = launcher.call(logdir, *flags, '--steps', step + 60)
  assert f'Resumed       checkpoint {step}: ' in out
  runs.assert_steps_increase(logdir)
  assert len(runs.episodes(logdir)) > episodes
  assert sum(len(x['action']) - 1 for x in runs.episodes(logdir)) == (
      runs.newest(logdir).step)
  assert_ratio(logdir)
  # All episodes began with scenarios of their own.
  seeds = [float(x['vector'][0, 1]) for x in runs.episodes(logdir)]
  assert len(set(seeds)) == len(seeds)


@pytest.mark.minutes
def test_environments_that_can_not_be_built_begin_no_run(cluster, tmp_path):
  for task, status, text in [
      ('gym_toys:Nothing-v0', 2, 'is not a known task'),
      ('gym_toys:Old-v0', 4, 'does not follow the Gymnasium API')]:
    _, err = runs.call(
        tmp_path / 'run', *run_of(cluster, '--task', task), status=status)
    assert text in err and err.count('error: ') == 1
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('flags, status, text', [
    (['--ray.address', '127.0.0.1:1'], 4, 'No Ray cluster answers at ray.ad'),
    (['--ray.address', 'nowhere'], 2, 'must be auto, local or HOST:PORT'),
    (['--ray.address', 'ray://host:1'], 2, 'must be auto, local or HOST:PORT'),
    (['--min_collectors', '3'], 2, 'must be at most collectors (2) but is 3'),
    (['--collectors', 'many'], 2, "'collectors' must be a whole number"),
    (['--sync_every', '0'], 2, "'sync_every' must be at least 1 but is 0"),
    (['--collector_timeout', '0'], 2, 'must be above 0 but is 0'),
])
def test_wrong_settings_create_nothing(flags, status, text, tmp_path, capsys):
  with clusters.settings():
    assert runs.here(
        tmp_path / 'run', *runs.TOY, '--collectors', 2, *flags) == status
  assert text in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


def test_no_cluster_on_this_machine_is_told(tmp_path, capsys, monkeypatch):
  def init(**options):
    assert options['address'] == 'auto'
    raise ConnectionError('Could not find any running Ray instance.')
  monkeypatch.setattr(clusterlib.ray, 'init', init)
  assert runs.here(
      tmp_path / 'run', *runs.TOY, '--collectors', 2, '--ray.address',
      'auto') == 4
  err = capsys.readouterr().err
  assert 'No Ray cluster answers at ray.address auto: ConnectionError' in err
  assert not (tmp_path / 'run').exists()


def test_without_ray_one_line_says_what_to_install(
    tmp_path, capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, 'ray', None)
  monkeypatch.delitem(sys.modules, clusterlib.__name__)
  monkeypatch.delattr(importlib.import_module('dreamerv2_tf.run'), 'cluster')
  assert runs.here(tmp_path / 'run', *runs.TOY, '--collectors', 2) == 4
  assert "pip install 'dreamerv2_tf[ray]'" in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


def test_too_small_a_cluster_is_told(cluster):
  with pytest.raises(EnvError, match='offers [23] CPUs and each collector tak'):
    start(cluster, 9, min_collectors=9)


def test_nothing_of_ray_is_imported_without_collectors(python, tmp_path):
  result = python('-c', (
      'import sys\nfrom dreamerv2_tf.run import train, parts\n'
      'assert not [x for x in sys.modules if x.split(".")[0] == "ray"]'))
  assert result.returncode == 0, result.stderr


def test_two_actors_draw_other_actions(cluster):
  with start(cluster, seconds=0.0, length=40) as fleet:
    taken = take(
        fleet, 4, until=lambda: min(fleet.next) > 0)
  first = {number: x['arrays']['action'] for number, index, x in taken
           if index == 0}
  assert not np.array_equal(first[0], first[1])
  assert functools.reduce(np.array_equal, [len(x) for x in first.values()])
