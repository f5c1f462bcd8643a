"""Makes an agent that comes with the package, of a run and its evaluation.

Writes the folder NAME into the folder `pretrained` of the package: settings,
weights without optimizer, model card and a GIF of an episode beside its dream.
The checkpoint has to have been evaluated on the scenarios 10000 to 10099
(`dreamerv2 eval --logdir DIR --checkpoint STEP`). Evaluations of the same
scenarios with other settings, such as --eval_lookahead.depth 2, come into the
card, too.
"""

from collections.abc import Mapping, Sequence
import json
import math
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import command

from dreamerv2_tf import config as configlib
from dreamerv2_tf import envs, files, flags
from dreamerv2_tf.config import Config
from dreamerv2_tf.errors import ConfigError, StateError

ROOT = pathlib.Path(__file__).resolve().parents[1]
OWN_SIMULATORS = {
    'highway': 'highway-env', 'atari': 'ale-py', 'dmc': 'dm_control',
    'gym': 'Gymnasium'}
SCENARIOS, EPISODES = 10_000, 100  # Of `dreamerv2 eval`.
FLAGS = {
    'logdir': ('', 'Folder of the run.'),
    'name': ('', 'Name of the agent, such as that of its preset.'),
    'checkpoint': ('best', 'latest, best or the step of a checkpoint.'),
    'outdir': (
        str(ROOT / 'dreamerv2_tf' / 'pretrained'), 'Folder of all agents.'),
    'dtype': ('float16', 'Type in which weights are stored, or float32.'),
    'commit': ('', 'Commit of the code that trained, for the card.'),
    'note': ('', 'Sentence for the limits in the card.'),
    'scenario': (SCENARIOS, 'Scenario of the GIF.'),
    'replace': (False, 'Replace an agent of this name.'),
    'trust': (False, 'Run code of modules that only the folder names.'),
}


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the folder; returns the exit status, as the command does."""
  return command.main(argv, __doc__, FLAGS, _work)


def parse(arguments: Sequence[str]) -> Config:
  """Returns the values of FLAGS.

  Raises:
    ConfigError: a flag is wrong, or the agent exists.
  """
  from dreamerv2_tf.run import weights
  options = command.parse(FLAGS, arguments)
  if not options.logdir:
    raise ConfigError('Give the folder of a run as --logdir.')
  if not re.fullmatch('[a-z][a-z0-9_]*', options.name):
    raise ConfigError(
        "'name' must be small letters, digits and underscores but is "
        f"'{options.name}'.")
  if options.dtype not in weights.DTYPES:
    raise ConfigError(
        f"'dtype' must be one of {', '.join(weights.DTYPES)} but is "
        f"'{options.dtype}'.")
  if options.scenario < 0:
    raise ConfigError(
        f"'scenario' must be at least 0 but is {options.scenario}.")
  if not pathlib.Path(options.outdir).is_dir():
    raise ConfigError(f"'outdir' is no folder: '{options.outdir}'.")
  target = pathlib.Path(options.outdir, options.name)
  if target.exists() and not options.replace:
    raise ConfigError(f'{target} exists. Add --replace to replace it.')
  _check_run(options)
  return options


def _check_run(options):
  folder = pathlib.Path(os.path.expanduser(options.logdir))
  if not (folder / 'checkpoints').is_dir():
    raise ConfigError(f'{folder} holds no run with checkpoints.')
  if options.checkpoint == 'best' and not (
      folder / 'checkpoints' / 'best.json').is_file():
    raise ConfigError(
        f'{folder} has no best checkpoint; give its step, or latest, as '
        '--checkpoint.')


def write(options: Config) -> pathlib.Path:
  """Writes the folder of an agent, whole or not at all.

  What was written is loaded again, and drives in the GIF, before it takes its
  place.

  Args:
    options: values of FLAGS.

  Returns:
    The folder.

  Raises:
    ConfigError: there is no run or no evaluation.
    StateError, EnvError: see `dreamerv2 eval`.
    OSError: the disk is full or the folder not writable.
  """
  from dreamerv2_tf.dreams import show
  from dreamerv2_tf.run import loading, weights
  folder = pathlib.Path(os.path.expanduser(options.logdir))
  agent, config, step = loading.load_agent(
      folder, options.checkpoint, trust=options.trust)
  card = describe(folder, config, step, options)
  card['parameters'] = sum(x.size for x in agent.get_weights().values())
  card['observations'] = list(agent.obs_space)
  outdir = pathlib.Path(options.outdir)
  temp = files.temporary(outdir)
  try:
    temp.mkdir()
    # Exploring only collects, and its networks are left out.
    config.update({'logdir': '', 'expl_behavior': 'greedy'}).save(
        temp / 'config.yaml')
    weights.save(temp, agent, options.dtype)
    files.write_text(temp / weights.CARD, json.dumps(card, indent=2) + '\n')
    agent, config, _ = loading.load_agent(temp, trust=options.trust)
    try:
      show.drive(
          agent, config, temp / 'drive.gif', f'{options.name}, step {step}',
          options.scenario)
    except ConfigError as error:
      print(f'No drive.gif: {error}', file=sys.stderr)
    size = (temp / weights.FILE).stat().st_size
    files.write_text(
        temp / 'card.md', text(card, size, (temp / 'drive.gif').exists()))
    target = outdir / options.name
    if target.exists():
      shutil.rmtree(target)
    temp.rename(target)
  finally:
    shutil.rmtree(temp, ignore_errors=True)
  return target


def describe(
    folder: pathlib.Path, config: Config, step: int,
    options: Config) -> dict[str, Any]:
  """Returns the content of card.json, less what only the agent knows.

  Args:
    folder: of the run.
    config: of the run.
    step: of the checkpoint.
    options: reads `name`, `dtype`, `commit` and `note`.

  Raises:
    ConfigError: there is no evaluation.
    StateError: `run.json` or an evaluation can not be read.
  """
  from dreamerv2_tf.run import rundir
  evaluations = records(folder, step)
  record = _read(folder / 'run.json')
  try:
    history = record['history']
    starts = [_words(entry['argv']) for entry in history]
    presets = [configlib.parse({}, words)[1] for words in starts]
    last = max((i for i, x in enumerate(presets) if x), default=0)
    usual = configlib.resolve(presets[last])
    return {
        'name': options.name, 'task': config.task, 'presets': presets[last],
        'seed': config.seed, 'step': step, 'dtype': options.dtype,
        'commit': options.commit or None, 'shipped_by': _commit(),
        'versions': record['versions'],
        'machine': record.get('machine', {}),
        'simulator': {
            'training': history[-1].get('simulator'),
            'evaluation': _evaluator(config)},
        'command': shlex.join(['dreamerv2', *starts[last]]),
        'settings': {
            key: list(pair) for key, pair in rundir.changed(
                usual.flat, config.flat).items()},
        'changed': [
            {'step': entry['step'], 'keys': entry['changed']}
            for entry in history if entry.get('changed')],
        'evaluations': evaluations, 'note': options.note}
  except (KeyError, IndexError, TypeError) as error:
    raise StateError(
        f"{folder / 'run.json'} lacks what the card tells: {error}.") from error


def records(folder: pathlib.Path, step: int) -> list[dict[str, Any]]:
  """Reads the evaluations of a checkpoint; that without overrides is first.

  Raises:
    ConfigError: there is none without overrides.
    StateError: one can not be read.
  """
  from dreamerv2_tf.run import evaluate
  first = evaluate.record_path(folder, step, SCENARIOS, EPISODES)
  if not first.is_file():
    raise ConfigError(
        f'{folder} has no evaluation of step {step} on the scenarios '
        f'{SCENARIOS} to {SCENARIOS + EPISODES - 1}. Make it: '
        f'dreamerv2 eval --logdir {shlex.quote(str(folder))} --checkpoint '
        f'{step}')
  others = sorted(folder.glob(f'{first.stem}-*.json'))
  result = [_read(path) for path in (first, *others)]
  for path, record in zip((first, *others), result):
    if record.get('episodes') != EPISODES or record.get('step') != step:
      raise StateError(
          f'{path} is not of {EPISODES} episodes of step {step}: scenarios '
          'were left out, or it was edited.')
    record.pop('per_episode', None)
    record.pop('simulator', None)  # What trained: that is told once.
  return result


def text(card: Mapping[str, Any], size: int, gif: bool) -> str:
  """Returns the card for people, Markdown.

  Args:
    card: content of card.json.
    size: of the weights, bytes.
    gif: there is one.
  """
  from dreamerv2_tf.run import export
  name = card['name']
  lines = [
      export.front_matter(name, card['task'], card['evaluations'][0])
      + f'# {name}', '',
      f"Drives `{card['task']}`; {card['parameters']:,} parameters, "
      f"{size / 1e6:.1f} MB as {card['dtype']}, without optimizer.", '']
  lines += [
      '![An episode, and what the world model dreams of it](drive.gif)', '',
  ] * gif
  lines += [
      '## Use', '', '```sh',
      f'dreamerv2 eval --pretrained {name} --episodes 1 --video video.gif',
      '```', '', '```python', 'import dreamerv2_tf as dv2', '',
      f"agent = dv2.load('{name}')",
      'action, state = agent.act(obs, state)  # The state None begins.', '```']
  lines += ['', '## Scores', '', *_scores(card)]
  lines += ['', '## Training', '', *_training(card)]
  lines += ['', '## Limits', '', *_limits(card)]
  return '\n'.join(lines) + '\n'


def wilson(share: float, count: int) -> tuple[float, float]:
  """Returns the 95 % interval of a share of so many, after Wilson."""
  z = 1.96
  middle = share + z * z / (2 * count)
  half = z * math.sqrt(
      share * (1 - share) / count + z * z / (4 * count * count))
  whole = 1 + z * z / count
  return (middle - half) / whole, (middle + half) / whole


def _scores(card):
  lines = [
      f'{EPISODES} episodes, scenarios {SCENARIOS} to '
      f'{SCENARIOS + EPISODES - 1}'
      + (f", in {card['simulator']['evaluation']}"
         if card['simulator']['evaluation'] else '')
      + '; intervals are of 95 %.', '',
      '| settings | return | std | crashes | mean speed | length |',
      '|---|---|---|---|---|---|']
  for record in card['evaluations']:
    low, high = record['return_ci95']
    crash, speed = record['crash_rate'], record['speed_mean']
    if crash is not None:
      bottom, top = wilson(crash, record['episodes'])
      crash = f'{100 * crash:.0f} % ({100 * bottom:.1f} to {100 * top:.1f})'
    words = shlex.join(record['overrides'])
    lines.append('| ' + ' | '.join([
        f'`{words}`' if words else 'as stored',
        f"{record['return_mean']:.2f} ({low:.2f} to {high:.2f})",
        f"{record['return_std']:.2f}", '–' if crash is None else crash,
        '–' if speed is None else f'{speed:.1f} m/s',
        f"{record['length_mean']:.1f}"]) + ' |')
  return lines


def _training(card):
  versions = ', '.join(
      f'{k} {v}' for k, v in card['versions'].items() if v is not None)
  lines = ['```sh', card['command'], '```', '']
  lines += [
      f'- Preset: {" ".join(card["presets"]) or "defaults"}; seed '
      f'{card["seed"]}; checkpoint of step {card["step"]:,}.',
      f'- Commit that trained: {card["commit"] or "not known"}; that wrote '
      f'this card: {card["shipped_by"]}.',
      f'- Versions: {versions}.']
  machine = card['machine']
  if machine:
    lines.append(
        f"- Machine: {machine.get('processor')}, cores used: "
        f"{machine.get('cores')}, {machine.get('memory_gb')} GB.")
  if card['simulator']['training']:
    lines.append(
        f"- Simulator: trained in {card['simulator']['training']}, evaluated "
        f"in {card['simulator']['evaluation']}.")
  lines += [
      f'- From step {entry["step"]:,} on: ' + '; '.join(
          f'`{key}` {_show(new)} instead of {_show(old)}'
          for key, (old, new) in entry['keys'].items()) + '.'
      for entry in card['changed']]
  lines += ['', 'Settings that differ from the preset:', '',
            '| key | preset | here |', '|---|---|---|']
  return lines + [
      f'| `{key}` | {_show(old)} | {_show(new)} |'
      for key, (old, new) in card['settings'].items()]


def _limits(card):
  lines = [
      '- One run with one seed: another seed may end better or worse.',
      '- Scores hold for the task and the settings in `config.yaml`. Other '
      'traffic, roads and frequencies were not tested; other observations do '
      'not fit the networks.',
      '- It crashes: the shares above are of a simulator with simple traffic. '
      'It is made for experiments, not for vehicles.']
  if card['dtype'] != 'float32':
    lines.append(
        f"- Scores are those of the run in float32. Stored as {card['dtype']}, "
        'single episodes may go otherwise.')
  return lines + [f'- {card["note"]}'] * bool(card['note'])


def _show(value):
  if value is None or value == '':
    return '–'
  if isinstance(value, list | tuple):
    return ', '.join(map(_show, value)) or 'none'
  return str(value).replace('|', '\\|')


def _words(argv):
  """Returns the words of a command line without those of one machine."""
  return [
      word for chunk in flags.chunks(
          [word for word in argv[1:] if word != 'train'])
      if flags.split(chunk)[0] not in ('logdir', 'break-lock', 'debug')
      for word in chunk]


def _evaluator(config):
  """Returns what simulates evaluations where it can be another than trained."""
  if not envs.simulator(config.task, config.env):
    return None
  return OWN_SIMULATORS[config.task.partition('_')[0]]


def _commit():
  """Returns the commit of this source tree, with a mark if it was changed."""
  git = lambda *words: subprocess.run(
      ['git', '-C', str(ROOT), *words], capture_output=True, text=True,
      check=True).stdout.strip()
  try:
    return git('rev-parse', 'HEAD') + (
        ' with changes' if git('status', '--porcelain', '-uno') else '')
  except (OSError, subprocess.CalledProcessError):
    return 'unknown'


def _read(path):
  try:
    return files.parse_object(path.read_bytes())
  except (OSError, ValueError) as error:
    raise StateError(f'Can not read {path}: {error}.') from error


def _work(arguments):
  options = parse(arguments)
  with command.writing():
    folder = write(options)
  return [f'Written to {folder}:'] + [
      f'  {path.name:12} {path.stat().st_size:>9,} bytes'
      for path in sorted(folder.iterdir())]


if __name__ == '__main__':
  sys.exit(main())
