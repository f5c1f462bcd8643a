import collections
import inspect
import re

import pytest

from dreamerv2_tf import presets, settings
from dreamerv2_tf.config import resolve
from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.exploration import Plan2Explore
from dreamerv2_tf.nets.decoder import Decoder
from dreamerv2_tf.nets.encoder import Encoder
from dreamerv2_tf.nets.mlp import MLP, DistLayer
from dreamerv2_tf.nets.optimizer import OPTIMIZERS, Optimizer
from dreamerv2_tf.nets.rssm import EnsembleRSSM
from dreamerv2_tf.rlmath import StreamNorm
from dreamerv2_tf.schema import Key, check
from dreamerv2_tf.settings import KEYS
from dreamerv2_tf.yamlfile import leaves

DEFAULTS = dict(leaves(presets.presets()['defaults']))


def test_the_table_and_the_defaults_have_the_same_keys_in_one_order():
  assert list(KEYS) == list(DEFAULTS)


def test_groups_are_those_of_the_file():
  text = presets.source().read_text().split('\ndefaults:\n')[1]
  text = re.split(r'\n(?=\w|#)', text)[0]
  found = {}
  for part in text.split('\n  ## ')[1:]:
    name, _, rest = part.partition('\n')
    found[name] = re.findall(r'^  (\w+):', rest, re.M)
  assert found == {
      name: list(dict.fromkeys(key.split('.')[0] for key in group))
      for name, group in settings.GROUPS.items()}


@pytest.mark.parametrize('key', KEYS)
def test_a_default_is_written_as_its_row_says(key):
  rule, value = KEYS[key], DEFAULTS[key]
  assert rule.help and rule.help.endswith('.')
  values = value if isinstance(value, list) else [value]
  assert isinstance(value, list) == (rule.form == 'list')
  if rule.choices:
    assert all(x in rule.choices for x in values)
  else:
    assert {type(x) for x in values} == {rule.type}


def test_each_row_has_a_range_of_its_own_kind():
  for key, rule in KEYS.items():
    assert rule.low is None or rule.above is None, key
    assert rule.high is None or rule.below is None, key
    if rule.range:
      assert rule.type in (int, float) and not rule.choices, key


@pytest.mark.parametrize('rule, text, inside, outside', [
    (Key(int, low=1), 'at least 1', [1, 9], [0]),
    (Key(float, above=0), 'above 0', [0.1], [0, -1]),
    (Key(float, low=0, high=1), 'in [0, 1]', [0, 1], [-0.1, 1.1]),
    (Key(float, above=0, high=1), 'in (0, 1]', [0.1, 1], [0, 1.1]),
    (Key(float, low=0, below=1), 'in [0, 1)', [0, 0.9], [-0.1, 1]),
    (Key(float), '', [-1e9, 1e9], [])])
def test_ranges(rule, text, inside, outside):
  assert rule.range == text
  assert all(map(rule.holds, inside)) and not any(map(rule.holds, outside))


@pytest.mark.parametrize('key, want', [
    ('rssm.deter', 'a whole number of at least 1'),
    ('kl.balance', 'a finite number in [0, 1]'),
    ('kl.forward', 'True or False'),
    ('loss_scales.kl', 'a finite number'),
    ('task', 'text'),
    ('precision', 'one of auto, 16, 32, bf16'),
    ('render_size', 'a list, each element a whole number of at least 1'),
    ('env.obs_scale', 'a finite number above 0, or a list of them'),
    ('env.config', 'a group that takes any key'),
    ('rssm.discrete', 'a whole number of at least 0, or False'),
    ('log_keys_sum', 'a regular expression'),
    ('profile', 'START:STOP'),
    ('actor_ent', 'a finite number of at least 0, or a schedule such as '
     'linear(first,last,steps)')])
def test_rules_in_words(key, want):
  assert KEYS[key].rule == want


@pytest.mark.parametrize('part, group', [
    (Encoder, 'encoder'), (Decoder, 'decoder'), (EnsembleRSSM, 'rssm'),
    (Optimizer, 'model_opt'), (StreamNorm, 'reward_norm'),
    (MLP, 'reward_head')])
def test_constructors_have_no_defaults_of_their_own(part, group):
  parameters = inspect.signature(part).parameters
  for key, value in presets.presets()['defaults'][group].items():
    if key not in parameters:
      assert part is MLP and key == 'dist'  # Passed on to its last layer.
      continue
    default = parameters[key].default
    if default is not inspect.Parameter.empty:
      assert (list(default) if isinstance(value, list) else default) == value


def test_choices_are_those_of_the_networks():
  assert set(KEYS['reward_head.dist'].choices) == set(DistLayer.DISTS)
  assert KEYS['model_opt.opt'].choices == tuple(OPTIMIZERS)
  assert KEYS['disag_target'].choices == Plan2Explore.TARGETS


def test_what_a_run_folder_keeps():
  kept = collections.Counter(
      key.split('.')[0] for key in KEYS if settings.is_fixed(key))
  assert kept == {
      'task': 1, 'env': 2, 'render_size': 1, 'dmc_camera': 1,
      'dmc_images': 1, 'atari_grayscale': 1, 'atari_full_actions': 1,
      'atari_ram': 1, 'minatar_partial': 1,
      'action_repeat': 1, 'expl_behavior': 1,
      'pred_discount': 1, 'rssm': 9, 'encoder': 7, 'decoder': 7,
      'reward_head': 5, 'discount_head': 5, 'expl_head': 5, 'actor': 6,
      'critic': 5, 'model_opt': 1, 'actor_opt': 1, 'critic_opt': 1,
      'expl_opt': 1, 'slow_target': 1, 'disag_target': 1, 'disag_models': 1,
      'disag_offset': 1, 'disag_action_cond': 1, 'disag_action_next': 1}
  assert settings.is_fixed('env.config.lanes_count')
  assert not settings.is_fixed('env.simulator')
  assert not settings.is_fixed('rssm.blocks')  # Of another version.


def test_each_value_of_a_list_is_checked():
  config = resolve()
  check(config.update({'env.obs_scale': [1, 2]}), KEYS)
  with pytest.raises(ConfigError, match='above 0 but is 1.0 0.0'):
    check(config.update({'env.obs_scale': [1, 0]}), KEYS)


def test_schedules_have_no_range():
  schedule = 'linear(-1,2,10)'
  assert resolve([], ['--actor_ent', schedule]).actor_ent == schedule
