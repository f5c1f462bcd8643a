"""Toy Gymnasium environments: deterministic, quick, and broken on demand.

With this folder on the path they are the tasks `gym_toys:Counter-v0`,
`gym_toys:Blind-v0`, `gym_toys:Dark-v0`, `gym_toys:Image-v0`,
`gym_toys:Dict-v0`, `gym_toys:Names-v0`, `gym_toys:Continuous-v0`,
`gym_toys:Fault-v0` and `gym_toys:Plan-v0`; keys of
`env.config` are their constructor arguments.
"""

import collections
import os
import random
import signal
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np


class Counter(gym.Env):
  """Observes (step, seed, last action) / 10; rewards action 1 over action 0.

  Ends by termination (or truncation) after `length` steps.
  """

  metadata = {'render_modes': ['rgb_array'], 'render_fps': 5}

  def __init__(
      self, length=5, terminal=True, actions=2, close_fault=False,
      render_mode=None):
    self.close_fault = close_fault
    self.render_mode = render_mode
    self.observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    self.action_space = gym.spaces.Discrete(actions)
    self.length = length
    self.terminal = terminal
    self.count = self.seed = self.action = 0

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.count, self.seed, self.action = 0, seed or 0, 0
    return self.observe(), {}

  def step(self, action):
    self.count += 1
    self.action = action
    done = self.count >= self.length
    return (self.observe(), self.reward(action), done and self.terminal,
            done and not self.terminal, {})

  def close(self):
    if self.close_fault == 'exit':
      sys.exit(3)
    if self.close_fault:
      raise ValueError('the door is stuck')

  def reward(self, action):
    return float(np.mean(action))

  def observe(self):
    return np.array(
        [self.count, self.seed, float(np.mean(self.action))], np.float32) / 10

  def render(self):
    return np.full((8, 12, 3), self.count, np.uint8)


class Blind(Counter):
  """Shows itself on a screen alone."""

  metadata = {'render_modes': ['human'], 'render_fps': 5}

  def render(self):
    return None


class Dark(Counter):
  """Knows nothing of rendering."""

  metadata = {}

  def __init__(self, length=5):
    super().__init__(length=length)

  render = gym.Env.render


class Image(Counter):
  """A 16 by 16 picture with a white column that shows the step."""

  def __init__(self, size=(16, 16), **kwargs):
    super().__init__(**kwargs)
    self.size = tuple(size)
    self.observation_space = gym.spaces.Box(0, 255, (*self.size, 1), np.uint8)

  def observe(self):
    image = np.zeros((*self.size, 1), np.uint8)
    image[:, self.count % self.size[1]] = 255
    return image


class Dict(Counter):
  """An image and vectors in a nested Dict space, a Discrete part among them."""

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.observation_space = gym.spaces.Dict({
        'camera': gym.spaces.Box(0, 255, (16, 16, 3), np.uint8),
        'car': gym.spaces.Dict({
            'pose': gym.spaces.Box(-10, 10, (2, 2), np.float64),
            'gear': gym.spaces.Discrete(3, start=-1)})})

  def observe(self):
    return {
        'camera': np.full((16, 16, 3), self.count, np.uint8),
        'car': {'pose': np.full((2, 2), self.count / 2),
                'gear': self.count % 3 - 1}}


class Names(Counter):
  """Vectors under keys that are odd as names of files, metrics or tensors."""

  KEYS = ('_pose', 'a/b', 'a', 'x y', '..', 'ü', '{}%s', '.ATTRIBUTES', 'b.npy')

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.observation_space = gym.spaces.Dict(
        dict.fromkeys(self.KEYS, self.observation_space))

  def observe(self):
    return {key: super(Names, self).observe() for key in self.KEYS}


class Continuous(Counter):
  """Two actions, in [0, 4] and [-2, 2]; the reward is their mean."""

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.action_space = gym.spaces.Box(
        np.array([0, -2], np.float32), np.array([4, 2], np.float32))


