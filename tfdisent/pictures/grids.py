"""Fusions, reconstructions, traversals and samples as sheets."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tfdisent import run
from tfdisent.data.dataset import Examples
from tfdisent.data.pixels import to_uint8
from tfdisent.feature.contract import Feature
from tfdisent.inference import TrainedModel
from tfdisent.pictures.choice import path, pick
from tfdisent.pictures.sheet import Block, Sheet
from tfdisent.pictures.words import feature_words, file_name, listed, names_of, part_words, run_words

SIDE = 8
"""Rows, and columns, of results in a picture of a run."""


def fusion_grid(
  trained: TrainedModel,
  rows: np.ndarray,
  columns: np.ndarray,
  f_columns: np.ndarray,
  f_rows: np.ndarray | None = None,
  parts: Sequence[int] | None = None,
) -> Sheet:
  """Fusions x̂ = G(z1, z̃2): a row has the z1 of the image at its left, a column the z̃2 of the image above it.

  Args:
    trained: the model.
    rows: images that give z1, uint8 [R, H, W, C].
    columns: images that give z̃2, uint8 [K, H, W, C].
    f_columns: f of `columns`, [K, width].
    f_rows: f of `rows`, [R, width], which is told beside them; needed with `parts`.
    parts: the indices of the parts of f which alone are taken from the columns, while the others stay as in the rows;
      None takes all of f from the columns.
  """
  feature = trained.feature
  told = range(len(feature.parts)) if parts is None else parts
  f = np.tile(f_columns, (len(rows), 1, 1))
  if parts is not None:
    f = np.stack([with_parts(feature, f_row, f_columns, parts) for f_row in f_rows])
  fusions = fused(trained, trained.encode_z1(rows)[0], f)
  names = listed([names_of(feature)[k] for k in told])
  rest = ", and nothing else of it" if len(told) < len(feature.parts) else ""
  block = Block(
    [[None, *columns], *([row, *images] for row, images in zip(rows, fusions))],
    ["", *feature_words(feature, f_columns, trained.class_names, told)],
    [] if f_rows is None else ["", *feature_words(feature, f_rows, trained.class_names, told)],
    sources=(1, 1),
  )
  return Sheet((block,), f"Each row is the image at its left, with the {names} of the image above{rest}.")


def reconstruction_grid(trained: TrainedModel, images: np.ndarray, f: np.ndarray) -> Sheet:
  """Pairs of lines, images x, uint8 [N, H, W, C], and their x' below them; f of the images is [N, width]."""
  x_rec = to_uint8(trained.decode(trained.encode_z1(images)[0], trained.encode_z2(f)))
  words = feature_words(trained.feature, f, trained.class_names) if len(trained.feature.parts) == 1 else None
  blocks = [
    Block([images[line], x_rec[line]], words[line] if words else (), ("image", "made again"))
    for line in (slice(start, start + SIDE) for start in range(0, len(images), SIDE))
  ]
  return Sheet(tuple(blocks), "Images, and what the model makes of their codes.")


def traversal_grid(
  trained: TrainedModel, images: np.ndarray, f_path: np.ndarray, f: np.ndarray, part: int = 0
) -> Sheet:
  """Two traversals, one above the other, with a row for each image.

  In the upper one z1 is fixed in each row, and a part of f follows `f_path`. In the lower one z2 is fixed in each row,
  and z1 moves evenly to that of the next image.

  Args:
    trained: the model.
    images: uint8 [N, H, W, C].
    f_path: values of the part, [K, the part's width]: see `choice.path`.
    f: f of `images`, [N, width].
    part: the index of the part of f that moves.
  """
  feature, z1 = trained.feature, trained.encode_z1(images)[0]
  name, moving = names_of(feature)[part], feature.parts[part]
  moved_z2 = fused(trained, z1, with_part(feature, f, part, f_path))
  shares = np.linspace(0, 1, SIDE)
  z1_path = (z1[:, None] + shares[:, None] * (np.roll(z1, -1, 0) - z1)[:, None]).astype(np.float32)  # [N, K, Z1]
  moved_z1 = fused(trained, z1_path.reshape(-1, z1.shape[1]), np.repeat(f, SIDE, 0)[:, None])
  moved_z1 = moved_z1.reshape(len(images), SIDE, *images.shape[1:])
  classes = trained.class_names.get(moving.column, ())
  own = part_words(moving, feature.split(f)[part], classes)
  blocks = (
    Block(
      [[x, *line] for x, line in zip(images, moved_z2)],
      ["", *part_words(moving, f_path, classes)],
      own,
      f"{name} moves, and the rest stays as in the image at the left",
      (0, 1),
    ),
    Block(
      [[x, *line] for x, line in zip(images, moved_z1)],
      ["", *(f"{round(100 * share)} %" for share in shares)],
      own,
      f"the rest moves to that of the next image, and {name} stays",
      (0, 1),
    ),
  )
  return Sheet(blocks, f"What {name} changes, and what it leaves alone.")


