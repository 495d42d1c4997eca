"""What a data set is, in words: its columns as a table, and warnings that a careful colleague would give.

print(tfdisent.data.describe(tfdisent.data.from_folder("photos")))
"""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
import scipy.stats

from tfdisent.data.alike import check_alike
from tfdisent.data.columns import Column
from tfdisent.data.dataset import SPLITS, Dataset, Examples
from tfdisent.data.splits import absent_classes
from tfdisent.data.values import printable
from tfdisent.errors import DataError

TELLING, SAME = 0.5, 0.95
"""Associations from which two columns tell each other, and from which they are near-duplicates."""
FEW_OF_A_CLASS, FEW_IMAGES = 20, 500
MOST_NAMES = 6
"""Class names that are written out."""


@dataclasses.dataclass(frozen=True)
class Findings:
  """What is worth knowing of a data set before a training; `str` of it is for people.

  Attributes:
    title: the number of images, their size, and the counts of the splits.
    header: the heads of the table.
    rows: a row for each column: its name, its kind, its classes or range, their balance, and the images of its rarest
      class in each split.
    warnings: what may spoil a training.
    notes: what was chosen or left out when the data were read.
  """

  title: str
  header: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  warnings: tuple[str, ...]
  notes: tuple[str, ...]

  def __str__(self):
    lines = [self.title, *self._table(), *(f"Note: {note}." for note in self.notes)]
    return "\n".join([*lines, *(f"Warning: {warning}." for warning in self.warnings)])

  def _table(self) -> list[str]:
    if not self.rows:
      return ["It has no columns of which anything is known."]
    table = (self.header, *self.rows)
    widths = [max(map(len, cells)) for cells in zip(*table)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table]
    return ["", lines[0], "  ".join("-" * width for width in widths), *lines[1:], ""]


def describe(dataset: Dataset) -> Findings:
  """What is worth knowing of a data set, to be printed.

      print(tfdisent.data.describe(data))  # columns, classes, splits, and warnings

  It is told by the columns, the counts, and what was said when the data set was read.
  """
  counts = [len(dataset[split]["image"]) for split in SPLITS]
  height, width, channels = dataset.image_shape
  of_splits = ", ".join(f"{split} {count:,}" for split, count in zip(SPLITS, counts))
  kind = "grey" if channels == 1 else "in colour"
  splits = {split: dataset[split] for split in SPLITS}
  every = _every(dataset.columns, splits)
  warnings = [*dataset.warnings, *_warnings_of_images(dataset), *first_warnings(dataset.columns, splits)]
  warnings += _warnings_of_two(dataset.columns, every)
  return Findings(
    f"{sum(counts):,} images of {width}x{height} pixels, {kind}: {of_splits}",
    ("column", "kind", "classes or range", "balance", "rarest class in train/probe/validation/test"),
    tuple((c.name, c.kind, *_cells(c, every[c.name], dataset)) for c in dataset.columns.values()),
    tuple(warnings),
    dataset.notes,
  )


def first_warnings(columns: Mapping[str, Column], splits: Mapping[str, Examples]) -> list[str]:
  """What is said of a data set as soon as it is read: of few images, of classes that are rare or not in every split."""
  warnings, every = [], _every(columns, splits)
  count = sum(len(examples["image"]) for examples in splits.values())
  if count < FEW_IMAGES:
    warnings.append(
      f"there are {count} images, and fewer than {FEW_IMAGES} are seldom enough: smaller networks help (fewer channels "
      "in model.E1, G, q and D), copies that are changed in what is not asked for (mirrored, shifted), and figures of "
      "several splits (seed = 0, 1, …), since the judges learn from few images, too"
    )
  for column in columns.values():
    warnings += _warnings_of_one(column, every[column.name])
  return warnings + absent_classes(columns.values(), splits)


def _every(columns: Mapping[str, Column], splits: Mapping[str, Examples]) -> dict[str, np.ndarray]:
  """The values of all splits."""
  return {name: np.concatenate([splits[split][name] for split in SPLITS]) for name in columns}


def _warnings_of_images(dataset: Dataset) -> list[str]:
  try:
    warning = check_alike(dataset)
  except DataError as error:
    return [str(error).removesuffix(".")]
  return [warning] if warning else []


