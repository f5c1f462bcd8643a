"""README.md and docs/: what they name exists, what they show runs.

The comment on the line before a fence says how it is tried:

    <!-- runs -->           the commands are run in an empty folder
    <!-- not run: why -->   they are read, but not run
    <!-- prints -->         the last lines that the snippet before it prints

Snippets of Python run without any mark, but for the second.
"""

import ast
import contextlib
import io
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

import pytest

from dreamerv2_tf import cli, commands

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]

# Flags of other programs, and placeholders.
FOREIGN = {
    'dist', 'all', 'any.key', 'configs', 'help', 'version', 'env.step',
    'local-dir', 'rm', 'time', 'head', 'port'}
# Names of the original, of Python and of other packages.
FOREIGN_NAMES = {
    'free_avg', 'log_', 'avx512_bf16', 'framework_op_stats', 'trace_viewer',
    'image_goal', 'openl_image', 'policy_image', 'dreamerv2_tf', 'gym_ale_py'}

RUNNER = """
import contextlib, io, json, sys, traceback
results = []
for code in json.load(sys.stdin):
  out = io.StringIO()
  error = ''
  with contextlib.redirect_stdout(out):
    try:
      exec(compile(code, 'snippet', 'exec'), {'__name__': '__main__'})
    except BaseException:
      error = traceback.format_exc()
  results.append([error, out.getvalue()])
print(json.dumps(results))
"""


class Fence(NamedTuple):
  """A fenced block.

  Attributes:
    where: file and line of the code's first line.
    mark: what the comment on the line before says, '' if there is none.
    language: the word after the fence.
    code: what is inside.
  """

  where: str
  mark: str
  language: str
  code: str

  def lines(self):
    """Yields the words of each command, without comments."""
    for line in self.code.splitlines():
      if words := shlex.split(line, comments=True):
        yield words


def read_fences(text, name='page'):
  """Returns all fenced blocks of a page."""
  result, lines, opened = [], text.splitlines(), None
  for number, line in enumerate(lines):
    if not line.startswith('```'):
      continue
    if opened is None:
      opened = number
      continue
    before = re.fullmatch(r'<!-- (.*) -->', lines[opened - 1])
    result.append(Fence(
        f'{name}:{opened + 2}', before[1] if before else '',
        lines[opened][3:], '\n'.join(lines[opened + 1:number]) + '\n'))
    opened = None
  assert opened is None, f'{name}: a fence has no end.'
  return result


def without_fences(text):
  return re.sub(r'^```.*?^```$', '', text, flags=re.M | re.S)


def anchors(text):
  """Returns the anchors that GitHub gives to the headings of a page."""
  result = set()
  for title in re.findall(r'^#+ (.*)$', without_fences(text), re.M):
    slug = re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')
    assert slug not in result, f'Two headings are called {title}.'
    result.add(slug)
  return result


def broken_links(path, text):
  """Returns the relative links and pictures of a page that lead nowhere."""
  result = []
  text = re.sub(r'`[^`]*`', '', without_fences(text))
  for target in re.findall(r'\]\(([^)\s]+)\)', text):
    if re.match(r'https?://', target):
      continue
    name, _, anchor = target.partition('#')
    file = (path.parent / name).resolve() if name else path
    known = file.is_relative_to(ROOT) and file.exists()
    if not known or anchor and anchor not in anchors(
        text if file == path else file.read_text()):
      result.append(target)
  return result


def spans(text):
  """Returns the inline code of a page, on one line each."""
  return [
      ' '.join(x.split())
      for x in re.findall(r'`([^`]+)`', without_fences(text))]


@pytest.fixture(scope='module')
def flags():
  """The flags of the command and of the scripts, keys included."""
  flags = set(FOREIGN)
  for name in commands.COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as out:
      assert cli.main([name, '--help']) == 0
    flags.update(re.findall(r'^  --(\S+)', out.getvalue(), re.M))
  for path in (ROOT / 'scripts').rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and (
          getattr(node.targets[0], 'id', '') == 'FLAGS'):
        flags.update(
            x.value for x in node.value.keys if isinstance(x, ast.Constant))
  return flags


