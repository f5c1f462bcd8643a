import copy
import pickle

import pytest

from dreamerv2_tf import config as configlib
from dreamerv2_tf import renames
from dreamerv2_tf.config import Config, resolve
from dreamerv2_tf.errors import ConfigError

PRESETS = [
    'defaults', 'highway', 'highway_kinematics', 'highway_base',
    'highway_merge', 'highway_roundabout', 'highway_intersection',
    'highway_exit', 'highway_racetrack', 'highway_parking', 'small', 'gym',
    'atari',
    'atari_paper', 'atari_small', 'crafter', 'dmc_vision', 'dmc_proprio',
    'minatar', 'debug']


def test_attribute_item_and_dotted_access_agree():
  config = Config({'a': 1, 'b': {'c': [2, 3]}, 'b.d.e': 'x'})
  assert config.a == config['a'] == 1
  assert config.b.c == config['b']['c'] == config['b.c'] == (2, 3)
  assert config.b.d.e == 'x'
  assert dict(**config.b) == {'c': (2, 3), 'd': {'e': 'x'}}
  assert config.flat == {'a': 1, 'b.c': (2, 3), 'b.d.e': 'x'}
  assert config.to_dict() == {'a': 1, 'b': {'c': [2, 3], 'd': {'e': 'x'}}}
  assert 'b.d' in config and 'b.x' not in config and 'a.x' not in config
  with pytest.raises(AttributeError, match="no key 'rssm'"):
    _ = config.rssm
  with pytest.raises(KeyError):
    _ = config['b.x']


def test_is_immutable_equal_copied_and_pickled():
  config = resolve(['highway'])
  with pytest.raises(AttributeError, match='immutable; use update'):
    config.seed = 3
  with pytest.raises(TypeError):
    config['seed'] = 3
  changed = config.update({'seed': 3})
  assert (config.seed, changed.seed) == (0, 3)
  assert changed != config and changed.update({'seed': 0}) == config
  assert pickle.loads(pickle.dumps(config)) == config
  assert copy.deepcopy(config) == config


def test_a_part_takes_the_settings_that_its_keyword_arguments_name():
  config = Config({'a': 1, 'b': {'c': 2}, 'd': 3})

  class Part:

    def __init__(self, d, *, a, b, y=0):
      self.given = d, a, b, y

  assert config.taken_by(Part) == {'a': 1, 'b': config.b}
  assert Part(7, **config.taken_by(Part)).given == (7, 1, {'c': 2}, 0)
  assert config.taken_by(lambda *, c=0, **other: 0) == {}  # That is `b.c`.


def test_mappings_within_lists_survive():
  config = Config({'a': [{'b': [1]}, {'b': [2]}]})
  assert config.a[1].b == (2,)
  assert config.to_dict() == {'a': [{'b': [1]}, {'b': [2]}]}


@pytest.mark.parametrize('key, text, want', [
    ('steps', '2e2', 200),
    ('steps', '12345678901234567', 12345678901234567),  # No float is exact.
    ('dmc_camera', '-1', -1),
    ('discount', '1', 1.0),
    ('model_opt.lr', '3e-4', 3e-4),
    ('deterministic', 'false', False),
    ('deterministic', 'True', True),
    ('render_size', '84,32', (84, 32)),
    ('render_size', '[84, 32]', (84, 32)),
    ('grad_heads', 'decoder', ('decoder',)),
    ('grad_heads', '', ()),
    ('encoder.mlp_keys', '$^', '$^'),
    ('task', '1e4', '1e4'),
    ('precision', '32', 32),
    ('precision', 'BF16', 'bf16'),
    ('precision', 'Auto', 'auto'),
    ('jit', 'true', True),
    ('jit', 'auto', 'auto'),
    ('expl_behavior', 'plan2explore', 'Plan2Explore'),
    ('expl_behavior', 'model_loss', 'ModelLoss'),
    ('rssm.discrete', 'False', 0),
    ('actor_ent', '1e-3', 1e-3),
    ('actor_ent', 'linear(3e-2, 3e-3, 1e4)', 'linear(3e-2,3e-3,1e4)'),
    ('actor_grad_mix', 'warmup(10,0.1)', 'warmup(10,0.1)'),
    ('env.obs_scale', '10', 10.0),
    ('env.obs_scale', '1,15,2.5', (1.0, 15.0, 2.5)),
    ('env.obs_scale', '[1, 1e1]', (1.0, 10.0)),
    ('profile', '200:1e3', '200:1e3'),
    ('profile', '', ''),
])
def test_flags_are_read_in_the_type_of_the_default(key, text, want):
  for overrides in [f'--{key}', text], [f'--{key}={text}']:
    got = resolve([], overrides)[key]
    assert got == want and type(got) is type(want)


