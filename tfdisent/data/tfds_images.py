"""Image data sets of TensorFlow Datasets (TFDS), each with its factors as columns.

| set | size | columns |
|---|---|---|
| `mnist`, `fashion_mnist`, `kmnist`, `emnist/digits` | 28x28 grey | `label` |
| `celeb_a` | 218x178 RGB | 40 attributes of 0 or 1 (`Smiling`), five landmarks in pixels (`lefteye_x`, `nose_y`) |
| `shapes3d` | 64x64 RGB | `label_*`, `value_*` of `floor_hue`, `wall_hue`, `object_hue`, `scale`, `shape`, … |
| `dsprites` | 64x64 grey | `label_*`, `value_*`: `shape`, `scale`, `orientation`, `x_position`, `y_position` |
| `smallnorb` | 96x96 grey | `label_category`, `instance`, `label_elevation`, `label_azimuth`, `label_lighting` |

Classes and truth values are int64 [N], other numbers float32 [N]. Any other data set with an `image` is read likewise.
"""

import contextlib
import math
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import PIL.Image

from tfdisent.data.columns import Column, kind_of_classes
from tfdisent.data.dataset import Dataset, Judge
from tfdisent.data.image_cache import cached_images, state
from tfdisent.data.pixels import decode
from tfdisent.data.splits import check_channels, check_fractions, check_rows, check_turns, divide, height_and_width
from tfdisent.errors import ConfigError, DataError
from tfdisent.registry import register_dataset


class Kind(NamedTuple):
  """What TFDS does not tell about a data set.

  Attributes:
    judged: columns of classes that the evaluation reads from images.
    angles: columns of angles that the evaluation reads from images, each with a full turn in its unit.
    splits: the splits that TFDS has.
    fix: a function that corrects an image uint8 [H, W, C] of TFDS, if TFDS turns or darkens it.
  """

  judged: tuple[str, ...] = ("label",)
  angles: Mapping[str, float] = MappingProxyType({})
  splits: tuple[str, ...] = ("train", "test")
  fix: Callable[[np.ndarray], np.ndarray] = lambda image: image


KINDS = {
  "mnist": Kind(),
  "fashion_mnist": Kind(),
  "kmnist": Kind(),
  "emnist": Kind(fix=lambda image: image.transpose(1, 0, 2)),  # published with rows and columns exchanged
  "celeb_a": Kind((), splits=("train", "validation", "test")),
  "shapes3d": Kind(("label_shape",), {"value_orientation": 360.0}, ("train",)),
  "dsprites": Kind(
    ("label_shape",),
    {"value_orientation": 2 * math.pi},
    ("train",),
    lambda image: image * np.uint8(255),  # TFDS has the values 0 and 1
  ),
  "smallnorb": Kind(("label_category",), {"label_azimuth": 18.0}),
}


