"""Which files of a folder are images, which class and which split each is of, and what is said of all others.

    photos/cat/1.png             the class "cat"
    photos/cat/indoors/1.png     likewise
    photos/Train/cat/1.png       the class "cat" of the split train; `val`, `valid`, `dev`, `test`, … in any case
    photos/photos/cat/1.png      the class "cat": an archive that was unpacked one level too deep

Hidden files and folders are left out at any depth, and so are those that systems make: `__MACOSX`, `@eaDir`, …. So are
the folders of runs and of comparisons, which have pictures, and a folder that holds nothing else, as `photos/runs`.
"""

import functools
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image

from tfdisent.data.tables import USUAL_NAMES
from tfdisent.errors import ConfigError, DataError, shown
from tfdisent.paths import refuse_addresses

OF_SYSTEMS = frozenset(("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"))
"""Folders that hold copies, previews or what was deleted, in lower case."""
OF_RUNS = ("run.json", "comparison.json", "feature.json")
"""Of these files `tfdisent.run` has one in each folder of a run, of a comparison or a sweep, or of a fitted feature."""
NEED_MORE = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"))
"""Formats that Pillow knows by their first bytes, and reads with the help of other programs at most."""
SPLITS_IN_ORDER = ("train", "validation", "test", "probe")
MOST_NAMED = 10
"""Files that a message names."""


class Folder(NamedTuple):
  """The images of a folder.

  Attributes:
    files: N image files.
    classes: the class of each, [N].
    splits: the split of each, [N]; None if the folder has none.
    warnings: for people, what was left out, and what may be meant otherwise.
  """

  files: list[pathlib.Path]
  classes: list[str]
  splits: np.ndarray | None
  warnings: tuple[str, ...]


class _Listing(NamedTuple):
  folders: list[pathlib.Path]
  images: list[pathlib.Path]
  others: list[pathlib.Path]


def root_folder(data_dir: str | os.PathLike | None, name: str) -> pathlib.Path:
  """The folder of the images; raises `ConfigError` or `DataError` that begins with the name of the data set."""
  if not data_dir:
    raise ConfigError(f"{name} needs the folder of your images: pass --data_dir=<folder>.")
  refuse_addresses(data_dir)
  try:
    root = pathlib.Path(data_dir).expanduser()
    is_file, is_folder = root.is_file(), root.is_dir()
  except (TypeError, ValueError, RuntimeError, OSError) as error:  # a NUL, a home of nobody, no access
    raise ConfigError(f"{name}.data_dir = {shown(data_dir)} is no folder: {error}.") from error
  if is_file:
    raise DataError(f"{root} is a file, and {name} reads a folder: unpack it, if it is an archive.")
  if not is_folder:
    raise DataError(f"there is no folder {root}: {name} reads your images from --data_dir.")
  return root


@functools.cache
def image_suffixes() -> frozenset[str]:
  """The suffixes, in lower case, of all files that Pillow can open."""
  PIL.Image.init()
  can_open = PIL.Image.OPEN.keys() - NEED_MORE
  return frozenset(suffix for suffix, kind in PIL.Image.EXTENSION.items() if kind in can_open)


def read_folder(root: pathlib.Path, name: str) -> Folder:
  """The images of a folder with a folder for each class, in the order of their paths, split by split.

  Args:
    root: the folder.
    name: of the data set, for messages.

  Raises:
    DataError: there are no images, or a folder cannot be read; the message names it.
  """
  warnings: list[str] = []
  root, here = _level(root, warnings)
  of_split = _splits(root, here)
  if of_split is None:
    files, classes = _classes(root, here, name, warnings)
    return Folder(files, classes, None, tuple(warnings))
  folders = [folder for of in of_split.values() for folder in of]
  others = [path.name for path in (*here.folders, *here.images) if path not in folders]
  if others:
    warnings.append(f"beside the folders of splits, {_some(others)} is left out")
  files, classes, splits = [], [], []
  for split, of in of_split.items():
    for folder in of:
      of_folder, of_classes = _classes(folder, _list(folder), name, warnings)
      files, classes, splits = files + of_folder, classes + of_classes, splits + [split] * len(of_folder)
  return Folder(files, classes, np.array(splits), tuple(warnings))


def classes_in(root: pathlib.Path) -> set[str]:
  """The classes of a folder, those folders in it that have images; none where it cannot be read as such."""
  try:
    return {*read_folder(root, "folder").classes}
  except DataError:
    return set()


def _level(root: pathlib.Path, warnings: list[str]) -> tuple[pathlib.Path, _Listing]:
  """The folder that holds the classes, or the splits: `root`, or one within it if an archive is one level too high."""
  here, above = _list(root), {_identity(root)}
  while len(here.folders) == 1 and not here.images and here.folders[0].name.lower() not in USUAL_NAMES:
    below = _list(here.folders[0])
    if below.images or not below.folders or _identity(here.folders[0]) in above:
      break
    above.add(_identity(here.folders[0]))
    warnings.append(
      f"{root} holds the folder '{here.folders[0].name}' alone, so that the folders in that are taken as the classes"
    )
    root, here = here.folders[0], below
  return root, here


