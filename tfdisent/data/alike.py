"""Images that are alike: all of a set, so that there is nothing to learn, or some in two splits of it."""

from collections.abc import Callable, Mapping

import numpy as np
from absl import logging

from tfdisent.data.columns import Column
from tfdisent.data.dataset import SPLITS, Dataset, Examples
from tfdisent.errors import DataError

IMAGES_COMPARED = 1024
INVISIBLE = 1
"""Images that differ by no more of 255 grey levels look the same."""
NEARLY_SAME, NEARLY_ALL = 1.0, 0.95
"""A spread over the images, in grey levels, and a part of them that are the same, from which they are nearly alike."""

Names = Callable[[str, int], str]
"""From a split and a row number to the words for that image: "cat/1.png"."""


def check_alike(dataset: Dataset) -> str:
  """A warning if the training images are nearly alike; "" if they are not.

  At most 1,024 evenly spaced images are compared.

  Raises:
    DataError: all of them look the same, so that there is nothing to learn.
  """
  image = dataset.train["image"]
  some = np.asarray(image[np.linspace(0, len(image) - 1, min(len(image), IMAGES_COMPARED)).astype(int)])
  if len(some) < 2:
    return ""
  if int((some.max(0) - some.min(0)).max()) <= INVISIBLE:
    raise DataError(
      f"all {len(image):,} training images look the same (their grey levels are {some.min()} to {some.max()} of 255): "
      "there is nothing to learn. Look at the files, and at how they were converted."
    )
  same = np.unique(some.reshape(len(some), -1), axis=0, return_counts=True)[1].max() / len(some)
  if same >= NEARLY_ALL:
    return f"{100 * same:.0f} % of the training images are the same one: look at the files"
  spread = float(some.std(0, dtype=np.float32).mean())
  if spread < NEARLY_SAME:
    return f"the training images are nearly alike: they differ by {spread:.2g} of 255 grey levels. Look at the files"
  return ""


def refuse_alike(dataset: Dataset) -> None:
  """Raises `DataError` if all training images look the same, and warns if they nearly do; see `check_alike`."""
  if warning := check_alike(dataset):
    logging.warning("%s.", warning)


def warning_of_copies(
  splits: Mapping[str, Examples], checks: np.ndarray, columns: Mapping[str, Column], name_of: Names
) -> tuple[str, ...]:
  """A warning if images are there more than once: in several splits, or with several classes.

  Args:
    splits: the examples.
    checks: a number for each image, the same for equal images, of all splits in the order of `SPLITS`, [N].
    columns: of the examples; the values of classes are compared.
    name_of: names an image.
  """
  ends = np.cumsum([len(splits[split]["image"]) for split in SPLITS])
  _, which, count = np.unique(checks, return_inverse=True, return_counts=True)
  groups: dict[bytes, list[tuple[str, int]]] = {}
  for i in np.flatnonzero(count[which] > 1):  # equal checks may be of different images
    number = int(np.searchsorted(ends, i, "right"))
    split, row = SPLITS[number], int(i - (ends[number - 1] if number else 0))
    groups.setdefault(np.asarray(splits[split]["image"][row]).tobytes(), []).append((split, row))
  copies = [group for group in groups.values() if len(group) > 1]
  across = [group for group in copies if len({split for split, _ in group}) > 1]
  told = {
    column.name: sum(len({int(splits[split][column.name][row]) for split, row in group}) > 1 for group in copies)
    for column in columns.values()
    if column.is_discrete
  }
  told = {name: number for name, number in told.items() if number}
  if not across and not told:
    return ()
  words = f"{len(copies)} images are there more than once"
  if across:
    some = "; ".join(
      " and ".join(f"{name_of(split, row)} in {split}" for split, row in dict(group).items()) for group in across[:3]
    )
    words += (
      f", and {len(across)} of them in several splits, whose figures are of images that are known then: {some}"
      f"{'; …' if len(across) > 3 else ''}"
    )
  words += "".join(f"; {number} of them have several classes of '{name}'" for name, number in told.items())
  if not across:
    words += f": {' and '.join(name_of(*place) for place in copies[0][:3])}"
  return (f"{words}. Remove the copies, or put them into one split",)
