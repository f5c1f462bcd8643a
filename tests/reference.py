"""The networks and losses once more in NumPy: what the tests compare with.

Written from the formulas of the paper and the original, in float64, without
a line of the package. Weights are dictionaries of paths, as `get_weights`
returns them.
"""

import math

import numpy as np

LOG_2PI = math.log(2 * math.pi)


def scramble(module, seed=0, scale=0.5):
  """Gives all weights, biases and norms too, random values; returns them.

  Running magnitudes stay as they are.
  """
  rng = np.random.default_rng(seed)
  weights = {
      k: v if k.endswith('mag') else (
          k.endswith('gamma') + scale * rng.normal(size=v.shape)).astype('f')
      for k, v in module.get_weights().items()}
  module.set_weights(weights)
  return {k: v.astype(np.float64) for k, v in weights.items()}


def part(weights, name):
  """The weights below a path."""
  return {
      k.removeprefix(name + '/'): v for k, v in weights.items()
      if k.startswith(name + '/')}


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def softplus(x):
  return np.log1p(np.exp(x))


def elu(x):
  return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


def log_softmax(x):
  x = x - x.max(-1, keepdims=True)
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


def one_hot_max(x):
  return np.eye(x.shape[-1])[x.argmax(-1)]


def layer_norm(w, x):
  mean = x.mean(-1, keepdims=True)
  var = ((x - mean) ** 2).mean(-1, keepdims=True)
  return (x - mean) / np.sqrt(var + 1e-3) * w['gamma'] + w['beta']


def finish(w, x, act):
  x = x + w['bias']
  if 'norm/gamma' in w:
    x = layer_norm(part(w, 'norm'), x)
  return {'elu': elu, 'none': lambda x: x}[act](x)


def dense(w, x, act='elu'):
  return finish(w, x @ w['kernel'], act)


def conv(w, x, padding, act='elu'):
  """Convolution of stride 2 of x, [N, H, W, C], written as a sum of taps."""
  k = w['kernel'].shape[0]
  out = [-(-n // 2) if padding == 'SAME' else (n - k) // 2 + 1
         for n in x.shape[1:3]]
  if padding == 'SAME':
    total = [max(2 * (m - 1) + k - n, 0) for m, n in zip(out, x.shape[1:3])]
    pads = [(t // 2, t - t // 2) for t in total]
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
  y = 0
  for i in range(k):
    for j in range(k):
      tap = x[:, i:i + 2 * out[0] - 1:2, j:j + 2 * out[1] - 1:2]
      y = y + tap @ w['kernel'][i, j]
  return finish(w, y, act)


def conv_transpose(w, x, size, padding, act='elu'):
  """Every input pixel adds its multiple of the kernel to the output."""
  k, _, depth, _ = w['kernel'].shape
  count, height, width, _ = x.shape
  y = np.zeros([count, 2 * height - 2 + k, 2 * width - 2 + k, depth])
  for i in range(k):
    for j in range(k):
      y[:, i:i + 2 * height - 1:2, j:j + 2 * width - 1:2] += (
          x @ w['kernel'][i, j].T)
  if padding == 'SAME':  # Cut what the convolution of `size` had padded.
    before = [max(2 * (m - 1) + k - n, 0) // 2
              for m, n in zip((height, width), size)]
    y = np.pad(y, [(0, 0), (0, k), (0, k), (0, 0)])
    y = y[:, before[0]:, before[1]:][:, :size[0], :size[1]]
  assert y.shape[1:3] == tuple(size), (y.shape, size)
  return finish(w, y, act)


def stack(w, x, name='dense'):
  i = 0
  while f'{name}{i}/kernel' in w:
    x = dense(part(w, f'{name}{i}'), x)
    i += 1
  return x


def mlp(w, x):
  """Raw output of a head."""
  return dense(part(w, 'out/out'), stack(w, x), 'none')


def gru(w, x, state):
  gates = dense(part(w, 'dense'), np.concatenate([x, state], -1), 'none')
  reset, cand, update = np.split(gates, 3, -1)
  cand = np.tanh(sigmoid(reset) * cand)
  update = sigmoid(update - 1)
  return update * cand + (1 - update) * state


def deter_step(w, stoch, action, deter):
  """Deterministic state from flat stochastic state, action and state."""
  x = dense(part(w, 'img_in'), np.concatenate([stoch, action], -1))
  return gru(part(w, 'gru'), x, deter)


def prior(w, deter, member=0):
  """Raw statistics of the prior."""
  x = dense(part(w, f'img_out{member}'), deter)
  return dense(part(w, f'img_dist{member}'), x, 'none')


def posterior(w, deter, embed):
  """Raw statistics of the posterior."""
  x = dense(part(w, 'obs_out'), np.concatenate([deter, embed], -1))
  return dense(part(w, 'obs_dist'), x, 'none')


def kl_onehot(q, p):
  """KL of one-hot variables with logits [..., S, C], summed over S."""
  q, p = log_softmax(q), log_softmax(p)
  return (np.exp(q) * (q - p)).sum((-2, -1))


def kl_normal(q_mean, q_std, p_mean, p_std):
  """KL of diagonal Gaussians, [..., S], summed over S."""
  return (
      np.log(p_std / q_std)
      + (q_std ** 2 + (q_mean - p_mean) ** 2) / (2 * p_std ** 2) - 0.5).sum(-1)


def entropy_onehot(logits):
  logits = log_softmax(logits)
  return -(np.exp(logits) * logits).sum(-1)


def normal_logp(x, mean, std=1.0):
  return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * LOG_2PI


def bernoulli_logp(x, logit):
  """Log-probability of a target that need not be 0 or 1."""
  return -x * softplus(-logit) - (1 - x) * softplus(logit)


_cdf = np.vectorize(lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2))))


def trunc_normal_logp(x, loc, scale):
  """Log-density of a normal cut to [-1, 1]."""
  inside = _cdf((1 - loc) / scale) - _cdf((-1 - loc) / scale)
  return normal_logp(x, loc, scale) - np.log(inside)


def trunc_normal_entropy(loc, scale):
  """By the midpoint rule."""
  x = (np.arange(4000) + 0.5) / 2000 - 1
  logp = trunc_normal_logp(x, loc[..., None], scale[..., None])
  return -(np.exp(logp) * logp).sum(-1) / 2000


def lambda_return(reward, value, discount, bootstrap, lambda_):
  """The definition: a weighted mean of n-step returns, Equation 4."""
  value = np.concatenate([value, bootstrap[None]], 0)
  length = len(reward)
  targets = []
  for t in range(length):
    target, weight = 0, 1
    for n in range(1, length - t + 1):
      steps, alive = 0, 1
      for i in range(t, t + n):
        steps = steps + alive * reward[i]
        alive = alive * discount[i]
      steps = steps + alive * value[t + n]
      last = n == length - t
      target = target + weight * (1 if last else 1 - lambda_) * steps
      weight *= lambda_
    targets.append(target)
  return np.stack(targets)
