"""Packaging. `configs.yaml` lies at the top and is installed in the package."""

import os
import pathlib
import re

import setuptools
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(
    r"^__version__ = '(.+)'$",
    (HERE / 'dreamerv2_tf' / '__init__.py').read_text(), re.M)[1]
PLOTS = ['matplotlib>=3.9']
TEST = ['pytest>=8', 'pytest-xdist>=3', 'ruff>=0.9', *PLOTS]


class BuildWithConfigs(build_py):
  """Copies configs.yaml beside config.py, except for an editable install."""

  def run(self):
    super().run()
    if not self.editable_mode:
      self.copy_file('configs.yaml', self._target())

  def get_outputs(self, include_bytecode=1):
    return super().get_outputs(include_bytecode) + [self._target()]

  def _target(self):
    return os.path.join(self.build_lib, 'dreamerv2_tf', 'configs.yaml')


setuptools.setup(
    name='dreamerv2_tf',
    version=VERSION,
    description='DreamerV2 in TensorFlow 2 for highway-env and Gymnasium.',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='MIT',
    packages=setuptools.find_packages(include=['dreamerv2_tf*']),
    package_data={'dreamerv2_tf.pretrained': ['*/*']},
    python_requires='>=3.11',
    install_requires=[
        'cloudpickle>=3',
        'envpool>=1.2.5,<1.3',
        'gymnasium>=1.4,<1.5',
        'highway-env>=1.12,<1.13',
        'numpy>=1.26,<3',
        'pillow>=10',
        'ruamel.yaml>=0.18',
        'tensorboard>=2.20',
        'tensorflow>=2.21,<2.22',
        'tensorflow-probability>=0.25,<0.26',
        'tf_keras>=2.21,<2.22',
    ],
    extras_require={
        'test': TEST, 'dev': [*TEST, 'build>=1'],
        'results': PLOTS, 'profile': ['xprof>=2.24,<2.25'],
        'baselines': ['stable-baselines3>=2.9,<2.10']},
    entry_points={'console_scripts': ['dreamerv2 = dreamerv2_tf.cli:command']},
    cmdclass={'build_py': BuildWithConfigs},
)