def test_lists_and_bare_flags():
  config = resolve([], [
      '--render_size', '84', '32', '--eval_state_mean', '--jit', '--seed=4'])
  assert config.render_size == (84, 32)
  assert config.eval_state_mean is True and config.jit is True
  assert config.seed == 4


@pytest.mark.parametrize('overrides, message', [
    (['--rssm.deter', '2.5'], "'rssm.deter' must be a whole number of at least "
                              "1 such as 1024 but is '2.5'"),
    (['--rssm.deter', 'True'], "at least 1 such as 1024 but is 'True'"),
    (['--steps', '1e30'], 'whole number'),
    (['--steps', 'nan'], 'whole number'),
    (['--discount', 'high'],
     r"finite number in \[0, 1\] such as 0.99 but is 'high'"),
    (['--discount', 'inf'], 'finite number'),
    (['--deterministic', '1'], "True or False but is '1'"),
    (['--render_size', '84', 'x'], "'render_size' must be a whole number"),
    (['--render_size', '84'], 'a height and a width but is 84'),
    (['--precision', '64'], 'must be one of auto, 16, 32, bf16 but is '),
    (['--expl_behavior', 'Plan2Explor'], "Did you mean 'Plan2Explore'"),
    (['--actor_ent', 'linear(1,2)'], 'must be a number or linear'),
    (['--actor_ent', 'linear(1,2,0)'], 'must be a number or linear'),
    (['--actor_ent', 'cosine(1,2,3)'], 'must be a number or linear'),
    (['--discount', 'linear(1,2,3)'], 'finite number'),
    (['--seed'], "'--seed' needs a value"),
    (['--seed', '1', '2'], 'takes one value but got 2: 1 2'),
    (['--logdir', 'my', 'runs'],
     "takes one value but got 2: my runs. Quote spaces: --logdir 'my runs'."),
    (['--seed', '1', '2'], '2: 1 2.$'),
    (['7'], "Unexpected argument '7'"),
    (['-seed', '7'], "Unexpected argument '-seed'"),
    (['--rsm.deter', '7'], "Unknown key 'rsm.deter'. Did you mean 'rssm.deter"),
    (['--rsm', '7'], "Unknown key 'rsm'. Did you mean 'rssm'?"),
    (['--zzzz', '7'], "Unknown key 'zzzz'. All: dreamerv2 --help."),
    (['--deter', '7'], "Unknown key 'deter'. Did you mean 'rssm.deter'?"),
    (['--num_envs', '7'], "Did you mean 'envs'?"),
    (['--rssm', '7'], "'rssm' is a group of keys; set one of rssm.ensemble"),
    (['--.*nothing', '7'], "No key matches the regular expression '.*nothing'"),
    (['--(', '7'], r"'\(' is no valid regular expression"),
    (['--envs', '0'], "'envs' must be at least 1 but is 0"),
    (['--steps', '0'], "'steps' must be at least 1"),
    (['--seed', '-1'], "'seed' must be at least 0 but is -1"),
    (['--dataset.length', '1'], "'dataset.length' must be at least 2"),
    (['--dataset.batch', '0'], "'dataset.batch' must be at least 1"),
    (['--encoder.cnn_kernels', '4,0'], "'encoder.cnn_kernels' must be at leas"),
    (['--discount', '1.5'], r"'discount' must be in \[0, 1\] but is 1.5"),
    (['--env_timeout', '0'], "'env_timeout' must be above 0"),
    (['--env_timeout', 'x'], 'a finite number above 0 such as 60.0 but is'),
    (['--slow_target_fraction', '0'], r'must be in \(0, 1\] but is 0.0'),
    (['--model_opt.wd', '1'], r"'model_opt.wd' must be in \[0, 1\) but is 1.0"),
    (['--rssm.norm', 'batch'], "must be one of none, layer but is 'batch'"),
    (['--critic.dist', 'onehott'], "Did you mean 'onehot'"),
    (['--replay.maxlen', '3'], r'at least replay.minlen \(50\) but is 3'),
    (['--decoder.mlp_keys', '('], 'must be a regular expression'),
    *((['--profile', text], (
        "'profile' must be START:STOP, whole numbers of steps with 0 <= START "
        f"< STOP such as 2000:2200, but is '{text}'"))
      for text in ('2000:1000', '5:5', '-1:5', 'abc', '100', '1:2:3', '1.5:3',
                   ':5', '1:1e999')),
    *((['--env.obs_scale', *words], message) for words, message in [
        (['0'], "'env.obs_scale' must be above 0 but is 0.0"),
        (['1', '-2'], "'env.obs_scale' must be above 0 but is 1.0 -2.0"),
        (['[]'], 'a finite number or a list of them.*but is an empty list'),
        (['1,x'], 'a list of them, such as 1.0 or 1,15,2.5, but is 1 x'),
        (['inf'], "'env.obs_scale' must be a finite number")]),
    (['--env.config', '3'], "'env.config' is a group of keys but got 3"),
    (['--env.config.a', '[1'], 'Invalid YAML'),
    (['--env.config.a', '2020-01-01'], "'env.config.a' must be a number, text"),
    (['--env.config.a', '!!python/object/apply:os.system [ls]'],
     'Invalid YAML'),
])
def test_wrong_flags_say_what_is_wrong(overrides, message):
  with pytest.raises(ConfigError, match=message):
    resolve([], overrides)


