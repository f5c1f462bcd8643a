import fnmatch
import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
TEXT = (ROOT / 'Dockerfile').read_text()
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']


def test_what_the_container_copies_is_there_and_not_ignored():
  copied = [
      name for line in re.findall(r'^COPY (?!--from)(.*)$', TEXT, re.M)
      for name in line.split()[:-1]]
  assert 'dreamerv2_tf' in copied and 'configs.yaml' in copied
  everything, *rest = (ROOT / '.dockerignore').read_text().split()
  taken = {line[1:] for line in rest if line.startswith('!')}
  assert everything == '*' and taken == set(copied)
  for name in copied:
    assert (ROOT / name).exists(), name


def test_what_an_installation_needs_is_copied():
  include = [
      name for line in (ROOT / 'MANIFEST.in').read_text().splitlines()
      for name in line.split()[1:]]
  for name in [
      'pyproject.toml', 'setup.py', PROJECT['readme'],
      *PROJECT['license-files'], *include]:
    top = re.escape(name.split('/')[0])
    assert re.search(rf'^COPY .*\b{top}\b', TEXT, re.M), name


def test_the_container_runs_the_command_without_rights_of_root():
  [program] = re.findall(r'^ENTRYPOINT \["(\w+)"\]$', TEXT, re.M)
  assert program in PROJECT['scripts']
  lines = TEXT.splitlines()
  user, volume, entry = (
      next(i for i, line in enumerate(lines) if line.startswith(word))
      for word in ('USER ', 'VOLUME ', 'ENTRYPOINT '))
  assert lines[user] == 'USER dreamer' and user < volume < entry
  [image] = set(re.findall(r'^FROM (\S+)', TEXT, re.M))
  version = image.removeprefix('python:').removesuffix('-slim')
  assert fnmatch.filter(
      PROJECT['classifiers'], f'*Python :: {version}'), version
