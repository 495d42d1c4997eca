"""Pictures of what a model does, as uint8 arrays: fusion grids, reconstructions, traversals and samples."""

import itertools
import pathlib

import numpy as np
import tensorflow as tf

from tfdisent.dataset import Examples
from tfdisent.feature import DISCRETE, Feature
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
  return np.array(sorted(chosen, key=lambda row: tuple(f[row])))


def fusion_grid(model: TrainedModel, rows: np.ndarray, columns: np.ndarray, f_columns: np.ndarray) -> np.ndarray:
  """x̂ = G(z1, z̃2): rows share z1, columns share z̃2; their sources along the edges.

  Args:
    rows: images that give z1, uint8 [R, H, W, C].
    columns: images that give z̃2, uint8 [K, H, W, C].
    f_columns: f of `columns`, [K, width].
  """
  z1, z2 = model.encode_z1(rows)[0], model.encode_z2(f_columns)
  fusions = to_uint8(model.decode(np.repeat(z1, len(z2), 0), np.tile(z2, (len(z1), 1)))).reshape(
    len(z1), len(z2), *rows.shape[1:]
  )
  return tile([[None, *columns], *([row, *images] for row, images in zip(rows, fusions))])


def reconstruction_grid(model: TrainedModel, images: np.ndarray, f: np.ndarray) -> np.ndarray:
  """Pairs of lines: x, and x' below it; images uint8 [N, H, W, C], f [N, width]."""
  x_rec = to_uint8(model.decode(model.encode_z1(images)[0], model.encode_z2(f)))
  per_line = min(10, len(images))
  lines = range(0, len(images) // per_line * per_line, per_line)
  return tile([list(kind[start : start + per_line]) for start in lines for kind in (images, x_rec)])


def traversal_grid(model: TrainedModel, images: np.ndarray, f_path: np.ndarray, f: np.ndarray) -> np.ndarray:
  """Two traversals, one above the other.

  Above, z1 is fixed in each row and z2 follows f_path; below, z2 is fixed in each row and z1 goes from one image to the
  next.

  Args:
    images: uint8 [N, H, W, C]; the rows.
    f_path: [K, width]: each class, or points to move between.
    f: f of `images`, [N, width].
  """
  z1, steps = model.encode_z1(images)[0], 10
  if model.feature.kind != DISCRETE:
    f_path = np.concatenate(
      [np.linspace(a, b, steps // (len(f_path) - 1), endpoint=False) for a, b in itertools.pairwise(f_path)]
    ).astype(np.float32)
  z2_path = model.encode_z2(f_path)
  moved_z2 = to_uint8(model.decode(np.repeat(z1, len(z2_path), 0), np.tile(z2_path, (len(z1), 1)))).reshape(
    len(z1), -1, *images.shape[1:]
  )
  paths = np.linspace(z1, np.roll(z1, -1, 0), len(z2_path), axis=1).astype(np.float32)  # [N, K, Z1]
  moved_z1 = to_uint8(
    model.decode(paths.reshape(-1, z1.shape[1]), np.repeat(model.encode_z2(f), len(z2_path), 0))
  ).reshape(len(z1), -1, *images.shape[1:])
  blank = [[None] * (len(z2_path) + 1)]
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

  Returns their paths.
  """
  x = examples["image"]
  columns = pick(f, model.feature)
  rows = np.random.default_rng(1).permutation(len(x))
  pictures = {
    "fusion": fusion_grid(model, x[rows[:10]], x[columns], f[columns]),
    "reconstruction": reconstruction_grid(model, x[rows[:40]], f[rows[:40]]),
    "traversal": traversal_grid(
      model,
      x[rows[:6]],
      f[columns] if model.feature.kind == DISCRETE else f[columns[:: max(1, len(columns) // 3)]],
      f[rows[:6]],
    ),
  }
  paths = [folder / f"{name}.png" for name in pictures]
  for path, picture in zip(paths, pictures.values()):
    write_png(path, picture)
  return paths