def unknown_flags(text, flags):
  """Returns the flags in a text that there are not."""
  named = re.findall(r'(?<![\w-])--([A-Za-z.][\w.*\\-]*)', text)
  fits = lambda name: (
      name in flags or name.startswith('env.config.')
      or '*' in name and any(re.match(name, flag) for flag in flags))
  # A grid is one of a key.
  names = (x.rstrip('.').removeprefix('grid.') for x in named)
  return [name for name in names if not fits(name)]


def unknown_keys(code, flags):
  """Returns the dotted keys in a piece of code that there are not.

  A name is one of a key if it begins with a group of keys.
  """
  groups = {flag.split('.')[0] for flag in flags if '.' in flag}
  keys = re.findall(r'(?<![\w./(-])([a-z_]+(?:\.[a-z_]+)+)(?![\w/(])', code)
  return [
      key for key in keys if key.split('.')[0] in groups
      and key not in flags and not key.startswith('env.config')]


@pytest.fixture(scope='module')
def fences():
  return [
      fence for path in PAGES for fence in read_fences(
          path.read_text(), path.relative_to(ROOT).as_posix())]


@pytest.fixture(scope='module')
def words():
  """All words in the code of the package and of the scripts."""
  files = [
      *(ROOT / 'dreamerv2_tf').rglob('*.py'), *(ROOT / 'scripts').rglob('*.py'),
      *ROOT.glob('*.yaml'), *(ROOT / 'dreamerv2_tf').glob('*.yaml')]
  return FOREIGN_NAMES.union(
      *(re.findall(r'\w+', file.read_text()) for file in files))


page = pytest.mark.parametrize('path', PAGES, ids=lambda path: path.stem)


def test_fences_are_read_with_their_marks():
  text = "a\n<!-- runs -->\n```sh\nx '1 2'  # c\n\n```\n```\ny\n```\n"
  one, two = read_fences(text)
  assert one == ('page:4', 'runs', 'sh', "x '1 2'  # c\n\n")
  assert list(one.lines()) == [['x', '1 2']]
  assert two == ('page:8', '', '', 'y\n')


def test_links_that_lead_nowhere_are_found():
  here = ROOT / 'README.md'
  text = (
      '# A b-c: d\n[1](#a-b-c-d) [2](#a) [3](LICENSE) [4](https://a.b) [5](no) '
      '![6](docs/load.md#under-load) [7](docs/load.md#x) [8](../../etc)')
  assert broken_links(here, text) == ['#a', 'no', 'docs/load.md#x', '../../etc']


def test_flags_and_keys_that_are_not_there_are_found():
  flags = {'steps', 'kl.balance', 'kl.free'}
  assert unknown_flags(
      "--steps 3 --step '--kl.*' 1 --x.* 2 a--b --env.config.x", flags) == [
          'step', 'x.*']
  assert unknown_keys('kl.free kl.fre kl.loss(x) a.b rl/kl.md', flags) == [
      'kl.fre']


def test_the_readme_is_short():
  assert len((ROOT / 'README.md').read_text().splitlines()) <= 200


def test_the_readme_leads_to_all_pages():
  text = (ROOT / 'README.md').read_text()
  for path in PAGES[1:]:
    assert f'](docs/{path.name})' in text, path.name


@page
def test_links_lead_somewhere(path):
  assert broken_links(path, path.read_text()) == []


def test_commands_of_the_readme_are_marked_once(fences):
  for mark in 'run command', 'test command':
    assert [x.language for x in fences if x.mark == mark] == ['sh']


def test_every_block_runs_or_says_why_not(fences):
  known = re.compile('runs|(run|test) command|not run: .{10,}')
  for fence in fences:
    assert fence.language in ('', 'sh', 'python', 'json', 'text'), fence.where
    if fence.language == 'sh':
      assert known.fullmatch(fence.mark), fence.where


@page
def test_tables_are_whole(path):
  """As many cells in each row, and an empty line behind the last."""
  rows = re.findall(r'(?:^\|.*\n)+.*', path.read_text(), re.M)
  for table in rows:
    *lines, behind = table.splitlines()
    assert behind == '' or behind.startswith('|'), behind
    lines += [behind] * (behind != '')
    cells = {len(re.findall(r'(?<!\\)\|', line)) for line in lines}
    assert len(cells) == 1, lines[0]


