"""What `--mode=sample --what=…` draws of some images: swaps, strips and morphs."""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tfdisent.feature import convert
from tfdisent.feature.contract import DISCRETE
from tfdisent.inference import TrainedModel
from tfdisent.pictures.choice import path
from tfdisent.pictures.grids import SIDE, fused, with_part, with_parts
from tfdisent.pictures.sheet import Block, Sheet
from tfdisent.pictures.words import names_of, part_words

CLASSES = 10
"""Classes that a strip and a morph show, at most."""
MORPH_STEPS, CLASS_STEPS = 18, 4
"""Frames of a morph through a range and of one from a class to the next."""
FRAME_MS, CLASS_MS = 90, 700
"""How long a frame stands, and one that shows a class."""


def swap(
  trained: TrainedModel,
  images: np.ndarray,
  donors: np.ndarray,
  f_images: np.ndarray,
  f_donors: np.ndarray,
  parts: Sequence[int],
) -> Sheet:
  """A line for each image: the image, a donor, and the image with one feature of the donor after the other.

  Args:
    trained: the model.
    images: uint8 [N, H, W, C].
    donors: of the features, uint8 [N, H, W, C].
    f_images: f of the images, [N, width].
    f_donors: f of the donors, [N, width].
    parts: the indices of the features. Where there are several, the last column has all of them.
  """
  groups = [[k] for k in parts] + ([list(parts)] if len(parts) > 1 else [])
  pairs = zip(f_images, f_donors)
  f = np.stack(
    [
      np.concatenate([with_parts(trained.feature, own, of_donor[None], group) for group in groups])
      for own, of_donor in pairs
    ]
  )
  fusions = fused(trained, trained.encode_z1(images)[0], f)
  names = [names_of(trained.feature)[k] for k in parts]
  block = Block(
    [[x, donor, *line] for x, donor, line in zip(images, donors, fusions)],
    ["image", "donor", *names, *(["all of these"] if len(parts) > 1 else [])],
    sources=(0, 2),
  )
  return Sheet((block,), "Each image with one feature of its donor, which the column names, and all else as it was.")


def strip(trained: TrainedModel, image: np.ndarray, f: np.ndarray, known: np.ndarray, parts: Sequence[int]) -> Sheet:
  """A line for each feature: one image, and fusions in which this feature alone goes through its classes or its range.

  Args:
    trained: the model.
    image: uint8 [H, W, C].
    f: f of the image, [width].
    known: f of examples, [N, width], which tell the ranges.
    parts: the indices of the features.
  """
  feature, z1 = trained.feature, trained.encode_z1(image[None])[0]
  blocks = []
  for k in parts:
    part, name = feature.parts[k], names_of(feature)[k]
    values = path(part, feature.split(known)[k], CLASSES if part.kind == DISCRETE else SIDE)
    (line,) = fused(trained, z1, with_part(feature, f[None], k, values))
    words = part_words(part, values, trained.class_names.get(part.column, ()))
    blocks.append(Block([[image, *line]], ["image" if k == parts[0] else "", *words], [name], sources=(0, 1)))
  return Sheet(
    tuple(blocks), "One image. Along a line one feature changes, which is named at the left, and nothing else."
  )


@dataclasses.dataclass(frozen=True)
class Animation:
  """Sheets of one size, one after the other, again and again.

  Attributes:
    sheets: the frames.
    milliseconds: how long each stands.
  """

  sheets: Sequence[Sheet]
  milliseconds: Sequence[int]

  def titled(self, title: str) -> "Animation":
    """The same under a title."""
    return dataclasses.replace(self, sheets=[sheet.titled(title) for sheet in self.sheets])

  def png(self) -> bytes:
    """An animated PNG: every browser shows it, with all colours."""
    first, *others = (Image.fromarray(sheet.draw()) for sheet in self.sheets)
    file = io.BytesIO()
    first.save(file, "png", save_all=True, append_images=others, duration=list(self.milliseconds), loop=0)
    return file.getvalue()


def morph(trained: TrainedModel, images: np.ndarray, f: np.ndarray, known: np.ndarray, part: int) -> Animation:
  """Images whose z1 stays, while one feature moves slowly: through its classes, around a turn, or up and down a range.

  Args:
    trained: the model.
    images: uint8 [N, H, W, C].
    f: f of the images, [N, width].
    known: f of examples, [N, width], which tell the range.
    part: the index of the feature.
  """
  feature, moving, name = trained.feature, trained.feature.parts[part], names_of(trained.feature)[part]
  values, told, milliseconds = _frames(moving, feature.split(known)[part])
  fusions = fused(trained, trained.encode_z1(images)[0], with_part(feature, f, part, values))
  words = part_words(moving, told, trained.class_names.get(moving.column, ()))
  caption = f"The {name} moves, and nothing else of the images."
  sheets = [
    Sheet((Block([images, line], heading=f"{name}: {word}", sources=(1, 0)),), caption)
    for line, word in zip(fusions.swapaxes(0, 1), words)
  ]
  return Animation(sheets, milliseconds)


def _frames(part, known):
  """Values of a part for each frame, [K, width], those that are told, and how long a frame stands."""
  if part.kind == DISCRETE:
    classes = path(part, known, CLASSES)
    after = np.roll(classes, -1, 0)
    shares = np.arange(CLASS_STEPS) / CLASS_STEPS
    values = np.concatenate([(1 - shares)[:, None] * a + shares[:, None] * b for a, b in zip(classes, after)])
    told = np.concatenate([np.where(shares[:, None] < 0.5, a, b) for a, b in zip(classes, after)])
    return np.float32(values), told, [FRAME_MS if k % CLASS_STEPS else CLASS_MS for k in range(len(values))]
  values = path(part, known, MORPH_STEPS)
  if not isinstance(part.natural, convert.Angle):
    values = np.concatenate([values, values[-2:0:-1]])  # up and down
  return values, values, [FRAME_MS] * len(values)
