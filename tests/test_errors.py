"""What errors of others say on one line."""

import errno

import pytest

from dreamerv2_tf import errors


@pytest.mark.parametrize('text, want', [
    ('a.\nb', 'a'), ('', 'ValueError'), ('{{x}} [Op:Y]', 'ValueError'),
    ('{{function_node __wrapped__SaveV2_device_/job:localhost}} /a/variables; '
     'No space left on device [Op:SaveV2]',
     '/a/variables; No space left on device')])
def test_the_first_line_is_what_a_user_can_read(text, want):
  assert errors.first_line(ValueError(text)) == want


def test_no_place_for_temporary_files_is_an_error_of_the_disk():
  error = errors.for_user(FileNotFoundError(
      errno.ENOENT, "No usable temporary directory found in ['/tmp']"))
  assert isinstance(error, errors.StorageError)
  assert str(error) == (
      "No usable temporary directory found in ['/tmp']; free some space, or "
      'set TMPDIR.')
  missing = FileNotFoundError(errno.ENOENT, 'No such file', 'a')
  assert errors.for_user(missing) is missing
