"""Measures a run: what it trained, what it dreams, how its policy scores."""

import functools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.replay import Replay
from ..report import lines, openloop, scores, video
from . import environments, evaluate
from .evaluator import Evaluation

if TYPE_CHECKING:  # It imports TensorFlow.
  from .parts import Parts

log = logging.getLogger('dreamerv2_tf')


def trained(p: 'Parts') -> int:
  """Returns the number of gradient steps so far."""
  return int(p.agent.train_calls.numpy())


def log_training(p: 'Parts') -> None:
  """Logs the means of the gradient steps, counts, times and predictions."""
  p.progress.due['log'] = False
  p.learner.finish()
  p.logger.add(p.learner.means.take())
  p.logger.add(totals(p.replays['train']), prefix='train')
  p.logger.add({
      **p.collector.driver.stats(),
      'checkpoint_failures': p.session.failures,
      **p.progress.clock.metrics(), **p.learner.take_times(),
      'time_replay': p.datasets['train'].take_wait()})
  report(p, 'train')


def report(p: 'Parts', name: str) -> None:
  """Logs open-loop predictions on episodes of `train` or `eval`."""
  if not p.agent.world_model.heads['decoder'].cnn_keys or (
      not p.replays[name].can_sample):
    return
  with p.terminal.during('reporting'):
    batch = video.clearest(next(p.datasets[f'{name}_report']))
    p.logger.add(openloop.open_loop(
        p.agent.report(batch), p.agent.world_model.CONTEXT), prefix=name)


def evaluate_policy(p: 'Parts') -> tuple[int, list]:
  """Scores the policy as it is now; none of that is time of training.

  Returns:
    The step and the episodes.
  """
  p.learner.finish()
  p.session.leave_if_asked()
  count = p.schedule.eval_eps
  with p.progress.clock.evaluating(), p.terminal.during(
      f'evaluating 0/{count}'):
    episodes, films = run_scenarios(p)
    p.progress.due['eval'] = False
    for episode in episodes:
      p.replays['eval'].add_episode(episode)
    result = scores.summarize(episodes)
    p.logger.add(p.progress.clock.metrics())
    p.logger.add({
        **scores.metrics(result, len(episodes)),
        'env_failures': p.evaluator.pool.failures,
        **totals(p.replays['eval'])}, prefix='eval')
    p.collector.add_videos('eval', episodes[0])
    for film in films.values():
      p.logger.video('eval_policy', np.stack([
          frame.pixels for shot in film for frame in shot.frames]))
    report(p, 'eval')
    # What has learned in prefill alone is no agent that one wants back.
    if trained(p) > p.schedule.pretrain:
      p.session.offer(result['return_mean'])
  best = p.progress.best_step == int(p.progress.step)
  p.say(lines.evaluation(p.logger.step, result, len(episodes), best))
  return int(p.progress.step), episodes


def final_evaluation(
    p: 'Parts', last: tuple[int, list] | None) -> dict[str, Any] | None:
  """Scores the last checkpoint, unless that was done or nobody asked.

  The run does not know of it, as it may go on; the result is in a file of
  its own, as that of the command `eval`.

  Args:
    p: all parts of the run, saved.
    last: of the latest `evaluate_policy`.

  Returns:
    The record of the evaluation, or None.
  """
  step, count = int(p.progress.step), p.schedule.eval_eps
  if not p.schedule.eval_every or not trained(p):
    return None
  seed = environments.EVAL_SEED
  path = evaluate.record_path(p.folder, step, seed, count)
  record = evaluate.read_record(path)
  if record:
    return record
  same = last and last[0] == step
  if not same:
    with p.terminal.during(f'evaluating 0/{count}'):
      last = step, run_scenarios(p).episodes
  episodes = last[1]
  record = evaluate.make_record(p.config, episodes, seed, step)
  try:
    evaluate.write(path, record, episodes)
  except OSError as error:
    log.warning('Can not write %s: %s.', path, error.strerror)
  return record


def run_scenarios(p: 'Parts') -> Evaluation:
  """Runs the fixed scenarios with the mode of the policy."""
  seed = environments.EVAL_SEED
  return p.evaluator(
      functools.partial(p.learner.policy, mode='eval'),
      range(seed, seed + p.schedule.eval_eps))


def totals(replay: Replay) -> dict[str, int]:
  """Returns the counts of a replay that are logged."""
  stats = replay.stats
  names = (
      'total_steps', 'total_episodes', 'loaded_steps', 'loaded_episodes',
      'episodes_rejected', 'episodes_skipped')
  return {name: stats[name] for name in names}
