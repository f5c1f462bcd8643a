import builders
import numpy as np
import pytest
import reference
import tensorflow as tf

from dreamerv2_tf.errors import ConfigError
from dreamerv2_tf.nets.rssm import EnsembleRSSM, reset_rows
from dreamerv2_tf.tfutils import split

B, T, S, C, D, A, E = 2, 4, 3, 3, 4, 2, 5
SEED = tf.constant([3, 4])


def make_rssm(dtype=tf.float32, **kwargs):
  kwargs = {
      'ensemble': 1, 'stoch': S, 'deter': D, 'hidden': 6, 'discrete': C,
      **kwargs}
  rssm = EnsembleRSSM(A, E, **kwargs, init=builders.init(dtype))
  return rssm, reference.scramble(rssm)


def make_inputs(length=T):
  """Embeddings, actions and flags; row 1 begins an episode at time 2."""
  rng = np.random.default_rng(1)
  first = np.zeros([B, length], bool)
  first[1, 2:3] = True
  return (
      tf.constant(rng.normal(size=[B, length, E]), tf.float32),
      tf.constant(rng.normal(size=[B, length, A]), tf.float32),
      tf.constant(first))


def make_state(rssm, seed=2):
  rng = np.random.default_rng(seed)
  return tf.nest.map_structure(
      lambda x: tf.cast(rng.normal(size=x.shape), x.dtype), rssm.initial(B))


def numpy_state(state):
  return {k: v.numpy().astype(np.float64) for k, v in state.items()}


def flat(stoch):
  return stoch.reshape([*stoch.shape[:-2], -1])


def assert_states(got, want, **kwargs):
  assert set(got) == set(want)
  for key, value in want.items():
    np.testing.assert_allclose(got[key], value, err_msg=key, **kwargs)


def one_step(rssm, state, action, embed, is_first, seed=SEED, sample=True):
  """Posterior and prior of one observation, [B, ...]."""
  post = rssm.posterior_step(state, action, embed, is_first, seed, sample)
  state, action = tf.nest.map_structure(
      lambda x: reset_rows(is_first, x), (state, action))
  return post, rssm.img_step(state, action, seed, sample)


