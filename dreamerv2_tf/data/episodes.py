"""Episode files: what they are called, and what an npz file holds.

`<sequence number>-<uuid>-<steps>.npz`, one complete episode each; steps are
rows - 1. `<timestamp>-<uuid>-<steps>.npz` files are read, too: those of the
original, and of other programs, some of which name the number of rows; see
`layout`.

Ours are npz files without compression. A compressed one must be decoded from
its beginning to its end for any rows, 6 to 19 ms for 1,000 images of 64x64;
of an uncompressed one the wanted rows alone are read, in 0.1 ms, so a replay
larger than RAM stays fast. The price is disk space: 4 kB per 64x64 image.
"""

from collections.abc import Mapping
import io
import math
import re
import struct
from typing import BinaryIO
import zipfile

import numpy as np

from .layout import EpisodeError

NAME = re.compile(
    r'([0-9]{12,}|[0-9]{8}T[0-9]{6})-'  # The number has no end.
    r'(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-'
    r'([0-9]{1,9})[.]npz')
MAX_MEMBERS = 1000  # Arrays in one file.
HEADER_BYTES = 16384  # More than any npy header of numbers takes.


class DamageError(EpisodeError):
  """A file that is not whole or no file of arrays, of whatever meaning."""


def parse(name: str) -> tuple[int | None, int] | None:
  """Splits a file name.

  Returns:
    Sequence number, None for files of others, and number of steps, or of rows
    in the files of some; None if the name is not that of an episode.
  """
  match = NAME.fullmatch(name)
  if not match:
    return None
  head, steps = match.groups()
  return (None if 'T' in head else int(head)), int(steps)


def by_age(name: str) -> tuple[bool, int, str]:
  """Sorts from old to new: files of others come first, clocks aside."""
  return 'T' not in name, name.index('-'), name  # More digits: later.


def write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes an npz file without compression, whatever the arrays are called.

  Names of arguments, which `np.savez` takes for its own, are names like others.

  Raises:
    ValueError: an array would have to be pickled.
  """
  with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
    for key, value in arrays.items():
      with archive.open(f'{key}.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, value, allow_pickle=False)


class Member:
  """One array of an npz file: its header, and where its values are.

  Attributes:
    shape, dtype: of the array.
    fortran: whether values lie in the order of Fortran.
    row_bytes: size of a row.
    offset: of row 0 in the file, bytes; None if rows can not be read alone.
  """

  def __init__(
      self, file: BinaryIO, archive: zipfile.ZipFile, info: zipfile.ZipInfo):
    """Reads the header; raises DamageError if it is none of numbers."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      raise DamageError(f'{info.filename} has an unknown compression')
    with archive.open(info) as member:
      head = io.BytesIO(member.read(HEADER_BYTES))
    version = np.lib.format.read_magic(head)
    if version == (1, 0):
      header = np.lib.format.read_array_header_1_0(head)
    elif version == (2, 0):
      header = np.lib.format.read_array_header_2_0(head)
    else:
      raise DamageError(f'{info.filename} has npy version {version}')
    self.shape, self.fortran, self.dtype = header
    if self.dtype.hasobject:
      raise DamageError(f'{info.filename} holds pickled objects')
    size = math.prod(self.shape) * self.dtype.itemsize
    if min(self.shape, default=0) < 0 or head.tell() + size != info.file_size:
      raise DamageError(
          f'{info.filename} claims {self.shape} {self.dtype} but has '
          f'{info.file_size} bytes')
    self._info = info
    self._start = head.tell()
    self.row_bytes = size // self.shape[0] if self.shape and size else 0
    self.offset = None
    if info.compress_type == zipfile.ZIP_STORED and not (
        self.fortran and len(self.shape) > 1):
      file.seek(info.header_offset + 26)
      lengths = sum(struct.unpack('<HH', file.read(4)))
      self.offset = info.header_offset + 30 + lengths + self._start

  def read(self, archive: zipfile.ZipFile) -> np.ndarray:
    """Reads all values and checks their CRC."""
    data = archive.read(self._info)
    values = np.frombuffer(data, self.dtype, offset=self._start)
    return values.reshape(self.shape, order='F' if self.fortran else 'C')


def headers(
    file: BinaryIO, archive: zipfile.ZipFile) -> dict[str, Member]:
  """Reads the headers of all arrays, by key; raises DamageError."""
  infos = archive.infolist()
  if len(infos) > MAX_MEMBERS:
    raise DamageError(f'{len(infos)} arrays, above the limit of {MAX_MEMBERS}')
  found = {}
  for info in infos:
    key = info.filename.removesuffix('.npy')
    if key == info.filename or key in found:
      raise DamageError(f'unexpected content {info.filename!r}')
    found[key] = Member(file, archive, info)
  return found
