import pytest

from dreamerv2_tf import cli, errors
from dreamerv2_tf.sweeps import grid


def names(*words, seeds=1, presets=('debug',)):
  values, rest = grid.take(words)
  return [x.name for x in grid.trials(presets, rest, values, seeds)]


@pytest.mark.parametrize('words, want', [
    (['--grid.model_opt.lr', '1e-4,0.0003'], ['lr=1e-4', 'lr=3e-4']),
    (['--grid.model_opt.lr', '1e-4', '3e-4'], ['lr=1e-4', 'lr=3e-4']),
    (['--grid.discount=0.99,0.5'], ['discount=0.99', 'discount=0.5']),
    (['--grid.envs', '1e1'], ['envs=10']),
    (['--grid.encoder.mlp_layers', '32,32', '64'],
     ['mlp_layers=32x32', 'mlp_layers=64']),
    (['--grid.actor_ent', 'linear(3e-2,3e-3,1e4),1e-3'],
     ['actor_ent=linear(3e-2,3e-3,1e4)', 'actor_ent=1e-3']),
    (['--grid.actor_opt.lr', '1e-4', '--grid.critic_opt.lr', '1e-5'],
     ['actor_opt.lr=1e-4,critic_opt.lr=1e-5']),
    (['--grid..*\\.norm', 'none,layer'], ['norm=none', 'norm=layer']),
    ([], []),
])
def test_names_tell_the_values_however_they_are_written(words, want):
  assert names(*words) == [f'{x},seed=0' for x in want] or (
      not want and names(*words) == ['seed=0'])


def test_each_combination_has_each_seed():
  found = names(
      '--grid.discount', '0.9,0.99', '--grid.envs', '1,2', '--seed', '7',
      seeds=2)
  assert len(found) == 8 and found[:3] == [
      'discount=0.9,envs=1,seed=7', 'discount=0.9,envs=1,seed=8',
      'discount=0.9,envs=2,seed=7']


def test_settings_of_a_trial_are_those_of_its_name():
  values, rest = grid.take(
      ['--grid.discount', '0.9,0.5', '--envs', '3', '--seed', '4'])
  found = grid.trials(['debug'], rest, values, 2)
  assert [(x.config.discount, x.config.seed) for x in found] == [
      (0.9, 4), (0.9, 5), (0.5, 4), (0.5, 5)]
  assert {x.config.envs for x in found} == {3}
  assert found[2].words == ('--discount', '0.5', '--seed', '4')
  assert found[2].method == 'discount=0.5'


@pytest.mark.parametrize('words, text', [
    (['--grid.model_opt.lrr', '1'], "Did you mean 'model_opt.lr'"),
    (['--grid.discount', '0.9,2,x'],
     "'discount' must be in [0, 1] but is 2.0. 'discount' must be a finite"),
    (['--grid.discount', '0.9,0.90'], 'same settings twice'),
    (['--grid.discount'], 'needs values'),
    (['--grid.discount', '1', '--grid.discount', '0'], 'given twice'),
    (['--grid.seed', '0,1'], '--seeds 5'),
    (['--grid.logdir', 'a,b'], 'a folder of its own'),
    (['--grid.envs', ','.join(map(str, range(1, 1002)))],
     'The grid has 1,001 trials (1001 envs x 1 seeds), more than 1,000'),
])
def test_what_is_wrong_is_told_for_all_trials_at_once(words, text):
  with pytest.raises(errors.ConfigError) as error:
    names(*words)
  assert text in str(error.value) and '\n' not in str(error.value)


def test_long_names_are_cut_and_stay_different():
  words = []
  for key in 'actor_opt', 'critic_opt', 'model_opt', 'expl_opt':
    for leaf in 'lr', 'eps', 'wd':
      words += [f'--grid.{key}.{leaf}', '1.2345678e-7']
  found = names(*words, '--grid.clip_rewards', 'tanh,sign', seeds=2)
  assert len({*found}) == 4 and max(map(len, found)) < 200
  assert found[0].endswith(',seed=0')


@pytest.mark.parametrize('words, status, text', [
    (['--stopping', 'ashes'], 2, "'stopping' must be one of none, asha"),
    (['--stopping', 'asha', '--ray.address', 'none'], 2, 'Ray decides'),
    (['--seeds', '0'], 2, "'seeds' must be at least 1"),
    (['--budget', '100', '--steps', '5'], 2, 'one of --steps and --budget'),
    (['--budget', '100'], 2, 'leaves 100 steps for each of 1 trials'),
    (['--eval_every', '0'], 2, "'eval_every' must be above 0"),
    (['--grid.task', 'gym_CartPole-v1,gym_CartPol-v1'], 2, 'CartPole-v1'),
    (['--sedes', '3'], 2, "Did you mean '"),
    (['--ray.address', 'here'], 2, 'HOST:PORT'),
    (['--ray.address', '127.0.0.1:9'], 4, 'No Ray at 127.0.0.1:9'),
])
def test_wrong_flags_are_told_in_one_line_before_anything_starts(
    words, status, text, tmp_path, capsys, monkeypatch):
  from dreamerv2_tf.sweeps import tune
  monkeypatch.setattr(tune, 'installed', lambda: True)
  pytest.importorskip('ray') if 'ray' in words[0] and status == 4 else None
  assert cli.main([
      'sweep', '--configs', 'debug', '--task', 'gym_CartPole-v1', '--logdir',
      str(tmp_path / 'sweep'), *words]) == status
  [line] = capsys.readouterr().err.strip().splitlines()
  assert line.startswith('error: ') and text in line
  assert not list((tmp_path).glob('sweep/*=*'))


def test_without_ray_it_says_what_to_install(tmp_path, capsys, monkeypatch):
  from dreamerv2_tf.sweeps import tune
  monkeypatch.setattr(tune, 'installed', lambda: False)
  assert cli.main([
      'sweep', '--configs', 'debug', '--task', 'gym_CartPole-v1', '--logdir',
      str(tmp_path / 'sweep'), '--stopping', 'asha']) == 4
  [line] = capsys.readouterr().err.strip().splitlines()
  assert "pip install 'dreamerv2_tf[ray]'" in line