@pytest.mark.parametrize('norm', ['none', 'layer'])
def test_one_step_of_discrete_latents(norm):
  rssm, w = make_rssm(norm=norm)
  embed, action, _ = make_inputs()
  state = make_state(rssm)
  post, prior = one_step(
      rssm, state, action[:, 0], embed[:, 0], tf.constant([False, False]),
      sample=False)
  before = numpy_state(state)
  deter = reference.deter_step(
      w, flat(before['stoch']), action[:, 0].numpy(), before['deter'])
  post_logit = reference.posterior(w, deter, embed[:, 0].numpy())
  prior_logit = reference.prior(w, deter)
  for got, logit in ((post, post_logit), (prior, prior_logit)):
    logit = logit.reshape([B, S, C])
    assert_states(got, {
        'deter': deter, 'logit': logit,
        'stoch': reference.one_hot_max(logit)}, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('std_act, function', [
    ('softplus', reference.softplus),
    ('sigmoid', reference.sigmoid),
    ('sigmoid2', lambda x: 2 * reference.sigmoid(x / 2)),
])
def test_one_step_of_gaussian_latents(std_act, function):
  rssm, w = make_rssm(discrete=False, std_act=std_act, min_std=0.2)
  embed, action, _ = make_inputs()
  state = make_state(rssm)
  post, prior = one_step(
      rssm, state, action[:, 0], embed[:, 0], tf.constant([False, False]),
      sample=False)
  before = numpy_state(state)
  deter = reference.deter_step(
      w, before['stoch'], action[:, 0].numpy(), before['deter'])
  for got, raw in (
      (post, reference.posterior(w, deter, embed[:, 0].numpy())),
      (prior, reference.prior(w, deter))):
    assert_states(got, {
        'deter': deter, 'mean': raw[:, :S], 'stoch': raw[:, :S],
        'std': function(raw[:, S:]) + 0.2}, rtol=1e-4, atol=1e-5)
  assert rssm.dim == S + D


def test_samples_follow_the_distributions():
  rssm, _ = make_rssm()
  embed, action, first = make_inputs()
  state = make_state(rssm)
  draw = tf.function(lambda seed: one_step(
      rssm, state, action[:, 0], embed[:, 0], first[:, 0], seed),
      autograph=False)
  draws = [draw(tf.constant([0, i])) for i in range(600)]
  for which in (0, 1):
    stoch = np.mean([d[which]['stoch'] for d in draws], 0)
    probs = np.exp(reference.log_softmax(draws[0][which]['logit'].numpy()))
    np.testing.assert_allclose(stoch, probs, atol=0.08)
  # Posterior and prior are drawn independently.
  together = np.mean([
      d[0]['stoch'].numpy() * d[1]['stoch'].numpy() for d in draws], 0)
  apart = np.prod([
      np.mean([d[i]['stoch'] for d in draws], 0) for i in (0, 1)], 0)
  np.testing.assert_allclose(together, apart, atol=0.08)


@pytest.mark.parametrize('discrete', [C, False])
def test_the_loop_equals_single_steps_in_values_and_gradients(discrete):
  rssm, _ = make_rssm(discrete=discrete)
  embed, action, first = make_inputs()
  start = make_state(rssm)
  stats = ['logit'] if discrete else ['mean', 'std']
  rng = np.random.default_rng(5)
  weigh = {}

  def objective(post, prior):
    """A random linear function of everything that losses depend on."""
    total = 0
    for name, state in (('post', post), ('prior', prior)):
      for key in stats + ['deter'] + ['stoch'] * (name == 'post'):
        weight = weigh.setdefault(
            (name, key), rng.normal(size=state[key].shape).astype('f'))
        total += tf.reduce_sum(weight * state[key])
    return total

  def single_steps():
    state, states = start, []
    seeds = tf.random.split(split(SEED, 3)[0], T)  # As `observe` draws them.
    for t in range(T):
      state, prior = one_step(
          rssm, state, action[:, t], embed[:, t], first[:, t], seeds[t])
      states.append((state, prior))
    return tf.nest.map_structure(lambda *xs: tf.stack(xs, 1), *states)

  loop = tf.function(
      lambda: rssm.observe(embed, action, first, start, SEED),
      autograph=False)
  results = []
  for function in (loop, single_steps):
    with tf.GradientTape() as tape:
      tape.watch([embed, action, start])
      post, prior = function()
      value = objective(post, prior)
    sources = [embed, action, start['stoch'], start['deter'],
               *rssm.named_variables().values()]
    results.append((post, prior, tape.gradient(value, sources)))
  (post, prior, grads), (want_post, want_prior, want_grads) = results
  assert_states(post, want_post, rtol=1e-5, atol=1e-6)
  for key in stats + ['deter']:
    np.testing.assert_allclose(
        prior[key], want_prior[key], rtol=1e-5, atol=1e-6)
  for got, want in zip(grads, want_grads):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_gradients_of_one_step_equal_finite_differences():
  rssm, w = make_rssm()
  embed, action, _ = make_inputs()
  state = make_state(rssm)
  weight = np.random.default_rng(5).normal(size=[2, B, S * C])

  def numpy_value(shift, key):
    x = numpy_state(state) | {
        'action': action[:, 0].numpy().astype(np.float64),
        'embed': embed[:, 0].numpy().astype(np.float64)}
    x[key].ravel()[1] += shift
    deter = reference.deter_step(w, flat(x['stoch']), x['action'], x['deter'])
    return (
        weight[0] * reference.posterior(w, deter, x['embed'])
        + weight[1] * reference.prior(w, deter)).sum()

  sources = {
      'stoch': state['stoch'], 'deter': state['deter'],
      'action': action[:, 0], 'embed': embed[:, 0]}
  with tf.GradientTape() as tape:
    tape.watch(sources)
    before = state | {k: sources[k] for k in ('stoch', 'deter')}
    states = one_step(
        rssm, before, sources['action'], sources['embed'],
        tf.constant([False, False]))
    value = tf.add_n([
        tf.reduce_sum(x * tf.reshape(s['logit'], x.shape))
        for x, s in zip(weight.astype('f'), states)])
  for key, grad in tape.gradient(value, sources).items():
    want = (numpy_value(1e-4, key) - numpy_value(-1e-4, key)) / 2e-4
    np.testing.assert_allclose(
        grad.numpy().ravel()[1], want, rtol=1e-3, atol=1e-3, err_msg=key)


@pytest.mark.parametrize('discrete', [C, False])
def test_is_first_forgets_state_and_action_even_nan(discrete):
  rssm, _ = make_rssm(discrete=discrete)
  embed, action, _ = make_inputs()
  state = tf.nest.map_structure(
      lambda x: tf.concat([x[:1], tf.fill(x[1:].shape, np.nan)], 0),
      make_state(rssm))
  action = tf.concat([action[:1, 0], tf.fill([1, A], np.nan)], 0)
  with tf.GradientTape() as tape:
    post, prior = one_step(
        rssm, state, action, embed[:, 0], tf.constant([False, True]),
        sample=False)
    loss = tf.add_n([
        tf.reduce_sum(v) for s in (post, prior) for v in s.values()])
  fresh = one_step(
      rssm, rssm.initial(B), tf.zeros([B, A]), embed[:, 0],
      tf.constant([False, False]), sample=False)
  carried = one_step(
      rssm, tf.nest.map_structure(lambda x: tf.concat([x[:1]] * B, 0), state),
      tf.concat([action[:1]] * B, 0), embed[:, 0],
      tf.constant([False, False]), sample=False)
  for got, want, other in zip((post, prior), fresh, carried):
    for key in got:
      np.testing.assert_allclose(got[key][1], want[key][1], rtol=1e-6)
      np.testing.assert_allclose(got[key][0], other[key][0], rtol=1e-6)
  for grad in tape.gradient(loss, list(rssm.named_variables().values())):
    assert np.isfinite(grad).all()


def saturate(rssm):
  """Makes the posterior so sure that its samples do not depend on seeds."""
  weights = rssm.get_weights()
  weights['obs_dist/kernel'] *= 1e4
  rssm.set_weights(weights)


def test_two_batches_with_a_carried_state_equal_one_long_sequence():
  rssm, _ = make_rssm()
  saturate(rssm)
  embed, action, first = make_inputs(6)
  whole, _ = rssm.observe(embed, action, first, None, SEED)
  probs = np.exp(reference.log_softmax(whole['logit'].numpy()))
  assert probs.max(-1).min() > 0.9999
  state, parts = None, []
  for i, part in enumerate((slice(0, 1), slice(1, 4), slice(4, 6))):
    post, _ = rssm.observe(
        embed[:, part], action[:, part], first[:, part], state, SEED + i)
    state = tf.nest.map_structure(lambda x: x[:, -1], post)
    parts.append(post)
  joined = tf.nest.map_structure(lambda *xs: tf.concat(xs, 1), *parts)
  assert_states(joined, whole, rtol=1e-4, atol=1e-4)
  # The state matters: without it the second part differs.
  lost, _ = rssm.observe(
      embed[:, 1:4], action[:, 1:4], first[:, 1:4], None, SEED)
  assert not np.allclose(lost['deter'][:, 0], whole['deter'][:, 1], atol=1e-3)


def test_is_first_within_a_sequence_cuts_it():
  rssm, _ = make_rssm()
  saturate(rssm)
  embed, action, first = make_inputs()
  whole, _ = rssm.observe(embed, action, first, None, SEED)
  alone, _ = rssm.observe(
      embed[1:, 2:], tf.zeros([1, 2, A]) + [[[0.0] * A, action[1, 3]]],
      first[1:, 2:], None, SEED)
  np.testing.assert_allclose(
      whole['deter'][1:, 2:], alone['deter'], rtol=1e-4, atol=1e-5)


def test_imagined_sequences():
  rssm, w = make_rssm()
  _, action, _ = make_inputs()
  start = make_state(rssm)
  got = numpy_state(rssm.imagine(action, start, SEED))
  assert got['stoch'].shape == (B, T, S, C)
  assert set(np.unique(got['stoch'])) == {0.0, 1.0}
  state = numpy_state(start)
  for t in range(T):
    deter = reference.deter_step(
        w, flat(state['stoch']), action[:, t].numpy(), state['deter'])
    logit = reference.prior(w, deter).reshape([B, S, C])
    np.testing.assert_allclose(got['deter'][:, t], deter, atol=1e-5)
    np.testing.assert_allclose(got['logit'][:, t], logit, atol=1e-4)
    state = {'deter': deter, 'stoch': got['stoch'][:, t]}
  zeros = rssm.imagine(action, rssm.initial(B), SEED)
  assert_states(rssm.imagine(action, None, SEED), zeros)


def test_every_step_uses_one_prior_of_the_ensemble():
  members = 3
  rssm, w = make_rssm(ensemble=members)
  embed, action, first = make_inputs(24)

  def chosen(deter, logit):
    """Which member made these logits of all rows."""
    errors = [
        np.abs(reference.prior(w, deter, i) - flat(logit)).max()
        for i in range(members)]
    assert min(errors) < 1e-3 and sorted(errors)[1] > 1e-2
    return int(np.argmin(errors))

  draws = []
  _, prior = rssm.observe(embed, action, first, None, SEED)
  draws.append([
      chosen(prior['deter'].numpy()[:, t], prior['logit'].numpy()[:, t])
      for t in range(24)])
  prior = rssm.imagine(action, None, SEED)
  draws.append([
      chosen(prior['deter'].numpy()[:, t], prior['logit'].numpy()[:, t])
      for t in range(24)])
  for draw in draws:
    counts = np.bincount(draw, minlength=members)
    assert counts.min() >= 3, counts
  prior = rssm.img_step(rssm.initial(B), action[:, 0], SEED)
  chosen(prior['deter'].numpy(), prior['logit'].numpy())


@pytest.mark.parametrize('discrete', [C, False])
def test_only_the_prior_that_was_used_learns_from_a_step(discrete):
  members, length = 3, 12
  rssm, w = make_rssm(ensemble=members, discrete=discrete)
  embed, action, first = make_inputs(length)
  key = 'logit' if discrete else 'mean'
  shape = [S, C] if discrete else [S]
  rng = np.random.default_rng(6)
  weight = rng.normal(size=[B, length, *shape])

  def errors(state):
    """How far what each member says is from the prior: [members, times]."""
    said = [reference.prior(w, state['deter'].numpy(), i)
            for i in range(members)]
    got = state[key].numpy().reshape([B, length, -1])
    return np.array([
        np.abs(x[..., :got.shape[-1]] - got).max((0, 2)) for x in said])

  # No gradient through time, which would reach the members before.
  draw = rssm._sample
  rssm._sample = lambda *args: tf.stop_gradient(draw(*args))
  # In training and in imagination.
  for roll in (
      lambda: rssm.observe(embed, action, first, None, SEED)[1],
      lambda: rssm.imagine(action, None, SEED)):
    biases = [layer.named_variables()['bias'] for layer in rssm.img_dist]
    with tf.GradientTape() as tape:
      state = roll()
      loss = tf.reduce_sum(weight.astype('f') * state[key])
    grads = tape.gradient(loss, biases)
    used = errors(state).argmin(0)
    assert {*used} == {0, 1, 2}
    for i, grad in enumerate(grads):
      want = weight[:, used == i].sum((0, 1)).ravel()
      np.testing.assert_allclose(
          grad.numpy()[:want.size], want, rtol=1e-4, atol=1e-5)


def test_with_a_seed_for_each_row_rows_do_not_touch_each_other():
  rssm, _ = make_rssm()
  embed, action, first = make_inputs()
  state = make_state(rssm)
  seeds = tf.constant([[7, 1], [7, 2]])
  both = rssm.posterior_step(
      state, action[:, 0], embed[:, 0], first[:, 0], seeds)
  for row in range(B):
    pick = lambda x, row=row: x[row:row + 1]
    alone = rssm.posterior_step(
        tf.nest.map_structure(pick, state), pick(action[:, 0]),
        pick(embed[:, 0]), pick(first[:, 0]), pick(seeds))
    assert_states(
        alone, tf.nest.map_structure(pick, both), rtol=1e-5, atol=1e-6)


def test_samples_are_straight_through_and_modes_are_not():
  rssm, _ = make_rssm()
  rng = np.random.default_rng(0)
  logit = tf.constant(rng.normal(size=[B, S, C]), tf.float32)
  kernel = rng.normal(size=[S, C]).astype('f')
  with tf.GradientTape() as tape:
    tape.watch(logit)
    dist = rssm.get_dist({'logit': logit})
    loss = tf.reduce_sum(kernel * dist.sample(seed=SEED))
  probs = np.exp(reference.log_softmax(logit.numpy()))
  mean = (probs * kernel).sum(-1, keepdims=True)
  np.testing.assert_allclose(
      tape.gradient(loss, logit), probs * (kernel - mean), rtol=1e-4,
      atol=1e-6)
  with tf.GradientTape() as tape:
    tape.watch(logit)
    mode = rssm.get_dist({'logit': logit}).mode()
  assert tape.gradient(mode, logit) is None


def test_features_are_stochastic_then_deterministic():
  rssm, _ = make_rssm()
  state = make_state(rssm)
  feat = rssm.get_feat(state)
  assert feat.shape == [B, rssm.dim] and rssm.dim == S * C + D
  np.testing.assert_array_equal(feat[:, :S * C], flat(state['stoch'].numpy()))
  np.testing.assert_array_equal(feat[:, S * C:], state['deter'])


@pytest.mark.parametrize('dtype', [tf.float16, tf.bfloat16])
@pytest.mark.parametrize('discrete', [C, False])
def test_half_precision_keeps_statistics_in_float32(dtype, discrete):
  rssm, _ = make_rssm(dtype, discrete=discrete)
  embed, action, first = make_inputs()
  states = rssm.observe(tf.cast(embed, dtype), action, first, None, SEED)
  for state in (*states, rssm.initial(B), rssm.imagine(action, None, SEED)):
    for key, value in state.items():
      want = dtype if key in ('stoch', 'deter') else tf.float32
      assert value.dtype == want, key
    assert rssm.get_feat(state).dtype == dtype


HALF, TENTH = np.log([0.5, 0.5]), np.log([0.9, 0.1])
# KL(half || tenth) and the other direction.
FORTH = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
BACK = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)