def _cells(column: Column, values: np.ndarray, dataset: Dataset) -> tuple[str, str, str]:
  """Classes or range, balance, and counts of the rarest class."""
  if not column.is_discrete:
    range_ = f"{values.min():.4g} to {values.max():.4g}"
    if column.kind == "angle":
      return f"{range_}, a full turn is {column.turn:g}", "", ""
    means = np.atleast_1d(values.mean(0, dtype=np.float64))
    return range_, f"mean {' '.join(f'{mean:.3g}' for mean in means)}", ""
  counts = np.bincount(values, minlength=len(column.class_names))
  names = tuple(map(printable, column.class_names)) or tuple(map(str, range(len(counts))))
  share = 100 * counts / counts.sum()
  rarest = int(np.argmin(counts))
  in_splits = "/".join(str(int((dataset[split][column.name] == rarest).sum())) for split in SPLITS)
  if len(names) > MOST_NAMES:
    of = f"{len(names)} classes: {', '.join(names[: MOST_NAMES - 2])}, …, {names[-1]}"
    return of, f"{share.min():.1f} to {share.max():.1f} %", f"{names[rarest]}: {in_splits}"
  balance = " ".join(f"{of_class:.0f}" for of_class in share)
  return ", ".join(names), f"{balance} %", f"{names[rarest]}: {in_splits}"


def _warnings_of_one(column: Column, values: np.ndarray) -> list[str]:
  if (values == values[0]).all():
    return [f"'{column.name}' has one value only: nothing can be learned of it"]
  if not column.is_discrete:
    return []
  counts = np.bincount(values, minlength=len(column.class_names))
  rare = [int(c) for c in np.flatnonzero(counts < FEW_OF_A_CLASS)]
  if not rare:
    return []
  names = [f"{printable(column.class_names[c]) if column.class_names else c} ({counts[c]})" for c in rare]
  more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
  return [f"'{column.name}' has fewer than {FEW_OF_A_CLASS} images of {', '.join(names[:MOST_NAMES])}{more}"]


def _warnings_of_two(columns: Mapping[str, Column], values: Mapping[str, np.ndarray]) -> list[str]:
  warnings = []
  for a, b in itertools.combinations(columns.values(), 2):
    strength, measure = association(a, values[a.name], b, values[b.name])
    classes = [len(np.unique(values[c.name])) if c.is_discrete else c.kind for c in (a, b)]
    if strength >= SAME and classes[0] == classes[1] != "color":  # a hair style tells long hair, and is not the same
      warnings.append(f"'{a.name}' and '{b.name}' are nearly the same ({measure} {strength:.2f}): ask for one of them")
    elif strength >= TELLING:
      warnings.append(
        f"'{a.name}' and '{b.name}' tell each other ({measure} {strength:.2f}): if one is asked for, the other changes "
        "with it"
      )
  return warnings


def association(a: Column, values_a: np.ndarray, b: Column, values_b: np.ndarray) -> tuple[float, str]:
  """How much two columns tell of each other, from 0 to 1, and the name of the measure.

  It is Cramér's V of classes, the correlation ratio of classes and numbers, and the largest absolute correlation of
  numbers. Colours are three numbers; an angle is its cosine and its sine.
  """
  if a.is_discrete and b.is_discrete:
    return _cramers_v(values_a, values_b), "Cramér's V"
  if a.is_discrete or b.is_discrete:
    classes, of_numbers = (values_a, _numbers(b, values_b)) if a.is_discrete else (values_b, _numbers(a, values_a))
    return _correlation_ratio(classes, of_numbers), "correlation ratio"
  x, y = _numbers(a, values_a), _numbers(b, values_b)
  return float(max(abs(_correlation(p, q)) for p in x.T for q in y.T)), "correlation"


def _numbers(column: Column, values: np.ndarray) -> np.ndarray:
  """Float64 [N, K]."""
  values = values.astype(np.float64)
  if column.kind == "angle":
    theta = values * (2 * np.pi / column.turn)
    return np.stack([np.cos(theta), np.sin(theta)], 1)
  return values.reshape(len(values), -1)


def _cramers_v(a: np.ndarray, b: np.ndarray) -> float:
  table = scipy.stats.contingency.crosstab(a, b).count
  return float(scipy.stats.contingency.association(table, method="cramer")) if min(table.shape) > 1 else 0.0


def _correlation_ratio(classes: np.ndarray, numbers: np.ndarray) -> float:
  """The root of the part of the variance of `numbers` [N, K] that lies between the classes."""
  counts = np.bincount(classes)
  means = np.stack([np.bincount(classes, column) for column in numbers.T], 1) / np.maximum(counts, 1)[:, None]
  total = ((numbers - numbers.mean(0)) ** 2).sum()
  between = (counts[:, None] * (means - numbers.mean(0)) ** 2).sum()
  return float(np.sqrt(between / total)) if total else 0.0


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
  return float(np.corrcoef(x, y)[0, 1]) if x.std() and y.std() else 0.0
