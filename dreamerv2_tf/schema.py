"""Types and ranges of settings: what a value may be, beyond its default."""

from collections.abc import Callable, Iterable, Mapping
import difflib
import math
import re
from typing import Any

from .errors import ConfigError

# Keys with a fixed set of values. Case, - and _ do not matter.
CHOICES = {
    'precision': (16, 32, 'bf16'),
    'jit': ('auto', True, False),
    'envs_parallel': ('process', 'none'),
    'on_bad_data': ('stop', 'drop'),
    'env.simulator': ('highway-env', 'envpool'),
    'clip_rewards': ('identity', 'sign', 'tanh'),
    'expl_behavior': ('greedy', 'Random', 'Plan2Explore', 'ModelLoss'),
    'actor_grad': ('auto', 'reinforce', 'dynamics', 'both', 'lookahead',
                   'values'),
}

# Numbers that may change over time. Name of the schedule to its number of
# arguments and the position of the duration among them.
SCHEDULED = ('actor_ent', 'actor_grad_mix')
SCHEDULES = {
    'linear': (3, 2), 'warmup': (2, 0), 'exp': (3, 2), 'horizon': (3, 2)}

# Numbers that may also be a list, one for each feature.
LISTABLE = ('env.obs_scale',)

# Patterns of whole keys, lowest and highest value.
RANGES = (
    (r'steps|envs|train_every|train_steps|eval_eps|checkpoint_every', 1, None),
    (r'checkpoint_keep|action_repeat|slow_target_update', 1, None),
    (r'dataset\.batch|replay\.minlen|replay\.ram|render_size', 1, None),
    (r'rssm\.(ensemble|hidden|deter|stoch)|disag_models', 1, None),
    (r'.*\.(units|cnn_depth|cnn_kernels|mlp_layers)', 1, None),
    (r'dataset\.length|imag_horizon|lookahead\.horizon', 2, None),
    (r'actor_critic_steps|lookahead\.states|.*lookahead\.samples', 1, None),
    (r'overshooting\.(steps|scale)|imag_starts', 0, None),
    (r'eval_lookahead\.depth', 0, None),
    (r'seed|prefill|pretrain|log_every|eval_every|eval_envs', 0, None),
    (r'max_env_failures|max_skipped_updates|time_limit|expl_until', 0, None),
    (r'replay\.(capacity|maxlen)|rssm\.discrete|.*\.layers|kl\.free', 0, None),
    (r'disag_offset|.*_opt\.(lr|eps|clip)|actor_ent|.*\.min_std', 0, None),
    (r'discount|discount_lambda|kl\.balance|actor_grad_mix', 0, 1),
    (r'slow_target_fraction|.*_noise|.*_norm\.momentum|.*_opt\.wd', 0, 1),
)
POSITIVE = ('env_timeout', 'env.obs_scale', 'slow_target_fraction')
PATTERNS = r'log_keys_(sum|mean|max)|(encoder|decoder)\.(mlp|cnn)_keys'


def convert(key: str, default: Any, value: Any) -> Any:
  """Returns the value in the type of the default.

  Args:
    key: dotted name, for special keys and the error message.
    default: bool, int, float, str, or a tuple of one of these; for the keys
      of LISTABLE, what the value is does not depend on it.
    value: of that type, or text that means it.

  Raises:
    ConfigError: the value can not be read so.
  """
  if key in CHOICES:
    return _choice(key, value)
  if key in SCHEDULED and isinstance(value, str):
    try:
      return _read_float(value)
    except ValueError:
      text = value.replace(' ', '')
      read_schedule(text, key)
      return text
  if key in LISTABLE:
    return _read_listable(key, value)
  if key == 'rssm.discrete' and str(value).lower() == 'false':
    return 0
  if isinstance(default, tuple):
    if not isinstance(value, (list, tuple)):
      raise ConfigError(
          f"'{key}' must be a list such as {show(default)} but is "
          f'{show(value)}.')
    element = default[0] if default else ''
    return tuple(convert(key, element, x) for x in value)
  read, name = READERS[type(default)]
  try:
    return read(value)
  except (ValueError, OverflowError):
    plain = default == '' or isinstance(default, bool)
    example = '' if plain else f' such as {show(default)}'
    raise ConfigError(
        f"'{key}' must be {name}{example} but is {show(value)}.") from None


def check(config: Mapping[str, Any]) -> None:
  """Checks ranges and patterns that no type can express.

  Args:
    config: a complete `Config`.

  Raises:
    ConfigError: a value is out of range, or no regular expression.
  """
  flat = config.flat
  for pattern, low, high in RANGES:
    for key in (key for key in flat if re.fullmatch(pattern, key)):
      values = flat[key] if isinstance(flat[key], tuple) else (flat[key],)
      for value in (x for x in values if not isinstance(x, str)):
        if value < low or (high is not None and value > high):
          limits = f'at least {low}' if high is None else f'in [{low}, {high}]'
          raise ConfigError(f"'{key}' must be {limits} but is {value}.")
  for key in POSITIVE:
    values = flat[key] if isinstance(flat[key], tuple) else (flat[key],)
    if any(value <= 0 for value in values):
      raise ConfigError(f"'{key}' must be above 0 but is {show(flat[key])}.")
  for key in (key for key in flat if re.fullmatch(PATTERNS, key)):
    try:
      re.compile(flat[key])
    except re.error as error:
      raise ConfigError(
          f"'{key}' must be a regular expression but is '{flat[key]}': "
          f'{error}.') from None
  if len(config['render_size']) != 2:
    raise ConfigError(
        "'render_size' must be a height and a width but is "
        f"{show(config['render_size'])}.")
  minlen, maxlen = config['replay.minlen'], config['replay.maxlen']
  if 0 < maxlen < minlen:
    raise ConfigError(
        f"'replay.maxlen' must be 0 or at least replay.minlen ({minlen}) but "
        f'is {maxlen}.')
  depth, horizon = (
      config['eval_lookahead.depth'], config['eval_lookahead.horizon'])
  if horizon <= depth:
    raise ConfigError(
        f"'eval_lookahead.horizon' must be above eval_lookahead.depth ({depth})"
        f' but is {horizon}.')
  offset, length = config['disag_offset'], config['dataset.length']
  if offset >= length:
    raise ConfigError(
        f"'disag_offset' must be below dataset.length ({length}) but is "
        f'{offset}.')
  read_window(config['profile'])


