"""Images that are prepared once and then mapped into memory from a file, so that a data set may exceed memory."""

import hashlib
import os
import pathlib
import tempfile
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import PIL.Image
from absl import logging

from tfdisent.cache import MAKING, cache_folder, hold, make_room, used
from tfdisent.console import say
from tfdisent.errors import DataError

PREPARATION = 2
"""The version of all code that turns a file or an example into pixels and columns: `tfdisent.data.pixels`, and what
`tfdisent.data.own_images` and `tfdisent.data.tfds_images` do before it. It is a part of every key of the cache.

Raise it in each change after which the same files give other pixels or other columns. Otherwise users keep reading what
the old code has prepared. Tests with known digests fail when the result changes; a change of comments, names or speed
alone changes no digest and needs no new version.
"""
BYTES_CHECKED = 2**26
"""How many bytes of images are compared with their checksums when a cache is opened; of more, every k-th image is."""


class Prepared(NamedTuple):
  """Images and columns of the cache.

  Attributes:
    images: uint8 [N, H, W, C].
    columns: as `produce` returned them.
    digest: SHA-256 of images and columns, in hexadecimal. It depends on their values alone, not on their files.
    checks: uint32 [N], the CRC-32 of each image.
  """

  images: np.memmap
  columns: dict[str, np.ndarray]
  digest: str
  checks: np.ndarray


def cached_images(
  key: str,
  shape: tuple[int, int, int],
  what: str,
  produce: Callable[[Callable[[np.ndarray], None]], Mapping[str, np.ndarray]],
) -> Prepared:
  """Images and columns from the cache, `$TFDISENT_CACHE` or `~/.cache/tfdisent`; prepares them if the cache lacks them.

  Damaged files are prepared again, with a warning.

  Args:
    key: what the images and columns depend on, besides `shape`, `PREPARATION` and Pillow: the files that are read, and
      the arguments.
    shape: (H, W, C) of each image.
    what: the name of the images in messages ("63 images").
    produce: a function that is called with a function `append`. It calls `append(image)` with one image after the
      other, uint8 [H, W, C], and returns the columns.

  Raises:
    DataError: there are no images, what `produce` reads cannot be read, or the cache cannot be written.
  """
  cache = cache_folder()
  version = f"{PREPARATION} {PIL.__version__}"
  name = f"images-{hashlib.sha256(f'{version} {key} {shape}'.encode()).hexdigest()[:16]}"
  path, columns_path = cache / f"{name}.uint8", cache / f"{name}.npz"
  if path.exists() or columns_path.exists():
    try:
      return _opened(path, columns_path, shape)
    except Exception as error:  # NumPy raises many types for damaged zip files, headers and shapes
      logging.warning("%s is damaged (%s: %s); it is made again.", path, type(error).__name__, error)
  say(f"Preparing {what}; they are kept in {path}.")
  unwritable = lambda error: DataError(  # noqa: E731
    f"{what} cannot be prepared in {cache} ({error}). TFDISENT_CACHE names another folder."
  )
  try:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=MAKING) as folder:
      images, table = pathlib.Path(folder) / "images", pathlib.Path(folder) / "columns.npz"
      digest, checks = hashlib.sha256(str(shape).encode()), []
      with images.open("wb") as file:

        def append(image):
          pixels = np.ascontiguousarray(image, np.uint8).reshape(shape).tobytes()
          try:
            file.write(pixels)
          except OSError as error:
            raise unwritable(error) from error
          digest.update(pixels)
          checks.append(zlib.crc32(pixels))

        columns = _produced(produce, append, what)
      if not checks:
        raise DataError(f"there are no images among {what}.")
      update_with_columns(digest, columns)
      arrays = {f"column {name}": column for name, column in columns.items()}  # else 'checks' could be a column's name
      np.savez(table, **arrays, checks=np.array(checks, np.uint32), digest=digest.hexdigest())
      os.replace(images, path)  # atomic: another process never sees a part of the file
      os.replace(table, columns_path)
      make_room(path)
  except OSError as error:
    raise unwritable(error) from error
  return _opened(path, columns_path, shape)


def _produced(produce, append, what: str) -> Mapping[str, np.ndarray]:
  """The columns of `produce`; raises `DataError` if what it reads cannot be read."""
  try:
    return produce(append)
  except OSError as error:
    raise DataError(f"{what} cannot be read: {error}.") from error


def update_with_columns(digest, columns: Mapping[str, np.ndarray]) -> None:
  """Adds the names, dtypes, shapes and values of `columns` to a hash of hashlib."""
  for name, column in sorted(columns.items()):
    digest.update(f"{name} {column.dtype} {column.shape}".encode())
    digest.update(column.tobytes())


def state(file: pathlib.Path) -> tuple:
  """(size in bytes, modification time in ns, inode change time in ns) of a file; zeros if there is none.

  They change when the file changes. The modification time alone is not enough, since programs that copy a file set it.
  Where the inode change time is of whole seconds, as on some network drives, the SHA-256 of the file is added.
  """
  try:
    of_file = file.stat()
  except (OSError, ValueError):  # ValueError: a name from a table may have a NUL, which no file name can
    return 0, 0, 0
  times = of_file.st_size, of_file.st_mtime_ns, of_file.st_ctime_ns
  if of_file.st_ctime_ns % 10**9:
    return times
  try:
    with file.open("rb") as opened:
      return *times, hashlib.file_digest(opened, "sha256").hexdigest()
  except OSError:
    return times


def _opened(path: pathlib.Path, columns_path: pathlib.Path, shape: tuple[int, int, int]) -> Prepared:
  """Reads the two files of the cache; raises an exception of any type if they are damaged."""
  with np.load(columns_path) as table:
    arrays = dict(table)
  with path.open("rb") as file:
    hold(file)  # the map keeps the file open, and so the lock
    images = np.memmap(file, np.uint8, "r").reshape(-1, *shape)
    if path.stat().st_ino != os.fstat(file.fileno()).st_ino:
      raise ValueError("removed meanwhile")
  checks, digest = arrays.pop("checks"), str(arrays.pop("digest"))
  step = 1 + images.nbytes // BYTES_CHECKED
  if len(images) != len(checks) or any(
    zlib.crc32(image) != check for image, check in zip(images[::step], checks[::step])
  ):
    raise ValueError(f"not the {len(checks)} images that were written")
  used(path)
  return Prepared(images, {name.removeprefix("column "): column for name, column in arrays.items()}, digest, checks)