def _splits(root: pathlib.Path, here: _Listing) -> dict[str, list[pathlib.Path]] | None:
  """The folders of each split, or None if the folders are those of classes. A class may be called "train"."""
  of_split = {split: [] for split in SPLITS_IN_ORDER}
  for folder in here.folders:
    if split := USUAL_NAMES.get(folder.name.lower()):
      of_split[split].append(folder)
  of_split = {split: folders for split, folders in of_split.items() if folders}
  named = [folder for folders in of_split.values() for folder in folders]
  if "train" not in of_split and len(named) > 1 and len(named) == len(here.folders):
    names = ", ".join(folder.name for folder in named)
    raise DataError(f"{root} has the folders of splits {names}, and none called 'train' to train on.")
  if "train" not in of_split:
    return None
  if len(of_split) > 1:
    return of_split
  only = [_list(folder) for folder in here.folders]
  return of_split if len(named) == len(only) and all(one.folders and not one.images for one in only) else None


def _classes(
  root: pathlib.Path, here: _Listing, name: str, warnings: list[str]
) -> tuple[list[pathlib.Path], list[str]]:
  """The image files in the folders of `root`, and the class of each."""
  files, classes, said = [], [], []
  for folder in here.folders:
    others, nested = [], []
    of_class = sorted(_walk(folder, (_identity(root),), others, nested, said))
    if not of_class:
      said.append(f"the class '{folder.name}' in {root} has no images{_kinds(others)}, and is left out")
    if len(nested) > 1:
      names = _some([str(path.relative_to(root)) for path in nested])
      said.append(f"the folders {names} are taken as one class, '{folder.name}'")
    files, classes = files + of_class, classes + [folder.name] * len(of_class)
  if not files:
    found = f" It has {len(here.images)} images that are in no folder." if here.images else ""
    found += "".join(f" Note: {sentence}." for sentence in said[:MOST_NAMED])
    raise DataError(
      f"{root} has no images in folders: {name} wants a folder for each class, as in {root / 'cat' / '1.png'} (.png, "
      f".jpg, .webp, .tif, or whatever else Pillow reads).{found}"
    )
  if here.images:
    names = _some([path.name for path in here.images])
    warnings.append(f"{len(here.images)} images in {root} are in no folder of a class, and are left out: {names}")
  warnings += said
  return files, classes


def _walk(folder: pathlib.Path, above: tuple, others: list, nested: list, said: list[str]) -> list[pathlib.Path]:
  """The image files in a folder and in those within it.

  Args:
    above: what the folders that hold it are.
    others, nested, said: files that are no images, folders with images, and sentences are added to these.
  """
  if (identity := _identity(folder)) in above:
    said.append(f"{folder} links to a folder that holds it, and is left out")
    return []
  here = _list(folder)
  others += here.others
  files = here.images
  for inner in here.folders:
    of_inner = _walk(inner, (*above, identity), others, [], said)
    if of_inner:
      nested.append(inner)
    files = files + of_inner
  return files


def _list(folder: pathlib.Path) -> _Listing:
  """What is in a folder and is not hidden, in the order of names."""
  try:
    paths = sorted(folder.iterdir())
  except OSError as error:
    raise DataError(f"the folder {folder} cannot be read: {error}.") from error
  listing = _Listing([], [], [])
  for path in paths:
    if path.name.startswith(".") or path.name.lower() in OF_SYSTEMS:
      continue
    if os.path.isdir(path):  # Path.is_dir fails on what may not be looked at
      if not is_of_runs(path):
        listing.folders.append(path)
    else:
      (listing.images if path.suffix.lower() in image_suffixes() else listing.others).append(path)
  return listing


def is_of_runs(folder: pathlib.Path) -> bool:
  """Whether a folder is that of a run or of a comparison, or holds such folders and no other folder or image."""
  is_one = lambda path: any(os.path.isfile(os.path.join(path, name)) for name in OF_RUNS)  # noqa: E731
  if is_one(folder):
    return True
  runs = 0
  try:
    with os.scandir(folder) as entries:
      for entry in entries:
        if entry.name.startswith("."):
          continue
        if os.path.splitext(entry.name)[1].lower() in image_suffixes() or (entry.is_dir() and not is_one(entry.path)):
          return False
        runs += entry.is_dir()
  except OSError:  # whoever lists it says what is wrong
    return False
  return runs > 0


def _identity(folder: pathlib.Path) -> tuple[int, int]:
  """What tells one folder from another, whatever links lead to it."""
  try:
    of_folder = folder.stat()
  except OSError as error:
    raise DataError(f"the folder {folder} cannot be read: {error}.") from error
  return of_folder.st_dev, of_folder.st_ino


def _kinds(others: Sequence[pathlib.Path]) -> str:
  """How many files of a class are no images, and which suffixes they have."""
  suffixes = sorted({path.suffix.lower() or "no suffix" for path in others})
  return f" ({len(others)} files that Pillow does not read: {', '.join(suffixes[:MOST_NAMED])})" if others else ""


def _some(names: Sequence[str]) -> str:
  return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
