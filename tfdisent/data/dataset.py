"""The contract of a data set, and the batches that training draws from it.

A data set is four disjoint splits of columns, in memory; images may be a file that is mapped into it.
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from tfdisent.errors import DataError

SPLITS = ("train", "probe", "validation", "test")
BYTES_COMPARED = 2**28
"""Of images, to find the same ones in two splits: of more than that, every k-th image is looked at."""
FINGERPRINT_BYTES = 2**22

Examples = Mapping[str, np.ndarray]
"""Columns of equal length: `image` uint8 [N, H, W, C], and any others ([N] or [N, K])."""


class Judge(NamedTuple):
  """How the evaluation reads one property of an image.

  Attributes:
    name: of the property in the metrics ("digit").
    column: of the examples, that holds the true value ("label").
    kind: "classifier" of a class, "angle" or "number": a network, the oracle, trained on real images; or measured from
      the pixels of the ink: "color", or "axis", of a principal axis.
    turn: of an angle, a full turn in the column's unit: 2π for radians, 360 for degrees.
    symmetric: columns of classes, each with those that look the same whatever the property is: it is not judged on
      images of theirs.
  """

  name: str
  column: str
  kind: Literal["classifier", "angle", "number", "color", "axis"]
  turn: float = 0.0
  symmetric: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Images with their known properties, in four disjoint splits.

  A data set is registered like a feature, and returned by a function whose arguments are its gin bindings:

      @tfdisent.register_dataset("my_images")
      def my_images(data_dir=None, ...) -> tfdisent.Dataset:

  Attributes:
    train: what the model is trained on.
    probe: what the probes of the evaluation are trained on.
    validation: for every choice: best checkpoint, weights, early stopping.
    test: read once, for the figures that are published.
    name: what the examples are, as a text: the name, every argument that changes them, and a digest of what was read,
      since files change under the same paths. Trained judges are kept under it.
    judges: how the evaluation reads the columns from an image. A column without a judge is not evaluated.
    unbiased: where `train` is biased on purpose, the data set without it: what the judges are trained on.
    unseen: from two `Examples` of N rows, which fusions [N] of the first with the second's feature combine what `train`
      never shows together; None where there is nothing of the kind.
    class_names: what the classes of a column are called, in the order of their numbers, where that is known.

  Raises:
    DataError: a split is empty, a column breaks the contract, or most images of a split are in another one as well; the
      message names the culprits.
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

  def __post_init__(self):
    for split in SPLITS:
      check_examples(getattr(self, split), f"split '{split}' of the data set '{self.name}'")
      if self[split]["image"].shape[1:] != self.image_shape:
        raise DataError(
          f"split '{split}' of the data set '{self.name}' has images of {self[split]['image'].shape[1:]}, "
          f"'train' of {self.image_shape}."
        )
    check_disjoint({split: self[split]["image"] for split in SPLITS}, self.name)

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
    """A text that changes with the examples of any split: the SHA-256 of their `fingerprint`s."""
    return hashlib.sha256(" ".join(fingerprint(self[split]) for split in SPLITS).encode()).hexdigest()


def fingerprint(examples: Examples) -> str:
  """The SHA-256 of columns: of their names, types, shapes and values.

  Of images that are more than 4 MiB it reads rows of 4 MiB in all, evenly spaced, so that it takes some hundredths of a
  second.
  """
  digest = hashlib.sha256()
  for name in sorted(examples):
    column = examples[name]
    if column.dtype.hasobject:  # its bytes are addresses
      column = column.astype(str)
    digest.update(f"{name} {column.dtype.str} {column.shape} ".encode())
    if name == "image" and column.nbytes > FINGERPRINT_BYTES:
      count = max(2, FINGERPRINT_BYTES * len(column) // column.nbytes)
      column = column[np.linspace(0, len(column) - 1, min(count, len(column))).astype(int)]
    digest.update(column.tobytes())
  return digest.hexdigest()


def check_examples(examples: Examples, what: str) -> None:
  """Raises `DataError`, naming `what`, unless `examples` keeps the contract of `Examples`."""
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
  """Raises `DataError` where most images of a split are in another one too: its figures would be of known images.

  Real data have duplicates: only 64 images, and more than half of what a copy of the split would share with the other,
  are too many. An image that a split has twice does not count: of a few drawings, chance brings all into every split.
  The same memory in two splits is refused whatever is in it.

  Args:
    images: uint8 [N, H, W, C] of each split.
    name: of the data set, for the message.
  """
  step = 1 + sum(image.nbytes for image in images.values()) // BYTES_COMPARED
  rows = {split: collections.Counter(hash(row.tobytes()) for row in image[::step]) for split, image in images.items()}
  for split, other in itertools.permutations(images, 2):
    once = {row for row, times in rows[split].items() if times == 1}
    both = len(once & rows[other].keys())
    if (both >= 64 and 2 * both * step > len(once)) or np.shares_memory(images[split], images[other]):
      raise DataError(
        f"the splits '{split}' and '{other}' of the data set '{name}' share images: no split may have those of another "
        "one, or what is measured on it says nothing. Put each image into one split."
      )


def check_images(image: np.ndarray, what: str = "image") -> None:
  """Raises `DataError`, naming `what`, unless `image` is a batch of images.

  That is uint8, or float in [0, 1], of shape [B, H, W, C] with C of 1 or 3.
  """
  if getattr(image, "ndim", None) != 4 or image.shape[3] not in (1, 3):
    raise DataError(f"{what} must have the shape [B, H, W, C] with 1 or 3 channels, not {list(np.shape(image))}.")
  if image.dtype == np.uint8:
    return
  if image.dtype.kind != "f":
    raise DataError(f"{what} must be uint8, or float in [0, 1], not {image.dtype}.")
  if image.size and not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
    raise DataError(
      f"{what} is float and must lie in [0, 1]; it has values from {image.min():.4g} to {image.max():.4g}."
    )
