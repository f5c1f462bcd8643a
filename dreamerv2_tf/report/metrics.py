"""What each metric means: the table behind charts, pages and docs.

Names are those of `metrics.jsonl`, most of them the original's. TensorBoard
sorts charts by group, in the order in which one reads them.
"""

import functools
import re
from typing import NamedTuple

GROUPS = {
    '1 results': 'How good the agent is: the return of evaluations, on the '
    'same scenarios each time.',
    '2 evaluation': 'What else there is to know of their episodes.',
    '3 training': 'The episodes in which it learns, of a policy that explores; '
    'random at first.',
    '4 world model': 'How well the model reconstructs and predicts.',
    '5 actor critic': 'What actor and critic learn from dreams.',
    '6 speed': 'Steps per second, and where the time goes.',
    '7 health': 'Counts of what went wrong. A chart appears once there is '
    'something to count.',
    '8 counts': 'How much was made and stored.',
    '9 own': 'Metrics of your own callbacks.',
}
OWN = '9 own'
HEALTH = '7 health'


class Metric(NamedTuple):
  """A row of the table.

  Attributes:
    name: of the metric; `<key>` and the like stand for any name.
    group: of GROUPS.
    unit: '' if it has none.
    text: what it means.
  """

  name: str
  group: str
  unit: str
  text: str

  @property
  def description(self) -> str:
    """The text with its unit."""
    return f'{self.text} Unit: {self.unit}.' if self.unit else self.text


def _rows(group, *rows):
  return [Metric(name, group, *rest) for name, *rest in rows]


# The first that matches counts.
TABLE = [
    *_rows(
        '1 results',
        ('eval_return', 'reward', 'Mean over the evaluation episodes of the '
         'sum of rewards.'),
        ('eval_return_std', 'reward', 'Standard deviation of the return over '
         'these episodes.')),
    *_rows(
        '2 evaluation',
        ('eval_length', 'steps', 'Mean length of evaluation episodes.'),
        ('eval_crash_rate', 'share, 0 to 1', 'How many evaluation '
         'episodes had a crash.'),
        ('eval_success_rate', 'share, 0 to 1', 'How many evaluation '
         'episodes ended at the goal.'),
        ('eval_speed', 'm/s', 'Mean speed of the own car in evaluation '
         'episodes.')),
    *_rows(
        '3 training',
        ('train_return', 'reward', 'Sum of rewards of a training episode.'),
        ('train_length', 'steps', 'Length of a training episode.'),
        ('mean_train_log_speed', 'm/s', 'Mean speed of the own car in a '
         'training episode.'),
        ('max_train_log_crashed', '0 or 1', 'Whether there was a crash in a '
         'training episode.'),
        ('max_train_log_success', '0 or 1', 'Whether the goal was reached in '
         'a training episode.'),
        ('<sum,mean,max>_train_<key>', '', 'Sum, mean or maximum over a '
         'training episode of what the environment tells besides '
         '(log_keys_sum, log_keys_mean, log_keys_max).')),
    *_rows(
        '5 actor critic',
        ('expl_<name>', '', 'The same of the behaviour that explores '
         '(expl_behavior).')),
    *_rows(
        HEALTH,
        ('<model,actor,critic>_skipped', 'share, 0 to 1', 'Gradient steps '
         'without effect, as float16 overflowed.')),
    *_rows(
        '4 world model',
        ('model_loss', 'nats', 'Sum of the losses of the world model, each '
         'times its loss_scales.'),
        ('kl_loss', 'nats', 'KL divergence of posterior and prior, balanced, '
         'at least kl.free: how much the model is surprised.'),
        ('reward_loss', 'nats', 'Negative log-likelihood of the rewards.'),
        ('discount_loss', 'nats', 'Negative log-likelihood of whether the '
         'episode goes on.'),
        ('ahead_<head>_loss', 'nats', 'Loss of predictions several steps '
         'ahead (overshooting).'),
        ('<key>_excess', 'nats', 'Reconstruction loss above the least there '
         'can be, that of a perfect picture.'),
        ('<key>_mse', 'squared', 'Mean squared error of the reconstruction; '
         'pixels are 0 to 1.'),
        ('<key>_psnr', 'decibels', 'Peak signal-to-noise ratio of '
         'reconstructed pictures; 10 more for a tenth of the error.'),
        ('model_kl', 'nats', 'News in an observation: KL divergence of '
         'posterior and prior, before balancing and kl.free.'),
        ('prior_ent', 'nats', 'Entropy of the prediction: how unsure the model '
         'is before it sees.'),
        ('post_ent', 'nats', 'Entropy of the posterior: how unsure it is after '
         'it has seen.'),
        ('model_grad_norm', '', 'Norm of the gradient before clipping.'),
        ('model_lr', '', 'Learning rate, if it follows a schedule.'),
        ('model_loss_scale', '', 'Factor on the loss against underflow of '
         'float16.')),
    *_rows(
        '5 actor critic',
        ('actor_loss', '', 'Loss of the actor: less return and entropy is '
         'more loss.'),
        ('actor_ent', 'nats', 'Entropy of the policy; five actions have at '
         'most 1.61. Near 0, it explores no more.'),
        ('actor_ent_scale', '', 'Weight of the entropy in the loss.'),
        ('actor_grad_mix', 'share, 0 to 1', 'Weight of gradients through the '
         'dynamics beside REINFORCE.'),
        ('lookahead_gain', 'reward', 'How much better the best of the tried '
         'actions is than their mean, in dreams.'),
        ('critic', 'reward', 'Values that the critic gives to dreams: the '
         'expected return, discounted.'),
        ('critic_slow', 'reward', 'Values of the slow copy of the critic.'),
        ('critic_target', 'reward', 'The λ-returns that the critic learns.'),
        ('critic_loss', 'nats', 'Loss of the critic.'),
        ('reward_<mean,std>', 'reward', 'Mean or standard deviation of '
         'rewards in dreams.'),
        ('reward_normed_<mean,std>', '', 'The same after normalisation '
         '(reward_norm).'),
        ('<actor,critic>_grad_norm', '', 'Norm of the gradient before '
         'clipping.'),
        ('<actor,critic>_lr', '', 'Learning rate, if it follows a schedule.'),
        ('<actor,critic>_loss_scale', '', 'Factor on the loss against '
         'underflow of float16.')),
    *_rows(
        '4 world model',
        ('<key>_loss', 'nats', 'Negative log-likelihood of an observation, '
         'reconstructed.')),
    *_rows(
        '6 speed',
        ('policy_lag', 'gradient steps', 'By how many the weights of an action '
         'in collectors were behind when its episode came: mean since the last '
         'row.'),
        ('policy_lag_max', 'gradient steps', 'The largest.'),
        ('fps', 'steps per second, times action repeat', 'Speed since the '
         'last row, evaluations included.'),
        ('fps_env', 'steps per second', 'The same without action repeat.'),
        ('time_total', 'seconds', 'That the run took; pauses between starts '
         'are left out.'),
        ('time_eval', 'seconds', 'Those of time_total in evaluations.'),
        ('time_env', 'seconds', 'Waiting for environments, since the last '
         'row.'),
        ('time_policy', 'seconds', 'In the policy, since the last row.'),
        ('time_wait', 'seconds', 'Waiting for gradient steps, since the last '
         'row.'),
        ('time_replay', 'seconds', 'Waiting for batches, since the last row.'),
        ('time_train', 'seconds', 'In gradient steps, which run beside the '
         'rest, since the last row.')),
    *_rows(
        HEALTH,
        ('env_failures', 'count', 'Training environments that failed and were '
         'replaced, since the start.'),
        ('eval_env_failures', 'count', 'The same of evaluation environments.'),
        ('env_dropped', 'count', 'Episodes cut for NaN or infinities, since '
         'the start.'),
        ('env_outside', 'count', 'Rows outside of their space, since the '
         'start.'),
        ('collector_failures', 'count', 'Collectors that died, hung or handed '
         'over what is no episode and were replaced, since the start.'),
        ('collector_repeats', 'count', 'Episodes that a collector handed over '
         'again, dropped, since the start.'),
        ('<train,eval>_episodes_rejected', 'count', 'Episodes too short or '
         'invalid to store, since the start.'),
        ('<train,eval>_episodes_skipped', 'count', 'Stored episodes found '
         'damaged, since the start.'),
        ('checkpoint_failures', 'count', 'Checkpoints that could not be '
         'written, since the start.')),
    *_rows(
        '8 counts',
        ('<train,eval>_total_steps', 'steps', 'Ever stored.'),
        ('<train,eval>_total_episodes', 'episodes', 'Ever stored.'),
        ('<train,eval>_loaded_steps', 'steps', 'Still in replay.'),
        ('<train,eval>_loaded_episodes', 'episodes', 'Still in replay.'),
        ('eval_eps', 'episodes', 'Of an evaluation.'),
        ('collectors', 'count', 'Collectors at work.')),
]

