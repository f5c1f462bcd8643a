"""What an environment offers, and what networks take of it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym

from .. import envs
from ..config import Config
from .checks import Check, fail, ok, warn

FLAGS = ('reward', 'is_first', 'is_last', 'is_terminal')
ENOUGH = 10  # Episodes from which on their lengths say something.


class Facts(NamedTuple):
  """What is known of a task before anything is measured.

  Attributes:
    obs_space, act_space: of the environments.
    actions: names of discrete actions, perhaps none.
    longest: steps after which an episode is over; None: unknown.
    mapping: from what observations and actions are made, see envs.Env.
    advice: sentences of the environment.
  """

  obs_space: Mapping[str, gym.Space]
  act_space: Mapping[str, gym.Space]
  actions: Sequence[str]
  longest: int | None
  mapping: Mapping[str, str] = {}
  advice: Sequence[str] = ()


def check_spaces(facts: Facts) -> list[Check]:
  """Tells observations and actions."""
  told = envs.signature(facts.obs_space, facts.act_space)
  seen = {
      key: text for key, text in told.items()
      if key not in FLAGS and key != 'action' and not key.startswith('log_')}
  actions = facts.mapping.get('action', told['action'])
  if facts.actions:
    actions += f": {', '.join(facts.actions)}"
  limit = (
      f'at most {facts.longest:,} steps' if facts.longest else
      'no limit known')
  texts = [
      f'{key} {text} {facts.mapping.get(key, "")}'.rstrip()
      for key, text in seen.items()]
  checks = [ok(
      'spaces', f"{'; '.join(texts)}; actions {actions}; an episode: {limit}",
      observations=seen, action=told['action'], actions=list(facts.actions),
      longest=facts.longest, mapping=dict(facts.mapping))]
  checks += [
      warn('spaces', sentence, 'See docs/python.md on spaces.')
      for sentence in facts.advice]
  return checks


def check_keys(
    facts: Facts, encoder: Mapping[str, Sequence[str]],
    decoder: Mapping[str, Sequence[str]]) -> Check:
  """Tells which observations networks read and predict.

  Args:
    facts: of the task.
    encoder, decoder: `mlp` and `cnn` to keys.
  """
  read = {key: f'encoder.{kind}' for kind in encoder for key in encoder[kind]}
  told = {
      key: f'decoder.{kind}' for kind in decoder for key in decoder[kind]}
  keys = [
      key for key in facts.obs_space
      if key not in FLAGS and not key.startswith('log_')]
  unread = [key for key in keys if key not in read]
  text = '; '.join(
      f"{key}: {' and '.join(x for x in (read.get(key), told.get(key)) if x)}"
      for key in keys if key in read or key in told)
  plain = lambda keys: {kind: list(names) for kind, names in keys.items()}
  values = {'encoder': plain(encoder), 'decoder': plain(decoder)}
  if unread:
    return warn(
        'keys', f"{text}; not read: {', '.join(unread)}",
        'If the agent needs them: --encoder.mlp_keys (vectors) and '
        '--encoder.cnn_keys (images) are patterns of names.', **values)
  return ok('keys', text, **values)


def check_lengths(
    config: Config, longest: int | None, lengths: Sequence[int]) -> Check:
  """Tells whether episodes are long enough to be learned from.

  Args:
    config: the settings.
    longest: steps after which an episode is over; None: unknown.
    lengths: steps of episodes of random actions.
  """
  least = config.replay.minlen
  advice = '--replay.minlen 1 --replay.maxlen 0, as the preset small has it'
  if longest and longest < least:
    return fail(
        'episodes', f'at most {longest} steps, but replay.minlen is {least}: '
        'none would be stored', advice, 2, lengths=list(lengths))
  if not lengths:
    return ok(
        'episodes', f'replay.minlen {least}; none ended while it was looked '
        'at', lengths=[])
  short = sum(length < least for length in lengths)
  text = (
      f'{len(lengths)} of random actions have {min(lengths):,} to '
      f'{max(lengths):,} steps, replay.minlen is {least}')
  values: dict[str, Any] = {'lengths': list(lengths), 'short': short}
  if short == len(lengths) >= ENOUGH:
    return fail('episodes', f'{text}: none is stored', advice, 2, **values)
  if 2 * short > len(lengths):
    return warn(
        'episodes', f'{text}: {100 * short / len(lengths):.0f} % are not '
        'stored', advice, **values)
  return ok('episodes', text, **values)


def check_schedule(config: Config) -> Check | None:
  """Tells settings of time that do not fit one another."""
  if config.prefill >= config.steps:
    return warn(
        'schedule', f'prefill is {config.prefill:,} and steps '
        f'{config.steps:,}: no gradient step is taken',
        '--prefill 1000, or more --steps')
  return None
