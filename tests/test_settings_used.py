"""Each setting has someone who takes it, and each argument a setting."""

import ast
import inspect
import pathlib
import textwrap

import pytest

import dreamerv2_tf
from dreamerv2_tf import envs, exploration, lookahead, losses
from dreamerv2_tf.actor_critic import ActorCritic
from dreamerv2_tf.data.replay import Replay
from dreamerv2_tf.nets.decoder import Decoder
from dreamerv2_tf.nets.encoder import Encoder
from dreamerv2_tf.nets.mlp import MLP, DistLayer
from dreamerv2_tf.nets.optimizer import Optimizer
from dreamerv2_tf.nets.rssm import EnsembleRSSM
from dreamerv2_tf.rlmath import StreamNorm
from dreamerv2_tf.run.collector import Collector
from dreamerv2_tf.run.deliveries import RemoteDriver
from dreamerv2_tf.run.fleet import Fleet
from dreamerv2_tf.run.learner import Learner
from dreamerv2_tf.run.progress import Schedule
from dreamerv2_tf.settings import KEYS
from dreamerv2_tf.world_model import WorldModel

PACKAGE = pathlib.Path(dreamerv2_tf.__file__).parent
TREES = [  # Whoever checks a setting does not take it.
    ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob('*.py'))
    if path.name != 'schema.py']

# Whose keyword-only arguments are settings, from `config.taken_by`.
PARTS = [
    WorldModel, ActorCritic, exploration.Random, exploration.Plan2Explore,
    exploration.ModelLoss, Learner, Collector, Fleet, RemoteDriver, envs.make,
    envs.wrap]

# Group -> whose arguments its leaves are, where it is passed on as `**group`.
HEAD = MLP, DistLayer
TAKERS = {
    'rssm': [EnsembleRSSM], 'encoder': [Encoder], 'decoder': [Decoder],
    'reward_head': HEAD, 'discount_head': HEAD, 'actor': HEAD, 'critic': HEAD,
    'expl_head': HEAD, 'model_opt': [Optimizer], 'actor_opt': [Optimizer],
    'critic_opt': [Optimizer], 'expl_opt': [Optimizer],
    'reward_norm': [StreamNorm], 'expl_reward_norm': [StreamNorm],
    'kl': [losses.kl_loss], 'lookahead': [lookahead.loss],
    'eval_lookahead': [lookahead.gains], 'replay': [Replay],
    'dataset': [Replay.dataset]}

# What a caller gives besides.
GIVEN = {
    'self', 'init', 'step', 'name', 'variables', 'mixed',
    'in_dim', 'shape', 'shapes', 'action_dim', 'embed_dim', 'out',
    'post', 'prior', 'kl',
    'world_model', 'actor', 'judge', 'states', 'dream', 'seed', 'actions',
    'ent_scale',
    'directory', 'spaces', 'are_actions', 'prefetch',
    'memory', 'around', 'vectors', 'mode', 'render', 'smooth', 'probe',
    'min_std',  # A setting of the actor alone.
    'init_std', 'wd_pattern'}  # The original's; they keep their defaults.

FREE = ['loss_scales']  # Its leaves are names of losses.


def arguments(target):
  return set(inspect.signature(target).parameters)


def settings_of(part):
  """The keyword-only arguments of a part."""
  given = inspect.signature(part).parameters.values()
  return {x.name for x in given if x.kind is x.KEYWORD_ONLY}


def chain(node):
  """Names of `config.a.b`, `self._a['b']`: [config, a, b], [self, a, b]."""
  if isinstance(node, ast.Attribute):
    return [*chain(node.value), node.attr.lstrip('_')]
  if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
    return [*chain(node.value), str(node.slice.value)]
  return [node.id] if isinstance(node, ast.Name) else ['']


def reads(tree):
  """Yields what a module reads: `a` of `config.a`, `a.b` of all `a['b']`."""
  for node in ast.walk(tree):
    *owner, group, name = ['', '', *chain(node)]
    yield f'{group}.{name}'
    if group == 'config':
      yield name
    elif owner[-1] == 'config':
      yield group


def unused(keys):
  """The keys that nobody takes."""
  read = {x for tree in TREES for x in reads(tree)}
  taken = read.union(Schedule._fields, *map(settings_of, PARTS))
  for key in keys:
    group, _, leaf = key.rpartition('.')
    takers = TAKERS.get(group, ())
    inside = group in taken and (
        group in FREE or any(leaf in arguments(x) for x in takers))
    if key not in taken and not inside:
      yield key


def used(part):
  """The names that a function or constructor reads."""
  code = part.__init__ if inspect.isclass(part) else part
  tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
  return {
      x.id for x in ast.walk(tree)
      if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Load)}


def test_each_setting_is_taken():
  assert set(unused(KEYS)) == set()


def test_a_setting_that_nobody_takes_is_found():
  unknown = ['colour', 'rssm.blocks', 'overshooting.depth', 'env.colour']
  assert list(unused([*unknown, 'seed', 'rssm.deter'])) == unknown


def test_what_is_read_is_seen():
  tree = ast.parse('x(config.a.b, self.config.c, self._d["e"], f.config["g"])')
  assert {'a', 'a.b', 'c', 'd.e', 'g'} <= set(reads(tree))
  assert not {'b', 'd', 'e', 'f', 'self'} & set(reads(tree))


def test_all_that_take_settings_are_looked_at():
  found = {
      chain(node.args[0])[-1] for tree in TREES for node in ast.walk(tree)
      if isinstance(node, ast.Call) and chain(node.func)[-1] == 'taken_by'}
  names = {part.__name__ for part in PARTS}
  names -= set(exploration.BEHAVIORS)
  assert set(exploration.BEHAVIORS.values()) < set(PARTS)
  assert found == names | {'cls'}  # One of those behaviours.


@pytest.mark.parametrize('part', PARTS, ids=lambda part: part.__name__)
def test_each_argument_of_a_part_is_a_setting_and_is_used(part):
  groups = {key.split('.')[0] for key in KEYS}
  assert settings_of(part) <= groups | GIVEN
  assert settings_of(part) <= used(part)


@pytest.mark.parametrize('group', TAKERS)
def test_each_argument_for_a_group_is_one_of_its_settings(group):
  leaves = {key.split('.')[1] for key in KEYS if key.startswith(f'{group}.')}
  for taker in TAKERS[group]:
    assert arguments(taker) <= leaves | GIVEN


def test_all_that_callers_give_besides_is_asked_for():
  takers = [x for group in TAKERS.values() for x in group]
  asked = set().union(*map(arguments, takers), *map(settings_of, PARTS))
  assert GIVEN <= asked
