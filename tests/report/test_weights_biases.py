"""The output to Weights & Biases, offline: what is in its files."""

import json
import struct
import sys
import time
import types

import numpy as np
import pytest
import runs
import toys

import dreamerv2_tf as dv2
from dreamerv2_tf.report import logger as loglib
from dreamerv2_tf.report.weights_biases import WeightsBiasesOutput


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
  """No account and no settings of whoever runs the tests."""
  for name in 'API_KEY', 'MODE', 'PROJECT', 'NAME', 'RUN_ID', 'DIR':
    monkeypatch.delenv(f'WANDB_{name}', raising=False)
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.setenv('NETRC', str(tmp_path / 'netrc'))


def records(path):
  """Yields the records of a file: a log of blocks as LevelDB has it."""
  from wandb.proto import wandb_internal_pb2
  data, at, content = path.read_bytes(), 7, b''
  while at + 7 <= len(data):
    left = 32768 - at % 32768
    size, kind = struct.unpack('<HB', data[at + 4:at + 7])
    if left < 7 or not kind:
      at += left
      continue
    content += data[at + 7:at + 7 + size]
    at += 7 + size
    if kind in (1, 4):  # Whole, or its last piece.
      record = wandb_internal_pb2.Record()
      record.ParseFromString(content)
      content = b''
      yield record


def read(folder):
  """Returns ids, settings and rows of all offline runs in a run folder."""
  ids, settings, rows = [], {}, []
  for path in sorted(folder.glob('wandb/offline-run-*/*.wandb')):
    while not any(  # It is written by another process.
        x.WhichOneof('record_type') == 'exit' for x in records(path)):
      time.sleep(0.1)
    for record in records(path):
      kind = record.WhichOneof('record_type')
      if kind == 'run':
        ids.append((record.run.run_id, record.run.project))
      if kind in ('run', 'config'):
        config = record.run.config if kind == 'run' else record.config
        settings.update({
            x.key or '.'.join(x.nested_key): json.loads(x.value_json)
            for x in config.update})
      if kind == 'history':
        row = {
            x.key or '.'.join(x.nested_key): json.loads(x.value_json)
            for x in record.history.item}
        rows.append({
            k: v for k, v in row.items()
            if not k.startswith('_')})
  return ids, settings, rows


def test_scalars_pictures_and_settings_are_kept(tmp_path):
  output = WeightsBiasesOutput(tmp_path, 'offline', fps=5)
  logger = loglib.Logger(lambda: 7, [output], multiplier=2)
  logger.hparams({'seed': 3, 'rssm.deter': 200, 'encoder.sizes': (4, 4)})
  logger.add({'a': 0.25, 'b': np.nan, 'note': 'text'})
  logger.image('flat', np.zeros([16, 16]))
  logger.image('color', np.zeros([16, 16, 3], np.uint8))
  logger.video('film', np.random.rand(3, 16, 16, 1))
  logger.write()
  logger.close()
  (identity, project), = set(read(tmp_path)[0])
  assert project == 'dreamerv2_tf'
  assert json.loads((tmp_path / 'wandb.json').read_text()) == {
      'id': identity, 'project': project}
  _, settings, rows = read(tmp_path)
  assert settings['seed'] == 3 and settings['encoder.sizes'] == [4, 4]
  row, = rows
  assert row['step'] == 14 and row['a'] == 0.25 and np.isnan(row['b'])
  assert 'note' not in row
  assert row['flat._type'] == row['color._type'] == 'image-file'
  assert row['film._type'] == 'video-file'
  media = sorted(x.suffix for x in tmp_path.glob(
      'wandb/offline-run-*/files/media/*/*'))
  assert media == ['.gif', '.png', '.png']


def test_pictures_of_an_earlier_step_keep_it(tmp_path):
  output = WeightsBiasesOutput(tmp_path, 'offline')
  output([(3, 'p', np.zeros([16, 16, 1])), (5, 'a', np.array(2.0))])
  output.close()
  rows = read(tmp_path)[2]
  assert [(row['step'], 'p._type' in row, row.get('a')) for row in rows] == [
      (3, True, None), (5, False, 2.0)]


def test_a_restart_goes_on_with_the_same_run(tmp_path, monkeypatch):
  monkeypatch.setenv('WANDB_PROJECT', 'mine')
  for step in 1, 2:
    output = WeightsBiasesOutput(tmp_path, 'offline')
    output([(step, 'a', np.array(float(step)))])
    output.close()
    assert len(read(tmp_path)[2]) == step
    path, = tmp_path.glob('wandb/offline-run-2*')  # Named after the second.
    path.rename(path.with_name(f'offline-run-{step}'))
    monkeypatch.delenv('WANDB_PROJECT', raising=False)
  ids, _, rows = read(tmp_path)
  assert len(set(ids)) == 1 and ids[0][1] == 'mine'
  assert sorted((row['step'], row['a']) for row in rows) == [(1, 1.0), (2, 2.0)]


