"""What all suites of games and bodies do: train, go on, evaluate, be filmed."""

import functools
import json

from environments import config
import numpy as np
from PIL import Image
import pytest
import runs

from dreamerv2_tf import cli, envs
from dreamerv2_tf.config import resolve
from dreamerv2_tf.data.driver import Driver
from dreamerv2_tf.data.random_policy import RandomPolicy

WORLD = {'area': [24, 24]}  # Made in a fraction of the time.
TASKS = {
    'atari_pong': {'action_repeat': 4},
    'dmc_cartpole_balance': {'dmc_images': False},
    'dmc_manip_reach_site': {'dmc_images': False},
    'crafter_reward': {'env_config': WORLD},
    'minatar_seaquest': {'render_size': (20, 20)}}
HERE = '--envs_parallel', 'none'
RUNS = {
    'atari_small': HERE,
    'dmc_vision': ['--task', 'dmc_cup_catch'],
    'crafter': [*HERE, '--env.config.area', '24,24', '--log_every', '30'],
    'minatar': [*HERE, '--minatar_partial', '--envs', '2']}


@pytest.mark.parametrize('task', TASKS)
def test_a_running_episode_is_replayed_to_the_bit(task, caplog):
  make = functools.partial(envs.make, task, **config(**TASKS[task]))
  def build():
    pool = envs.Pool(make, 1, parallel='none')
    driver = Driver(pool, lambda worker, episode: 70 + episode)
    return driver, RandomPolicy(pool.act_space, seed=3), []

  steps = 4 if 'manip' in task else 12
  driver, policy, straight = build()
  driver(policy, steps=steps)
  state = json.loads(json.dumps([driver.state(), policy.state()]))
  driver.on_step(lambda row, worker: straight.append(row))
  driver(policy, steps=3)
  other, policy, resumed = build()
  other.restore(state[0])
  policy.load_state(state[1])
  other.on_step(lambda row, worker: resumed.append(row))
  other(policy, steps=3)
  assert 'could not be replayed' not in caplog.text
  assert len(straight) == len(resumed) == 3
  for one, two in zip(straight, resumed):
    for key in one:
      np.testing.assert_array_equal(one[key], two[key], err_msg=key)


@pytest.mark.parametrize('preset', RUNS)
def test_a_run_trains_goes_on_and_is_evaluated(preset, tmp_path, capsys):
  logdir, film = tmp_path / 'run', tmp_path / 'film.gif'
  few = [
      '--prefill', 20, '--train_every', 1000, '--log_every', 0,
      '--eval_every', 0, '--time_limit', 12]
  flags = ['--configs', preset, 'debug', *few, *RUNS[preset]]
  assert runs.here(logdir, *flags, '--steps', 30) == 0
  assert runs.here(logdir, '--steps', 34) == 0
  printed = capsys.readouterr()
  assert 'could not be replayed' not in printed.out + printed.err
  assert cli.main([
      'eval', '--logdir', str(logdir), '--episodes', '1', '--json', '--video',
      str(film)]) == 0
  record = json.loads(capsys.readouterr().out.splitlines()[-1])
  assert record['length_mean'] <= 12
  assert ('crafter_score' in record) == (preset == 'crafter')
  [*stored] = runs.episodes(logdir)
  assert {'action', 'reward', 'image', 'is_terminal'} < set(stored[0])
  with Image.open(film) as picture:
    assert picture.n_frames > 1 and picture.width >= 160


def test_defaults_are_those_of_the_presets():
  given = resolve().taken_by(envs.make)
  made = envs.make.__kwdefaults__
  assert {k: v for k, v in given.items() if k in made} == {
      k: v for k, v in made.items() if k in given}
