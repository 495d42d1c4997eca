"""The user's own images: a folder for each class, or a table that names the files.

Images are cropped at their centre to the asked-for shape and resized, once: see `tfdisent.data.image_cache`.
"""

import csv
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import PIL.ImageOps
from absl import logging

from tfdisent.data.dataset import SPLITS, Dataset, Judge
from tfdisent.data.image_cache import cached_images, fitted, state, update_with_columns
from tfdisent.data.splits import check_channels, check_fractions, divide, height_and_width
from tfdisent.errors import ConfigError, DataError
from tfdisent.registry import register_dataset

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


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
) -> Dataset:
  """Images in a folder for each class: `data_dir/cat/1.png`, or `data_dir/train/cat/1.png` and `data_dir/test/…`.

  The second layout is that of TFDS's `ImageFolder`; its `test` becomes the test split. The column `label`, int64 [N],
  is the place of the class among the sorted names of the folders.

  Args:
    data_dir: the folder.
    size: height and width that images are cropped and resized to, or one number for both.
    channels: 1 for grey, 3 for RGB.
    broken: what to do about a file that is no image: "refuse" or "skip" (and name it in a warning).
    test_fraction: share of the images that becomes the test split, unless there is a folder `test`.
    probe_fraction, validation_fraction: shares of the others that become these splits.
    seed: of the splits.

  Raises:
    ConfigError: an argument is out of its range.
    DataError: the folder is not there, has no images, or one of them is broken; the message names it.
  """
  root = _root(data_dir, "image_folder")
  is_split = (root / "train").is_dir() and (root / "test").is_dir()
  files: dict[str, list[pathlib.Path]] = {}
  for part in ("train", "test") if is_split else ("",):
    folders = sorted(path for path in (root / part).iterdir() if path.is_dir() and not path.name.startswith("."))
    files[part] = [file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]
    if not files[part]:
      raise DataError(
        f"{root / part} has no images in folders: image_folder wants a folder for each class, as in "
        f"{root / part / 'cat' / '1.png'} ({', '.join(SUFFIXES)})."
      )
  everything = [file for of_part in files.values() for file in of_part]
  classes = [file.relative_to(root / part).parts[0] for part, of_part in files.items() for file in of_part]
  names, label = np.unique(classes, return_inverse=True)
  fixed = np.repeat([part == "test" for part in files], [len(of_part) for of_part in files.values()])
  return _dataset(
    "image_folder",
    everything,
    {"label": label.astype(np.int64)},
    (Judge("label", "label", "classifier"),),
    fixed if is_split else None,
    (size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed),
    description=f"{root.resolve()}, {len(names)} classes",
    class_names={"label": tuple(names.tolist())},
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
) -> Dataset:
  """Images named in a table: CSV with a header, or JSON lines; a row for each.

  Args:
    data_dir: the folder that `table` and the files are relative to.
    table: the table's name; `.csv`, or `.jsonl` for JSON lines.
    file_column: the column with the files' names.
    discrete: columns that become int64 [N], the place of the value among the sorted ones.
    continuous: columns of numbers that become float32 [N].
    angles: columns of angles, likewise, each with what a full turn is in its unit: {"azimuth": 360}.
    symmetric: of discrete columns, the classes that look the same from all sides: {"object": ("bowl", "cup")}. The
      evaluation reads none of `angles` in their images.
    test_every: with k > 0, every k-th row is the test split, and `test_fraction` does not count.
    size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed: as in `image_folder`.

  Raises:
    ConfigError, DataError: as in `image_folder`; also for a table without such a column, or a value that is no number.
  """
  root = _root(data_dir, "image_table")
  discrete, continuous = tuple(discrete), tuple(continuous)  # the name of the data set has them as tuples
  rows = _read_table(root / table)
  angles = dict(angles or {})
  if not all(turn > 0 for turn in angles.values()):
    raise ConfigError(f"image_table.angles = {angles}: a full turn must be positive, as in {{'azimuth': 360}}.")
  for column in (file_column, *discrete, *continuous, *angles):
    if missing := next((number for number, row in enumerate(rows, 1) if row.get(column) in (None, "")), None):
      raise DataError(
        f"row {missing} of {root / table} has no '{column}'; its columns are {', '.join(map(str, rows[missing - 1]))}."
      )
  columns: dict[str, np.ndarray] = {}
  class_names: dict[str, tuple[str, ...]] = {}
  for name in discrete:
    names, label = np.unique([str(row[name]) for row in rows], return_inverse=True)
    class_names[name], columns[name] = tuple(names.tolist()), label.astype(np.int64)
  for name, classes in (symmetric := dict(symmetric or {})).items():
    if unknown := sorted(set(classes) - set(class_names.get(name, ()))):
      raise ConfigError(
        f"image_table.symmetric: {unknown[0]!r} is no class of '{name}'; those of image_table.discrete = "
        f"{discrete} are {class_names}."
      )
    if set(classes) == set(class_names[name]):
      raise ConfigError(f"image_table.symmetric has every class of '{name}': no image is left to judge an angle on.")
  for name in (*continuous, *angles):
    try:
      columns[name] = np.array([float(row[name]) for row in rows], np.float32)
    except (TypeError, ValueError) as error:
      raise DataError(f"the column '{name}' of {root / table} is not of numbers: {error}.") from error
  unreadable = tuple((name, tuple(map(class_names[name].index, classes))) for name, classes in symmetric.items())
  fixed = np.arange(len(rows)) % test_every == 0 if test_every else None
  return _dataset(
    "image_table",
    [root / str(row[file_column]) for row in rows],
    columns,
    (
      *(Judge(name, name, "classifier") for name in discrete),
      *(Judge(name, name, "number") for name in continuous),
      *(Judge(name, name, "angle", turn, unreadable) for name, turn in angles.items()),
    ),
    fixed,
    (size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed),
    description=f"{(root / table).resolve()}, {discrete}, {continuous}, {angles}, {test_every}",
    class_names=class_names,
  )


