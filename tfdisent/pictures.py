"""Pictures of what a model does: grids of fusions, reconstructions, traversals and samples, uint8 [H, W, C]."""

import io
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from tfdisent import run
from tfdisent.arguments import checked
from tfdisent.data.dataset import Examples
from tfdisent.errors import DataError
from tfdisent.feature.contract import COMPOSITE, DISCRETE, Feature
from tfdisent.inference import Natural, TrainedModel, to_uint8

GAP = 2
"""White pixels between two images."""


def tile(rows: list[list[np.ndarray | None]]) -> np.ndarray:
  """One picture, uint8 [H', W', C], of rows of images, uint8 [H, W, C], all of one size; None is a white image."""
  image = next(image for row in rows for image in row if image is not None)
  blank = np.full_like(image, 255)
  pad = ((GAP, 0), (GAP, 0), (0, 0))
  lines = [
    np.concatenate([np.pad(blank if image is None else image, pad, constant_values=255) for image in row], axis=1)
    for row in rows
  ]
  return np.pad(np.concatenate(lines), ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def pick(f: np.ndarray, feature: Feature, count: int = 10, seed: int = 0) -> np.ndarray:
  """Chooses up to `count` examples that show the range of f.

  Args:
    f: f of the examples, [N, width].
    feature: f itself. If it is discrete, one example of each class is chosen, else examples that are far apart.
    count: the number of examples, at most.
    seed: of the order in which examples are considered.

  Returns:
    The chosen rows of f, int [K]: by class, or by their natural form.
  """
  order = np.random.default_rng(seed).permutation(len(f))
  if feature.kind == DISCRETE:
    _, first = np.unique(f[order], axis=0, return_index=True)
    return order[first[::-1]][:count]  # np.unique sorts one-hot vectors from the last class to the first
  order = order[:2000]  # the search takes N K steps
  chosen = [order[0]]
  distance = np.full(len(order), np.inf)
  while len(chosen) < min(count, len(order)):
    distance = np.minimum(distance, np.linalg.norm(f[order] - f[chosen[-1]], axis=1))
    chosen.append(order[np.argmax(distance)])
  # not f: (cos, sin) would not sort angles
  keys = f if feature.kind == COMPOSITE else feature.to_natural(f).reshape(len(f), -1)
  return np.array(sorted(chosen, key=lambda row: tuple(keys[row])))


def fusion_grid(
  trained: TrainedModel,
  rows: np.ndarray,
  columns: np.ndarray,
  f_columns: np.ndarray,
  f_rows: np.ndarray | None = None,
  part: int | None = None,
) -> np.ndarray:
  """Fusions x̂ = G(z1, z̃2): a row has the z1 of the image at its left, a column the z̃2 of the image above it.

  Args:
    trained: the model.
    rows: images that give z1, uint8 [R, H, W, C].
    columns: images that give z̃2, uint8 [K, H, W, C].
    f_columns: f of `columns`, [K, width].
    f_rows: f of `rows`, [R, width]; needed with `part`.
    part: the index of a part of f, which alone is taken from the columns, while the others stay as in the rows; None
      takes all of f from the columns.
  """
  z1 = trained.encode_z1(rows)[0]
  f = np.tile(f_columns, (len(rows), 1, 1))
  if part is not None:
    f = _with_part(trained.feature, f_rows, part, trained.feature.split(f_columns)[part])
  fusions = _grid(trained, z1, f)
  return tile([[None, *columns], *([row, *images] for row, images in zip(rows, fusions))])


class Picture(Figure):
  """A figure that a notebook shows, though nobody has imported pyplot, and only once where somebody has."""

  def _repr_png_(self) -> bytes:
    file = io.BytesIO()
    self.savefig(file, format="png")
    return file.getvalue()


@checked("show_fusions")
def show_fusions(
  trained: TrainedModel,
  images: np.ndarray,
  feature_images: np.ndarray | None = None,
  feature: Natural | None = None,
) -> Figure:
  """A figure of fusions, which a notebook shows: rows keep their image, columns have the feature that is written above.

      tfdisent.show_fusions(trained, images[:4], others[:6])

  Args:
    trained: the model.
    images: that give z1, [R, H, W, C], as `TrainedModel` takes them.
    feature_images: that give the feature, [K, H, W, C]; None for `images`.
    feature: that of `feature_images` in its natural form; None to read it from them.

  Raises:
    DataError: images have another shape or range.
    FeatureError: no feature is given, and it cannot be read from images; or the one that is given is wrong.
  """
  x, _ = trained.as_images(images)
  x_partner = x if feature_images is None else trained.as_images(feature_images, "feature_images")[0]
  f = trained.feature.to_vector(trained.encode(x_partner).feature if feature is None else feature)
  rows, columns = to_uint8(x), to_uint8(x_partner)
  for name, given in (("images", rows), ("feature_images", columns)):
    if not len(given):
      raise DataError(f"{name} are none: give one or more.")
  if len(f) != len(columns):
    raise DataError(f"feature has {len(f)} values, and there are {len(columns)} feature_images.")
  picture = fusion_grid(trained, rows, columns, f)
  figure = Picture(figsize=(0.8 * (len(columns) + 1), 0.8 * (len(rows) + 1) + 0.5), layout="constrained")
  axes = figure.subplots()
  draw(axes, picture)
  words = _words(trained, f)
  aslant = {"rotation": 60, "ha": "left", "rotation_mode": "anchor"} if max(map(len, words)) > 9 else {}
  axes.set_xticks(middles(columns.shape[2], len(columns) + 1)[1:], words, parse_math=False, **aslant)
  axes.set_yticks([])
  return figure


def _words(trained: TrainedModel, f: np.ndarray) -> list[str]:
  """Each row of f [K, width] in words: "cat", or a line for each part where there are several, as "smile: 1"."""
  feature, lines = trained.feature, []
  for name, part, f_part in zip(feature.part_names, feature.parts, feature.split(f)):
    words = value_words(np.asarray(part.to_natural(f_part)), trained.class_names.get(part.column, ()))
    lines.append([f"{name}: {word}" for word in words] if len(feature.parts) > 1 else words)
  return ["\n".join(column) for column in zip(*lines)]


def draw(axes, picture: np.ndarray) -> None:
  """Draws a picture, uint8 [H, W, C], with room for words above and at the left."""
  axes.imshow(picture if picture.shape[2] == 3 else picture[..., 0], cmap="gray", vmin=0, vmax=255)
  axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelsize=8)
  axes.spines[:].set_visible(False)