def test_unknown_preset():
  with pytest.raises(ConfigError, match=(
      "Unknown preset 'higway'. Did you mean 'highway'.*Presets: defaults")):
    resolve(['higway'])


def test_presets_merge_in_order_and_flags_win():
  assert resolve(['highway', 'debug']).rssm.deter == 32
  assert resolve(['debug', 'highway']).rssm.deter == 200
  assert resolve(['highway,debug']) == resolve(['highway', 'debug'])
  flags = ['--rssm.deter', '7', '--rssm.deter', '8']
  assert resolve(['highway', 'debug'], flags).rssm.deter == 8


def test_a_number_may_follow_a_schedule():
  assert resolve(['highway']).actor_ent == 'linear(3e-2,3e-3,1e4)'
  assert resolve(['highway', 'atari']).actor_ent == 1e-3


def test_flags_of_commands_know_nothing_of_settings_with_their_names():
  flags = {
      'precision': (0.8, ''), 'steps': ((1, 5), ''), 'envs': (0, ''),
      'jit': (False, '')}
  options, presets, others = configlib.parse(flags, [
      '--precision', '0.9', '--steps', '2,3', '--jit', '--seed', '1',
      '--configs', 'debug'])
  assert options.to_dict() == {
      'precision': 0.9, 'steps': [2, 3], 'envs': 0, 'jit': True}
  assert (presets, others) == (['debug'], ['--seed', '1'])
  with pytest.raises(ConfigError, match='a whole number such as 0 but is'):
    configlib.parse(flags, ['--envs', 'many'])


def test_base_replaces_the_defaults():
  base = resolve(['highway'], ['--seed', '5'])
  config = resolve([], ['--envs', '3'], base)
  assert config == base.update({'envs': 3})


def test_a_scale_may_turn_from_a_list_into_a_number_and_back(tmp_path):
  listed = resolve(['highway_kinematics'])
  single = resolve([], ['--env.obs_scale', '3'], listed)
  assert single.env.obs_scale == 3.0
  again = single.update({'env.obs_scale': [1, 2]})
  again.save(tmp_path / 'config.yaml')
  assert Config.load(tmp_path / 'config.yaml').env.obs_scale == (1.0, 2.0)
  with pytest.raises(ConfigError, match='or a list of them'):
    single.update({'env.obs_scale': [[1, 2]]})


def test_regular_expressions_match_from_the_start():
  config = resolve([], ['--.*\\.norm', 'layer', '--(actor|critic)_opt.lr', '1'])
  assert config.rssm.norm == config.expl_head.norm == 'layer'
  assert config.reward_norm.momentum == 1.0  # No dot before its `norm`.
  assert config.actor_opt.lr == config.critic_opt.lr == 1.0
  assert config.model_opt.lr == 1e-4
  assert resolve(['crafter']).decoder.norm == 'layer'