def read_window(text: str) -> range:
  """Returns the steps of a window START:STOP; of an empty text, none.

  Raises:
    ConfigError: it is no such window.
  """
  if not text:
    return range(0)
  try:
    start, stop = map(_read_int, text.split(':'))
    if not 0 <= start < stop:
      raise ValueError(text)
  except (ValueError, OverflowError):
    raise ConfigError(
        "'profile' must be START:STOP, whole numbers of steps with 0 <= START "
        f"< STOP such as 2000:2200, but is '{text}'.") from None
  return range(start, stop)


def read_schedule(text: str, key: str = 'schedule') -> tuple[str, list[float]]:
  """Takes a schedule apart.

  Args:
    text: `linear(first,last,steps)`, `warmup(steps,last)`,
      `exp(first,last,halflife)` or `horizon(first,last,steps)`.
    key: dotted name, for the error message.

  Returns:
    Name and arguments.

  Raises:
    ConfigError: it is none of these.
  """
  match = re.fullmatch(r'(\w+)\((.*)\)', text.replace(' ', ''))
  try:
    name, args = match[1], [_read_float(x) for x in match[2].split(',')]
    count, duration = SCHEDULES[name]
    if len(args) != count or args[duration] <= 0:
      raise ValueError(text)
  except (TypeError, KeyError, ValueError):
    raise ConfigError(
        f"'{key}' must be a number or linear(first,last,steps), "
        'warmup(steps,last), exp(first,last,halflife) or '
        f"horizon(first,last,steps) but is '{text}'.") from None
  return name, args


def suggest(word: str, *options: Iterable[str]) -> str:
  """Returns ' Did you mean ...?' with the nearest options, or nothing."""
  names = {name.lower(): name for group in options for name in group}
  word = word.lower()
  near = [name for name in names if name.endswith('.' + word)]
  near = near or difflib.get_close_matches(word, names, 3, 0.6)
  if not near:
    return ''
  return f" Did you mean {' or '.join(repr(names[x]) for x in near[:3])}?"


def show(value: Any) -> str:
  """Returns a value as a user would write it."""
  if isinstance(value, Mapping):
    return f"{{{', '.join(f'{k}: {show(v)}' for k, v in value.items())}}}"
  if isinstance(value, (list, tuple)):
    return ' '.join(map(str, value)) or 'an empty list'
  return f"'{value}'" if isinstance(value, str) else str(value)


def _choice(key, value):
  plain = lambda x: re.sub('[-_]', '', str(x).lower())
  for choice in CHOICES[key]:
    if plain(choice) == plain(value):
      return choice
  names = [str(choice) for choice in CHOICES[key]]
  raise ConfigError(
      f"'{key}' must be one of {', '.join(names)} but is {show(value)}."
      + suggest(str(value), names))


def _read_listable(key, value):
  """Returns a float, or a tuple of at least one."""
  try:
    if not isinstance(value, (list, tuple)):
      return _read_float(value)
    if not value:
      raise ValueError(value)
    return tuple(_read_float(x) for x in value)
  except (ValueError, OverflowError):
    raise ConfigError(
        f"'{key}' must be a finite number or a list of them, such as 1.0 or "
        f'1,15,2.5, but is {show(value)}.') from None


def _read_bool(value):
  if isinstance(value, str) and value.lower() in ('true', 'false'):
    return value.lower() == 'true'
  if not isinstance(value, bool):
    raise ValueError(value)
  return value


def _read_int(value):
  if isinstance(value, bool) or not isinstance(value, (int, float, str)):
    raise ValueError(value)
  if isinstance(value, str):
    try:
      value = int(value)
    except ValueError:
      value = float(value)
  if int(value) != value or abs(value) >= 2 ** 63:
    raise ValueError(value)
  return int(value)


def _read_float(value):
  if isinstance(value, bool) or not isinstance(value, (int, float, str)):
    raise ValueError(value)
  if not math.isfinite(float(value)):
    raise ValueError(value)
  return float(value)


def _read_str(value):
  if not isinstance(value, str):
    raise ValueError(value)
  return value


READERS: dict[type, tuple[Callable[[Any], Any], str]] = {
    bool: (_read_bool, 'True or False'),
    int: (_read_int, 'a whole number'),
    float: (_read_float, 'a finite number'),
    str: (_read_str, 'text'),
}
