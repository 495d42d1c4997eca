"""Data sets of one's own images in one call: what the columns are is found, and splits are stratified.

    data = tfdisent.data.from_folder("photos")
    data = tfdisent.data.from_table("photos", kinds={"age": "number", "azimuth": "angle=360"})
    data = tfdisent.data.from_arrays(images, {"digit": labels, "color": rgb})

`folder` and `table` are the same as registered data sets, for configurations: their arguments are plain data.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfdisent.data.assemble import Options, dataset_of, dataset_of_files, judge_of, rows_of_splits
from tfdisent.data.dataset import SPLITS, Dataset, check_images
from tfdisent.data.detect import Found, find
from tfdisent.data.image_cache import update_with_columns
from tfdisent.data.own_images import files_in_folders, root_folder
from tfdisent.data.tables import USUAL_NAMES, find_files, find_splits, find_table, read_columns
from tfdisent.errors import ConfigError, DataError
from tfdisent.registry import register_dataset

Kinds = Mapping[str, str] | Sequence[str]
"""Kinds that are forced: {"age": "category", "azimuth": "angle=360"}, or the words ("age:category", …)."""


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
  folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
  of_folder = {path: USUAL_NAMES.get(path.name.lower()) for path in folders}
  has_splits = "train" in of_folder.values() and len({*of_folder.values(), None}) > 2  # a class may be called "train"
  others = [path.name for path, split in of_folder.items() if has_splits and split is None]
  files, classes, splits = [], [], []
  for path, split in of_folder.items() if has_splits else ((root, ""),):
    if split is None:
      continue
    of_path, of_classes = files_in_folders(path, "folder")
    files, classes, splits = files + of_path, classes + of_classes, splits + [split] * len(of_path)
  kind = "attribute" if len(set(classes)) == 2 else "category"
  found = find({"label": classes}, {"label": kind})
  return dataset_of_files(
    f"folder({root.resolve()}",
    files,
    found,
    np.array(splits) if has_splits else None,
    Options(size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed, background),
    (f"beside the folders of splits, {', '.join(others)} is left out",) if others else (),
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
  background: str | Sequence[int] = "white",
) -> Dataset:
  """Images that a table names, one in each row: CSV with a header, or JSON lines.

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

  Raises:
    ConfigError: an argument is out of its range, or names no column.
    DataError: the table or its files are not there, or a value is not of the kind that is forced; the message names it.
  """
  root = root_folder(data_dir, "table")
  path = root / table if table else find_table(root)
  values, warnings = read_columns(path)
  return _of_table(
    f"table({path.resolve()}",
    values,
    root,
    file_column,
    kinds,
    columns,
    split_column,
    Options(size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed, background),
    warnings,
  )


def from_folder(path: str | pathlib.Path, **arguments) -> Dataset:
  """The images of a folder for each class; see `folder` for the arguments."""
  return folder(data_dir=str(path), **arguments)


def from_table(path: str | pathlib.Path, **arguments) -> Dataset:
  """The images that a table names; see `table` for the arguments.

  Args:
    path: the table, "photos/people.csv", or its folder.
  """
  path = pathlib.Path(path).expanduser()
  if path.is_dir():
    return table(data_dir=str(path), **arguments)
  return table(data_dir=str(path.parent), table=path.name, **arguments)


def from_dataframe(
  df,
  file_column: str | None = None,
  root: str | pathlib.Path = ".",
  kinds: Kinds = (),
  columns: Sequence[str] | None = None,
  split_column: str = "split",
  **options,
) -> Dataset:
  """Images that a data frame of pandas names, one in each row.

  Args:
    df: the data frame.
    root: the folder that file names are relative to.
    file_column, kinds, columns, split_column: as in `table`.
    options: size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed and background, as in
      `folder`.
  """
  root = pathlib.Path(root).expanduser()
  return _of_table(
    f"dataframe({root.resolve()}",
    {str(name): df[name].to_numpy() for name in df.columns},
    root,
    file_column,
    kinds,
    columns,
    split_column,
    Options(**options),
  )


def from_arrays(
  images: np.ndarray,
  columns: Mapping[str, Sequence | np.ndarray] | np.ndarray,
  kinds: Kinds = (),
  split: Sequence[str] | None = None,
  test_fraction: float = 0.1,
  probe_fraction: float = 0.1,
  validation_fraction: float = 0.1,
  seed: int = 0,
) -> Dataset:
  """Images in memory with their properties.

      from_arrays(images, {"digit": y, "color": rgb, "age": x}, kinds={"age": "number"})

  Args:
    images: uint8 or float in [0, 1], [N, H, W, C] with C of 1 or 3, or [N, H, W].
    columns: for each property its values [N], or colours [N, 3]; one array alone is called "label".
    kinds: as in `table`.
    split: "train", "validation" or "test" of each image, [N]; None draws the splits.
    test_fraction, probe_fraction, validation_fraction, seed: as in `table`.

  Raises:
    ConfigError, DataError: as `table`; also if a column has not one value for each image.
  """
  images = np.asarray(images)
  images = images[..., None] if images.ndim == 3 else images
  check_images(images, "images")
  columns = dict(columns) if isinstance(columns, Mapping) else {"label": columns}
  for name, values in [*columns.items(), *([("split", split)] if split is not None else ())]:
    if len(values) != len(images):
      raise DataError(f"column '{name}' has {len(values)} values, and there are {len(images)} images.")
  if images.dtype != np.uint8:
    images = np.rint(images * 255).astype(np.uint8)
  found = find(columns, kinds)
  options = Options(
    test_fraction=test_fraction, probe_fraction=probe_fraction, validation_fraction=validation_fraction, seed=seed
  )
  given = None if split is None else find_splits(split)
  if split is not None and given is None:
    raise ConfigError("from_arrays: split has no 'train': give train, validation or test for each image.")
  rows = rows_of_splits(found, given, len(images), options.fractions, options.seed)
  splits = {
    name: {"image": images[of], **{column: values[of] for column, values in found.values.items()}}
    for name, of in rows.items()
  }
  content = hashlib.sha256(str(found.columns).encode())
  for name in SPLITS:
    update_with_columns(content, splits[name])
  return dataset_of("arrays(", splits, found, content.hexdigest()[:12])


def from_tfds(name: str, **arguments) -> Dataset:
  """A data set of TensorFlow Datasets with a judge for every column that it knows.

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


def _of_table(
  name,
  table: Mapping[str, Sequence],
  root: pathlib.Path,
  file_column: str | None,
  kinds: Kinds,
  kept: Sequence[str] | None,
  split_column: str,
  options: Options,
  warnings: tuple[str, ...] = (),
) -> Dataset:
  named = find_files(table, root, file_column)
  has_name = np.array([path is not None for path in named.paths])
  if not has_name.all():
    warnings += (f"{int((~has_name).sum())} rows have no value of '{named.column}', and are left out",)
  rows = np.flatnonzero(has_name)
  others = {column: [values[i] for i in rows] for column, values in table.items() if column != named.column}
  split = next((column for column in others if column.lower() == split_column.lower()), None)
  given = None if split is None else find_splits(others[split])
  if given is not None:
    del others[split]
  found = find(others, kinds)
  if kept is not None:
    if unknown := [column for column in kept if column not in found.columns]:
      raise ConfigError(f"there is no column '{unknown[0]}' (columns) to keep: there are {', '.join(found.columns)}.")
    kept = {column: found.columns[column] for column in kept}
    found = Found(kept, {column: found.values[column] for column in kept}, found.left_out)
  return dataset_of_files(name, [named.paths[i] for i in rows], found, given, options, warnings)
