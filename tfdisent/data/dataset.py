"""The contract of a data set: four disjoint splits of columns.

Columns are arrays in memory. Images may also be a file that is mapped into memory (`np.memmap`).
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from tfdisent.data.columns import Column, check_column
from tfdisent.data.pixels import ROUNDING, WHITE, to_uint8
from tfdisent.errors import DataError

SPLITS = ("train", "probe", "validation", "test")
BYTES_COMPARED = 2**28
"""How many bytes of images are compared to find duplicates in two splits; of more, every k-th image is."""
FINGERPRINT_BYTES = 2**22
"""How many bytes of the images of a split its fingerprint reads."""

Examples = Mapping[str, np.ndarray]
"""Columns of equal length: `image` uint8 [N, H, W, C], and any others ([N] or [N, K])."""


class Judge(NamedTuple):
  """How the evaluation reads one property from an image.

  Attributes:
    name: the name of the property in the metrics ("digit").
    column: the column with the true value ("label").
    kind: "classifier" for classes, "angle" and "number" are read by a network that is trained on real images. "color"
      and "axis" (the principal axis) are measured from the pixels of the ink; their column may be absent.
    turn: for an angle, a full turn in the unit of the column: 2π for radians, 360 for degrees.
    symmetric: ((column, classes), ...): images of these classes are skipped by this judge, since they look the same for
      every value of the property (a bowl from any azimuth).
  """

  name: str
  column: str
  kind: Literal["classifier", "angle", "number", "color", "axis"]
  turn: float = 0.0
  symmetric: tuple[tuple[str, tuple[int, ...]], ...] = ()


class Shards(NamedTuple):
  """How the training reads a split that is larger than memory: see `tfdisent.data.order`.

  Attributes:
    sizes: how many of its images each shard holds, in the order of the rows.
    buffer: images among which it shuffles.
    readers: in how many places it reads at once, each in shards of its own.
  """

  sizes: tuple[int, ...]
  buffer: int
  readers: int


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Images with their known properties, in four disjoint splits.

  A function that returns a `Dataset` is registered like a feature, and a gin file binds its arguments:

      @tfdisent.register_dataset("my_images")
      def my_images(data_dir=None, ...) -> tfdisent.Dataset:

  Attributes:
    train: the split that the model is trained on.
    probe: the split that the probes of the evaluation are trained on.
    validation: the split for every choice: best checkpoint, weights of the losses, early stopping.
    test: the split for published figures; it is read once.
    name: a text that identifies the examples: the registered name, every argument that changes them, and a digest of
      the files, since files change under the same paths. Messages have it, and the description of a fitted feature
      keeps it. The judges and the figures of a run go by the `fingerprint`.
    judges: how the evaluation reads the columns from an image. A column without a judge is not evaluated.
    unbiased: if `train` is biased on purpose, the same data set without the bias; judges are trained on it. Otherwise
      None.
    unseen: a function of `Examples` of N sources and of N partners. It returns bool [N]: True where the fusion of a
      source with the feature of its partner is a combination that is absent from `train`. None if none is held out.
    class_names: for each column whose classes have names, the names in the order of the class numbers.
    columns: what is known of columns, by their names: the kind, the names of classes, the full turn of an angle. A
      feature that is chosen by the name of a column is made from it.
    notes: for people, what was left out when the data were read, and what was chosen.
    warnings: for people, what of the files or of the table may spoil a training.
    background: the colour (red, green, blue), 0 to 255, that transparent pixels of files were composed on. A model that
      is trained on the set reads files in the same way.
    shards: the shards of `train`, by which the training shuffles it; None to shuffle the whole.

  Raises:
    DataError: a split is empty, a column breaks the contract, or most images of a split are also in another one; the
      message names the split and the column.
  """

  train: Examples
  probe: Examples
  validation: Examples
  test: Examples
  name: str
  judges: tuple[Judge, ...] = ()
  unbiased: "Dataset | None" = None
  unseen: Callable[[Examples, Examples], np.ndarray] | None = None
  class_names: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
  columns: Mapping[str, Column] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()
  warnings: tuple[str, ...] = ()
  background: tuple[int, int, int] = WHITE
  shards: Shards | None = None

  def __post_init__(self):
    for split in SPLITS:
      check_examples(getattr(self, split), f"split '{split}' of the data set '{self.name}'")
      if self[split]["image"].shape[1:] != self.image_shape:
        raise DataError(
          f"split '{split}' of the data set '{self.name}' has images of {self[split]['image'].shape[1:]}, "
          f"'train' of {self.image_shape}."
        )
      for name, column in self.columns.items():
        if name != column.name or name not in self[split]:
          raise DataError(
            f"`columns` of the data set '{self.name}' has '{column.name}' under '{name}', and the columns of '{split}' "
            f"are {', '.join(sorted(self[split]))}: name each column as it is named there."
          )
        check_column(column, self[split][name], f"column '{name}' of split '{split}' of the data set '{self.name}'")
    check_disjoint({split: self[split]["image"] for split in SPLITS}, self.name)
    if self.shards and sum(self.shards.sizes) != (count := len(self.train["image"])):
      raise DataError(f"the shards of the data set '{self.name}' hold {sum(self.shards.sizes)} images, train {count}.")

  def __getitem__(self, split: str) -> Examples:
    if split not in SPLITS:
      raise DataError(f"unknown split '{split}': a data set has {', '.join(SPLITS)}.")
    return getattr(self, split)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(H, W, C)."""
    return tuple(self.train["image"].shape[1:])

  @functools.cached_property
  def fingerprint(self) -> str:
    """The SHA-256 of the `fingerprint`s of the splits, in hexadecimal: it changes with the examples of any split."""
    return hashlib.sha256(" ".join(fingerprint(self[split]) for split in SPLITS).encode()).hexdigest()


def fingerprint(examples: Examples) -> str:
  """The SHA-256, in hexadecimal, of the names, dtypes, shapes and values of columns.

  If the images have more than 4 MiB, evenly spaced rows of 4 MiB in all are read. A fingerprint of any split then takes
  some hundredths of a second.
  """
  digest = hashlib.sha256()
  for name in sorted(examples):
    column = examples[name]
    if column.dtype.hasobject:  # the bytes of an object column are addresses, which change with every process
      column = column.astype(str)
    digest.update(f"{name} {column.dtype.str} {column.shape} ".encode())
    if name == "image" and column.nbytes > FINGERPRINT_BYTES:
      count = max(2, FINGERPRINT_BYTES * len(column) // column.nbytes)
      column = column[np.linspace(0, len(column) - 1, min(count, len(column))).astype(int)]
    digest.update(column.tobytes())
  return digest.hexdigest()


def check_examples(examples: Examples, what: str) -> None:
  """Raises `DataError` unless `examples` keeps the contract of `Examples`; the message begins with `what`."""
  if "image" not in examples:
    raise DataError(f"{what} has no column 'image'; it has {', '.join(sorted(examples)) or 'none'}.")
  check_images(examples["image"], f"column 'image' of {what}")
  count = len(examples["image"])
  if count == 0:
    raise DataError(f"{what} is empty.")
  for name, column in examples.items():
    if not isinstance(column, np.ndarray):
      raise DataError(f"column '{name}' of {what} must be a NumPy array, not a {type(column).__name__}.")
    if len(column) != count:
      raise DataError(f"{what} has {count} images and {len(column)} values of '{name}'.")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
      raise DataError(f"column '{name}' of {what} has NaN or infinite values.")
  if examples["image"].dtype != np.uint8:
    raise DataError(f"column 'image' of {what} must be uint8, not {examples['image'].dtype}.")


def check_disjoint(images: Mapping[str, np.ndarray], name: str) -> None:
  """Raises `DataError` if most images of a split are also in another one: its figures would be of known images.

  Real data have some duplicates. So an error needs 64 common images, and more than half as many as a copy of the split
  would have. An image that is twice in its split does not count: of a few distinct drawings, each is in every split by
  chance. Splits that share memory are always refused.

  Args:
    images: uint8 [N, H, W, C] of each split.
    name: the name of the data set, for the message.
  """
  step = 1 + sum(image.nbytes for image in images.values()) // BYTES_COMPARED
  rows = {split: collections.Counter(hash(row.tobytes()) for row in image[::step]) for split, image in images.items()}
  for split, other in itertools.permutations(images, 2):
    once = {row for row, times in rows[split].items() if times == 1}
    both = len(once & rows[other].keys())
    if (both >= 64 and 2 * both * step > len(once)) or np.shares_memory(images[split], images[other]):
      raise DataError(
        f"the splits '{split}' and '{other}' of the data set '{name}' share images: figures of one split would be of "
        "images that are known from the other. Put each image into one split."
      )


def check_images(image: np.ndarray, what: str = "image") -> None:
  """Raises `DataError` unless `image` is uint8, or float in [0, 1], of shape [B, H, W, C] with C of 1 or 3.

  Floats may miss [0, 1] by `ROUNDING`; whoever uses them clips them. The message begins with `what`.
  """
  if getattr(image, "ndim", None) != 4 or image.shape[3] not in (1, 3):
    raise DataError(f"{what} must have the shape [B, H, W, C] with 1 or 3 channels, not {list(np.shape(image))}.")
  if image.dtype == np.uint8:
    return
  if image.dtype.kind != "f":
    raise DataError(f"{what} must be uint8, or float in [0, 1], not {image.dtype}.")
  if image.size and not (np.isfinite(image).all() and image.min() >= -ROUNDING and image.max() <= 1 + ROUNDING):
    raise DataError(
      f"{what} is float and must lie in [0, 1]; it has values from {image.min():.7g} to {image.max():.7g}."
    )


def as_pixels(images) -> np.ndarray:
  """Images as uint8 [N, H, W, C], from what `check_images` takes, or from [N, H, W]; raises `DataError`."""
  try:
    images = np.asarray(images)
  except ValueError as error:
    raise DataError(f"images must be of one size, [N, H, W, C]: {error}.") from error
  images = images[..., None] if images.ndim == 3 else images
  check_images(images, "images")
  return images if images.dtype == np.uint8 else to_uint8(images)
