"""Data sets of one's own images in one call: what the columns are is found, and splits are stratified.

    data = tfdisent.data.from_folder("photos")
    data = tfdisent.data.from_table("photos", kinds={"age": "number", "azimuth": "angle=360"})

`folder` and `table` are the same as registered data sets, for configurations: their arguments are plain data.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from tfdisent.arguments import checked
from tfdisent.data.assemble import Options, dataset_of_files, judge_of, judged_alone
from tfdisent.data.columns import Column, Kinds, asked, kind_of_classes
from tfdisent.data.dataset import Dataset
from tfdisent.data.detect import Found, complete_rows, find, read_texts
from tfdisent.data.folders import classes_in, read_folder, root_folder
from tfdisent.data.reading import Table, of_frame, read_table
from tfdisent.data.splits import check_choice
from tfdisent.data.tables import Files, SeveralFolders, find_files, find_splits, find_table
from tfdisent.errors import ConfigError, DataError, shown
from tfdisent.paths import expanded
from tfdisent.registry import register_dataset


@register_dataset("folder")
def folder(
  data_dir: str | None = None,
  size: int | tuple[int, int] | None = None,
  channels: int | None = None,
  broken: str = "refuse",
  test_fraction: float = 0.1,
  probe_fraction: float = 0.1,
  validation_fraction: float = 0.1,
  seed: int = 0,
  background: str | Sequence[int] = "white",
) -> Dataset:
  """Images in a folder for each class, `data_dir/cat/1.png`; the class is the column `label`, int64 [N].

  With folders of splits, `data_dir/train/cat/1.png` and `data_dir/test/…` (or `val`, … in any case), these stay.
  `tfdisent.data.folders` says which files are read.

  Args:
    data_dir: the folder.
    size: (height, width) in pixels that images are cropped and resized to, or one number for both. None takes the
      nearest of 28, 32, 64, 96, 128 that is not larger than nine in ten of the files.
    channels: 1 for grey, 3 for RGB; None for grey if all files are grey.
    broken: what happens to a file that is no image: "refuse" raises an error, "skip" warns and leaves it out.
    test_fraction, probe_fraction, validation_fraction: fractions of the images (or of the folder `train`) that become
      these splits where there is no folder for them.
    seed: the seed of the splits.
    background: the colour that transparent pixels are composed on: a name, "#ffffff", or (red, green, blue).

  Raises:
    ConfigError: an argument is out of its range.
    DataError: the folder is not there, has no images, or has a broken image; the message names the file.
  """
  root = root_folder(data_dir, "folder")
  images = read_folder(root, "folder")
  # Names of folders are taken as they are: a class may be called "NA" or "1.0".
  classes, of_file = np.unique(images.classes, return_inverse=True)
  names, codes = read_texts("label", kind := kind_of_classes(classes), classes.tolist())
  column = Column("label", kind, names, sources=("label",))
  found = Found({"label": column}, {"label": np.array(codes, np.int64)[of_file]}, {})
  return dataset_of_files(
    f"folder({root.resolve()}",
    images.files,
    found,
    images.splits,
    Options(size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed, background),
    warnings=images.warnings,
  )


@register_dataset("table")
def table(
  data_dir: str | None = None,
  table: str | None = None,
  file_column: str | None = None,
  kinds: Kinds = (),
  columns: Sequence[str] | None = None,
  split_column: str = "split",
  size: int | tuple[int, int] | None = None,
  channels: int | None = None,
  broken: str = "refuse",
  test_fraction: float = 0.1,
  probe_fraction: float = 0.1,
  validation_fraction: float = 0.1,
  seed: int = 0,
  judged: Sequence[str] | None = None,
  missing: str = "refuse",
  background: str | Sequence[int] = "white",
) -> Dataset:
  """Images that a table names, one in each row: CSV with a header, JSON lines, … (see `tfdisent.data.reading`).

  Args:
    data_dir: the folder of the table; file names are relative to it, or to a folder within it.
    table: the file name of the table; None finds it (`table.csv`, or the only table of the folder).
    file_column: the column that names the files; None finds it.
    kinds: kinds of columns that are forced, {"age": "category", "azimuth": "angle=360"}, or the words ("age:category",
      …). The kinds of the others are found: see `tfdisent.data.detect`.
    columns: the columns that are kept, as they are named when they are found ("skin" of skin_r, skin_g, skin_b); None
      keeps all.
    split_column: a column that says train, validation or test by their usual names, in any case. If there is none,
      splits are drawn.
    size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed, background: as in `folder`.
    judged: the columns that the evaluation reads from images, with a network for each; None for all.
    missing: what happens where a value is missing (empty, NA, NaN, null or ?). "refuse" raises an error if its column
      is asked for in `kinds` or `columns`, and leaves other columns out. "drop" warns and leaves the row out, if the
      column is asked for, or can be a feature where none is asked for.

  Raises:
    ConfigError: an argument is out of its range, or names no column.
    DataError: the table or its files are not there, or a value is not of the kind that is forced; the message names it.
  """
  root = root_folder(data_dir, "table")
  if table is not None and (not isinstance(table, str) or not table):
    raise ConfigError(f"table.table = {shown(table)} must be the name of a file, as in 'table.csv'.")
  with _or_classes(root, is_found=table is None and file_column is None):
    path = root / table if table else find_table(root)
    read = read_table(path, torn="drop")
    named = find_files(read.columns, root, file_column)
  dataset = _of_table(
    f"table({path.resolve()}",
    read,
    named,
    kinds,
    columns,
    split_column,
    Options(size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed, background),
    missing,
  )
  return dataset if judged is None else judged_alone(dataset, judged)


@checked("from_folder")
def from_folder(path: str | pathlib.Path, **arguments) -> Dataset:
  """The images of a folder for each class.

      data = tfdisent.data.from_folder("photos", size=64)  # photos/cat/1.jpg, photos/dog/1.jpg, …

  The arguments are those of `folder`.
  """
  return folder(data_dir=str(path), **arguments)


@checked("from_table")
def from_table(path: str | pathlib.Path, **arguments) -> Dataset:
  """The images that a table names; see `table` for the arguments.

      data = tfdisent.data.from_table("photos/table.csv", kinds={"age": "number"})

  Args:
    path: the table, "photos/people.csv", or its folder.
  """
  path = expanded(path)
  if path.is_dir():
    return table(data_dir=str(path), **arguments)
  return table(data_dir=str(path.parent), table=path.name, **arguments)


@checked("from_dataframe")
def from_dataframe(
  df,
  file_column: str | None = None,
  root: str | pathlib.Path = ".",
  kinds: Kinds = (),
  columns: Sequence[str] | None = None,
  split_column: str = "split",
  missing: str = "refuse",
  **options,
) -> Dataset:
  """Images that a data frame of pandas names, one in each row.

      data = tfdisent.data.from_dataframe(df, file_column="file", root="photos")

  Args:
    df: the data frame.
    root: the folder that file names are relative to.
    file_column, kinds, columns, split_column, missing: as in `table`.
    options: size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed and background, as in
      `folder`.
  """
  root = expanded(root)
  frame = of_frame(df)
  return _of_table(
    f"dataframe({root.resolve()}",
    frame,
    find_files(frame.columns, root, file_column),
    kinds,
    columns,
    split_column,
    Options(**options),
    missing,
  )


@checked("from_tfds")
def from_tfds(name: str, **arguments) -> Dataset:
  """A data set of TensorFlow Datasets with a judge for every column that it knows.

      data = tfdisent.data.from_tfds("fashion_mnist", data_dir="~/tensorflow_datasets")

  Args:
    name: the name of the data set, with its configuration: "emnist/digits".
    arguments: of `tfdisent.data.tfds_images.tfds_images`: data_dir, size, channels, limit, ….
  """
  from tfdisent.data.tfds_images import tfds_images

  dataset = tfds_images(name, **arguments)
  judged = {judge.column for judge in dataset.judges}
  others = tuple(judge_of(column) for column in dataset.columns.values() if column.name not in judged)
  class_names = {column.name: column.class_names for column in dataset.columns.values() if column.class_names}
  return dataclasses.replace(dataset, judges=(*dataset.judges, *others), class_names=class_names)


@contextlib.contextmanager
def _or_classes(root: pathlib.Path, is_found: bool) -> Iterator[None]:
  """Adds to an error about a table that nobody has named what the folders beside it may be: those of classes."""
  try:
    yield
  except DataError as error:
    if not is_found or isinstance(error, SeveralFolders) or len(classes_in(root)) < 2:
      raise
    raise DataError(
      f"{error} Or move what is no table of these images out of {root}: the folders in it are then the classes."
    ) from error


def _of_table(
  name,
  table: Table,
  named: Files,
  kinds: Kinds,
  kept: Sequence[str] | None,
  split_column: str,
  options: Options,
  missing: str,
) -> Dataset:
  dataset = name.partition("(")[0]
  check_choice(dataset, "missing", missing, ("refuse", "drop"))
  has_name = np.array([path is not None for path in named.paths])
  warnings = table.warnings
  if not has_name.all():
    warnings += (f"{int((~has_name).sum())} rows have no value of '{named.column}', and are left out",)
  rows = np.flatnonzero(has_name)
  table = table.rows(rows)
  paths = [named.paths[row] for row in rows]
  split = next((column for column in table.columns if column.lower() == str(split_column).lower()), None)
  given = None if split is None or split == named.column else find_splits(table.columns[split], table.where)
  of_splits = (named.column, *(() if given is None else (split,)))
  others = {column: values for column, values in table.columns.items() if column not in of_splits}
  if missing == "drop" and others:
    names = {*asked(kinds), *(kept or ())}
    needed = {of for name in names for of in (name, *(f"{name}_{channel}" for channel in "rgb"))}
    rows, more = complete_rows(others, needed or None, table.where)
    warnings += more
    if given is not None and "train" not in given[rows]:
      raise DataError(f"no image of the split train is left: {more[0]}. Fill them in, or name fewer columns.")
    table, paths, given = table.rows(rows), [paths[row] for row in rows], given if given is None else given[rows]
    others = {column: table.columns[column] for column in others}
  found = find(others, kinds, table.where)
  if kept is not None:
    if unknown := [column for column in kept if column not in found.columns]:
      if reason := found.left_out.get(unknown[0]):
        raise DataError(f"column '{unknown[0]}' cannot be kept: {reason}.")
      raise ConfigError(f"there is no column '{unknown[0]}' (columns) to keep: there are {', '.join(found.columns)}.")
    columns = {column: found.columns[column] for column in kept}
    found = Found(columns, {column: found.values[column] for column in kept}, found.left_out)
  return dataset_of_files(name, paths, found, given, options, table.notes, warnings, table.where)
