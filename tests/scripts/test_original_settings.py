"""The settings of the original beside those of this package."""

import pathlib

import pytest

from dreamerv2_tf import config as configlib
from dreamerv2_tf import renames, yamlfile
from dreamerv2_tf.errors import ConfigError

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'scripts' / 'original.py'


def test_the_page_has_the_tables_of_now(script):
  start, end = script.MARKS
  page = script.PAGE.read_text().partition(start)[2].partition(end)[0]
  assert page.strip() == script.text().strip(), (
      'Run python scripts/original.py --write.')


def test_values_of_the_original_are_ours_but_for_those_with_a_reason(script):
  theirs = script.presets()
  assert list(theirs) == [
      'defaults', 'atari', 'crafter', 'dmc_vision', 'dmc_proprio', 'debug']
  defaults = theirs['defaults'].flat
  changed = [
      key for key, value in configlib.defaults.flat.items()
      if defaults[key] != value]
  assert set(changed) == {k for k in script.REASONS if ' ' not in k} - {'debug'}


def test_each_key_is_told_once(script):
  text = script.text()
  known = dict(yamlfile.leaves(yamlfile.read(script.SETTINGS)['defaults']))
  assert f'All {len(known)} keys' in text and len(known) == 140
  for key in configlib.defaults.flat:
    if key not in known:
      assert text.count(f'| `{key}` |') == 1 + (key == 'dmc_images'), key


def test_a_new_difference_needs_a_reason(script, monkeypatch):
  monkeypatch.delitem(script.REASONS, 'jit')
  with pytest.raises(KeyError):
    script.text()


def test_keys_that_get_lost_are_noticed_and_renamed_ones_told(
    script, monkeypatch, tmp_path):
  path = tmp_path / 'settings.yaml'
  path.write_text(script.SETTINGS.read_text().replace(
      '  clip_rewards: tanh', '  clip: tanh', 1))
  monkeypatch.setattr(script, 'SETTINGS', path)
  with pytest.raises(ConfigError, match="key 'clip' is not here"):
    script.text()
  monkeypatch.setitem(renames.RENAMED, 'clip', 'clip_rewards')
  assert 'but for `clip`, now `clip_rewards`. 4 have' in script.text()
  monkeypatch.setitem(renames.DROPPED, 'seed', 0)
  assert '`seed`, which is gone' in script.text()


def test_tables_are_written_between_their_marks(script, tmp_path):
  page = tmp_path / 'page.md'
  start, end = script.MARKS
  page.write_text(f'# A\n\n{start}old\n{end}\nlast\n')
  script.write(page)
  text = page.read_text()
  assert text.startswith('# A\n') and text.endswith(f'{end}\nlast\n')
  assert 'old\n' not in text.partition(start)[2][:5]
  before = text
  script.write(page)
  assert page.read_text() == before
  assert isinstance(script.PAGE, pathlib.Path)