def middles(size: int, count: int) -> list[float]:
  """Of the images of a line of `tile`, in pixels."""
  return [(size + GAP) * k + GAP + size / 2 for k in range(count)]


def value_words(values: np.ndarray, classes: Sequence[str] = ()) -> list[str]:
  """Each of the values [K] or [K, …] in words: the name of a class, where there are names, or numbers."""
  named = values.dtype.kind in "iu" and values.ndim == 1
  return [str(classes[value]) if named and value < len(classes) else _short(value) for value in values]


def _short(value: np.ndarray) -> str:
  return ", ".join(f"{number:.2g}" for number in np.ravel(value))


def _with_part(feature: Feature, f: np.ndarray, part: int, values: np.ndarray) -> np.ndarray:
  """f [R, width] with part number `part` set to each of `values` [K, the part's width]: [R, K, width]."""
  parts = [np.repeat(f_part[:, None], len(values), 1) for f_part in feature.split(f)]
  parts[part] = np.tile(values, (len(f), 1, 1))
  return np.concatenate(parts, 2)


def _grid(trained: TrainedModel, z1: np.ndarray, f: np.ndarray) -> np.ndarray:
  """G(z1, z2), uint8 [R, K, H, W, C], of z1 [R, Z1], which is that of a whole row, and of f [R, K, width]."""
  count = f.shape[1]
  z2 = trained.encode_z2(f.reshape(-1, f.shape[2]).astype(np.float32))
  images = to_uint8(trained.decode(np.repeat(z1, count, 0), z2))
  return images.reshape(len(z1), count, *images.shape[1:])


