"""Folders of agents that load anywhere, with a card that the hub understands.

    config.yaml   settings, as in a run folder
    weights.npz   all networks, see `weights`
    card.json     step, order of observations, scores
    README.md     the card: what it is, how to use it, how good it is

The card begins with metadata in YAML that the model pages of Hugging Face
read: name of the library, tags, scores.
"""

from collections.abc import Mapping
import json
import pathlib
import shutil
from typing import Any

from .. import __version__, files, yamlfile
from ..config import Config
from ..errors import ConfigError
from . import environments, evaluate, weights

CARD = 'README.md'


def front_matter(
    name: str, task: str, record: Mapping[str, Any] | None = None) -> str:
  """Returns the metadata of a model card, between its two lines of dashes.

  Args:
    name: of the agent.
    task: `<suite>_<id>`.
    record: of an evaluation, with `return_mean` and `return_std`; None: no
      scores are told.
  """
  world = 'custom' if task == environments.CUSTOM else task.partition('_')[2]
  meta: dict[str, Any] = {
      'library_name': 'dreamerv2_tf', 'license': 'mit',
      'pipeline_tag': 'reinforcement-learning',
      'tags': [
          'reinforcement-learning', 'deep-reinforcement-learning',
          'model-based-reinforcement-learning', 'world-models', 'dreamerv2',
          'tensorflow', world]}
  if record:
    score = f"{record['return_mean']:.2f} +/- {record['return_std']:.2f}"
    metrics = [{
        'type': 'mean_reward', 'name': 'mean_reward', 'value': score,
        'verified': False}]
    if record.get('crash_rate') is not None:
      metrics.append({
          'type': 'crash_rate', 'name': 'crash_rate', 'verified': False,
          'value': round(record['crash_rate'], 4)})
    meta['model-index'] = [{
        'name': name, 'results': [{
            'task': {
                'type': 'reinforcement-learning',
                'name': 'reinforcement-learning'},
            'dataset': {'name': world, 'type': world}, 'metrics': metrics}]}]
  return f'---\n{yamlfile.dump(meta)}---\n'


def write(
    folder: pathlib.Path, agent: Any, config: Config, step: int, *, name: str,
    record: Mapping[str, Any] | None, dtype: str) -> None:
  """Writes the folder, whole or not at all.

  Args:
    folder: new, or empty.
    agent: whose networks are written.
    config: of its run.
    step: of its checkpoint.
    name: of the agent.
    record: of an evaluation, or None.
    dtype: in which weights are stored, see `weights.save`.

  Raises:
    ConfigError: there is something in that folder, or an unknown type.
    StateError: a weight is not finite, or too large for the type.
    OSError: the disk is full or the folder not writable.
  """
  if dtype not in weights.DTYPES:
    raise ConfigError(
        f"'dtype' must be one of {', '.join(weights.DTYPES)} but is {dtype!r}.")
  if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
    raise ConfigError(f'{folder} is not empty. Give a new folder.')
  card = {
      'name': name, 'task': config.task, 'seed': config.seed, 'step': step,
      'dtype': dtype, 'version': __version__,
      'observations': list(agent.obs_space),
      'parameters': sum(x.size for x in agent.get_weights().values()),
      'evaluations': [dict(record)] if record else []}
  folder.parent.mkdir(parents=True, exist_ok=True)
  temp = files.temporary(folder.parent)
  try:
    temp.mkdir()
    # Exploring only collects, and its networks are left out.
    config.update({
        'logdir': '', 'logger.wandb': 'off', 'expl_behavior': 'greedy'}).save(
            temp / 'config.yaml')
    weights.save(temp, agent, dtype)
    files.write_text(temp / weights.CARD, json.dumps(card, indent=2) + '\n')
    size = (temp / weights.FILE).stat().st_size
    files.write_text(temp / CARD, text(card, size))
    temp.rename(folder)
  finally:
    shutil.rmtree(temp, ignore_errors=True)


def text(card: Mapping[str, Any], size: int) -> str:
  """Returns the card, Markdown.

  Args:
    card: content of card.json.
    size: of the weights, bytes.
  """
  named = card['task'] != environments.CUSTOM
  world = f"`{card['task']}`" if named else 'an environment without a name'
  record, = card['evaluations'] or [None]
  lines = [
      front_matter(card['name'], card['task'], record) + f"# {card['name']}",
      '', f"An agent for {world}, trained with DreamerV2 (`dreamerv2_tf` "
      f"{card['version']}) for {card['step']:,} steps, seed {card['seed']}. "
      f"{card['parameters']:,} parameters, {size / 1e6:.1f} MB as "
      f"{card['dtype']}, without optimizer.", '', '## Use', '', '```python',
      'import dreamerv2_tf as dv2', '',
      'agent = dv2.load(FOLDER' + ')' * named + ', env=env)' * (not named)
      + '  # Where the files of this page are.',
      'action, state = agent.act(obs, state)  # The state None begins.',
      '```', '', '## Scores', '', *_scores(record), '', '## Limits', '',
      '- One run with one seed: another seed may end better or worse.',
      '- Scores hold for the settings in `config.yaml`; nothing else was '
      'tried.']
  if card['dtype'] != 'float32':
    lines.append(
        f"- Stored as {card['dtype']}, single episodes may go otherwise than "
        'in the run.')
  return '\n'.join(lines) + '\n'


def find_record(folder: pathlib.Path, step: int) -> dict[str, Any] | None:
  """Returns the evaluation of a checkpoint with the most episodes, if any.

  Those with other settings than the run's do not count.

  Args:
    folder: of the run.
    step: of the checkpoint.
  """
  if weights.held(folder):  # It was exported itself.
    found = weights.read_card(folder).get('evaluations') or [None]
    return found[0]
  found = [
      record for path in sorted(folder.glob(f'eval-{step}-*.json'))
      if (record := evaluate.read_record(path)) and not record.get('overrides')]
  best = max(found, key=lambda x: x['episodes'], default=None)
  return best and {
      k: v for k, v in best.items() if k not in ('per_episode', 'overrides')}


def _scores(record):
  if not record:
    return ['Not measured.']
  count, seed = record['episodes'], record['seed']
  score = f"{record['return_mean']:.2f} ± {record['return_std']:.2f}"
  if record.get('return_ci95'):
    low, high = record['return_ci95']
    score += f' (95 % interval of the mean: {low:.2f} to {high:.2f})'
  lines = [
      f'{count} episodes, scenarios {seed} to {seed + count - 1}:', '',
      f'- return {score}', f"- length {record['length_mean']:.1f} steps"]
  for key, format_ in {
      'crash_rate': lambda x: f'crashes in {100 * x:.0f} % of the episodes',
      'success_rate': lambda x: f'success in {100 * x:.0f} % of the episodes',
      'speed_mean': lambda x: f'mean speed {x:.1f} m/s'}.items():
    if record.get(key) is not None:
      lines.append(f'- {format_(record[key])}')
  return lines
