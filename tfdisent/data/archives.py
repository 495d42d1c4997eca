"""Shards: files that hold many images each, and what is said of every image. They are read, and never unpacked.

| file | what it holds |
|---|---|
| `.tar`, as WebDataset has them | members `000017.jpg`, `000017.cls`, `000017.json`: equal names up to the first dot are an example |
| `.tfrecord`, `.tfrecord-00000-of-00008`, as TFDS writes them | records of `tf.train.Example`, with an encoded image and other features |

Of a tar, `.cls` is the column `label` (`hair.cls` is `hair`), and `.json` an object of columns. Of records, each feature of
one value is a column; `NAME.labels.txt` beside them, which TFDS writes, has the names of its classes.
"""  # noqa: E501 (a table)

import json
import os
import pathlib
import re
import tarfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tfdisent.data.folders import image_suffixes
from tfdisent.data.tables import USUAL_NAMES
from tfdisent.data.values import natural_order
from tfdisent.errors import DataError

_RECORDS = re.compile(r".+\.tfrecords?(-\d+-of-\d+)?")
_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
"""Of image files: PNG, JPEG, GIF, BMP, WebP, TIFF."""
_RECORD_HEAD, _RECORD_TAIL = 12, 4
"""Bytes before and after the data of a record: its length and checksums."""


class Example(NamedTuple):
  """An example of a shard.

  Attributes:
    key: its name in messages.
    offset, size: where the image lies in the shard, or the record that holds it, in bytes.
    columns: what is said of it.
  """

  key: str
  offset: int
  size: int
  columns: dict


def shards_in(root: pathlib.Path) -> list[pathlib.Path]:
  """The shards in a folder and in the folders in it, in natural order: 2 before 10.

  What is hidden is left out, and a folder that may not be read, as `lost+found` of a mount point.
  """
  paths = []
  for folder in (root, *(path for path in _inside(root) if os.path.isdir(path) and not path.name.startswith("."))):
    paths += [path for path in _inside(folder) if is_shard(path)]
  names = {str(path.relative_to(root)): path for path in paths}
  return [names[name] for name in natural_order({*names})]


def _inside(folder: pathlib.Path) -> list[pathlib.Path]:
  try:
    return [*folder.iterdir()]
  except OSError:
    return []


def is_shard(path: pathlib.Path) -> bool:
  """Whether a file is a shard by its name; one that is compressed as a whole is, so that it can be refused in words."""
  name = path.name.lower()
  is_tar = name.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"))
  return not name.startswith(".") and (is_tar or bool(_RECORDS.fullmatch(name))) and os.path.isfile(path)


def split_of(path: pathlib.Path, root: pathlib.Path) -> str | None:
  """The split that the name of a shard tells, or that of its folder in `root`: of `birds-train-000001.tar` "train"."""
  for name in (path.name, *([path.parent.name] if path.parent != root else [])):
    if said := [USUAL_NAMES[word] for word in re.split(r"[^a-z]+", name.lower()) if word in USUAL_NAMES]:
      return said[0]
  return None


def examples_of(path: pathlib.Path, image: str | None = None) -> Iterator[Example]:
  """The examples of a shard, in its order.

  Args:
    path: the shard.
    image: which of several images is meant: the rest of its member's name ("front.jpg"), or the name of its feature.

  Raises:
    DataError: it cannot be read; the message names the shard and the example.
  """
  return _of_records(path, image) if _RECORDS.fullmatch(path.name.lower()) else _of_tar(path, image)


def image_bytes(path: pathlib.Path, file: int, example: tuple[int, int], image: str | None = None) -> bytes:
  """The encoded image of an example, from the open `file` of its shard; `example` is its (offset, size)."""
  offset, size = example
  data = os.pread(file, size, offset)
  return _parsed(path, data, image)[0] if _RECORDS.fullmatch(path.name.lower()) else data


# --- .tar -------------------------------------------------------------------------------------------------------------


def _of_tar(path, image) -> Iterator[Example]:
  key, members = None, {}
  try:
    with tarfile.open(path, "r:") as archive, path.open("rb") as file:
      for member in archive:
        archive.members = []  # it keeps all of them otherwise
        folder, _, name = member.name.rpartition("/")
        stem, dot, kind = name.partition(".")
        if not member.isfile() or not dot or name.startswith((".", "__")):
          continue
        if (folder, stem) != key:
          yield from _joined(path, key, members, image)
          key, members = (folder, stem), {}
        kind = kind.lower()
        is_said = kind.endswith(("cls", "json"))
        said = os.pread(file.fileno(), member.size, member.offset_data) if is_said else b""
        members[kind] = (member.offset_data, member.size, said)
      yield from _joined(path, key, members, image)
      if (
        os.pread(file.fileno(), tarfile.BLOCKSIZE, archive.offset).strip(b"\0") or archive.offset >= path.stat().st_size
      ):
        raise tarfile.ReadError("its end is missing")  # of which `tarfile` says nothing
  except (tarfile.TarError, OSError) as error:
    raise DataError(
      f"the shard {path} cannot be read ({error}): it must be a whole .tar that is not compressed, since images are "
      "read from the middle of it. Unpack what is outside of it (`gunzip`, `unxz`, `zstd -d`), or fetch it again."
    ) from error


