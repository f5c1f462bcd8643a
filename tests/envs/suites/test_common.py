"""What suites share."""

import sys

import pytest

from dreamerv2_tf.envs.suites import common
from dreamerv2_tf.errors import EnvError


@pytest.mark.parametrize('code, extra, text', [
    (None, 'atari', "Environment 'a_b' needs the module 'some_game', which can "
     'not be imported. Install it, in the folder of the clone, with: pip '
     "install '.[atari]'"),
    (None, '', 'Install it, perhaps with: pip install some-game'),
    ('import other_thing', 'atari', "needs the module 'other_thing'"),
    ("raise ImportError('libGL.so.1: no such file')", 'atari',
     "Environment 'a_b' needs the module 'some_game', which is installed but "
     'can not be imported: ImportError: libGL.so.1: no such file'),
    ('raise SystemExit(3)', '', 'can not be imported: SystemExit: 3')])
def test_modules_that_can_not_be_imported(
    code, extra, text, tmp_path, monkeypatch):
  if code:
    (tmp_path / 'some_game.py').write_text(code)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.delitem(sys.modules, 'some_game', raising=False)
  with pytest.raises(EnvError) as info:
    common.imported('a_b', 'some_game', extra)
  assert text in str(info.value) and '\n' not in str(info.value)


def test_a_module_that_can_be_imported(tmp_path, monkeypatch):
  (tmp_path / 'some_game.py').write_text('x = 3')
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.delitem(sys.modules, 'some_game', raising=False)
  assert common.imported('a_b', 'some_game').x == 3
  sys.modules.pop('some_game')


def test_the_nearest_tasks_have_their_suite():
  assert common.nearest('atari_pogn', 'pogn', ['pong', 'qbert']) == (
      " Did you mean 'atari_pong'?")
  assert common.nearest('atari_xyz', 'xyz', ['pong']) == ''
