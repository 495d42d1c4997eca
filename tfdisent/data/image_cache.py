"""Images that are prepared once and then mapped into memory from a file, so that a set may be larger than memory."""

import hashlib
import os
import pathlib
import tempfile
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from absl import logging

from tfdisent.cache import cache_folder
from tfdisent.errors import DataError

BYTES_CHECKED = 2**26
"""Of kept images, whenever they are opened: of more than that, every k-th image is checked."""


class Prepared(NamedTuple):
  """What the cache keeps.

  Attributes:
    images: uint8 [N, H, W, C].
    columns: as they were produced.
    digest: sha256 of images and columns, in hexadecimal: equal for equal content, wherever it came from.
  """

  images: np.memmap
  columns: dict[str, np.ndarray]
  digest: str


def cached_images(
  key: str,
  shape: tuple[int, int, int],
  what: str,
  produce: Callable[[Callable[[np.ndarray], None]], Mapping[str, np.ndarray]],
) -> Prepared:
  """Images and columns from the cache, `$TFDISENT_CACHE` or `~/.cache/tfdisent`, which is filled first if need be.

  What is kept and turns out to be damaged is prepared again, and a warning says so.

  Args:
    key: all that the images and columns depend on: the files they are read from, and how.
    shape: (H, W, C) of each.
    what: is prepared, for the line that says so.
    produce: is given a function that takes an image, uint8 [H, W, C], calls it for one after the other, and returns
      columns.

  Raises:
    DataError: there are no images, or the cache cannot be written.
  """
  cache = cache_folder()
  name = f"images-{hashlib.sha256(f'{key} {shape}'.encode()).hexdigest()[:16]}"
  path, columns_path = cache / f"{name}.uint8", cache / f"{name}.npz"
  if path.exists() or columns_path.exists():
    try:
      return _opened(path, columns_path, shape)
    except Exception as error:  # NumPy raises what zip files, headers and shapes make it
      logging.warning("%s is damaged (%s: %s); it is made again.", path, type(error).__name__, error)
  print(f"Preparing {what}; they are kept in {path}.", flush=True)
  try:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
      images, table = pathlib.Path(folder) / "images", pathlib.Path(folder) / "columns.npz"
      digest, checks = hashlib.sha256(str(shape).encode()), []
      with images.open("wb") as file:

        def append(image):
          pixels = np.ascontiguousarray(image, np.uint8).reshape(shape).tobytes()
          file.write(pixels)
          digest.update(pixels)
          checks.append(zlib.crc32(pixels))

        columns = produce(append)
      if not checks:
        raise DataError(f"there are no images among {what}.")
      update_with_columns(digest, columns)
      kept = {f"column {name}": column for name, column in columns.items()}  # so that none is called like the others
      np.savez(table, **kept, checks=np.array(checks, np.uint32), digest=digest.hexdigest())
      os.replace(images, path)  # whole, or not there
      os.replace(table, columns_path)
  except OSError as error:
    raise DataError(f"{what} cannot be prepared in {cache} ({error}). TFDISENT_CACHE names another folder.") from error
  return _opened(path, columns_path, shape)


def update_with_columns(digest, columns: Mapping[str, np.ndarray]) -> None:
  """Adds names, types, shapes and values of `columns` to a hash."""
  for name, column in sorted(columns.items()):
    digest.update(f"{name} {column.dtype} {column.shape}".encode())
    digest.update(column.tobytes())


def state(file: pathlib.Path) -> tuple[int, int, int]:
  """Size and times of a file, in bytes and ns, that tell whether it has changed; zeros where there is none.

  The second time is of the change itself: programs may set the first one, as they do where they copy a file.
  """
  try:
    of_file = file.stat()
  except (OSError, ValueError):  # a name may hold what no file's can
    return 0, 0, 0
  return of_file.st_size, of_file.st_mtime_ns, of_file.st_ctime_ns


def _opened(path: pathlib.Path, columns_path: pathlib.Path, shape: tuple[int, int, int]) -> Prepared:
  """What the two files hold; raises an error of any kind where they are not what was written."""
  with np.load(columns_path) as table:
    kept = dict(table)
  images = np.memmap(path, np.uint8, "r").reshape(-1, *shape)
  checks, digest = kept.pop("checks"), str(kept.pop("digest"))
  step = 1 + images.nbytes // BYTES_CHECKED
  if len(images) != len(checks) or any(
    zlib.crc32(image) != check for image, check in zip(images[::step], checks[::step])
  ):
    raise ValueError(f"not the {len(checks)} images that were written")
  return Prepared(images, {name.removeprefix("column "): column for name, column in kept.items()}, digest)
