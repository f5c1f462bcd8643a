"""Packaging; the rest is in pyproject.toml.

`configs.yaml` lies at the top and is installed in the package.
"""

import os

import setuptools
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
  """Copies configs.yaml beside config.py, except for an editable install."""

  def run(self) -> None:
    """Builds the modules, then adds the file."""
    super().run()
    if not self.editable_mode:
      self.copy_file('configs.yaml', self._target())

  def get_outputs(self, include_bytecode: bool = True) -> list[str]:
    """Returns what is built, for the record of an installation."""
    return super().get_outputs(include_bytecode) + [self._target()]

  def _target(self):
    return os.path.join(self.build_lib, 'dreamerv2_tf', 'configs.yaml')


setuptools.setup(cmdclass={'build_py': BuildWithConfigs})
