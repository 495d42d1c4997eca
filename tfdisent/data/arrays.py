"""A data set of images in memory, with their properties as arrays.

    data = tfdisent.data.from_arrays(images, {"digit": labels, "color": rgb})

The kinds of the properties are found as those of a table, and splits are stratified.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfdisent.arguments import checked
from tfdisent.data.alike import warning_of_copies
from tfdisent.data.assemble import dataset_of, rows_of_splits
from tfdisent.data.columns import Kinds
from tfdisent.data.dataset import SPLITS, Dataset, as_pixels
from tfdisent.data.detect import find
from tfdisent.data.image_cache import update_with_columns
from tfdisent.data.reading import of_frame
from tfdisent.data.tables import find_splits
from tfdisent.errors import ConfigError, DataError, shown


@checked("from_arrays")
def from_arrays(
  images: np.ndarray | Sequence,
  columns: Mapping[str, Sequence | np.ndarray] | np.ndarray,
  kinds: Kinds = (),
  split: Sequence[str] | None = None,
  test_fraction: float = 0.1,
  probe_fraction: float = 0.1,
  validation_fraction: float = 0.1,
  seed: int = 0,
) -> Dataset:
  """Images in memory with their properties.

      >>> images = np.arange(40 * 64, dtype=np.uint8).reshape([40, 8, 8, 1])
      >>> ages = np.linspace(20, 60, 40)
      >>> data = tfdisent.data.from_arrays(images, {"sex": 20 * ["f", "m"], "age": ages}, kinds={"age": "number"})
      >>> data.columns["sex"].class_names, data.columns["age"].kind
      (('f', 'm'), 'number')

  Args:
    images: uint8 or float in [0, 1], [N, H, W, C] with C of 1 or 3, or [N, H, W].
    columns: for each property its values [N], or colours [N, 3], or a data frame of pandas; one array alone is
      called "label".
    kinds: as in `table`.
    split: "train", "validation" or "test" of each image, [N]; None draws the splits.
    test_fraction, probe_fraction, validation_fraction, seed: as in `table`.

  Raises:
    ConfigError, DataError: as `table`; also if a column has not one value for each image.
  """
  images = as_pixels(images)
  if not len(images):
    raise DataError("from_arrays: there are no images.")
  if hasattr(columns, "columns") and hasattr(columns, "iloc"):
    columns = of_frame(columns).columns
  columns = dict(columns) if isinstance(columns, Mapping) else {"label": columns}
  for name, values in [*columns.items(), *([("split", split)] if split is not None else ())]:
    if not isinstance(name, str) or name == "image":
      raise ConfigError(f"from_arrays: a column cannot be called {shown(name)}: give it a text that is not 'image'.")
    if not hasattr(values, "__len__") or isinstance(values, str) or not getattr(values, "ndim", 1):
      raise DataError(f"column '{name}' must have a value for each image, and is {shown(values)}.")
    if len(values) != len(images):
      raise DataError(f"column '{name}' has {len(values)} values, and there are {len(images)} images.")
  found = find(columns, kinds)
  fractions = {"test": test_fraction, "probe": probe_fraction, "validation": validation_fraction}
  given = None if split is None else find_splits([*split])
  if split is not None and given is None:
    raise ConfigError("from_arrays: split has no 'train': give train, validation or test for each image.")
  rows = rows_of_splits(found, given, len(images), fractions, seed)
  splits = {
    name: {"image": images[of], **{column: values[of] for column, values in found.values.items()}}
    for name, of in rows.items()
  }
  content = hashlib.sha256(str(found.columns).encode())
  for name in SPLITS:
    update_with_columns(content, splits[name])
  checks = np.array([zlib.crc32(image.tobytes()) for name in SPLITS for image in splits[name]["image"]], np.uint32)
  copies = warning_of_copies(splits, checks, found.columns, lambda name, row: f"image {rows[name][row]}")
  return dataset_of("arrays(", splits, found, content.hexdigest()[:12], warnings=copies)
