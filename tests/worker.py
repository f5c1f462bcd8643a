"""One of two processes that learn together: a worker of tf.distribute.

    TF_CONFIG=... python worker.py FOLDER STEPS FAULT

Restores the newest checkpoint in FOLDER and saves each step there, if it is the
first worker. FAULT, of the second one at its step 2: kill, stop, term, nan, or
none. Prints the step at which it ended, and the digest of its weights.
"""

import hashlib
import json
import os
import pathlib
import signal
import sys

import numpy as np

from dreamerv2_tf import errors
from dreamerv2_tf.replicas import Replicas
from dreamerv2_tf.run.checkpoint import Checkpoints
from dreamerv2_tf.run.stop import Stop

AT = 2
SIGNALS = {
    'kill': signal.SIGKILL, 'stop': signal.SIGSTOP, 'term': signal.SIGTERM}


def digest(agent):
  weights = agent.get_weights()
  return hashlib.sha256(
      b''.join(weights[k].tobytes() for k in sorted(weights))).hexdigest()


def save(checkpoints, agent, step):
  checkpoints.save(step, agent, {'step': step}, {}, {'spaces': {}})


def main(folder, steps, fault):
  index = json.loads(os.environ['TF_CONFIG'])['task']['index']
  replicas = Replicas.workers(timeout=10)
  import builders  # It makes a tensor, which must come after that.
  agent = builders.agent(replicas=replicas)
  checkpoints = Checkpoints(pathlib.Path(folder), 3, readonly=index > 0)
  record = checkpoints.newest() if list(
      pathlib.Path(folder).glob('0*')) else None
  if record:
    checkpoints.restore(record, agent)
  replicas.check_same(int(agent.train_calls.numpy()), agent.get_weights())
  with Stop() as stop:
    for step in range(int(agent.train_calls.numpy()), steps):
      mine = fault if index and step == AT else ''
      if mine in SIGNALS:
        os.kill(os.getpid(), SIGNALS[mine])
      data = builders.batch(seed=2 * step + index)
      if mine == 'nan':
        data['reward'][1, 1] = np.nan
      agent.train(data)
      if replicas.agree(bool(stop.asked())):
        break
      if not index:
        save(checkpoints, agent, step + 1)
    if replicas.agree(bool(stop.asked())):
      if not index:
        save(checkpoints, agent, int(agent.train_calls.numpy()))
      step = int(agent.train_calls.numpy())
      raise errors.interrupted(stop.asked() or signal.SIGTERM, f'at {step}.')
  print(int(agent.train_calls.numpy()), digest(agent), flush=True)


if __name__ == '__main__':
  try:
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
  except errors.DreamerError as error:
    print(error, file=sys.stderr, flush=True)
    os._exit(error.exit_code)