class Fault(Counter):
  """A Counter that breaks in one way at step `at` of some episodes.

  Args:
    fault: what goes wrong; see the code.
    at: step of the fault; 0 is the reset.
    seeds: seeds of the episodes concerned; empty: all but the 0 of checks.
    once: path of a file; the fault happens only while it does not exist, and
      creates it.
  """

  def __init__(self, fault='raise', at=3, seeds=(), once=None, **kwargs):
    super().__init__(**kwargs)
    self.fault, self.at, self.seeds, self.once = fault, at, seeds, once
    if fault == 'outside':
      self.observation_space = gym.spaces.Box(-1, 100, (3,), np.float32)
    if fault == 'image':
      self.observation_space = gym.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    if fault == 'key':
      self.observation_space = gym.spaces.Dict(
          a=self.observation_space, b=self.observation_space)
    if fault == 'constructor':
      raise ValueError('no such map')
    if fault == 'exiting constructor':
      sys.exit(0)
    if fault == 'hanging constructor':
      with open(once, 'w'):
        time.sleep(3600)

  def reset(self, *, seed=None, options=None):
    obs, info = super().reset(seed=seed)
    if self.fault == 'print':
      print('x' * 10_000_000)
      os.write(1, b'y' * 100_000)
      os.write(2, b'z' * 10_000_000)
    if self.due():
      self.break_down()
      obs = self.spoil(obs)
    return obs, info

  def step(self, action):
    obs, reward, terminated, truncated, info = super().step(action)
    if not self.due():
      return obs, reward, terminated, truncated, info
    self.break_down()
    reward = {'nan reward': np.nan, 'inf reward': np.inf,
              'no reward': None}.get(self.fault, reward)
    if self.fault == 'truncated':
      truncated = 'no'
    if self.fault == 'old':
      return obs, reward, terminated, info
    return self.spoil(obs), reward, terminated, truncated, info

  def observe(self):
    if self.fault == 'image':
      return np.full((16, 16, 3), self.count, np.uint8)
    if self.fault == 'key':
      return {'a': super().observe(), 'b': super().observe()}
    return super().observe()

  def due(self):
    if self.count != self.at or self.once and os.path.exists(self.once):
      return False
    if self.seed in self.seeds or not self.seeds and self.seed:
      if self.once:
        with open(self.once, 'w'):
          pass
      return True
    return False

  def break_down(self):
    if self.fault == 'raise':
      raise ValueError('the wheel came off')
    if self.fault == 'exit':
      os._exit(7)
    if self.fault == 'sys.exit':
      sys.exit(3)
    if self.fault == 'segfault':
      os.kill(os.getpid(), signal.SIGSEGV)
    if self.fault == 'stop':
      os.kill(os.getpid(), signal.SIGSTOP)
    if self.fault == 'deaf':
      signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if self.fault in ('hang', 'deaf'):
      time.sleep(3600)

  def spoil(self, obs):
    if self.fault == 'nan':
      obs[1] = np.nan
    if self.fault == 'inf':
      obs[2] = np.inf
    if self.fault == 'outside':
      obs[2] = -8
    if self.fault == 'shape':
      obs = obs[:2]
    if self.fault == 'dtype':
      obs = np.array(['a', 'b', 'c'])
    if self.fault == 'image':
      obs = obs / np.float32(255)
    if self.fault == 'key':
      del obs['b']
    return obs


class Plan(Fault):
  """Breaks, or sends signals to the trainer, at planned moments; reward 1.

  Args:
    folder: counts the visits of each seed there, over all processes, and
      gets a file `<seed>-now` at the moment of a fault.
    plan: triples (seed, which visit of it, fault); at step `at`.
    seconds: duration of each step.
  """

  def __init__(self, folder='', plan=(), seconds=0.0, **kwargs):
    super().__init__(fault='', **kwargs)
    self.folder = folder
    self.plan = {(seed, visit): fault for seed, visit, fault in plan}
    self.seconds = seconds

  def reset(self, *, seed=None, options=None):
    self.fault = ''
    if any(seed == planned for planned, _ in self.plan):
      with open(os.path.join(self.folder, str(seed)), 'a') as file:
        file.write('x')
        self.fault = self.plan.get((seed, file.tell()), '')
    return super().reset(seed=seed)

  def step(self, action):
    time.sleep(self.seconds)
    return super().step(action)

  def reward(self, action):
    return 1.0

  def break_down(self):
    if self.fault:
      with open(os.path.join(self.folder, f'{self.seed}-now'), 'w'):
        pass
    if self.fault.startswith('SIG'):
      os.kill(os.getppid(), getattr(signal, self.fault))
    super().break_down()


class Dice(Counter):
  """Observes numbers of the global generators; shows that it began there."""

  def observe(self):
    return np.array(
        [self.count, random.random(), np.random.random()], np.float32)


class Keys(Counter):
  """A vector for each key of a variable of the environment, in that order."""

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.keys = os.environ['TOY_KEYS'].split()
    box = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    self.observation_space = gym.spaces.Dict(
        collections.OrderedDict((key, box) for key in self.keys))

  def observe(self):
    return {
        key: np.array([self.count / 10, -len(key)], np.float32)
        for key in self.keys}


class Board(Fault):
  """Draws a number from each global generator while it is built; observes."""

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.drawn = random.random(), np.random.random()

  def observe(self):
    return np.array([self.count, *self.drawn], np.float32)


class Family(Fault):
  """Starts a process that outlives it; writes its id to a file."""

  def __init__(self, folder='', **kwargs):
    super().__init__(**kwargs)
    child = subprocess.Popen(['sleep', '600'])
    with open(os.path.join(folder, str(child.pid)), 'w'):
      pass


class Nomad(Counter):
  """Goes to the folder of its files, as some simulators do."""

  def __init__(self, folder='', **kwargs):
    super().__init__(**kwargs)
    os.chdir(folder)


class Wordy(Counter):
  """Observes words."""

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.observation_space = gym.spaces.Text(5)


class Old(Counter):
  """The API of old Gym: no info from reset, no seed, 4 values from step."""

  def reset(self):
    self.count = 0
    return self.observe()

  def step(self, action):
    obs, reward, done, _, info = super().step(action)
    return obs, reward, done, info


class Sloppy(Counter):
  """Breaks each promise on the results of step."""

  def step(self, action):
    return self.observe(), None, 0, 'no', []


for _cls in (Counter, Blind, Dark, Image, Dict, Names, Continuous, Dice, Board,
             Keys, Fault, Family, Plan, Nomad, Wordy, Old, Sloppy):
  gym.register(f'{_cls.__name__}-v0', f'toys:{_cls.__name__}')
gym.register('Limited-v0', 'toys:Counter', max_episode_steps=3)