def _joined(path, key, members, image) -> Iterator[Example]:
  """The example of members of one name, if one of them is an image."""
  named = [kind for kind in members if f".{kind.rpartition('.')[2]}" in image_suffixes()]
  if image is not None:
    named = [kind for kind in named if kind == image.lower()]
  if not named:
    return
  name = "/".join(part for part in key if part)
  alone = [kind for kind in named if "." not in kind] or named
  if len(alone) > 1:
    raise DataError(
      f"{name} of {path} has several images ({', '.join(named)}): say which is meant, as in "
      f"shards.image = '{named[0]}'."
    )
  columns = {}
  for kind, (_, _, said) in members.items():
    stem, _, last = kind.rpartition(".")
    if last == "cls":
      columns[stem or "label"] = said.decode("utf-8", "replace").strip()
    elif last == "json":
      try:
        columns |= _of_json(json.loads(said), stem)
      except ValueError as error:
        raise DataError(f"{name}.{kind} of {path} cannot be read: {error}.") from error
  offset, size, _ = members[alone[0]]
  yield Example(f"{name} of {path.name}", offset, size, columns)


def _of_json(said, stem: str) -> dict:
  """The columns of an object; of another value, one column."""
  if not isinstance(said, dict):
    return {stem or "json": said if isinstance(said, str | float | int | bool | None) else None}
  return {
    f"{stem}_{name}" if stem else str(name): value
    for name, value in said.items()
    if isinstance(value, str | float | int | bool | None)
  }


# --- .tfrecord --------------------------------------------------------------------------------------------------------


def _of_records(path, image) -> Iterator[Example]:
  import tensorflow as tf

  offset, number = 0, 0
  try:
    for number, data in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()):
      _, columns = _parsed(path, data, image)
      yield Example(f"record {number} of {path.name}", offset + _RECORD_HEAD, len(data), columns)
      offset += _RECORD_HEAD + len(data) + _RECORD_TAIL
  except tf.errors.OpError as error:
    raise DataError(
      f"the shard {path} cannot be read after {number} records ({error.message}): it must be a whole TFRecord file "
      "that is not compressed. Unpack it, or fetch it again."
    ) from error


def _parsed(path, data: bytes, image) -> tuple[bytes, dict]:
  """The encoded image of a record, and its columns."""
  import tensorflow as tf

  try:
    features = tf.train.Example.FromString(data).features.feature
  except Exception as error:  # of protobuf, which has several
    raise DataError(
      f"a record of {path} is no tf.train.Example ({error}): TFDS and tf.io write such records."
    ) from error
  values = {}
  for name, feature in features.items():
    kind = feature.WhichOneof("kind")
    if kind and len(of_kind := getattr(feature, kind).value) == 1:
      values[name] = of_kind[0]
  encoded = [name for name, value in values.items() if isinstance(value, bytes) and value.startswith(_STARTS)]
  chosen = [name for name in encoded if name == image] if image is not None else _usual(encoded)
  if len(chosen) != 1:
    found = f"several ({', '.join(sorted(encoded))})" if len(encoded) > 1 else ", ".join(encoded) or "none"
    raise DataError(
      f"a record of {path} must have one feature with an encoded image (PNG, JPEG, …), and has {found}; its features "
      f"are {', '.join(sorted(features))}. shards.image names the one that is meant."
    )
  columns = {
    name.replace("/", "_"): value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    for name, value in sorted(values.items())
    if name not in encoded
  }
  return values[chosen[0]], columns


def _usual(names: Sequence[str]) -> list[str]:
  return [name for name in names if name in ("image", "image/encoded")][:1] or list(names)


def label_files(path: pathlib.Path) -> dict[str, pathlib.Path]:
  """The files beside a shard that name the classes of a column, as TFDS writes them, by the column."""
  files = sorted(path.parent.glob("*.labels.txt"))
  return {file.name.removesuffix(".labels.txt").replace("/", "_"): file for file in files}


def class_names(path: pathlib.Path) -> dict[str, list[str]]:
  """The names of classes that lie beside a shard, `label.labels.txt`, by the column.

  A line is a class, and an empty one is called by its number: those after it keep theirs.
  """
  found = {}
  for column, file in label_files(path).items():
    lines = file.read_text("utf-8", "replace").rstrip().splitlines()
    found[column] = [line.strip() or str(number) for number, line in enumerate(lines)]
  return found
