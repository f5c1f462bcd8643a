"""Reads every module of the package: who imports whom, and what none does."""

import ast
import graphlib
import pathlib

import pytest

import dreamerv2_tf

PACKAGE = pathlib.Path(dreamerv2_tf.__file__).resolve().parent

# A module imports from its own line or from earlier ones.
LAYERS = [
    ['errors', 'files'],
    ['schema', 'yamlfile', 'startup'],
    ['settings', 'presets', 'flags'],
    ['renames'],
    ['config'],
    ['helptext'],
    ['pretrained'],
    ['report'],
    ['curves'],
    ['paper'],
    ['envs'],
    ['data'],
    ['tfutils'],
    ['replicas'],
    ['rlmath', 'losses'],
    ['nets'],
    ['imagination'],
    ['world_model'],
    ['lookahead'],
    ['actor_critic'],
    ['exploration'],
    ['policy'],
    ['agent'],
    ['run'],
    ['dreams'],
    ['doctor'],
    ['sweeps'],
    ['evaluation'],
    ['api'],
    ['commands'],
    ['cli'],
    ['__init__', '__main__'],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# What learns is blind to where its data comes from and goes to.
LEARNER = {
    'tfutils', 'replicas', 'rlmath', 'losses', 'nets', 'imagination',
    'world_model', 'lookahead', 'actor_critic', 'exploration', 'policy',
    'agent'}
FORBIDDEN = {
    **dict.fromkeys(LEARNER, {'files', 'startup', 'report', 'envs', 'data'}),
    'data': {'report'}, 'envs': {'report'}}

# These start in a fraction of a second, in each worker as well.
NO_TENSORFLOW = {
    'errors', 'files', 'schema', 'yamlfile', 'startup', 'settings', 'presets',
    'flags', 'renames', 'config', 'helptext', 'pretrained', 'report', 'curves',
    'paper', 'envs', 'data', 'sweeps', 'commands', 'cli', '__init__',
    '__main__'}
# Of the package `run`, imported before the environments are started.
BEFORE_WORKERS = {'train', 'evaluate', 'events', 'loading'}
TENSORFLOW = {'tensorflow', 'tensorflow_probability', 'tf_keras', 'keras'}

MODULES = sorted(PACKAGE.rglob('*.py'))
SCRIPTS = sorted((PACKAGE.parent / 'scripts').glob('*.py'))

# Lines of files and classes; lines of code of functions, docstrings and blank
# lines aside.
FILE, SCRIPT, CLASS, FUNCTION = 350, 400, 250, 40


def module_id(path):
  return path.relative_to(PACKAGE).as_posix()


def unit(path):
  """The name in LAYERS that a module belongs to."""
  return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imports(path, tree=None):
  """Yields (dotted module, imported name or None), absolute, of all imports."""
  inside = path.relative_to(PACKAGE.parent).with_suffix('').parts[:-1]
  for node in ast.walk(tree or ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from ((alias.name, None) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
      base = inside[:len(inside) - node.level + 1] if node.level else ()
      module = '.'.join([*base, *([node.module] if node.module else [])])
      yield from ((module, alias.name) for alias in node.names)


def own_imports(path):
  """Yields the names in LAYERS that a module imports."""
  for module, name in imports(path):
    package, *parts = module.split('.')
    if package == PACKAGE.name:
      name = parts[0] if parts else name
      if name != '__version__':
        yield name or '__init__'


def too_long(path):
  """Yields what is longer than allowed: the file, classes, functions."""
  text = path.read_text()
  lines = text.splitlines()
  script = path.parent.name == 'scripts'
  me = f'scripts/{path.name}' if script else module_id(path)
  if len(lines) > (SCRIPT if script else FILE):
    yield me
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.ClassDef):
      if node.end_lineno - node.lineno + 1 > CLASS:
        yield f'{me} {node.name}'
    if isinstance(node, ast.FunctionDef):
      code = set(range(node.lineno, node.end_lineno + 1))
      if ast.get_docstring(node) is not None:
        doc = node.body[0]
        code -= set(range(doc.lineno, doc.end_lineno + 1))
      if sum(bool(lines[number - 1].strip()) for number in code) > FUNCTION:
        yield f'{me} {node.name}'


def at_start(path):
  """Yields the modules of the package that importing a module imports."""
  names = {'.'.join(x.relative_to(PACKAGE.parent).with_suffix('').parts)
           for x in MODULES}
  tree = ast.parse(path.read_text())
  for node in ast.walk(tree):
    if isinstance(node, ast.FunctionDef):
      node.body = []
  for module, name in imports(path, tree):
    for found in f'{module}.{name}', module:
      if found in names:
        yield found
        break


def find(nodes, test):
  return [node.lineno for node in nodes if test(node)]


def test_the_walk_sees_imports():
  path = PACKAGE / 'commands' / 'train.py'
  found = set(imports(path))
  assert ('dreamerv2_tf.run', 'train') in found  # Within a function.
  assert ('dreamerv2_tf', 'startup') in found and ('os', None) in found
  assert {'run', 'config', 'errors'} <= set(own_imports(path))
  assert set(own_imports(PACKAGE / 'config.py')) == {
      'files', 'schema', 'yamlfile', 'errors', 'presets', 'settings',
      'flags', 'renames'}


@pytest.mark.parametrize('path', MODULES, ids=module_id)
def test_imports_point_down(path):
  me = unit(path)
  assert me in RANK, f'Give {me} a place in LAYERS.'
  for name in own_imports(path):
    assert name in RANK, f'{me} imports {name}, which has no place in LAYERS.'
    assert RANK[name] <= RANK[me], f'{me} must not import {name}.'
    assert name not in FORBIDDEN.get(me, ()), f'{me} must not import {name}.'


def test_no_file_imports_itself_through_others():
  graph = {
      '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts):
      set(at_start(path)) for path in MODULES}
  assert 'dreamerv2_tf.envs.env' in graph['dreamerv2_tf.envs.pool']
  assert 'dreamerv2_tf.run.train' not in graph[  # Later, in a function.
      'dreamerv2_tf.commands.train']
  try:
    list(graphlib.TopologicalSorter(graph).static_order())
  except graphlib.CycleError as error:
    pytest.fail(f"A circle of imports: {' <- '.join(error.args[1])}")


def test_files_classes_and_functions_are_short():
  found = {name for path in MODULES + SCRIPTS for name in too_long(path)}
  assert not found, 'Divide these.'


def test_lengths_are_measured_without_docstrings_and_blank_lines(tmp_path):
  path = tmp_path / 'scripts' / 'some.py'
  path.parent.mkdir()
  doc = '  """One.\n\n  Two.\n  """\n\n'
  define = lambda name, lines: (
      f'def {name}():\n{doc}' + (lines - 1) * '  pass\n')
  path.write_text(define('short', FUNCTION) + define('long', FUNCTION + 1))
  assert list(too_long(path)) == ['scripts/some.py long']
  path.write_text('class C:\n' + CLASS * '  x = 1\n')
  assert list(too_long(path)) == ['scripts/some.py C']
  path.write_text(SCRIPT * 'x = 1\n')
  assert list(too_long(path)) == []
  path.write_text((SCRIPT + 1) * 'x = 1\n')
  assert list(too_long(path)) == ['scripts/some.py']


@pytest.mark.parametrize('path', MODULES, ids=module_id)
def test_imports_name_what_they_take(path):
  for module, name in imports(path):
    assert name != '*', f'Star import from {module}.'
    roots = {module.split('.')[0], f'{module}.{name}'}
    assert not roots & {'keras', 'tensorflow.keras'} and (
        not module.startswith('tensorflow.keras')), (
            'A tf.Module does not see the variables of Keras 3: use tf_keras.')
    if unit(path) in NO_TENSORFLOW:
      assert not roots & TENSORFLOW, f'{unit(path)} must not import {module}.'


@pytest.mark.parametrize('path', MODULES, ids=module_id)
def test_no_unsafe_calls_nor_patches(path):
  nodes = list(ast.walk(ast.parse(path.read_text())))
  attribute = lambda node, owners, names: (
      isinstance(node, ast.Attribute) and node.attr in names
      and isinstance(node.value, ast.Name) and node.value.id in owners)
  sys_path = lambda node: attribute(node, {'sys'}, {'path'})
  assert not find(nodes, lambda x: (
      sys_path(x) and isinstance(x.ctx, ast.Store)
      or isinstance(x, ast.Attribute) and sys_path(x.value))), (
          'The import path is the business of the user.')
  assert not find(nodes, lambda x: attribute(x, {'tf'}, {'keras'})), (
      'A tf.Module does not see the variables of Keras 3: use tf_keras.')
  assert not find(nodes, lambda x: (
      isinstance(x, ast.keyword) and x.arg == 'allow_pickle'
      and getattr(x.value, 'value', True) is not False)), (
          'Files are never unpickled.')
  assert not find(nodes, lambda x: attribute(
      x, {'pickle', 'cloudpickle'}, {'load', 'loads', 'Unpickler'})), (
          'Files are never unpickled.')
  assert not find(nodes, lambda x: (
      isinstance(x, ast.Call) and isinstance(x.func, ast.Name)
      and x.func.id in ('eval', 'exec'))), 'Nothing is evaluated.'


def public(body):
  """Yields public functions, methods and constructors."""
  for node in body:
    hidden = getattr(node, 'name', '_').startswith('_')
    if isinstance(node, ast.ClassDef) and not hidden:
      yield from public(node.body)
    if isinstance(node, ast.FunctionDef) and (
        not hidden or node.name in ('__init__', '__call__')):
      yield node


@pytest.mark.parametrize('path', MODULES, ids=module_id)
def test_arguments_of_public_functions_are_annotated(path):
  for node in public(ast.parse(path.read_text()).body):
    given = node.args
    extra = [x for x in (given.vararg, given.kwarg) if x]
    missing = [
        x.arg for x in given.posonlyargs + given.args + given.kwonlyargs + extra
        if x.annotation is None and x.arg not in ('self', 'cls')]
    assert not missing, f'{node.name} in line {node.lineno}: {missing}.'


def test_light_modules_load_no_tensorflow(python):
  names = ['.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)
           for path in MODULES if unit(path) in NO_TENSORFLOW]
  names = [x.removesuffix('.__init__') for x in names if '__main__' not in x]
  names += [f'dreamerv2_tf.run.{name}' for name in sorted(BEFORE_WORKERS)]
  program = (
      'import importlib, sys\n'
      'for name in sys.argv[1:]:\n'
      '  importlib.import_module(name)\n'
      '  assert "tensorflow" not in sys.modules, name\n')
  result = python('-c', program, *names)
  assert result.returncode == 0, result.stderr
