"""A table beside image files: which table it is, which of its columns names the files, and what the files are like."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import PIL.Image

from tfdisent.data.detect import Where, nth_row
from tfdisent.data.pixels import decode
from tfdisent.data.reading import TABLE_SUFFIXES
from tfdisent.data.values import as_text
from tfdisent.errors import ConfigError, DataError, shown

USUAL_NAMES = {
  **dict.fromkeys(("train", "training", "trn"), "train"),
  "probe": "probe",
  **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
  **dict.fromkeys(("test", "testing", "tst"), "test"),
}
"""The split that a word means, in any case."""
SIZES = (28, 32, 64, 96, 128)
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
"""Of Pillow."""
GREY_SPREAD = 4
"""Channels of a grey photograph in RGB differ by no more than this: JPEG rounds them."""
MOST_OPENED = 1000
"""Files whose pixels are looked at for a colour, evenly spread over all."""


def tables_in(folder: pathlib.Path) -> list[pathlib.Path]:
  """The files of a folder that are tables by their suffix, sorted; hidden ones and locks of Excel are none.

  Raises:
    DataError: the folder cannot be read.
  """
  try:
    paths = sorted(folder.iterdir())
  except OSError as error:
    raise DataError(f"the folder {folder} cannot be read: {error}.") from error
  return [
    path
    for path in paths
    if path.suffix.lower() in TABLE_SUFFIXES and not path.name.startswith((".", "~$")) and os.path.isfile(path)
  ]


def find_table(folder: pathlib.Path) -> pathlib.Path:
  """The table of a folder: `table.csv` (or .tsv, .jsonl, …), or else the only file that is one.

  Raises:
    DataError: there is none, or there are several; the message names them.
  """
  files = tables_in(folder)
  files = [path for path in files if path.stem.lower() == "table"] or files
  if len(files) != 1:
    found = f"several tables ({', '.join(path.name for path in files)})" if files else "no table"
    raise DataError(
      f"{folder} has {found}: name the table, as in '{folder / 'table.csv'}' ({', '.join(TABLE_SUFFIXES)})."
    )
  return files[0]


class SeveralFolders(DataError):
  """Names of a table are files in several folders."""


class Files(NamedTuple):
  """The files that a column of a table names."""

  column: str
  paths: list[pathlib.Path | None]
  """None where the table has no name."""


def find_files(table: Mapping[str, Sequence], root: pathlib.Path, column: str | None = None) -> Files:
  """The column whose values are files that exist, in `root` or in a folder within it, and their paths.

  Args:
    table: the columns.
    root: the folder that names are relative to.
    column: the name of the column; None to find it.

  Raises:
    DataError: there is no such column, or its names are files in several folders; the message says how to name it.
  """
  if column is not None and (not isinstance(column, str) or column not in table):
    raise ConfigError(f"there is no column '{column}' (file_column): the columns are {', '.join(map(str, table))}.")
  bases = [root, *(sorted(path for path in root.iterdir() if os.path.isdir(path)) if root.is_dir() else ())]
  bases = [path for path in bases if path == root or not path.name.startswith(".")]
  for name in table if column is None else (column,):
    values = [as_text(value).replace("\\", "/") for value in table[name]]  # a table that Windows wrote
    some = [value for value in values if value][:20]
    if base := _base(name, some, bases):
      return Files(name, [base / value if value else None for value in values])
    if column is not None and some:
      raise DataError(f"column '{column}' names '{some[0]}', and there is no such file in {root} or the folders in it.")
  raise DataError(
    f"no column of the table names files that are in {root} or in the folders in it: the columns are "
    f"{', '.join(map(str, table))}. Name the column (file_column='file'), or correct the names."
  )


def _base(column: str, names: Sequence[str], bases: Sequence[pathlib.Path]) -> pathlib.Path | None:
  """The folder that has all files of these names: the first of `bases`, or else the only one of the others.

  Raises:
    SeveralFolders: several of the others have them; the message names two.
  """
  # Values such as "1" or "cat" may be folders or files without a suffix, and are no images then.
  if not names or not all("." in name for name in names):
    return None
  found = {}
  for base in bases:
    # Not by pathlib, which raises an error for free text that is too long for a name.
    if all(os.path.isfile(base / name) for name in names):
      if base == bases[0]:
        return base
      found.setdefault(os.path.realpath(base / names[0]), base)  # two links to one folder are no choice
  if len(found) > 1:
    first, second = [base.name for base in found.values()][:2]
    raise SeveralFolders(
      f"column '{column}' names '{names[0]}', which is a file in the folder '{first}' and another one in '{second}' of "
      f"{bases[0]}: write the folder into the table, as in '{second}/{names[0]}'."
    )
  return next(iter(found.values()), None)


def find_splits(values: Sequence, where: Where = nth_row) -> np.ndarray | None:
  """The split of each row, [N], or None if the values are no names of splits; `where` names a row in messages.

  Raises:
    DataError: there is a row without a split; the message names its value.
  """
  texts = [as_text(value) for value in values]
  splits = [USUAL_NAMES.get(text.lower()) for text in texts]
  if "train" not in splits:
    return None
  if None in splits:
    raise DataError(
      f"the column of splits has the value {shown(texts[splits.index(None)])} in {where(splits.index(None))}: write "
      "train, validation or test in each row, or rename the column."
    )
  return np.array(splits)


# --- What the files are like ------------------------------------------------------------------------------------------


def look_at(files: Sequence[pathlib.Path], with_channels: bool = True) -> tuple[np.ndarray, bool]:
  """(width, height) of each image file that can be read, [M, 2], and whether all of them are grey.

  Only headers are read, and pixels of files in colour until one is found that is not grey, of at most `MOST_OPENED`.

  Args:
    files: N image files.
    with_channels: whether to look for colour; if not, the answer is False.
  """
  with ThreadPoolExecutor() as pool:
    headers = [header for header in pool.map(_header, files) if header is not None]
    in_color = [header[3] for header in headers if not header[2]] if with_channels else []
    spread = in_color[:: max(1, -(-len(in_color) // MOST_OPENED))]
    found = any(pool.map(_has_color, spread))  # once there is one, what is left is cancelled
  sizes = np.array([header[:2] for header in headers], int).reshape(-1, 2)
  return sizes, with_channels and not found


def _header(file):
  try:
    with PIL.Image.open(file) as image:
      return *image.size, image.mode in GREY_MODES, file
  except Exception:  # Pillow raises many types for damaged files
    return None  # whoever decodes it says what is wrong


def _has_color(file) -> bool:
  try:
    with PIL.Image.open(file) as image:
      pixels = decode(image, (image.height, image.width, 3)).image.astype(int)
  except Exception:  # Pillow's, of many types
    return False
  return bool(np.ptp(pixels, axis=2).max() > GREY_SPREAD)


def size_for(sizes: np.ndarray) -> int:
  """The size that images are made: of `SIZES`, the nearest that is not larger than nine in ten of the files.

  Files that are smaller than all of `SIZES` keep their own.

  Args:
    sizes: (width, height) of files, [M, 2].
  """
  own = int(np.quantile(sizes.min(1), 0.1, method="lower"))
  return max((size for size in SIZES if size <= own), default=own)


def notes_on(sizes: np.ndarray, shape: tuple[int, int, int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """A note on what becomes of files of these sizes, [M, 2], and a warning if their aspect ratios differ by a half."""
  (least_w, least_h), (most_w, most_h) = sizes.min(0), sizes.max(0)
  from_to = f"{least_w}x{least_h}" + ("" if (sizes == sizes[0]).all() else f" to {most_w}x{most_h}")
  height, width, channels = shape
  made = f"{width}x{height} pixels, {'grey' if channels == 1 else 'in colour'}"
  note = f"the files have {from_to} pixels (width x height); the images are made {made}"
  low, high = np.quantile(sizes[:, 0] / sizes[:, 1], (0.05, 0.95))
  warning = (
    f"the images have very different aspect ratios, of {low:.2f} to {high:.2f} (width / height): they are cropped at "
    "their centre, so much of some of them is lost"
  )
  return (note,), (warning,) if high > 1.5 * low else ()