def reconstruction_grid(trained: TrainedModel, images: np.ndarray, f: np.ndarray) -> np.ndarray:
  """Pairs of lines, images x, uint8 [N, H, W, C], and their x' below them; f of the images is [N, width]."""
  x_rec = to_uint8(trained.decode(trained.encode_z1(images)[0], trained.encode_z2(f)))
  per_line = min(10, len(images))
  lines = range(0, len(images) // per_line * per_line, per_line)
  return tile([list(line[start : start + per_line]) for start in lines for line in (images, x_rec)])


def traversal_grid(
  trained: TrainedModel, images: np.ndarray, f_path: np.ndarray, f: np.ndarray, part: int = 0
) -> np.ndarray:
  """Two traversals, one above the other, with a row for each image.

  In the upper one z1 is fixed in each row, and a part of f follows `f_path`. In the lower one z2 is fixed in each row,
  and z1 moves to that of the next image.

  Args:
    trained: the model.
    images: uint8 [N, H, W, C].
    f_path: values of the part, [K, the part's width]: all classes, or points of a continuous part, between which it
      moves evenly in its natural form.
    f: f of `images`, [N, width].
    part: the index of the part of f that moves.
  """
  z1, steps, feature = trained.encode_z1(images)[0], 10, trained.feature.parts[part]
  if feature.kind != DISCRETE:
    natural = feature.to_natural(f_path)
    f_path = feature.to_vector(
      np.concatenate(
        [np.linspace(a, b, steps // (len(f_path) - 1), endpoint=False) for a, b in itertools.pairwise(natural)]
      )
    )
  moved_z2 = _grid(trained, z1, _with_part(trained.feature, f, part, f_path))
  paths = np.linspace(z1, np.roll(z1, -1, 0), len(f_path), axis=1).astype(np.float32)  # [N, K, Z1]
  moved_z1 = to_uint8(
    trained.decode(paths.reshape(-1, z1.shape[1]), np.repeat(trained.encode_z2(f), len(f_path), 0))
  ).reshape(len(z1), -1, *images.shape[1:])
  blank = [[None] * (len(f_path) + 1)]
  return tile(
    [*([x, *line] for x, line in zip(images, moved_z2)), *blank, *([x, *line] for x, line in zip(images, moved_z1))]
  )


def sample_grid(trained: TrainedModel, f: np.ndarray, rows: int = 8, seed: int = 0) -> np.ndarray:
  """New images: each row has a z1 from the prior, and column k has the feature f[k], of f [K, width]."""
  z1 = np.random.default_rng(seed).standard_normal((rows, trained.model.z1_width)).astype(np.float32)
  images = to_uint8(trained.decode(np.repeat(z1, len(f), 0), np.tile(trained.encode_z2(f), (rows, 1))))
  return tile([list(line) for line in images.reshape(rows, len(f), *images.shape[1:])])


def write_png(path: pathlib.Path, picture: np.ndarray, zoom: int = 2) -> None:
  """Writes a picture, uint8 [H, W, C], as a PNG in which each pixel is `zoom` times as wide and high.

  Raises:
    RunError: it cannot be written.
  """
  run.write(path, tf.io.encode_png(np.repeat(np.repeat(picture, zoom, 0), zoom, 1)).numpy())


def write_pictures(
  folder: pathlib.Path, trained: TrainedModel, examples: Examples, f: np.ndarray
) -> list[pathlib.Path]:
  """Writes `fusion.png`, `reconstruction.png` and `traversal.png`.

  Where f has several parts, there are a `fusion_NAME.png` and a `traversal_NAME.png` for each part, in which this part
  changes alone, and no `traversal.png`.

  Args:
    folder: where to write.
    trained: the model.
    examples: of which images are chosen, best of the validation split.
    f: f of the examples, [N, width].

  Returns:
    The paths of the pictures.
  """
  x, feature = examples["image"], trained.feature
  columns = pick(f, feature)
  rows = np.random.default_rng(1).permutation(len(x))
  pictures = {
    "fusion": fusion_grid(trained, x[rows[:10]], x[columns], f[columns]),
    "reconstruction": reconstruction_grid(trained, x[rows[:40]], f[rows[:40]]),
  }
  for index, (name, part) in enumerate(zip(feature.part_names, feature.parts)):
    f_part = feature.split(f)[index]
    columns = pick(f_part, part)
    suffix = "" if len(feature.parts) == 1 else f"_{name}"
    if suffix:
      pictures[f"fusion{suffix}"] = fusion_grid(trained, x[rows[:10]], x[columns], f[columns], f[rows[:10]], index)
    points = columns if part.kind == DISCRETE else columns[:: max(1, len(columns) // 3)]
    pictures[f"traversal{suffix}"] = traversal_grid(trained, x[rows[:6]], f_part[points], f[rows[:6]], index)
  paths = [folder / f"{name}.png" for name in pictures]
  for path, picture in zip(paths, pictures.values()):
    write_png(path, picture)
  return paths
