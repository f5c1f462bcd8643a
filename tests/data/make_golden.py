"""Makes the run folder `golden` and what is to be expected of it.

    python tests/data/make_golden.py

A finished run of this version, as small as can be: the toy `Counter`, whose
return is the number of times that action 1 was taken. Later versions must
resume, evaluate and load it; see tests/run/test_golden.py. If the format of
runs changes, add a folder of another name instead of making this one anew.
Nothing of the machine that made it stays in it.
"""

import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

FLAGS = (
    '--configs debug --task gym_toys:Counter-v0 --env.config.length 20 '
    '--env.obs_scale 1,1e-9,1 --envs 2 --steps 400 --prefill 100 --train_every '
    '2 --log_every 100 --eval_every 200 --checkpoint_every 200 '
    '--checkpoint_keep 1 --seed 0 --rssm.deter 8 --rssm.hidden 8 '
    '--rssm.stoch 2 --rssm.discrete 2 --.*\\.units 8 --.*\\.mlp_layers 8 '
    '--.*_opt\\.lr 1e-2 --actor_ent 1e-4').split()
SEEDS = range(10_000, 10_003)
KEPT = (
    'config.yaml', 'run.json', 'metrics.jsonl', 'train_episodes',
    'eval_episodes', 'checkpoints', 'eval-400-20000-2.json')
LEAD = 0.5  # Nats between the actions, as other machines round differently.


def main():
  """Trains, scrubs and writes."""
  os.environ['PYTHONPATH'] = os.pathsep.join(sys.path[:2])
  from dreamerv2_tf import cli
  with tempfile.TemporaryDirectory() as home:
    os.environ['XDG_STATE_HOME'] = home
    os.chdir(home)
    if status := cli.main(['train', *FLAGS, '--logdir', 'golden']):
      sys.exit(status)
    folder = pathlib.Path('golden')
    scrub(folder)
    weights, actions, lead = act(folder)
    if lead < LEAD:
      sys.exit(f'The actions are {lead:.3f} nats apart: too near.')
    shutil.rmtree(HERE / 'golden', ignore_errors=True)
    for name in KEPT:
      copy = shutil.copytree if (folder / name).is_dir() else shutil.copy2
      (HERE / 'golden').mkdir(exist_ok=True)
      copy(folder / name, HERE / 'golden' / name)
  expected = {
      'weights': weights, 'seeds': list(SEEDS), 'actions': actions,
      'returns': [sum(taken) for taken in actions]}
  (HERE / 'golden.json').write_text(json.dumps(expected) + '\n')


def scrub(folder):
  """Makes neutral what `run.json` says of this machine and moment."""
  record = json.loads((folder / 'run.json').read_text())
  record.update(host='somewhere', machine={
      'processor': 'some', 'cores': 1, 'memory_gb': 1.0, 'system': 'Linux'})
  for start in record['history']:
    start.update(
        host='somewhere', pid=1, time='2000-01-01T00:00:00+00:00',
        argv=['dreamerv2', 'train', *FLAGS, '--logdir', 'golden'])
  (folder / 'run.json').write_text(json.dumps(record, indent=2) + '\n')


def act(folder):
  """Returns digest of weights, actions of each episode, and smallest lead."""
  import gymnasium as gym

  import dreamerv2_tf as dv2
  env = gym.make('toys:Counter-v0', length=20)
  agent = dv2.load(str(folder), trust=True)
  actions, lead = [], np.inf
  for seed in SEEDS:
    obs, _ = env.reset(seed=seed)
    state, done, taken = None, False, []
    while not done:
      action, state = agent.act(obs, state)
      feat = agent.world_model.rssm.get_feat(state.latent)
      low, high = np.sort(agent.actor_critic.actor(feat).logits.numpy()[0])
      lead = min(lead, high - low)
      obs, _, done, _, _ = env.step(action)
      taken.append(int(action))
    actions.append(taken)
  return digest(agent.get_weights()), actions, lead


def digest(weights):
  """SHA-256 of all weights, little-endian, in the order of their names."""
  result = hashlib.sha256()
  for name in sorted(weights):
    array = np.asarray(weights[name])
    result.update(f'{name} {array.shape} {array.dtype}'.encode())
    result.update(array.astype(array.dtype.newbyteorder('<')).tobytes())
  return result.hexdigest()


if __name__ == '__main__':
  main()
