"""The notebooks: the main one runs, and that for Colab is the same."""

import base64
import io
import json
import os
import pathlib

import nbclient
import nbformat
from PIL import Image
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPT = ROOT / 'scripts' / 'notebooks.py'
MAIN = ROOT / 'notebooks' / 'main_notebook.ipynb'
COLAB = ROOT / 'notebooks' / 'colab.ipynb'


def code(notebook):
  return [
      ''.join(cell['source']) for cell in notebook['cells']
      if cell['cell_type'] == 'code']


def test_both_are_as_the_script_makes_them(script):
  """If this fails, run scripts/notebooks.py."""
  main, colab = (json.loads(x.read_text()) for x in (MAIN, COLAB))
  assert main == script.clean(main)
  assert colab == script.for_colab(main)
  for notebook in main, colab:
    nbformat.validate(nbformat.from_dict(notebook))


def test_colab_only_installs_before(script):
  main, colab = (json.loads(x.read_text()) for x in (MAIN, COLAB))
  first, *others = code(colab)
  assert '%pip install' in first and others == code(main)
  assert colab['cells'][0]['source'] == main['cells'][0]['source']
  assert not any('pip install' in cell for cell in others)


def test_what_was_printed_is_taken_out(script, tmp_path, capsys):
  notebook = {'cells': [
      {'cell_type': 'markdown', 'source': '# A\nb\n', 'metadata': {'x': 1}},
      {'cell_type': 'code', 'source': ['1\n', '2'], 'execution_count': 7,
       'outputs': [{'output_type': 'stream', 'name': 'stdout', 'text': 'x'}]}],
      'metadata': {'widgets': {}}, 'nbformat': 4, 'nbformat_minor': 4}
  (tmp_path / MAIN.name).write_text(json.dumps(notebook))
  assert script.main(['--folder', str(tmp_path)]) == 0
  main, colab = (
      json.loads((tmp_path / x.name).read_text()) for x in (MAIN, COLAB))
  assert [cell['source'] for cell in main['cells']] == [
      ['# A\n', 'b'], ['1\n', '2']]
  assert main['cells'][1]['outputs'] == []
  assert main['cells'][1]['execution_count'] is None
  assert 'widgets' not in main['metadata']
  assert [x['cell_type'] for x in colab['cells']] == [
      'markdown', 'code', 'code']
  assert script.main(['--folder', str(tmp_path / 'no')]) == 6
  assert 'Can not write' in capsys.readouterr().err


@pytest.fixture(scope='module')
def executed(tmp_path_factory):
  """The main notebook with what its cells gave, in an empty home."""
  folder = tmp_path_factory.mktemp('notebook')
  notebook = nbformat.read(MAIN, 4)
  env = {
      **os.environ, 'HOME': str(folder), 'PYTHONPATH': str(ROOT),
      'IPYTHONDIR': str(folder / 'ipython')}
  nbclient.NotebookClient(
      notebook, timeout=900, kernel_name='python3',
      resources={'metadata': {'path': str(folder)}}).execute(env=env)
  return notebook


def outputs(notebook, word):
  """Returns the text and the pictures of the cell with that word in it."""
  cell, = [
      x for x in notebook.cells if x.cell_type == 'code' and word in x.source]
  text = ''.join(x.text for x in cell.outputs if x.output_type == 'stream')
  pictures = [
      Image.open(io.BytesIO(base64.b64decode(x.data[key])))
      for x in cell.outputs if 'data' in x for key in x.data
      if key in ('image/gif', 'image/png')]
  return text, pictures


def test_the_notebook_drives_dreams_learns_plots_and_compares(executed):
  assert 'crashed: False' in outputs(executed, 'env.reset(seed=10000)')[0]
  assert '3 episodes' in outputs(executed, 'episodes=3, seed=10000')[0]
  for word in "'eval', '--pretrained'", "'dream', '--pretrained'":
    picture, = outputs(executed, word)[1]
    assert picture.format == 'GIF' and picture.n_frames > 10
  text, _ = outputs(executed, 'dv2.train(')
  assert 'A callback stops the run' in text
  assert 'success 100 %' in outputs(executed, 'dv2.evaluate(small')[0]
  picture, = outputs(executed, "'plot', '--indir'")[1]
  assert picture.format == 'PNG'
  assert '55 of 55' in outputs(executed, "'compare'")[0]
  assert '# small\n' in outputs(executed, 'dv2.export(')[0]


def test_the_notebook_warns_of_nothing(executed):
  errors = [
      x.text for cell in executed.cells for x in cell.get('outputs', ())
      if x.output_type == 'stream' and x.name == 'stderr']
  assert not [text for text in errors if 'Warning' in text or 'rror' in text]
