"""Packaging; the rest is in pyproject.toml.

`configs.yaml` lies at the top, the results in `results/`; both are installed in
the package.
"""

import glob
import os

import setuptools
from setuptools.command.build_py import build_py


def copied() -> dict[str, str]:
  """Returns files beside the package to where they are in it."""
  results = sorted(glob.glob('results/highway_*.json'))
  return {
      'configs.yaml': 'configs.yaml',
      **{x: f'paper/data/{os.path.basename(x)}' for x in results}}


class BuildWithFiles(build_py):
  """Copies such files into the package, except for an editable install."""

  def run(self) -> None:
    """Builds the modules, then adds the files."""
    super().run()
    if not self.editable_mode:
      for source, target in copied().items():
        self.copy_file(source, self._inside(target))

  def get_outputs(self, include_bytecode: bool = True) -> list[str]:
    """Returns what is built, for the record of an installation."""
    return super().get_outputs(include_bytecode) + [
        self._inside(target) for target in copied().values()]

  def _inside(self, target):
    return os.path.join(self.build_lib, 'dreamerv2_tf', target)


setuptools.setup(cmdclass={'build_py': BuildWithFiles})
