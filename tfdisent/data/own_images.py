"""The user's own images: a folder for each class, or a table that names the files.

Images are cropped at their centre and resized once; `tfdisent.data.image_cache` keeps the results.
"""

import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from absl import logging

from tfdisent.data.columns import Column, kind_of_classes
from tfdisent.data.dataset import SPLITS, Dataset, Judge
from tfdisent.data.detect import SUFFIXES
from tfdisent.data.image_cache import cached_images, state, update_with_columns
from tfdisent.data.pixels import WHITE, as_background, decode
from tfdisent.data.splits import check_channels, check_fractions, divide, height_and_width
from tfdisent.data.tables import read_rows
from tfdisent.errors import ConfigError, DataError
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

  The second layout is that of TFDS's `ImageFolder`; its folder `test` becomes the test split. The column `label`, int64
  [N], is the index of the class in the sorted names of the folders.

  Args:
    data_dir: the folder.
    size: (height, width) in pixels that images are cropped and resized to, or one number for both.
    channels: 1 for grey, 3 for RGB.
    broken: what happens to a file that is no image: "refuse" raises an error, "skip" warns and leaves it out.
    test_fraction: fraction of the images that becomes the test split, unless there is a folder `test`.
    probe_fraction, validation_fraction: fractions of the other images that become these splits.
    seed: the seed of the splits.
    background: the colour that transparent pixels are composed on: a name, "#ffffff", or (red, green, blue).

  Raises:
    ConfigError: an argument is out of its range.
    DataError: the folder is not there, has no images, or has a broken image; the message names the file.
  """
  root = root_folder(data_dir, "image_folder")
  has_splits = (root / "train").is_dir() and (root / "test").is_dir()
  files, classes, is_test = [], [], []
  for split in ("train", "test") if has_splits else ("",):
    of_split, of_classes = files_in_folders(root / split, "image_folder")
    files, classes = files + of_split, classes + of_classes
    is_test += [split == "test"] * len(of_split)
  names, label = np.unique(classes, return_inverse=True)
  return _dataset(
    "image_folder",
    files,
    {"label": label.astype(np.int64)},
    (Judge("label", "label", "classifier"),),
    np.array(is_test) if has_splits else None,
    (size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed),
    description=f"{root.resolve()}, {len(names)} classes",
    class_names={"label": tuple(names.tolist())},
    background=as_background(background),
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
  background: str | Sequence[int] = "white",
) -> Dataset:
  """Images that a table names, one in each row: CSV with a header, or JSON lines.

  Args:
    data_dir: the folder that `table` and the files are relative to.
    table: the file name of the table: `.csv`, or `.jsonl` for JSON lines.
    file_column: the column with the names of the image files.
    discrete: columns of classes. Each becomes int64 [N], the index of the value in the sorted values.
    continuous: columns of numbers. Each becomes float32 [N].
    angles: columns of angles, float32 [N], each with a full turn in its unit: {"azimuth": 360}.
    symmetric: for discrete columns, the classes that look the same from all sides: {"object": ("bowl", "cup")}. The
      judges of `angles` skip images of these classes.
    test_every: if it is k > 0, every k-th row, from the first one on, is in the test split, and `test_fraction` has no
      effect.
    size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed, background: as in `image_folder`.

  Raises:
    ConfigError, DataError: as in `image_folder`; also if the table lacks a column or a value, or a value is no number.
  """
  root = root_folder(data_dir, "image_table")
  discrete, continuous = tuple(discrete), tuple(continuous)  # the name of the data set has them as tuples
  rows = read_rows(root / table)
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
  symmetric_classes = tuple((name, tuple(map(class_names[name].index, classes))) for name, classes in symmetric.items())
  return _dataset(
    "image_table",
    [root / str(row[file_column]) for row in rows],
    columns,
    (
      *(Judge(name, name, "classifier") for name in discrete),
      *(Judge(name, name, "number") for name in continuous),
      *(Judge(name, name, "angle", turn, symmetric_classes) for name, turn in angles.items()),
    ),
    np.arange(len(rows)) % test_every == 0 if test_every else None,
    (size, channels, broken, test_fraction, probe_fraction, validation_fraction, seed),
    description=f"{(root / table).resolve()}, {discrete}, {continuous}, {angles}, {test_every}",
    class_names=class_names,
    background=as_background(background),
  )


def root_folder(data_dir: str | None, name: str) -> pathlib.Path:
  """The folder of the images; raises `ConfigError` or `DataError` that begins with the name of the data set."""
  if not data_dir:
    raise ConfigError(f"{name} needs the folder of your images: pass --data_dir=<folder>.")
  root = pathlib.Path(data_dir).expanduser()
  if not root.is_dir():
    raise DataError(f"there is no folder {root}: {name} reads your images from --data_dir.")
  return root


def files_in_folders(root: pathlib.Path, name: str) -> tuple[list[pathlib.Path], list[str]]:
  """The image files in the folders of `root`, sorted, and the folder of each; raises `DataError` if there are none."""
  folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
  files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]
  if not files:
    raise DataError(
      f"{root} has no images in folders: {name} wants a folder for each class, as in "
      f"{root / 'cat' / '1.png'} ({', '.join(SUFFIXES)})."
    )
  return files, [file.relative_to(root).parts[0] for file in files]


def _dataset(
  name, files, columns: Mapping[str, np.ndarray], judges, is_test, arguments, description, class_names, background
) -> Dataset:
  """Decodes the images in the order of their splits, so that the images of a split are a slice of the mapped file.

  Args:
    is_test: bool [N], which images are the test split; None to draw them.
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
  if is_test is None:
    test, rest = divide(order, (test_fraction,))
  else:
    test, rest = order[is_test[order]], order[~is_test[order]]
  probe, validation, train = divide(rest, of_rest.values())
  rows = {"train": train, "probe": probe, "validation": validation, "test": test}

  splits, digest = in_splits(files, columns, rows, (height, width, channels), broken, class_names, background)
  arguments = (size if isinstance(size, int) else tuple(size), *arguments[1:])
  name = f"{name}({description}, {arguments}, {digest})"
  known = {column: Column(column, kind_of_classes(names), names) for column, names in class_names.items()}
  for judge in judges:
    if judge.kind in ("number", "angle"):
      known[judge.column] = Column(judge.column, judge.kind, turn=judge.turn)
  return Dataset(**splits, name=name, judges=judges, class_names=class_names, columns=known, background=background)