PICTURES = [
    *_rows(
        '2 evaluation',
        ('eval_policy', '', 'The road, or what else the environment draws, in '
         'the first evaluation episode.'),
        ('eval_policy_<key>', '', 'What the policy saw in the first '
         'evaluation episode.')),
    *_rows(
        '3 training',
        ('train_policy_<key>', '', 'What the policy saw in a training '
         'episode.')),
    *_rows(
        '4 world model',
        ('<train,eval>_openl_<key>', '', 'Dreams: the model sees a few frames, '
         'then predicts the rest from the actions alone. Error: gray where '
         'there is none.')),
]


def find(name: str) -> Metric | None:
  """Returns the row of a metric; None of one that is not ours."""
  return _find(name, False)


def find_picture(name: str) -> Metric | None:
  """Returns the row of a picture or film; None of one that is not ours."""
  return _find(name, True)


def markdown() -> str:
  """Returns the table, for docs."""
  lines = []
  for group, text in GROUPS.items():
    rows = [row for row in TABLE if row.group == group]
    if rows:
      lines += [f'**{group}**: {text}', '', '| name | unit | meaning |',
                '|---|---|---|']
      lines += [f'| `{x.name}` | {x.unit} | {x.text} |' for x in rows] + ['']
  return '\n'.join(lines)


@functools.cache
def _find(name, picture):
  for row in PICTURES if picture else TABLE:
    if re.fullmatch(_pattern(row.name), name):
      return row
  return None


def _pattern(name):
  """Returns the regular expression of a name with <placeholders>."""
  parts = re.split(r'<(.*?)>', name)
  for index, part in enumerate(parts):
    parts[index] = re.escape(part) if index % 2 == 0 else (
        f'({part.replace(",", "|")})' if ',' in part else '.+')
  return ''.join(parts)
