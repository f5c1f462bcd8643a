"""The records of a run folder, and which settings may change in it."""

import json

import pytest
from runs import ODD

from dreamerv2_tf import errors
from dreamerv2_tf.run import rundir


class TestRecords:

  def test_history(self, tmp_path):
    (tmp_path / '.tmp-1-debris').touch()
    with rundir.RunDir(tmp_path) as folder:
      folder.start(0, ['dreamerv2', '--seed', '1'])
      folder.start(
          500, ['dreamerv2'], {'model_opt.lr': (1e-4, 2e-4)}, 'envpool')
    record = json.loads((tmp_path / 'run.json').read_text())
    assert record['versions']['numpy'] and record['versions']['python']
    assert record['machine']['cores'] >= 1 and record['machine']['processor']
    one, two = record['history']
    assert one['argv'] == ['dreamerv2', '--seed', '1'] and one['changed'] == {}
    assert two['step'] == 500
    assert (one['simulator'], two['simulator']) == (None, 'envpool')
    assert two['changed'] == {'model_opt.lr': [1e-4, 2e-4]}
    assert not list(tmp_path.glob('.tmp-*'))

  @pytest.mark.parametrize('text', ODD + [
      '{"history": [', '{}', '{"history": "abc"}', '{"history": [1]}',
      '{"history": {"a": 1}}', '{"history": null}'])
  def test_unreadable_history_is_begun_anew(self, tmp_path, caplog, text):
    (tmp_path / 'run.json').write_bytes(text.encode('latin-1'))
    (tmp_path / 'failure.json').write_bytes(text.encode('latin-1'))
    with rundir.RunDir(tmp_path) as folder:
      folder.start(3, [])
    assert 'Began a new history' in caplog.text
    history = json.loads((tmp_path / 'run.json').read_text())['history']
    assert [start['step'] for start in history] == [3]

  def test_full_disk(self, tmp_path, monkeypatch):
    def full(*args):
      raise OSError(28, 'No space left on device')
    with rundir.RunDir(tmp_path) as folder:
      monkeypatch.setattr(rundir.files, 'write_text', full)
      with pytest.raises(errors.StorageError, match='run.json: No space left'):
        folder.start(0, [])
      folder.failure(ValueError('x'))  # Best effort: silent.

  def test_an_odd_failure_is_left_out(self, tmp_path):
    with rundir.RunDir(tmp_path) as folder:
      for text in ODD:
        folder.start(0, [])
        (tmp_path / 'failure.json').write_bytes(text.encode('latin-1'))
      folder.start(1, [])
    history = json.loads((tmp_path / 'run.json').read_text())['history']
    assert len(history) == 10 and not any('failure' in x for x in history)

  def test_failure_moves_into_the_history(self, tmp_path):
    with rundir.RunDir(tmp_path) as folder:
      folder.start(0, [])
      folder.failure(errors.EnvError('worker 1 died'), step=70)
      record = json.loads((tmp_path / 'failure.json').read_text())
      assert (record['error'], record['message']) == (
          'EnvError', 'worker 1 died')
      assert (record['exit_code'], record['step']) == (4, 70)
      assert 'traceback' not in record
      folder.start(60, [])
    assert not (tmp_path / 'failure.json').exists()
    history = json.loads((tmp_path / 'run.json').read_text())['history']
    assert history[0]['failure'] == record and 'failure' not in history[1]

  def test_internal_error_keeps_its_traceback(self, tmp_path):
    with rundir.RunDir(tmp_path) as folder:
      try:
        raise KeyError('inside')
      except KeyError as error:
        folder.failure(error)
    record = json.loads((tmp_path / 'failure.json').read_text())
    assert record['exit_code'] == 1
    assert 'test_internal_error_keeps' in record['traceback']


class TestChanged:

  OLD = {
      'logdir': '/a', 'task': 'gym_x', 'rssm.deter': 200, 'seed': 0,
      'model_opt.lr': 1e-4, 'encoder.mlp_layers': (200, 200)}

  def test_equal(self):
    new = {**self.OLD, 'logdir': '/b', 'encoder.mlp_layers': [200, 200]}
    assert rundir.changed(self.OLD, new) == {}

  def test_safe_keys_pass(self, tmp_path):
    diff = rundir.changed(
        self.OLD, {**self.OLD, 'seed': 1, 'model_opt.lr': 1e-3})
    assert diff == {'seed': (0, 1), 'model_opt.lr': (1e-4, 1e-3)}
    rundir.check_changed(tmp_path, diff)

  @pytest.mark.parametrize('key, old, new', [
      ('task', 'gym_x', 'gym_y'),
      ('rssm.deter', 200, 600),
      ('encoder.mlp_layers', (200, 200), (400,)),
      ('discount_head.units', 400, 200),
      ('env.obs_scale', 1.0, 10.0),
      ('env.config.observation.type', 'Kinematics', None),
  ])
  def test_structural_keys_are_refused(self, tmp_path, key, old, new):
    diff = rundir.changed({key: old, 'seed': 0}, {key: new, 'seed': 1})
    with pytest.raises(errors.StateError) as info:
      rundir.check_changed(tmp_path, diff)
    now = 'not set' if new is None else repr(new)
    assert f'{key} was {old!r}, is now {now}. Give a new' in str(info.value)
    assert 'seed' not in str(info.value)

  def test_keys_of_a_new_version_are_no_change(self, tmp_path):
    diff = rundir.changed(self.OLD, {**self.OLD, 'rssm.blocks': 8})
    assert diff == {'rssm.blocks': (None, 8)}
    rundir.check_changed(tmp_path, diff)


@pytest.mark.parametrize('files, want', [
    ({}, False), ({'run.json': '{"history": [{"step": 0}]}'}, False),
    ({'run.json': '{"history": [{"step": 0}, {"step": 90}]}'}, True),
    ({'run.json': '{"history": [{"step": "x"}]}'}, False),
    ({'run.json': '{"history": 7}'}, False), ({'run.json': '[' * 9}, False),
    ({'run.json': '{"history": [{"step": 1e999}]}'}, False),
    ({'eval-0-20000-3.json': ''}, False),
    ({'eval-200-20000-3.json': ''}, True),
    ({'run.json': 'x', 'eval-9-1-1-0a1b2c3d.json': ''}, True),
    ({'eval-x-1-1.json': '', 'eval-200.json': ''}, False)])
def test_traces_of_a_run_that_lost_its_checkpoints(files, want, tmp_path):
  for name, text in files.items():
    (tmp_path / name).write_text(text)
  assert rundir.went_on(tmp_path) == want