def logits(x):
  return {'logit': tf.constant(x, tf.float32)}


@pytest.mark.parametrize('q, p, want', [
    (HALF, TENTH, FORTH), (TENTH, HALF, BACK), (HALF, HALF, 0)])
def test_kl_by_hand(q, p, want):
  rssm, _ = make_rssm(stoch=1, discrete=2)
  np.testing.assert_allclose(
      rssm.kl(logits([[[q]]]), logits([[[p]]])), [[want]], rtol=1e-5,
      atol=1e-7)


def test_kl_sums_over_latents():
  post, prior = np.random.default_rng(0).normal(size=[2, B, T, S, C])
  rssm, _ = make_rssm()
  np.testing.assert_allclose(
      rssm.kl(logits(post), logits(prior)), reference.kl_onehot(post, prior),
      rtol=1e-4)


def test_kl_of_gaussians():
  rng = np.random.default_rng(0)
  rssm, _ = make_rssm(discrete=False)
  post, prior = (
      {'mean': rng.normal(size=[B, T, S]),
       'std': rng.uniform(0.2, 2, size=[B, T, S])} for _ in range(2))
  value = rssm.kl(*tf.nest.map_structure(
      lambda x: tf.constant(x, tf.float32), (post, prior)))
  want = reference.kl_normal(
      post['mean'], post['std'], prior['mean'], prior['std'])
  np.testing.assert_allclose(value, want, rtol=1e-4)


def test_gradients_of_the_kl():
  rng = np.random.default_rng(0)
  rssm, _ = make_rssm()
  q, p = (logits(x) for x in rng.normal(size=[2, B, T, S, C]))
  with tf.GradientTape() as tape:
    tape.watch([q, p])
    value = rssm.kl(q, p)
  to_q, to_p = tape.gradient(value, [q['logit'], p['logit']])
  q, p = (reference.log_softmax(x['logit'].numpy()) for x in (q, p))
  # d KL(q || p): q * (log q - log p - KL) to its logits, p - q to the other's.
  kl = (np.exp(q) * (q - p)).sum(-1, keepdims=True)
  np.testing.assert_allclose(
      to_q, np.exp(q) * (q - p - kl), rtol=1e-3, atol=1e-6)
  np.testing.assert_allclose(
      to_p, np.exp(p) - np.exp(q), rtol=1e-3, atol=1e-6)


def test_settings_out_of_range():
  with pytest.raises(ConfigError, match="sigmoid2 but is 'exp'"):
    make_rssm(std_act='exp')
