"""Pictures of what a model does, as uint8 arrays: fusion grids, reconstructions, traversals and samples."""

import itertools
import pathlib

import numpy as np
import tensorflow as tf

from tfdisent.data.dataset import Examples
from tfdisent.feature.contract import COMPOSITE, DISCRETE, Feature
from tfdisent.inference import TrainedModel, to_uint8

GAP = 2  # white pixels between images


def tile(rows: list[list[np.ndarray | None]]) -> np.ndarray:
  """One picture [H', W', C] of rows of images [H, W, C], all of one size; None leaves a white place."""
  some = next(image for row in rows for image in row if image is not None)
  blank = np.full_like(some, 255)
  pad = ((GAP, 0), (GAP, 0), (0, 0))
  lines = [
    np.concatenate([np.pad(blank if image is None else image, pad, constant_values=255) for image in row], axis=1)
    for row in rows
  ]
  return np.pad(np.concatenate(lines), ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def pick(f: np.ndarray, feature: Feature, count: int = 10, seed: int = 0) -> np.ndarray:
  """Rows of up to `count` examples that show the range of f [N, width].

  One of each class, or the farthest from one another.
  """
  order = np.random.default_rng(seed).permutation(len(f))
  if feature.kind == DISCRETE:
    _, first = np.unique(f[order], axis=0, return_index=True)
    return order[first[::-1]][:count]  # one-hot vectors sort from the last class to the first
  order = order[:2000]
  chosen = [order[0]]
  distance = np.full(len(order), np.inf)
  while len(chosen) < min(count, len(order)):
    distance = np.minimum(distance, np.linalg.norm(f[order] - f[chosen[-1]], axis=1))
    chosen.append(order[np.argmax(distance)])
  keys = f if feature.kind == COMPOSITE else feature.to_natural(f).reshape(len(f), -1)  # angles in their order
  return np.array(sorted(chosen, key=lambda row: tuple(keys[row])))


def fusion_grid(
  model: TrainedModel,
  rows: np.ndarray,
  columns: np.ndarray,
  f_columns: np.ndarray,
  f_rows: np.ndarray | None = None,
  part: int | None = None,
) -> np.ndarray:
  """x̂ = G(z1, z̃2): rows share z1, columns share z̃2; their sources along the edges.

  Args:
    rows: images that give z1, uint8 [R, H, W, C].
    columns: images that give z̃2, uint8 [K, H, W, C].
    f_columns: f of `columns`, [K, width].
    f_rows, part: of a feature with several parts, the columns give this one alone; f of `rows`, [R, width], the others.
  """
  z1 = model.encode_z1(rows)[0]
  f = np.tile(f_columns, (len(rows), 1, 1))
  if part is not None:
    f = _with_part(model.feature, f_rows, part, model.feature.split(f_columns)[part])
  fusions = _grid(model, z1, f)
  return tile([[None, *columns], *([row, *images] for row, images in zip(rows, fusions))])


def _with_part(feature: Feature, f: np.ndarray, part: int, values: np.ndarray) -> np.ndarray:
  """f [R, width] with its `part` replaced by each of `values` [K, the part's width]: [R, K, width]."""
  parts = [np.repeat(of_part[:, None], len(values), 1) for of_part in feature.split(f)]
  parts[part] = np.tile(values, (len(f), 1, 1))
  return np.concatenate(parts, 2)


def _grid(model: TrainedModel, z1: np.ndarray, f: np.ndarray) -> np.ndarray:
  """G(z1, z2) of z1 [R, Z1] along the rows, with f [R, K, width]: uint8 [R, K, H, W, C]."""
  count = f.shape[1]
  z2 = model.encode_z2(f.reshape(-1, f.shape[2]).astype(np.float32))
  images = to_uint8(model.decode(np.repeat(z1, count, 0), z2))
  return images.reshape(len(z1), count, *images.shape[1:])


def reconstruction_grid(model: TrainedModel, images: np.ndarray, f: np.ndarray) -> np.ndarray:
  """Pairs of lines: x, and x' below it; images uint8 [N, H, W, C], f [N, width]."""
  x_rec = to_uint8(model.decode(model.encode_z1(images)[0], model.encode_z2(f)))
  per_line = min(10, len(images))
  lines = range(0, len(images) // per_line * per_line, per_line)
  return tile([list(kind[start : start + per_line]) for start in lines for kind in (images, x_rec)])


def traversal_grid(
  model: TrainedModel, images: np.ndarray, f_path: np.ndarray, f: np.ndarray, part: int = 0
) -> np.ndarray:
  """Two traversals, one above the other.

  Above, z1 is fixed in each row and a part of f follows f_path; below, z2 is fixed in each row and z1 goes from one
  image to the next.

  Args:
    images: uint8 [N, H, W, C]; the rows.
    f_path: [K, the part's width]: each class, or points to move between, evenly in the natural form.
    f: f of `images`, [N, width].
    part: of a feature with several, the one that moves.
  """
  z1, steps, moving = model.encode_z1(images)[0], 10, model.feature.parts[part]
  if moving.kind != DISCRETE:
    natural = moving.to_natural(f_path)
    f_path = moving.to_vector(
      np.concatenate(
        [np.linspace(a, b, steps // (len(f_path) - 1), endpoint=False) for a, b in itertools.pairwise(natural)]
      )
    )
  moved_z2 = _grid(model, z1, _with_part(model.feature, f, part, f_path))
  paths = np.linspace(z1, np.roll(z1, -1, 0), len(f_path), axis=1).astype(np.float32)  # [N, K, Z1]
  moved_z1 = to_uint8(
    model.decode(paths.reshape(-1, z1.shape[1]), np.repeat(model.encode_z2(f), len(f_path), 0))
  ).reshape(len(z1), -1, *images.shape[1:])
  blank = [[None] * (len(f_path) + 1)]
  return tile(
    [*([x, *line] for x, line in zip(images, moved_z2)), *blank, *([x, *line] for x, line in zip(images, moved_z1))]
  )


def sample_grid(model: TrainedModel, f: np.ndarray, rows: int = 8, seed: int = 0) -> np.ndarray:
  """New images: z1 from the prior, the same along a row; columns have the features f [K, width]."""
  z1 = np.random.default_rng(seed).standard_normal((rows, model.model.z1_width)).astype(np.float32)
  images = to_uint8(model.decode(np.repeat(z1, len(f), 0), np.tile(model.encode_z2(f), (rows, 1))))
  return tile([list(line) for line in images.reshape(rows, len(f), *images.shape[1:])])


def write_png(path: pathlib.Path, picture: np.ndarray, zoom: int = 2) -> None:
  """Writes uint8 [H, W, C], each pixel `zoom` times as wide and high."""
  tf.io.write_file(str(path), tf.io.encode_png(np.repeat(np.repeat(picture, zoom, 0), zoom, 1)))


def write_pictures(folder: pathlib.Path, model: TrainedModel, examples: Examples, f: np.ndarray) -> list[pathlib.Path]:
  """Writes `fusion.png`, `reconstruction.png` and `traversal.png` of examples with f [N, width].

  Of a feature with several parts also `fusion_NAME.png` and `traversal_NAME.png`, in which one part moves alone, in
  place of `traversal.png`. Returns their paths.
  """
  x, feature = examples["image"], model.feature
  columns = pick(f, feature)
  rows = np.random.default_rng(1).permutation(len(x))
  pictures = {
    "fusion": fusion_grid(model, x[rows[:10]], x[columns], f[columns]),
    "reconstruction": reconstruction_grid(model, x[rows[:40]], f[rows[:40]]),
  }
  for index, (name, part) in enumerate(zip(feature.part_names, feature.parts)):
    f_part = feature.split(f)[index]
    columns = pick(f_part, part)
    suffix = "" if len(feature.parts) == 1 else f"_{name}"
    if suffix:
      pictures[f"fusion{suffix}"] = fusion_grid(model, x[rows[:10]], x[columns], f[columns], f[rows[:10]], index)
    points = columns if part.kind == DISCRETE else columns[:: max(1, len(columns) // 3)]
    pictures[f"traversal{suffix}"] = traversal_grid(model, x[rows[:6]], f_part[points], f[rows[:6]], index)
  paths = [folder / f"{name}.png" for name in pictures]
  for path, picture in zip(paths, pictures.values()):
    write_png(path, picture)
  return paths
