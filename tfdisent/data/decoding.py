"""Image files as the examples of splits: decoded once, and told of where they are broken or there twice."""

import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from absl import logging

from tfdisent.data.alike import warning_of_copies
from tfdisent.data.columns import Column, kind_of_classes
from tfdisent.data.dataset import SPLITS, Examples
from tfdisent.data.image_cache import Prepared, cached_images, state, update_with_columns
from tfdisent.data.pixels import WHITE, Decoded, decode
from tfdisent.data.splits import check_rows
from tfdisent.errors import DataError

MOST_NAMED = 10
"""Files that a message names."""


def in_splits(
  files: Sequence[pathlib.Path],
  columns: Mapping[str, np.ndarray],
  rows: Mapping[str, np.ndarray],
  shape: tuple[int, int, int],
  broken: str,
  class_names: Mapping[str, tuple[str, ...]],
  where: Callable[[int], str] | None = None,
  background: tuple[int, int, int] = WHITE,
) -> tuple[dict[str, Examples], str, tuple[str, ...]]:
  """The examples of each split, a digest of them and of the class names, and warnings.

  Args:
    files: N image files.
    columns: [N] or [N, K] each.
    rows: the row numbers of each split.
    shape, broken, background: as of `decoded`.
    class_names: of `Dataset`.
    where: names the row of the table that a file is in; None if there is no table.

  Raises:
    DataError: as of `decoded`; also if a class is left without an image, or a split.
  """
  order = np.concatenate([rows[split] for split in SPLITS])
  name_of = lambda i: f"{where(i)}, {files[i]}" if where else str(files[i])  # noqa: E731
  prepared = _decoded([files[i] for i in order], shape, broken, [name_of(i) for i in order], background)
  is_image = prepared.columns["is_image"]
  skipped, kept = order[~is_image], order[is_image]
  for column, names in class_names.items():
    for lost in sorted({*columns[column][skipped]} - {*columns[column][kept]}):
      raise DataError(f"no file of the class '{names[lost]}' ('{column}') can be read: mend them, or remove the class.")
  splits, start, of_split = {}, 0, {}
  content = hashlib.sha256(f"{prepared.digest} {class_names}".encode())
  for split in SPLITS:
    of_split[split] = rows[split][np.isin(rows[split], kept)]
    end = start + len(of_split[split])
    others = {column: values[of_split[split]] for column, values in columns.items()}
    splits[split] = {"image": prepared.images[start:end], **others}
    update_with_columns(content, others)
    start = end
  check_rows("the files that can be read", of_split)
  warnings = ()
  if len(skipped):
    some = _first([name_of(i) for i in sorted(skipped)])
    warnings = (f"{len(skipped)} of {len(files)} files cannot be read as images, and are skipped: {some}",)
  known = {name: Column(name, kind_of_classes(names), names) for name, names in class_names.items()}
  root = os.path.commonpath([file.parent.absolute() for file in files])
  short_name = lambda split, row: os.path.relpath(files[of_split[split][row]], root)  # noqa: E731
  return splits, content.hexdigest()[:12], warnings + warning_of_copies(splits, prepared.checks, known, short_name)


def _first(names: Sequence[str]) -> str:
  return "; ".join(names[:MOST_NAMED]) + (f"; and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def decoded(
  files: Sequence[pathlib.Path],
  shape: tuple[int, int, int],
  broken: str = "refuse",
  background: tuple[int, int, int] = WHITE,
) -> tuple[np.ndarray, np.ndarray]:
  """Images of `shape` from N files, mapped into memory from the cache; files that the cache lacks are decoded first.

  Args:
    files: image files.
    shape: (H, W, C). Images are cropped at their centre to H:W and resized.
    broken: what happens to a file that is no image: "refuse" or "skip".
    background: the colour that transparent pixels are composed on: see `tfdisent.data.pixels`.

  Returns:
    uint8 [M, H, W, C], the images of the M files that could be read; and bool [N], which files these are.

  Raises:
    DataError: a file cannot be read and `broken` is "refuse", or no file can be read.
  """
  prepared = _decoded(files, shape, broken, [*map(str, files)], background)
  return prepared.images, prepared.columns["is_image"]


def _decoded(files, shape, broken, names, background) -> Prepared:
  """The images as they are cached, with the column `is_image`; `names` are those of the files in messages."""

  def produce(append):
    rows = range(len(files))
    is_image = decode_all(rows, lambda i: decode(files[i], shape, background), names.__getitem__, broken, append)
    return {"is_image": is_image}

  states = [(str(file.absolute()), *state(file)) for file in files]
  return cached_images(f"{states} {broken} {background}", shape, f"{len(files)} images", produce)


def decode_all(
  rows: Sequence[int],
  decode_one: Callable[[int], Decoded],
  name_of: Callable[[int], str],
  broken: str,
  append: Callable[[np.ndarray], None],
) -> np.ndarray:
  """Decodes images and appends them in the order of `rows`; returns which of them could be read, bool [N].

  Args:
    rows: N row numbers.
    decode_one: from a row number to the image; raises `ValueError` if it cannot be read.
    name_of: from a row number to the name of the image in messages.
    broken: as of `decoded`.
    append: gets each image, uint8 [H, W, C].

  Raises:
    DataError: as of `decoded`.
  """

  def read(row):
    try:
      return decode_one(row)
    except ValueError as error:
      return error

  is_image, said, notes = [], [], {}
  with ThreadPoolExecutor() as pool:
    for start in range(0, len(rows), 1024):  # in blocks, so that at most 1,024 images are in memory
      for row, result in zip(rows[start : start + 1024], pool.map(read, rows[start : start + 1024])):
        is_image.append(not isinstance(result, ValueError))
        if not is_image[-1]:
          said.append(f"{name_of(row)} cannot be read as an image ({result})")
          continue
        append(result.image)
        if result.note:
          notes.setdefault(result.note, []).append(name_of(row))
  if said and broken == "refuse":
    of_all = f"{len(said)} of {len(rows)} files are broken: " if len(said) > 1 else ""
    raise DataError(f"{of_all}{_first(said)}. Remove them, or bind `broken = 'skip'` of the data set.")
  for sentence in said[:MOST_NAMED]:
    logging.warning("%s and is skipped.", sentence)
  for note, of_files in notes.items():
    others = f" ({len(of_files) - 1:,} other files likewise)" if len(of_files) > 1 else ""
    logging.warning("%s: %s%s.", min(of_files), note, others)
  return np.array(is_image, bool)