@pytest.mark.parametrize('text', [*runs.ODD, '{}', '{"id": "../x"}'])
def test_a_damaged_id_begins_a_new_run_with_a_warning(
    text, tmp_path, caplog, monkeypatch):
  monkeypatch.setitem(sys.modules, 'wandb', Fake())
  (tmp_path / 'wandb.json').write_text(text)
  output = WeightsBiasesOutput(tmp_path, 'offline')
  assert 'wandb.json is damaged; a new run' in caplog.text
  assert json.loads((tmp_path / 'wandb.json').read_text())['id'].isalnum()
  output.close()


class Fake(types.SimpleNamespace):
  """Stands for the package, and fails where it is told to."""

  project = 'p'

  def __init__(self, *fails, offline_fails=False):
    super().__init__(fails=fails, calls=[], config=self)
    self.offline_fails = offline_fails
    for name in 'define_metric', 'log', 'update', 'finish':
      setattr(self, name, lambda *args, name=name, **kwargs: self.call(name))

  def call(self, name):
    self.calls.append(name)
    if name in self.fails:
      raise OSError(f'no {name}\nmore')

  def login(self, prompt, verify):
    assert not prompt
    return True

  def init(self, mode, **kwargs):
    self.call(mode)
    return self

  def Settings(self, **kwargs):  # noqa: N802
    return kwargs


@pytest.mark.parametrize('name, text', [
    ('offline', 'can not start: no offline. The run goes on without'),
    ('log', 'takes no more values: no log.'),
    ('update', 'takes no settings: no update.'),
    ('finish', 'did not end: no finish.')])
def test_what_fails_is_one_warning_and_the_end_of_it(
    name, text, tmp_path, caplog, monkeypatch):
  fake = Fake(name)
  monkeypatch.setitem(sys.modules, 'wandb', fake)
  output = WeightsBiasesOutput(tmp_path, 'offline')
  output.hparams({'seed': 0})
  for step in range(3):
    output([(step, 'a', np.array(1.0))])
  output.close()
  assert len(caplog.records) == 1 and text in caplog.text
  if name in ('log', 'update'):
    assert fake.calls.count(name) == 1


def test_without_the_network_it_goes_on_offline(tmp_path, caplog, monkeypatch):
  fake = Fake('online')
  monkeypatch.setitem(sys.modules, 'wandb', fake)
  output = WeightsBiasesOutput(tmp_path, 'online')
  output([(1, 'a', np.array(1.0))])
  assert fake.calls == ['online', 'offline', 'define_metric', 'log']
  message, = [record.getMessage() for record in caplog.records]
  assert message == (
      'Weights & Biases can not be reached: no online. This run is kept in '
      f'{tmp_path}/wandb; send it later: wandb sync '
      f'{tmp_path}/wandb/offline-run-*')


def test_without_an_account_nobody_is_asked(tmp_path, caplog):
  output = WeightsBiasesOutput(tmp_path, 'online')
  output([(1, 'a', np.array(1.0))])
  output.close()
  assert 'reached: there is no API key; see `wandb login`' in caplog.text
  assert read(tmp_path)[2] == [{'step': 1, 'a': 1.0}]


def test_without_the_package_it_says_how_to_get_it(
    tmp_path, caplog, monkeypatch):
  monkeypatch.setitem(sys.modules, 'wandb', None)
  output = WeightsBiasesOutput(tmp_path, 'offline')
  output([(1, 'a', np.array(1.0))])
  output.hparams({})
  output.close()
  assert "pip install 'dreamerv2_tf[wandb]'" in caplog.text
  assert len(caplog.records) == 1 and list(tmp_path.iterdir()) == []


def test_a_run_sends_what_it_writes_and_goes_on_there(tmp_path):
  config = dv2.resolve(['debug'], [
      '--steps', '24', '--prefill', '12', '--train_every', '4', '--envs', '1',
      '--envs_parallel', 'none', '--eval_every', '12', '--log_every', '6',
      '--deterministic', 'False', '--logger.wandb', 'offline', '--logdir',
      str(tmp_path / 'run')])
  for steps in 18, 24:
    dv2.train(
        lambda: toys.Image(length=6), config.update({'steps': steps}))
  ids, settings, rows = read(tmp_path / 'run')
  assert len(set(ids)) == 1 and settings['logger.wandb'] == 'offline'
  found = {}
  for row in rows:
    found.setdefault(row['step'], {}).update(row)
  for row in runs.rows(tmp_path / 'run'):
    for key, value in row.items():
      if value is not None:
        assert found[row['step']][key] == pytest.approx(value), key
  assert any('eval_policy_image._type' in row for row in rows)
