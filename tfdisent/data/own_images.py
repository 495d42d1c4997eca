"""The user's own images: a folder for each class, or a table that names the files.

Images are cropped at their centre and resized once; `tfdisent.data.image_cache` keeps the results.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from tfdisent.data.columns import Asked, Column, kind_of_classes
from tfdisent.data.dataset import Dataset, Judge
from tfdisent.data.decoding import decoded, in_splits  # noqa: F401  (version 0.1 had `decoded` here)
from tfdisent.data.detect import complete_rows, read_column
from tfdisent.data.folders import read_folder, root_folder
from tfdisent.data.look import first_warnings
from tfdisent.data.pixels import as_background
from tfdisent.data.reading import Table, read_table
from tfdisent.data.splits import (
  check_choice,
  check_fractions,
  check_rows,
  check_size_and_channels,
  check_turns,
  divide,
)
from tfdisent.data.values import natural_order
from tfdisent.errors import ConfigError, DataError, shown
from tfdisent.registry import register_dataset


@register_dataset("image_folder")
def image_folder(
  data_dir: str | None = None,
  size: int | tuple[int, int] = 64,
  channels: int = 3,
  broken: str = "refuse",
  test_fraction: float = 0.1,
  probe_fraction: float = 0.1,
  validation_fraction: float = 0.1,
  seed: int = 0,
  background: str | Sequence[int] = "white",
) -> Dataset:
  """Images in a folder for each class: `data_dir/cat/1.png`, or `data_dir/train/cat/1.png` and `data_dir/test/…`.

  The second layout is that of TFDS's `ImageFolder`; its folders `test` and `val` (`validation`, `valid`, `dev`, in any
  case) become these splits. The column `label`, int64 [N], is the index of the class in the names of the folders, which
  are in their natural order: 2 before 10. `tfdisent.data.folders` says which files are read.

  Args:
    data_dir: the folder.
    size: (height, width) in pixels that images are cropped and resized to, or one number for both.
    channels: 1 for grey, 3 for RGB.
    broken: what happens to a file that is no image: "refuse" raises an error, "skip" warns and leaves it out.
    test_fraction: fraction of the images that becomes the test split, unless there is a folder for it.
    probe_fraction, validation_fraction: fractions of the other images that become these splits, likewise.
    seed: the seed of the splits.
    background: the colour that transparent pixels are composed on: a name, "#ffffff", or (red, green, blue).

  Raises:
    ConfigError: an argument is out of its range.
    DataError: the folder is not there, has no images, or has a broken image; the message names the file.
  """
  root = root_folder(data_dir, "image_folder")
  folder = read_folder(root, "image_folder")
  names = natural_order({*folder.classes})
  place = {name: number for number, name in enumerate(names)}
  return _dataset(
    "image_folder",
    folder.files,
    {"label": np.array([place[name] for name in folder.classes], np.int64)},
    (Judge("label", "label", "classifier"),),
    folder.splits,
    (size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed),
    description=f"{root.resolve()}, {len(names)} classes",
    class_names={"label": tuple(names)},
    background=as_background(background),
    warnings=folder.warnings,
  )


@register_dataset("image_table")
def image_table(
  data_dir: str | None = None,
  table: str = "table.csv",
  file_column: str = "file",
  discrete: Sequence[str] = (),
  continuous: Sequence[str] = (),
  angles: Mapping[str, float] | None = None,
  symmetric: Mapping[str, Sequence[str]] | None = None,
  test_every: int = 0,
  size: int | tuple[int, int] = 64,
  channels: int = 3,
  broken: str = "refuse",
  test_fraction: float = 0.1,
  probe_fraction: float = 0.1,
  validation_fraction: float = 0.1,
  seed: int = 0,
  missing: str = "refuse",
  background: str | Sequence[int] = "white",
) -> Dataset:
  """Images that a table names, one in each row: CSV with a header, JSON lines, … (see `tfdisent.data.reading`).

  Args:
    data_dir: the folder that `table` and the files are relative to.
    table: the file name of the table.
    file_column: the column with the names of the image files.
    discrete: columns of classes. Each becomes int64 [N], the index of the value in the values' natural order.
    continuous: columns of numbers. Each becomes float32 [N].
    angles: columns of angles, float32 [N], each with a full turn in its unit: {"azimuth": 360}.
    symmetric: for discrete columns, the classes that look the same from all sides: {"object": ("bowl", "cup")}. The
      judges of `angles` skip images of these classes.
    test_every: if it is k > 0, every k-th row, from the first one on, is in the test split, and `test_fraction` has no
      effect.
    size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed, background: as in `image_folder`.
    missing: what happens to a row that lacks a value in one of these columns (empty, NA, NaN, null or ?): "refuse"
      raises an error, "drop" warns and leaves it out.

  Raises:
    ConfigError, DataError: as in `image_folder`; also if the table lacks a column or a value, or a value is no number.
      The message names the row and its line.
  """
  root = root_folder(data_dir, "image_table")
  path, angles = root / table, dict(angles or {})
  check_turns("image_table", angles)
  check_choice("image_table", "missing", missing, ("refuse", "drop"))
  if test_every < 0 or test_every == 1:
    raise ConfigError(
      f"image_table.test_every = {shown(test_every)} must be a whole number: 0, or k >= 2 for every k-th row."
    )
  kinds = {"category": tuple(discrete), "number": tuple(continuous)}
  asked = [Asked(name, kind) for kind, names in kinds.items() for name in names]
  asked += [Asked(name, "angle", turn) for name, turn in angles.items()]
  rows = _asked_rows(read_table(path, torn="drop" if missing == "drop" else "keep"), file_column, asked, missing)
  read = {wish.name: read_column(wish.name, rows.columns[wish.name], wish, rows.where) for wish in asked}
  class_names = {name: names for name, (names, _) in read.items() if names}
  symmetric_classes = _symmetric_classes(dict(symmetric or {}), class_names, kinds["category"])
  files = [root / str(name) for name in rows.columns[file_column]]
  _check_files(files, file_column, rows)
  return _dataset(
    "image_table",
    files,
    {name: values for name, (_, values) in read.items()},
    (
      *(Judge(name, name, "classifier") for name in kinds["category"]),
      *(Judge(name, name, "number") for name in kinds["number"]),
      *(Judge(name, name, "angle", turn, symmetric_classes) for name, turn in angles.items()),
    ),
    np.where(np.arange(len(files)) % test_every == 0, "test", "train") if test_every else None,
    (size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed),
    description=f"{path.resolve()}, {kinds['category']}, {kinds['number']}, {angles}, {test_every}",
    class_names=class_names,
    background=as_background(background),
    notes=rows.notes,
    warnings=rows.warnings,
    where=rows.where,
  )


def _symmetric_classes(
  symmetric: Mapping[str, Sequence[str]], class_names: Mapping[str, tuple[str, ...]], discrete: tuple[str, ...]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
  """The numbers of the classes that look the same from all sides, by column; refuses others, and all of a column."""
  for name, classes in symmetric.items():
    if unknown := sorted(set(classes) - set(class_names.get(name, ()))):
      raise ConfigError(
        f"image_table.symmetric: {shown(unknown[0])} is no class of '{name}'; those of image_table.discrete = "
        f"{discrete} are {class_names}."
      )
    if set(classes) == set(class_names.get(name, ())):
      raise ConfigError(f"image_table.symmetric has every class of '{name}': no image is left to judge an angle on.")
  return tuple((name, tuple(map(class_names[name].index, classes))) for name, classes in symmetric.items())


def _check_files(files: Sequence[pathlib.Path], file_column: str, rows: Table) -> None:
  """Raises `DataError` if not one of the files is there: the column has other texts, or the folder is another one."""
  if not any(map(os.path.isfile, files)):
    what = "is a folder" if os.path.isdir(files[0]) else "is not there"
    raise DataError(
      f"image_table.file_column = {shown(file_column)} names no files: {files[0]}, in {rows.where(0)}, {what}."
    )


def _asked_rows(table: Table, file_column: str, asked: Sequence[Asked], missing: str) -> Table:
  """The rows of a table with a value in each column that is asked for."""
  names = [wish.name for wish in asked]
  if twice := sorted({name for name in names if names.count(name) > 1}):
    raise ConfigError(
      f"image_table: column '{twice[0]}' is asked for twice (discrete, continuous, angles): choose one."
    )
  if "image" in names:
    raise ConfigError("image_table: a column cannot be called 'image', since the pixels have this name: rename it.")
  for name in (file_column, *names):
    if name not in table.columns:
      raise DataError(f"{table.path} has no column '{name}'; its columns are {', '.join(map(str, table.columns))}.")
  if missing == "drop":
    rows, warnings = complete_rows(table.columns, (file_column, *names), table.where)
    return table.rows(rows)._replace(warnings=table.warnings + warnings)
  read_column(file_column, table.columns[file_column], Asked(file_column, "category"), table.where)  # if one is missing
  return table


def _dataset(
  name,
  files,
  columns,
  judges,
  given,
  arguments,
  description,
  class_names,
  background,
  notes=(),
  warnings=(),
  where=None,
) -> Dataset:
  """Decodes the images in the order of their splits, so that the images of a split are a slice of the mapped file.

  Args:
    given: the split of each image, [N], of which those that are not named are drawn; None to draw all.
    where: as of `in_splits`.
  """
  size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed = arguments
  shape = check_size_and_channels(name, size, channels)
  check_choice(name, "broken", broken, ("refuse", "skip"))
  of_rest = {"probe_fraction": probe_fraction, "validation_fraction": validation_fraction}
  check_fractions(name, {"test_fraction": test_fraction}, of_rest)

  order = np.random.default_rng(seed).permutation(len(files))
  of_order = np.full(len(files), "train") if given is None else given[order]
  rows = {split: order[of_order == split] for split in np.unique(of_order).tolist()}
  rest = rows.pop("train", order[:0])
  of_all = {} if "test" in rows else {"test_fraction": test_fraction}
  if of_all:
    rows["test"], rest = divide(rest, (test_fraction,))
  missing = [split for split in ("probe", "validation") if split not in rows]
  *parts, rows["train"] = divide(rest, [of_rest[f"{split}_fraction"] for split in missing])
  rows |= dict(zip(missing, parts))
  check_rows(name, rows, of_all, {f"{split}_fraction": of_rest[f"{split}_fraction"] for split in missing})

  splits, digest, more = in_splits(files, columns, rows, shape, broken, class_names, where, background)
  arguments = (size if isinstance(size, int) else tuple(size), *arguments[1:])
  name = f"{name}({description}, {arguments}, {digest})"
  known = {column: Column(column, kind_of_classes(names), names) for column, names in class_names.items()}
  for judge in judges:
    if judge.kind in ("number", "angle"):
      known[judge.column] = Column(judge.column, judge.kind, turn=judge.turn)
  warnings = (*warnings, *more)
  for warning in (*warnings, *first_warnings(known, splits)):
    logging.warning("%s.", warning)
  return Dataset(
    **splits,
    name=name,
    judges=judges,
    class_names=class_names,
    columns=known,
    notes=tuple(notes),
    warnings=warnings,
    background=background,
  )
