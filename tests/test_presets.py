import re

import pytest

from dreamerv2_tf import cli, presets
from dreamerv2_tf.config import resolve
from dreamerv2_tf.errors import ConfigError


@pytest.fixture
def write(tmp_path, monkeypatch):
  """Puts a file with a text behind the defaults in place of configs.yaml."""
  defaults = presets.source().read_text().split('# Highway driving')[0]
  path = tmp_path / 'configs.yaml'

  def write(text):
    path.write_text(defaults + text)
    return path

  monkeypatch.setattr(presets, 'source', lambda: path)
  return write


def test_a_preset_builds_on_presets_that_build_on_presets(write):
  write('c: {like: b, seed: 4}\n'
        'b: {like: a, envs: 3, env.config: {lanes: 4}}\n'
        'a: {envs: 2, seed: 3, steps: 7, env: {config: {lanes: 3, cars: 9}}}\n')
  assert presets.presets()['c'] == {
      'steps': 7, 'env.config.cars': 9, 'envs': 3, 'env.config.lanes': 4,
      'seed': 4}
  for names, seed in (['c'], 4), (['a', 'b', 'c'], 4), (['c', 'a'], 3):
    assert resolve(names).seed == seed
  assert resolve(['c']) == resolve(['a', 'b', 'c']) == resolve(['a', 'c'])


def test_a_preset_overrules_the_patterns_of_the_one_below(write):
  write("a: {actor.layers: 1, '.*\\.layers': 2}\n"
        'b: {like: a, actor.layers: 3}\n'
        "c: {like: b, '.*\\.layers': 4}\n")
  layers = lambda name: (
      resolve([name]).actor.layers, resolve([name]).critic.layers)
  assert layers('a') == (2, 2)
  assert layers('b') == (3, 2)
  assert layers('c') == (4, 4)


@pytest.mark.parametrize('text, message', [
    ('highway: {seed: 1}\nb: {like: higway}\n',
     "preset 'b' is like 'higway', which is no preset. Did you mean 'highway'? "
     'Presets: highway, b.'),
    ('b: {like: defaults}\n', "preset 'b' is like 'defaults', which is no pr"),
    ('b: {like: 3}\n', "preset 'b' is like '3', which is no preset"),
    ('b: {like: [b]}\n', "preset 'b' is like '['b']', which is no preset"),
    ('b: {like: b}\n', 'in a circle: b like b.'),
    ('a: {like: c}\nb: {like: a}\nc: {like: b}\n',
     'presets build on each other in a circle: a like c like b like a.'),
    ('b: 3\n', "preset 'b' is no mapping of keys to values."),
    ('b:\n', "preset 'b' is no mapping of keys to values.")])
def test_presets_that_build_on_nothing(text, message, write, capsys):
  path = write(text)
  with pytest.raises(ConfigError, match=re.escape(message)):
    presets.presets()
  assert cli.main(['--configs', 'b']) == 2
  err = capsys.readouterr().err
  assert err.startswith(f'error: {path}: ') and err.count('\n') == 1


def test_unknown_keys_of_a_preset_are_refused(write):
  write('b: {likes: a}\n')
  with pytest.raises(ConfigError, match="Unknown key 'likes'"):
    resolve(['b'])


def test_dmc_proprio_differs_from_dmc_vision_in_what_is_seen():
  vision, proprio = resolve(['dmc_vision']).flat, resolve(['dmc_proprio']).flat
  assert {k: v for k, v in proprio.items() if v != vision[k]} == {
      'dmc_images': False,
      'encoder.mlp_keys': '.*', 'encoder.cnn_keys': '$^',
      'decoder.mlp_keys': '.*', 'decoder.cnn_keys': '$^'}


def test_every_preset_has_a_description():
  about = presets.describe()
  assert ['defaults', *about] == list(presets.presets())
  assert all(text.endswith('.') or '--' in text for text in about.values())
  assert about['highway'] == (
      'Highway driving from pixels, for the CPU of a laptop.')


def test_no_comment_is_repeated():
  comments = re.findall(r'(?: |^)# (.*)', presets.source().read_text(), re.M)
  comments = [x for x in comments if len(x.split()) > 3]  # Units may be.
  assert len(comments) > 40
  assert len(set(comments)) == len(comments)