@page
def test_flags_and_keys_exist(path, flags):
  text = path.read_text()
  assert unknown_flags(text, flags) == []
  for code in spans(text):
    assert unknown_keys(code, flags) == [], code


def test_commands_are_understood(fences, capsys):
  """Presets, keys and values; those of environments are checked by runs."""
  seen = 0
  for fence in (x for x in fences if x.language == 'sh'):
    for words in fence.lines():
      while '&&' in words:
        words = words[words.index('&&') + 1:]
      program, *words = words
      if program in ('dreamerv2', '.venv/bin/dreamerv2'):
        assert cli.main([*words, '--help']) == 0, (
            fence.where, capsys.readouterr().err)
        seen += 1
  assert seen > 10


@page
def test_files_that_are_named_exist(path):
  for code in spans(path.read_text()):
    for name in re.findall(
        r'(?<![\w/.])(?:dreamerv2_tf|scripts|tests|docs)/[\w./]*', code):
      assert (ROOT / name).exists(), name


@page
def test_names_occur_in_the_code(path, words):
  """As they are, or as two that are joined, such as train_return.

  Tables of tasks are those that `scripts/tasks.py` prints.
  """
  text = re.sub(
      r'<!-- table .*?<!-- end.*?-->', '', path.read_text(), flags=re.S)
  for code in spans(text):
    for name in re.findall(r'(?<![\w<>…/])[a-z]+(?:_[a-z0-9]+)+\b', code):
      cuts = [match.start() for match in re.finditer('_', name)]
      assert name in words or any(
          {name[:cut], name[cut + 1:]} <= words for cut in cuts), code


def test_messages_are_those_of_the_code():
  constants = '\n'.join(
      node.value for file in (ROOT / 'dreamerv2_tf').rglob('*.py')
      for node in ast.walk(ast.parse(file.read_text()))
      if isinstance(node, ast.Constant) and isinstance(node.value, str))
  text = (ROOT / 'docs' / 'troubleshooting.md').read_text()
  rows = re.findall(r'^\| ((?:`[^`]+`(?:, )?)+) \|', text, re.M)
  assert len(rows) > 10
  for message in re.findall(r'`([^`]+)`', ' '.join(rows)):
    for piece in message.split('…'):
      assert piece.strip() in constants, message


def test_snippets_run(fences, python):
  """Each on its own, all in one process, which loads TensorFlow once."""
  snippets = [
      x for x in fences
      if x.language == 'python' and not x.mark.startswith('not run: ')]
  result = python('-c', RUNNER, input=json.dumps([x.code for x in snippets]))
  assert result.returncode == 0, result.stderr
  outputs = {}
  for fence, (error, out) in zip(
      snippets, json.loads(result.stdout.splitlines()[-1]), strict=True):
    assert not error, (fence.where, error)
    outputs[fence] = out
  last = None
  for fence in fences:
    if fence.language == 'python':
      last = fence
    elif fence.mark == 'prints':
      assert outputs[last].endswith(fence.code), (fence.where, outputs[last])


def test_commands_run(fences, tmp_path):
  """In a folder that looks like a clone after the set-up."""
  programs = tmp_path / '.venv' / 'bin'
  programs.mkdir(parents=True)
  for name, words in ('python', ''), ('dreamerv2', '-m dreamerv2_tf '):
    file = programs / name
    file.write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
    file.chmod(0o755)
  env = {
      **os.environ, 'HOME': str(tmp_path), 'PYTHONPATH': str(ROOT),
      'PATH': f'{programs}{os.pathsep}{os.environ["PATH"]}'}
  blocks = [x for x in fences if x.mark == 'runs']
  assert len(blocks) > 1
  for fence in blocks:
    result = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', fence.code], cwd=tmp_path, env=env,
        capture_output=True, text=True)
    assert result.returncode == 0, (fence.where, result.stderr)
  assert (tmp_path / 'drive.gif').stat().st_size > 10_000