def in_splits(
  files: Sequence[pathlib.Path],
  columns: Mapping[str, np.ndarray],
  rows: Mapping[str, np.ndarray],
  shape: tuple[int, int, int],
  broken: str,
  class_names: Mapping[str, tuple[str, ...]],
  background: tuple[int, int, int] = WHITE,
) -> tuple[dict[str, dict[str, np.ndarray]], str]:
  """The examples of each split, and a digest of them and of the class names.

  Args:
    files: N image files.
    columns: [N] or [N, K] each.
    rows: the row numbers of each split.
    shape, broken, background: as of `decoded`.
    class_names: of `Dataset`.
  """
  in_order = [files[i] for split in SPLITS for i in rows[split]]
  images, is_image, digest = _decoded(in_order, shape, broken, background)
  splits, file_start, image_start = {}, 0, 0
  content = hashlib.sha256(f"{digest} {class_names}".encode())
  for split in SPLITS:
    of_split = is_image[file_start : file_start + len(rows[split])]
    count = int(of_split.sum())
    others = {column: values[rows[split][of_split]] for column, values in columns.items()}
    splits[split] = {"image": images[image_start : image_start + count], **others}
    update_with_columns(content, others)
    file_start, image_start = file_start + len(of_split), image_start + count
  return splits, content.hexdigest()[:12]


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
  return _decoded(files, shape, broken, background)[:2]


def _decoded(files, shape, broken, background) -> tuple[np.ndarray, np.ndarray, str]:
  """What `decoded` returns, and the digest of the cached images."""

  notes: dict[str, list] = {}

  def read(file):
    try:
      image, note = decode(file, shape, background)
      if note:
        notes.setdefault(note, []).append(file)
      return image
    except ValueError as error:
      if broken == "refuse":
        raise DataError(
          f"{file} cannot be read as an image ({error}). Remove it, or bind `broken = 'skip'` of the data set."
        ) from error
      logging.warning("%s cannot be read as an image (%s) and is skipped.", file, error)
      return None

  def produce(append):
    is_image = []
    with ThreadPoolExecutor() as pool:
      for start in range(0, len(files), 1024):  # in blocks, so that at most 1,024 images are in memory
        for image in pool.map(read, files[start : start + 1024]):
          is_image.append(image is not None)
          if image is not None:
            append(image)
    for note, of_files in notes.items():
      others = f" ({len(of_files) - 1:,} other files likewise)" if len(of_files) > 1 else ""
      logging.warning("%s: %s%s.", min(of_files), note, others)
    return {"is_image": np.array(is_image, bool)}

  states = [(str(file.absolute()), *state(file)) for file in files]
  images, columns, digest = cached_images(f"{states} {broken} {background}", shape, f"{len(files)} images", produce)
  return images, columns["is_image"], digest