def sample_grid(trained: TrainedModel, f: np.ndarray, rows: int = 8, seed: int = 0) -> Sheet:
  """New images: each row has a z1 from the prior, and column k has the feature f[k], of f [K, width]."""
  z1 = np.random.default_rng(seed).standard_normal((rows, trained.model.z1_width)).astype(np.float32)
  images = fused(trained, z1, np.tile(f, (rows, 1, 1)))
  names = listed(names_of(trained.feature))
  block = Block(images, feature_words(trained.feature, f, trained.class_names))
  return Sheet((block,), f"New images. Columns share the {names} above them, and rows share all else.")


def with_part(feature: Feature, f: np.ndarray, part: int, values: np.ndarray) -> np.ndarray:
  """f [R, width] with part number `part` set to each of `values` [K, the part's width]: [R, K, width]."""
  parts = [np.repeat(f_part[:, None], len(values), 1) for f_part in feature.split(f)]
  parts[part] = np.tile(values, (len(f), 1, 1))
  return np.concatenate(parts, 2)


def with_parts(feature: Feature, f_row: np.ndarray, f: np.ndarray, parts: Sequence[int]) -> np.ndarray:
  """f [K, width], of which all but the named parts are those of `f_row` [width]: [K, width]."""
  own, given = feature.split(np.tile(f_row, (len(f), 1))), feature.split(f)
  return np.concatenate([given[k] if k in parts else own[k] for k in range(len(own))], 1)


def fused(trained: TrainedModel, z1: np.ndarray, f: np.ndarray) -> np.ndarray:
  """G(z1, z2), uint8 [R, K, H, W, C], of z1 [R, Z1], which is that of a whole row, and of f [R, K, width]."""
  count = f.shape[1]
  z2 = trained.encode_z2(f.reshape(-1, f.shape[2]).astype(np.float32))
  images = to_uint8(trained.decode(np.repeat(z1, count, 0), z2))
  return images.reshape(len(z1), count, *images.shape[1:])


# --- Those of a run ---------------------------------------------------------------------------------------------------


def pictures_of(
  trained: TrainedModel, examples: Examples, f: np.ndarray, title: str = "", most: int | None = None
) -> dict[str, Sheet]:
  """The pictures of a run by their names: `fusion`, `reconstruction` and `traversal`.

  Where f has several parts, there are a `fusion_NAME` and a `traversal_NAME` for each part, in which this part changes
  alone, and no `traversal`.

  Args:
    trained: the model.
    examples: of which images are chosen, best of the validation split.
    f: f of the examples, [N, width].
    title: of each picture.
    most: the number of parts that have pictures of their own; None for all.
  """
  x, feature = examples["image"], trained.feature
  columns = pick(f, feature, SIDE)
  rows = np.random.default_rng(1).permutation(len(x))
  first, few = rows[:SIDE], rows[: SIDE // 2]
  sheets = {
    "fusion": fusion_grid(trained, x[first], x[columns], f[columns], f[first]),
    "reconstruction": reconstruction_grid(trained, x[rows[: SIDE * SIDE // 2]], f[rows[: SIDE * SIDE // 2]]),
  }
  for index, (name, part) in list(enumerate(zip(feature.part_names, feature.parts)))[:most]:
    f_part = feature.split(f)[index]
    columns = pick(f_part, part, SIDE)
    suffix = "" if len(feature.parts) == 1 else f"_{name}"
    if suffix:
      sheets[f"fusion{suffix}"] = fusion_grid(trained, x[first], x[columns], f[columns], f[first], [index])
    sheets[f"traversal{suffix}"] = traversal_grid(trained, x[few], path(part, f_part, SIDE), f[few], index)
  return {name: sheet.titled(title) for name, sheet in sheets.items()}


def write_pictures(
  folder: pathlib.Path, trained: TrainedModel, examples: Examples, f: np.ndarray
) -> list[pathlib.Path]:
  """Writes `pictures_of` a run into its folder, each as NAME.png; returns their paths."""
  title = run_words(folder.absolute().name, getattr(trained, "checkpoint", None))
  sheets = pictures_of(trained, examples, f, title)
  paths = [folder / file_name(name) for name in sheets]
  for file, sheet in zip(paths, sheets.values()):
    run.write(file, sheet.png())
  return paths