@register_dataset("tfds_images")
def tfds_images(
  name: str = "mnist",
  data_dir: str | None = None,
  size: int | tuple[int, int] | None = None,
  channels: int | None = None,
  judged: Sequence[str] | None = None,
  angles: Mapping[str, float] | None = None,
  limit: int | None = None,
  test_fraction: float = 0.1,
  probe_fraction: float = 0.1,
  validation_fraction: float = 0.1,
) -> Dataset:
  """A data set of TFDS by its name.

  Images are cropped at their centre and resized once; `tfdisent.data.image_cache` keeps the results. The splits of TFDS
  stay as they are. Missing splits get the first images of `train` in the order of TFDS, which is already shuffled.

  Args:
    name: the name of the data set, with its configuration: "emnist/digits".
    data_dir: the folder of TFDS's data sets; None is TFDS's default.
    size: (height, width) in pixels that images are cropped and resized to, or one number for both; None keeps the size.
    channels: 1 for grey, 3 for RGB; None keeps the channels.
    judged: columns of classes that the evaluation reads from images; None for those of `KINDS`.
    angles: columns of angles that the evaluation reads from images, each with a full turn in its unit; None for those
      of `KINDS`.
    limit: the largest number of images of each of TFDS's splits, at least 1; None for all.
    test_fraction, validation_fraction: fractions of `train` that become these splits, if TFDS lacks them.
    probe_fraction: fraction of `train` that becomes the probe split.

  Raises:
    ConfigError: an argument is out of its range.
    DataError: the data set is not there and cannot be downloaded, or has no images.
  """
  kind = KINDS.get(name.split("/", maxsplit=1)[0], Kind(()))
  fractions = {"test": test_fraction, "probe": probe_fraction, "validation": validation_fraction}
  check_fractions("tfds_images", {f"{split}_fraction": fraction for split, fraction in fractions.items()})
  check_channels("tfds_images", channels, may_be_none=True)
  check_turns("tfds_images", angles or {})
  if limit is not None and limit < 1:
    raise ConfigError(f"tfds_images.limit = {limit} must be at least 1, or None for all images.")
  builder = load_builder(name, data_dir)
  shape = builder.info.features["image"].shape if "image" in builder.info.features else ()
  if len(shape) != 3:
    raise DataError(f"the TFDS data set '{name}' has no images: its columns are {', '.join(builder.info.features)}.")
  if size is None and None in shape[:2]:
    raise ConfigError(f"tfds_images.size = None: the images of '{name}' are of many sizes; say which is wanted.")
  shape = (*height_and_width("tfds_images", shape[:2] if size is None else size), channels or shape[2])

  read = {split: _read(builder, name, split, shape, limit, kind.fix) for split in kind.splits}
  splits = {split: columns for split, (columns, _) in read.items()}
  _check_columns(splits["train"], judged=judged, angles=angles)
  missing = {split: fractions[split] for split in ("probe", "validation", "test") if split not in splits}
  divided = {column: divide(values, missing.values(), at_least=1) for column, values in splits["train"].items()}
  for number, split in enumerate((*missing, "train")):
    splits[split] = {column: of_column[number] for column, of_column in divided.items()}
  rows = {split: splits[split]["image"] for split in ("train", "probe", "validation", "test")}
  check_rows("tfds_images", rows, {f"{split}_fraction": fraction for split, fraction in missing.items()})
  judged, angles = kind.judged if judged is None else judged, kind.angles if angles is None else angles
  features = dict(_flat(builder.info.features))
  return Dataset(
    **splits,
    name=(
      f"tfds_images({name}, {builder.version}, {shape}, {limit}, {tuple(fractions.values())}, {dict(angles)}, "
      f"{', '.join(digest for _, digest in read.values())})"
    ),
    judges=(
      *(Judge("digit" if column == "label" and "mnist" in name else column, column, "classifier") for column in judged),
      *(Judge(column, column, "angle", turn) for column, turn in angles.items()),
    ),
    class_names={column: tuple(features[column].names) for column in judged if hasattr(features.get(column), "names")},
    columns={
      column: known
      for column in splits["train"]
      if column != "image"
      and (
        known := _known(column, [splits[split][column] for split in splits], features[column], angles.get(column, 0))
      )
    },
  )


def _read(
  builder, name: str, split: str, shape: tuple[int, int, int], limit: int | None, fix: Callable
) -> tuple[dict[str, np.ndarray], str]:
  """The columns of a split of TFDS, of which the images are kept in the cache, and a digest of them."""
  folder = pathlib.Path(builder.data_dir).absolute()
  files = [(file.name, *state(file)) for file in sorted(folder.iterdir())] if folder.is_dir() else []
  images, columns, digest, _ = cached_images(
    f"{folder} {files} {builder.info.as_json} {name} {split} {limit}",
    shape,
    f"'{split}' of {name}",
    lambda append: _columns(builder, split, limit, lambda image: append(_fitted(fix(image), shape))),
  )
  return {"image": images, **columns}, digest[:12]


def _check_columns(columns: Mapping[str, np.ndarray], judged, angles) -> None:
  """Raises `ConfigError` if the data set has no such columns."""
  here = [column for column in columns if column != "image"]
  classes = [column for column in here if columns[column].dtype == np.int64]
  for argument, asked, known in (("judged", judged, classes), ("angles", angles, here)):
    if unknown := sorted({*(asked or ())} - {*known}):
      raise ConfigError(
        f"tfds_images.{argument}: there is no such column '{unknown[0]}': choose of {', '.join(known)}."
      )


def _known(name: str, values: Sequence[np.ndarray], feature, turn: float) -> Column | None:
  """What TFDS knows of a column, from its values in each split; None if it has -1 for an unknown class."""
  if values[0].dtype != np.int64:
    return Column(name, "angle" if turn else "number", turn=turn)
  if min(of_split.min() for of_split in values) < 0:
    return None
  names = tuple(getattr(feature, "names", ("false", "true")))
  return Column(name, kind_of_classes(names), names)


