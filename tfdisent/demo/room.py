"""One model behind the demo's page: what is computed for it, without a widget."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tfdisent.api import TrainedRun
from tfdisent.controls import controls_of
from tfdisent.data.pixels import decode
from tfdisent.errors import DataError, FeatureError
from tfdisent.evaluation.small_judges import load_judges
from tfdisent.examples import of_feature, to_begin_with
from tfdisent.pictures import Block, Sheet, fusion_grid, part_words
from tfdisent.pictures.grids import fused, with_part
from tfdisent.pictures.words import names_of

SOURCE, DONOR, VALUE = "source", "donor", "value"
"""Where a part of the feature comes from."""
STEPS, SIDES = 8, 5
"""Images in a line of a strip, and along a side of a grid."""


class Codes(NamedTuple):
  """What the page keeps of an image."""

  image: np.ndarray
  """uint8 [H, W, C]."""
  z1: np.ndarray
  """Mean of q(z1 | x), float32 [1, Z1]."""
  f: np.ndarray | None
  """The feature, read from the image, float32 [1, width]; None where it cannot be read."""
  judged: list[str]
  """What each of the run's judges reads in the image, in words."""


class Look(NamedTuple):
  """A fusion, and what is read in it and in its source: words for each part of the feature, or for each judge."""

  image: np.ndarray
  """uint8 [H, W, C]."""
  asked: list[str]
  by_model: tuple[list[str], list[str]] | None
  """Of the source and of the fusion; None where the model reads no feature."""
  by_judges: tuple[list[str], list[str]]
  """Of the source and of the fusion; empty where the run has no judges."""


def label(name: str) -> str:
  """The name of a part or of a column, as people write it."""
  return name.replace("_", " ")


class Room:
  """One model behind the page: what is computed for its tab, without a widget.

  Args:
    trained: the model of a run.
  """

  def __init__(self, trained: TrainedRun):
    self.trained = trained
    self.feature = trained.feature
    self.examples = to_begin_with(trained)
    self.names = list(map(label, names_of(self.feature)))
    self.controls = controls_of(self.feature, trained.class_names, of_feature(trained.run_dir))
    try:
      trained.model.check_reading(of_f=True)
      self.reads = True
    except FeatureError:
      self.reads = False
    self.judges = load_judges(trained.run_dir, trained.image_shape)
    self.codes(self.examples[0])  # traces the graphs, so that the first visitor does not wait

  def codes(self, image: Any) -> Codes:
    """The codes of one image, uint8 [H, W, C], or of a file.

    Raises:
      DataError: the file is no image; the message is for the visitor.
    """
    if isinstance(image, str):
      try:
        image = decode(image, self.trained.image_shape, self.trained.background).image
      except ValueError as error:
        name = pathlib.Path(image).name  # the server's own path means nothing to a visitor
        raise DataError(f"{name} cannot be used as an image: {str(error).replace(image, name)}.") from error
    return Codes(image, self.trained.encode_z1(image[None])[0], self.reading(image), self.judged(image))

  def prior(self, seed: int, f: np.ndarray | None) -> Codes:
    """A z1 from its prior that follows `seed`, with the image that it gives with the feature f [1, width]."""
    z1 = np.random.default_rng(int(seed)).standard_normal((1, self.trained.model.z1_width)).astype(np.float32)
    f = f if f is not None else self._vector([control.path()[0] for control in self.controls])
    image = self.fusion(z1, f)
    return Codes(image, z1, f, self.judged(image))

  def fusion(self, z1: np.ndarray, f: np.ndarray) -> np.ndarray:
    """G(z1, z̃2), uint8 [H, W, C], of z1 [1, Z1] and f [1, width]."""
    return fused(self.trained, z1, f[None])[0, 0]

  def look(self, source: Codes, f: np.ndarray) -> Look:
    """The fusion of a source with the feature f [1, width], and what is read in both."""
    image = self.fusion(source.z1, f)
    read = self.reading(image)
    of_model = None if read is None or source.f is None else (self.words_of(source.f), self.words_of(read))
    return Look(image, self.words_of(f), of_model, (source.judged, self.judged(image)))

  def feature_of(self, source: Codes, donor: Codes | None, origins: Sequence[str], values: Sequence) -> np.ndarray:
    """f of the fusion, [1, width]: each part from its origin, as `SOURCE`, and its value where that is `VALUE`."""
    f = self._vector([control.to_natural(value) for control, value in zip(self.controls, values)])
    parts = self.feature.split(f)
    for number, origin in enumerate(origins):
      of = {SOURCE: source, DONOR: donor}.get(origin)
      if of is not None and of.f is not None:
        parts[number] = self.feature.split(of.f)[number]
    return np.concatenate(parts, 1)

  def values_of(self, f: np.ndarray) -> list:
    """The values of all controls for f [1, width]."""
    parts = zip(self.controls, self.feature.parts, self.feature.split(f))
    return [control.of_natural(part.to_natural(of_part)[0]) for control, part, of_part in parts]

  def words_of(self, f: np.ndarray) -> list[str]:
    """Each part of f [1, width] in words."""
    return [self._words(number, of_part)[0] for number, of_part in enumerate(self.feature.split(f))]

  def strip(self, z1: np.ndarray, f: np.ndarray, number: int) -> Sheet:
    """Fusions in which part `number` goes through its classes or range, the others as in f [1, width]."""
    path = self.feature.parts[number].to_vector(np.array(self.controls[number].path(STEPS)))
    images, words = fused(self.trained, z1, with_part(self.feature, f, number, path))[0], self._words(number, path)
    starts = range(0, len(images), STEPS)
    blocks = [Block([images[start : start + STEPS]], words[start : start + STEPS]) for start in starts]
    return Sheet(tuple(blocks), f"{self.names[number]} across its range, and nothing else changes.")

  def grid(self) -> Sheet:
    """Fusions of the example images: rows keep z1, columns give the whole feature."""
    rows = self.examples[:SIDES]
    return fusion_grid(self.trained, rows, rows, self._read(rows))

  def reading(self, image: np.ndarray) -> np.ndarray | None:
    """f, [1, width], that the model reads in an image, uint8 [H, W, C]; None where it cannot read."""
    return self._read(image[None]) if self.reads else None

  def judged(self, image: np.ndarray) -> list[str]:
    """What each judge reads in an image, uint8 [H, W, C], in words; [] where the run has no judges."""
    return self.judges.words(image[None])[0] if self.judges else []

  @property
  def judges_of_parts(self) -> list[int | None]:
    """Which of the run's judges reads each part of the feature, by its place; None where none does."""
    columns = [one.judge.column for one in self.judges.judges] if self.judges else []
    return [columns.index(part.column) if part.column in columns else None for part in self.feature.parts]

  @property
  def other_judges(self) -> list[int]:
    """The places of the judges that read what is no part of the feature."""
    own = self.judges_of_parts
    return [number for number in range(len(self.judges.judges) if self.judges else 0) if number not in own]

  def _words(self, number: int, f: np.ndarray) -> list[str]:
    part = self.feature.parts[number]
    return part_words(part, f, self.trained.class_names.get(part.column, ()))

  def _read(self, images):
    return self.feature.to_vector(self.trained.encode(images).feature)

  def _vector(self, naturals: Sequence) -> np.ndarray:
    parts = [part.to_vector(np.array([natural])) for part, natural in zip(self.feature.parts, naturals)]
    return np.concatenate(parts, 1)