def _root(data_dir, name) -> pathlib.Path:
  if not data_dir:
    raise ConfigError(f"{name} needs the folder of your images: pass --data_dir=<folder>.")
  root = pathlib.Path(data_dir).expanduser()
  if not root.is_dir():
    raise DataError(f"there is no folder {root}: {name} reads your images from --data_dir.")
  return root


def _read_table(path: pathlib.Path) -> list[dict]:
  try:
    is_json = path.suffix.lower() in (".jsonl", ".json", ".ndjson")
    # a row ends with CR, LF or CRLF alone (`splitlines` knows eight more ends), and none of them in a quoted value
    with path.open(encoding="utf-8-sig", newline=None if is_json else "") as file:
      rows = [json.loads(line) for line in file if line.strip()] if is_json else list(csv.DictReader(file))
  except (OSError, ValueError, csv.Error) as error:
    raise DataError(f"the table {path} cannot be read: {error}.") from error
  if not rows or not all(isinstance(row, dict) for row in rows):
    raise DataError(f"the table {path} has no rows with named columns.")
  return rows


def _dataset(
  name, files, columns: Mapping[str, np.ndarray], judges, fixed, arguments, description, class_names
) -> Dataset:
  """Decodes the images, in the order of their splits, and hands out a slice to each.

  Args:
    fixed: bool [N], which images are the test split; None to draw them.
  """
  size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed = arguments
  check_channels(name, channels)
  if broken not in ("refuse", "skip"):
    raise ConfigError(f"{name}.broken = {broken!r}: choose 'refuse' or 'skip'.")
  height, width = height_and_width(name, size)
  of_rest = {"probe_fraction": probe_fraction, "validation_fraction": validation_fraction}
  check_fractions(name, {"test_fraction": test_fraction}, of_rest)

  random_state = np.random.default_rng(seed)
  order = random_state.permutation(len(files))
  if fixed is None:
    test, rest = divide(order, (test_fraction,))
  else:
    test, rest = order[fixed[order]], order[~fixed[order]]
  probe, validation, train = divide(rest, of_rest.values())
  rows = {"train": train, "probe": probe, "validation": validation, "test": test}

  in_order = [files[i] for split in SPLITS for i in rows[split]]
  images, is_image, digest = _decoded(in_order, (height, width, channels), broken)
  parts, start, kept = {}, 0, 0
  content = hashlib.sha256(f"{digest} {class_names}".encode())
  for split in SPLITS:
    good = is_image[start : start + len(rows[split])]
    count = int(good.sum())
    others = {column: values[rows[split][good]] for column, values in columns.items()}
    parts[split] = {"image": images[kept : kept + count], **others}
    update_with_columns(content, others)
    start, kept = start + len(good), kept + count
  arguments = (size if isinstance(size, int) else tuple(size), *arguments[1:])
  name = f"{name}({description}, {arguments}, {content.hexdigest()[:12]})"
  return Dataset(**parts, name=name, judges=judges, class_names=class_names)


def decoded(
  files: Sequence[pathlib.Path], shape: tuple[int, int, int], broken: str = "refuse"
) -> tuple[np.ndarray, np.ndarray]:
  """Images of `shape` from files, memory-mapped from the cache, which is filled first if need be.

  Args:
    files: image files.
    shape: (H, W, C). Images are cropped at their centre to H:W and resized.
    broken: "refuse" or "skip" a file that is no image.

  Returns:
    uint8 [M, H, W, C], of the M files that are images; and which they are, bool [N].

  Raises:
    DataError: a file cannot be read and `broken` is "refuse", or none can be.
  """
  return _decoded(files, shape, broken)[:2]


def _decoded(files, shape, broken) -> tuple[np.ndarray, np.ndarray, str]:
  """What `decoded` returns, and the digest of it."""

  def decode(file):
    try:
      with PIL.Image.open(file) as image:
        return fitted(PIL.ImageOps.exif_transpose(image), shape)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
      if broken == "refuse":
        raise DataError(
          f"{file} cannot be read as an image ({error}). Remove it, or bind `broken = 'skip'` of the data set."
        ) from error
      logging.warning("%s cannot be read as an image (%s) and is skipped.", file, error)
      return None

  def produce(append):
    is_image = []
    with ThreadPoolExecutor() as pool:
      for start in range(0, len(files), 1024):  # no more than so many are in memory
        for image in pool.map(decode, files[start : start + 1024]):
          is_image.append(image is not None)
          if image is not None:
            append(image)
    return {"is_image": np.array(is_image, bool)}

  states = [(str(file.absolute()), *state(file)) for file in files]
  images, columns, digest = cached_images(f"{states} {broken}", shape, f"{len(files)} images", produce)
  return images, columns["is_image"], digest
