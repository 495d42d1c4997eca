"""Image data sets of TensorFlow Datasets, each with its factors as columns.

| set | size | columns |
|---|---|---|
| `mnist`, `fashion_mnist`, `kmnist`, `emnist/digits` | 28x28 grey | `label` |
| `celeb_a` | 218x178 RGB | 40 attributes of 0 or 1 (`Smiling`), five landmarks in pixels (`lefteye_x`, `nose_y`) |
| `shapes3d` | 64x64 RGB | `label_*`, `value_*` of `floor_hue`, `wall_hue`, `object_hue`, `scale`, `shape`, … |
| `dsprites` | 64x64 grey | `label_*`, `value_*`: `shape`, `scale`, `orientation`, `x_position`, `y_position` |
| `smallnorb` | 96x96 grey | `label_category`, `instance`, `label_elevation`, `label_azimuth`, `label_lighting` |

Classes and truth values are int64 [N], other numbers float32 [N]. Any other set with an `image` is read likewise.
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

from tfdisent.data.dataset import Dataset, Judge
from tfdisent.data.image_cache import cached_images, fitted, state
from tfdisent.data.splits import check_channels, check_fractions, divide, height_and_width
from tfdisent.errors import ConfigError, DataError
from tfdisent.registry import register_dataset


class Kind(NamedTuple):
  """What is to be known of a set.

  Attributes:
    judged: columns of classes that the evaluation reads from images.
    angles: columns of angles that it reads, with what a full turn is in their unit.
    splits: TFDS's splits.
    fix: from the image as TFDS has it to one that looks as it should.
  """

  judged: tuple[str, ...] = ("label",)
  angles: Mapping[str, float] = MappingProxyType({})
  splits: tuple[str, ...] = ("train", "test")
  fix: Callable[[np.ndarray], np.ndarray] = lambda image: image


KINDS = {
  "mnist": Kind(),
  "fashion_mnist": Kind(),
  "kmnist": Kind(),
  "emnist": Kind(fix=lambda image: image.transpose(1, 0, 2)),  # TFDS keeps it as published, lines for columns
  "celeb_a": Kind((), splits=("train", "validation", "test")),
  "shapes3d": Kind(("label_shape",), {"value_orientation": 360.0}, ("train",)),
  "dsprites": Kind(
    ("label_shape",),
    {"value_orientation": 2 * math.pi},
    ("train",),
    lambda image: image * np.uint8(255),  # of 0 and 1
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
  """A set of TFDS by its name.

  Images are cropped at their centre and resized, once: see `tfdisent.data.image_cache`. The splits of TFDS are
  kept; those that it lacks are the first images of `train`, in TFDS's own order, which is shuffled.

  Args:
    name: of the set, with its configuration: "emnist/digits".
    data_dir: where TFDS keeps its data sets; None is TFDS's own default.
    size: height and width that images are cropped and resized to, or one number for both; None leaves them.
    channels: 1 for grey, 3 for RGB; None leaves them.
    judged: columns of classes that the evaluation reads from images; None takes the set's own, as in `KINDS`.
    angles: columns of angles that it reads, with what a full turn is in their unit; None likewise.
    limit: at most so many images of each of TFDS's splits; None for all.
    test_fraction, validation_fraction: shares of `train` that become these splits, where TFDS has none.
    probe_fraction: share of `train` that becomes the probe split.

  Raises:
    ConfigError: an argument is out of its range.
    DataError: the set is neither there nor downloadable, or has no images.
  """
  kind = KINDS.get(name.split("/", maxsplit=1)[0], Kind(()))
  fractions = {"test": test_fraction, "probe": probe_fraction, "validation": validation_fraction}
  check_fractions("tfds_images", {f"{split}_fraction": fraction for split, fraction in fractions.items()})
  check_channels("tfds_images", channels, may_be_none=True)
  builder = load_builder(name, data_dir)
  shape = builder.info.features["image"].shape if "image" in builder.info.features else ()
  if len(shape) != 3:
    raise DataError(f"the TFDS data set '{name}' has no images: its columns are {', '.join(builder.info.features)}.")
  if size is None and None in shape[:2]:
    raise ConfigError(f"tfds_images.size = None: the images of '{name}' are of many sizes; say which is wanted.")
  shape = (*height_and_width("tfds_images", shape[:2] if size is None else size), channels or shape[2])

  folder = pathlib.Path(builder.data_dir).absolute()
  files = [(file.name, *state(file)) for file in sorted(folder.iterdir())] if folder.is_dir() else []
  key = f"{folder} {files} {builder.info.as_json}"
  parts, digests = {}, []
  for split in kind.splits:
    images, columns, digest = cached_images(
      f"{key} {name} {split} {limit}",
      shape,
      f"'{split}' of {name}",
      lambda append, split=split: _columns(
        builder, split, limit, lambda image: append(_fitted(kind.fix(image), shape))
      ),
    )
    parts[split] = {"image": images, **columns}
    digests.append(digest[:12])

  missing = {split: fractions[split] for split in ("probe", "validation", "test") if split not in parts}
  divided = {column: divide(values, missing.values(), at_least=1) for column, values in parts["train"].items()}
  for number, split in enumerate((*missing, "train")):
    parts[split] = {column: of_column[number] for column, of_column in divided.items()}
  judged, angles = kind.judged if judged is None else judged, kind.angles if angles is None else angles
  features = dict(_flat(builder.info.features))
  return Dataset(
    **parts,
    name=(
      f"tfds_images({name}, {builder.version}, {shape}, {limit}, {tuple(fractions.values())}, {dict(angles)}, "
      f"{', '.join(digests)})"
    ),
    judges=(
      *(Judge("digit" if column == "label" and "mnist" in name else column, column, "classifier") for column in judged),
      *(Judge(column, column, "angle", turn) for column, turn in angles.items()),
    ),
    class_names={column: tuple(features[column].names) for column in judged if hasattr(features.get(column), "names")},
  )


def load_builder(name: str, data_dir: str | None):
  """The builder of a TFDS set that is there, or was downloaded now.

  Raises:
    ConfigError: TFDS would take the name for more than that of a set and its configuration.
    DataError: the set is neither; or its files name code that is not TFDS's own. The message says what to do.
  """
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core.download import downloader

  if not re.fullmatch(r"\w+(/\w[\w.+-]*)?", name):
    raise ConfigError(
      f"'{name}' is no name of a TFDS data set like 'mnist' or 'emnist/digits'. With a ':' TFDS would run code "
      "of others, which is refused: prepare such a set yourself, and pass --data_dir=<its folder> and its name alone."
    )
  # TFDS's ten retries, with doubling pauses, take four minutes to find that there is no network
  downloader.MAX_RETRIES = 3
  try:
    with _features_of_tfds_alone(name):
      builder = tfds.builder(name, data_dir=data_dir)
      builder.download_and_prepare()
  except DataError:
    raise
  except Exception as error:  # TFDS raises what its downloader, file system or registry does
    where = data_dir or "the default folder of TFDS"
    raise DataError(
      f"the TFDS data set '{name}' is not in {where} and could not be prepared "
      f"({type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}). "
      f"Pass --data_dir=<the folder that holds {name.split('/', maxsplit=1)[0]}/>, or "
      f"fetch it where there is a network with `tfds build {name} --data_dir=…`."
    ) from error
  return builder


@contextlib.contextmanager
def _features_of_tfds_alone(name: str) -> Iterator[None]:
  """Refuses classes of columns that are not TFDS's own, before TFDS imports their modules.

  `features.json` and `dataset_info.json` of a prepared set name a class for each column, and TFDS imports whatever they
  name. It asks one function for all of them, however deep the file hides them.

  Raises:
    DataError: the set names such a class.
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
  """Gives every image to `append`; returns the other columns, those of a nested one by their own names."""
  import tensorflow_datasets as tfds

  dataset = builder.as_dataset(split=split, shuffle_files=False)
  if limit is not None:
    dataset = dataset.take(limit)
  values: dict[str, list] = {}
  for example in tfds.as_numpy(dataset):
    append(example["image"])
    for column, value in _flat(example):
      if not isinstance(value, bytes):  # a name is no number
        values.setdefault(column, []).append(value)
  classes = {column for column, feature in _flat(builder.info.features) if hasattr(feature, "num_classes")}
  return {
    column: np.array(of_column, np.int64 if column in classes or isinstance(of_column[0], np.bool_) else np.float32)
    for column, of_column in values.items()
  }


def _flat(columns: Mapping) -> Iterator[tuple[str, object]]:
  """The columns that are one number an example, those within others as well."""
  for name, value in columns.items():
    if hasattr(value, "items"):
      yield from _flat(value)
    elif name != "image" and np.shape(value if not hasattr(value, "shape") else np.zeros(value.shape)) == ():
      yield name, value


def _fitted(image: np.ndarray, shape) -> np.ndarray:
  """An image uint8 [h, w, c], cropped and resized to `shape`."""
  if image.shape == tuple(shape):
    return image
  return fitted(PIL.Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image), shape)
