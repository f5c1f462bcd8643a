"""Files that appear whole or not at all."""

import errno
import os

import pytest

from dreamerv2_tf import files


@pytest.mark.parametrize('number', [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_disks_that_can_not_sync_folders_are_written_to(
    tmp_path, monkeypatch, number):
  def fsync(handle, fsync=os.fsync):
    if os.path.isdir(f'/proc/self/fd/{handle}'):
      raise OSError(number, os.strerror(number))
    fsync(handle)
  monkeypatch.setattr(os, 'fsync', fsync)
  files.write_text(tmp_path / 'a', 'x')
  assert (tmp_path / 'a').read_text() == 'x'


def test_a_disk_that_fails_to_sync_a_folder_is_an_error(tmp_path, monkeypatch):
  def fsync(handle, fsync=os.fsync):
    if os.path.isdir(f'/proc/self/fd/{handle}'):
      raise OSError(errno.EIO, os.strerror(errno.EIO))
    fsync(handle)
  monkeypatch.setattr(os, 'fsync', fsync)
  with pytest.raises(OSError, match='Input/output error'):
    files.write_text(tmp_path / 'a', 'x')


@pytest.mark.parametrize('number, advice', [
    (errno.ENOSPC, 'free some space'), (errno.EDQUOT, 'free some space'),
    (errno.EFBIG, 'free some space'),
    (errno.ENOENT, 'put the folder back in its place'),
    (errno.EACCES, 'mend that')])
def test_advice_fits_the_error(number, advice):
  assert files.advice(OSError(number, 'x')) == advice


@pytest.mark.parametrize('names', [(), ('{temp}',)])
def test_errors_name_the_file_and_not_the_temporary_one(tmp_path, names):
  def fill(file):
    raise OSError(errno.ENOSPC, 'full', *(
        x.format(temp=file.name) for x in names))

  with pytest.raises(OSError, match='full') as info:
    files.write(tmp_path / 'a', fill)
  assert info.value.filename == str(tmp_path / 'a')
  assert list(tmp_path.iterdir()) == []