def test_environment_keys_are_open_typed_by_yaml_and_merged_deeply():
  config = resolve(['highway'], [
      '--env.config.observation.scaling', '2', '--env.config.lanes_count=3',
      '--env.config.speeds', '20', '25.5', '--env.config.pair', '84,84',
      '--env.config.name', 'a,b', '--env.config.on', 'true',
      '--env.config.action', '{type: Discrete}', '--env.config.none', 'null'])
  assert config.env.config.observation.scaling == 2
  assert config.env.config.observation.observation_shape == (128, 32)
  rest = {k: v for k, v in config.env.config.items() if k != 'observation'}
  assert rest == {
      'lanes_count': 3, 'speeds': (20, 25.5), 'pair': (84, 84), 'name': 'a,b',
      'on': True, 'action': {'type': 'Discrete'}, 'none': None}
  # A regular expression for our keys leaves theirs alone.
  config = config.update({'env.config.a.normalize': True})
  assert config.update({r'.*\.norm': 'layer'}).env == config.env


@pytest.mark.parametrize('name', PRESETS)
def test_presets_are_valid_and_survive_the_disk(name, tmp_path):
  config = resolve([name])
  config.save(tmp_path / 'config.yaml')
  loaded = Config.load(tmp_path / 'config.yaml')
  assert loaded == config
  for key, value in config.flat.items():
    assert type(loaded[key]) is type(config[key]), (key, value)
  assert resolve([name, 'debug']).steps == 1000


def test_presets_and_their_values():
  assert list(configlib.presets()) == PRESETS
  atari = resolve(['atari'])
  assert (atari.rssm.deter, atari.discount, atari.train_every) == (
      600, 0.999, 16)
  assert (atari.model_opt.lr, atari.loss_scales.discount) == (2e-4, 5.0)
  vision = resolve(['dmc_vision'])
  assert (vision.kl.free, vision.pred_discount) == (1.0, False)
  assert vision.grad_heads == ('decoder', 'reward')
  highway = resolve(['highway'])
  assert highway.precision == 32
  assert highway.env.config.observation.type == 'GrayscaleObservation'
  assert resolve(['highway_kinematics']).env.obs_scale == (
      1.0, 15.0, 2.5, 20.0, 80.0)


def test_keys_of_other_versions_are_left_out(tmp_path, caplog):
  path = tmp_path / 'config.yaml'
  path.write_text(
      'seed: 3\nsed: 1\nold: {a: [1, 2], b: {}}\nrssm: {deter: 40, dept: 2}\n'
      'replay.minlen.x: 1\nenv: {config: {lanes: 2}}\n')
  config = Config.load(path)
  assert config == resolve().update({
      'seed': 3, 'rssm.deter': 40, 'env.config.lanes': 2})
  messages = [record.message for record in caplog.records]
  assert messages[0] == (
      f"{path}: left out 'sed: 1', a key that this version does not know. Did "
      "you mean 'seed'?")
  assert [message.split("'")[1] for message in messages[1:]] == [
      'old.a: 1 2', 'old.b: {}', 'rssm.dept: 2', 'replay.minlen.x: 1']
  Config.load(path)  # What was told is not told again.
  assert len(caplog.records) == 5


def test_keys_that_did_nothing_go_without_a_word(
    tmp_path, caplog, monkeypatch):
  monkeypatch.setattr(renames, 'DROPPED', {'old': 0.5})
  path = tmp_path / 'config.yaml'
  path.write_text('old: 0.5\n')
  assert Config.load(path) == resolve() and not caplog.records
  path.write_text('old: 0.25\n')
  assert Config.load(path) == resolve()
  assert "left out 'old: 0.25'" in caplog.text


def test_renamed_keys_are_followed(tmp_path, caplog, monkeypatch):
  monkeypatch.setattr(renames, 'RENAMED', {
      'random_seed': 'seed', 'memory': 'replay', 'net.size': 'rssm.deter'})
  path = tmp_path / 'config.yaml'
  path.write_text(
      'random_seed: 3\nmemory: {minlen: 7, maxlen: 9}\nnet: {size: 40}\n')
  assert Config.load(path) == resolve().update({
      'seed': 3, 'replay.minlen': 7, 'replay.maxlen': 9, 'rssm.deter': 40})
  path.write_text('memory: {minlen: 7.5}\n')
  with pytest.raises(ConfigError, match="'replay.minlen' must be a whole"):
    Config.load(path)
  assert not caplog.records
