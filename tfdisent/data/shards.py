"""Sets that are larger than memory: shards of many images each, `.tar` as of WebDataset or `.tfrecord` as of TFDS.

    tfdisent --data_dir=birds --run_dir=runs/birds  # birds/train-000000.tar, …, birds/val-000000.tar

Each image is decoded once, into the cache of prepared images, from which the training reads: split by split, and the
training images in the order of their shards. An example so has a row number like in any other set. Judges, fingerprints
and the resumption at any step need it, and a stream of shards has none.
"""

import contextlib
import dataclasses
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tfdisent.arguments import checked
from tfdisent.data.alike import warning_of_copies
from tfdisent.data.archives import Example, class_names, examples_of, image_bytes, label_files, shards_in, split_of
from tfdisent.data.assemble import dataset_of, judged_alone, rows_of_splits
from tfdisent.data.columns import Column, Kinds, asked
from tfdisent.data.dataset import SPLITS, Dataset, Shards
from tfdisent.data.decoding import decode_all
from tfdisent.data.detect import Found, find
from tfdisent.data.folders import root_folder
from tfdisent.data.image_cache import cached_images, state
from tfdisent.data.pixels import as_background, decode
from tfdisent.data.splits import check_channels, check_choice, check_fractions, check_rows, height_and_width
from tfdisent.data.tables import look_at, notes_on, size_for
from tfdisent.errors import ConfigError, DataError, shown
from tfdisent.registry import register_dataset

SHARDS_SEEN, IMAGES_SEEN = 32, 8
"""How many shards, and images at the beginning of each, tell the size and the channels where they are not given."""

COLUMNS_FOUND = 2
"""The version of `tfdisent.data.detect`, since the cache of shards has columns as they were found."""

MOST_STRATIFIED = 100_000
"""Of more images the splits are a plain draw, in which the shares of classes hardly differ."""


@register_dataset("shards")
def shards(
  data_dir: str | None = None,
  image: str | None = None,
  kinds: Kinds = (),
  columns: Sequence[str] | None = None,
  size: int | tuple[int, int] | None = None,
  channels: int | None = None,
  broken: str = "refuse",
  test_fraction: float = 0.02,
  probe_fraction: float = 0.02,
  validation_fraction: float = 0.02,
  seed: int = 0,
  judged: Sequence[str] | None = None,
  background: str | Sequence[int] = "white",
  buffer: int = 16_384,
  readers: int = 8,
) -> Dataset:
  """Images in shards, in a folder or in the folders in it: see `tfdisent.data.archives`.

  A shard whose name, or that of its folder, has the word train, val or test is of that split; the others are of train.

  Args:
    data_dir: the folder.
    image: which of several images of an example is meant; None where there is one.
    kinds, columns, judged: as in `tfdisent.data.sources.table`.
    size, channels, broken, seed, background: as in `tfdisent.data.sources.folder`; the size and the channels are told
      by images at the beginning of 32 shards.
    test_fraction, probe_fraction, validation_fraction: fractions of the training images that become these splits, where
      no shard is of them.
    buffer: images among which the training shuffles, at least 1; 0 for all: then it reads the file in no order.
    readers: the training reads in so many places at once, each in shards of its own. A multiple of the number of hosts
      lets each host read its own part alone. The numbers of a training depend on it, and not on the number of hosts.

  Raises:
    ConfigError: an argument is out of its range, or names no column.
    DataError: there are no shards, or one cannot be read; the message names the shard and the example.
  """
  root = root_folder(data_dir, "shards")
  for name, least, value in (("buffer", 0, buffer), ("readers", 1, readers)):
    if not isinstance(value, int) or value < least:
      raise ConfigError(f"shards.{name} = {shown(value)} must be a whole number of at least {least}.")
  check_choice("shards", "broken", broken, ("refuse", "skip"))
  check_channels("shards", channels, may_be_none=True)
  fractions = {"test": test_fraction, "probe": probe_fraction, "validation": validation_fraction}
  check_fractions("shards", {f"{split}_fraction": fraction for split, fraction in fractions.items()})
  paths = shards_in(root)
  if not paths:
    raise DataError(f"{root} has no shards: the data set 'shards' wants files .tar or .tfrecord in it.")
  shape, notes, warnings = _shape(paths, image, size, channels)
  source = _Source(root, paths, image, kinds, columns, fractions, seed, shape, broken, as_background(background))
  states = [(str(path.absolute()), *state(path)) for path in (*paths, *label_files(paths[0]).values())]
  key = f"shards {COLUMNS_FOUND} {states} {image} {kinds} {columns} {fractions} {seed} {broken} {source.background}"
  prepared = cached_images(key, shape, f"the images of {len(paths)} shards", source.prepare)
  about = json.loads(str(prepared.columns["about"]))
  found = _found_again(about, prepared.columns)
  ends = np.cumsum(prepared.columns["counts"])
  splits = {
    split: {"image": prepared.images[start:end], **{name: values[start:end] for name, values in found.values.items()}}
    for split, start, end in zip(SPLITS, [0, *ends], ends)
  }
  copies = warning_of_copies(splits, prepared.checks, found.columns, lambda split, row: f"image {row} of {split}")
  name = f"shards({root.resolve()}, {len(paths)} shards, "
  warnings = (*warnings, *about["warnings"], *copies)
  dataset = dataset_of(
    name,
    splits,
    found,
    prepared.digest[:12],
    notes,
    warnings,
    source.background,
    Shards(tuple(prepared.columns["shards"].tolist()), buffer, readers) if buffer else None,
  )
  return dataset if judged is None else judged_alone(dataset, judged)


