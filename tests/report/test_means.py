"""What is said of observations that networks can hardly read."""

import numpy as np
import pytest

from dreamerv2_tf.report.means import Means, Scales


def advice(*rows):
  scales = Scales()
  for row in rows:
    scales.add('vector', np.float32(row))
  return scales.advice()


@pytest.mark.parametrize('rows, size, remedy', [
    # Root mean squares by hand: sqrt((300 ** 2 + 400 ** 2) / 2).
    ([[300], [-400]], '354 ', 'env.obs_scale 0.003 multiplies'),
    ([[0.003], [0.004]], '0.00354 ', 'env.obs_scale 3e+02 multiplies'),
    ([[100, 90, 0]], '100 ', 'env.obs_scale 0.01 multiplies'),
    ([[0.1, 1e18], [0.1, -1e18]], '1e+18 ', 'one by one in the environment')])
def test_far_from_unit_variance(rows, size, remedy):
  [sentence] = advice(*rows)
  assert "Observation 'vector' is far from unit variance" in sentence
  assert f'has the size {size}' in sentence and remedy in sentence


@pytest.mark.parametrize('rows', [
    [[1, 0, 0], [0, 1, 0]], [[20, 0.01]], [[0, 0]], [[8], [-8]]])
def test_usual_observations_are_not_told(rows):
  assert advice(*rows) == []


@pytest.mark.parametrize('state', [
    {'loss': 'y'}, {'loss': ['x', 1]}, {'loss': [1, 2, 3]}, {'loss': 5},
    {'loss': [1.0, None]}])
def test_states_that_are_no_sums_are_refused_at_once(state):
  with pytest.raises((TypeError, ValueError)):
    Means().load_state(state)
