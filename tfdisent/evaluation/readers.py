"""What reads each judge's property from images.

| the judges of a data set that are networks | what reads them |
|---|---|
| one | a network of its own: `Oracle` of a class, `Estimator` of an angle or of numbers |
| two or more | one network that learns all of their columns at once: `Trunk` |
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfdisent.data.dataset import Dataset, Judge
from tfdisent.evaluation import judges, strokes
from tfdisent.evaluation.heads import ClassHead, Head, joined, make_head, sum_of_losses
from tfdisent.evaluation.layers import convolutions, head_layers
from tfdisent.feature.contract import Feature
from tfdisent.feature.values import feature_values

Reader = Callable[[np.ndarray], np.ndarray]
"""From images uint8 [N, H, W, C] to a property of them, [N] or [N, K], in its unit.

Where it reads a class, it may have a method `probabilities`, from the same images to [N, classes].
"""

OF_PIXELS = {"color": strokes.measured_color, "axis": strokes.axis}
"""What is measured, by the kind of the judge."""
CHANNELS = (16, 32, 64, 128)
PLACES = 8
"""On a side: the heads see the mean colour of so many parts of the image, besides what the convolutions give."""
LARGEST = 64
"""Pixels on a side that a trunk looks at: larger images are made about as large, or the training would take hours."""


def readers(dataset: Dataset) -> dict[Judge, Reader]:
  """What reads each judge's property; networks that the cache does not hold are trained."""
  learned = [judge for judge in dataset.judges if judge.kind not in OF_PIXELS]
  if len(learned) < 2:
    return {judge: _alone(judge, dataset) for judge in dataset.judges}
  trunk = Trunk(dataset, learned)
  return {judge: OF_PIXELS.get(judge.kind) or trunk.reader(judge) for judge in dataset.judges}


def reader(judge: Judge, dataset: Dataset) -> Reader:
  """What reads the property of a judge, which may be one of the data set's or another one."""
  return readers(dataset)[judge] if judge in dataset.judges else _alone(judge, dataset)


def feature_reader(feature: Feature, dataset: Dataset) -> Reader:
  """A second network for a learned, continuous f, which reads f itself, [N, width]."""
  values = lambda examples: feature_values(feature.as_known, examples)  # noqa: E731
  return judges.Estimator(dataset, feature.name, values=values)


def class_column(dataset: Dataset) -> str | None:
  """The column of the first judge that judges a class."""
  return next((judge.column for judge in dataset.judges if judge.kind == "classifier"), None)


def _alone(judge: Judge, dataset: Dataset) -> Reader:
  if judge.kind == "classifier":
    return judges.Oracle(dataset, judge.column)
  return OF_PIXELS.get(judge.kind) or judges.Estimator(dataset, judge.column, judge.turn)


class Trunk(judges.CachedNetwork):
  """Reads several properties: convolutions as those of the oracle and one more, with a head for each property.

  A network for each costs minutes each, since the convolutions are nearly all of the work.

  Args:
    dataset: as of `CachedNetwork`.
    read: the judges whose columns are learned. Their order does not matter.
    epochs: of the training, if the cache does not hold the network.
  """

  name, role = "trunk", "one network that judges them all"
  batch_size = 64

  def __init__(self, dataset: Dataset, read: list[Judge], epochs: int = 12):
    self._judges = sorted(set(read), key=lambda judge: (judge.column, judge.kind, judge.name))
    super().__init__(dataset, ", ".join(judge.column for judge in self._judges), epochs, lambda examples: examples)

  def _task(self, values):
    heads = [make_head(judge.kind, values[judge.column], judge.turn) for judge in self._judges]
    return heads, joined([head.target for head in heads]), [[head.outputs, head.loss] for head in heads]

  def _loss(self, described):
    return sum_of_losses(self.heads)

  @staticmethod
  def make(image_shape, heads, pool_first):
    # Each has a name of its own: Keras would number them, and the key in the cache would change with the numbers.
    image = keras.Input(image_shape, name="image")
    layers = convolutions(Trunk.seed, pool_first, channels=CHANNELS)
    if (times := min(image_shape[:2]) // LARGEST) > 1:
      layers.insert(1, keras.layers.AveragePooling2D(times))
    # Colours are told by the mean of a place, which normalised and pooled maxima tell badly.
    places = keras.layers.AveragePooling2D([max(1, size // PLACES) for size in image_shape[:2]])
    seen = [
      keras.Sequential([*layers, keras.layers.Flatten()], name="convolutions")(image),
      keras.Sequential([keras.layers.Rescaling(1 / 255), places, keras.layers.Flatten()], name="places")(image),
    ]
    seen = keras.layers.Concatenate(name="seen")(seen)
    of_heads = [head_layers(head.outputs, Trunk.seed, head.dropout) for head in heads]
    read = [keras.Sequential(layers, name=f"head_{number}")(seen) for number, layers in enumerate(of_heads)]
    return keras.Model(image, keras.layers.Concatenate(name="outputs")(read), name="trunk")

  def reader(self, judge: Judge) -> Reader:
    """What reads the property of one of the judges."""
    return head_readers(self, self.heads)[self._judges.index(judge)]


class HeadReader:
  """Reads one property by a network that gives the outputs of several heads side by side.

  Args:
    network: whose `outputs` are those of images.
    head: of the property.
    columns: of the outputs, that are the head's.
  """

  def __init__(self, network, head: Head, columns: slice):
    self.network, self.head, self.columns = network, head, columns

  def _of(self, image):
    return self.network.outputs(image)[:, self.columns]

  def __call__(self, image: np.ndarray) -> np.ndarray:
    return self.head.read(self._of(image))


class _ClassReader(HeadReader):
  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Of each class, [N, classes]."""
    return self.head.probabilities(self._of(image))


def head_readers(network, heads: Sequence[Head]) -> list[HeadReader]:
  """What reads the property of each head of a network, in their order."""
  ends = np.cumsum([head.outputs for head in heads])
  return [
    (_ClassReader if isinstance(head, ClassHead) else HeadReader)(network, head, slice(end - head.outputs, end))
    for head, end in zip(heads, ends.tolist())
  ]