@checked("from_shards")
def from_shards(path: str | pathlib.Path, **arguments) -> Dataset:
  """The images of shards; see `shards` for the arguments.

  data = tfdisent.data.from_shards("birds", kinds={"wingspan": "number"})  # birds/train-000000.tar, …
  """
  return shards(data_dir=str(path), **arguments)


def _found_again(about: Mapping, arrays: Mapping[str, np.ndarray]) -> Found:
  """The columns, from what the cache keeps of them: what `_Source.prepare` returned."""
  return Found(
    {
      of["name"]: Column(**{key: tuple(v) if isinstance(v, list) else v for key, v in of.items()})
      for of in about["columns"]
    },
    {of["name"]: arrays[f"of {of['name']}"] for of in about["columns"]},
    about["left_out"],
  )


def _shape(paths, image, size, channels) -> tuple[tuple[int, int, int], tuple[str, ...], tuple[str, ...]]:
  """(H, W, C), with notes and warnings on what becomes of the files, from images at the beginning of some shards."""
  if size is not None:
    height_and_width("shards", size)
    if channels is not None:
      return (*height_and_width("shards", size), channels), (), ()
  files = []
  for path in [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, SHARDS_SEEN).astype(int))]:
    with contextlib.closing(examples_of(path, image)) as examples, path.open("rb") as file:
      for example, _ in zip(examples, range(IMAGES_SEEN)):
        files.append(io.BytesIO(image_bytes(path, file.fileno(), example[1:3], image)))
  sizes, is_grey = look_at(files, with_channels=channels is None)
  if size is None:
    size = size_for(sizes) if len(sizes) else 1  # of images that are all broken, the decoder names one
  shape = (*height_and_width("shards", size), channels or (1 if is_grey else 3))
  return shape, *(notes_on(sizes, shape) if len(sizes) else ((), ()))