def load_builder(name: str, data_dir: str | None):
  """The TFDS builder of a prepared data set; one that is not there is downloaded and prepared first.

  Raises:
    ConfigError: the name is more than that of a data set and its configuration, so that TFDS could run foreign code.
    DataError: the data set cannot be prepared, or its files name code from outside of TFDS.
  """
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core.download import downloader

  if not re.fullmatch(r"\w+(/\w[\w.+-]*)?", name):
    raise ConfigError(
      f"'{name}' is no name of a TFDS data set like 'mnist' or 'emnist/digits'. With a ':' TFDS would run "
      "foreign code: prepare such a set yourself, and pass --data_dir=<its folder> and its name alone."
    )
  # By default TFDS tries ten times, with doubling pauses: four minutes until it reports that there is no network.
  downloader.MAX_RETRIES = 3
  try:
    with _only_features_of_tfds(name):
      builder = tfds.builder(name, data_dir=data_dir)
      builder.download_and_prepare()
  except DataError:
    raise
  except Exception as error:  # TFDS raises many types, from its downloader, file systems and registry
    where = data_dir or "the default folder of TFDS"
    raise DataError(
      f"the TFDS data set '{name}' is not in {where} and could not be prepared "
      f"({type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}). "
      f"Pass --data_dir=<the folder that holds {name.split('/', maxsplit=1)[0]}/>, or "
      f"fetch it where there is a network with `tfds build {name} --data_dir=…`."
    ) from error
  return builder


@contextlib.contextmanager
def _only_features_of_tfds(name: str) -> Iterator[None]:
  """Refuses column classes from outside of TFDS, before TFDS imports their modules.

  `features.json` and `dataset_info.json` of a prepared data set name a class for each column, and TFDS imports any
  module that they name, so a foreign file could run code. TFDS looks up every class, also a nested one, with a single
  function, which is replaced here.

  Raises:
    DataError: the data set names a class from outside of TFDS.
  """
  from tensorflow_datasets.core.features.feature import FeatureConnector

  of_tfds = FeatureConnector.__dict__["cls_from_name"]

  def cls_from_name(cls, python_class_name):
    if not python_class_name.startswith("tensorflow_datasets."):
      raise DataError(
        f"the TFDS data set '{name}' has a column of the class '{python_class_name}', and to read it would run code "
        "from outside of TensorFlow Datasets. Prepare the set anew, with columns of tfds.features alone."
      )
    return of_tfds.__get__(None, cls)(python_class_name)

  FeatureConnector.cls_from_name = classmethod(cls_from_name)
  try:
    yield
  finally:
    FeatureConnector.cls_from_name = of_tfds


def _columns(builder, split, limit, append) -> dict[str, np.ndarray]:
  """Calls `append` with every image; returns the other columns. A column within another one has its inner name."""
  import tensorflow_datasets as tfds

  dataset = builder.as_dataset(split=split, shuffle_files=False)
  if limit is not None:
    dataset = dataset.take(limit)
  values: dict[str, list] = {}
  for example in tfds.as_numpy(dataset):
    append(example["image"])
    for column, value in _flat(example):
      if not isinstance(value, bytes):  # texts, such as file names, are left out
        values.setdefault(column, []).append(value)
  classes = {column for column, feature in _flat(builder.info.features) if hasattr(feature, "num_classes")}
  return {
    column: np.array(numbers, np.int64 if column in classes or isinstance(numbers[0], np.bool_) else np.float32)
    for column, numbers in values.items()
  }


def _flat(columns: Mapping) -> Iterator[tuple[str, object]]:
  """Name and value of each column with one value per example, including columns within others."""
  for name, value in columns.items():
    if hasattr(value, "items"):
      yield from _flat(value)
    elif name != "image" and np.shape(value if not hasattr(value, "shape") else np.zeros(value.shape)) == ():
      yield name, value


def _fitted(image: np.ndarray, shape) -> np.ndarray:
  """An image [h, w, c], of 8 or 16 bits or floats, as uint8 that is cropped and resized to `shape`."""
  if image.shape == tuple(shape) and image.dtype == np.uint8:
    return image
  return decode(PIL.Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image), shape).image
