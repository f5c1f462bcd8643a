"""Names of episode files."""

from dreamerv2_tf.data.episodes import parse


def test_a_name_tells_number_and_steps():
  key = 'ab' * 16
  assert parse(f'000000000012-{key}-30.npz') == (12, 30)
  assert parse(f'20210102T030405-{key}-30.npz') == (None, 30)
  for name in ['foo.npz', f'12-{key}-30.npz', f'000000000012-{key}-x.npz',
               f'000000000012-{key}-30.npz ', f'000000000012-{key}-30.npy']:
    assert parse(name) is None, name
