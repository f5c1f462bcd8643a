"""What errors of others say on one line."""

import pytest

from dreamerv2_tf import errors


@pytest.mark.parametrize('text, want', [
    ('a.\nb', 'a'), ('', 'ValueError'), ('{{x}} [Op:Y]', 'ValueError'),
    ('{{function_node __wrapped__SaveV2_device_/job:localhost}} /a/variables; '
     'No space left on device [Op:SaveV2]',
     '/a/variables; No space left on device')])
def test_the_first_line_is_what_a_user_can_read(text, want):
  assert errors.first_line(ValueError(text)) == want
