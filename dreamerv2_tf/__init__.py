"""DreamerV2 in TensorFlow 2, for driving on highway-env and beyond.

    import dreamerv2_tf as dv2
    agent = dv2.load('highway_kinematics')  # Or the folder of a run.
    action, state = agent.act(obs, state)

TensorFlow is imported at the first use of `load`, `train`, `evaluate` or
`dream`.
"""

import importlib

__version__ = '0.1.0'

# Name: the module that it is in, and whether that imports TensorFlow.
_HOMES = {
    'Callback': ('run.events', False),
    'Config': ('config', False),
    'ConfigError': ('errors', False),
    'DreamerError': ('errors', False),
    'EnvError': ('errors', False),
    'Event': ('run.events', False),
    'Interrupted': ('errors', False),
    'LockedError': ('errors', False),
    'NonFiniteError': ('errors', False),
    'Scores': ('evaluation', True),
    'StateError': ('errors', False),
    'StorageError': ('errors', False),
    'configs': ('config', False),
    'defaults': ('config', False),
    'dream': ('dreams.interface', True),
    'evaluate': ('evaluation', True),
    'export': ('api', True),
    'load': ('api', True),
    'resolve': ('config', False),
    'train': ('api', True),
}
__all__ = list(_HOMES)


def __getattr__(name: str):
  if name not in _HOMES:
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
  module, heavy = _HOMES[name]
  if heavy:
    from . import startup
    startup.import_tensorflow()
  return getattr(importlib.import_module(f'.{module}', __name__), name)


def __dir__():
  return sorted({*globals(), *__all__})
