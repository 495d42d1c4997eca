"""Images that are prepared once and then mapped into memory from a file, so that a set may be larger than memory."""

import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping

import numpy as np

from tfdisent.cache import cache_folder
from tfdisent.errors import DataError


def cached_images(
  key: str,
  shape: tuple[int, int, int],
  what: str,
  produce: Callable[[Callable[[np.ndarray], None]], Mapping[str, np.ndarray]],
) -> tuple[np.memmap, dict[str, np.ndarray]]:
  """Images and columns from the cache, `$TFDISENT_CACHE` or `~/.cache/tfdisent`, which is filled first if need be.

  Args:
    key: all that the images depend on.
    shape: (H, W, C) of each.
    what: is prepared, for the line that says so.
    produce: is given a function that takes an image, uint8 [H, W, C], calls it for one after the other, and returns
      columns.

  Returns:
    The images, uint8 [N, H, W, C], and the columns.

  Raises:
    DataError: there are no images, or the cache cannot be written.
  """
  cache = cache_folder()
  name = f"images-{hashlib.sha256(f'{key} {shape}'.encode()).hexdigest()[:16]}"
  path, columns_path = cache / f"{name}.uint8", cache / f"{name}.npz"
  if not (path.is_file() and columns_path.is_file()):
    print(f"Preparing {what}; they are kept in {path}.", flush=True)
    try:
      cache.mkdir(parents=True, exist_ok=True)
      with tempfile.TemporaryDirectory(dir=cache) as folder:
        images, table = pathlib.Path(folder) / "images", pathlib.Path(folder) / "columns.npz"
        with images.open("wb") as file:
          columns = produce(lambda image: file.write(np.ascontiguousarray(image, np.uint8).reshape(shape).tobytes()))
        if not images.stat().st_size:
          raise DataError(f"there are no images among {what}.")
        np.savez(table, **columns)
        os.replace(images, path)  # whole, or not there
        os.replace(table, columns_path)
    except OSError as error:
      raise DataError(
        f"{what} cannot be prepared in {cache} ({error}). TFDISENT_CACHE names another folder."
      ) from error
  images = np.memmap(path, np.uint8, "r")
  with np.load(columns_path) as columns:
    return images.reshape(-1, *shape), dict(columns)