class _Source(NamedTuple):
  """What the images of shards depend on; see the arguments of `shards`."""

  root: pathlib.Path
  paths: Sequence[pathlib.Path]
  image: str | None
  kinds: Kinds
  columns: Sequence[str] | None
  fractions: Mapping[str, float]
  seed: int
  shape: tuple[int, int, int]
  broken: str
  background: tuple[int, int, int]

  def prepare(self, append) -> dict[str, np.ndarray]:
    """Appends the images, split by split; returns the columns, and what is known of them."""
    examples, of_shard = self._index()
    where = lambda row: examples[row].key  # noqa: E731
    found = self._found(examples, where)
    count = len(examples)
    is_few = count <= MOST_STRATIFIED
    rows = rows_of_splits(found, self._given(of_shard), count, self.fractions, self.seed, is_few)
    rows["train"] = np.sort(rows["train"])  # in the order of the shards
    order = np.concatenate([rows[split] for split in SPLITS])

    def read(row):
      path = self.paths[of_shard[row]]
      with path.open("rb") as file:  # not all of them at once: a system has its limit, and there may be thousands
        data = image_bytes(path, file.fileno(), examples[row][1:3], self.image)
      return decode(data, self.shape, self.background)

    is_image = decode_all(order.tolist(), read, where, self.broken, append)
    kept, warnings = order[is_image], ()
    if len(kept) < len(order):
      warnings = (f"{len(order) - len(kept)} of {len(order)} images cannot be read, and are skipped",)
    counts = [int(np.isin(rows[split], kept, assume_unique=True).sum()) for split in SPLITS]
    check_rows("the images that can be read", {split: [0] * count for split, count in zip(SPLITS, counts)})
    about = {
      "columns": [dataclasses.asdict(column) for column in found.columns.values()],
      "left_out": found.left_out,
      "warnings": warnings,
    }
    return {
      "counts": np.array(counts),
      "shards": np.bincount(of_shard[kept[: counts[0]]], minlength=len(self.paths)),
      "about": np.array(json.dumps(about)),
      **{f"of {name}": values[kept] for name, values in found.values.items()},
    }

  def _index(self) -> tuple[list[Example], np.ndarray]:
    """The examples of all shards, and the number of the shard of each."""
    examples: list[Example] = []
    counts = []
    for path in self.paths:
      before = len(examples)
      examples += examples_of(path, self.image)
      counts.append(len(examples) - before)
    if not examples:
      raise DataError(
        f"there are no images in {self.paths[0]}, nor in the other {len(self.paths) - 1} shards: an example of a .tar "
        "is 000017.jpg beside 000017.cls, one of a .tfrecord a tf.train.Example."
      )
    return examples, np.repeat(np.arange(len(self.paths)), counts)

  def _given(self, of_shard: np.ndarray) -> np.ndarray | None:
    """The split of each example, if the name of any shard tells one."""
    of_path = [split_of(path, self.root) for path in self.paths]
    if not any(of_path):
      return None
    given = np.array([split or "train" for split in of_path])[of_shard]
    if "train" not in given:
      raise DataError(f"the shards are of {', '.join(sorted({*given}))} by their names, and none is of train.")
    return given

  def _found(self, examples, where) -> Found:
    """The columns of all examples."""
    names = dict.fromkeys(name for example in examples for name in example.columns)
    table = {name: [example.columns.get(name) for example in examples] for name in names}
    kinds = dict(asked(self.kinds))
    of_classes = {**class_names(self.paths[0])}
    for name in names:
      if name in of_classes and all(isinstance(value, int) for value in table[name]):
        if (most := max(table[name])) >= len(of_classes[name]):
          raise DataError(
            f"{label_files(self.paths[0])[name]} has the names of {len(of_classes[name])} classes, and {name} is "
            f"{most} in {where(table[name].index(most))}: write a line for each class from 0 to {most}, or remove it."
          )
        table[name] = [of_classes[name][value] if value >= 0 else None for value in table[name]]
      if name not in kinds and (name in of_classes or (name == "label" and self.paths[0].suffix == ".tar")):
        kinds[name] = asked((f"{name}:category",))[name]
    words = [f"{wish.name}:{wish.kind}{f'={wish.turn}' if wish.turn else ''}" for wish in kinds.values() if wish.kind]
    found = find(table, words, where)
    if self.columns is not None:
      if unknown := [name for name in self.columns if name not in found.columns]:
        reason = found.left_out.get(unknown[0], f"there are {', '.join(found.columns)}")
        raise ConfigError(f"there is no column '{unknown[0]}' (shards.columns) to keep: {reason}.")
      of_columns = {name: found.columns[name] for name in self.columns}
      found = Found(of_columns, {name: found.values[name] for name in self.columns}, found.left_out)
    return found
