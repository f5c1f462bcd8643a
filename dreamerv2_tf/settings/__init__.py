"""The table of all settings: what each may be and means; which a run keeps.

`configs.yaml` has their values. Steps are policy steps (before action repeat)
unless said otherwise.
"""

from ..schema import Key
from .agent import ACTOR_CRITIC, AGENT, EXPLORATION, WORLD_MODEL
from .run import COLLECTORS, ENVIRONMENT, LOGGING, REPLAY, RUN, TRAINING

# In the order of configs.yaml: group to dotted key to row.
GROUPS: dict[str, dict[str, Key]] = {
    'Run': RUN,
    'Environment': ENVIRONMENT,
    'Collectors': COLLECTORS,
    'Training': TRAINING,
    'Replay': REPLAY,
    'Logging, evaluation, checkpoints': LOGGING,
    'Agent': AGENT,
    'World model': WORLD_MODEL,
    'Actor and critic': ACTOR_CRITIC,
    'Exploration (expl_behavior: Plan2Explore, ModelLoss)': EXPLORATION,
}
KEYS = {key: rule for group in GROUPS.values() for key, rule in group.items()}

# Below these, any key is taken and its value read as YAML: the environment
# knows its own keys and checks them.
OPEN = tuple(key for key, rule in KEYS.items() if rule.form == 'open')


def is_open(key: str) -> bool:
  """Tells whether a key lies in a subtree that takes any key."""
  return any(key == x or key.startswith(x + '.') for x in OPEN)


def is_fixed(key: str) -> bool:
  """Tells whether a run folder keeps the value of a dotted key."""
  return is_open(key) or key in KEYS and KEYS[key].fixed
