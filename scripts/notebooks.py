"""Makes notebooks/colab.ipynb of notebooks/main_notebook.ipynb.

Also takes what the cells printed out of the latter, so that the repository
stays small. Run it after each change of the notebook; a test compares the two.
"""

from collections.abc import Mapping, Sequence
import copy
import json
import pathlib
import sys
from typing import Any

import command

FOLDER = pathlib.Path(__file__).resolve().parents[1] / 'notebooks'
FLAGS = {'folder': (str(FOLDER), 'Folder of both notebooks.')}
SOURCE, COLAB = 'main_notebook.ipynb', 'colab.ipynb'

INSTALL = """\
# Installs the package, which takes some minutes. Put the address of your copy
# of the repository here. If Colab asks for a restart of the session, do that.
REPOSITORY = 'https://github.com/YOUR_NAME/dreamerv2_tf'  #@param
%pip install --quiet "git+{REPOSITORY}\""""


def main(argv: Sequence[str] | None = None) -> int:
  """Writes both notebooks; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def clean(notebook: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a notebook without results and without what editors note in it."""
  cells = []
  for number, cell in enumerate(notebook['cells']):
    kept = {
        'cell_type': cell['cell_type'], 'id': f'cell-{number:02}',
        'metadata': {}, 'source': _lines(cell['source'])}
    if cell['cell_type'] == 'code':
      kept.update(execution_count=None, outputs=[])
    cells.append(kept)
  return {
      'cells': cells, 'metadata': {
          'kernelspec': {
              'display_name': 'Python 3', 'language': 'python',
              'name': 'python3'},
          'language_info': {'name': 'python'}},
      'nbformat': 4, 'nbformat_minor': 5}


def for_colab(notebook: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a notebook that first installs the package, after its title."""
  result = copy.deepcopy(clean(notebook))
  result['cells'].insert(1, {
      'cell_type': 'code', 'id': 'install', 'metadata': {},
      'execution_count': None, 'outputs': [], 'source': _lines(INSTALL)})
  result['metadata']['colab'] = {'provenance': [], 'name': COLAB}
  return result


def _lines(source):
  """Returns the lines of a cell with their ends, as the format has it."""
  text = source if isinstance(source, str) else ''.join(source)
  return text.strip('\n').splitlines(keepends=True)


def _work(arguments):
  options = command.parse(FLAGS, arguments)
  folder = pathlib.Path(options.folder)
  with command.writing():
    notebook = json.loads((folder / SOURCE).read_text('utf-8'))
    for name, content in (SOURCE, clean(notebook)), (
        COLAB, for_colab(notebook)):
      text = json.dumps(content, indent=1, ensure_ascii=False) + '\n'
      (folder / name).write_text(text, 'utf-8')
  return [f'Written to {folder}: {SOURCE}, {COLAB}']


if __name__ == '__main__':
  sys.exit(main())
