import importlib.metadata
import pathlib
import tomllib

import pytest

from dreamerv2_tf.doctor import packages

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(monkeypatch):
  """Sets which versions are installed, by name."""
  def fill(**versions):
    versions = {k.replace('_', '-'): v for k, v in versions.items()}
    def version(name):
      if name not in versions:
        raise importlib.metadata.PackageNotFoundError(name)
      return versions[name]
    monkeypatch.setattr(importlib.metadata, 'version', version)
  return fill


def test_what_is_asked_for_stands_in_the_file_of_the_project():
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  assert packages.required() == (
      project['requires-python'], project['dependencies'])


def test_versions_that_fit_are_one_line(installed):
  installed(numpy='2.1', tensorflow='2.21.0')
  [check] = packages.check_packages(
      ['numpy>=1.26,<3', 'tensorflow>=2.21,<2.22'])
  assert check.status == 'ok'
  assert check.text == 'all 2 as asked for: tensorflow 2.21.0, numpy 2.1'


def test_a_wrong_version_is_marked_with_the_command_that_mends_it(installed):
  installed(numpy='1.20')
  [check] = packages.check_packages(['numpy>=1.26,<3'])
  assert (check.status, check.code) == ('warn', 0)
  assert 'numpy 1.20 is not one that was tried' in check.text
  assert check.advice == "pip install 'numpy<3,>=1.26'"


def test_a_missing_package_fails_but_for_those_of_some_tasks(installed):
  installed()
  one, two = packages.check_packages(['pillow>=10', 'envpool>=1.2'])
  assert (one.status, one.code, one.advice) == (
      'fail', 2, "pip install 'pillow>=10'")
  assert (two.status, two.text) == (
      'warn', 'envpool is not installed: no env.simulator envpool')


def test_tensorflow_may_have_another_name(installed):
  installed(tensorflow_cpu='2.21.1')
  [check] = packages.check_packages(['tensorflow>=2.21,<2.22'])
  assert (check.status, check.values) == ('ok', {'tensorflow': '2.21.1'})


def test_requirements_of_other_systems_are_left_out(installed):
  installed(numpy='2.0')
  [check] = packages.check_packages(
      ['numpy>=1.26', "windows-curses>=2; sys_platform == 'win32'"])
  assert check.values == {'numpy': '2.0'}


@pytest.mark.parametrize('version, status', [
    ('3.11.7', 'ok'), ('3.13.0rc1', 'ok'), ('3.10.2', 'fail')])
def test_versions_of_python(version, status):
  assert packages.check_python('>=3.11', version).status == status


def test_nothing_that_says_what_is_asked_for_is_told():
  [check] = packages.check_packages([])
  assert (check.status, check.advice) == (
      'warn', 'pip install . in a clone')
