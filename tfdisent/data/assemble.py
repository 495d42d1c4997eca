"""From the columns that were found and the images to a data set: splits, judges, names, and what is said of them."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from absl import logging

from tfdisent.arguments import checked
from tfdisent.data.columns import Column
from tfdisent.data.dataset import SPLITS, Dataset, Examples, Judge, Shards
from tfdisent.data.decoding import in_splits
from tfdisent.data.detect import Found
from tfdisent.data.look import first_warnings
from tfdisent.data.pixels import WHITE, as_background
from tfdisent.data.splits import (
  check_channels,
  check_choice,
  check_fractions,
  check_rows,
  divide,
  height_and_width,
  stratified,
)
from tfdisent.data.tables import look_at, notes_on, size_for
from tfdisent.errors import ConfigError


@checked("from_dataframe")  # which has them as keywords
@dataclasses.dataclass(frozen=True)
class Options:
  """How files become images, and rows become splits: see the arguments of `tfdisent.data.sources.folder`."""

  size: int | tuple[int, int] | None = None
  channels: int | None = None
  broken: str = "refuse"
  test_fraction: float = 0.1
  probe_fraction: float = 0.1
  validation_fraction: float = 0.1
  seed: int = 0
  background: str | Sequence[int] = "white"

  @property
  def fractions(self) -> dict[str, float]:
    """The fraction of each split but `train`."""
    return {"test": self.test_fraction, "probe": self.probe_fraction, "validation": self.validation_fraction}


def judge_of(column: Column) -> Judge:
  """How the evaluation reads a column from images. A colour is read by an estimator, like three numbers."""
  if column.is_discrete:
    return Judge(column.name, column.name, "classifier")
  return Judge(column.name, column.name, "angle" if column.kind == "angle" else "number", column.turn)


def judged_alone(dataset: Dataset, columns: Sequence[str]) -> Dataset:
  """The same data set with judges of some columns alone.

  Raises:
    ConfigError: there is no such column.
  """
  judges = {judge.column: judge for judge in dataset.judges}
  if unknown := [column for column in columns if column not in judges]:
    raise ConfigError(f"there is no column '{unknown[0]}' (judged): there are {', '.join(judges)}.")
  return dataclasses.replace(dataset, judges=tuple(judges[column] for column in dict.fromkeys(columns)))


def dataset_of_files(
  name: str,
  files: Sequence[pathlib.Path],
  found: Found,
  given: np.ndarray | None,
  options: Options,
  notes: tuple[str, ...] = (),
  warnings: tuple[str, ...] = (),
  where: Callable[[int], str] | None = None,
) -> Dataset:
  """A data set of image files.

  Args:
    name: the beginning of its name, "table(/photos/table.csv".
    files: N files.
    found: their columns.
    given: as of `rows_of_splits`.
    options: how they become images and splits.
    notes, warnings: for people, what was seen before.
    where: names the row of the table that a file is in; None if there is no table.
  """
  size, channels, broken = options.size, options.channels, options.broken
  kind = name.partition("(")[0]
  check_choice(kind, "broken", broken, ("refuse", "skip"))
  check_channels(kind, channels, may_be_none=True)
  if size is not None:
    height_and_width(kind, size)
  sizes, is_grey = look_at(files, with_channels=channels is None)
  if size is None:
    size = size_for(sizes) if len(sizes) else 1  # of files that are all broken, the decoder names one
  shape = (*height_and_width(kind, size), channels or (1 if is_grey else 3))
  of_sizes, more = notes_on(sizes, shape) if len(sizes) else ((), ())
  rows = rows_of_splits(found, given, len(files), options.fractions, options.seed)
  class_names = {column.name: column.class_names for column in found.columns.values() if column.class_names}
  background = as_background(options.background)
  splits, digest, of_files = in_splits(files, found.values, rows, shape, broken, class_names, where, background)
  return dataset_of(f"{name}, ", splits, found, digest, (*of_sizes, *notes), (*warnings, *more, *of_files), background)


def rows_of_splits(
  found: Found,
  given: np.ndarray | None,
  count: int,
  fractions: Mapping[str, float],
  seed: int,
  is_stratified: bool = True,
) -> dict[str, np.ndarray]:
  """The row numbers of each split, in a random order.

  Args:
    found: the columns; the splits that are drawn are stratified over the discrete ones.
    given: the split of each row, [N], if the data tell it; splits that it lacks are drawn from its `train`.
    count: N.
    fractions: of `train` or of all rows, for each split but `train`.
    seed: of the draw.
    is_stratified: False for a plain draw, which is as good for very many rows, and far faster.
  """
  random_state = np.random.default_rng(seed)
  missing = {split: of for split, of in fractions.items() if given is None or split not in given}
  check_fractions("the splits", {f"{split}_fraction": of for split, of in fractions.items()})
  pool = np.arange(count) if given is None else np.flatnonzero(given == "train")
  classes = [found.values[column.name][pool] for column in found.columns.values() if column.is_discrete]
  classes = np.stack(classes, 1) if classes else np.zeros((len(pool), 0), int)
  if is_stratified:
    parts = stratified(classes, tuple(missing.values()), random_state)
  else:
    parts = divide(random_state.permutation(len(pool)), missing.values(), at_least=1)
  rows = {split: pool[of] for split, of in zip((*missing, "train"), parts)}
  rows = {
    split: rows[split] if split in rows else random_state.permutation(np.flatnonzero(given == split))
    for split in SPLITS
  }
  check_rows("the data set", rows, {f"{split}_fraction": of for split, of in missing.items()})
  return rows


def dataset_of(
  name: str,
  splits: Mapping[str, Examples],
  found: Found,
  digest: str,
  notes: tuple[str, ...] = (),
  warnings: tuple[str, ...] = (),
  background: tuple[int, int, int] = WHITE,
  shards: Shards | None = None,
) -> Dataset:
  """A data set with a judge for each column; `digest` is of its examples, and warnings are logged."""
  counts = tuple(len(splits[split]["image"]) for split in SPLITS)
  left_out = tuple(f"'{column}' is left out: {reason}" for column, reason in found.left_out.items())
  for warning in (*warnings, *first_warnings(found.columns, splits)):
    logging.warning("%s.", warning)
  return Dataset(
    **splits,
    name=f"{name}{splits['train']['image'].shape[1:]}, {counts}, {digest})",
    judges=tuple(map(judge_of, found.columns.values())),
    class_names={column.name: column.class_names for column in found.columns.values() if column.class_names},
    columns=found.columns,
    notes=(*notes, *left_out),
    warnings=warnings,
    background=background,
    shards=shards,
  )
