"""DreamerV2 in TensorFlow 2, for driving on highway-env and beyond.

    import dreamerv2_tf as dv2
    agent = dv2.load('highway_kinematics')  # Or the folder of a run.
    action, state = agent.act(obs, state)

TensorFlow is imported at the first use of `dream`, `load` or `train`.
"""

__version__ = '0.1.0'
__all__ = ['Config', 'ConfigError', 'dream', 'load', 'resolve', 'train']


def __getattr__(name: str):
  if name == 'ConfigError':
    from . import errors as module
  elif name in ('Config', 'resolve'):
    from . import config as module
  elif name in ('dream', 'load', 'train'):
    from . import startup
    startup.import_tensorflow()
    from . import api as module
  else:
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
  return getattr(module, name)


def __dir__():
  return sorted({*globals(), *__all__})
